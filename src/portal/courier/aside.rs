//! What is passed over for a while, so that one thing that fails does not stop all that follow it.
//!
//! Pure: tickets, how often they failed, and until when they are left alone. Lost at a restart, which
//! costs a few attempts.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::mail::Timestamp;

/// Failures after which something is passed over.
pub(super) const STUCK_AFTER: u32 = 3;
/// For how long. After it one attempt is made; if that fails, as long again.
pub(super) const ASIDE_FOR: Duration = Duration::from_secs(10 * 60);
/// How old a reply is that the line does not take when it is given up.
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// For how long at least the line must have been there by then, and not taken it.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(6 * 60 * 60);
/// Tickets whose failures are counted; others keep their place until they are through.
pub(super) const MAX_ASIDE: usize = 1000;

/// The failures of a lane.
#[derive(Debug, Default)]
pub(super) struct Aside(BTreeMap<u64, Failed>);

#[derive(Debug, Default)]
struct Failed {
    times: u32,
    /// Since when.
    since: Timestamp,
    until: Timestamp,
}

impl Aside {
    /// Those that are passed over now.
    pub(super) fn tickets(&self, now: Timestamp) -> HashSet<u64> {
        let aside = self.0.iter().filter(|(_, failed)| failed.until > now);
        aside.map(|(ticket, _)| *ticket).collect()
    }

    /// When the next of them is to be tried again.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.0.values().map(|failed| failed.until);
        until.filter(|until| *until > now).min()
    }

    /// It has failed; whether it is passed over from now on.
    pub(super) fn failed(&mut self, ticket: u64, now: Timestamp) -> bool {
        if self.0.len() >= MAX_ASIDE && !self.0.contains_key(&ticket) {
            return false;
        }
        let failed = self.0.entry(ticket).or_insert_with(|| Failed {
            since: now,
            ..Failed::default()
        });
        failed.times = failed.times.saturating_add(1);
        let stuck = failed.times >= STUCK_AFTER;
        if stuck {
            failed.until = now + ASIDE_FOR;
        }
        stuck
    }

    /// Whether it has waited for [`GIVEN_UP_AFTER`], and failed for [`FAILED_FOR`] of that at least:
    /// a line that comes back after long has that much time to take it.
    pub(super) fn is_given_up(&self, ticket: u64, written: Timestamp, now: Timestamp) -> bool {
        let failed = self.0.get(&ticket);
        failed.is_some_and(|failed| failed.since + FAILED_FOR <= now)
            && written + GIVEN_UP_AFTER <= now
    }

    /// It is off our hands.
    pub(super) fn done(&mut self, ticket: u64) {
        self.0.remove(&ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_passed_over_for_a_while() {
        let (mut aside, now) = (Aside::default(), Timestamp::from_secs(1_800_000_000));
        for _ in 1..STUCK_AFTER {
            assert!(!aside.failed(7, now));
            assert!(aside.tickets(now).is_empty() && aside.next(now).is_none());
        }
        assert!(aside.failed(7, now));
        assert_eq!(aside.tickets(now), HashSet::from([7]));
        assert_eq!(aside.next(now), Some(now + ASIDE_FOR));
        // Tried once again, and aside at once.
        let later = now + ASIDE_FOR;
        assert!(aside.tickets(later).is_empty());
        assert!(aside.failed(7, later));
        assert_eq!(aside.tickets(later), HashSet::from([7]));
        aside.done(7);
        assert!(aside.tickets(later).is_empty());
    }

    #[test]
    fn what_is_old_and_was_tried_for_long_is_given_up() {
        let (mut aside, written) = (Aside::default(), Timestamp::from_secs(1_800_000_000));
        let second = Duration::from_secs(1);
        // The line was away for longer than that: it is not the end at once.
        let back = written + GIVEN_UP_AFTER * 2;
        assert!(!aside.is_given_up(7, written, back));
        aside.failed(7, back);
        aside.failed(7, back + second);
        assert!(!aside.is_given_up(7, written, back + FAILED_FOR - second));
        assert!(aside.is_given_up(7, written, back + FAILED_FOR));
        // It was there all the time.
        aside.failed(8, written);
        let end = written + GIVEN_UP_AFTER;
        assert!(!aside.is_given_up(8, written, end - second));
        assert!(aside.is_given_up(8, written, end));
        aside.done(8);
        assert!(!aside.is_given_up(8, written, end));
    }

    #[test]
    fn they_are_bounded() {
        let (mut aside, now) = (Aside::default(), Timestamp::from_secs(1_800_000_000));
        for ticket in 0..=MAX_ASIDE as u64 {
            for _ in 0..STUCK_AFTER {
                aside.failed(ticket, now);
            }
        }
        assert_eq!(aside.tickets(now).len(), MAX_ASIDE);
    }
}
