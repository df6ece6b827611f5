//! What the store's tests share: deposits, a directory, a disk that fails.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::super::*;
use crate::journal::disk::{DiskFile, Lock, Open, Space};
use crate::mail::{
    Deposit, Factor, Language, Level, MessageId, PickupWishes, SenderSecret, Timestamp,
};
use crate::proto::link::{Access, Deposited};

/// A word in every address, name, subject and text of these tests: never to be found on the disk.
pub(super) const CANARY: &str = "canary7wq";
/// When the tests begin.
pub(super) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn key(seed: u8) -> MasterKey {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode([seed; 32]);
    MasterKey::from_base64(&text).unwrap()
}

pub(super) fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        directory: directory.to_path_buf(),
        master_key: key(1),
        bounds: Bounds::default(),
        reminders: Reminders {
            remind_after: Some(7 * DAY),
            unread_after: Some(8 * DAY),
        },
    }
}

pub(super) async fn open(directory: &Path) -> Store {
    open_with(directory, |_| {}).await
}

pub(super) async fn open_with(directory: &Path, change: impl FnOnce(&mut StoreOptions)) -> Store {
    let mut options = options(directory);
    change(&mut options);
    let disk = Arc::new(TestDisk::default());
    Store::open_on(disk, options, Clock::starting_at(START))
        .await
        .unwrap()
}

pub(super) fn reference(number: u64) -> Reference {
    let mut octets = [7; 10];
    octets[2..].copy_from_slice(&number.to_be_bytes());
    Reference::new(octets)
}

pub(super) fn address(name: &str) -> Address {
    Address::parse(&format!("{CANARY}.{name}@example.test")).unwrap()
}

/// Content in which every place is recognisable.
pub(super) fn content(seed: u64, octets: usize) -> Vec<u8> {
    let mut content = format!("Subject: {CANARY} about {seed}\r\n\r\n").into_bytes();
    while content.len() < octets {
        content.extend_from_slice(format!("{CANARY} {seed} {}\r\n", content.len()).as_bytes());
    }
    content.truncate(octets);
    content
}

/// Deposit `number` of message `number` for `kim`.
pub(super) fn deposit(number: u64, octets: usize) -> Deposit {
    Deposit {
        reference: reference(number),
        queue_id: MessageId::new(number),
        recipient: address("kim"),
        author: address("author"),
        answerable: true,
        author_name: Some(format!("{CANARY} Author")),
        message_id: format!("<{number}@{CANARY}.example>"),
        accepted: START,
        octets: octets as u64,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: START,
        wishes: PickupWishes::default(),
        language: Language::En,
        expires: START + 30 * DAY,
    }
}

pub(super) fn with_secret(mut deposit: Deposit) -> Deposit {
    deposit.wishes.secret = Some(SenderSecret::parse(&format!("{CANARY} secret")).unwrap());
    deposit.wishes.phone = Some("+12025550123".parse().unwrap());
    deposit
}

pub(super) async fn leave(store: &Store, deposit: Deposit) -> Result<Deposited, StoreError> {
    let octets = usize::try_from(deposit.octets).unwrap();
    let body = content(deposit.queue_id.get(), octets);
    let mut incoming = store.deposit(deposit).await?;
    for piece in body.chunks(10_000) {
        incoming.write(Bytes::copy_from_slice(piece)).await?;
    }
    incoming.finish().await
}

pub(super) fn access(what: &str) -> Access {
    Access {
        time: START,
        factors: vec![Factor::Mailbox],
        client: "192.0.2.7".to_owned(),
        automated: Vec::new(),
        what: what.to_owned(),
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
            // The journal's keeper may be renaming what it prepares.
            match std::fs::read(&path) {
                Ok(bytes) => drop(found.insert(path, bytes)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
            }
        }
    }
    found
}

/// Makes `to` what `from` is now: what a killed process leaves behind. Prepared segments, which are
/// all zeros, are left out.
pub(super) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        if path.to_string_lossy().contains("ready-") {
            continue;
        }
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

