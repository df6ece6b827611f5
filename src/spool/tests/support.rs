//! What the spool's tests share: messages, a directory, a disk that counts and fails.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::*;
use crate::journal::disk::{DiskFile, Lock, Open, Space};
use crate::mail::{
    Address, DeferReason, EnhancedCode, Envelope, Final, MessageClass, Prepared, RecipientRecord,
    RecipientState, Rendition, ReversePath, Status, Timestamp,
};

/// Segments of the tests.
pub(super) const SEGMENT: u64 = 256 * 1024;
/// A word in every address, text and body of these tests: must never be found on the disk.
pub(super) const CANARY: &str = "canary7wq";

pub(super) fn key(seed: u8) -> MasterKey {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode([seed; 32]);
    MasterKey::from_base64(&text).unwrap()
}

pub(super) fn options(directory: &Path) -> SpoolOptions {
    SpoolOptions {
        directory: directory.to_path_buf(),
        master_key: key(1),
        segment_octets: SEGMENT,
    }
}

pub(super) fn clock() -> Clock {
    Clock::starting_at(Timestamp::from_secs(1_800_000_000))
}

pub(super) fn open(directory: &Path) -> (Spool, Recovery) {
    Spool::open(options(directory), clock()).unwrap()
}

pub(super) fn envelope(id: MessageId, recipients: usize) -> Arc<Envelope> {
    Arc::new(Envelope {
        id,
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Null,
        recipients: (0..recipients)
            .map(|n| Address::parse(&format!("{CANARY}{n}@example.test")).unwrap())
            .collect(),
        author: None,
        message_id: format!("<{CANARY}@example.test>"),
        client: None,
        received: Timestamp::from_secs(1_800_000_000),
        size: 0,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    })
}

/// Content of any length in which every place is recognisable.
pub(super) fn body(seed: u64, octets: usize) -> Vec<u8> {
    let line = format!("{CANARY} {seed} ");
    (0..octets as u64)
        .map(|at| match usize::try_from(at % 64).unwrap() {
            place if place < line.len() => line.as_bytes()[place],
            _ => (seed.wrapping_mul(31).wrapping_add(at / 64) % 251) as u8,
        })
        .collect()
}

pub(super) fn accept(id: MessageId, recipients: usize, content: Vec<u8>) -> Change {
    Change::Accept {
        envelope: envelope(id, recipients),
        body: StagedBody::from_bytes(content),
    }
}

pub(super) fn prepared(seed: u8) -> Arc<Prepared> {
    Arc::new(Prepared {
        renditions: vec![
            Rendition::content(
                crate::mail::Demand::dsn(),
                crate::mail::Terms::default(),
                format!("DKIM-Signature: {CANARY} {seed}\r\n").into_bytes(),
                vec!["example.test".to_owned()],
            )
            .unwrap(),
        ],
        plans: Vec::new(),
    })
}

pub(super) fn record(seed: u32) -> RecipientRecord {
    RecipientRecord {
        state: match seed % 3 {
            0 => RecipientState::Ready,
            1 => RecipientState::Deferred {
                reason: DeferReason::Site,
                next_attempt: Timestamp::from_secs(u64::from(seed)),
            },
            _ => RecipientState::Final(Final::Delivered),
        },
        attempts: seed,
        last: Some(Status::local(EnhancedCode::new(4, 0, 0), CANARY)),
        warned: seed.is_multiple_of(2),
        released: Vec::new(),
        suspected_since: None,
    }
}

pub(super) fn state(id: MessageId, recipient: u32, seed: u32) -> Change {
    Change::State {
        id,
        recipients: vec![(recipient, record(seed))],
    }
}

/// Every file below a directory.
pub(super) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The keeper may be renaming what it prepares.
            match std::fs::read(&path) {
                Ok(bytes) => drop(found.insert(path, bytes)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
            }
        }
    }
    found
}

/// Makes `to` what `from` is now: what a killed process leaves behind.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
    std::fs::create_dir_all(to.join("big/tmp")).unwrap();
}

pub(super) async fn read(spool: &Spool, id: MessageId) -> Vec<u8> {
    spool.content(id).read_all().await.unwrap().to_vec()
}

/// Counts and spoils what happens to segments.
#[derive(Debug, Default)]
pub(super) struct Knobs {
    pub(super) syncs: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) fail_sync: AtomicBool,
    pub(super) fail_write: AtomicBool,
    /// No file can be made: the volume is full.
    pub(super) refuse_new: AtomicBool,
    /// Files that were refused.
    pub(super) refused: AtomicU64,
    pub(super) available: AtomicU64,
}

/// The machine's disk behind knobs.
#[derive(Debug)]
pub(super) struct TestDisk(pub(super) Arc<Knobs>);

#[derive(Debug)]
struct TestFile(Arc<dyn DiskFile>, Arc<Knobs>);

impl Disk for TestDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        OsDisk.names(directory)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::Create && self.0.refuse_new.load(Ordering::SeqCst) {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = OsDisk.open(path, how)?;
        Ok(Arc::new(TestFile(file, Arc::clone(&self.0))))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        OsDisk.sync_dir(directory)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        OsDisk.lock(path)
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space {
            available: self.0.available.load(Ordering::SeqCst),
            total: 0,
        })
    }
}

/// The writer's thread alone is counted and spoilt: the keeper has its own reasons to write.
fn by_writer() -> bool {
    std::thread::current().name() == Some("journal-writer")
}

impl DiskFile for TestFile {
    fn octets(&self) -> io::Result<u64> {
        self.0.octets()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if by_writer() {
            self.1.writes.fetch_add(1, Ordering::SeqCst);
            if self.1.fail_write.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.0.write_at(parts, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if by_writer() {
            self.1.syncs.fetch_add(1, Ordering::SeqCst);
            if self.1.fail_sync.load(Ordering::SeqCst) {
                return Err(io::Error::other("injected"));
            }
        }
        self.0.sync_data()
    }
}

/// Waits until the keeper has done what it was asked so far.
pub(super) async fn keeper_rests(spool: &Spool) {
    let (done, waits) = tokio::sync::oneshot::channel();
    spool.journal().later(move || done.send(()).unwrap());
    waits.await.unwrap();
}

pub(super) fn open_knobs(directory: &Path) -> (Spool, Arc<Knobs>) {
    let knobs = Arc::new(Knobs::default());
    let disk = Arc::new(TestDisk(Arc::clone(&knobs)));
    let (spool, _) = Spool::open_on(disk, options(directory), clock()).unwrap();
    (spool, knobs)
}
