//! What a person orders: release, hold, cancel, retry. Who is meant, and what comes of it.
//!
//! An order takes effect through a settlement like everything else: durable first, then true,
//! then told. Recipients that somebody is busy with (being decided, attempted, or on their way to
//! the disk) keep the order as a wish in memory, which is done as soon as that ends without a
//! final state. A large selection is worked off in slices, so that no order stops the queue.

use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Course, Final, MessageId, RecipientOutcome, RecipientRecord, RecipientState, Timestamp,
};

use super::core::Queue;
use super::interface::{Cause, OPERATOR_HOLD, Output, SettledRecipient, UNDELIVERABLE_DSN};
use super::message::{Message, Phase, Standing};
use super::outcome::status_of;
use super::view::{QueueFilter, matches, selects};

/// Recipients that one slice of an order changes, at most; the message that goes past it is still
/// done whole.
const MAX_CHANGED: usize = 1000;
/// Recipients that one slice of an order looks at.
const MAX_LOOKED_AT: usize = 20_000;

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Ends a hold; the rules that held do not hold this recipient again. A bounce of ours that
    /// could not be delivered is tried again.
    Release,
    /// Makes no attempt until released. The time of expiry stays.
    Hold,
    /// Ends it for good. Nobody is told but the log.
    Cancel,
    /// Tries now what is deferred, and a bounce of ours that could not be delivered.
    Retry,
}

impl Operation {
    /// The word on the command line and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub operation: Operation,
    /// Who says so.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Whom an order is for: recipients that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this message only.
    pub id: Option<MessageId>,
    /// That match this. Its `limit` does not matter.
    pub filter: QueueFilter,
}

/// What a slice of an order came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Recipients changed; the change is durable.
    pub changed: usize,
    /// Recipients that somebody is busy with: done as soon as that ends, unless it ends in a
    /// final state or the daemon dies before.
    pub later: usize,
    /// Recipients that match and that there is nothing to do about.
    pub unchanged: usize,
    /// Give this as `after` for the next slice; `None` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Orders whose changes are on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Tickets(HashMap<u64, (usize, Tally)>);

/// What an order means for a recipient as it stands.
enum Effect {
    Nothing,
    Later,
    /// A wish is taken back.
    Forget,
    /// Its new state, and the holds that end with it.
    Now(RecipientState, Vec<Arc<str>>),
}

impl Queue {
    /// Works off one slice of an order.
    pub(super) fn operate(
        &mut self,
        now: Timestamp,
        ticket: u64,
        selection: &Selection,
        order: &Arc<Order>,
    ) {
        let (messages, next) = self.slice(selection);
        let mut tally = Tally {
            next,
            ..Tally::default()
        };
        let mut waiting = 0;
        for (id, recipients) in messages {
            let mut changes = Vec::new();
            for at in recipients {
                self.steps += 1;
                let Some(message) = self.messages.get_mut(&id) else {
                    continue;
                };
                match effect(message, at, order.operation, now) {
                    Effect::Nothing => tally.unchanged += 1,
                    Effect::Later => {
                        tally.later += 1;
                        if let Some(recipient) = message.recipient_mut(at) {
                            recipient.wish = Some(Arc::clone(order));
                        }
                    }
                    Effect::Forget => {
                        tally.changed += 1;
                        if let Some(recipient) = message.recipient_mut(at) {
                            recipient.wish = None;
                        }
                    }
                    Effect::Now(state, lifted) => {
                        changes.extend(ordered(message, at, state, lifted, order, Some(ticket)));
                    }
                }
            }
            waiting += changes.len();
            self.settle(id, changes);
        }
        tally.changed += waiting;
        if waiting == 0 {
            self.outputs.push_back(Output::Operated { ticket, tally });
        } else {
            self.tickets.0.insert(ticket, (waiting, tally));
        }
    }

    /// Whom a slice is for, and where the next one begins.
    fn slice(&self, selection: &Selection) -> (Vec<(MessageId, Vec<u32>)>, Option<String>) {
        let filter = &selection.filter;
        let range = match (selection.id, &filter.after) {
            (Some(id), _) => (Bound::Included(id), Bound::Included(id)),
            (None, None) => (Bound::Unbounded, Bound::Unbounded),
            (None, Some(after)) => match after.parse() {
                Ok(id) => (Bound::Excluded(id), Bound::Unbounded),
                Err(_) => return (Vec::new(), None),
            },
        };
        let (mut found, mut last) = (Vec::new(), None);
        let (mut meant, mut looked_at) = (0, 0);
        for (id, message) in self.messages.range(range) {
            if meant >= MAX_CHANGED || looked_at >= MAX_LOOKED_AT {
                return (found, last.map(|id: MessageId| id.to_string()));
            }
            last = Some(*id);
            looked_at += message.recipients.len();
            if !selects(message, filter) {
                continue;
            }
            let recipients: Vec<u32> = message
                .numbered()
                .filter(|(at, recipient)| matches(&message.envelope, *at, recipient, filter))
                .map(|(at, _)| at)
                .collect();
            meant += recipients.len();
            if !recipients.is_empty() {
                found.push((*id, recipients));
            }
        }
        (found, None)
    }

