//! Retracted, withdrawn, extended; and a disk that fails meanwhile.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::super::*;
use super::support::*;
use crate::mail::{Deposit, Level, MessageId};
use crate::proto::link::{Code, DepositState, Happening, PickupOrder};

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
    // Nor may it go another way: the line is told so whatever it asks.
    let (id, kim) = (MessageId::new(2), address("kim"));
    for _ in 0..2 {
        let error = store.withdraw(id, &kim).await.unwrap_err();
        assert_eq!(error.code(), Code::Retracted);
        assert!(store.was_retracted(id, &kim));
    }
    assert!(!store.was_retracted(id, &address("lee")));
    assert!(!store.was_retracted(MessageId::new(3), &kim));
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
        may_shorten: false,
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

#[tokio::test]
async fn what_was_taken_back_may_come_again_under_its_reference() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    store
        .open_message(&reference(1), access("read"))
        .await
        .unwrap();
    let (id, kim) = (MessageId::new(1), address("kim"));
    store.withdraw(id, &kim).await.unwrap();
    assert!(!leave(&store, deposit(1, 100)).await.unwrap().again);
    assert!(leave(&store, deposit(1, 100)).await.unwrap().again);
    // That it was opened once is not forgotten.
    let record = store.record(&reference(1)).unwrap();
    assert_eq!((record.state, record.openings), (DepositState::Opened, 1));
    let body = store.open_message(&reference(1), access("read")).await;
    assert_eq!(body.unwrap(), content(1, 100));
    assert_eq!(
        (store.shared.slots.in_use(), contents(directory.path())),
        (1, 1)
    );
    // Another's reference stays another's, also when that was taken back.
    store.withdraw(id, &kim).await.unwrap();
    let mut other = deposit(1, 100);
    other.recipient = address("lee");
    let taken = leave(&store, other).await;
    assert!(matches!(taken, Err(StoreError::Taken)));
}

#[tokio::test]
async fn a_withdrawal_means_what_is_still_arriving() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (id, kim) = (MessageId::new(1), address("kim"));
    for other in [false, true] {
        let mut incoming = store.deposit(with_secret(deposit(1, 100))).await.unwrap();
        let body = Bytes::from(content(1, 100));
        incoming.write(body).await.unwrap();
        let whom = if other { address("lee") } else { kim.clone() };
        store.withdraw(id, &whom).await.unwrap();
        let left = incoming.finish().await;
        match other {
            true => assert!(left.is_ok()),
            false => assert!(matches!(left, Err(StoreError::Overtaken))),
        }
        assert_eq!(store.len(), usize::from(other));
    }
}

#[tokio::test]
async fn an_order_outlives_the_next_deposit_and_shortens_only_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (store, knobs) = open_knobs(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let extend = |until, may_shorten| store.extend(reference(1), until, may_shorten, by("ann"));
    let expires = || store.record(&reference(1)).unwrap().expires;
    extend(START + 60 * DAY, false).await.unwrap();
    // No room is needed for what is there.
    knobs.taken.store(1 << 40, Ordering::SeqCst);
    leave(&store, deposit(1, 100)).await.unwrap();
    assert!(matches!(
        leave(&store, deposit(2, 100)).await,
        Err(StoreError::Full)
    ));
    knobs.taken.store(0, Ordering::SeqCst);
    assert_eq!(expires(), START + 60 * DAY);
    let error = extend(START + 20 * DAY, false).await.unwrap_err();
    assert!(matches!(error, StoreError::Shorter(_)));
    assert!(error.to_string().contains(&expires().to_rfc3339()));
    let far = extend(START + 400 * DAY, true).await;
    assert!(matches!(far, Err(StoreError::TooFar)));
    assert_eq!(expires(), START + 60 * DAY);
    extend(START + 20 * DAY, true).await.unwrap();
    let mut again = deposit(1, 100);
    leave(&store, again.clone()).await.unwrap();
    assert_eq!(expires(), START + 20 * DAY);
    // A later order does not undo that the time was ordered.
    extend(START + 25 * DAY, false).await.unwrap();
    leave(&store, again.clone()).await.unwrap();
    assert_eq!(expires(), START + 25 * DAY);
    again.reference = reference(2);
    leave(&store, again).await.unwrap();
    let record = store.record(&reference(2)).unwrap();
    assert_eq!(record.expires, START + 25 * DAY);
    assert_eq!(record.order.as_ref().unwrap().actor, "ann");
}

