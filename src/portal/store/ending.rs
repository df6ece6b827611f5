//! A deposit ends: retracted, withdrawn or expired. First the record, then the key, then the news.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Address, MessageId, Reference, Timestamp};
use crate::proto::link::{DepositState, Happening, Lease, Ordered, ReportKind, ReportPickup};

use super::outbox::Owed;
use super::record::{Record, cut};
use super::shared::{Shared, to_the_end};
use super::{Store, StoreError};

/// How far ahead an ordered expiry may lie.
pub const MAX_AHEAD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Who orders something, and why.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Overwrites the key of a deposit. What it answers tells whether that was needed, and whether
    /// the deposit had been opened before.
    pub async fn retract(&self, reference: Reference, by: By) -> Result<Ordered, StoreError> {
        let shared = Arc::clone(&self.shared);
        to_the_end(async move { shared.retract(reference, by).await }).await
    }

    /// Gives a deposit another expiry, [`MAX_AHEAD`] from now at most; an earlier one than it has
    /// only with `may_shorten`.
    pub async fn extend(
        &self,
        reference: Reference,
        until: Timestamp,
        may_shorten: bool,
        by: By,
    ) -> Result<Ordered, StoreError> {
        let shared = Arc::clone(&self.shared);
        to_the_end(async move { shared.extend(reference, until, may_shorten, by).await }).await
    }

    /// Whether something of a message for this recipient was retracted.
    pub fn was_retracted(&self, id: MessageId, recipient: &Address) -> bool {
        let references = self.shared.index().message(id, Some(recipient));
        let mut records = self.shared.records_of(references);
        records.any(|it| it.recipient == *recipient && it.state == DepositState::Retracted)
    }

    /// Takes a deposit back for the line; one that is not there, or has ended, is no error, but one
    /// that was retracted: the line is not to send it another way.
    pub async fn withdraw(&self, id: MessageId, recipient: &Address) -> Result<(), StoreError> {
        let (shared, recipient) = (Arc::clone(&self.shared), recipient.clone());
        to_the_end(async move { shared.withdraw(id, &recipient).await }).await
    }
}

impl Shared {
    async fn retract(
        self: &Arc<Self>,
        reference: Reference,
        by: By,
    ) -> Result<Ordered, StoreError> {
        let _lock = self.locks.deposit(reference).await;
        let mut record = self.known(reference)?;
        let changed = record.is_live();
        if changed {
            let now = self.now();
            record.order = Some(lease(by, now));
            record.end(DepositState::Retracted, now);
            self.finish(record.clone()).await?;
        } else {
            // An earlier order may have failed after its row: nothing is answered before the key is gone.
            self.shred(reference, record.slot).await?;
            if record.is_untold() {
                self.tell_when_room(record.clone()).await?;
            }
        }
        Ok(Ordered {
            opened_before: record.was_opened(),
            item: record.item(),
            changed,
        })
    }

    /// Whether another expiry changes anything; an error where it may not be.
    pub(super) fn may_extend(
        &self,
        record: &Record,
        until: Timestamp,
        may_shorten: bool,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        if until <= now {
            return Err(StoreError::Expiry);
        }
        if until > now + MAX_AHEAD {
            return Err(StoreError::TooFar);
        }
        let live = match record.state_at(now) {
            DepositState::Waiting | DepositState::Opened => true,
            DepositState::Retracted | DepositState::Expired | DepositState::Withdrawn => false,
        };
        if live && until < record.expires && !may_shorten {
            return Err(StoreError::Shorter(record.expires));
        }
        Ok(live && until != record.expires)
    }

    async fn extend(
        self: &Arc<Self>,
        reference: Reference,
        until: Timestamp,
        may_shorten: bool,
        by: By,
    ) -> Result<Ordered, StoreError> {
        let _lock = self.locks.deposit(reference).await;
        let mut record = self.known(reference)?;
        let changed = self.may_extend(&record, until, may_shorten)?;
        if changed {
            if record.extended.is_some() {
                self.tell_extension(&mut record).await?; // the one before
            }
            let order = lease(by, self.now());
            record.extended = Some(order.clone());
            record.order = Some(order);
            // What was once shortened stays under orders: no repeated deposit undoes them.
            record.shortened |= until < record.expires;
            record.expires = until;
            self.save(&record).await?;
        }
        if record.is_untold() {
            self.tell_when_room(record.clone()).await?;
        }
        Ok(Ordered {
            opened_before: record.was_opened(),
            item: record.item(),
            changed,
        })
    }

