//! Certificates, keys and roots: whether they do what they are named for.

use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::super::certificate::{self, CertificateError};
use super::super::problem::{At, Sheet, Spot};
use super::super::sections::TlsSection;
use super::kept::{WORLD_READABLE, cause, kept_from_others};
use crate::mail::Timestamp;

/// A certificate that ends sooner than this is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(super) fn our_certificate(tls: &TlsSection, now: Timestamp, sheet: &mut Sheet<'_>) {
    let chain = match certificate::read_chain(&tls.certificate) {
        Ok(chain) => chain,
        Err(error) => {
            pem_problem(&error, &tls.certificate, "tls.certificate", sheet);
            kept_from_others(
                &tls.private_key,
                "tls.private_key",
                WORLD_READABLE,
                "your CA's tools",
                sheet,
            );
            return;
        }
    };
    in_time(&chain, &tls.certificate, "tls.certificate", now, sheet);
    if !kept_from_others(
        &tls.private_key,
        "tls.private_key",
        WORLD_READABLE,
        "your CA's tools",
        sheet,
    ) {
        return;
    }
    let joined = certificate::read_key(&tls.private_key)
        .and_then(|key| certificate::certified_key(chain, key));
    if let Err(error) = joined {
        pem_problem(&error, &tls.private_key, "tls.private_key", sheet);
    }
}

/// Whether the first certificate of a chain is valid now, and will be for some time.
pub(super) fn in_time(
    chain: &[CertificateDer<'_>],
    path: &At<PathBuf>,
    name: &str,
    now: Timestamp,
    sheet: &mut Sheet<'_>,
) {
    match certificate::validity(chain) {
        Ok(validity) if now < validity.from => sheet.wrong(
            path.at,
            format!("{name} is not valid before {}", validity.from),
            "correct the clock, or use a certificate that is valid now",
        ),
        Ok(validity) if now > validity.until => sheet.wrong(
            path.at,
            format!("{name} expired at {}", validity.until),
            "renew it",
        ),
        Ok(validity) if now + EXPIRES_SOON > validity.until => sheet.warn(
            path.at,
            format!("{name} expires at {}", validity.until),
            "renew it",
        ),
        Ok(_) => {}
        Err(error) => pem_problem(&error, path, name, sheet),
    }
}

pub(super) fn pem_problem(
    error: &CertificateError,
    path: &At<PathBuf>,
    name: &str,
    sheet: &mut Sheet<'_>,
) {
    let shown = path.display();
    match error {
        CertificateError::File(error) if error.is_not_found() => sheet.missing(
            path.at,
            format!("{name} {shown} does not exist"),
            "correct the path, or put the PEM file there",
        ),
        CertificateError::File(error) => sheet.wrong(
            path.at,
            format!("{name} {shown} cannot be read: {}", cause(error)),
            "make it a file that the user of the daemon can read",
        ),
        CertificateError::NoCertificate
        | CertificateError::NoKey
        | CertificateError::Malformed => {
            sheet.wrong(path.at, format!("{name} {shown} {error}"), "use a PEM file");
        }
        CertificateError::NotPkcs8 => sheet.wrong(
            path.at,
            format!("{name} {shown} {error}"),
            format!("convert it: openssl pkcs8 -topk8 -nocrypt -in {shown} -out NEW"),
        ),
        CertificateError::Mismatch => sheet.wrong(
            path.at,
            format!("{name} {shown} {error}"),
            "name the key that the certificate was made for, and put our own certificate first in the chain",
        ),
    }
}

pub(super) fn roots_problem(
    error: CertificateError,
    path: Option<&At<PathBuf>>,
    at: Spot,
    name: &str,
    sheet: &mut Sheet<'_>,
) {
    match path {
        Some(path) => pem_problem(&error, path, name, sheet),
        None => sheet.missing(
            at,
            "the system has no CA certificates: no MX could be verified",
            "install them (ca-certificates), or set relay.ca_file",
        ),
    }
}
