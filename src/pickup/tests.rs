use std::future::pending;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::mail::{Language, Level, PickupWishes, Reference, Timestamp};

fn clock() -> Clock {
    Clock::starting_at(Timestamp::from_secs(1000))
}

fn kim() -> Address {
    Address::parse("kim@portal.example").unwrap()
}

fn deposit(octets: u64) -> Deposit {
    Deposit {
        reference: Reference::new([7; 10]),
        queue_id: MessageId::new(1),
        recipient: kim(),
        author: Address::parse("jo@clinic.example").unwrap(),
        answerable: true,
        author_name: None,
        message_id: "<1@clinic.example>".to_owned(),
        accepted: Timestamp::from_secs(900),
        octets,
        level: Level::Protected,
        factors: Level::Protected,
        trusted_before: Timestamp::from_secs(900),
        wishes: PickupWishes::default(),
        language: Language::En,
        expires: Timestamp::from_secs(9000),
    }
}

/// What the portal does with a request, after it has read so much of the content.
#[derive(Clone, Copy)]
enum Does {
    Say(&'static str),
    /// Says it before the content.
    SayEarly(&'static str),
    Close,
    Hang,
}

/// Serves connections one after the other; a new script for each. Returns what it heard.
async fn serve(listener: UnixListener, scripts: Vec<Vec<Does>>) -> Vec<(ToPortal, usize)> {
    let mut heard = Vec::new();
    for script in scripts {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        for does in script {
            let mut line = Vec::new();
            stream.read_until(b'\n', &mut line).await.unwrap();
            let request: ToPortal = serde_json::from_slice(&line).unwrap();
            let octets = usize::try_from(request.octets()).unwrap();
            if let Does::SayEarly(answer) = does {
                stream.write_all(answer.as_bytes()).await.unwrap();
                heard.push((request, 0));
                break;
            }
            let mut content = vec![0; octets];
            stream.read_exact(&mut content).await.unwrap();
            heard.push((request, octets));
            match does {
                Does::Say(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Does::Hang => pending().await,
                Does::Close | Does::SayEarly(_) => break,
            }
        }
    }
    heard
}

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("portal.sock")
    }

    fn listen(&self) -> UnixListener {
        drop(std::fs::remove_file(self.path()));
        UnixListener::bind(self.path()).unwrap()
    }

    fn pickup(&self) -> Pickup {
        let patience = Patience {
            step: Duration::from_secs(5),
            answer: Duration::from_millis(300),
        };
        Pickup::waiting(&self.path(), clock(), patience)
    }
}

const DONE: &str = "{\"ok\":null}\n";
const LEFT: &str = "{\"ok\":{\"reference\":\"0000000000000001\",\"again\":false}}\n";

#[tokio::test]
async fn a_message_goes_over_whole_and_the_connection_is_kept() {
    let scene = Scene::new();
    let script = vec![Does::Say(LEFT), Does::Say(DONE), Does::Say(DONE)];
    let portal = tokio::spawn(serve(scene.listen(), vec![script]));
    let pickup = scene.pickup();
    let content = Content::from_bytes(vec![b'x'; 300_000]);
    let left = pickup.deposit(&deposit(300_000), &content).await.unwrap();
    assert!(!left.again);
    pickup.withdraw(MessageId::new(1), &kim()).await.unwrap();
    let travelled = Travelled {
        queue_id: MessageId::new(2),
        ended: crate::mail::Final::Delivered,
        grade: None,
        reply: false,
    };
    pickup.travelled(&travelled).await.unwrap();
    let heard = portal.await.unwrap();
    assert_eq!(heard[0].1, 300_000);
    assert_eq!(heard[2].0, ToPortal::Travelled(travelled));
}

#[tokio::test]
async fn a_portal_that_was_started_anew_is_found_again() {
    let scene = Scene::new();
    let pickup = scene.pickup();
    for _ in 0..3 {
        // Each of them answers once, and is gone.
        let portal = tokio::spawn(serve(scene.listen(), vec![vec![Does::Say(DONE)]]));
        pickup.withdraw(MessageId::new(1), &kim()).await.unwrap();
        portal.await.unwrap();
    }
    std::fs::remove_file(scene.path()).unwrap();
    let gone = pickup.withdraw(MessageId::new(1), &kim()).await;
    assert!(matches!(gone, Err(PickupError::Unavailable(_))), "{gone:?}");
}

#[tokio::test]
async fn what_is_for_good_and_what_is_not() {
    let refusal = |code: &str| -> &'static str {
        let line = format!("{{\"error\":{{\"code\":\"{code}\",\"text\":\"no\"}}}}\n");
        Box::leak(line.into_boxed_str())
    };
    type Fits = fn(&PickupError) -> bool;
    let cases: [(Does, Fits); 8] = [
        (
            Does::Say(refusal("refused")),
            |it| matches!(it, PickupError::Refused(text) if text == "no"),
        ),
        (Does::Say(refusal("retracted")), |it| {
            matches!(it, PickupError::Retracted)
        }),
        (Does::Say(refusal("temporary")), |it| {
            matches!(it, PickupError::Unavailable(_))
        }),
        (Does::Say(refusal("stopping")), |it| {
            matches!(it, PickupError::Unavailable(_))
        }),
        (Does::Say(refusal("bad_request")), |it| {
            matches!(it, PickupError::Failed(_))
        }),
        (Does::Say("what\n"), |it| {
            matches!(it, PickupError::Failed(_))
        }),
        (Does::Close, |it| matches!(it, PickupError::Unavailable(_))),
        (Does::Hang, |it| matches!(it, PickupError::Unavailable(_))),
    ];
    for (number, (does, expected)) in cases.into_iter().enumerate() {
        let scene = Scene::new();
        let portal = tokio::spawn(serve(scene.listen(), vec![vec![does]]));
        let failed = scene.pickup().withdraw(MessageId::new(1), &kim()).await;
        let failed = failed.unwrap_err();
        assert!(expected(&failed), "{number}: {failed:?}");
        portal.abort();
    }
}

