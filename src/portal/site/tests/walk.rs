//! What people do: from the notice's link to the reply.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::support::{DAY, World, address, secret, settle};
use crate::mail::{Grade, Level, PickupWishes};
use crate::portal::http::{Body, Method, Status};
use crate::portal::proof::Channel;
use crate::portal::proof::tests_support::failing_hook;
use crate::portal::proof::totp::TotpSecret;
use crate::portal::site::COOKIE;
use crate::portal::store::ReplyState;

const KIM: &str = "kim@patient.example";
const PASSWORD: &str = "heron lamp cobalt river";

#[tokio::test]
async fn first_visit_code_read_download_reply() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    let page = browser.get(&format!("/m/{message}")).await;
    assert_eq!(page.status, Status::OK);
    let text = page.text();
    assert!(!text.contains("Ada") && !text.contains(KIM) && !text.contains("Results"));
    let page = browser.post(&format!("/m/{message}"), &[]).await;
    assert_eq!(
        (page.status, page.path.as_str()),
        (Status::OK, "/sign-in/code")
    );
    settle().await;
    assert!(!world.opened(message));
    let (ask, _) = world.newest();
    assert_eq!(ask.recipient, address(KIM));
    // Before its mail has arrived, a code does not count, and is not spent.
    let page = browser.post("/sign-in/code", &[("code", &ask.code)]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert!(page.text().contains("Your code is right."));
    let before = browser.cookie.clone();
    let code = world.code();
    let page = browser.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.path, format!("/box/{message}"));
    assert_eq!(page.status, Status::OK);
    assert_ne!(browser.cookie, before, "a new token with the privilege");
    let text = page.text();
    assert!(text.contains("Results 1") && text.contains("The text of number 1"));
    assert!(text.contains("&#60;b&#62;is plain"), "{text}");
    assert!(world.opened(message));
    reading(&world, &mut browser, &message.to_string()).await;
    let replied = [("subject", "Results 1"), ("text", "Thank you.\r\nKim")];
    let path = format!("/box/{message}/reply");
    let page = browser.get(&path).await;
    assert!(page.text().contains("value=\"Results 1\""));
    let files: [(&str, &[u8]); 1] = [("scan.pdf", b"%PDF-1.4\n%%EOF\n")];
    let page = browser.upload(&path, &replied, &files).await;
    assert_eq!((page.status, page.path.as_str()), (Status::OK, "/replied"));
    let replies = world.portal.store.replies(&message);
    assert_eq!((replies.len(), replies[0].state), (1, ReplyState::Waiting));
    let content = world.portal.store.reply_content(replies[0].ticket).await;
    let content = String::from_utf8(content.unwrap().to_vec()).unwrap();
    assert!(content.contains("\r\nIn-Reply-To: <1@clinic.example>\r\n"));
    assert!(content.contains("secure-mail@clinic.example") && content.contains("scan.pdf"));
    let sent = browser.get("/sent").await.text();
    assert!(sent.contains("Ada Meyer") && sent.contains("on its way"));
}

/// Every view of a message that was opened.
async fn reading(world: &World, browser: &mut super::support::Browser, message: &str) {
    let list = browser.get("/box").await.text();
    assert!(list.contains("Results 1") && list.contains("opened"));
    let html = browser.get(&format!("/box/{message}/html")).await.text();
    assert!(html.contains("<iframe") && html.contains("sandbox=\"allow-popups"));
    assert!(!html.contains("allow-scripts") && !html.contains("allow-same-origin"));
    let frame = browser.get(&format!("/box/{message}/frame")).await.text();
    assert!(frame.contains("<b>HTML</b>") && frame.contains("src=\"data:image/png;base64,"));
    assert!(!frame.contains("script") && !frame.contains("track.example"));
    let print = browser.get(&format!("/box/{message}/print")).await.text();
    assert!(print.contains("The text of number 1"));
    let page = browser.get(&format!("/box/{message}")).await.text();
    let file = page
        .split("href=\"")
        .filter_map(|piece| piece.split('"').next())
        .filter(|path| path.contains("/file/"))
        .collect::<Vec<_>>();
    assert_eq!(file.len(), 2, "the picture and the notes");
    let mut found = Vec::new();
    for path in file {
        found.push(browser.get(path).await.octets);
    }
    assert!(found.contains(&b"the notes".to_vec()), "{found:?}");
    let zip = browser.get(&format!("/box/{message}/all.zip")).await;
    assert!(zip.octets.starts_with(b"PK"));
    let original = browser.get(&format!("/box/{message}/message.eml")).await;
    assert_eq!(original.octets, super::support::message(1).into_bytes());
    let record = world
        .portal
        .store
        .record(&super::support::reference(1))
        .unwrap();
    let what: Vec<&str> = record.accesses().map(|it| it.what.as_str()).collect();
    for done in ["read", "print", "attachment", "download"] {
        assert!(what.contains(&done), "{what:?}");
    }
}

