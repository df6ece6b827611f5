//! Deposits at rest: keys in fixed slots, sealed content, tables.
//!
//! Owns the portal's directory: `slots`, `content/`, `journal/`. Every change of a deposit goes
//! through here, one at a time for each deposit, and is durable before it is told. Never knows who
//! may open what: whoever calls has judged that.
//!
//! Invariants:
//! - Content that was handed out has its opening in the record, durable before the first octet of it
//!   was read. So a retraction that says "never opened" is true.
//! - A deposit whose record says that it ended has no key, or will not have one after the next start.
//! - The same queue id and recipient is one deposit. One that was retracted does not come back; one
//!   that the line took back may.
//! - What a caller began is finished, whether or not it still waits.
//!
//! # What a crash leaves, and what the next start makes of it
//!
//! | doing | on disk | next start |
//! |---|---|---|
//! | deposit, octets arriving | file in `content/tmp` | file removed; the line tries again |
//! | deposit, key kept | and a slot without a row | slot overwritten, file removed |
//! | deposit, content named | slot and file without a row | slot overwritten, file removed |
//! | deposit, row durable | whole | there; the line's repetition finds it |
//! | deposit again under another reference | rows of both | the newer stays, with the replies to both; the older goes with slot and file |
//! | opening, row durable | `opened` | counts as opened, though nobody may have seen it |
//! | retracting, withdrawing or expiring, row durable | ended row, slot, file | slot overwritten, file removed, the line is told |
//! | the same, slot overwritten | ended row, perhaps the file | file removed, the line is told |
//! | the same, all but the mark that it was told | ended row, event owed | the line may be told twice |
//! | opening, the line not told | `opened`, marked as untold | the line is told |
//! | another expiry, the line not told | the expiry, marked as untold | the line is told |
//! | reply, before its row | slot and file without a row | both removed; the writer was not told that it is sent |
//! | reply, row durable | waiting row | sent |
//! | reply, taken by the line, before the row says so | waiting row | sent again under the same ticket: the same reply |
//! | reply, row says sent | sent row, slot, file | slot overwritten, file removed |
//! | reply, the line says what became of it | sent row | the line says it again: it had no answer |
//! | reply, the line says that it failed before its answer is noted | waiting row, the end under the line's id | sent again under the same ticket, and marked as failed |
//! | slot torn while written | wrong sum | overwritten: nothing that was answered is in it |
//!
//! A live row without its key or file is damage: it is told in [`Found`], stays listed, and opens
//! with an error.

mod chores;
mod content;
mod depositing;
mod ending;
mod ends;
mod error;
mod failing;
mod index;
mod listing;
mod opening;
mod outbox;
mod record;
mod replies;
pub mod secret;
mod shared;
mod slots;
mod start;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::journal::MasterKey;
use crate::journal::disk::{Disk, OsDisk};
use crate::mail::{Address, Reference};
use crate::tables::Tables;
use crate::world::clock::Clock;

pub use content::{CHUNK_OCTETS, READ_OCTETS};
pub use depositing::Incoming;
pub use ending::{By, MAX_AHEAD};
pub use error::{OpenError, StoreError};
pub use listing::{ORDER_MOST, PAGE_MOST, SHOW_MOST};
pub use opening::Streamed;
pub use outbox::{Lane, MAX_OWED, Owed, OwedItem};
pub use record::{FIRST_ACCESSES, KEPT_AFTER_END, LAST_ACCESSES, Record};
pub use replies::{MAX_REPLIES, MAX_WAITING_REPLIES, NewReply, ReplyState, ReplyView};
pub use start::Found;

use shared::Shared;
#[cfg(test)]
pub use shared::reads;

/// How the store is opened.
pub struct StoreOptions {
    /// Its directory; made if it does not exist.
    pub directory: PathBuf,
    /// The key that everything in it is sealed under.
    pub master_key: MasterKey,
    /// How much it takes.
    pub bounds: Bounds,
    /// When somebody is told that a message waits.
    pub reminders: Reminders,
}

/// How much the store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Deposits that can be opened.
    pub deposits: usize,
    /// The same for one mailbox.
    pub per_mailbox: usize,
    /// Octets of one message, and of one reply.
    pub message_octets: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            deposits: 500_000,
            per_mailbox: 1000,
            message_octets: 100 * 1024 * 1024,
        }
    }
}

/// When somebody is told, once, that a message was not opened. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reminders {
    /// The recipient, so long after it was deposited.
    pub remind_after: Option<Duration>,
    /// The author, so long after it was deposited.
    pub unread_after: Option<Duration>,
}

/// The portal's store. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    _chores: Arc<JoinSet<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.shared.directory.display())
    }
}

impl Store {
    /// Opens the store, or begins one, and does what is due from then on. What was found at start
    /// stands in [`Store::found`].
    pub async fn open(options: StoreOptions, clock: Clock) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(OsDisk), options, clock).await
    }

    /// The same on any file system.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let shared = start::open(disk, options, clock).await?;
        let mut chores = JoinSet::new();
        chores.spawn(chores::run(Arc::downgrade(&shared)));
        Ok(Self {
            shared,
            _chores: Arc::new(chores),
        })
    }

    /// What the last start found and put right.
    pub fn found(&self) -> &Found {
        &self.shared.found
    }

    /// The tables beside the deposits, for what else the portal must not lose.
    pub fn tables(&self) -> &Tables {
        &self.shared.tables
    }

    /// Becomes true when a durable write has failed: nothing is taken any more, and the process is
    /// to end and recover.
    pub fn failure(&self) -> watch::Receiver<bool> {
        self.shared.failing.watch()
    }

    /// A deposit, whether it can still be opened or not.
    pub fn record(&self, reference: &Reference) -> Option<Arc<Record>> {
        self.shared.record(*reference).ok().flatten().map(Arc::new)
    }

    /// What was left for an address, newest first; what has ended is listed for 30 days more. What
    /// was withdrawn is not: it went another way.
    pub fn mailbox(&self, owner: &Address) -> Vec<Arc<Record>> {
        self.shared.mailbox(owner)
    }

    /// Whether anything is listed for an address: by the sets in memory, so that it takes the same
    /// time whether there is much or nothing.
    pub fn has(&self, owner: &Address) -> bool {
        self.shared.index().has(owner)
    }

    /// The newest deposit for an address that can be opened; else the newest that is listed.
    pub fn newest(&self, owner: &Address) -> Option<Arc<Record>> {
        self.shared.newest(owner).map(Arc::new)
    }

    /// Deposits that can be opened.
    pub fn len(&self) -> usize {
        self.shared.index().live()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what waits, ends the journal's threads and unlocks the directory. Later changes fail.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || shared.journal.close());
        if closed.await.is_err() {
            tracing::error!("closing the portal's store was interrupted");
        }
    }
}
