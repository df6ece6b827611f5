//! A text as the detectors read it: what looks like a space, a hyphen or a digit is one, and what
//! is invisible is gone.
//!
//! Owns: the folding and the way back to offsets of the text itself. Never: changes letters,
//! except in [`Mode::LOWER`]. Plain ASCII costs a look and no copy.

use std::borrow::Cow;

/// How a text is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mode {
    /// Letters beyond ASCII become lower case (the automaton folds ASCII by itself).
    pub(super) lower: bool,
    /// A run of white space becomes one space.
    pub(super) collapse: bool,
}

impl Mode {
    /// For numbers, labels and patterns.
    pub(super) const PLAIN: Self = Self {
        lower: false,
        collapse: false,
    };
}

/// What becomes of a character beyond ASCII.
enum Fold {
    Keep,
    Drop,
    Ascii(char),
}

/// Spaces, hyphens, full-width and mathematical forms, and what cannot be seen.
fn fold(c: char) -> Fold {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Fold::Ascii(' ')
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => Fold::Ascii('\n'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Fold::Ascii('-'),
        '\u{2044}' | '\u{2215}' => Fold::Ascii('/'),
        '\u{ad}'
        | '\u{34f}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => Fold::Drop,
        '\u{ff01}'..='\u{ff5e}' => ascii(u32::from(c) - 0xfee0),
        '\u{1d7ce}'..='\u{1d7ff}' => ascii(u32::from('0') + (u32::from(c) - 0x1d7ce) % 10),
        _ => Fold::Keep,
    }
}

fn ascii(code: u32) -> Fold {
    char::from_u32(code).map_or(Fold::Keep, Fold::Ascii)
}

/// `text` folded; borrowed where nothing changes.
pub(super) fn view(text: &str, mode: Mode) -> Cow<'_, str> {
    let mut walk = Walk::new(text, mode);
    // Until something changes, nothing is copied.
    while let Some(step) = walk.next() {
        if step.changed {
            let mut out = String::with_capacity(text.len());
            out.push_str(text.get(..step.start).unwrap_or_default());
            out.extend(step.put.chars());
            for step in walk {
                if step.changed {
                    out.extend(step.put.chars());
                } else {
                    out.push_str(text.get(step.start..step.end).unwrap_or_default());
                }
            }
            return Cow::Owned(out);
        }
    }
    Cow::Borrowed(text)
}

/// Turns offsets into the view of `text` into offsets into `text` itself. `offsets` ascend.
pub(super) fn to_text(text: &str, mode: Mode, offsets: &mut [usize]) {
    let mut seen = 0;
    let mut left = offsets.iter_mut().peekable();
    for step in Walk::new(text, mode) {
        let length = if step.changed {
            step.put.octets()
        } else {
            step.end - step.start
        };
        while let Some(offset) = left.next_if(|offset| **offset < seen + length) {
            let into = if step.changed { 0 } else { *offset - seen };
            *offset = step.start + into;
        }
        seen += length;
        if left.peek().is_none() {
            return;
        }
    }
    for offset in left {
        *offset = text.len();
    }
}

/// What stands in the view for one changed character.
#[derive(Clone, Copy)]
enum Put {
    Nothing,
    One(char),
    Lower(char),
}

impl Put {
    fn chars(self) -> impl Iterator<Item = char> {
        let (one, lower) = match self {
            Self::Nothing => (None, None),
            Self::One(c) => (Some(c), None),
            Self::Lower(c) => (None, Some(c.to_lowercase())),
        };
        one.into_iter().chain(lower.into_iter().flatten())
    }

    fn octets(self) -> usize {
        self.chars().map(char::len_utf8).sum()
    }
}

/// A stretch of the text: kept as it stands, or one character that changed.
struct Step {
    start: usize,
    end: usize,
    changed: bool,
    put: Put,
}

/// Walks a text in stretches.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    mode: Mode,
    /// The last thing put was a space (only kept up to date when collapsing).
    in_space: bool,
}

