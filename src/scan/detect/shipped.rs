//! The shipped detectors over a folded text: labels first, then the numbers that need none.
//!
//! Owns: which numbers count where. Invariants: the text is read in blocks with a margin around
//! them, so what is remembered is bounded; each label and each number looks at a fixed window.

use std::collections::BTreeSet;

use super::beside;
use super::bytes::{at, before, closes, digits, is_letter, is_word, next_digit, opens, slice};
use super::date::date;
use super::hits::Hits;
use super::icd::Codes;
use super::labels::{Hint, Hints, Label, Labels, Place};
use super::number;
use super::person;
use super::source::{DetectorProblem, DetectorSource, SHIPPED, Shipped};
use super::structured::{self, Verdict};

/// What is read at once.
const BLOCK: usize = 128 * 1024;
/// What is read again around a block: codes and those they belong to may lie in two.
const MARGIN: usize = NEAR + 256;
/// How far a diagnosis code may stand from what identifies a person.
const NEAR: usize = 1000;
/// How far `born` may stand from a word of care.
const NEAR_CARE: usize = 300;

/// The shipped detectors that run.
#[derive(Debug)]
pub(super) struct ShippedSet {
    enabled: [bool; SHIPPED.len()],
    labels: Labels,
    hints: Hints,
    codes: Codes,
}

/// What is remembered while a text is read.
struct Memory {
    /// By label: where the line ends whose table was looked at.
    rows: [usize; Label::COUNT],
    /// By label: where the next opening of a structured payload is looked at.
    next: [usize; Label::COUNT],
    /// Where in this block something identifies a person, and where a code stands.
    persons: Vec<usize>,
    codes: Vec<usize>,
}

/// A block, with the margins around it.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    start: usize,
    end: usize,
    to: usize,
}

impl Block {
    fn owns(self, at: usize) -> bool {
        (self.start..self.end).contains(&at)
    }
}

impl ShippedSet {
    /// Compiles what `source` enables; `None` where that is nothing.
    pub(super) fn new(
        source: &DetectorSource,
        enabled: [bool; SHIPPED.len()],
    ) -> Result<Option<Self>, DetectorProblem> {
        let codes = Codes::new(source.icd10_codes.as_deref())?;
        let wanted = wanted(&enabled);
        if !enabled.contains(&true) {
            return Ok(None);
        }
        Ok(Some(Self {
            enabled,
            labels: Labels::new(&wanted)?,
            hints: Hints::new()?,
            codes,
        }))
    }

    fn on(&self, detector: Shipped) -> bool {
        self.enabled.get(detector.index()) == Some(&true)
    }

    fn add(&self, hits: &mut Hits, detector: Shipped, at: usize) {
        if self.on(detector) {
            hits.add(detector.index(), at);
        }
    }

    /// Adds where they fired in `text`.
    pub(super) fn scan(&self, text: &[u8], hits: &mut Hits) {
        let mut memory = Memory {
            rows: [0; Label::COUNT],
            next: [0; Label::COUNT],
            persons: Vec::new(),
            codes: Vec::new(),
        };
        for start in (0..text.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(text.len());
            let block = Block {
                from: start.saturating_sub(MARGIN),
                start,
                end,
                to: (end + MARGIN).min(text.len()),
            };
            memory.persons.clear();
            memory.codes.clear();
            for place in self.labels.find(text, block.from, block.to) {
                self.label(text, block, place, &mut memory, hits);
            }
            self.numbers(text, block, &mut memory, hits);
            self.codes_near_persons(block, &mut memory, hits);
        }
    }

    /// What a label announces.
    fn label(&self, text: &[u8], block: Block, place: Place, memory: &mut Memory, hits: &mut Hits) {
        let own = block.owns(place.start);
        let Some(detector) = place.label.detector() else {
            return self.patient(text, block, place, memory, hits);
        };
        if place.label.is_structured() {
            let next = memory.next.get_mut(place.label as usize);
            if own
                && !hits.is_full(detector.index())
                && let Some(next) = next
                && place.start >= *next
            {
                match structured::carries_a_person(text, place) {
                    Verdict::NoPayload => return,
                    Verdict::Nobody => {}
                    Verdict::Person => self.add(hits, detector, place.start),
                }
                *next = place.start + structured::STRIDE;
            }
            return;
        }
        if !own && !self.on(Shipped::Icd10) {
            return;
        }
        let mut none = 0;
        let rows = match memory.rows.get_mut(place.label as usize) {
            Some(rows) if own => rows,
            _ => &mut none,
        };
        let accept = |text: &[u8], at: usize| {
            accepts(place.label, text, at) && (place.label != Label::Card || self.pays(text, at))
        };
        let found = beside::value(text, place, rows, accept);
        let vouched = |_: &usize| place.label != Label::Born || self.cared_for(text, place.start);
        if let Some(at) = found.filter(vouched) {
            if place.label.identifies() {
                memory.persons.push(at);
            }
            if own {
                self.add(hits, detector, at);
            }
        }
    }

