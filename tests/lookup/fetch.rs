//! Small documents over HTTP, from servers of every kind.

use std::time::Duration;

use sealpost::world::dial::Dialer;
use sealpost::world::fetch::{Bounds, FetchError, Fetcher, Guard, Posted};
use sealpost::world::url::Url;

use crate::http::{Reply, Web, ok, with_status};
use crate::support::ca::{Ca, self_signed};
use crate::support::net::Place;
use crate::support::world::World;

const BOUNDS: Bounds = Bounds {
    octets: 1000,
    time: Duration::from_secs(5),
};

pub fn fetcher(world: &World, allow_private: bool) -> Fetcher {
    let dialer = Dialer::new(
        world.dns.clone(),
        world.network.clone(),
        world.clock,
        allow_private,
    );
    Fetcher::new(dialer, world.ca.roots())
}

async fn get(world: &World, url: &str, guard: Guard) -> Result<Vec<u8>, FetchError> {
    let url = Url::parse(url).unwrap();
    let document = fetcher(world, false).get(&url, guard, BOUNDS).await;
    document.map(|document| document.to_vec())
}

async fn failure(world: &World, url: &str) -> String {
    get(world, url, Guard::Signed)
        .await
        .unwrap_err()
        .to_string()
}

/// A world with a web server at `c.example`, in clear and with TLS.
fn world() -> (World, Web) {
    let (world, web) = (World::new(), Web::default());
    web.at(&world, "c.example", "192.0.2.7:80", None);
    let tls = world.ca.issue("c.example").server();
    web.at(&world, "c.example", "192.0.2.7:443", Some(tls));
    (world, web)
}

#[tokio::test(start_paused = true)]
async fn documents_are_fetched_with_and_without_tls() {
    let (world, web) = world();
    web.reply("GET /a?b=c", ok(b"document"));
    for url in ["http://c.example/a?b=c", "https://c.example/a?b=c"] {
        assert_eq!(get(&world, url, Guard::Signed).await.unwrap(), b"document");
    }
    web.reply("POST /", ok(b"answer"));
    let posted = Posted {
        media_type: "application/x-question",
        bearer: None,
        octets: b"question".to_vec().into(),
    };
    let url = Url::parse("http://c.example").unwrap();
    let fetcher = fetcher(&world, false);
    let answer = fetcher.post(&url, Guard::Signed, BOUNDS, posted).await;
    assert_eq!(answer.unwrap(), &b"answer"[..]);
    let heard = web.heard();
    assert_eq!(heard[2].body, b"question");
    let head = heard[2].head.to_ascii_lowercase();
    assert!(head.contains("\r\nhost: c.example\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-question\r\n"));
    // In chunks, as servers like to.
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    web.reply("GET /chunks", Reply::Raw(chunked.to_vec()));
    let url = "https://c.example/chunks";
    assert_eq!(get(&world, url, Guard::Server).await.unwrap(), b"abcde");
    // Until the end of the stream.
    web.reply(
        "GET /old",
        Reply::Raw(b"HTTP/1.0 200 OK\r\n\r\nold".to_vec()),
    );
    let url = "http://c.example/old";
    assert_eq!(get(&world, url, Guard::Signed).await.unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_signed_is_never_fetched_in_clear() {
    let (world, web) = world();
    let error = get(&world, "http://c.example/a", Guard::Server)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "http:// is not followed here");
    assert!(!error.is_temporary());
    let error = get(&world, "ldap://c.example/", Guard::Signed)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "ldap:// is not followed here");
    assert!(web.heard().is_empty() && world.network.dialled().is_empty());
}

#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    let (world, web) = world();
    let to = "Location: https://c.example/b\r\n";
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Moved",
    ] {
        web.reply("GET /a", with_status(status, to, b""));
        let said = failure(&world, "https://c.example/a").await;
        let expected = format!("c.example answered with status {}", &status[..3]);
        assert_eq!(said, expected);
    }
    assert!(web.heard().iter().all(|heard| heard.line == "GET /a"));
}

