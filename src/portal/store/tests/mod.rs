//! The store as a whole.

mod deposits;
mod support;
