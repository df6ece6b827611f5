//! Whether a file is there, can be read by us, and by nobody else.

use std::error::Error;
use std::path::{Path, PathBuf};

use super::super::file;
use super::super::problem::{At, Sheet, Spot};
use super::super::secret::{Credentials, Secret, SecretError};

/// Others may read it.
pub(super) const WORLD_READABLE: u32 = 0o004;
/// The group or others may do anything with it.
pub(super) const SHARED: u32 = 0o077;
/// Largest file that is looked at.
const MAX_OCTETS: u64 = 16 << 20;

/// Whether the secret is there and kept from everybody else.
pub(super) fn secret_file(
    secret: &At<Secret>,
    name: &str,
    mend: &str,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) -> bool {
    match secret.read(credentials) {
        Ok(_) => {}
        Err(error) if error.is_missing() => {
            missing(secret, &error, name, mend, sheet);
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

/// Notes a secret that is not there.
fn missing(
    secret: &At<Secret>,
    error: &SecretError,
    name: &str,
    mend: &str,
    sheet: &mut Sheet<'_>,
) {
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
}

/// The file of a secret that is more than a line of text, if it is there and kept from everybody
/// else. systemd guards its credentials itself.
pub(super) fn large_secret(
    secret: &At<Secret>,
    name: &str,
    with: &str,
    credentials: &Credentials,
    sheet: &mut Sheet<'_>,
) -> Option<At<PathBuf>> {
    let path = match secret.path(credentials) {
        Ok(path) => At {
            value: path,
            at: secret.at,
        },
        Err(error) => {
            missing(secret, &error, name, with, sheet);
            return None;
        }
    };
    let forbidden = match &secret.value {
        Secret::File(_) => SHARED,
        Secret::Credential(_) => 0,
    };
    kept_from_others(&path, name, forbidden, with, sheet).then_some(path)
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

/// Whether a file of ours is there, readable, and without the `forbidden` permissions.
pub(super) fn kept_from_others(
    path: &At<PathBuf>,
    name: &str,
    forbidden: u32,
    with: &str,
    sheet: &mut Sheet<'_>,
) -> bool {
    match file::read_bounded(path, MAX_OCTETS) {
        Ok(octets) => {
            drop(zeroize::Zeroizing::new(octets));
            private(path, forbidden, path.at, name, sheet)
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
pub(super) fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
