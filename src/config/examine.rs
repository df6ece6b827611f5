//! Looks at the files that a configuration names: there, readable, kept from others, and good.
//!
//! Reads only; creates nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

use super::certificate::{self, CertificateError};
use super::file;
use super::problem::{At, Sheet, Spot};
use super::secret::{Credentials, Secret, SecretError};
use super::sections::{Config, ListenerAddress, TlsSection};
use crate::journal::MasterKey;
use crate::mail::{Level, Timestamp};

/// A certificate that ends sooner than this is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Others may read it.
const WORLD_READABLE: u32 = 0o004;
/// The group or others may read it.
const SHARED: u32 = 0o077;

/// Notes on `sheet` everything that is wrong with what `config` names.
pub fn examine(config: &Config, now: Timestamp, credentials: &Credentials, sheet: &mut Sheet<'_>) {
    data_directory(config, sheet);
    master_key(config, credentials, sheet);
    if let Some(tls) = &config.tls {
        our_certificate(tls, now, sheet);
    }
    users(config, sheet);
    for key in &config.dkim {
        kept_from_others(
            &key.private_key,
            "dkim.private_key",
            "`sealpost dkim keygen`",
            sheet,
        );
    }
    if let Err(error) = roots_of(
        config
            .relay
            .ca_file
            .as_ref()
            .map(|path| path.value.as_path()),
    ) {
        let at = config
            .relay
            .ca_file
            .as_ref()
            .map_or(config.relay.at, |path| path.at);
        roots_problem(
            error,
            config.relay.ca_file.as_ref(),
            at,
            "relay.ca_file",
            sheet,
        );
    }
    for route in &config.relay.routes {
        if let Some(path) = &route.ca_file
            && let Err(error) = certificate::roots_in(path)
        {
            roots_problem(error, Some(path), path.at, "relay.route.ca_file", sheet);
        }
        if let Some((_, password)) = &route.credentials {
            secret_file(
                password,
                "relay.route.password",
                "put the password into it",
                credentials,
                sheet,
            );
        }
    }
    advice(config, sheet);
}

/// The roots that `ca_file` or else the system gives.
pub fn roots_of(ca_file: Option<&Path>) -> Result<Arc<RootCertStore>, CertificateError> {
    let roots = match ca_file {
        Some(path) => certificate::roots_in(path)?,
        None => certificate::system_roots(),
    };
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(Arc::new(roots))
}

fn data_directory(config: &Config, sheet: &mut Sheet<'_>) {
    let directory = &config.data_directory;
    // A directory that is not there yet is made by `serve`.
    if let Ok(metadata) = std::fs::metadata(&directory.value)
        && !metadata.is_dir()
    {
        sheet.wrong(
            directory.at,
            format!("data_directory {} is not a directory", directory.display()),
            "name a directory of its own",
        );
    }
}

fn master_key(config: &Config, credentials: &Credentials, sheet: &mut Sheet<'_>) {
    let key = &config.master_key;
    let mend = "make one with `sealpost key generate FILE`";
    if !secret_file(key, "master_key", mend, credentials, sheet) {
        return;
    }
    match key.read(credentials) {
        Ok(text) if MasterKey::from_base64(&text).is_ok() => {}
        Ok(_) => sheet.wrong(
            key.at,
            format!("master_key {} is not 32 octets in base64", key.value),
            mend,
        ),
        Err(error) => sheet.wrong(key.at, format!("master_key {}: {error}", key.value), mend),
    }
    if let Secret::File(path) = &key.value
        && path.starts_with(&config.data_directory.value)
    {
        sheet.warn(
            key.at,
            "master_key lies beside the data that it seals: who takes the disk has both",
            "keep it elsewhere, best as a systemd credential",
        );
    }
}

/// Whether the secret is there and kept from everybody else.
fn secret_file(
    secret: &At<Secret>,
    name: &str,
    mend: &str,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) -> bool {
    match secret.read(credentials) {
        Ok(_) => {}
        Err(error) if error.is_missing() => {
            let what = match error {
                SecretError::NoCredentials => format!("{name} {}: {error}", secret.value),
                SecretError::File(_) | SecretError::NotText => {
                    format!("{name} {} does not exist", secret.value)
                }
            };
            let mend = match &secret.value {
                Secret::File(_) => mend.to_owned(),
                Secret::Credential(name) => {
                    format!("add LoadCredential={name}:FILE to the service unit")
                }
            };
            sheet.missing(secret.at, what, mend);
            return false;
        }
        Err(SecretError::File(error)) => {
            let what = format!("{name} {} cannot be read: {}", secret.value, cause(&error));
            sheet.wrong(
                secret.at,
                what,
                "make it readable for the user of the daemon",
            );
            return false;
        }
        Err(error) => {
            sheet.wrong(secret.at, format!("{name} {}: {error}", secret.value), mend);
            return false;
        }
    }
    // systemd guards the credentials itself, with an ACL that looks like group permission.
    if let Secret::File(path) = &secret.value {
        return private(path, SHARED, secret.at, name, sheet);
    }
    true
}

