//! Recipients' certificates: which there are, which may be used, which one is.
//!
//! Owns the rules of acceptance, the operator's directory (a durable table and a folder), the
//! choice, and what was found elsewhere. Never fetches anything itself (`directory::lookup`,
//! `directory::revocation`), and never seals.
//!
//! What is vouched for, and by whom: an imported certificate by the operator, a pinned one for
//! good, one that was found elsewhere only by a chain to a configured authority. The rules on
//! names, key usage, strength and validity hold for all of them. Of an address with a pinned key
//! no other key is used, wherever it comes from, until somebody approves it: not even when the
//! pinned certificate has expired, nor when it cannot be read any more. Revocation is asked where
//! an issuer is known, whether or not a chain over it is accepted; who was revoked stays so until
//! an authority says otherwise.
//!
//! Bounds on time: [`found::ASKING`] for all sources together, [`ASKING_REVOCATION`] for the
//! revocation of the certificates of one place; so a server that hangs costs seconds, never mail.

mod algorithms;
mod chain;
mod choice;
pub mod examine;
mod folder;
mod formats;
mod found;
mod fuzz;
mod import;
mod issuers;
mod judge;
mod key;
mod ldif;
mod list;
mod look;
mod manage;
mod names;
mod offline;
mod parse;
mod pins;
mod removed;
mod store;
mod verdicts;
mod view;

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::mail::{Address, CertificateProblem, Domain, Fingerprint, FoundCertificate, Timestamp};
use crate::tables::{TableError, Tables};

use super::lookup::Source;
use super::revocation::CheckRevocation;
use choice::{Candidate, more_telling};
use judge::{chosen, judge};
use pins::Pins;

pub use chain::{AnchorError, Anchors, MAX_ANCHORS, Vouches};
pub use folder::{Folder, FolderError, RefusedFile, WhyRefused};
pub use formats::{FormatError, MAX_FILE_CERTIFICATES, MAX_FILE_OCTETS};
pub use fuzz::check_fuzz_input;
pub use import::{ImportOptions, ImportOutcome, ImportedItem};
pub use key::KeyKind;
pub use list::{MAX_PAGE, Selection};
pub use manage::CertificatesError;
pub use names::MailNames;
pub use offline::known_in_folder;
pub use parse::{MAX_CERTIFICATE_OCTETS, Parsed};
pub use removed::{Gone, MAX_REMOVED, RemovedCertificate};
pub use store::{By, Change, State};
pub use view::{CertificateView, Origin, RevocationView};

/// What asking for the revocation of the certificates of one place may take.
pub const ASKING_REVOCATION: Duration = Duration::from_secs(10);
/// What follows from the revocation of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RevocationMode {
    /// A certificate is not used while its revocation cannot be found out.
    #[default]
    Require,
    /// It is used, unless it is known to be revoked.
    Prefer,
    /// Nothing is asked.
    Off,
}

/// What the owners of a domain's certificates are known to read, by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// The domain, without those below it.
    pub domain: Domain,
    /// AES-GCM; `None`: what the certificate says.
    pub gcm: Option<bool>,
    /// RSAES-OAEP; `None`: what the certificate says.
    pub oaep: Option<bool>,
}

/// What the configuration says.
#[derive(Debug, Default)]
pub struct Settings {
    /// The authorities that chains end at.
    pub anchors: Anchors,
    /// The operator's folder, read.
    pub folder: Folder,
    /// Who is asked, in this order.
    pub sources: Vec<Arc<dyn Source>>,
    /// What follows from revocation.
    pub revocation: RevocationMode,
    /// Who says whether a certificate was revoked.
    pub checker: Option<Arc<dyn CheckRevocation>>,
    /// What partners read.
    pub partners: Vec<Partner>,
}

/// The certificates of recipients. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: store::Store,
    in_force: RwLock<Arc<InForce>>,
    removals: removed::Removals,
    verdicts: verdicts::Verdicts,
}

