//! Which addresses we connect to. Pure.
//!
//! Whoever writes a record in the DNS, or a URL in a certificate, chooses where we connect to:
//! addresses that are not public are refused unless the operator allows them, however they are
//! spelled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Nobody's: unspecified, multicast, broadcast.
    Nowhere,
    /// This machine or the network around it.
    Private,
    /// The Internet.
    Public,
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b) {
        (224..=255, _) | (0, _) => Reach::Nowhere,
        (10 | 127, _) | (169, 254) | (192, 168) | (172, 16..=31) => Reach::Private,
        // Shared address space of carriers (RFC 6598), benchmarks (RFC 2544).
        (100, 64..=127) | (198, 18 | 19) => Reach::Private,
        // IETF protocol assignments (RFC 6890).
        (192, 0) if c == 0 => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let [a, b, c, .., g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        reach_v4(Ipv4Addr::new(w, x, y, z))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Nowhere,
        // Loopback; IPv4 in disguise (mapped, RFC 4291 §2.5.5), which no honest AAAA holds.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => Reach::Private,
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the IPv4 address within.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(g, h),
        [0x2002, ..] => embedded(b, c),
        // Unique local (RFC 4193), link-local, site-local, local-use NAT64 (RFC 8215).
        _ if matches!(a, 0xfc00..=0xfdff | 0xfe80..=0xfeff) => Reach::Private,
        [0x64, 0xff9b, 1, ..] => Reach::Private,
        _ if a >= 0xff00 => Reach::Nowhere,
        _ => Reach::Public,
    }
}

/// Whether we may connect to `address`.
pub fn is_allowed(address: IpAddr, allow_private: bool) -> bool {
    match reach(address) {
        Reach::Nowhere => false,
        Reach::Private => allow_private,
        Reach::Public => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tells_public_addresses_from_others_however_they_are_spelled() {
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.19.0.1",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
        ] {
            assert_eq!(reach(ip(text)), Reach::Private, "{text}");
            assert!(!is_allowed(ip(text), false), "{text}");
            assert!(is_allowed(ip(text), true), "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "ff02::1",
            "64:ff9b::0.0.0.0",
        ] {
            assert_eq!(reach(ip(text)), Reach::Nowhere, "{text}");
            assert!(!is_allowed(ip(text), true), "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "2a00::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(reach(ip(text)), Reach::Public, "{text}");
        }
    }
}
