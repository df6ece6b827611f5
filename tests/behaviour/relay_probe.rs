//! Probes: what a delivery would find, and not a word of mail.

use std::time::Duration;

use sealpost::mail::{Grade, Level, Outcome, Terms};
use sealpost::relay::{
    Credentials, MAX_PROBED_HOSTS, PROBE_TIME, ProbeReport, Relay, Route, RouteTls,
};

use crate::support::ca::self_signed;
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::net::Place;
use crate::support::world::{World, deliver_one};

async fn probe(relay: &Relay) -> ProbeReport {
    relay.probe(&domain("b.example"), &Terms::default()).await
}

/// Host, grade, lack.
fn told(report: &ProbeReport) -> Vec<(String, Grade, Option<String>)> {
    let row = |host: &sealpost::relay::ProbedHost| {
        (host.hop.mx.to_string(), host.hop.grade, host.lack.clone())
    };
    report.hosts.iter().map(row).collect()
}

fn heard_no_mail(mx: &Mx) {
    let heard = mx.heard();
    heard.assert_nothing_of_the_message();
    assert!(heard.connections > 0);
    let known = ["EHLO", "STARTTLS", "QUIT"];
    for command in &heard.commands {
        assert!(known.iter().any(|verb| command.starts_with(verb)));
    }
    assert_eq!(heard.commands.last().unwrap(), "QUIT");
}

