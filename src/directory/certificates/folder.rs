//! The operator's folder of certificates: files read at start and at a reload.
//!
//! What is in it is vouched for by who may write there. Regular files only, no folders below,
//! names that begin with a dot passed over, and by their endings those that are certificates: what
//! an editor or a backup left behind vouches for nobody. What is refused is said, file by file.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::examine::{Vouching, examine};
use super::formats::{self, FormatError, MAX_FILE_OCTETS, NoCertificate};
use super::import::Authorities;
use super::parse::Parsed;
use crate::mail::{Address, CertificateProblem, Timestamp};
use crate::world::file::open_regular;

/// Files of the folder.
pub const MAX_FOLDER_FILES: usize = 10_000;
/// Octets of all files together.
pub const MAX_FOLDER_OCTETS: usize = 256 << 20;
/// Certificates of all files together.
pub const MAX_FOLDER_CERTIFICATES: usize = 50_000;

/// Endings of files that are read, in any case.
pub const FOLDER_ENDINGS: [&str; 7] = ["pem", "crt", "cer", "der", "p7b", "p7c", "ldif"];

/// The folder cannot be read, or is over a bound.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be listed.
    #[error("{}: cannot be listed", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// It is over a bound.
    #[error("{}: {what} is over its bound", .folder.display())]
    TooMuch {
        /// The folder.
        folder: PathBuf,
        /// What.
        what: &'static str,
    },
}

/// A file, or a certificate in one, that is not used.
#[derive(Debug)]
pub struct RefusedFile {
    /// The file.
    pub path: PathBuf,
    /// Where in it; empty: all of it.
    pub place: String,
    /// Why.
    pub why: WhyRefused,
}

/// Why something in the folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum WhyRefused {
    /// The file cannot be read.
    #[error("cannot be read")]
    Io(#[from] std::io::Error),
    /// Its name does not say that it holds certificates.
    #[error("its name ends in none of .pem .crt .cer .der .p7b .p7c .ldif")]
    Ending,
    /// It is in no known format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A certificate breaks a rule.
    #[error("{0}")]
    Certificate(CertificateProblem),
}

/// A certificate of the folder.
#[derive(Debug)]
pub(super) struct Filed {
    pub parsed: Arc<Parsed>,
    /// The address it is filed for.
    pub address: Address,
    pub issuers: Vec<Bytes>,
    pub file: String,
}

/// What the folder holds, by mailbox.
#[derive(Debug, Default)]
pub struct Folder {
    mailboxes: HashMap<String, Vec<Arc<Filed>>>,
}

fn has_known_ending(file: &Path) -> bool {
    let ending = file.extension().and_then(std::ffi::OsStr::to_str);
    ending.is_some_and(|ending| {
        FOLDER_ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    })
}

impl Folder {
    /// Reads the folder; blocks. A certificate that expires later stays known.
    ///
    /// # Errors
    /// If the folder as a whole cannot be read: a part of the certificates would be another
    /// choice of them.
    pub fn read(path: &Path, now: Timestamp) -> Result<(Self, Vec<RefusedFile>), FolderError> {
        let mut reading = Reading {
            now,
            folder: Self::default(),
            refused: Vec::new(),
            octets: 0,
            certificates: 0,
        };
        let io = |error| FolderError::Io(path.to_owned(), error);
        let mut files = Vec::new();
        let too_much = |what| {
            let folder = path.to_owned();
            Err(FolderError::TooMuch { folder, what })
        };
        for entry in std::fs::read_dir(path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if name.as_encoded_bytes().first() != Some(&b'.') {
                files.push(path.join(name));
            }
            if files.len() > MAX_FOLDER_FILES {
                return too_much("the number of files");
            }
        }
        // The same files are always read in the same order.
        files.sort();
        for file in files {
            if !has_known_ending(&file) {
                reading.refused.push(RefusedFile {
                    path: file,
                    place: String::new(),
                    why: WhyRefused::Ending,
                });
                continue;
            }
            reading.file(&file);
            if reading.octets > MAX_FOLDER_OCTETS {
                return too_much("the size");
            }
            if reading.certificates > MAX_FOLDER_CERTIFICATES {
                return too_much("the number of certificates");
            }
        }
        Ok((reading.folder, reading.refused))
    }

