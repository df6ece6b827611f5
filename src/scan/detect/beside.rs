//! What stands beside a label: behind it, before it in brackets, or below it in a table.
//!
//! Owns: how far a label reaches. Invariants: it reaches [`REACH`] octets along the line, or
//! [`ROWS`] rows down its column; a table is looked at once per label and line, so many labels on
//! one line cost no more than one.

use super::bytes::{at, before, is_letter, is_word, line_end, line_start, next_line, slice};
use super::labels::Place;

/// How far behind a label its value may stand, in octets.
const REACH: usize = 56;
/// How many words may stand between.
const WORDS: usize = 5;
/// How many rows below a column's head are looked at.
const ROWS: usize = 6;
/// Longest line of a table that is looked at, in octets.
const MAX_ROW: usize = 1024;
/// Longest head of a column.
const MAX_HEAD: usize = 48;

/// Words that may stand between a label and its value, lower case.
const FILLERS: &[&str] = &[
    "is",
    "was",
    "are",
    "of",
    "the",
    "for",
    "on",
    "no",
    "nr",
    "num",
    "number",
    "numbers",
    "id",
    "ids",
    "identifier",
    "code",
    "record",
    "records",
    "patient",
    "patients",
    "this",
    "his",
    "her",
    "their",
    "date",
    "value",
    "am",
    "ist",
    "lautet",
    "vom",
    "le",
    "la",
    "el",
    "es",
    "del",
    "de",
    "du",
    "dob",
    "mrn",
    "ssn",
    "npi",
    "dea",
    "mbi",
    "mm",
    "dd",
    "yyyy",
    "yy",
    "tt",
    "jj",
    "jjjj",
    "aaaa",
    "confirmed",
    "verified",
    "listed",
    "as",
    "mr",
    "mrs",
    "ms",
    "registration",
    "n",
    "und",
    "and",
    "card",
    "acct",
    "account",
    "ending",
    "s",
    "security",
    "nummer",
    "número",
    "numéro",
    "numero",
    "primary",
    "prescriber",
    "provider",
    "birth",
    "in",
    "file",
    "eins",
    "den",
    "health",
    "using",
    "with",
    "cc",
    "visa",
    "mastercard",
    "amex",
    "valuestring",
    "string",
    "type",
    "text",
    "field",
    "xx",
    "jahrgang",
    "registrada",
    "registrado",
    "recorded",
    "reported",
    "provided",
    "given",
    "geb",
    "born",
];

/// A word that makes what follows an example.
const EXAMPLES: &[&str] = &["example", "format", "beispiel", "ejemplo", "exemple"];

/// Where a value that `accept` takes stands beside `place`.
pub(super) fn value(
    text: &[u8],
    place: Place,
    seen_to: &mut usize,
    accept: impl Fn(&[u8], usize) -> bool,
) -> Option<usize> {
    let head = Head::of(text, place);
    // The head of a column: what follows on the next line belongs to another.
    let limit = match head {
        Some(_) => line_end(text, place.end, REACH),
        None => place.end + REACH,
    };
    behind(text, place.end, limit.min(text.len()), &accept)
        .or_else(|| bracketed(text, place, &accept))
        .or_else(|| {
            // Once a line.
            if place.start < *seen_to {
                return None;
            }
            let column = Column::of(text, place, head?);
            *seen_to = column.head_end;
            column.below(text, &accept)
        })
}

/// The value behind a label.
fn behind(
    text: &[u8],
    from: usize,
    limit: usize,
    accept: &impl Fn(&[u8], usize) -> bool,
) -> Option<usize> {
    let mut at_ = from;
    let mut words = 0;
    // After `for`, `of` or a bracket, names may stand.
    let mut names = false;
    loop {
        while at_ < limit && !is_word(at(text, at_)) {
            match at(text, at_) {
                b'(' => names = true,
                b'!' | b'?' | b'{' | b'}' | b'<' | b'@' | b'$' | b'%' => return None,
                _ => {}
            }
            at_ += 1;
        }
        if at_ >= limit {
            return None;
        }
        if accept(text, at_) {
            return Some(at_);
        }
        let rest = slice(text, at_, limit);
        let length = rest.iter().take_while(|b| is_letter(**b)).count();
        let word = std::str::from_utf8(slice(text, at_, at_ + length)).ok()?;
        words += 1;
        if length == 0 || words > WORDS {
            return None;
        }
        let lower = word.to_lowercase();
        let known = FILLERS.contains(&lower.as_str());
        let name =
            names && word.starts_with(char::is_uppercase) && !EXAMPLES.contains(&lower.as_str());
        if !known && !name {
            // `securityNumber`, `IDNumber`: the rest of the label's own word.
            let own = at_ == from && ["number", "no", "id", "num"].iter().any(|it| lower == *it);
            if !own {
                return None;
            }
        }
        names |= matches!(
            lower.as_str(),
            "for" | "of" | "patient" | "mr" | "mrs" | "ms" | "de"
        );
        at_ += length;
    }
}