#[tokio::test(start_paused = true)]
async fn every_host_shows_what_it_is() {
    let world = World::new();
    let good = world.good_mx("mx1.b.example");
    let unverified = Mx::new(self_signed("mx2.b.example").server());
    let plain = world.good_mx("mx3.b.example").offering(&["SIZE"], &[]);
    let names = ["mx3", "mx2", "mx1", "mx4"].map(|name| format!("{name}.b.example"));
    let records: Vec<_> = [10, 20, 30, 40]
        .into_iter()
        .zip(names.iter().map(String::as_str))
        .collect();
    world.dns.mx("b.example", &records);
    world.host("mx1.b.example", "192.0.2.1", &good);
    world.host("mx2.b.example", "192.0.2.2", &unverified);
    world.host("mx3.b.example", "192.0.2.3", &plain);
    world.dns.addresses("mx4.b.example", &["192.0.2.4"]);
    let relay = world.relay();
    let report = probe(&relay).await;
    let row = |name: &str, grade, lack: Option<&str>| {
        (format!("{name}.b.example"), grade, lack.map(str::to_owned))
    };
    assert_eq!(
        told(&report),
        [
            row("mx3", Grade::None, Some("offers no STARTTLS")),
            row(
                "mx2",
                Grade::Any,
                Some("cannot be verified: its certificate is self-signed")
            ),
            row("mx1", Grade::Pkix, None),
            row(
                "mx4",
                Grade::None,
                Some("could not be reached: connection refused")
            ),
        ]
    );
    assert_eq!(report.best, Some(Grade::Pkix));
    assert_eq!((report.by_route, report.cut), (false, false));
    assert_eq!(report.outcome, None);
    assert!(report.hosts[2].hop.tls.is_some());
    assert_eq!(relay.idle_connections(), 0, "nothing is kept for mail");
    world.sleep(Duration::from_secs(1)).await;
    for mx in [&good, &unverified, &plain] {
        heard_no_mail(mx);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_reaches_the_demand() {
    let world = World::new();
    let mx = Mx::new(self_signed("mx.b.example").server());
    world.only_mx(&mx);
    let report = probe(&world.relay()).await;
    assert_eq!(report.best, None);
    assert_eq!(report.hosts[0].hop.grade, Grade::Any);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_not_touched() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let relay = world.relay();
    deliver_one(&relay, "b.example").await;
    assert_eq!(probe(&relay).await.best, Some(Grade::Pkix));
    assert_eq!(relay.idle_connections(), 1);
    assert_eq!(mx.heard().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn terms_count() {
    let world = World::new();
    let mx = Mx::new(world.ca.issue("mx.b.example").classic_server());
    world.only_mx(&mx);
    let relay = world.relay();
    let b = domain("b.example");
    let pins = |pattern: &str| Terms {
        pin_mx: vec![pattern.parse().unwrap()],
        require_pq: false,
    };
    let report = relay.probe(&b, &pins("*.b.example")).await;
    assert_eq!(report.best, Some(Grade::Pinned));
    let report = relay.probe(&b, &pins("*.c.example")).await;
    assert_eq!(report.best, None);
    assert!(report.hosts[0].lack.as_ref().unwrap().contains("pins"));
    let terms = Terms {
        pin_mx: vec![],
        require_pq: true,
    };
    let report = relay.probe(&b, &terms).await;
    assert_eq!(report.best, None);
    assert!(
        report.hosts[0]
            .lack
            .as_ref()
            .unwrap()
            .contains("no post-quantum key exchange")
    );
    mx.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn a_route_is_gone_and_no_password_shown() {
    let world = World::new();
    let mut mx = world.good_mx("gw.partner.example");
    mx.implicit = true;
    world.dns.addresses("gw.partner.example", &["127.0.0.7"]);
    world.at("127.0.0.7:465", &mx);
    let mut config = world.config();
    config.routes = vec![Route {
        domain: None,
        host: domain("gw.partner.example"),
        port: 465,
        tls: RouteTls::Implicit,
        credentials: Some(Credentials::new("us", "clinic-secret".to_owned()).unwrap()),
        roots: None,
        max_level: Level::Protected,
    }];
    let report = probe(&world.relay_with(config)).await;
    assert!(report.by_route);
    assert_eq!(report.best, Some(Grade::Pkix));
    world.sleep(Duration::from_secs(1)).await;
    heard_no_mail(&mx);
}

#[tokio::test(start_paused = true)]
async fn without_hosts_it_says_what_a_delivery_would() {
    let world = World::new();
    let relay = world.relay();
    world.dns.mx("b.example", &[(0, ".")]);
    let report = probe(&relay).await;
    assert!(matches!(report.outcome, Some(Outcome::Bounced(_))));
    world.dns.mx("b.example", &[(10, "mx.b.example")]);
    world.dns.addresses("mx.b.example", &["127.0.0.1"]);
    let report = probe(&relay).await;
    let Some(Outcome::Deferred { status, .. }) = report.outcome else {
        panic!("{report:?}");
    };
    assert!(status.text.contains("not a public address"), "{status:?}");
    assert!(world.network.dialled().is_empty());
    assert_eq!(report.hosts, []);
}

#[tokio::test(start_paused = true)]
async fn time_and_hosts_are_bounded() {
    let world = World::new();
    let names: Vec<_> = (0..20).map(|n| format!("h{n}.b.example")).collect();
    let records: Vec<_> = names.iter().map(|name| (10, name.as_str())).collect();
    world.dns.mx("b.example", &records);
    let silent = world.good_mx("h.b.example").when(|_, _| Do::Hang);
    for (n, name) in names.iter().enumerate() {
        let address = format!("192.0.2.{}", n + 1);
        if n % 2 == 0 {
            world.host(name, &address, &silent);
        } else {
            world.dns.addresses(name, &[&address]);
            let place = format!("{address}:25");
            world.network.place(&place, Place::BlackHole);
        }
    }
    let began = world.clock.now();
    let report = probe(&world.relay()).await;
    assert_eq!(world.clock.now().since(began), PROBE_TIME);
    assert!(report.cut);
    assert_eq!(report.best, None);
    assert!(!report.hosts.is_empty() && report.hosts.len() < MAX_PROBED_HOSTS);
    // With time enough it is the number that ends it.
    for (n, name) in names.iter().enumerate() {
        let mx = world.good_mx(name);
        world.host(name, &format!("192.0.2.{}", n + 1), &mx);
    }
    let report = probe(&world.relay()).await;
    assert_eq!(report.hosts.len(), MAX_PROBED_HOSTS);
    assert!(report.cut);
}
