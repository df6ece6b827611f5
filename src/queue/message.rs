//! A message in the queue and where each of its recipients stands.

use std::sync::Arc;

use crate::mail::{
    Decision, Envelope, Method, Prepared, RecipientOutcome, RecipientPlan, RecipientRecord,
    RecipientState, Refusal, Timestamp, TlsStanding, Verdict,
};

use super::interface::{SettledRecipient, UNDELIVERABLE_DSN};
use super::order::Order;

/// What is being done about a recipient. Lives in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits to be decided.
    Queued,
    /// Handed out to be decided.
    Preparing,
    /// In its destination's line.
    Ready,
    /// In the attempt of this number.
    Attempting(u64),
    /// A new record is on its way to the disk.
    Settling,
    /// Deferred or held, as its record says.
    Waiting,
    /// Final.
    Ended,
}

/// What a recipient's turn has come to while it goes on: from its due time to its next record.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// How far TLS got in it.
    pub(super) standing: TlsStanding,
    /// Methods that fell short in it; the same one a second time ends the turn.
    pub(super) short: Vec<Method>,
    /// Sealed it was larger than a server takes.
    pub(super) unsealable: bool,
    /// The portal did not take it in it.
    pub(super) undepositable: bool,
    /// What the last attempt of it came to: the cause if no method is left.
    pub(super) outcome: Option<RecipientOutcome>,
    /// Times that the policy had changed when it was to be sent.
    pub(super) replans: u8,
}

/// A recipient: its durable record, and what is being done about it.
#[derive(Debug)]
pub(super) struct Recipient {
    /// The truth, as it is on disk; within a turn, attempts, last status and suspicion run ahead
    /// of the disk, and the record that ends the turn takes them along.
    pub(super) record: RecipientRecord,
    pub(super) phase: Phase,
    /// A delay warning was put in a settlement, so every later record says so too.
    pub(super) warned: bool,
    /// It was there at start and nothing was tried for it since: a long stop, or a clock that ran
    /// ahead, must not end a recipient, or worry its sender, without one more try.
    pub(super) owed_a_try: bool,
    /// A settlement told of the suspected downgrade.
    pub(super) suspicion_told: bool,
    /// The turn that goes on, where it has come to anything yet.
    pub(super) turn: Option<Box<Turn>>,
    /// What a person ordered while others were busy with it; done when they are not.
    pub(super) wish: Option<Arc<Order>>,
}

/// Where a recipient stands, as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Queued,
    Ready,
    Attempting,
    Deferred,
    Held,
    Ended,
}

impl Recipient {
    pub(super) fn standing(&self) -> Standing {
        match self.phase {
            Phase::Queued | Phase::Preparing => Standing::Queued,
            Phase::Ready => Standing::Ready,
            Phase::Attempting(_) | Phase::Settling => Standing::Attempting,
            Phase::Waiting => match self.record.state {
                RecipientState::Held { .. } => Standing::Held,
                _ => Standing::Deferred,
            },
            Phase::Ended => Standing::Ended,
        }
    }

    /// When it is tried again, if it waits for that.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        match (self.phase, &self.record.state) {
            (Phase::Waiting, RecipientState::Deferred { next_attempt, .. }) => Some(*next_attempt),
            _ => None,
        }
    }

    /// Whether it waits for a person and not for its expiry.
    pub(super) fn has_no_expiry(&self) -> bool {
        matches!(&self.record.state, RecipientState::Held { name } if name == UNDELIVERABLE_DSN)
    }

    /// The turn that goes on.
    pub(super) fn turn(&mut self) -> &mut Turn {
        self.turn.get_or_insert_default()
    }
}

/// Where the preparation of a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    /// In line.
    Waiting,
    /// Handed out.
    Running,
}

/// Changes of a message on their way to the disk. At most one lot of them is out at a time, and
/// what comes up meanwhile waits for the next, so that records reach the disk in their order
/// whatever the caller runs at once.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Out, not confirmed.
    pub(super) out: Option<Out>,
    /// Next.
    pub(super) pending: Vec<SettledRecipient>,
}

/// A settlement that is out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) records: Vec<Record>,
    pub(super) done: bool,
}