    fn cared_for(&self, text: &[u8], at: usize) -> bool {
        let from = at.saturating_sub(NEAR_CARE);
        self.hints.any(text, from, at + NEAR_CARE, Hint::Care)
    }

    /// A patient's name, and the date of birth behind it; or a member's number.
    fn patient(
        &self,
        text: &[u8],
        block: Block,
        place: Place,
        memory: &mut Memory,
        hits: &mut Hits,
    ) {
        if place.label == Label::Member {
            let accept = |text: &[u8], at: usize| accepts(place.label, text, at);
            let found = beside::value(text, place, &mut 0, accept);
            memory.persons.extend(found);
        } else if let Some(end) = person::name(text, place.end) {
            memory.persons.push(place.end);
            let born = person::birth_date(text, end);
            if let Some(at) = born.filter(|_| block.owns(place.start)) {
                self.add(hits, Shipped::BirthDate, at);
            }
        }
    }

    /// Every run of digits, for what needs no label or finds its own.
    fn numbers(&self, text: &[u8], block: Block, memory: &mut Memory, hits: &mut Hits) {
        let mut from = block.from;
        while let Some(start) = next_digit(slice(text, 0, block.to), from) {
            let mut length = digits(text, start, 20);
            from = start + length;
            while at(text, from).is_ascii_digit() {
                from += 1;
                length += 1;
            }
            if before(text, start).is_ascii_digit() {
                continue;
            }
            let previous = before(text, start);
            if previous.is_ascii_alphabetic() {
                if previous.is_ascii_uppercase() && self.on(Shipped::Icd10) {
                    self.code(text, start - 1, memory);
                }
                if self.on(Shipped::Dea) && block.owns(start) {
                    match length {
                        7 => self.dea(text, start, hits),
                        // A business: its 9 stands for the letter.
                        8 => self.dea(text, start + 1, hits),
                        _ => {}
                    }
                }
                continue;
            }
            if length == 7 && previous == b'-' && self.on(Shipped::Dea) && block.owns(start) {
                self.dea(text, start - 1, hits);
            }
            if opens(text, start) {
                self.number(text, block, start, length, memory, hits);
            }
        }
    }

    /// A number that stands by itself.
    fn number(
        &self,
        text: &[u8],
        block: Block,
        start: usize,
        length: usize,
        memory: &mut Memory,
        hits: &mut Hits,
    ) {
        match length {
            1 if is_letter(at(text, start + 1)) => {
                if let Some(seen) = number::mbi(text, start)
                    && seen.separator != 0
                {
                    memory.persons.push(start);
                    if block.owns(start) {
                        self.add(hits, Shipped::Mbi, start);
                    }
                }
            }
            3 if !is_word(at(text, start + 3)) && self.is_ssn(text, start) => {
                memory.persons.push(start);
                if block.owns(start) {
                    self.add(hits, Shipped::Ssn, start);
                }
            }
            4 | 13..=19 if block.owns(start) && matches!(at(text, start), b'2'..=b'6' | b'8') => {
                if length == 15 && number::npi(text, start).is_some() {
                    self.add(hits, Shipped::Npi, start);
                } else if self.on(Shipped::Card) && self.is_card(text, start) {
                    self.add(hits, Shipped::Card, start);
                }
            }
            _ => {}
        }
    }

    /// A Social Security number that needs no label: with hyphens, or with spaces where a person's
    /// papers are spoken of and no table of numbers is.
    fn is_ssn(&self, text: &[u8], start: usize) -> bool {
        let Some(seen) = number::ssn(text, start) else {
            return false;
        };
        let near = |before: usize, after: usize| {
            let from = start.saturating_sub(before);
            self.hints.any(text, from, seen.end + after, Hint::Person)
        };
        match seen.separator {
            b'-' => !person::is_spoken_for(text, start),
            b' ' => {
                !seen.folded
                    && !in_a_row_of_numbers(text, start, seen.end)
                    && !person::is_spoken_for(text, start)
                    && near(200, 60)
            }
            _ => false,
        }
    }

