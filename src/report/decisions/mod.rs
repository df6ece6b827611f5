//! The record of decisions: append-only, hash-chained, durable before anything is sent.
//!
//! Owns `decisions/` in the data directory: one file per UTC day (`2026-11-22.jsonl`, mode 0600),
//! its lines ([`line`]), the thread that writes them (`writer`), what is made of a torn end
//! (`file`), how long files stay, and how they are read back and checked ([`reader`]). Never
//! decides, and never knows what the sealed facts say: they come as octets.
//!
//! A line is a JSON object. `sequence` rises by one from line to line across files, `previous` is
//! the SHA-256 of the line before (without its newline), across files too: so whole files may go
//! at the old end and the rest still verifies. `sealed` holds the facts under a key derived from
//! the master key; everything before it on the line, `previous` included, is its additional data.
//! Who changes a line without the key therefore cannot mend the chain behind it. What nobody can
//! see from the files alone is that lines are missing at the newest end.
//!
//! Invariants:
//! - [`Decisions::record`] returns `Ok` when its line is on the disk (`fdatasync`), together with
//!   the policy that it cites: the first time a file cites a policy, its source is recorded.
//! - After a failed write or sync nothing more is written by this process.
//! - No content in clear: what the sender wrote is in `sealed` only.

mod file;
pub mod line;
pub mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::journal::{CryptError, MasterKey, Sealer};
use crate::mail::{MessageId, ReversePath, SecretBytes, Timestamp};

pub use file::{Cut, Day};
pub use line::{Decided, Entry, Kind};
pub use reader::{Broken, Reader, Why};

/// What the keys of the sealed facts are derived for.
pub const PURPOSE: &[u8] = b"sealpost decision records 1";
/// Longest line in octets; a record with thousands of recipients is far below.
pub const MAX_LINE_OCTETS: usize = 64 * 1024 * 1024;
/// Most octets of one record before it is sealed and encoded.
const MAX_RECORD_OCTETS: usize = MAX_LINE_OCTETS / 2;
/// Octets of records that wait to be written; then [`Decisions::record`] waits.
pub const MAX_WAITING_OCTETS: u32 = 16 * 1024 * 1024;
/// The file that the writer holds locked.
const LOCK: &str = "LOCK";
/// Where what was cut off a torn end is kept, below the directory.
const QUARANTINE: &str = "quarantine";

/// Why decisions cannot be recorded or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecisionsError {
    /// The disk.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With this.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// Somebody else writes there.
    #[error("the decision records in {} are being written by another process", .0.display())]
    Locked(PathBuf),
    /// Keys.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// The newest file is no file of decisions.
    #[error("{} holds no decision record that can be read; move it away", .0.display())]
    Foreign(PathBuf),
    /// A record that cannot be written as one line.
    #[error("a decision record is longer than {MAX_RECORD_OCTETS} octets")]
    TooLarge,
    /// A value that has no JSON.
    #[error("a decision record cannot be written as JSON")]
    Json(#[source] Arc<serde_json::Error>),
    /// An earlier write failed: nothing is written any more.
    #[error("the decision records failed")]
    Failed(#[source] Arc<DecisionsError>),
    /// It was closed.
    #[error("the decision records are closed")]
    Closed,
}

impl DecisionsError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

/// How the records are opened.
#[derive(Debug)]
pub struct Options {
    /// Their directory; made if it does not exist.
    pub directory: PathBuf,
    /// The key that the facts are sealed under.
    pub master_key: MasterKey,
    /// Files of days that ended longer ago than this are removed.
    pub retention: Duration,
}

/// A policy as records cite it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CitedPolicy {
    /// Its hash, as decisions carry it.
    pub hash: Arc<str>,
    /// Its source as JSON, from which it can be compiled again.
    pub source: Arc<str>,
}

