//! Known and unknown: the same pages, of the same size, the same way on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::support::{Browser, World, settle};
use crate::mail::Level;
use crate::portal::http::{Body, Method, Payload, Status};
use crate::portal::proof::Visit;

const KNOWN: &str = "kim@patient.example";
const UNKNOWN: &str = "who@nowhere.example";

/// A page without what is drawn anew for each.
fn neutral(octets: &[u8], replaced: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(octets).into_owned();
    for text_of_one in replaced {
        text = text.replace(text_of_one, "X");
    }
    let mut out = String::new();
    for (at, piece) in text.split("name=\"csrf\" value=\"").enumerate() {
        let rest = match at {
            0 => piece,
            _ => piece.split_once('"').unwrap().1,
        };
        out.push_str(rest);
    }
    let (before, after) = out.split_once("data-options=\"").unwrap_or((&out, "\""));
    format!("{before}{}", after.split_once('"').unwrap().1)
}

/// The fields of a form.
type Fields<'a> = &'a [(&'a str, &'a str)];

async fn steps(world: &World, begin: (&str, Fields<'_>), replaced: &[&str]) -> Vec<String> {
    let mut browser = world.browser();
    let mut seen = Vec::new();
    let asked: [(Method, &str, Fields<'_>); 16] = [
        (Method::Get, begin.0, &[]),
        (Method::Post, begin.0, begin.1),
        (Method::Get, "/sign-in", &[]),
        (Method::Post, "/sign-in/send", &[]),
        (Method::Get, "/sign-in/code", &[]),
        (Method::Post, "/sign-in/code", &[("code", "00000000")]),
        (Method::Post, "/sign-in/code", &[("code", "x")]),
        (Method::Post, "/sign-in/send", &[]),
        (Method::Get, "/sign-in/password", &[]),
        (
            Method::Post,
            "/sign-in/password",
            &[("password", "no such one at all")],
        ),
        (Method::Get, "/sign-in/secret", &[]),
        (
            Method::Post,
            "/sign-in/secret",
            &[("secret", "no such one")],
        ),
        (Method::Get, "/sign-in/passkey", &[]),
        (Method::Post, "/sign-in/passkey", &[("answer", "{}")]),
        (Method::Get, "/sign-in/totp", &[]),
        (Method::Get, "/box", &[]),
    ];
    for (method, path, fields) in asked {
        seen.push(step(&mut browser, (method, path, fields), replaced).await);
    }
    seen
}

/// One step, and what is seen of it.
async fn step(
    browser: &mut Browser,
    (method, path, fields): (Method, &str, Fields<'_>),
    replaced: &[&str],
) -> String {
    let body = match method {
        Method::Get => Body::None,
        Method::Post => browser.form(fields),
    };
    let answer = browser.ask(method, path, body).await;
    settle().await;
    let octets = match answer.payload() {
        Payload::Whole(octets) => octets.to_vec(),
        Payload::Empty | Payload::Stream { .. } => Vec::new(),
    };
    let location = answer.location().unwrap_or_default().to_owned();
    format!(
        "{method:?} {} {location}\n{}",
        answer.status(),
        neutral(&octets, replaced)
    )
}

/// Whether the line cannot take the mail of a code, or the mail comes back: to whoever asks again
/// and again it is as with an address that nobody has.
#[tokio::test]
async fn a_code_that_does_not_arrive_does_not_show_who_is_known() {
    for down in [true, false] {
        let world = World::new().await;
        world.line.down.store(down, Ordering::Relaxed);
        world.leave(1, KNOWN, Level::Confidential).await;
        let mut seen = Vec::new();
        for address in [KNOWN, UNKNOWN] {
            let mut browser = world.browser();
            let mut steps = Vec::new();
            let begin = (Method::Post, "/", &[("address", address)][..]);
            steps.push(step(&mut browser, begin, &[address]).await);
            for _ in 0..4 {
                let send = (Method::Post, "/sign-in/send", &[][..]);
                steps.push(step(&mut browser, send, &[address]).await);
                if !down && address == KNOWN && world.line.count() > 0 {
                    world.bounced();
                }
                let typed = (Method::Post, "/sign-in/code", &[("code", "00000000")][..]);
                steps.push(step(&mut browser, typed, &[address]).await);
                world.later(Duration::from_secs(61)).await;
            }
            // After the life of the two there is another.
            world.later(Duration::from_secs(900)).await;
            let send = (Method::Post, "/sign-in/send", &[][..]);
            let last = step(&mut browser, send, &[address]).await;
            assert!(last.starts_with("Post 303"), "{last}");
            assert!(steps.iter().any(|it| it.starts_with("Post 429")));
            seen.push(steps);
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(world.line.count(), if down { 0 } else { 3 });
    }
}

/// A code is bound to the browser that asked for it: people who wait for theirs have their places,
/// however many others knock.
#[tokio::test]
async fn who_waits_for_a_code_outlasts_a_flood_of_visits() {
    let world = World::new().await;
    let message = world.leave(1, KNOWN, Level::Protected).await;
    let mut by_link = world.browser();
    let page = by_link.post(&format!("/m/{message}"), &[]).await;
    assert_eq!(page.path, "/sign-in/code");
    settle().await;
    let first = world.code();
    world.later(Duration::from_secs(61)).await;
    let mut by_address = world.browser();
    by_address.post("/", &[("address", KNOWN)]).await;
    by_address.post("/sign-in/send", &[]).await;
    settle().await;
    let second = world.code();
    let mut idle = world.browser();
    idle.post("/", &[("address", KNOWN)]).await;
    let sessions = &world.portal.desk.sessions;
    for _ in 0..sessions.bounds().visits {
        sessions.begin(Visit::default(), world.clock.now()).unwrap();
    }
    let page = idle.post("/sign-in/send", &[]).await;
    assert_eq!(page.path, "/ended", "others are displaced");
    for (mut browser, code) in [(by_link, first), (by_address, second)] {
        let page = browser.post("/sign-in/code", &[("code", &code)]).await;
        assert!(page.path.starts_with("/box"), "{}", page.path);
    }
}

#[tokio::test]
async fn an_address_and_a_reference_that_exist_are_answered_like_those_that_do_not() {
    let world = World::new().await;
    let known = world.leave(1, KNOWN, Level::Confidential).await.to_string();
    let unknown = "0123456789ABCDEF".to_owned();
    let (one, two) = (format!("/m/{known}"), format!("/m/{unknown}"));
    let there = steps(&world, (&one, &[]), &[&known]).await;
    world.later(Duration::from_secs(3600)).await;
    let not_there = steps(&world, (&two, &[]), &[&unknown]).await;
    assert_eq!(there, not_there);
    assert!(world.line.count() >= 1);
    let before = world.line.count();
    world.later(Duration::from_secs(86_400)).await;
    let there = steps(&world, ("/", &[("address", KNOWN)]), &[KNOWN]).await;
    let mailed = world.line.count();
    assert!(mailed > before);
    world.later(Duration::from_secs(3600)).await;
    let not_there = steps(&world, ("/", &[("address", UNKNOWN)]), &[UNKNOWN]).await;
    assert_eq!(there, not_there);
    assert_eq!(world.line.count(), mailed, "nothing goes to strangers");
}

#[tokio::test]
async fn nothing_odd_in_an_address_gets_through() {
    let world = World::new().await;
    for typed in [
        "",
        "kim",
        "kim@patient.example\r\nBcc: all@x.example",
        "\"><script>alert(1)</script>@x.example",
        "../../etc/passwd",
        "a@b.example,c@d.example",
    ] {
        let mut browser = world.browser();
        let page = browser.post("/", &[("address", typed)]).await;
        assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY, "{typed}");
        assert!(!page.text().contains("<script>alert"));
    }
}
