//! The straight line: accept, prepare, deliver, settle. The only place that knows the order.
//!
//! Write order everywhere: the journal record is durable, then memory follows, then the outside
//! is told (the client's 250, the delivery log, the sender's bounce).
//!
//! - [`accept`]: a submission session brings an envelope and a staged body;
//! - `prepare`: policy decides, certificates are looked up, the message is sealed and signed, the
//!   renditions become durable;
//! - `deliver`: the relay makes an attempt;
//! - `settle`: its outcome becomes durable, then it is logged and, where it failed, bounced;
//! - `bounce`: the DSN that a settlement owes to the sender;
//! - [`ours`]: mails of ours that the portal has made: codes, reminders, reports;
//! - [`portal`]: what is left in the portal, taken back, and told to it;
//! - [`facts`]: what is known of a message when it is decided, and [`contacts`] what is remembered;
//! - [`recorded`]: what a record of a decision keeps of its facts;
//! - `office`: the one task that owns the queue's core and hands out these pieces of work.
//!
//! Only `settle` turns errors into outcomes. Nothing here knows SMTP, TLS or DNS.

pub mod accept;
mod bounce;
pub mod certificates;
pub mod contacts;
mod crowd;
mod deliver;
pub mod facts;
mod known;
mod line;
mod office;
pub mod ours;
mod plans;
pub mod portal;
mod prepare;
pub mod recorded;
mod settle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

pub use accept::{AcceptError, NotNow};
pub use certificates::{KnowsCertificates, Smime};
pub use contacts::Contacts;
pub use line::Machinery;
pub use ours::OursError;
pub use portal::news::News;
pub use portal::retracted::By;
pub use portal::withdraw::Withdrawals;
pub use portal::{PORTAL_ACCOUNT, Portal};

use crate::mail::{Address, Domain, Envelope, MessageId, Timestamp};
use crate::queue::{
    Input, Order, Queue, QueueDetail, QueueExplanation, QueueFilter, QueuePage, QueueSummary,
    Selection, Tally,
};
use crate::report::{Decisions, DeliveryLog};
use crate::spool::{BodyWriter, Recovered, Spool, StagedBody};
use crate::world::clock::Clock;
use accept::Intake;
use line::Line;
use office::{INBOX_MESSAGES, Message, Office};

/// What the line is built from.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Where mail is kept.
    pub spool: Spool,
    /// Where every step is told.
    pub log: DeliveryLog,
    /// Our name: in bounces, and against loops.
    pub hostname: Domain,
    /// Who bounces come from.
    pub postmaster: Address,
    /// Where decisions are put on record.
    pub decisions: Decisions,
    /// Who has written to whom.
    pub contacts: Contacts,
    /// What must not stay in the portal.
    pub withdrawals: Withdrawals,
    /// What the portal is to be told of replies.
    pub news: News,
    /// What a reload replaces.
    pub machinery: Machinery,
}

/// The line cannot go on; only a restart, which recovers from disk, mends it.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A settlement ended half way.
    #[error("a settlement ended early: memory and disk may disagree")]
    Broken,
}

/// The line, as the doors see it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    intake: Intake,
    line: Arc<Line>,
}

/// Starts the line: `queue` is the empty core, `recovered` what the spool found. The task ends when drained, or with an error that only a restart mends.
pub fn start(
    parts: Parts,
    mut queue: Queue,
    recovered: Vec<Recovered>,
) -> (Handle, JoinHandle<Result<(), FlowError>>) {
    let now = parts.clock.now();
    for message in recovered {
        queue.handle(
            now,
            Input::Recovered {
                envelope: message.envelope,
                prepared: message.prepared,
                recipients: message.recipients,
            },
        );
    }
    let (sender, inbox) = mpsc::channel(INBOX_MESSAGES);
    let queued = Arc::new(AtomicUsize::new(queue.len()));
    let (clock, spool, log) = (parts.clock, parts.spool.clone(), parts.log.clone());
    let line = Arc::new(Line::new(parts, sender.clone()));
    let intake = Intake {
        clock,
        spool,
        log,
        inbox: sender,
        draining: Arc::new(AtomicBool::new(false)),
        queued: Arc::clone(&queued),
        volumes: Arc::clone(&line.volumes),
    };
    let office = Office::new(queue, inbox, Arc::clone(&line), queued);
    let withdrawing = tokio::spawn(portal::withdraw::run(Arc::clone(&line)));
    let telling = tokio::spawn(portal::news::run(Arc::clone(&line)));
    let beside = [withdrawing, telling].map(|task| Ends(task.abort_handle()));
    let task = tokio::spawn(async move {
        let _beside = beside;
        office.run().await
    });
    (Handle { intake, line }, task)
}

/// Ends a task when dropped.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Handle {
    /// Whether mail is taken in now; asked at MAIL, before the client sends any content.
    pub fn admits(&self) -> Result<(), NotNow> {
        self.intake.admits()
    }

    /// A new id and the writer for its content; asked at DATA. Dropping the writer leaves nothing.
    pub fn begin(&self) -> (MessageId, BodyWriter) {
        self.intake.begin()
    }

    /// Takes the message. `Ok` means durable: the client may be told 250.
    pub async fn accept(&self, envelope: Envelope, body: StagedBody) -> Result<(), AcceptError> {
        self.intake.accept(envelope, body).await
    }

    /// The time, as the line sees it.
    pub fn now(&self) -> Timestamp {
        self.intake.now()
    }

    /// Policy, signer and relay in force. Who asks one of them twice about the same message asks
    /// the same snapshot.
    pub fn machinery(&self) -> Arc<Machinery> {
        self.line.machinery()
    }

    /// Replaces policy, signer and relay; work in flight ends with what it began with.
    pub fn reload(&self, machinery: Machinery) {
        self.line.replace(machinery);
    }

    /// Messages that wait, oldest first, a page at a time; `None` once the line has ended.
    pub async fn list(&self, filter: QueueFilter) -> Option<QueuePage> {
        self.ask(|asker| Message::List(filter, asker)).await
    }

    /// What is known of a message; also of one that ended a short while ago.
    pub async fn show(&self, id: MessageId) -> Option<QueueDetail> {
        self.detail(id).await.flatten()
    }

    /// The same; the outer `None` once the line has ended.
    async fn detail(&self, id: MessageId) -> Option<Option<QueueDetail>> {
        self.ask(|asker| Message::Show(id, asker)).await
    }

    /// Why each recipient of a message goes the way it goes; also of one that ended a short while
    /// ago.
    pub async fn explain(&self, id: MessageId) -> Option<QueueExplanation> {
        self.ask(|asker| Message::Explain(id, asker))
            .await
            .flatten()
    }

    /// Carries out one slice of an order; answered once what it changed is durable.
    pub async fn operate(&self, selection: Selection, order: Order) -> Option<Tally> {
        self.ask(|asker| Message::Operate(selection, Arc::new(order), asker))
            .await
    }

    /// Counts by state.
    pub async fn summary(&self) -> Option<QueueSummary> {
        self.ask(Message::Summary).await
    }

    /// Takes nothing more in, starts nothing more, and waits until what is in flight has
    /// settled, for `limit` at most. Whether everything settled.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.refuse();
        let drained = self.ask(Message::Drain);
        matches!(tokio::time::timeout(limit, drained).await, Ok(Some(())))
    }

    /// Takes nothing more in: [`Handle::admits`] says so from now on.
    pub fn refuse(&self) {
        self.intake.draining.store(true, Ordering::Release);
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (asker, answer) = oneshot::channel();
        self.intake.inbox.send(question(asker)).await.ok()?;
        answer.await.ok()
    }
}
