//! One attempt: hand the rendition to the relay, bring the outcomes back.
//!
//! Before anything else the decision is looked at once more: what does not stand any more is not
//! sent, and its recipient is decided again.

use std::sync::Arc;
use std::time::Duration;

use super::crowd::TURN_TIME;
use super::line::{Line, Machinery};
use super::portal::{deposit, retracted};
use super::prepare::NOT_PREPARED;
use crate::mail::{
    CertificateFact, CertificateProblem, Decision, DeferReason, EnhancedCode, Fingerprint, Outcome,
    RecipientOutcome, Rendition, Status, Timestamp, has_expired,
};
use crate::policy::certificate_carries;
use crate::queue::{Attempt, Input};
use crate::relay::Job;

/// How long it may take to find out whether the certificates of an attempt still stand.
const CHECK_TIME: Duration = Duration::from_secs(45);

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
    let rendition = rendition.clone();
    outcomes.extend(fallen(&line, &machinery, &rendition, &mut attempt).await);
    if attempt.recipients.is_empty() {
        return outcomes;
    }
    if let Some(notice) = rendition.deposit() {
        outcomes.extend(deposit::leave(&line, &machinery, notice, &mut attempt).await);
        if attempt.recipients.is_empty() {
            return outcomes;
        }
    } else {
        outcomes.extend(retracted::look(&line, &machinery, &mut attempt).await);
        if attempt.recipients.is_empty() {
            return outcomes;
        }
    }
    let job = Job {
        content: line.spool.content(attempt.envelope.id),
        rendition,
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
    let overtaken: Vec<u32> = overtaken;
    overtaken.into_iter().map(replan).collect()
}

/// Takes out the recipients whose certificate does not carry any more what was sealed to it: it has
/// expired, was removed, replaced or revoked, it cannot be found out whether it was, or it is not
/// trusted as far as the level asks. They are decided again.
async fn fallen(
    line: &Line,
    machinery: &Machinery,
    rendition: &Rendition,
    attempt: &mut Attempt,
) -> Vec<RecipientOutcome> {
    let Some(certificate) = rendition.certificate() else {
        return Vec::new();
    };
    let mut fallen = Vec::new();
    // One directory that does not answer must not take all attempts.
    let soon = line.clock.now() + TURN_TIME;
    let turn = line
        .checking
        .turn(&attempt.destination, line.clock, soon)
        .await;
    let among_all = match &turn {
        Some(_) => line.checking.among_all(line.clock, soon).await,
        None => None,
    };
    // Without a turn there is no time to ask: what is known at once has to do.
    let time = among_all.as_ref().map_or(Duration::ZERO, |_| CHECK_TIME);
    let limit = line.clock.now() + time;
    for at in std::mem::take(&mut attempt.recipients) {
        match lost(line, machinery, rendition, &certificate, attempt, at, limit).await {
            None => attempt.recipients.push(at),
            Some(why) => {
                tracing::info!(queue_id = %attempt.id, %certificate, %why, "what was sealed is not sent; its recipient is decided again");
                fallen.push(replan(at));
            }
        }
    }
    fallen
}

/// Why a certificate does not carry what was sealed to it; `None` if it does. What is not known by
/// `limit` is unknown.
async fn lost(
    line: &Line,
    machinery: &Machinery,
    rendition: &Rendition,
    certificate: &Fingerprint,
    attempt: &Attempt,
    at: u32,
    limit: Timestamp,
) -> Option<String> {
    let now = line.clock.now();
    let (Some(plan), Some(address), Some(smime)) = (
        attempt.prepared.plan(at),
        usize::try_from(at)
            .ok()
            .and_then(|at| attempt.envelope.recipients.get(at)),
        machinery.smime.as_ref(),
    ) else {
        return Some("S/MIME is not configured for it".to_owned());
    };
    if rendition
        .recipe()
        .is_some_and(|sealed| has_expired(sealed.expires, now))
    {
        return Some(CertificateProblem::Expired.to_string());
    }
    let stands = tokio::select! {
        biased;
        stands = smime.certificates.stands(address, certificate, now) => stands,
        () = line.clock.sleep_until(limit) => {
            let at_hand = smime.certificates.known(address, now).certificate;
            match at_hand.is_some_and(|known| known.fingerprint == *certificate) {
                true => smime.certificates.unanswered(certificate, now),
                // Nobody has said that it is vouched for still.
                false => Err(CertificateProblem::LookupFailed),
            }
        }
    };
    if let Err(problem) = stands {
        return Some(problem.to_string());
    }
    // What is not at hand was found elsewhere, and is trusted no further than that.
    let known = smime.certificates.known(address, now).certificate;
    let trusted = known
        .filter(|known| known.fingerprint == *certificate)
        .map_or(CertificateFact::Valid, |known| known.fact);
    let carries = certificate_carries(&plan.decision, trusted);
    (!carries).then(|| "it is not trusted any more as far as the level asks".to_owned())
}

const fn replan(recipient: u32) -> RecipientOutcome {
    RecipientOutcome {
        recipient,
        outcome: Outcome::Replan,
        hop: None,
        duplicate_possible: false,
    }
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
