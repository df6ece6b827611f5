//! What the commands change: import, approve, remove.
//!
//! Every change has an actor and a reason; they are traced, and kept in the row, or where it went
//! among the removals. A change goes on
//! to its end even if who asked for it goes away.

use std::sync::Arc;

use super::choice::Candidate;
use super::formats::FormatError;
use super::import::{self, ImportOptions, ImportOutcome, ImportedItem, Planning, is_pinned};
use super::judge::judge;
use super::list::Selection;
use super::pins::Pins;
use super::removed::{Gone, RemovedCertificate};
use super::store::{self, By, Change, Entry, MAX_ROWS, Row, State};
use super::{Certificates, Settings};
use crate::mail::{Address, CertificateProblem, Fingerprint, Timestamp};
use crate::tables::TableError;

/// A command on the directory failed.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The table failed; some of the changes may have been made.
    #[error("the directory of certificates cannot be written")]
    Table(#[from] TableError),
    /// The file cannot be read as one with certificates.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// There is none of this fingerprint.
    #[error("no such certificate in the directory")]
    Unknown,
    /// It lies in the operator's folder, and is removed by removing its file.
    #[error("the certificate lies in the folder of certificates: remove its file, and reload")]
    InFolder,
    /// It may not be used, so it is not approved.
    #[error("not approved: {0}")]
    Refused(CertificateProblem),
    /// The directory is full.
    #[error("the directory holds as many certificates as it can ({MAX_ROWS})")]
    Full,
    /// The process is ending.
    #[error("the change was given up")]
    Ended,
}

