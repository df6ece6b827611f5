//! Decide, seal, sign, and make it durable: once per message, before anything is sent.

use std::sync::Arc;

use super::facts::message_facts;
use super::line::{Line, Machinery};
use crate::mail::{
    Decision, Demand, EnhancedCode, Envelope, MessageClass, Method, Prepared, RecipientPlan,
    Rendition, Status, Terms,
};
use crate::policy::RecipientFacts;
use crate::queue::Input;
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

/// Prepares a message and tells the queue.
pub(super) async fn run(line: Arc<Line>, envelope: Arc<Envelope>) {
    let id = envelope.id;
    let work = tokio::spawn(prepare(Arc::clone(&line), envelope));
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
pub(super) async fn prepare(
    line: Arc<Line>,
    envelope: Arc<Envelope>,
) -> Result<Arc<Prepared>, PrepareError> {
    let machinery = line.machinery();
    let facts = message_facts(&envelope, None);
    let now = line.clock.now();
    let first = envelope.recipients.first().cloned();
    let recipients: Vec<RecipientFacts> = first
        .map(|address| RecipientFacts::new(address, now))
        .into_iter()
        .collect();
    let decisions = machinery.policy.decide(&facts, &recipients);
    let decision = decisions.first().ok_or(PrepareError::Interrupted)?;
    let rendition = match demand(decision, envelope.class) {
        Some(demand) => Some(render(&line, &machinery, &envelope, demand).await?),
        None => None,
    };
    let prepared = Arc::new(assemble(&envelope, decision, rendition));
    let change = Change::Prepared {
        id: envelope.id,
        prepared: Arc::clone(&prepared),
    };
    line.spool
        .commit(vec![change])
        .await
        .map_err(PrepareError::Store)?;
    for plan in &prepared.plans {
        let rendition = prepared.rendition(plan);
        line.log
            .record(events::decided(now, &envelope, plan, rendition))
            .await;
    }
    Ok(prepared)
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

fn assemble(
    envelope: &Envelope,
    decision: &Arc<Decision>,
    rendition: Option<Rendition>,
) -> Prepared {
    let index = rendition.as_ref().map(|_| 0);
    let recipients = 0..u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
    let plans = recipients
        .map(|recipient| RecipientPlan {
            recipient,
            decision: Arc::clone(decision),
            rendition: index,
        })
        .collect();
    Prepared {
        renditions: rendition.into_iter().collect(),
        plans,
    }
}
