//! The detectors: text in, findings out. Pure.
//!
//! Owns: what is shipped ([`SHIPPED`]), the operator's own words and patterns, and how a text is
//! read. Never: keeps, returns or prints matched text; takes messages apart (the rest of `scan`).
//! Invariants: time linear in the text, whatever it holds; memory bounded by the text; no panic.
//!
//! A text is folded once ([`view`]): odd spaces, hyphens and digits become plain ones. One
//! automaton then finds labels and the openings of structured payloads, one walk over the digits
//! finds numbers that need no label, and everything else looks only at a fixed window around
//! those. Ordinary prose has neither, and costs those two passes.

mod beside;
mod bytes;
mod date;
mod hits;
mod icd;
mod labels;
mod number;
mod own;
mod person;
mod shipped;
mod source;
mod structured;
#[cfg(test)]
mod tests;
mod view;
mod vocabulary;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mail::{Finding, MAX_FINDINGS_PER_DETECTOR};

use hits::Hits;
pub use source::*;
use view::Mode;

/// The detectors of a configuration, compiled.
#[derive(Debug)]
pub struct Detectors {
    /// By detector number: shipped, dictionaries, patterns.
    names: Vec<Arc<str>>,
    /// By shipped detector.
    enabled: [bool; SHIPPED.len()],
    /// Dictionaries where capitals do not matter, and where they do.
    words: [Option<own::Words>; 2],
    patterns: Option<own::Patterns>,
    shipped: Option<shipped::ShippedSet>,
}

impl Detectors {
    /// Compiles a configuration.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and in which detector.
    pub fn compile(source: &DetectorSource) -> Result<Self, DetectorProblem> {
        let names = names(source)?;
        let mut enabled = [false; SHIPPED.len()];
        for name in &source.enabled {
            let place = SHIPPED.iter().position(|it| it.name == name);
            match place.and_then(|place| enabled.get_mut(place)) {
                Some(enabled) => *enabled = true,
                None => return Err(DetectorProblem::UnknownDetector { name: name.clone() }),
            }
        }
        let first_pattern = SHIPPED.len() + source.dictionaries.len();
        Ok(Self {
            names,
            enabled,
            words: [
                own::words(&source.dictionaries, false, SHIPPED.len())?,
                own::words(&source.dictionaries, true, SHIPPED.len())?,
            ],
            patterns: own::patterns(&source.patterns, first_pattern)?,
            shipped: shipped::ShippedSet::new(source, enabled)?,
        })
    }

    /// Whether nothing can ever fire.
    pub fn is_empty(&self) -> bool {
        !self.enabled.contains(&true)
            && self.words.iter().all(Option::is_none)
            && self.patterns.is_none()
    }

    /// Scans one whole text, decoded. Findings are appended in the order of the text, at most
    /// [`MAX_FINDINGS_PER_DETECTOR`] of each detector in `part`.
    pub fn scan_text(&self, part: u32, text: &str, out: &mut Vec<Finding>) {
        if text.is_empty() || self.is_empty() {
            return;
        }
        let mut hits = Hits::new(self.names.len());
        let seen = view::view(text, Mode::PLAIN);
        if let Some(shipped) = &self.shipped {
            shipped.scan(seen.as_bytes(), &mut hits);
        }
        if let Some(patterns) = &self.patterns {
            patterns.scan(&seen, &mut hits);
        }
        let mut sorted = hits.into_sorted();
        if matches!(seen, Cow::Owned(_)) {
            let mut at: Vec<usize> = sorted.iter().map(|(at, _)| *at).collect();
            view::to_text(text, Mode::PLAIN, &mut at);
            for (hit, at) in sorted.iter_mut().zip(at) {
                hit.0 = at;
            }
        }
        let mut hits = Hits::new(self.names.len());
        for words in self.words.iter().flatten() {
            words.scan(text, &mut hits);
        }
        sorted.extend(hits.into_sorted());
        sorted.sort_unstable();
        self.report(part, &sorted, out);
    }

    /// Structured payloads recognised by their first octets in a file of any kind: DICOM, HL7 v2,
    /// X12. The offset is 0.
    pub fn scan_bytes(&self, part: u32, bytes: &[u8], out: &mut Vec<Finding>) {
        let detector = if structured::is_dicom(bytes) {
            Shipped::Dicom
        } else {
            match structured::other_file(bytes).and_then(labels::Label::detector) {
                Some(detector) => detector,
                None => return,
            }
        };
        if self.enabled.get(detector.index()) == Some(&true) {
            self.report(part, &[(0, detector.index())], out);
        }
    }

    /// Appends `hits` (offset, detector) as findings.
    fn report(&self, part: u32, hits: &[(usize, usize)], out: &mut Vec<Finding>) {
        for (at, detector) in hits {
            let Some(name) = self.names.get(*detector) else {
                continue;
            };
            let same = out
                .iter()
                .filter(|it| it.part == part && it.detector == *name);
            let finding = Finding {
                detector: Arc::clone(name),
                part,
                offset: u64::try_from(*at).unwrap_or(u64::MAX),
            };
            if same.count() < MAX_FINDINGS_PER_DETECTOR && !out.contains(&finding) {
                out.push(finding);
            }
        }
    }
}

/// The names by detector number, checked.
fn names(source: &DetectorSource) -> Result<Vec<Arc<str>>, DetectorProblem> {
    for (what, count, limit) in [
        ("dictionaries", source.dictionaries.len(), MAX_DICTIONARIES),
        ("patterns", source.patterns.len(), MAX_PATTERNS),
    ] {
        if count > limit {
            return Err(DetectorProblem::TooMany { what, limit });
        }
    }
    let dictionaries = source.dictionaries.iter().map(|it| &it.name);
    let own: Vec<&String> = dictionaries
        .chain(source.patterns.iter().map(|it| &it.name))
        .collect();
    let mut taken: BTreeSet<&str> = SHIPPED.iter().map(|it| it.name).collect();
    for name in &own {
        let fits = name.len() <= MAX_NAME_OCTETS
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'));
        if !fits {
            return Err(DetectorProblem::BadName {
                name: (*name).clone(),
            });
        }
        if !taken.insert(name.as_str()) {
            return Err(DetectorProblem::DuplicateName {
                name: (*name).clone(),
            });
        }
    }
    let shipped = SHIPPED.iter().map(|it| Arc::from(it.name));
    Ok(shipped
        .chain(own.into_iter().map(|name| Arc::from(name.as_str())))
        .collect())
}
