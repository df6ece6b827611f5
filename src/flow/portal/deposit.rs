//! Leaves a message in the portal, before its notice is sent.
//!
//! The portal says that it is durable there; only then may the notice go. The same deposit is made
//! at every attempt: the portal knows it by queue id and recipient.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::super::bounce::read_header;
use super::super::line::{Line, Machinery};
use super::{Portal, Writer, address, retracted, writer};
use crate::mail::{DeferReason, Deposit, EnhancedCode, Notice, Outcome, RecipientOutcome, Status};
use crate::pickup::PickupError;
use crate::queue::Attempt;

/// How long an attempt waits for its turn at the portal.
const TURN_TIME: Duration = Duration::from_secs(5);
/// There was no turn.
pub(super) const BUSY: &str = "the portal has too much to do";
/// Something of ours is missing or failed (RFC 3463 X.3.0), for now.
const NOT_NOW: EnhancedCode = EnhancedCode::new(4, 3, 0);
/// The same for good.
const NEVER: EnhancedCode = EnhancedCode::new(5, 3, 0);

/// A turn at the portal: one that does not answer must not take all attempts. `None`: not in time.
pub(super) async fn turn(line: &Line) -> Option<SemaphorePermit<'_>> {
    let limit = line.clock.now() + TURN_TIME;
    tokio::select! {
        biased;
        turn = line.depositing.acquire() => turn.ok(),
        () = line.clock.sleep_until(limit) => None,
    }
}

/// Leaves the message for each recipient of the attempt, and takes those out for whom it is not
/// there: their outcomes.
pub(in crate::flow) async fn leave(
    line: &Line,
    machinery: &Machinery,
    notice: &Notice,
    attempt: &mut Attempt,
) -> Vec<RecipientOutcome> {
    let recipients = std::mem::take(&mut attempt.recipients);
    let (Some(portal), Some(_turn)) = (&machinery.portal, turn(line).await) else {
        let text = match machinery.portal {
            Some(_) => BUSY,
            None => "no portal is configured",
        };
        let busy = |recipient| not_left(recipient, deferred(text));
        return recipients.into_iter().map(busy).collect();
    };
    let writer = match read_header(line, attempt.id).await {
        Ok(header) => writer(&attempt.envelope, &header, &line.postmaster),
        Err(error) => {
            tracing::error!(queue_id = %attempt.id, error = &error as &dyn std::error::Error, "a message that is to be left in the portal cannot be read; it waits");
            let failed = |recipient| not_left(recipient, deferred("the content cannot be read"));
            return recipients.into_iter().map(failed).collect();
        }
    };
    let mut outcomes = Vec::new();
    for recipient in recipients {
        match one(line, portal, notice, attempt, recipient, &writer).await {
            Ok(()) => attempt.recipients.push(recipient),
            Err(outcome) => outcomes.push(not_left(recipient, outcome)),
        }
    }
    outcomes
}

async fn one(
    line: &Line,
    portal: &Portal,
    notice: &Notice,
    attempt: &Attempt,
    recipient: u32,
    writer: &Writer,
) -> Result<(), Outcome> {
    let envelope = &attempt.envelope;
    let (Some(plan), Some(to)) = (
        attempt.prepared.plan(recipient),
        address(envelope, recipient),
    ) else {
        return Err(deferred("the plan names nobody"));
    };
    let since = attempt.suspected_since.unwrap_or(envelope.received);
    let deposit = Deposit {
        reference: notice.reference(),
        queue_id: attempt.id,
        recipient: to.clone(),
        author: writer.address.clone(),
        answerable: writer.answerable,
        author_name: writer.name.clone(),
        message_id: envelope.message_id.clone(),
        accepted: envelope.received,
        octets: envelope.size,
        level: plan.decision.level,
        factors: plan.decision.factors,
        trusted_before: envelope.received.min(since),
        wishes: envelope.pickup.clone(),
        language: notice.language(),
        expires: notice.expires(),
    };
    // Nobody takes it back meanwhile.
    let _claim = line.withdrawals.claim(attempt.id, to).await;
    let content = line.spool.content(attempt.id);
    let left = portal.client.deposit(&deposit, &content).await;
    match left {
        Ok(_) => line.withdrawals.call_off(attempt.id, to).await.map_err(|error| {
            tracing::error!(queue_id = %attempt.id, error = &error as &dyn std::error::Error, "a notice cannot be sent; it waits");
            deferred("the withdrawal of an earlier deposit could not be stopped")
        }),
        Err(PickupError::Refused(why)) => {
            tracing::warn!(queue_id = %attempt.id, %why, "the portal does not take a message");
            let text = format!("the portal did not take the message: {why}");
            Err(Outcome::NotDeposited(Status::local(NEVER, text)))
        }
        Err(PickupError::Retracted) => {
            // What this attempt came to gives way to the order; without it, it is asked again.
            retracted::cancel(line, attempt.id, to, None).await;
            Err(deferred(retracted::RETRACTED))
        }
        Err(error @ PickupError::Unavailable(_)) => {
            tracing::warn!(queue_id = %attempt.id, %error, "a message waits for the portal");
            Err(deferred(&error.to_string()))
        }
        Err(error @ (PickupError::Content(_) | PickupError::Failed(_))) => {
            tracing::error!(queue_id = %attempt.id, error = &error as &dyn std::error::Error, "a message cannot be left in the portal; it waits");
            Err(deferred(&error.to_string()))
        }
    }
}

pub(super) fn deferred(text: &str) -> Outcome {
    Outcome::Deferred {
        reason: DeferReason::Local,
        status: Status::local(NOT_NOW, text),
    }
}

pub(super) const fn not_left(recipient: u32, outcome: Outcome) -> RecipientOutcome {
    RecipientOutcome {
        recipient,
        outcome,
        hop: None,
        duplicate_possible: false,
    }
}
