//! How many wrong answers there may be in a day: durable, so that a restart forgives nobody.
//!
//! Owns the table `portal_guesses`: per kind and name (an address, a message) the answers of today.
//! A guess is counted, durably, before it is looked at; a right one is given back. Beyond the day's
//! number nothing is looked at until the next day (UTC).
//!
//! So that a stranger who guesses does not lock the owner out: from one network there are no more
//! than [`Allowance::network`] guesses at a name, and networks from which a right answer came lately
//! have a number of their own ([`Allowance::known`]). A name that does not exist is answered and
//! costs the same, but takes a place in memory only.
//!
//! Bounds: at most `strangers + known` guesses at a name and day are ever looked at.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

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
/// Wrong guesses of one network, at whatever.
const PER_NETWORK: Limit = Limit::new(60, Duration::from_secs(3600));

/// What is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A code to a mailbox.
    MailCode,
    /// A code to a number.
    PhoneCode,
    /// The password of an account.
    Password,
    /// A time-based code.
    Totp,
    /// A recovery code.
    Recovery,
    /// The secret of a message.
    Secret,
}

/// Guesses in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// At a name, from one network.
    pub network: u32,
    /// At a name, from all networks that have not answered right lately.
    pub strangers: u32,
    /// At a name, from those that have.
    pub known: u32,
}

impl Kind {
    /// How many guesses there may be. Eight digits and 30 guesses at two live codes: 6 in 10^7 a
    /// day. Six digits, three of them right at a time, and 20 guesses: 6 in 10^5 a day, beside
    /// another factor.
    pub const fn allowance(self) -> Allowance {
        let (network, strangers, known) = match self {
            Self::MailCode | Self::PhoneCode => (5, 20, 10),
            Self::Totp => (5, 10, 10),
            Self::Recovery | Self::Secret => (10, 20, 10),
            Self::Password => (10, 50, 20),
        };
        Allowance {
            network,
            strangers,
            known,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::MailCode => "mail-code",
            Self::PhoneCode => "phone-code",
            Self::Password => "password",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Secret => "secret",
        }
    }
}

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
}

/// A guess that may be looked at.
#[derive(Debug)]
pub struct Spent {
    row: Vec<u8>,
    known: bool,
    day: u64,
    /// No more may follow today from there.
    pub last: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: u64,
    strangers: u32,
    known: u32,
}

impl Day {
    fn count(&mut self, known: bool) -> &mut u32 {
        match known {
            true => &mut self.known,
            false => &mut self.strangers,
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
        let (allowance, day) = (guess.kind.allowance(), now.as_secs() / DAY_SECS);
        let tomorrow = Timestamp::from_secs((day + 1) * DAY_SECS);
        let by_network = by_network(&guess);
        let counted = counted(&guess, &by_network);
        if let Err(often) = self.throttle.take(&counted, now) {
            return Ok(Err(often));
        }
        let known = self.is_known(guess.name, guess.network);
        let most = match known {
            true => allowance.known,
            false => allowance.strangers,
        };
        // A name that does not exist writes to a row that all of its lock share, so that it costs
        // the same.
        let lock = lock_of(&guess);
        let row = match guess.exists {
            true => row_of(&guess),
            false => format!("nobody/{lock}").into_bytes(),
        };
        let held = match self.locks.get(lock) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let mut count = match guess.exists {
            true => self.stored(&row, day)?,
            false => self.strange(&guess, day),
        };
        if *count.count(known) >= most {
            return Ok(Err(TooOften { until: tomorrow }));
        }
        *count.count(known) += 1;
        let last = *count.count(known) >= most;
        if !guess.exists {
            self.keep_strange(&guess, count);
        }
        self.table.put(&row, &Stored::V1(count)).await?;
        drop(held);
        self.sweep(day).await?;
        Ok(Ok(Spent {
            row,
            known,
            day,
            last,
        }))
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
        let held = match self.locks.get(lock_of(&guess)) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let mut count = self.stored(&spent.row, spent.day)?;
        let one = count.count(spent.known);
        *one = one.saturating_sub(1);
        self.table.put(&spent.row, &Stored::V1(count)).await?;
        drop(held);
        Ok(())
    }

    /// What was counted today.
    fn stored(&self, row: &[u8], day: u64) -> Result<Day, ProofError> {
        let stored = self.table.get(row)?.map(|Stored::V1(count)| count);
        let today = stored.filter(|count| count.day >= day);
        Ok(today.unwrap_or(Day {
            day,
            ..Day::default()
        }))
    }

    fn strange(&self, guess: &Guess<'_>, day: u64) -> Day {
        let mut memory = self.memory();
        if memory.strange.len() >= MAX_STRANGE_NAMES {
            memory.strange.retain(|_, count| count.day >= day);
        }
        let name = hashed(&[&row_of(guess)]);
        let today = memory.strange.get(&name).filter(|count| count.day >= day);
        today.copied().unwrap_or(Day {
            day,
            ..Day::default()
        })
    }

    fn keep_strange(&self, guess: &Guess<'_>, count: Day) {
        let mut memory = self.memory();
        let name = hashed(&[&row_of(guess)]);
        if memory.strange.len() < MAX_STRANGE_NAMES || memory.strange.contains_key(&name) {
            memory.strange.insert(name, count);
        }
    }

    fn is_known(&self, name: &str, network: Network) -> bool {
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
            let rows = self.table.rows()?.into_iter();
            let old = rows.filter(|(_, Stored::V1(count))| count.day < day);
            let old: Vec<Vec<u8>> = old.map(|(row, _)| row).collect();
            self.memory().stale = old;
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

fn row_of(guess: &Guess<'_>) -> Vec<u8> {
    format!("{}/{}", guess.kind.as_str(), guess.name).into_bytes()
}

fn lock_of(guess: &Guess<'_>) -> usize {
    lock_of_row(&row_of(guess))
}

fn lock_of_row(row: &[u8]) -> usize {
    let [first, ..] = hashed(&[row]);
    usize::from(first) % LOCKS
}

fn by_network(guess: &Guess<'_>) -> Vec<u8> {
    let mut name = guess.network.as_bytes().to_vec();
    name.push(b'/');
    name.extend_from_slice(&row_of(guess));
    name
}

fn counted<'a>(guess: &'a Guess<'_>, by_network: &'a [u8]) -> [Counted<'a>; 2] {
    let allowance = guess.kind.allowance();
    let one = |scope, name, limit| Counted { scope, name, limit };
    let day = Duration::from_secs(DAY_SECS);
    [
        one("name", by_network, Limit::new(allowance.network, day)),
        one("network", guess.network.as_bytes(), PER_NETWORK),
    ]
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
