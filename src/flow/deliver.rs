//! One attempt: hand the rendition to the relay, bring the outcomes back.

use std::sync::Arc;

use super::line::Line;
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

async fn deliver(line: Arc<Line>, attempt: Attempt) -> Vec<RecipientOutcome> {
    let Some(rendition) = usize::try_from(attempt.rendition)
        .ok()
        .and_then(|index| attempt.prepared.renditions.get(index))
    else {
        return interrupted(&attempt.recipients);
    };
    let job = Job {
        content: line.spool.content(attempt.envelope.id),
        rendition: rendition.clone(),
        envelope: attempt.envelope,
        destination: attempt.destination,
        recipients: attempt.recipients,
    };
    line.machinery().relay.deliver(job).await
}

fn interrupted(recipients: &[u32]) -> Vec<RecipientOutcome> {
    let status = Status::local(EnhancedCode::new(4, 3, 0), "the attempt was interrupted");
    recipients
        .iter()
        .map(|&recipient| RecipientOutcome {
            recipient,
            outcome: Outcome::Deferred {
                reason: DeferReason::Local,
                status: status.clone(),
            },
            hop: None,
            // It may have ended anywhere, so the peer may have the message.
            duplicate_possible: true,
        })
        .collect()
}
