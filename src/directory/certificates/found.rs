//! What others answered when they were asked for an address: kept for a while, asked for once.
//!
//! Answers are in memory only. One question for an address is under way at a time; who asks
//! meanwhile waits for its answer. A source whose certificates all fall, by the rules or because
//! they were revoked, does not hide what the next one has. Bounds: time for a question, number and
//! octets of what is kept.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::ASKING_REVOCATION;
use super::choice::more_telling;
use super::formats;
use super::import::issuers_for;
use super::parse::Parsed;
use crate::directory::lookup::{LookupError, Source};
use crate::mail::{Address, CertificateProblem, Timestamp};
use crate::proto::cms::certificates_of;
use crate::world::BoxFuture;

/// How long a certificate that was found is kept, at most.
pub const FOUND: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is remembered that there is none.
pub const NONE: Duration = Duration::from_secs(600);
/// How long it is remembered that nobody answered.
pub const FAILED: Duration = Duration::from_secs(60);
/// What all sources together get for an address; one alone may take half of it.
pub const ASKING: Duration = Duration::from_secs(20);
/// How much later than its deadline a source may say that it has no answer.
const GRACE: Duration = Duration::from_millis(200);
/// Addresses that are remembered.
pub const MAX_REMEMBERED: usize = 10_000;
/// Octets of all certificates that are remembered.
pub const MAX_REMEMBERED_OCTETS: usize = 32 << 20;
/// Values of an answer that are looked at.
const MAX_VALUES: usize = 16;
/// Certificates of an answer, bundles opened, that are looked at.
const MAX_READ: usize = 64;
/// Certificates of an answer whose chains are followed.
const MAX_TRIED: usize = 32;
/// Certificates of an address that are kept.
const MAX_KEPT: usize = 4;

/// A certificate of an answer.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub parsed: Arc<Parsed>,
    pub issuers: Vec<Bytes>,
}

/// Says whether a certificate, with the authorities that came with it, is acceptable. It checks
/// signatures, so it is asked off the runtime's threads.
pub(super) type Accept =
    Arc<dyn Fn(&Parsed, &[Bytes]) -> Result<(), CertificateProblem> + Send + Sync>;

/// Says what is thought of certificates.
pub(super) trait Judge: Sync {
    /// What says whether one is acceptable; but for revocation.
    fn accept(&self) -> Accept;

    /// Whether one of those was not revoked either, asked until `deadline`.
    fn has_one<'a>(&'a self, found: &'a [Found], deadline: Instant) -> BoxFuture<'a, bool>;
}

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// Those that were acceptable when they came, the newest of a source first.
    pub found: Vec<Found>,
    /// Of those one at least could be used then; else all were revoked, or nobody knew.
    pub had_one: bool,
    /// What was wrong with the rest, or with the sources.
    pub problem: Option<CertificateProblem>,
    until: Timestamp,
    octets: usize,
}

/// The one answer of an address; who locks it asks.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Answer>>>>;

#[derive(Debug, Default)]
struct Slots {
    slots: HashMap<String, (Slot, Kept)>,
    octets: usize,
}

/// What of an answer counts towards the bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    until: Timestamp,
    octets: usize,
}

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: Mutex<Slots>,
}

impl Answer {
    /// Nobody answered in time; not remembered.
    pub(super) fn failed() -> Self {
        Self {
            problem: Some(CertificateProblem::LookupFailed),
            ..Self::default()
        }
    }
}

impl Answers {
    /// Forgets an answer, if it is still the one that is kept.
    pub(super) fn forget(&self, address: &Address, answer: &Arc<Answer>) {
        let mut slots = self.lock();
        let mailbox = address.mailbox_key();
        let is_kept = |(slot, _): &(Slot, Kept)| {
            // Where it is locked, somebody asks again already.
            let kept = slot.try_lock();
            kept.is_ok_and(|it| it.as_ref().is_some_and(|it| Arc::ptr_eq(it, answer)))
        };
        if slots.slots.get(&mailbox).is_some_and(is_kept)
            && let Some((_, kept)) = slots.slots.remove(&mailbox)
        {
            slots.octets -= kept.octets;
        }
    }

