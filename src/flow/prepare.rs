//! Decide, seal, sign, and make it durable, before anything is sent: for all recipients of a message
//! at first, for some of them again when their facts have changed.

use std::sync::Arc;

use super::facts::message_facts;
use super::line::{Line, Machinery};
use super::plans::{self, Decided};
use crate::mail::{
    Decision, Demand, EnhancedCode, Envelope, MessageClass, Method, Prepared, Rendition, Status,
    Terms, Timestamp,
};
use crate::policy::RecipientFacts;
use crate::queue::{Input, Preparation, ToDecide};
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
    let recipients = recipient_facts(&preparation, now);
    let facts = message_facts(envelope, None);
    let decisions = machinery.policy.decide(&facts, &recipients);
    let mut made: Vec<Rendition> = Vec::new();
    let mut decided = Vec::with_capacity(decisions.len());
    for (to_decide, decision) in preparation.recipients.iter().zip(decisions) {
        let rendition = match demand(&decision, envelope.class) {
            Some(demand) => match made.iter().find(|made| made.demand == demand) {
                Some(made) => Some(made.clone()),
                None => {
                    let rendition = render(&line, &machinery, envelope, demand).await?;
                    made.push(rendition.clone());
                    Some(rendition)
                }
            },
            None => None,
        };
        decided.push(Decided {
            recipient: to_decide.recipient,
            decision,
            rendition,
        });
    }
    let prepared = Arc::new(plans::merge(preparation.previous.as_deref(), decided));
    let change = Change::Prepared {
        id: envelope.id,
        prepared: Arc::clone(&prepared),
    };
    line.spool
        .commit(vec![change])
        .await
        .map_err(PrepareError::Store)?;
    for to_decide in &preparation.recipients {
        if let Some(plan) = prepared.plan(to_decide.recipient) {
            let rendition = prepared.rendition(plan);
            line.log
                .record(events::decided(now, envelope, plan, rendition))
                .await;
        }
    }
    Ok(prepared)
}

/// What is known of those to decide, in their order.
fn recipient_facts(preparation: &Preparation, now: Timestamp) -> Vec<RecipientFacts> {
    let facts = |to_decide: &ToDecide| {
        let index = usize::try_from(to_decide.recipient).ok()?;
        let address = preparation.envelope.recipients.get(index)?.clone();
        Some(RecipientFacts {
            tls: to_decide.tls.clone(),
            released: to_decide.released.clone(),
            ..RecipientFacts::new(address, now)
        })
    };
    preparation.recipients.iter().filter_map(facts).collect()
}

/// What the chosen method demands of the connection; `None` where no method is left.
fn demand(decision: &Decision, class: MessageClass) -> Option<Demand> {
    match (decision.method()?, class) {
        (Method::Tls, MessageClass::Submitted) => Demand::content(decision.level),
        (Method::Tls, MessageClass::Dsn) => Some(Demand::dsn()),
        // Policy refuses these until they are built.
        (Method::Smime | Method::Portal, _) => None,
    }
}

/// The plain rendition: the accepted content with its signatures in front.
async fn render(
    line: &Line,
    machinery: &Arc<Machinery>,
    envelope: &Envelope,
    demand: Demand,
) -> Result<Rendition, PrepareError> {
    let signature = sign(line, machinery, envelope).await?;
    Ok(Rendition {
        demand,
        terms: Terms::default(),
        prefix: signature.prefix,
        signed_by: signature.domains,
    })
}

async fn sign(
    line: &Line,
    machinery: &Arc<Machinery>,
    envelope: &Envelope,
) -> Result<Signature, PrepareError> {
    let author = match &envelope.author {
        Some(author) => author.domain().clone(),
        None => line.postmaster.domain().clone(),
    };
    if machinery.signer.domain_for(&author).is_none() {
        return Ok(Signature::default());
    }
    let memory = line.reserve(envelope.size).await;
    let content = line
        .spool
        .content(envelope.id)
        .read_all()
        .await
        .map_err(PrepareError::Content)?;
    let machinery = Arc::clone(machinery);
    let now = line.clock.now();
    let signing = tokio::task::spawn_blocking(move || {
        let signature = machinery.signer.sign(now, &author, &content);
        drop(memory);
        signature
    });
    signing
        .await
        .map_err(|_| PrepareError::Interrupted)?
        .map_err(PrepareError::Sign)
}
