//! What an attempt comes to: an end, a wait, or, where the connection fell short or the policy has
//! changed, another decision at once.
//!
//! A turn (from its due time to its next record) cannot go round for ever: a method that fell
//! short in it ends it when it does so again, and so does a policy that changed too often.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mail::{
    DeferReason, EnhancedCode, Final, Grade, MessageClass, MessageId, Method, Outcome,
    RecipientOutcome, RecipientRecord, RecipientState, Status, Timestamp, TlsStanding,
};

use super::core::Queue;
use super::interface::{Cause, SettledRecipient, no_result};
use super::message::{Message, Phase, Recipient};
use super::order::Operation;
use super::retry::{MIN_DELAY, Stretch};
use super::settle::end;

/// How often the policy may have changed within a turn before the recipient has to wait.
const MAX_REPLANS: u8 = 8;

/// Why and how a recipient has to wait.
#[derive(Debug, Clone)]
pub(super) struct Deferral<'a> {
    pub(super) reason: DeferReason,
    /// What to say where no attempt of this turn says more.
    pub(super) status: &'a Status,
    /// Not longer than this, whatever the schedule says.
    pub(super) until: Option<Timestamp>,
    pub(super) cause: Cause,
}

/// What an attempt leads to.
enum Next {
    /// A new record.
    Settle(Box<SettledRecipient>),
    /// Another decision.
    Decide(u32),
}

impl Queue {
    /// Takes in the outcomes of one attempt (or of several of the same message).
    pub(super) fn attempted(
        &mut self,
        now: Timestamp,
        id: MessageId,
        outcomes: Vec<RecipientOutcome>,
    ) {
        let mut outcomes: BTreeMap<u32, RecipientOutcome> = outcomes
            .into_iter()
            .map(|outcome| (outcome.recipient, outcome))
            .collect();
        while let Some((at, outcome)) = outcomes.pop_first() {
            let phase = self
                .messages
                .get(&id)
                .and_then(|message| message.recipient(at))
                .map(|recipient| recipient.phase);
            let Some(Phase::Attempting(number)) = phase else {
                continue; // Nobody asked about this one.
            };
            outcomes.insert(at, outcome);
            let Some(in_flight) = self.attempts.remove(&number) else {
                return;
            };
            self.ready.release(&in_flight.destination);
            // One stretch for all, so that those who waited together come back together.
            let stretch = self.jitter.stretch();
            let (mut changes, mut again) = (Vec::new(), Vec::new());
            for at in in_flight.recipients {
                let outcome = outcomes.remove(&at).unwrap_or_else(|| no_result(at));
                match self.after_attempt(now, id, outcome, stretch) {
                    Some(Next::Settle(change)) => changes.push(*change),
                    Some(Next::Decide(at)) => again.push(at),
                    None => {}
                }
            }
            self.settle(id, changes);
            self.line_up_for_preparation(id, again);
        }
    }

    fn after_attempt(
        &mut self,
        now: Timestamp,
        id: MessageId,
        outcome: RecipientOutcome,
        stretch: Stretch,
    ) -> Option<Next> {
        let at = outcome.recipient;
        if self.is_overruled(id, &outcome)
            && let Some(change) = self.wished(now, id, at, Some(outcome.clone()))
        {
            return Some(Next::Settle(Box::new(change)));
        }
        let draining = self.draining;
        let expires = self.expiry(&self.messages.get(&id)?.envelope);
        let message = self.messages.get_mut(&id)?;
        let over = now >= expires;
        let class = message.envelope.class;
        let method = message.plan(at).and_then(|plan| plan.decision.method());
        let recipient = message.recipient_mut(at)?;
        match &outcome.outcome {
            Outcome::Replan if recipient.turn().replans < MAX_REPLANS => {
                recipient.turn().replans += 1;
                return Some(Next::Decide(at));
            }
            Outcome::Shortfall { .. } if class == MessageClass::Submitted => {
                let standing = standing(&recipient.record, &outcome.outcome, now);
                if let TlsStanding::Suspected { since, .. } = standing {
                    recipient.record.suspected_since = Some(since);
                }
                if !over && !draining && fell_short_first(recipient, method) {
                    recipient.record.attempts = recipient.record.attempts.saturating_add(1);
                    recipient.record.last = status_of(&outcome.outcome).cloned();
                    let turn = recipient.turn();
                    turn.standing = standing;
                    turn.outcome = Some(outcome);
                    return Some(Next::Decide(at));
                }
            }
            Outcome::TooLarge(status)
                if class == MessageClass::Submitted && !over && !recipient.turn().unsealable =>
            {
                // It is counted with what comes of it.
                recipient.record.last = Some(status.clone());
                let turn = recipient.turn();
                turn.unsealable = true;
                turn.outcome = Some(outcome);
                return Some(Next::Decide(at));
            }
            Outcome::NotDeposited(status)
                if class == MessageClass::Submitted && !over && !recipient.turn().undepositable =>
            {
                recipient.record.last = Some(status.clone());
                let turn = recipient.turn();
                turn.undepositable = true;
                turn.outcome = Some(outcome);
                return Some(Next::Decide(at));
            }
            Outcome::Replan
            | Outcome::Shortfall { .. }
            | Outcome::TooLarge(_)
            | Outcome::NotDeposited(_)
            | Outcome::Delivered(_)
            | Outcome::Bounced(_)
            | Outcome::Deferred { .. } => {}
        }
        let change = self.record(now, id, outcome.ended(), stretch)?;
        Some(Next::Settle(Box::new(change)))
    }

