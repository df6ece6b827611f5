//! The time: read once from the wall, then carried by the monotonic clock, so that a wall clock
//! that jumps while we run neither expires mail early nor holds a retry back.

use tokio::time::Instant;

use crate::mail::Timestamp;

/// A clock that never goes back. Cheap to copy; all copies agree. Follows tokio's clock, so a
/// paused runtime drives it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Timestamp,
    started: Instant,
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "the one place that reads the wall clock"
        )]
        let wall = std::time::SystemTime::now();
        let since_epoch = wall
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self::starting_at(Timestamp::default() + since_epoch)
    }

    /// A clock that shows `origin` now.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self {
            origin,
            started: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }

    /// Waits until `moment`; returns at once if it is past.
    pub async fn sleep_until(&self, moment: Timestamp) {
        let wait = moment.since(self.origin);
        match self.started.checked_add(wait) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}
