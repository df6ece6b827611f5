//! The policy engine as a whole: its proof and the faults that it finds, what always holds, what
//! is refused, what is said of a change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod changes;
mod problems;
mod proof;
mod properties;
mod support;
