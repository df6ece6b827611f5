//! What the commands do: import, approve, remove, list, show.
//!
//! Every change has an actor and a reason; they are traced, and kept in the row. A change goes on
//! to its end even if who asked for it goes away.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::choice::Candidate;
use super::folder::Filed;
use super::formats::FormatError;
use super::import::{self, ImportOptions, ImportOutcome, ImportedItem, Planning, is_pinned};
use super::store::{By, Change, Entry, MAX_ROWS, State};
use super::view::{CertificateView, Origin, RevocationView};
use super::{
    ASKING_REVOCATION, Certificates, RevocationMode, Settings, chain_of, found_candidates, judge,
    reads, status,
};
use crate::directory::revocation::RevocationStatus;
use crate::mail::{Address, CertificateProblem, Domain, Fingerprint, Timestamp};
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

/// Which certificates are listed. What is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Those of this address.
    pub address: Option<Address>,
    /// Those of addresses of this domain.
    pub domain: Option<Domain>,
    /// Those of this fingerprint.
    pub fingerprint: Option<Fingerprint>,
}

impl Selection {
    fn admits(&self, address: &Address, fingerprint: &Fingerprint) -> bool {
        let same = |it: &Address| it.mailbox_key() == address.mailbox_key();
        self.address.as_ref().is_none_or(same)
            && self.domain.as_ref().is_none_or(|it| it == address.domain())
            && self.fingerprint.is_none_or(|it| it == *fingerprint)
    }
}

/// A certificate for an address, wherever it is known from.
struct Listed {
    address: Address,
    fingerprint: Fingerprint,
    /// `None`: it cannot be read any more.
    candidate: Option<Candidate>,
    origin: Origin,
}

impl Listed {
    fn of_entry(entry: &Entry) -> Self {
        Self {
            address: entry.row.address.clone(),
            fingerprint: entry.fingerprint,
            candidate: Candidate::of_entry(entry),
            origin: Origin::Imported {
                source: entry.row.source.clone(),
                imported: entry.row.imported.clone(),
                approved: entry.row.approved.clone(),
            },
        }
    }

