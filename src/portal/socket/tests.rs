//! Requests over a real socket.

use std::sync::Mutex;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::journal::MasterKey;
use crate::mail::{Deposit, Final, Language, Level, MessageId, Reference, Timestamp};
use crate::portal::store::{Bounds, Reminders, StoreOptions};
use crate::proto::link::{
    Answer, Code, Decoder, Deposited, MAX_LINE_OCTETS, Ordered, PickupDetail, PickupOrder,
    PickupPage, ToPortal, encode,
};

#[derive(Default)]
struct Heard(Mutex<Vec<Travelled>>);

impl Hears for Heard {
    fn travelled(&self, travelled: &Travelled) {
        self.0.lock().unwrap().push(travelled.clone());
    }
    fn standing(&self, address: &Address) -> Standing {
        let known = address.local_part() == "kim";
        Standing {
            registered: known.then(|| Timestamp::from_secs(7)),
        }
    }
}

struct Portal {
    directory: tempfile::TempDir,
    heard: Arc<Heard>,
    _socket: PortalSocket,
}

impl Portal {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp::from_secs(1_800_000_000));
        let key = MasterKey::generate().unwrap();
        let options = StoreOptions {
            directory: directory.path().join("portal"),
            master_key: MasterKey::from_base64(&key).unwrap(),
            bounds: Bounds {
                message_octets: 300_000,
                ..Bounds::default()
            },
            reminders: Reminders::default(),
        };
        let store = Store::open(options, clock).await.unwrap();
        let heard = Arc::new(Heard::default());
        let hears: Arc<dyn Hears> = Arc::<Heard>::clone(&heard);
        let path = directory.path().join("portal.sock");
        let socket = PortalSocket::start(&path, store, hears, clock).unwrap();
        Self {
            directory,
            heard,
            _socket: socket,
        }
    }

    async fn connect(&self) -> UnixStream {
        let path = self.directory.path().join("portal.sock");
        UnixStream::connect(path).await.unwrap()
    }
}

async fn answer<T: DeserializeOwned>(stream: &mut UnixStream) -> Answer<T> {
    let mut decoder = Decoder::<Answer<T>>::default();
    loop {
        let mut octet = [0; 1];
        stream.read_exact(&mut octet).await.unwrap();
        decoder.push(&octet);
        if let Some(answer) = decoder.next_line().unwrap() {
            return answer;
        }
    }
}

async fn ask<T: DeserializeOwned>(
    stream: &mut UnixStream,
    request: &ToPortal,
    content: &[u8],
) -> Answer<T> {
    let mut octets = encode(request).unwrap();
    octets.extend_from_slice(content);
    stream.write_all(&octets).await.unwrap();
    answer(stream).await
}

fn deposit(number: u8, octets: u64) -> ToPortal {
    let now = Timestamp::from_secs(1_800_000_000);
    ToPortal::Deposit(Box::new(Deposit {
        reference: Reference::new([number; 10]),
        queue_id: MessageId::new(number.into()),
        recipient: Address::parse("kim@there.example").unwrap(),
        author: Address::parse("ann@here.example").unwrap(),
        answerable: true,
        author_name: None,
        message_id: "<1@here.example>".to_owned(),
        accepted: now,
        octets,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: now,
        wishes: Default::default(),
        language: Language::En,
        expires: now + Duration::from_secs(3600),
    }))
}

