//! The key file: content keys in fixed slots, so that a key can be overwritten where it lies.
//!
//! Owns `slots`. Nothing else ever holds a content key, wrapped or not: neither the journal nor the
//! content's file. A slot is written whole and in place, and durable (`fdatasync`) before the call
//! returns; shredding it overwrites all 512 octets with random ones. What a volume keeps of an
//! overwritten block (copy-on-write file systems, snapshots, wear levelling) is beyond us; there
//! the master key is what protects it.
//!
//! | offset | octets | header |
//! |---|---|---|
//! | 0 | 8 | magic `SPPSLOT1` |
//! | 8 | 16 | uuid of the journal beside it |
//! | 24 | 4 | CRC-32C of what is before |
//! | 28 | … | zeros up to 4096 |
//!
//! | offset | octets | slot |
//! |---|---|---|
//! | 0 | 4 | `KEY1`, or `FREE`; zeros where it was never used |
//! | 4 | 8 | generation: another one for each use of any slot |
//! | 12 | 10 | reference |
//! | 22 | 76 | content key, wrapped under the master key for this generation |
//! | 98 | 410 | zeros |
//! | 508 | 4 | CRC-32C of what is before |
//!
//! In a free slot everything from the reference on is random. A slot whose sum is wrong was torn
//! while it was written: it belongs to nothing that was answered, and is overwritten at start.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::crypt::{WRAP_OCTETS, random};
use crate::journal::disk::{Disk, DiskFile, Open};
use crate::journal::{Keyring, MessageKey, WrappedKey};
use crate::mail::Reference;

use super::StoreError;
use super::failing::Failing;

/// Octets of a slot: no device writes less at once.
pub const SLOT_OCTETS: usize = 512;
/// Octets before the first slot.
pub const HEADER_OCTETS: usize = 4096;
/// Slots that are prepared at once, so that their blocks are there when a key is written.
pub const BLOCK_SLOTS: u32 = 256;
/// Most slots of a file: 1 GiB.
pub const MAX_SLOTS: u32 = 2_000_000;

/// Octets of a reference as it is stored.
const REFERENCE_OCTETS: usize = 10;
const MAGIC: &[u8; 8] = b"SPPSLOT1";
const HEADER_SUMMED: usize = 24;
const IN_USE: &[u8; 4] = b"KEY1";
const FREE: &[u8; 4] = b"FREE";
const GENERATION_AT: usize = 4;
const REFERENCE_AT: usize = 12;
const WRAP_AT: usize = REFERENCE_AT + REFERENCE_OCTETS;
const SUM_AT: usize = SLOT_OCTETS - 4;
/// Slots read at once at start.
const READ_SLOTS: u32 = 2048;

/// A use of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Slot {
    /// Which.
    pub place: u32,
    /// Which use of it.
    pub generation: u64,
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Nothing was ever written.
    Empty,
    Free(u64),
    Key(u64, Reference, WrappedKey),
    Torn,
}

/// What was found at start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Slots that hold a key.
    pub(super) keys: Vec<(Slot, Reference)>,
    /// Slots whose sum is wrong.
    pub(super) torn: Vec<u32>,
}

struct State {
    free: BTreeSet<u32>,
    count: u32,
    generation: u64,
}

/// The open key file. Its calls block.
pub(super) struct Slots {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    keys: Arc<Keyring>,
    state: Mutex<State>,
    failing: Failing,
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({})", self.path.display())
    }
}

impl Slots {
    /// Opens the key file of a store, or begins one. With `must_exist` (there are deposits) a
    /// missing one is an error: nothing could be opened any more.
    pub(super) fn open(
        disk: &dyn Disk,
        directory: &Path,
        keys: Arc<Keyring>,
        must_exist: bool,
        failing: Failing,
    ) -> Result<(Self, Found), StoreError> {
        let path = directory.join("slots");
        let names = disk
            .names(directory)
            .map_err(StoreError::io("list", directory))?;
        if !names.iter().any(|name| name == "slots") {
            if must_exist {
                let why = "it is missing, and there are messages";
                return Err(StoreError::Slots { path, why });
            }
            begin(disk, directory, &path, keys.spool())?;
        }
        let file = disk
            .open(&path, Open::Write)
            .map_err(StoreError::io("open", &path))?;
        check_header(&*file, &path, keys.spool())?;
        let octets = file.octets().map_err(StoreError::io("read", &path))?;
        let count = octets.saturating_sub(HEADER_OCTETS as u64) / SLOT_OCTETS as u64;
        let count = u32::try_from(count).unwrap_or(MAX_SLOTS).min(MAX_SLOTS);
        let mut state = State {
            free: BTreeSet::new(),
            count,
            generation: 0,
        };
        let found = read_all(&*file, &path, &mut state)?;
        let slots = Self {
            file,
            path,
            keys,
            state: Mutex::new(state),
            failing,
        };
        Ok((slots, found))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Generations up to this one are never given out again: rows that outlived their slots know them.
    pub(super) fn seen(&self, generation: u64) {
        let mut state = self.state();
        state.generation = state.generation.max(generation);
    }

    /// Slots that hold a key, or are about to.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        let state = self.state();
        usize::try_from(state.count).unwrap() - state.free.len()
    }

