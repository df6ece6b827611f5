//! Replies, and what outsiders begin.

use bytes::Bytes;

use super::super::*;
use super::support::*;
use crate::mail::{Final, Level, MessageId};
use crate::proto::link::Travelled;

fn reply(number: u64) -> NewReply {
    NewReply {
        answers: reference(1),
        level: Level::Protected,
        content: Bytes::from(content(number, 500)),
    }
}

#[tokio::test]
async fn a_reply_goes_to_the_author_at_the_level_of_what_it_answers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut one = deposit(1, 100);
    one.level = Level::Confidential;
    leave(&store, one).await.unwrap();
    let first = store.reply(reply(1)).await.unwrap();
    let second = store.reply(reply(2)).await.unwrap();
    assert!(second > first);
    let next = store.next_reply().unwrap().unwrap();
    assert_eq!((next.ticket, next.octets), (first, 500));
    assert_eq!((next.from, next.to), (address("kim"), address("author")));
    assert_eq!(next.level, Level::Confidential);
    assert_eq!(next.queue_id, Some(MessageId::new(1)));
    assert_eq!(store.reply_content(first).await.unwrap(), content(1, 500));
    store.settle_reply(first, ReplyState::Sent).await.unwrap();
    let next = store.next_reply().unwrap().unwrap();
    assert_eq!(next.ticket, second);
    store
        .settle_reply(second, ReplyState::Failed)
        .await
        .unwrap();
    let states = || {
        let views = store.replies(&reference(1)).into_iter();
        views.map(|view| view.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [ReplyState::Sent, ReplyState::Failed]);
    assert!(store.next_reply().unwrap().is_none());
    assert!(store.reply_content(first).await.is_err());
    assert_eq!(
        (store.shared.slots.in_use(), contents(directory.path())),
        (1, 1)
    );
    let detail = store.show(&reference(1).to_string()).await.unwrap();
    assert_eq!(detail[0].replies, 2);
}

#[tokio::test]
async fn a_reply_waits_through_a_restart_and_numbers_do_not_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let first = store.reply(reply(1)).await.unwrap();
    let outside = store
        .begin(
            address("out"),
            address("in"),
            Level::Sealed,
            reply(2).content,
        )
        .await
        .unwrap();
    store.close().await;
    let store = open(directory.path()).await;
    assert_eq!(store.found().slots_cleared, 0);
    assert_eq!(store.reply_content(outside).await.unwrap(), content(2, 500));
    assert!(store.reply(reply(3)).await.unwrap() > outside && outside > first);
    // What answers nothing is forgotten as soon as it is sent.
    store.settle_reply(outside, ReplyState::Sent).await.unwrap();
    let again = store.settle_reply(outside, ReplyState::Sent).await;
    assert!(matches!(again, Err(StoreError::Unknown)));
}

#[tokio::test]
async fn replies_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_with(directory.path(), |options| {
        options.bounds.message_octets = 500;
    })
    .await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let mut large = reply(1);
    large.content = Bytes::from(vec![b'x'; 501]);
    let kept = store.reply(large).await;
    assert!(matches!(kept, Err(StoreError::TooLarge { most: 500 })));
    for number in 0..MAX_REPLIES as u64 {
        store.reply(reply(number)).await.unwrap();
    }
    let kept = store.reply(reply(0)).await;
    assert!(matches!(kept, Err(StoreError::Backlog)));
    let mut nowhere = reply(0);
    nowhere.answers = reference(9);
    let kept = store.reply(nowhere).await;
    assert!(matches!(kept, Err(StoreError::Unknown)));
}

