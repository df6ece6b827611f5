//! The keeper: the thread that does for the writer what takes long or touches a directory.
//!
//! Owns the files of `log/` but for the octets after their headers: it makes `ready-*` files with
//! all blocks written, turns one into the next segment ahead of need, and removes the oldest
//! segments. Also runs small chores (removing a body's file). It never writes a record.
//!
//! Which segment may go: the oldest one, if the writer has left it and nothing pins it. Only ever
//! the oldest: a `DONE` lies in the same or a later segment than what it ends, so a record can
//! not come back to life because its end was removed before it.
//!
//! What keeps a segment is of two kinds: what stays where it lies until it ends, and what its owner
//! can write again further on. Where only the second kind keeps the oldest segment, the owner is
//! asked ([`Carrier`]), and decides whether that is worth its octets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::world::clock::Clock;

use super::crypt::{self, SALT_OCTETS};
use super::disk::{Disk, DiskFile, Open};
use super::error::JournalError;
use super::segment::{SegmentHeader, ready_name, ready_number, segment_name, segment_number};

/// Prepared files kept besides the next segment.
const READY_FILES: usize = 2;
/// Zeros written at once while a file is prepared.
const ZEROS_OCTETS: usize = 1024 * 1024;

/// What the keeper is asked to do.
pub(super) enum Job {
    /// Have the next segment and the ready files in place.
    Prepare,
    /// Remove what nothing needs.
    Collect,
    /// Run this.
    Chore(Box<dyn FnOnce() + Send>),
    /// End, after what was asked before.
    Stop,
}

/// A segment to write to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) octets: u64,
}

/// Where the keeper leaves the next segment for the writer.
#[derive(Default)]
pub(super) struct Slot {
    next: Mutex<Option<Result<Segment, JournalError>>>,
    filled: Condvar,
}

impl Slot {
    /// Waits for the next segment.
    pub(super) fn take(&self) -> Result<Segment, JournalError> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.filled
            .wait_while(next, |next| next.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or(Err(JournalError::Closed))
    }

    /// Nothing there, or the reason why there was nothing the last time.
    fn is_wanting(&self) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*next, Some(Ok(_)))
    }

    fn fill(&self, next: Result<Segment, JournalError>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        self.filled.notify_all();
    }
}

/// How many things that still live lie in a segment.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    /// That stay there.
    lasting: u64,
    /// That can be written again elsewhere.
    movable: u64,
}

/// What keeps a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// Only what can be written again elsewhere.
    Movable,
    Lasting,
}

/// Which segments hold something that still lives, and how many such things.
pub struct Pins {
    counts: Mutex<BTreeMap<u64, Count>>,
    /// Segments below this one are sealed, and all that was ever written there is published.
    left: AtomicU64,
    /// Whether the owner has pinned what it read at start: before that, everything may live.
    complete: AtomicBool,
    /// Whether the keeper is to look already: however often it is asked for, it looks once.
    looks: AtomicBool,
    keeper: Sender<Job>,
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pins")
    }
}

impl Pins {
    pub(super) fn new(keeper: Sender<Job>) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::default(),
            left: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            looks: AtomicBool::new(false),
            keeper,
        })
    }

    /// Keeps a segment for as long as the pin lives.
    pub fn pin(self: &Arc<Self>, segment: u64) -> Pin {
        self.hold(segment, false)
    }

    /// The same for what the [`Carrier`] can write again in a later segment.
    pub fn pin_movable(self: &Arc<Self>, segment: u64) -> Pin {
        self.hold(segment, true)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<u64, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(self: &Arc<Self>, segment: u64, movable: bool) -> Pin {
        let mut counts = self.counts();
        let count = counts.entry(segment).or_default();
        match movable {
            true => count.movable += 1,
            false => count.lasting += 1,
        }
        Pin {
            segment,
            movable,
            pins: Arc::clone(self),
        }
    }

    /// Has the keeper look again whether the oldest segment may go.
    pub fn look_again(&self) {
        if !self.looks.swap(true, Ordering::AcqRel) {
            self.ask(Job::Collect);
        }
    }

    /// Runs `chore` on the keeper's thread; not at all once the journal is closed.
    pub fn later(&self, chore: impl FnOnce() + Send + 'static) {
        self.ask(Job::Chore(Box::new(chore)));
    }

    /// The writer goes on in `segment` and has published all that lies before.
    pub(super) fn left_for(&self, segment: u64) {
        if self.left.swap(segment, Ordering::AcqRel) != segment {
            self.look_again();
        }
    }

    /// Everything that lives is pinned from now on: the rest may go.
    pub(super) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
        self.look_again();
    }

    /// Segments below this one may go unless they are pinned.
    fn left(&self) -> u64 {
        match self.complete.load(Ordering::Acquire) {
            true => self.left.load(Ordering::Acquire),
            false => 0,
        }
    }

    pub(super) fn ask(&self, job: Job) {
        // The keeper is gone only when the journal closes, and then nothing needs doing.
        drop(self.keeper.send(job));
    }

    fn held(&self, segment: u64) -> Held {
        match self.counts().get(&segment) {
            None => Held::No,
            Some(count) if count.lasting == 0 => Held::Movable,
            Some(_) => Held::Lasting,
        }
    }
}

