//! How often something may be done: per address, network, message.
//!
//! Owns one number per key and limit: the time at which its account is even again (the generic
//! cell rate algorithm of ITU-T I.371). Time is an argument. Bounded at [`MAX_KEYS`]: what is even
//! is as good as forgotten and goes first, then what is nearest to it; a key that is refused now is
//! never forgotten to make room. Where there is no room, newcomers share [`SHARED_KEYS`] keys.
//! Names of keys are kept as keyed hashes only.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;

use super::ProofError;
use crate::mail::Timestamp;

/// Keys that are remembered.
pub const MAX_KEYS: usize = 200_000;
/// Keys that newcomers share where there is no room, for each time of a limit.
pub const SHARED_KEYS: u8 = 255;
/// Keys that are looked at to make room for one.
const MAX_EVICTIONS: usize = 8;

/// So many at once, and again so many in each such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many at once.
    pub burst: u32,
    /// The time in which as many more come to be allowed.
    pub per: Duration,
}

impl Limit {
    /// So many times as many.
    pub const fn times(self, times: u32) -> Self {
        Self {
            burst: self.burst.saturating_mul(times),
            per: self.per,
        }
    }

    /// So many, and as many again in each such time.
    pub const fn new(burst: u32, per: Duration) -> Self {
        Self { burst, per }
    }

    fn each(self) -> Duration {
        self.per / self.burst.max(1)
    }

    /// How far ahead the account may be for one more to be allowed.
    fn slack(self) -> Duration {
        self.per.saturating_sub(self.each())
    }
}

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too often; again at {until}")]
pub struct TooOften {
    /// When the same would be allowed.
    pub until: Timestamp,
}

/// The network of an address: what one customer commonly has. /24 of IPv4, /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The first three octets.
    V4([u8; 3]),
    /// The first eight octets.
    V6([u8; 8]),
}

impl Network {
    /// Of an address; one of IPv4 in the clothes of IPv6 is one of IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// The /48 of IPv6 that it lies in: what one customer may have many a /64 of.
    pub fn wide(&self) -> Option<&[u8]> {
        match self {
            Self::V4(_) => None,
            Self::V6(octets) => octets.get(..6),
        }
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

/// What is counted: a scope and a name in it.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// What is done, and by what it is counted.
    pub scope: &'static str,
    /// Whose.
    pub name: &'a [u8],
    /// How often.
    pub limit: Limit,
}

type Slot = [u8; 16];

#[derive(Debug, Clone, Copy)]
struct Account {
    even_at: Timestamp,
    slack: Duration,
}

/// Where something is counted.
#[derive(Debug, Clone, Copy)]
enum Place {
    Own(Slot),
    Shared(u8, Duration),
}

#[derive(Default)]
struct State {
    /// Of newcomers while there is no room: one of few, by the time of the limit.
    shared: HashMap<(u8, Duration), Timestamp>,
    accounts: HashMap<Slot, Account>,
    by_time: BTreeSet<(Timestamp, Slot)>,
}

impl State {
    fn even_at(&self, place: Place, now: Timestamp) -> Timestamp {
        let even_at = match place {
            Place::Own(slot) => self.accounts.get(&slot).map(|it| it.even_at),
            Place::Shared(number, per) => self.shared.get(&(number, per)).copied(),
        };
        even_at.unwrap_or(now).max(now)
    }

    fn set(&mut self, place: Place, even_at: Timestamp, slack: Duration) {
        let slot = match place {
            Place::Own(slot) => slot,
            Place::Shared(number, per) => {
                self.shared.insert((number, per), even_at);
                return;
            }
        };
        if let Some(old) = self.accounts.insert(slot, Account { even_at, slack }) {
            self.by_time.remove(&(old.even_at, slot));
        }
        self.by_time.insert((even_at, slot));
    }

    /// Makes room for one more, if that can be done without forgetting who is refused now.
    fn make_room(&mut self, bound: usize, now: Timestamp) -> bool {
        if self.accounts.len() < bound {
            return true;
        }
        let refused = |account: &Account| account.even_at.since(now) > account.slack;
        let victim = self.by_time.iter().take(MAX_EVICTIONS).find(|(_, slot)| {
            self.accounts
                .get(slot)
                .is_none_or(|account| !refused(account))
        });
        let Some(&(even_at, slot)) = victim else {
            return false;
        };
        self.by_time.remove(&(even_at, slot));
        self.accounts.remove(&slot);
        true
    }
}

/// The accounts.
pub struct Throttle {
    key: hmac::Key,
    bound: usize,
    state: Mutex<State>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Throttle({} keys)", self.len())
    }
}

impl Throttle {
    /// With nothing counted yet.
    pub fn new() -> Result<Self, ProofError> {
        Self::bounded(MAX_KEYS)
    }

