//! A button that is pressed twice does what it says once, and forms of another tab are drawn again:
//! nothing that somebody typed or was shown is lost by it.

use super::spelling::{KIM, PASSWORD, owner};
use super::support::{Browser, Shown, World, address, settle};
use crate::mail::Level;
use crate::portal::http::{Answer, Body, Method, Pairs, Payload, Status};

/// A form with the token of some page.
fn form(csrf: &str, fields: &[(&str, &str)]) -> Body {
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.append_pair("csrf", csrf);
    written.extend_pairs(fields);
    Body::Form(Pairs::parse(written.finish().as_bytes()).unwrap())
}

/// Presses a button of a page that was drawn with this token.
async fn press(browser: &mut Browser, path: &str, csrf: &str, fields: &[(&str, &str)]) -> Answer {
    browser.ask(Method::Post, path, form(csrf, fields)).await
}

#[tokio::test]
async fn a_notices_button_that_is_pressed_twice_is_pressed_in_one_browser() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let path = format!("/m/{message}");
    let csrf = world.browser().csrf();
    let mut first = world.browser();
    let mut second = world.browser();
    let answer = press(&mut first, &path, &csrf, &[]).await;
    assert_eq!(answer.location(), Some("/sign-in/code"));
    settle().await;
    let code = world.code();
    // The cookie of the first answer had not come yet.
    let answer = press(&mut second, &path, &csrf, &[]).await;
    let on = answer.location().unwrap();
    assert!(on.starts_with("/sign-in/code?soon="), "{on}");
    settle().await;
    assert_eq!(world.line.count(), 1, "one mail");
    // Or it had.
    let mut third = first.clone();
    let answer = press(&mut third, &path, &csrf, &[]).await;
    assert_eq!(answer.location(), Some("/sign-in/code"));
    assert!(answer.cookies().is_empty());
    let answer = press(&mut third, &format!("{path}/password"), &csrf, &[]).await;
    assert_eq!(answer.location(), Some("/sign-in/code"));
    // Another form is another browser: the code is wrong there.
    let mut stranger = world.browser();
    stranger.post(&path, &[]).await;
    let page = stranger.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    let page = second.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.path, path.replace("/m/", "/box/"));
}

#[tokio::test]
async fn a_form_of_another_tab_is_drawn_again() {
    let world = World::new().await;
    let (one, two) = (
        world.leave(1, KIM, Level::Protected).await,
        world.leave(2, KIM, Level::Protected).await,
    );
    let csrf = world.browser().csrf();
    let mut browser = world.browser();
    press(&mut browser, &format!("/m/{one}"), &csrf, &[]).await;
    // The page of another notice, which was open: its button works when it is pressed again.
    let path = format!("/m/{two}");
    for way in ["", "/password"] {
        let answer = press(&mut browser, &format!("{path}{way}"), &csrf, &[]).await;
        assert_eq!(answer.location(), Some(path.as_str()));
    }
    let page = browser.post(&path, &[]).await;
    assert!(page.path.starts_with("/sign-in/code"), "{}", page.path);
    // What was typed stays; what has begun goes on.
    for path in ["/", "/write"] {
        let typed = [("address", "kim@other.example")];
        let answer = press(&mut browser, path, &csrf, &typed).await;
        assert_eq!(answer.status(), Status::FORBIDDEN);
        let page = text(answer);
        assert!(page.contains("value=\"kim@other.example\""), "{page}");
        assert!(page.contains("The form was too old"), "{page}");
        assert!(page.contains(&browser.csrf()), "it can be sent now");
        assert_eq!(browser.post(path, &typed).await.path, "/sign-in");
        let before = browser.cookie.clone();
        let answer = press(&mut browser, path, &csrf, &typed).await;
        assert_eq!(answer.location(), Some("/sign-in"));
        assert_eq!(browser.cookie, before);
    }
}

fn text(answer: Answer) -> String {
    match answer.into_payload() {
        Payload::Whole(octets) => String::from_utf8(octets.to_vec()).unwrap(),
        _ => panic!("no page"),
    }
}

#[tokio::test]
async fn what_was_written_outlasts_a_new_token_from_another_tab() {
    let world = World::new().await;
    let (mut browser, message) = owner(&world).await;
    let csrf = browser.csrf();
    let typed = [("password", PASSWORD)];
    let page = browser.post("/sign-in/password", &typed).await;
    assert_eq!(page.path, format!("/box/{message}"));
    let written = [
        ("text", "what I <b>wrote</b>"),
        ("to", "office@clinic.example"),
    ];
    for path in [format!("/box/{message}/reply"), "/write".to_owned()] {
        let answer = press(&mut browser, &path, &csrf, &written).await;
        assert_eq!(answer.status(), Status::FORBIDDEN);
        let page = text(answer);
        assert!(page.contains("what I &#60;b&#62;wrote"), "{page}");
        assert!(page.contains(&browser.csrf()));
        let page = browser.post(&path, &written).await;
        assert_eq!(page.path, "/replied");
    }
    // Each once: what came with the old token was not sent.
    assert_eq!(world.portal.store.replies(&message).len(), 1);
}

/// Codes in a page.
fn codes(page: &Shown) -> Vec<String> {
    let text = page.text();
    let pieces = text.split("<code>").skip(1);
    pieces
        .filter_map(|piece| piece.split('<').next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn recovery_codes_that_are_seen_are_those_that_count() {
    let world = World::new().await;
    let (browser, _) = owner(&world).await;
    let typed = [("password", PASSWORD)];
    let mut other = world.signed_in(KIM).await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(
        one.post("/account/recovery", &typed),
        two.post("/account/recovery", &typed)
    );
    // The browser shows what the last press came to.
    let seen = codes(&second);
    assert_eq!(seen.len(), 10, "{} {}", second.path, first.path);
    let accounts = &world.portal.desk.accounts;
    let (kim, now) = (address(KIM), world.portal.now());
    let shown = accounts.check_recovery(&kim, &seen[0], now).await;
    assert!(shown.unwrap().is_some());
    for code in codes(&first) {
        let shown = accounts.check_recovery(&kim, &code, now).await;
        assert!(shown.unwrap().is_none(), "of the first press");
    }
    assert_eq!(other.get("/box").await.path, "/ended");
    assert_eq!(two.get("/box").await.path, "/box");
}

#[tokio::test]
async fn beginning_anew_twice_leads_where_it_leads_once() {
    let world = World::new().await;
    owner(&world).await;
    let browser = world.signed_in(KIM).await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(
        one.post("/sign-in/anew", &[]),
        two.post("/sign-in/anew", &[])
    );
    for page in [first, second] {
        assert_eq!(
            (page.status, page.path.as_str()),
            (Status::OK, "/account/password")
        );
    }
}