/// The value before a label that stands in brackets: `0048213 (MRN)`.
fn bracketed(text: &[u8], place: Place, accept: &impl Fn(&[u8], usize) -> bool) -> Option<usize> {
    let bracket = place.start.checked_sub(1)?;
    if !matches!(at(text, bracket), b'(' | b'[') {
        return None;
    }
    let mut end = bracket;
    while end > 0 && before(text, end) == b' ' && bracket - end < 3 {
        end -= 1;
    }
    // The last word, and with it what hyphens, dots and slashes join to it.
    let start = slice(text, end.saturating_sub(24), end)
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/'))
        .count();
    let start = end - start;
    (start < end && accept(text, start)).then_some(start)
}

/// What stands between the cells of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Octet(u8),
    /// Two blanks or more.
    Blanks,
}

const fn ends_cell(b: u8) -> bool {
    matches!(b, b'\t' | b'|' | b';' | b',' | b'\n' | b'\r')
}

/// The head of a column: a cell that holds words only and is not alone on its line.
#[derive(Clone, Copy)]
struct Head {
    delimiter: Delimiter,
}

impl Head {
    /// Looks [`MAX_HEAD`] octets either way.
    fn of(text: &[u8], place: Place) -> Option<Self> {
        let left = slice(text, place.start.saturating_sub(MAX_HEAD), place.start);
        let right = slice(text, place.end, place.end + MAX_HEAD);
        let near_left = left.iter().rposition(|b| ends_cell(*b));
        let near_right = right.iter().position(|b| ends_cell(*b));
        let delimiter = |b: u8| (!matches!(b, b'\n' | b'\r' | 0)).then_some(b);
        let first = near_left.and_then(|it| delimiter(at(left, it)));
        let last = near_right.and_then(|it| delimiter(at(right, it)));
        let inner_left = slice(left, near_left.map_or(0, |it| it + 1), left.len());
        let inner_right = slice(right, 0, near_right.unwrap_or(right.len()));
        let gap = |side: &[u8]| side.windows(2).any(|it| it == b"  ");
        let delimiter = match (first, last) {
            (Some(a), Some(b)) if a != b => return None,
            (Some(a), _) | (None, Some(a)) => Delimiter::Octet(a),
            (None, None) if gap(inner_left.trim_ascii_start()) || gap(inner_right) => {
                // The line may hold anything else: only the cell counts.
                return Some(Self {
                    delimiter: Delimiter::Blanks,
                });
            }
            (None, None) => return None,
        };
        let worded = [inner_left, inner_right]
            .into_iter()
            .flatten()
            .all(|b| !b.is_ascii_digit() && !matches!(b, b':' | b'='));
        worded.then_some(Self { delimiter })
    }
}

/// A column of a table, found by its head.
struct Column {
    delimiter: Delimiter,
    index: usize,
    head_end: usize,
}

impl Column {
    fn of(text: &[u8], place: Place, head: Head) -> Self {
        let start = line_start(text, place.start, MAX_ROW);
        Self {
            delimiter: head.delimiter,
            index: count(slice(text, start, place.start), head.delimiter),
            head_end: line_end(text, place.end, MAX_ROW),
        }
    }

    /// The first value below the head.
    fn below(&self, text: &[u8], accept: &impl Fn(&[u8], usize) -> bool) -> Option<usize> {
        let mut from = next_line(text, self.head_end);
        for _ in 0..ROWS {
            let end = line_end(text, from, MAX_ROW);
            if end == from && at(text, end) == 0 {
                return None;
            }
            if let Some(cell) = self.cell(slice(text, from, end)) {
                let mut start = from + cell;
                while start < end && matches!(at(text, start), b' ' | b'"' | b'\'' | b'\t') {
                    start += 1;
                }
                if accept(text, start) {
                    return Some(start);
                }
            }
            from = next_line(text, end);
        }
        None
    }

    /// Where this column's cell starts in `row`.
    fn cell(&self, row: &[u8]) -> Option<usize> {
        if self.delimiter == Delimiter::Blanks {
            let indent = row.len() - row.trim_ascii_start().len();
            return blank_cells(slice(row, indent, row.len()))
                .nth(self.index)
                .map(|it| it + indent);
        }
        if self.index == 0 {
            return Some(0);
        }
        let Delimiter::Octet(delimiter) = self.delimiter else {
            return None;
        };
        let mut quoted = false;
        let mut left = self.index;
        for (place, b) in row.iter().enumerate() {
            if *b == b'"' {
                quoted = !quoted;
            } else if *b == delimiter && !quoted {
                left -= 1;
                if left == 0 {
                    return Some(place + 1);
                }
            }
        }
        None
    }
}

/// Where the cells of a row start that two or more blanks part.
fn blank_cells(row: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let parted = move |place: usize| {
        place == 0
            || (at(row, place) != b' '
                && before(row, place) == b' '
                && place >= 2
                && at(row, place - 2) == b' ')
    };
    (0..row.len()).filter(move |place| parted(*place))
}

/// How many delimiters stand in `left`.
fn count(left: &[u8], delimiter: Delimiter) -> usize {
    match delimiter {
        Delimiter::Octet(octet) => left.iter().filter(|b| **b == octet).count(),
        Delimiter::Blanks => {
            let left = left.trim_ascii_start();
            // The cell that starts where `left` ends counts as the last.
            blank_cells(left)
                .count()
                .saturating_sub(usize::from(!left.ends_with(b"  ")))
        }
    }
}