    /// Keeps a key, durable.
    pub(super) fn keep(&self, reference: Reference, key: &MessageKey) -> Result<Slot, StoreError> {
        self.failing.check()?;
        let slot = self.allocate()?;
        let wrapped = self.keys.wrap(slot.generation, key)?;
        let mut octets = [0; SLOT_OCTETS];
        put(&mut octets, 0, IN_USE);
        put(&mut octets, GENERATION_AT, &slot.generation.to_le_bytes());
        put(&mut octets, REFERENCE_AT, reference.as_bytes());
        put(&mut octets, WRAP_AT, wrapped.as_bytes());
        self.write(slot.place, &mut octets)?;
        Ok(slot)
    }

    fn allocate(&self) -> Result<Slot, StoreError> {
        let mut state = self.state();
        if state.free.is_empty() {
            let more = BLOCK_SLOTS.min(MAX_SLOTS.saturating_sub(state.count));
            if more == 0 {
                return Err(StoreError::TooMany);
            }
            let zeros = vec![0; SLOT_OCTETS * usize::try_from(more).unwrap_or(0)];
            // No key is in it: a failure here is the volume's, and nothing is in doubt.
            self.file
                .write_at(&mut [IoSlice::new(&zeros)], offset(state.count))
                .and_then(|()| self.file.sync_data())
                .map_err(StoreError::io("prepare slots of", &self.path))?;
            let first = state.count;
            state.count += more;
            state.free.extend(first..first + more);
        }
        let place = state.free.pop_first().ok_or(StoreError::TooMany)?;
        state.generation += 1;
        Ok(Slot {
            place,
            generation: state.generation,
        })
    }

    /// The key of a slot in this use.
    pub(super) fn key(&self, slot: Slot, reference: Reference) -> Result<MessageKey, StoreError> {
        match self.read(slot.place)? {
            Said::Key(generation, of, wrapped)
                if generation == slot.generation && of == reference =>
            {
                let key = self.keys.unwrap(generation, &wrapped);
                key.map_err(|_| StoreError::Damaged(reference))
            }
            _ => Err(StoreError::Damaged(reference)),
        }
    }

    /// Overwrites the key of this use, durable. One that is gone already is no error.
    pub(super) fn shred(&self, slot: Slot) -> Result<(), StoreError> {
        match self.read(slot.place)? {
            Said::Key(generation, ..) if generation == slot.generation => {
                self.overwrite(slot.place, slot.generation)
            }
            Said::Torn => self.overwrite(slot.place, slot.generation),
            Said::Key(..) | Said::Free(_) | Said::Empty => Ok(()),
        }
    }

    /// Overwrites a slot that was torn.
    pub(super) fn clear_torn(&self, place: u32) -> Result<(), StoreError> {
        let generation = self.state().generation;
        self.overwrite(place, generation)
    }

    fn overwrite(&self, place: u32, generation: u64) -> Result<(), StoreError> {
        self.failing.check()?;
        let mut octets = [0; SLOT_OCTETS];
        random(&mut octets)?;
        put(&mut octets, 0, FREE);
        put(&mut octets, GENERATION_AT, &generation.to_le_bytes());
        self.write(place, &mut octets)?;
        self.state().free.insert(place);
        Ok(())
    }

    fn read(&self, place: u32) -> Result<Said, StoreError> {
        let mut octets = [0; SLOT_OCTETS];
        if place >= self.state().count {
            return Ok(Said::Empty);
        }
        self.file
            .read_at(&mut octets, offset(place))
            .map_err(StoreError::io("read", &self.path))?;
        Ok(decode(&octets))
    }

