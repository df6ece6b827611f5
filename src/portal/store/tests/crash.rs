//! Killed at each step: what the next start makes of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::super::*;
use super::support::*;
use crate::mail::{Level, MessageId};
use crate::proto::link::{DepositState, Happening};

/// A store whose directory is copied before each step on the disk from now on.
struct Killed {
    _root: tempfile::TempDir,
    store: Store,
    copies: Arc<Mutex<Vec<PathBuf>>>,
    knobs: Arc<Knobs>,
    running: PathBuf,
}

impl Killed {
    async fn begin() -> Self {
        let root = tempfile::tempdir().unwrap();
        let running = root.path().join("running");
        let (store, knobs) = open_knobs(&running).await;
        Self {
            store,
            copies: Arc::default(),
            knobs,
            running,
            _root: root,
        }
    }

    fn watch(&self) {
        let (copies, running) = (Arc::clone(&self.copies), self.running.clone());
        *self.knobs.step.lock().unwrap() = Some(Box::new(move |_| take(&running, &copies)));
    }

    /// All the copies, the last one of what is now.
    fn copies(&self) -> Vec<PathBuf> {
        *self.knobs.step.lock().unwrap() = None;
        take(&self.running, &self.copies);
        self.copies.lock().unwrap().clone()
    }
}

fn take(running: &Path, copies: &Mutex<Vec<PathBuf>>) {
    let mut copies = copies.lock().unwrap();
    let to = running.with_file_name(format!("killed-{}", copies.len()));
    copy(running, &to);
    copies.push(to);
}

/// Everything on the disk belongs to something, and nothing is damaged.
fn tidy(store: &Store, directory: &Path, replies: usize) {
    assert!(store.found().damaged.is_empty() && store.found().journal_sound);
    let expected = store.len() + replies;
    assert_eq!(store.shared.slots.in_use(), expected);
    assert_eq!(contents(directory), expected);
}

#[tokio::test]
async fn a_deposit_is_there_whole_or_not_at_all_and_can_be_left_again() {
    let killed = Killed::begin().await;
    killed.watch();
    leave(&killed.store, deposit(1, 70_000)).await.unwrap();
    let copies = killed.copies();
    assert!(copies.len() >= 4, "{}", copies.len());
    let mut there = Vec::new();
    for copy in &copies {
        let store = open(copy).await;
        tidy(&store, copy, 0);
        there.push(store.len());
        let again = leave(&store, deposit(1, 70_000)).await.unwrap();
        assert_eq!(again.again, there.last() == Some(&1));
        let body = store.open_message(&reference(1), access("read")).await;
        assert_eq!(body.unwrap(), content(1, 70_000));
        store.close().await;
    }
    assert!(there.is_sorted());
    assert_eq!((there[0], there[there.len() - 1]), (0, 1));
}

#[tokio::test]
async fn a_deposit_left_again_under_another_name_stays_one() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let name = reference(1);
    let opened = killed.store.open_message(&name, access("read"));
    opened.await.unwrap();
    killed.watch();
    let mut again = deposit(1, 100);
    again.reference = reference(2);
    leave(&killed.store, again).await.unwrap();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        assert_eq!(store.len(), 1);
        let record = store.mailbox(&address("kim")).remove(0);
        assert_eq!(record.openings, 1);
        let body = store.open_message(&record.reference, access("read")).await;
        assert_eq!(body.unwrap(), content(1, 100));
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_retracted_stays_so_and_is_told() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    killed.watch();
    killed.store.retract(reference(1), by("ann")).await.unwrap();
    let copies = killed.copies();
    assert!(copies.len() >= 3);
    // The row comes before the first step that is watched.
    for copy in copies {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        assert_eq!(store.len(), 0);
        let record = store.record(&reference(1)).unwrap();
        assert_eq!(record.state, DepositState::Retracted);
        let told = events(&store).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].event, Happening::Retracted);
        assert_eq!(told[0].opened_before, Some(false));
        store.close().await;
    }
}

#[tokio::test]
async fn a_reply_is_kept_whole_or_not_at_all() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    killed.watch();
    let reply = NewReply {
        answers: reference(1),
        level: Level::Protected,
        content: Bytes::from(content(7, 2000)),
    };
    let ticket = killed.store.reply(reply).await.unwrap();
    let settled = killed.store.settle_reply(ticket, ReplyState::Sent);
    let mut kept = Vec::new();
    settled.await.unwrap();
    for copy in killed.copies() {
        let store = open(&copy).await;
        let waiting = store.next_reply().unwrap();
        tidy(&store, &copy, usize::from(waiting.is_some()));
        if let Some(waiting) = &waiting {
            let body = store.reply_content(waiting.ticket).await.unwrap();
            assert_eq!(body, content(7, 2000));
        }
        let views = store.replies(&reference(1));
        kept.push(views.first().map(|view| view.state));
        if !views.is_empty() {
            assert_eq!(events(&store).await[0].event, Happening::Replied);
        }
        store.close().await;
    }
    assert_eq!(kept.first(), Some(&None));
    assert_eq!(kept.last(), Some(&Some(ReplyState::Sent)));
}

#[tokio::test]
async fn what_is_missing_is_told_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=3 {
        leave(&store, deposit(number, 100)).await.unwrap();
    }
    let (file, place) = (
        store.shared.contents.path(reference(1)),
        store.record(&reference(2)).unwrap().slot.place,
    );
    store.close().await;
    std::fs::remove_file(file).unwrap();
    let path = directory.path().join("slots");
    let mut octets = std::fs::read(&path).unwrap();
    octets[slots::HEADER_OCTETS + slots::SLOT_OCTETS * place as usize + 30] ^= 1;
    std::fs::write(&path, octets).unwrap();
    let store = open(directory.path()).await;
    assert_eq!(store.found().damaged, [reference(1), reference(2)]);
    for number in 1..=3 {
        let opened = store.open_message(&reference(number), access("read")).await;
        assert_eq!(opened.is_ok(), number == 3);
    }
    // The damaged slot is not given to anybody else.
    leave(&store, deposit(4, 100)).await.unwrap();
    assert_ne!(store.record(&reference(4)).unwrap().slot.place, place);
    store
        .withdraw(MessageId::new(2), &address("kim"))
        .await
        .unwrap();
    store.close().await;
    std::fs::remove_file(&path).unwrap();
    let disk = Arc::new(TestDisk::default());
    let clock = Clock::starting_at(START);
    let opened = Store::open_on(disk, options(directory.path()), clock).await;
    assert!(matches!(opened, Err(StoreError::Slots { .. })));
}
