//! Mail that must not go: what an exchanger that is not good enough hears.
//!
//! In each case the exchanger's own transcript is the witness: no octet of envelope, content or
//! credentials, and the outcome says why.

use std::sync::Arc;

use sealpost::mail::{Grade, Level, Outcome, VerifiedBy};
use sealpost::relay::{Credentials, Route, RouteTls};

use crate::support::ca::{Ca, Identity, self_signed};
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::world::{World, brief, deliver, deliver_one, job_of};

/// Delivers to the one exchanger `mx` of b.example: nothing of the message is heard, and this is
/// the outcome.
async fn falls_short(world: &World, mx: &Mx, expected: &str) -> Vec<sealpost::mail::ShortHost> {
    world.only_mx(mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(brief(&outcome), expected);
    assert!(mx.heard().connections >= 1);
    let Outcome::Shortfall {
        required, hosts, ..
    } = outcome.outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(required, Grade::Pkix);
    assert_eq!(hosts.len(), 1);
    hosts
}

#[tokio::test(start_paused = true)]
async fn no_starttls() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .offering(&["PIPELINING", "8BITMIME"], &[]);
    let hosts = falls_short(
        &world,
        &mx,
        "shortfall: 4.7.10 mx.b.example offers no STARTTLS; verified TLS (pkix) is required",
    )
    .await;
    assert_eq!(hosts[0].hop.grade, Grade::None);
    assert_eq!(hosts[0].why, "offers no STARTTLS");
    tokio::task::yield_now().await;
    assert_eq!(
        mx.heard().commands,
        ["EHLO relay.clinic.example", "QUIT"],
        "and it ends politely"
    );
}

