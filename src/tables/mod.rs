//! Small durable tables on the journal: what must not be lost and is not mail.
//!
//! Owns the view, a map in memory that is made anew from the journal's rows at each start. A
//! commit is durable, then seen: [`Table::get`] never shows what a crash could take back. Rows are
//! sealed under a key of their own purpose. Meant for thousands of rows, not for millions: bounds
//! are [`MAX_ROWS`], [`MAX_KEY_OCTETS`], [`MAX_VALUE_OCTETS`].
//!
//! A row keeps the segment of its record. So that a row that never changes does not keep the disk
//! full of what came after it, rows are written again as they are, out of the oldest segment, once
//! the log is several times as long as what lives ([`carry`]). A deletion needs no such care:
//! segments go oldest first, so what it deleted is gone no later than the deletion.

pub mod carry;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::journal::{
    Draft, Frame, Journal, JournalError, Keyring, Kind, Line, Pins, Position, Receipt, Reservation,
};

use carry::Step;
use view::{RowName, View};

/// Rows of a table.
pub const MAX_ROWS: usize = 1_000_000;
/// Octets of a table's name.
pub const MAX_NAME_OCTETS: usize = 64;
/// Octets of a row's key.
pub const MAX_KEY_OCTETS: usize = 1024;
/// Octets of a row's value.
pub const MAX_VALUE_OCTETS: usize = 48 * 1024;
/// Records that are made visible at once: whoever reads waits no longer than for these.
const SEEN_AT_ONCE: usize = 256;

/// An operation on a table failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The journal below failed.
    #[error("the journal of the tables failed")]
    Journal(#[from] JournalError),
    /// The tables of this journal are open already.
    #[error("the tables of this journal are open already")]
    Taken,
    /// A value could not be put in its stored form, or read from it.
    #[error("table {table}: a value is not in the expected form")]
    Value {
        /// The table.
        table: String,
        /// What is wrong.
        source: postcard::Error,
    },
    /// The table has as many rows as it may: there is room again when some are deleted.
    #[error("table {0} has as many rows as it may")]
    Full(String),
    /// A name, key or value is over its bound.
    #[error("table {table}: {what} is over its bound")]
    TooLarge {
        /// The table.
        table: String,
        /// What.
        what: &'static str,
    },
}

/// What a `TABLE` record says, to be written.
#[derive(Serialize)]
struct RowRecord<'a> {
    table: &'a str,
    key: &'a [u8],
    /// `None`: deleted.
    value: Option<&'a [u8]>,
}

/// The same as it was read.
#[derive(Deserialize)]
struct ReadRecord {
    table: String,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

struct Inner {
    view: Mutex<View>,
    keys: Arc<Keyring>,
    line: Line,
    pins: Arc<Pins>,
    step: Step,
    /// [`MAX_ROWS`], but in tests.
    most_rows: AtomicUsize,
}

impl Inner {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame(&self, record: &RowRecord<'_>) -> Result<Frame, TableError> {
        let text = postcard::to_allocvec(record).map_err(|source| TableError::Value {
            table: record.table.to_owned(),
            source,
        })?;
        let draft = Draft {
            kind: Kind::Table,
            flags: 0,
            message: 0,
            clear: &[],
            envelope: &text,
            body: None,
        };
        Ok(draft.seal_row(&self.keys)?)
    }

    /// What is done once `records` are durable, and `after` that.
    fn publish(
        self: Arc<Self>,
        records: Vec<(RowName, Option<Bytes>)>,
        after: impl FnOnce() + Send,
    ) -> impl FnOnce(&[Position]) + Send {
        move |positions: &[Position]| {
            let (mut records, mut shrunk) = (records.into_iter(), false);
            for positions in positions.chunks(SEEN_AT_ONCE) {
                let mut view = self.view();
                let before = view.live_octets();
                for (position, (name, value)) in positions.iter().zip(records.by_ref()) {
                    view.settled(&name);
                    let pin = self.pins.pin_movable(position.segment);
                    view.apply(name, value, position.octets, pin);
                }
                shrunk |= view.live_octets() < before;
            }
            if shrunk {
                // What was little garbage beside the rows may be much now.
                self.pins.look_again();
            }
            after();
        }
    }

    /// Queues under the lock, so that the order in the journal is the order of the view.
    fn submit(
        self: &Arc<Self>,
        view: &mut View,
        frames: Vec<Frame>,
        records: Vec<(RowName, Option<Bytes>)>,
        room: Option<Reservation<'_>>,
        after: impl FnOnce() + Send + 'static,
    ) -> Receipt {
        for (name, _) in &records {
            view.begins(name);
        }
        let publish = Box::new(Arc::clone(self).publish(records, after));
        self.line.submit(frames, room, publish)
    }

    fn is_full(&self, view: &View, table: &str) -> bool {
        let rows = view.tables.get(table).map_or(0, BTreeMap::len);
        rows >= self.most_rows.load(Ordering::Relaxed)
    }

