//! What `policy explain` knows of recipients' certificates: what it is told to assume; else what
//! the daemon knows; else the configured folder, since imported ones are the daemon's alone.
//!
//! Nobody outside is asked.

use std::path::PathBuf;

use super::super::{Exit, Failure};
use crate::admin::Request;
use crate::admin::cert::{CertLookedUp, CertLookup};
use crate::admin::client::{AskError, ask};
use crate::config::Config;
use crate::directory::certificates::{Settings, known_in_folder};
use crate::mail::{Address, CertificateFact, CertificateProblem, Timestamp};
use crate::policy::RecipientFacts;
use crate::server::smime;

/// What is taken to be known of the recipients' certificates.
#[derive(Debug, Clone, Copy)]
pub(super) enum Assumed {
    /// One that is trusted so far.
    Trusted(CertificateFact),
    /// None but one with this problem.
    Problem(CertificateProblem),
}

/// The words of the records.
pub(super) fn assumed(text: &str) -> Result<Assumed, String> {
    let word = || serde_json::Value::from(text);
    let trusted = serde_json::from_value(word()).map(Assumed::Trusted);
    let found = trusted.or_else(|_| serde_json::from_value(word()).map(Assumed::Problem));
    found.map_err(|_| {
        let problems = CertificateProblem::ALL.map(|problem| match serde_json::to_value(problem) {
            Ok(serde_json::Value::String(word)) => word,
            _ => String::new(),
        });
        let problems = problems.join(", ");
        format!("neither none, valid, directory, pinned nor a problem; the problems are {problems}")
    })
}

/// Where it is learnt what certificates there are.
pub(super) enum Known {
    /// What it is said to be.
    Assumed(Assumed),
    /// S/MIME is not configured: nothing needs to be known.
    Nothing,
    /// The daemon behind this socket.
    Daemon(PathBuf),
    /// The folder alone.
    Folder(Box<Settings>),
}

impl Known {
    /// For this configuration.
    pub(super) fn new(config: &Config, assumed: Option<Assumed>) -> Self {
        match (assumed, &config.smime) {
            (Some(assumed), _) => Self::Assumed(assumed),
            (None, None) => Self::Nothing,
            (None, Some(_)) => Self::Daemon(config.admin_socket.clone()),
        }
    }

    /// Writes into `facts` what is known of their recipient.
    pub(super) fn tell(
        &mut self,
        config: &Config,
        facts: &mut RecipientFacts,
        notes: &mut Vec<String>,
    ) -> Result<(), Failure> {
        if let Self::Daemon(socket) = self {
            match known_to_daemon(socket, &facts.address) {
                Ok(known) => {
                    facts.certificate = known.trust;
                    facts.certificate_problem = known.problem;
                    look_ups(config, known.trust, notes);
                    return Ok(());
                }
                Err(error) => {
                    *self = Self::Folder(Box::new(folder(config, facts.now)?));
                    notes.push(format!("{error}: imported certificates were not seen, only those of smime.directory (--certificate)"));
                }
            }
        }
        match self {
            Self::Assumed(Assumed::Trusted(fact)) => facts.certificate = *fact,
            Self::Assumed(Assumed::Problem(problem)) => facts.certificate_problem = Some(*problem),
            Self::Nothing | Self::Daemon(_) => {}
            Self::Folder(settings) => {
                let known = known_in_folder(settings, &facts.address, facts.now);
                facts.certificate = known.fact();
                facts.certificate_problem = known.problem;
                look_ups(config, known.fact(), notes);
            }
        }
        Ok(())
    }
}

fn known_to_daemon(socket: &std::path::Path, address: &Address) -> Result<CertLookedUp, AskError> {
    let lookup = CertLookup {
        address: address.clone(),
        local: true,
    };
    ask(socket, &Request::CertLookup(lookup))
}

/// The folder and what it is judged by.
fn folder(config: &Config, now: Timestamp) -> Result<Settings, Failure> {
    smime::local(config, now)
        .map_err(|error| Failure::from_error(Exit::Usage, &error, "`sealpost check` says more"))
}

/// Says once that others were not asked, where they could know more.
fn look_ups(config: &Config, known: CertificateFact, notes: &mut Vec<String>) {
    const NOTE: &str = "LDAP and web servers were not asked for certificates: the daemon does, as `sealpost cert lookup`";
    let asks = config
        .smime
        .as_ref()
        .is_some_and(|smime| !smime.ldap.is_empty() || !smime.well_known.is_empty());
    if asks && known == CertificateFact::None && !notes.iter().any(|note| note == NOTE) {
        notes.push(NOTE.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_named_as_in_the_records() {
        for word in ["none", "valid", "directory", "pinned"] {
            assert!(matches!(assumed(word), Ok(Assumed::Trusted(_))), "{word}");
        }
        for problem in CertificateProblem::ALL {
            let word = serde_json::to_value(problem).unwrap();
            let found = assumed(word.as_str().unwrap());
            assert!(matches!(found, Ok(Assumed::Problem(it)) if it == problem));
        }
        let refused = assumed("good").unwrap_err();
        assert!(refused.contains("pinned") && refused.contains("not_yet_valid"));
    }
}
