//! The process dies at any touch of the disk while rows are carried, and nothing is lost.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::journal::disk::{Disk, DiskFile, Lock, Open, Space};

/// A disk that dies after so many changes. The worst that a machine may do: what was not synced is
/// gone, what was being synced is there by half, and a removed file is gone at once.
#[derive(Debug)]
struct Dying {
    left: AtomicU64,
}

impl Dying {
    fn change(&self) -> io::Result<()> {
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .map(drop)
            .map_err(|_| io::Error::other("dead"))
    }
}

#[derive(Debug)]
struct DyingDisk(Arc<Dying>);

#[derive(Debug)]
struct DyingFile {
    file: Arc<dyn DiskFile>,
    unsynced: Mutex<Vec<(u64, Vec<u8>)>>,
    dying: Arc<Dying>,
}

impl Disk for DyingDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.change()?;
        OsDisk.create_dir_all(path)
    }
    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        OsDisk.names(directory)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::Create {
            self.0.change()?;
        }
        Ok(Arc::new(DyingFile {
            file: OsDisk.open(path, how)?,
            unsynced: Mutex::default(),
            dying: Arc::clone(&self.0),
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change()?;
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.change()?;
        OsDisk.remove(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.0.change()
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        OsDisk.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        OsDisk.space(path)
    }
}

impl DiskFile for DyingFile {
    fn octets(&self) -> io::Result<u64> {
        self.file.octets()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.dying.change()?;
        let octets = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.unsynced.lock().unwrap().push((offset, octets));
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        let alive = self.dying.change();
        for (offset, octets) in self.unsynced.lock().unwrap().drain(..) {
            let most = octets.len() / if alive.is_ok() { 1 } else { 2 };
            self.file
                .write_at(&mut [IoSlice::new(&octets[..most])], offset)?;
        }
        alive
    }
}

/// What a row was last known to be, and what it was to become.
type Known = BTreeMap<u32, (Option<u32>, Option<u32>)>;

const COLD: u32 = 100;
const HOT: u32 = 30;
const ROUNDS: u32 = 40;
/// Deaths that are tried, all over the run.
const CASES: u64 = 40;

fn value(version: u32) -> Vec<u8> {
    version.to_be_bytes().repeat(150)
}

/// Rows that stay, rows that change, and rows that come and go; until the disk dies.
async fn work(tables: &Tables) -> Known {
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    let mut known = Known::new();
    for round in 0..ROUNDS {
        let keys = if round == 0 { 0..HOT + COLD } else { 0..HOT };
        let mut changes = JoinSet::new();
        for key in keys {
            let goes = round % 2 == 1 && key % 3 == 0;
            let version = (!goes).then_some(round);
            known.entry(key).or_default().1 = version;
            let table = table.clone();
            changes.spawn(async move {
                let name = key.to_be_bytes();
                let changed = match version {
                    Some(version) => table.put(&name, &value(version)).await,
                    None => table.delete(&name).await,
                };
                (key, version, changed.is_ok())
            });
        }
        let mut dead = false;
        while let Some(change) = changes.join_next().await {
            let (key, version, durable) = change.unwrap();
            dead |= !durable;
            if durable {
                known.insert(key, (version, version));
            }
        }
        if dead {
            break;
        }
    }
    known
}

fn open_dying(directory: &Path, changes: u64) -> Option<(Arc<Dying>, Journal, Tables)> {
    let dying = Arc::new(Dying {
        left: AtomicU64::new(changes),
    });
    let mut options = options(directory);
    options.disk = Arc::new(DyingDisk(Arc::clone(&dying)));
    options.on_failure = Arc::new(|_| {});
    let journal = Journal::open(options, &mut |_, _| {}).ok()?.journal;
    let tables = Tables::open(&journal).unwrap();
    journal.all_pinned();
    Some((dying, journal, tables))
}

fn check(directory: &Path, known: &Known, case: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (journal, tables) = open(directory);
    let rows = tables.table::<Vec<u8>>("rows").unwrap().rows().unwrap();
    journal.close();
    let found: BTreeMap<u32, Vec<u8>> = rows
        .iter()
        .map(|(key, value)| {
            (
                u32::from_be_bytes(key[..].try_into().unwrap()),
                value.clone(),
            )
        })
        .collect();
    for (key, (before, after)) in known {
        let is = found.get(key);
        let fits = [before, after].map(|it| it.map(value));
        assert!(fits.contains(&is.cloned()), "{case}: row {key}");
    }
    assert!(found.keys().all(|key| known.contains_key(key)), "{case}");
    rows
}

#[tokio::test]
async fn a_crash_anywhere_while_rows_are_carried_loses_none() {
    const PLENTY: u64 = 1 << 40;
    let directory = tempfile::tempdir().unwrap();
    let (dying, journal, tables) = open_dying(directory.path(), PLENTY).unwrap();
    let known = work(&tables).await;
    journal.close();
    let changes = PLENTY - dying.left.load(Ordering::SeqCst);
    // Rows that never changed lie in later segments now: they were carried.
    assert_eq!(tables.inner.view().rows_in(1, 1, 1), []);
    check(directory.path(), &known, PLENTY);
    assert!(changes > 100, "{changes}");

    let every = usize::try_from(changes / CASES).unwrap().max(1);
    for case in (7..changes).step_by(every) {
        let directory = tempfile::tempdir().unwrap();
        let Some((_, journal, tables)) = open_dying(directory.path(), case) else {
            continue; // it died before there was a journal
        };
        let known = work(&tables).await;
        journal.close();
        drop((journal, tables));
        let rows = check(directory.path(), &known, case);
        // And it goes on from there, and dies again a little later.
        if let Some((_, journal, _tables)) = open_dying(directory.path(), 6 + case % 17) {
            journal.close();
        }
        let settled = known.keys().map(|&key| {
            let name = key.to_be_bytes();
            let row = rows.iter().find(|(key, _)| *key == name);
            let version = row.map(|(_, value)| u32::from_be_bytes(value[..4].try_into().unwrap()));
            (key, (version, version))
        });
        check(directory.path(), &settled.collect(), case);
    }
}
