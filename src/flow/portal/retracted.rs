//! What was retracted in the portal is not sent any other way.
//!
//! A message that was left in the portal may still wait here: its notice is deferred, or another
//! method is tried meanwhile. Whoever retracts it is told whether it was opened, and that must stay
//! the truth. So the recipient is cancelled, as `queue cancel` does it, as soon as the line hears of
//! it: the portal tells it ([`Handle::retracted`]), or refuses the same deposit, or its withdrawal.
//! And before content goes by another method to somebody for whom something was left, the portal is
//! asked ([`look`]), for what it tells may come late; while it cannot be asked the content waits,
//! also where none is configured any more.

use crate::flow::Handle;
use crate::mail::{Address, MessageId, Method, Outcome, RecipientOutcome};
use crate::queue::{Attempt, Operation, Order, QueueFilter, Selection, Tally};

use super::super::line::{Line, Machinery};
use super::deposit::{BUSY, deferred, not_left, turn};
use super::{Portal, address};

/// What the log says of the order.
pub(super) const RETRACTED: &str = "retracted in the portal";
/// Why what was left in a portal waits where there is none any more.
const NO_PORTAL: &str = "it was left in the portal, and without [portal] in the configuration \
    nobody can say whether it was retracted there";
/// Who orders it where nobody is named.
const NOBODY: &str = "portal";

/// Who retracted something, and why.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: Option<String>,
    /// Why.
    pub reasons: Vec<String>,
}

impl Handle {
    /// A message was retracted in the portal: what this line still has of it for that recipient is
    /// cancelled. That is durable when this returns, unless somebody is busy with the recipient:
    /// then it is done as soon as that ends, and after a crash whoever is about to send asks the
    /// portal. Only what the line has left there: over the rest the portal has no say. `false` once
    /// the line has ended.
    pub async fn retracted(&self, id: MessageId, recipient: &Address, by: &By) -> bool {
        let Some(detail) = self.detail(id).await else {
            return false;
        };
        let by_portal = Method::Portal.to_string();
        let noticed = detail
            .iter()
            .flat_map(|detail| &detail.recipients)
            .any(|it| {
                it.recipient == recipient.to_string() && it.method.as_ref() == Some(&by_portal)
            });
        if !noticed && !self.line.withdrawals.knows(id, recipient) {
            return true;
        }
        let tally = cancel(&self.line, id, recipient, Some(by)).await;
        tally.is_some()
    }
}

/// Cancels a recipient, whichever way its local part is written. `None` once the line has ended.
pub(in crate::flow) async fn cancel(
    line: &Line,
    id: MessageId,
    recipient: &Address,
    by: Option<&By>,
) -> Option<Tally> {
    let selection = Selection {
        id: Some(id),
        filter: QueueFilter {
            recipient: Some(recipient.to_string()),
            ..QueueFilter::default()
        },
    };
    let actor = by.and_then(|by| by.actor.clone());
    let mut reason = RETRACTED.to_owned();
    for why in by.iter().flat_map(|by| &by.reasons) {
        reason.push_str(": ");
        reason.push_str(why);
    }
    let order = Order {
        operation: Operation::Cancel,
        actor: actor.unwrap_or_else(|| NOBODY.to_owned()),
        reason,
    };
    let tally = line.operate(selection, order).await?;
    if tally.changed > 0 {
        tracing::info!(queue_id = %id, "a message was retracted in the portal and is not sent any more");
    }
    Some(tally)
}

/// Asks the portal of those for whom something was left there before their content goes another
/// way, and takes those out for whom it was retracted or who must wait: their outcomes.
pub(in crate::flow) async fn look(
    line: &Line,
    machinery: &Machinery,
    attempt: &mut Attempt,
) -> Vec<RecipientOutcome> {
    let (id, envelope) = (attempt.id, &attempt.envelope);
    let is_left =
        |at: &u32| address(envelope, *at).is_some_and(|it| line.withdrawals.knows(id, it));
    let (left, mut go): (Vec<u32>, Vec<u32>) = std::mem::take(&mut attempt.recipients)
        .into_iter()
        .partition(is_left);
    let mut outcomes = Vec::new();
    let portal = match left.is_empty() {
        true => None,
        false => machinery.portal.as_ref(),
    };
    let turn = match portal {
        Some(_) => turn(line).await,
        None => None,
    };
    for recipient in left {
        let outcome = match (portal, &turn, address(envelope, recipient)) {
            (Some(portal), Some(_), Some(to)) => may_go(line, portal, id, to).await,
            (None, _, _) => {
                tracing::warn!(queue_id = %id, "whether a message was retracted in the portal is not known without [portal]: it does not go another way");
                Err(deferred(NO_PORTAL))
            }
            (Some(_), None, _) | (Some(_), _, None) => Err(deferred(BUSY)),
        };
        match outcome {
            Ok(()) => go.push(recipient),
            Err(outcome) => outcomes.push(not_left(recipient, outcome)),
        }
    }
    go.sort_unstable();
    attempt.recipients = go;
    outcomes
}

async fn may_go(line: &Line, portal: &Portal, id: MessageId, to: &Address) -> Result<(), Outcome> {
    match portal.client.was_retracted(id, to).await {
        Ok(false) => Ok(()),
        Ok(true) => {
            // What this attempt came to gives way to the order.
            cancel(line, id, to, None).await;
            Err(deferred(RETRACTED))
        }
        Err(error) => {
            tracing::warn!(queue_id = %id, %error, "whether a message was retracted in the portal is not known: it does not go another way yet");
            Err(deferred(&error.to_string()))
        }
    }
}
