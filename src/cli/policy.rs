//! `sealpost policy`: why, whether ever, what if, what mix. Works without the daemon; `explain`
//! asks it for certificates where it runs.
//!
//! Owns what the commands share: the policy that the configuration names, the decision records
//! beside it, and how people write levels and days.

mod certificates;
mod diff;
mod explain;
mod forecast;
mod prove;
mod records;
mod replay;
mod view;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Failure};
use crate::config::{self, Config, Credentials, SecretError};
use crate::journal::MasterKey;
use crate::mail::{Domain, Level, Timestamp};
use crate::policy::Policy;
use crate::report::decisions::{Broken, Day, DecisionsError, Reader, Why};
use crate::server::build;
use crate::world::clock::Clock;

/// The decision records, below the data directory.
const DECISIONS: &str = "decisions";

/// The policy: why, whether ever, what if, what mix.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// How a message would be protected for each recipient, and why
    Explain(explain::Explain),
    /// Try every combination of facts: does anything leave below its demand?
    Prove(prove::Prove),
    /// What changed between two policies, and which way
    Diff(diff::Diff),
    /// What a changed policy would have decided for the recorded messages
    Replay(replay::Replay),
    /// What would go by which method to a list of domains, as they are today
    Forecast(forecast::Forecast),
    /// The records of what was decided
    #[command(subcommand)]
    Records(records::Records),
}

impl PolicyCommand {
    /// Does it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        match self {
            Self::Explain(explain) => explain.run(config),
            Self::Prove(prove) => prove.run(config),
            Self::Diff(diff) => diff.run(config),
            Self::Replay(replay) => replay.run(config),
            Self::Forecast(forecast) => forecast.run(config),
            Self::Records(records) => records.run(config),
        }
    }
}

/// The configuration with its policy, and the policy compiled.
fn policy_of(file: &Path) -> Result<(Config, Policy), Failure> {
    let loaded =
        config::read_policy(file, Clock::system().now()).map_err(super::bad_configuration)?;
    for warning in &loaded.warnings.0 {
        super::output::complain(&warning.to_string());
    }
    let policy = build::policy(&loaded.config)
        .map_err(|error| Failure::from_error(Exit::Usage, &error, "`sealpost check` says more"))?;
    Ok((loaded.config, policy))
}

/// The directory of the records.
fn directory_of(config: &Config) -> PathBuf {
    config.data_directory.join(DECISIONS)
}

/// The key that the facts of the records are sealed under.
fn master_key(config: &Config) -> Result<MasterKey, Failure> {
    build::master_key(config, &Credentials::of_the_service()).map_err(|error| {
        let missing = match &error {
            build::BuildError::MasterKeySecret(secret) => SecretError::is_missing(secret),
            _ => false,
        };
        let (exit, mend) = match missing {
            true => (
                Exit::Configuration,
                "the facts of the records can be read with the key that they were written with, and with no other",
            ),
            false => (Exit::Usage, "run this as root or as the account of the daemon"),
        };
        Failure::from_error(exit, &error, mend)
    })
}

/// Opens the records for reading.
fn open_records(
    config: &Config,
    key: Option<MasterKey>,
    since: Option<Day>,
    until: Option<Day>,
) -> Result<Reader, Failure> {
    let directory = directory_of(config);
    if !directory.exists() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} does not exist: no decision was recorded there yet; is data_directory right, and may this user look into it?",
                directory.display()
            ),
        ));
    }
    Reader::open(&directory, key, since, until).map_err(|error| cannot_read(&error))
}

fn cannot_read(error: &DecisionsError) -> Failure {
    Failure::from_error(
        Exit::Failed,
        error,
        "run this as root or as the account of the daemon",
    )
}

/// Whether everything that follows would say the same: the key is another one.
fn is_wrong_key(broken: &Broken) -> bool {
    matches!(broken.why, Why::OtherKey(_))
}

/// A level as people write it.
fn level(text: &str) -> Result<Level, String> {
    let found = Level::ALL.into_iter().find(|level| level.as_str() == text);
    found.ok_or_else(|| {
        let names = Level::ALL.map(Level::as_str).join(", ");
        format!("no level; the levels are {names}")
    })
}

/// A day as people write it.
fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "no day; write it as in 2026-11-22 (UTC)".to_owned())
}

/// A moment as people write it.
fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::from_rfc3339(text)
        .ok_or_else(|| "no time; write it as in 2026-11-22T09:30:00Z (RFC 3339)".to_owned())
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::from_unicode(text).map_err(|error| error.to_string())
}

/// A time without its microseconds.
fn seconds(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}
