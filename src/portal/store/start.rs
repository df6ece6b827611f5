//! Opening the store: what the last process left is read back, and what it left half done is
//! finished or undone. See the table in [`super`].

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore};

use crate::journal::disk::Disk;
use crate::journal::{Journal, MIN_SEGMENT_OCTETS, Options};
use crate::mail::Reference;
use crate::tables::Tables;
use crate::world::clock::Clock;

use super::content::Contents;
use super::failing::Failing;
use super::index::Index;
use super::outbox::Outbox;
use super::record::Record;
use super::replies::{Replies, ReplyState};
use super::shared::{Arrivals, HASHES_AT_ONCE, Locks, Shared, blocking};
use super::slots::{self, Slot, Slots};
use super::{StoreError, StoreOptions};

/// Octets of a segment of the journal: it holds small rows alone.
const SEGMENT_OCTETS: u64 = 8 * 1024 * 1024;
const _: () = assert!(SEGMENT_OCTETS >= MIN_SEGMENT_OCTETS);

/// What a start found and put right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Keys that nothing needed any more, overwritten.
    pub slots_cleared: usize,
    /// Messages whose key or content is not what was written: they are listed and cannot be opened.
    pub damaged: Vec<Reference>,
    /// Whether the journal read back whole.
    pub journal_sound: bool,
}

/// Opens the store, or begins one.
pub(super) async fn open(
    disk: Arc<dyn Disk>,
    options: StoreOptions,
    clock: Clock,
) -> Result<Arc<Shared>, StoreError> {
    let (shared, replaced) = blocking(move || read_back(&disk, options, clock)).await?;
    let shared = Arc::new(shared);
    for reference in &shared.found.damaged {
        tracing::error!(%reference, "the key or the content of a message in the portal is damaged");
    }
    for (older, newer) in replaced {
        // Its slot and file are gone already: the row's deletion may be repeated at any start.
        shared.give_way(older, newer).await?;
    }
    for row in shared.replies.untold()? {
        shared.tell_reply_later(row.reply.ticket).await?;
    }
    let untold: Vec<Record> = (shared.records.rows()?.into_iter())
        .map(|(_, record)| record)
        .filter(Record::is_untold)
        .collect();
    for record in untold {
        shared.tell_when_room(record).await?;
    }
    Ok(shared)
}

/// What lives: what its content is called, and the slot of its key.
type Live = HashSet<(Reference, Slot)>;

/// The store, and the rows of deposits in whose place another one stands already.
fn read_back(
    disk: &Arc<dyn Disk>,
    options: StoreOptions,
    clock: Clock,
) -> Result<(Shared, Vec<(Reference, Reference)>), StoreError> {
    let StoreOptions {
        directory,
        master_key,
        bounds,
        reminders,
    } = options;
    let failing = Failing::new();
    let (journal, sound) = open_journal(disk, &directory, master_key, clock, &failing)?;
    let tables = Tables::open(&journal)?;
    let records = tables.table::<Record>("deposits")?;
    let mut index = Index::default();
    let (mut live, mut ended) = (Live::new(), Live::new());
    let mut generation = 0;
    let (kept, replaced) = one_each(records.rows()?.into_iter().map(|(_, record)| record));
    for record in &kept {
        generation = generation.max(record.slot.generation);
        index.set(record, record.due(&reminders).0);
        match record.is_live() {
            true => live.insert((record.reference, record.slot)),
            false => ended.insert((record.reference, record.slot)),
        };
    }
    ended.extend(replaced.iter().map(|(it, _)| (it.reference, it.slot)));
    let outbox = Outbox::open(&tables, clock)?;
    let replies = Replies::open(&tables, &mut |row| {
        generation = generation.max(row.slot.generation);
        outbox.seen(row.reply.ticket);
        match row.state {
            ReplyState::Waiting => live.insert((row.name, row.slot)),
            ReplyState::Sent | ReplyState::Failed => ended.insert((row.name, row.slot)),
        };
    })?;
    let keys = Arc::clone(journal.keys());
    let (slots, found) = Slots::open(
        &**disk,
        &directory,
        Arc::clone(&keys),
        !live.is_empty(),
        failing.clone(),
    )?;
    slots.seen(generation);
    let contents = Contents::open(Arc::clone(disk), &directory, keys)?;
    let mut found = clear(&slots, &contents, &found, &live, &ended, sound)?;
    found.journal_sound = sound;
    journal.all_pinned();
    let shared = Shared {
        directory,
        bounds,
        reminders,
        clock,
        journal,
        tables,
        records,
        slots,
        contents,
        index: Mutex::new(index),
        outbox,
        replies,
        failing,
        found,
        due_changed: Arc::new(Notify::new()),
        hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        locks: Locks::new(),
        arrivals: Arrivals::default(),
    };
    let replaced = replaced.into_iter();
    let replaced = replaced.map(|(older, newer)| (older.reference, newer));
    Ok((shared, replaced.collect()))
}

