//! What is in the directory no more: who took it out, when and why.
//!
//! Owns the table `certificates_removed`, without the certificates themselves; of all removals the
//! newest [`MAX_REMOVED`] are kept. Nothing is decided from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::list::Selection;
use super::store::{Change, Entry, cut};
use crate::mail::{Address, Fingerprint};
use crate::tables::{Table, TableError, Tables};

/// Removals that are kept.
pub const MAX_REMOVED: usize = 1000;

/// Why a certificate is there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// It was removed.
    Removed,
    /// Another key was approved in its place.
    Replaced,
}

/// A certificate that was in the directory for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedCertificate {
    /// The address.
    pub address: Address,
    /// The certificate's name.
    pub fingerprint: Fingerprint,
    /// Its subject; empty if it could not be read any more.
    pub subject: String,
    /// Whether it was pinned.
    pub pinned: bool,
    /// Why it went.
    pub gone: Gone,
    /// The file it had come in.
    pub source: String,
    /// When, by whom and why it had come.
    pub imported: Change,
    /// Its approval, if it had one.
    pub approved: Option<Change>,
    /// When, by whom and why it went.
    pub removed: Change,
}

/// The stored form: what is added later gets a number of its own.
#[derive(Serialize, Deserialize)]
enum Stored {
    V1(RemovedCertificate),
}

/// The table, and what is in it by age.
pub(super) struct Removals {
    table: Table<Stored>,
    kept: Mutex<BTreeMap<Vec<u8>, RemovedCertificate>>,
}

impl std::fmt::Debug for Removals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Removals({} rows)", self.table.len())
    }
}

impl RemovedCertificate {
    pub(super) fn new(entry: &Entry, gone: Gone, removed: Change) -> Self {
        let row = &entry.row;
        let subject = entry.parsed.as_ref().map(|it| cut(&it.subject));
        Self {
            address: row.address.clone(),
            fingerprint: entry.fingerprint,
            subject: subject.unwrap_or_default(),
            pinned: row.pinned,
            gone,
            source: row.source.clone(),
            imported: row.imported.clone(),
            approved: row.approved.clone(),
            removed,
        }
    }

    /// Sorts by age.
    fn key(&self) -> Vec<u8> {
        let mut key = self.removed.at.as_micros().to_be_bytes().to_vec();
        key.extend_from_slice(self.fingerprint.as_bytes());
        key.extend_from_slice(self.address.mailbox_key().as_bytes());
        key
    }
}

impl Removals {
    pub(super) fn open(tables: &Tables) -> Result<Self, TableError> {
        let table: Table<Stored> = tables.table("certificates_removed")?;
        let rows = table.rows()?.into_iter();
        let kept = rows.map(|(key, Stored::V1(removed))| (key, removed));
        Ok(Self {
            kept: Mutex::new(kept.collect()),
            table,
        })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, RemovedCertificate>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a removal; the oldest goes where there are too many.
    pub(super) async fn add(&self, removed: RemovedCertificate) -> Result<(), TableError> {
        let key = removed.key();
        self.table.put(&key, &Stored::V1(removed.clone())).await?;
        let surplus: Vec<Vec<u8>> = {
            let mut kept = self.kept();
            kept.insert(key, removed);
            let surplus = kept.len().saturating_sub(MAX_REMOVED);
            kept.keys().take(surplus).cloned().collect()
        };
        for key in surplus {
            self.table.delete(&key).await?;
            self.kept().remove(&key);
        }
        Ok(())
    }

    /// The newest first.
    pub(super) fn list(&self, selection: &Selection) -> Vec<RemovedCertificate> {
        let kept = self.kept();
        let newest = kept.values().rev();
        newest
            .filter(|it| selection.admits(&it.address, &it.fingerprint))
            .cloned()
            .collect()
    }
}
