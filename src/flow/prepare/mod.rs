//! Decide, seal, sign, and make it durable, before anything is sent: for all recipients of a message
//! at first, for some of them again when their facts have changed.
//!
//! A decision is in the spool, where recovery needs it, and in the record of decisions, where
//! people look for it; both are durable before the queue hears of it.

mod consider;
mod notices;
mod render;

use std::sync::Arc;

use super::facts::{self, Memory};
use super::line::{Line, Machinery};
use super::plans;
use super::portal::address;
use crate::mail::{
    Decision, EnhancedCode, Envelope, MessageClass, MessageId, Method, Prepared, Status, Timestamp,
};
use crate::policy::{MessageFacts, RecipientFacts};
use crate::queue::{Input, Preparation, ToDecide};
use crate::report::decisions::DecisionsError;
use crate::report::events;
use crate::sign::SignError;
use crate::spool::{Change, SpoolError};
use crate::tables::TableError;
use consider::Considered;
use notices::called;
use render::{Held, render};

/// Mail system: something of ours is missing or failed (RFC 3463 X.3.5).
pub(super) const NOT_PREPARED: EnhancedCode = EnhancedCode::new(4, 3, 5);

/// Why a message could not be prepared; it waits and is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error("its content could not be read from the spool")]
    Content(#[source] SpoolError),
    #[error("it could not be signed")]
    Sign(#[source] SignError),
    #[error("the decision could not be stored")]
    Store(#[source] SpoolError),
    #[error("the record of the decision could not be made")]
    Form(#[source] serde_json::Error),
    #[error("the decision could not be recorded")]
    Record(#[source] DecisionsError),
    #[error("what lies in the portal could not be listed to be taken back")]
    Withdraw(#[source] TableError),
    #[error("the system has no randomness")]
    NoRandomness,
    #[error("its task ended early")]
    Interrupted,
}

/// Decides recipients of a message and tells the queue.
pub(super) async fn run(line: Arc<Line>, preparation: Preparation) {
    let id = preparation.id;
    let work = tokio::spawn(prepare(Arc::clone(&line), preparation));
    let result = work.await.unwrap_or(Err(PrepareError::Interrupted));
    let input = match result {
        Ok(prepared) => Input::Prepared { id, prepared },
        Err(error) => {
            tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "a message could not be prepared");
            let status = Status::local(NOT_PREPARED, format!("not prepared: {error}"));
            Input::PrepareFailed { id, status }
        }
    };
    line.tell(input).await;
}

/// Decides, signs, and makes it durable.
async fn prepare(line: Arc<Line>, preparation: Preparation) -> Result<Arc<Prepared>, PrepareError> {
    let machinery = line.machinery();
    let envelope = &preparation.envelope;
    let now = line.clock.now();
    let mut content = Held::new(&line, envelope);
    let message = message_facts(&line, &machinery, &preparation, &mut content).await?;
    let recipients = recipient_facts(&line, &machinery, &preparation, now);
    let mut considered = Considered::new(&machinery, &message, recipients, now);
    let open = considered.open_questions(&machinery, &message);
    if !open.is_empty() {
        content.release();
        considered
            .look_up(&line, &machinery, &message, open, now)
            .await;
    }
    let open = considered.open_to_portal(&machinery, &message);
    if !open.is_empty() {
        content.release();
        considered
            .ask_portal(&line, &machinery, &message, &preparation, open)
            .await;
    }
    let decided = render(
        &line,
        &machinery,
        &preparation,
        &message,
        &mut considered,
        &mut content,
        now,
    )
    .await?;
    drop(content);
    let Considered {
        recipients,
        decisions,
        ..
    } = considered;
    let previous = preparation.previous.as_deref();
    let prepared = Arc::new(plans::merge(previous, decided, &preparation.ended));
    // The record first: recovery acts on what the spool has, and that must be on record by then.
    let news = news(&line, &preparation, &recipients, &decisions);
    record(&line, &machinery, envelope, &message, &news, now).await?;
    let behind = leave_behind(&line, &preparation, &prepared).await?;
    // What is in the spool already is not written again.
    if previous != Some(&*prepared) {
        let change = Change::Prepared {
            id: envelope.id,
            prepared: Arc::clone(&prepared),
        };
        let stored = line.spool.commit(vec![change]).await;
        stored.map_err(PrepareError::Store)?;
    }
    if behind {
        line.withdrawals.nudge();
    }
    for (recipient, _, decision) in news {
        line.known.recorded(envelope.id, recipient, &decision);
        if let Some(plan) = prepared.plan(recipient) {
            let rendition = prepared.rendition(plan);
            alert(envelope.id, &plan.decision);
            line.log
                .record(events::decided(now, envelope, plan, rendition))
                .await;
        }
    }
    Ok(prepared)
}

/// Lists the deposits that the new plans leave behind: durable before the plans are. Another policy
/// may ask for more than the one did that they were made under, so they are taken back then; else
/// they wait for how the recipient ends. Whether any is to be taken back.
async fn leave_behind(
    line: &Line,
    preparation: &Preparation,
    prepared: &Prepared,
) -> Result<bool, PrepareError> {
    let Some(previous) = preparation.previous.as_deref() else {
        return Ok(false);
    };
    let (id, envelope) = (preparation.id, &preparation.envelope);
    let mut any = false;
    for to_decide in &preparation.recipients {
        let at = to_decide.recipient;
        let (Some(before), Some(now), Some(recipient)) =
            (previous.plan(at), prepared.plan(at), address(envelope, at))
        else {
            continue;
        };
        let was_there = before.decision.method() == Some(Method::Portal)
            || line.withdrawals.knows(id, recipient);
        if !was_there || now.decision.method() == Some(Method::Portal) {
            continue;
        }
        let due = before.decision.policy != now.decision.policy;
        if !due && line.withdrawals.knows(id, recipient) {
            continue;
        }
        let reference = called(previous, at);
        let left = line.withdrawals.leave_behind(id, recipient, reference, due);
        left.await.map_err(PrepareError::Withdraw)?;
        any |= due;
    }
    Ok(any)
}

/// What is known of the message. It is kept where the message is decided again, for it will be yet
/// again.
async fn message_facts(
    line: &Line,
    machinery: &Machinery,
    preparation: &Preparation,
    content: &mut Held<'_>,
) -> Result<Arc<MessageFacts>, PrepareError> {
    let (policy, envelope) = (&machinery.policy, &preparation.envelope);
    if let Some(known) = line.known.get(envelope.id, policy.hash()) {
        return Ok(known);
    }
    let octets = match facts::wants_content(policy, envelope.class) {
        true => Some(content.octets().await?),
        false => None,
    };
    let facts = facts::of_message(policy, &machinery.scanner, envelope, octets.as_ref()).await;
    let facts = Arc::new(facts);
    if preparation.previous.is_some() {
        line.known.keep(envelope.id, policy.hash(), &facts);
    }
    Ok(facts)
}

/// What is known of those to decide, in their order.
fn recipient_facts(
    line: &Line,
    machinery: &Machinery,
    preparation: &Preparation,
    now: Timestamp,
) -> Vec<RecipientFacts> {
    let envelope = &preparation.envelope;
    let memory = Memory {
        contacts: &line.contacts,
        volumes: &line.volumes,
    };
    let facts = |to_decide: &ToDecide| {
        let index = usize::try_from(to_decide.recipient).ok()?;
        let mut facts = facts::of_recipient(envelope.recipients.get(index)?, now);
        facts.tls = to_decide.tls.clone();
        facts.suspected = to_decide.suspected_since.is_some();
        facts.unsealable = to_decide.unsealable;
        facts.undepositable = to_decide.undepositable;
        facts.released.clone_from(&to_decide.released);
        if envelope.class == MessageClass::Submitted {
            if let Some(portal) = &machinery.portal {
                facts.pickup = facts::of_wishes(&envelope.pickup, portal.phone_codes);
            }
            memory.recall(&machinery.policy, envelope, &mut facts);
        }
        Some(facts)
    };
    preparation.recipients.iter().filter_map(facts).collect()
}

/// A recipient that is decided, what it was decided from, and how.
type Novelty = (u32, RecipientFacts, Arc<Decision>);

/// What is not on record yet: mail that waits is decided again each time that it is due, and
/// mostly as before.
fn news(
    line: &Line,
    preparation: &Preparation,
    recipients: &[RecipientFacts],
    decisions: &[Arc<Decision>],
) -> Vec<Novelty> {
    let all = preparation.recipients.iter().zip(recipients).zip(decisions);
    all.filter(|((to_decide, _), decision)| {
        preparation.previous.is_none()
            || line
                .known
                .is_news(preparation.id, to_decide.recipient, decision)
    })
    .map(|((to_decide, facts), decision)| {
        (to_decide.recipient, facts.clone(), Arc::clone(decision))
    })
    .collect()
}

/// Puts decisions on record; durable when it returns.
async fn record(
    line: &Line,
    machinery: &Machinery,
    envelope: &Envelope,
    message: &MessageFacts,
    news: &[Novelty],
    now: Timestamp,
) -> Result<(), PrepareError> {
    if news.is_empty() {
        return Ok(());
    }
    let recipients: Vec<RecipientFacts> = news.iter().map(|(_, facts, _)| facts.clone()).collect();
    let decisions: Vec<Arc<Decision>> = news.iter().map(|one| Arc::clone(&one.2)).collect();
    let record = machinery
        .recorder
        .record(now, envelope, message, &recipients, &decisions)
        .map_err(PrepareError::Form)?;
    let recorded = line.decisions.record(record).await;
    recorded.map_err(PrepareError::Record)
}

/// Tells a person what rules ask to be told.
fn alert(queue_id: MessageId, decision: &Decision) {
    for rule in &decision.alerts {
        tracing::warn!(%queue_id, %rule, "a rule of the policy asks for attention");
    }
}
