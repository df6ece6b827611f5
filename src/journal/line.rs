//! The way in: from a producer's records to the writer's line.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{SemaphorePermit, oneshot};

use super::error::JournalError;
use super::record::Frame;
use super::writer::{Publish, QUEUE_OCTETS, Queue, Submission};

/// Where records are handed in. Cheap to clone; keeps the journal from nothing: once that is
/// closed, everything is refused.
#[derive(Clone)]
pub struct Line {
    queue: Arc<Queue>,
    most: u64,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// Room in the queue for records that are about to be submitted.
#[derive(Debug)]
pub struct Reservation<'a>(SemaphorePermit<'a>);

/// Resolves when submitted records are durable, or never will be. Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), JournalError>>);

impl Receipt {
    /// Waits.
    pub async fn durable(self) -> Result<(), JournalError> {
        self.0.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Line {
    pub(super) fn new(queue: Arc<Queue>, most: u64) -> Self {
        Self { queue, most }
    }

    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// The most octets that a record can have, header and padding included.
    pub fn most_octets(&self) -> u64 {
        self.most
    }

    /// Waits until the queue has room for `frames`.
    pub async fn reserve(&self, frames: &[Frame]) -> Result<Reservation<'_>, JournalError> {
        let octets: u64 = frames.iter().map(Frame::octets).sum();
        let permits = u32::try_from(octets).unwrap_or(u32::MAX).min(QUEUE_OCTETS);
        match self.queue.room.acquire_many(permits).await {
            Ok(permit) => Ok(Reservation(permit)),
            Err(_) => Err(self.queue.why_closed()),
        }
    }

    /// Whether every one of these records fits into a segment.
    pub fn check(&self, frames: &[Frame]) -> Result<(), JournalError> {
        let most = self.most;
        match frames.iter().map(Frame::octets).find(|&it| it > most) {
            Some(octets) => Err(JournalError::TooLarge { octets, most }),
            None => Ok(()),
        }
    }

    /// Puts records in line, to become durable together and in this order. With a reservation they
    /// are urgent; without, they go with the next batch, at the latest after [`super::SOON`], and take
    /// room without waiting for it (the caller bounds how much is under way). `publish` runs when
    /// they are durable, whether or not anybody still waits for the receipt.
    pub fn submit(
        &self,
        frames: Vec<Frame>,
        reservation: Option<Reservation<'_>>,
        publish: Publish,
    ) -> Receipt {
        let (done, receipt) = oneshot::channel();
        if let Err(error) = self.check(&frames) {
            drop(done.send(Err(error)));
            return Receipt(receipt);
        }
        let urgent = reservation.is_some();
        let permits = reservation.map_or(0, |Reservation(permit)| {
            let permits = permit.num_permits();
            permit.forget();
            permits
        });
        self.queue.push(Submission {
            frames,
            urgent,
            permits,
            publish,
            done,
        });
        Receipt(receipt)
    }
}
