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
mod import;
mod key;
mod ldif;
mod manage;
mod names;
mod parse;
mod store;
mod verdicts;
mod view;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::mail::{
    Address, CertificateFact, CertificateProblem, Domain, Fingerprint, FoundCertificate,
    RecipientCertificate, Timestamp,
};
use crate::tables::{TableError, Tables};

use super::lookup::Source;
use super::revocation::{CheckRevocation, RevocationStatus};
use choice::{Candidate, more_telling};
use examine::Vouching;
use found::Answer;
use parse::KeyId;

pub use chain::{AnchorError, Anchors, MAX_ANCHORS};
pub use folder::{Folder, FolderError, RefusedFile, WhyRefused};
pub use formats::{FormatError, MAX_FILE_CERTIFICATES, MAX_FILE_OCTETS};
pub use import::{ImportOptions, ImportOutcome, ImportedItem};
pub use key::KeyKind;
pub use manage::{CertificatesError, Selection};
pub use names::MailNames;
pub use parse::{MAX_CERTIFICATE_OCTETS, Parsed};
pub use store::{By, Change, State};
pub use view::{CertificateView, Origin, RevocationView};

/// What asking for the revocation of the certificates of one place may take.
pub const ASKING_REVOCATION: Duration = Duration::from_secs(10);
/// Certificates of one place whose revocation is asked for, for one message.
const MAX_ASKED: usize = 4;

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

/// A candidate that breaks no rule, with its chain if one was demanded.
struct Passed<'a> {
    candidate: &'a Candidate,
    chain: Option<Vec<Bytes>>,
}

impl Certificates {
    /// Opens the directory among the tables of the spool.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn open(tables: &Tables, settings: Settings) -> Result<Self, TableError> {
        Ok(Self(Arc::new(Shared {
            store: store::Store::open(tables)?,
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
                Ok(None) => return found(&settings, candidate, address),
                Ok(Some(broken)) | Err(broken) => problem = more_telling(problem, Some(broken)),
            }
        }
        FoundCertificate {
            certificate: None,
            problem,
        }
    }

    /// The certificate to use for an address: of those known here, then of the sources, in order;
    /// its revocation is asked about. Takes no longer than [`found::ASKING`] and twice
    /// [`ASKING_REVOCATION`].
    pub async fn look_up(&self, address: &Address, now: Timestamp) -> FoundCertificate {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let chosen = self
            .choose(&settings, &local.candidates, address, now, &local.pinned)
            .await;
        let local_problem = match chosen {
            Ok(candidate) => return found(&settings, candidate, address),
            Err(problem) => more_telling(local.problem, problem),
        };
        if !local.pinned.is_empty() {
            // Nothing that is found elsewhere could be used.
            return FoundCertificate {
                certificate: None,
                problem: local_problem,
            };
        }
        let answer = self.ask(&settings, address, now).await;
        let candidates = found_candidates(&answer);
        match self.choose(&settings, &candidates, address, now, &[]).await {
            Ok(candidate) => found(&settings, candidate, address),
            Err(problem) => FoundCertificate {
                certificate: None,
                problem: more_telling(local_problem, more_telling(answer.problem, problem)),
            },
        }
    }

    /// Whether a certificate that was chosen earlier may still be used: to be asked right before
    /// something that was sealed to it is sent.
    ///
    /// # Errors
    /// What speaks against it now. One that is known nowhere any more has
    /// [`CertificateProblem::NoChain`]: nobody vouches for it.
    pub async fn stands(
        &self,
        address: &Address,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<(), CertificateProblem> {
        let settings = self.settings();
        let local = self.local(&settings, address);
        let is_it = |it: &&Candidate| it.parsed.fingerprint == *fingerprint;
        if let Some(candidate) = local.candidates.iter().find(is_it) {
            let passed = judge(&settings, candidate, address, now, &local.pinned)?;
            let deadline = Instant::now() + ASKING_REVOCATION;
            return self.revocation(&settings, passed, now, deadline).await;
        }
        if !local.pinned.is_empty() {
            return Err(CertificateProblem::NotApproved);
        }
        let answer = self.ask(&settings, address, now).await;
        let candidates = found_candidates(&answer);
        let Some(candidate) = candidates.iter().find(is_it) else {
            let failed = answer.problem == Some(CertificateProblem::LookupFailed);
            return Err(match failed {
                true => CertificateProblem::LookupFailed,
                false => CertificateProblem::NoChain,
            });
        };
        let passed = judge(&settings, candidate, address, now, &[])?;
        let deadline = Instant::now() + ASKING_REVOCATION;
        self.revocation(&settings, passed, now, deadline).await
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

    /// What the sources have, from memory or asked now.
    async fn ask(&self, settings: &Settings, address: &Address, now: Timestamp) -> Arc<Answer> {
        let accept = |parsed: &Parsed, issuers: &[Bytes]| {
            examine::examine(parsed, address, now, Vouching::Chain)?;
            settings.anchors.chain(parsed, issuers, now).map(drop)
        };
        let asking = self.0.answers.get(&settings.sources, address, now, &accept);
        // Who waits for another's question waits no longer than for their own.
        match timeout(found::ASKING + found::ASKING / 10, asking).await {
            Ok(answer) => answer,
            Err(_) => Arc::new(Answer::failed()),
        }
    }

    /// The first candidate that breaks no rule and was not revoked.
    async fn choose<'a>(
        &self,
        settings: &Settings,
        candidates: &'a [Candidate],
        address: &Address,
        now: Timestamp,
        pinned: &[KeyId],
    ) -> Result<&'a Candidate, Option<CertificateProblem>> {
        let deadline = Instant::now() + ASKING_REVOCATION;
        let mut problem = None;
        let mut asked = 0;
        for candidate in candidates {
            let broken = match judge(settings, candidate, address, now, pinned) {
                Ok(passed) if asked < MAX_ASKED => {
                    asked += 1;
                    match self.revocation(settings, passed, now, deadline).await {
                        Ok(()) => return Ok(candidate),
                        Err(broken) => broken,
                    }
                }
                Ok(_) => CertificateProblem::RevocationUnknown,
                Err(broken) => broken,
            };
            problem = more_telling(problem, Some(broken));
        }
        Err(problem)
    }

    /// Whether a candidate was revoked, as far as anybody can be asked.
    async fn revocation(
        &self,
        settings: &Settings,
        passed: Passed<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), CertificateProblem> {
        if settings.revocation == RevocationMode::Off {
            return Ok(());
        }
        let Passed { candidate, chain } = passed;
        let chain = chain.or_else(|| chain_of(settings, candidate, now).ok());
        let Some(chain) = chain else {
            // No issuer is known: there is nobody to ask.
            return Ok(());
        };
        let fingerprint = &candidate.parsed.fingerprint;
        let status = status(settings, &chain, now, deadline).await;
        let verdict = match (status, settings.revocation) {
            (RevocationStatus::Good, _) => None,
            (RevocationStatus::Revoked, _) => Some(CertificateProblem::Revoked),
            (RevocationStatus::Unknown(why), RevocationMode::Require) => {
                tracing::warn!(%fingerprint, why, "a certificate is not used: its revocation is not known");
                Some(CertificateProblem::RevocationUnknown)
            }
            (RevocationStatus::Unknown(why), RevocationMode::Prefer | RevocationMode::Off) => {
                tracing::info!(%fingerprint, why, "the revocation of a certificate is not known");
                None
            }
        };
        self.0.verdicts.set(fingerprint, verdict, now);
        verdict.map_or(Ok(()), Err)
    }
}

/// Whether a chain was revoked, asked until `deadline`.
async fn status(
    settings: &Settings,
    chain: &[Bytes],
    now: Timestamp,
    deadline: Instant,
) -> RevocationStatus {
    let Some(checker) = &settings.checker else {
        return RevocationStatus::Unknown("nothing can be asked".to_owned());
    };
    match timeout_at(deadline, checker.status(chain, now)).await {
        Ok(status) => status,
        Err(_) => RevocationStatus::Unknown("no answer in time".to_owned()),
    }
}

/// The rules, for one candidate: everything but its revocation.
fn judge<'a>(
    settings: &Settings,
    candidate: &'a Candidate,
    address: &Address,
    now: Timestamp,
    pinned: &[KeyId],
) -> Result<Passed<'a>, CertificateProblem> {
    let vouching = match candidate.require_chain {
        true => Vouching::Chain,
        false => Vouching::Operator,
    };
    examine::examine(&candidate.parsed, address, now, vouching)?;
    let other_key = !pinned.is_empty() && !pinned.contains(&candidate.parsed.key_id);
    if candidate.waits || other_key {
        return Err(CertificateProblem::NotApproved);
    }
    let chain = match candidate.require_chain {
        true => Some(chain_of(settings, candidate, now)?),
        false => None,
    };
    Ok(Passed { candidate, chain })
}