#[tokio::test]
async fn a_confidential_message_has_a_password_set_and_the_next_visit_asks_for_it() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Confidential).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{message}")).await;
    assert!(
        page.path.starts_with("/sign-in/new-password?for="),
        "{}",
        page.path
    );
    assert!(!world.opened(message));
    let set = |one: &'static str, two: &'static str| [("password", one), ("repeat", two)];
    for (fields, text) in [
        (set("short", "short"), "at least 12"),
        (set(PASSWORD, "other"), "not the same"),
        (set("password1234", "password1234"), "easy to guess"),
    ] {
        let page = browser.post(&page.path, &fields).await;
        assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
        assert!(page.text().contains(text), "{text}");
        assert!(
            !page.text().contains("value=\"short"),
            "a password is not sent back"
        );
    }
    let page = browser.post(&page.path, &set(PASSWORD, PASSWORD)).await;
    assert_eq!(page.path, format!("/box/{message}"));
    assert!(world.opened(message));
    // The next message: both again, in either order.
    world.later(Duration::from_secs(3600)).await;
    let second = world.leave(2, KIM, Level::Confidential).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{second}")).await;
    assert!(
        page.path.starts_with("/sign-in/password?for="),
        "{}",
        page.path
    );
    let path = page.path.clone();
    let page = browser
        .post(&path, &[("password", "wrong password here")])
        .await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert!(!world.opened(second));
    let page = browser.post(&path, &[("password", PASSWORD)]).await;
    assert_eq!(page.path, format!("/box/{second}"));
    assert!(world.opened(second));
}

