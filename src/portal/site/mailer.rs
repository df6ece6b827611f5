//! What the pages need of whoever has codes mailed.

use crate::mail::MessageId;
use crate::proto::link::AskCode;
use crate::world::BoxFuture;

/// Has codes mailed by the line.
pub trait Mailer: Send + Sync + 'static {
    /// Has a code mailed; the queue id of its mail, or `None` where that is not possible now.
    fn send(&self, ask: AskCode) -> BoxFuture<'_, Option<MessageId>>;
}
