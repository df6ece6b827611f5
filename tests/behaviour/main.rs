//! What sealpost does, seen from outside: one module a behaviour, in a simulated world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod guards;
mod line;
mod orders;
mod permit;
mod portal;
mod relay_delivery;
mod relay_dns;
mod relay_exceptions;
mod relay_faults;
mod relay_pool;
mod relay_probe;
mod relay_recipients;
mod relay_routes;
mod relay_sealed;
mod relay_security;
mod relay_terms;
mod resolver;
mod smime;
mod spool_kill;
mod submission;
mod submission_policy;
