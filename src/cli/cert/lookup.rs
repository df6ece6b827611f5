//! `sealpost cert lookup`: what a message to an address would be sealed to now, and why.

use std::path::Path;

use clap::Args;

use super::super::queue::explain;
use super::super::{Exit, Failure, output};
use super::view;
use crate::admin::Request;
use crate::admin::cert::{CertLookedUp, CertLookup};
use crate::admin::client::ask;
use crate::mail::{Address, CertificateFact};

/// An address.
#[derive(Debug, Args)]
pub struct Lookup {
    /// The recipient
    #[arg(value_name = "ADDRESS")]
    address: Address,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

impl Lookup {
    pub(super) fn run(self, socket: &Path) -> Result<(), Failure> {
        let request = Request::CertLookup(CertLookup {
            address: self.address,
            local: false,
        });
        let found: CertLookedUp = ask(socket, &request).map_err(|error| explain(&error))?;
        if self.json {
            output::json(&found)?;
        } else {
            output::say(&told(&found))?;
        }
        match found.trust {
            CertificateFact::None => Err(Failure::silent(Exit::Failed)),
            _ => Ok(()),
        }
    }
}

fn told(found: &CertLookedUp) -> String {
    let mut texts: Vec<String> = found.certificates.iter().map(view::details).collect();
    let chosen = found.certificates.iter().find(|it| it.chosen);
    let result = match (chosen, &found.problem) {
        (Some(chosen), _) => format!("would be sealed to {}", chosen.fingerprint),
        (None, Some(problem)) => format!("no certificate to seal to: {problem}"),
        (None, None) => "no certificate is known".to_owned(),
    };
    texts.push(format!(
        "{}: {result} ({} ms)",
        found.address, found.took_ms
    ));
    texts.join("\n\n")
}
