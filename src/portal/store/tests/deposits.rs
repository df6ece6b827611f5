//! Leaving and opening, within bounds.

use std::sync::atomic::Ordering;

use super::super::*;
use super::support::*;
use crate::mail::{Level, MessageId};
use crate::proto::link::{Code, DepositState, Happening};
use crate::tables::TableError;

#[tokio::test]
async fn what_was_left_is_opened_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for (number, octets) in [(1, 0), (2, 1), (3, 65_536), (4, 65_537), (5, 300_000)] {
        let left = leave(&store, deposit(number, octets)).await.unwrap();
        assert_eq!((left.reference, left.again), (reference(number), false));
        let record = store.record(&reference(number)).unwrap();
        assert_eq!(record.state, DepositState::Waiting);
        let body = store
            .open_message(&reference(number), access("read"))
            .await
            .unwrap();
        assert_eq!(body, content(number, octets));
        let record = store.record(&reference(number)).unwrap();
        assert_eq!(record.state, DepositState::Opened);
        assert_eq!((record.opened, record.openings), (Some(START), 1));
    }
    let listed = store.mailbox(&address("KIM"));
    assert_eq!(listed.len(), 5);
    assert!(listed.is_sorted_by_key(|record| std::cmp::Reverse(record.deposited)));
    assert!(store.mailbox(&address("lee")).is_empty());
    let nobody = store.open_message(&reference(9), access("read")).await;
    assert!(matches!(nobody, Err(OpenError::Unknown)));
    // One event for each opening is owed, oldest first.
    for number in 1..=5 {
        let owed = store.next_owed(Lane::Events).unwrap().unwrap();
        let Owed::Event(event) = &owed.owed else {
            panic!("{owed:?}");
        };
        assert_eq!(event.event, Happening::Opened);
        assert_eq!(event.queue_id, Some(MessageId::new(number)));
        store.settle_owed(&owed).await.unwrap();
    }
    assert!(store.next_owed(Lane::Events).unwrap().is_none());
}

#[tokio::test]
async fn first_and_last_openings_are_kept_and_all_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    for number in 0..35 {
        let access = access(&format!("read {number}"));
        store.open_message(&reference(1), access).await.unwrap();
    }
    let record = store.record(&reference(1)).unwrap();
    let kept: Vec<&str> = record.accesses().map(|access| &*access.what).collect();
    assert_eq!(record.openings, 35);
    assert_eq!(kept.len(), FIRST_ACCESSES + LAST_ACCESSES);
    assert_eq!(
        (kept[0], kept[9], kept[10], kept[19]),
        ("read 0", "read 9", "read 25", "read 34")
    );
}

#[tokio::test]
async fn a_subject_shows_only_once_the_message_was_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    leave(&store, deposit(2, 100)).await.unwrap();
    let asked = [reference(2), reference(1), reference(9)];
    assert_eq!(store.subjects(&asked).await, [None, None, None]);
    store
        .open_message(&reference(1), access("read"))
        .await
        .unwrap();
    let told = store.subjects(&asked).await;
    assert_eq!(told, [None, Some(format!("{CANARY} about 1")), None]);
}

#[tokio::test]
async fn the_same_message_and_recipient_is_one_deposit() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    store
        .open_message(&reference(1), access("read"))
        .await
        .unwrap();

    // Under its own reference: the new expiry counts.
    let mut again = deposit(1, 100);
    again.expires = START + 40 * DAY;
    assert!(leave(&store, again).await.unwrap().again);
    let record = store.record(&reference(1)).unwrap();
    assert_eq!(record.expires, START + 40 * DAY);

    // Under another one: that one counts, and what is known of the openings stays.
    let mut again = deposit(1, 100);
    again.reference = reference(2);
    let left = leave(&store, again).await.unwrap();
    assert_eq!((left.reference, left.again), (reference(2), true));
    assert!(store.record(&reference(1)).is_none());
    let record = store.record(&reference(2)).unwrap();
    assert_eq!((record.openings, record.state), (1, DepositState::Opened));
    let body = store
        .open_message(&reference(2), access("read"))
        .await
        .unwrap();
    assert_eq!(body, content(1, 100));
    assert_eq!((store.len(), contents(directory.path())), (1, 1));
    assert_eq!(store.shared.slots.in_use(), 1);

    // Another recipient's is another one; another's reference is not to be had.
    let mut other = deposit(1, 100);
    other.recipient = address("lee");
    let error = leave(&store, {
        let mut other = other.clone();
        other.reference = reference(2);
        other
    });
    assert!(matches!(error.await, Err(StoreError::Taken)));
    other.reference = reference(3);
    assert!(!leave(&store, other).await.unwrap().again);
    assert_eq!(store.len(), 2);
}

