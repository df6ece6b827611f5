//! The configuration file: read, checked, joined.
//!
//! Owns every key of `conf/sealpost.toml`, its default and its bounds, and the form of a
//! complaint: `file:line:column: what; mend`. [`parse`] looks at the text alone; [`load`] reads what
//! belongs to the policy too and compiles it, and [`examine`] looks at the files that are named. Every problem is collected; nothing is repaired or guessed. A key
//! of a later version is refused as such.
//!
//! Relative paths are taken from the directory of the configuration file.

pub mod certificate;
mod compile;
mod digest;
mod examine;
mod file;
mod include;
mod later;
mod places;
mod problem;
mod reader;
mod register;
mod secret;
mod sections;
mod shown;
mod svg;
pub mod value;

use std::path::{Path, PathBuf};

pub use examine::{Reach, examine, examine_portal, roots_of};
pub use file::{FileError, read_bounded};
pub use places::Places;
pub use problem::{At, Problem, Problems, Sheet, Spot, Weight};
pub use register::{RegisterEntry, RegisterState, register};
pub use secret::{Credentials, Secret, SecretError};
pub use sections::{
    ClamdAddress, Colour, Config, DkimSection, IdentityOwner, IdentitySection, Imprint,
    LdapSection, Limits, ListenerAddress, ListenerSection, ListenerTls, LogLevel, LogTarget,
    PortalConfig, PortalSection, PortalTls, RelaySection, RetrySection, RouteSection, RouteTls,
    SmimeSection, SmsSection, TlsSection, WellKnownSection,
};
pub use shown::{LogoError, TextsProblem, read_logo, read_texts};

use crate::mail::Timestamp;

/// Where the configuration is looked for.
pub const DEFAULT_FILE: &str = "/etc/sealpost/sealpost.toml";
/// Largest configuration file that is read.
pub const MAX_FILE_OCTETS: u64 = 1 << 20;

/// A configuration that could be read, with what deserves a look (warnings only).
#[derive(Debug)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// Warnings.
    pub warnings: Problems,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself is not there.
    #[error("{} does not exist; name the file with --config, or begin with a copy of conf/sealpost.toml", .0.display())]
    NoFile(PathBuf),
    /// The file itself cannot be read.
    #[error("{} cannot be read; make it readable for this user", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// It was read, and these are its problems.
    #[error("{0}")]
    Problems(Problems),
}

/// A portal's configuration that could be read, with warnings.
#[derive(Debug)]
pub struct LoadedPortal {
    /// The checked configuration.
    pub config: PortalConfig,
    /// Warnings.
    pub warnings: Problems,
}

/// Reads and checks `path` and everything that it names.
pub fn load(
    path: &Path,
    reach: Reach,
    now: Timestamp,
    credentials: &Credentials,
) -> Result<Loaded, LoadError> {
    read_with(path, |config, sheet| {
        include::read(config, sheet);
        compile::policy(config, now, sheet);
        examine(config, reach, now, credentials, sheet);
    })
}

/// Reads and checks of `path` what a portal needs that runs alone, and nothing else: the line's
/// files are not opened, and may be another user's.
pub fn load_portal(
    path: &Path,
    now: Timestamp,
    credentials: &Credentials,
) -> Result<LoadedPortal, LoadError> {
    let text = read_text(path)?;
    let mut sheet = Sheet::new(path, &text);
    let config = sections::read_portal(&mut sheet);
    if let Some(config) = &config {
        examine_portal(config, now, credentials, &mut sheet);
    }
    sound(config, sheet).map(|(config, warnings)| LoadedPortal { config, warnings })
}

/// Reads `path`, what it includes, and the lists that its policy names, and compiles the policy:
/// for commands that ask what it would do. Looks at no key, certificate or account.
pub fn read_policy(path: &Path, now: Timestamp) -> Result<Loaded, LoadError> {
    read_with(path, |config, sheet| {
        include::read(config, sheet);
        compile::policy(config, now, sheet);
    })
}

/// Reads `path` and checks the text alone: for commands that need to know where things are.
pub fn read(path: &Path) -> Result<Config, LoadError> {
    read_with(path, |_, _| {}).map(|loaded| loaded.config)
}

/// Reads `path` and checks the text of what concerns the portal alone.
pub fn read_portal(path: &Path) -> Result<PortalConfig, LoadError> {
    let text = read_text(path)?;
    let mut sheet = Sheet::new(path, &text);
    let config = sections::read_portal(&mut sheet);
    sound(config, sheet).map(|(config, _)| config)
}

fn read_with(
    path: &Path,
    look: impl FnOnce(&mut Config, &mut Sheet<'_>),
) -> Result<Loaded, LoadError> {
    let text = read_text(path)?;
    let mut sheet = Sheet::new(path, &text);
    let mut config = parse(&mut sheet);
    if let Some(config) = &mut config {
        look(config, &mut sheet);
    }
    sound(config, sheet).map(|(config, warnings)| Loaded { config, warnings })
}

/// What was read, if nothing on the sheet forbids it.
fn sound<T>(config: Option<T>, sheet: Sheet<'_>) -> Result<(T, Problems), LoadError> {
    let problems = sheet.into_problems();
    match config {
        Some(config) if !problems.are_fatal() => Ok((config, problems)),
        _ => Err(LoadError::Problems(problems)),
    }
}

fn read_text(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let octets = match read_bounded(path, MAX_FILE_OCTETS) {
        Ok(octets) => octets,
        Err(error) if error.is_not_found() => return Err(LoadError::NoFile(path.to_owned())),
        Err(error) => return Err(unreadable(error)),
    };
    String::from_utf8(octets).map_err(|_| unreadable(FileError::NotText))
}

/// Reads the text of a configuration file. Touches nothing but the text: included files and lists
/// are not read, and whether the policy compiles is not known. `None` if something is
/// missing that no default can stand for; then the sheet says what.
pub fn parse(sheet: &mut Sheet<'_>) -> Option<Config> {
    sections::read(sheet)
}

#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod tests;
