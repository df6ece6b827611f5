//! Who may do how much: requests by rate, connections and requests in work by number.
//!
//! Rates are kept in tables of a fixed size, one slot a key by a hash that nobody outside knows: no
//! crowd of addresses makes them grow. Two keys that meet in a slot share its rate, which is set so
//! that this does not matter.
//!
//! Places are counted by network, and for IPv6 by the /48 around it as well: whoever has one has
//! 65,536 networks of /64 in it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::options::Rate;
use crate::mail::Timestamp;

/// Slots of a table.
const SLOTS: usize = 1 << 16;
/// As many places more than one /64 has a /48 of IPv6.
const WIDER: usize = 4;

/// The network that an address is in: IPv4 /24, IPv6 /64.
pub(in crate::portal) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// A rate for each address (the generic cell rate algorithm: a token bucket of which only the
/// moment is kept at which it will be full again).
#[derive(Debug)]
pub(super) struct Buckets {
    hasher: RandomState,
    /// Microseconds since the epoch at which a slot's bucket will be full.
    full_at: Mutex<Vec<u64>>,
    /// Microseconds that one request costs.
    cost: u64,
    /// Microseconds that the bucket holds.
    depth: u64,
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        let cost = 60_000_000 / u64::from(rate.per_minute.max(1));
        Self {
            hasher: RandomState::new(),
            full_at: Mutex::new(vec![0; SLOTS]),
            cost,
            depth: cost * u64::from(rate.burst.max(1)),
        }
    }

    /// Takes one; or how long to wait for one.
    pub(super) fn take(&self, key: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(key);
        let slot = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(full_at) = full_at.get_mut(slot) else {
            return Ok(());
        };
        let now = now.as_micros();
        let then = (*full_at).max(now) + self.cost;
        let over = (then - now).saturating_sub(self.depth);
        if over > 0 {
            return Err(Duration::from_micros(over));
        }
        *full_at = then;
        Ok(())
    }
}

/// Of what places are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Area {
    /// A network.
    Network(IpAddr),
    /// The /48 of IPv6 around it.
    Wide(Ipv6Addr),
}

impl Area {
    /// All in which a network lies, and as how many networks each counts.
    fn around(network: IpAddr) -> impl Iterator<Item = (Self, usize)> {
        let wide = match network {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => {
                let prefix = v6.to_bits() >> 80 << 80;
                Some((Self::Wide(Ipv6Addr::from_bits(prefix)), WIDER))
            }
        };
        std::iter::once((Self::Network(network), 1)).chain(wide)
    }
}

/// Places in use.
#[derive(Debug)]
struct Counts {
    places: HashMap<Area, usize>,
    limit: usize,
}

impl Counts {
    /// Takes a place; `false` where there is none.
    fn take(&mut self, network: IpAddr) -> bool {
        let free = |(area, times): (Area, usize)| {
            let taken = self.places.get(&area).copied().unwrap_or_default();
            taken < self.limit.saturating_mul(times)
        };
        let free = Area::around(network).all(free);
        if free {
            for (area, _) in Area::around(network) {
                *self.places.entry(area).or_default() += 1;
            }
        }
        free
    }

    fn give_back(&mut self, network: IpAddr, places: usize) {
        for (area, _) in Area::around(network) {
            if let Some(count) = self.places.get_mut(&area) {
                *count = count.saturating_sub(places);
                if *count == 0 {
                    self.places.remove(&area);
                }
            }
        }
    }
}

/// Counts by network, up to a limit each; the networks of one /48 together have [`WIDER`] times as
/// much. Holds no network of which there is nothing.
#[derive(Debug)]
pub(in crate::portal) struct Counter {
    counts: Arc<Mutex<Counts>>,
}

impl Counter {
    /// Up to `limit` places a network.
    pub(in crate::portal) fn new(limit: usize) -> Self {
        let places = HashMap::new();
        Self {
            counts: Arc::new(Mutex::new(Counts { places, limit })),
        }
    }

    /// A place, if there is one.
    pub(in crate::portal) fn take(&self, network: IpAddr) -> Option<Slot> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.take(network).then(|| Slot {
            counts: Arc::clone(&self.counts),
            network,
            places: 1,
        })
    }
}

/// Places of a network, given back when it is dropped.
#[derive(Debug)]
pub(in crate::portal) struct Slot {
    counts: Arc<Mutex<Counts>>,
    network: IpAddr,
    places: usize,
}

impl Slot {
    /// One place more; `false` where there is none.
    pub(in crate::portal) fn grow(&mut self) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counts.take(self.network);
        if room {
            self.places += 1;
        }
        room
    }

    /// Gives places back; one stays at least.
    pub(in crate::portal) fn shrink(&mut self, places: usize) {
        let given = self.places.saturating_sub(places.max(1));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.give_back(self.network, given);
        self.places -= given;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.give_back(self.network, self.places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_burst_and_then_a_rate() {
        let buckets = Buckets::new(Rate {
            burst: 3,
            per_minute: 60,
        });
        let now = Timestamp::from_secs(1_800_000_000);
        for _ in 0..3 {
            assert_eq!(buckets.take(SOMEBODY, now), Ok(()));
        }
        assert_eq!(buckets.take(SOMEBODY, now), Err(Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(buckets.take(SOMEBODY, later), Ok(()));
        assert!(buckets.take(SOMEBODY, later).is_err());
        let rested = now + Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(buckets.take(SOMEBODY, rested), Ok(()));
        }
        assert!(buckets.take(SOMEBODY, rested).is_err());
    }

    #[test]
    fn a_crowd_takes_no_memory_and_stops_nobody_else() {
        let buckets = Buckets::new(Rate {
            burst: 100,
            per_minute: 100,
        });
        let now = Timestamp::from_secs(1_800_000_000);
        for n in 0..200_000u32 {
            let stranger = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
            assert_eq!(buckets.take(stranger, now), Ok(()));
        }
        assert_eq!(buckets.full_at.lock().unwrap().len(), SLOTS);
        assert_eq!(buckets.take(SOMEBODY, now), Ok(()));
    }

    #[test]
    fn networks_are_what_one_household_or_office_has() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.77"), "192.0.2.0");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn places_are_given_back() {
        let counter = Counter::new(1);
        let place = counter.take(SOMEBODY).unwrap();
        assert!(counter.take(SOMEBODY).is_none());
        drop(place);
        assert!(counter.counts.lock().unwrap().places.is_empty());
        assert!(counter.take(SOMEBODY).is_some());
        let three = Counter::new(3);
        let mut places = three.take(SOMEBODY).unwrap();
        assert!(places.grow() && places.grow() && !places.grow());
        assert!(three.take(SOMEBODY).is_none());
        drop(places);
        assert!(three.counts.lock().unwrap().places.is_empty());
    }

    #[test]
    fn a_48_has_as_much_as_four_of_its_networks() {
        let of = |address: &str| network(address.parse().unwrap());
        let counter = Counter::new(3);
        let mut held: Vec<Slot> = (0..100)
            .filter_map(|n| counter.take(of(&format!("2001:db8:1:{n:x}::1"))))
            .collect();
        assert_eq!(held.len(), 3 * WIDER);
        assert!(counter.take(of("2001:db8:1:ffff::1")).is_none());
        assert!(counter.take(of("2001:db8:2::1")).is_some());
        let mut last = held.pop().unwrap();
        assert!(!last.grow());
        held.pop();
        assert!(last.grow());
        last.shrink(1);
        assert!(counter.take(of("2001:db8:1:ffff::1")).is_some());
        drop((held, last));
        assert!(counter.counts.lock().unwrap().places.is_empty());
    }
}