/// Keeps a segment from being removed.
#[derive(Debug)]
pub struct Pin {
    segment: u64,
    movable: bool,
    pins: Arc<Pins>,
}

impl Pin {
    /// The segment that is kept.
    pub fn segment(&self) -> u64 {
        self.segment
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = self.pins.counts();
        let Some(count) = counts.get_mut(&self.segment) else {
            return;
        };
        let own = match self.movable {
            true => &mut count.movable,
            false => &mut count.lasting,
        };
        *own = own.saturating_sub(1);
        // The last one of all, or the last that stays: now it may go, or be emptied.
        let changed = *own == 0 && count.lasting == 0;
        if count.lasting == 0 && count.movable == 0 {
            counts.remove(&self.segment);
        }
        drop(counts);
        if changed {
            self.pins.look_again();
        }
    }
}

/// The oldest segment, which only what is movable keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oldest {
    /// Its number.
    pub segment: u64,
    /// Octets of all segments that the writer has left, with this one.
    pub left_octets: u64,
    /// Octets of one segment.
    pub segment_octets: u64,
}

/// Asked whether to write again further on what alone keeps the oldest segment. It need not, and
/// need not do it all at once: it is asked again when the writer goes on to another segment, and
/// whenever somebody calls [`Pins::look_again`].
pub type Carrier = Box<dyn Fn(&Oldest) + Send + Sync>;

pub(super) struct Keeper {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    spool: [u8; 16],
    octets: u64,
    clock: Clock,
    /// Every segment's number.
    segments: BTreeSet<u64>,
    ready: BTreeSet<u64>,
    slot: Arc<Slot>,
    pins: Arc<Pins>,
    carrier: Arc<OnceLock<Carrier>>,
}

/// What the keeper needs to know from the start.
pub(super) struct KeeperParts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) spool: [u8; 16],
    pub(super) octets: u64,
    pub(super) clock: Clock,
    pub(super) slot: Arc<Slot>,
    pub(super) pins: Arc<Pins>,
    pub(super) carrier: Arc<OnceLock<Carrier>>,
}

impl Keeper {
    /// Reads the directory.
    pub(super) fn new(parts: KeeperParts) -> Result<Self, JournalError> {
        let mut keeper = Self {
            disk: parts.disk,
            directory: parts.directory,
            spool: parts.spool,
            octets: parts.octets,
            clock: parts.clock,
            segments: BTreeSet::new(),
            ready: BTreeSet::new(),
            slot: parts.slot,
            pins: parts.pins,
            carrier: parts.carrier,
        };
        let names = keeper
            .disk
            .names(&keeper.directory)
            .map_err(JournalError::io("list", &keeper.directory))?;
        for name in names {
            if let Some(number) = segment_number(&name) {
                keeper.segments.insert(number);
            } else if let Some(number) = ready_number(&name) {
                keeper.adopt(&name, number)?;
            }
        }
        Ok(keeper)
    }

    /// Takes over a prepared file of an earlier run if it was finished, and is of our size.
    fn adopt(&mut self, name: &str, number: u64) -> Result<(), JournalError> {
        let path = self.directory.join(name);
        let octets = self
            .disk
            .open(&path, Open::Read)
            .and_then(|file| file.octets())
            .map_err(JournalError::io("open", &path))?;
        if octets == self.octets {
            self.ready.insert(number);
        } else {
            self.disk
                .remove(&path)
                .map_err(JournalError::io("remove", &path))?;
        }
        Ok(())
    }

    /// Every segment's number, rising.
    pub(super) fn segments(&self) -> Vec<u64> {
        self.segments.iter().copied().collect()
    }

    /// Removes a named segment that was never written to.
    pub(super) fn remove_unused(&mut self, number: u64) -> Result<(), JournalError> {
        self.remove_segment(number)
    }

    fn sync(&self) -> Result<(), JournalError> {
        self.disk
            .sync_dir(&self.directory)
            .map_err(JournalError::io("sync", &self.directory))
    }

