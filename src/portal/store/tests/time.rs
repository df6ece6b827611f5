//! What time brings about, with the time as an argument.

use std::time::Duration;

use super::super::*;
use super::support::*;
use crate::mail::Timestamp;
use crate::proto::link::{DepositState, Happening, ReportKind};

/// Everything that is due then.
async fn at(store: &Store, now: Timestamp) {
    while store.shared.do_due(now).await > 0 {}
}

/// Takes all mails out of the store: reminders as `None`, reports by their kind.
async fn mails(store: &Store) -> Vec<Option<ReportKind>> {
    let mut mails = Vec::new();
    while let Some(item) = store.next_owed(Lane::Mails).unwrap() {
        store.settle_owed(&item).await.unwrap();
        mails.push(match item.owed {
            Owed::Report(report) => Some(report.kind),
            Owed::Remind(_) | Owed::Event(_) => None,
        });
    }
    mails
}

#[tokio::test]
async fn who_does_not_open_is_reminded_once_and_the_author_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    leave(&store, deposit(2, 100)).await.unwrap();
    store
        .open_message(&reference(2), access("read"))
        .await
        .unwrap();
    events(&store).await;
    let soon = Duration::from_secs(60); // the clock of the store runs while we do
    at(&store, START + 7 * DAY - soon).await;
    assert_eq!(mails(&store).await, []);
    for _ in 0..2 {
        at(&store, START + 7 * DAY + soon).await;
    }
    assert_eq!(mails(&store).await, [None]);
    at(&store, START + 9 * DAY).await;
    assert_eq!(mails(&store).await, [Some(ReportKind::Unread)]);
    at(&store, START + 29 * DAY).await;
    assert_eq!((mails(&store).await.len(), store.len()), (0, 2));

    // The time is up: the keys go, the author of what nobody opened is told.
    at(&store, START + 30 * DAY).await;
    assert_eq!(mails(&store).await, [Some(ReportKind::ExpiredUnread)]);
    let told = events(&store).await;
    let mut opened: Vec<_> = told.iter().map(|event| event.opened_before).collect();
    opened.sort_unstable();
    assert_eq!(opened, [Some(false), Some(true)]);
    assert!(
        told.iter()
            .all(|event| event.event == Happening::PortalExpired)
    );
    assert_eq!((store.len(), store.shared.slots.in_use()), (0, 0));
    assert_eq!(contents(directory.path()), 0);

    // Listed for thirty days more, then gone.
    at(&store, START + 60 * DAY - soon).await;
    let listed = store.mailbox(&address("kim"));
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].state, DepositState::Expired);
    at(&store, START + 60 * DAY + soon).await;
    assert!(store.mailbox(&address("kim")).is_empty());
    assert!(store.record(&reference(1)).is_none());
    assert_eq!(store.shared.records.len(), 0);
}

#[tokio::test]
async fn an_extension_and_never_are_kept_to() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_with(directory.path(), |options| {
        options.reminders = Reminders::default();
    })
    .await;
    leave(&store, deposit(1, 100)).await.unwrap();
    store
        .extend(reference(1), START + 40 * DAY, false, by("ann"))
        .await
        .unwrap();
    at(&store, START + 39 * DAY).await;
    assert_eq!((store.len(), mails(&store).await.len()), (1, 0));
    at(&store, START + 40 * DAY).await;
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn what_is_due_happens_by_itself_also_what_became_due_while_nobody_ran() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut soon = deposit(1, 100);
    soon.expires = START + Duration::from_secs(3600);
    leave(&store, soon).await.unwrap();
    store.close().await;
    drop(store);
    let later = Clock::starting_at(START + Duration::from_secs(3600));
    let disk = Arc::new(TestDisk::default());
    let store = Store::open_on(disk, options(directory.path()), later)
        .await
        .unwrap();
    // Past its time it is not handed out, whether or not its key is gone yet.
    let opened = store.open_message(&reference(1), access("read")).await;
    assert!(matches!(
        opened,
        Err(OpenError::Ended(DepositState::Expired))
    ));
    store.owed_changed(Lane::Mails).await;
    // One that is due sooner than all others wakes the sleeper.
    let mut soon = deposit(2, 100);
    soon.expires = store.shared.now() + Duration::from_millis(300);
    leave(&store, soon).await.unwrap();
    store.owed_changed(Lane::Mails).await;
    let record = store.record(&reference(2)).unwrap();
    assert_eq!(record.state, DepositState::Expired);
}

