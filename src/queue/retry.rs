//! When to try again, how much at once, and the jitter that keeps retries apart.
//!
//! RFC 5321 §4.5.4.1: retry at least for days, with growing pauses.

use std::time::Duration;

use crate::mail::MessageClass;

/// No retry comes sooner than this, whatever the schedule says: a zero in it must not spin.
pub(super) const MIN_DELAY: Duration = Duration::from_secs(1);
/// Used where the schedule is empty.
const FALLBACK_DELAY: Duration = Duration::from_secs(15 * 60);
/// Pauses of a code for the portal: somebody waits for it, and soon it is worth nothing.
const CODE_SCHEDULE: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// Jitter adds up to one part in this many to a delay, and never takes anything away.
const JITTER_PART: u128 = 5;

/// When a recipient is tried again, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Pause after the first, second, … attempt; the last one repeats. Each is stretched by up to
    /// a fifth at random, so that what failed together does not come back together.
    pub schedule: Vec<Duration>,
    /// How long after its acceptance a message expires.
    pub expire_after: Duration,
    /// How long after its acceptance the sender is told of the delay.
    pub warn_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            schedule: [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR]
                .map(Duration::from_secs)
                .to_vec(),
            expire_after: Duration::from_secs(96 * HOUR),
            warn_after: Duration::from_secs(4 * HOUR),
        }
    }
}

impl Retry {
    /// The pause after `attempts` attempts, before jitter.
    pub fn base_delay(&self, class: MessageClass, attempts: u32) -> Duration {
        let schedule = match class {
            MessageClass::Code => &CODE_SCHEDULE,
            MessageClass::Submitted | MessageClass::Dsn | MessageClass::Notice => {
                self.schedule.as_slice()
            }
        };
        let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = schedule.get(at).or(schedule.last());
        delay.copied().unwrap_or(FALLBACK_DELAY).max(MIN_DELAY)
    }

    /// The longest pause after `attempts` attempts, jitter included.
    pub fn longest_delay(&self, class: MessageClass, attempts: u32) -> Duration {
        Stretch::LONGEST.apply(self.base_delay(class, attempts))
    }
}

/// How much runs at once. A zero counts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Attempts in flight in all.
    pub attempts: usize,
    /// Attempts in flight to one destination domain.
    pub attempts_per_destination: usize,
    /// Messages being prepared (decided, sealed, signed).
    pub preparing: usize,
    /// Recipients of one attempt (RFC 5321 §4.5.3.1.8: every server takes 100).
    pub recipients_per_attempt: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts: 200,
            attempts_per_destination: 20,
            preparing: 64,
            recipients_per_attempt: 100,
        }
    }
}

/// How far a delay is stretched: 0 not at all, `u32::MAX` by a whole fifth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch(u32);

impl Stretch {
    const LONGEST: Self = Self(u32::MAX);

    pub(super) fn apply(self, delay: Duration) -> Duration {
        let micros = delay.as_micros();
        let extra = micros / JITTER_PART * u128::from(self.0) / u128::from(u32::MAX);
        delay.saturating_add(Duration::from_micros(
            u64::try_from(extra).unwrap_or(u64::MAX),
        ))
    }
}

/// Seeded pseudo-random numbers (SplitMix64). Only for jitter: nothing secret hangs on them.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn stretch(&mut self) -> Stretch {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, ..] = (z ^ (z >> 31)).to_be_bytes();
        Stretch(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pause_repeats() {
        let retry = Retry::default();
        let delay = |attempts| retry.base_delay(MessageClass::Submitted, attempts);
        let minutes: Vec<u64> = (0..7).map(|n| delay(n).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 1, 5, 15, 60, 60, 60]);
        assert_eq!(delay(u32::MAX), Duration::from_secs(3600), "no overflow");
    }

    #[test]
    fn a_code_is_tried_again_soon() {
        let retry = Retry::default();
        let delay = |attempts| retry.base_delay(MessageClass::Code, attempts).as_secs();
        assert_eq!([1, 2, 3, 4, 9].map(delay), [10, 30, 60, 60, 60]);
    }

    #[test]
    fn an_empty_or_zero_schedule_does_not_spin() {
        let mut retry = Retry {
            schedule: Vec::new(),
            ..Retry::default()
        };
        let delay = |retry: &Retry| retry.base_delay(MessageClass::Submitted, 1);
        assert_eq!(delay(&retry), FALLBACK_DELAY);
        retry.schedule = vec![Duration::ZERO];
        assert_eq!(delay(&retry), MIN_DELAY);
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_fifth_at_most() {
        let mut jitter = Jitter::new(7);
        let delay = Duration::from_secs(100);
        let stretched: Vec<Duration> = (0..1000).map(|_| jitter.stretch().apply(delay)).collect();
        assert!(stretched.iter().all(|d| *d >= delay));
        assert!(stretched.iter().all(|d| *d <= Duration::from_secs(120)));
        // It spreads over the whole range.
        assert!(stretched.iter().any(|d| *d < Duration::from_secs(102)));
        assert!(stretched.iter().any(|d| *d > Duration::from_secs(118)));
        assert_eq!(Stretch::LONGEST.apply(delay), Duration::from_secs(120));
        assert_eq!(Stretch::LONGEST.apply(Duration::MAX), Duration::MAX);
    }
}
