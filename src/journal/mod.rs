//! Records, not mail: an append-only, sealed, group-committed journal in a directory of its own.
//!
//! Owns `LOCK`, `meta`, `log/` and `quarantine/` below its directory, the format of what is stored
//! there (`record`, `segment`, [`crypt`]), the batches and their one `fdatasync` (`writer`),
//! what is believed after a crash ([`scan`], `recover`) and when a segment goes (`keeper`).
//! Never knows what a message is, and never keeps one in memory.
//!
//! Invariants:
//! - What a producer was told is durable, is: the `fdatasync` of its octets returned without error.
//! - Records come back in the order they were given, and of the last batch only a prefix may be
//!   missing. Whatever else is missing is corruption, is reported, and does not stop the rest.
//! - After a failed write nothing more is written by this process.
//! - No two seals share key and nonce. No plaintext of a part is ever written.
//!
//! Not here yet: recycling of segments, checkpoints, compaction of messages (`MOVED`). Their seams
//! are `keeper` (which files are segments) and [`disk`] (every touch of the disk).

pub mod crypt;
pub mod disk;
mod error;
mod keeper;
mod line;
mod open;
mod record;
mod recover;
pub mod scan;
mod seal;
mod segment;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::world::clock::Clock;

pub use crypt::{CryptError, Keyring, MasterKey, MasterKeyError, MessageKey, Sealer, WrappedKey};
pub use disk::{Disk, DiskFile, OsDisk};
pub use error::JournalError;
pub use keeper::{Carrier, Oldest, Pin, Pins};
pub use line::{Line, Receipt, Reservation};
pub use open::Opened;
pub use record::{FLAG_BODY_FILE, Frame, HEADER_OCTETS, Header, Kind, Position};
pub use recover::{Quarantined, Report, TornTail};
pub use seal::{Draft, Stored};
pub use segment::{MAX_SEGMENT_OCTETS, MIN_SEGMENT_OCTETS, SEGMENT_HEADER_OCTETS, SEGMENT_OCTETS};
pub use writer::{BATCH_OCTETS, BATCH_RECORDS, OnFailure, Publish, QUEUE_OCTETS, SOON};

use keeper::Job;

/// How a journal is opened.
pub struct Options {
    /// Its directory; made if it does not exist.
    pub directory: PathBuf,
    /// The key that it is sealed under.
    pub master_key: MasterKey,
    /// Octets of a new segment.
    pub segment_octets: u64,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// For the time in segment headers.
    pub clock: Clock,
    /// Told once, when a write has failed.
    pub on_failure: OnFailure,
}

/// A row of a table as it came back at start; kept until the tables ask for it.
#[derive(Debug)]
pub struct StoredRow {
    /// The unsealed record.
    pub row: Vec<u8>,
    /// Octets of the record.
    pub octets: u64,
    /// Keeps its segment; movable.
    pub pin: Pin,
}

/// An open journal. Dropping it writes what waits and ends its threads.
pub struct Journal {
    directory: PathBuf,
    log: PathBuf,
    disk: Arc<dyn Disk>,
    keys: Arc<Keyring>,
    line: Line,
    pins: Arc<Pins>,
    carrier: Arc<OnceLock<Carrier>>,
    rows: Mutex<Option<Vec<StoredRow>>>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    _lock: disk::Lock,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({})", self.directory.display())
    }
}

impl Journal {
    /// The keys that its records are sealed with.
    pub fn keys(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// The file system that it stands on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What keeps segments.
    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// Where records are handed in.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Reads a record back: checks its place, its checksums, and hands it to `see`. Blocks.
    pub fn read<T>(
        &self,
        position: Position,
        see: impl FnOnce(Stored<'_>) -> T,
    ) -> Result<T, JournalError> {
        recover::read(&*self.disk, &self.log, position, see)
    }

    /// Runs `chore` on the journal's own thread for slow things; not at all once it is closed.
    pub fn later(&self, chore: impl FnOnce() + Send + 'static) {
        self.pins.later(chore);
    }

    /// Takes the table rows that were read at start, in order; `None` the second time. Until they
    /// are taken they keep their segments.
    pub fn take_rows(&self) -> Option<Vec<StoredRow>> {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Sets who is asked to carry things forward out of the oldest segment; the first one stays.
    pub fn set_carrier(&self, carrier: Carrier) {
        drop(self.carrier.set(carrier));
        self.pins.look_again();
    }

    /// The owner has pinned everything that it read at start and that lives. Until it says so, no
    /// segment is removed; from then on, those that nothing needs are.
    pub fn all_pinned(&self) {
        self.pins.completed();
    }

    /// Writes what waits, then ends the threads and unlocks the directory. Blocks.
    pub fn close(&self) {
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.line.close();
        if let Some(threads) = threads {
            // The writer may need the keeper until its end, so the keeper goes last.
            let wrote = threads.writer.join();
            self.pins.ask(Job::Stop);
            let kept = threads.keeper.join();
            if wrote.is_err() || kept.is_err() {
                tracing::error!("a thread of the spool panicked");
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
