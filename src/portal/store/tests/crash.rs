//! Killed at each step: what the next start makes of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::super::*;
use super::support::*;
use crate::mail::{Final, Level, MessageId};
use crate::proto::link::{DepositState, Happening, ReportKind, Travelled};

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

    /// The same before each row as well.
    fn watch_rows(&self) {
        self.knobs.rows.store(true, Ordering::SeqCst);
        self.watch();
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
    killed.store.reply(reply()).await.unwrap();
    killed.watch_rows();
    let mut again = deposit(1, 100);
    again.reference = reference(2);
    leave(&killed.store, again).await.unwrap();
    let mut names = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 1);
        assert_eq!(store.len(), 1);
        let record = store.mailbox(&address("kim")).remove(0);
        assert_eq!(record.openings, 1);
        // What answers it is found under the name that it has.
        assert_eq!(store.replies(&record.reference).len(), 1);
        names.push(record.reference);
        let other = [reference(1), reference(2)];
        let other = other.iter().find(|it| **it != record.reference);
        assert!(store.replies(other.unwrap()).is_empty());
        let body = store.open_message(&record.reference, access("read")).await;
        assert_eq!(body.unwrap(), content(1, 100));
        store.close().await;
    }
    assert!(names.is_sorted() && names.first() != names.last());
}

fn reply() -> NewReply {
    NewReply {
        answers: reference(1),
        level: Level::Protected,
        content: Bytes::from(content(7, 2000)),
    }
}

#[tokio::test]
async fn a_deposit_over_one_that_was_taken_back_knows_that_it_was_opened() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let name = reference(1);
    let opened = killed.store.open_message(&name, access("read"));
    opened.await.unwrap();
    let (id, kim) = (MessageId::new(1), address("kim"));
    killed.store.withdraw(id, &kim).await.unwrap();
    killed.watch_rows();
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let mut there = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        there.push(store.len());
        leave(&store, deposit(1, 100)).await.unwrap();
        let record = store.record(&name).unwrap();
        assert_eq!((record.openings, record.state), (1, DepositState::Opened));
        let body = store.open_message(&name, access("read")).await;
        assert_eq!(body.unwrap(), content(1, 100));
        store.close().await;
    }
    assert!(there.is_sorted());
    assert_eq!((there[0], there[there.len() - 1]), (0, 1));
}

#[tokio::test]
async fn what_was_taken_back_stays_so_or_is_taken_back_again() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let (id, kim) = (MessageId::new(1), address("kim"));
    killed.watch_rows();
    killed.store.withdraw(id, &kim).await.unwrap();
    let mut left = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        left.push(store.len());
        store.withdraw(id, &kim).await.unwrap();
        tidy(&store, &copy, 0);
        let state = store.record(&reference(1)).unwrap().state;
        assert_eq!(state, DepositState::Withdrawn);
        // The line did that, and knows.
        assert!(events(&store).await.is_empty());
        store.close().await;
    }
    assert!(left.is_sorted_by(|one, next| one >= next));
    assert_eq!((left[0], left[left.len() - 1]), (1, 0));
}

#[tokio::test]
async fn another_expiry_holds_and_is_told() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let until = START + 60 * DAY;
    killed.watch_rows();
    let extended = killed.store.extend(reference(1), until, false, by("ann"));
    extended.await.unwrap();
    let mut changed = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        let expires = store.record(&reference(1)).unwrap().expires;
        let told = events(&store).await;
        assert_eq!(expires == until, !told.is_empty());
        for event in &told {
            assert_eq!(event.event, Happening::Extended);
            assert_eq!(event.actor.as_deref(), Some("ann"));
            assert_eq!(event.reasons, ["sent to the wrong person"]);
        }
        changed.push(expires == until);
        // Given again, the order is carried out and told where it was not.
        let again = store.extend(reference(1), until, false, by("ann"));
        assert_eq!(again.await.unwrap().changed, told.is_empty());
        assert_eq!(events(&store).await.len(), usize::from(told.is_empty()));
        store.close().await;
    }
    assert!(changed.is_sorted());
    assert_eq!((changed[0], changed[changed.len() - 1]), (false, true));
}