#[tokio::test]
async fn an_app_opens_what_came_after_it_was_set_up_and_nothing_before() {
    let world = World::new().await;
    let before = world.leave(1, KIM, Level::Restricted).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{before}")).await;
    assert_eq!(page.status, Status::FORBIDDEN);
    assert!(page.text().contains("ask the sender"));
    let page = browser.get("/account/totp").await;
    let text = page.text();
    let (_, rest) = text.split_once("<code class=\"secret\">").unwrap();
    let typed = rest.split('<').next().unwrap().replace(' ', "");
    let token = browser.cookie.clone().unwrap();
    let found = world.portal.desk.sessions.find(&token, world.clock.now());
    let Some(crate::portal::proof::sessions::Found::Session(session)) = found else {
        panic!("a session");
    };
    let app: TotpSecret = session.new_totp.unwrap();
    assert_eq!(*app.to_base32(), typed);
    let shown = |at| crate::portal::proof::totp::code_for_test(&app, at);
    let page = browser.post("/account/totp", &[("code", "000000")]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    let code = shown(world.clock.now());
    let page = browser.post("/account/totp", &[("code", &code)]).await;
    assert_eq!(page.path, "/account?done=totp");
    let page = browser.get(&format!("/box/{before}")).await;
    assert_eq!(
        page.status,
        Status::FORBIDDEN,
        "set up too late for this one"
    );
    world.later(Duration::from_secs(3600)).await;
    let after = world.leave(2, KIM, Level::Restricted).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{after}")).await;
    assert!(page.path.starts_with("/sign-in/totp?for="), "{}", page.path);
    assert!(!world.opened(after));
    let code = shown(world.clock.now());
    let page = browser.post(&page.path, &[("code", &code)]).await;
    assert_eq!(
        (page.status, page.path),
        (Status::OK, format!("/box/{after}"))
    );
    assert!(world.opened(after) && !world.opened(before));
}

#[tokio::test]
async fn the_senders_secret_opens_its_message_and_no_other_and_shows_no_list() {
    let world = World::new().await;
    let message = world
        .leave_with(1, KIM, Level::Restricted, secret("blue heron"))
        .await;
    let other = world.leave(2, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.get(&format!("/m/{message}")).await;
    let page = browser.post(&format!("/m/{message}/secret"), &[]).await;
    assert_eq!(page.path, "/sign-in/secret");
    let page = browser
        .post("/sign-in/secret", &[("secret", "red heron")])
        .await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    let page = browser
        .post("/sign-in/secret", &[("secret", " blue heron ")])
        .await;
    assert_eq!(
        (page.status, page.path),
        (Status::OK, format!("/box/{message}"))
    );
    assert!(world.opened(message));
    // What is restricted does not leave as it is.
    let page = browser.get(&format!("/box/{message}/message.eml")).await;
    assert_eq!(page.status, Status::NOT_FOUND);
    for path in ["/box", "/sent", "/account"] {
        let page = browser.get(path).await;
        assert_eq!(page.path, "/sign-in", "{path}");
        assert!(!page.text().contains(KIM));
    }
    let page = browser.get(&format!("/box/{other}")).await;
    assert_eq!(page.status, Status::NOT_FOUND);
    assert!(!world.opened(other));
}

#[tokio::test]
async fn the_list_shows_a_subject_to_whom_its_message_would_open_and_nobody_else() {
    let world = World::new().await;
    let wishes = secret("blue heron");
    let closed = world.leave_with(1, KIM, Level::Restricted, wishes).await;
    let open = world.leave(2, KIM, Level::Protected).await;
    let mut owner = world.browser();
    owner.post(&format!("/m/{closed}/secret"), &[]).await;
    let typed = [("secret", "blue heron")];
    owner.post("/sign-in/secret", &typed).await;
    assert!(world.opened(closed));
    // Somebody who reads the mailbox, and has nothing else.
    let mut holder = world.signed_in(KIM).await;
    holder.get(&format!("/box/{open}")).await;
    let list = holder.get("/box").await.text();
    assert!(list.contains(&closed.to_string()) && !list.contains("Results 1"));
    assert!(list.contains("Results 2"), "this one a code opens");
    let typed = [("secret", "blue heron")];
    let path = format!("/sign-in/secret?for={closed}");
    holder.post(&path, &typed).await;
    let list = holder.get("/box").await.text();
    assert!(list.contains("Results 1") && list.contains("Results 2"));
}

#[tokio::test]
async fn a_code_whose_mail_others_could_read_is_not_taken() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    let (ask, id) = world.newest();
    world.travelled(id, Some(Grade::None));
    let page = browser.post("/sign-in/code", &[("code", &ask.code)]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert!(page.text().contains("without encryption"));
    assert!(!world.opened(message));
}

#[tokio::test]
async fn wrong_codes_are_counted_and_then_there_is_a_pause_that_destroys_nothing() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    let code = world.code();
    let wrong = if code == "00000000" {
        "11111111"
    } else {
        "00000000"
    };
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let page = browser.post("/sign-in/code", &[("code", wrong)]).await;
        statuses.push(page.status);
    }
    assert_eq!(statuses[0], Status::UNPROCESSABLE_ENTITY);
    assert_eq!(statuses[11], Status::TOO_MANY_REQUESTS, "{statuses:?}");
    let page = browser.post("/sign-in/code", &[("code", "123")]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY, "costs no try");
    assert!(!world.opened(message));
    world.later(2 * DAY).await;
    let mut browser = world.signed_in(KIM).await;
    let page = browser.get(&format!("/box/{message}")).await;
    assert_eq!(page.status, Status::OK);
}

/// The link pressed twice: the page says that no further code was sent, and the first one is good.
#[tokio::test]
async fn a_second_request_says_when_the_next_code_comes() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.browser();
    browser.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    let (code, mailed) = (world.code(), world.line.count());
    let page = browser.post(&format!("/m/{message}"), &[]).await;
    settle().await;
    assert_eq!(world.line.count(), mailed);
    assert!(page.text().contains("No further code was sent just now"));
    assert!(page.text().contains("next one in a minute"));
    let page = browser.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(page.status, Status::OK);
    assert!(world.opened(message));
}

#[tokio::test]
async fn what_has_ended_says_so_to_whom_it_was_for() {
    let world = World::new().await;
    let expired = world.leave(1, KIM, Level::Protected).await;
    world.later(20 * DAY).await;
    let retracted = world.leave(2, KIM, Level::Protected).await;
    let by = crate::portal::store::By {
        actor: "operator".to_owned(),
        reason: "wrong recipient".to_owned(),
    };
    world.portal.store.retract(retracted, by).await.unwrap();
    world.later(11 * DAY).await;
    let mut browser = world.signed_in(KIM).await;
    for (message, text) in [
        (expired, "has expired"),
        (retracted, "taken this message back"),
    ] {
        for view in [
            "",
            "/html",
            "/frame",
            "/print",
            "/all.zip",
            "/message.eml",
            "/reply",
        ] {
            let page = browser.get(&format!("/box/{message}{view}")).await;
            assert_eq!(page.status, Status::GONE, "{view}");
            assert!(page.text().contains(text), "{view}");
        }
        assert!(!world.opened(message));
    }
    let list = browser.get("/box").await.text();
    assert!(list.contains("expired") && list.contains("taken back"));
}