    /// Forgets what is remembered of an address: it is asked for anew.
    pub(super) fn ask_anew(&self, address: &Address) {
        let mut slots = self.lock();
        if let Some((_, kept)) = slots.slots.remove(&address.mailbox_key()) {
            slots.octets -= kept.octets;
        }
    }

    /// What `sources` have for an address, from memory if it is still good.
    pub(super) async fn get(
        &self,
        sources: &[Arc<dyn Source>],
        address: &Address,
        now: Timestamp,
        judge: &dyn Judge,
    ) -> Arc<Answer> {
        let serving: Vec<_> = sources
            .iter()
            .filter(|it| it.serves(address.domain()))
            .collect();
        if serving.is_empty() {
            return Arc::default();
        }
        let mailbox = address.mailbox_key();
        let slot = self.slot(&mailbox, now);
        let mut kept = slot.lock().await;
        if let Some(answer) = kept.as_ref().filter(|it| now < it.until) {
            return Arc::clone(answer);
        }
        let answer = Arc::new(ask(&serving, address, now, judge).await);
        *kept = Some(Arc::clone(&answer));
        self.count(&mailbox, &slot, &answer);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, mailbox: &str, now: Timestamp) -> Slot {
        let mut slots = self.lock();
        if let Some((slot, _)) = slots.slots.get(mailbox) {
            return Arc::clone(slot);
        }
        if slots.slots.len() >= MAX_REMEMBERED {
            slots.make_room(now);
        }
        let slot = Slot::default();
        let kept = Kept {
            // Until it is answered: as long as asking may take.
            until: now + ASKING + ASKING_REVOCATION,
            octets: 0,
        };
        let entry = (Arc::clone(&slot), kept);
        slots.slots.insert(mailbox.to_owned(), entry);
        slot
    }

    /// Takes an answer into the count; the oldest go if there are too many octets.
    fn count(&self, mailbox: &str, slot: &Slot, answer: &Answer) {
        let mut slots = self.lock();
        let Some((known, kept)) = slots.slots.get_mut(mailbox) else {
            return;
        };
        if !Arc::ptr_eq(known, slot) {
            return;
        }
        let before = kept.octets;
        *kept = Kept {
            until: answer.until,
            octets: answer.octets,
        };
        slots.octets = slots.octets - before + answer.octets;
        while slots.octets > MAX_REMEMBERED_OCTETS && slots.forget_one() {}
    }
}

impl Slots {
    /// Forgets what is over; then, if that was nothing, what will be next.
    fn make_room(&mut self, now: Timestamp) {
        let octets = &mut self.octets;
        self.slots.retain(|_, (_, kept)| {
            let good = now < kept.until;
            if !good {
                *octets -= kept.octets;
            }
            good
        });
        while self.slots.len() >= MAX_REMEMBERED && self.forget_one() {}
    }

    fn forget_one(&mut self) -> bool {
        let next = self
            .slots
            .iter()
            .min_by_key(|(mailbox, (_, kept))| (kept.until, mailbox.as_str()))
            .map(|(mailbox, _)| mailbox.clone());
        let gone = next.and_then(|mailbox| self.slots.remove(&mailbox));
        if let Some((_, kept)) = &gone {
            self.octets -= kept.octets;
        }
        gone.is_some()
    }
}

