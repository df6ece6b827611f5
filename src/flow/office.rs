//! The owner of the queue: one task that feeds the core and hands out its work.
//!
//! It decides nothing and awaits nothing but its inbox and the core's next due time; every piece
//! of work runs in a task of its own and comes back as exactly one message.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::line::Line;
use super::{FlowError, deliver, prepare, settle};
use crate::mail::{MessageId, Timestamp};
use crate::queue::{
    Input, Order, Output, Queue, QueueDetail, QueueExplanation, QueueFilter, QueuePage,
    QueueSummary, Selection, Tally,
};
use crate::world::clock::Clock;

/// Messages waiting for the owner; senders wait beyond it.
pub(super) const INBOX_MESSAGES: usize = 4096;
/// Most messages taken from the inbox before work is handed out again.
const BATCH_MESSAGES: usize = 256;

/// What the owner is told or asked.
pub(super) enum Message {
    /// Something for the core.
    Queue(Input),
    /// Which recipients wait?
    List(QueueFilter, oneshot::Sender<QueuePage>),
    /// What of this message?
    Show(MessageId, oneshot::Sender<Option<QueueDetail>>),
    /// Why does each recipient of it go the way it goes?
    Explain(MessageId, oneshot::Sender<Option<QueueExplanation>>),
    /// A person orders something.
    Operate(Selection, Arc<Order>, oneshot::Sender<Tally>),
    /// How many, in which state?
    Summary(oneshot::Sender<QueueSummary>),
    /// Hand out nothing more; answer and end once nothing is in flight.
    Drain(oneshot::Sender<()>),
    /// A settlement died half way: memory and disk may disagree, so the process must start again.
    Broken,
}

/// The task's state.
pub(super) struct Office {
    queue: Queue,
    clock: Clock,
    inbox: mpsc::Receiver<Message>,
    line: Arc<Line>,
    queued: Arc<AtomicUsize>,
    draining: Vec<oneshot::Sender<()>>,
    /// Who waits for what an order came to, by its ticket. As many as the doors have
    /// connections and as there are attempts, at most.
    ordered: HashMap<u64, oneshot::Sender<Tally>>,
    tickets: u64,
}

impl Office {
    pub(super) fn new(
        queue: Queue,
        inbox: mpsc::Receiver<Message>,
        line: Arc<Line>,
        queued: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            queue,
            clock: line.clock,
            inbox,
            line,
            queued,
            draining: Vec::new(),
            ordered: HashMap::new(),
            tickets: 0,
        }
    }

    /// Runs until drained, or until something broke that only a restart mends.
    pub(super) async fn run(mut self) -> Result<(), FlowError> {
        let mut batch = Vec::with_capacity(BATCH_MESSAGES);
        loop {
            self.hand_out();
            self.queued.store(self.queue.len(), Ordering::Relaxed);
            if !self.draining.is_empty() && self.queue.is_quiet() {
                for asker in self.draining.drain(..) {
                    // An asker that went away needs no answer.
                    asker.send(()).ok();
                }
                return Ok(());
            }
            let due = self.queue.poll_timeout();
            tokio::select! {
                received = self.inbox.recv_many(&mut batch, BATCH_MESSAGES) => {
                    if received == 0 {
                        return Ok(());
                    }
                    for message in batch.drain(..) {
                        self.take(message)?;
                    }
                }
                () = wait_for(self.clock, due) => {
                    self.queue.handle(self.clock.now(), Input::Tick);
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), FlowError> {
        let now = self.clock.now();
        match message {
            Message::Queue(input) => self.queue.handle(now, input),
            Message::List(filter, asker) => {
                asker.send(self.queue.list(&filter)).ok();
            }
            Message::Show(id, asker) => {
                asker.send(self.queue.show(id)).ok();
            }
            Message::Explain(id, asker) => {
                asker.send(self.queue.explain(id)).ok();
            }
            Message::Operate(selection, order, asker) => {
                self.tickets += 1;
                let ticket = self.tickets;
                self.ordered.insert(ticket, asker);
                let order = Input::Operate {
                    ticket,
                    selection,
                    order,
                };
                self.queue.handle(now, order);
            }
            Message::Summary(asker) => {
                asker.send(self.queue.summary()).ok();
            }
            Message::Drain(asker) => {
                self.draining.push(asker);
                self.queue.handle(now, Input::Drain);
            }
            Message::Broken => return Err(FlowError::Broken),
        }
        Ok(())
    }

    fn hand_out(&mut self) {
        while let Some(output) = self.queue.poll_output() {
            let line = Arc::clone(&self.line);
            match output {
                Output::Prepare(preparation) => {
                    tokio::spawn(prepare::run(line, preparation));
                }
                Output::Attempt(attempt) => {
                    tokio::spawn(deliver::run(line, attempt));
                }
                Output::Settle(settlement) => {
                    tokio::spawn(settle::run(line, settlement));
                }
                Output::Operated { ticket, tally } => {
                    if let Some(asker) = self.ordered.remove(&ticket) {
                        // An asker that went away needs no answer.
                        asker.send(tally).ok();
                    }
                }
            }
        }
    }
}

async fn wait_for(clock: Clock, due: Option<Timestamp>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}
