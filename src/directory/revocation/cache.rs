//! What was answered, for as long as it may be believed; and one question at a time for the same.
//!
//! Bounded in entries and octets: what ends soonest goes first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;

use super::crl::CheckedList;
use crate::mail::Timestamp;

/// Most answers that are kept.
pub(super) const MAX_ENTRIES: usize = 4096;
/// Most octets of lists that are kept.
const MAX_OCTETS: usize = 64 * 1024 * 1024;
/// For how long an answer is kept at least and at most, whatever it says.
const KEEP: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 3600);
/// For how long a failure is kept.
pub(super) const KEEP_FAILURE: Duration = Duration::from_secs(60);

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The URL that is asked.
    pub(super) url: String,
    /// SHA-256 of name and key of the issuer whose word is asked for.
    pub(super) issuer: [u8; 32],
    /// The serial number that is asked about; empty for a list.
    pub(super) serial: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Of a responder.
    Revoked(bool),
    /// A list.
    List(Arc<CheckedList>),
    /// None, and why.
    Nothing(String),
}

impl Answer {
    fn octets(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Revoked(_) | Self::Nothing(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<Key, (Answer, Timestamp)>,
    octets: usize,
    /// Questions that are being asked.
    asking: HashMap<Key, Arc<AsyncMutex<()>>>,
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
}

impl Cache {
    /// The answer to a question: the one that is kept, or what `ask` gives, with the time until
    /// which it holds. Who asks the same meanwhile waits for it.
    pub(super) async fn answer(
        &self,
        key: Key,
        now: Timestamp,
        ask: impl Future<Output = (Answer, Timestamp)>,
    ) -> Answer {
        if let Some(answer) = self.fresh(&key, now) {
            return answer;
        }
        let turn = Turn::new(self, key.clone());
        let _asking = turn.lock.lock().await;
        if let Some(answer) = self.fresh(&key, now) {
            return answer;
        }
        let (answer, until) = ask.await;
        let until = match &answer {
            Answer::Nothing(_) => now + KEEP_FAILURE,
            Answer::Revoked(_) | Answer::List(_) => {
                until.clamp(now + *KEEP.start(), now + *KEEP.end())
            }
        };
        self.keep(key, answer.clone(), until, now);
        answer
    }

    fn fresh(&self, key: &Key, now: Timestamp) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.answers.get(key) {
            Some((answer, until)) if now < *until => Some(answer.clone()),
            Some(_) | None => None,
        }
    }

    fn keep(&self, key: Key, answer: Answer, until: Timestamp, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&key);
        let octets = answer.octets();
        if octets > MAX_OCTETS {
            return;
        }
        let full = |kept: &Kept| {
            kept.answers.len() >= MAX_ENTRIES || kept.octets.saturating_add(octets) > MAX_OCTETS
        };
        if full(&kept) {
            let old = |(key, (_, until)): (&Key, &(Answer, Timestamp))| {
                (*until <= now).then(|| key.clone())
            };
            let old: Vec<Key> = kept.answers.iter().filter_map(old).collect();
            old.iter().for_each(|key| kept.remove(key));
        }
        while full(&kept) {
            let soonest = kept.answers.iter().min_by_key(|(_, (_, until))| *until);
            let Some(key) = soonest.map(|(key, _)| key.clone()) else {
                break;
            };
            kept.remove(&key);
        }
        kept.octets += octets;
        kept.answers.insert(key, (answer, until));
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some((answer, _)) = self.answers.remove(key) {
            self.octets = self.octets.saturating_sub(answer.octets());
        }
    }
}

/// A place in the queue of those who ask the same. The last one to leave clears it away, also
/// when it gave up waiting.
struct Turn<'a> {
    cache: &'a Cache,
    key: Key,
    lock: Arc<AsyncMutex<()>>,
}

impl<'a> Turn<'a> {
    fn new(cache: &'a Cache, key: Key) -> Self {
        let mut kept = cache.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(kept.asking.entry(key.clone()).or_default());
        drop(kept);
        Self { cache, key, lock }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let kept = self.cache.kept.lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's.
        if Arc::strong_count(&self.lock) <= 2 {
            kept.asking.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

    fn key(number: usize) -> Key {
        Key {
            url: format!("http://crl.b.example/{number}"),
            issuer: [7; 32],
            serial: Vec::new(),
        }
    }

    fn revoked(answer: &Answer) -> bool {
        matches!(answer, Answer::Revoked(true))
    }

    #[tokio::test]
    async fn answers_are_kept_as_long_as_they_hold_within_bounds() {
        let day = Duration::from_secs(86_400);
        for (until, kept) in [
            (NOW, Duration::from_secs(60)),
            (NOW + Duration::from_secs(600), Duration::from_secs(600)),
            (NOW + 7 * day, day),
        ] {
            let cache = Cache::default();
            let first = async { (Answer::Revoked(true), until) };
            cache.answer(key(1), NOW, first).await;
            let second = || async { (Answer::Revoked(false), until) };
            let just_before = NOW + kept - Duration::from_micros(1);
            assert!(revoked(&cache.answer(key(1), just_before, second()).await));
            assert!(!revoked(&cache.answer(key(1), NOW + kept, second()).await));
        }
        let cache = Cache::default();
        let failure = async { (Answer::Nothing("x".to_owned()), NOW + day) };
        cache.answer(key(1), NOW, failure).await;
        let later = async { (Answer::Revoked(true), NOW) };
        assert!(revoked(
            &cache.answer(key(1), NOW + KEEP_FAILURE, later).await
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_question_is_asked_once_at_a_time() {
        let cache = Cache::default();
        let asked = Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            (Answer::Revoked(true), NOW)
        };
        let (one, two, other) = tokio::join!(
            cache.answer(key(1), NOW, ask()),
            cache.answer(key(1), NOW, ask()),
            cache.answer(key(2), NOW, ask()),
        );
        assert!(revoked(&one) && revoked(&two) && revoked(&other));
        assert_eq!(asked.get(), 2);
        // One who gives up lets the next one ask.
        let given_up =
            tokio::time::timeout(Duration::from_millis(10), cache.answer(key(3), NOW, ask()));
        assert!(given_up.await.is_err());
        cache.answer(key(3), NOW, ask()).await;
        assert_eq!(asked.get(), 4);
        assert!(cache.kept.lock().unwrap().asking.is_empty());
    }

    #[tokio::test]
    async fn the_number_of_answers_is_bounded() {
        let cache = Cache::default();
        for number in 0..MAX_ENTRIES + 10 {
            let until = NOW + Duration::from_secs(3600 + u64::try_from(number).unwrap());
            let answer = async { (Answer::Revoked(true), until) };
            cache.answer(key(number), NOW, answer).await;
        }
        let kept = cache.kept.lock().unwrap();
        assert_eq!(kept.answers.len(), MAX_ENTRIES);
        assert!(!kept.answers.contains_key(&key(9)));
        assert!(kept.answers.contains_key(&key(10)));
    }
}