#[tokio::test]
async fn an_outsider_hears_nothing_of_who_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut reply = deposit(1, 100);
    reply.answerable = false;
    leave(&store, reply).await.unwrap();
    at(&store, START + 9 * DAY).await;
    assert_eq!(mails(&store).await, [None], "the reminder alone");
    at(&store, START + 30 * DAY).await;
    assert_eq!(mails(&store).await, []);
    let told = events(&store).await;
    assert_eq!(told[0].event, Happening::PortalExpired);
}

#[tokio::test]
async fn what_is_not_true_any_more_is_not_owed_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=4 {
        leave(&store, deposit(number, 100)).await.unwrap();
    }
    at(&store, START + 9 * DAY).await;
    let mut owed = Vec::new();
    while let Some(item) = store.next_owed(Lane::Mails).unwrap() {
        store.settle_owed(&item).await.unwrap();
        owed.push(item.owed);
    }
    assert_eq!(owed.len(), 8);
    store
        .open_message(&reference(1), access("read"))
        .await
        .unwrap();
    store.retract(reference(2), by("ann")).await.unwrap();
    let mut again = deposit(3, 100);
    again.reference = reference(9);
    leave(&store, again).await.unwrap();
    let later = START + 50 * DAY;
    store
        .extend(reference(9), later, false, by("ann"))
        .await
        .unwrap();
    let mut told: Vec<_> = owed
        .iter()
        .filter_map(|owed| store.still_owed(owed))
        .map(|owed| match owed {
            Owed::Remind(it) => (it.queue_id.get(), Some(it.reference), it.expires),
            Owed::Report(it) => (it.queue_id.get(), None, it.expires),
            Owed::Event(event) => panic!("{event:?}"),
        })
        .collect();
    told.sort_unstable();
    let before = START + 30 * DAY;
    let expected = [
        (3, None, later),
        (3, Some(reference(9)), later),
        (4, None, before),
        (4, Some(reference(4)), before),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn no_key_outlives_its_time_because_too_much_is_owed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=2 {
        leave(&store, deposit(number, 100)).await.unwrap();
    }
    let full = |full: bool| {
        let mut waiting = store.shared.outbox.waiting();
        let events = waiting.entry(Lane::Events).or_default();
        match full {
            true => events.extend(1..=MAX_OWED as u64),
            false => events.clear(),
        }
    };
    full(true);
    let hour = Duration::from_secs(3600);
    let shortened = store.extend(reference(1), START + 2 * hour, true, by("ann"));
    assert!(shortened.await.unwrap().changed);
    // The news of the order is due and cannot be owed; nor can, later, reminder and report.
    at(&store, START + hour).await;
    assert_eq!((store.len(), store.shared.slots.in_use()), (2, 2));
    at(&store, START + 3 * hour).await;
    assert_eq!((store.len(), store.shared.slots.in_use()), (1, 1));
    for days in [8, 9, 30] {
        at(&store, START + days * DAY).await;
    }
    assert_eq!((store.len(), store.shared.slots.in_use()), (0, 0));
    assert_eq!(contents(directory.path()), 0);
    let state = |number| store.record(&reference(number)).unwrap().state;
    assert_eq!([1, 2].map(state), [DepositState::Expired; 2]);

    // When there is room again, all of it is told, in order.
    full(false);
    at(&store, START + 31 * DAY).await;
    let mut told: Vec<_> = (events(&store).await.iter())
        .map(|event| (event.queue_id.unwrap().get(), event.event))
        .collect();
    told.sort_by_key(|(id, _)| *id);
    let expected = [
        (1, Happening::Extended),
        (1, Happening::PortalExpired),
        (2, Happening::PortalExpired),
    ];
    assert_eq!(told, expected);
    let unread = Some(ReportKind::ExpiredUnread);
    assert_eq!(mails(&store).await, [unread, unread]);
}