    fn of_filed(filed: &Filed) -> Self {
        Self {
            address: filed.address.clone(),
            fingerprint: filed.parsed.fingerprint,
            candidate: Some(Candidate::of_filed(filed)),
            origin: Origin::Folder {
                file: filed.file.clone(),
            },
        }
    }
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
            let settings = this.settings();
            let planning = Planning {
                options: &options,
                anchors: &settings.anchors,
                source: &source,
                by: &by,
                now,
            };
            let plan = planning.plan(file, &this.0.store);
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
    /// on, and a pinned certificate of the address with another key is removed. Says for which
    /// addresses.
    ///
    /// # Errors
    /// If it is not in the table, may not be used now, or rows cannot be written.
    pub async fn approve(
        &self,
        fingerprint: &Fingerprint,
        address: Option<&Address>,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<Address>, CertificatesError> {
        let (this, by) = (self.clone(), by.clone());
        let selection = Selection {
            address: address.cloned(),
            fingerprint: Some(*fingerprint),
            ..Selection::default()
        };
        let change = async move {
            let _changing = this.0.store.changing.lock().await;
            let chosen = this.chosen(&selection)?;
            let settings = this.settings();
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
                judge(&settings, &free, &address, now, &[]).map_err(CertificatesError::Refused)?;
                this.pin(&entry, &by, now).await?;
                approved.push(address);
            }
            Ok(approved)
        };
        finish(change).await
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
                self.0.store.delete(old).await?;
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
    ) -> Result<Vec<Address>, CertificatesError> {
        let (this, by) = (self.clone(), by.clone());
        let selection = Selection {
            address: address.cloned(),
            fingerprint: Some(*fingerprint),
            ..Selection::default()
        };
        let change = async move {
            let _changing = this.0.store.changing.lock().await;
            let mut removed = Vec::new();
            for entry in this.chosen(&selection)? {
                this.0.store.delete(&entry).await?;
                let address = entry.row.address.clone();
                trace("certificate removed", &address, &entry.fingerprint, &by);
                removed.push(address);
            }
            Ok(removed)
        };
        finish(change).await
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

    /// The certificates of the table and the folder, by address; nobody is asked.
    pub fn list(&self, selection: &Selection, now: Timestamp) -> Vec<CertificateView> {
        let settings = self.settings();
        let listed = self.listed(&settings, selection);
        listed
            .into_iter()
            .filter_map(|it| self.view(&settings, it, now))
            .collect()
    }

    /// All that is known of a certificate, for each of its addresses; its revocation is asked
    /// about.
    ///
    /// # Errors
    /// If it is neither in the table nor in the folder.
    pub async fn show(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Vec<CertificateView>, CertificatesError> {
        let selection = Selection {
            fingerprint: Some(*fingerprint),
            ..Selection::default()
        };
        let settings = self.settings();
        let listed = self.listed(&settings, &selection);
        let Some(first) = listed.first() else {
            return Err(CertificatesError::Unknown);
        };
        let revocation = match &first.candidate {
            Some(candidate) => revocation(&settings, candidate, now).await,
            None => RevocationView::NotAsked,
        };
        let views = listed
            .into_iter()
            .filter_map(|it| self.view(&settings, it, now));
        let mut views: Vec<CertificateView> = views.collect();
        for view in &mut views {
            view.revocation = revocation.clone();
            if revocation == RevocationView::Revoked {
                view.problem = Some(CertificateProblem::Revoked);
            }
        }
        Ok(views)
    }

    /// Every certificate that is known of an address, those of the sources too, and what is
    /// thought of each; with what [`Self::look_up`] chooses.
    pub async fn consider(
        &self,
        address: &Address,
        now: Timestamp,
    ) -> (Vec<CertificateView>, Option<CertificateProblem>) {
        let chosen = self.look_up(address, now).await;
        let settings = self.settings();
        let selection = Selection {
            address: Some(address.clone()),
            ..Selection::default()
        };
        let mut listed = self.listed(&settings, &selection);
        let answer = self.ask(&settings, address, now).await;
        let found = found_candidates(&answer).into_iter().map(|it| Listed {
            address: address.clone(),
            fingerprint: it.parsed.fingerprint,
            candidate: Some(it),
            origin: Origin::Found,
        });
        listed.extend(found);
        let mut views = Vec::new();
        for listed in listed {
            let revocation = match &listed.candidate {
                Some(candidate) => revocation(&settings, candidate, now).await,
                None => RevocationView::NotAsked,
            };
            if let Some(mut view) = self.view(&settings, listed, now) {
                let certificate = chosen.certificate.as_ref();
                view.chosen = certificate
                    .is_some_and(|it| it.fingerprint == view.fingerprint && it.fact == view.trust);
                view.revocation = revocation;
                views.push(view);
            }
        }
        (views, chosen.problem)
    }

    fn listed(&self, settings: &Settings, selection: &Selection) -> Vec<Listed> {
        let entries = self.0.store.all();
        let rows = entries.iter().map(|it| Listed::of_entry(it));
        let filed = settings.folder.all();
        let files = filed.iter().map(|it| Listed::of_filed(it));
        rows.chain(files)
            .filter(|it| selection.admits(&it.address, &it.fingerprint))
            .collect()
    }

    /// What is thought of a certificate now. What cannot be read any more is not shown but for
    /// its removal: it has nothing to show.
    fn view(&self, settings: &Settings, listed: Listed, now: Timestamp) -> Option<CertificateView> {
        let Listed {
            address,
            fingerprint,
            candidate,
            origin,
        } = listed;
        let candidate = candidate?;
        let parsed = &candidate.parsed;
        let pinned = self.local(settings, &address).pinned;
        let judged = judge(settings, &candidate, &address, now, &pinned);
        let verdict = || self.0.verdicts.of(&fingerprint, now);
        let chosen = self.known(&address, now).certificate;
        let chain = chain_of(settings, &candidate, now);
        let (gcm, oaep) = reads(settings, &candidate, &address);
        Some(CertificateView {
            problem: judged.err().or_else(verdict),
            chosen: chosen
                .is_some_and(|it| it.fingerprint == fingerprint && it.fact == candidate.fact),
            trust: candidate.fact,
            state: match candidate.waits {
                true => State::WaitsForApproval,
                false => State::InUse,
            },
            origin,
            subject: parsed.subject.clone(),
            issuer: parsed.issuer.clone(),
            serial: parsed.serial.clone(),
            valid_from: parsed.not_before.to_rfc3339(),
            valid_until: parsed.not_after.to_rfc3339(),
            key: match parsed.key {
                Ok(kind) => kind.to_string(),
                Err(problem) => problem.to_string(),
            },
            addresses: parsed.names.addresses.clone(),
            gcm,
            oaep,
            require_chain: candidate.require_chain,
            chain: match &chain {
                Ok(chain) => chain.iter().skip(1).map(subject).collect(),
                Err(_) => Vec::new(),
            },
            chain_problem: chain.err(),
            revocation: RevocationView::NotAsked,
            address,
            fingerprint,
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

async fn revocation(settings: &Settings, candidate: &Candidate, now: Timestamp) -> RevocationView {
    if settings.revocation == RevocationMode::Off {
        return RevocationView::Off;
    }
    let Ok(chain) = chain_of(settings, candidate, now) else {
        return RevocationView::NoIssuer;
    };
    let deadline = Instant::now() + ASKING_REVOCATION;
    match status(settings, &chain, now, deadline).await {
        RevocationStatus::Good => RevocationView::Good,
        RevocationStatus::Revoked => RevocationView::Revoked,
        RevocationStatus::Unknown(why) => RevocationView::Unknown { why },
    }
}

fn subject(der: &Bytes) -> String {
    let certificate = Certificate::from_der(der).ok();
    let name = certificate.map(|it| super::parse::shown(it.tbs_certificate().subject()));
    name.unwrap_or_default()
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
