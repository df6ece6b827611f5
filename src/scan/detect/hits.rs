//! Where detectors fired within one text, bounded, before it becomes findings.

use crate::mail::MAX_FINDINGS_PER_DETECTOR;

/// Offsets by detector, at most [`MAX_FINDINGS_PER_DETECTOR`] of each.
#[derive(Debug, Default)]
pub(super) struct Hits {
    by_detector: Vec<Vec<usize>>,
}

impl Hits {
    /// None yet, for detectors numbered below `detectors`.
    pub(super) fn new(detectors: usize) -> Self {
        Self {
            by_detector: vec![Vec::new(); detectors],
        }
    }

    /// Detector number `detector` fired at `offset`; the same place counts once.
    pub(super) fn add(&mut self, detector: usize, offset: usize) {
        if let Some(found) = self.by_detector.get_mut(detector)
            && found.len() < MAX_FINDINGS_PER_DETECTOR
            && !found.contains(&offset)
        {
            found.push(offset);
        }
    }

    /// Whether more of `detector` would be dropped.
    pub(super) fn is_full(&self, detector: usize) -> bool {
        self.by_detector
            .get(detector)
            .is_none_or(|found| found.len() >= MAX_FINDINGS_PER_DETECTOR)
    }

    /// Offset and detector, in the order of the text.
    pub(super) fn into_sorted(self) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = self
            .by_detector
            .into_iter()
            .enumerate()
            .flat_map(|(detector, found)| found.into_iter().map(move |at| (at, detector)))
            .collect();
        all.sort_unstable();
        all
    }
}