#[tokio::test(start_paused = true)]
async fn starttls_refused() {
    for (reply, told) in [
        ("454 4.7.0 not today\r\n", "454 to STARTTLS (not today)"),
        ("502 5.5.1 what\r\n", "502 to STARTTLS (what)"),
        ("554 5.7.0 never\r\n", "554 to STARTTLS (never)"),
    ] {
        let world = World::new();
        let mx = world.good_mx("mx.b.example").saying("STARTTLS", reply);
        let expected = format!(
            "shortfall: 4.7.10 mx.b.example answered {told}; verified TLS (pkix) is required"
        );
        falls_short(&world, &mx, &expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ehlo_refused_is_not_answered_with_helo() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .saying("EHLO", "502 5.5.1 what\r\n");
    falls_short(
        &world,
        &mx,
        "shortfall: 4.7.10 mx.b.example answered 502 to EHLO and so offers no STARTTLS; verified TLS (pkix) is required",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_breaks() {
    // A fatal alert handshake_failure(40), as record of TLS 1.2.
    let alert = "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}".to_owned();
    for (garbage, told) in [
        (
            Do::Say("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
            "corrupt",
        ),
        (Do::Say(alert), "HandshakeFailure"),
        (Do::Close, "closed in the TLS handshake"),
    ] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .when(move |_, step| match step {
                "handshake" => garbage.clone(),
                _ => Do::Default,
            });
        world.only_mx(&mx);
        let outcome = deliver_one(&world.relay(), "b.example").await;
        mx.heard().assert_nothing_of_the_message();
        let brief = brief(&outcome);
        assert!(
            brief.starts_with("shortfall: 4.7.5 mx.b.example offers TLS that fails: "),
            "{told}: {brief}"
        );
        assert!(brief.contains(told), "{brief}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example").when(|_, step| match step {
        "handshake" => Do::Hang,
        _ => Do::Default,
    });
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.2 mx.b.example took too long while we were in the TLS handshake"
    );
    let took = world.clock.now().since(crate::support::world::START);
    assert_eq!(took.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn plaintext_injected_behind_the_220() {
    for injected in [
        "220 go\r\n250-mx.b.example\r\n250 AUTH PLAIN\r\n",
        "220 go\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
        "220 go\r\nx",
    ] {
        let world = World::new();
        let mx = world
            .good_mx("mx.b.example")
            .when(move |_, step| match step {
                "STARTTLS" => Do::Say(injected.to_owned()),
                // A ClientHello would be heard.
                "handshake" => Do::Say(String::new()),
                _ => Do::Default,
            });
        world.only_mx(&mx);
        let relay = world.relay();
        let outcome = deliver_one(&relay, "b.example").await;
        assert_eq!(
            brief(&outcome),
            "shortfall: 4.7.0 mx.b.example sent plaintext behind its reply to STARTTLS, \
             as an attacker would; verified TLS (pkix) is required"
        );
        world.sleep(std::time::Duration::from_secs(10)).await;
        let heard = mx.heard();
        heard.assert_nothing_of_the_message();
        let plain = String::from_utf8(heard.plain).unwrap();
        assert_eq!(plain, "EHLO relay.clinic.example\r\nSTARTTLS\r\n");
        assert_eq!(relay.injections(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn replies_injected_ahead_of_starttls() {
    let world = World::new();
    let mx = world
        .good_mx("mx.b.example")
        .saying("EHLO", "250-mx\r\n250 STARTTLS\r\n220 go ahead\r\n");
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.5.0 mx.b.example spoke out of turn while we were waiting for the reply to STARTTLS"
    );
}

#[tokio::test(start_paused = true)]
async fn certificates_that_do_not_vouch() {
    let world = World::new();
    let other = Ca::new("Another Root");
    let cases: Vec<(Identity, &str)> = vec![
        (
            world.ca.issue_expired("mx.b.example"),
            "its certificate has expired",
        ),
        (
            world.ca.issue_for_the_future("mx.b.example"),
            "its certificate is not valid yet",
        ),
        (
            self_signed("mx.b.example"),
            "its certificate is self-signed",
        ),
        (
            other.issue("mx.b.example"),
            "its certificate was issued by an authority that we do not know",
        ),
        (
            world.ca.issue("mx.other.example"),
            "its certificate is not for the name mx.b.example",
        ),
        (
            // The recipient's domain is not the host's name.
            world.ca.issue("b.example"),
            "its certificate is not for the name mx.b.example",
        ),
    ];
    for (identity, why) in cases {
        let mx = Mx::new(identity.server());
        let expected = format!(
            "shortfall: 4.7.5 mx.b.example cannot be verified: {why}; verified TLS (pkix) is required"
        );
        let hosts = falls_short(&world, &mx, &expected).await;
        assert_eq!(hosts[0].hop.grade, Grade::Any);
        let tls = hosts[0].hop.tls.as_ref().unwrap();
        assert_eq!(tls.verified_by, VerifiedBy::Nothing(why.to_owned()));
        assert_eq!(mx.heard().handshakes, 1, "the handshake itself succeeds");
    }
}

#[tokio::test(start_paused = true)]
async fn without_roots_nobody_is_verified() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let mut config = world.config();
    config.roots = Arc::new(rustls::RootCertStore::empty());
    let outcome = deliver_one(&world.relay_with(config), "b.example").await;
    mx.heard().assert_nothing_of_the_message();
    assert_eq!(
        brief(&outcome),
        "shortfall: 4.7.5 mx.b.example cannot be verified: no certificate authority is configured; verified TLS (pkix) is required"
    );
}

#[tokio::test(start_paused = true)]
async fn a_higher_level_needs_more_than_pkix() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    for (level, grade) in [
        (Level::Confidential, "pinned"),
        (Level::Restricted, "mta-sts"),
    ] {
        let job = job_of("b.example", 1, level, b"canary\r\n");
        let outcome = deliver(&world.relay(), job).await.remove(0);
        mx.heard().assert_nothing_of_the_message();
        assert_eq!(
            brief(&outcome),
            format!(
                "shortfall: 4.7.10 mx.b.example reaches only the grade pkix; TLS of grade {grade} is required"
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_weaker_secondary_is_no_way_out() {
    let world = World::new();
    let second = world
        .good_mx("mx2.b.example")
        .offering(&["PIPELINING"], &[]);
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world.dns.addresses("mx1.b.example", &["192.0.2.1"]);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    second.heard().assert_nothing_of_the_message();
    // Not the domain's last word: who keeps us from the first must not choose another method.
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.4.1 mx1.b.example [192.0.2.1:25] could not be reached: connection refused; \
         mx2.b.example offers no STARTTLS"
    );
    assert_eq!(outcome.hop.unwrap().mx.as_str(), "mx1.b.example");
}

#[tokio::test(start_paused = true)]
async fn only_a_domain_whose_every_host_fell_short_fell_short() {
    let weak = |world: &World| {
        let mx = world
            .good_mx("mx2.b.example")
            .offering(&["PIPELINING"], &[]);
        world.host("mx2.b.example", "192.0.2.2", &mx);
        world
            .dns
            .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
        mx
    };
    // The other one cannot be found.
    let world = World::new();
    let mx = weak(&world);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(dns): 4.4.4 mx1.b.example has no address; mx2.b.example offers no STARTTLS"
    );
    mx.heard().assert_nothing_of_the_message();

    // It is busy: whose words are whose stays clear.
    let world = World::new();
    weak(&world);
    let busy = world
        .good_mx("mx1.b.example")
        .saying("connect", "421 4.3.2 busy\r\n");
    world.host("mx1.b.example", "192.0.2.1", &busy);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(
        brief(&outcome),
        "deferred(site): 4.3.2 mx1.b.example said: busy; mx2.b.example offers no STARTTLS"
    );

    // There was no time, or no room in the attempt, to ask it.
    let world = World::new();
    let mx = weak(&world);
    let names: Vec<String> = (1..=19).map(|n| format!("slow{n}.b.example")).collect();
    let mut records = vec![(1, "mx2.b.example"), (99, "mx1.b.example")];
    records.extend((2..).zip(names.iter().map(String::as_str)).take(18));
    world.dns.mx("b.example", &records);
    for (n, name) in names.iter().enumerate() {
        let slow = world.good_mx(name).offering(&["PIPELINING"], &[]);
        world.host(name, &format!("198.51.100.{}", n + 1), &slow);
        world.dns.addresses(
            name,
            &[
                &format!("198.51.100.{}", n + 1),
                &format!("198.51.100.{}", n + 101),
            ],
        );
        world.at(&format!("198.51.100.{}:25", n + 101), &slow);
    }
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(world.network.dialled().len(), 20);
    let text = brief(&outcome);
    assert!(
        text.starts_with("deferred(site): 4.4.1 not every host could be tried within the time of an attempt; mx2.b.example offers"),
        "{text}"
    );
    assert!(text.ends_with("; 16 more fall short too"), "{text}");
    mx.heard().assert_nothing_of_the_message();

    // One address that does not answer says nothing about a host that does at another.
    let world = World::new();
    let mx = world.good_mx("mx.b.example").offering(&["PIPELINING"], &[]);
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world
        .dns
        .addresses("mx.b.example", &["192.0.2.1", "2001:db8::1"]);
    world.at("192.0.2.1:25", &mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(world.network.dialled().len(), 2);
    assert_eq!(
        brief(&outcome),
        "shortfall: 4.7.10 mx.b.example offers no STARTTLS; verified TLS (pkix) is required"
    );
}

#[tokio::test(start_paused = true)]
async fn each_exchanger_is_judged_alone() {
    let world = World::new();
    let first = world
        .good_mx("mx1.b.example")
        .offering(&["PIPELINING"], &[]);
    let second = Mx::new(self_signed("mx2.b.example").server());
    let third = world.good_mx("mx3.b.example");
    world.dns.mx(
        "b.example",
        &[
            (10, "mx1.b.example"),
            (20, "mx2.b.example"),
            (30, "mx3.b.example"),
        ],
    );
    world.host("mx1.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    world.host("mx3.b.example", "192.0.2.3", &third);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(outcome.hop.unwrap().mx.as_str(), "mx3.b.example");
    first.heard().assert_nothing_of_the_message();
    second.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn several_shortfalls_are_told_best_first() {
    let world = World::new();
    let first = world
        .good_mx("mx1.b.example")
        .offering(&["PIPELINING"], &[]);
    let second = Mx::new(self_signed("mx2.b.example").server());
    world
        .dns
        .mx("b.example", &[(10, "mx1.b.example"), (20, "mx2.b.example")]);
    world.host("mx1.b.example", "192.0.2.1", &first);
    world.host("mx2.b.example", "192.0.2.2", &second);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(
        brief(&outcome),
        "shortfall: 4.7.5 mx2.b.example cannot be verified: its certificate is self-signed; \
         mx1.b.example offers no STARTTLS; verified TLS (pkix) is required"
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_swapped_on_the_second_connection() {
    let world = World::new();
    let mut mx = world.good_mx("mx.b.example").when(|at, step| {
        // The first connection is not kept, so the second delivery opens another.
        if at.connection == 0 && step == "." {
            Do::SayAndClose("250 2.0.0 queued as 1\r\n".to_owned())
        } else {
            Do::Default
        }
    });
    mx.identities.push(self_signed("mx.b.example").server());
    world.only_mx(&mx);
    let relay = world.relay();
    let first = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&first), "delivered: 2.0.0 queued as 1");
    let second = deliver_one(&relay, "b.example").await;
    assert_eq!(
        brief(&second),
        "shortfall: 4.7.5 mx.b.example cannot be verified: its certificate is self-signed; verified TLS (pkix) is required"
    );
    let heard = mx.heard();
    assert_eq!(heard.handshakes, 2);
    assert_eq!(heard.taken.len(), 1);
    let mails = heard.commands.iter().filter(|c| c.starts_with("MAIL"));
    assert_eq!(mails.count(), 1, "none on the second connection");
}

fn route_with_password(world: &World) -> Route {
    Route {
        domain: Some(domain("b.example")),
        host: domain("gw.partner.example"),
        port: 587,
        tls: RouteTls::Starttls,
        credentials: Some(Credentials::new("us", "clinic-secret".to_owned()).unwrap()),
        roots: Some(world.ca.roots()),
        max_level: Level::Protected,
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_is_shown_to_nobody_unverified() {
    let world = World::new();
    let good = world.good_mx("gw.partner.example");
    let plain = good.clone().offering(&["AUTH PLAIN LOGIN"], &[]);
    let unverified = |identity: Identity| Mx::new(identity.server());
    for mx in [
        plain,
        unverified(self_signed("gw.partner.example")),
        unverified(world.ca.issue("other.partner.example")),
        unverified(world.ca.issue_expired("gw.partner.example")),
    ] {
        world.dns.addresses("gw.partner.example", &["192.0.2.7"]);
        world.at("192.0.2.7:587", &mx);
        let mut config = world.config();
        config.routes = vec![route_with_password(&world)];
        let outcome = deliver_one(&world.relay_with(config), "b.example").await;
        assert!(matches!(outcome.outcome, Outcome::Shortfall { .. }));
        let heard = mx.heard();
        assert!(heard.connections > 0);
        heard.assert_nothing_of_the_message();
        assert!(!heard.everything().contains("AHVz"), "AUTH PLAIN's octets");
    }
}
