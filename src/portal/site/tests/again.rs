//! An open browser is not enough to change an account: a factor is shown once more, or a code of
//! just now where there is no factor yet.

use std::time::Duration;

use super::spelling::{KIM, OTHER, PASSWORD, owner};
use super::support::{Browser, World, address, settle};
use crate::mail::{Level, SecretBytes};
use crate::portal::http::{Method, Status};
use crate::portal::proof::sessions::Found;
use crate::portal::proof::totp::code_for_test;
use crate::portal::proof::{AccountError, ProofError, Session};

fn session(world: &World, browser: &Browser) -> Session {
    let token = browser.cookie.clone().unwrap();
    let found = world.portal.desk.sessions.find(&token, world.portal.now());
    let Some(Found::Session(session)) = found else {
        panic!("no session");
    };
    *session
}

async fn seconds(world: &World, seconds: u64) {
    world.later(Duration::from_secs(seconds)).await;
}

#[tokio::test]
async fn removing_a_factor_and_the_account_ask_once_more() {
    let world = World::new().await;
    let (mut browser, _) = owner(&world).await;
    // The password was typed a moment ago, when it was set: that is not once more.
    let page = browser.post("/account/delete", &[]).await;
    assert_eq!(
        (page.status, page.path.as_str()),
        (Status::OK, "/account/delete")
    );
    assert!(page.text().contains("name=\"password\""));
    let page = browser
        .post("/account/delete", &[("password", OTHER)])
        .await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert_eq!(browser.get("/account").await.path, "/account");
    // An app beside it: its removal asks for the password too.
    let typed = [("password", PASSWORD)];
    let page = browser.post("/sign-in/password?to=totp", &typed).await;
    assert_eq!(page.path, "/account/totp");
    let app = session(&world, &browser).new_totp.unwrap();
    let code = code_for_test(&app, world.portal.now());
    let page = browser.post("/account/totp", &[("code", &code)]).await;
    assert_eq!(page.path, "/account?done=totp");
    seconds(&world, 301).await;
    let page = browser.post("/account/totp/remove", &[]).await;
    assert_eq!(page.status, Status::OK);
    assert!(page.text().contains("name=\"password\""));
    let account = browser.get("/account").await.text();
    assert!(account.contains("/account/totp/remove"));
    // Another factor, shown once more, is as good as the password.
    let code = code_for_test(&app, world.portal.now());
    let page = browser.post("/sign-in/totp", &[("code", &code)]).await;
    assert!(page.path.starts_with("/box"), "{}", page.path);
    let page = browser.post("/account/totp/remove", &[]).await;
    assert_eq!(page.path, "/account?done=removed");
    // Not for long.
    seconds(&world, 301).await;
    let page = browser.post("/account/delete", &[]).await;
    assert_eq!(page.path, "/account/delete");
    let page = browser.post("/account/delete", &typed).await;
    assert_eq!(page.path, "/account/deleted");
}

#[tokio::test]
async fn adding_and_changing_a_factor_ask_once_more() {
    let world = World::new().await;
    let (mut browser, _) = owner(&world).await;
    for name in ["password", "totp", "passkey"] {
        let page = browser.get(&format!("/account/{name}")).await;
        assert_eq!(page.status, Status::FORBIDDEN, "{name}");
        let way = format!("/sign-in/password?to={name}");
        assert!(page.text().contains(&way), "{name}");
        let set = [("password", OTHER), ("repeat", OTHER), ("answer", "{}")];
        let page = browser.post(&format!("/account/{name}"), &set).await;
        assert_eq!(page.status, Status::FORBIDDEN, "{name}");
    }
    // The first visit's page sets no second password.
    let set = [("password", OTHER), ("repeat", OTHER)];
    let page = browser.post("/sign-in/new-password", &set).await;
    assert_eq!(page.status, Status::FORBIDDEN);
    let page = browser.post("/account/recovery", &[]).await;
    assert!(page.text().contains("name=\"password\"") && !page.text().contains("<code>"));
    // What led nowhere changed nothing.
    let path = "/sign-in/password?to=password";
    let page = browser.post(path, &[("password", OTHER)]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert!(page.text().contains("to=password\""), "it leads on");
    let page = browser.post(path, &[("password", PASSWORD)]).await;
    assert_eq!(page.path, "/account/password");
    assert!(page.text().contains("name=\"repeat\""));
    let page = browser.post("/account/password", &set).await;
    assert_eq!(page.path, "/account?done=password");
    // New recovery codes end other sessions, as every change does.
    let mut other = world.signed_in(KIM).await;
    let page = browser.post("/account/recovery", &[]).await;
    assert!(page.text().contains("<code>"));
    assert_eq!(other.get("/box").await.path, "/ended");
    assert_eq!(browser.get("/box").await.path, "/box");
}

/// Who has shown nothing but the mailbox shows a factor once, and not twice.
#[tokio::test]
async fn a_factor_that_is_shown_for_a_change_is_good_for_it() {
    let world = World::new().await;
    owner(&world).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get("/account/password").await;
    assert_eq!(page.status, Status::FORBIDDEN);
    let typed = [("password", PASSWORD)];
    let page = browser.post("/sign-in/password?to=password", &typed).await;
    assert_eq!(
        (page.status, page.path.as_str()),
        (Status::OK, "/account/password")
    );
    // To sign in is another thing.
    let mut browser = world.signed_in(KIM).await;
    browser.post("/sign-in/password", &typed).await;
    let page = browser.get("/account/password").await;
    assert_eq!(page.status, Status::FORBIDDEN);
}

#[tokio::test]
async fn beginning_anew_takes_a_code_of_just_now() {
    let world = World::new().await;
    owner(&world).await;
    let mut by_password = world.browser();
    by_password.post("/", &[("address", KIM)]).await;
    let typed = [("password", PASSWORD)];
    by_password.post("/sign-in/password", &typed).await;
    let mut by_code = world.signed_in(KIM).await;
    seconds(&world, 301).await;
    let facts = || {
        let accounts = &world.portal.desk.accounts;
        accounts.facts(&address(KIM), world.portal.now()).unwrap()
    };
    for browser in [&mut by_password, &mut by_code] {
        let page = browser.post("/sign-in/anew", &[]).await;
        assert_eq!(page.path, "/sign-in/anew");
        assert!(page.text().contains("action=\"/sign-in/send?to=anew\""));
        assert!(facts().password.is_some());
    }
    let page = by_code.post("/sign-in/send?to=anew", &[]).await;
    assert!(page.path.contains("to=anew"), "{}", page.path);
    settle().await;
    let code = world.code();
    let page = by_code.post(&page.path, &[("code", &code)]).await;
    assert_eq!(page.path, "/sign-in/anew");
    assert!(!page.text().contains("/sign-in/send"));
    let page = by_code.post("/sign-in/anew", &[]).await;
    assert_eq!(page.path, "/account/password");
    assert_eq!(page.status, Status::OK);
    assert!(facts().is_empty());
    assert_eq!(by_password.get("/box").await.path, "/ended");
}

#[tokio::test]
async fn a_first_password_takes_a_code_of_not_long_ago() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Confidential).await;
    let mut browser = world.signed_in(KIM).await;
    seconds(&world, 600).await;
    let page = browser.get(&format!("/box/{message}")).await;
    assert_eq!(page.status, Status::OK);
    let path = page.path;
    assert!(path.starts_with("/sign-in/new-password?for="), "{path}");
    seconds(&world, 301).await;
    let set = [("password", PASSWORD), ("repeat", PASSWORD)];
    for path in [path.as_str(), "/account/password", "/account/delete"] {
        let page = browser.post(path, &set).await;
        assert_eq!(page.status, Status::FORBIDDEN, "{path}");
        assert!(page.text().contains("action=\"/sign-in/send?"), "{path}");
    }
    let account = world
        .portal
        .desk
        .accounts
        .spelling(&address(KIM), world.portal.now());
    assert_eq!(account.unwrap(), None);
    let send = format!("/sign-in/send?for={message}");
    let page = browser.post(&send, &[]).await;
    settle().await;
    let code = world.code();
    let page = browser.post(&page.path, &[("code", &code)]).await;
    assert_eq!(
        (page.status, page.path.as_str()),
        (Status::OK, path.as_str())
    );
    let page = browser.post(&path, &set).await;
    assert_eq!(page.path, format!("/box/{message}"));
    assert!(world.opened(message));
}