/// Settings, and what was found elsewhere under them: what is answered to a question of earlier
/// settings goes with those.
#[derive(Debug)]
struct InForce {
    settings: Settings,
    answers: found::Answers,
}

impl InForce {
    fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            answers: found::Answers::default(),
        })
    }
}

impl Deref for InForce {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// What is known of an address without asking anybody.
struct Local {
    /// The best first.
    candidates: Vec<Candidate>,
    /// The pinned keys; where there is one, there is no other.
    pinned: Pins,
    /// A row that cannot be read any more.
    problem: Option<CertificateProblem>,
}

impl Certificates {
    /// Opens the directory among the tables of the spool.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn open(tables: &Tables, settings: Settings) -> Result<Self, TableError> {
        Ok(Self(Arc::new(Shared {
            store: store::Store::open(tables)?,
            in_force: RwLock::new(InForce::new(settings)),
            removals: removed::Removals::open(tables)?,
            verdicts: verdicts::Verdicts::default(),
        })))
    }

    /// Takes other settings into force. What was found elsewhere is forgotten; that a certificate
    /// was revoked is not.
    pub fn reload(&self, settings: Settings) {
        let shared = &self.0;
        let mut current = shared
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = InForce::new(settings);
        drop(current);
        shared.verdicts.forget_doubts();
    }

    /// What is known of an address here: of the table and the folder, nobody is asked. A
    /// certificate that [`Self::look_up`] found revoked is not offered again.
    pub fn known(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let mut problem = local.problem;
        for candidate in &local.candidates {
            let verdict = || self.verdict(&settings, &candidate.parsed.fingerprint, now);
            let judged = judge(&settings, candidate, address, now, &local.pinned);
            match judged.map(|_| verdict()) {
                Ok(None) => return chosen(&settings, candidate, address),
                Ok(Some(broken)) | Err(broken) => problem = more_telling(problem, Some(broken)),
            }
        }
        FoundCertificate {
            certificate: None,
            problem,
        }
    }

    /// What follows for a certificate that is known here, when a question about its revocation has
    /// had no answer.
    ///
    /// # Errors
    /// That it was revoked, as far as is remembered; that this is not known, where it has to be.
    pub fn unanswered(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<(), CertificateProblem> {
        let settings = self.settings();
        match settings.revocation {
            RevocationMode::Require => Err(self
                .verdict(&settings, fingerprint, now)
                .unwrap_or(CertificateProblem::RevocationUnknown)),
            RevocationMode::Prefer => self
                .verdict(&settings, fingerprint, now)
                .map_or(Ok(()), Err),
            RevocationMode::Off => Ok(()),
        }
    }

    /// What is remembered of a certificate's revocation, where that counts.
    fn verdict(
        &self,
        settings: &Settings,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Option<CertificateProblem> {
        match settings.revocation {
            RevocationMode::Require | RevocationMode::Prefer => {
                self.0.verdicts.of(fingerprint, now)
            }
            RevocationMode::Off => None,
        }
    }

    fn settings(&self) -> Arc<InForce> {
        let in_force = self.0.in_force.read();
        Arc::clone(&in_force.unwrap_or_else(PoisonError::into_inner))
    }

    fn local(&self, settings: &Settings, address: &Address) -> Local {
        let mailbox = address.mailbox_key();
        let entries = self.0.store.of(&mailbox);
        let filed = settings.folder.of(&mailbox);
        let mut candidates: Vec<Candidate> = entries
            .iter()
            .filter_map(|it| Candidate::of_entry(it))
            .chain(filed.iter().map(|it| Candidate::of_filed(it)))
            .collect();
        choice::order(&mut candidates);
        let unreadable = entries.iter().any(|it| it.parsed.is_none());
        Local {
            candidates,
            pinned: Pins::of(&entries),
            problem: unreadable.then_some(CertificateProblem::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
