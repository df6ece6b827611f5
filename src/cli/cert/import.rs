//! `sealpost cert import`: certificates from files into the directory.
//!
//! A file is read here, with the rights of whoever runs the command, and goes to the daemon in
//! parts; the daemon takes it apart.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;

use super::super::{Exit, Failure, output};
use super::view::short;
use crate::admin::Request;
use crate::admin::cert::{CertImport, PART_OCTETS, Uploaded};
use crate::admin::client::Conversation;
use crate::cli::queue::explain;
use crate::config::read_bounded;
use crate::directory::certificates::{ImportOptions, ImportOutcome, ImportedItem, MAX_FILE_OCTETS};
use crate::mail::Address;

/// Parts between two words on the progress.
const PROGRESS_EVERY: usize = 100;

/// Files with certificates.
#[derive(Debug, Args)]
pub struct Import {
    /// PEM, DER, PKCS #7 bundles (.p7b, .p7c) or LDIF
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Pin them: enough for `sealed`, and another key is not used without `cert approve`
    #[arg(long)]
    pin: bool,
    /// Only for this address, though they name others too
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,
    /// They must have a valid chain to smime.anchors, now and at each use
    #[arg(long)]
    require_chain: bool,
    /// Why: it is kept with them
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    files: Vec<FileReport>,
    /// How many are in the directory now that were not, or not so.
    imported: usize,
    unchanged: usize,
    waiting: usize,
    refused: usize,
    /// Files that hold no certificate that can be read.
    unreadable: usize,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    items: Vec<ImportedItem>,
}

impl Import {
    pub(super) fn run(self, socket: &Path) -> Result<(), Failure> {
        let mut report = Report {
            files: Vec::new(),
            imported: 0,
            unchanged: 0,
            waiting: 0,
            refused: 0,
            unreadable: 0,
        };
        let mut skipped = false;
        let mut daemon = Conversation::begin(socket).map_err(|error| explain(&error))?;
        for file in &self.files {
            let octets = match read_bounded(file, MAX_FILE_OCTETS as u64) {
                Ok(octets) if !octets.is_empty() => octets,
                Ok(_) => {
                    report.skip(file, "it is empty");
                    skipped = true;
                    continue;
                }
                // The others are imported all the same; the exit says that not all were.
                Err(error) => {
                    report.skip(file, &error.to_string());
                    skipped = true;
                    continue;
                }
            };
            let items = self.one(&mut daemon, file, &octets)?;
            report.count(&items);
            if !self.json {
                output::say(&told(file, &items))?;
            }
            report.files.push(FileReport {
                file: file.display().to_string(),
                items,
            });
        }
        if self.json {
            output::json(&report)?;
        } else {
            output::say(&report.sum())?;
        }
        if skipped {
            return Err(Failure::silent(Exit::Usage));
        }
        if report.refused + report.unreadable > 0 {
            return Err(Failure::silent(Exit::Failed));
        }
        Ok(())
    }

    /// Sends a file; what became of its certificates.
    fn one(
        &self,
        daemon: &mut Conversation,
        file: &Path,
        octets: &[u8],
    ) -> Result<Vec<ImportedItem>, Failure> {
        let shown = file.display();
        let total = octets.len().div_ceil(PART_OCTETS);
        for (number, part) in octets.chunks(PART_OCTETS).enumerate() {
            let request = Request::CertUpload {
                part: STANDARD.encode(part),
            };
            let _: Uploaded = daemon.ask(&request).map_err(|error| explain(&error))?;
            if number > 0 && number.is_multiple_of(PROGRESS_EVERY) {
                output::complain(&format!("{shown}: {} % sent", 100 * number / total));
            }
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let request = Request::CertImport(CertImport {
            options: ImportOptions {
                pin: self.pin,
                address: self.address.clone(),
                require_chain: self.require_chain,
            },
            source: name.into_owned(),
            reason: self.reason.clone(),
        });
        daemon.ask(&request).map_err(|error| {
            let failure = explain(&error);
            Failure::new(failure.exit(), format!("{shown}: {}", failure.text()))
        })
    }
}

impl Report {
    /// A file that is not imported.
    fn skip(&mut self, file: &Path, why: &str) {
        self.unreadable += 1;
        output::complain(&format!("{} cannot be read: {why}", file.display()));
        self.files.push(FileReport {
            file: file.display().to_string(),
            items: Vec::new(),
        });
    }

    fn count(&mut self, items: &[ImportedItem]) {
        let passed = |item: &ImportedItem| matches!(item.outcome, ImportOutcome::PassedOver);
        if items.iter().all(passed) {
            self.unreadable += 1;
        }
        for item in items {
            let counter = match item.outcome {
                ImportOutcome::Imported => &mut self.imported,
                ImportOutcome::Unchanged => &mut self.unchanged,
                ImportOutcome::WaitsForApproval => &mut self.waiting,
                ImportOutcome::Refused { .. } => &mut self.refused,
                ImportOutcome::Issuer | ImportOutcome::PassedOver => continue,
            };
            *counter += 1;
        }
    }

    fn sum(&self) -> String {
        let mut parts = vec![format!("{} imported", self.imported)];
        for (count, what) in [
            (self.unchanged, "unchanged"),
            (self.waiting, "waiting for approval"),
            (self.refused, "refused"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }
}

/// What became of a file's certificates, a line each.
fn told(file: &Path, items: &[ImportedItem]) -> String {
    let line = |item: &ImportedItem| {
        let name = match (&item.fingerprint, item.subject.as_str()) {
            (Some(print), "") => short(print),
            (Some(print), subject) => format!("{} ({subject})", short(print)),
            (None, _) => "unreadable".to_owned(),
        };
        let whose = match &item.address {
            Some(address) => format!("{address}: "),
            None => String::new(),
        };
        let outcome = match item.outcome {
            ImportOutcome::Imported => "imported".to_owned(),
            ImportOutcome::Unchanged => "there already".to_owned(),
            ImportOutcome::WaitsForApproval => {
                "waits for `sealpost cert approve`: another key is pinned".to_owned()
            }
            ImportOutcome::Issuer => "an authority, kept with what it issued".to_owned(),
            ImportOutcome::PassedOver => "passed over".to_owned(),
            ImportOutcome::Refused { problem } => format!("refused: {problem}"),
        };
        format!(
            "{}, {}: {whose}{name} {outcome}",
            file.display(),
            item.place
        )
    };
    let lines: Vec<String> = items.iter().map(line).collect();
    match lines.is_empty() {
        true => format!("{}: no certificate in it", file.display()),
        false => lines.join("\n"),
    }
}
