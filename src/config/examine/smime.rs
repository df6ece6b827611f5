//! What `[smime]` names: the operator's folder, signing identities, authorities, servers' secrets.

use std::path::PathBuf;

use rustls_pki_types::CertificateDer;

use super::super::certificate::{self, CertificateError};
use super::super::file;
use super::super::problem::{At, Sheet};
use super::super::secret::Credentials;
use super::super::sections::{IdentityOwner, IdentitySection, SmimeSection};
use super::kept::{cause, large_secret, secret_file};
use super::pem::{in_time, pem_problem, roots_problem};
use crate::directory::certificates::{Folder, FolderError, RefusedFile};
use crate::mail::Timestamp;
use crate::proto::cms::{CmsError, Identity};

/// Most files of the folder that are complained about one by one.
const MAX_TOLD: usize = 100;
/// Everybody may write it.
const WORLD_WRITABLE: u32 = 0o002;

pub(super) fn smime(
    section: &SmimeSection,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    if let Some(directory) = &section.directory {
        folder(directory, now, sheet);
    }
    for identity in &section.identities {
        signs(identity, now, credentials, sheet);
    }
    for path in &section.anchors {
        vouches(path, "smime.anchors", now, sheet);
    }
    for anchor in &section.narrowed {
        vouches(&anchor.file, "smime.anchor.file", now, sheet);
    }
    for server in &section.well_known {
        if let Some(path) = &server.ca_file
            && let Err(error) = certificate::roots_in(path)
        {
            let name = "smime.well_known.ca_file";
            roots_problem(error, Some(path), path.at, name, sheet);
        }
    }
    for server in &section.ldap {
        if let Some(path) = &server.ca_file
            && let Err(error) = certificate::roots_in(path)
        {
            roots_problem(error, Some(path), path.at, "smime.ldap.ca_file", sheet);
        }
        if let Some((_, password)) = &server.bind {
            secret_file(
                password,
                "smime.ldap.password",
                "put the password into it",
                credentials,
                sheet,
            );
        }
    }
}