    async fn write(
        self: &Arc<Self>,
        table: &Arc<str>,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), TableError> {
        let record = RowRecord {
            table,
            key,
            value: value.as_deref(),
        };
        let frames = vec![self.frame(&record)?];
        let room = self.line.reserve(&frames).await?;
        self.line.check(&frames)?;
        let receipt = {
            let mut view = self.view();
            let is_there = |view: &View| {
                let rows = view.tables.get(table);
                rows.is_some_and(|rows| rows.contains_key(key))
            };
            if value.is_some() && self.is_full(&view, table) && !is_there(&view) {
                return Err(TableError::Full(table.to_string()));
            }
            let name = (Arc::clone(table), Arc::from(key));
            let records = vec![(name, value.map(Bytes::from))];
            self.submit(&mut view, frames, records, Some(room), || {})
        };
        Ok(receipt.durable().await?)
    }
}

fn too_large(table: &str, what: &'static str) -> TableError {
    TableError::TooLarge {
        table: table.to_owned(),
        what,
    }
}

/// The tables of a journal. Cheap to clone.
#[derive(Clone)]
pub struct Tables {
    inner: Arc<Inner>,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({})", self.inner.view().tables.len())
    }
}

impl Tables {
    /// Takes over the rows that the journal read at its start. To be done once for a journal, soon
    /// after it was opened: until then the rows keep their segments.
    pub fn open(journal: &Journal) -> Result<Self, TableError> {
        let mut view = View::default();
        for stored in journal.take_rows().ok_or(TableError::Taken)? {
            let record: ReadRecord =
                postcard::from_bytes(&stored.row).map_err(|source| TableError::Value {
                    table: String::new(),
                    source,
                })?;
            let name = (Arc::from(record.table), Arc::from(record.key));
            let value = record.value.map(Bytes::from);
            view.apply(name, value, stored.octets, stored.pin);
        }
        let inner = Arc::new(Inner {
            view: Mutex::new(view),
            keys: Arc::clone(journal.keys()),
            line: journal.line().clone(),
            pins: Arc::clone(journal.pins()),
            step: Step::default(),
            most_rows: AtomicUsize::new(MAX_ROWS),
        });
        // The rows, and with them their segments, last as long as the journal does.
        let carrier = Arc::clone(&inner);
        journal.set_carrier(Box::new(move |oldest| {
            if let Err(error) = carrier.carry(oldest) {
                tracing::error!(%error, "cannot carry table rows forward");
            }
        }));
        Ok(Self { inner })
    }

    /// Lets every table have so many rows only.
    #[cfg(test)]
    pub(crate) fn narrow(&self, most_rows: usize) {
        self.inner.most_rows.store(most_rows, Ordering::Relaxed);
    }

    /// A table by its name, with values of type `V`. It exists when it has a row.
    pub fn table<V>(&self, name: &str) -> Result<Table<V>, TableError> {
        if name.is_empty() || name.len() > MAX_NAME_OCTETS {
            return Err(too_large(name, "the name"));
        }
        Ok(Table {
            inner: Arc::clone(&self.inner),
            name: name.into(),
            values: PhantomData,
        })
    }
}

/// A table. Cheap to clone; all of one name are the same one.
pub struct Table<V> {
    inner: Arc<Inner>,
    name: Arc<str>,
    values: PhantomData<fn(V) -> V>,
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            name: Arc::clone(&self.name),
            values: PhantomData,
        }
    }
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

impl<V: Serialize + DeserializeOwned> Table<V> {
    fn decode(&self, value: &[u8]) -> Result<V, TableError> {
        postcard::from_bytes(value).map_err(|source| TableError::Value {
            table: self.name.to_string(),
            source,
        })
    }

    /// The value of a row, as it is durable.
    pub fn get(&self, key: &[u8]) -> Result<Option<V>, TableError> {
        let value = {
            let view = self.inner.view();
            let row = view.tables.get(&self.name).and_then(|rows| rows.get(key));
            row.map(|row| row.value.clone())
        };
        value.map(|value| self.decode(&value)).transpose()
    }

    /// Sets a row; durable when it returns.
    pub async fn put(&self, key: &[u8], value: &V) -> Result<(), TableError> {
        if key.len() > MAX_KEY_OCTETS {
            return Err(too_large(&self.name, "the key"));
        }
        let value = postcard::to_allocvec(value).map_err(|source| TableError::Value {
            table: self.name.to_string(),
            source,
        })?;
        if value.len() > MAX_VALUE_OCTETS {
            return Err(too_large(&self.name, "the value"));
        }
        self.inner.write(&self.name, key, Some(value)).await
    }

    /// Deletes a row, whether it is there or not; durable when it returns.
    pub async fn delete(&self, key: &[u8]) -> Result<(), TableError> {
        if key.len() > MAX_KEY_OCTETS {
            return Err(too_large(&self.name, "the key"));
        }
        self.inner.write(&self.name, key, None).await
    }

    /// All rows as they are now, by rising key.
    pub fn rows(&self) -> Result<Vec<(Vec<u8>, V)>, TableError> {
        let rows: Vec<(Vec<u8>, Bytes)> = {
            let view = self.inner.view();
            let rows = view.tables.get(&self.name).into_iter().flatten();
            rows.map(|(key, row)| (key.to_vec(), row.value.clone()))
                .collect()
        };
        rows.into_iter()
            .map(|(key, value)| Ok((key, self.decode(&value)?)))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.inner
            .view()
            .tables
            .get(&self.name)
            .map_or(0, BTreeMap::len)
    }

    /// Whether it has as many rows as it may: a new one would be refused.
    pub fn is_full(&self) -> bool {
        self.inner.is_full(&self.inner.view(), &self.name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
pub(crate) mod tests;
