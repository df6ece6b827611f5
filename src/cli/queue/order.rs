//! `sealpost queue retry`, `hold`, `release` and `cancel`: what a person orders.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::super::{Failure, output};
use super::selector::Selector;
use crate::admin::client::ask;
use crate::admin::{OrderRequest, Request};
use crate::queue::{Operation, QueueFilter, Tally};

/// Recipients, and why.
#[derive(Debug, Args)]
pub struct Order {
    /// Recipients of one message, by its queue id
    #[arg(required_unless_present_any = ["recipient", "domain", "sender", "state", "dsn", "all"])]
    queue_id: Option<String>,
    #[command(flatten)]
    selector: Selector,
    /// Everyone in the queue
    #[arg(long, conflicts_with_all = ["queue_id", "recipient", "domain", "sender", "state", "dsn"])]
    all: bool,
    /// Why: for the delivery log
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// What an order came to, for machines.
#[derive(Serialize)]
struct Report {
    operation: Operation,
    changed: usize,
    later: usize,
    unchanged: usize,
}

impl Order {
    pub(super) fn run(self, socket: &Path, operation: Operation) -> Result<(), Failure> {
        let mut request = OrderRequest {
            operation,
            queue_id: self.queue_id,
            filter: QueueFilter::from(self.selector),
            all: self.all,
            reason: self.reason,
        };
        let mut sum = Tally::default();
        loop {
            let order = Request::QueueOrder(request.clone());
            let slice: Tally = ask(socket, &order).map_err(|error| super::explain(&error))?;
            sum.changed += slice.changed;
            sum.later += slice.later;
            sum.unchanged += slice.unchanged;
            request.filter.after = slice.next;
            if request.filter.after.is_none() {
                break;
            }
            output::complain(&format!("{} so far", recipients(sum.changed)));
        }
        if self.json {
            return output::json(&Report {
                operation,
                changed: sum.changed,
                later: sum.later,
                unchanged: sum.unchanged,
            });
        }
        output::say(&text(operation, &sum))
    }
}

fn text(operation: Operation, sum: &Tally) -> String {
    let (done, idle) = match operation {
        Operation::Release => ("released", "are not held"),
        Operation::Hold => ("held", "are held already"),
        Operation::Cancel => ("cancelled", "have nothing to cancel"),
        Operation::Retry => ("due now", "do not wait for another attempt"),
    };
    let mut lines = Vec::new();
    if sum.changed > 0 {
        lines.push(format!("{}: {done}", recipients(sum.changed)));
    }
    if sum.later > 0 {
        lines.push(format!(
            "{}: busy just now (being decided, attempted or written); {done} when that ends, unless it ends in delivery or the daemon stops before",
            recipients(sum.later)
        ));
    }
    if sum.unchanged > 0 {
        lines.push(format!("{}: {idle}", recipients(sum.unchanged)));
    }
    if lines.is_empty() {
        lines.push("nobody in the queue matches".to_owned());
    }
    lines.join("\n")
}

fn recipients(count: usize) -> String {
    match count {
        1 => "1 recipient".to_owned(),
        count => format!("{count} recipients"),
    }
}
