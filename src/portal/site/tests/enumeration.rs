//! Known and unknown: the same pages, of the same size, the same way on.

use super::support::{World, settle};
use crate::mail::Level;
use crate::portal::http::{Body, Method, Payload, Status};

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
        seen.push(format!(
            "{method:?} {} {location}\n{}",
            answer.status(),
            neutral(&octets, replaced)
        ));
    }
    seen
}

#[tokio::test]
async fn an_address_and_a_reference_that_exist_are_answered_like_those_that_do_not() {
    let world = World::new().await;
    let known = world.leave(1, KNOWN, Level::Confidential).await.to_string();
    let unknown = "0123456789ABCDEF".to_owned();
    let (one, two) = (format!("/m/{known}"), format!("/m/{unknown}"));
    let there = steps(&world, (&one, &[]), &[&known]).await;
    world.later(std::time::Duration::from_secs(3600)).await;
    let not_there = steps(&world, (&two, &[]), &[&unknown]).await;
    assert_eq!(there, not_there);
    assert!(world.line.count() >= 1);
    let before = world.line.count();
    world.later(std::time::Duration::from_secs(86_400)).await;
    let there = steps(&world, ("/", &[("address", KNOWN)]), &[KNOWN]).await;
    let mailed = world.line.count();
    assert!(mailed > before);
    world.later(std::time::Duration::from_secs(3600)).await;
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
