//! The worker: a process that reads one document and can do nothing else.
//!
//! Owns what parent and worker say to one another, the worker's confinement, and the parent's
//! patience. A worker serves one document, so that nothing of the next is seen by what a hostile
//! one made of it. Its death is an answer.

pub mod confine;
pub mod driver;
pub mod frame;
pub mod selfcheck;
pub mod serve;

/// The hidden command that makes the program a worker.
pub const COMMAND: &str = "scan-worker";
