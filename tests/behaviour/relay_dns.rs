//! Where mail goes: MX records, and what is done without them.

use std::time::Duration;

use sealpost::world::dns::DnsError;

use crate::support::dns::{domain, temporary};
use crate::support::world::{World, brief, deliver_one};

#[tokio::test(start_paused = true)]
async fn a_null_mx_bounces_at_once() {
    let world = World::new();
    world.dns.mx("b.example", &[(0, ".")]);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(
        brief(&outcome),
        "bounced: 5.1.10 b.example takes no mail (null MX)"
    );
    assert_eq!(outcome.hop, None);
}

#[tokio::test(start_paused = true)]
async fn a_domain_must_be_missing_twice_a_minute_apart() {
    let world = World::new();
    let relay = world.relay();
    world.dns.mx_gone("b.example");
    for wait in [0, 30, 29] {
        world.sleep(Duration::from_secs(wait)).await;
        let outcome = deliver_one(&relay, "b.example").await;
        assert_eq!(
            brief(&outcome),
            "deferred(dns): 4.1.2 b.example does not exist; to be confirmed"
        );
    }
    world.sleep(Duration::from_secs(1)).await;
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "bounced: 5.1.2 b.example does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_comes_back_is_delivered_to() {
    let world = World::new();
    let relay = world.relay();
    world.dns.mx_gone("b.example");
    deliver_one(&relay, "b.example").await;
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    world.sleep(Duration::from_secs(61)).await;
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    // And gone again: a first sighting again.
    world.dns.mx_gone("b.example");
    world.sleep(Duration::from_secs(61)).await;
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(brief(&outcome).starts_with("deferred(dns): 4.1.2"));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_mx_question_is_no_implicit_mx() {
    let world = World::new();
    let trap = world.good_mx("b.example");
    world.host("b.example", "192.0.2.1", &trap);
    for error in [temporary("b.example"), DnsError::Bogus(domain("b.example"))] {
        world.dns.mx_answer("b.example", Err(error));
        let outcome = deliver_one(&world.relay(), "b.example").await;
        assert!(
            brief(&outcome).starts_with("deferred(dns): 4.4.3 "),
            "{}",
            brief(&outcome)
        );
    }
    assert_eq!(trap.heard().connections, 0);
    assert!(!world.dns.asked().contains(&"A b.example".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_domain_without_mx_is_its_own_exchanger() {
    let world = World::new();
    let mx = world.good_mx("b.example");
    world.dns.no_mx("b.example");
    world.host("b.example", "192.0.2.1", &mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(outcome.hop.unwrap().mx.as_str(), "b.example");
}

#[tokio::test(start_paused = true)]
async fn a_domain_with_neither_is_bounced_when_confirmed() {
    let world = World::new();
    let relay = world.relay();
    world.dns.no_mx("b.example");
    world.dns.addresses("b.example", &[]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(brief(&outcome).starts_with("deferred(dns): 4.1.2"));
    world.sleep(Duration::from_secs(60)).await;
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&outcome),
        "bounced: 5.1.2 b.example has neither an MX record nor an address"
    );
}

#[tokio::test(start_paused = true)]
async fn exchangers_that_lead_nowhere_defer() {
    let world = World::new();
    let relay = world.relay();
    world.dns.mx("b.example", &[(10, "gone.b.example")]);
    for _ in 0..2 {
        let outcome = deliver_one(&relay, "b.example").await;
        assert_eq!(
            brief(&outcome),
            "deferred(dns): 4.4.4 gone.b.example has no address"
        );
        world.sleep(Duration::from_secs(100)).await;
    }
    world
        .dns
        .address_answer("gone.b.example", Err(temporary("gone.b.example")));
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(dns): 4.4.3 gone.b.example could not be resolved: SERVFAIL"
    );
}

#[tokio::test(start_paused = true)]
async fn an_exchanger_that_cannot_be_resolved_does_not_hide_the_next() {
    let world = World::new();
    let mx = world.good_mx("mx2.b.example");
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world
        .dns
        .address_answer("mx1.b.example", Err(temporary("mx1.b.example")));
    world.host("mx2.b.example", "192.0.2.2", &mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_not_public_are_not_dialled() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:192.168.0.1",
    ] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example");
        world.dns.mx("b.example", &[(10, "mx.b.example")]);
        world.dns.addresses("mx.b.example", &[address]);
        let socket = if address.contains(':') {
            format!("[{address}]:25")
        } else {
            format!("{address}:25")
        };
        world.at(&socket, &mx);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        let brief = brief(&outcome);
        assert!(
            brief.starts_with("deferred(dns): 4.4.4 mx.b.example is at "),
            "{brief}"
        );
        assert!(world.network.dialled().is_empty(), "{address}");
    }
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world.host("mx.b.example", "127.0.0.1", &mx);
    let mut config = world.config();
    config.allow_private_addresses = true;
    let outcome = deliver_one(&world.relay_with(config), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
}

#[tokio::test(start_paused = true)]
async fn mail_that_would_come_back_to_us_is_a_loop() {
    let world = World::new();
    let relay = world.relay();
    let better = world.good_mx("mx1.b.example");
    world.host("mx1.b.example", "192.0.2.1", &better);
    world.dns.mx(
        "b.example",
        &[
            (10, "mx1.b.example"),
            (20, "relay.clinic.example"),
            (30, "mx3.b.example"),
        ],
    );
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert!(!world.dns.asked().contains(&"A mx3.b.example".to_owned()));
    world.dns.mx("b.example", &[(20, "relay.clinic.example")]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&outcome),
        "bounced: 5.4.6 mail for b.example loops back to relay.clinic.example"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_come_from_the_configured_source() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let mut config = world.config();
    config.source_addresses = vec!["198.51.100.9".parse().unwrap()];
    let relay = world.relay_with(config);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let source = world.network.dialled()[0].1;
    assert_eq!(source, Some("198.51.100.9".parse().unwrap()));
    // An exchanger at our own address is ourselves.
    world.dns.addresses("mx.b.example", &["198.51.100.9"]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert!(brief(&outcome).starts_with("deferred(dns): 4.4.6 mx.b.example is at 198.51.100.9"));
}
