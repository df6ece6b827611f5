//! What sealpost does, seen from outside: one module a behaviour, in a simulated world.

#[path = "../support/mod.rs"]
mod support;

mod line;
mod relay_delivery;
mod submission;