    /// Makes segment `number`, durable with its name, from a prepared file.
    pub(super) fn name_segment(&mut self, number: u64) -> Result<Segment, JournalError> {
        let ready = match self.ready.first().copied() {
            Some(ready) => ready,
            None => self.prepare_file()?,
        };
        let from = self.directory.join(ready_name(ready));
        let to = self.directory.join(segment_name(number));
        let mut salt = [0; SALT_OCTETS];
        crypt::random(&mut salt)?;
        let header = SegmentHeader {
            spool: self.spool,
            number,
            created: self.clock.now().as_micros(),
            salt,
        };
        let file = self
            .disk
            .open(&from, Open::Write)
            .map_err(JournalError::io("open", &from))?;
        file.write_at(&mut [IoSlice::new(&header.encode())], 0)
            .and_then(|()| file.sync_data())
            .map_err(JournalError::io("write the header of", &from))?;
        self.disk
            .rename(&from, &to)
            .map_err(JournalError::io("name", &to))?;
        self.ready.remove(&ready);
        self.sync()?;
        self.segments.insert(number);
        Ok(Segment {
            number,
            file,
            octets: self.octets,
        })
    }

    /// Writes a file of zeros, so that its blocks exist; returns its number.
    fn prepare_file(&mut self) -> Result<u64, JournalError> {
        let number = self.ready.last().map_or(0, |last| last + 1);
        let path = self.directory.join(ready_name(number));
        let written = self.write_zeros(&path);
        if written.is_err() {
            // A half-written one would only take room on a volume that may have none.
            drop(self.disk.remove(&path));
        }
        written.map_err(JournalError::io("prepare", &path))?;
        self.ready.insert(number);
        Ok(number)
    }

    fn write_zeros(&self, path: &Path) -> std::io::Result<()> {
        let file = self.disk.open(path, Open::Create)?;
        let zeros = vec![0; ZEROS_OCTETS];
        let mut offset = 0;
        while offset < self.octets {
            let left = usize::try_from(self.octets - offset).unwrap_or(usize::MAX);
            let piece = zeros.get(..left.min(ZEROS_OCTETS)).unwrap_or(&zeros);
            file.write_at(&mut [IoSlice::new(piece)], offset)?;
            offset += piece.len() as u64;
        }
        file.sync_data()
    }

    /// Does jobs until told to stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Prepare => self.prepare(),
                Job::Collect => {
                    self.pins.looks.store(false, Ordering::Release);
                    // What was missing for want of room may fit once something is gone.
                    if self.collect() || self.slot.is_wanting() {
                        self.prepare();
                    }
                }
                Job::Chore(chore) => chore(),
                Job::Stop => break,
            }
        }
        self.slot.fill(Err(JournalError::Closed));
    }

    fn prepare(&mut self) {
        if self.slot.is_wanting() {
            let number = self.segments.last().map_or(1, |last| last + 1);
            let next = self.name_segment(number);
            self.slot.fill(next);
        }
        while self.ready.len() < READY_FILES {
            if let Err(error) = self.prepare_file() {
                // Not fatal yet: the next segment is in place, and mail that goes makes room.
                tracing::warn!(error = %Chain(&error), "cannot prepare a segment of the spool");
                break;
            }
        }
    }

    /// Whether any segment was removed.
    fn collect(&mut self) -> bool {
        let mut removed = false;
        while let Some(oldest) = self.segments.first().copied() {
            let left = self.pins.left();
            if oldest >= left {
                break;
            }
            match self.pins.held(oldest) {
                Held::No => {}
                Held::Lasting => break,
                Held::Movable => {
                    if let Some(carry) = self.carrier.get() {
                        let segments = self.segments.range(..left).count() as u64;
                        carry(&Oldest {
                            segment: oldest,
                            left_octets: segments.saturating_mul(self.octets),
                            segment_octets: self.octets,
                        });
                    }
                    break;
                }
            }
            if let Err(error) = self.remove_segment(oldest) {
                tracing::warn!(error = %Chain(&error), "cannot remove a segment of the spool");
                break;
            }
            removed = true;
        }
        removed
    }

    /// Durable one by one and oldest first, so that no crash leaves an older one without its ends.
    fn remove_segment(&mut self, number: u64) -> Result<(), JournalError> {
        let path = self.directory.join(segment_name(number));
        self.disk
            .remove(&path)
            .map_err(JournalError::io("remove", &path))?;
        self.segments.remove(&number);
        self.sync()
    }
}

/// An error with its causes on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
