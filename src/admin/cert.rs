//! Recipients' certificates as a resource: files that are imported, lists, single ones, orders,
//! and a look at every source.
//!
//! A file is longer than a request may be. It comes in parts on one connection, and the request to
//! import it follows on the same one; what was uploaded is gone when it has been imported, and
//! when the connection ends. One upload at a time, so that memory is bounded.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Code, Refusal, actor};
use crate::directory::certificates::{
    By, CertificateView, Certificates, CertificatesError, ImportOptions, ImportedItem,
    MAX_FILE_OCTETS, RemovedCertificate, Selection,
};
use crate::mail::{
    Address, CertificateFact, CertificateProblem, Domain, Fingerprint, FoundCertificate, Timestamp,
};
use crate::world::clock::Clock;

/// Octets of a file in one part: in base64 they leave room for the rest of the request.
pub const PART_OCTETS: usize = 45_000;
/// Longest name of a file, in octets.
const MAX_SOURCE_OCTETS: usize = 255;
/// Uploads at a time.
const MAX_UPLOADS: usize = 1;
/// Fewest digits of a fingerprint that may stand for all.
const MIN_DIGITS: usize = 8;

/// How much of a file has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// Octets.
    pub octets: usize,
}

/// An import of what was uploaded on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertImport {
    /// As what.
    #[serde(default)]
    pub options: ImportOptions,
    /// The file's name, to be kept with its certificates.
    pub source: String,
    /// Why, to be kept with them.
    #[serde(default)]
    pub reason: String,
}

/// Which certificates. What is not given does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertFilter {
    /// Those of this address.
    pub address: Option<Address>,
    /// Those of addresses at this domain.
    pub domain: Option<Domain>,
    /// Those that wait for approval.
    pub pending: bool,
    /// Without so many of the first: a list comes in pages.
    pub from: usize,
}

/// What is ordered of a certificate of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertOrder {
    /// Its fingerprint, or how that begins: eight digits or more.
    pub fingerprint: String,
    /// For this address alone, where it is for several.
    #[serde(default)]
    pub address: Option<Address>,
    /// Why, to be kept on record.
    #[serde(default)]
    pub reason: String,
}

/// What an order changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertChanged {
    /// The certificate.
    pub fingerprint: Fingerprint,
    /// The addresses that it was changed for.
    pub addresses: Vec<Address>,
}

/// A look at what is known of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertLookup {
    /// The address.
    pub address: Address,
    /// Nobody outside is asked.
    #[serde(default)]
    pub local: bool,
}

/// What a look at an address showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertLookedUp {
    /// The address.
    pub address: Address,
    /// How far the certificate is trusted that a message would be sealed to now; `none` if there
    /// is none.
    pub trust: CertificateFact,
    /// Where there is none, what is wrong with the best of those that are known, or that nobody
    /// answered.
    pub problem: Option<CertificateProblem>,
    /// Every certificate that is known, and what is thought of it.
    pub certificates: Vec<CertificateView>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A file that arrives on a connection.
#[derive(Debug, Default)]
pub(super) struct Upload(Option<(OwnedSemaphorePermit, Vec<u8>)>);

/// The directory as the socket sees it.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    certificates: Certificates,
    uploads: Arc<Semaphore>,
    clock: Clock,
}

impl Directory {
    pub(super) fn new(certificates: Certificates, clock: Clock) -> Self {
        Self {
            certificates,
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            clock,
        }
    }

    /// Takes a part of a file.
    pub(super) fn upload(&self, upload: &mut Upload, part: &str) -> Result<Uploaded, Refusal> {
        let part = STANDARD
            .decode(part)
            .map_err(|_| Refusal::new(Code::BadRequest, "the part is not base64"))?;
        if upload.0.is_none() {
            let permit = Arc::clone(&self.uploads).try_acquire_owned();
            let permit = permit.map_err(|_| {
                let text = "another import is under way";
                Refusal::new(Code::Temporary, text)
            })?;
            upload.0 = Some((permit, Vec::new()));
        }
        let Some((_, octets)) = &mut upload.0 else {
            return Ok(Uploaded { octets: 0 });
        };
        if octets.len() + part.len() > MAX_FILE_OCTETS {
            upload.0 = None;
            let text = format!("the file is larger than {MAX_FILE_OCTETS} octets");
            return Err(Refusal::new(Code::BadRequest, text));
        }
        octets.extend_from_slice(&part);
        Ok(Uploaded {
            octets: octets.len(),
        })
    }

    /// Imports what was uploaded.
    pub(super) async fn import(
        &self,
        upload: &mut Upload,
        request: CertImport,
        uid: Option<u32>,
    ) -> Result<Vec<ImportedItem>, Refusal> {
        let Some((_permit, octets)) = upload.0.take() else {
            let text = "nothing was uploaded on this connection";
            return Err(Refusal::new(Code::BadRequest, text));
        };
        if request.source.len() > MAX_SOURCE_OCTETS {
            let text = "the name of the file is too long";
            return Err(Refusal::new(Code::BadRequest, text));
        }
        let by = by(request.reason, uid).await?;
        let CertImport {
            options, source, ..
        } = request;
        let imported = self
            .certificates
            .import(octets, &source, options, &by, self.clock.now());
        imported.await.map_err(|error| refused(&error))
    }

    /// What is known here.
    pub(super) async fn list(&self, filter: CertFilter) -> Result<Vec<CertificateView>, Refusal> {
        let selection = Selection {
            address: filter.address,
            domain: filter.domain,
            fingerprint: None,
            waiting: filter.pending,
        };
        let (certificates, now) = (self.certificates.clone(), self.clock.now());
        off_the_loop(move || certificates.page(&selection, filter.from, now)).await
    }

