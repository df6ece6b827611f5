//! Mail comes in: over TLS with a password, or on a local socket, and in no other way.

use std::sync::Arc;
use std::time::Duration;

use sealpost::directory::Users;
use sealpost::directory::users::edit;
use sealpost::submission::{Listener, ListenerError, ListenerTls, Socket, SubmissionConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::support::door::{
    Client, Door, PASSWORD, auth_plain, certified, config, connect_tls, secret, upgrade,
};
use crate::support::line::{Line, short_retry};
use crate::support::mx::Mx;
use crate::support::world::World;

const CONTENT: &[u8] = b"From: <a@clinic.example>\r\nTo: <r@b.example>\r\nBcc: blind@b.example\r\nSubject: canary-subject\r\n\r\n.canary-body\r\n.\r\n";

pub struct Scene {
    pub world: World,
    pub mx: Mx,
    pub line: Line,
    pub door: Door,
    _directory: tempfile::TempDir,
}

async fn scene_with(config: SubmissionConfig) -> Scene {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let directory = tempfile::tempdir().unwrap();
    let line = Line::start(&world, directory.path(), short_retry());
    let door = Door::open(&world, &line, directory.path(), config).await;
    Scene {
        world,
        mx,
        line,
        door,
        _directory: directory,
    }
}

pub async fn scene() -> Scene {
    scene_with(config()).await
}

pub fn queue_id(reply: &str) -> &str {
    reply
        .strip_prefix("250 2.0.0 Ok: queued as ")
        .unwrap_or_else(|| panic!("{reply:?}"))
        .trim_end()
}

#[tokio::test]
async fn a_message_over_implicit_tls_is_queued_delivered_and_logged() {
    let scene = scene().await;
    let mut client = scene.door.client().await;
    let reply = client
        .submit("a@clinic.example", &["r@b.example"], CONTENT)
        .await;
    let id = queue_id(&reply);
    let received = scene.line.event(|line| line["event"] == "received").await;
    assert_eq!(received["queue_id"], id);
    assert_eq!(received["user"], "app");
    assert_eq!(received["client"], "127.0.0.1");
    assert_eq!(received["tls"]["version"], "TLSv1.3");
    scene.line.event(|line| line["event"] == "delivered").await;
    let content = String::from_utf8(scene.mx.heard().taken[0].content.clone()).unwrap();
    let expected = format!(
        "Received: from client.example ([127.0.0.1])\r\n\tby mail.clinic.example with ESMTPSA id {id}\r\n\t(version=TLSv1.3 cipher=TLS_"
    );
    assert!(content.starts_with(&expected), "{content}");
    assert!(
        content.contains(&format!("\r\nMessage-ID: <{id}@mail.clinic.example>\r\n")),
        "{content}"
    );
    assert!(content.contains("\r\nDate: Sun, 22 Nov 2026 "), "{content}");
    assert!(!content.contains("blind"), "{content}");
    assert!(
        content.ends_with("\r\n\r\n.canary-body\r\n.\r\n"),
        "{content}"
    );
    client.ask("QUIT", "221 2.0.0").await;
    client.is_closed().await;
}

#[tokio::test]
async fn starttls_comes_first_and_everything_after_it_is_new() {
    let scene = scene().await;
    let stream = TcpStream::connect(scene.door.starttls).await.unwrap();
    let mut client = Client::new(Box::new(stream));
    assert!(client.greeted().await.contains("250-STARTTLS\r\n"));
    client
        .ask("MAIL FROM:<a@clinic.example>", "530 5.7.0")
        .await;
    client.ask(&auth_plain("app", PASSWORD), "538 5.7.11").await;
    client.ask("STARTTLS", "220 2.0.0").await;
    let stream = upgrade(client.stream, scene.door.ca.roots(), &[])
        .await
        .unwrap();
    let mut client = Client::new(stream);
    let keywords = client.ask("EHLO client.example", "250").await;
    assert!(keywords.contains("250-AUTH PLAIN LOGIN\r\n") && !keywords.contains("STARTTLS"));
    client
        .ask("MAIL FROM:<a@clinic.example>", "530 5.7.0")
        .await;
    client.ask(&auth_plain("app", PASSWORD), "235 2.7.0").await;
    let reply = client
        .submit("a@clinic.example", &["r@b.example"], CONTENT)
        .await;
    queue_id(&reply);
}

#[tokio::test]
async fn octets_behind_starttls_end_the_connection() {
    let scene = scene().await;
    let stream = TcpStream::connect(scene.door.starttls).await.unwrap();
    let mut client = Client::new(Box::new(stream));
    client.greeted().await;
    client.send(b"STARTTLS\r\nEHLO evil.example\r\n").await;
    client.expect("501 5.5.4").await;
    client.is_closed().await;
}

#[tokio::test]
async fn local_sockets_act_for_their_account_and_for_nobody_else() {
    let scene = scene().await;
    for mut client in [
        scene.door.client_local().await,
        scene.door.client_unix().await,
    ] {
        let keywords = client.greeted().await;
        assert!(
            !keywords.contains("AUTH") && !keywords.contains("STARTTLS"),
            "{keywords}"
        );
        client
            .ask("MAIL FROM:<ceo@other.example>", "550 5.7.1")
            .await;
        let reply = client
            .submit("a@clinic.example", &["r@b.example"], CONTENT)
            .await;
        let id = queue_id(&reply).to_owned();
        let received = scene
            .line
            .event(|line| line["event"] == "received" && line["queue_id"] == id.as_str())
            .await;
        assert_eq!(received["user"], "app");
    }
    // A removed account is gone for its listener too.
    edit::remove(&scene.door.users, "app").unwrap();
    scene
        .door
        .authenticator
        .reload(Users::load(&scene.door.users).unwrap())
        .unwrap();
    let mut client = scene.door.client_unix().await;
    client.greeted().await;
    client
        .ask("MAIL FROM:<a@clinic.example>", "550 5.7.1")
        .await;
}

#[tokio::test]
async fn a_listener_without_tls_is_local_and_names_an_account() {
    let app = || ListenerTls::None { user: "app".into() };
    let open = TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert!(matches!(
        Listener::new("open", Socket::Tcp(open), app()),
        Err(ListenerError::NotLocal(_))
    ));
    let loopback = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(Listener::new("loopback", Socket::Tcp(loopback), app()).is_ok());
    let directory = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(directory.path().join("s")).unwrap();
    let nobody = ListenerTls::None {
        user: String::new(),
    };
    assert!(matches!(
        Listener::new("unix", Socket::Unix(unix), nobody),
        Err(ListenerError::NoAccount)
    ));
}

#[tokio::test]
async fn authors_that_are_not_granted_are_refused_and_nothing_is_kept() {
    let scene = scene().await;
    let mut client = scene.door.client().await;
    for (from, code) in [
        ("From: ceo@other.example", "550 5.7.1"),
        ("From: a@clinic.example, b@clinic.example", "550 5.7.1"),
        (
            "From: a@clinic.example\r\nSender: ceo@other.example",
            "550 5.7.1",
        ),
        (
            "From: a@clinic.example\r\nFrom: ceo@other.example",
            "554 5.6.0",
        ),
        ("Subject: x", "554 5.6.0"),
    ] {
        let content = format!("{from}\r\n\r\ncanary-body\r\n");
        let reply = client
            .submit("a@clinic.example", &["r@b.example"], content.as_bytes())
            .await;
        assert!(reply.starts_with(code), "{from}: {reply}");
    }
    let rejected = scene.line.event(|line| line["event"] == "rejected").await;
    assert_eq!(rejected["user"], "app");
    assert_eq!(rejected["sender"], "a@clinic.example");
    assert_eq!(rejected["reply"]["code"], 550);
    let events = scene.line.events();
    assert!(
        events.iter().all(|line| line["event"] == "rejected"),
        "{events:?}"
    );
    assert!(!serde_json::to_string(&events).unwrap().contains("canary"));
    // The session goes on.
    queue_id(
        &client
            .submit("a@clinic.example", &["r@b.example"], CONTENT)
            .await,
    );
}

#[tokio::test]
async fn a_large_message_streams_through_octet_for_octet() {
    let scene = scene().await;
    let mut client = scene.door.client().await;
    let mut content = b"From: <a@clinic.example>\r\nDate: x\r\nMessage-ID: <x@y>\r\n\r\n".to_vec();
    let head = content.len();
    for number in 0..60_000 {
        content.extend_from_slice(format!(".{number}: {}\r\n", "\u{e4}".repeat(20)).as_bytes());
    }
    let reply = client
        .submit("a@clinic.example", &["r@b.example"], &content)
        .await;
    queue_id(&reply);
    let received = scene.line.event(|line| line["event"] == "received").await;
    assert!(received["size"].as_u64().unwrap() > 2_500_000);
    scene.line.event(|line| line["event"] == "delivered").await;
    let heard = scene.mx.heard();
    let body = &content[head..];
    assert!(heard.taken[0].content.ends_with(body));
}

#[tokio::test]
async fn the_size_limit_holds_without_a_declared_size() {
    let scene = scene_with(SubmissionConfig {
        message_octets: 100_000,
        ..config()
    })
    .await;
    let mut client = scene.door.client().await;
    let content = |octets: usize| {
        let mut content = b"From: <a@clinic.example>\r\n\r\n".to_vec();
        while content.len() + 102 <= octets {
            content.extend_from_slice(&[b'x'; 98]);
            content.extend_from_slice(b"\r\n");
        }
        content.resize(octets - 2, b'x');
        content.extend_from_slice(b"\r\n");
        content
    };
    let reply = client
        .submit("a@clinic.example", &["r@b.example"], &content(100_000))
        .await;
    queue_id(&reply);
    let reply = client
        .submit("a@clinic.example", &["r@b.example"], &content(100_001))
        .await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    client
        .ask("MAIL FROM:<a@clinic.example> SIZE=100001", "552 5.3.4")
        .await;
    client.ask("NOOP", "250").await;
}

#[tokio::test]
async fn wrong_passwords_are_logged_and_lock_out() {
    let scene = scene().await;
    let mut client = scene.door.client_tls().await;
    client.greeted().await;
    for _ in 0..2 {
        client.ask(&auth_plain("app", "wrong"), "535 5.7.8").await;
    }
    client.ask("QUIT", "221").await;
    let mut client = scene.door.client_tls().await;
    client.greeted().await;
    client
        .ask(&auth_plain("nobody", PASSWORD), "535 5.7.8")
        .await;
    client.ask(&auth_plain("app", "wrong"), "535 5.7.8").await;
    let began = scene.world.clock.now();
    client.ask(&auth_plain("app", "wrong"), "535 5.7.8").await; // held back
    assert!(scene.world.clock.now().since(began) >= Duration::from_secs(3));
    client.ask(&auth_plain("app", PASSWORD), "421 4.7.0").await;
    client.is_closed().await;
    scene
        .line
        .event(|line| line["event"] == "locked_out" && line["client"] == "127.0.0.1")
        .await;
    let failed = scene
        .line
        .events()
        .iter()
        .filter(|line| line["event"] == "auth_failed")
        .count();
    assert_eq!(failed, 5);
    let log = serde_json::to_string(&scene.line.events()).unwrap();
    assert!(!log.contains("wrong") && !log.contains(PASSWORD), "{log}");
}

#[tokio::test]
async fn a_changed_account_counts_at_once_in_open_sessions() {
    let scene = scene().await;
    let mut client = scene.door.client().await;
    edit::remove(&scene.door.users, "app").unwrap();
    let senders = ["b@clinic.example".parse().unwrap()];
    edit::add(&scene.door.users, "app", &senders, &secret("other")).unwrap();
    scene
        .door
        .authenticator
        .reload(Users::load(&scene.door.users).unwrap())
        .unwrap();
    client
        .ask("MAIL FROM:<a@clinic.example>", "550 5.7.1")
        .await;
    client
        .ask("MAIL FROM:<b@clinic.example>", "250 2.1.0")
        .await;
}

#[tokio::test]
async fn connections_over_a_limit_are_told_so_and_others_are_served() {
    let limits = SubmissionConfig {
        connections_per_address: 2,
        ..config()
    };
    let scene = scene_with(limits).await;
    let mut first = scene.door.client_tls().await;
    first.greeted().await;
    let mut second = scene.door.client_local().await;
    second.greeted().await;
    let mut third = scene.door.client_tls().await;
    third
        .expect("421 4.3.2 mail.clinic.example has too many connections from your address")
        .await;
    third.is_closed().await;
    let mut other = scene.door.client_unix().await;
    other.greeted().await;
    second.ask("QUIT", "221").await;
    second.is_closed().await;
    drop(second);
    // The place comes free when the session has ended, which the client cannot see.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let mut next = scene.door.client_tls().await;
        if next.reply().await.starts_with("220 ") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    first.ask("NOOP", "250").await;
}

#[tokio::test]
async fn sessions_of_one_account_are_limited() {
    let scene = scene_with(SubmissionConfig {
        connections_per_user: 1,
        ..config()
    })
    .await;
    let mut first = scene.door.client().await;
    let mut second = scene.door.client_tls().await;
    second.greeted().await;
    second.ask(&auth_plain("app", PASSWORD), "421 4.7.0").await;
    second.is_closed().await;
    first.ask("NOOP", "250").await;
}

#[tokio::test]
async fn other_protocols_are_refused_by_alpn() {
    let scene = scene().await;
    let roots = scene.door.ca.roots();
    let refused = connect_tls(scene.door.implicit, Arc::clone(&roots), &["http/1.1", "h2"]).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    for offered in [&["smtp"][..], &["h2", "smtp"], &[]] {
        let stream = connect_tls(scene.door.implicit, Arc::clone(&roots), offered)
            .await
            .unwrap();
        Client::new(stream).expect("220 ").await;
    }
    // A browser that does without ALPN hears nothing of what it sent.
    let stream = connect_tls(scene.door.implicit, roots, &[]).await.unwrap();
    let mut client = Client::new(stream);
    client.expect("220 ").await;
    client
        .send(b"POST /?<script>canary HTTP/1.1\r\nHost: mail.clinic.example\r\n\r\n")
        .await;
    assert!(!client.expect("421 4.7.0").await.contains("canary"));
    client.is_closed().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_on() {
    let scene = scene().await;
    let mut old = scene.door.client_tls().await;
    old.greeted().await;
    let other = crate::support::ca::Ca::new("Another Root");
    scene
        .door
        .submission
        .reload(certified(&other.issue(crate::support::door::HOST)));
    assert!(
        connect_tls(scene.door.implicit, scene.door.ca.roots(), &[])
            .await
            .is_err()
    );
    let stream = connect_tls(scene.door.implicit, other.roots(), &[])
        .await
        .unwrap();
    Client::new(stream).expect("220 ").await;
    old.ask("NOOP", "250").await;
}

#[tokio::test]
async fn a_drain_ends_idle_sessions_and_lets_a_transaction_finish() {
    let scene = scene().await;
    let mut idle = scene.door.client().await;
    let mut busy = scene.door.client().await;
    busy.send(b"MAIL FROM:<a@clinic.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\n")
        .await;
    busy.expect("250 2.1.0").await;
    busy.expect("250 2.1.5").await;
    busy.expect("354 ").await;
    let draining = tokio::spawn(scene.door.submission.drain(Duration::from_secs(20)));
    idle.expect("421 4.3.2").await;
    idle.is_closed().await;
    drop(idle);
    busy.send(b"From: a@clinic.example\r\n\r\nx\r\n.\r\n").await;
    queue_id(&busy.reply().await);
    busy.expect("421 4.3.2").await;
    busy.is_closed().await;
    drop(busy);
    assert!(draining.await.unwrap(), "nothing had to be cut");
    assert!(TcpStream::connect(scene.door.implicit).await.is_err());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_handshake_that_never_comes() {
    let scene = scene().await;
    let mut silent = TcpStream::connect(scene.door.implicit).await.unwrap();
    // Accepted behind it, so it was accepted.
    drop(scene.door.client().await);
    assert!(scene.door.submission.drain(Duration::from_secs(10)).await);
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_drain_cuts_what_takes_too_long_and_keeps_nothing_of_it() {
    let scene = scene().await;
    let mut busy = scene.door.client().await;
    busy.send(b"MAIL FROM:<a@clinic.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\n")
        .await;
    for code in ["250 2.1.0", "250 2.1.5", "354 "] {
        busy.expect(code).await;
    }
    busy.send(b"From: a@clinic.example\r\n\r\nx\r\n").await;
    assert!(!scene.door.submission.drain(Duration::from_millis(50)).await);
    busy.is_closed().await;
    assert_eq!(scene.line.handle.summary().await.unwrap().messages, 0);
    assert!(scene.line.events().is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_end_of_data_leaves_nothing() {
    let scene = scene().await;
    let wire = b"EHLO x\r\nMAIL FROM:<a@clinic.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\nFrom: a@clinic.example\r\n\r\nx\r\n.\r";
    for cut in (0..wire.len()).step_by(7).chain([wire.len()]) {
        let mut client = scene.door.client_unix().await;
        client.send(&wire[..cut]).await;
        client.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).await.unwrap();
        assert!(!String::from_utf8_lossy(&rest).contains("queued"));
    }
    assert!(scene.line.events().is_empty());
}

/// The runtime's clock runs ahead whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn a_silent_client_is_told_and_dropped_in_time() {
    let scene = scene().await;
    let began = scene.world.clock.now();
    let mut client = scene.door.client_unix().await;
    client.expect("220 ").await;
    client.expect("421 4.4.2").await;
    let waited = scene.world.clock.now().since(began);
    assert!((300..400).contains(&waited.as_secs()), "{waited:?}");
    client.is_closed().await;
}

/// A client that never reads is cut off by the write timeout, however much it has to say.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_dropped() {
    let scene = scene().await;
    let mut client = scene.door.client_unix().await;
    let began = scene.world.clock.now();
    let batch = b"HELP\r\n".repeat(1000);
    let cut = async { while client.stream.write_all(&batch).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(3600), cut)
        .await
        .expect("dropped");
    let waited = scene.world.clock.now().since(began);
    assert!((60..70).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_finds_no_memory_is_refused_before_its_content() {
    let scene = scene_with(SubmissionConfig {
        memory_octets: 1,
        ..config()
    })
    .await;
    let batch = b"MAIL FROM:<a@clinic.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\n";
    let mut first = scene.door.client_unix().await;
    first.greeted().await;
    first.send(batch).await;
    for code in ["250 2.1.0", "250 2.1.5", "354 "] {
        first.expect(code).await;
    }
    let mut second = scene.door.client_unix().await;
    second.greeted().await;
    second.send(batch).await;
    for code in ["250 2.1.0", "250 2.1.5", "421 4.3.2"] {
        second.expect(code).await;
    }
    second.is_closed().await;
}