#[tokio::test]
async fn the_secret_is_kept_as_a_hash() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, with_secret(deposit(1, 10))).await.unwrap();
    let record = store.record(&reference(1)).unwrap();
    let phc = record.secret.as_deref().unwrap();
    assert!(phc.starts_with("$argon2id$"));
    assert!(secret::matches(phc, &format!("{CANARY} secret")));
    assert_eq!(record.phone.as_ref().unwrap().ending(), "23");
}

#[tokio::test]
async fn bounds_refuse_clearly_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let knobs = Arc::clone(&disk.0);
    let mut narrow = options(directory.path());
    narrow.bounds = Bounds {
        deposits: 3,
        per_mailbox: 2,
        message_octets: 1000,
    };
    let clock = Clock::starting_at(START);
    let store = Store::open_on(Arc::new(disk), narrow, clock).await.unwrap();
    let refused = |error: StoreError| (error.code(), error.to_string());

    let error = leave(&store, deposit(1, 1001)).await.unwrap_err();
    assert_eq!(refused(error).0, Code::Refused);
    let mut late = deposit(1, 10);
    late.expires = START;
    let error = leave(&store, late).await.unwrap_err();
    assert!(matches!(error, StoreError::Expiry));
    knobs.taken.store((1 << 40) - (1 << 30), Ordering::SeqCst);
    let error = leave(&store, deposit(1, 10)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full));
    assert_eq!(refused(error).0, Code::Temporary);
    knobs.taken.store(0, Ordering::SeqCst);

    leave(&store, deposit(1, 1000)).await.unwrap();
    leave(&store, deposit(2, 10)).await.unwrap();
    let error = leave(&store, deposit(3, 10)).await.unwrap_err();
    assert!(matches!(error, StoreError::MailboxFull));
    // What is there already is not one more.
    assert!(leave(&store, deposit(2, 10)).await.unwrap().again);
    let other = |number| {
        let mut other = deposit(number, 10);
        other.recipient = address("lee");
        other
    };
    leave(&store, other(4)).await.unwrap();
    let error = leave(&store, other(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooMany));

    // Fewer and more octets than announced, and a deposit that is given up.
    let by = By {
        actor: String::new(),
        reason: String::new(),
    };
    store.retract(reference(4), by).await.unwrap();
    for octets in [9, 11] {
        let mut incoming = store.deposit(other(6)).await.unwrap();
        let body = bytes::Bytes::from(vec![b'x'; octets]);
        let written = incoming.write(body).await;
        assert_eq!(written.is_ok(), octets == 9);
        assert!(matches!(incoming.finish().await, Err(StoreError::Length)));
    }
    drop(store.deposit(other(6)).await.unwrap());
    assert_eq!(contents(directory.path()), 2);
    assert_eq!(store.shared.slots.in_use(), 2);
}

/// Ended deposits take rows for as long as they are listed: a full table is not a word for ever.
#[tokio::test]
async fn as_many_rows_as_there_may_be_is_temporary() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 10)).await.unwrap();
    leave(&store, deposit(2, 10)).await.unwrap();
    store.retract(reference(1), by("kim")).await.unwrap();
    let begun = store.deposit(deposit(4, 10)).await.unwrap();
    store.tables().narrow(2);
    let error = store.deposit(deposit(3, 10)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooMany));
    assert_eq!(error.code(), Code::Temporary);
    // What is there already is not one more, and what had begun leaves nothing.
    assert!(leave(&store, deposit(2, 10)).await.unwrap().again);
    let mut begun = begun;
    begun
        .write(bytes::Bytes::from(content(4, 10)))
        .await
        .unwrap();
    let error = begun.finish().await.unwrap_err();
    assert_eq!(error.code(), Code::Temporary);
    let lost_the_race = StoreError::Table(TableError::Full("deposits".to_owned()));
    assert_eq!(lost_the_race.code(), Code::Temporary);
    assert_eq!(contents(directory.path()), 1);
    assert_eq!(store.shared.slots.in_use(), 1);
}

