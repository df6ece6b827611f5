//! Turns to ask others about certificates, so that one who does not answer holds up nobody else.
//!
//! Who asks keeps a place in the line while it waits: a turn of [`Crowd`] bounds how many places
//! one recipient domain takes, and how many all take together. Turns are waited for [`TURN_TIME`],
//! which is long enough where answers come, and then there is no answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::mail::{Domain, Timestamp};
use crate::world::clock::Clock;

/// How long a turn is waited for.
pub(super) const TURN_TIME: Duration = Duration::from_secs(2);
/// Messages that ask about one recipient domain at a time.
const MAX_PER_DOMAIN: usize = 8;
/// Questions about one recipient domain under way, all messages together.
const MAX_QUESTIONS_PER_DOMAIN: usize = 16;
/// Domains after which those that nobody asks about are forgotten.
const SWEEP_DOMAINS: usize = 1024;

/// Turns, by recipient domain.
#[derive(Debug)]
pub(super) struct Crowd {
    all: Arc<Semaphore>,
    domains: Mutex<HashMap<Domain, Weak<Turns>>>,
}

#[derive(Debug)]
struct Turns {
    messages: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

/// A turn of one message to ask about one domain. Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    _message: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits until one more question about the domain may be asked.
    pub(super) async fn question(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns.questions).acquire_owned().await.ok()
    }
}

impl Crowd {
    /// For so many messages at a time.
    pub(super) fn new(messages: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(messages)),
            domains: Mutex::default(),
        }
    }

    /// A turn to ask about a domain; `None` if there is none by `limit`.
    pub(super) async fn turn(
        &self,
        domain: &Domain,
        clock: Clock,
        limit: Timestamp,
    ) -> Option<Turn> {
        let turns = self.turns_of(domain);
        let messages = Arc::clone(&turns.messages);
        let message = permit(messages, clock, limit).await?;
        Some(Turn {
            turns,
            _message: message,
        })
    }

    /// The turn of a message among all, after those that it has for its domains; `None` if there
    /// is none by `limit`.
    pub(super) async fn among_all(
        &self,
        clock: Clock,
        limit: Timestamp,
    ) -> Option<OwnedSemaphorePermit> {
        permit(Arc::clone(&self.all), clock, limit).await
    }

    fn turns_of(&self, domain: &Domain) -> Arc<Turns> {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = domains.get(domain).and_then(Weak::upgrade) {
            return turns;
        }
        if domains.len() >= SWEEP_DOMAINS {
            domains.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Turns {
            messages: Arc::new(Semaphore::new(MAX_PER_DOMAIN)),
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS_PER_DOMAIN)),
        });
        domains.insert(domain.clone(), Arc::downgrade(&turns));
        turns
    }
}

async fn permit(
    from: Arc<Semaphore>,
    clock: Clock,
    limit: Timestamp,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        permit = from.acquire_owned() => permit.ok(),
        () = clock.sleep_until(limit) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_domain_takes_its_own_turns_and_not_those_of_others() {
        let clock = Clock::starting_at(Timestamp::from_secs(1000));
        let crowd = Crowd::new(10);
        let domain = |name| Domain::parse(name).unwrap();
        let (mute, other) = (domain("mute.example"), domain("other.example"));
        let soon = || clock.now() + TURN_TIME;
        let mut taken = Vec::new();
        for _ in 0..MAX_PER_DOMAIN {
            taken.push(crowd.turn(&mute, clock, soon()).await.unwrap());
        }
        let begun = clock.now();
        assert!(crowd.turn(&mute, clock, soon()).await.is_none());
        assert_eq!(clock.now(), begun + TURN_TIME);
        let passes = crowd.turn(&other, clock, soon()).await;
        assert!(passes.is_some());
        assert_eq!(clock.now(), begun + TURN_TIME, "at once");
        taken.pop();
        assert!(crowd.turn(&mute, clock, soon()).await.is_some());
    }

    #[test]
    fn domains_that_nobody_asks_about_are_forgotten() {
        let crowd = Crowd::new(10);
        for number in 0..3 * SWEEP_DOMAINS {
            let domain = Domain::parse(&format!("d{number}.example")).unwrap();
            drop(crowd.turns_of(&domain));
        }
        assert!(crowd.domains.lock().unwrap().len() <= SWEEP_DOMAINS);
    }
}
