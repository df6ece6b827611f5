//! The scanner: takes a message apart on a blocking thread, has its documents read by workers,
//! and lets the detectors look at each text as it comes.
//!
//! Peak memory of a message: its content, one decoded part, its decoded documents, and the text of
//! one document ([`Limits::text`]). Plain text is looked at where it stands.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::Sight;
use super::limits::Limits;
use super::parts::{self, Document, Sink};
use super::tally::Tally;
use super::worker::driver::{self, Piece};
use crate::mail::Timestamp;
use crate::mail::finding::{Finding, Findings, Unreadable};
use crate::world::clock::Clock;

/// At most one warning in this time that workers cannot be started.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// How messages are scanned.
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// The sealpost program: a worker is `PROGRAM scan-worker`.
    pub program: PathBuf,
    /// Most workers at once.
    pub workers: usize,
    /// The bounds of reading.
    pub limits: Limits,
}

impl ScanConfig {
    /// The defaults, with workers made of `program`.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            workers: 2,
            limits: Limits::default(),
        }
    }
}

/// Scans messages. Cheap to clone; all clones share the workers.
#[derive(Clone)]
pub struct Scanner {
    inner: Arc<Inner>,
}

struct Inner {
    config: ScanConfig,
    detectors: Arc<dyn Sight + Send + Sync>,
    workers: Semaphore,
    clock: Clock,
    warned: Mutex<Option<Timestamp>>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner that looks with `detectors`.
    pub fn new(config: ScanConfig, detectors: Arc<dyn Sight + Send + Sync>) -> Self {
        let workers = Semaphore::new(config.workers.max(1));
        Self {
            inner: Arc::new(Inner {
                config,
                detectors,
                workers,
                clock: Clock::system(),
                warned: Mutex::new(None),
            }),
        }
    }

    /// Reads `content` and says what is in it. Never fails: what cannot be read is unscannable.
    pub async fn scan(&self, content: Bytes) -> Findings {
        let inner = Arc::clone(&self.inner);
        let taken = tokio::task::spawn_blocking(move || {
            let mut looker = Looker::new(&inner, Tally::default(), 0);
            parts::take_apart_into(&content, &inner.config.limits, &mut looker);
            (looker.tally, looker.documents, looker.seen)
        });
        let Ok((mut tally, documents, mut seen)) = taken.await else {
            // A reader or a detector broke: nothing is known of this message.
            let mut tally = Tally::default();
            tally.unscannable(0, Unreadable::ReaderDied);
            return tally.finish();
        };
        let mut left = self.inner.config.limits.message_time;
        for document in documents {
            let part = document.part;
            if left.is_zero() {
                tally.unscannable(part, Unreadable::Timeout);
                continue;
            }
            let (pieces, spent) = self.read(document, left).await;
            left = left.saturating_sub(spent);
            let inner = Arc::clone(&self.inner);
            let looked = tokio::task::spawn_blocking(move || {
                let mut looker = Looker::new(&inner, tally, seen);
                for piece in pieces {
                    looker.piece(part, piece);
                }
                (looker.tally, looker.seen)
            });
            match looked.await {
                Ok(done) => (tally, seen) = done,
                Err(_) => {
                    let mut tally = Tally::default();
                    tally.unscannable(0, Unreadable::ReaderDied);
                    return tally.finish();
                }
            }
        }
        tally.finish()
    }

    /// Has a worker read `document`; what it said and how long it took.
    async fn read(&self, document: Document, left: Duration) -> (Vec<Piece>, Duration) {
        let Ok(_permit) = self.inner.workers.acquire().await else {
            return (
                vec![Piece::Unreadable(Unreadable::ReaderDied)],
                Duration::ZERO,
            );
        };
        let started = self.inner.clock.now();
        let mut limits = self.inner.config.limits;
        limits.time = limits.time.min(left);
        let pieces = match driver::read(&self.inner.config.program, &limits, &document).await {
            Ok(pieces) => pieces,
            Err(error) => {
                self.warn(&error);
                vec![Piece::Unreadable(Unreadable::ReaderDied)]
            }
        };
        (pieces, self.inner.clock.now().since(started))
    }

    fn warn(&self, error: &std::io::Error) {
        let now = self.inner.clock.now();
        let Ok(mut warned) = self.inner.warned.lock() else {
            return;
        };
        if warned.is_none_or(|last| now.since(last) >= WARN_EVERY) {
            *warned = Some(now);
            tracing::warn!(program = %self.inner.config.program.display(), %error,
                "document readers cannot be started: documents count as unscannable");
        }
    }
}

/// Lets the detectors look at what a message is made of.
struct Looker<'a> {
    inner: &'a Inner,
    tally: Tally,
    documents: Vec<Document>,
    /// Octets of text looked at so far.
    seen: u64,
}

impl<'a> Looker<'a> {
    fn new(inner: &'a Inner, tally: Tally, seen: u64) -> Self {
        Self {
            inner,
            tally,
            documents: Vec::new(),
            seen,
        }
    }

    fn piece(&mut self, part: u32, piece: Piece) {
        match piece {
            Piece::Text(text) => self.text(part, &text),
            Piece::Octets(octets) => self.octets(part, &octets),
            Piece::Unreadable(why) => self.unscannable(part, why),
        }
    }
}

impl Sink for Looker<'_> {
    fn text(&mut self, part: u32, text: &str) {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.seen = self.seen.saturating_add(length);
        if self.seen > self.inner.config.limits.message_text {
            self.tally.unscannable(part, Unreadable::TooLarge);
            return;
        }
        let mut found: Vec<Finding> = Vec::new();
        self.inner.detectors.scan_text(part, text, &mut found);
        self.tally.text(part, text.len(), found);
    }

    fn octets(&mut self, part: u32, octets: &[u8]) {
        let mut found = Vec::new();
        self.inner.detectors.scan_bytes(part, octets, &mut found);
        self.tally.octets(found);
    }

    fn document(&mut self, document: Document) {
        self.documents.push(document);
    }

    fn unscannable(&mut self, part: u32, why: Unreadable) {
        self.tally.unscannable(part, why);
    }
}