#[tokio::test]
async fn sessions_end_when_idle_and_by_signing_out_and_forged_forms_do_nothing() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let body = Body::Form(crate::portal::http::Pairs::parse(b"csrf=AAAA").unwrap());
    let answer = browser.ask(Method::Post, "/sign-out", body).await;
    assert_eq!(answer.status(), Status::FORBIDDEN);
    assert_eq!(browser.get("/box").await.path, "/box");
    let old = browser.cookie.clone();
    let form = browser.form(&[]);
    let answer = browser.ask(Method::Post, "/sign-out", form).await;
    assert_eq!(answer.location(), Some("/signed-out"));
    assert_eq!(browser.cookie, None);
    browser.cookie = old;
    assert_eq!(browser.get("/box").await.path, "/ended");
    assert_eq!(COOKIE, "portal");
    let mut browser = world.signed_in(KIM).await;
    world.later(Duration::from_secs(16 * 60)).await;
    assert_eq!(browser.get("/box").await.path, "/ended");
    let page = browser.get(&format!("/box/{message}")).await;
    assert_eq!(page.path, format!("/m/{message}"));
}

#[tokio::test]
async fn a_reply_that_is_refused_keeps_its_text() {
    let world = World::new().await;
    let message = world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    let path = format!("/box/{message}/reply");
    let long: Vec<u8> = vec![b'x'; 20_000];
    let cases: [(&str, &[u8], Status, &str); 3] = [
        ("a.txt", &long, Status::PAYLOAD_TOO_LARGE, "too large"),
        (
            "run.exe",
            b"MZ\x90\0",
            Status::UNPROCESSABLE_ENTITY,
            "a program",
        ),
        (
            "x.html",
            b"<script>",
            Status::UNPROCESSABLE_ENTITY,
            "a script",
        ),
    ];
    for (name, octets, status, text) in cases {
        let typed = [("subject", "S"), ("text", "what I <b>wrote</b>")];
        let page = browser.upload(&path, &typed, &[(name, octets)]).await;
        assert_eq!(page.status, status, "{name}");
        assert!(page.text().contains("what I &#60;b&#62;wrote"), "{name}");
        assert!(page.text().contains(text), "{name}: {}", page.text());
        assert!(page.text().contains("role=\"alert\""));
    }
    let page = browser.upload(&path, &[("text", "  ")], &[]).await;
    assert_eq!(page.status, Status::UNPROCESSABLE_ENTITY);
    assert_eq!(world.portal.store.replies(&message), []);
}

#[tokio::test]
async fn outsiders_write_to_the_listed_addresses_only() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = browser.get("/write").await;
    assert!(page.text().contains("office@clinic.example"));
    let page = browser
        .post("/write", &[("address", "new@outside.example")])
        .await;
    assert_eq!(page.path, "/sign-in");
    browser.post("/sign-in/send", &[]).await;
    settle().await;
    let code = world.code();
    let page = browser.post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!((page.status, page.path.as_str()), (Status::OK, "/write"));
    let fields = |to: &'static str| [("to", to), ("subject", "Hello"), ("text", "May I come?")];
    let page = browser.post("/write", &fields("ceo@clinic.example")).await;
    assert_eq!(page.status, Status::BAD_REQUEST);
    let page = browser
        .post("/write", &fields("office@clinic.example"))
        .await;
    assert_eq!(page.path, "/replied");
    let reply = world.portal.store.next_reply().unwrap().unwrap();
    assert_eq!(reply.to, address("office@clinic.example"));
    assert_eq!(
        (reply.from, reply.queue_id),
        (address("new@outside.example"), None)
    );
}

