//! One mailbox is one, however its address is typed: another letter case, or quotes that say
//! nothing, get round no factor and past no end. And what is asked before a throttle reads nothing.

use std::time::Duration;

use super::support::{Browser, World, settle};
use crate::mail::{Level, Reference};
use crate::portal::http::{Body, Method, Status};
use crate::portal::store::reads;

/// Fields and what is typed.
type Form<'a> = &'a [(&'a str, &'a str)];

pub(super) const KIM: &str = "kim@patient.example";
const SPELLINGS: [&str; 3] = [
    "KIM@patient.example",
    "\"kim\"@patient.example",
    "\"Kim\"@PATIENT.example",
];
pub(super) const PASSWORD: &str = "heron lamp cobalt river";
pub(super) const OTHER: &str = "attacker chose this one";

/// The owner, with the password that was set on the first visit.
pub(super) async fn owner(world: &World) -> (Browser, Reference) {
    let first = world.leave(1, KIM, Level::Confidential).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{first}")).await;
    let set = [("password", PASSWORD), ("repeat", PASSWORD)];
    browser.post(&page.path, &set).await;
    assert!(world.opened(first));
    (browser, first)
}

/// Days apart, so that what is counted in an hour or a day does not matter.
async fn next_day(world: &World) {
    world.later(Duration::from_secs(86_400)).await;
}

#[tokio::test]
async fn the_mailbox_under_another_spelling_opens_no_more_than_under_its_own() {
    let world = World::new().await;
    owner(&world).await;
    next_day(&world).await;
    let second = world.leave(2, KIM, Level::Confidential).await;
    let third = world.leave(3, KIM, Level::Restricted).await;
    for spelling in SPELLINGS {
        next_day(&world).await;
        let mut evil = world.signed_in(spelling).await;
        // Mailed as the sender wrote it, not as it was typed.
        assert_eq!(world.newest().0.recipient.to_string(), KIM);
        for message in [second, third] {
            let page = evil.get(&format!("/box/{message}")).await;
            assert!(page.path.starts_with("/sign-in/password"), "{}", page.path);
            let set = [("password", OTHER), ("repeat", OTHER)];
            let path = format!("/sign-in/new-password?for={message}");
            let page = evil.post(&path, &set).await;
            assert_eq!(page.status, Status::FORBIDDEN, "{spelling}");
            let path = format!("/sign-in/password?for={message}");
            let page = evil.post(&path, &[("password", OTHER)]).await;
            assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY, "{spelling}");
        }
        assert!(!world.opened(second) && !world.opened(third), "{spelling}");
    }
    // The owner may type any of them.
    next_day(&world).await;
    let mut owner = world.signed_in(SPELLINGS[0]).await;
    let path = format!("/sign-in/password?for={third}");
    owner.post(&path, &[("password", PASSWORD)]).await;
    assert!(world.opened(third));
}

#[tokio::test]
async fn what_came_before_a_new_beginning_stays_closed_under_every_spelling() {
    let world = World::new().await;
    owner(&world).await;
    let old = world.leave(2, KIM, Level::Protected).await;
    next_day(&world).await;
    let mut holder = world.signed_in(SPELLINGS[0]).await;
    holder.post("/sign-in/anew", &[]).await;
    for spelling in [KIM].into_iter().chain(SPELLINGS) {
        next_day(&world).await;
        let mut evil = world.signed_in(spelling).await;
        let page = evil.get(&format!("/box/{old}")).await;
        assert_eq!(page.status, Status::FORBIDDEN, "{spelling}");
        assert!(!evil.get("/box").await.text().contains(&old.to_string()));
        assert!(!world.opened(old), "{spelling}");
    }
}

#[tokio::test]
async fn sessions_of_every_spelling_end_with_a_new_password_and_everywhere_and_with_the_account() {
    let world = World::new().await;
    owner(&world).await;
    let ends: [(&str, &str, Form<'_>); 3] = [
        (
            PASSWORD,
            "/account/password",
            &[("password", OTHER), ("repeat", OTHER)],
        ),
        (OTHER, "/account/sign-out-everywhere", &[]),
        (OTHER, "/account/delete", &[("password", OTHER)]),
    ];
    for (password, path, fields) in ends {
        next_day(&world).await;
        let mut others = Vec::new();
        for spelling in SPELLINGS {
            others.push(world.signed_in(spelling).await);
        }
        let mut browser = world.browser();
        browser.post("/", &[("address", KIM)]).await;
        let typed = [("password", password)];
        browser.post("/sign-in/password", &typed).await;
        assert_eq!(browser.get("/box").await.path, "/box");
        browser.post("/sign-in/password?to=account", &typed).await;
        for other in &mut others {
            assert_eq!(other.get("/box").await.path, "/box");
        }
        browser.post(path, fields).await;
        for other in &mut others {
            assert_eq!(other.get("/box").await.path, "/ended", "{path}");
        }
    }
}

/// What is done before anything is counted, and before anybody has shown anything, reads no deposit:
/// there is no time to be measured.
#[tokio::test]
async fn asking_reads_no_deposit_however_many_there_are() {
    let world = World::new().await;
    for number in 1..=40 {
        world.leave(number, KIM, Level::Protected).await;
    }
    for typed in [KIM, SPELLINGS[0], "who@nowhere.example"] {
        world.later(Duration::from_secs(61)).await;
        let mut browser = world.browser();
        let before = reads();
        let steps: [(Method, &str, Form<'_>); 6] = [
            (Method::Post, "/", &[("address", typed)]),
            (Method::Get, "/sign-in", &[]),
            (Method::Post, "/sign-in/send", &[]),
            // Too often: refused.
            (Method::Post, "/sign-in/send", &[]),
            (Method::Get, "/sign-in/code", &[]),
            (Method::Get, "/sign-in/password", &[]),
        ];
        for (method, path, fields) in steps {
            let body = match method {
                Method::Get => Body::None,
                Method::Post => browser.form(fields),
            };
            browser.ask(method, path, body).await;
        }
        assert_eq!(reads(), before, "{typed}");
        // In the background the newest is read, and nothing more.
        settle().await;
        let read = usize::from(typed != "who@nowhere.example");
        assert_eq!(reads(), before + read, "{typed}");
        let wrong = [("code", "00000000")];
        let body = browser.form(&wrong);
        browser.ask(Method::Post, "/sign-in/code", body).await;
        assert_eq!(reads(), before + read, "{typed}");
    }
}
