//! Whether there is room to take mail in.
//!
//! Below the larger of 1 GiB and 5 % of the volume nothing is taken; from half as much again on it
//! is, so that the answer does not flutter. Looked up once a second at most.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::journal::Disk;
use crate::journal::disk::Space;
use crate::world::clock::Clock;

use super::SpoolError;

/// Room that is always left for what was accepted already.
pub const RESERVE_OCTETS: u64 = 1024 * 1024 * 1024;
/// The same as a part of the volume: a twentieth.
pub const RESERVE_DIVISOR: u64 = 20;
/// How long an answer holds.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Watches a volume.
#[derive(Debug)]
pub(super) struct Room {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    clock: Clock,
    /// When it was looked up last, in microseconds; 0 for never.
    sampled: AtomicU64,
    full: AtomicBool,
}

impl Room {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf, clock: Clock) -> Self {
        Self {
            disk,
            directory,
            clock,
            sampled: AtomicU64::new(0),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn check(&self) -> Result<(), SpoolError> {
        let now = self.clock.now().as_micros();
        let before = self.sampled.load(Ordering::Relaxed);
        let every = u64::try_from(SAMPLE_EVERY.as_micros()).unwrap_or(u64::MAX);
        if before == 0 || now.saturating_sub(before) >= every {
            self.sampled.store(now.max(1), Ordering::Relaxed);
            let space = self
                .disk
                .space(&self.directory)
                .map_err(SpoolError::io("ask for the room of", &self.directory))?;
            let full = is_full(space, self.full.load(Ordering::Relaxed));
            self.full.store(full, Ordering::Relaxed);
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(SpoolError::Full);
        }
        Ok(())
    }
}

fn is_full(space: Space, was_full: bool) -> bool {
    let reserve = RESERVE_OCTETS.max(space.total / RESERVE_DIVISOR);
    let least = if was_full {
        reserve.saturating_add(reserve / 2)
    } else {
        reserve
    };
    space.available < least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumes_later_than_it_stops() {
        const GIB: u64 = 1024 * 1024 * 1024;
        let space = |available, total| Space { available, total };
        // 5 % of 100 GiB is 5 GiB.
        assert!(!is_full(space(5 * GIB, 100 * GIB), false));
        assert!(is_full(space(5 * GIB - 1, 100 * GIB), false));
        assert!(is_full(space(7 * GIB, 100 * GIB), true));
        assert!(!is_full(space(7 * GIB + GIB / 2, 100 * GIB), true));
        // On a small volume the reserve is 1 GiB.
        assert!(is_full(space(GIB - 1, 10 * GIB), false));
        assert!(!is_full(space(GIB, 10 * GIB), false));
    }
}
