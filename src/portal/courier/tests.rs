//! A line that is none, on a real socket.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Notify;

use super::*;
use crate::mail::{
    Address, Deposit, Language, Level, MessageId, PickupWishes, Reference, Timestamp,
};
use crate::portal::store::{Bounds, Reminders, StoreOptions};
use crate::proto::link::{Access, Answer, Decoder, Happening, PickupEvent, Refusal, encode};

/// What the line was asked, and what it is to say: `Ok` once nothing is left.
#[derive(Default)]
struct Line {
    asked: Mutex<Vec<(ToLine, Vec<u8>)>>,
    answers: Mutex<VecDeque<Code>>,
    told: Notify,
}

impl Line {
    fn start(path: &Path) -> (Arc<Self>, JoinSet<()>) {
        let (line, listener) = (Arc::new(Self::default()), UnixListener::bind(path).unwrap());
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&line);
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut decoder = Decoder::<ToLine>::default();
                let request = loop {
                    let mut buffer = [0; 1000];
                    let read = stream.read(&mut buffer).await.unwrap();
                    decoder.push(&buffer[..read]);
                    if let Some(request) = decoder.next_line().unwrap() {
                        break request;
                    }
                };
                let mut content = decoder.raw(request.octets());
                let rest = request.octets() - content.len() as u64;
                (&mut stream)
                    .take(rest)
                    .read_to_end(&mut content)
                    .await
                    .unwrap();
                let answer = serving.answers.lock().unwrap().pop_front();
                let answer = match (answer, &request) {
                    (Some(code), _) => encode(&Answer::<()>::Error(Refusal::new(code, "no"))),
                    (None, ToLine::Event(_)) => encode(&Answer::Ok(())),
                    (None, _) => encode(&Answer::Ok(Queued {
                        queue_id: MessageId::new(5),
                    })),
                };
                serving.asked.lock().unwrap().push((request, content));
                stream.write_all(&answer.unwrap()).await.unwrap();
                serving.told.notify_one();
            }
        });
        (line, tasks)
    }

    async fn asked(&self, many: usize) -> Vec<(ToLine, Vec<u8>)> {
        while self.asked.lock().unwrap().len() < many {
            self.told.notified().await;
        }
        self.asked.lock().unwrap().clone()
    }
}

async fn store(directory: &Path, clock: Clock) -> Store {
    reminding(directory, clock, Reminders::default()).await
}

async fn reminding(directory: &Path, clock: Clock, reminders: Reminders) -> Store {
    let master_key = crate::journal::MasterKey::generate().unwrap();
    let options = StoreOptions {
        directory: directory.join("portal"),
        master_key: crate::journal::MasterKey::from_base64(&master_key).unwrap(),
        bounds: Bounds::default(),
        reminders,
    };
    Store::open(options, clock).await.unwrap()
}