#[tokio::test]
async fn a_connection_takes_request_after_request() {
    let portal = Portal::start().await;
    let mut stream = portal.connect().await;
    let body = vec![b'\n'; 250_000];
    let request = deposit(1, 250_000);
    for again in [false, true] {
        let left = ask::<Deposited>(&mut stream, &request, &body).await;
        assert_eq!(
            left,
            Answer::Ok(Deposited {
                reference: Reference::new([1; 10]),
                again
            })
        );
    }
    // Too large: refused once it has all been read, and the connection goes on.
    let large = vec![b'{'; 300_001];
    let left = ask::<Deposited>(&mut stream, &deposit(2, 300_001), &large).await;
    assert!(matches!(left, Answer::Error(refusal) if refusal.code == Code::Refused));

    let page = ToPortal::PickupList(Default::default());
    let Answer::Ok(page) = ask::<PickupPage>(&mut stream, &page, b"").await else {
        panic!("no page");
    };
    assert_eq!((page.items.len(), page.next), (1, None));
    let name = page.items[0].reference.to_string();
    let order = PickupOrder {
        name: name.clone(),
        recipient: None,
        until: None,
        may_shorten: false,
        actor: "somebody else".to_owned(),
        reason: "wrong person".to_owned(),
    };
    let mut bad = order.clone();
    bad.reason = "two\nlines".to_owned();
    let done = ask::<Vec<Ordered>>(&mut stream, &ToPortal::PickupRetract(bad), b"").await;
    assert!(matches!(done, Answer::Error(refusal) if refusal.code == Code::BadRequest));
    let request = ToPortal::PickupRetract(order.clone());
    let Answer::Ok(done) = ask::<Vec<Ordered>>(&mut stream, &request, b"").await else {
        panic!("not retracted");
    };
    assert!(done[0].changed && !done[0].opened_before);
    let show = ToPortal::PickupShow { name };
    let Answer::Ok(shown) = ask::<Vec<PickupDetail>>(&mut stream, &show, b"").await else {
        panic!("not shown");
    };
    // Who ordered it is what the system says.
    let uid = rustix::process::geteuid().as_raw();
    let lease = shown[0].order.as_ref().unwrap();
    assert_eq!(lease.actor, crate::world::account::name(uid));
    assert_eq!(lease.reason, "wrong person");
    let mut unknown = order;
    unknown.name = "0000000000000000".to_owned();
    let done = ask::<Vec<Ordered>>(&mut stream, &ToPortal::PickupExtend(unknown), b"").await;
    assert!(matches!(done, Answer::Error(_)));
}

#[tokio::test]
async fn what_concerns_codes_and_accounts_is_passed_on() {
    let portal = Portal::start().await;
    let mut stream = portal.connect().await;
    for (name, known) in [("kim", true), ("lee", false)] {
        let recipient = Address::parse(&format!("{name}@there.example")).unwrap();
        let request = ToPortal::Standing { recipient };
        let Answer::Ok(standing) = ask::<Standing>(&mut stream, &request, b"").await else {
            panic!("no standing");
        };
        assert_eq!(standing.registered.is_some(), known);
    }
    let travelled = Travelled {
        queue_id: MessageId::new(3),
        ended: Final::Delivered,
        grade: None,
        reply: false,
    };
    let request = ToPortal::Travelled(travelled.clone());
    assert_eq!(ask::<()>(&mut stream, &request, b"").await, Answer::Ok(()));
    assert_eq!(*portal.heard.0.lock().unwrap(), [travelled]);
}

#[tokio::test]
async fn what_is_not_understood_ends_the_connection_and_no_other() {
    let portal = Portal::start().await;
    let mut other = portal.connect().await;
    let long = vec![b'x'; MAX_LINE_OCTETS];
    for octets in [
        b"{\"request\":\"nothing\"}\n".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        long,
    ] {
        let mut stream = portal.connect().await;
        stream.write_all(&octets).await.unwrap();
        let refused = answer::<()>(&mut stream).await;
        assert!(matches!(refused, Answer::Error(refusal) if refusal.code == Code::BadRequest));
        let ended = stream.read(&mut [0; 1]).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
    // One that goes away in the middle of a content leaves nothing.
    let mut stream = portal.connect().await;
    let half = encode(&deposit(1, 1000)).unwrap();
    stream.write_all(&half).await.unwrap();
    stream.write_all(&[b'x'; 500]).await.unwrap();
    drop(stream);
    let page = ToPortal::PickupList(Default::default());
    let Answer::Ok(page) = ask::<PickupPage>(&mut other, &page, b"").await else {
        panic!("no page");
    };
    assert!(page.items.is_empty());
}
