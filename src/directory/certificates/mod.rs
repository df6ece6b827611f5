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
//! pinned certificate has expired. Revocation is asked where an issuer is known.
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
mod judge;
mod key;
mod ldif;
mod list;
mod look;
mod manage;
mod names;
mod offline;
mod parse;
mod removed;
mod store;
mod verdicts;
mod view;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::mail::{
    Address, CertificateFact, CertificateProblem, Domain, FoundCertificate, Timestamp,
};
use crate::tables::{TableError, Tables};

use super::lookup::Source;
use super::revocation::CheckRevocation;
use choice::{Candidate, more_telling};
use judge::{chosen, judge};
use parse::KeyId;

pub use chain::{AnchorError, Anchors, MAX_ANCHORS};
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
    removals: removed::Removals,
    settings: RwLock<Arc<Settings>>,
    answers: found::Answers,
    verdicts: verdicts::Verdicts,
}

/// What is known of an address without asking anybody.
struct Local {
    /// The best first.
    candidates: Vec<Candidate>,
    /// The pinned keys; where there is one, there is no other.
    pinned: Vec<KeyId>,
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
            removals: removed::Removals::open(tables)?,
            settings: RwLock::new(Arc::new(settings)),
            answers: found::Answers::default(),
            verdicts: verdicts::Verdicts::default(),
        })))
    }

    /// Takes other settings into force. What was found elsewhere is forgotten.
    pub fn reload(&self, settings: Settings) {
        let shared = &self.0;
        let mut current = shared
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
        drop(current);
        shared.answers.clear();
        shared.verdicts.clear();
    }

    /// What is known of an address here: of the table and the folder, nobody is asked. A
    /// certificate that [`Self::look_up`] found revoked a while ago is not offered again.
    pub fn known(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let mut problem = local.problem;
        for candidate in &local.candidates {
            let verdict = || self.0.verdicts.of(&candidate.parsed.fingerprint, now);
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

    fn settings(&self) -> Arc<Settings> {
        let settings = self.0.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
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
        let pinned = candidates
            .iter()
            .filter(|it| it.fact == CertificateFact::Pinned && !it.waits)
            .map(|it| it.parsed.key_id)
            .collect();
        choice::order(&mut candidates);
        let unreadable = entries.iter().any(|it| it.parsed.is_none());
        Local {
            candidates,
            pinned,
            problem: unreadable.then_some(CertificateProblem::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
