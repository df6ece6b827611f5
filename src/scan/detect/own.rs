//! The operator's own detectors: word lists in one automaton each for "capitals matter" and "they
//! do not"; regular expressions one by one, or in one set first where they are many.
//!
//! Invariants: linear time in the text (`regex` has no backtracking; overlapping words cost at
//! most [`MAX_WORD_OCTETS`](super::MAX_WORD_OCTETS) a place); nothing matches within a word.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::hits::Hits;
use super::source::{
    DetectorProblem, Dictionary, MAX_PATTERN_COMPILED, MAX_PATTERN_OCTETS, MAX_WORD_OCTETS,
    MAX_WORDS, Pattern,
};
use super::view::{Mode, to_text, view};

/// What the lazy automata of the patterns may hold while they run.
const PATTERN_CACHE: usize = 4 * 1024 * 1024;
/// With more patterns than these, one pass says which of them match at all.
const SET_FROM: usize = 8;
/// A text with a word, a gap, a number and lines: what matches emptily here matches everywhere.
const SAMPLE: &str = "ab c\n1 - x.\n\nZ_9";

/// The dictionaries of one kind.
#[derive(Debug)]
pub(super) struct Words {
    automaton: AhoCorasick,
    /// By pattern of the automaton: which list.
    owner: Vec<usize>,
    /// Detector number and distinct words needed, by list.
    lists: Vec<(usize, usize)>,
    mode: Mode,
}

/// Every word of every dictionary whose `case_sensitive` is `sensitive`; `first` is the detector
/// number of the first dictionary.
pub(super) fn words(
    dictionaries: &[Dictionary],
    sensitive: bool,
    first: usize,
) -> Result<Option<Words>, DetectorProblem> {
    let mut all: Vec<String> = Vec::new();
    let mut owner = Vec::new();
    let mut lists = Vec::new();
    let chosen = (first..).zip(dictionaries);
    for (detector, dictionary) in chosen.filter(|(_, it)| it.case_sensitive == sensitive) {
        let distinct = distinct_words(dictionary)?;
        let needed = usize::try_from(dictionary.at_least.max(1)).unwrap_or(usize::MAX);
        if needed > distinct.len() {
            return Err(DetectorProblem::NeverFires {
                name: dictionary.name.clone(),
                at_least: dictionary.at_least,
                words: distinct.len(),
            });
        }
        owner.extend(std::iter::repeat_n(lists.len(), distinct.len()));
        lists.push((detector, needed));
        all.extend(distinct);
        if all.len() > MAX_WORDS {
            return Err(DetectorProblem::DictionariesTooLarge);
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    let mode = Mode {
        lower: !sensitive && all.iter().any(|word| !word.is_ascii()),
        collapse: all.iter().any(|word| word.contains(' ')),
    };
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(!sensitive)
        .build(&all)
        .map_err(|_| DetectorProblem::DictionariesTooLarge)?;
    Ok(Some(Words {
        automaton,
        owner,
        lists,
        mode,
    }))
}

/// The words of a list as the automaton looks for them.
fn distinct_words(dictionary: &Dictionary) -> Result<BTreeSet<String>, DetectorProblem> {
    let folding = Mode {
        lower: !dictionary.case_sensitive,
        collapse: true,
    };
    let mut distinct = BTreeSet::new();
    for (position, word) in (1..).zip(&dictionary.words) {
        let name = || dictionary.name.clone();
        if word.len() > MAX_WORD_OCTETS {
            return Err(DetectorProblem::WordTooLong {
                name: name(),
                position,
            });
        }
        let mut folded = view(word.trim(), folding).trim().to_owned();
        if !dictionary.case_sensitive {
            folded.make_ascii_lowercase();
        }
        if !folded.chars().any(char::is_alphanumeric) {
            return Err(DetectorProblem::EmptyWord {
                name: name(),
                position,
            });
        }
        distinct.insert(folded);
    }
    if distinct.is_empty() {
        return Err(DetectorProblem::NoWords {
            name: dictionary.name.clone(),
        });
    }
    Ok(distinct)
}

impl Words {
    /// Adds where each list fired; offsets are into `text` itself.
    pub(super) fn scan(&self, text: &str, hits: &mut Hits) {
        let seen = view(text, self.mode);
        let mut tally: Vec<Tally> = Vec::new();
        for found in self.automaton.find_overlapping_iter(seen.as_ref()) {
            let word = found.pattern().as_usize();
            let Some(list) = self.owner.get(word).copied() else {
                continue;
            };
            if !stands_alone(&seen, found.start(), found.end()) {
                continue;
            }
            if tally.is_empty() {
                tally.resize_with(self.lists.len(), Tally::default);
            }
            let needed = self.lists.get(list).map_or(1, |(_, needed)| *needed);
            if let Some(tally) = tally.get_mut(list) {
                tally.note(word, found.start(), needed);
            }
        }
        let folded = matches!(seen, std::borrow::Cow::Owned(_));
        for ((detector, needed), tally) in self.lists.iter().zip(tally) {
            if tally.words.len() < *needed {
                continue;
            }
            let mut at = tally.at;
            if folded {
                at.sort_unstable();
                to_text(text, self.mode, &mut at);
            }
            for at in at {
                hits.add(*detector, at);
            }
        }
    }
}

/// What one list has met so far.
#[derive(Default)]
struct Tally {
    /// Distinct words; no more than are needed.
    words: BTreeSet<usize>,
    /// The first places.
    at: Vec<usize>,
}

impl Tally {
    fn note(&mut self, word: usize, at: usize, needed: usize) {
        if self.words.len() < needed {
            self.words.insert(word);
        }
        if self.at.len() < crate::mail::MAX_FINDINGS_PER_DETECTOR {
            self.at.push(at);
        }
    }
}

/// Whether no letter or digit touches `start..end` where it begins or ends with one itself.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(inside), Some(after)) =
        (text.get(..start), text.get(start..end), text.get(end..))
    else {
        return false;
    };
    let joined = |outer: Option<char>, inner: Option<char>| {
        outer.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c))
            && inner.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c))
    };
    !joined(before.chars().next_back(), inside.chars().next())
        && !joined(after.chars().next(), inside.chars().next_back())
}

