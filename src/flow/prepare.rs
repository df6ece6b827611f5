//! Decide, seal, sign, and make it durable, before anything is sent: for all recipients of a message
//! at first, for some of them again when their facts have changed.
//!
//! A decision is in the spool, where recovery needs it, and in the record of decisions, where
//! people look for it; both are durable before the queue hears of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::facts::{self, Memory};
use super::line::{Line, Machinery};
use super::plans::{self, Decided};
use crate::mail::{
    Decision, Demand, EnhancedCode, Envelope, MessageClass, MessageId, Prepared, Rendition, Status,
    Terms, Timestamp,
};
use crate::policy::{MessageFacts, RecipientFacts, wanted};
use crate::queue::{Input, Preparation, ToDecide};
use crate::report::decisions::DecisionsError;
use crate::report::events;
use crate::sign::{SignError, Signature};
use crate::spool::{Change, SpoolError};

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
    let content = Held::of(&line, &machinery, envelope).await?;
    let octets = content.as_ref().map(|held| &held.octets);
    let message = message_facts(&line, &machinery, &preparation, octets).await;
    let recipients = recipient_facts(&line, &machinery, &preparation, now);
    let decisions = machinery.policy.decide(&message, &recipients);
    let decided = render(&machinery, &preparation, now, content, &decisions, &line).await?;
    let prepared = Arc::new(plans::merge(preparation.previous.as_deref(), decided));
    // The record first: recovery acts on what the spool has, and that must be on record by then.
    let news = news(&line, &preparation, &recipients, &decisions);
    record(&line, &machinery, envelope, &message, &news, now).await?;
    let change = Change::Prepared {
        id: envelope.id,
        prepared: Arc::clone(&prepared),
    };
    let stored = line.spool.commit(vec![change]).await;
    stored.map_err(PrepareError::Store)?;
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

/// What is known of the message. It is kept where the message is decided again, for it will be yet
/// again.
async fn message_facts(
    line: &Line,
    machinery: &Machinery,
    preparation: &Preparation,
    content: Option<&Bytes>,
) -> Arc<MessageFacts> {
    let (policy, envelope) = (&machinery.policy, &preparation.envelope);
    if let Some(known) = line.known.get(envelope.id, policy.hash()) {
        return known;
    }
    let facts = facts::of_message(policy, &machinery.scanner, envelope, content).await;
    let facts = Arc::new(facts);
    if preparation.previous.is_some() {
        line.known.keep(envelope.id, policy.hash(), &facts);
    }
    facts
}

/// Content in memory, and the room that it was given.
struct Held {
    octets: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Reads the content if somebody has to see it.
    async fn of(
        line: &Line,
        machinery: &Machinery,
        envelope: &Envelope,
    ) -> Result<Option<Self>, PrepareError> {
        let signs = signing_domain(line, machinery, envelope).is_some();
        if !signs && !facts::wants_content(&machinery.policy, envelope.class) {
            return Ok(None);
        }
        let room = line.reserve(envelope.size).await;
        let content = line.spool.content(envelope.id).read_all().await;
        Ok(Some(Self {
            octets: content.map_err(PrepareError::Content)?,
            _room: room,
        }))
    }
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
        facts.suspected = to_decide.suspected;
        facts.released.clone_from(&to_decide.released);
        if envelope.class == MessageClass::Submitted {
            memory.recall(&machinery.policy, envelope, &mut facts);
        }
        Some(facts)
    };
    preparation.recipients.iter().filter_map(facts).collect()
}

/// The plain renditions that the decisions call for: the accepted content with its signatures in
/// front. It is signed once, whatever the number of renditions.
async fn render(
    machinery: &Arc<Machinery>,
    preparation: &Preparation,
    now: Timestamp,
    content: Option<Held>,
    decisions: &[Arc<Decision>],
    line: &Line,
) -> Result<Vec<Decided>, PrepareError> {
    let envelope = &preparation.envelope;
    let class = envelope.class;
    let demands: Vec<Option<Demand>> = decisions
        .iter()
        .map(|decision| wanted(decision, class).demand())
        .collect();
    let signature = match content {
        Some(held) if demands.iter().any(Option::is_some) => {
            sign(line, machinery, envelope, held, now).await?
        }
        Some(_) | None => Signature::default(),
    };
    let rendition = |demand: Demand, decision: &Decision| {
        let terms = match class {
            MessageClass::Submitted => decision.terms.clone(),
            MessageClass::Dsn => Terms::default(),
        };
        let (prefix, signed_by) = (signature.prefix.clone(), signature.domains.clone());
        Rendition::content(demand, terms, prefix, signed_by)
    };
    let decided = preparation.recipients.iter().zip(decisions).zip(demands);
    Ok(decided
        .map(|((to_decide, decision), demand)| Decided {
            recipient: to_decide.recipient,
            decision: Arc::clone(decision),
            rendition: demand.and_then(|demand| rendition(demand, decision)),
        })
        .collect())
}

/// The domain that signs, if there is a key for it.
fn signing_domain(
    line: &Line,
    machinery: &Machinery,
    envelope: &Envelope,
) -> Option<crate::mail::Domain> {
    let author = match &envelope.author {
        Some(author) => author.domain(),
        None => line.postmaster.domain(),
    };
    machinery.signer.domain_for(author).map(|_| author.clone())
}

async fn sign(
    line: &Line,
    machinery: &Arc<Machinery>,
    envelope: &Envelope,
    content: Held,
    now: Timestamp,
) -> Result<Signature, PrepareError> {
    let Some(author) = signing_domain(line, machinery, envelope) else {
        return Ok(Signature::default());
    };
    let machinery = Arc::clone(machinery);
    let signing =
        tokio::task::spawn_blocking(move || machinery.signer.sign(now, &author, &content.octets));
    signing
        .await
        .map_err(|_| PrepareError::Interrupted)?
        .map_err(PrepareError::Sign)
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
