//! Tells the portal how the mails that it had made travelled: whether a code counts hangs on it,
//! and what its pages say of a reply.
//!
//! Best effort: nothing durable stands behind it. What the portal does not hear it counts as not
//! delivered yet; at worst a person asks for another code.

use std::sync::Arc;
use std::time::Duration;

use super::super::line::Line;
use super::super::settle::outcome;
use super::is_awaited;
use crate::mail::RecipientState;
use crate::proto::link::Travelled;
use crate::queue::Settlement;

/// The pauses between tries.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// Tells what has ended with a settlement, in a task of its own.
pub(in crate::flow) fn tell(line: &Arc<Line>, settlement: &Settlement) {
    if !is_awaited(&settlement.envelope) {
        return;
    }
    for change in &settlement.changes {
        let RecipientState::Final(ended) = change.record.state else {
            continue;
        };
        let hop = outcome(&change.cause).and_then(|it| it.hop.as_ref());
        let travelled = Travelled {
            queue_id: settlement.id,
            ended,
            grade: hop.map(|hop| hop.grade),
        };
        match Arc::clone(&line.telling).try_acquire_owned() {
            Ok(turn) => {
                let line = Arc::clone(line);
                tokio::spawn(async move {
                    told(&line, travelled).await;
                    drop(turn);
                });
            }
            Err(_) => {
                tracing::warn!(queue_id = %settlement.id, "the portal is not told how a mail travelled: too many wait to be told");
            }
        }
    }
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
            tracing::warn!(queue_id = %travelled.queue_id, %error, "the portal was not told how a mail travelled");
            return;
        };
        line.clock.sleep_until(line.clock.now() + pause).await;
    }
}