    /// Whether an order that came during the attempt goes before what it came to.
    fn is_overruled(&self, id: MessageId, outcome: &RecipientOutcome) -> bool {
        let Some(message) = self.messages.get(&id) else {
            return false;
        };
        let wish = message
            .recipient(outcome.recipient)
            .and_then(|recipient| recipient.wish.as_ref());
        match (&outcome.outcome, message.envelope.class) {
            (Outcome::Delivered(_), _)
            | (
                Outcome::Bounced(_),
                MessageClass::Submitted | MessageClass::Notice | MessageClass::Code,
            ) => false,
            // It would be held, not ended.
            (Outcome::Bounced(_), MessageClass::Dsn) => {
                wish.is_some_and(|order| order.operation == Operation::Cancel)
            }
            (
                Outcome::Deferred { .. }
                | Outcome::Shortfall { .. }
                | Outcome::TooLarge(_)
                | Outcome::NotDeposited(_)
                | Outcome::Replan,
                _,
            ) => true,
        }
    }

    /// The record that follows from an outcome that ends the turn.
    pub(super) fn record(
        &self,
        now: Timestamp,
        id: MessageId,
        outcome: RecipientOutcome,
        stretch: Stretch,
    ) -> Option<SettledRecipient> {
        let message = self.messages.get(&id)?;
        let at = outcome.recipient;
        let recipient = message.recipient(at)?;
        let unplanned = Status::local(
            EnhancedCode::new(4, 3, 5),
            "what was decided does not stand any more",
        );
        let status = status_of(&outcome.outcome).unwrap_or(&unplanned).clone();
        let attempts = recipient.record.attempts.saturating_add(1);
        let mut suspected_since = recipient.record.suspected_since;
        let method = message.plan(at).and_then(|plan| plan.decision.method());
        let ending = match &outcome.outcome {
            Outcome::Delivered(_) => {
                // It offers what it should again.
                suspected_since = suspected_since.filter(|_| method != Some(Method::Tls));
                Ok(RecipientState::Final(match method {
                    // What was taken is the notice.
                    Some(Method::Portal) => Final::Deposited,
                    Some(Method::Tls | Method::Smime) | None => Final::Delivered,
                }))
            }
            Outcome::Bounced(_) | Outcome::TooLarge(_) | Outcome::NotDeposited(_) => {
                Ok(end(message, Final::Bounced))
            }
            Outcome::Deferred { reason, .. } => Err(*reason),
            Outcome::Shortfall { .. } if suspected_since.is_some() => {
                Err(DeferReason::DowngradeSuspected)
            }
            Outcome::Shortfall { .. } => Err(DeferReason::Security),
            Outcome::Replan => Err(DeferReason::Local),
        };
        let (state, cause) = match ending {
            Ok(state) => (state, Cause::Attempted(outcome)),
            Err(reason) if now >= self.expiry(&message.envelope) => {
                let expired = Cause::Expired {
                    reason: Some(reason),
                    outcome: Some(outcome),
                };
                (end(message, Final::Expired), expired)
            }
            Err(reason) => {
                let deferred = RecipientState::Deferred {
                    reason,
                    next_attempt: now + stretch.apply(self.pause(message, attempts)),
                };
                (deferred, Cause::Attempted(outcome))
            }
        };
        Some(SettledRecipient {
            recipient: at,
            record: RecipientRecord {
                state,
                attempts,
                last: Some(status),
                warned: recipient.warned,
                suspected_since,
                ..recipient.record.clone()
            },
            cause,
            suspected: false,
        })
    }