/// What was decided for recipients of a message at one moment.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// When.
    pub time: Timestamp,
    /// Of which message.
    pub queue_id: MessageId,
    /// Its reverse-path.
    pub sender: ReversePath,
    /// The policy that decided.
    pub policy: CitedPolicy,
    /// Each distinct decision with its recipients.
    pub decided: Vec<Decided>,
    /// What it was decided from; sealed, because it holds what the sender wrote.
    pub facts: SecretBytes,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Files that are there.
    pub files: usize,
    /// The number of the last line; 0 if there is none.
    pub last_sequence: u64,
    /// Torn ends that were cut off.
    pub cuts: Vec<Cut>,
    /// Files that were too old, by name.
    pub removed: Vec<String>,
}

/// Where decisions are recorded. Cheap to clone; the thread ends when it is closed, or the last
/// clone is dropped and everything is written.
#[derive(Clone)]
pub struct Decisions(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    line: Mutex<Option<mpsc::Sender<Job>>>,
    /// A permit per octet that may wait.
    room: Arc<Semaphore>,
    failure: watch::Receiver<Option<Arc<DecisionsError>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decisions({})", self.0.directory.display())
    }
}

/// A record on its way to the thread.
struct Job {
    time: Timestamp,
    policy: CitedPolicy,
    /// The JSON of the line without its chain and seal, braces aside.
    clear: Vec<u8>,
    facts: SecretBytes,
    done: oneshot::Sender<Result<(), DecisionsError>>,
    /// Given back when it is written.
    _room: OwnedSemaphorePermit,
}

impl Decisions {
    /// Opens the records, or begins them: cuts off a torn end, removes what is too old, locks the
    /// directory until it is closed. Blocks.
    pub fn open(options: Options, now: Timestamp) -> Result<(Self, Recovery), DecisionsError> {
        let (failed, failure) = watch::channel(None);
        let sealer = Sealer::new(options.master_key, PURPOSE)?;
        let directory = options.directory;
        let (writer, recovery) =
            writer::Writer::open(directory.clone(), sealer, options.retention, now)?;
        let (line, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("decisions".to_owned())
            .spawn(move || writer.run(&jobs, &failed))
            .map_err(DecisionsError::io("start a thread for", &directory))?;
        let shared = Shared {
            directory,
            line: Mutex::new(Some(line)),
            room: Arc::new(Semaphore::new(MAX_WAITING_OCTETS as usize)),
            failure,
            thread: Mutex::new(Some(thread)),
        };
        Ok((Self(Arc::new(shared)), recovery))
    }

    /// Records decisions; `Ok` when they are durable. All that wait ride in one batch. On an error
    /// nothing may be sent: the record is not on the disk.
    pub async fn record(&self, record: DecisionRecord) -> Result<(), DecisionsError> {
        let clear = line::decision(&record)?;
        let octets = clear.len().saturating_add(record.facts.expose().len());
        if octets > MAX_RECORD_OCTETS {
            return Err(DecisionsError::TooLarge);
        }
        // A record larger than the whole room takes all of it.
        let permits = u32::try_from(octets)
            .unwrap_or(u32::MAX)
            .min(MAX_WAITING_OCTETS);
        let room = Arc::clone(&self.0.room).acquire_many_owned(permits);
        let room = room.await.map_err(|_| DecisionsError::Closed)?;
        let (done, answer) = oneshot::channel();
        let job = Job {
            time: record.time,
            policy: record.policy,
            clear,
            facts: record.facts,
            done,
            _room: room,
        };
        let sent = match &*self.0.line.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(line) => line.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(DecisionsError::Closed);
        }
        answer.await.unwrap_or(Err(DecisionsError::Closed))
    }

    /// Becomes `Some` when a write has failed: nothing is recorded any more, and the process is to
    /// end and start again.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<DecisionsError>>> {
        self.0.failure.clone()
    }

    /// Writes what waits and ends the thread. Later records fail. Blocks.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Shared {
    fn close(&self) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        drop({ line }.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = { thread }.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the decision records panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}