impl Certificates {
    /// Imports the certificates of a file, each for the addresses in it. `source` is the file's
    /// name, for people.
    ///
    /// # Errors
    /// If the file as a whole is of no use, or rows cannot be written. What is wrong with single
    /// certificates is said in their items.
    pub async fn import(
        &self,
        octets: Vec<u8>,
        source: &str,
        options: ImportOptions,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<ImportedItem>, CertificatesError> {
        let (this, source, by) = (self.clone(), source.to_owned(), by.clone());
        let change = async move {
            let file = tokio::task::spawn_blocking(move || import::read(&octets));
            let file = file.await.map_err(|_| CertificatesError::Ended)??;
            let _changing = this.0.store.changing.lock().await;
            // A large file has many signatures to check and rows to compare with.
            let (planner, author) = (this.clone(), by.clone());
            let plan = tokio::task::spawn_blocking(move || {
                let settings = planner.settings();
                let planning = Planning {
                    options: &options,
                    anchors: &settings.anchors,
                    source: &source,
                    by: &author,
                    now,
                };
                planning.plan(file, &planner.0.store)
            });
            let plan = plan.await.map_err(|_| CertificatesError::Ended)?;
            if this.0.store.len() + plan.new > MAX_ROWS {
                return Err(CertificatesError::Full);
            }
            this.0.store.put(plan.entries).await?;
            plan.items.iter().for_each(|item| trace_import(item, &by));
            Ok(plan.items)
        };
        finish(change).await
    }

    /// Approves a certificate, for one of its addresses or for all: it is pinned and used from now
    /// on, and a pinned certificate of the address with another key is removed. One of the folder
    /// gets its place in the table by that. Says for which addresses.
    ///
    /// # Errors
    /// If it is not known here, may not be used now, or rows cannot be written.
    pub async fn approve(
        &self,
        fingerprint: &Fingerprint,
        address: Option<&Address>,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<Address>, CertificatesError> {
        let (this, by) = (self.clone(), by.clone());
        let selection = Selection::one(fingerprint, address);
        let change = async move {
            let _changing = this.0.store.changing.lock().await;
            let settings = this.settings();
            let chosen = this.to_approve(&settings, &selection, &by, now);
            if chosen.is_empty() {
                return Err(CertificatesError::Unknown);
            }
            let mut approved = Vec::new();
            for entry in chosen {
                let candidate = Candidate::of_entry(&entry);
                let candidate =
                    candidate.ok_or(CertificatesError::Refused(CertificateProblem::Malformed))?;
                let address = entry.row.address.clone();
                let free = Candidate {
                    waits: false,
                    ..candidate
                };
                judge(&settings, &free, &address, now, &Pins::default())
                    .map_err(CertificatesError::Refused)?;
                this.pin(&entry, &by, now).await?;
                approved.push(address);
            }
            Ok(approved)
        };
        finish(change).await
    }

    /// The rows that an approval is for; of what lies in the folder alone, the rows it gets.
    fn to_approve(
        &self,
        settings: &Settings,
        selection: &Selection,
        by: &By,
        now: Timestamp,
    ) -> Vec<Arc<Entry>> {
        let mut entries = self.0.store.all();
        entries.retain(|it| selection.admits(&it.row.address, &it.fingerprint));
        for filed in settings.folder.all() {
            let known =
                |it: &Arc<Entry>| it.row.address.mailbox_key() == filed.address.mailbox_key();
            let fingerprint = &filed.parsed.fingerprint;
            if !selection.admits(&filed.address, fingerprint) || entries.iter().any(known) {
                continue;
            }
            entries.push(Arc::new(Entry::new(Row {
                address: filed.address.clone(),
                der: filed.parsed.der.clone(),
                issuers: filed.issuers.clone(),
                pinned: false,
                state: State::InUse,
                require_chain: false,
                source: store::cut(&filed.file),
                imported: Change::new(by, now),
                approved: None,
            })));
        }
        entries
    }

    /// Pins a row, then removes the pinned ones with another key. If that is cut short, both are
    /// pinned, and approving again ends it.
    async fn pin(&self, entry: &Entry, by: &By, now: Timestamp) -> Result<(), CertificatesError> {
        let mut row = entry.row.clone();
        (row.pinned, row.state) = (true, State::InUse);
        row.approved = Some(Change::new(by, now));
        let (address, fingerprint) = (row.address.clone(), entry.fingerprint);
        self.0.store.put(vec![Entry::new(row)]).await?;
        trace("certificate approved", &address, &fingerprint, by);
        let key = |it: &Entry| it.parsed.as_ref().map(|it| it.key_id);
        let rows = self.0.store.of(&address.mailbox_key());
        for old in rows.iter().filter(|it| is_pinned(it)) {
            if old.fingerprint != fingerprint && key(old) != key(entry) {
                self.bury(old, Gone::Replaced, by, now).await?;
                trace("certificate replaced", &address, &old.fingerprint, by);
            }
        }
        Ok(())
    }

    /// Removes a certificate from the table, for one of its addresses or for all. Says for which.
    ///
    /// # Errors
    /// If it is not there, or rows cannot be deleted.
    pub async fn remove(
        &self,
        fingerprint: &Fingerprint,
        address: Option<&Address>,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<Address>, CertificatesError> {
        let (this, by) = (self.clone(), by.clone());
        let selection = Selection::one(fingerprint, address);
        let change = async move {
            let _changing = this.0.store.changing.lock().await;
            let mut removed = Vec::new();
            for entry in this.chosen(&selection)? {
                this.bury(&entry, Gone::Removed, &by, now).await?;
                let address = entry.row.address.clone();
                trace("certificate removed", &address, &entry.fingerprint, &by);
                removed.push(address);
            }
            Ok(removed)
        };
        finish(change).await
    }

    /// Takes a row out, and keeps that it was there. If that is cut short the row is there still,
    /// and taking it out again ends it.
    async fn bury(
        &self,
        entry: &Entry,
        gone: Gone,
        by: &By,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let removed = RemovedCertificate::new(entry, gone, Change::new(by, now));
        self.0.removals.add(removed).await?;
        self.0.store.delete(entry).await
    }

    /// The rows that a change is for: at least one.
    fn chosen(&self, selection: &Selection) -> Result<Vec<Arc<Entry>>, CertificatesError> {
        let mut entries = self.0.store.all();
        entries.retain(|it| selection.admits(&it.row.address, &it.fingerprint));
        if !entries.is_empty() {
            return Ok(entries);
        }
        let filed = self.settings().folder.all();
        let in_folder = filed
            .iter()
            .any(|it| selection.admits(&it.address, &it.parsed.fingerprint));
        Err(match in_folder {
            true => CertificatesError::InFolder,
            false => CertificatesError::Unknown,
        })
    }
}

/// Runs a change to its end, whether or not it is still waited for.
async fn finish<T: Send + 'static>(
    change: impl Future<Output = Result<T, CertificatesError>> + Send + 'static,
) -> Result<T, CertificatesError> {
    let change = tokio::spawn(change);
    change.await.map_err(|_| CertificatesError::Ended)?
}

fn trace(what: &'static str, address: &Address, fingerprint: &Fingerprint, by: &By) {
    let By { actor, reason } = by;
    tracing::info!(%address, %fingerprint, actor, reason, "{what}");
}

fn trace_import(item: &ImportedItem, by: &By) {
    let what = match item.outcome {
        ImportOutcome::Imported => "certificate imported",
        ImportOutcome::WaitsForApproval => "certificate waits for approval",
        ImportOutcome::Unchanged
        | ImportOutcome::Issuer
        | ImportOutcome::PassedOver
        | ImportOutcome::Refused { .. } => return,
    };
    if let (Some(address), Some(fingerprint)) = (&item.address, &item.fingerprint) {
        trace(what, address, fingerprint, by);
    }
}
