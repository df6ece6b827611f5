//! Large things on their way in and out: who may bring them, and whom they keep from what.

use super::support::*;
use crate::mail::{Level, PickupWishes};
use crate::portal::http::{Body, BodyLimit, Method, Over, Payload, Problem, Site, Status, Upload};
use crate::portal::site::sending::{FORMS_SHARE_OCTETS, SHARE_OCTETS};

const KIM: &str = "kim@patient.example";
const LARGE_OCTETS: usize = 90 * 1024 * 1024;

/// A message with an attachment of 90 MB, as it is and not encoded.
fn large() -> String {
    let line = "x".repeat(996) + "\n";
    [
        "From: Ada Meyer <ada@clinic.example>\nSubject: Scans\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=m\n\n--m\n\nHere they are.\n--m\n\
         Content-Type: text/plain\nContent-Disposition: attachment; filename=scans.txt\n\n",
        &line.repeat(LARGE_OCTETS / line.len()),
        "--m--\n",
    ]
    .concat()
    .replace('\n', "\r\n")
}

#[tokio::test]
async fn held_downloads_keep_nobody_from_reading() {
    let world = World::new().await;
    let wishes = PickupWishes::default();
    let content = large();
    let scans = world.leave_content(1, KIM, Level::Protected, wishes, content.clone());
    let scans = scans.await;
    let small = world.leave(2, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    // More than all readers together may hold, and nobody takes an octet of it.
    let mut held = Vec::new();
    for _ in 0..4 {
        let path = format!("/box/{scans}/message.eml");
        let answer = browser.ask(Method::Get, &path, Body::None).await;
        assert_eq!(answer.status(), Status::OK);
        held.push(answer.into_payload());
    }
    let path = format!("/box/{scans}/file/0");
    let file = browser.ask(Method::Get, &path, Body::None).await;
    assert_eq!(file.status(), Status::OK);
    // A second one is more than one network is sent at a time, and is not opened for it.
    let openings = || world.portal.store.record(&scans).unwrap().openings;
    let before = openings();
    let again = browser.ask(Method::Get, &path, Body::None).await;
    assert_eq!(again.status(), Status::SERVICE_UNAVAILABLE);
    assert_eq!(openings(), before);
    for path in [format!("/box/{small}"), format!("/box/{small}/print")] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, Status::OK);
        assert!(page.text().contains("The text of number 2"));
    }
    let eml = browser.get(&format!("/box/{small}/message.eml")).await;
    assert_eq!(eml.text(), message(2));
    // What was held comes whole.
    let Some(Payload::Stream { octets, from }) = held.pop() else {
        panic!("not streamed");
    };
    assert_eq!(octets, Some(content.len() as u64));
    assert!(taken(from).await == content.as_bytes());
    drop(file);
    let again = browser.ask(Method::Get, &path, Body::None).await;
    assert_eq!(again.status(), Status::OK);
}

/// A text of nothing but what has to be escaped, as long as texts are shown.
fn quotes() -> String {
    let line = "\"".repeat(998) + "\r\n";
    let head = "From: ada@clinic.example\r\nSubject: Quotes\r\n\r\n";
    format!("{head}{}", line.repeat(520))
}