fn chain_of(
    settings: &Settings,
    candidate: &Candidate,
    now: Timestamp,
) -> Result<Vec<Bytes>, CertificateProblem> {
    let Candidate {
        parsed, issuers, ..
    } = candidate;
    settings.anchors.chain(parsed, issuers, now)
}

fn found_candidates(answer: &Answer) -> Vec<Candidate> {
    let found = answer.found.iter();
    found
        .map(|it| Candidate::of_found(&it.parsed, &it.issuers))
        .collect()
}

/// What the owner of a certificate is known to read: by the row, else by the configuration for
/// the domain, else by the certificate.
fn reads(settings: &Settings, candidate: &Candidate, address: &Address) -> (bool, bool) {
    let mut partners = settings.partners.iter();
    let partner = partners.find(|it| it.domain == *address.domain());
    let by_partner = |what: fn(&Partner) -> Option<bool>| partner.and_then(what);
    let gcm = candidate.gcm.or_else(|| by_partner(|it| it.gcm));
    let oaep = candidate.oaep.or_else(|| by_partner(|it| it.oaep));
    (
        gcm.unwrap_or(candidate.parsed.reads_gcm),
        oaep.unwrap_or(candidate.parsed.reads_oaep),
    )
}

fn found(settings: &Settings, candidate: &Candidate, address: &Address) -> FoundCertificate {
    let (gcm, oaep) = reads(settings, candidate, address);
    let parsed = &candidate.parsed;
    FoundCertificate {
        certificate: Some(RecipientCertificate {
            der: parsed.der.clone(),
            fingerprint: parsed.fingerprint,
            expires: parsed.not_after,
            fact: candidate.fact,
            gcm,
            oaep,
        }),
        problem: None,
    }
}

#[cfg(test)]
mod tests;
