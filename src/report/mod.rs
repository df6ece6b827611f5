//! What became of mail: the delivery log and bounces.
//!
//! Owns the shape of a delivery log line, the thread that writes it, and the text of our own
//! DSNs. Never decides what became of a recipient; never logs content or a subject.

pub mod bounce;
pub mod delivery_log;
pub mod event;
pub mod events;

pub use delivery_log::{DeliveryLog, Target};
pub use event::{Event, EventKind};
