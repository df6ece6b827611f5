//! One attempt: hand the rendition to the relay, bring the outcomes back.

use std::sync::Arc;

use super::line::Line;
use super::prepare::{self, NOT_PREPARED, PrepareError};
use crate::mail::{
    DeferReason, EnhancedCode, Outcome, Prepared, RecipientOutcome, Rendition, Status,
};
use crate::queue::{Attempt, Input};
use crate::relay::Job;

/// Encryption needed (the registry of RFC 5248).
const NO_METHOD: EnhancedCode = EnhancedCode::new(4, 7, 10);

/// Runs an attempt and tells the queue. Whatever happens, each recipient gets an outcome.
pub(super) async fn run(line: Arc<Line>, attempt: Attempt) {
    let id = attempt.envelope.id;
    let recipients = attempt.recipients.clone();
    let work = tokio::spawn(deliver(Arc::clone(&line), attempt));
    let outcomes = match work.await {
        Ok(outcomes) => outcomes,
        Err(_) => {
            tracing::error!(queue_id = %id, "an attempt ended early; its recipients are tried again");
            interrupted(&recipients)
        }
    };
    line.tell(Input::Attempted { id, outcomes }).await;
}

async fn deliver(line: Arc<Line>, attempt: Attempt) -> Vec<RecipientOutcome> {
    let prepared = match in_force(&line, &attempt).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let text = format!("not prepared for the policy in force: {error}");
            return not_sent(
                &attempt,
                DeferReason::Local,
                &Status::local(NOT_PREPARED, text),
            );
        }
    };
    let plans = attempt.recipients.iter().map(|&at| prepared.plan(at));
    let renditions: Option<Vec<&Rendition>> = plans.map(|plan| prepared.rendition(plan?)).collect();
    // Recipients of one attempt had one rendition, and one policy decides alike for all of them.
    let Some([rendition, rest @ ..]) = renditions.as_deref() else {
        return not_sent(
            &attempt,
            DeferReason::Security,
            &Status::local(NO_METHOD, "no method reaches the level"),
        );
    };
    if rest.iter().any(|other| other != rendition) {
        return not_sent(
            &attempt,
            DeferReason::Local,
            &Status::local(NOT_PREPARED, "the plan has changed"),
        );
    }
    let job = Job {
        content: line.spool.content(attempt.envelope.id),
        rendition: (*rendition).clone(),
        envelope: attempt.envelope,
        destination: attempt.destination,
        recipients: attempt.recipients,
    };
    line.machinery().relay.deliver(job).await
}

/// What was prepared, if the policy that decided is still in force; else it is prepared anew, so
/// that mail which waits is raised with the policy.
async fn in_force(line: &Arc<Line>, attempt: &Attempt) -> Result<Arc<Prepared>, PrepareError> {
    let machinery = line.machinery();
    let current = attempt
        .recipients
        .iter()
        .filter_map(|&at| attempt.prepared.plan(at))
        .all(|plan| plan.decision.policy == *machinery.policy.hash());
    if current {
        return Ok(Arc::clone(&attempt.prepared));
    }
    prepare::prepare(Arc::clone(line), Arc::clone(&attempt.envelope)).await
}

fn interrupted(recipients: &[u32]) -> Vec<RecipientOutcome> {
    let status = Status::local(EnhancedCode::new(4, 3, 0), "the attempt was interrupted");
    // It may have ended anywhere, so the peer may have the message.
    deferred(recipients, DeferReason::Local, &status, true)
}

fn not_sent(attempt: &Attempt, reason: DeferReason, status: &Status) -> Vec<RecipientOutcome> {
    deferred(&attempt.recipients, reason, status, false)
}

fn deferred(
    recipients: &[u32],
    reason: DeferReason,
    status: &Status,
    duplicate_possible: bool,
) -> Vec<RecipientOutcome> {
    recipients
        .iter()
        .map(|&recipient| RecipientOutcome {
            recipient,
            outcome: Outcome::Deferred {
                reason,
                status: status.clone(),
            },
            hop: None,
            duplicate_possible,
        })
        .collect()
}
