//! The links to a page in other languages: every one leads to a page, whatever was posted.

use std::collections::BTreeSet;

use super::support::*;
use crate::mail::Level;
use crate::portal::http::{Body, Method, Payload, Status};
use crate::portal::site::routes::{Page, ROUTES};

const KIM: &str = "kim@patient.example";
const PASSWORD: &str = "heron lamp cobalt river";

/// The links of a page to itself in other languages.
fn languages(page: &str) -> Vec<String> {
    let links = page.split("<a href=\"").skip(1);
    let links = links.filter(|link| link.split('>').next().unwrap().contains(" hreflang="));
    links
        .map(|link| link.split('"').next().unwrap().to_owned())
        .collect()
}

/// The page that is the answer itself.
async fn drawn(browser: &mut Browser, method: Method, path: &str) -> Option<(Status, String)> {
    let body = match method {
        Method::Get => Body::None,
        Method::Post => browser.form(&[]),
    };
    let answer = browser.ask(method, path, body).await;
    let status = answer.status();
    match answer.into_payload() {
        Payload::Whole(page) if !page.is_empty() => {
            Some((status, String::from_utf8_lossy(&page).into_owned()))
        }
        _ => None,
    }
}

#[tokio::test]
async fn every_page_that_is_drawn_can_be_had_in_another_language() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let stranger = world.browser();
    let mut visitor = world.browser();
    visitor.get("/").await;
    visitor.post("/", &[("address", KIM)]).await;
    let mut member = world.signed_in(KIM).await;
    let set = [("password", PASSWORD), ("repeat", PASSWORD)];
    let page = member.post("/account/password", &set).await;
    assert_eq!(page.path, "/account?done=password");
    let mut followed = BTreeSet::new();
    for row in ROUTES {
        // These draw nothing, and end what others need.
        if matches!(
            row.page,
            Page::SignOut | Page::SignOutEverywhere | Page::Anew
        ) {
            continue;
        }
        let path = row.pattern.replace("{reference}", &message.to_string());
        let path = path.replace("{number}", "0").replace("{way}", "secret");
        for method in [Method::Get, Method::Post] {
            for browser in [&stranger, &visitor, &member] {
                let begins = matches!(row.page, Page::Start | Page::Waits | Page::WaitsWay);
                if begins && method == Method::Post && browser.cookie.is_some() {
                    // Would begin a visit in the place of what there is.
                    continue;
                }
                let mut browser = browser.clone();
                let Some((_, page)) = drawn(&mut browser, method, &path).await else {
                    continue;
                };
                for link in languages(&page) {
                    let mut browser = browser.clone();
                    let found = browser.ask(Method::Get, &link, Body::None).await;
                    let status = found.status();
                    assert_ne!(
                        status,
                        Status::METHOD_NOT_ALLOWED,
                        "{method:?} {path}: {link}"
                    );
                    followed.insert((row.pattern, method == Method::Post));
                }
            }
        }
    }
    for posted in [
        "/account/totp/remove",
        "/account/passkey/{number}/remove",
        "/account/language",
        "/account/password",
    ] {
        assert!(followed.contains(&(posted, true)), "{posted}: {followed:?}");
    }
}

#[tokio::test]
async fn recovery_codes_lead_nowhere_that_loses_them() {
    let world = World::new().await;
    world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let set = [("password", PASSWORD), ("repeat", PASSWORD)];
    browser.post("/account/password", &set).await;
    let typed = [("password", PASSWORD)];
    browser.post("/sign-in/password?to=account", &typed).await;
    let drawn = drawn(&mut browser, Method::Post, "/account/recovery").await;
    let (status, page) = drawn.unwrap();
    assert_eq!(status, Status::OK);
    assert!(page.contains("Your recovery codes"), "{page}");
    assert_eq!(languages(&page), Vec::<String>::new());
    // Others have them.
    assert_eq!(languages(&browser.get("/account").await.text()).len(), 5);
}
