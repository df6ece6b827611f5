//! `sealpost check`: every problem of the configuration, before the daemon meets one.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, output};
use crate::config::{self, Credentials, LoadError, Problems, Reach, RegisterEntry};
use crate::world::clock::Clock;

/// Validate the configuration and everything it names.
#[derive(Debug, Args)]
pub struct Check {
    /// Ask other hosts too: whether clamd answers
    #[arg(long)]
    online: bool,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a Problems,
    /// The register of exceptions; empty where the configuration has faults.
    exceptions: &'a [RegisterEntry],
}

impl Check {
    /// Prints one line per problem, and the register of exceptions.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let now = Clock::system().now();
        let reach = match self.online {
            true => Reach::Online,
            false => Reach::Files,
        };
        let loaded = config::load(config, reach, now, &Credentials::of_the_service());
        let (problems, exceptions, fatal) = match loaded {
            Ok(loaded) => {
                let exceptions = config::register(&loaded.config.policy, now);
                (loaded.warnings, exceptions, false)
            }
            Err(LoadError::Problems(problems)) => (problems, Vec::new(), true),
            Err(error) => return Err(Failure::from_error(Exit::Usage, &error, "")),
        };
        if self.json {
            output::json(&Report {
                ok: !fatal,
                problems: &problems,
                exceptions: &exceptions,
            })?;
        } else {
            if !problems.0.is_empty() {
                output::say(&problems.to_string())?;
            }
            if !exceptions.is_empty() {
                output::say(&table(&exceptions))?;
            }
            if !fatal {
                output::say(&format!("{}: good", config.display()))?;
            }
        }
        if fatal {
            return Err(Failure::silent(Exit::Usage));
        }
        Ok(())
    }
}

/// The register of exceptions for people.
fn table(exceptions: &[RegisterEntry]) -> String {
    let row = |entry: &RegisterEntry| {
        let owners = match &entry.second_owner {
            Some(second) => format!("{}, {second}", entry.owner),
            None => entry.owner.clone(),
        };
        vec![
            entry.recipient.clone(),
            entry.allow.as_str().to_owned(),
            entry.max_level.to_string(),
            owners,
            entry.reason.clone(),
            entry
                .expires
                .chars()
                .take("2027-01-31T00:00".len())
                .collect(),
            entry.state.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = exceptions.iter().map(row).collect();
    let heads = [
        "EXCEPTION",
        "ALLOW",
        "UP TO",
        "OWNERS",
        "REASON",
        "EXPIRES (UTC)",
        "STATE",
    ];
    output::table(&heads, &rows)
}
