//! A message is left: octets in, then slot, content and row, in this order.

use std::sync::Arc;

use bytes::Bytes;
use mail_parser::MessageParser;

use crate::journal::MessageKey;
use crate::mail::{Deposit, Reference, SenderSecret, Timestamp};
use crate::proto::link::{DepositState, Deposited};

use super::content::Sink;
use super::record::Record;
use super::shared::{Arrival, Shared, blocking, to_the_end};
use super::slots::Slot;
use super::{Store, StoreError, secret};

/// Characters of a subject that are kept.
const MAX_SUBJECT_CHARS: usize = 200;

/// A deposit whose octets are arriving. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<Shared>,
    deposit: Deposit,
    key: MessageKey,
    body: Option<Body>,
    arrival: Arc<Arrival>,
}

/// Where the octets go.
#[derive(Debug)]
enum Body {
    /// Into a file.
    New(Box<Sink>),
    /// Nowhere: the same content is here. How many there were.
    Same(u64),
}

impl Body {
    const fn octets(&self) -> u64 {
        match self {
            Self::New(sink) => sink.octets(),
            Self::Same(octets) => *octets,
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Store {
    /// Begins to take a deposit; [`Deposit::octets`] of content are to be written.
    pub async fn deposit(&self, deposit: Deposit) -> Result<Incoming, StoreError> {
        let shared = Arc::clone(&self.shared);
        shared.failing.check()?;
        let arrival = shared.arrivals.begin(&deposit);
        let before = shared.may_arrive(&deposit)?;
        let key = MessageKey::generate()?;
        let contents = shared.contents.clone();
        let (body, deposit, key) = blocking(move || {
            if before.is_some_and(|before| before.reference == deposit.reference) {
                return Ok((Body::Same(0), deposit, key));
            }
            contents.room_for(deposit.octets)?;
            let sink = contents.create(deposit.reference, &deposit.recipient, &key)?;
            Ok((Body::New(Box::new(sink)), deposit, key))
        })
        .await?;
        Ok(Incoming {
            shared,
            deposit,
            key,
            body: Some(body),
            arrival,
        })
    }
}

impl Incoming {
    /// Takes the next octets of the content.
    pub async fn write(&mut self, octets: Bytes) -> Result<(), StoreError> {
        let body = self.body.take().ok_or(StoreError::Length)?;
        let more = body.octets().saturating_add(octets.len() as u64);
        if more > self.deposit.octets {
            return Err(StoreError::Length);
        }
        self.body = Some(match body {
            Body::Same(_) => Body::Same(more),
            Body::New(mut sink) => {
                let written = blocking(move || {
                    sink.write(&octets)?;
                    Ok(sink)
                });
                Body::New(written.await?)
            }
        });
        Ok(())
    }

    /// All octets are there: makes the deposit durable.
    pub async fn finish(self) -> Result<Deposited, StoreError> {
        let body = self.body.ok_or(StoreError::Length)?;
        if body.octets() != self.deposit.octets {
            return Err(StoreError::Length);
        }
        let (shared, deposit, key) = (self.shared, self.deposit, self.key);
        let arrival = self.arrival;
        to_the_end(async move { shared.take(deposit, &key, body, &arrival).await }).await
    }
}

impl Shared {
    /// Whether a deposit may be begun; the live one that it is again.
    fn may_arrive(&self, deposit: &Deposit) -> Result<Option<Record>, StoreError> {
        if deposit.octets > self.bounds.message_octets {
            let most = self.bounds.message_octets;
            return Err(StoreError::TooLarge { most });
        }
        if deposit.expires <= self.now() {
            return Err(StoreError::Expiry);
        }
        let before = self.before(deposit)?;
        if before.is_some() {
            return Ok(before); // takes no more room than it has
        }
        let index = self.index();
        // Ended ones take rows as well, until they are no longer listed.
        if index.live() >= self.bounds.deposits || self.records.is_full() {
            return Err(StoreError::TooMany);
        }
        if index.live_in(&deposit.recipient) >= self.bounds.per_mailbox {
            return Err(StoreError::MailboxFull);
        }
        Ok(None)
    }

    /// The live deposit that this one is again; an error where it may not be made again.
    fn before(&self, deposit: &Deposit) -> Result<Option<Record>, StoreError> {
        let references = self
            .index()
            .message(deposit.queue_id, Some(&deposit.recipient));
        let (mut found, mut withdrawn) = (None, false);
        for record in self.records_of(references) {
            if record.recipient != deposit.recipient {
                continue;
            }
            match record.state {
                // By order of the sender's side: what was taken back does not come back.
                DepositState::Retracted => return Err(StoreError::Ended(record.state)),
                DepositState::Waiting | DepositState::Opened => found = Some(record),
                DepositState::Withdrawn if record.reference == deposit.reference => {
                    withdrawn = true;
                }
                DepositState::Expired if record.reference == deposit.reference => {
                    return Err(StoreError::Ended(record.state));
                }
                DepositState::Expired | DepositState::Withdrawn => {}
            }
        }
        let named = self.index().contains(deposit.reference);
        let same = found
            .as_ref()
            .is_some_and(|record| record.reference == deposit.reference);
        match named && !same && !withdrawn {
            true => Err(StoreError::Taken),
            false => Ok(found),
        }
    }

    async fn take(
        self: &Arc<Self>,
        mut deposit: Deposit,
        key: &MessageKey,
        body: Body,
        arrival: &Arrival,
    ) -> Result<Deposited, StoreError> {
        let secret = self.hash(deposit.wishes.secret.take()).await?;
        let hash = self.index().hash(&deposit.recipient);
        let _arriving = self.locks.arriving(hash).await;
        if arrival.is_withdrawn() {
            return Err(StoreError::Overtaken);
        }
        let before = self.may_arrive(&deposit)?;
        let reference = deposit.reference;
        match (before, body) {
            (Some(before), _) if before.reference == reference => {
                self.renew(reference, &deposit, secret).await?;
                Ok(Deposited {
                    reference,
                    again: true,
                })
            }
            // What was here when its octets began to come has ended: they are needed after all.
            (_, Body::Same(_)) => Err(StoreError::Overtaken),
            (before, Body::New(sink)) => {
                let before = before.map(|before| before.reference);
                self.add(deposit, secret, key, *sink, before).await?;
                Ok(Deposited {
                    reference,
                    again: before.is_some(),
                })
            }
        }
    }

    async fn hash(&self, secret: Option<SenderSecret>) -> Result<Option<String>, StoreError> {
        let Some(secret) = secret else {
            return Ok(None);
        };
        let permit = Arc::clone(&self.hashing).acquire_owned().await;
        let _permit = permit.map_err(|_| StoreError::Interrupted)?;
        blocking(move || secret::hash(&secret)).await.map(Some)
    }

    /// The same deposit again under its own reference: what the request says of it counts.
    async fn renew(
        &self,
        reference: Reference,
        deposit: &Deposit,
        secret: Option<String>,
    ) -> Result<(), StoreError> {
        let _lock = self.locks.deposit(reference).await;
        let mut record = self.known(reference)?;
        if !record.is_live() {
            return Err(StoreError::Ended(record.state));
        }
        record.renew_expiry(record.shortened, deposit.expires);
        record.level = deposit.level;
        record.factors = deposit.factors;
        record.trusted_before = record.trusted_before.min(deposit.trusted_before);
        record.language = deposit.language;
        record.secret = secret;
        record.phone = deposit.wishes.phone.clone();
        self.save(&record).await
    }

    /// A new deposit, or one that takes the place of `before`, with what is known of its openings.
    async fn add(
        self: &Arc<Self>,
        deposit: Deposit,
        secret: Option<String>,
        key: &MessageKey,
        sink: Sink,
        before: Option<Reference>,
    ) -> Result<(), StoreError> {
        let reference = deposit.reference;
        let _locks = self.locks.two(reference, before).await;
        let before = match before {
            Some(before) => self.record(before)?,
            None => None,
        };
        if let Some(ended) = before.as_ref().filter(|before| !before.is_live()) {
            return Err(StoreError::Ended(ended.state)); // while this one waited for the lock
        }
        let withdrawn = self.record(reference)?;
        if let Some(withdrawn) = &withdrawn {
            if withdrawn.state != DepositState::Withdrawn {
                return Err(StoreError::Taken);
            }
            // Its row gives way to the new one: nothing of it may be left, and all of it be told.
            self.shred(reference, withdrawn.slot).await?;
            self.tell_untold(withdrawn.clone()).await?;
        }
        let subject = seal_subject(key, reference, sink.head())?;
        let slot = self.store_content(reference, key.clone(), sink).await?;
        let mut record = Record::new(deposit, secret, self.now(), slot);
        record.subject = subject;
        self.take_known(&mut record, before.as_ref());
        if let Err(error) = self.save(&record).await {
            // Should the row be durable after all, the next start finds it without its key.
            self.discard(reference, slot).await;
            return Err(error);
        }
        match before {
            Some(before) => {
                self.give_way(before.reference, reference).await?;
                self.shred(before.reference, before.slot).await
            }
            None => Ok(()),
        }
    }

    /// What is known of the same message for the same recipient under any reference: of `before`,
    /// which lives, everything; of those that have ended who opened them. Each deposit knows that of
    /// all before it, so whichever knows most knows all.
    fn take_known(&self, record: &mut Record, before: Option<&Record>) {
        let (id, recipient) = (record.queue_id, &record.recipient);
        let references = self.index().message(id, Some(recipient));
        let ended: Vec<Record> = (self.records_of(references))
            .filter(|it| !it.is_live() && it.recipient == *recipient)
            .collect();
        for ended in &ended {
            record.take_openings(ended);
        }
        if let Some(before) = before {
            record.take_over(before);
        }
    }

    /// Deletes a row with its key and file.
    pub(super) async fn drop_record(self: &Arc<Self>, record: &Record) -> Result<(), StoreError> {
        self.records.delete(record.reference.as_bytes()).await?;
        self.index().forget(record.reference);
        self.shred(record.reference, record.slot).await
    }

    /// Keeps a key and gives its content a name; both durable. Leaves nothing if it fails.
    pub(super) async fn store_content(
        self: &Arc<Self>,
        name: Reference,
        key: MessageKey,
        sink: Sink,
    ) -> Result<Slot, StoreError> {
        let shared = Arc::clone(self);
        blocking(move || {
            let slot = shared.slots.keep(name, &key)?;
            match sink.finish() {
                Ok(()) => Ok(slot),
                Err(error) => {
                    shared.contents.remove(name);
                    if let Err(error) = shared.slots.shred(slot) {
                        tracing::warn!(%error, "cannot overwrite a slot that nothing needs");
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    /// Overwrites a key, durable, then removes the content's file.
    pub(super) async fn shred(
        self: &Arc<Self>,
        name: Reference,
        slot: Slot,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(self);
        blocking(move || {
            shared.slots.shred(slot)?;
            shared.contents.remove(name);
            Ok(())
        })
        .await
    }

    /// The same where it is only tidy.
    pub(super) async fn discard(self: &Arc<Self>, name: Reference, slot: Slot) {
        if let Err(error) = self.shred(name, slot).await {
            tracing::warn!(%error, "cannot overwrite a slot that nothing needs");
        }
    }
}

impl Record {
    /// What was known of the same message under another reference, which lives until now.
    fn take_over(&mut self, before: &Self) {
        self.take_openings(before);
        self.open_untold = before.open_untold;
        self.deposited = before.deposited;
        self.order.clone_from(&before.order);
        self.extended.clone_from(&before.extended);
        self.shortened = before.shortened;
        let expires = std::mem::replace(&mut self.expires, before.expires);
        self.renew_expiry(before.shortened, expires);
        self.reminded = before.reminded;
        self.unread_told = before.unread_told;
    }

    /// The later expiry counts, unless somebody ordered an earlier one.
    fn renew_expiry(&mut self, shortened: bool, expires: Timestamp) {
        if !shortened {
            self.expires = self.expires.max(expires);
        }
    }

    /// Who opened it: what was once handed out is never said to be unread. The news of that is owed
    /// for the other one.
    fn take_openings(&mut self, other: &Self) {
        if other.openings <= self.openings {
            return;
        }
        self.state = DepositState::Opened;
        self.opened = match (self.opened, other.opened) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.openings = other.openings;
        self.first.clone_from(&other.first);
        self.last.clone_from(&other.last);
    }
}

/// What a subject is sealed for.
pub(super) fn subject_aad(reference: Reference) -> Vec<u8> {
    let mut aad = b"portal subject ".to_vec();
    aad.extend_from_slice(reference.as_bytes());
    aad
}

/// The subject of a message, sealed under the content's key: it goes when that goes.
fn seal_subject(
    key: &MessageKey,
    reference: Reference,
    head: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let parsed = MessageParser::new().parse_headers(head);
    let subject = parsed.as_ref().and_then(|parsed| parsed.subject());
    let subject: String = subject
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SUBJECT_CHARS)
        .collect();
    let mut sealed = Vec::new();
    key.seal_into(&subject_aad(reference), subject.as_bytes(), &mut sealed)?;
    Ok(sealed)
}
