//! The words that say what a number is, and those that open a structured payload.
//!
//! Owns: the kinds of labels and the two automata over the vocabulary: one passes over the whole text, one
//! looks into the window around a number that needs company. Never: reads numbers.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::bytes::{at, before, is_letter, slice};
use super::source::{DetectorProblem, Shipped};
use super::vocabulary::{HINTS, LABELS, words};

/// What a label announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Ssn,
    Npi,
    Dea,
    Mbi,
    Mrn,
    /// A health plan's member number: says whose text it is, and is no detector.
    Member,
    Card,
    /// Says outright that a date of birth follows.
    Birth,
    /// May say so of anybody.
    Born,
    /// A patient's name follows.
    Patient,
    Hl7,
    Hl7Patient,
    X12,
    X12Set,
    FhirJson,
    FhirXml,
    Ccda,
}

impl Label {
    /// Every label.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Ssn, Npi, Dea, Mbi, Mrn, Member, Card, Birth, Born, Patient, Hl7, Hl7Patient, X12, X12Set,
        FhirJson, FhirXml, Ccda,
    ];
    /// How many there are.
    pub(super) const COUNT: usize = 17;

    /// Which detector fires where its value is found.
    pub(super) const fn detector(self) -> Option<Shipped> {
        Some(match self {
            Ssn => Shipped::Ssn,
            Npi => Shipped::Npi,
            Dea => Shipped::Dea,
            Mbi => Shipped::Mbi,
            Mrn => Shipped::Mrn,
            Card => Shipped::Card,
            Birth | Born => Shipped::BirthDate,
            Hl7 | Hl7Patient => Shipped::Hl7,
            X12 | X12Set => Shipped::X12,
            FhirJson | FhirXml => Shipped::Fhir,
            Ccda => Shipped::Ccda,
            Member | Patient => return None,
        })
    }

    /// Whether its value says who a text is about.
    pub(super) const fn identifies(self) -> bool {
        matches!(self, Ssn | Mbi | Mrn | Member | Birth | Born | Patient)
    }

    /// Whether it opens a structured payload.
    pub(super) const fn is_structured(self) -> bool {
        matches!(
            self,
            Hl7 | Hl7Patient | X12 | X12Set | FhirJson | FhirXml | Ccda
        )
    }
}

use Label::{
    Birth, Born, Card, Ccda, Dea, FhirJson, FhirXml, Hl7, Hl7Patient, Mbi, Member, Mrn, Npi,
    Patient, Ssn, X12, X12Set,
};

/// What a word near a number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// A payment card.
    Card,
    /// A card that pays nothing.
    OtherCard,
    /// Somebody's test data.
    Test,
    Dea,
    /// Who writes prescriptions.
    Prescriber,
    /// A person's papers: health, insurance, tax, work.
    Person,
    /// Care: a patient is near.
    Care,
    /// Diagnoses and their codes.
    Diagnosis,
}

/// A label in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) label: Label,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The labels that are wanted, as one automaton.
#[derive(Debug)]
pub(super) struct Labels {
    automaton: AhoCorasick,
    kinds: Vec<Label>,
}

fn automaton(words: &[&str]) -> Result<AhoCorasick, DetectorProblem> {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .map_err(|_| DetectorProblem::Internal)
}

/// Whether `start..end` stands as a word of its own, or as one within `snake_case` or
/// `camelCase`; a plural counts.
fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let (first, last) = (at(text, start), before(text, end));
    let previous = before(text, start);
    let opens = !first.is_ascii_alphabetic()
        || !is_letter(previous)
        || (previous.is_ascii_lowercase() && first.is_ascii_uppercase());
    let after = end + usize::from(at(text, end) == b's' && !is_letter(at(text, end + 1)));
    let next = at(text, after);
    let closes = !last.is_ascii_alphabetic()
        || !is_letter(next)
        || (last.is_ascii_lowercase() && next.is_ascii_uppercase())
        || (next >= 0x80 && !is_latin(text, after));
    opens && closes
}

