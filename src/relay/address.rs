//! Which addresses of a host are tried, and in which order. Pure.
//!
//! Whoever writes an MX record chooses where we connect to: addresses that are not public are
//! refused unless the operator allows them, however they are spelled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::shuffle::Shuffle;

/// Most addresses tried of one host.
pub const MAX_ADDRESSES_PER_HOST: usize = 6;

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
pub(super) fn is_allowed(address: IpAddr, allow_private: bool) -> bool {
    match reach(address) {
        Reach::Nowhere => false,
        Reach::Private => allow_private,
        Reach::Public => true,
    }
}

/// An address to try, and the address to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Leg {
    pub(super) peer: SocketAddr,
    pub(super) source: Option<IpAddr>,
}

/// The order to try `addresses` in: both families by turns, IPv6 first, so that a broken family
/// costs one timeout before the other has its chance.
pub(super) fn legs(
    mut addresses: Vec<IpAddr>,
    port: u16,
    sources: &[IpAddr],
    shuffle: &mut Shuffle,
) -> Vec<Leg> {
    addresses.sort_unstable();
    addresses.dedup();
    shuffle.shuffle(&mut addresses);
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut six = six.into_iter();
    let mut four = four.into_iter();
    let mut turns = Vec::new();
    loop {
        let (a, b) = (six.next(), four.next());
        if a.is_none() && b.is_none() {
            break;
        }
        turns.extend(a);
        turns.extend(b);
    }
    turns
        .into_iter()
        .filter_map(|peer| {
            let source = source_for(peer, sources)?;
            let peer = SocketAddr::new(peer, port);
            Some(Leg { peer, source })
        })
        .take(MAX_ADDRESSES_PER_HOST)
        .collect()
}

/// The source for a peer: always the same one, so that idle connections are found again.
/// The outer `None`: there are sources, but none of the peer's family.
fn source_for(peer: IpAddr, sources: &[IpAddr]) -> Option<Option<IpAddr>> {
    if sources.is_empty() {
        return Some(None);
    }
    let fitting: Vec<_> = sources
        .iter()
        .filter(|source| source.is_ipv6() == peer.is_ipv6())
        .collect();
    let octets: usize = match peer {
        IpAddr::V4(peer) => peer.octets().iter().copied().map(usize::from).sum(),
        IpAddr::V6(peer) => peer.octets().iter().copied().map(usize::from).sum(),
    };
    let at = octets.checked_rem(fitting.len())?;
    fitting.get(at).map(|&&source| Some(source))
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

    #[test]
    fn takes_the_families_by_turns_and_caps_them() {
        let addresses = vec![
            ip("192.0.2.1"),
            ip("192.0.2.2"),
            ip("192.0.2.3"),
            ip("2001:db8::1"),
            ip("2001:db8::1"),
        ];
        let legs = legs(addresses, 25, &[], &mut Shuffle::new(7));
        let families: Vec<_> = legs.iter().map(|leg| leg.peer.is_ipv6()).collect();
        assert_eq!(families, [true, false, false, false]);
        let many = (0..50).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let legs = super::legs(many, 25, &[], &mut Shuffle::new(7));
        assert_eq!(legs.len(), MAX_ADDRESSES_PER_HOST);
    }

    #[test]
    fn comes_from_a_source_of_the_same_family() {
        let sources = [ip("192.0.2.100"), ip("192.0.2.101")];
        let addresses = vec![ip("192.0.2.1"), ip("2001:db8::1")];
        let picked = legs(addresses.clone(), 25, &sources, &mut Shuffle::new(1));
        assert_eq!(picked.len(), 1, "no IPv6 source, no IPv6 peer");
        assert!(sources.contains(&picked[0].source.unwrap()));
        assert_eq!(picked, legs(addresses, 25, &sources, &mut Shuffle::new(2)));
    }
}