    async fn withdraw(
        self: &Arc<Self>,
        id: MessageId,
        recipient: &Address,
    ) -> Result<(), StoreError> {
        let hash = self.index().hash(recipient);
        let _arriving = self.locks.arriving(hash).await; // one that arrives just now is meant, too
        self.arrivals.withdraw(id, recipient);
        let references = self.index().message(id, Some(recipient));
        let mut retracted = false;
        for reference in references {
            let _lock = self.locks.deposit(reference).await;
            let Some(mut record) = self.record(reference)? else {
                continue;
            };
            if record.recipient != *recipient {
                continue;
            }
            if record.is_live() {
                record.end(DepositState::Withdrawn, self.now());
                self.finish(record).await?;
            } else {
                retracted |= record.state == DepositState::Retracted;
                self.shred(reference, record.slot).await?;
            }
        }
        match retracted {
            true => Err(StoreError::Ended(DepositState::Retracted)),
            false => Ok(()),
        }
    }

    /// The time of a deposit is up. For whoever holds its lock.
    pub(super) async fn expire(
        self: &Arc<Self>,
        mut record: Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        record.end(DepositState::Expired, now);
        self.finish(record).await
    }

    /// Makes an end durable, overwrites the key, and owes the line the news.
    async fn finish(self: &Arc<Self>, record: Record) -> Result<(), StoreError> {
        self.save(&record).await?;
        self.shred(record.reference, record.slot).await?;
        self.tell_when_room(record).await
    }

    /// The end stands, whether or not the line can be owed the news of it now.
    pub(super) async fn tell_when_room(&self, record: Record) -> Result<(), StoreError> {
        let reference = record.reference;
        match self.tell_untold(record).await {
            Err(error @ StoreError::Backlog) => {
                tracing::warn!(%reference, %error, "the line is told later what became of a message");
                Ok(())
            }
            told => told,
        }
    }

    /// Owes the line what it was not told of a deposit. For whoever holds its lock.
    pub(super) async fn tell_untold(&self, mut record: Record) -> Result<(), StoreError> {
        if record.extended.is_some() {
            self.tell_extension(&mut record).await?;
        }
        if record.open_untold {
            self.tell_opening(&mut record).await?;
        }
        match record.end_untold {
            true => self.tell_end(record).await,
            false => Ok(()),
        }
    }

    /// Owes the line the news of another expiry, then notes that it is owed.
    async fn tell_extension(&self, record: &mut Record) -> Result<(), StoreError> {
        let Some(order) = &record.extended else {
            return Ok(());
        };
        let mut event = record.event(Happening::Extended, order.time);
        event.actor = Some(order.actor.clone());
        event.reasons = told(order);
        self.owe(Owed::Event(event)).await?;
        record.extended = None;
        self.save(record).await
    }

    /// Owes the line the news of an end, then notes that it is owed.
    async fn tell_end(&self, mut record: Record) -> Result<(), StoreError> {
        let time = record.ended.unwrap_or_else(|| self.now());
        let happening = match record.state {
            DepositState::Retracted => Some(Happening::Retracted),
            DepositState::Expired => Some(Happening::PortalExpired),
            // The line did that, and knows.
            DepositState::Withdrawn | DepositState::Waiting | DepositState::Opened => None,
        };
        if let Some(happening) = happening {
            let mut event = record.event(happening, time);
            event.opened_before = Some(record.was_opened());
            if let (Happening::Retracted, Some(order)) = (happening, &record.order) {
                event.actor = Some(order.actor.clone());
                event.reasons = told(order);
            }
            self.owe(Owed::Event(event)).await?;
        }
        // Who wrote a reply is not of ours: there is nobody to be told.
        if record.state == DepositState::Expired && !record.was_opened() && record.answerable {
            let report = record.report(ReportKind::ExpiredUnread);
            self.owe(Owed::Report(report)).await?;
        }
        record.end_untold = false;
        self.save(&record).await
    }
}

impl Record {
    /// What its author is told.
    pub(super) fn report(&self, kind: ReportKind) -> ReportPickup {
        ReportPickup {
            kind,
            queue_id: self.queue_id,
            message_id: self.message_id.clone(),
            author: self.author.clone(),
            recipient: self.recipient.clone(),
            deposited: self.deposited,
            expires: self.expires,
        }
    }
}

fn lease(by: By, time: Timestamp) -> Lease {
    let By {
        mut actor,
        mut reason,
    } = by;
    cut(&mut actor);
    cut(&mut reason);
    Lease {
        time,
        actor,
        reason,
    }
}

/// The reason of an order, where one was given.
fn told(order: &Lease) -> Vec<String> {
    match order.reason.is_empty() {
        true => Vec::new(),
        false => vec![order.reason.clone()],
    }
}
