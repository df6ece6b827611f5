//! What is written is sent once or not at all, and comes back when it is refused, whatever the
//! scanner and the browser do.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::support::*;
use crate::mail::{Level, Reference};
use crate::portal::answer::clamd::{At, Clamd};
use crate::portal::http::{Limits, Status};
use crate::portal::site::writing::LOOKING;

const KIM: &str = "kim@patient.example";
const NUMBER: &str = "0123456789abcdef0123456789abcdef";
const CLEAN: &[u8] = b"stream: OK\0";
const NONSENSE: &[u8] = b"stream: ?\0";

/// A scanner that answers when the test says so.
struct Scanner {
    /// A file came.
    came: mpsc::Receiver<()>,
    /// What is answered to the file that came first.
    answers: mpsc::Sender<&'static [u8]>,
    _directory: tempfile::TempDir,
}

async fn read_file(stream: &mut UnixStream) -> std::io::Result<()> {
    let mut command = [0; 10];
    stream.read_exact(&mut command).await?;
    loop {
        let length = stream.read_u32().await?;
        if length == 0 {
            return Ok(());
        }
        let mut chunk = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut chunk).await?;
    }
}

/// A portal with a scanner, and a message in it.
async fn scanned() -> (World, Scanner, Reference) {
    let mut world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clamd.ctl");
    let listener = UnixListener::bind(&path).unwrap();
    let portal = std::sync::Arc::get_mut(&mut world.portal).unwrap();
    portal.options.clamd = Some(Clamd::new(At::Unix(path)));
    let (coming, came) = mpsc::channel(8);
    let (answers, mut answering) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if read_file(&mut stream).await.is_err() {
                continue;
            }
            coming.send(()).await.unwrap();
            let Some(answer) = answering.recv().await else {
                return;
            };
            // Nobody may be there any more.
            drop(stream.write_all(answer).await);
        }
    });
    let message = world.leave(1, KIM, Level::Protected).await;
    let scanner = Scanner {
        came,
        answers,
        _directory: directory,
    };
    (world, scanner, message)
}

/// Sends a reply with so many files, in a task of its own.
fn reply(browser: &Browser, message: Reference, files: usize) -> JoinHandle<Shown> {
    let mut browser = browser.clone();
    tokio::spawn(async move {
        let path = format!("/box/{message}/reply");
        let fields = [
            ("subject", "S"),
            ("text", "what I wrote"),
            ("number", NUMBER),
        ];
        let all: [(&str, &[u8]); 2] = [("a.txt", b"one"), ("b.txt", b"two")];
        browser.upload(&path, &fields, &all[..files]).await
    })
}

#[tokio::test]
async fn a_scanner_that_never_answers_leaves_the_text_where_it_was() {
    let (world, mut scanner, message) = scanned().await;
    let browser = world.signed_in(KIM).await;
    let began = world.clock.now();
    let sending = reply(&browser, message, 1);
    scanner.came.recv().await.unwrap();
    world.later(LOOKING + Duration::from_secs(1)).await;
    let page = sending.await.unwrap();
    // HTTP would say for itself what it knows, which is nothing.
    assert!(world.clock.now().since(began) < Limits::default().answer);
    assert_eq!(page.status, Status::SERVICE_UNAVAILABLE);
    let text = page.text();
    assert!(text.contains("what I wrote"), "{text}");
    assert!(text.contains("The attachments could not be checked"));
    assert!(text.contains(&format!("name=\"number\" value=\"{NUMBER}\"")));
}

#[tokio::test]
async fn a_slow_scanner_has_its_time_for_all_files_together() {
    let (world, mut scanner, message) = scanned().await;
    let browser = world.signed_in(KIM).await;
    let slow = Duration::from_secs(35);
    let sending = reply(&browser, message, 2);
    scanner.came.recv().await.unwrap();
    world.later(slow).await;
    scanner.answers.send(CLEAN).await.unwrap();
    scanner.came.recv().await.unwrap();
    world.later(LOOKING - slow + Duration::from_secs(1)).await;
    let page = sending.await.unwrap();
    assert_eq!(page.status, Status::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("what I wrote"));
    // Nothing goes on behind the answer: who sends it again has sent it once.
    world.later(slow).await;
    scanner.answers.send(CLEAN).await.unwrap();
    settle().await;
    assert_eq!(world.portal.store.replies(&message), []);
    let sending = reply(&browser, message, 1);
    scanner.came.recv().await.unwrap();
    world.later(slow).await;
    scanner.answers.send(CLEAN).await.unwrap();
    assert_eq!(sending.await.unwrap().path, "/replied");
    assert_eq!(world.portal.store.replies(&message).len(), 1);
}

#[tokio::test]
async fn a_form_that_comes_twice_is_sent_once() {
    let (world, mut scanner, message) = scanned().await;
    let browser = world.signed_in(KIM).await;
    let first = reply(&browser, message, 1);
    scanner.came.recv().await.unwrap();
    // Clicked again, and the scanner does not know: that one is sent then.
    let second = reply(&browser, message, 1);
    scanner.answers.send(NONSENSE).await.unwrap();
    assert_eq!(first.await.unwrap().status, Status::SERVICE_UNAVAILABLE);
    scanner.came.recv().await.unwrap();
    let third = reply(&browser, message, 1);
    scanner.answers.send(CLEAN).await.unwrap();
    for sending in [second, third, reply(&browser, message, 1)] {
        assert_eq!(sending.await.unwrap().path, "/replied");
    }
    let replies = || world.portal.store.replies(&message).len();
    assert_eq!(replies(), 1);
    // Another text is another message, and so is the same from another form.
    let mut browser = browser;
    let path = format!("/box/{message}/reply");
    for (text, number, count) in [
        ("another", NUMBER, 2),
        ("another", NUMBER, 2),
        ("another", &NUMBER.replace('0', "f"), 3),
        ("another", "", 4),
    ] {
        let fields = [("subject", "S"), ("text", text), ("number", number)];
        let page = browser.post(&path, &fields).await;
        assert_eq!((page.path.as_str(), replies()), ("/replied", count));
    }
}

#[tokio::test]
async fn each_form_has_a_number_of_its_own() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let mut numbers = std::collections::BTreeSet::new();
    for path in [format!("/box/{message}/reply"), "/write".to_owned()] {
        for _ in 0..2 {
            let page = browser.get(&path).await.text();
            let (_, rest) = page.split_once("name=\"number\" value=\"").unwrap();
            numbers.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    assert_eq!(numbers.len(), 4);
    assert!(numbers.iter().all(|number| number.len() == 32));
}

#[test]
fn the_page_answers_before_http_gives_up() {
    let some = Duration::from_secs(10);
    assert!(LOOKING + some <= Limits::default().answer);
}
