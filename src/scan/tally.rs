//! What was found so far, within its bounds.

use std::collections::HashMap;
use std::sync::Arc;

use crate::mail::finding::{
    Finding, Findings, MAX_FINDINGS, MAX_FINDINGS_PER_DETECTOR, Unreadable, Unscannable,
};

/// Collects findings: of each detector in each part the first few, of each detector at least one.
#[derive(Debug, Default)]
pub(super) struct Tally {
    findings: Findings,
    /// How many of a detector were kept: in a part, and in all.
    in_part: HashMap<(Arc<str>, u32), usize>,
    in_all: HashMap<Arc<str>, usize>,
    /// Octets of text seen of each part: texts of one part are counted through.
    seen: HashMap<u32, u64>,
}

impl Tally {
    /// Takes what was found in the next text of `part`, which is `length` octets long.
    pub(super) fn text(&mut self, part: u32, length: usize, found: Vec<Finding>) {
        let seen = self.seen.entry(part).or_default();
        let base = *seen;
        *seen = seen.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        for finding in found {
            let offset = finding.offset.saturating_add(base);
            self.add(Finding { offset, ..finding });
        }
    }

    /// Takes what was found in the octets of a part.
    pub(super) fn octets(&mut self, found: Vec<Finding>) {
        for finding in found {
            self.add(finding);
        }
    }

    fn add(&mut self, finding: Finding) {
        let here = self
            .in_part
            .get(&(finding.detector.clone(), finding.part))
            .copied()
            .unwrap_or_default();
        if here >= MAX_FINDINGS_PER_DETECTOR {
            return;
        }
        if self.findings.found.len() >= MAX_FINDINGS && !self.make_room(&finding.detector) {
            return;
        }
        let key = (finding.detector.clone(), finding.part);
        *self.in_part.entry(key).or_default() += 1;
        *self.in_all.entry(finding.detector.clone()).or_default() += 1;
        self.findings.found.push(finding);
    }

    /// Gives up the last finding whose detector has others, for one whose detector has none.
    fn make_room(&mut self, newcomer: &Arc<str>) -> bool {
        if self.in_all.contains_key(newcomer) {
            return false;
        }
        let spare = self
            .findings
            .found
            .iter()
            .rposition(|old| self.in_all.get(&old.detector).is_some_and(|n| *n > 1));
        let Some(at) = spare else {
            return false;
        };
        let old = self.findings.found.remove(at);
        if let Some(count) = self.in_all.get_mut(&old.detector) {
            *count -= 1;
        }
        true
    }

    /// Notes that `part`, or something in it, could not be read.
    pub(super) fn unscannable(&mut self, part: u32, why: Unreadable) {
        let new = Unscannable { part, why };
        let list = &mut self.findings.unscannable;
        if list.contains(&new) {
            return;
        }
        if list.len() < MAX_FINDINGS {
            list.push(new);
        } else if !list.iter().any(|old| old.why == why) {
            // Policy looks at the reasons: each of them stays.
            let spare = list
                .iter()
                .rposition(|old| list.iter().filter(|other| other.why == old.why).count() > 1);
            if let Some(slot) = spare.and_then(|at| list.get_mut(at)) {
                *slot = new;
            }
        }
    }

    /// All of it, in the order of the message.
    pub(super) fn finish(mut self) -> Findings {
        self.findings
            .found
            .sort_by_key(|found| (found.part, found.offset));
        self.findings.unscannable.sort_by_key(|one| one.part);
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(detector: &str, part: u32, offset: u64) -> Finding {
        Finding {
            detector: detector.into(),
            part,
            offset,
        }
    }

    #[test]
    fn keeps_a_few_of_each_and_at_least_one() {
        let mut tally = Tally::default();
        for part in 0..200 {
            let many = (0..50).map(|at| finding("much", part, at)).collect();
            tally.text(part, 100, many);
        }
        tally.text(200, 10, vec![finding("late", 200, 3)]);
        let findings = tally.finish();
        assert_eq!(findings.found.len(), MAX_FINDINGS);
        let in_first = findings.found.iter().filter(|one| one.part == 0).count();
        assert_eq!(in_first, MAX_FINDINGS_PER_DETECTOR);
        assert_eq!(findings.found.last(), Some(&finding("late", 200, 3)));
    }

    #[test]
    fn counts_through_the_texts_of_a_part() {
        let mut tally = Tally::default();
        tally.text(1, 100, vec![]);
        tally.text(2, 50, vec![finding("a", 2, 1)]);
        tally.text(1, 100, vec![finding("a", 1, 7)]);
        let found = tally.finish().found;
        assert_eq!(found, [finding("a", 1, 107), finding("a", 2, 1)]);
    }

    #[test]
    fn every_reason_survives_a_flood() {
        let mut tally = Tally::default();
        for part in 0..500 {
            tally.unscannable(part, Unreadable::Media);
            tally.unscannable(part, Unreadable::Media);
        }
        tally.unscannable(7, Unreadable::Encrypted);
        let unscannable = tally.finish().unscannable;
        assert_eq!(unscannable.len(), MAX_FINDINGS);
        assert!(
            unscannable
                .iter()
                .any(|one| one.why == Unreadable::Encrypted)
        );
    }
}