fn open_journal(
    disk: &Arc<dyn Disk>,
    directory: &PathBuf,
    master_key: crate::journal::MasterKey,
    clock: Clock,
    failing: &Failing,
) -> Result<(Journal, bool), StoreError> {
    disk.create_dir_all(directory)
        .map_err(StoreError::io("create", directory))?;
    let on_failure = failing.clone();
    let opened = Journal::open(
        Options {
            directory: directory.join("journal"),
            master_key,
            segment_octets: SEGMENT_OCTETS,
            disk: Arc::clone(disk),
            clock,
            on_failure: Arc::new(move |_| on_failure.fail()),
        },
        // Rows of tables are all that is kept here; what is left is the journal's own.
        &mut |_, _| {},
    )?;
    disk.sync_dir(directory)
        .map_err(StoreError::io("sync", directory))?;
    let report = &opened.report;
    let sound = report.quarantined_ranges == 0 && report.unreadable_rows == 0;
    if !sound {
        tracing::error!(report = ?opened.report, "the journal of the portal is damaged");
    }
    Ok((opened.journal, sound))
}

/// Of deposits of the same message and recipient that live, the newer one; and the others, each with
/// what has taken its place.
fn one_each(records: impl Iterator<Item = Record>) -> (Vec<Record>, Vec<(Record, Reference)>) {
    let (mut kept, mut replaced) = (Vec::new(), Vec::new());
    let mut live = HashMap::new();
    for record in records {
        if !record.is_live() {
            kept.push(record);
            continue;
        }
        let name = (record.queue_id, record.recipient.clone());
        match live.remove(&name) {
            None => drop(live.insert(name, record)),
            Some(other) => {
                let other: Record = other;
                let (newer, older) = match other.slot.generation > record.slot.generation {
                    true => (other, record),
                    false => (record, other),
                };
                replaced.push((older, newer.reference));
                live.insert(name, newer);
            }
        }
    }
    kept.extend(live.into_values());
    (kept, replaced)
}

/// Overwrites keys and removes files that nothing needs; tells what is missing. Where the journal
/// lost something, a key without a row may be a message's that a person can still rescue: then
/// nothing is overwritten but what was torn, and what is known to have `ended`.
fn clear(
    slots: &Slots,
    contents: &Contents,
    keys: &slots::Found,
    live: &Live,
    ended: &Live,
    sound: bool,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut missing: HashSet<Reference> = live.iter().map(|&(reference, _)| reference).collect();
    for &(slot, reference) in &keys.keys {
        if live.contains(&(reference, slot)) {
            missing.remove(&reference);
        } else if sound || ended.contains(&(reference, slot)) {
            slots.shred(slot)?;
            found.slots_cleared += 1;
        }
    }
    let places: HashSet<u32> = live.iter().map(|(_, slot)| slot.place).collect();
    for &place in keys.torn.iter().filter(|place| !places.contains(place)) {
        slots.clear_torn(place)?;
        found.slots_cleared += 1;
    }
    if sound {
        let names = live.iter().map(|&(reference, _)| reference).collect();
        missing.extend(contents.sweep(&names)?);
    }
    found.damaged = missing.into_iter().collect();
    found.damaged.sort_unstable();
    Ok(found)
}
