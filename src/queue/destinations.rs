//! Who is ready for which destination, and whose turn it is.
//!
//! Owns the first-in-first-out line of each destination, the rotation between destinations, and
//! the slots in flight. Invariant: a destination is in the rotation exactly once if it has
//! someone in line and a free slot of its own, and not at all otherwise; so a turn costs the same
//! however many wait, and a destination that is slow holds up only itself.

use std::collections::{HashMap, VecDeque};

use crate::mail::{Domain, MessageId};

/// Recipients of one message that one attempt will carry, as far as they are still ready for this
/// rendition when its turn comes.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) id: MessageId,
    pub(super) rendition: u32,
    pub(super) recipients: Box<[u32]>,
}

#[derive(Debug, Default)]
struct Destination {
    line: VecDeque<Unit>,
    in_flight: usize,
    in_rotation: bool,
}

/// Lines, rotation and slots.
#[derive(Debug)]
pub(super) struct Destinations {
    by_domain: HashMap<Domain, Destination>,
    rotation: VecDeque<Domain>,
    in_flight: usize,
    limit: usize,
    limit_each: usize,
}

impl Destinations {
    pub(super) fn new(limit: usize, limit_each: usize) -> Self {
        Self {
            by_domain: HashMap::new(),
            rotation: VecDeque::new(),
            in_flight: 0,
            limit: limit.max(1),
            limit_each: limit_each.max(1),
        }
    }

    /// Slots taken.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Destinations with someone in line or in flight.
    pub(super) fn len(&self) -> usize {
        self.by_domain.len()
    }

    /// Puts a unit at the end of its destination's line.
    pub(super) fn line_up(&mut self, domain: &Domain, unit: Unit) {
        let destination = self.by_domain.entry(domain.clone()).or_default();
        destination.line.push_back(unit);
        self.enter_rotation(domain);
    }

    /// The unit whose turn it is, with a slot taken for it; `None` if none is ready or no slot
    /// is free. The slot must come back by [`Self::release`].
    pub(super) fn take(&mut self) -> Option<(Domain, Unit)> {
        if self.in_flight >= self.limit {
            return None;
        }
        let domain = self.rotation.pop_front()?;
        let destination = self.by_domain.get_mut(&domain)?;
        destination.in_rotation = false;
        let unit = destination.line.pop_front()?;
        destination.in_flight += 1;
        self.in_flight += 1;
        self.enter_rotation(&domain);
        Some((domain, unit))
    }

    /// Gives a slot of `domain` back.
    pub(super) fn release(&mut self, domain: &Domain) {
        let Some(destination) = self.by_domain.get_mut(domain) else {
            return;
        };
        destination.in_flight = destination.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        if destination.in_flight == 0 && destination.line.is_empty() {
            self.by_domain.remove(domain);
        } else {
            self.enter_rotation(domain);
        }
    }

    fn enter_rotation(&mut self, domain: &Domain) {
        let Some(destination) = self.by_domain.get_mut(domain) else {
            return;
        };
        let eligible = !destination.line.is_empty() && destination.in_flight < self.limit_each;
        if eligible && !destination.in_rotation {
            destination.in_rotation = true;
            self.rotation.push_back(domain.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(id: u64) -> Unit {
        Unit {
            id: MessageId::new(id),
            rendition: 0,
            recipients: Box::new([0]),
        }
    }

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn turns(destinations: &mut Destinations) -> Vec<u64> {
        std::iter::from_fn(|| destinations.take())
            .map(|(_, unit)| unit.id.get())
            .collect()
    }

    #[test]
    fn destinations_take_turns_and_each_keeps_its_order() {
        let mut all = Destinations::new(100, 100);
        for id in 0..5 {
            all.line_up(&domain("busy.example"), unit(id));
        }
        all.line_up(&domain("a.example"), unit(10));
        all.line_up(&domain("b.example"), unit(20));
        assert_eq!(turns(&mut all), [0, 10, 20, 1, 2, 3, 4]);
    }

    #[test]
    fn a_full_destination_steps_aside() {
        let mut all = Destinations::new(100, 2);
        for id in 0..4 {
            all.line_up(&domain("slow.example"), unit(id));
        }
        for id in 10..12 {
            all.line_up(&domain("fast.example"), unit(id));
        }
        assert_eq!(turns(&mut all), [0, 10, 1, 11]);
        all.release(&domain("slow.example"));
        assert_eq!(turns(&mut all), [2]);
    }

    #[test]
    fn the_total_limit_holds_and_empty_destinations_are_forgotten() {
        let mut all = Destinations::new(2, 2);
        for name in ["a.example", "b.example", "c.example"] {
            all.line_up(&domain(name), unit(1));
        }
        assert_eq!(turns(&mut all).len(), 2);
        all.release(&domain("a.example"));
        assert_eq!(turns(&mut all).len(), 1);
        all.release(&domain("b.example"));
        all.release(&domain("c.example"));
        assert_eq!((all.in_flight(), all.len()), (0, 0));
    }
}
