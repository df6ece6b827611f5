//! `sealpost policy diff`: what changed between two policies, and which way.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::policy_of;
use crate::cli::{Exit, Failure, output};
use crate::policy::{Change, diff};

/// What changed between two policies, and which way. Exit codes as of diff(1): 0 the same,
/// 1 different, 2 trouble
#[derive(Debug, Args)]
pub struct Diff {
    /// The configuration file with the other policy
    other: PathBuf,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    same: bool,
    /// The hash of the configured policy.
    policy: &'a str,
    /// The hash of the other.
    other: &'a str,
    /// What makes the other of the configured one.
    changes: &'a [Change],
}

impl Diff {
    /// Compares and prints.
    pub fn run(self, file: &Path) -> Result<(), Failure> {
        let (_, policy) = policy_of(file)?;
        let (_, other) = policy_of(&self.other)?;
        let changes = diff(policy.source(), other.source());
        let same = policy.hash() == other.hash();
        if self.json {
            output::json(&Report {
                same,
                policy: policy.hash(),
                other: other.hash(),
                changes: &changes,
            })?;
        } else if same {
            output::say(&format!("the same policy ({})", policy.hash()))?;
        } else {
            let rows: Vec<Vec<String>> = changes
                .iter()
                .map(|change| vec![change.effect.to_string(), change.what.clone()])
                .collect();
            output::say(&output::table(&["EFFECT", "CHANGE"], &rows))?;
        }
        match same {
            true => Ok(()),
            false => Err(Failure::silent(Exit::Failed)),
        }
    }
}
