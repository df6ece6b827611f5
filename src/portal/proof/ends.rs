//! When the sessions of a mailbox were ended last, for the requests that were under way then.
//!
//! A request takes its time, above all where a password is hashed. What was shown before the
//! sessions of its mailbox ended counts for nothing when it is done: it neither changes the account
//! nor begins a session. Sessions and accounts look at the same ends.
//!
//! Bounded by [`MARKS`]. Mailboxes that share a mark at most have somebody show a factor twice; which
//! ones share it is drawn at the start.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mail::Address;

/// Marks that the mailboxes share.
const MARKS: usize = 4096;

/// A point in the order of ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

struct State {
    count: u64,
    marks: Vec<u64>,
}

/// The ends.
pub struct Ends {
    hasher: RandomState,
    state: Mutex<State>,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").finish_non_exhaustive()
    }
}

impl Default for Ends {
    fn default() -> Self {
        let state = State {
            count: 0,
            marks: vec![0; MARKS],
        };
        Self {
            hasher: RandomState::new(),
            state: Mutex::new(state),
        }
    }
}

impl Ends {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, address: &Address) -> usize {
        let hash = self.hasher.hash_one(address.mailbox_key());
        usize::try_from(hash % MARKS as u64).unwrap_or_default()
    }

    /// Where the order has come to.
    pub fn now(&self) -> Moment {
        Moment(self.state().count)
    }

    /// Ends what was shown for a mailbox up to now.
    pub fn end(&self, address: &Address) -> Moment {
        let mark = self.mark(address);
        let mut state = self.state();
        state.count += 1;
        let count = state.count;
        if let Some(mark) = state.marks.get_mut(mark) {
            *mark = count;
        }
        Moment(count)
    }

    /// Whether what was shown for a mailbox at a moment has been ended since.
    pub fn ended(&self, address: &Address, shown: Moment) -> bool {
        let mark = self.mark(address);
        let last = self.state().marks.get(mark).copied();
        last.is_some_and(|last| last > shown.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_for_what_was_before_it_however_the_address_is_written() {
        let ends = Ends::default();
        let jo: Address = "jo@b.example".parse().unwrap();
        let typed: Address = "\"JO\"@b.example".parse().unwrap();
        let before = ends.now();
        assert!(!ends.ended(&jo, before));
        let after = ends.end(&typed);
        assert!(ends.ended(&jo, before) && ends.ended(&typed, before));
        assert!(!ends.ended(&jo, after) && !ends.ended(&jo, ends.now()));
    }
}
