//! One attempt: hand the rendition to the relay, bring the outcomes back.

use std::sync::Arc;

use super::line::Line;
use super::prepare::NOT_PREPARED;
use crate::mail::{DeferReason, EnhancedCode, Outcome, RecipientOutcome, Status};
use crate::queue::{Attempt, Input};
use crate::relay::Job;

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

async fn deliver(line: Arc<Line>, mut attempt: Attempt) -> Vec<RecipientOutcome> {
    let machinery = line.machinery();
    let mut outcomes = overtaken(machinery.policy.hash(), &mut attempt);
    if attempt.recipients.is_empty() {
        return outcomes;
    }
    let rendition = usize::try_from(attempt.rendition)
        .ok()
        .and_then(|index| attempt.prepared.renditions.get(index));
    let Some(rendition) = rendition else {
        let status = Status::local(NOT_PREPARED, "the plan names bytes that were not made");
        outcomes.extend(not_sent(&attempt, DeferReason::Local, &status));
        return outcomes;
    };
    let job = Job {
        content: line.spool.content(attempt.envelope.id),
        rendition: rendition.clone(),
        envelope: attempt.envelope,
        destination: attempt.destination,
        recipients: attempt.recipients,
    };
    outcomes.extend(machinery.relay.deliver(job).await);
    outcomes
}

/// Takes out the recipients that another policy than the one in force decided: they are decided
/// again, so that mail which waits is raised with the policy.
fn overtaken(in_force: &str, attempt: &mut Attempt) -> Vec<RecipientOutcome> {
    let (current, overtaken) = std::mem::take(&mut attempt.recipients)
        .into_iter()
        .partition(|&at| {
            let plan = attempt.prepared.plan(at);
            plan.is_some_and(|plan| *plan.decision.policy == *in_force)
        });
    attempt.recipients = current;
    let replan = |recipient| RecipientOutcome {
        recipient,
        outcome: Outcome::Replan,
        hop: None,
        duplicate_possible: false,
    };
    let overtaken: Vec<u32> = overtaken;
    overtaken.into_iter().map(replan).collect()
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
