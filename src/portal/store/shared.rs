//! What all parts of the store stand on: files, rows, sets, and one lock for each deposit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard, Notify, Semaphore};

use crate::journal::Journal;
use crate::mail::{Address, Reference, Timestamp};
use crate::proto::link::DepositState;
use crate::tables::{Table, Tables};
use crate::world::clock::Clock;

use super::content::Contents;
use super::failing::Failing;
use super::index::Index;
use super::outbox::Outbox;
use super::record::Record;
use super::replies::Replies;
use super::slots::Slots;
use super::start::Found;
use super::{Bounds, Reminders, StoreError};

/// Locks that deposits share: two of them wait for one another only by chance.
const LOCKS: usize = 1024;
/// Secrets that are hashed at once: each takes 19 MiB.
pub(super) const HASHES_AT_ONCE: usize = 2;

/// The state of a store.
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) reminders: Reminders,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) tables: Tables,
    pub(super) records: Table<Record>,
    pub(super) slots: Slots,
    pub(super) contents: Contents,
    pub(super) index: Mutex<Index>,
    pub(super) outbox: Outbox,
    pub(super) replies: Replies,
    pub(super) failing: Failing,
    pub(super) found: Found,
    /// Something earlier than before may be due.
    pub(super) due_changed: Arc<Notify>,
    pub(super) hashing: Arc<Semaphore>,
    pub(super) locks: Locks,
}

/// The locks: by message and recipient for deposits that arrive, and by reference for all that
/// happens to a deposit. Whoever takes both takes the first kind first.
pub(super) struct Locks {
    arriving: Vec<AsyncMutex<()>>,
    deposits: Vec<AsyncMutex<()>>,
    /// If there were none at all; there are.
    spare: AsyncMutex<()>,
}

impl Locks {
    pub(super) fn new() -> Self {
        let many = || (0..LOCKS).map(|_| AsyncMutex::new(())).collect();
        Self {
            arriving: many(),
            deposits: many(),
            spare: AsyncMutex::new(()),
        }
    }

    fn pick<'a>(&'a self, locks: &'a [AsyncMutex<()>], number: u64) -> &'a AsyncMutex<()> {
        let at = usize::try_from(number % LOCKS as u64).unwrap_or(0);
        locks.get(at).unwrap_or(&self.spare)
    }

    /// For whoever leaves a deposit: `hash` is its recipient's.
    pub(super) async fn arriving(&self, hash: u64) -> AsyncGuard<'_, ()> {
        self.pick(&self.arriving, hash).lock().await
    }

    /// For whoever does something to a deposit.
    pub(super) async fn deposit(&self, reference: Reference) -> AsyncGuard<'_, ()> {
        self.pick(&self.deposits, number(reference)).lock().await
    }

    /// For whoever puts one deposit in another's place. The lower lock first, so that no two of them
    /// wait for one another.
    pub(super) async fn two(
        &self,
        one: Reference,
        other: Option<Reference>,
    ) -> (AsyncGuard<'_, ()>, Option<AsyncGuard<'_, ()>>) {
        let one = number(one);
        let other = other.map(number).filter(|&other| other != one);
        let (low, high) = match other {
            Some(other) => (one.min(other), Some(one.max(other))),
            None => (one, None),
        };
        let first = self.pick(&self.deposits, low).lock().await;
        let second = match high {
            Some(high) => Some(self.pick(&self.deposits, high).lock().await),
            None => None,
        };
        (first, second)
    }
}

/// Which of the locks is a deposit's. The octets are random, so two of them are as good as a hash.
fn number(reference: Reference) -> u64 {
    let [.., a, b] = *reference.as_bytes();
    (u64::from(a) << 8 | u64::from(b)) % LOCKS as u64
}

impl Shared {
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A deposit as it is durable.
    pub(super) fn record(&self, reference: Reference) -> Result<Option<Record>, StoreError> {
        let record = self.records.get(reference.as_bytes());
        if let Err(error) = &record {
            tracing::error!(%reference, %error, "cannot read a row of the portal");
        }
        Ok(record?)
    }

    /// A deposit that must be there.
    pub(super) fn known(&self, reference: Reference) -> Result<Record, StoreError> {
        self.record(reference)?.ok_or(StoreError::Unknown)
    }

    pub(super) fn records_of(
        &self,
        references: impl IntoIterator<Item = Reference>,
    ) -> impl Iterator<Item = Record> {
        references
            .into_iter()
            .filter_map(|reference| self.record(reference).ok().flatten())
    }

    pub(super) fn mailbox(&self, owner: &Address) -> Vec<Arc<Record>> {
        let references = self.index().mailbox(owner);
        let key = owner.mailbox_key();
        self.records_of(references)
            .filter(|record| record.state != DepositState::Withdrawn)
            .filter(|record| record.recipient.mailbox_key() == key)
            .map(Arc::new)
            .collect()
    }

    /// Makes a record durable, then puts it in the sets. For whoever holds the deposit's lock.
    pub(super) async fn save(&self, record: &Record) -> Result<(), StoreError> {
        self.failing.check()?;
        self.records
            .put(record.reference.as_bytes(), record)
            .await?;
        self.show(record);
        Ok(())
    }

    /// Puts a durable record in the sets, and wakes the chores if it is due before all others.
    pub(super) fn show(&self, record: &Record) {
        let (due, _) = record.due(&self.reminders);
        let mut index = self.index();
        index.set(record, due);
        let first = index
            .next_due()
            .is_some_and(|next| next.1 == record.reference);
        drop(index);
        if first {
            self.due_changed.notify_one();
        }
    }
}

/// Runs what blocks on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(StoreError::Interrupted))
}

/// Runs a change to its end, even if whoever asked for it goes away: a row that is durable and not
/// in the sets would be found again only by the next start.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or(Err(StoreError::Interrupted))
}