#[tokio::test(start_paused = true)]
async fn documents_over_the_bound_are_refused() {
    let (world, web) = world();
    web.reply("GET /fits", ok(&[b'x'; 1000]));
    web.reply("GET /long", ok(&[b'x'; 1001]));
    let endless = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 100_000]].concat();
    web.reply("GET /endless", Reply::Raw(endless));
    let claims = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec();
    web.reply("GET /claims", Reply::Raw(claims));
    let fits = get(&world, "http://c.example/fits", Guard::Signed).await;
    assert_eq!(fits.unwrap().len(), 1000);
    for path in ["long", "endless", "claims"] {
        let said = failure(&world, &format!("http://c.example/{path}")).await;
        assert_eq!(said, "the answer of c.example is longer than 1000 octets");
    }
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(50_000));
    web.reply("GET /head", Reply::Raw(head.into_bytes()));
    let said = failure(&world, "http://c.example/head").await;
    assert!(
        said.starts_with("c.example did not answer with HTTP"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_servers_are_left_in_time() {
    let (world, web) = world();
    web.reply("GET /hang", Reply::Hang);
    web.reply("GET /drip", Reply::Drip(b"HTTP/1.1 200 OK\r\n".repeat(100)));
    world.dns.addresses("hole.example", &["192.0.2.8"]);
    world.network.place("192.0.2.8:80", Place::BlackHole);
    // Connects, and says nothing to the handshake.
    let mute = |stream| {
        tokio::spawn(async move {
            let _held: tokio::io::DuplexStream = stream;
            std::future::pending::<()>().await;
        });
    };
    let mute = Place::Server(std::sync::Arc::new(mute));
    world.network.place("192.0.2.8:443", mute);
    for (url, seconds) in [
        ("http://c.example/hang", 5),
        ("http://c.example/drip", 5),
        ("http://hole.example/", 3),
        ("https://hole.example/", 3),
    ] {
        let before = world.clock.now();
        let error = get(&world, url, Guard::Signed).await.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut(_)) && error.is_temporary());
        let took = world.clock.now().since(before);
        assert_eq!(took.as_secs(), seconds, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_is_no_document() {
    let (world, web) = world();
    for raw in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"",
        b"220 mx.c.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ] {
        web.reply("GET /", Reply::Raw(raw.to_vec()));
        let error = get(&world, "http://c.example/", Guard::Signed)
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Http { .. }), "{error}");
        assert!(error.is_temporary());
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_lead_us_to_no_private_address() {
    for (url, socket) in [
        ("http://c.example/", "127.0.0.1:80"),
        ("http://c.example/", "169.254.169.254:80"),
        ("http://c.example:8080/", "10.0.0.1:8080"),
        ("http://127.0.0.1:81/", "127.0.0.1:81"),
        ("http://[::1]/", "[::1]:80"),
        ("http://[::ffff:10.0.0.1]/", "[::ffff:10.0.0.1]:80"),
    ] {
        let (world, web) = (World::new(), Web::default());
        web.at(&world, "c.example", socket, None);
        web.reply("GET /", ok(b"secret"));
        let error = get(&world, url, Guard::Signed).await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is at an address that is not public"),
            "{error}"
        );
        assert!(!error.is_temporary());
        assert!(world.network.dialled().is_empty(), "{socket}");
        let url = Url::parse(url).unwrap();
        let allowed = fetcher(&world, true).get(&url, Guard::Signed, BOUNDS).await;
        assert_eq!(allowed.unwrap(), &b"secret"[..]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_has_to_be_the_one_that_was_named() {
    let world = World::new();
    let web = Web::default();
    web.reply("GET /", ok(b"document"));
    for identity in [
        world.ca.issue("d.example"),
        world.ca.issue_expired("c.example"),
        self_signed("c.example"),
        Ca::new("Stranger").issue("c.example"),
    ] {
        web.at(
            &world,
            "c.example",
            "192.0.2.7:443",
            Some(identity.server()),
        );
        let said = failure(&world, "https://c.example/").await;
        assert!(said.starts_with("TLS with c.example failed: "), "{said}");
    }
    assert!(web.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn hosts_that_cannot_be_reached_are_temporary() {
    let (world, _) = world();
    world.dns.addresses("none.example", &[]);
    world.dns.addresses("refuses.example", &["192.0.2.9"]);
    for (url, said) in [
        (
            "http://gone.example/",
            "the domain gone.example does not exist",
        ),
        ("http://none.example/", "none.example has no address"),
        (
            "http://refuses.example/",
            "refuses.example cannot be connected to: connection refused",
        ),
    ] {
        let error = get(&world, url, Guard::Signed).await.unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(error.is_temporary());
    }
}
