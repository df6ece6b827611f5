//! The users file: `[[user]] name, password (PHC string), senders`.
//!
//! Owns: reading it strictly (every mistake with its place), and, in [`edit`], changing it
//! without losing what people wrote around it. Never shows a hash; never reads a file that
//! others may read.

pub mod edit;
mod password;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use serde::Deserialize;
use toml::Spanned;

use crate::mail::{Address, AddressPattern, PatternError};
use crate::world::file::open_regular;

pub(super) use password::decoy;
pub use password::{PasswordError, hash};

/// Most accounts.
pub const MAX_USERS: usize = 10_000;
/// Most patterns of one account.
pub const MAX_SENDERS: usize = 1000;
/// Longest account name in octets.
pub const MAX_NAME_OCTETS: usize = 255;
/// Largest users file in octets.
const MAX_FILE_OCTETS: u64 = 16 * 1024 * 1024;

/// Why the users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be opened or read.
    #[error("the users file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else may read the hashes.
    #[error("the users file {} can be read or changed by others (mode {mode:04o}): chmod 600", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// Over 16 MiB.
    #[error("the users file {} is larger than 16 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What it says is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong, and the mend.
        what: String,
    },
}

/// An account.
#[derive(Clone)]
pub struct User {
    name: String,
    senders: Vec<AddressPattern>,
    hash: PasswordHash,
    /// The PHC string as written, to notice that it changed.
    phc: String,
}

impl User {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may send as.
    pub fn senders(&self) -> &[AddressPattern] {
        &self.senders
    }

    /// Whether it may send as `address`.
    pub fn may_send_as(&self, address: &Address) -> bool {
        self.senders.iter().any(|pattern| pattern.matches(address))
    }

    pub(super) fn hash(&self) -> &PasswordHash {
        &self.hash
    }

    pub(super) fn phc(&self) -> &str {
        &self.phc
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("senders", &self.senders)
            .finish_non_exhaustive()
    }
}

/// All accounts, as one state of the file.
#[derive(Debug, Clone, Default)]
pub struct Users {
    by_name: HashMap<String, Arc<User>>,
    /// In the order of the file.
    in_order: Vec<Arc<User>>,
}

impl Users {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let text = read_private(path)?;
        Self::parse(&text).map_err(|mistake| mistake.at(path, &text))
    }

    /// The account of this name.
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        self.by_name.get(name).cloned()
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.in_order.iter().map(AsRef::as_ref)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let raw: RawFile = toml::from_str(text).map_err(|error| Mistake {
            // The message alone: the whole error quotes the line, and a hash may stand in it.
            at: error.span().map_or(0, |span| span.start),
            what: error.message().to_owned(),
        })?;
        if raw.user.len() > MAX_USERS {
            return Err(Mistake::new(0, format!("more than {MAX_USERS} users")));
        }
        let mut users = Self::default();
        for user in raw.user {
            let at = user.name.span().start;
            let user = Arc::new(user.check()?);
            if users.by_name.contains_key(&user.name) {
                return Err(Mistake::new(
                    at,
                    format!("a second user {:?}: remove one of them", user.name),
                ));
            }
            users.by_name.insert(user.name.clone(), Arc::clone(&user));
            users.in_order.push(user);
        }
        Ok(users)
    }
}

/// The file as TOML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    user: Vec<RawUser>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    name: Spanned<String>,
    password: Spanned<String>,
    senders: Spanned<Vec<Spanned<String>>>,
}

impl RawUser {
    fn check(self) -> Result<User, Mistake> {
        check_name(self.name.get_ref())
            .map_err(|what| Mistake::new(self.name.span().start, what.to_owned()))?;
        let at = self.password.span().start;
        let phc = self.password.into_inner();
        let hash = password::parse(&phc).map_err(|error| Mistake::new(at, error.to_string()))?;
        let at = self.senders.span().start;
        let raw = self.senders.into_inner();
        if raw.is_empty() || raw.len() > MAX_SENDERS {
            return Err(Mistake::new(
                at,
                format!(
                    "senders must name 1 to {MAX_SENDERS} patterns, as in [\"billing@clinic.example\", \"*@lab.clinic.example\"]"
                ),
            ));
        }
        let mut senders = Vec::with_capacity(raw.len());
        for pattern in raw {
            let parsed = pattern.get_ref().parse().map_err(|error: PatternError| {
                Mistake::new(pattern.span().start, error.to_string())
            })?;
            senders.push(parsed);
        }
        Ok(User {
            name: self.name.into_inner(),
            senders,
            hash,
            phc,
        })
    }
}

/// Account names are what SASL can carry and a log line can show.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_OCTETS {
        return Err("a name has 1 to 255 octets");
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return Err("a name has no control characters, and no spaces at its ends");
    }
    Ok(())
}

/// A mistake, by its offset in the text.
#[derive(Debug)]
struct Mistake {
    at: usize,
    what: String,
}

impl Mistake {
    fn new(at: usize, what: String) -> Self {
        Self { at, what }
    }

    fn at(self, path: &Path, text: &str) -> UsersError {
        let before = text.get(..self.at).unwrap_or_default();
        UsersError::Invalid {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1,
            what: self.what,
        }
    }
}

/// Reads a file that nobody but its owner may read; the check and the reading see the same file.
fn read_private(path: &Path) -> Result<String, UsersError> {
    let failed = |source| UsersError::Read {
        path: path.to_owned(),
        source,
    };
    let file = open_regular(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(UsersError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(MAX_FILE_OCTETS + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE_OCTETS {
        return Err(UsersError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
