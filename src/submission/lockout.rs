//! Who has failed to authenticate too often, for a while.
//!
//! Failures are counted by address and by account name, known or not. Whoever has succeeded as an
//! account from an address is counted there alone, more generously: neither a stranger who knows
//! the name nor a neighbour with a stale password can lock a working application out. Bounded;
//! pure, time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::mail::Timestamp;

/// Failures of an address, or of an account, that lock it.
pub(super) const MAX_FAILURES: u32 = 5;
/// Failures of an account at an address where it succeeded before.
pub(super) const MAX_FAILURES_OF_KNOWN: u32 = 20;
/// How long failures count, and how long a lock holds.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long a success is remembered.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Most entries of each map.
const MAX_ENTRIES: usize = 10_000;

/// An address as far as limits tell addresses apart: IPv6 by /64, of which one host has them all.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            if let Some(host) = octets.get_mut(8..) {
                host.fill(0);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        address => address,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Account(String),
    Known(String, Option<IpAddr>),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// When they are forgotten: a window after the first, or after the one that locked.
    until: Timestamp,
}

/// All failures that still count.
#[derive(Debug, Default)]
pub(super) struct Lockouts {
    failures: HashMap<Key, Failures>,
    /// Account and address of successes, and until when they are remembered.
    known: HashMap<(String, Option<IpAddr>), Timestamp>,
}

impl Lockouts {
    /// Whether a password is not even looked at.
    pub(super) fn is_locked(&self, now: Timestamp, name: &str, address: Option<IpAddr>) -> bool {
        self.keys(now, name, address)
            .into_iter()
            .any(|(key, most)| {
                self.failures
                    .get(&key)
                    .is_some_and(|failures| failures.count >= most && now < failures.until)
            })
    }

    /// A password was wrong. Whether that locked the address or the account just now.
    pub(super) fn failed(&mut self, now: Timestamp, name: &str, address: Option<IpAddr>) -> bool {
        let mut locked = false;
        for (key, most) in self.keys(now, name, address) {
            make_room(&mut self.failures, now, |failures| failures.until);
            let failures = self.failures.entry(key).or_insert(Failures {
                count: 0,
                until: now + WINDOW,
            });
            if failures.until <= now {
                *failures = Failures {
                    count: 0,
                    until: now + WINDOW,
                };
            }
            failures.count = failures.count.saturating_add(1);
            if failures.count == most {
                failures.until = now + WINDOW;
                locked = true;
            }
        }
        locked
    }

    /// A password was right: this account is known at this address, and its failures there are
    /// forgotten.
    pub(super) fn succeeded(&mut self, now: Timestamp, name: &str, address: Option<IpAddr>) {
        let address = address.map(network);
        self.failures.remove(&Key::Known(name.to_owned(), address));
        make_room(&mut self.known, now, |until| *until);
        self.known
            .insert((name.to_owned(), address), now + KNOWN_FOR);
    }

    /// What counts for an attempt, and how many failures it may have.
    fn keys(&self, now: Timestamp, name: &str, address: Option<IpAddr>) -> Vec<(Key, u32)> {
        let address = address.map(network);
        let name = name.to_owned();
        let known = self
            .known
            .get(&(name.clone(), address))
            .is_some_and(|until| now < *until);
        if known {
            return vec![(Key::Known(name, address), MAX_FAILURES_OF_KNOWN)];
        }
        let mut keys = vec![(Key::Account(name), MAX_FAILURES)];
        keys.extend(address.map(|address| (Key::Address(address), MAX_FAILURES)));
        keys
    }
}

/// Drops what is over, and if that is not enough what is over soonest.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    now: Timestamp,
    until: impl Fn(&V) -> Timestamp,
) {
    if map.len() < MAX_ENTRIES {
        return;
    }
    map.retain(|_, value| now < until(value));
    if map.len() < MAX_ENTRIES {
        return;
    }
    let mut ends: Vec<Timestamp> = map.values().map(&until).collect();
    let (_, middle, _) = ends.select_nth_unstable(MAX_ENTRIES / 10);
    let middle = *middle;
    map.retain(|_, value| middle < until(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000_000);

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_fifth_failure_locks_address_and_account() {
        let mut lockouts = Lockouts::default();
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        for failure in 1..=5 {
            assert!(!lockouts.is_locked(START, "jo", here), "{failure}");
            assert_eq!(lockouts.failed(START, "jo", here), failure == 5);
        }
        assert!(lockouts.is_locked(START, "jo", here));
        assert!(lockouts.is_locked(START, "other", here));
        assert!(lockouts.is_locked(START, "jo", there));
        assert!(!lockouts.is_locked(START, "other", there));
        let later = START + WINDOW;
        assert!(!lockouts.is_locked(later, "jo", here));
        assert!(!lockouts.failed(later, "jo", here));
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut lockouts = Lockouts::default();
        let mut now = START;
        for _ in 0..20 {
            assert!(!lockouts.failed(now, "jo", address("192.0.2.1")));
            now = now + WINDOW / 2;
        }
        assert!(!lockouts.is_locked(now, "jo", address("192.0.2.1")));
    }

    #[test]
    fn who_succeeded_is_not_locked_out_by_others() {
        let mut lockouts = Lockouts::default();
        let (app, attacker) = (address("192.0.2.1"), address("198.51.100.1"));
        lockouts.succeeded(START, "jo", app);
        for _ in 0..100 {
            lockouts.failed(START, "jo", attacker);
            lockouts.failed(START, "stale", app);
        }
        assert!(lockouts.is_locked(START, "jo", attacker));
        assert!(lockouts.is_locked(START, "stale", app));
        assert!(!lockouts.is_locked(START, "jo", app));
        for failure in 1..=MAX_FAILURES_OF_KNOWN {
            assert_eq!(
                lockouts.failed(START, "jo", app),
                failure == MAX_FAILURES_OF_KNOWN
            );
        }
        assert!(lockouts.is_locked(START, "jo", app));
    }

    #[test]
    fn addresses_are_told_apart_by_network() {
        assert_eq!(
            network("2001:db8:1:2:3::4".parse().unwrap()),
            "2001:db8:1:2::".parse::<IpAddr>().unwrap()
        );
        assert_eq!(
            network("::ffff:192.0.2.1".parse().unwrap()),
            "192.0.2.1".parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn stays_in_bounds() {
        let mut lockouts = Lockouts::default();
        for number in 0..3 * u32::try_from(MAX_ENTRIES).unwrap() {
            let now = START + Duration::from_millis(u64::from(number));
            let address = Some(IpAddr::from(number.to_be_bytes()));
            lockouts.failed(now, &number.to_string(), address);
            lockouts.succeeded(now, &number.to_string(), address);
        }
        assert!(
            lockouts.failures.len() <= MAX_ENTRIES + 1,
            "{}",
            lockouts.failures.len()
        );
        assert!(lockouts.known.len() <= MAX_ENTRIES);
    }
}