#[tokio::test]
async fn the_language_is_that_of_the_link_the_account_or_the_browser() {
    let world = World::new().await;
    let mut browser = world.browser();
    browser.language = "fr-CA, en;q=0.5".to_owned();
    let page = browser.get("/").await.text();
    assert!(page.contains("<html lang=\"fr\">"));
    let page = browser.get("/?lang=zh").await.text();
    assert!(page.contains("<html lang=\"zh\">") && page.contains("action=\"/?lang=zh\""));
    world.leave(1, KIM, Level::Protected).await;
    let mut browser = world.signed_in(KIM).await;
    browser
        .post("/account/language", &[("language", "de")])
        .await;
    let page = browser.get("/box").await.text();
    assert!(page.contains("<html lang=\"de\">") && page.contains("Ihre Nachrichten"));
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn codes_tokens_passwords_and_content_stand_in_no_log_line_and_no_address() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let wishes = secret("blue heron");
    let message = world.leave_with(1, KIM, Level::Confidential, wishes).await;
    let mut secrets = vec![PASSWORD.to_owned(), "blue heron".to_owned()];
    let mut browser = world.signed_in(KIM).await;
    secrets.push(world.newest().0.code);
    secrets.extend(browser.cookie.clone());
    let path = "/sign-in/new-password";
    let fields = [("password", PASSWORD), ("repeat", PASSWORD)];
    assert_eq!(browser.post(path, &fields).await.path, "/box");
    secrets.extend(browser.cookie.clone());
    let path = format!("/sign-in/secret?for={message}");
    let page = browser.post(&path, &[("secret", "blue heron")]).await;
    assert_eq!(page.path, format!("/box/{message}"));
    secrets.extend(browser.cookie.clone());
    let fields = [
        ("password", "lamp heron river cobalt"),
        ("repeat", "lamp heron river cobalt"),
    ];
    let typed = [("password", PASSWORD)];
    let page = browser.post("/sign-in/password?to=password", &typed).await;
    assert_eq!(page.path, "/account/password");
    secrets.extend(browser.cookie.clone());
    let page = browser.post("/account/password", &fields).await;
    assert_eq!(page.path, "/account?done=password");
    secrets.push("lamp heron river cobalt".to_owned());
    secrets.extend(browser.cookie.clone());
    let codes = browser.post("/account/recovery", &[]).await.text();
    let code = codes
        .split("<code>")
        .nth(1)
        .unwrap_or_else(|| panic!("{codes}"));
    secrets.push(code.split('<').next().unwrap().to_owned());
    let page = browser.get(&format!("/box/{message}")).await;
    assert!(page.text().contains("Results 1"));
    secrets.extend(["Results 1".to_owned(), "The text of number".to_owned()]);
    tracing::info!("the log is read");
    let logged = log.0.lock().unwrap().clone();
    let logged = String::from_utf8_lossy(&logged);
    assert!(logged.contains("the log is read"));
    assert!(secrets.len() >= 8 && secrets.iter().all(|it| it.len() >= 8));
    for secret in &secrets {
        assert!(!logged.contains(secret.as_str()));
        let encoded = secret.replace(' ', "%20");
        let in_path = |path: &String| path.contains(secret.as_str()) || path.contains(&encoded);
        assert!(!browser.paths.iter().any(in_path));
    }
}

/// Asking for a third text while two codes are good: the page still asks for the code.
#[tokio::test]
async fn a_third_text_is_not_sent_and_the_codes_before_it_stay_good() {
    let world = World::with_hook(Some(failing_hook())).await;
    let wishes = PickupWishes {
        phone: Some("+12025550123".parse().unwrap()),
        ..PickupWishes::default()
    };
    let message = world.leave_with(1, KIM, Level::Restricted, wishes).await;
    let mut browser = world.signed_in(KIM).await;
    let send = format!("/sign-in/phone/send?for={message}");
    let page = browser.post(&send, &[]).await;
    assert_eq!(page.status, Status::SERVICE_UNAVAILABLE);
    // As if the hook had taken two.
    let (desk, now) = (&world.portal.desk, world.clock.now());
    let seat = desk.sessions.seat(browser.cookie.as_deref().unwrap(), now);
    let channel = Channel::Phone(message);
    let mut codes = Vec::new();
    for _ in 0..2 {
        let issued = desk
            .codes
            .issue(&channel, seat.unwrap(), now)
            .unwrap()
            .unwrap();
        desk.codes.arrived(issued.ticket);
        codes.push(issued.code);
    }
    let page = browser.post(&send, &[]).await;
    assert_eq!(page.status, Status::TOO_MANY_REQUESTS);
    let text = page.text();
    assert!(text.contains("it is still good in the browser"), "{text}");
    assert!(text.contains(&format!("/sign-in/phone?for={message}")));
    let path = format!("/sign-in/phone?for={message}");
    let page = browser.post(&path, &[("code", codes[0].expose())]).await;
    assert_eq!(page.path, format!("/box/{message}"));
    assert!(world.opened(message));
}
