//! The simulated world: DNS, network, certificate authority and mail exchangers in memory, under
//! tokio's paused clock. No socket, no file, no waiting.

// Each test binary uses its own part of this.
#![allow(dead_code, reason = "shared by several test binaries")]

/// What [`made_certificates`] writes with.
pub use sealpost::proto::cms::der;

pub mod ca;
pub mod dns;
pub mod door;
pub mod line;
pub mod made_certificates;
pub mod mx;
pub mod net;
pub mod portal;
pub mod sealed;
pub mod world;
