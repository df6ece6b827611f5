//! Next hops that the operator names.

use sealpost::mail::{Grade, Level, Outcome};
use sealpost::relay::{Credentials, Relay, Route, RouteTls};

use crate::support::ca::Ca;
use crate::support::dns::domain;
use crate::support::mx::{Do, Mx};
use crate::support::world::{World, brief, deliver, deliver_one, job_of};

fn route(name: Option<&str>) -> Route {
    Route {
        domain: name.map(domain),
        host: domain("gw.partner.example"),
        port: 587,
        tls: RouteTls::Starttls,
        credentials: None,
        roots: None,
        max_level: Level::Protected,
    }
}

fn relay(world: &World, routes: Vec<Route>) -> Relay {
    let mut config = world.config();
    config.routes = routes;
    world.relay_with(config)
}

fn gateway(world: &World, mx: &Mx, port: u16) {
    world.dns.addresses("gw.partner.example", &["192.0.2.7"]);
    world.at(&format!("192.0.2.7:{port}"), mx);
}

fn credentials() -> Option<Credentials> {
    Some(Credentials::new("us", "open sesame".to_owned()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_route_goes_before_mx_and_the_default_route_takes_the_rest() {
    let world = World::new();
    let gw = world.good_mx("gw.partner.example");
    gateway(&world, &gw, 587);
    let hub = world.good_mx("hub.clinic.example");
    world.dns.addresses("hub.clinic.example", &["192.0.2.8"]);
    world.at("192.0.2.8:25", &hub);
    let default = Route {
        host: domain("hub.clinic.example"),
        port: 25,
        ..route(None)
    };
    let relay = relay(&world, vec![default, route(Some("b.example"))]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let hop = outcome.hop.unwrap();
    assert_eq!(hop.next_hop.as_str(), "gw.partner.example");
    assert_eq!(hop.mx.as_str(), "gw.partner.example");
    assert_eq!(hop.grade, Grade::Pkix);
    let outcome = deliver_one(&relay, "sub.b.example").await;
    assert_eq!(outcome.hop.unwrap().mx.as_str(), "hub.clinic.example");
    assert!(
        world.dns.asked().iter().all(|q| q.starts_with("A ")),
        "no MX question at all"
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_has_its_own_authority_and_nobody_else_does() {
    let world = World::new();
    let partner = Ca::new("Partner Root");
    let gw = Mx::new(partner.issue("gw.partner.example").server());
    gateway(&world, &gw, 587);
    let private = Route {
        roots: Some(partner.roots()),
        ..route(Some("b.example"))
    };
    let relay = relay(&world, vec![private, route(Some("c.example"))]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    assert_eq!(relay.idle_connections(), 1);
    // The same host and address by another route: the idle connection does not count for it.
    let outcome = deliver_one(&relay, "c.example").await;
    assert!(
        brief(&outcome).contains("issued by an authority that we do not know"),
        "{}",
        brief(&outcome)
    );
    assert_eq!(gw.heard().connections, 2);
    assert_eq!(gw.heard().taken.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn we_authenticate_after_tls_and_once_a_connection() {
    let world = World::new();
    for (keywords, expected) in [
        (
            &["PIPELINING", "AUTH PLAIN LOGIN"][..],
            "AUTH PLAIN AHVzAG9wZW4gc2VzYW1l",
        ),
        (&["AUTH PLAIN"], "AUTH PLAIN AHVzAG9wZW4gc2VzYW1l"),
    ] {
        let gw = world
            .good_mx("gw.partner.example")
            .offering(&["STARTTLS", "AUTH PLAIN"], keywords);
        gateway(&world, &gw, 587);
        let secret = Route {
            credentials: credentials(),
            ..route(Some("b.example"))
        };
        let relay = relay(&world, vec![secret]);
        for _ in 0..2 {
            let outcome = deliver_one(&relay, "b.example").await;
            assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
        }
        let heard = gw.heard();
        assert_eq!(heard.connections, 1);
        let auth: Vec<_> = heard
            .commands
            .iter()
            .filter(|line| line.starts_with("AUTH"))
            .collect();
        assert_eq!(auth, [expected]);
        assert!(!String::from_utf8_lossy(&heard.plain).contains("AUTH"));
    }
}

#[tokio::test(start_paused = true)]
async fn auth_that_fails_defers_and_says_so() {
    let world = World::new();
    for (keywords, reply, expected) in [
        (
            &["AUTH PLAIN"][..],
            "535 5.7.8 wrong password\r\n",
            "deferred(site): 4.7.8 wrong password",
        ),
        (
            &["AUTH GSSAPI"],
            "",
            "deferred(site): 4.7.4 gw.partner.example offers neither AUTH PLAIN nor AUTH LOGIN while we were waiting for the reply to EHLO",
        ),
    ] {
        let gw = world
            .good_mx("gw.partner.example")
            .offering(&["STARTTLS"], keywords)
            .when(move |_, step| {
                if step.starts_with("AUTH") {
                    Do::Say(reply.to_owned())
                } else {
                    Do::Default
                }
            });
        gateway(&world, &gw, 587);
        let secret = Route {
            credentials: credentials(),
            ..route(Some("b.example"))
        };
        let outcome = deliver_one(&relay(&world, vec![secret]), "b.example").await;
        assert_eq!(brief(&outcome), expected);
        let heard = gw.heard();
        assert!(!heard.everything().contains("MAIL"));
        assert!(!brief(&outcome).contains("sesame"));
    }
}

#[tokio::test(start_paused = true)]
async fn implicit_tls() {
    let world = World::new();
    let mut gw = world.good_mx("gw.partner.example");
    gw.implicit = true;
    gateway(&world, &gw, 465);
    let implicit = Route {
        port: 465,
        tls: RouteTls::Implicit,
        ..route(None)
    };
    let outcome = deliver_one(&relay(&world, vec![implicit]), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let heard = gw.heard();
    assert_eq!((heard.handshakes, heard.plain.len()), (1, 0));
    assert!(!heard.commands.contains(&"STARTTLS".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn implicit_tls_with_a_server_that_speaks_first_in_clear() {
    let world = World::new();
    let gw = world.good_mx("gw.partner.example");
    gateway(&world, &gw, 465);
    let implicit = Route {
        port: 465,
        tls: RouteTls::Implicit,
        ..route(None)
    };
    let outcome = deliver_one(&relay(&world, vec![implicit]), "b.example").await;
    assert!(
        brief(&outcome).starts_with("shortfall: 4.7.5 gw.partner.example offers TLS that fails"),
        "{}",
        brief(&outcome)
    );
    gw.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn a_route_carries_nothing_above_its_level() {
    let world = World::new();
    let gw = world.good_mx("gw.partner.example");
    gateway(&world, &gw, 587);
    let relay = relay(&world, vec![route(None)]);
    let job = job_of("b.example", 1, Level::Confidential, b"canary\r\n");
    let outcome = deliver(&relay, job).await.remove(0);
    assert_eq!(
        brief(&outcome),
        "shortfall: 4.7.10 gw.partner.example is the next hop of a route for levels up to protected, \
         and this message is confidential; TLS of grade pinned is required"
    );
    let Outcome::Shortfall { required, .. } = outcome.outcome else {
        unreachable!()
    };
    assert_eq!(required, Grade::Pinned);
    gw.heard().assert_nothing_of_the_message();
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_gone_never_bounces() {
    let world = World::new();
    let relay = relay(&world, vec![route(None)]);
    for _ in 0..2 {
        let outcome = deliver_one(&relay, "b.example").await;
        assert_eq!(
            brief(&outcome),
            "deferred(dns): 4.4.4 gw.partner.example has no address"
        );
        world.sleep(std::time::Duration::from_secs(90)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_the_operator_named_may_be_on_a_private_network_and_no_mx_may() {
    let world = World::new();
    let gw = world.good_mx("gw.partner.example");
    world.dns.addresses("gw.partner.example", &["10.0.0.7"]);
    world.at("10.0.0.7:587", &gw);
    let stranger = world.good_mx("mx.c.example");
    world.dns.mx("c.example", &[(10, "mx.c.example")]);
    world.host("mx.c.example", "10.0.0.8", &stranger);
    let relay = relay(&world, vec![route(Some("b.example"))]);
    let outcome = deliver_one(&relay, "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let outcome = deliver_one(&relay, "c.example").await;
    assert!(brief(&outcome).contains("not a public address"));
    assert_eq!(stranger.heard().connections, 0);
}
