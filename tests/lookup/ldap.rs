//! Certificates from LDAP servers, good and otherwise.

use std::sync::Arc;
use std::time::Duration;

use sealpost::directory::lookup::{LdapSettings, LdapSource, LookupError, Served, Source};
use sealpost::mail::{Address, SecretBytes};
use sealpost::proto::ldap::Credentials;
use sealpost::world::dial::Dialer;
use sealpost::world::url::Url;

use crate::ldap_server::{Answer, Ldap, done, entry, message, result};
use crate::support::ca::self_signed;
use crate::support::net::Place;
use crate::support::world::World;

fn answer(give: impl Fn(u8) -> Vec<u8> + Send + Sync + 'static) -> Answer {
    Arc::new(give)
}

fn good() -> Answer {
    answer(|id| [entry(id, "userCertificate;binary", b"der"), done(id)].concat())
}

fn settings(world: &World, url: &str) -> LdapSettings {
    LdapSettings {
        url: Url::parse(url).unwrap(),
        base: "dc=b,dc=example".to_owned(),
        attribute: "mail".to_owned(),
        served: Served::All,
        roots: world.ca.roots(),
        credentials: None,
        timeout: Duration::from_secs(5),
    }
}

fn source(world: &World, settings: LdapSettings) -> LdapSource {
    let (dns, network) = (world.dns.clone(), world.network.clone());
    LdapSource::new(settings, &Dialer::new(dns, network, world.clock, false)).unwrap()
}

async fn ask(source: &LdapSource) -> Result<Vec<Vec<u8>>, LookupError> {
    ask_within(source, Duration::from_secs(60)).await
}

async fn ask_within(source: &LdapSource, time: Duration) -> Result<Vec<Vec<u8>>, LookupError> {
    let address = Address::parse("jo@b.example").unwrap();
    let deadline = tokio::time::Instant::now() + time;
    source.certificates(&address, deadline).await
}

/// A server at `ldap.b.example`, at a private address, as most are.
fn world(answer: Answer) -> (World, Ldap) {
    let world = World::new();
    let tls = world.ca.issue("ldap.b.example").server();
    let server = Ldap::new(tls, answer);
    (world, server)
}

async fn ask_over_tls(answer: Answer) -> Result<Vec<Vec<u8>>, LookupError> {
    let (world, server) = world(answer);
    server.at(&world, "ldap.b.example", "10.0.0.1:636");
    let source = source(&world, settings(&world, "ldaps://ldap.b.example"));
    ask(&source).await
}