    /// A card number in its printed groups, or bare where cards are spoken of.
    fn is_card(&self, text: &[u8], start: usize) -> bool {
        let Some(seen) = number::card(text, start) else {
            return false;
        };
        let from = start.saturating_sub(100);
        let spoken_of =
            || seen.separator != 0 || self.hints.any(text, from, seen.end + 40, Hint::Card);
        !person::is_spoken_for(text, start) && self.pays(text, start) && spoken_of()
    }

    /// Whether nothing says that the card number at `start` pays nothing: a gift card, a test.
    fn pays(&self, text: &[u8], start: usize) -> bool {
        let Some(seen) = number::card(text, start) else {
            return false;
        };
        let near = |before: usize, after: usize, hint: Hint| {
            let from = start.saturating_sub(before);
            self.hints.any(text, from, seen.end + after, hint)
        };
        let test = number::is_test_card(slice(text, start, seen.end));
        let elsewhere = near(48, 0, Hint::OtherCard);
        let tried = test && near(256, 100, Hint::Test);
        !elsewhere && !tried
    }

    /// A DEA number whose digits start at `digits`.
    fn dea(&self, text: &[u8], digits: usize, hits: &mut Hits) {
        let Some(start) = digits.checked_sub(2) else {
            return;
        };
        let Some((seen, initial)) = number::dea(text, start).filter(|_| opens(text, start)) else {
            return;
        };
        let near = |before: usize, after: usize, hint: Hint| {
            let from = start.saturating_sub(before);
            self.hints.any(text, from, seen.end + after, hint)
        };
        let holder = || near(160, 60, Hint::Prescriber) && person::initial(text, start, initial);
        if near(60, 24, Hint::Dea) || holder() {
            self.add(hits, Shipped::Dea, start);
        }
    }

    /// A diagnosis code: with its dot, or where diagnoses are spoken of.
    fn code(&self, text: &[u8], start: usize, memory: &mut Memory) {
        let Some(code) = self.codes.code(text, start) else {
            return;
        };
        let from = start.saturating_sub(64);
        if code.dotted || self.hints.any(text, from, code.end + 24, Hint::Diagnosis) {
            memory.codes.push(start);
        }
    }

    fn codes_near_persons(&self, block: Block, memory: &mut Memory, hits: &mut Hits) {
        memory.persons.sort_unstable();
        for code in memory.codes.iter().copied().filter(|it| block.owns(*it)) {
            let from = code.saturating_sub(NEAR);
            let next = memory.persons.partition_point(|it| *it < from);
            let near = memory
                .persons
                .get(next)
                .is_some_and(|it| *it <= code + NEAR);
            if near {
                self.add(hits, Shipped::Icd10, code);
            }
        }
    }
}

/// Whether what stands at `at` is what `label` announces.
fn accepts(label: Label, text: &[u8], at: usize) -> bool {
    match label {
        Label::Ssn => number::ssn(text, at).is_some(),
        Label::Npi => number::npi(text, at).is_some(),
        Label::Dea => number::dea(text, at).is_some(),
        Label::Mbi => number::mbi(text, at).is_some(),
        Label::Mrn | Label::Member => number::record_number(text, at).is_some(),
        Label::Card => number::card(text, at).is_some(),
        Label::Birth | Label::Born => date(text, at).is_some_and(|it| {
            let cjk = at_cjk(text, it.end);
            cjk || closes(text, it.end) || at_time(text, it.end)
        }),
        _ => false,
    }
}

/// A date of birth may run on into a script without spaces.
fn at_cjk(text: &[u8], end: usize) -> bool {
    at(text, end) >= 0xe3
}

/// ... or into a time of day (`1962-03-14T00:00`).
fn at_time(text: &[u8], end: usize) -> bool {
    at(text, end) == b'T' && at(text, end + 1).is_ascii_digit()
}

/// Whether more numbers stand beside it on its line, as in a table.
fn in_a_row_of_numbers(text: &[u8], start: usize, end: usize) -> bool {
    let left = slice(text, start.saturating_sub(4), start);
    let right = slice(text, end, end + 4);
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let blank = |b: &&u8| !matches!(b, b' ' | b'\t');
    digit(left.iter().rev().find(blank))
        || digit(right.iter().find(blank))
        || is_word(at(text, end))
}

/// The labels that the enabled detectors need.
fn wanted(enabled: &[bool; SHIPPED.len()]) -> BTreeSet<Label> {
    let on = |detector: Shipped| enabled.get(detector.index()) == Some(&true);
    Label::ALL
        .iter()
        .copied()
        .filter(|label| {
            label.detector().is_some_and(on)
                || (label.identifies() && on(Shipped::Icd10))
                || (*label == Label::Patient && on(Shipped::BirthDate))
        })
        .collect()
}
