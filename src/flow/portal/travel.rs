//! How mails of ours for the portal travelled, and telling it of codes: whether one counts hangs on
//! it. Of replies tells [`super::news`].
//!
//! Of codes, best effort: nothing durable stands behind it. What the portal does not hear it counts
//! as not delivered yet; at worst a person asks for another code.

use std::sync::Arc;
use std::time::Duration;

use super::super::line::Line;
use super::super::settle::outcome;
use super::is_reply;
use crate::mail::{Final, MessageClass, RecipientState};
use crate::proto::link::Travelled;
use crate::queue::{SettledRecipient, Settlement};

/// The pauses between tries.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// How a mail ended with this change, if it did.
pub(super) fn travelled(settlement: &Settlement, change: &SettledRecipient) -> Option<Travelled> {
    let RecipientState::Final(ended) = change.record.state else {
        return None;
    };
    let hop = outcome(&change.cause).and_then(|it| it.hop.as_ref());
    Some(Travelled {
        queue_id: settlement.id,
        ended,
        grade: hop.map(|hop| hop.grade),
        reply: is_reply(&settlement.envelope),
    })
}

/// Tells what has ended with a settlement: of a code the portal, in a task of its own; of a reply
/// that was not delivered our log.
pub(in crate::flow) fn tell(line: &Arc<Line>, settlement: &Settlement) {
    let envelope = &settlement.envelope;
    let ended = settlement.changes.iter();
    let ended = ended.filter_map(|change| travelled(settlement, change));
    match envelope.class {
        MessageClass::Code => ended.for_each(|travelled| tell_code(line, travelled)),
        MessageClass::Submitted if is_reply(envelope) => ended.for_each(|travelled| {
            if !matches!(travelled.ended, Final::Delivered | Final::Deposited) {
                // Its writer has no mailbox with us: only the portal's pages say it, and this.
                tracing::warn!(queue_id = %travelled.queue_id, ended = ?travelled.ended, "a reply that was written in the portal was not delivered");
            }
        }),
        // What becomes of a notice the portal learns as a deposit that stays or is taken back.
        MessageClass::Submitted | MessageClass::Notice | MessageClass::Dsn => {}
    }
}

fn tell_code(line: &Arc<Line>, travelled: Travelled) {
    let Ok(turn) = Arc::clone(&line.telling).try_acquire_owned() else {
        tracing::warn!(queue_id = %travelled.queue_id, "the portal is not told how a code travelled: too many wait to be told");
        return;
    };
    let line = Arc::clone(line);
    tokio::spawn(async move {
        told(&line, travelled).await;
        drop(turn);
    });
}

async fn told(line: &Line, travelled: Travelled) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let machinery = line.machinery();
        let Some(portal) = &machinery.portal else {
            return;
        };
        let Err(error) = portal.client.travelled(&travelled).await else {
            return;
        };
        let Some(pause) = pauses.next() else {
            tracing::warn!(queue_id = %travelled.queue_id, %error, "the portal was not told how a code travelled");
            return;
        };
        line.clock.sleep_until(line.clock.now() + pause).await;
    }
}
