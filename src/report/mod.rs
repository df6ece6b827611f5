//! What became of mail: the delivery log and bounces.

pub mod event;

pub use event::{Event, EventKind};
