//! Recipient states, schedule and limits. Pure: time and inputs in, outputs out.
//!
//! Owns: where every recipient of every accepted message stands, when it is tried next, when its
//! time is up, and how many attempts run at once. Never touches a socket, a clock, a disk, a log
//! or a task, and never decides how a message is protected: it asks ([`Output::Prepare`]) and
//! hands out work ([`Output::Attempt`]).
//!
//! ## Driving it
//! Feed an [`Input`], take every [`Output`], wait for the next input or for
//! [`Queue::poll_timeout`], then feed that ([`Input::Tick`] for the time). Nothing polls and
//! nothing scans: what a message costs does not depend on how many others wait.
//!
//! ## Durable first
//! A change of a recipient is an [`Output::Settle`]. The queue changes its own truth at
//! [`Input::Settled`], when the record is on disk, and schedules the retry then. At most one
//! settlement of a message is out at a time; what comes up meanwhile goes out together after it.
//! (`queued` → `ready` needs no settlement: the durable `Prepared` says it already.)
//!
//! ## The table of a recipient
//! | phase | input | next |
//! |---|---|---|
//! | `Queued` | `Prepared`, has a rendition | `Ready` |
//! | `Queued` | `Prepared`, no method left | `Settling` deferred(`security`) |
//! | `Queued` | `PrepareFailed` | `Settling` deferred(`local`) |
//! | `Ready` | a slot of its destination is free | `Attempting` |
//! | `Ready` | `Prepared` again | `Ready` by the new plan, or as above |
//! | `Attempting` | `Attempted`: delivered, bounced | `Settling` final |
//! | `Attempting` | `Attempted`: deferred, shortfall | `Settling` deferred, or expired if its time is up |
//! | `Settling` | `Settled` | `Ended`, or `Waiting` (deferred, held) |
//! | `Waiting` | due, has a rendition | `Ready` |
//! | `Waiting` | due, no rendition | `Queued`: facts change, so it is prepared again |
//! | all but `Attempting`, `Settling`, and `Queued` being prepared | its time is up | `Settling` expired |
//!
//! A permanent failure or the expiry of our own DSN is never the end of it: its recipient is
//! held as [`UNDELIVERABLE_DSN`], without expiry, for a person to see.
//!
//! RFC 5321 §4.5.4.1 (retries, giving up), RFC 3464 §2.3.3 (one DSN per failed recipient).

mod core;
mod destinations;
mod interface;
mod message;
mod retry;
mod settle;
mod view;

#[cfg(test)]
mod tests;

pub use self::core::Queue;
pub use interface::{
    Attempt, Cause, Input, Output, SettledRecipient, Settlement, UNDELIVERABLE_DSN,
};
pub use retry::{Limits, Retry};
pub use view::{
    CandidateView, MAX_ENTRY_RECIPIENTS, MAX_PAGE, QueueDetail, QueueEntry, QueueFilter, QueuePage,
    QueueSummary, RecipientView, StatusView,
};
