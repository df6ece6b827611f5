//! How opened messages are tied together, as far as they were opened since the start.
//!
//! Bounds: [`MAX_THREADS`] messages; the one that was opened first goes for the next.

use std::collections::{HashMap, VecDeque};

use crate::mail::Reference;
use crate::portal::reading::Identifiers;

/// Opened messages whose conversation is remembered.
pub const MAX_THREADS: usize = 20_000;

/// What is remembered.
#[derive(Debug, Default)]
pub struct Threads {
    known: HashMap<Reference, Identifiers>,
    order: VecDeque<Reference>,
}

impl Threads {
    /// What is known of a message.
    pub fn get(&self, reference: &Reference) -> Option<&Identifiers> {
        self.known.get(reference)
    }

    /// Remembers a message.
    pub fn put(&mut self, reference: Reference, identifiers: Identifiers) {
        if self.known.insert(reference, identifiers).is_some() {
            return;
        }
        self.order.push_back(reference);
        while self.order.len() > MAX_THREADS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(number: usize) -> Reference {
        let [.., a, b, c] = number.to_be_bytes();
        Reference::new([0, 0, 0, 0, 0, 0, 0, a, b, c])
    }

    #[test]
    fn the_oldest_goes_for_the_next() {
        let mut threads = Threads::default();
        for number in 0..MAX_THREADS {
            threads.put(reference(number), Identifiers::default());
        }
        // Opened again: it stands where it stood.
        threads.put(reference(0), Identifiers::default());
        assert!(threads.get(&reference(0)).is_some());
        threads.put(reference(MAX_THREADS), Identifiers::default());
        assert!(threads.get(&reference(0)).is_none());
        assert!(threads.get(&reference(1)).is_some());
        assert!(threads.get(&reference(MAX_THREADS)).is_some());
        assert_eq!(
            (threads.known.len(), threads.order.len()),
            (MAX_THREADS, MAX_THREADS)
        );
    }
}
