//! A link scanner follows every link and submits every form: nothing is opened, no code is spent.
//! And what a browser fetches ahead of its owner's wish is no opening either.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use super::support::{Seen, World, links, settle};
use crate::mail::Level;
use crate::portal::http::Status;

const KIM: &str = "kim@patient.example";
/// Requests of the scanner.
const MAX_REQUESTS: usize = 400;

#[tokio::test]
async fn a_scanner_that_follows_and_submits_everything_leaves_all_as_it_was() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    // The owner has asked for a code.
    let mut owner = world.browser();
    owner.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    let code = world.code();
    let mut bot = world.browser();
    bot.agent = "Mozilla/5.0 (compatible; LinkScanner/1.0)".to_owned();
    // Not from the owner's network, whose tries are counted apart.
    bot.client = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));
    let mut waiting = VecDeque::from([(false, format!("/m/{message}"))]);
    let mut known = BTreeSet::new();
    let mut seen = Seen::new();
    let mut requests = 0;
    while let Some((post, path)) = waiting.pop_front() {
        if !known.insert((post, path.clone())) || requests >= MAX_REQUESTS {
            continue;
        }
        requests += 1;
        let page = match post {
            false => bot.get(&path).await,
            true => {
                let fields = [
                    ("address", KIM),
                    ("code", "12345678"),
                    ("password", "test test test"),
                    ("secret", "secret"),
                    ("text", "test"),
                    ("answer", "{}"),
                ];
                bot.post(&path, &fields).await
            }
        };
        *seen.entry(page.path.clone()).or_default() += 1;
        let (gets, posts) = links(&page.text());
        waiting.extend(gets.into_iter().map(|path| (false, path)));
        waiting.extend(posts.into_iter().map(|path| (true, path)));
    }
    assert!(requests > 40 && seen.len() > 8, "{requests} {seen:?}");
    assert!(!world.opened(message));
    assert!(
        !seen.keys().any(|path| path.starts_with("/box")),
        "{seen:?}"
    );
    // What was mailed to the bot is good in its browser only; a person asks in their own.
    let bots = world.code();
    if bots != code {
        let page = owner.post("/sign-in/code", &[("code", &bots)]).await;
        assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    }
    let page = owner.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.status, Status::OK, "{}", page.path);
    assert!(world.opened(message));
}

#[tokio::test]
async fn what_is_fetched_ahead_or_by_another_sites_link_opens_nothing() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let browser = world.signed_in(KIM).await;
    for view in [
        "",
        "/html",
        "/frame",
        "/print",
        "/file/0",
        "/all.zip",
        "/message.eml",
    ] {
        let path = format!("/box/{message}{view}");
        let mut ahead = browser.clone();
        ahead.fetch.ahead = true;
        let mut head = browser.clone();
        head.head_only = true;
        let mut picture = browser.clone();
        picture.fetch.dest = "image".to_owned();
        for asking in [&mut ahead, &mut head, &mut picture] {
            let page = asking.get(&path).await;
            assert_eq!(page.status, Status::OK, "{view}");
            assert!(!page.text().contains("Results"), "{view}");
        }
        let mut linked = browser.clone();
        linked.fetch.site = "cross-site".to_owned();
        let page = linked.get(&path).await;
        assert!(page.text().contains("Read this message?"), "{view}");
    }
    assert!(!world.opened(message));
    let mut browser = browser;
    let page = browser.get(&format!("/box/{message}")).await;
    assert!(page.text().contains("Results 1") && world.opened(message));
}
