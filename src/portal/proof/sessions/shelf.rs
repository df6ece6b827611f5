//! Where visits and sessions are kept: bounded, and by when they were last used.
//!
//! Where there is no room, the one that was idle longest goes. Invariant: visits that wait for a
//! code stand apart ([`Visits`]), so that those that have merely begun never displace one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::{Challenge, Name, Seat, Visit};
use crate::mail::Timestamp;

/// What is kept of a browser.
pub(super) struct Kept<T> {
    pub(super) value: T,
    pub(super) seat: Seat,
    used: Timestamp,
    began: Timestamp,
    pub(super) challenge: Option<(Challenge, Timestamp)>,
}

/// Those of one kind.
pub(super) struct Shelf<T> {
    pub(super) kept: HashMap<Name, Kept<T>>,
    by_use: BTreeSet<(Timestamp, Name)>,
    idle: Duration,
    absolute: Duration,
    bound: usize,
}

impl<T> Shelf<T> {
    pub(super) fn new(idle: Duration, absolute: Duration, bound: usize) -> Self {
        Self {
            kept: HashMap::new(),
            by_use: BTreeSet::new(),
            idle,
            absolute,
            bound,
        }
    }

    pub(super) fn add(
        &mut self,
        name: Name,
        (value, seat): (T, Seat),
        began: Timestamp,
        now: Timestamp,
    ) {
        let kept = Kept {
            value,
            seat,
            used: now,
            began,
            challenge: None,
        };
        self.put(name, kept, now);
    }

    fn put(&mut self, name: Name, kept: Kept<T>, now: Timestamp) {
        while let Some(&(used, oldest)) = self.by_use.first() {
            let over = self.kept.len() >= self.bound;
            if !over && now.since(used) < self.idle {
                break;
            }
            self.remove(&oldest);
        }
        self.by_use.insert((kept.used, name));
        self.kept.insert(name, kept);
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Kept<T>> {
        let kept = self.kept.remove(name)?;
        self.by_use.remove(&(kept.used, *name));
        Some(kept)
    }

    /// The one of this name, used now; what has ended goes.
    pub(super) fn touch(&mut self, name: &Name, now: Timestamp) -> Option<&mut Kept<T>> {
        let kept = self.kept.get(name)?;
        let alive = now.since(kept.used) < self.idle && now.since(kept.began) < self.absolute;
        if !alive {
            self.remove(name);
            return None;
        }
        self.by_use.remove(&(kept.used, *name));
        let kept = self.kept.get_mut(name)?;
        kept.used = kept.used.max(now);
        self.by_use.insert((kept.used, *name));
        Some(kept)
    }
}

/// The seats of tokens that were replaced a moment ago. A browser that presses a button twice drops
/// the answer to the first request, with the new token in it: by the old one it is known again, and
/// a code that the first request had mailed is good in it.
#[derive(Default)]
pub(super) struct Left {
    seats: HashMap<Name, Seat>,
    by_time: VecDeque<(Timestamp, Name)>,
}

impl Left {
    /// Replaced tokens that are remembered.
    const BOUND: usize = 10_000;
    /// How long: as long as somebody waits before pressing once more.
    const LIFE: Duration = Duration::from_secs(60);

    pub(super) fn add(&mut self, name: Name, seat: Seat, now: Timestamp) {
        self.forget(now, Self::BOUND - 1);
        if self.seats.insert(name, seat).is_none() {
            self.by_time.push_back((now, name));
        }
    }

    pub(super) fn seat(&mut self, name: &Name, now: Timestamp) -> Option<Seat> {
        self.forget(now, Self::BOUND);
        self.seats.get(name).copied()
    }

    fn forget(&mut self, now: Timestamp, most: usize) {
        while let Some((left, name)) = self.by_time.front().copied()
            && (self.by_time.len() > most || now.since(left) >= Self::LIFE)
        {
            self.by_time.pop_front();
            self.seats.remove(&name);
        }
    }
}

/// Visits: those that have begun, and those that wait for a code. A visit takes no more than a
/// request, and there may be as many as anybody likes; a code can be asked for a few times only.
pub(super) struct Visits {
    begun: Shelf<Visit>,
    waiting: Shelf<Visit>,
}

impl Visits {
    /// `bound` of each.
    pub(super) fn new(idle: Duration, absolute: Duration, bound: usize) -> Self {
        Self {
            begun: Shelf::new(idle, absolute, bound),
            waiting: Shelf::new(idle, absolute, bound),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.begun.kept.len() + self.waiting.kept.len()
    }

    pub(super) fn add(&mut self, name: Name, visit: (Visit, Seat), now: Timestamp) {
        let shelf = match visit.0.code_asked {
            true => &mut self.waiting,
            false => &mut self.begun,
        };
        shelf.add(name, visit, now, now);
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Kept<Visit>> {
        let waiting = self.waiting.remove(name);
        waiting.or_else(|| self.begun.remove(name))
    }

    /// The one of this name, used now; what has ended goes.
    pub(super) fn touch(&mut self, name: &Name, now: Timestamp) -> Option<&mut Kept<Visit>> {
        let waiting = self.waiting.touch(name, now);
        waiting.or_else(|| self.begun.touch(name, now))
    }

    /// One of them waits for a code from now on; `false` where there is none.
    pub(super) fn wait(&mut self, name: &Name, now: Timestamp) -> bool {
        if self.begun.touch(name, now).is_some()
            && let Some(mut kept) = self.begun.remove(name)
        {
            kept.value.code_asked = true;
            self.waiting.put(*name, kept, now);
        }
        self.waiting.touch(name, now).is_some()
    }
}
