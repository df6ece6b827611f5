//! The queue as a resource: lists, single messages, and orders.

use super::{Code, OrderRequest, Refusal, actor};
use crate::flow::Handle;
use crate::mail::MessageId;
use crate::queue::{
    Order, QueueDetail, QueueExplanation, QueueFilter, QueuePage, Selection, Tally,
};

fn stopping() -> Refusal {
    Refusal::new(Code::Stopping, "the daemon is stopping")
}

/// A page of messages that wait.
pub(super) async fn list(flow: &Handle, filter: QueueFilter) -> Result<QueuePage, Refusal> {
    flow.list(filter).await.ok_or_else(stopping)
}

/// One message, by its queue id.
pub(super) async fn show(flow: &Handle, queue_id: &str) -> Result<QueueDetail, Refusal> {
    let id = parse(queue_id)?;
    flow.show(id).await.ok_or_else(|| unknown(id))
}

/// The decisions of one message, by its queue id.
pub(super) async fn explain(flow: &Handle, queue_id: &str) -> Result<QueueExplanation, Refusal> {
    let id = parse(queue_id)?;
    flow.explain(id).await.ok_or_else(|| unknown(id))
}

/// One slice of an order. `uid` is the account at the other end, where the system says.
pub(super) async fn order(
    flow: &Handle,
    request: OrderRequest,
    uid: Option<u32>,
) -> Result<Tally, Refusal> {
    let id = request.queue_id.as_deref().map(parse).transpose()?;
    if id.is_none() && !request.all && !narrows(&request.filter) {
        let text = "nobody is named: give a queue id, a filter, or all";
        return Err(Refusal::new(Code::BadRequest, text));
    }
    actor::check_reason(&request.reason)?;
    let order = Order {
        operation: request.operation,
        actor: actor::of(uid).await,
        reason: request.reason,
    };
    let selection = Selection {
        id,
        filter: request.filter,
    };
    let tally = flow.operate(selection, order).await.ok_or_else(stopping)?;
    match id {
        Some(id) if tally.changed + tally.later + tally.unchanged == 0 => {
            let text = format!("no recipient of {id} that matches waits in the queue");
            Err(Refusal::new(Code::NotFound, text))
        }
        _ => Ok(tally),
    }
}

/// Whether a filter leaves anyone out.
fn narrows(filter: &QueueFilter) -> bool {
    let QueueFilter {
        recipient,
        domain,
        sender,
        state,
        dsn,
        after: _,
        limit: _,
    } = filter;
    recipient.is_some() || domain.is_some() || sender.is_some() || state.is_some() || *dsn
}

fn parse(queue_id: &str) -> Result<MessageId, Refusal> {
    queue_id
        .parse()
        .map_err(|error| Refusal::new(Code::BadRequest, format!("{error}")))
}

fn unknown(id: MessageId) -> Refusal {
    let text = format!(
        "no message {id} in the queue, nor among those that ended lately; look for it in the delivery log"
    );
    Refusal::new(Code::NotFound, text)
}
