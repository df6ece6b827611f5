//! Certificates from partners' web servers.

use std::time::Duration;

use sealpost::directory::lookup::{HttpsSource, LookupError, Served, Source, Template};
use sealpost::mail::Address;

use crate::fetch::fetcher;
use crate::http::{Reply, Web, ok, with_status};
use crate::support::dns::domain;
use crate::support::world::World;

const TEMPLATE: &str = "https://keys.{domain}/{local}";
const DER: &[u8] = &[0x30, 3, 2, 1, 1];

fn world() -> (World, Web, HttpsSource) {
    let (world, web) = (World::new(), Web::default());
    let tls = world.ca.issue("keys.b.example").server();
    web.at(&world, "keys.b.example", "192.0.2.7:443", Some(tls));
    let served = Served::Domains(vec![
        "b.example".parse().unwrap(),
        "*.c.example".parse().unwrap(),
    ]);
    let template = Template::parse(TEMPLATE).unwrap();
    let source = HttpsSource::new(template, served, fetcher(&world, false));
    (world, web, source)
}

async fn ask(source: &HttpsSource, address: &str) -> Result<Vec<Vec<u8>>, LookupError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let address = Address::parse(address).unwrap();
    source.certificates(&address, deadline).await
}

#[tokio::test(start_paused = true)]
async fn a_file_is_taken_as_it_is_and_a_missing_one_is_none() {
    let (_world, web, source) = world();
    web.reply("GET /jo", ok(DER));
    assert_eq!(ask(&source, "Jo@b.example").await, Ok(vec![DER.to_vec()]));
    assert_eq!(ask(&source, "al@b.example").await, Ok(vec![]));
    web.reply("GET /al", with_status("410 Gone", "", b""));
    assert_eq!(ask(&source, "al@b.example").await, Ok(vec![]));
    assert_eq!(source.name(), "keys.{domain}");
    assert!(source.serves(&domain("b.example")) && source.serves(&domain("x.c.example")));
    assert!(!source.serves(&domain("c.example")) && !source.serves(&domain("d.example")));
}

#[tokio::test(start_paused = true)]
async fn useless_answers_are_told_from_none() {
    let (_world, web, source) = world();
    for reply in [
        ok(b"<html>Welcome</html>"),
        ok(b""),
        ok(&[0x30; 256 * 1024 + 1]),
        with_status("301 Moved", "Location: https://evil.example/\r\n", b""),
        with_status("403 Forbidden", "", b""),
        with_status("204 No Content", "", b""),
    ] {
        web.reply("GET /jo", reply);
        let answer = ask(&source, "jo@b.example").await;
        assert!(matches!(answer, Err(LookupError::Refused(_))), "{answer:?}");
    }
    // None of them is a failure of the server: it is asked again at once.
    web.reply("GET /jo", ok(DER));
    assert!(ask(&source, "jo@b.example").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_left_alone_for_a_while() {
    for reply in [
        Reply::Hang,
        with_status("503 Busy", "", b""),
        Reply::Raw(vec![]),
    ] {
        let (world, web, source) = world();
        web.reply("GET /jo", reply);
        let answer = ask(&source, "jo@b.example").await;
        assert!(matches!(answer, Err(LookupError::Failed(_))), "{answer:?}");
        web.reply("GET /jo", ok(DER));
        world.sleep(Duration::from_secs(29)).await;
        let before = world.clock.now();
        let answer = ask(&source, "jo@b.example").await;
        let said = "keys.b.example failed a moment ago and is left alone";
        assert_eq!(answer, Err(LookupError::Failed(said.to_owned())));
        assert_eq!(world.clock.now(), before, "at once");
        assert_eq!(web.heard().len(), 1);
        // The server of another domain is another one.
        let tls = world.ca.issue("keys.a.c.example").server();
        web.at(&world, "keys.a.c.example", "192.0.2.9:443", Some(tls));
        assert!(ask(&source, "jo@a.c.example").await.is_ok());
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&source, "jo@b.example").await, Ok(vec![DER.to_vec()]));
    }
}
