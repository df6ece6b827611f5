//! Opening a journal: lock, `meta`, key, replay, threads; in this order.
//!
//! Until the key is known to be the right one nothing in the directory is changed.

use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use super::crypt::{self, Keyring, MasterKey};
use super::disk::{Disk, Lock, Open};
use super::error::JournalError;
use super::keeper::{Job, Keeper, KeeperParts, Pins, Segment, Slot};
use super::line::Line;
use super::record::{Frame, Kind};
use super::recover::{self, GoOn, Replay, Report};
use super::seal::Stored;
use super::segment::{
    MAX_SEGMENT_OCTETS, MIN_SEGMENT_OCTETS, Meta, SEGMENT_HEADER_OCTETS, segment_name,
    segment_number,
};
use super::writer::{Queue, Writer};
use super::{Journal, Options, StoredRow, Threads};

/// What an open journal found.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// What was found at start.
    pub report: Report,
    /// The highest message id in any record; 0 if there is none.
    pub highest: u64,
}

impl Journal {
    /// Opens the journal of a directory, or begins one, and shows every valid record that is no
    /// table's to `visit`, in order. Blocks.
    pub fn open(
        options: Options,
        visit: &mut dyn FnMut(&Keyring, Stored<'_>),
    ) -> Result<Opened, JournalError> {
        let octets = options.segment_octets;
        let possible = (MIN_SEGMENT_OCTETS..=MAX_SEGMENT_OCTETS).contains(&octets);
        if !possible || !octets.is_multiple_of(SEGMENT_HEADER_OCTETS) {
            return Err(JournalError::SegmentSize(octets));
        }
        let disk = &*options.disk;
        let (lock, keys) = enter(disk, &options.directory, &options.master_key)?;
        let keys = Arc::new(keys);
        let log = options.directory.join("log");
        let (jobs, requests) = mpsc::channel();
        let slot = Arc::new(Slot::default());
        let pins = Pins::new(jobs.clone());
        let carrier = Arc::new(OnceLock::new());
        let mut keeper = Keeper::new(KeeperParts {
            disk: Arc::clone(&options.disk),
            directory: log.clone(),
            spool: keys.spool(),
            octets,
            clock: options.clock,
            slot: Arc::clone(&slot),
            pins: Arc::clone(&pins),
            carrier: Arc::clone(&carrier),
        })?;
        let segments = keeper.segments();
        let (replay, rows) = read_back(disk, &options.directory, &segments, &keys, &pins, visit)?;
        let (segment, offset) = current(disk, &log, &mut keeper, replay.go_on)?;
        // A segment without its first batch says nothing of the ids before: the one before it stays.
        let unwritten = u64::from(offset == SEGMENT_HEADER_OCTETS);
        pins.left_for(segment.number - unwritten);
        let queue = Arc::new(Queue::new());
        let writer = Writer {
            queue: Arc::clone(&queue),
            slot,
            pins: Arc::clone(&pins),
            keeper: jobs,
            segment,
            offset,
            batch: replay.batch,
            highest: replay.highest,
            key_id: keys.key_id(),
            on_failure: options.on_failure,
        };
        pins.ask(Job::Prepare);
        let threads = Threads {
            writer: spawn("journal-writer", move || writer.run())?,
            keeper: spawn("journal-keeper", move || keeper.run(&requests))?,
            _lock: lock,
        };
        let journal = Journal {
            log,
            disk: options.disk,
            keys,
            line: Line::new(queue, most_octets(octets)),
            pins,
            carrier,
            rows: Mutex::new(Some(rows)),
            threads: Mutex::new(Some(threads)),
            directory: options.directory,
        };
        Ok(Opened {
            journal,
            report: replay.report,
            highest: replay.highest,
        })
    }
}

/// Locks the directory and checks the key; makes what is missing only after that.
fn enter(
    disk: &dyn Disk,
    directory: &Path,
    master_key: &MasterKey,
) -> Result<(Lock, Keyring), JournalError> {
    disk.create_dir_all(directory)
        .map_err(JournalError::io("create", directory))?;
    let path = directory.join("LOCK");
    let lock = disk
        .lock(&path)
        .map_err(JournalError::io("lock", &path))?
        .ok_or_else(|| JournalError::Locked(directory.to_path_buf()))?;
    let keys = open_meta(disk, directory, master_key)?;
    for name in ["log", "quarantine"] {
        let path = directory.join(name);
        disk.create_dir_all(&path)
            .map_err(JournalError::io("create", &path))?;
    }
    disk.sync_dir(directory)
        .map_err(JournalError::io("sync", directory))?;
    Ok((lock, keys))
}

/// Reads all segments; rows of tables are kept for the tables, the rest is shown to `visit`.
fn read_back(
    disk: &dyn Disk,
    directory: &Path,
    segments: &[u64],
    keys: &Keyring,
    pins: &Arc<Pins>,
    visit: &mut dyn FnMut(&Keyring, Stored<'_>),
) -> Result<(Replay, Vec<StoredRow>), JournalError> {
    let (mut rows, mut unreadable) = (Vec::new(), 0);
    let mut sort = |stored: Stored<'_>| match stored.header.kind {
        Kind::Table => match stored.open_row(keys) {
            Ok(row) => rows.push(StoredRow {
                row,
                octets: stored.position.octets,
                pin: pins.pin_movable(stored.position.segment),
            }),
            Err(_) => unreadable += 1,
        },
        _ => visit(keys, stored),
    };
    let mut replay = recover::replay(disk, directory, segments, keys.key_id(), &mut sort)?;
    replay.report.unreadable_rows = unreadable;
    Ok((replay, rows))
}

/// What fits between a segment's header with its `PAD` and its `SEAL`.
fn most_octets(segment_octets: u64) -> u64 {
    let bare = Frame::bare(Kind::Pad, 0, 0).octets();
    segment_octets - SEGMENT_HEADER_OCTETS - 2 * bare
}

fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, JournalError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(JournalError::Thread)
}

