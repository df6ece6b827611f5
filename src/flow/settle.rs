//! What an attempt came to becomes durable, then it is told: to the log, to the sender.
//!
//! A final failure and the acceptance of its bounce go to disk in one batch, the bounce first: a
//! crash between the two can repeat a bounce, never lose one.

use std::sync::Arc;

use super::bounce::{self, Sent, goes_by_portal};
use super::line::Line;
use super::portal::{address, travel};
use crate::mail::{
    Address, Final, MessageClass, RecipientOutcome, RecipientPlan, RecipientState, Rendition,
    Timestamp,
};
use crate::queue::{Cause, Input, Operation, SettledRecipient, Settlement, UNDELIVERABLE_DSN};
use crate::report::event::{Event, EventKind};
use crate::report::events::{self, Ordered};
use crate::spool::{Change, SpoolError};

/// Makes a settlement durable and tells the queue.
pub(super) async fn run(line: Arc<Line>, settlement: Settlement) {
    let id = settlement.id;
    match tokio::spawn(settle(Arc::clone(&line), settlement)).await {
        Ok(Ok(bounces)) => {
            for bounce in bounces {
                let envelope = bounce.envelope;
                line.tell(Input::Accepted { envelope }).await;
            }
            line.tell(Input::Settled { id }).await;
        }
        Ok(Err(error)) => {
            tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "an outcome could not be stored; restart to recover");
            line.broken().await;
        }
        Err(_) => {
            tracing::error!(queue_id = %id, "a settlement ended early; restart to recover");
            line.broken().await;
        }
    }
}

/// Writes the records, then the log. Returns the bounces that were made, which are durable now.
async fn settle(line: Arc<Line>, settlement: Settlement) -> Result<Vec<Sent>, SpoolError> {
    let _turn = line.turn_to_settle().await;
    let bounces = bounce::make(&line, &settlement).await;
    let taken_back = take_back(&line, &settlement).await;
    let news = line.news.note(&settlement).await;
    let urgent = !bounces.is_empty();
    let mut changes = Vec::with_capacity(bounces.len() + 2);
    let mut sent = Vec::with_capacity(bounces.len());
    for bounce in bounces {
        changes.push(Change::Accept {
            envelope: Arc::clone(&bounce.sent.envelope),
            body: bounce.body,
        });
        sent.push(bounce.sent);
    }
    if !settlement.changes.is_empty() {
        let record = |change: &SettledRecipient| (change.recipient, change.record.clone());
        changes.push(Change::State {
            id: settlement.id,
            recipients: settlement.changes.iter().map(record).collect(),
        });
    }
    if settlement.done {
        changes.push(Change::Done { id: settlement.id });
    }
    if urgent {
        line.spool.commit(changes).await?;
    } else {
        line.spool.commit_soon(changes).await?;
    }
    if taken_back {
        line.withdrawals.nudge();
    }
    if news {
        line.news.nudge();
    }
    remember(&line, &settlement).await;
    tell_log(&line, &settlement, &sent).await;
    travel::tell(&line, &settlement);
    Ok(sent)
}

/// What lies in the portal for those who end otherwise is to be taken back: durable before their
/// end is, and told to the portal after it. Whether there is any of it.
async fn take_back(line: &Line, settlement: &Settlement) -> bool {
    let mut any = false;
    let (id, envelope) = (settlement.id, &settlement.envelope);
    for change in &settlement.changes {
        let (RecipientState::Final(ended), Some(recipient)) =
            (&change.record.state, address(envelope, change.recipient))
        else {
            continue;
        };
        let lies_there =
            goes_by_portal(settlement, change.recipient) || line.withdrawals.knows(id, recipient);
        let noted = match ended {
            Final::Deposited => line.withdrawals.forget(id, recipient).await,
            _ if lies_there => {
                any = true;
                let withdrawals = &line.withdrawals;
                withdrawals.leave_behind(id, recipient, None, true).await
            }
            _ => Ok(()),
        };
        if let Err(error) = noted {
            // Where the journal has failed, the settlement fails too.
            tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "what lies in the portal cannot be listed to be taken back: it stays until it expires");
        }
    }
    any
}

