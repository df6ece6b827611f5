//! What the portal owes the line: durable rows, each deleted when the line has answered.
//!
//! Owns the table `owed`. Replies wait in their own table, since they have content; their tickets
//! come from here, so that one number never names two things.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::proto::link::{PickupEvent, Remind, ReportPickup};
use crate::tables::{Table, Tables};
use crate::world::clock::Clock;

use super::opening::bound;
use super::shared::{Shared, to_the_end};
use super::{Store, StoreError};

/// Rows that are owed at a time. Beyond it nothing is opened until the line takes some, and what
/// ends or is given another expiry is told when there is room.
pub const MAX_OWED: usize = 200_000;

/// Something that the line is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owed {
    /// For the log.
    Event(PickupEvent),
    /// A mail to a recipient.
    Remind(Remind),
    /// A mail to an author.
    Report(ReportPickup),
}

/// What is told in order, each lane apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// [`Owed::Event`].
    Events,
    /// [`Owed::Remind`] and [`Owed::Report`].
    Mails,
    /// Replies.
    Replies,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Mails, Self::Replies];
}

impl Owed {
    const fn lane(&self) -> Lane {
        match self {
            Self::Event(_) => Lane::Events,
            Self::Remind(_) | Self::Report(_) => Lane::Mails,
        }
    }
}

/// Something owed, with its number.
#[derive(Debug, Clone)]
pub struct OwedItem {
    /// The number: they rise.
    pub ticket: u64,
    /// What.
    pub owed: Owed,
}

/// The rows, and their numbers by lane.
#[derive(Debug)]
pub(super) struct Outbox {
    table: Table<Owed>,
    waiting: Mutex<HashMap<Lane, BTreeSet<u64>>>,
    last: AtomicU64,
    clock: Clock,
    changed: HashMap<Lane, Arc<Notify>>,
}

impl Outbox {
    /// Takes over what was owed when the last process ended.
    pub(super) fn open(tables: &Tables, clock: Clock) -> Result<Self, StoreError> {
        let table: Table<Owed> = tables.table("owed")?;
        let mut waiting: HashMap<Lane, BTreeSet<u64>> = HashMap::new();
        let mut last = 0;
        for (key, owed) in table.rows()? {
            let ticket = ticket_of(&key);
            last = last.max(ticket);
            waiting.entry(owed.lane()).or_default().insert(ticket);
        }
        let notify = |lane| (lane, Arc::new(Notify::new()));
        Ok(Self {
            table,
            waiting: Mutex::new(waiting),
            last: AtomicU64::new(last),
            clock,
            changed: Lane::ALL.into_iter().map(notify).collect(),
        })
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<Lane, BTreeSet<u64>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number above all that were given out: the time, or more.
    pub(super) fn ticket(&self) -> u64 {
        let now = self.clock.now().as_micros();
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self
            .last
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)))
            .unwrap_or_else(|last| last);
        next(last)
    }

    /// A number that was given out before.
    pub(super) fn seen(&self, ticket: u64) {
        self.last.fetch_max(ticket, Ordering::AcqRel);
    }

    /// Wakes whoever serves a lane.
    pub(super) fn wake(&self, lane: Lane) {
        if let Some(changed) = self.changed.get(&lane) {
            changed.notify_one();
        }
    }

    fn changed(&self, lane: Lane) -> Arc<Notify> {
        self.changed.get(&lane).map(Arc::clone).unwrap_or_default()
    }

    /// How much is owed.
    pub(super) fn len(&self) -> usize {
        self.waiting().values().map(BTreeSet::len).sum()
    }

    /// Whether something may be owed yet.
    pub(super) fn room(&self) -> Result<(), StoreError> {
        match self.len() < MAX_OWED {
            true => Ok(()),
            false => Err(StoreError::Backlog),
        }
    }

    async fn put(&self, owed: &Owed) -> Result<(), StoreError> {
        self.room()?;
        let ticket = self.ticket();
        self.table.put(&ticket.to_be_bytes(), owed).await?;
        let lane = owed.lane();
        self.waiting().entry(lane).or_default().insert(ticket);
        self.wake(lane);
        Ok(())
    }

    fn first(&self, lane: Lane, aside: &HashSet<u64>) -> Result<Option<OwedItem>, StoreError> {
        let ticket = self.waiting().get(&lane).and_then(|tickets| {
            let mut tickets = tickets.iter().copied();
            tickets.find(|ticket| !aside.contains(ticket))
        });
        let Some(ticket) = ticket else {
            return Ok(None);
        };
        let owed = self.table.get(&ticket.to_be_bytes())?;
        Ok(owed.map(|owed| OwedItem { ticket, owed }))
    }

    async fn settle(&self, lane: Lane, ticket: u64) -> Result<(), StoreError> {
        self.table.delete(&ticket.to_be_bytes()).await?;
        if let Some(tickets) = self.waiting().get_mut(&lane) {
            tickets.remove(&ticket);
        }
        Ok(())
    }
}

/// The number of a row.
pub(super) fn ticket_of(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

impl Store {
    /// Owes the line an event; durable when this returns, unless the store has failed, which is
    /// logged.
    pub async fn owe(&self, event: PickupEvent) {
        let shared = Arc::clone(&self.shared);
        let owed = to_the_end(async move { shared.owe(Owed::Event(event)).await });
        if let Err(error) = owed.await {
            tracing::error!(%error, "an event of the portal is lost");
        }
    }

    /// The next thing that is owed in a lane of events or mails.
    pub fn next_owed(&self, lane: Lane) -> Result<Option<OwedItem>, StoreError> {
        self.next_owed_but(lane, &HashSet::new())
    }

    /// The same, without some.
    pub fn next_owed_but(
        &self,
        lane: Lane,
        aside: &HashSet<u64>,
    ) -> Result<Option<OwedItem>, StoreError> {
        self.shared.outbox.first(lane, aside)
    }

    /// The line has answered.
    pub async fn settle_owed(&self, item: &OwedItem) -> Result<(), StoreError> {
        let (shared, ticket, lane) = (Arc::clone(&self.shared), item.ticket, item.owed.lane());
        to_the_end(async move { shared.outbox.settle(lane, ticket).await }).await
    }

    /// How much is owed, replies aside.
    pub fn owed(&self) -> usize {
        self.shared.outbox.len()
    }

    /// Ready when something has been added to a lane since the last time.
    pub async fn owed_changed(&self, lane: Lane) {
        self.shared.outbox.changed(lane).notified().await;
    }
}

impl Shared {
    /// Owes the line something; durable when this returns.
    pub(super) async fn owe(&self, mut owed: Owed) -> Result<(), StoreError> {
        self.failing.check()?;
        if let Owed::Event(event) = &mut owed {
            bound(event);
        }
        self.outbox.put(&owed).await
    }
}
