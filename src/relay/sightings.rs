//! Domains that were seen not to exist: one sighting is no proof.
//!
//! A registry in trouble, a resolver in trouble or a forged answer makes a domain vanish for a
//! moment. A bounce needs two sightings at least [`CONFIRM_AFTER`] apart without a contrary
//! answer between them. Kept in memory only: after a restart the first sighting is a first one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::mail::{Domain, Timestamp};

/// How far apart the two sightings must be.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(60);
/// A sighting that nothing followed for this long proves nothing any more.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Domains remembered; the oldest is forgotten first, which only defers a bounce.
pub const MAX_SIGHTINGS: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
}

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    seen: HashMap<Domain, Seen>,
    /// In the order of their first sighting; may hold domains that were forgotten since.
    order: VecDeque<Domain>,
}

impl Sightings {
    /// The domain was seen not to exist. Whether that is confirmed now.
    pub(super) fn missing(&mut self, domain: &Domain, now: Timestamp) -> bool {
        if let Some(seen) = self.seen.get_mut(domain) {
            if now.since(seen.last) > FORGET_AFTER {
                seen.first = now;
            }
            seen.last = now;
            return now.since(seen.first) >= CONFIRM_AFTER;
        }
        while self.order.len() >= MAX_SIGHTINGS {
            if let Some(oldest) = self.order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
        self.order.push_back(domain.clone());
        let seen = Seen {
            first: now,
            last: now,
        };
        self.seen.insert(domain.clone(), seen);
        false
    }

    /// The domain was seen to exist.
    pub(super) fn exists(&mut self, domain: &Domain) {
        if self.seen.remove(domain).is_some() {
            self.order.retain(|other| other != domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    #[test]
    fn a_second_sighting_a_minute_later_confirms() {
        let domain = Domain::parse("gone.example").unwrap();
        let mut sightings = Sightings::default();
        assert!(!sightings.missing(&domain, at(0)));
        assert!(!sightings.missing(&domain, at(59)));
        assert!(sightings.missing(&domain, at(60)));
        sightings.exists(&domain);
        assert!(!sightings.missing(&domain, at(61)));
        assert!(sightings.missing(&domain, at(200)));
        let days_later = 3 * 24 * 60 * 60;
        assert!(!sightings.missing(&domain, at(days_later)));
        assert!(sightings.missing(&domain, at(days_later + 60)));
    }

    #[test]
    fn forgets_the_oldest_when_full() {
        let domain = |n: usize| Domain::parse(&format!("d{n}.example")).unwrap();
        let mut sightings = Sightings::default();
        for n in 0..=MAX_SIGHTINGS {
            assert!(!sightings.missing(&domain(n), at(0)));
        }
        assert_eq!(sightings.seen.len(), MAX_SIGHTINGS);
        assert_eq!(sightings.order.len(), MAX_SIGHTINGS);
        assert!(!sightings.missing(&domain(0), at(100)), "was forgotten");
        assert!(sightings.missing(&domain(MAX_SIGHTINGS), at(100)));
    }
}
