//! A world to try things in: DNS, MX hosts and a CA of its own, on loopback, without privileges.
//!
//! Library code: `serve --dev`, `demo`, tests and benchmarks use it. Never part of what a real
//! configuration runs.

pub mod browser;
pub mod ca;
pub mod client;
pub mod dkim;
pub mod dns;
pub mod home;
pub mod mx;
pub mod smime;
pub mod world;