fn event(number: u64) -> PickupEvent {
    PickupEvent {
        event: Happening::LockedOut,
        time: Timestamp::from_secs(number),
        queue_id: None,
        message_id: None,
        author: None,
        recipient: None,
        factors: Vec::new(),
        client: None,
        reasons: Vec::new(),
        actor: None,
        opened_before: None,
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

async fn settled(store: &Store) {
    while store.owed() > 0 || store.next_reply().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_owed_is_told_in_order_however_often_it_must_be_tried() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let store = store(directory.path(), clock).await;
    for number in 1..=20 {
        store.owe(event(number)).await;
    }
    let socket = directory.path().join("mail.sock");
    // Nobody listens at first: nothing is lost, and it is tried again.
    let courier = Courier::start(&store, socket.clone(), clock);
    let (line, _tasks) = Line::start(&socket);
    let refusals = [Code::Temporary, Code::Refused, Code::Stopping];
    line.answers.lock().unwrap().extend(refusals);
    // The first one twice, the second refused for good, the third twice.
    let asked = line.asked(22).await;
    let times: Vec<u64> = asked
        .iter()
        .map(|(request, _)| match request {
            ToLine::Event(event) => event.time.as_secs(),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected: Vec<u64> = (1..=20).collect();
    expected.dedup();
    let mut told = times.clone();
    told.dedup();
    assert_eq!(told, expected);
    assert_eq!(times.len(), 22);
    settled(&store).await;
    drop(courier);
}

#[tokio::test]
async fn a_reply_goes_with_its_content_and_a_refusal_is_marked() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let store = store(directory.path(), clock).await;
    let socket = directory.path().join("mail.sock");
    let (line, _tasks) = Line::start(&socket);
    let _courier = Courier::start(&store, socket, clock);
    let body = Bytes::from(vec![b'\n'; 700_000]);
    let (from, to) = (address("out@there.example"), address("in@here.example"));
    let ticket = store
        .begin(from, to, Level::Confidential, body.clone())
        .await
        .unwrap();
    let asked = line.asked(1).await;
    let ToLine::Reply(reply) = &asked[0].0 else {
        panic!("{asked:?}");
    };
    assert_eq!((reply.ticket, reply.level), (ticket, Level::Confidential));
    assert_eq!(asked[0].1, body);
    settled(&store).await;
    line.answers.lock().unwrap().push_back(Code::Refused);
    let (from, to) = (address("out@there.example"), address("in@here.example"));
    store.begin(from, to, Level::Sealed, body).await.unwrap();
    line.asked(2).await;
    settled(&store).await;
    assert!(store.next_reply().unwrap().is_none());
}

#[tokio::test]
async fn a_reply_that_is_not_taken_for_now_is_given_up_after_days() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let store = store(directory.path(), clock).await;
    let socket = directory.path().join("mail.sock");
    let (line, _tasks) = Line::start(&socket);
    let (out, ours) = (address("out@there.example"), address("in@here.example"));
    let content = Bytes::from_static(b"x");
    let begin = || store.begin(out.clone(), ours.clone(), Level::Protected, content.clone());
    let ticket = begin().await.unwrap();
    let mut serving = Serving {
        store: store.clone(),
        socket: Arc::new(socket),
        clock,
        lane: Lane::Replies,
        aside: Aside::default(),
    };
    // Not now; and then it is taken.
    line.answers.lock().unwrap().push_back(Code::Temporary);
    assert!(matches!(serving.hand_on().await, Ok(Told::NotYet)));
    assert_eq!(store.next_reply().unwrap().unwrap().ticket, ticket);
    assert!(matches!(serving.hand_on().await, Ok(Told::Done)));
    assert!(store.next_reply().unwrap().is_none());
    // Not now, for as long as it may be.
    begin().await.unwrap();
    let mut refused = async |age: Duration| {
        serving.clock = Clock::starting_at(clock.now() + age);
        let answers = &line.answers;
        answers.lock().unwrap().push_back(Code::Temporary);
        let told = serving.hand_on().await.unwrap();
        matches!(told, Told::Done)
    };
    assert!(!refused(Duration::ZERO).await);
    assert!(!refused(aside::GIVEN_UP_AFTER / 2).await);
    assert!(store.next_reply().unwrap().is_some());
    assert!(refused(aside::GIVEN_UP_AFTER).await);
    assert!(store.next_reply().unwrap().is_none(), "its writer is told");
}

#[tokio::test]
async fn who_has_opened_a_message_is_not_reminded_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let reminders = Reminders {
        remind_after: Some(Duration::ZERO),
        unread_after: Some(Duration::ZERO),
    };
    let store = reminding(directory.path(), clock, reminders).await;
    let deposit = |number: u8| Deposit {
        reference: Reference::new([number; 10]),
        queue_id: MessageId::new(number.into()),
        recipient: address("kim@there.example"),
        author: address("jo@here.example"),
        answerable: true,
        author_name: None,
        message_id: "<1@here.example>".to_owned(),
        accepted: clock.now(),
        octets: 1,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: clock.now(),
        wishes: PickupWishes::default(),
        language: Language::En,
        expires: clock.now() + Duration::from_secs(1000),
    };
    // While the line is away.
    for number in 1..=2 {
        let mut incoming = store.deposit(deposit(number)).await.unwrap();
        incoming.write(Bytes::from_static(b"x")).await.unwrap();
        incoming.finish().await.unwrap();
    }
    while store.owed() < 4 {
        tokio::task::yield_now().await;
    }
    let access = Access {
        time: clock.now(),
        factors: Vec::new(),
        client: String::new(),
        automated: Vec::new(),
        what: "read".to_owned(),
    };
    let first = Reference::new([1; 10]);
    store.open_message(&first, access).await.unwrap();
    let socket = directory.path().join("mail.sock");
    let (line, _tasks) = Line::start(&socket);
    let _courier = Courier::start(&store, socket, clock);
    settled(&store).await;
    let mut told: Vec<_> = line.asked(3).await.into_iter().map(|it| it.0).collect();
    told.retain(|it| !matches!(it, ToLine::Event(_)));
    let second = MessageId::new(2);
    assert!(
        matches!(
            told.as_slice(),
            [ToLine::Remind(remind), ToLine::Report(report)]
                if remind.queue_id == second && report.queue_id == second
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_code_is_asked_for_directly() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let store = store(directory.path(), clock).await;
    let socket = directory.path().join("mail.sock");
    let courier = Courier::start(&store, socket.clone(), clock);
    let ask = AskCode {
        recipient: address("kim@there.example"),
        code: "12345678".to_owned(),
        language: Language::De,
        minutes: 15,
        author: None,
    };
    let nobody = courier.code(ask.clone()).await;
    assert!(matches!(nobody, Err(AskError::NoLine(_))));
    let (line, _tasks) = Line::start(&socket);
    let queued = courier.code(ask.clone()).await.unwrap();
    assert_eq!(queued.queue_id, MessageId::new(5));
    line.answers.lock().unwrap().push_back(Code::Temporary);
    let refused = courier.code(ask).await;
    assert!(matches!(refused, Err(AskError::Refused(refusal)) if refusal.code == Code::Temporary));
    assert_eq!(store.owed(), 0);
}
