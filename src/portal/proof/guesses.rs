//! How many wrong answers there may be in a day: durable, so that a restart forgives nobody.
//!
//! Owns the table `portal_guesses`: per kind and name (an address, a message) the answers of today.
//! A guess is counted, durably, before it is looked at; a right one is given back. Beyond the day's
//! number nothing is looked at until the next day (UTC).
//!
//! So that a stranger who guesses does not lock the owner out:
//! - A code is guessed only in the browser that asked for it (see [`super::codes`]), five times a
//!   code. A guess anywhere else comes to nothing and is not counted here. How many codes strangers
//!   can have mailed is bounded by [`super::Desk`]: 48 a day and mailbox by its address (24 at once
//!   and 24 as they come back), so 240 guesses; the day's 400 are the bound that outlasts restarts.
//! - The secret of a message has no number a day, but a pace: 20 at once, then one a minute, then
//!   one in five minutes. Networks with fewer than [`FEW`] tries today have a pace of their own, so
//!   that whoever has tried often does not stand in the way of whoever has not; the others have one
//!   in ten minutes after their 20.
//! - At a password, an app and recovery codes there are no more than [`Allowance::network`] guesses
//!   from one network.
//! - Networks from which a right answer came lately have a number of their own
//!   ([`Allowance::known`]).
//! - At these, sessions in which the address was proved already have a number of their own, too
//!   ([`Allowance::holders`]), from whatever network and whatever else was tried there: a code to
//!   the mailbox first, and then no stranger stands in the way of the password.
//!
//! A name that does not exist is answered and costs the same, but takes a place in memory only.
//!
//! Arithmetic, per day. A mailed code: at most 400 + 80 guesses, each at no more than two live codes
//! of one browser: 480 * 2 / 10^8 = 9.6 / 10^6, below 1 / 10^5. A code to a number: 60 + 20, which is
//! 1.6 / 10^6. A secret: at most 20 + 60 + 276 by networks with few tries (a day has 1440 minutes;
//! 60 go to the first pause, 1380 hold 276 of the second), 20 + 144 by others, 10 by known ones: 530,
//! and it takes some 120 networks to have the first. Whoever guesses has the notice's link already.

mod kind;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

pub use kind::{Allowance, Kind};

use kind::Pool;

use super::ProofError;
use super::throttle::{Counted, Limit, Network, Throttle, TooOften};
use crate::mail::Timestamp;
use crate::tables::{Table, Tables};

/// Seconds of a day.
const DAY_SECS: u64 = 86_400;
/// Locks over the rows.
const LOCKS: usize = 64;
/// Names that do not exist, whose guesses are counted in memory.
pub const MAX_STRANGE_NAMES: usize = 100_000;
/// Names whose good networks are remembered.
pub const MAX_KNOWN_NAMES: usize = 50_000;
/// Good networks of a name.
const MAX_KNOWN_NETWORKS: usize = 4;
/// Rows of earlier days that are deleted with each guess.
const SWEPT_AT_ONCE: usize = 2;
/// Tries in a day with which a network still counts as one that has hardly tried.
pub const FEW: u8 = 3;
/// Networks whose tries at a secret are remembered for the day.
const MAX_TRIED: usize = 100_000;
/// As often more from a /48 of IPv6 than from one /64.
const WIDE: u32 = 4;
/// Wrong guesses of one network, at whatever.
const PER_NETWORK: Limit = Limit::new(60, Duration::from_secs(3600));

/// A guess.
#[derive(Debug, Clone, Copy)]
pub struct Guess<'a> {
    /// At what.
    pub kind: Kind,
    /// At whose.
    pub name: &'a str,
    /// Whether there is such a thing.
    pub exists: bool,
    /// From where.
    pub network: Network,
    /// In a session in which the address itself was proved.
    pub holds: bool,
}

impl Guess<'_> {
    /// Whether it is counted with those of whoever holds the address.
    const fn by_holder(&self) -> bool {
        self.holds && self.kind.allowance().holders > 0
    }
}

/// A guess that may be looked at.
#[derive(Debug)]
pub struct Spent {
    row: Vec<u8>,
    day: u64,
    /// No more may follow today from there, or they are slowed from now on.
    pub last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: u64,
    used: u32,
    /// When the next one may be looked at, in seconds.
    next: u64,
}

impl Day {
    const fn new(day: u64) -> Self {
        Self {
            day,
            used: 0,
            next: 0,
        }
    }
}

/// The stored form: what is added later gets a number of its own.
#[derive(Serialize, Deserialize)]
enum Stored {
    V1(Day),
}

#[derive(Default)]
struct Memory {
    /// Names that do not exist.
    strange: HashMap<[u8; 16], Day>,
    /// Networks of right answers, by name.
    good: HashMap<[u8; 16], VecDeque<Network>>,
    /// Tries of networks at secrets, today.
    tried: HashMap<[u8; 16], u8>,
    today: u64,
    swept: u64,
    stale: Vec<Vec<u8>>,
}