/// Whether the character at `from` is a Latin letter with a mark (U+00C0 to U+024F).
fn is_latin(text: &[u8], from: usize) -> bool {
    matches!(at(text, from), 0xc3..=0xc9)
}

impl Labels {
    /// Those of `wanted`.
    pub(super) fn new(wanted: &BTreeSet<Label>) -> Result<Self, DetectorProblem> {
        let chosen = LABELS.iter().filter(|(label, _)| wanted.contains(label));
        let (kinds, words): (Vec<_>, Vec<_>) = chosen
            .flat_map(|(label, list)| words(list).map(|word| (*label, word)))
            .unzip();
        Ok(Self {
            automaton: automaton(&words)?,
            kinds,
        })
    }

    /// Every label that starts in `from..to`, in order.
    pub(super) fn find<'t>(
        &'t self,
        text: &'t [u8],
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = Place> + 't {
        self.automaton
            .find_iter(slice(text, from, to))
            .filter_map(move |found| {
                let place = Place {
                    label: *self.kinds.get(found.pattern().as_usize())?,
                    start: from + found.start(),
                    end: from + found.end(),
                };
                (place.label.is_structured() || stands_alone(text, place.start, place.end))
                    .then_some(place)
            })
    }
}

/// The hints as one automaton.
#[derive(Debug)]
pub(super) struct Hints {
    automaton: AhoCorasick,
    /// By word: what it hints at.
    kinds: Vec<BTreeSet<Hint>>,
}

impl Hints {
    /// All of them.
    pub(super) fn new() -> Result<Self, DetectorProblem> {
        let mut by_word: BTreeMap<&str, BTreeSet<Hint>> = BTreeMap::new();
        for (hint, list) in HINTS {
            for word in words(list) {
                by_word.entry(word).or_default().insert(*hint);
            }
        }
        let (words, kinds): (Vec<_>, Vec<_>) = by_word.into_iter().unzip();
        Ok(Self {
            automaton: automaton(&words)?,
            kinds,
        })
    }

    /// Whether a word of `hint` stands in `from..to`.
    pub(super) fn any(&self, text: &[u8], from: usize, to: usize, hint: Hint) -> bool {
        self.automaton
            .find_iter(slice(text, from, to))
            .any(|found| {
                let kinds = self.kinds.get(found.pattern().as_usize());
                kinds.is_some_and(|it| it.contains(&hint))
                    && stands_alone(text, from + found.start(), from + found.end())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Label, &str)> {
        let wanted = LABELS.iter().map(|(label, _)| *label).collect();
        let labels = Labels::new(&wanted).unwrap();
        labels
            .find(text.as_bytes(), 0, text.len())
            .map(|it| (it.label, &text[it.start..it.end]))
            .collect()
    }

    #[test]
    fn labels_stand_alone_or_within_names() {
        assert_eq!(
            found("SSNs, patient_ssn, customerSSN9, lessness, MRN0012"),
            [(Ssn, "SSN"), (Ssn, "ssn"), (Ssn, "SSN"), (Mrn, "MRN")]
        );
        assert_eq!(found("adobe, newborn, unborn, Born"), [(Born, "Born")]);
        assert_eq!(found("生年月日：1962"), [(Birth, "生年月日")]);
        assert_eq!(
            found("Medical Record Number"),
            [(Mrn, "Medical Record Number")]
        );
        assert_eq!(found("SSNé"), []);
    }

    #[test]
    fn longer_hints_hide_shorter_ones() {
        let hints = Hints::new().unwrap();
        let any = |text: &str, hint| hints.any(text.as_bytes(), 0, text.len(), hint);
        assert!(any("your VISA card", Hint::Card));
        assert!(!any("your gift card", Hint::Card));
        assert!(any("your gift card", Hint::OtherCard));
        assert!(!any("cardinal, discard", Hint::Card));
    }
}