    fn bounded(bound: usize) -> Result<Self, ProofError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| ProofError::Random)?;
        Ok(Self {
            key,
            bound,
            state: Mutex::default(),
        })
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.state().accounts.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, counted: &Counted<'_>) -> Slot {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(counted.scope.as_bytes());
        context.update(&[0]);
        context.update(&counted.limit.per.as_micros().to_be_bytes());
        context.update(counted.name);
        let mut slot = Slot::default();
        for (to, from) in slot.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        slot
    }

    /// Counts one against each of these, or, where one of them does not allow it, against none.
    pub fn take(&self, counted: &[Counted<'_>], now: Timestamp) -> Result<(), TooOften> {
        self.take_if(counted, &[], now)
    }

    /// The same, where these others would allow one as well: nothing is counted against them.
    pub fn take_if(
        &self,
        counted: &[Counted<'_>],
        others: &[Counted<'_>],
        now: Timestamp,
    ) -> Result<(), TooOften> {
        let mut state = self.state();
        let mut places = Vec::with_capacity(counted.len());
        let mut until = now;
        for one in counted.iter().chain(others) {
            let slot = self.slot(one);
            let [first, ..] = slot;
            let has_place = state.accounts.contains_key(&slot) || state.make_room(self.bound, now);
            let place = match has_place {
                true => Place::Own(slot),
                false => Place::Shared(first % SHARED_KEYS, one.limit.per),
            };
            let even_at = state.even_at(place, now);
            if even_at.since(now) > one.limit.slack() {
                until = until.max(even_at - one.limit.slack());
            }
            places.push((place, one.limit));
        }
        if until > now {
            return Err(TooOften { until });
        }
        for (place, limit) in places.into_iter().take(counted.len()) {
            let even_at = state.even_at(place, now) + limit.each();
            state.set(place, even_at, limit.slack());
        }
        Ok(())
    }

    /// Takes back what [`Self::take`] counted: it turned out to be right, or was not done.
    pub fn give_back(&self, counted: &[Counted<'_>], now: Timestamp) {
        let mut state = self.state();
        for one in counted {
            let slot = self.slot(one);
            if let Some(account) = state.accounts.get(&slot).copied() {
                let even_at = (account.even_at - one.limit.each()).max(now);
                state.set(Place::Own(slot), even_at, account.slack);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn counted(name: &[u8]) -> Counted<'_> {
        Counted {
            scope: "test",
            name,
            limit: Limit::new(5, HOUR),
        }
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let throttle = Throttle::new().unwrap();
        for _ in 0..5 {
            throttle.take(&[counted(b"a")], NOW).unwrap();
        }
        let refused = throttle.take(&[counted(b"a")], NOW).unwrap_err();
        assert_eq!(refused.until, NOW + HOUR / 5);
        throttle.take(&[counted(b"b")], NOW).unwrap();
        assert!(
            throttle
                .take(&[counted(b"a")], refused.until - Duration::from_secs(1))
                .is_err()
        );
        throttle.take(&[counted(b"a")], refused.until).unwrap();
        assert!(throttle.take(&[counted(b"a")], refused.until).is_err());
        for _ in 0..5 {
            throttle.take(&[counted(b"a")], NOW + HOUR * 3).unwrap();
        }
    }

    #[test]
    fn all_or_none_and_back() {
        let throttle = Throttle::new().unwrap();
        for _ in 0..5 {
            throttle.take(&[counted(b"a")], NOW).unwrap();
        }
        assert!(throttle.take(&[counted(b"b"), counted(b"a")], NOW).is_err());
        for _ in 0..5 {
            throttle.take(&[counted(b"b")], NOW).unwrap();
        }
        throttle.give_back(&[counted(b"b")], NOW);
        throttle.take(&[counted(b"b")], NOW).unwrap();
        assert!(throttle.take(&[counted(b"b")], NOW).is_err());
    }

    #[test]
    fn a_flood_of_keys_does_not_forgive_anybody() {
        let throttle = Throttle::bounded(50).unwrap();
        for _ in 0..5 {
            throttle.take(&[counted(b"guilty")], NOW).unwrap();
        }
        for number in 0..10_000_u32 {
            // Most are admitted; that some share a key does not matter here.
            let newcomer = throttle
                .take(&[counted(&number.to_be_bytes())], NOW)
                .is_ok();
            assert!(newcomer || number > 40);
            assert!(throttle.take(&[counted(b"guilty")], NOW).is_err());
        }
        assert!(throttle.len() <= 50 + 1);
    }

    #[test]
    fn where_everybody_is_refused_newcomers_share() {
        let throttle = Throttle::bounded(20).unwrap();
        for number in 0..20_u8 {
            for _ in 0..5 {
                throttle.take(&[counted(&[number])], NOW).unwrap();
            }
        }
        let fresh = |number: u32| {
            throttle
                .take(&[counted(&number.to_be_bytes())], NOW)
                .is_ok()
        };
        let admitted = (1000..101_000).filter(|number| fresh(*number)).count();
        assert!(
            admitted > 0 && admitted <= 5 * usize::from(SHARED_KEYS),
            "{admitted}"
        );
        for number in 0..20_u8 {
            assert!(throttle.take(&[counted(&[number])], NOW).is_err());
        }
    }

    #[test]
    fn networks_are_what_one_customer_has() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