/// The counts.
pub struct Guesses {
    table: Table<Stored>,
    throttle: Throttle,
    memory: Mutex<Memory>,
    locks: Vec<AsyncMutex<()>>,
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guesses({} rows)", self.table.len())
    }
}

impl Guesses {
    /// With what the table says.
    pub fn open(tables: &Tables) -> Result<Self, ProofError> {
        Ok(Self {
            table: tables.table("portal_guesses")?,
            throttle: Throttle::new()?,
            memory: Mutex::default(),
            locks: (0..LOCKS).map(|_| AsyncMutex::new(())).collect(),
        })
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a guess. `Ok(Err(_))`: it must not be looked at.
    pub async fn spend(
        &self,
        guess: Guess<'_>,
        now: Timestamp,
    ) -> Result<Result<Spent, TooOften>, ProofError> {
        let day = now.as_secs() / DAY_SECS;
        let tomorrow = Timestamp::from_secs((day + 1) * DAY_SECS);
        let by_network = by_network(&guess);
        let counted = counted(&guess, &by_network);
        if let Err(often) = self.throttle.take(&counted, now) {
            return Ok(Err(often));
        }
        let pool = self.pool(&guess, day);
        let row = row_of(&guess, pool);
        // A name that does not exist writes to a row that all of its lock share, so that it costs
        // the same.
        let lock = lock_of_row(&row);
        let held = match self.locks.get(lock) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let mut count = match guess.exists {
            true => self.stored(&row, day)?,
            false => self.strange(&row, day),
        };
        let next = Timestamp::from_secs(count.next);
        let until = match count.used >= guess.kind.most(pool) {
            true => tomorrow,
            false => next,
        };
        if until > now {
            drop(held);
            // What was not looked at costs its network nothing.
            self.throttle.give_back(&counted, now);
            return Ok(Err(TooOften { until }));
        }
        count.used = count.used.saturating_add(1);
        let pause = guess.kind.pause(pool, count.used);
        if !pause.is_zero() {
            count.next = (now + pause).as_secs();
        }
        let last = count.used == guess.kind.told_at(pool);
        let row = match guess.exists {
            true => row,
            false => {
                self.keep_strange(&row, count);
                format!("nobody/{lock}").into_bytes()
            }
        };
        self.table.put(&row, &Stored::V1(count)).await?;
        drop(held);
        if pool == Pool::Few {
            self.has_tried(&guess);
        }
        self.sweep(day).await?;
        Ok(Ok(Spent { row, day, last }))
    }

    /// Counts a try in a browser that has no code: there is nothing to guess, but it costs time.
    pub fn aimless(&self, network: Network, now: Timestamp) -> Result<(), TooOften> {
        self.throttle.take(&of_network(&network), now)
    }

    fn pool(&self, guess: &Guess<'_>, day: u64) -> Pool {
        if guess.by_holder() {
            return Pool::Holders;
        }
        if self.is_known(guess.name, guess.network) {
            return Pool::Known;
        }
        if guess.kind != Kind::Secret {
            return Pool::Strangers;
        }
        let mut memory = self.memory();
        if memory.today != day {
            memory.tried.clear();
            memory.today = day;
        }
        match memory.tried.get(&tried_by(guess)) {
            Some(&tried) if tried >= FEW => Pool::Strangers,
            _ => Pool::Few,
        }
    }

    fn has_tried(&self, guess: &Guess<'_>) {
        let (mut memory, network) = (self.memory(), tried_by(guess));
        if memory.tried.len() < MAX_TRIED || memory.tried.contains_key(&network) {
            let tried = memory.tried.entry(network).or_default();
            *tried = tried.saturating_add(1);
        }
    }

    /// Gives a guess back: it was right. Its network is known from now on.
    pub async fn was_right(
        &self,
        spent: Spent,
        guess: Guess<'_>,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        self.give_back(spent, guess, now).await?;
        let mut memory = self.memory();
        let name = hashed(&[guess.name.as_bytes()]);
        if memory.good.len() >= MAX_KNOWN_NAMES && !memory.good.contains_key(&name) {
            let any = memory.good.keys().next().copied();
            any.map(|any| memory.good.remove(&any));
        }
        let networks = memory.good.entry(name).or_default();
        networks.retain(|network| *network != guess.network);
        if networks.len() >= MAX_KNOWN_NETWORKS {
            networks.pop_front();
        }
        networks.push_back(guess.network);
        Ok(())
    }

    /// Gives a guess back: it was not looked at, or may be tried again.
    pub async fn give_back(
        &self,
        spent: Spent,
        guess: Guess<'_>,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let by_network = by_network(&guess);
        self.throttle.give_back(&counted(&guess, &by_network), now);
        if !guess.exists {
            return Ok(());
        }
        let held = match self.locks.get(lock_of_row(&spent.row)) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let mut count = self.stored(&spent.row, spent.day)?;
        count.used = count.used.saturating_sub(1);
        count.next = 0;
        self.table.put(&spent.row, &Stored::V1(count)).await?;
        drop(held);
        Ok(())
    }

    /// What was counted today.
    fn stored(&self, row: &[u8], day: u64) -> Result<Day, ProofError> {
        let stored = self.table.get(row)?.map(|Stored::V1(count)| count);
        let today = stored.filter(|count| count.day >= day);
        Ok(today.unwrap_or(Day::new(day)))
    }

    fn strange(&self, row: &[u8], day: u64) -> Day {
        let mut memory = self.memory();
        if memory.strange.len() >= MAX_STRANGE_NAMES {
            memory.strange.retain(|_, count| count.day >= day);
        }
        let today = memory.strange.get(&hashed(&[row]));
        let today = today.filter(|count| count.day >= day);
        today.copied().unwrap_or(Day::new(day))
    }

    fn keep_strange(&self, row: &[u8], count: Day) {
        let mut memory = self.memory();
        let name = hashed(&[row]);
        if memory.strange.len() < MAX_STRANGE_NAMES || memory.strange.contains_key(&name) {
            memory.strange.insert(name, count);
        }
    }

    /// Whether a right answer came lately from this network.
    pub fn is_known(&self, name: &str, network: Network) -> bool {
        let name = hashed(&[name.as_bytes()]);
        let memory = self.memory();
        memory
            .good
            .get(&name)
            .is_some_and(|it| it.contains(&network))
    }

    /// Deletes a few rows of earlier days.
    async fn sweep(&self, day: u64) -> Result<(), ProofError> {
        let due = {
            let mut memory = self.memory();
            let due = memory.swept != day;
            memory.swept = day;
            due
        };
        if due {
            // All rows are read: not among the requests.
            let table = self.table.clone();
            let old = tokio::task::spawn_blocking(move || {
                let rows = table.rows()?.into_iter();
                let old = rows.filter(|(_, Stored::V1(count))| count.day < day);
                Ok::<Vec<Vec<u8>>, ProofError>(old.map(|(row, _)| row).collect())
            });
            self.memory().stale = old.await.map_err(|_| ProofError::Busy)??;
        }
        for _ in 0..SWEPT_AT_ONCE {
            let Some(row) = self.memory().stale.pop() else {
                break;
            };
            let held = match self.locks.get(lock_of_row(&row)) {
                Some(lock) => Some(lock.lock().await),
                None => None,
            };
            let count = self.table.get(&row)?.map(|Stored::V1(count)| count);
            if count.is_some_and(|count| count.day < day) {
                self.table.delete(&row).await?;
            }
            drop(held);
        }
        Ok(())
    }
}

fn row_of(guess: &Guess<'_>, pool: Pool) -> Vec<u8> {
    format!("{}/{}/{}", guess.kind.as_str(), guess.name, pool.as_str()).into_bytes()
}

fn lock_of_row(row: &[u8]) -> usize {
    let [first, ..] = hashed(&[row]);
    usize::from(first) % LOCKS
}

/// A network at a name; of IPv6 the /48.
fn tried_by(guess: &Guess<'_>) -> [u8; 16] {
    let network = guess.network.wide();
    let network = network.unwrap_or_else(|| guess.network.as_bytes());
    hashed(&[network, b"/", guess.name.as_bytes()])
}

/// The network and the wider one, each with what is guessed.
fn by_network(guess: &Guess<'_>) -> [Vec<u8>; 2] {
    let with = |network: &[u8]| {
        let mut name = network.to_vec();
        name.push(b'/');
        name.extend_from_slice(guess.kind.as_str().as_bytes());
        name.push(b'/');
        name.extend_from_slice(guess.name.as_bytes());
        name
    };
    let wide = guess.network.wide().unwrap_or_default();
    [with(guess.network.as_bytes()), with(wide)]
}

fn counted<'a>(guess: &'a Guess<'_>, [network, wide]: &'a [Vec<u8>; 2]) -> Vec<Counted<'a>> {
    if guess.kind.is_bound() || guess.by_holder() {
        // Others in the same network use up nothing of it. What a name has for a day stands in its
        // row.
        return Vec::new();
    }
    let day = Duration::from_secs(DAY_SECS);
    let limit = Limit::new(guess.kind.allowance().network, day);
    let one = |scope, name, limit| Counted { scope, name, limit };
    let mut counted = vec![one("name", network.as_slice(), limit)];
    if guess.network.wide().is_some() {
        counted.push(one("name/48", wide.as_slice(), limit.times(WIDE)));
    }
    counted.extend(of_network(&guess.network));
    counted
}

/// What one network may try at whatever.
fn of_network(network: &Network) -> Vec<Counted<'_>> {
    let one = |scope, name, limit| Counted { scope, name, limit };
    let mut counted = vec![one("network", network.as_bytes(), PER_NETWORK)];
    if let Some(wide) = network.wide() {
        counted.push(one("network/48", wide, PER_NETWORK.times(WIDE)));
    }
    counted
}

fn hashed(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    name
}

#[cfg(test)]
mod tests;
