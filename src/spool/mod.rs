//! Mail on the journal: what was accepted, what was prepared, where every recipient stands.
//!
//! Owns the promise behind `250`: [`Spool::commit`] of an `Accept` returns when envelope, all
//! recipients and content are on the disk, synced, in one record. Also owns `big/` and the index
//! of live messages. Decides nothing about delivery; never holds content in memory beyond a
//! commit; never writes an address, a status text or content unsealed.
//!
//! What a crash leaves, and what the next start makes of it:
//!
//! | on the disk | the start finds | nothing is lost because |
//! |---|---|---|
//! | part of a body's file in `big/tmp/` | nothing; the file goes | no 250 was sent |
//! | a named body's file, no `ACCEPT` | nothing; the file goes | no 250 was sent |
//! | `ACCEPT` torn | a torn tail, sealed off | its `fdatasync` had not returned: no 250 |
//! | `ACCEPT` | the message, all recipients queued | |
//! | … and `RENDITION` | with what was prepared | preparing again would be right, too |
//! | … and some `STATE` | each recipient's last one | an attempt whose `STATE` is missing is made again: a duplicate at worst |
//! | … and `DONE` | nothing; the body's file goes | every recipient is final, every bounce accepted before |
//! | an `ACCEPT` that cannot be read any more, no `DONE` | the id under `lost`, octets in `quarantine/` | it is lost, and said so |
//!
//! Mail after the broken place is read on. Records are absolute, so applying one twice is as well.

pub(crate) mod big;
mod change;
pub mod content;
mod error;
mod index;
mod recover;
mod space;
mod stage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::journal::{self, Disk, Journal, JournalError, MasterKey, OsDisk, Position, Receipt};
use crate::mail::MessageId;
use crate::world::clock::Clock;

pub use change::Change;
pub use content::{BodyReader, Content};
pub use error::SpoolError;
pub use recover::{Recovered, Recovery, RecoveryReport};
pub use stage::{BodyWriter, StagedBody};

use big::BigFiles;
use change::{Effect, Plan};
use index::{Body, Index};
use recover::Replayed;
use space::Room;
use stage::{Staged, blocking};

/// Bodies of this size and more get a file of their own.
pub const BIG_BODY_OCTETS: usize = 1024 * 1024;
/// A message id's low bits below the microseconds of its time: 128 ids a microsecond.
const ID_SHIFT: u32 = 7;

/// How a spool is opened.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Its directory; made if it does not exist.
    pub directory: PathBuf,
    /// The key that everything in it is sealed under.
    pub master_key: MasterKey,
    /// Octets of a new segment; [`journal::SEGMENT_OCTETS`] unless there is a reason.
    pub segment_octets: u64,
}

/// An open spool. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spool({:?})", self.shared.journal)
    }
}

struct Shared {
    journal: Journal,
    index: Arc<Index>,
    files: BigFiles,
    room: Room,
    clock: Clock,
    last_id: AtomicU64,
    failure: watch::Receiver<Option<Arc<SpoolError>>>,
    /// Bodies below this go into their `ACCEPT`.
    inline_octets: usize,
}

impl Spool {
    /// Opens the spool, or begins one, and reads back what lives in it. Locks the directory until
    /// it is closed or dropped. Blocks.
    pub fn open(options: SpoolOptions, clock: Clock) -> Result<(Spool, Recovery), SpoolError> {
        Self::open_on(Arc::new(OsDisk), options, clock)
    }

