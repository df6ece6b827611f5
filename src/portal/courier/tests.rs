//! A line that is none, on a real socket.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Notify;

use super::*;
use crate::mail::{Address, Language, Level, MessageId, Timestamp};
use crate::portal::store::{Bounds, Reminders, StoreOptions};
use crate::proto::link::{Answer, Code, Decoder, Happening, PickupEvent, Refusal, encode};

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
    let master_key = crate::journal::MasterKey::generate().unwrap();
    let options = StoreOptions {
        directory: directory.join("portal"),
        master_key: crate::journal::MasterKey::from_base64(&master_key).unwrap(),
        bounds: Bounds::default(),
        reminders: Reminders::default(),
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