/// Whether none of the bits in `forbidden` is set.
fn private(path: &Path, forbidden: u32, at: Spot, name: &str, sheet: &mut Sheet<'_>) -> bool {
    match file::mode(path) {
        Ok(mode) if mode & forbidden != 0 => {
            sheet.wrong(
                at,
                format!(
                    "{name} {} can be read by others (mode {mode:04o})",
                    path.display()
                ),
                format!("chmod 600 {}", path.display()),
            );
            false
        }
        Ok(_) => true,
        Err(_) => false, // reading it has been complained about already
    }
}

/// Whether a file of ours is there, readable and not readable by everybody.
fn kept_from_others(
    path: &At<std::path::PathBuf>,
    name: &str,
    with: &str,
    sheet: &mut Sheet<'_>,
) -> bool {
    match file::read_bounded(path, 4 << 20) {
        Ok(octets) => {
            drop(zeroize::Zeroizing::new(octets));
            private(path, WORLD_READABLE, path.at, name, sheet)
        }
        Err(error) if error.is_not_found() => {
            sheet.missing(
                path.at,
                format!("{name} {} does not exist", path.display()),
                format!("make it with {with}, or correct the path"),
            );
            false
        }
        Err(error) => {
            sheet.wrong(
                path.at,
                format!(
                    "{name} {} cannot be read: {}",
                    path.display(),
                    cause(&error)
                ),
                "make it a file that the user of the daemon can read",
            );
            false
        }
    }
}

/// The innermost reason, which says most.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn our_certificate(tls: &TlsSection, now: Timestamp, sheet: &mut Sheet<'_>) {
    let chain = match certificate::read_chain(&tls.certificate) {
        Ok(chain) => chain,
        Err(error) => {
            pem_problem(&error, &tls.certificate, "tls.certificate", sheet);
            kept_from_others(
                &tls.private_key,
                "tls.private_key",
                "your CA's tools",
                sheet,
            );
            return;
        }
    };
    match certificate::validity(&chain) {
        Ok(validity) if now < validity.from => sheet.wrong(
            tls.certificate.at,
            format!("tls.certificate is not valid before {}", validity.from),
            "correct the clock, or use a certificate that is valid now",
        ),
        Ok(validity) if now > validity.until => sheet.wrong(
            tls.certificate.at,
            format!("tls.certificate expired at {}", validity.until),
            "renew it",
        ),
        Ok(validity) if now + EXPIRES_SOON > validity.until => sheet.warn(
            tls.certificate.at,
            format!("tls.certificate expires at {}", validity.until),
            "renew it",
        ),
        Ok(_) => {}
        Err(error) => pem_problem(&error, &tls.certificate, "tls.certificate", sheet),
    }
    if !kept_from_others(
        &tls.private_key,
        "tls.private_key",
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

fn pem_problem(
    error: &CertificateError,
    path: &At<std::path::PathBuf>,
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
        CertificateError::Mismatch => sheet.wrong(
            path.at,
            format!("{name} {shown} {error}"),
            "name the key that the certificate was made for, and put our own certificate first in the chain",
        ),
    }
}

fn roots_problem(
    error: CertificateError,
    path: Option<&At<std::path::PathBuf>>,
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

fn users(config: &Config, sheet: &mut Sheet<'_>) {
    let path = &config.users;
    if !kept_from_others(path, "auth.users", "`sealpost user add`", sheet) {
        return;
    }
    for listener in &config.listeners {
        if let ListenerAddress::Unix(path) = &listener.address.value
            && path.as_os_str().len() > 107
        {
            sheet.wrong(
                listener.address.at,
                "the path of the Unix socket is longer than 107 octets",
                "choose a shorter one",
            );
        }
    }
}

fn advice(config: &Config, sheet: &mut Sheet<'_>) {
    if config.base_level.value > Level::Protected {
        sheet.warn(
            config.base_level.at,
            format!(
                "policy.base = \"{}\": this version reaches grade pkix, so all mail will wait",
                config.base_level.value
            ),
            "write \"protected\"",
        );
    }
}
