//! One attempt: hand the rendition to the relay, bring the outcomes back.

use std::sync::Arc;

use super::line::Line;
use super::prepare::NOT_PREPARED;
use crate::mail::{
    Decision, DeferReason, EnhancedCode, Outcome, RecipientOutcome, Status, Timestamp,
};
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
    let in_force = machinery.policy.hash();
    let mut outcomes = overtaken(in_force, line.clock.now(), &mut attempt);
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

/// Takes out the recipients whose decision no longer stands: another policy than the one in force
/// made it, or it uses an exception that has expired since. They are decided again, so that mail
/// which waits is raised with the policy and never outlives an exception.
fn overtaken(in_force: &str, now: Timestamp, attempt: &mut Attempt) -> Vec<RecipientOutcome> {
    let stands = |decision: &Decision| {
        let exception = decision.exception.as_ref();
        *decision.policy == *in_force && exception.is_none_or(|used| now < used.expires)
    };
    let (current, overtaken) = std::mem::take(&mut attempt.recipients)
        .into_iter()
        .partition(|&at| {
            let plan = attempt.prepared.plan(at);
            plan.is_some_and(|plan| stands(&plan.decision))
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