    /// The certificates of a mailbox, by its key.
    pub(super) fn of(&self, mailbox: &str) -> &[Arc<Filed>] {
        self.mailboxes.get(mailbox).map_or(&[], Vec::as_slice)
    }

    /// Every certificate, by mailbox.
    pub(super) fn all(&self) -> Vec<Arc<Filed>> {
        let mut mailboxes: Vec<_> = self.mailboxes.iter().collect();
        mailboxes.sort_by_key(|(mailbox, _)| *mailbox);
        let all = mailboxes.into_iter().flat_map(|(_, filed)| filed);
        all.cloned().collect()
    }
}

struct Reading {
    now: Timestamp,
    folder: Folder,
    refused: Vec<RefusedFile>,
    octets: usize,
    certificates: usize,
}

impl Reading {
    fn file(&mut self, path: &Path) {
        if let Err(why) = self.try_file(path) {
            let (path, place) = (path.to_owned(), String::new());
            self.refused.push(RefusedFile { path, place, why });
        }
    }

    fn try_file(&mut self, path: &Path) -> Result<(), WhyRefused> {
        let mut octets = Vec::new();
        let most = MAX_FILE_OCTETS as u64 + 1;
        open_regular(path)?.take(most).read_to_end(&mut octets)?;
        self.octets += octets.len();
        let items = formats::read(&octets)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut found = Vec::new();
        let mut authorities = Vec::new();
        for item in items {
            let parsed = match item.der {
                Ok(der) => Parsed::read(&der),
                Err(NoCertificate::Malformed) => Err(CertificateProblem::Malformed),
                Err(NoCertificate::Other) => continue,
            };
            match parsed {
                Ok(parsed) if parsed.authority => authorities.push(parsed),
                Ok(parsed) => found.push((item.place, parsed, item.said_for)),
                Err(problem) => self.refuse(path, item.place, problem),
            }
        }
        if found.is_empty() && !authorities.is_empty() {
            let place = String::new();
            self.refuse(path, place, CertificateProblem::Authority);
        }
        let authorities = Authorities::new(&authorities);
        for (place, parsed, said_for) in found {
            self.certificates += 1;
            let issuers = authorities.of(&parsed);
            self.file_under(path, &name, place, Arc::new(parsed), &said_for, &issuers);
        }
        Ok(())
    }

    /// Files a certificate under each of its addresses.
    fn file_under(
        &mut self,
        path: &Path,
        name: &str,
        place: String,
        parsed: Arc<Parsed>,
        said_for: &[Address],
        issuers: &[Bytes],
    ) {
        let wanted = |address: &&Address| {
            said_for.is_empty()
                || said_for
                    .iter()
                    .any(|it| it.mailbox_key() == address.mailbox_key())
        };
        let mut problem = Some(match parsed.names.hostile {
            true => CertificateProblem::HostileAddress,
            false => CertificateProblem::OtherAddress,
        });
        for address in parsed.names.addresses.iter().filter(wanted) {
            match examine(&parsed, address, self.now, Vouching::Operator) {
                // What is not valid yet will be.
                Ok(()) | Err(CertificateProblem::NotYetValid) => {}
                Err(broken) => {
                    problem = Some(broken);
                    continue;
                }
            }
            problem = None;
            let filed = Arc::new(Filed {
                parsed: Arc::clone(&parsed),
                address: address.clone(),
                issuers: issuers.to_vec(),
                file: name.to_owned(),
            });
            let mailbox = address.mailbox_key();
            let mailbox = self.folder.mailboxes.entry(mailbox).or_default();
            mailbox.retain(|it| it.parsed.fingerprint != parsed.fingerprint);
            mailbox.push(filed);
        }
        if let Some(problem) = problem {
            self.refuse(path, place, problem);
        }
    }

    fn refuse(&mut self, path: &Path, place: String, problem: CertificateProblem) {
        self.refused.push(RefusedFile {
            path: path.to_owned(),
            place,
            why: WhyRefused::Certificate(problem),
        });
    }
}
