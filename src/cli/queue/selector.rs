//! Which recipients a command of the queue is about.

use clap::Args;

use super::domain;
use crate::mail::Domain;
use crate::queue::QueueFilter;

/// What narrows the queue down; nothing of it means everyone.
#[derive(Debug, Args)]
pub(super) struct Selector {
    /// Only this recipient
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only recipients at this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Option<Domain>,
    /// Only this sender (reverse-path)
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// Only recipients in this state
    #[arg(long, value_parser = ["queued", "ready", "attempting", "deferred", "held"])]
    state: Option<String>,
    /// Only bounces of our own
    #[arg(long)]
    dsn: bool,
}

impl From<Selector> for QueueFilter {
    fn from(selector: Selector) -> Self {
        Self {
            recipient: selector.recipient,
            domain: selector.domain,
            sender: selector.sender,
            state: selector.state,
            dsn: selector.dsn,
            after: None,
            limit: 0,
        }
    }
}
