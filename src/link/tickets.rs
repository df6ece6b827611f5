//! Which replies were taken in already: the portal repeats one whose answer it did not hear.
//!
//! Owns a small durable table: a ticket, the digest of its reply, and the queue id that it got. A
//! portal whose data was made anew counts from 1 again, so a ticket alone is no reply: what was
//! sent must be the same too. The reply is durable before its row is: a crash between the two can
//! repeat it, never lose it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::mail::MessageId;
use crate::tables::{Table, TableError, Tables};

/// Tickets that are remembered; the lowest go first.
pub const MAX_TICKETS: usize = 10_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    digest: [u8; 32],
    queue_id: MessageId,
}

/// The replies that were taken in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tickets {
    table: Table<Row>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Tickets that are being worked on.
    busy: Mutex<BTreeSet<u64>>,
    freed: Notify,
    /// Tickets that have a row.
    kept: Mutex<BTreeSet<u64>>,
}

/// A ticket in one hand.
#[derive(Debug)]
pub(super) struct Turn {
    ticket: u64,
    shared: Arc<Shared>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut busy = self
            .shared
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.ticket);
        drop(busy);
        self.shared.freed.notify_waiters();
    }
}

impl Tickets {
    /// The rows among the tables of the spool.
    pub fn open(tables: &Tables) -> Result<Self, TableError> {
        let table: Table<Row> = tables.table("portal_tickets")?;
        let numbers = table.rows()?.into_iter().map(|(key, _)| number(&key));
        let shared = Shared {
            kept: Mutex::new(numbers.collect()),
            ..Shared::default()
        };
        Ok(Self {
            table,
            shared: Arc::new(shared),
        })
    }

    /// Waits until nobody else works on this ticket.
    pub(super) async fn turn(&self, ticket: u64) -> Turn {
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            let is_free = {
                let mut busy = self
                    .shared
                    .busy
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                busy.insert(ticket)
            };
            if is_free {
                let shared = Arc::clone(&self.shared);
                return Turn { ticket, shared };
            }
            freed.await;
        }
    }

    /// Whether any reply was taken in under this ticket.
    pub(super) fn has(&self, turn: &Turn) -> bool {
        let row = self.table.get(&turn.ticket.to_be_bytes());
        row.is_ok_and(|row| row.is_some())
    }

    /// What the very same reply was taken in as before.
    pub(super) fn known(&self, turn: &Turn, digest: &[u8; 32]) -> Option<MessageId> {
        let row = self.table.get(&turn.ticket.to_be_bytes()).ok().flatten()?;
        (row.digest == *digest).then_some(row.queue_id)
    }

    /// The reply is durable under this queue id.
    pub(super) async fn redeem(
        &self,
        turn: &Turn,
        digest: [u8; 32],
        queue_id: MessageId,
    ) -> Result<(), TableError> {
        let key = turn.ticket.to_be_bytes();
        self.table.put(&key, &Row { digest, queue_id }).await?;
        for old in self.shared.keep(turn.ticket) {
            self.table.delete(&old.to_be_bytes()).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Notes a ticket; which others are too many now.
    fn keep(&self, ticket: u64) -> Vec<u64> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(ticket);
        let over = kept.len().saturating_sub(MAX_TICKETS);
        let others = kept.iter().copied().filter(|it| *it != ticket);
        let old: Vec<u64> = others.take(over).collect();
        for ticket in &old {
            kept.remove(ticket);
        }
        old
    }
}

/// The number of a row.
fn number(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_go_first_and_never_the_one_that_comes() {
        let shared = Shared::default();
        for ticket in 1..=MAX_TICKETS as u64 {
            assert!(shared.keep(ticket).is_empty());
        }
        assert_eq!(shared.keep(20_000), [1]);
        assert_eq!(shared.keep(0), [2]);
        assert!(shared.keep(0).is_empty());
        assert_eq!(shared.keep(20_001), [0]);
    }
}
