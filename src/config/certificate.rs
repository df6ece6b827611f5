//! A certificate chain and its key, as files: loaded, and looked at before anybody serves them.
//!
//! RFC 5280 (validity), RFC 7468 (PEM).

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::TbsCertificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use zeroize::{Zeroize, Zeroizing};

use super::file::{FileError, read_bounded};
use crate::mail::{Address, Timestamp};
use crate::world::tls::server_provider;

/// Largest PEM file that is read.
const MAX_PEM_OCTETS: u64 = 4 << 20;

/// A private key in PKCS #8; wiped when it is dropped.
pub type Pkcs8 = Zeroizing<PrivatePkcs8KeyDer<'static>>;

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
    /// A key in a form of old.
    #[error("is not PKCS #8")]
    NotPkcs8,
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
    let pem = Zeroizing::new(read_bounded(path, MAX_PEM_OCTETS)?);
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

/// What a certificate may be used for, and for whose mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The mail addresses in its subject alternative name.
    pub addresses: Vec<Address>,
    /// Whether its key usage allows signatures.
    pub signs: bool,
    /// Whether its extended key usage allows mail.
    pub for_mail: bool,
    /// Whether it is an authority's.
    pub authority: bool,
    /// Its subject, for people.
    pub subject: String,
}

/// Looks into a certificate (RFC 5280 §4.2.1.3, §4.2.1.6, §4.2.1.9, §4.2.1.12).
pub fn describe(certificate: &CertificateDer<'_>) -> Result<Described, CertificateError> {
    let parsed =
        x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::Malformed)?;
    let parsed = parsed.tbs_certificate();
    let names = extension::<SubjectAltName>(parsed)?;
    let addresses = names.iter().flat_map(|names| &names.0);
    let addresses = addresses.filter_map(|name| match name {
        GeneralName::Rfc822Name(name) => Address::parse(name.as_str()).ok(),
        _ => None,
    });
    let usage = extension::<KeyUsage>(parsed)?;
    let purposes = extension::<ExtendedKeyUsage>(parsed)?;
    let authority = extension::<BasicConstraints>(parsed)?;
    let subject = parsed.subject().to_string();
    Ok(Described {
        addresses: addresses.collect(),
        signs: usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation()),
        for_mail: purposes.is_none_or(|purposes| purposes.0.iter().any(|it| MAIL.contains(it))),
        authority: authority.is_some_and(|authority| authority.ca),
        subject: subject.chars().flat_map(char::escape_debug).collect(),
    })
}

/// id-kp-emailProtection, anyExtendedKeyUsage.
const MAIL: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

fn extension<'c, T>(certificate: &'c TbsCertificate) -> Result<Option<T>, CertificateError>
where
    T: Decode<'c, Error = x509_cert::der::Error> + AssociatedOid,
{
    match certificate.get_extension::<T>() {
        Ok(found) => Ok(found.map(|(_, value)| value)),
        Err(_) => Err(CertificateError::Malformed),
    }
}

/// The private key of a PEM file, in PKCS #8 (RFC 5958), which keys for mail have to be in. Wiped
/// when it is dropped.
pub fn read_pkcs8(path: &Path) -> Result<Pkcs8, CertificateError> {
    match read_key(path)? {
        PrivateKeyDer::Pkcs8(key) => Ok(Zeroizing::new(key)),
        mut other => {
            other.zeroize();
            Err(CertificateError::NotPkcs8)
        }
    }
}

/// Whether a key is the one of a chain's first certificate. The octets of the key stay where they
/// are.
pub fn goes_with(chain: &[CertificateDer<'static>], key: &Pkcs8) -> Result<(), CertificateError> {
    let borrowed = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.secret_pkcs8_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&borrowed)
        .map_err(|_| CertificateError::NoKey)?;
    belongs(CertifiedKey::new(chain.to_vec(), key).keys_match())
}

fn belongs(matched: Result<(), rustls::Error>) -> Result<(), CertificateError> {
    match matched {
        // rustls has no opinion where a key cannot say what its public half is.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(rustls::Error::InvalidCertificate(_)) => Err(CertificateError::Malformed),
        Err(_) => Err(CertificateError::NoKey),
    }
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
