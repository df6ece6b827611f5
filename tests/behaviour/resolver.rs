//! The real resolver against a real name server on loopback, faults included.

use std::net::IpAddr;

use sealpost::dev::dns::{DnsServer, Zones};
use sealpost::world::dns::{Dns as _, DnsError, Mx, Security};
use sealpost::world::dns_hickory::HickoryDns;

use crate::support::dns::domain;

async fn resolver(zones: Zones) -> (HickoryDns, DnsServer) {
    let server = DnsServer::start(zones).await.unwrap();
    (HickoryDns::new(&[server.address()]).unwrap(), server)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn mx_records_come_with_their_preferences_and_are_not_called_secure() {
    let mut zones = Zones::new();
    zones
        .mx("b.example", 10, "mx1.b.example")
        .mx("b.example", 20, "mx2.b.example")
        .null_mx("null.example")
        .cname("alias.example", "b.example");
    let (dns, _server) = resolver(zones).await;
    for name in ["b.example", "alias.example"] {
        let mut answer = dns.mx(&domain(name)).await.unwrap();
        answer.records.sort_by_key(|mx| mx.preference);
        let expected =
            [(10, "mx1.b.example"), (20, "mx2.b.example")].map(|(preference, host)| Mx {
                preference,
                exchange: Some(domain(host)),
            });
        assert_eq!(answer.records, expected);
        assert_eq!(answer.security, Security::Insecure);
    }
    let null = dns.mx(&domain("null.example")).await.unwrap().records;
    assert_eq!(null.len(), 1);
    assert_eq!(null[0].exchange, None);
}

#[tokio::test]
async fn no_such_name_and_no_such_record_are_two_things() {
    let mut zones = Zones::new();
    zones
        .nodata("empty.example")
        .address("host.example", ip("192.0.2.1"));
    let (dns, _server) = resolver(zones).await;
    for name in ["empty.example", "host.example"] {
        assert_eq!(dns.mx(&domain(name)).await.unwrap().records, []);
    }
    let gone = domain("gone.example");
    assert_eq!(
        dns.mx(&gone).await,
        Err(DnsError::NoSuchDomain(gone.clone()))
    );
    assert_eq!(
        dns.addresses(&gone).await,
        Err(DnsError::NoSuchDomain(gone))
    );
    let empty = dns.addresses(&domain("empty.example")).await.unwrap();
    assert_eq!(empty.records, Vec::<IpAddr>::new());
}

#[tokio::test]
async fn both_families_are_asked_for() {
    let mut zones = Zones::new();
    zones
        .address("both.example", ip("192.0.2.1"))
        .address("both.example", ip("2001:db8::1"))
        .address("four.example", ip("192.0.2.4"));
    let (dns, _server) = resolver(zones).await;
    let mut both = dns
        .addresses(&domain("both.example"))
        .await
        .unwrap()
        .records;
    both.sort();
    assert_eq!(both, [ip("192.0.2.1"), ip("2001:db8::1")]);
    let four = dns.addresses(&domain("four.example")).await.unwrap();
    assert_eq!(four.records, [ip("192.0.2.4")]);
}

#[tokio::test]
async fn servers_that_fail_are_temporary() {
    let mut zones = Zones::new();
    zones.servfail("fail.example").refused("refused.example");
    let (dns, _server) = resolver(zones).await;
    for name in ["fail.example", "refused.example"] {
        let name = domain(name);
        let mx = dns.mx(&name).await;
        assert!(matches!(mx, Err(DnsError::Temporary { .. })), "{mx:?}");
        let addresses = dns.addresses(&name).await;
        assert!(
            matches!(addresses, Err(DnsError::Temporary { .. })),
            "{addresses:?}"
        );
    }
}

/// In paused time a timeout comes as soon as nothing else does.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_temporary() {
    let mut zones = Zones::new();
    zones.silent("silent.example");
    let (dns, _server) = resolver(zones).await;
    let name = domain("silent.example");
    let before = tokio::time::Instant::now();
    let mx = dns.mx(&name).await;
    assert!(matches!(mx, Err(DnsError::Temporary { .. })), "{mx:?}");
    assert!(before.elapsed().as_secs() <= 30);
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_udp_comes_over_tcp() {
    let mut zones = Zones::new();
    for n in 0..120 {
        zones.mx(
            "large.example",
            n,
            &format!("mx{n}.{}.example", "x".repeat(60)),
        );
    }
    let (dns, _server) = resolver(zones).await;
    let answer = dns.mx(&domain("large.example")).await.unwrap();
    assert_eq!(answer.records.len(), 120);
}

#[tokio::test]
async fn mx_names_that_are_no_hosts_are_no_reason_to_use_the_address() {
    let mut zones = Zones::new();
    zones
        .mx("odd.example", 10, "_mx.odd.example")
        .mx("half.example", 10, "_mx.half.example")
        .mx("half.example", 20, "mx.half.example");
    let (dns, _server) = resolver(zones).await;
    let odd = dns.mx(&domain("odd.example")).await;
    assert!(matches!(odd, Err(DnsError::Temporary { .. })), "{odd:?}");
    let half = dns.mx(&domain("half.example")).await.unwrap().records;
    assert_eq!(half.len(), 1);
    assert_eq!(half[0].exchange, Some(domain("mx.half.example")));
}

#[tokio::test]
async fn names_are_asked_for_as_they_are() {
    let (dns, server) = resolver(Zones::new()).await;
    assert!(dns.mx(&domain("intranet")).await.is_err());
    assert!(dns.addresses(&domain("localhost.b.example")).await.is_err());
    let asked: Vec<_> = server.asked().into_iter().map(|(name, _)| name).collect();
    assert!(!asked.is_empty());
    for name in asked {
        let name = name.trim_end_matches('.').to_owned();
        assert!(
            name == "intranet" || name == "localhost.b.example",
            "{name}: no search domain"
        );
    }
}