/// The segment to go on in, and where; removes those that were named ahead beyond it.
fn current(
    disk: &dyn Disk,
    log: &Path,
    keeper: &mut Keeper,
    go_on: GoOn,
) -> Result<(Segment, u64), JournalError> {
    let (last, place) = match go_on {
        GoOn::At(number, offset) => (number, Some(offset)),
        GoOn::After(number) => (number, None),
    };
    for number in keeper.segments() {
        if number > last {
            keeper.remove_unused(number)?;
        }
    }
    let Some(offset) = place else {
        return Ok((keeper.name_segment(last + 1)?, SEGMENT_HEADER_OCTETS));
    };
    let path = log.join(segment_name(last));
    let file = disk
        .open(&path, Open::Write)
        .map_err(JournalError::io("open", &path))?;
    let octets = file.octets().map_err(JournalError::io("read", &path))?;
    let segment = Segment {
        number: last,
        file,
        octets,
    };
    Ok((segment, offset))
}

/// Reads `meta` and checks the master key, or begins a new spool.
fn open_meta(
    disk: &dyn Disk,
    directory: &Path,
    master: &MasterKey,
) -> Result<Keyring, JournalError> {
    let path = directory.join("meta");
    let unusable = |why| JournalError::Meta {
        path: path.clone(),
        why,
    };
    let names = disk
        .names(directory)
        .map_err(JournalError::io("list", directory))?;
    let meta = if names.iter().any(|name| name == "meta") {
        let bytes = read_meta(disk, &path)?;
        let meta = Meta::decode(&bytes)
            .ok_or_else(|| unusable("it is damaged, or of another version of this program"))?;
        if master.check(&meta.salt)? != meta.check {
            return Err(JournalError::WrongKey);
        }
        meta
    } else {
        let log = directory.join("log");
        let orphans = names.iter().any(|name| name == "log")
            && disk
                .names(&log)
                .map_err(JournalError::io("list", &log))?
                .iter()
                .any(|name| segment_number(name).is_some());
        if orphans {
            return Err(unusable("it is missing, and there are segments"));
        }
        begin(disk, directory, master)?
    };
    Ok(Keyring::new(master.clone(), meta.spool, meta.key_id)?)
}

fn read_meta(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, JournalError> {
    let file = disk
        .open(path, Open::Read)
        .map_err(JournalError::io("open", path))?;
    let octets = file.octets().map_err(JournalError::io("read", path))?;
    let octets = usize::try_from(octets)
        .unwrap_or(usize::MAX)
        .min(Meta::OCTETS);
    let mut bytes = vec![0; octets];
    file.read_at(&mut bytes, 0)
        .map_err(JournalError::io("read", path))?;
    Ok(bytes)
}

fn begin(disk: &dyn Disk, directory: &Path, master: &MasterKey) -> Result<Meta, JournalError> {
    let (mut spool, mut salt) = ([0; 16], [0; crypt::SALT_OCTETS]);
    crypt::random(&mut spool)?;
    crypt::random(&mut salt)?;
    // RFC 9562 §5.4: a random uuid says that it is one.
    spool[6] = spool[6] & 0x0f | 0x40;
    spool[8] = spool[8] & 0x3f | 0x80;
    let check = master.check(&salt)?;
    let key_id = u32::from_le_bytes([check[0], check[1], check[2], check[3]]);
    let meta = Meta {
        key_id,
        spool,
        salt,
        check,
    };
    let (new, path) = (directory.join("meta.new"), directory.join("meta"));
    disk.open(&new, Open::Create)
        .and_then(|file| {
            file.write_at(&mut [IoSlice::new(&meta.encode())], 0)?;
            file.sync_data()
        })
        .map_err(JournalError::io("write", &new))?;
    disk.rename(&new, &path)
        .and_then(|()| disk.sync_dir(directory))
        .map_err(JournalError::io("write", &path))?;
    Ok(meta)
}
