//! Ordinary pages are small, whatever is in a message; all of it is there when it is asked for.

use super::support::*;
use crate::mail::{Deposit, Language, Level, PickupWishes};
use crate::portal::http::Status;
use crate::portal::store::{MAX_REPLIES, NewReply};

const KIM: &str = "kim@patient.example";
/// Largest page.
const MAX_PAGE_OCTETS: usize = 50_000;
const MESSAGES: u8 = 25;
const FILES: usize = 300;

/// A message in which everything is long, and has to be escaped.
fn wide(number: u8, text: &str) -> String {
    let wide = "&".repeat(120);
    let people = vec![format!("\"{wide}\" <{}@patient.example>", "&".repeat(60)); 60];
    let people = people.join(",\r\n ");
    let mut lines = vec![
        "From: ada@clinic.example".to_owned(),
        format!("To: {people}\r\nCc: {people}"),
        format!("Subject: {}", "&".repeat(300)),
        format!("Message-ID: <{number}@clinic.example>"),
        // Each two belong together.
        format!("In-Reply-To: <{}@clinic.example>", number - number % 2),
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n".to_owned(),
        "--m\r\nContent-Type: multipart/alternative; boundary=a\r\n".to_owned(),
        format!("--a\r\nContent-Type: text/plain\r\n\r\n{text}"),
        format!(
            "--a\r\nContent-Type: text/html\r\n\r\n<p>{}</p>",
            "&amp;".repeat(9000)
        ),
        "--a--".to_owned(),
    ];
    for file in 0..FILES {
        lines.push(format!(
            "--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; \
             filename=\"{wide}{file}.exe\"\r\n\r\nx"
        ));
    }
    lines.push("--m--\r\n".to_owned());
    lines.join("\r\n")
}

#[tokio::test]
async fn ordinary_pages_are_small() {
    let world = World::new().await;
    let links = "see https://x.example/?a&b&c&d&e&f\r\n".repeat(3000);
    let quotes = ("\"".repeat(900) + "\r\n").repeat(200) + "the last line";
    let mut messages = Vec::new();
    for number in 0..MESSAGES {
        let author = format!("{}@{}.example", "&".repeat(64), "clinic".repeat(8));
        let deposit = Deposit {
            author: address(&author),
            author_name: Some("\"".repeat(64)),
            ..world.deposit(number, KIM, Level::Protected, PickupWishes::default())
        };
        let text = if number == 1 { &links } else { &quotes };
        let message = world.leave_deposit(deposit, wide(number, text)).await;
        messages.push(message);
    }
    for _ in 0..MAX_REPLIES {
        let reply = NewReply {
            answers: messages[0],
            level: Level::Protected,
            content: "From: kim@patient.example\r\n\r\nThank you.\r\n".into(),
        };
        world.portal.store.reply(reply).await.unwrap();
    }
    let mut browser = world.signed_in(KIM).await;
    for message in &messages {
        browser.get(&format!("/box/{message}")).await;
    }
    let (one, links) = (messages[0], messages[1]);
    let paths = [
        "/box".to_owned(),
        "/sent".to_owned(),
        format!("/box/{one}"),
        format!("/box/{one}/html"),
        format!("/box/{one}/reply"),
        format!("/box/{links}"),
    ];
    for language in Language::ALL {
        for path in &paths {
            let page = browser.get(&format!("{path}?lang={language}")).await;
            assert_eq!(page.status, Status::OK, "{path}");
            let octets = page.octets.len();
            assert!(octets < MAX_PAGE_OCTETS, "{path} ({language}): {octets}");
        }
    }
    let list = browser.get("/box").await.text();
    assert_eq!(list.matches("class=\"item ").count(), usize::from(MESSAGES));
    assert!(list.contains("2 messages"));
    everything(&mut browser, &format!("/box/{one}")).await;
}

/// What is not shown at first is shown by the links of the page.
async fn everything(browser: &mut Browser, path: &str) {
    let files = |page: &str| page.matches("/file/").count();
    let first = browser.get(path).await.text();
    let shown = files(&first);
    assert!((5..FILES).contains(&shown), "{shown}");
    assert!(first.contains(&format!("You see {shown} of {FILES} attachments")));
    assert!(!first.contains("the last line"));
    let whole = format!("{path}?whole=1");
    assert_eq!(first.matches(&format!("href=\"{whole}\"")).count(), 3);
    let page = browser.get(&whole).await.text();
    assert!(page.contains("the last line") && files(&page) == FILES);
    assert_eq!(page.matches("class=\"state ").count(), MAX_REPLIES);
    assert!(!page.contains(&whole));
    let framed = browser.get(&format!("{path}/html")).await.text();
    let (gets, _) = links(&framed);
    let whole = format!("{path}/html?whole=1");
    assert!(
        gets.contains(&whole) && framed.contains("<iframe"),
        "{gets:?}"
    );
    assert_eq!(files(&browser.get(&whole).await.text()), FILES);
}