impl<'t> Walk<'t> {
    const fn new(text: &'t str, mode: Mode) -> Self {
        Self {
            text,
            at: 0,
            mode,
            in_space: false,
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What becomes of `c`; `None` leaves it.
    fn change(&mut self, c: char) -> Option<Put> {
        let put = if c.is_ascii() {
            None
        } else {
            match fold(c) {
                Fold::Ascii(a) => Some(Put::One(a)),
                Fold::Drop => return Some(Put::Nothing),
                Fold::Keep if self.mode.lower && c.is_uppercase() => Some(Put::Lower(c)),
                Fold::Keep => None,
            }
        };
        if !self.mode.collapse {
            return put;
        }
        let seen = match put {
            Some(Put::One(a)) => a,
            _ => c,
        };
        if !seen.is_ascii_whitespace() {
            self.in_space = false;
            return put;
        }
        if std::mem::replace(&mut self.in_space, true) {
            Some(Put::Nothing)
        } else if c == ' ' {
            None
        } else {
            Some(Put::One(' '))
        }
    }
}

/// Whether `lead`, followed by `next`, may start a character that changes. Says yes too often
/// rather than too rarely; never for what continues a character.
const fn may_change(lead: u8, next: [u8; 2], mode: Mode) -> bool {
    match lead {
        0xc2 | 0xcd | 0xe1 | 0xe2 | 0xef | 0xf0 => true,
        0xe3 => matches!(next, [0x80, 0x80]),
        0xc3..=0xdf | 0xe0 | 0xea => mode.lower,
        _ => false,
    }
}

/// The length of what certainly stays as it is at the start of `bytes`.
fn unchanged(bytes: &[u8], mode: Mode) -> usize {
    const STEP: usize = 64;
    let mut length = 0;
    for chunk in bytes.chunks(STEP) {
        if mode.collapse || !chunk.is_ascii() {
            for (place, b) in chunk.iter().enumerate() {
                let at = length + place;
                let next = |ahead: usize| bytes.get(at + ahead).copied().unwrap_or(0);
                let changes = if b.is_ascii() {
                    // A single blank between words stays.
                    mode.collapse
                        && b.is_ascii_whitespace()
                        && (*b != b' ' || next(1) >= 0x80 || next(1).is_ascii_whitespace())
                } else {
                    may_change(*b, [next(1), next(2)], mode)
                };
                if changes {
                    return at;
                }
            }
        }
        length += chunk.len();
    }
    length
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let start = self.at;
        loop {
            let kept = if self.in_space {
                0
            } else {
                unchanged(self.rest().as_bytes(), self.mode)
            };
            self.at += kept;
            let before = self.in_space;
            let Some(c) = self.rest().chars().next() else {
                break;
            };
            let Some(put) = self.change(c) else {
                self.at += c.len_utf8();
                continue;
            };
            if self.at > start {
                // The stretch first; this character comes again.
                self.in_space = before;
                break;
            }
            self.at += c.len_utf8();
            return Some(Step {
                start,
                end: self.at,
                changed: true,
                put,
            });
        }
        (self.at > start).then_some(Step {
            start,
            end: self.at,
            changed: false,
            put: Put::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Mode = Mode {
        lower: true,
        collapse: true,
    };

    #[test]
    fn ascii_and_plain_letters_are_not_copied() {
        for text in ["", "plain text\r\n", "Größe, 東京, café"] {
            assert!(matches!(view(text, Mode::PLAIN), Cow::Borrowed(it) if it == text));
        }
    }

    #[test]
    fn spaces_hyphens_digits_and_the_invisible_are_folded() {
        assert_eq!(
            view("a\u{a0}1\u{2011}２\u{200b}３：\u{1d7d7}é", Mode::PLAIN),
            "a 1-23:9é"
        );
        assert_eq!(view("ÄRZTE \r\n\t  Ö\u{3000} x", WORDS), "äRZTE ö x");
    }

    #[test]
    fn every_offset_finds_its_way_back() {
        let text = "\u{feff}ab\u{a0}\u{200b}\u{200b}cd１Ä\u{2011}z  y";
        for mode in [Mode::PLAIN, WORDS] {
            let seen = view(text, mode).into_owned();
            let at: Vec<usize> = seen.char_indices().map(|(i, _)| i).collect();
            let mut back = at.clone();
            to_text(text, mode, &mut back);
            for (i, original) in at.iter().zip(&back) {
                let c = seen[*i..].chars().next().unwrap();
                let o = text[*original..].chars().next().unwrap();
                let same = match fold(o) {
                    Fold::Ascii(a) => a == c,
                    _ => o.to_lowercase().next() == Some(c) || o == c,
                };
                assert!(same, "{c:?} came from {o:?}");
            }
        }
    }
}