    /// A write that failed leaves in doubt what the slot holds: nothing more is written then.
    fn write(&self, place: u32, octets: &mut [u8; SLOT_OCTETS]) -> Result<(), StoreError> {
        let sum = crc32c::crc32c(octets.get(..SUM_AT).unwrap_or_default());
        put(octets, SUM_AT, &sum.to_le_bytes());
        let written = self
            .file
            .write_at(&mut [IoSlice::new(octets)], offset(place))
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            self.failing.fail();
            StoreError::io("write a slot of", &self.path)(source)
        })
    }
}

fn offset(place: u32) -> u64 {
    HEADER_OCTETS as u64 + u64::from(place) * SLOT_OCTETS as u64
}

fn put(octets: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = octets.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

fn take<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let part = octets.get(at..at + N).and_then(|part| part.try_into().ok());
    part.unwrap_or([0; N])
}

fn decode(octets: &[u8]) -> Said {
    if octets.iter().all(|&octet| octet == 0) {
        return Said::Empty;
    }
    let summed = octets.get(..SUM_AT).unwrap_or_default();
    if crc32c::crc32c(summed) != u32::from_le_bytes(take(octets, SUM_AT)) {
        return Said::Torn;
    }
    let generation = u64::from_le_bytes(take(octets, GENERATION_AT));
    match &take::<4>(octets, 0) {
        IN_USE => {
            let reference = Reference::new(take::<REFERENCE_OCTETS>(octets, REFERENCE_AT));
            let wrapped = WrappedKey::from_bytes(take::<WRAP_OCTETS>(octets, WRAP_AT));
            Said::Key(generation, reference, wrapped)
        }
        FREE => Said::Free(generation),
        _ => Said::Torn,
    }
}

fn read_all(file: &dyn DiskFile, path: &Path, state: &mut State) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut place = 0;
    while place < state.count {
        let many = READ_SLOTS.min(state.count - place);
        let mut octets = vec![0; SLOT_OCTETS * usize::try_from(many).unwrap_or(0)];
        file.read_at(&mut octets, offset(place))
            .map_err(StoreError::io("read", path))?;
        for slot in octets.chunks_exact(SLOT_OCTETS) {
            match decode(slot) {
                Said::Empty => {
                    state.free.insert(place);
                }
                Said::Free(generation) => {
                    state.generation = state.generation.max(generation);
                    state.free.insert(place);
                }
                Said::Key(generation, reference, _) => {
                    state.generation = state.generation.max(generation);
                    found.keys.push((Slot { place, generation }, reference));
                }
                Said::Torn => found.torn.push(place),
            }
            place += 1;
        }
    }
    Ok(found)
}

fn check_header(file: &dyn DiskFile, path: &Path, uuid: [u8; 16]) -> Result<(), StoreError> {
    let unusable = |why| StoreError::Slots {
        path: path.to_owned(),
        why,
    };
    let mut header = [0; HEADER_OCTETS];
    file.read_at(&mut header, 0)
        .map_err(|_| unusable("it is cut short"))?;
    let sum = crc32c::crc32c(header.get(..HEADER_SUMMED).unwrap_or_default());
    if !header.starts_with(MAGIC) || sum != u32::from_le_bytes(take(&header, HEADER_SUMMED)) {
        return Err(unusable("it is damaged, or of another version"));
    }
    if take::<16>(&header, MAGIC.len()) != uuid {
        return Err(unusable("it belongs to another journal"));
    }
    Ok(())
}

fn begin(disk: &dyn Disk, directory: &Path, path: &Path, uuid: [u8; 16]) -> Result<(), StoreError> {
    let mut header = vec![0; HEADER_OCTETS];
    put(&mut header, 0, MAGIC);
    put(&mut header, MAGIC.len(), &uuid);
    let sum = crc32c::crc32c(header.get(..HEADER_SUMMED).unwrap_or_default());
    put(&mut header, HEADER_SUMMED, &sum.to_le_bytes());
    let new = directory.join("slots.new");
    disk.open(&new, Open::Create)
        .and_then(|file| {
            file.write_at(&mut [IoSlice::new(&header)], 0)?;
            file.sync_data()
        })
        .and_then(|()| disk.rename(&new, path))
        .and_then(|()| disk.sync_dir(directory))
        .map_err(StoreError::io("begin", path))
}
