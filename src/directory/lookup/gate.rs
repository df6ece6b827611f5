//! How often a server is asked: few questions at a time, and none for a while after it failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

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
    async fn enter(&self, server: &str) -> Result<SemaphorePermit<'_>, LookupError> {
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

    /// Asks `server` until `deadline`, its turn awaited. One that did not answer by then, or failed
    /// otherwise, is left alone for a while; one whose turn never came is not.
    pub(super) async fn ask<T>(
        &self,
        server: &str,
        deadline: Instant,
        asking: impl Future<Output = Result<T, LookupError>>,
    ) -> Result<T, LookupError> {
        let busy = |_| {
            Err(LookupError::Failed(format!(
                "{server} has too many questions"
            )))
        };
        let entered = timeout_at(deadline, self.enter(server)).await;
        let _turn = entered.unwrap_or_else(busy)?;
        let answer = timeout_at(deadline, asking).await.unwrap_or_else(|_| {
            let why = format!("{server} did not answer in time");
            Err(LookupError::Failed(why))
        });
        if let Err(LookupError::Failed(_)) = &answer {
            self.failed(server);
        }
        answer
    }

    /// Notes that `server` failed.
    fn failed(&self, server: &str) {
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