/// The operator's folder: there, and not for everybody to put certificates into.
fn folder(directory: &At<PathBuf>, now: Timestamp, sheet: &mut Sheet<'_>) {
    let shown = directory.display();
    match Folder::read(directory, now) {
        Ok((_, refused)) => unused(directory, &refused, sheet),
        Err(FolderError::Io(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
            sheet.missing(
                directory.at,
                format!("smime.directory {shown} does not exist"),
                "make it, or correct the path",
            );
            return;
        }
        Err(FolderError::Io(_, error)) => {
            sheet.wrong(
                directory.at,
                format!("smime.directory {shown} cannot be read: {error}"),
                "make it a directory that the user of the daemon can read",
            );
            return;
        }
        Err(FolderError::TooMuch { what, .. }) => {
            sheet.wrong(
                directory.at,
                format!("smime.directory {shown} holds too much: {what} is over the bound"),
                "import its certificates with `sealpost cert import` instead",
            );
            return;
        }
    }
    if let Ok(mode) = file::mode(directory)
        && mode & WORLD_WRITABLE != 0
    {
        sheet.wrong(
            directory.at,
            format!("smime.directory {shown} can be written by everybody (mode {mode:04o})"),
            format!("chmod o-w {shown}"),
        );
    }
}

/// What lies in the folder and is not used, and why.
fn unused(directory: &At<PathBuf>, refused: &[RefusedFile], sheet: &mut Sheet<'_>) {
    for RefusedFile { path, place, why } in refused.iter().take(MAX_TOLD) {
        let place = match place.as_str() {
            "" => String::new(),
            place => format!(", {place},"),
        };
        sheet.warn(
            directory.at,
            format!(
                "smime.directory: {}{place} is not used: {}",
                path.display(),
                cause(why)
            ),
            "replace it or take it out",
        );
    }
    if let Some(more) = refused.len().checked_sub(MAX_TOLD)
        && more > 0
    {
        sheet.warn(
            directory.at,
            format!("smime.directory: {more} more certificates or files are not used"),
            "replace those above first",
        );
    }
}

/// The names of an identity's keys, as they stand in the file.
fn names(identity: &IdentitySection) -> (&'static str, &'static str) {
    match identity.owner {
        IdentityOwner::Certificate => ("smime.signing_certificate", "smime.signing_key"),
        IdentityOwner::Address(_) | IdentityOwner::Domain(_) => {
            ("smime.identity.certificate", "smime.identity.key")
        }
    }
}

/// Whether an identity can sign: its certificate is good for that and valid, its key is its own.
fn signs(
    identity: &IdentitySection,
    now: Timestamp,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) {
    let (certificate_name, key_name) = names(identity);
    let path = &identity.certificate;
    let chain = match certificate::read_chain(path) {
        Ok(chain) => Some(chain),
        Err(error) => {
            pem_problem(&error, path, certificate_name, sheet);
            None
        }
    };
    if let Some(chain) = &chain {
        in_time_to_sign(chain, path, certificate_name, now, sheet);
        match chain.first().map(certificate::describe) {
            Some(Ok(described)) => {
                fits(identity, certificate_name, &described, sheet);
            }
            Some(Err(error)) => pem_problem(&error, path, certificate_name, sheet),
            None => {}
        }
    }
    let Some(key_file) = large_secret(
        &identity.key,
        key_name,
        "your CA's tools",
        credentials,
        sheet,
    ) else {
        return;
    };
    let key = match certificate::read_pkcs8(&key_file) {
        Ok(key) => key,
        Err(error) => return pem_problem(&error, &key_file, key_name, sheet),
    };
    let Some(chain) = chain else {
        return;
    };
    let octets: Vec<Vec<u8>> = chain.iter().map(|it| it.to_vec()).collect();
    let identity = Identity::new(octets, key.secret_pkcs8_der());
    match certificate::goes_with(&chain, &key) {
        // The certificate has been complained about already.
        Err(CertificateError::Malformed) => {}
        Err(error) => pem_problem(&error, &key_file, key_name, sheet),
        Ok(()) => match identity {
            // This one, too.
            Ok(_) | Err(CmsError::KeyUsage) => {}
            Err(error) => sheet.wrong(
                key_file.at,
                format!(
                    "{key_name} {} cannot sign mail: {error}",
                    key_file.display()
                ),
                "use RSA of 2048 bits or more, P-256, P-384 or Ed25519",
            ),
        },
    }
}

/// An identity that has expired signs nothing, and mail goes on without its signature: so this
/// stops neither the start nor a reload.
fn in_time_to_sign(
    chain: &[CertificateDer<'_>],
    path: &At<PathBuf>,
    name: &str,
    now: Timestamp,
    sheet: &mut Sheet<'_>,
) {
    match certificate::validity(chain) {
        Ok(validity) if now > validity.until => sheet.warn(
            path.at,
            format!(
                "{name} expired at {}: mail is sealed without its signature",
                validity.until
            ),
            "renew it",
        ),
        Ok(_) | Err(_) => in_time(chain, path, name, now, sheet),
    }
}

/// Whether a certificate is for signing the mail of its owner.
fn fits(
    identity: &IdentitySection,
    name: &str,
    described: &certificate::Described,
    sheet: &mut Sheet<'_>,
) {
    let at = identity.certificate.at;
    let shown = identity.certificate.display();
    if described.authority {
        sheet.wrong(
            at,
            format!("{name} {shown} begins with an authority's certificate"),
            "put our own certificate first in the file",
        );
        return;
    }
    if !described.signs {
        sheet.wrong(
            at,
            format!("{name} {shown} is not for signatures (key usage)"),
            "use a certificate with digitalSignature",
        );
    }
    if !described.for_mail {
        sheet.wrong(
            at,
            format!("{name} {shown} is not for mail (extended key usage)"),
            "use a certificate with emailProtection",
        );
    }
    let addresses = &described.addresses;
    match &identity.owner {
        IdentityOwner::Certificate if addresses.is_empty() => sheet.wrong(
            at,
            format!("{name} {shown} has no mail address: it would sign nobody's mail"),
            "use [[smime.identity]] and say for whom it signs, or a certificate with addresses",
        ),
        IdentityOwner::Address(address) => {
            let mailbox = address.mailbox_key();
            if !addresses.iter().any(|it| it.mailbox_key() == mailbox) {
                sheet.warn(
                    at,
                    format!("{name} {shown} is not for {address}: programs will call its signatures false"),
                    "use a certificate with that address",
                );
            }
        }
        IdentityOwner::Certificate | IdentityOwner::Domain(_) => {}
    }
}

/// Whether a file holds authorities, and at least one that is valid.
fn vouches(path: &At<PathBuf>, name: &str, now: Timestamp, sheet: &mut Sheet<'_>) {
    let shown = path.display();
    let chain = match certificate::read_chain(path) {
        Ok(chain) => chain,
        Err(error) => return pem_problem(&error, path, name, sheet),
    };
    let (mut authorities, mut valid) = (0_usize, 0_usize);
    for one in &chain {
        let described = match certificate::describe(one) {
            Ok(described) => described,
            Err(error) => {
                pem_problem(&error, path, name, sheet);
                continue;
            }
        };
        let subject: String = described.subject.chars().take(100).collect();
        if !described.authority {
            sheet.wrong(
                path.at,
                format!("{name} {shown} has a certificate that is no authority's: {subject}"),
                "take it out, or `sealpost cert import` it if it is a recipient's",
            );
            continue;
        }
        authorities += 1;
        match certificate::validity(std::slice::from_ref(one)) {
            Ok(validity) if (validity.from..=validity.until).contains(&now) => valid += 1,
            Ok(validity) => sheet.warn(
                path.at,
                format!(
                    "{name} {shown} has an authority that vouches for nothing now, but from {} to {}: {subject}",
                    validity.from, validity.until
                ),
                "take it out, or renew it",
            ),
            Err(error) => pem_problem(&error, path, name, sheet),
        }
    }
    if authorities > 0 && valid == 0 {
        sheet.wrong(
            path.at,
            format!("{name} {shown} has no authority that is valid now"),
            "renew it, or remove the file",
        );
    }
}
