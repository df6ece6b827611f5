//! What lies in the portal and must not stay there.
//!
//! Owns a small durable table. A row stands for a deposit that no plan speaks of any more, or whose
//! recipient has ended otherwise. It is durable before what makes the deposit stale is; then the
//! portal is told, for as long as it takes; then the row goes. So a deposit is never left behind
//! and never taken back too early: whoever makes the deposit (again) claims it, which waits for a
//! withdrawal that has begun and holds one that has not. That is called off once the new deposit is
//! there, before its notice goes: where none comes about, the old one must still go.
//!
//! An attempt asks whether something was retracted only for whom there is a row. So the row of what
//! was retracted goes only when the recipient has ended: an attempt under way would not ask, and
//! after a crash nobody would know.
//!
//! A recipient whose mail server falls short by the turn goes to and fro between methods under one
//! policy. That alone makes no deposit stale: its row waits (and keeps its reference) until the
//! recipient ends. Another policy does: what it asks for may be more.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::super::line::Line;
use super::retracted;
use crate::mail::{Address, MessageId, Reference};
use crate::pickup::PickupError;
use crate::tables::{Table, TableError, Tables};

/// The pause after a failure, doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a round has left to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// Nothing that is due.
    Nothing,
    /// Rows of what was retracted, whose recipients somebody is busy with.
    Busy,
    /// What the portal, or the table, did not take.
    Failed,
}

/// A deposit that its plan has left behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    queue_id: MessageId,
    recipient: Address,
    /// What its notice called it.
    reference: Option<Reference>,
    /// It is to be taken back.
    due: bool,
}

/// The deposits to be taken back. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Withdrawals {
    table: Table<Row>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Deposits that somebody is making or taking back.
    busy: Mutex<HashSet<Vec<u8>>>,
    freed: Notify,
    news: Notify,
}

impl Shared {
    fn busy(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A deposit in one hand.
#[derive(Debug)]
pub(in crate::flow) struct Claim {
    key: Vec<u8>,
    shared: Arc<Shared>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.busy().remove(&self.key);
        self.shared.freed.notify_waiters();
    }
}

impl Withdrawals {
    /// The rows among the tables of the spool.
    pub fn open(tables: &Tables) -> Result<Self, TableError> {
        Ok(Self {
            table: tables.table("portal_withdrawals")?,
            shared: Arc::default(),
        })
    }

    /// How many deposits are known to lie behind their plans.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a plan has left a deposit of this recipient behind.
    pub(in crate::flow) fn knows(&self, id: MessageId, recipient: &Address) -> bool {
        self.row(id, recipient).is_some()
    }

    /// What its notice called it. One that is to be taken back is not used again: the portal may be
    /// about to end what it names.
    pub(in crate::flow) fn reference(
        &self,
        id: MessageId,
        recipient: &Address,
    ) -> Option<Reference> {
        let row = self.row(id, recipient)?;
        row.reference.filter(|_| !row.due)
    }

    /// The plan leaves it behind; with `due` it is taken back. Durable when it returns.
    pub(in crate::flow) async fn leave_behind(
        &self,
        id: MessageId,
        recipient: &Address,
        reference: Option<Reference>,
        due: bool,
    ) -> Result<(), TableError> {
        let before = self.row(id, recipient);
        let before = before.as_ref();
        let row = Row {
            queue_id: id,
            recipient: recipient.clone(),
            reference: reference.or_else(|| before.and_then(|row| row.reference)),
            due: due || before.is_some_and(|row| row.due),
        };
        self.table.put(&key(id, recipient), &row).await
    }

    /// It is what the recipient got: nothing is to be taken back.
    pub(in crate::flow) async fn forget(
        &self,
        id: MessageId,
        recipient: &Address,
    ) -> Result<(), TableError> {
        match self.knows(id, recipient) {
            true => self.table.delete(&key(id, recipient)).await,
            false => Ok(()),
        }
    }

    /// The deposit is to be made now: nobody takes it back while the claim lasts.
    pub(in crate::flow) async fn claim(&self, id: MessageId, recipient: &Address) -> Claim {
        self.hold(key(id, recipient)).await
    }

    /// It has been made: what was to be taken back has given way to it. For whoever holds its claim.
    pub(in crate::flow) async fn call_off(
        &self,
        id: MessageId,
        recipient: &Address,
    ) -> Result<(), TableError> {
        match self.row(id, recipient).filter(|row| row.due) {
            Some(row) => {
                let row = Row { due: false, ..row };
                self.table.put(&key(id, recipient), &row).await
            }
            None => Ok(()),
        }
    }