#[tokio::test]
async fn everything_is_there_after_a_restart_under_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=3 {
        leave(&store, deposit(number, 1000)).await.unwrap();
    }
    store
        .open_message(&reference(2), access("read"))
        .await
        .unwrap();
    let before: Vec<_> = store.mailbox(&address("kim"));
    store.close().await;
    drop(store);

    let mut wrong = options(directory.path());
    wrong.master_key = key(2);
    let opened = Store::open(wrong, Clock::starting_at(START)).await;
    assert!(matches!(opened, Err(StoreError::WrongKey)));

    let store = open(directory.path()).await;
    assert_eq!(store.mailbox(&address("kim")), before);
    assert!(store.found().damaged.is_empty());
    assert_eq!(store.found().slots_cleared, 0);
    assert_eq!(store.owed(), 1);
    let body = store
        .open_message(&reference(3), access("read"))
        .await
        .unwrap();
    assert_eq!(body, content(3, 1000));
    let locked = Store::open(options(directory.path()), Clock::starting_at(START)).await;
    assert!(matches!(locked, Err(StoreError::Locked(_))));
}

#[tokio::test]
async fn deposits_are_listed_by_what_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=7 {
        let mut one = deposit(number, 10);
        if number > 5 {
            one.recipient = address("lee");
            one.level = Level::Sealed;
        }
        leave(&store, one).await.unwrap();
    }
    let filter = crate::proto::link::PickupFilter {
        recipient: Some(address("kim").to_string().to_uppercase()),
        state: Some(DepositState::Waiting),
        limit: 2,
        ..Default::default()
    };
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let mut filter = filter.clone();
        filter.after = next;
        let page = store.list(filter).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.iter().map(|item| item.queue_id.get()));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, [1, 2, 3, 4, 5]);
    let name = reference(6).to_string().to_lowercase();
    let shown = store.show(&name);
    assert_eq!(shown.await.unwrap()[0].item.level, Level::Sealed);
    let shown = store.show(&MessageId::new(3).to_string()).await.unwrap();
    assert_eq!(shown[0].item.reference, reference(3));
    for name in ["", "nothing", "0000000000000000", "0000000000000"] {
        assert!(matches!(store.show(name).await, Err(StoreError::Unknown)));
    }
}

#[tokio::test]
async fn what_is_streamed_is_the_content_and_breaks_off_where_it_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for (number, octets) in [(1, 0), (2, 1), (3, 65_536), (4, 65_537), (5, 300_000)] {
        leave(&store, deposit(number, octets)).await.unwrap();
        let access = access("download");
        let mut streamed = store
            .stream_message(&reference(number), access)
            .await
            .unwrap();
        assert_eq!(streamed.octets, octets as u64);
        assert_eq!(store.record(&reference(number)).unwrap().openings, 1);
        // Its file goes away meanwhile.
        let path = store.shared.contents.path(reference(number));
        let sealed = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut body = Vec::new();
        while let Some(chunk) = streamed.from.recv().await {
            body.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(body, content(number, octets));
        std::fs::write(&path, sealed).unwrap();
    }
    let path = store.shared.contents.path(reference(5));
    let mut sealed = std::fs::read(&path).unwrap();
    sealed[200_000] ^= 1;
    std::fs::write(&path, sealed).unwrap();
    let access = access("download");
    let mut streamed = store.stream_message(&reference(5), access).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = streamed.from.recv().await {
        chunks.push(chunk.is_ok());
    }
    assert_eq!(chunks, [true, true, true, false]);
    assert!(
        store
            .stream_message(&reference(9), super::support::access("x"))
            .await
            .is_err()
    );
}
