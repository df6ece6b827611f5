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
//! | `Queued` | handed out with others of its message | `Preparing` |
//! | `Preparing` | `Prepared`: send | `Ready` |
//! | `Preparing` | `Prepared`: no method left | `Settling` deferred(`security`) |
//! | `Preparing` | `Prepared`: wait | `Settling` deferred(`downgrade_suspected`), not beyond its end |
//! | `Preparing` | `Prepared`: hold | `Settling` held |
//! | `Preparing` | `PrepareFailed` | `Settling` deferred(`local`) |
//! | `Ready` | a slot of its destination is free | `Attempting` |
//! | `Attempting` | `Attempted`: delivered, bounced | `Settling` final; of a notice delivered is deposited |
//! | `Attempting` | `Attempted`: deferred | `Settling` deferred, or expired if its time is up |
//! | `Attempting` | `Attempted`: shortfall | `Queued`, once per method and turn; else as deferred |
//! | `Attempting` | `Attempted`: not taken by the portal | `Queued`, once per turn; else bounced |
//! | `Attempting` | `Attempted`: the decision does not stand any more | `Queued`; no attempt is counted |
//! | `Settling` | `Settled` | `Ended`, `Waiting` (deferred, held), or `Queued` (released) |
//! | `Waiting` | due, and its plan rests on no shortfall | `Ready` |
//! | `Waiting` | due otherwise | `Queued`: facts change, so it is decided again, TLS untried |
//! | `Queued`, `Ready`, `Waiting` | its time is up | `Settling` expired |
//! | `Queued`, `Ready`, `Waiting` | an order | `Settling` held, cancelled, due now or released |
//! | `Preparing`, `Attempting`, `Settling` | an order to hold or cancel | done when that ends |
//!
//! Our own DSNs are never decided again for a shortfall: they have one method.
//!
//! A permanent failure or the expiry of our own DSN is never the end of it: its recipient is
//! held as [`UNDELIVERABLE_DSN`], without expiry, for a person to see, who tries it again or
//! cancels it.
//!
//! A code for the portal has a life and a schedule of its own; like a reminder it ends in silence.
//!
//! RFC 5321 §4.5.4.1 (retries, giving up), RFC 3464 §2.3.3 (one DSN per failed recipient).

mod core;
mod counts;
mod destinations;
mod explain;
mod interface;
mod message;
mod order;
mod outcome;
mod prepare;
mod retry;
mod settle;
mod view;

#[cfg(test)]
mod tests;

pub use self::core::Queue;
pub use explain::{QueueExplanation, ReasonView, RecipientExplanation};
pub use interface::{
    Attempt, Cause, Input, OPERATOR_HOLD, Output, Preparation, SettledRecipient, Settlement,
    ToDecide, UNDELIVERABLE_DSN,
};
pub use order::{Operation, Order, Selection, Tally};
pub use retry::{Limits, Retry};
pub use view::{
    CandidateView, MAX_ENTRY_RECIPIENTS, MAX_PAGE, QueueDetail, QueueEntry, QueueFilter, QueuePage,
    QueueSummary, RecipientView, StatusView,
};