    /// Rows have become due, or the portal may be another one.
    pub(in crate::flow) fn nudge(&self) {
        self.shared.news.notify_one();
    }

    /// Rows that cannot be read are none.
    fn row(&self, id: MessageId, recipient: &Address) -> Option<Row> {
        self.table.get(&key(id, recipient)).ok().flatten()
    }

    async fn hold(&self, key: Vec<u8>) -> Claim {
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            if self.shared.busy().insert(key.clone()) {
                let shared = Arc::clone(&self.shared);
                return Claim { key, shared };
            }
            freed.await;
        }
    }

    /// Tells the portal of everything that is due.
    async fn work_off(&self, line: &Line) -> Left {
        let machinery = line.machinery();
        let Some(portal) = &machinery.portal else {
            return Left::Nothing; // Whoever configures one again says so.
        };
        let rows = match self.table.rows() {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the list of deposits to be taken back cannot be read"
                );
                return Left::Nothing;
            }
        };
        let mut left = Left::Nothing;
        for (key, row) in rows.into_iter().filter(|(_, row)| row.due) {
            let claim = self.hold(key).await;
            let (id, recipient) = (row.queue_id, row.recipient);
            if !self.row(id, &recipient).is_some_and(|row| row.due) {
                continue; // It was claimed meanwhile.
            }
            let taken_back = match portal.client.withdraw(id, &recipient).await {
                Err(PickupError::Retracted) => {
                    match retracted::cancel(line, id, &recipient, None).await {
                        None => return Left::Failed, // The line has ended.
                        Some(tally) if tally.later > 0 => {
                            tracing::debug!(queue_id = %id, "a message was retracted in the portal while somebody is busy with it; that is looked at again");
                            left = left.max(Left::Busy);
                            continue;
                        }
                        Some(_) => Ok(()),
                    }
                }
                taken_back => taken_back,
            };
            if let Err(error) = taken_back {
                tracing::warn!(queue_id = %id, %error, "what lies in the portal could not be taken back yet");
                left = Left::Failed;
                if matches!(error, PickupError::Unavailable(_)) {
                    return left;
                }
                // Others need not wait for this one.
                continue;
            }
            if let Err(error) = self.table.delete(&claim.key).await {
                tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "that a deposit was taken back could not be noted: it is done again");
                return Left::Failed;
            }
            tracing::info!(queue_id = %id, "what lay in the portal was taken back");
        }
        left
    }
}

/// Takes back what is due, from the start on, until it is ended.
pub(in crate::flow) async fn run(line: Arc<Line>) {
    let withdrawals = line.withdrawals.clone();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = withdrawals.work_off(&line).await;
        if left == Left::Nothing {
            pause = FIRST_PAUSE;
            withdrawals.shared.news.notified().await;
            continue;
        }
        let next = line.clock.now() + pause;
        tokio::select! {
            () = line.clock.sleep_until(next) => {}
            // Whoever was busy may be done; and others need not wait for that.
            () = withdrawals.shared.news.notified(), if left == Left::Busy => {}
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// The row's key: the address as it is written, for so the portal compares it. An address is never
/// longer than a key may be.
fn key(id: MessageId, recipient: &Address) -> Vec<u8> {
    let mut key = id.get().to_be_bytes().to_vec();
    key.extend_from_slice(recipient.to_string().as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_to_be_taken_back_lends_no_reference() {
        let directory = tempfile::tempdir().unwrap();
        let (_journal, tables) = crate::tables::tests::open(directory.path());
        let withdrawals = Withdrawals::open(&tables).unwrap();
        let (id, called) = (MessageId::new(1), Reference::new([7; 10]));
        let kim = Address::parse("kim@there.example").unwrap();
        let other = Address::parse("Kim@there.example").unwrap();
        let leave = |due| withdrawals.leave_behind(id, &kim, Some(called), due);
        leave(false).await.unwrap();
        assert_eq!(withdrawals.reference(id, &kim), Some(called));
        // The portal tells addresses apart as they are written, and so do we.
        assert!(!withdrawals.knows(id, &other));
        leave(true).await.unwrap();
        assert_eq!(withdrawals.reference(id, &kim), None);
        // Held while a deposit is being made, and called off by one that was made.
        drop(withdrawals.claim(id, &kim).await);
        assert_eq!(withdrawals.reference(id, &kim), None);
        withdrawals.call_off(id, &kim).await.unwrap();
        assert_eq!(withdrawals.reference(id, &kim), Some(called));
        withdrawals.forget(id, &kim).await.unwrap();
        assert!(!withdrawals.knows(id, &kim));
    }
}