    /// The same on any file system.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        clock: Clock,
    ) -> Result<(Spool, Recovery), SpoolError> {
        let (failed, failure) = watch::channel(None);
        let mut replayed = Replayed::default();
        let opened = Journal::open(
            journal::Options {
                directory: options.directory.clone(),
                master_key: options.master_key,
                segment_octets: options.segment_octets,
                disk: Arc::clone(&disk),
                clock,
                on_failure: Arc::new(move |error: &Arc<JournalError>| {
                    let error = JournalError::Failed(Arc::clone(error));
                    failed.send_replace(Some(Arc::new(SpoolError::Journal(error))));
                }),
            },
            &mut |keys, stored| replayed.apply(keys, stored),
        )?;
        let journal = opened.journal;
        let files = BigFiles {
            disk: Arc::clone(&disk),
            directory: options.directory.join("big"),
        };
        let temporary = files.temporary();
        disk.create_dir_all(&temporary)
            .map_err(SpoolError::io("create", &temporary))?;
        // A body is durable only if every name on the way to it is.
        disk.sync_dir(&options.directory)
            .map_err(SpoolError::io("sync", &options.directory))?;
        let index = Arc::new(Index::new(Arc::clone(journal.pins())));
        let recovery = replayed.finish(opened.report, &files, &index);
        let quarantine = options.directory.join("quarantine");
        let keep = (!recovery.report.is_sound()).then_some(quarantine.as_path());
        files.sweep(|id| index.contains(id), keep)?;
        journal.all_pinned();
        let quarter = usize::try_from(journal.line().most_octets() / 4).unwrap_or(usize::MAX);
        let shared = Shared {
            journal,
            index,
            files,
            room: Room::new(disk, options.directory, clock),
            clock,
            last_id: AtomicU64::new(opened.highest),
            failure,
            inline_octets: quarter.min(BIG_BODY_OCTETS),
        };
        let shared = Arc::new(shared);
        Ok((Spool { shared }, recovery))
    }

    /// An id for a new message: the time, and above every id that was ever stored or given out.
    pub fn next_id(&self) -> MessageId {
        let now = self.shared.clock.now().as_micros() << ID_SHIFT;
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self
            .shared
            .last_id
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)))
            .unwrap_or_else(|last| last);
        MessageId::new(next(last))
    }

    /// Takes the content of the message `id`, which is to be accepted.
    pub fn writer(&self, id: MessageId) -> BodyWriter {
        BodyWriter::new(Arc::clone(&self.shared), id)
    }

    /// Makes changes durable, all in one batch and in this order; ready when they are. Waits while
    /// too much is under way. Once it has got past that, dropping the future changes nothing.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), SpoolError> {
        let changes = self.stage_large(changes).await?;
        let plan = self.shared.plan(changes)?;
        if plan.frames.is_empty() {
            return Ok(());
        }
        let room = self.shared.journal.line().reserve(&plan.frames).await?;
        let receipt = self.submit(plan, Some(room))?;
        Ok(receipt.durable().await?)
    }

    /// Queues changes at once; they ride in the next batch, or alone after [`journal::SOON`].
    /// Whether the future is awaited or not makes no difference to that.
    pub fn commit_soon(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), SpoolError>> + Send + 'static {
        let receipt = self
            .shared
            .plan(changes)
            .and_then(|plan| match plan.frames.is_empty() {
                true => Ok(None),
                false => self.submit(plan, None).map(Some),
            });
        async move {
            match receipt? {
                Some(receipt) => Ok(receipt.durable().await?),
                None => Ok(()),
            }
        }
    }

    /// The content of a message that is not done.
    pub fn content(&self, id: MessageId) -> Content {
        Content::stored(Arc::clone(&self.shared), id)
    }

    /// Whether there is room to take mail in; [`SpoolError::Full`] if not.
    pub fn free_space(&self) -> Result<(), SpoolError> {
        self.shared.room.check()
    }

    /// Becomes `Some` when a write has failed: nothing is taken any more, and the process is to
    /// end and recover.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<SpoolError>>> {
        self.shared.failure.clone()
    }

    /// The journal below, for the tables that share it.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Writes what waits and ends the spool's threads. Later commits fail.
    pub async fn close(self) {
        let closed = blocking(move || {
            self.shared.journal.close();
            Ok(())
        });
        if closed.await.is_err() {
            tracing::error!("closing the spool was interrupted");
        }
    }

    /// Gives bodies in memory that are too large for a record a file.
    async fn stage_large(&self, changes: Vec<Change>) -> Result<Vec<Change>, SpoolError> {
        let mut staged = Vec::with_capacity(changes.len());
        for change in changes {
            staged.push(match change {
                Change::Accept {
                    envelope,
                    body: StagedBody(Staged::Memory(content)),
                } if content.len() >= self.shared.inline_octets => {
                    let (shared, id) = (Arc::clone(&self.shared), envelope.id);
                    let body = blocking(move || {
                        let (mut sink, key) = shared.create_file(id)?;
                        sink.write(&content)?;
                        shared.finish_file(id, sink, key)
                    });
                    let body = body.await?;
                    Change::Accept { envelope, body }
                }
                other => other,
            });
        }
        Ok(staged)
    }

    fn submit(
        &self,
        mut plan: Plan,
        room: Option<journal::Reservation<'_>>,
    ) -> Result<Receipt, SpoolError> {
        self.shared.journal.line().check(&plan.frames)?;
        for (id, wrapped) in plan.accepted {
            self.shared.index.announce(id, wrapped);
        }
        for file in &mut plan.files {
            file.used = true;
        }
        let index = Arc::clone(&self.shared.index);
        let pins = Arc::clone(self.shared.journal.pins());
        let (files, effects) = (self.shared.files.clone(), plan.effects);
        let publish = Box::new(move |positions: &[Position]| {
            for (effect, &position) in effects.into_iter().zip(positions) {
                match effect {
                    Effect::Accepted(id, file) => index.accepted(id, position, file),
                    Effect::Done(id) => {
                        if let Some(Body::File(_)) = index.done(id) {
                            let files = files.clone();
                            pins.later(move || files.remove(id));
                        }
                    }
                    Effect::Nothing => {}
                }
            }
        });
        Ok(self
            .shared
            .journal
            .line()
            .submit(plan.frames, room, publish))
    }
}