#[tokio::test]
async fn held_pages_keep_nobody_from_reading() {
    let world = World::new().await;
    let wishes = PickupWishes::default();
    let quotes = world.leave_content(1, KIM, Level::Protected, wishes, quotes());
    let quotes = quotes.await;
    let small = world.leave(2, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let openings = || world.portal.store.record(&quotes).unwrap().openings;
    let views = ["?whole=1", "/print"].map(|view| format!("/box/{quotes}{view}"));
    let mut held = Vec::new();
    let mut octets = 0;
    let refused = loop {
        let path = &views[held.len() % 2];
        let before = openings();
        let answer = browser.ask(Method::Get, path, Body::None).await;
        if answer.status() != Status::OK {
            // And it was not opened for it.
            assert_eq!(openings(), before);
            break answer.status();
        }
        let Payload::Whole(page) = answer.into_payload() else {
            panic!("no page");
        };
        assert!(page.len() > 2_500_000, "{}", page.len());
        octets += page.len() as u64;
        held.push(page);
        assert!(octets <= SHARE_OCTETS);
    };
    assert_eq!(refused, Status::SERVICE_UNAVAILABLE);
    assert!(octets > SHARE_OCTETS / 2, "{octets}");
    for path in [
        "/box".to_owned(),
        format!("/box/{quotes}"),
        format!("/box/{small}"),
        format!("/box/{small}/print"),
        format!("/box/{small}/frame"),
    ] {
        assert_eq!(browser.get(&path).await.status, Status::OK, "{path}");
    }
    drop(held);
    assert_eq!(browser.get(&views[0]).await.status, Status::OK);
}

#[tokio::test]
async fn what_was_typed_comes_back_whatever_else_is_sent() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let sending = &world.portal.memory.sending;
    let downloads = sending.reserve(browser.client, SHARE_OCTETS).unwrap();
    let path = format!("/box/{message}/reply");
    let typed = "x".repeat(90_000);
    let files: [(&str, &[u8]); 1] = [("a.exe", b"MZ")];
    let fields = [("text", typed.as_str())];
    let page = browser.upload(&path, &fields, &files).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert!(page.text().contains(&typed));
    drop(downloads);
    // They have their bound too, and keep nothing else from being sent.
    let typed = "'".repeat(200_000);
    let (mut held, mut octets) = (Vec::new(), 0);
    let refused = loop {
        let form = browser.form(&[("text", &typed)]);
        let answer = browser.ask(Method::Post, &path, form).await;
        if answer.status() != Status::UNPROCESSABLE_ENTITY {
            break answer.status();
        }
        let Payload::Whole(page) = answer.into_payload() else {
            panic!("no page");
        };
        octets += page.len() as u64;
        held.push(page);
        assert!(octets <= FORMS_SHARE_OCTETS);
    };
    assert_eq!(refused, Status::SERVICE_UNAVAILABLE);
    assert!(octets > FORMS_SHARE_OCTETS / 2, "{octets}");
    assert!(sending.reserve(browser.client, SHARE_OCTETS).is_some());
    drop(held);
    let page = browser.post(&path, &[("text", &typed)]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn files_are_taken_from_who_has_shown_who_they_are_only() {
    let mut world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let reply = format!("/box/{message}/reply");
    let uploads = |browser: &Browser, path: &str| {
        let head = browser.head(Method::Post, path);
        matches!(browser.portal.route(&head).body, BodyLimit::Upload { .. })
    };
    let mut nobody = world.browser();
    nobody.cookie = Some("A".repeat(43));
    let mut visitor = world.browser();
    visitor.get("/").await;
    visitor.post("/", &[("address", KIM)]).await;
    for browser in [&world.browser(), &nobody, &visitor] {
        assert!(!uploads(browser, &reply) && !uploads(browser, "/write"));
    }
    let member = world.signed_in(KIM).await;
    assert!(uploads(&member, &reply) && uploads(&member, "/write"));
    assert!(!uploads(&member, "/box"));
    // Whose session has ended is told so.
    let head = nobody.head(Method::Post, &reply);
    let page = world.portal.problem_page(Problem::NotAForm, Some(&head));
    assert!(page.unwrap().contains("Your session had ended"));
    let cookie = member.cookie.clone();
    drop((nobody, visitor, member));
    let portal = std::sync::Arc::get_mut(&mut world.portal).unwrap();
    portal.options.write_to.clear();
    let mut member = world.browser();
    member.cookie = cookie;
    assert!(uploads(&member, &reply) && !uploads(&member, "/write"));
}

#[tokio::test]
async fn too_many_files_or_octets_leave_the_text_where_it_was() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let path = format!("/box/{message}/reply");
    for (over, text) in [
        (Over::Octets, "Up to 9 KB is possible"),
        (Over::Files, "Too many files"),
    ] {
        let fields = [("subject", "S"), ("text", "what I <b>wrote</b>")];
        let Body::Form(fields) = browser.form(&fields) else {
            panic!("no form");
        };
        let mut upload = Upload::default();
        upload.fields = fields;
        upload.over = Some(over);
        let answer = browser.ask(Method::Post, &path, Body::Upload(upload)).await;
        assert_eq!(answer.status(), Status::PAYLOAD_TOO_LARGE);
        let Payload::Whole(page) = answer.into_payload() else {
            panic!("no page");
        };
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains("what I &#60;b&#62;wrote"), "{page}");
        assert!(page.contains(text), "{page}");
    }
    assert_eq!(world.portal.store.replies(&message), []);
}

#[tokio::test]
async fn who_remembers_passwords_is_told_whose_and_a_notice_tells_nobody() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.get("/").await;
    browser.post("/", &[("address", KIM)]).await;
    let page = browser.get("/sign-in/password").await.text();
    assert!(page.contains(&format!("value=\"{KIM}\" autocomplete=\"username\"")));
    let mut stranger = world.browser();
    stranger.get(&format!("/m/{message}")).await;
    let path = format!("/m/{message}/password");
    let page = stranger.post(&path, &[]).await.text();
    assert!(page.contains("type=\"password\""), "{page}");
    assert!(!page.contains("kim@"), "{page}");
}
