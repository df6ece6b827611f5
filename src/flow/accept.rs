//! Mail comes in: durable first, then in memory, then the client is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::contacts::Volumes;
use super::office::Message;
use crate::mail::{Envelope, MessageId, Timestamp};
use crate::queue::Input;
use crate::report::{DeliveryLog, events};
use crate::spool::{BodyWriter, Change, Spool, SpoolError, StagedBody};
use crate::world::clock::Clock;

/// Most messages held in the queue; past it, submission answers 421.
pub const MAX_QUEUED_MESSAGES: usize = 2_000_000;

/// Why no mail is taken in at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The spool's volume is nearly full: 452 4.3.1.
    #[error("the volume of the spool is nearly full")]
    Full,
    /// The daemon is going down: 421 4.3.2.
    #[error("the daemon is shutting down")]
    Draining,
    /// The queue is at its bound, or the delivery log cannot be written: 421 4.3.2.
    #[error("the queue holds as many messages as it may, or the delivery log cannot be written")]
    Overloaded,
    /// The spool failed; the process is about to exit: 451 4.3.0.
    #[error("the spool failed")]
    Failed,
}

/// A message was not accepted: nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It could not be made durable.
    #[error("the message could not be stored")]
    Spool(#[source] Arc<SpoolError>),
    /// The task that stores it died.
    #[error("the message could not be stored: its task ended early")]
    Interrupted,
}

/// The way in, shared by every submission session.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) clock: Clock,
    pub(super) spool: Spool,
    pub(super) log: DeliveryLog,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) volumes: Arc<Volumes>,
}

impl Intake {
    pub(super) fn admits(&self) -> Result<(), NotNow> {
        if self.draining.load(Ordering::Acquire) {
            return Err(NotNow::Draining);
        }
        if self.spool.failure().borrow().is_some() {
            return Err(NotNow::Failed);
        }
        if self.queued.load(Ordering::Relaxed) >= MAX_QUEUED_MESSAGES {
            return Err(NotNow::Overloaded);
        }
        if !self.log.has_room() {
            return Err(NotNow::Overloaded);
        }
        self.spool.free_space().map_err(|_| NotNow::Full)
    }

    pub(super) fn begin(&self) -> (MessageId, BodyWriter) {
        let id = self.spool.next_id();
        (id, self.spool.writer(id))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stores the message and hands it to the queue. Runs in a task of its own: a client that
    /// hangs up meanwhile must not leave a message that is durable and forgotten.
    pub(super) async fn accept(
        &self,
        envelope: Envelope,
        body: StagedBody,
    ) -> Result<(), AcceptError> {
        let intake = self.clone();
        tokio::spawn(async move { intake.store(Arc::new(envelope), body).await })
            .await
            .map_err(|_| AcceptError::Interrupted)?
    }

    async fn store(&self, envelope: Arc<Envelope>, body: StagedBody) -> Result<(), AcceptError> {
        let change = Change::Accept {
            envelope: Arc::clone(&envelope),
            body,
        };
        self.spool
            .commit(vec![change])
            .await
            .map_err(|error| AcceptError::Spool(Arc::new(error)))?;
        self.log
            .record(events::received(self.clock.now(), &envelope))
            .await;
        if let Some(client) = &envelope.client {
            let recipients = u64::try_from(envelope.recipients.len()).unwrap_or(u64::MAX);
            let received = envelope.received;
            self.volumes.add(&client.user, received, recipients);
        }
        let input = Message::Queue(Input::Accepted { envelope });
        if self.inbox.send(input).await.is_err() {
            // The queue's owner is gone, so the process is: the message is on disk, and the
            // next start finds it there.
            tracing::warn!("a message was stored while the queue was shutting down");
        }
        Ok(())
    }
}