    fn pause(&self, message: &Message, attempts: u32) -> Duration {
        self.retry.base_delay(message.envelope.class, attempts)
    }

    /// The record of a recipient that has to wait without (another) attempt, or whose time is up.
    /// Where no method is left after an attempt of this turn, that attempt is the cause.
    pub(super) fn deferred(
        &self,
        now: Timestamp,
        id: MessageId,
        at: u32,
        deferral: Deferral<'_>,
        stretch: Stretch,
    ) -> Option<SettledRecipient> {
        let message = self.messages.get(&id)?;
        let recipient = message.recipient(at)?;
        let turn = recipient.turn.as_deref();
        let learnt = turn.and_then(|turn| turn.outcome.as_ref());
        // An attempt of this turn has counted already.
        let attempts = match learnt {
            Some(_) => recipient.record.attempts,
            None => recipient.record.attempts.saturating_add(1),
        };
        let (cause, status) = match (deferral.cause, learnt) {
            (Cause::NoMethod, Some(learnt)) => {
                let status = status_of(&learnt.outcome).unwrap_or(deferral.status);
                (Cause::Attempted(learnt.clone()), status)
            }
            (cause, _) => (cause, deferral.status),
        };
        let (state, cause) = if now >= self.expiry(&message.envelope) {
            let expired = Cause::Expired {
                reason: Some(deferral.reason),
                outcome: learnt.cloned(),
            };
            (end(message, Final::Expired), expired)
        } else {
            let scheduled = now + stretch.apply(self.pause(message, attempts));
            let latest = deferral.until.map(|until| until.max(now + MIN_DELAY));
            let deferred = RecipientState::Deferred {
                reason: deferral.reason,
                next_attempt: latest.map_or(scheduled, |latest| scheduled.min(latest)),
            };
            (deferred, cause)
        };
        Some(SettledRecipient {
            recipient: at,
            record: RecipientRecord {
                state,
                attempts,
                last: Some(status.clone()),
                warned: recipient.warned,
                ..recipient.record.clone()
            },
            cause,
            suspected: false,
        })
    }
}

/// What an outcome says, if anything was tried.
pub(super) fn status_of(outcome: &Outcome) -> Option<&Status> {
    match outcome {
        Outcome::Delivered(status)
        | Outcome::Bounced(status)
        | Outcome::TooLarge(status)
        | Outcome::NotDeposited(status)
        | Outcome::Deferred { status, .. }
        | Outcome::Shortfall { status, .. } => Some(status),
        Outcome::Replan => None,
    }
}

/// Notes that a method fell short. Whether it is the first time in this turn.
fn fell_short_first(recipient: &mut Recipient, method: Option<Method>) -> bool {
    let Some(method) = method else {
        return false;
    };
    let turn = recipient.turn();
    let first = !turn.short.contains(&method);
    if first {
        turn.short.push(method);
    }
    first
}

/// How far TLS got.
fn standing(record: &RecipientRecord, outcome: &Outcome, now: Timestamp) -> TlsStanding {
    let Outcome::Shortfall {
        required,
        expected,
        hosts,
        ..
    } = outcome
    else {
        return TlsStanding::Untried;
    };
    let required = *required;
    let best = hosts.iter().map(|host| host.hop.grade).max();
    let reached = best.unwrap_or(Grade::None);
    // Once suspected it stays so until it is seen to be good again: what is known of a domain
    // may be forgotten by then, and that must not make a weaker way good enough.
    let expected = match record.suspected_since {
        Some(_) => Some(expected.unwrap_or(required)),
        None => expected.filter(|expected| *expected > reached),
    };
    match expected {
        Some(expected) => TlsStanding::Suspected {
            reached,
            required,
            expected,
            since: record.suspected_since.unwrap_or(now),
        },
        None => TlsStanding::Short { reached, required },
    }
}