/// A recipient's record in a settlement that is out.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) recipient: u32,
    pub(super) record: RecipientRecord,
    /// It only marks the recipient as warned; its phase goes on meanwhile.
    pub(super) warning: bool,
    /// The order whose answer waits for this.
    pub(super) ticket: Option<u64>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) envelope: Arc<Envelope>,
    pub(super) prepared: Option<Arc<Prepared>>,
    pub(super) recipients: Box<[Recipient]>,
    /// Recipients that have no final record, be it on its way to the disk.
    pub(super) open: u32,
    pub(super) stage: Stage,
    /// When the whole message is looked at next: to warn, then to expire.
    pub(super) alarm: Option<Timestamp>,
    pub(super) settling: Settling,
}

impl Message {
    pub(super) fn new(
        envelope: Arc<Envelope>,
        prepared: Option<Arc<Prepared>>,
        records: Vec<RecipientRecord>,
        recovered: bool,
    ) -> Self {
        let recipients: Box<[Recipient]> = records
            .into_iter()
            .map(|record| Recipient {
                phase: match record.state {
                    RecipientState::Queued | RecipientState::Ready => Phase::Queued,
                    RecipientState::Deferred { .. } | RecipientState::Held { .. } => Phase::Waiting,
                    RecipientState::Final(_) => Phase::Ended,
                },
                warned: record.warned,
                suspicion_told: record.suspected_since.is_some(),
                turn: None,
                wish: None,
                owed_a_try: recovered
                    && !matches!(
                        record.state,
                        RecipientState::Held { .. } | RecipientState::Final(_)
                    ),
                record,
            })
            .collect();
        let open = recipients.iter().filter(|r| r.phase != Phase::Ended);
        Self {
            open: u32::try_from(open.count()).unwrap_or(u32::MAX),
            envelope,
            prepared,
            recipients,
            stage: Stage::Idle,
            alarm: None,
            settling: Settling::default(),
        }
    }

    pub(super) fn recipient(&self, at: u32) -> Option<&Recipient> {
        self.recipients.get(usize::try_from(at).ok()?)
    }

    pub(super) fn recipient_mut(&mut self, at: u32) -> Option<&mut Recipient> {
        self.recipients.get_mut(usize::try_from(at).ok()?)
    }

    /// Recipients with their index.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &Recipient)> {
        (0u32..).zip(self.recipients.iter())
    }

    /// The indices of all recipients.
    pub(super) fn everyone(&self) -> Vec<u32> {
        self.numbered().map(|(at, _)| at).collect()
    }

    /// Indices of recipients in `phase`.
    pub(super) fn in_phase(&self, phase: Phase) -> Vec<u32> {
        self.numbered()
            .filter(|(_, recipient)| recipient.phase == phase)
            .map(|(at, _)| at)
            .collect()
    }

    /// What was planned for a recipient, if it came that far.
    pub(super) fn plan(&self, at: u32) -> Option<&RecipientPlan> {
        self.prepared.as_deref()?.plan(at)
    }

    /// The rendition that was made for a recipient, if any.
    pub(super) fn rendition(&self, at: u32) -> Option<u32> {
        let prepared = self.prepared.as_deref()?;
        let plan = prepared.plan(at)?;
        prepared.rendition(plan)?;
        plan.rendition
    }

    /// The rendition that a recipient's turn begins with; `None` where it must be decided first:
    /// nothing was made, or what was made rests on a connection that fell short long ago, or on an
    /// exception that a suspected downgrade has suspended since.
    pub(super) fn fresh_rendition(&self, at: u32) -> Option<u32> {
        let plan = self.plan(at)?;
        let suspected = self.recipient(at)?.record.suspected_since.is_some();
        let suspended = suspected && plan.decision.exception.is_some();
        (!suspended && !rests_on_a_shortfall(&plan.decision))
            .then(|| self.rendition(at))
            .flatten()
    }

    /// Whether nobody else is busy with this recipient, so that its time may be called up now.
    pub(super) fn may_expire(recipient: &Recipient) -> bool {
        if recipient.owed_a_try {
            return false;
        }
        match recipient.phase {
            Phase::Queued | Phase::Ready => true,
            Phase::Waiting => !recipient.has_no_expiry(),
            Phase::Preparing | Phase::Attempting(_) | Phase::Settling | Phase::Ended => false,
        }
    }
}

/// Whether a method was refused because a connection fell short: facts of that turn only.
fn rests_on_a_shortfall(decision: &Decision) -> bool {
    decision.candidates.iter().any(|candidate| {
        matches!(
            candidate.verdict,
            Verdict::Refused(Refusal::Short { .. } | Refusal::DowngradeSuspected { .. })
        )
    })
}
