//! Reading documents: each kind, hostile ones, and the worker process with the real program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "scan/documents.rs"]
mod documents;
#[path = "scan/hiding.rs"]
mod hiding;
#[path = "scan/hostile.rs"]
mod hostile;
#[path = "scan/reading.rs"]
mod reading;
#[path = "scan/worker.rs"]
mod worker;
