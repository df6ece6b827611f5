//! What goes into the queue and what comes out of it.

use std::sync::Arc;

use crate::mail::{
    DeferReason, Domain, EnhancedCode, Envelope, MessageId, Outcome, Prepared, RecipientOutcome,
    RecipientRecord, Status, Timestamp, TlsStanding,
};

use super::order::{Order, Selection, Tally};

pub use crate::mail::state::{OPERATOR_HOLD, UNDELIVERABLE_DSN};

/// What the queue is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message is durable and its client has its 250.
    Accepted {
        /// Its envelope.
        envelope: Arc<Envelope>,
    },
    /// A message that the spool still had at start.
    Recovered {
        /// Its envelope.
        envelope: Arc<Envelope>,
        /// What was made of it, if it came that far.
        prepared: Option<Arc<Prepared>>,
        /// One record per recipient, in the order of the envelope.
        recipients: Vec<RecipientRecord>,
    },
    /// The answer to [`Output::Prepare`]; it is durable.
    Prepared {
        /// Of this message.
        id: MessageId,
        /// The whole of it: what was decided now, and the plans of all others as they were. Its
        /// renditions may stand in another order than before.
        prepared: Arc<Prepared>,
    },
    /// The other answer to [`Output::Prepare`]: something of ours was missing or failed.
    PrepareFailed {
        /// Of this message.
        id: MessageId,
        /// What.
        status: Status,
    },
    /// The answer to [`Output::Attempt`]: one outcome for each of its recipients. A recipient
    /// left out counts as deferred by a failure of ours; an attempt of which nothing at all is
    /// reported keeps its slot, so the caller must always name at least one.
    Attempted {
        /// Of this message.
        id: MessageId,
        /// What it came to.
        outcomes: Vec<RecipientOutcome>,
    },
    /// The [`Output::Settle`] of this message that is out is durable.
    Settled {
        /// Of this message.
        id: MessageId,
    },
    /// A person orders something; answered with [`Output::Operated`].
    Operate {
        /// For the answer; never used twice.
        ticket: u64,
        /// For whom.
        selection: Selection,
        /// What, and who says so.
        order: Arc<Order>,
    },
    /// The time of [`Queue::poll_timeout`](super::Queue::poll_timeout) has come.
    Tick,
    /// Hand out no new work from now on; take in the results of what runs.
    Drain,
}

/// What the queue wants done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Decide, seal, sign; answer with [`Input::Prepared`] or [`Input::PrepareFailed`].
    Prepare(Preparation),
    /// Deliver; answer with [`Input::Attempted`].
    Attempt(Attempt),
    /// Make durable, answer with [`Input::Settled`], then tell the world.
    Settle(Settlement),
    /// What came of an [`Input::Operate`]; what it changed is durable.
    Operated {
        /// As given.
        ticket: u64,
        /// What it came to.
        tally: Tally,
    },
}

/// Recipients of one message to be decided. Others of it may be in flight meanwhile: their
/// attempts keep what they were given.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Of this message.
    pub id: MessageId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// What was made of it before, if anything: the plans of those that are not decided now are
    /// taken over.
    pub previous: Option<Arc<Prepared>>,
    /// Whom to decide. Never empty; each at most once.
    pub recipients: Vec<ToDecide>,
    /// The recipients that have ended: nothing that was made for them is needed any more.
    pub ended: Vec<u32>,
}

/// A recipient to be decided, and what the queue knows for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToDecide {
    /// Its index in the envelope.
    pub recipient: u32,
    /// How far TLS got in this turn.
    pub tls: TlsStanding,
    /// Since when a downgrade has been suspected, in this turn or before; `None` where none is, or
    /// it was seen to be over.
    pub suspected_since: Option<Timestamp>,
    /// Sealed it was larger than a server takes, in this turn.
    pub unsealable: bool,
    /// The portal did not take it, in this turn.
    pub undepositable: bool,
    /// The holds that a person has released, by name.
    pub released: Vec<Arc<str>>,
}

/// Work for the relay: recipients of one message, one destination domain, one rendition.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Of this message.
    pub id: MessageId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// What was made of it.
    pub prepared: Arc<Prepared>,
    /// The index of the bytes to send in [`Prepared::renditions`].
    pub rendition: u32,
    /// Where to.
    pub destination: Domain,
    /// The recipients, by their index in the envelope. Never empty.
    pub recipients: Vec<u32>,
    /// The number of this attempt, from 1: the highest among its recipients.
    pub attempt: u32,
    /// Since when a downgrade has been suspected for one of its recipients.
    pub suspected_since: Option<Timestamp>,
}

/// The outcome of a recipient that the relay left out.
pub(super) fn no_result(recipient: u32) -> RecipientOutcome {
    let code = EnhancedCode::new(4, 3, 0);
    RecipientOutcome {
        recipient,
        outcome: Outcome::Deferred {
            reason: DeferReason::Local,
            status: Status::local(code, "the attempt ended without a result"),
        },
        hop: None,
        // It may have ended anywhere, so the peer may have the message.
        duplicate_possible: true,
    }
}

/// Changes of a message's recipients, to be made durable in one record, in their order. The next
/// settlement of the same message comes out only after this one is confirmed.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Of this message.
    pub id: MessageId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// What was made of it, if it came that far.
    pub prepared: Option<Arc<Prepared>>,
    /// What changes. A recipient can stand here twice, with a delay warning first; the later
    /// record counts. Empty only with `done`, for a recovered message that had ended.
    pub changes: Vec<SettledRecipient>,
    /// With this the last recipient has ended: the message can go.
    pub done: bool,
    /// When the message's time is up, for those that still wait.
    pub expires: Timestamp,
}

/// What changes for one recipient.
#[derive(Debug, Clone)]
pub struct SettledRecipient {
    /// Its index in the envelope.
    pub recipient: u32,
    /// What it is now, in absolute values.
    pub record: RecipientRecord,
    /// Why.
    pub cause: Cause,
    /// With this it becomes known that a downgrade is suspected: once per recipient.
    pub suspected: bool,
}

/// Why a recipient changes. Together with the state of its new record this is all that log and
/// DSN need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An attempt came to this.
    Attempted(RecipientOutcome),
    /// Its time is up.
    Expired {
        /// Why it was waiting, if it was.
        reason: Option<DeferReason>,
        /// What its last attempt came to, where that ended just now.
        outcome: Option<RecipientOutcome>,
    },
    /// No method may be taken now: none reaches the level that the message needs for it, or a
    /// suspected downgrade is waited out.
    NoMethod,
    /// Rules hold it for a person, by name.
    Rules(Vec<Arc<str>>),
    /// A person ordered it.
    Ordered {
        /// What, and who.
        order: Arc<Order>,
        /// The names of the holds that end with it.
        lifted: Vec<Arc<str>>,
        /// What the attempt came to that had to end first.
        outcome: Option<RecipientOutcome>,
        /// The answer that waits for this, if one does.
        ticket: Option<u64>,
    },
    /// The message could not be prepared.
    PrepareFailed,
    /// It waits for long: the sender is told, once. Its state does not change.
    DelayWarning,
}
