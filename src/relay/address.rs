//! Which addresses of a host are tried, and in which order. Pure. (Which of them may be tried at
//! all: [`crate::world::reach`].)

use std::net::{IpAddr, SocketAddr};

use super::shuffle::Shuffle;

/// Most addresses tried of one host.
pub const MAX_ADDRESSES_PER_HOST: usize = 6;

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