#[tokio::test]
async fn an_order_for_several_recipients_is_for_all_of_them_or_for_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for (number, days) in [(1, 30), (2, 50), (3, 30)] {
        let mut one = deposit(number, 100);
        one.queue_id = MessageId::new(9);
        one.recipient = address(&format!("kim{number}"));
        one.expires = START + days * DAY;
        leave(&store, one).await.unwrap();
    }
    let order = |may_shorten| PickupOrder {
        name: MessageId::new(9).to_string(),
        recipient: None,
        until: Some(START + 40 * DAY),
        may_shorten,
        actor: "ann".to_owned(),
        reason: String::new(),
    };
    let all = || [1, 2, 3].map(|number| store.record(&reference(number)).unwrap().expires);
    let refused = store.extend_named(order(false)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Shorter(at) if at == START + 50 * DAY));
    assert_eq!(all(), [30, 50, 30].map(|days| START + days * DAY));
    assert!(events(&store).await.is_empty());
    // What has ended does not stand in the way of the others.
    store.retract(reference(2), by("ann")).await.unwrap();
    events(&store).await;
    let done = store.extend_named(order(false)).await.unwrap();
    let changed: Vec<bool> = done.iter().map(|it| it.changed).collect();
    assert_eq!(changed.iter().filter(|it| **it).count(), 2);
    assert_eq!(all(), [40, 50, 40].map(|days| START + days * DAY));
    assert_eq!(events(&store).await.len(), 2);
}

#[tokio::test]
async fn what_was_opened_and_answered_under_another_name_is_not_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (one, other) = (reference(1), reference(2));
    let again = |name| Deposit {
        reference: name,
        ..deposit(1, 100)
    };
    leave(&store, again(one)).await.unwrap();
    store.open_message(&one, access("read")).await.unwrap();
    let kim = address("kim");
    store.withdraw(MessageId::new(1), &kim).await.unwrap();
    // Another policy, and its notice calls it otherwise.
    leave(&store, again(other)).await.unwrap();
    let record = store.record(&other).unwrap();
    assert_eq!((record.openings, record.state), (1, DepositState::Opened));
    store.open_message(&other, access("print")).await.unwrap();
    let reply = NewReply {
        answers: other,
        level: Level::Protected,
        content: Bytes::from(content(7, 500)),
    };
    let ticket = store.reply(reply).await.unwrap();
    // The first name once more, whose row was taken back, in the place of the second, which lives.
    leave(&store, again(one)).await.unwrap();
    assert!(store.record(&other).is_none());
    let record = store.record(&one).unwrap();
    assert_eq!((record.openings, record.accesses().count()), (2, 2));
    assert_eq!(store.replies(&one)[0].ticket, ticket);
    assert!(store.replies(&other).is_empty());
    let sent = store.settle_reply(ticket, ReplyState::Sent);
    sent.await.unwrap();
    let retracted = store.retract(one, by("ann")).await.unwrap();
    assert!(retracted.opened_before);
    let told = events(&store).await;
    let opened = told.iter().filter(|it| it.event == Happening::Opened);
    assert_eq!(opened.count(), 2, "each opening once");
    // The reply goes when the deposit goes.
    while store.shared.do_due(START + 100 * DAY).await > 0 {}
    assert!(store.record(&one).is_none() && store.replies(&one).is_empty());
}

#[tokio::test]
async fn news_that_was_not_owed_is_owed_later_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 1..=2 {
        leave(&store, deposit(number, 100)).await.unwrap();
    }
    // As a crash leaves it, or too much that is owed: the row, and nothing after it.
    let half = |number: u64, ended: bool| {
        let mut record = (*store.record(&reference(number)).unwrap()).clone();
        record.note(access("read"));
        if ended {
            record.end(DepositState::Retracted, START);
        }
        record
    };
    store.shared.save(&half(1, true)).await.unwrap();
    store.shared.save(&half(2, false)).await.unwrap();
    assert!(events(&store).await.is_empty());
    while store.shared.do_due(START + DAY).await > 0 {}
    let told = |events: Vec<crate::proto::link::PickupEvent>| {
        let mut told: Vec<_> = events
            .iter()
            .map(|it| (it.queue_id.unwrap().get(), it.event))
            .collect();
        told.sort_by_key(|(id, _)| *id);
        told
    };
    let expected = [
        (1, Happening::Opened),
        (1, Happening::Retracted),
        (2, Happening::Opened),
    ];
    assert_eq!(told(events(&store).await), expected);
    assert_eq!(store.shared.slots.in_use(), 1);
    // Once is enough.
    while store.shared.do_due(START + DAY).await > 0 {}
    assert!(events(&store).await.is_empty());

    store.shared.save(&half(2, false)).await.unwrap();
    store.close().await;
    let store = open(directory.path()).await;
    let again = events(&store).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].opened_before, Some(true));
}
