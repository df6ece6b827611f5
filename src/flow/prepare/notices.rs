//! The notices of what goes into the portal: composed, signed, one for each recipient.
//!
//! The one place where the demand of a notice is given (`tests/layering.rs` reads for that). A
//! recipient keeps its reference for as long as the message waits, so that the link of a notice
//! that arrived without our knowing leads to what is there.

use std::sync::Arc;

use super::super::bounce::read_header;
use super::super::line::{Line, Machinery};
use super::super::portal::{Portal, Writer, address, new_reference, writer};
use super::PrepareError;
use super::render::signing_domain;
use crate::mail::{
    Decision, Level, Notice, PickupBy, Prepared, RecipientPlan, Reference, Rendition, Timestamp,
};
use crate::notice::Waiting;
use crate::policy::{Wanted, wanted};
use crate::queue::{Preparation, ToDecide};

/// Notices of one message that stand in the spool at a time: they are in one record, and in memory
/// for as long as the message waits. Further recipients wait until others have ended.
const MAX_NOTICES: usize = 1000;

/// A notice to be signed.
struct Draft {
    at: usize,
    level: Level,
    by: PickupBy,
    notice: Arc<Notice>,
}

/// The renditions of those who are to pick it up in the portal, in the order of the decisions.
pub(super) async fn notices(
    line: &Line,
    machinery: &Arc<Machinery>,
    preparation: &Preparation,
    decisions: &[Arc<Decision>],
    now: Timestamp,
) -> Result<Vec<Option<Rendition>>, PrepareError> {
    let mut made = vec![None; decisions.len()];
    let class = preparation.envelope.class;
    let wants = |decision: &Arc<Decision>| matches!(wanted(decision, class), Wanted::Notice(_));
    let Some(portal) = machinery.portal.as_ref() else {
        return Ok(made);
    };
    if !decisions.iter().any(wants) {
        return Ok(made);
    }
    let header = read_header(line, preparation.id).await;
    let header = header.map_err(PrepareError::Content)?;
    let writer = writer(&preparation.envelope, &header, &line.postmaster);
    let room = MAX_NOTICES.saturating_sub(kept(preparation));
    let mut drafts = Vec::new();
    for (at, (to_decide, decision)) in preparation.recipients.iter().zip(decisions).enumerate() {
        let Wanted::Notice(by) = wanted(decision, class) else {
            continue;
        };
        if drafts.len() >= room {
            tracing::warn!(queue_id = %preparation.id, "a message has more recipients for the portal than can be noticed at a time; the others wait");
            break;
        }
        let reference = reference(line, preparation, to_decide);
        let reference = reference.ok_or(PrepareError::NoRandomness)?;
        let notice = compose(portal, preparation, to_decide, &writer, reference, now);
        drafts.extend(notice.map(|notice| Draft {
            at,
            level: decision.level,
            by,
            notice: Arc::new(notice),
        }));
    }
    let author = signing_domain(line, machinery, &preparation.envelope);
    let machinery = Arc::clone(machinery);
    let signing = tokio::task::spawn_blocking(move || {
        let sign = |draft: Draft| {
            let rendition = Rendition::notice(draft.level, draft.by, Arc::clone(&draft.notice));
            let Some(author) = &author else {
                return Ok((draft.at, rendition));
            };
            let signed = machinery.signer.sign(now, author, draft.notice.octets())?;
            let rendition = rendition.with_signature(signed.prefix, signed.domains);
            Ok((draft.at, rendition))
        };
        drafts.into_iter().map(sign).collect::<Result<Vec<_>, _>>()
    });
    let signed = signing.await.map_err(|_| PrepareError::Interrupted)?;
    for (at, rendition) in signed.map_err(PrepareError::Sign)? {
        if let Some(place) = made.get_mut(at) {
            *place = Some(rendition);
        }
    }
    Ok(made)
}

/// Notices that stay: of recipients that live and are not decided now.
fn kept(preparation: &Preparation) -> usize {
    let Some(previous) = &preparation.previous else {
        return 0;
    };
    let decided = preparation.recipients.iter().map(|it| it.recipient);
    let gone: std::collections::HashSet<u32> =
        decided.chain(preparation.ended.iter().copied()).collect();
    let stays = |plan: &&RecipientPlan| {
        let rendition = previous.rendition(plan);
        let notice = rendition.is_some_and(|it| it.deposit().is_some());
        notice && !gone.contains(&plan.recipient)
    };
    previous.plans.iter().filter(stays).count()
}

/// What the recipient's notice called it before, else something new.
fn reference(line: &Line, preparation: &Preparation, of: &ToDecide) -> Option<Reference> {
    let previous = preparation.previous.as_deref();
    let before = previous.and_then(|previous| called(previous, of.recipient));
    let behind = || {
        let recipient = address(&preparation.envelope, of.recipient)?;
        line.withdrawals.reference(preparation.id, recipient)
    };
    before.or_else(behind).or_else(new_reference)
}

/// What the notice of a recipient calls its deposit.
pub(super) fn called(prepared: &Prepared, recipient: u32) -> Option<Reference> {
    let rendition = prepared.rendition(prepared.plan(recipient)?)?;
    Some(rendition.deposit()?.reference())
}

fn compose(
    portal: &Portal,
    preparation: &Preparation,
    to_decide: &ToDecide,
    writer: &Writer,
    reference: Reference,
    now: Timestamp,
) -> Option<Notice> {
    let envelope = &preparation.envelope;
    let recipient = address(envelope, to_decide.recipient)?;
    let waiting = Waiting {
        reference,
        recipient,
        author: &writer.address,
        author_name: writer.name.as_deref(),
        language: portal.language(envelope, recipient),
        expires: now + portal.expire_after,
    };
    Some(portal.setting.notice(now, &waiting))
}
