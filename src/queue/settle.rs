//! Expiry, warnings, and what goes to the disk and comes back confirmed.

use std::sync::Arc;

use crate::mail::{
    DeferReason, Final, MessageClass, MessageId, RecipientRecord, RecipientState, Timestamp,
};

use super::core::{Alarm, Queue};
use super::interface::{Cause, Output, SettledRecipient, Settlement, UNDELIVERABLE_DSN};
use super::message::{Message, Out, Phase, Recipient, Record};

impl Queue {
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
            let eligible = |recipient: &&Recipient| Message::may_expire(recipient);
            let Some(recipient) = message.recipient(at).filter(eligible) else {
                continue;
            };
            changes.push(SettledRecipient {
                recipient: at,
                record: RecipientRecord {
                    state: end(message, Final::Expired),
                    warned: recipient.warned,
                    ..recipient.record.clone()
                },
                cause: Cause::Expired {
                    reason: waits_for(recipient),
                    outcome: recipient
                        .turn
                        .as_ref()
                        .and_then(|turn| turn.outcome.clone()),
                },
                suspected: false,
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
                    Phase::Queued | Phase::Preparing | Phase::Ready | Phase::Waiting
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
                suspected: false,
            });
        }
        self.put_out(id, changes);
    }

    /// Asks for new records to be made durable. Nothing else is done about these recipients
    /// until they are.
    pub(super) fn settle(&mut self, id: MessageId, mut changes: Vec<SettledRecipient>) {
        for change in &mut changes {
            let at = change.recipient;
            let message = self.messages.get_mut(&id);
            if let Some(recipient) = message.and_then(|message| message.recipient_mut(at)) {
                let known = change.record.suspected_since.is_some();
                change.suspected = known && !recipient.suspicion_told;
                recipient.suspicion_told |= known;
                if let Some(moment) = recipient.retry_at() {
                    self.due.remove(&(moment, id, Alarm::Retry(at)));
                }
            }
            self.set_phase(id, at, Phase::Settling);
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
            ticket: match &change.cause {
                Cause::Ordered { ticket, .. } => *ticket,
                _ => None,
            },
        };
        message.settling.out = Some(Out {
            records: changes.iter().map(record).collect(),
            done,
        });
        self.outstanding += 1;
        let envelope = Arc::clone(&message.envelope);
        let prepared = message.prepared.clone();
        let expires = self.expiry(&envelope);
        self.outputs.push_back(Output::Settle(Settlement {
            id,
            envelope,
            prepared,
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
            if let Some(ticket) = record.ticket {
                self.redeem(ticket);
            }
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
        self.grant_wishes(now, id, &changed);
        self.call_time(now, id, &changed);
        let released = |at: &u32| {
            let recipient = self.messages.get(&id)?.recipient(*at)?;
            (recipient.phase == Phase::Queued).then_some(*at)
        };
        let released = changed.iter().filter_map(released).collect();
        self.line_up_for_preparation(id, released);
        self.put_out(id, Vec::new());
    }

    /// Does what was ordered while records were on their way to the disk.
    fn grant_wishes(&mut self, now: Timestamp, id: MessageId, settled: &[u32]) {
        let mut changes = Vec::new();
        for &at in settled {
            let message = self.messages.get(&id);
            let phase = message.and_then(|m| m.recipient(at)).map(|r| r.phase);
            // The record of one that goes on meanwhile was only a warning.
            if matches!(phase, Some(Phase::Waiting | Phase::Queued)) {
                changes.extend(self.wished(now, id, at, None));
            }
        }
        self.settle(id, changes);
    }

    fn apply(&mut self, id: MessageId, settled: Record) {
        self.steps += 1;
        let at = settled.recipient;
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let class = message.envelope.class;
        let Some(recipient) = message.recipient_mut(at) else {
            return;
        };
        if settled.warning {
            recipient.record.warned = true;
            return;
        }
        self.counts.leave(recipient.standing());
        recipient.phase = match settled.record.state {
            RecipientState::Queued | RecipientState::Ready => Phase::Queued,
            RecipientState::Deferred { .. } | RecipientState::Held { .. } => Phase::Waiting,
            RecipientState::Final(_) => Phase::Ended,
        };
        // A bounce of ours that a person sends on its way again may be past its time.
        recipient.owed_a_try = recipient.phase == Phase::Queued && class == MessageClass::Dsn;
        if recipient.phase == Phase::Ended {
            recipient.wish = None;
        }
        recipient.record = settled.record;
        self.counts.enter(recipient.standing());
        if let Some(moment) = recipient.retry_at() {
            self.due.insert((moment, id, Alarm::Retry(at)));
        }
    }
}

/// How a recipient ends that is not delivered. Our own DSN never ends so: it is held.
pub(super) fn end(message: &Message, ended: Final) -> RecipientState {
    match message.envelope.class {
        MessageClass::Submitted | MessageClass::Notice | MessageClass::Code => {
            RecipientState::Final(ended)
        }
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