#[tokio::test]
async fn a_code_sent_twice_leaves_the_session_that_it_began() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    let code = world.code();
    let mut second = browser.clone();
    let page = browser.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.path, format!("/box/{message}"));
    let form = second.form(&[("code", &code)]);
    let answer = second.ask(Method::Post, "/sign-in/code", form).await;
    assert_eq!(answer.location(), Some("/ended"));
    assert!(answer.cookies().is_empty());
    // The browser, which has the new cookie, is led back.
    let page = browser.get("/ended").await;
    assert_eq!(page.path, format!("/box/{message}"));
    assert_eq!(second.get("/ended").await.path, "/ended");
}

/// A session that was ended while its request was under way neither changes the account nor comes
/// back.
#[tokio::test]
async fn what_was_under_way_when_sessions_were_ended_changes_nothing() {
    let world = World::new().await;
    let (mut browser, _) = owner(&world).await;
    let typed = [("password", PASSWORD)];
    browser.post("/sign-in/password?to=password", &typed).await;
    let before = session(&world, &browser);
    let sessions = &world.portal.desk.sessions;
    let accounts = &world.portal.desk.accounts;
    sessions.end_all(&before.address, None);
    let new = SecretBytes::new(OTHER.as_bytes().to_vec());
    let now = world.portal.now();
    let set = accounts.set_password(&before.address, &before.proofs, &new, now);
    let ended = AccountError::Proof(ProofError::Ended).to_string();
    assert_eq!(set.await.unwrap_err().to_string(), ended);
    let page = browser.get("/account/password").await;
    assert_eq!(page.path, "/ended");
}

/// Somebody whom nobody knows, and who came to write, gets a code for a first factor too.
#[tokio::test]
async fn an_outsider_gets_a_fresh_code() {
    let world = World::new().await;
    let mut browser = world.browser();
    let typed = [("address", "out@elsewhere.example")];
    let page = browser.post("/write", &typed).await;
    assert_eq!(page.path, "/sign-in");
    let page = browser.post("/sign-in/send", &[]).await;
    settle().await;
    let page = browser.post(&page.path, &[("code", &world.code())]).await;
    assert_eq!((page.status, page.path.as_str()), (Status::OK, "/write"));
    seconds(&world, 600).await;
    assert_eq!(browser.get("/write").await.path, "/write");
    seconds(&world, 301).await;
    let page = browser.get("/account/password").await;
    assert_eq!(page.status, Status::FORBIDDEN);
    let send = "/sign-in/send?to=password";
    assert!(page.text().contains(send));
    let page = browser.post(send, &[]).await;
    settle().await;
    assert_eq!(world.line.count(), 2);
    let (ask, _) = world.newest();
    assert_eq!(ask.recipient, address("out@elsewhere.example"));
    let page = browser.post(&page.path, &[("code", &world.code())]).await;
    assert_eq!(
        (page.status, page.path.as_str()),
        (Status::OK, "/account/password")
    );
}
