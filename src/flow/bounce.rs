//! The DSNs that a settlement owes to the sender: for those that failed, for those that are late.
//!
//! Never for the null reverse-path, never for a DSN of ours (RFC 5321 §4.5.5): those are held
//! where they fail, by the queue.

use std::sync::Arc;

use super::line::Line;
use super::settle::outcome;
use crate::mail::message::{MAX_ADDED_OCTETS, MAX_HEADER_OCTETS};
use crate::mail::{
    Address, DeferReason, Envelope, Final, Level, MessageClass, MessageId, Method, RecipientState,
    ReversePath, Timestamp,
};
use crate::queue::{Cause, SettledRecipient, Settlement};
use crate::report::bounce::{self, Bounce, FailedRecipient, Kind};
use crate::spool::{SpoolError, StagedBody};

/// Octets of a stored message that are looked through for its header.
const MAX_STORED_HEADER_OCTETS: usize = MAX_HEADER_OCTETS + MAX_ADDED_OCTETS;

/// A DSN, as log and queue know it.
pub(super) struct Sent {
    pub(super) kind: Kind,
    pub(super) envelope: Arc<Envelope>,
}

/// A DSN to be accepted.
pub(super) struct Made {
    pub(super) sent: Sent,
    pub(super) body: StagedBody,
}

/// Makes what is owed: at most one DSN of each kind.
pub(super) async fn make(line: &Line, settlement: &Settlement) -> Vec<Made> {
    let Some(sender) = owed_to(&settlement.envelope) else {
        return Vec::new();
    };
    let kinds = [
        Kind::Failed,
        Kind::Delayed {
            until: settlement.expires,
        },
    ];
    let mut made = Vec::new();
    for kind in kinds {
        let recipients = concerned(settlement, kind, line.clock.now());
        if !recipients.is_empty() {
            let header = stored_header(line, settlement).await;
            made.push(compose(line, settlement, sender, kind, recipients, &header));
        }
    }
    made
}

/// Whom a DSN about this message goes to, if anyone.
fn owed_to(envelope: &Envelope) -> Option<&Address> {
    match (envelope.class, &envelope.reverse_path) {
        (MessageClass::Submitted, ReversePath::Address(sender)) => Some(sender),
        (MessageClass::Submitted, ReversePath::Null)
        | (MessageClass::Dsn | MessageClass::Notice | MessageClass::Code, _) => None,
    }
}

fn concerned(settlement: &Settlement, kind: Kind, now: Timestamp) -> Vec<FailedRecipient<'_>> {
    settlement
        .changes
        .iter()
        .filter(|change| match kind {
            Kind::Failed => failed(change),
            Kind::Delayed { .. } => is_late(settlement, change),
        })
        .map(|change| FailedRecipient {
            recipient: change.recipient,
            record: &change.record,
            reason: reason(change),
            outcome: outcome(&change.cause),
            // An outcome that is at hand was learnt just now.
            last_attempt: outcome(&change.cause).map(|_| now),
            by_notice: goes_by_portal(settlement, change.recipient),
        })
        .collect()
}

/// Whether the recipient was to pick it up in the portal.
pub(super) fn goes_by_portal(settlement: &Settlement, recipient: u32) -> bool {
    let prepared = settlement.prepared.as_deref();
    let plan = prepared.and_then(|prepared| prepared.plan(recipient));
    plan.is_some_and(|plan| plan.decision.method() == Some(Method::Portal))
}

fn failed(change: &SettledRecipient) -> bool {
    matches!(
        change.record.state,
        RecipientState::Final(Final::Bounced | Final::Expired)
    )
}

/// A warning that the same settlement overtakes is no news.
fn is_late(settlement: &Settlement, change: &SettledRecipient) -> bool {
    change.cause == Cause::DelayWarning
        && !settlement
            .changes
            .iter()
            .any(|other| other.recipient == change.recipient && other.record.state.is_final())
}

/// Why the recipient was waiting.
fn reason(change: &SettledRecipient) -> Option<DeferReason> {
    match (&change.cause, &change.record.state) {
        (Cause::Expired { reason, .. }, _) => *reason,
        (_, RecipientState::Deferred { reason, .. }) => Some(*reason),
        _ => None,
    }
}

/// The header of the message; empty if it cannot be read, for the sender is told all the same.
async fn stored_header(line: &Line, settlement: &Settlement) -> Vec<u8> {
    match read_header(line, settlement.id).await {
        Ok(header) => header,
        Err(error) => {
            tracing::error!(queue_id = %settlement.id, error = &error as &dyn std::error::Error, "a bounce goes without the header of its message");
            Vec::new()
        }
    }
}

/// The header of a stored message.
pub(super) async fn read_header(line: &Line, id: MessageId) -> Result<Vec<u8>, SpoolError> {
    let mut reader = line.spool.content(id).open().await?;
    let mut start = Vec::new();
    while start.len() < MAX_STORED_HEADER_OCTETS {
        match reader.next().await? {
            Some(chunk) => {
                let wanted = chunk.len().min(MAX_STORED_HEADER_OCTETS - start.len());
                start.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
            }
            None => break,
        }
    }
    let (header, _) = crate::mail::message::split(&start);
    Ok(header.to_vec())
}

fn compose(
    line: &Line,
    settlement: &Settlement,
    sender: &Address,
    kind: Kind,
    recipients: Vec<FailedRecipient<'_>>,
    header: &[u8],
) -> Made {
    let (id, now) = (line.spool.next_id(), line.clock.now());
    let content = bounce::compose(&Bounce {
        id,
        date: now,
        hostname: &line.hostname,
        postmaster: &line.postmaster,
        sender,
        kind,
        original: &settlement.envelope,
        header,
        level: level(settlement, &recipients),
        recipients,
    });
    let envelope = Envelope {
        id,
        class: MessageClass::Dsn,
        reverse_path: ReversePath::Null,
        recipients: vec![sender.clone()],
        author: None,
        message_id: bounce::message_id(id, &line.hostname),
        client: None,
        received: now,
        size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    };
    Made {
        sent: Sent {
            kind,
            envelope: Arc::new(envelope),
        },
        body: StagedBody::from_bytes(content),
    }
}

/// The highest level among the recipients; the highest there is where none was decided.
fn level(settlement: &Settlement, recipients: &[FailedRecipient<'_>]) -> Level {
    let prepared = settlement.prepared.as_deref();
    recipients
        .iter()
        .map(|failed| {
            prepared
                .and_then(|prepared| prepared.plan(failed.recipient))
                .map_or(Level::Sealed, |plan| plan.decision.level)
        })
        .max()
        .unwrap_or(Level::Sealed)
}
