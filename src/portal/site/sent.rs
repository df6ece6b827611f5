//! How many messages an address has sent in this hour.
//!
//! Invariants: only what was kept counts in the end, so that what fails costs nobody anything; what
//! is on its way counts meanwhile, so that many at a time are no more than one after another.
//! Bounds: [`MAX_COUNTED`] addresses.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::mail::{Address, Timestamp};

/// Messages that one address may send in an hour.
pub const MAX_SENT_PER_HOUR: u32 = 30;
/// Addresses whose messages are counted at a time.
const MAX_COUNTED: usize = 50_000;
const HOUR_SECS: u64 = 3600;

/// The counts: of which hour, and how many.
#[derive(Debug, Default)]
pub struct Sent {
    counts: Mutex<HashMap<String, (u64, u32)>>,
}

/// A message that counts: for good once it is kept, until this is dropped otherwise.
#[derive(Debug)]
pub struct Place<'a> {
    sent: &'a Sent,
    key: String,
    hour: u64,
    kept: bool,
}

impl Sent {
    /// Counts a message; how long to wait where it is one too many.
    pub fn take(&self, from: &Address, now: Timestamp) -> Result<Place<'_>, Duration> {
        let hour = now.as_secs() / HOUR_SECS;
        let wait = Duration::from_secs(HOUR_SECS - now.as_secs() % HOUR_SECS);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTED {
            counts.retain(|_, (counted, _)| *counted == hour);
        }
        let key = from.mailbox_key();
        if counts.len() >= MAX_COUNTED && !counts.contains_key(&key) {
            return Err(wait);
        }
        let count = counts.entry(key.clone()).or_insert((hour, 0));
        if count.0 != hour {
            *count = (hour, 0);
        }
        if count.1 >= MAX_SENT_PER_HOUR {
            return Err(wait);
        }
        count.1 += 1;
        Ok(Place {
            sent: self,
            key,
            hour,
            kept: false,
        })
    }
}

impl Place<'_> {
    /// The message was kept.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let counts = &self.sent.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(std::mem::take(&mut self.key))
            && count.get().0 == self.hour
        {
            count.get_mut().1 = count.get().1.saturating_sub(1);
            if count.get().1 == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_and_what_fails_does_not() {
        let sent = Sent::default();
        let kim = Address::parse("kim@patient.example").unwrap();
        let now = Timestamp::from_secs(1_800_000_000 / HOUR_SECS * HOUR_SECS + 600);
        for _ in 0..2 * MAX_SENT_PER_HOUR {
            drop(sent.take(&kim, now).unwrap());
        }
        assert!(sent.counts.lock().unwrap().is_empty());
        let under_way: Vec<_> = (0..MAX_SENT_PER_HOUR)
            .map(|_| sent.take(&kim, now).unwrap())
            .collect();
        let wait = sent.take(&kim, now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(3000));
        under_way.into_iter().for_each(Place::keep);
        let other = Address::parse("KIM@patient.example").unwrap();
        assert!(sent.take(&other, now).is_err(), "another spelling");
        assert!(sent.take(&kim, now + wait).is_ok());
    }
}