#[tokio::test]
async fn a_refusal_that_comes_early_is_heard_and_ends_the_connection() {
    let scene = Scene::new();
    let full = "{\"error\":{\"code\":\"refused\",\"text\":\"full\"}}\n";
    let scripts = vec![vec![Does::SayEarly(full)], vec![Does::Say(DONE)]];
    let portal = tokio::spawn(serve(scene.listen(), scripts));
    let pickup = scene.pickup();
    // More than the socket holds.
    let content = Content::from_bytes(vec![b'x'; 8_000_000]);
    let refused = pickup.deposit(&deposit(8_000_000), &content).await;
    assert!(
        matches!(&refused, Err(PickupError::Refused(text)) if text == "full"),
        "{refused:?}"
    );
    pickup.withdraw(MessageId::new(1), &kim()).await.unwrap();
    assert_eq!(portal.await.unwrap().len(), 2);
}

#[tokio::test]
async fn no_more_connections_than_the_bound() {
    let scene = Scene::new();
    let listener = scene.listen();
    let pickup = scene.pickup();
    let asking: Vec<_> = (0..MAX_CONNECTIONS + 5)
        .map(|_| {
            let pickup = pickup.clone();
            tokio::spawn(async move { pickup.withdraw(MessageId::new(1), &kim()).await })
        })
        .collect();
    let mut open: Vec<UnixStream> = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        open.push(listener.accept().await.unwrap().0);
    }
    let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(more.is_err(), "one more than the bound");
    // One that is answered makes room: its connection is used again.
    for stream in &mut open {
        stream.write_all(DONE.as_bytes()).await.unwrap();
    }
    let mut answered = 0;
    for asked in asking {
        answered += usize::from(asked.await.unwrap().is_ok());
    }
    assert_eq!(answered, MAX_CONNECTIONS);
}
