//! Retracted, withdrawn, extended; and a disk that fails meanwhile.

use std::sync::atomic::Ordering;

use super::super::*;
use super::support::*;
use crate::mail::MessageId;
use crate::proto::link::{DepositState, Happening, PickupOrder};

#[tokio::test]
async fn a_retraction_proves_whether_it_was_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    leave(&store, with_secret(deposit(2, 100))).await.unwrap();
    store
        .open_message(&reference(1), access("read"))
        .await
        .unwrap();
    events(&store).await;
    for (number, opened) in [(1, true), (2, false)] {
        let ordered = store.retract(reference(number), by("ann")).await.unwrap();
        assert!(ordered.changed);
        assert_eq!(ordered.opened_before, opened);
        assert_eq!(ordered.item.state, DepositState::Retracted);
        let event = events(&store).await.remove(0);
        assert_eq!(event.event, Happening::Retracted);
        assert_eq!(event.opened_before, Some(opened));
        assert_eq!(event.actor.as_deref(), Some("ann"));
        assert_eq!(event.reasons, ["sent to the wrong person"]);
        let opening = store.open_message(&reference(number), access("read")).await;
        let Err(OpenError::Ended(DepositState::Retracted)) = opening else {
            panic!("{opening:?}");
        };
        // Once more changes nothing, and says the same.
        let again = store.retract(reference(number), by("bob")).await.unwrap();
        assert_eq!((again.changed, again.opened_before), (false, opened));
        let detail = store.show(&reference(number).to_string()).await.unwrap();
        assert_eq!(detail[0].opened_before_end, Some(opened));
        assert_eq!(detail[0].order.as_ref().unwrap().actor, "ann");
    }
    assert_eq!(
        (store.shared.slots.in_use(), contents(directory.path())),
        (0, 0)
    );
    // It stays listed, without what the sender gave, and does not come back.
    assert_eq!(store.mailbox(&address("kim")).len(), 2);
    let record = store.record(&reference(2)).unwrap();
    assert_eq!((&record.secret, &record.phone), (&None, &None));
    let mut again = deposit(2, 100);
    again.reference = reference(3);
    let left = leave(&store, again).await;
    assert!(matches!(
        left,
        Err(StoreError::Ended(DepositState::Retracted))
    ));
    assert!(events(&store).await.is_empty());
}

#[tokio::test]
async fn what_the_line_takes_back_may_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let (id, kim) = (MessageId::new(1), address("kim"));
    store.withdraw(id, &address("lee")).await.unwrap();
    store.withdraw(MessageId::new(2), &kim).await.unwrap();
    assert_eq!(store.len(), 1);
    for _ in 0..2 {
        store.withdraw(id, &kim).await.unwrap();
        assert_eq!(store.len(), 0);
    }
    assert!(store.mailbox(&kim).is_empty());
    let state = store.record(&reference(1)).unwrap().state;
    assert_eq!(state, DepositState::Withdrawn);
    let mut again = deposit(1, 100);
    again.reference = reference(2);
    assert!(!leave(&store, again).await.unwrap().again);
    assert_eq!(store.mailbox(&kim).len(), 1);
    assert!(events(&store).await.is_empty());
}

#[tokio::test]
async fn all_recipients_of_a_message_or_one_are_meant() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for (number, name) in [(1, "kim"), (2, "lee"), (3, "max")] {
        let mut one = deposit(number, 10);
        one.queue_id = MessageId::new(9);
        one.recipient = address(name);
        leave(&store, one).await.unwrap();
    }
    let mut order = PickupOrder {
        name: MessageId::new(9).to_string(),
        recipient: Some(address("lee").to_string()),
        until: Some(START + 50 * DAY),
        actor: "ann".to_owned(),
        reason: String::new(),
    };
    let extended = store.extend_named(order.clone()).await.unwrap();
    assert_eq!(extended.len(), 1);
    assert_eq!(extended[0].item.expires, START + 50 * DAY);
    let event = events(&store).await.remove(0);
    assert_eq!(event.event, Happening::Extended);
    order.until = Some(START);
    let past = store.extend_named(order.clone()).await;
    assert!(matches!(past, Err(StoreError::Expiry)));
    order.recipient = None;
    let retracted = store.retract_named(order.clone()).await.unwrap();
    assert_eq!(retracted.iter().filter(|one| one.changed).count(), 3);
    order.until = Some(START + 60 * DAY);
    let extended = store.extend_named(order).await.unwrap();
    assert!(extended.iter().all(|one| !one.changed));
}

#[tokio::test]
async fn after_a_slot_could_not_be_made_durable_nothing_more_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (store, knobs) = open_knobs(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    knobs.fail_slots.store(true, Ordering::SeqCst);
    let retracted = store.retract(reference(1), by("ann")).await;
    assert!(matches!(retracted, Err(StoreError::Io { .. })));
    assert!(*store.failure().borrow());
    knobs.fail_slots.store(false, Ordering::SeqCst);
    let left = leave(&store, deposit(2, 100)).await;
    assert!(matches!(left, Err(StoreError::Failed)));
    store.close().await;
    // The next start finishes what was ordered, and tells it.
    let store = open(directory.path()).await;
    assert_eq!(store.shared.slots.in_use(), 0);
    assert_eq!(events(&store).await[0].event, Happening::Retracted);
}

#[tokio::test]
async fn looks_of_programs_are_logged_so_often_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let before = store.record(&reference(1)).unwrap();
    let mut look = access("read");
    look.automated = vec!["no pause between pages".to_owned()];
    for _ in 0..100 {
        store.note_probe(&reference(1), look.clone()).await;
    }
    store.note_probe(&reference(9), look).await;
    assert_eq!(store.record(&reference(1)).unwrap(), before);
    let events = events(&store).await;
    assert_eq!(events.len(), 20);
    assert!(events.iter().all(|event| event.event == Happening::Probed));
    assert_eq!(events[0].reasons, ["no pause between pages"]);
}