#[tokio::test]
async fn a_reply_that_fails_at_the_line_is_shown_as_failed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let travelled = |id, ended| Travelled {
        queue_id: MessageId::new(id),
        ended,
        grade: None,
        reply: true,
    };
    let mut tickets = Vec::new();
    for number in 1..=4 {
        tickets.push(store.reply(reply(number)).await.unwrap());
    }
    let taken = |store: &Store, at: usize| {
        let (store, ticket) = (store.clone(), tickets[at]);
        let id = MessageId::new(101 + at as u64);
        async move { store.reply_taken(ticket, id).await.unwrap() }
    };
    for at in [0, 1, 3] {
        taken(&store, at).await;
    }
    // Told before the line's answer was noted, which may be by another process.
    let early = store.reply_travelled(&travelled(103, Final::Expired)).await;
    assert!(early.unwrap());
    store.close().await;
    let store = open(directory.path()).await;
    taken(&store, 2).await;
    let news = [
        (101, Final::Delivered),
        (102, Final::Bounced),
        // None waits: it is nobody's that could be asked for.
        (9, Final::Bounced),
    ];
    for (id, ended) in news {
        let heard = store.reply_travelled(&travelled(id, ended)).await;
        assert!(heard.unwrap());
    }
    // The line's answer a second time takes nothing back.
    taken(&store, 2).await;
    let mut code = travelled(7, Final::Bounced);
    code.reply = false;
    assert!(!store.reply_travelled(&code).await.unwrap());
    let states = |store: &Store| {
        let views = store.replies(&reference(1)).into_iter();
        views.map(|view| view.state).collect::<Vec<_>>()
    };
    let expected = [
        ReplyState::Sent,
        ReplyState::Failed,
        ReplyState::Failed,
        ReplyState::Sent,
    ];
    assert_eq!(states(&store), expected);
    store.close().await;
    assert_eq!(states(&open(directory.path()).await), expected);
}

#[tokio::test]
async fn what_became_of_others_is_heard_while_a_reply_waits() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let begin = |number| {
        let content = Bytes::from(content(number, 500));
        store.begin(address("out"), address("in"), Level::Protected, content)
    };
    let travelled = async |id, ended| {
        let travelled = Travelled {
            queue_id: MessageId::new(id),
            ended,
            grade: None,
            reply: true,
        };
        store.reply_travelled(&travelled).await
    };
    let (first, answer) = (
        begin(1).await.unwrap(),
        store.reply(reply(2)).await.unwrap(),
    );
    let other = store.reply(reply(3)).await.unwrap();
    store.reply_taken(first, MessageId::new(101)).await.unwrap();
    // Nobody can ask for the first; the line has taken the answer, which is not noted yet.
    for (id, ended) in [
        (101, Final::Bounced),
        (102, Final::Bounced),
        (103, Final::Bounced),
        (103, Final::Delivered), // the last word
    ] {
        assert!(travelled(id, ended).await.unwrap());
    }
    let ends = &store.shared.replies.ends;
    assert_eq!(ends.len(), 2);
    store
        .reply_taken(answer, MessageId::new(102))
        .await
        .unwrap();
    assert_eq!(ends.len(), 1);
    store.reply_taken(other, MessageId::new(103)).await.unwrap();
    assert_eq!(ends.len(), 0, "none waits: none is one's");
    let views = store.replies(&reference(1)).into_iter();
    let states: Vec<_> = views.map(|view| view.state).collect();
    assert_eq!(states, [ReplyState::Failed, ReplyState::Sent]);
    // Known by name from now on.
    assert!(travelled(102, Final::Delivered).await.unwrap());
    assert_eq!(store.replies(&reference(1))[0].state, ReplyState::Sent);
    assert_eq!(ends.len(), 0);
}

#[tokio::test]
async fn of_ends_that_nobody_asked_for_the_oldest_go_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let ends = &store.shared.replies.ends;
    for id in [300, 2, 9, 301, 9] {
        let id = MessageId::new(id);
        ends.note(id, ReplyState::Failed, 3).await.unwrap();
    }
    let kept = [2, 9, 300, 301].map(|id| ends.has_failed(MessageId::new(id)).unwrap());
    assert_eq!(kept, [false, true, true, true]);
    assert_eq!(ends.len(), 3);
}

#[tokio::test]
async fn what_stands_in_the_way_can_be_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    leave(&store, deposit(1, 100)).await.unwrap();
    let first = store.reply(reply(1)).await.unwrap();
    let second = store.reply(reply(2)).await.unwrap();
    let next = store.next_reply_but(&[first].into()).unwrap().unwrap();
    assert_eq!(next.ticket, second);
    let event = store.next_owed(Lane::Events).unwrap().unwrap();
    let aside = [event.ticket].into();
    let next = store.next_owed_but(Lane::Events, &aside).unwrap().unwrap();
    assert!(next.ticket > event.ticket);
}
