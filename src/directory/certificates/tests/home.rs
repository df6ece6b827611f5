//! A directory of certificates on a spool of its own, and others that are asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::super::*;
use super::make::*;
use crate::directory::lookup::LookupError;
use crate::directory::revocation::RevocationStatus;
use crate::journal::{Journal, MasterKey, Options, OsDisk};
use crate::mail::CertificateFact;
use crate::world::BoxFuture;
use crate::world::clock::Clock;

pub struct Home {
    pub certificates: Certificates,
    // Behind what uses it.
    _journal: Journal,
}

impl Deref for Home {
    type Target = Certificates;
    fn deref(&self) -> &Certificates {
        &self.certificates
    }
}

/// Opens the directory of certificates in a folder, again after a restart.
pub fn open(path: &Path, settings: Settings) -> Home {
    let master = "AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg=";
    let options = Options {
        directory: path.to_path_buf(),
        master_key: MasterKey::from_base64(master).unwrap(),
        segment_octets: 1 << 20,
        disk: Arc::new(OsDisk),
        clock: Clock::starting_at(NOW),
        on_failure: Arc::new(|error| panic!("{error}")),
    };
    let opened = Journal::open(options, &mut |_, _| {}).unwrap();
    let tables = Tables::open(&opened.journal).unwrap();
    opened.journal.all_pinned();
    Home {
        certificates: Certificates::open(&tables, settings).unwrap(),
        _journal: opened.journal,
    }
}

pub fn by() -> By {
    By {
        actor: "ops".to_owned(),
        reason: "a test".to_owned(),
    }
}

pub fn pin() -> ImportOptions {
    ImportOptions {
        pin: true,
        ..ImportOptions::default()
    }
}

impl Home {
    /// Imports PEM; what became of each certificate.
    pub async fn take(&self, ders: &[&Bytes], options: ImportOptions) -> Vec<ImportOutcome> {
        let items = self.take_file(pem(ders), options).await;
        items.iter().map(|it| it.outcome).collect()
    }

    pub async fn take_file(&self, octets: Vec<u8>, options: ImportOptions) -> Vec<ImportedItem> {
        let by = by();
        let imported = self.import(octets, "file.pem", options, &by, NOW);
        imported.await.unwrap()
    }

    /// What is known of an address here: how far it is trusted, and the certificate.
    pub fn knows(
        &self,
        text: &str,
    ) -> Result<(CertificateFact, Bytes), Option<CertificateProblem>> {
        outcome(self.known(&address(text), NOW))
    }

    pub async fn finds(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(CertificateFact, Bytes), Option<CertificateProblem>> {
        outcome(self.look_up(&address(text), now).await)
    }
}

pub fn outcome(
    found: FoundCertificate,
) -> Result<(CertificateFact, Bytes), Option<CertificateProblem>> {
    match found.certificate {
        Some(certificate) => {
            assert_eq!(found.problem, None);
            Ok((certificate.fact, certificate.der))
        }
        None => Err(found.problem),
    }
}

/// How a source answers.
#[derive(Debug, Clone)]
pub enum Answers {
    With(Vec<Vec<u8>>),
    Fails,
    Refuses,
    /// It never does.
    Hangs,
    /// As it is told to go on.
    Waits(Vec<Vec<u8>>),
}

/// A source that does as it is told, and counts.
#[derive(Debug)]
pub struct Told {
    pub domain: &'static str,
    pub answers: Mutex<Answers>,
    pub asked: AtomicUsize,
    pub go_on: Notify,
    pub deadlines: Mutex<Vec<tokio::time::Instant>>,
}

impl Told {
    pub fn new(domain: &'static str, answers: Answers) -> Arc<Self> {
        Arc::new(Self {
            domain,
            answers: Mutex::new(answers),
            asked: AtomicUsize::new(0),
            go_on: Notify::new(),
            deadlines: Mutex::default(),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn now_answers(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }
}

impl Source for Told {
    fn name(&self) -> &str {
        "told.example"
    }

    fn serves(&self, domain: &Domain) -> bool {
        domain.as_str() == self.domain
    }

    fn certificates<'a>(
        &'a self,
        _: &'a Address,
        deadline: tokio::time::Instant,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LookupError>> {
        self.deadlines.lock().unwrap().push(deadline);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock().unwrap().clone();
        Box::pin(async move {
            match answers {
                Answers::With(values) => Ok(values),
                Answers::Fails => Err(LookupError::Failed("down".to_owned())),
                Answers::Refuses => Err(LookupError::Refused("rubbish".to_owned())),
                Answers::Hangs => {
                    tokio::time::sleep_until(deadline).await;
                    Err(LookupError::Failed("not in time".to_owned()))
                }
                Answers::Waits(values) => {
                    self.go_on.notified().await;
                    Ok(values)
                }
            }
        })
    }
}

/// Says of each leaf what it was told to say; of the others that they are good.
#[derive(Debug, Default)]
pub struct Checker {
    pub says: Mutex<HashMap<Bytes, Option<RevocationStatus>>>,
    pub chains: Mutex<Vec<Vec<Bytes>>>,
}

impl Checker {
    /// `None`: it never answers.
    pub fn say(&self, leaf: &Bytes, status: Option<RevocationStatus>) {
        self.says.lock().unwrap().insert(leaf.clone(), status);
    }
}

impl CheckRevocation for Checker {
    fn status<'a>(&'a self, chain: &'a [Bytes], _: Timestamp) -> BoxFuture<'a, RevocationStatus> {
        self.chains.lock().unwrap().push(chain.to_vec());
        let said = self.says.lock().unwrap().get(&chain[0]).cloned();
        Box::pin(async move {
            match said {
                None => RevocationStatus::Good,
                Some(Some(status)) => status,
                Some(None) => std::future::pending().await,
            }
        })
    }
}
