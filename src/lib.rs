//! sealpost: a secure outbound mail transfer agent.
//!
//! Mail flows one way: submission → spool → queue → policy → sign → relay → report.
//! The groups below are the layers, lowest first. A module imports from groups above its own
//! line only, never from below, and parts know nothing of one another; `tests/layering.rs`
//! reads this file and every `crate::` path and fails where that is not so.

// -- words: plain data; no tokio, no clock, no disk
pub mod mail;

// -- texts: what people read, in every language
pub mod locale;

// -- protocols: sans-I/O, one RFC family a folder, each fuzzed
pub mod proto;

// -- world: everything outside
pub mod world;

// -- kept: what survives a crash
pub mod journal;
pub mod spool;
pub mod tables;

// -- parts: one duty each, strangers to one another
pub mod directory;
pub mod notice;
pub mod pickup;
pub mod policy;
pub mod queue;
pub mod relay;
pub mod report;
pub mod scan;
pub mod seal;
pub mod sign;

// -- flow: the straight line, the only place that knows the order
pub mod flow;

// -- doors: how people and programs come in
pub mod admin;
pub mod link;
pub mod portal;
pub mod submission;

// -- process: build, run, command
pub mod cli;
pub mod config;
pub mod dev;
pub mod server;
