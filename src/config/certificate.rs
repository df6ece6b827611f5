//! A certificate chain and its key, as files: loaded, and looked at before anybody serves them.
//!
//! RFC 5280 (validity), RFC 7468 (PEM).

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;

use super::file::{FileError, read_bounded};
use crate::mail::Timestamp;
use crate::world::tls::server_provider;

/// Largest PEM file that is read.
const MAX_PEM_OCTETS: u64 = 4 << 20;

/// Why a certificate, key or set of roots does not do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file could not be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// No certificate in it.
    #[error("has no PEM certificate")]
    NoCertificate,
    /// No key in it.
    #[error("has no PEM private key that can be used")]
    NoKey,
    /// One that cannot be parsed.
    #[error("has a certificate that cannot be read")]
    Malformed,
    /// The key belongs to another certificate.
    #[error("does not belong to the certificate")]
    Mismatch,
}

/// When a certificate may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

/// The certificates of a PEM file, first to last. Never empty.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read_bounded(path, MAX_PEM_OCTETS)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| CertificateError::Malformed)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(chain)
}

/// The private key of a PEM file.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let pem = zeroize::Zeroizing::new(read_bounded(path, MAX_PEM_OCTETS)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| CertificateError::NoKey)
}

/// The validity of the chain's first certificate.
pub fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, CertificateError> {
    let first = chain.first().ok_or(CertificateError::NoCertificate)?;
    let parsed =
        x509_cert::Certificate::from_der(first).map_err(|_| CertificateError::Malformed)?;
    let validity = parsed.tbs_certificate().validity();
    let moment = |time: x509_cert::time::Time| Timestamp::default() + time.to_unix_duration();
    Ok(Validity {
        from: moment(validity.not_before),
        until: moment(validity.not_after),
    })
}

/// Joins a chain and its key; they must belong together.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    match CertifiedKey::from_der(chain, key, &server_provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(rustls::Error::InvalidCertificate(_)) => Err(CertificateError::Malformed),
        Err(_) => Err(CertificateError::NoKey),
    }
}

/// The roots in a PEM file. At least one.
pub fn roots_in(path: &Path) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(read_chain(path)?);
    if added == 0 {
        return Err(CertificateError::Malformed);
    }
    Ok(roots)
}

/// The system's roots; empty if it has none.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
