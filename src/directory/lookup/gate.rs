//! How often a server is asked: few questions at a time, and none for a while after it failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::LookupError;
use crate::mail::Timestamp;
use crate::world::clock::Clock;

/// Most questions to a source at a time; others wait for their turn.
const MAX_CONCURRENT: usize = 8;
/// For how long a server that failed is not asked.
const REST: Duration = Duration::from_secs(30);
/// Most servers whose failure is remembered.
const MAX_RESTING: usize = 256;

/// The gate before a source's servers.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    permits: Semaphore,
    /// Until when a server is not asked.
    resting: Mutex<BTreeMap<String, Timestamp>>,
}

impl Gate {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            permits: Semaphore::new(MAX_CONCURRENT),
            resting: Mutex::default(),
        }
    }

    /// Waits for a turn with `server`; fails at once if it is left alone now.
    pub(super) async fn enter(&self, server: &str) -> Result<SemaphorePermit<'_>, LookupError> {
        self.check(server)?;
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| LookupError::Failed("shut down".to_owned()))?;
        // It may have failed while we waited.
        self.check(server)?;
        Ok(permit)
    }

    fn check(&self, server: &str) -> Result<(), LookupError> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        match resting.get(server) {
            Some(&until) if self.clock.now() < until => Err(LookupError::Failed(format!(
                "{server} failed a moment ago and is left alone"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes that `server` failed.
    pub(super) fn failed(&self, server: &str) {
        let now = self.clock.now();
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() >= MAX_RESTING {
            resting.retain(|_, &mut until| now < until);
        }
        if resting.len() < MAX_RESTING || resting.contains_key(server) {
            resting.insert(server.to_owned(), now + REST);
        }
    }
}
