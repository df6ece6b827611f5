//! The queue as a resource: lists and single messages.

use super::{Code, Refusal};
use crate::flow::Handle;
use crate::mail::MessageId;
use crate::queue::{QueueDetail, QueueFilter, QueuePage};

fn stopping() -> Refusal {
    Refusal::new(Code::Stopping, "the daemon is stopping")
}

/// A page of messages that wait.
pub(super) async fn list(flow: &Handle, filter: QueueFilter) -> Result<QueuePage, Refusal> {
    flow.list(filter).await.ok_or_else(stopping)
}

/// One message, by its queue id.
pub(super) async fn show(flow: &Handle, queue_id: &str) -> Result<QueueDetail, Refusal> {
    let id: MessageId = queue_id
        .parse()
        .map_err(|error| Refusal::new(Code::BadRequest, format!("{error}")))?;
    flow.show(id).await.ok_or_else(|| {
        let text = format!(
            "no message {id} in the queue, nor among those that ended lately; look for it in the delivery log"
        );
        Refusal::new(Code::NotFound, text)
    })
}
