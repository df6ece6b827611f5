//! Three users × every route × every method: nobody reaches what is another's.

use super::support::{Browser, World, links};
use crate::mail::Level;
use crate::portal::http::{Body, Method, Methods, Payload, Status};
use crate::portal::site::routes::{Needs, ROUTES, Row};

const USERS: [&str; 3] = [
    "kim@patient.example",
    "lee@patient.example",
    "sam@other.example",
];

fn path(row: &Row, reference: &str) -> String {
    let path = row.pattern.replace("{reference}", reference);
    path.replace("{number}", "0").replace("{way}", "password")
}

fn octets(payload: &Payload) -> String {
    match payload {
        Payload::Whole(octets) => String::from_utf8_lossy(octets).into_owned(),
        Payload::Empty | Payload::Stream { .. } => String::new(),
    }
}

/// What an answer is, with the reference taken out: for comparing.
async fn outcome(browser: &Browser, method: Method, path: &str, mine: &str) -> (Status, String) {
    let mut browser = browser.clone();
    let body = match method {
        Method::Get => Body::None,
        Method::Post => browser.form(&[("text", "hello"), ("subject", "s")]),
    };
    let answer = browser.ask(method, path, body).await;
    let location = answer.location().unwrap_or_default();
    let text = format!("{location}\n{}", octets(answer.payload()));
    (answer.status(), text.replace(mine, "REFERENCE"))
}

#[tokio::test]
async fn what_is_anothers_is_the_same_as_what_does_not_exist() {
    let world = World::new().await;
    let mut messages = Vec::new();
    for (number, user) in (1..).zip(USERS) {
        messages.push(world.leave(number, user, Level::Protected).await);
    }
    let mut browsers = Vec::new();
    for user in USERS {
        browsers.push(world.signed_in(user).await);
    }
    let nowhere = "ZZZZZZZZZZZZZZZZ";
    let mut tried = 0;
    for row in ROUTES
        .iter()
        .filter(|row| row.pattern.contains("/box/{reference}"))
    {
        for method in [Method::Get, Method::Post] {
            for (user, browser) in browsers.iter().enumerate() {
                let unknown = outcome(browser, method, &path(row, nowhere), nowhere).await;
                for (owner, message) in messages.iter().enumerate() {
                    if owner == user {
                        continue;
                    }
                    let message = message.to_string();
                    let others = path(row, &message);
                    let theirs = outcome(browser, method, &others, &message).await;
                    assert_eq!(theirs, unknown, "{user} {owner} {method:?} {}", row.pattern);
                    let expected = match row.methods {
                        Methods::Get if method == Method::Post => Status::METHOD_NOT_ALLOWED,
                        _ => Status::NOT_FOUND,
                    };
                    assert_eq!(theirs.0, expected, "{method:?} {}", row.pattern);
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 8 * 2 * 6);
    for message in &messages {
        assert!(!world.opened(*message));
        assert_eq!(world.portal.store.replies(message), []);
    }
    // The same routes do lead to one's own.
    for (browser, message) in browsers.iter_mut().zip(&messages) {
        let page = browser.get(&format!("/box/{message}")).await;
        assert_eq!(page.status, Status::OK);
        let list = browser.get("/box").await.text();
        let (gets, _) = links(&list);
        for other in messages.iter().filter(|it| *it != message) {
            assert!(!gets.iter().any(|link| link.contains(&other.to_string())));
        }
    }
}

#[tokio::test]
async fn whoever_has_shown_nothing_gets_nowhere() {
    let world = World::new().await;
    let message = world.leave(1, USERS[0], Level::Protected).await;
    let reference = message.to_string();
    for row in ROUTES.iter().filter(|row| row.needs != Needs::Nothing) {
        for method in [Method::Get, Method::Post] {
            let mut stranger = world.browser();
            let body = match method {
                Method::Get => Body::None,
                Method::Post => stranger.form(&[]),
            };
            let answer = stranger.ask(method, &path(row, &reference), body).await;
            let refused = [
                Status::SEE_OTHER,
                Status::METHOD_NOT_ALLOWED,
                Status::FORBIDDEN,
            ];
            assert!(
                refused.contains(&answer.status()),
                "{method:?} {}",
                row.pattern
            );
            let on = answer.location().unwrap_or("/");
            let out = ["/", "/ended", "/m/"]
                .iter()
                .any(|it| on == *it || on.starts_with("/m/"));
            assert!(out, "{method:?} {}: {on}", row.pattern);
            assert!(!octets(answer.payload()).contains(USERS[0]));
        }
    }
    assert!(!world.opened(message));
}
