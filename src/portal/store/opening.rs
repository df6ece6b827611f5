//! A message is opened: first the record, then the content.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{MutexGuard, mpsc};
use zeroize::Zeroizing;

use crate::mail::{Reference, Timestamp};
use crate::proto::link::{Access, DepositState, Happening, PickupEvent};

use super::content::Source;
use super::depositing::subject_aad;
use super::outbox::Owed;
use super::record::{Record, cut};
use super::shared::{Shared, blocking, to_the_end};
use super::{OpenError, Store, StoreError};

impl Store {
    /// Hands the content out. That it was opened, when, from where and by what is durable, and owed
    /// to the line, before the content is read.
    pub async fn open_message(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Bytes, OpenError> {
        let (shared, reference) = (Arc::clone(&self.shared), *reference);
        Ok(to_the_end(async move { shared.open(reference, access).await }).await?)
    }

    /// The same for whoever hands the content on as it is: it is read as it is taken, and holds no
    /// memory but a few chunks meanwhile.
    pub async fn stream_message(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Streamed, OpenError> {
        let (shared, reference) = (Arc::clone(&self.shared), *reference);
        Ok(to_the_end(async move { shared.stream(reference, access).await }).await?)
    }

    /// A program looked at the page of a deposit: logged, a bounded number of times a day, and
    /// nothing changes.
    pub async fn note_probe(&self, reference: &Reference, access: Access) {
        let (shared, reference) = (Arc::clone(&self.shared), *reference);
        let now = shared.now();
        if !shared.index().probe(reference, now) {
            return;
        }
        let Ok(Some(record)) = shared.record(reference) else {
            return;
        };
        let mut event = record.event(Happening::Probed, now);
        event.client = Some(access.client);
        event.reasons = access.automated;
        self.owe(event).await;
    }

    /// The subjects of deposits that were opened, in the order asked for; `None` for the others,
    /// which show nothing of what is in them.
    pub async fn subjects(&self, references: &[Reference]) -> Vec<Option<String>> {
        let (shared, wanted) = (Arc::clone(&self.shared), references.to_vec());
        let read = blocking(move || {
            let subject = |&reference: &Reference| shared.subject(reference);
            Ok(wanted.iter().map(subject).collect())
        });
        read.await.unwrap_or_else(|_| vec![None; references.len()])
    }
}

/// A content on its way, a chunk at a time. An error breaks it off.
#[derive(Debug)]
pub struct Streamed {
    /// Octets in all.
    pub octets: u64,
    /// The chunks.
    pub from: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// A chunk that is wiped when the last copy of it is dropped.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads as long as somebody takes.
async fn pump(mut source: Source, to: mpsc::Sender<std::io::Result<Bytes>>) {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let chunk = source.next();
            (source, chunk)
        });
        let Ok((rest, chunk)) = read.await else {
            return;
        };
        source = rest;
        let chunk = match chunk {
            Ok(None) => return,
            Ok(Some(chunk)) => Ok(Bytes::from_owner(Wiped(chunk))),
            Err(error) => {
                tracing::error!(%error, "a message cannot be read to its end");
                Err(std::io::Error::other("the content cannot be read"))
            }
        };
        let last = chunk.is_err();
        if to.send(chunk).await.is_err() || last {
            return;
        }
    }
}

impl Shared {
    async fn stream(
        self: &Arc<Self>,
        reference: Reference,
        access: Access,
    ) -> Result<Streamed, StoreError> {
        let (record, _lock) = self.note_opening(reference, access).await?;
        let (shared, octets) = (Arc::clone(self), record.octets);
        let source = blocking(move || {
            let key = shared.slots.key(record.slot, reference)?;
            let owner = &record.recipient;
            shared.contents.source(reference, owner, &key, octets)
        });
        let (to, from) = mpsc::channel(1);
        tokio::spawn(pump(source.await?, to));
        Ok(Streamed { octets, from })
    }

    async fn open(
        self: &Arc<Self>,
        reference: Reference,
        access: Access,
    ) -> Result<Bytes, StoreError> {
        let octets = self.known(reference)?.octets;
        // Memory first: whoever holds the deposit's lock must not wait for other readers.
        let memory = self.contents.reserve(octets).await?;
        let (record, _lock) = self.note_opening(reference, access).await?;
        let shared = Arc::clone(self);
        blocking(move || {
            let key = shared.slots.key(record.slot, reference)?;
            let (owner, octets) = (&record.recipient, record.octets);
            shared.contents.read(reference, owner, &key, octets, memory)
        })
        .await
    }

    /// Puts an opening on record; with the deposit's lock, under which its key is to be read.
    async fn note_opening(
        self: &Arc<Self>,
        reference: Reference,
        access: Access,
    ) -> Result<(Record, MutexGuard<'_, ()>), StoreError> {
        let lock = self.locks.deposit(reference).await;
        let mut record = self.known(reference)?;
        let state = record.state_at(self.now());
        if !matches!(state, DepositState::Waiting | DepositState::Opened) {
            return Err(StoreError::Ended(state));
        }
        self.outbox.room()?;
        if record.open_untold {
            self.owe_opening(&record).await?; // the one before
        }
        record.note(access);
        self.save(&record).await?;
        self.tell_opening(&mut record).await?;
        Ok((record, lock))
    }

    /// Owes the line the news of the last opening, then notes that it is owed.
    pub(super) async fn tell_opening(&self, record: &mut Record) -> Result<(), StoreError> {
        self.owe_opening(record).await?;
        record.open_untold = false;
        self.save(record).await
    }

    async fn owe_opening(&self, record: &Record) -> Result<(), StoreError> {
        let Some(access) = record.last_access() else {
            return Ok(());
        };
        let mut event = record.event(Happening::Opened, access.time);
        event.factors.clone_from(&access.factors);
        event.client = Some(access.client.clone());
        event.reasons.clone_from(&access.automated);
        event.opened_before = Some(record.openings > 1);
        self.owe(Owed::Event(event)).await
    }

    fn subject(&self, reference: Reference) -> Option<String> {
        let record = self.record(reference).ok().flatten()?;
        if record.state != DepositState::Opened {
            return None;
        }
        let key = self.slots.key(record.slot, reference).ok()?;
        let subject = key.open(&subject_aad(reference), &record.subject).ok()?;
        String::from_utf8(subject).ok()
    }
}

impl Record {
    /// What happened to it, for the line's log.
    pub(super) fn event(&self, event: Happening, time: Timestamp) -> PickupEvent {
        PickupEvent {
            event,
            time,
            queue_id: Some(self.queue_id),
            message_id: Some(self.message_id.clone()),
            author: Some(self.author.clone()),
            recipient: Some(self.recipient.clone()),
            factors: Vec::new(),
            client: None,
            reasons: Vec::new(),
            actor: None,
            opened_before: None,
        }
    }
}

/// Keeps what an event says within bounds.
pub(super) fn bound(event: &mut PickupEvent) {
    event.reasons.truncate(8);
    event.reasons.iter_mut().for_each(cut);
    event.client.iter_mut().for_each(cut);
    event.actor.iter_mut().for_each(cut);
}