/// Notes whom the sender has reached, if a rule asks for that.
async fn remember(line: &Line, settlement: &Settlement) {
    let envelope = &settlement.envelope;
    let (MessageClass::Submitted, Some(sender)) = (envelope.class, envelope.reverse_path.address())
    else {
        return;
    };
    if !line.machinery().policy.needs().first_contact {
        return;
    }
    let reached = settlement.changes.iter().filter(|change| {
        matches!(
            change.record.state,
            RecipientState::Final(Final::Delivered | Final::Deposited)
        )
    });
    let recipients: Vec<&Address> = reached
        .filter_map(|change| usize::try_from(change.recipient).ok())
        .filter_map(|index| envelope.recipients.get(index))
        .collect();
    line.contacts.note(sender, &recipients).await;
}

async fn tell_log(line: &Line, settlement: &Settlement, bounces: &[Sent]) {
    let now = line.clock.now();
    for change in &settlement.changes {
        if change.cause == Cause::DelayWarning {
            continue; // Its state is what it was; the notice itself is logged below.
        }
        for event in events_of(now, settlement, change) {
            let event = match plan(settlement, change) {
                Some((plan, rendition)) => event.planned(plan, rendition),
                None => event,
            };
            line.log.record(event).await;
        }
        alarm(settlement, change);
    }
    for bounce in bounces {
        let what = bounce.kind.as_str();
        let event = events::dsn_sent(now, &settlement.envelope, what, bounce.envelope.id);
        line.log.record(event).await;
    }
}

/// The lines that a change is worth.
fn events_of(now: Timestamp, settlement: &Settlement, change: &SettledRecipient) -> Vec<Event> {
    let (envelope, at, record) = (&settlement.envelope, change.recipient, &change.record);
    let outcome = outcome(&change.cause);
    let mut told = Vec::new();
    if change.suspected {
        told.push(events::downgrade_suspected(
            now, envelope, at, record, outcome,
        ));
    }
    if record.state == RecipientState::Final(Final::Deposited) {
        told.push(events::notified(now, envelope, at, record, outcome));
    }
    match &change.cause {
        Cause::Ordered { order, lifted, .. } => {
            let kind = match order.operation {
                Operation::Release => EventKind::Released,
                Operation::Hold => EventKind::Held,
                Operation::Cancel => EventKind::Cancelled,
                Operation::Retry => EventKind::Retried,
            };
            let order = Ordered {
                actor: &order.actor,
                reason: &order.reason,
                lifted,
            };
            told.push(events::ordered(
                now, kind, envelope, at, record, outcome, &order,
            ));
        }
        Cause::Rules(rules) => {
            let event = events::settled(now, envelope, at, record, None);
            told.extend(event.map(|event| event.held_by(rules)));
        }
        Cause::Attempted(_)
        | Cause::Expired { .. }
        | Cause::NoMethod
        | Cause::PrepareFailed
        | Cause::DelayWarning => {
            told.extend(events::settled(now, envelope, at, record, outcome));
        }
    }
    told
}

/// What was decided for the recipient, and what was made for it.
fn plan<'a>(
    settlement: &'a Settlement,
    change: &SettledRecipient,
) -> Option<(&'a RecipientPlan, Option<&'a Rendition>)> {
    let prepared = settlement.prepared.as_deref()?;
    let plan = prepared.plan(change.recipient)?;
    Some((plan, prepared.rendition(plan)))
}

/// What the attempt came to, where an attempt it was.
pub(super) fn outcome(cause: &Cause) -> Option<&RecipientOutcome> {
    match cause {
        Cause::Attempted(outcome) => Some(outcome),
        Cause::Expired { outcome, .. } | Cause::Ordered { outcome, .. } => outcome.as_ref(),
        Cause::NoMethod | Cause::PrepareFailed | Cause::Rules(_) | Cause::DelayWarning => None,
    }
}

/// What a person has to look at.
fn alarm(settlement: &Settlement, change: &SettledRecipient) {
    let id = settlement.id;
    let by_order = matches!(change.cause, Cause::Ordered { .. });
    if matches!(&change.record.state, RecipientState::Held { name } if name == UNDELIVERABLE_DSN) {
        tracing::error!(
            queue_id = %id,
            "a bounce could not be delivered to its sender; it is kept: see 'sealpost queue show {id}', then 'queue retry' or 'queue cancel'"
        );
    } else if matches!(change.record.state, RecipientState::Held { .. }) && !by_order {
        tracing::warn!(
            queue_id = %id,
            "a rule holds a message for a person: see 'sealpost queue explain {id}', then 'queue release' or 'queue cancel'"
        );
    }
    if change.suspected {
        tracing::warn!(
            queue_id = %id,
            "a domain offers less than is known of it, and somebody may stand between: see 'sealpost queue explain {id}'"
        );
    }
}