#[tokio::test]
async fn what_expires_unread_is_told_to_the_line_and_its_author() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let (reminded, expired) = (START + 9 * DAY, START + 31 * DAY);
    while killed.store.shared.do_due(reminded).await > 0 {}
    reports(&killed.store).await;
    killed.watch_rows();
    while killed.store.shared.do_due(expired).await > 0 {}
    let mut left = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        tidy(&store, &copy, 0);
        left.push(store.len());
        while store.shared.do_due(expired).await > 0 {}
        tidy(&store, &copy, 0);
        let state = store.record(&reference(1)).unwrap().state;
        assert_eq!(state, DepositState::Expired);
        let told = events(&store).await;
        assert!(!told.is_empty());
        for event in told {
            assert_eq!(event.event, Happening::PortalExpired);
            assert_eq!(event.opened_before, Some(false));
        }
        let reports = reports(&store).await;
        assert!(!reports.is_empty());
        assert!(reports.iter().all(|it| *it == ReportKind::ExpiredUnread));
        store.close().await;
    }
    assert!(left.is_sorted_by(|one, next| one >= next));
    assert_eq!((left[0], left[left.len() - 1]), (1, 0));
}

/// Takes all mails out of the store; what the reports among them say.
async fn reports(store: &Store) -> Vec<ReportKind> {
    let mut reports = Vec::new();
    while let Some(item) = store.next_owed(Lane::Mails).unwrap() {
        store.settle_owed(&item).await.unwrap();
        if let Owed::Report(report) = item.owed {
            reports.push(report.kind);
        }
    }
    reports
}

#[tokio::test]
async fn what_became_of_a_reply_is_known_in_the_end() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let ticket = killed.store.reply(reply()).await.unwrap();
    let id = MessageId::new(101);
    let bounced = Travelled {
        queue_id: id,
        ended: Final::Bounced,
        grade: None,
        reply: true,
    };
    killed.watch_rows();
    killed.store.reply_taken(ticket, id).await.unwrap();
    assert!(killed.store.reply_travelled(&bounced).await.unwrap());
    let mut states = Vec::new();
    for copy in killed.copies() {
        let store = open(&copy).await;
        let state = store.replies(&reference(1))[0].state;
        let waits = state == ReplyState::Waiting;
        tidy(&store, &copy, usize::from(waits));
        // The line says both again, in whatever order.
        assert!(store.reply_travelled(&bounced).await.unwrap());
        if waits {
            let body = store.reply_content(ticket).await.unwrap();
            assert_eq!(body, content(7, 2000));
            store.reply_taken(ticket, id).await.unwrap();
        }
        assert_eq!(store.replies(&reference(1))[0].state, ReplyState::Failed);
        tidy(&store, &copy, 0);
        states.push(state);
        store.close().await;
    }
    states.dedup();
    let expected = [ReplyState::Waiting, ReplyState::Sent, ReplyState::Failed];
    assert_eq!(states, expected);
}

#[tokio::test]
async fn an_end_that_came_before_the_name_is_not_lost() {
    let killed = Killed::begin().await;
    leave(&killed.store, deposit(1, 100)).await.unwrap();
    let ticket = killed.store.reply(reply()).await.unwrap();
    let id = MessageId::new(101);
    let bounced = Travelled {
        queue_id: id,
        ended: Final::Bounced,
        grade: None,
        reply: true,
    };
    assert!(killed.store.reply_travelled(&bounced).await.unwrap());
    killed.watch_rows();
    killed.store.reply_taken(ticket, id).await.unwrap();
    let copies = killed.copies();
    assert!(copies.len() >= 3);
    for copy in copies {
        let store = open(&copy).await;
        let view = store.replies(&reference(1))[0];
        let waits = view.state == ReplyState::Waiting;
        tidy(&store, &copy, usize::from(waits));
        if waits {
            store.reply_taken(ticket, id).await.unwrap();
            assert_eq!(store.shared.replies.ends.len(), 0);
        }
        assert_eq!(store.replies(&reference(1))[0].state, ReplyState::Failed);
        tidy(&store, &copy, 0);
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
    let ticket = killed.store.reply(reply()).await.unwrap();
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