    /// What was removed.
    pub(super) fn removed(&self, filter: CertFilter) -> Result<Vec<RemovedCertificate>, Refusal> {
        let selection = Selection {
            address: filter.address,
            domain: filter.domain,
            ..Selection::default()
        };
        Ok(self.certificates.removed(&selection))
    }

    /// Lists off the event loop: with many certificates it computes for a while.
    async fn select(&self, selection: Selection) -> Result<Vec<CertificateView>, Refusal> {
        let (certificates, now) = (self.certificates.clone(), self.clock.now());
        off_the_loop(move || certificates.list(&selection, now)).await
    }

    /// Those of an address, or one by its fingerprint.
    pub(super) async fn show(&self, name: &str) -> Result<Vec<CertificateView>, Refusal> {
        if name.contains('@') {
            let address = Address::parse(name)
                .map_err(|error| Refusal::new(Code::BadRequest, error.to_string()))?;
            let text = format!("no certificate of {address} is known here");
            let selection = Selection {
                address: Some(address),
                ..Selection::default()
            };
            let found = self.select(selection).await?;
            return match found.is_empty() {
                true => Err(Refusal::new(Code::NotFound, text)),
                false => Ok(found),
            };
        }
        let fingerprint = self.resolve(name).await?;
        let shown = self.certificates.show(&fingerprint, self.clock.now());
        shown.await.map_err(|error| refused(&error))
    }

    /// The fingerprint that a text stands for.
    async fn resolve(&self, text: &str) -> Result<Fingerprint, Refusal> {
        if let Ok(fingerprint) = text.parse() {
            return Ok(fingerprint);
        }
        let digits: String = text.chars().filter(|it| *it != ':').collect();
        let digits = digits.to_ascii_lowercase();
        if digits.len() < MIN_DIGITS || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            let text = format!(
                "not a SHA-256 fingerprint: {MIN_DIGITS} to 64 hexadecimal digits, colons between octets allowed"
            );
            return Err(Refusal::new(Code::BadRequest, text));
        }
        let (certificates, wanted) = (self.certificates.clone(), digits.clone());
        let matching = off_the_loop(move || certificates.beginning(&wanted)).await?;
        let mut matching = matching.into_iter();
        match (matching.next(), matching.next()) {
            (Some(fingerprint), None) => Ok(fingerprint),
            (Some(_), Some(_)) => {
                let text = format!("the fingerprints of several certificates begin with {digits}");
                Err(Refusal::new(Code::BadRequest, text))
            }
            (None, _) => {
                let text = format!("no certificate whose fingerprint begins with {digits}");
                Err(Refusal::new(Code::NotFound, text))
            }
        }
    }

    /// Pins a certificate, in the place of another key if there is one.
    pub(super) async fn approve(
        &self,
        order: CertOrder,
        uid: Option<u32>,
    ) -> Result<CertChanged, Refusal> {
        let by = by(order.reason, uid).await?;
        let fingerprint = self.resolve(&order.fingerprint).await?;
        let now = self.clock.now();
        let address = order.address.as_ref();
        let approved = self.certificates.approve(&fingerprint, address, &by, now);
        let addresses = approved.await.map_err(|error| refused(&error))?;
        Ok(CertChanged {
            fingerprint,
            addresses,
        })
    }

    /// Removes an imported certificate.
    pub(super) async fn remove(
        &self,
        order: CertOrder,
        uid: Option<u32>,
    ) -> Result<CertChanged, Refusal> {
        let by = by(order.reason, uid).await?;
        let fingerprint = self.resolve(&order.fingerprint).await?;
        let address = order.address.as_ref();
        let removed = self
            .certificates
            .remove(&fingerprint, address, &by, self.clock.now());
        let addresses = removed.await.map_err(|error| refused(&error))?;
        Ok(CertChanged {
            fingerprint,
            addresses,
        })
    }

    /// What a message to an address would be sealed to, and why.
    pub(super) async fn look_up(&self, lookup: CertLookup) -> Result<CertLookedUp, Refusal> {
        let CertLookup { address, local } = lookup;
        let begun = self.clock.now();
        let (certificates, trust, problem) = if local {
            let selection = Selection {
                address: Some(address.clone()),
                ..Selection::default()
            };
            let listed = self.select(selection).await?;
            let known: FoundCertificate = self.certificates.known(&address, begun);
            (listed, known.fact(), known.problem)
        } else {
            let (considered, problem) = self.certificates.consider(&address, begun).await;
            let chosen = considered.iter().find(|it| it.chosen);
            let trust = chosen.map_or(CertificateFact::None, |it| it.trust);
            (considered, trust, problem)
        };
        Ok(CertLookedUp {
            took_ms: elapsed_ms(begun, self.clock.now()),
            address,
            trust,
            problem,
            certificates,
        })
    }
}

/// Computes where it holds up nobody.
async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| Refusal::new(Code::Stopping, "the daemon is stopping"))
}

fn elapsed_ms(from: Timestamp, until: Timestamp) -> u64 {
    until.as_micros().saturating_sub(from.as_micros()) / 1000
}

/// Who orders something, and why.
async fn by(reason: String, uid: Option<u32>) -> Result<By, Refusal> {
    actor::check_reason(&reason)?;
    Ok(By {
        actor: actor::of(uid).await,
        reason,
    })
}

fn refused(error: &CertificatesError) -> Refusal {
    let code = match error {
        CertificatesError::Table(_) => Code::Temporary,
        CertificatesError::Format(_) => Code::BadRequest,
        CertificatesError::Unknown => Code::NotFound,
        CertificatesError::InFolder | CertificatesError::Refused(_) | CertificatesError::Full => {
            Code::Refused
        }
        CertificatesError::Ended => Code::Stopping,
    };
    Refusal::new(code, error.to_string())
}
