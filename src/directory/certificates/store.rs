//! The certificates that the operator imported: durable rows, and an index by mailbox.
//!
//! Owns the table `certificates`, one row for each address and certificate. A change is durable
//! first, then seen; changes go one after the other. Answers come from the index alone: what a
//! message costs does not grow with the number of rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::parse::Parsed;
use crate::mail::{Address, Fingerprint, Timestamp};
use crate::tables::{Table, TableError, Tables};

/// Rows.
pub const MAX_ROWS: usize = 50_000;
/// Octets of the issuers in a row; with the certificate it fits a row's bound.
pub(super) const MAX_ISSUER_OCTETS: usize = 24 * 1024;
/// Octets of who changed a row, why, and from which file.
const MAX_WORD_OCTETS: usize = 512;
/// Writes that are under way at a time.
const MAX_WRITES: usize = 64;

/// Who changes something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The account.
    pub actor: String,
    /// The reason; may be empty.
    pub reason: String,
}

impl By {
    fn bounded(&self) -> Self {
        Self {
            actor: cut(&self.actor),
            reason: cut(&self.reason),
        }
    }
}

/// A change of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Who and why.
    pub by: By,
}

impl Change {
    /// Of now.
    pub(super) fn new(by: &By, at: Timestamp) -> Self {
        let by = by.bounded();
        Self { at, by }
    }
}

/// Whether a certificate of the table is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    InUse,
    /// Its key would replace a pinned one: not until somebody approves it.
    WaitsForApproval,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub address: Address,
    #[serde(with = "octets")]
    pub der: Bytes,
    /// The authorities that came with it, DER each.
    #[serde(with = "many_octets")]
    pub issuers: Vec<Bytes>,
    pub pinned: bool,
    pub state: State,
    /// A chain to a configured authority is demanded of it at every use.
    pub require_chain: bool,
    /// The name of the file it came in.
    pub source: String,
    pub imported: Change,
    /// Its approval.
    pub approved: Option<Change>,
}

/// Octets are stored as such.
mod octets {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        octets[..].serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        Vec::<u8>::deserialize(from).map(Bytes::from)
    }
}

mod many_octets {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(many: &[Bytes], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(many.iter().map(|octets| &octets[..]))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Bytes>, D::Error> {
        let many = Vec::<Vec<u8>>::deserialize(from)?;
        Ok(many.into_iter().map(Bytes::from).collect())
    }
}

/// The stored form: what is added later gets a number of its own.
#[derive(Serialize, Deserialize)]
pub(super) enum Stored {
    V1(Row),
}

/// A row in the index.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub row: Row,
    pub fingerprint: Fingerprint,
    /// `None`: it cannot be read any more, by rules that are stricter than those it came under.
    pub parsed: Option<Arc<Parsed>>,
}

impl Entry {
    pub(super) fn new(row: Row) -> Self {
        Self {
            fingerprint: super::parse::fingerprint(&row.der),
            parsed: Parsed::read(&row.der).ok().map(Arc::new),
            row,
        }
    }

    /// The key of its row: the mailbox, and the certificate.
    pub(super) fn key(&self) -> Vec<u8> {
        let mut key = self.row.address.mailbox_key().into_bytes();
        key.push(0);
        key.extend_from_slice(self.fingerprint.as_bytes());
        key
    }
}

type Index = HashMap<String, Vec<Arc<Entry>>>;

/// The table and its index.
pub(super) struct Store {
    table: Table<Stored>,
    index: RwLock<Index>,
    /// Held while something changes.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({} rows)", self.table.len())
    }
}

impl Store {
    pub(super) fn open(tables: &Tables) -> Result<Self, TableError> {
        let table: Table<Stored> = tables.table("certificates")?;
        let mut index = Index::new();
        for (_, Stored::V1(row)) in table.rows()? {
            insert(&mut index, Entry::new(row));
        }
        Ok(Self {
            table,
            index: RwLock::new(index),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// The rows of a mailbox, by its key.
    pub(super) fn of(&self, mailbox: &str) -> Vec<Arc<Entry>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.get(mailbox).cloned().unwrap_or_default()
    }

    /// Every row, by address and fingerprint.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<Arc<Entry>> = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            index.values().flatten().cloned().collect()
        };
        all.sort_by_cached_key(|entry| entry.key());
        all
    }

    /// The certificates whose fingerprints begin with hexadecimal `digits`, each once.
    pub(super) fn beginning(&self, digits: &str) -> BTreeSet<Fingerprint> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let prints = index.values().flatten().map(|entry| entry.fingerprint);
        prints.filter(|it| begins(it, digits)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Writes rows, several at a time; each is in the index once it is durable. On an error some
    /// may have been written, and are seen.
    pub(super) async fn put(&self, entries: Vec<Entry>) -> Result<(), TableError> {
        let mut entries = entries.into_iter();
        let mut writes = JoinSet::new();
        let mut failed = None;
        loop {
            while failed.is_none() && writes.len() < MAX_WRITES {
                let Some(entry) = entries.next() else {
                    break;
                };
                let table = self.table.clone();
                writes.spawn(async move {
                    let value = Stored::V1(entry.row.clone());
                    table.put(&entry.key(), &value).await.map(|()| entry)
                });
            }
            match writes.join_next().await {
                None => break,
                Some(Ok(Ok(entry))) => {
                    let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                    insert(&mut index, entry);
                }
                Some(Ok(Err(error))) => failed = failed.or(Some(error)),
                // Nothing in a write panics, and nobody aborts one.
                Some(Err(_)) => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Deletes a row.
    pub(super) async fn delete(&self, entry: &Entry) -> Result<(), TableError> {
        self.table.delete(&entry.key()).await?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mailbox = entry.row.address.mailbox_key();
        if let Some(entries) = index.get_mut(&mailbox) {
            entries.retain(|it| it.fingerprint != entry.fingerprint);
            if entries.is_empty() {
                index.remove(&mailbox);
            }
        }
        Ok(())
    }
}

fn insert(index: &mut Index, entry: Entry) {
    let entries = index.entry(entry.row.address.mailbox_key()).or_default();
    entries.retain(|it| it.fingerprint != entry.fingerprint);
    entries.push(Arc::new(entry));
}

/// Whether a fingerprint begins with these digits, lower case.
pub(super) fn begins(fingerprint: &Fingerprint, digits: &str) -> bool {
    let octets = fingerprint.as_bytes();
    let nibbles = octets.iter().flat_map(|it| [it >> 4, it & 15]);
    let mut its = nibbles.filter_map(|it| char::from_digit(it.into(), 16));
    digits.chars().all(|digit| its.next() == Some(digit))
}

/// A text cut to its bound, on one line.
pub(super) fn cut(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().filter(|it| !it.is_control()) {
        if out.len() + character.len_utf8() > MAX_WORD_OCTETS {
            break;
        }
        out.push(character);
    }
    out
}