    /// What a recipient that nobody is busy with any more was wished meanwhile. `outcome` is what
    /// the attempt came to, if it was in one.
    pub(super) fn wished(
        &mut self,
        now: Timestamp,
        id: MessageId,
        at: u32,
        outcome: Option<RecipientOutcome>,
    ) -> Option<SettledRecipient> {
        let message = self.messages.get_mut(&id)?;
        let order = message.recipient_mut(at)?.wish.take()?;
        let message = &*message;
        let recipient = message.recipient(at)?;
        let (state, lifted) = match order.operation {
            Operation::Cancel => (RecipientState::Final(Final::Cancelled), lifted(message, at)),
            Operation::Hold if recipient.standing() != Standing::Held => {
                (held_by_operator(), Vec::new())
            }
            Operation::Hold | Operation::Release | Operation::Retry => {
                match effect(message, at, order.operation, now) {
                    Effect::Now(state, lifted) => (state, lifted),
                    Effect::Nothing | Effect::Later | Effect::Forget => return None,
                }
            }
        };
        let mut change = ordered(message, at, state, lifted, &order, None)?;
        if let (Some(learnt), Cause::Ordered { outcome, .. }) = (outcome, &mut change.cause) {
            if let Some(status) = status_of(&learnt.outcome) {
                change.record.attempts = change.record.attempts.saturating_add(1);
                change.record.last = Some(status.clone());
            }
            *outcome = Some(learnt);
        }
        Some(change)
    }

    /// An order's change is durable: answers it with its last one.
    pub(super) fn redeem(&mut self, ticket: u64) {
        let Some((waiting, _)) = self.tickets.0.get_mut(&ticket) else {
            return;
        };
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0
            && let Some((_, tally)) = self.tickets.0.remove(&ticket)
        {
            self.outputs.push_back(Output::Operated { ticket, tally });
        }
    }
}

fn held_by_operator() -> RecipientState {
    RecipientState::Held {
        name: OPERATOR_HOLD.to_owned(),
    }
}

fn effect(message: &Message, at: u32, operation: Operation, now: Timestamp) -> Effect {
    let Some(recipient) = message.recipient(at) else {
        return Effect::Nothing;
    };
    let busy = match recipient.phase {
        Phase::Preparing | Phase::Attempting(_) | Phase::Settling => true,
        Phase::Queued | Phase::Ready | Phase::Waiting => false,
        Phase::Ended => return Effect::Nothing,
    };
    let wished = recipient.wish.as_ref().map(|wish| wish.operation);
    let state = &recipient.record.state;
    match (operation, busy) {
        (Operation::Cancel, true) => Effect::Later,
        (Operation::Hold, true) if wished != Some(Operation::Cancel) => Effect::Later,
        (Operation::Release, true) if wished == Some(Operation::Hold) => Effect::Forget,
        // It may be on its way into a hold or a wait just now.
        (Operation::Release | Operation::Retry, true)
            if recipient.phase == Phase::Settling && wished.is_none() =>
        {
            Effect::Later
        }
        (Operation::Hold | Operation::Release | Operation::Retry, true) => Effect::Nothing,
        (Operation::Cancel, false) => {
            Effect::Now(RecipientState::Final(Final::Cancelled), lifted(message, at))
        }
        (Operation::Hold, false) if recipient.standing() == Standing::Held => Effect::Nothing,
        (Operation::Hold, false) => Effect::Now(held_by_operator(), Vec::new()),
        (Operation::Release, false) if recipient.standing() == Standing::Held => {
            Effect::Now(RecipientState::Queued, lifted(message, at))
        }
        (Operation::Retry, false) if recipient.has_no_expiry() => {
            Effect::Now(RecipientState::Queued, lifted(message, at))
        }
        (Operation::Retry, false) => match (recipient.standing(), state) {
            (Standing::Deferred, RecipientState::Deferred { reason, .. }) => {
                let deferred = RecipientState::Deferred {
                    reason: *reason,
                    next_attempt: now,
                };
                Effect::Now(deferred, Vec::new())
            }
            _ => Effect::Nothing,
        },
        (Operation::Release, false) => Effect::Nothing,
    }
}

/// The names of the holds that a recipient is held by.
fn lifted(message: &Message, at: u32) -> Vec<Arc<str>> {
    let held = message
        .recipient(at)
        .filter(|r| r.standing() == Standing::Held);
    let Some(RecipientState::Held { name }) = held.map(|r| &r.record.state) else {
        return Vec::new();
    };
    match message.plan(at).map(|plan| &plan.decision.course) {
        Some(Course::Hold(rules)) if joined(rules) == *name => rules.clone(),
        _ => vec![name.as_str().into()],
    }
}

/// The name of a hold by several rules.
pub(super) fn joined(rules: &[Arc<str>]) -> String {
    rules.join(", ")
}

fn ordered(
    message: &Message,
    at: u32,
    state: RecipientState,
    lifted: Vec<Arc<str>>,
    order: &Arc<Order>,
    ticket: Option<u64>,
) -> Option<SettledRecipient> {
    let recipient = message.recipient(at)?;
    let mut released = recipient.record.released.clone();
    if order.operation == Operation::Release {
        // Only what rules hold can hold again by itself.
        let ours = |name: &&Arc<str>| matches!(&***name, OPERATOR_HOLD | UNDELIVERABLE_DSN);
        for name in lifted.iter().filter(|name| !ours(name)) {
            if !released.contains(name) {
                released.push(Arc::clone(name));
            }
        }
    }
    Some(SettledRecipient {
        recipient: at,
        record: RecipientRecord {
            state,
            warned: recipient.warned,
            released,
            ..recipient.record.clone()
        },
        cause: Cause::Ordered {
            order: Arc::clone(order),
            lifted,
            outcome: None,
            ticket,
        },
        suspected: false,
    })
}
