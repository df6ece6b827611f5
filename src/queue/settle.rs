//! What becomes of a recipient: outcomes, expiry, warnings, and their confirmation from the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mail::{
    DeferReason, EnhancedCode, Final, MessageClass, MessageId, Outcome, RecipientOutcome,
    RecipientRecord, RecipientState, Status, Timestamp,
};

use super::core::{Alarm, Queue};
use super::interface::{Cause, Output, SettledRecipient, Settlement, UNDELIVERABLE_DSN, no_result};
use super::message::{Message, Out, Phase, Recipient, Record};
use super::retry::Stretch;

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
            let changes = in_flight
                .recipients
                .iter()
                .filter_map(|at| {
                    let outcome = outcomes.remove(at).unwrap_or_else(|| no_result(*at));
                    self.after_attempt(now, id, outcome, stretch)
                })
                .collect();
            self.settle(id, changes);
        }
    }

    /// The record that follows from an outcome.
    fn after_attempt(
        &self,
        now: Timestamp,
        id: MessageId,
        outcome: RecipientOutcome,
        stretch: Stretch,
    ) -> Option<SettledRecipient> {
        let message = self.messages.get(&id)?;
        let recipient = message.recipient(outcome.recipient)?;
        let attempts = recipient.record.attempts.saturating_add(1);
        let unplanned = Status::local(EnhancedCode::new(4, 3, 5), "the policy has changed");
        let (ending, status) = match &outcome.outcome {
            Outcome::Replan => (Err(DeferReason::Local), &unplanned),
            Outcome::Delivered(status) => (Ok(Final::Delivered), status),
            Outcome::Bounced(status) => (Ok(Final::Bounced), status),
            Outcome::Deferred { reason, status } => (Err(*reason), status),
            // The cause keeps the whole outcome: re-planning has all it needs.
            Outcome::Shortfall { status, .. } => (Err(DeferReason::Security), status),
        };
        let status = status.clone();
        let mut cause = Cause::Attempted(outcome.clone());
        let state = match ending {
            Ok(Final::Delivered) => RecipientState::Final(Final::Delivered),
            Ok(ended) => end(message, ended),
            Err(reason) if now >= self.expiry(&message.envelope) => {
                cause = Cause::Expired {
                    reason: Some(reason),
                    outcome: Some(outcome.clone()),
                };
                end(message, Final::Expired)
            }
            Err(reason) => RecipientState::Deferred {
                reason,
                next_attempt: now + stretch.apply(self.retry.base_delay(attempts)),
            },
        };
        Some(SettledRecipient {
            recipient: outcome.recipient,
            record: RecipientRecord {
                state,
                attempts,
                last: Some(status),
                warned: recipient.warned,
                ..recipient.record.clone()
            },
            cause,
        })
    }

    /// Defers recipients for which policy left no method; they are prepared again when due.
    pub(super) fn defer_without_method(
        &mut self,
        now: Timestamp,
        id: MessageId,
        recipients: Vec<u32>,
    ) {
        // X.7.10, encryption needed (the registry of RFC 5248).
        let code = EnhancedCode::new(4, 7, 10);
        let text = "no method configured here reaches the level that this message needs";
        let status = Status::local(code, text);
        self.defer(now, id, recipients, DeferReason::Security, &status, || {
            Cause::NoMethod
        });
    }

    /// Defers recipients whose message could not be prepared.
    pub(super) fn defer_unprepared(
        &mut self,
        now: Timestamp,
        id: MessageId,
        recipients: Vec<u32>,
        status: &Status,
    ) {
        self.defer(now, id, recipients, DeferReason::Local, status, || {
            Cause::PrepareFailed
        });
    }

    fn defer(
        &mut self,
        now: Timestamp,
        id: MessageId,
        recipients: Vec<u32>,
        reason: DeferReason,
        status: &Status,
        cause: impl Fn() -> Cause,
    ) {
        let stretch = self.jitter.stretch();
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let over = now >= self.expiry(&message.envelope);
        let changes = recipients
            .into_iter()
            .filter_map(|at| {
                let recipient = message.recipient(at)?;
                let attempts = recipient.record.attempts.saturating_add(1);
                let (state, cause) = if over {
                    let expired = Cause::Expired {
                        reason: Some(reason),
                        outcome: None,
                    };
                    (end(message, Final::Expired), expired)
                } else {
                    let next_attempt = now + stretch.apply(self.retry.base_delay(attempts));
                    let deferred = RecipientState::Deferred {
                        reason,
                        next_attempt,
                    };
                    (deferred, cause())
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
                })
            })
            .collect();
        self.settle(id, changes);
    }

    /// Expires or warns those of `recipients` with whom nobody else is busy, where it is time.
    pub(super) fn call_time(&mut self, now: Timestamp, id: MessageId, recipients: &[u32]) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        if now >= self.expiry(&message.envelope) {
            self.expire(id, recipients);
        } else if self.warning(&message.envelope).is_some_and(|w| now >= w) {
            self.warn(id, recipients);
        }
    }

    fn expire(&mut self, id: MessageId, recipients: &[u32]) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let mut changes = Vec::new();
        for &at in recipients {
            self.steps += 1;
            let eligible = |recipient: &&Recipient| message.may_expire(recipient);
            let Some(recipient) = message.recipient(at).filter(eligible) else {
                continue;
            };
            if let Some(moment) = recipient.retry_at() {
                self.due.remove(&(moment, id, Alarm::Retry(at)));
            }
            changes.push(SettledRecipient {
                recipient: at,
                record: RecipientRecord {
                    state: end(message, Final::Expired),
                    warned: recipient.warned,
                    ..recipient.record.clone()
                },
                cause: Cause::Expired {
                    reason: waits_for(recipient),
                    outcome: None,
                },
            });
        }
        self.settle(id, changes);
    }

    fn warn(&mut self, id: MessageId, recipients: &[u32]) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let mut changes = Vec::new();
        for &at in recipients {
            self.steps += 1;
            // One that is being attempted or settled is looked at again when that is done.
            let eligible = |recipient: &&mut Recipient| {
                let waits = matches!(
                    recipient.phase,
                    Phase::Queued | Phase::Ready | Phase::Waiting
                );
                waits && !recipient.warned && !recipient.owed_a_try
            };
            let Some(recipient) = message.recipient_mut(at).filter(eligible) else {
                continue;
            };
            recipient.warned = true;
            changes.push(SettledRecipient {
                recipient: at,
                record: RecipientRecord {
                    warned: true,
                    ..recipient.record.clone()
                },
                cause: Cause::DelayWarning,
            });
        }
        self.put_out(id, changes);
    }

    /// Asks for new records to be made durable. Nothing else is done about these recipients
    /// until they are.
    pub(super) fn settle(&mut self, id: MessageId, changes: Vec<SettledRecipient>) {
        for change in &changes {
            self.set_phase(id, change.recipient, Phase::Settling);
        }
        self.put_out(id, changes);
    }

    /// Puts changes out, or in line behind those that are out.
    pub(super) fn put_out(&mut self, id: MessageId, changes: Vec<SettledRecipient>) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let ended = changes.iter().filter(|c| c.record.state.is_final()).count();
        let ended = u32::try_from(ended).unwrap_or(u32::MAX);
        message.open = message.open.saturating_sub(ended);
        message.settling.pending.extend(changes);
        let done = message.open == 0;
        if message.settling.out.is_some() || (message.settling.pending.is_empty() && !done) {
            return;
        }
        let changes = std::mem::take(&mut message.settling.pending);
        let record = |change: &SettledRecipient| Record {
            recipient: change.recipient,
            record: change.record.clone(),
            warning: change.cause == Cause::DelayWarning,
        };
        message.settling.out = Some(Out {
            records: changes.iter().map(record).collect(),
            done,
        });
        self.outstanding += 1;
        let envelope = Arc::clone(&message.envelope);
        let expires = envelope.received + self.retry.expire_after;
        self.outputs.push_back(Output::Settle(Settlement {
            id,
            envelope,
            prepared: message.prepared.clone(),
            changes,
            done,
            expires,
        }));
    }

    /// What was put out is durable: now it is true.
    pub(super) fn settled(&mut self, now: Timestamp, id: MessageId) {
        let message = self.messages.get_mut(&id);
        let Some(out) = message.and_then(|message| message.settling.out.take()) else {
            return;
        };
        self.outstanding -= 1;
        let changed: Vec<u32> = out.records.iter().map(|record| record.recipient).collect();
        for record in out.records {
            self.apply(id, record);
        }
        if out.done {
            self.clear_alarm(id);
            if let Some(message) = self.messages.remove(&id) {
                for recipient in &message.recipients {
                    self.counts.leave(recipient.standing());
                }
                self.finished.push(message);
            }
            return;
        }
        self.call_time(now, id, &changed);
        self.put_out(id, Vec::new());
    }

    fn apply(&mut self, id: MessageId, settled: Record) {
        self.steps += 1;
        let at = settled.recipient;
        let message = self.messages.get_mut(&id);
        let Some(recipient) = message.and_then(|message| message.recipient_mut(at)) else {
            return;
        };
        if settled.warning {
            recipient.record.warned = true;
            return;
        }
        self.counts.leave(recipient.standing());
        recipient.phase = match settled.record.state {
            RecipientState::Final(_) => Phase::Ended,
            _ => Phase::Waiting,
        };
        recipient.record = settled.record;
        self.counts.enter(recipient.standing());
        if let Some(moment) = recipient.retry_at() {
            self.due.insert((moment, id, Alarm::Retry(at)));
        }
    }
}

/// How a recipient ends that is not delivered. Our own DSN never ends so: it is held.
fn end(message: &Message, ended: Final) -> RecipientState {
    match message.envelope.class {
        MessageClass::Submitted => RecipientState::Final(ended),
        MessageClass::Dsn => RecipientState::Held {
            name: UNDELIVERABLE_DSN.to_owned(),
        },
    }
}

/// Why a recipient waits, as far as its record says.
fn waits_for(recipient: &Recipient) -> Option<DeferReason> {
    match recipient.record.state {
        RecipientState::Deferred { reason, .. } => Some(reason),
        _ => None,
    }
}