#[tokio::test(start_paused = true)]
async fn certificates_are_found_over_tls() {
    let (world, server) = world(good());
    server.at(&world, "ldap.b.example", "10.0.0.1:636");
    let source = source(&world, settings(&world, "ldaps://ldap.b.example"));
    assert_eq!(ask(&source).await, Ok(vec![b"der".to_vec()]));
    assert_eq!(source.name(), "ldap.b.example");
    tokio::task::yield_now().await;
    assert_eq!(server.operations()[..2], [0, 0x63]);
    // As it is: whose it is, is looked at by whoever asked.
    let other = answer(|id| [entry(id, "userSMIMECertificate", b"p7"), done(id)].concat());
    assert_eq!(ask_over_tls(other).await, Ok(vec![b"p7".to_vec()]));
    assert_eq!(ask_over_tls(answer(done)).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn starttls_comes_before_the_password_and_the_question() {
    let (world, mut server) = world(good());
    server.implicit = false;
    server.at(&world, "ldap.b.example", "10.0.0.1:389");
    let mut settings = settings(&world, "ldap://ldap.b.example");
    let password = SecretBytes::new(b"canary".to_vec());
    let credentials = Credentials::new("cn=reader".to_owned(), password).unwrap();
    settings.credentials = Some(credentials);
    let source = source(&world, settings);
    assert!(!format!("{source:?}").contains("canary"));
    assert_eq!(ask(&source).await, Ok(vec![b"der".to_vec()]));
    assert_eq!(server.operations()[..4], [0x77, 0, 0x60, 0x63]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_without_tls_to_the_right_server() {
    let (world, server) = world(good());
    let bad = [
        world.ca.issue("other.b.example"),
        world.ca.issue_expired("ldap.b.example"),
        self_signed("ldap.b.example"),
    ];
    for (number, identity) in bad.iter().enumerate() {
        for (url, implicit, socket) in [
            ("ldaps://ldap.b.example", true, "10.0.0.1:636"),
            ("ldap://ldap.b.example", false, "10.0.0.1:389"),
        ] {
            let mut server = server.clone();
            (server.tls, server.implicit) = (Some(identity.server()), implicit);
            server.at(&world, "ldap.b.example", socket);
            let answer = ask(&source(&world, settings(&world, url))).await;
            let Err(LookupError::Failed(why)) = answer else {
                panic!("{number} {url}: {answer:?}");
            };
            assert!(why.starts_with("TLS with ldap.b.example failed: "), "{why}");
        }
    }
    // Refused, and not answered.
    for start_tls in [Some(52), None] {
        let mut server = server.clone();
        (server.implicit, server.start_tls) = (false, start_tls);
        server.at(&world, "ldap.b.example", "10.0.0.1:389");
        let answer = ask(&source(&world, settings(&world, "ldap://ldap.b.example"))).await;
        assert!(matches!(answer, Err(LookupError::Failed(_))), "{answer:?}");
    }
    let asked = server.operations();
    assert!(
        !asked.contains(&0x63) && !asked.contains(&0x60),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn lies_are_refused() {
    let endless = |id| entry(id, "mail", b"x").repeat(1000);
    let lies: [(&str, Answer); 8] = [
        ("another request", answer(|id| done(id + 1))),
        (
            "giant length",
            answer(|_| vec![0x30, 0x84, 0x7f, 255, 255, 255]),
        ),
        ("endless entries", answer(endless)),
        ("referral", answer(|id| result(id, 0x65, 10))),
        ("not BER", answer(|_| b"-ERR unknown command\r\n".to_vec())),
        ("indefinite length", answer(|_| vec![0x30, 0x80, 0, 0])),
        ("size limit", answer(|id| result(id, 0x65, 4))),
        (
            "too many octets",
            answer(|id| [entry(id, "userCertificate", &vec![0; 300_000]), done(id)].concat()),
        ),
    ];
    for (name, lie) in lies {
        let answer = ask_over_tls(lie).await;
        assert!(
            matches!(answer, Err(LookupError::Refused(_))),
            "{name}: {answer:?}"
        );
    }
    // References to other servers are passed over, and nobody is asked there.
    let reference = |id| message(id, &crate::der::tlv(0x73, &[b"\x04\x10ldap://c.example"]));
    let referring = answer(move |id| [reference(id), done(id)].concat());
    assert_eq!(ask_over_tls(referring).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_or_goes_away_is_left_alone_for_a_while() {
    for (name, closes, at_most) in [("hangs", false, 5), ("closes", true, 0)] {
        let (world, mut server) = world(answer(|_| Vec::new()));
        server.closes = closes;
        server.at(&world, "ldap.b.example", "10.0.0.1:636");
        let source = source(&world, settings(&world, "ldaps://ldap.b.example"));
        let before = world.clock.now();
        let answer = ask(&source).await;
        assert!(
            matches!(answer, Err(LookupError::Failed(_))),
            "{name}: {answer:?}"
        );
        assert_eq!(world.clock.now().since(before).as_secs(), at_most, "{name}");
        server.answer = good();
        server.closes = false;
        server.at(&world, "ldap.b.example", "10.0.0.1:636");
        let dialled = world.network.dialled().len();
        world.sleep(Duration::from_secs(29)).await;
        let said = "ldap.b.example failed a moment ago and is left alone".to_owned();
        assert_eq!(ask(&source).await, Err(LookupError::Failed(said)), "{name}");
        assert_eq!(world.network.dialled().len(), dialled, "{name}");
        world.sleep(Duration::from_secs(1)).await;
        assert!(ask(&source).await.is_ok(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_less_time_than_the_server_may_take_puts_it_to_rest_too() {
    let (world, server) = world(answer(|_| Vec::new()));
    server.at(&world, "ldap.b.example", "10.0.0.1:636");
    let source = source(&world, settings(&world, "ldaps://ldap.b.example"));
    let failed = |why: &str| Err(LookupError::Failed(format!("ldap.b.example {why}")));
    let (time, before) = (Duration::from_secs(2), world.clock.now());
    let answer = ask_within(&source, time).await;
    assert_eq!(answer, failed("did not answer in time"));
    assert_eq!(world.clock.now().since(before), time);
    let answer = ask(&source).await;
    assert_eq!(answer, failed("failed a moment ago and is left alone"));
    assert_eq!(world.network.dialled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn few_questions_are_asked_at_a_time() {
    let (world, server) = world(answer(|_| Vec::new()));
    server.at(&world, "ldap.b.example", "10.0.0.1:636");
    let source = Arc::new(source(&world, settings(&world, "ldaps://ldap.b.example")));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { ask(&source).await })
        })
        .collect();
    world.sleep(Duration::from_secs(1)).await;
    assert_eq!(world.network.dialled().len(), 8);
    for asked in asking {
        assert!(matches!(asked.await.unwrap(), Err(LookupError::Failed(_))));
    }
    assert_eq!(
        world.network.dialled().len(),
        8,
        "those who waited do not try"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_and_a_dead_server_are_failures() {
    let (world, mut server) = world(good());
    server.bind = 49;
    server.at(&world, "ldap.b.example", "10.0.0.1:636");
    let mut with_password = settings(&world, "ldaps://ldap.b.example");
    let password = SecretBytes::new(b"canary".to_vec());
    with_password.credentials = Some(Credentials::new("cn=x".to_owned(), password).unwrap());
    let said = "ldap.b.example: the bind was refused: invalid credentials".to_owned();
    let answer = ask(&source(&world, with_password)).await;
    assert_eq!(answer, Err(LookupError::Failed(said)));
    world.network.place("10.0.0.1:636", Place::BlackHole);
    let answer = ask(&source(&world, settings(&world, "ldaps://ldap.b.example"))).await;
    let said = "ldap.b.example did not answer in time".to_owned();
    assert_eq!(answer, Err(LookupError::Failed(said)));
}
