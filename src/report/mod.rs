//! What became of mail: the decision records, the delivery log and bounces.
//!
//! Owns the chained file of decisions, the shape of a delivery log line, the threads that write
//! them, and the text of our own DSNs. Never decides what became of a recipient; never logs content or a subject.

pub mod bounce;
pub mod decisions;
pub mod delivery_log;
pub mod event;
pub mod events;

pub use decisions::{DecisionRecord, Decisions};
pub use delivery_log::{DeliveryLog, Target};
pub use event::{Event, EventKind};
