//! What is shown of the directory: lists, single certificates, everything that is known of an
//! address.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::choice::Candidate;
use super::folder::Filed;
use super::issuers::way_up;
use super::judge::{chain_of, judge, reads};
use super::look::{found_candidates, status};
use super::removed::RemovedCertificate;
use super::store::{Entry, State, begins};
use super::view::{CertificateView, Origin, RevocationView};
use super::{ASKING_REVOCATION, Certificates, CertificatesError, RevocationMode, Settings, parse};
use crate::directory::revocation::RevocationStatus;
use crate::mail::{Address, CertificateFact, CertificateProblem, Domain, Fingerprint, Timestamp};

/// Certificates of one page of a list.
pub const MAX_PAGE: usize = 500;

/// Which certificates are listed. What is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Those of this address.
    pub address: Option<Address>,
    /// Those of addresses of this domain.
    pub domain: Option<Domain>,
    /// Those of this fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// Only those that wait for approval.
    pub waiting: bool,
}

impl Selection {
    /// One certificate, for one of its addresses or for all.
    pub(super) fn one(fingerprint: &Fingerprint, address: Option<&Address>) -> Self {
        Self {
            address: address.cloned(),
            fingerprint: Some(*fingerprint),
            ..Self::default()
        }
    }

    pub(super) fn admits(&self, address: &Address, fingerprint: &Fingerprint) -> bool {
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

/// Where a certificate of the list lies.
enum Lies<'a> {
    Row(&'a Entry),
    File(&'a Filed),
}

impl Listed {
    fn of(place: Lies<'_>) -> Self {
        match place {
            Lies::Row(entry) => Self::of_entry(entry),
            Lies::File(filed) => Self::of_filed(filed),
        }
    }

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
    /// The certificates of the table and the folder, by address; nobody is asked.
    pub fn list(&self, selection: &Selection, now: Timestamp) -> Vec<CertificateView> {
        self.part(selection, 0, usize::MAX, now)
    }

    /// [`MAX_PAGE`] of the same, from the one with the number `from` on. What changes between two
    /// pages may be in both of them or in none.
    pub fn page(&self, selection: &Selection, from: usize, now: Timestamp) -> Vec<CertificateView> {
        self.part(selection, from, MAX_PAGE, now)
    }

    fn part(
        &self,
        selection: &Selection,
        from: usize,
        most: usize,
        now: Timestamp,
    ) -> Vec<CertificateView> {
        let settings = self.settings();
        let listed = self.listed(&settings, selection, from, most);
        listed
            .into_iter()
            .map(|it| self.view(&settings, it, now))
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
        let selection = Selection::one(fingerprint, None);
        let settings = self.settings();
        let listed = self.listed(&settings, &selection, 0, usize::MAX);
        let Some(first) = listed.first() else {
            return Err(CertificatesError::Unknown);
        };
        let revocation = match &first.candidate {
            Some(candidate) => {
                let deadline = Instant::now() + ASKING_REVOCATION;
                revocation(&settings, candidate, now, deadline).await
            }
            None => RevocationView::NotAsked,
        };
        let views = listed.into_iter().map(|it| self.view(&settings, it, now));
        let mut views: Vec<CertificateView> = views.collect();
        for view in &mut views {
            view.revocation = revocation.clone();
            if revocation == RevocationView::Revoked {
                view.problem = Some(CertificateProblem::Revoked);
            }
        }
        Ok(views)
    }

    /// Every certificate that is known of an address, the acceptable ones of the sources too, and
    /// what is thought of each; with what [`Self::look_up`] chooses. What was remembered of the
    /// sources is forgotten, and they are asked anew.
    pub async fn consider(
        &self,
        address: &Address,
        now: Timestamp,
    ) -> (Vec<CertificateView>, Option<CertificateProblem>) {
        self.settings().answers.ask_anew(address);
        let chosen = self.look_up(address, now).await;
        let settings = self.settings();
        let selection = Selection {
            address: Some(address.clone()),
            ..Selection::default()
        };
        let mut listed = self.listed(&settings, &selection, 0, usize::MAX);
        let answer = self.ask(&settings, address, now).await;
        let found = found_candidates(&answer).into_iter().map(|it| Listed {
            address: address.clone(),
            fingerprint: it.parsed.fingerprint,
            candidate: Some(it),
            origin: Origin::Found,
        });
        listed.extend(found);
        let mut views = Vec::new();
        let deadline = Instant::now() + ASKING_REVOCATION;
        for listed in listed {
            let revocation = match &listed.candidate {
                Some(candidate) => revocation(&settings, candidate, now, deadline).await,
                None => RevocationView::NotAsked,
            };
            let mut view = self.view(&settings, listed, now);
            let certificate = chosen.certificate.as_ref();
            view.chosen = certificate
                .is_some_and(|it| it.fingerprint == view.fingerprint && it.fact == view.trust);
            view.revocation = revocation;
            views.push(view);
        }
        (views, chosen.problem)
    }

    /// What was removed, the newest first.
    pub fn removed(&self, selection: &Selection) -> Vec<RemovedCertificate> {
        self.0.removals.list(selection)
    }

    /// The certificates whose fingerprints begin with hexadecimal `digits`, in lower case.
    pub fn beginning(&self, digits: &str) -> BTreeSet<Fingerprint> {
        let mut found = self.0.store.beginning(digits);
        let settings = self.settings();
        let filed = settings.folder.all();
        let prints = filed.iter().map(|it| it.parsed.fingerprint);
        found.extend(prints.filter(|it| begins(it, digits)));
        found
    }

    fn listed(
        &self,
        settings: &Settings,
        selection: &Selection,
        from: usize,
        most: usize,
    ) -> Vec<Listed> {
        let entries = self.0.store.all();
        let rows = entries.iter().filter(|it| {
            let waits = it.row.state == State::WaitsForApproval;
            selection.admits(&it.row.address, &it.fingerprint) && (waits || !selection.waiting)
        });
        let filed = settings.folder.all();
        let files = filed.iter().filter(|it| {
            selection.admits(&it.address, &it.parsed.fingerprint) && !selection.waiting
        });
        let places = rows
            .map(|it| Lies::Row(it))
            .chain(files.map(|it| Lies::File(it)));
        places.skip(from).take(most).map(Listed::of).collect()
    }

    /// What is thought of a certificate now.
    fn view(&self, settings: &Settings, listed: Listed, now: Timestamp) -> CertificateView {
        let Some(candidate) = &listed.candidate else {
            return unreadable(listed);
        };
        let (address, fingerprint) = (&listed.address, listed.fingerprint);
        let parsed = &candidate.parsed;
        let pinned = self.local(settings, address).pinned;
        let judged = judge(settings, candidate, address, now, &pinned);
        let verdict = || self.verdict(settings, &fingerprint, now);
        let chosen = self.known(address, now).certificate;
        let chain = chain_of(settings, candidate, address.domain(), now);
        let (gcm, oaep) = reads(settings, candidate, address);
        CertificateView {
            problem: judged.err().or_else(verdict),
            chosen: chosen
                .is_some_and(|it| it.fingerprint == fingerprint && it.fact == candidate.fact),
            trust: candidate.fact,
            state: match candidate.waits {
                true => State::WaitsForApproval,
                false => State::InUse,
            },
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
            address: listed.address,
            fingerprint,
            origin: listed.origin,
        }
    }
}

/// A row that came under rules that were less strict: there is nothing to show but that it is
/// there, so that it can be removed.
fn unreadable(listed: Listed) -> CertificateView {
    CertificateView {
        address: listed.address,
        fingerprint: listed.fingerprint,
        trust: CertificateFact::None,
        state: State::InUse,
        chosen: false,
        problem: Some(CertificateProblem::Malformed),
        origin: listed.origin,
        subject: String::new(),
        issuer: String::new(),
        serial: String::new(),
        valid_from: String::new(),
        valid_until: String::new(),
        key: String::new(),
        addresses: Vec::new(),
        gcm: false,
        oaep: false,
        require_chain: false,
        chain: Vec::new(),
        chain_problem: Some(CertificateProblem::Malformed),
        revocation: RevocationView::NotAsked,
    }
}

async fn revocation(
    settings: &Settings,
    candidate: &Candidate,
    now: Timestamp,
    deadline: Instant,
) -> RevocationView {
    if settings.revocation == RevocationMode::Off {
        return RevocationView::Off;
    }
    let way = way_up(settings, candidate);
    match status(settings, &way, now, deadline).await {
        None => RevocationView::NoIssuer,
        Some(RevocationStatus::Good) => RevocationView::Good,
        Some(RevocationStatus::Revoked) => RevocationView::Revoked,
        Some(RevocationStatus::Unknown(why)) => RevocationView::Unknown { why },
    }
}

fn subject(der: &Bytes) -> String {
    let certificate = Certificate::from_der(der).ok();
    let name = certificate.map(|it| parse::shown(it.tbs_certificate().subject()));
    name.unwrap_or_default()
}
