//! Small durable tables on the journal: what must not be lost and is not mail.
//!
//! Owns the view, a map in memory that is made anew from the journal's rows at each start. A
//! commit is durable, then seen: [`Table::get`] never shows what a crash could take back. Rows are
//! sealed under a key of their own purpose. Meant for thousands of rows, not for millions: bounds
//! are [`MAX_ROWS`], [`MAX_KEY_OCTETS`], [`MAX_VALUE_OCTETS`].
//!
//! A row keeps the segment of its record. So that a row that never changes does not keep the disk
//! full of what came after it, the journal asks for its oldest segment to be left, and the rows
//! that lie there are written again as they are. A deletion needs no such care: segments go oldest
//! first, so what it deleted is gone no later than the deletion.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::journal::{
    Draft, Frame, Journal, JournalError, Keyring, Kind, Line, Pin, Pins, Position, Receipt,
    Reservation,
};

/// Rows of a table.
pub const MAX_ROWS: usize = 1_000_000;
/// Octets of a table's name.
pub const MAX_NAME_OCTETS: usize = 64;
/// Octets of a row's key.
pub const MAX_KEY_OCTETS: usize = 1024;
/// Octets of a row's value.
pub const MAX_VALUE_OCTETS: usize = 48 * 1024;

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
    /// A name, key, value or table is over its bound.
    #[error("table {table}: {what} is over its bound")]
    TooLarge {
        /// The table.
        table: String,
        /// What.
        what: &'static str,
    },
}

/// What a `TABLE` record says.
#[derive(Serialize, Deserialize)]
struct RowRecord {
    table: String,
    key: Vec<u8>,
    /// `None`: deleted.
    value: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Row {
    value: Bytes,
    pin: Pin,
}

type RowName = (Arc<str>, Vec<u8>);

#[derive(Default)]
struct View {
    tables: HashMap<Arc<str>, BTreeMap<Vec<u8>, Row>>,
    /// Rows with changes under way: those must not be carried forward, or the old value would
    /// come after the new one.
    under_way: HashMap<RowName, usize>,
}

impl View {
    fn apply(&mut self, table: &Arc<str>, key: Vec<u8>, value: Option<Vec<u8>>, pin: Pin) {
        let rows = self.tables.entry(Arc::clone(table)).or_default();
        match value {
            Some(value) => {
                let value = Bytes::from(value);
                rows.insert(key, Row { value, pin });
            }
            None => {
                rows.remove(&key);
            }
        }
    }

    fn settled(&mut self, name: &RowName) {
        if let Some(count) = self.under_way.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(name);
            }
        }
    }
}

struct Inner {
    view: Mutex<View>,
    keys: Arc<Keyring>,
    line: Line,
    pins: Arc<Pins>,
}

impl Inner {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame(&self, record: &RowRecord) -> Result<Frame, TableError> {
        let text = postcard::to_allocvec(record).map_err(|source| TableError::Value {
            table: record.table.clone(),
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

    /// What is done once `records` are durable.
    fn publish(
        self: Arc<Self>,
        records: Vec<(RowName, Option<Vec<u8>>)>,
    ) -> impl FnOnce(&[Position]) + Send {
        move |positions: &[Position]| {
            let mut view = self.view();
            for ((name, value), position) in records.into_iter().zip(positions) {
                view.settled(&name);
                let pin = self.pins.pin(position.segment);
                view.apply(&name.0, name.1, value, pin);
            }
        }
    }

    /// Writes the rows of `segment` again, unless a change of theirs is under way.
    fn carry(self: Arc<Self>, segment: u64) -> Result<(), TableError> {
        let mut view = self.view();
        let (mut frames, mut records) = (Vec::new(), Vec::new());
        for (table, rows) in &view.tables {
            for (key, row) in rows.iter().filter(|(_, row)| row.pin.segment() == segment) {
                let name = (Arc::clone(table), key.clone());
                if view.under_way.contains_key(&name) {
                    continue;
                }
                let record = RowRecord {
                    table: table.to_string(),
                    key: key.clone(),
                    value: Some(row.value.to_vec()),
                };
                frames.push(self.frame(&record)?);
                records.push((name, record.value));
            }
        }
        if !frames.is_empty() {
            drop(self.submit(&mut view, frames, records, None));
        }
        Ok(())
    }

    /// Queues under the lock, so that the order in the journal is the order of the view.
    fn submit(
        self: &Arc<Self>,
        view: &mut View,
        frames: Vec<Frame>,
        records: Vec<(RowName, Option<Vec<u8>>)>,
        room: Option<Reservation<'_>>,
    ) -> Receipt {
        for (name, _) in &records {
            *view.under_way.entry(name.clone()).or_insert(0) += 1;
        }
        let publish = Box::new(Arc::clone(self).publish(records));
        self.line.submit(frames, room, publish)
    }

    async fn write(
        self: &Arc<Self>,
        table: &Arc<str>,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), TableError> {
        let record = RowRecord {
            table: table.to_string(),
            key: key.to_vec(),
            value,
        };
        let frames = vec![self.frame(&record)?];
        let room = self.line.reserve(&frames).await?;
        self.line.check(&frames)?;
        let receipt = {
            let mut view = self.view();
            let full = view.tables.get(table).is_some_and(|rows| {
                rows.len() >= MAX_ROWS && record.value.is_some() && !rows.contains_key(key)
            });
            if full {
                return Err(too_large(table, "the number of rows"));
            }
            let records = vec![((Arc::clone(table), record.key), record.value)];
            self.submit(&mut view, frames, records, Some(room))
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
            let record: RowRecord =
                postcard::from_bytes(&stored.row).map_err(|source| TableError::Value {
                    table: String::new(),
                    source,
                })?;
            view.apply(
                &Arc::from(record.table.as_str()),
                record.key,
                record.value,
                stored.pin,
            );
        }
        let inner = Arc::new(Inner {
            view: Mutex::new(view),
            keys: Arc::clone(journal.keys()),
            line: journal.line().clone(),
            pins: Arc::clone(journal.pins()),
        });
        // The rows, and with them their segments, last as long as the journal does.
        let carrier = Arc::clone(&inner);
        journal.set_carrier(Box::new(move |segment| {
            if let Err(error) = Arc::clone(&carrier).carry(segment) {
                tracing::error!(%error, "cannot carry table rows forward");
            }
        }));
        Ok(Self { inner })
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
            rows.map(|(key, row)| (key.clone(), row.value.clone()))
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
