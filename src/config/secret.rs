//! Secrets that the configuration names: a file, or a systemd credential.
//!
//! Never holds the secret itself longer than its caller does; never shows it.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::DeValue;
use zeroize::Zeroizing;

use super::file::{FileError, read_bounded};
use super::reader::Wrong;

/// Largest secret that is read.
pub const MAX_SECRET_OCTETS: u64 = 4096;

/// Where a secret lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file of ours; only its owner may read it.
    File(PathBuf),
    /// `credential:NAME`: systemd puts it into the service's credentials directory.
    Credential(String),
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// Where systemd puts credentials, if it started us.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Option<PathBuf>);

impl Credentials {
    /// As the service manager says (systemd.exec(5), `$CREDENTIALS_DIRECTORY`).
    pub fn of_the_service() -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "systemd hands the directory over in this variable and in no other way"
        )]
        let directory = std::env::var("CREDENTIALS_DIRECTORY");
        Self(directory.ok().map(PathBuf::from))
    }

    /// Credentials in this directory.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self(Some(directory))
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `credential:` outside a systemd service that loads credentials.
    #[error(
        "no credentials directory: the process was not started by systemd with LoadCredential="
    )]
    NoCredentials,
    /// The file could not be read.
    #[error("the secret cannot be read")]
    File(#[from] FileError),
    /// It is not one line of text.
    #[error("the secret is empty or not text")]
    NotText,
}

impl SecretError {
    /// Whether it is simply not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NoCredentials => true,
            Self::File(error) => error.is_not_found(),
            Self::NotText => false,
        }
    }
}

impl Secret {
    /// The file it lies in.
    pub fn path(&self, credentials: &Credentials) -> Result<PathBuf, SecretError> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Credential(name) => match &credentials.0 {
                Some(directory) => Ok(directory.join(name)),
                None => Err(SecretError::NoCredentials),
            },
        }
    }

    /// Its text without the newline at the end.
    pub fn read(&self, credentials: &Credentials) -> Result<Zeroizing<String>, SecretError> {
        let octets = Zeroizing::new(read_bounded(&self.path(credentials)?, MAX_SECRET_OCTETS)?);
        let text = std::str::from_utf8(&octets).map_err(|_| SecretError::NotText)?;
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(SecretError::NotText);
        }
        Ok(Zeroizing::new(line.to_owned()))
    }

    /// With a relative path taken from `base`.
    pub(super) fn resolved(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Credential(name) => Self::Credential(name),
        }
    }
}

/// Converts a path or `credential:NAME`.
pub fn secret(value: &DeValue<'_>) -> Result<Secret, Wrong> {
    const EXAMPLE: &str = "\"/etc/sealpost/secret\" or \"credential:NAME\"";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, "a path or credential:NAME", EXAMPLE))?;
    match text.strip_prefix("credential:") {
        // A name, never a path: it must not lead out of the credentials directory.
        Some(name)
            if !name.is_empty()
                && name.len() <= 255
                && !name.starts_with('.')
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) =>
        {
            Ok(Secret::Credential(name.to_owned()))
        }
        Some(_) => Err(Wrong::new(
            "has no valid credential name",
            "use letters, digits, dots, hyphens and underscores, as in \"credential:master.key\"",
        )),
        None if text.is_empty() || text.contains('\0') => Err(Wrong::new(
            "is no path",
            format!("write it as in {EXAMPLE}"),
        )),
        None => Ok(Secret::File(PathBuf::from(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_name_cannot_leave_its_directory() {
        for name in ["", "../x", "a/b", ".hidden", "a b"] {
            let value = DeValue::String(format!("credential:{name}").into());
            assert!(secret(&value).is_err(), "{name}");
        }
        let value = DeValue::String("credential:master.key".into());
        assert_eq!(
            secret(&value),
            Ok(Secret::Credential("master.key".to_owned()))
        );
    }
}