/// Files of contents, finished or not.
pub(super) fn contents(directory: &Path) -> usize {
    files(&directory.join("content")).len()
}

/// What happened on the disk, in order.
pub(super) type Step = Box<dyn Fn(&str) + Send + Sync>;

/// The machine's disk, with endless room unless told otherwise; it may fail, and tells each step.
#[derive(Default)]
pub(super) struct TestDisk(pub(super) Arc<Knobs>);

#[derive(Default)]
pub(super) struct Knobs {
    /// Octets that are not available.
    pub(super) taken: AtomicU64,
    /// Slots cannot be made durable.
    pub(super) fail_slots: AtomicBool,
    /// Nothing is made durable: for tests that count and do not crash.
    pub(super) lazy: AtomicBool,
    /// Rows are steps, too.
    pub(super) rows: AtomicBool,
    /// Called before each durable step: `slot`, `content`, `rename`, `remove`, `row`.
    pub(super) step: std::sync::Mutex<Option<Step>>,
}

impl Knobs {
    fn tell(&self, step: &str) {
        if let Some(told) = &*self.step.lock().unwrap() {
            told(step);
        }
    }
}

impl fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestDisk")
    }
}

struct TestFile {
    file: Arc<dyn DiskFile>,
    knobs: Arc<Knobs>,
    what: &'static str,
}

impl fmt::Debug for TestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

fn what(path: &Path) -> &'static str {
    let text = path.to_string_lossy();
    match () {
        () if text.contains("/journal/") => "row",
        () if text.ends_with("/slots") => "slot",
        () if text.contains("/content/") => "content",
        () => "other",
    }
}

impl Disk for TestDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        OsDisk.names(directory)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TestFile {
            file: OsDisk.open(path, how)?,
            knobs: Arc::clone(&self.0),
            what: match (what(path), how) {
                ("row", Open::Create | Open::Read) => "other",
                (what, _) => what,
            },
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if what(to) == "content" {
            self.0.tell("rename");
        }
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        if what(path) == "content" {
            self.0.tell("remove");
        }
        OsDisk.remove(path)
    }
    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        if self.0.lazy.load(Ordering::SeqCst) {
            return Ok(());
        }
        OsDisk.sync_dir(directory)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        OsDisk.lock(path)
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        let taken = self.0.taken.load(Ordering::SeqCst);
        Ok(Space {
            available: (1_u64 << 40).saturating_sub(taken),
            total: 1 << 40,
        })
    }
}

impl DiskFile for TestFile {
    fn octets(&self) -> io::Result<u64> {
        self.file.octets()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        // A journal's file begins with a header, which is the keeper's.
        let row = self.what == "row" && offset > 0 && self.knobs.rows.load(Ordering::SeqCst);
        if self.what == "slot" || row {
            self.knobs.tell(self.what);
        }
        self.file.write_at(parts, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.what == "content" {
            self.knobs.tell("content");
        }
        if self.what == "slot" && self.knobs.fail_slots.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        if self.knobs.lazy.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.file.sync_data()
    }
}

/// A store on a disk with knobs.
pub(super) async fn open_knobs(directory: &Path) -> (Store, Arc<Knobs>) {
    let disk = TestDisk::default();
    let knobs = Arc::clone(&disk.0);
    let clock = Clock::starting_at(START);
    let store = Store::open_on(Arc::new(disk), options(directory), clock);
    (store.await.unwrap(), knobs)
}

pub(super) fn by(actor: &str) -> By {
    By {
        actor: actor.to_owned(),
        reason: "sent to the wrong person".to_owned(),
    }
}

/// Takes all events out of the store.
pub(super) async fn events(store: &Store) -> Vec<crate::proto::link::PickupEvent> {
    let mut events = Vec::new();
    while let Some(item) = store.next_owed(Lane::Events).unwrap() {
        store.settle_owed(&item).await.unwrap();
        if let Owed::Event(event) = item.owed {
            events.push(event);
        }
    }
    events
}
