//! `sealpost check`: every problem of the configuration, before the daemon meets one.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, output};
use crate::config::{self, Credentials, LoadError, Problems};
use crate::world::clock::Clock;

/// Validate the configuration and everything it names.
#[derive(Debug, Args)]
pub struct Check {
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a Problems,
}

impl Check {
    /// Prints one line per problem.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let now = Clock::system().now();
        let (problems, fatal) = match config::load(config, now, &Credentials::of_the_service()) {
            Ok(loaded) => (loaded.warnings, false),
            Err(LoadError::Problems(problems)) => (problems, true),
            Err(error) => return Err(Failure::from_error(Exit::Usage, &error, "")),
        };
        if self.json {
            output::json(&Report {
                ok: !fatal,
                problems: &problems,
            })?;
        } else {
            if !problems.0.is_empty() {
                output::say(&problems.to_string())?;
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
