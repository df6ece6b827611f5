//! Who has written to whom, and how much an account writes: what rules against misdirected mail
//! ask for.
//!
//! Owns the durable memory of contacts (a table of digests, no addresses) and the counts of the
//! last day (in memory: a restart forgets them). Nothing is kept unless a rule in force asks.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest;
use tokio::task::JoinSet;

use crate::mail::{Address, Timestamp};
use crate::tables::{Table, TableError, Tables};

/// Octets of a contact's digest.
const DIGEST_OCTETS: usize = 16;
/// The longest time that is looked back.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Counts are kept by the minute.
const SLOT: Duration = Duration::from_secs(60);
/// Accounts whose counts are kept; past it the quietest are forgotten.
const MAX_ACCOUNTS: usize = 10_000;

/// The memory of contacts.
#[derive(Debug, Clone)]
pub struct Contacts {
    table: Table<()>,
    /// A full table was told of once.
    full: Arc<AtomicBool>,
}

impl Contacts {
    /// The contacts among the tables of the spool.
    pub fn open(tables: &Tables) -> Result<Self, TableError> {
        Ok(Self {
            table: tables.table("contacts")?,
            full: Arc::default(),
        })
    }

    /// Whether nothing was ever delivered from `sender` to `recipient`. A row that cannot be read
    /// counts as none: doubt alerts.
    pub(super) fn is_first(&self, sender: &Address, recipient: &Address) -> bool {
        !matches!(self.table.get(&digest(sender, recipient)), Ok(Some(())))
    }

    /// Notes that something was delivered to each of `recipients`; durable when it returns. A
    /// contact that cannot be noted is taken for a first one again: that alerts once more than it
    /// must.
    pub(super) async fn note(&self, sender: &Address, recipients: &[&Address]) {
        let mut writes = JoinSet::new();
        for recipient in recipients.iter().filter(|it| self.is_first(sender, it)) {
            let (table, key) = (self.table.clone(), digest(sender, recipient));
            writes.spawn(async move { table.put(&key, &()).await });
        }
        while let Some(written) = writes.join_next().await {
            if let Ok(Err(error)) = written
                && !self.full.swap(true, Ordering::Relaxed)
            {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "contacts cannot be noted: from now on new ones count as first contacts every time"
                );
            }
        }
    }
}

/// Case does not make another contact of one.
fn digest(sender: &Address, recipient: &Address) -> Vec<u8> {
    let text = format!("{}\n{}", sender.mailbox_key(), recipient.mailbox_key());
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(DIGEST_OCTETS)
        .copied()
        .collect()
}

/// How many recipients each account wrote to lately.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    accounts: Mutex<HashMap<String, VecDeque<(u64, u64)>>>,
}

impl Volumes {
    /// Counts a message of `user` to `recipients`.
    pub(super) fn add(&self, user: &str, now: Timestamp, recipients: u64) {
        let slot = slot(now);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(user) {
            let quietest = accounts
                .iter()
                .min_by_key(|(_, counts)| counts.back().map(|(slot, _)| *slot))
                .map(|(name, _)| name.clone());
            quietest.map(|name| accounts.remove(&name));
        }
        let counts = accounts.entry(user.to_owned()).or_default();
        match counts.back_mut() {
            Some((last, count)) if *last >= slot => *count = count.saturating_add(recipients),
            Some(_) | None => counts.push_back((slot, recipients)),
        }
        let oldest = slot.saturating_sub(LONGEST.as_secs() / SLOT.as_secs());
        while counts.front().is_some_and(|(slot, _)| *slot < oldest) {
            counts.pop_front();
        }
    }

    /// Recipients of `user` within `window` seconds up to `now`, to the minute.
    pub(super) fn within(&self, user: &str, now: Timestamp, window: u64) -> u64 {
        let last = slot(now);
        let first = last.saturating_sub(window.div_ceil(SLOT.as_secs()));
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = accounts.get(user).into_iter().flatten();
        counts
            .filter(|(slot, _)| (first.saturating_add(1)..=last).contains(slot))
            .map(|(_, count)| count)
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn slot(now: Timestamp) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_the_window_and_forgets_after_a_day() {
        let volumes = Volumes::default();
        let at = |minutes: u64| Timestamp::from_secs(1_000_000 * 60 + minutes * 60);
        volumes.add("app", at(0), 5);
        volumes.add("app", at(30), 7);
        volumes.add("other", at(30), 100);
        assert_eq!(volumes.within("app", at(30), 3600), 12);
        assert_eq!(volumes.within("app", at(60), 3600), 7);
        assert_eq!(volumes.within("app", at(0), 3600), 5, "not what came later");
        assert_eq!(volumes.within("app", at(30), 60), 7);
        assert_eq!(volumes.within("nobody", at(30), 3600), 0);
        volumes.add("app", at(30 + 24 * 60), 1);
        assert_eq!(volumes.within("app", at(30 + 24 * 60), 24 * 3600), 1);
        let kept = volumes.accounts.lock().unwrap().get("app").unwrap().len();
        assert_eq!(kept, 2, "a day back, to the minute");
    }

    #[test]
    fn the_number_of_accounts_is_bounded() {
        let volumes = Volumes::default();
        for number in 0..=MAX_ACCOUNTS as u64 {
            let at = Timestamp::from_secs(1_000_000 + number * 60);
            volumes.add(&format!("u{number}"), at, 1);
        }
        let accounts = volumes.accounts.lock().unwrap();
        assert_eq!(accounts.len(), MAX_ACCOUNTS);
        assert!(!accounts.contains_key("u0"), "the quietest went");
    }
}