/// Asks one source after the other until one has something that can be used. Each gets its share of
/// the time, and what those before it have not used of theirs.
async fn ask(
    sources: &[&Arc<dyn Source>],
    address: &Address,
    now: Timestamp,
    judge: &dyn Judge,
) -> Answer {
    let share = ASKING / u32::try_from(sources.len()).unwrap_or(u32::MAX).max(1);
    let last = Instant::now() + ASKING + ASKING_REVOCATION;
    let mut saved = Duration::ZERO;
    let mut answer = Answer::default();
    let mut failed = false;
    for source in sources {
        let deadline = Instant::now() + share + saved;
        let asking = source.certificates(address, deadline);
        let asked = timeout_at(deadline + GRACE, asking).await;
        saved = deadline.saturating_duration_since(Instant::now());
        let problem = match asked {
            Ok(Ok(values)) => {
                let (found, problem) = judged(values, judge.accept()).await;
                if !found.is_empty() && judge.has_one(&found, last).await {
                    // Of those that fell before, nothing is used.
                    (answer.found, answer.had_one) = (found, true);
                } else {
                    answer.found.extend(found);
                }
                problem
            }
            Ok(Err(error @ LookupError::Refused(_))) => {
                tell(source.as_ref(), address, &error.to_string());
                Some(CertificateProblem::LookupRefused)
            }
            Ok(Err(error @ LookupError::Failed(_))) => {
                tell(source.as_ref(), address, &error.to_string());
                failed = true;
                Some(CertificateProblem::LookupFailed)
            }
            Err(_) => {
                tell(source.as_ref(), address, "no answer in time");
                failed = true;
                Some(CertificateProblem::LookupFailed)
            }
        };
        answer.problem = more_telling(answer.problem, problem);
        if answer.had_one {
            break;
        }
    }
    let ends = answer.found.iter().map(|it| it.parsed.not_after).min();
    answer.until = match ends {
        Some(ends) if answer.had_one => ends.min(now + FOUND),
        _ if failed => now + FAILED,
        _ => now + NONE,
    };
    answer.octets = answer.found.iter().map(Found::octets).sum();
    answer
}

fn tell(source: &dyn Source, address: &Address, why: &str) {
    tracing::warn!(
        source = source.name(),
        domain = %address.domain(),
        why,
        "a directory of certificates gave no answer of use"
    );
}

impl Found {
    fn octets(&self) -> usize {
        let issuers: usize = self.issuers.iter().map(Bytes::len).sum();
        // As read, the subject and issuer stand a second time beside the DER.
        2 * self.parsed.der.len() + issuers
    }
}

/// [`read`], where nothing else waits for it.
async fn judged(values: Vec<Vec<u8>>, accept: Accept) -> (Vec<Found>, Option<CertificateProblem>) {
    let reading = tokio::task::spawn_blocking(move || read(&values, &accept));
    // Nothing in it panics; at the end of the process nobody waits for an answer.
    let none = |_| (Vec::new(), Some(CertificateProblem::LookupFailed));
    reading.await.unwrap_or_else(none)
}

/// The acceptable certificates among the values of an answer.
fn read(values: &[Vec<u8>], accept: &Accept) -> (Vec<Found>, Option<CertificateProblem>) {
    let mut problem = (values.len() > MAX_VALUES).then_some(CertificateProblem::LookupRefused);
    let (mut leaves, mut authorities) = (Vec::new(), Vec::new());
    let values = values.iter().take(MAX_VALUES);
    let values: Vec<Bytes> = values.flat_map(|value| certificates(value)).collect();
    for der in values.into_iter().take(MAX_READ) {
        match Parsed::read(&der) {
            Ok(parsed) if parsed.authority => authorities.push(parsed),
            Ok(parsed) => leaves.push(parsed),
            Err(broken) => problem = more_telling(problem, Some(broken)),
        }
    }
    if leaves.is_empty() && !authorities.is_empty() {
        problem = more_telling(problem, Some(CertificateProblem::Authority));
    }
    leaves.sort_by_key(|it| (Reverse(it.not_before), it.fingerprint));
    leaves.dedup_by_key(|it| it.fingerprint);
    leaves.truncate(MAX_TRIED);
    let mut found = Vec::new();
    for parsed in leaves {
        let issuers = issuers_for(&parsed, &authorities);
        match accept(&parsed, &issuers) {
            Err(broken) => problem = more_telling(problem, Some(broken)),
            Ok(()) if found.len() >= MAX_KEPT => break,
            Ok(()) => found.push(Found {
                parsed: Arc::new(parsed),
                issuers,
            }),
        }
    }
    (found, problem)
}

/// A value as certificates: it is one, or a bundle of them.
fn certificates(value: &[u8]) -> Vec<Bytes> {
    if !formats::is_bundle(value) {
        return vec![Bytes::copy_from_slice(value)];
    }
    match certificates_of(value) {
        Ok(inside) => inside.into_iter().map(Bytes::from).collect(),
        // Not a certificate either: it will be called malformed.
        Err(_) => vec![Bytes::copy_from_slice(value)],
    }
}