/// Scripts whose words stand without spaces between them.
const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// The operator's regular expressions.
#[derive(Debug)]
pub(super) struct Patterns {
    set: RegexSet,
    each: Vec<Regex>,
    /// Detector number of the first.
    first: usize,
}

/// Compiles `patterns`, whose detector numbers start at `first`.
pub(super) fn patterns(
    patterns: &[Pattern],
    first: usize,
) -> Result<Option<Patterns>, DetectorProblem> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let each = patterns
        .iter()
        .map(pattern)
        .collect::<Result<Vec<_>, _>>()?;
    let set = RegexSetBuilder::new(patterns.iter().map(|it| &it.regex))
        .size_limit(MAX_PATTERN_COMPILED.saturating_mul(patterns.len()))
        .dfa_size_limit(PATTERN_CACHE)
        .build()
        .map_err(|_| DetectorProblem::PatternsTooLarge)?;
    Ok(Some(Patterns { set, each, first }))
}

fn pattern(pattern: &Pattern) -> Result<Regex, DetectorProblem> {
    let name = || pattern.name.clone();
    if pattern.regex.len() > MAX_PATTERN_OCTETS {
        return Err(DetectorProblem::PatternTooLarge { name: name() });
    }
    let regex = RegexBuilder::new(&pattern.regex)
        .size_limit(MAX_PATTERN_COMPILED)
        .dfa_size_limit(PATTERN_CACHE)
        .build()
        .map_err(|problem| match problem {
            regex::Error::CompiledTooBig(_) => DetectorProblem::PatternTooLarge { name: name() },
            other => DetectorProblem::BadPattern {
                name: name(),
                problem: last_line(&other.to_string()),
            },
        })?;
    let empty = |text: &str| regex.find_iter(text).any(|found| found.is_empty());
    if empty("") || empty(SAMPLE) {
        return Err(DetectorProblem::PatternMatchesEmpty { name: name() });
    }
    Ok(regex)
}

/// The compiler draws the pattern over several lines; its last line says what is wrong.
fn last_line(problem: &str) -> String {
    let line = problem.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl Patterns {
    /// Adds where each pattern fired; offsets are into `text`, which is a view.
    pub(super) fn scan(&self, text: &str, hits: &mut Hits) {
        // A Unicode `\b` takes the set's fast engine away beyond ASCII; a pattern alone can still
        // skip to its literals.
        let candidates =
            (self.each.len() > SET_FROM && text.is_ascii()).then(|| self.set.matches(text));
        for (number, regex) in self.each.iter().enumerate() {
            if candidates.as_ref().is_some_and(|it| !it.matched(number)) {
                continue;
            }
            let detector = self.first + number;
            for found in regex.find_iter(text).filter(|found| !found.is_empty()) {
                if hits.is_full(detector) {
                    break;
                }
                hits.add(detector, found.start());
            }
        }
    }
}
