//! Who is decided next, and what a decision comes to.
//!
//! A message is with the caller at most once; recipients that come to need a decision meanwhile
//! are handed out after it.

use std::sync::Arc;

use crate::mail::{
    Course, DeferReason, EnhancedCode, MessageId, Outcome, Prepared, RecipientOutcome,
    RecipientRecord, RecipientState, Status, Timestamp,
};

use super::core::Queue;
use super::interface::{Cause, Output, Preparation, SettledRecipient, ToDecide};
use super::message::{Message, Phase, Stage};
use super::order::joined;
use super::outcome::Deferral;

impl Queue {
    /// Puts recipients in line for a decision.
    pub(super) fn line_up_for_preparation(&mut self, id: MessageId, recipients: Vec<u32>) {
        if recipients.is_empty() {
            return;
        }
        for at in recipients {
            self.set_phase(id, at, Phase::Queued);
        }
        if let Some(message) = self.messages.get_mut(&id)
            && message.stage == Stage::Idle
        {
            message.stage = Stage::Waiting;
            self.to_prepare.push_back(id);
        }
    }

    pub(super) fn hand_out_preparations(&mut self, now: Timestamp) {
        while self.preparing < self.limits.preparing.max(1) {
            let Some(id) = self.to_prepare.pop_front() else {
                return;
            };
            self.steps += 1;
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            message.stage = Stage::Idle;
            let waiting = message.in_phase(Phase::Queued);
            self.call_time(now, id, &waiting);
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            let waiting = message.in_phase(Phase::Queued);
            let to_decide = |at: &u32| {
                let recipient = message.recipient(*at)?;
                let turn = recipient.turn.as_deref();
                Some(ToDecide {
                    recipient: *at,
                    tls: turn.map(|turn| turn.standing.clone()).unwrap_or_default(),
                    suspected_since: recipient.record.suspected_since,
                    unsealable: turn.is_some_and(|turn| turn.unsealable),
                    undepositable: turn.is_some_and(|turn| turn.undepositable),
                    released: recipient.record.released.clone(),
                })
            };
            let recipients: Vec<ToDecide> = waiting.iter().filter_map(to_decide).collect();
            if recipients.is_empty() {
                continue; // They ended in line.
            }
            message.stage = Stage::Running;
            self.preparing += 1;
            self.outputs.push_back(Output::Prepare(Preparation {
                id,
                envelope: Arc::clone(&message.envelope),
                previous: message.prepared.clone(),
                recipients,
                ended: message.in_phase(Phase::Ended),
            }));
            for at in waiting {
                self.set_phase(id, at, Phase::Preparing);
            }
        }
    }

    pub(super) fn prepared(&mut self, now: Timestamp, id: MessageId, prepared: Arc<Prepared>) {
        let Some(decided) = self.end_preparation(now, id) else {
            return;
        };
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let in_line: Vec<(u32, Option<u32>)> = message
            .in_phase(Phase::Ready)
            .into_iter()
            .map(|at| (at, message.rendition(at)))
            .collect();
        message.prepared = Some(prepared);
        // What stands in line stands there with the number of its rendition.
        let moved =
            |(at, before): (u32, Option<u32>)| (message.rendition(at) != before).then_some(at);
        let moved: Vec<u32> = in_line.into_iter().filter_map(moved).collect();
        self.line_up(id, moved);
        self.follow(now, id, decided);
        self.after_preparation(now, id);
    }

    pub(super) fn prepare_failed(&mut self, now: Timestamp, id: MessageId, status: &Status) {
        let Some(failed) = self.end_preparation(now, id) else {
            return;
        };
        let stretch = self.jitter.stretch();
        let deferral = Deferral {
            reason: DeferReason::Local,
            status,
            until: None,
            cause: Cause::PrepareFailed,
        };
        let changes = failed
            .into_iter()
            .filter_map(|at| self.deferred(now, id, at, deferral.clone(), stretch))
            .collect();
        self.settle(id, changes);
        self.after_preparation(now, id);
    }

    /// Goes by what was decided.
    fn follow(&mut self, now: Timestamp, id: MessageId, decided: Vec<u32>) {
        let stretch = self.jitter.stretch();
        // X.7.10, encryption needed (the registry of RFC 5248).
        let code = EnhancedCode::new(4, 7, 10);
        let none = "no method configured here reaches the level that this message needs";
        let suspected = "less is offered than is known of the domain: it is tried again";
        let mut ready = Vec::new();
        let mut changes = Vec::new();
        for at in decided {
            let Some(message) = self.messages.get(&id) else {
                return;
            };
            let (reason, text, until) = match message.plan(at).map(|plan| &plan.decision.course) {
                Some(Course::Send(_)) if message.rendition(at).is_some() => {
                    ready.push(at);
                    continue;
                }
                Some(Course::Hold(rules)) => {
                    changes.extend(held(message, at, rules));
                    continue;
                }
                Some(Course::Wait { until }) => {
                    (DeferReason::DowngradeSuspected, suspected, Some(*until))
                }
                Some(Course::Send(_) | Course::NoMethod) | None => {
                    if let Some(end) = not_taken(message, at) {
                        changes.extend(self.record(now, id, end, stretch));
                        continue;
                    }
                    (DeferReason::Security, none, None)
                }
            };
            let deferral = Deferral {
                reason,
                status: &Status::local(code, text),
                until,
                cause: Cause::NoMethod,
            };
            changes.extend(self.deferred(now, id, at, deferral, stretch));
        }
        self.line_up_for_destination(id, ready);
        self.settle(id, changes);
    }

    /// Ends a preparation; what was ordered for its recipients meanwhile goes first. Returns the
    /// others.
    fn end_preparation(&mut self, now: Timestamp, id: MessageId) -> Option<Vec<u32>> {
        let message = self
            .messages
            .get_mut(&id)
            .filter(|message| message.stage == Stage::Running)?;
        message.stage = Stage::Idle;
        let decided = message.in_phase(Phase::Preparing);
        self.preparing -= 1;
        let mut changes = Vec::new();
        let mut others = Vec::new();
        for at in decided {
            match self.wished(now, id, at, None) {
                Some(change) => changes.push(change),
                None => others.push(at),
            }
        }
        self.settle(id, changes);
        Some(others)
    }

    /// Looks at the time of all, and puts in line who came to need a decision meanwhile.
    fn after_preparation(&mut self, now: Timestamp, id: MessageId) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let everyone = message.everyone();
        self.call_time(now, id, &everyone);
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let waiting = message.in_phase(Phase::Queued);
        self.line_up_for_preparation(id, waiting);
    }
}

/// The end of a recipient for whom it was too large when sealed, or whose message the portal did
/// not take, and no other method is left.
fn not_taken(message: &Message, at: u32) -> Option<RecipientOutcome> {
    let learnt = message.recipient(at)?.turn.as_deref()?.outcome.as_ref()?;
    match &learnt.outcome {
        Outcome::TooLarge(_) | Outcome::NotDeposited(_) => Some(learnt.clone().ended()),
        _ => None,
    }
}

/// Rules hold a recipient.
fn held(message: &Message, at: u32, rules: &[Arc<str>]) -> Option<SettledRecipient> {
    let recipient = message.recipient(at)?;
    Some(SettledRecipient {
        recipient: at,
        record: RecipientRecord {
            state: RecipientState::Held {
                name: joined(rules),
            },
            warned: recipient.warned,
            ..recipient.record.clone()
        },
        cause: Cause::Rules(rules.to_vec()),
        suspected: false,
    })
}
