//! How many messages somebody may send, and what is said of refusals.

use super::support::*;
use crate::mail::Level;
use crate::portal::http::{Method, Problem, Site, Status};
use crate::portal::site::sent::MAX_SENT_PER_HOUR;
use crate::portal::store::NewReply;

const KIM: &str = "kim@patient.example";
const TYPED: [(&str, &str); 2] = [("subject", "S"), ("text", "Thank you.")];

#[tokio::test]
async fn messages_are_counted_whatever_is_reloaded_and_only_those_that_were_kept() {
    let mut world = World::new().await;
    let full = world.leave(1, KIM, Level::Protected).await;
    let message = world.leave(2, KIM, Level::Protected).await;
    for _ in 0..crate::portal::store::MAX_REPLIES {
        let reply = NewReply {
            answers: full,
            level: Level::Protected,
            content: "From: kim@patient.example\r\n\r\nThank you.\r\n".into(),
        };
        world.portal.store.reply(reply).await.unwrap();
    }
    let mut browser = world.signed_in(KIM).await;
    let full = format!("/box/{full}/reply");
    for _ in 0..=MAX_SENT_PER_HOUR {
        let page = browser.post(&full, &TYPED).await;
        assert_eq!(page.status, Status::SERVICE_UNAVAILABLE);
    }
    let path = format!("/box/{message}/reply");
    for _ in 0..MAX_SENT_PER_HOUR {
        assert_eq!(browser.post(&path, &TYPED).await.path, "/replied");
    }
    world.reload();
    browser.portal = world.portal.clone();
    let page = browser.post(&path, &TYPED).await;
    assert_eq!(page.status, Status::TOO_MANY_REQUESTS);
    let text = page.text();
    assert!(text.contains("You have sent 30 messages in this hour"));
    assert!(text.contains("Thank you.") && !text.contains("your network"));
    world.later(std::time::Duration::from_secs(3600)).await;
    let mut browser = world.signed_in(KIM).await;
    assert_eq!(browser.post(&path, &TYPED).await.path, "/replied");
}

#[tokio::test]
async fn who_asked_another_host_is_told_the_right_one() {
    let world = World::new().await;
    for (language, title) in [("en", "another address"), ("de", "eine andere Adresse")] {
        let mut browser = world.browser();
        browser.language = language.to_owned();
        let head = browser.head(Method::Get, "/box");
        let page = world.portal.problem_page(Problem::OtherHost, Some(&head));
        let page = page.unwrap();
        assert!(page.contains(title), "{page}");
        assert!(page.contains("href=\"https://secure.clinic.example/\""));
    }
}
