//! The numbers themselves: what each looks like, its ranges and its check digit. No context.
//!
//! Every reader takes the text and the place where the number would start, and says where it
//! ends. It looks at a few dozen octets at most, and not at what stands before: a label may.

use super::bytes::{at, closes, digits, grouped, number, separator, slice};

/// Social Security numbers printed by advertisers: never issued to a person, or void.
const FAMOUS_SSN: [&[u8; 9]; 3] = [b"078051120", b"219099999", b"457555462"];

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Where it ends.
    pub(super) end: usize,
    /// The separators between its groups; 0 where it has none.
    pub(super) separator: u8,
    /// A line break stands within it.
    pub(super) folded: bool,
}

impl Seen {
    const fn bare(end: usize) -> Self {
        Self {
            end,
            separator: 0,
            folded: false,
        }
    }
}

/// A US Social Security number at `from`: 3-2-4 or nine digits. Areas 001 to 899 but 666 (since
/// 2011 every one of them is issued), no zero group or serial.
pub(super) fn ssn(text: &[u8], from: usize) -> Option<Seen> {
    let found = grouped::<9>(text, from, &[3, 2, 4])?;
    let all = &found.digits;
    let area = number(slice(all, 0, 3));
    let valid = (1..=899).contains(&area)
        && area != 666
        && number(slice(all, 3, 5)) != 0
        && number(slice(all, 5, 9)) != 0
        && !FAMOUS_SSN.contains(&all)
        && !is_one_digit(all);
    (valid && closes(text, found.end)).then_some(Seen {
        end: found.end,
        separator: found.kind,
        folded: found.folds > 0,
    })
}

/// Whether the digits are all the same: a placeholder.
pub(super) fn is_one_digit(digits: &[u8]) -> bool {
    digits
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b))
}

/// The sum of ISO/IEC 7812-1, annex B ("Luhn"), of digits.
fn luhn_sum(digits: &[u8]) -> u32 {
    digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, b)| {
            let digit = u32::from(b.wrapping_sub(b'0') % 10);
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, twice) if twice > 9 => twice - 9,
                (_, twice) => twice,
            }
        })
        .sum()
}

/// An NPI at `from`: ten digits starting with 1 or 2, the check digit over them with the card
/// issuer prefix 80840 before (which adds 24), or written with that prefix.
pub(super) fn npi(text: &[u8], from: usize) -> Option<Seen> {
    let count = digits(text, from, 16);
    let start = match count {
        10 => from,
        15 if slice(text, from, from + 5) == b"80840" => from + 5,
        _ => return None,
    };
    let valid = matches!(at(text, start), b'1' | b'2')
        && (luhn_sum(slice(text, start, start + 10)) + 24).is_multiple_of(10);
    let end = from + count;
    (valid && closes(text, end)).then_some(Seen::bare(end))
}

/// A DEA registration number at `from`: the registrant's kind, the first letter of the name (9
/// for a business), six digits and a check digit. Also says that second letter.
pub(super) fn dea(text: &[u8], from: usize) -> Option<(Seen, u8)> {
    let kind = at(text, from).to_ascii_uppercase();
    let name = at(text, from + 1).to_ascii_uppercase();
    let dash = usize::from(at(text, from + 2) == b'-');
    let start = from + 2 + dash;
    // Practitioners, mid-level practitioners, distributors; never I, N, O, Q, V to Z but X.
    let known = matches!(kind, b'A'..=b'H' | b'J'..=b'M' | b'P' | b'R'..=b'U' | b'X');
    if !known || !(name.is_ascii_uppercase() || name == b'9') || digits(text, start, 8) != 7 {
        return None;
    }
    let digit = |place: usize| u32::from(at(text, start + place).wrapping_sub(b'0'));
    let sum = digit(0) + digit(2) + digit(4) + 2 * (digit(1) + digit(3) + digit(5));
    let end = start + 7;
    let valid = sum % 10 == digit(6) && !is_one_digit(slice(text, start, end));
    (valid && closes(text, end)).then_some((Seen::bare(end), name))
}

/// A Medicare Beneficiary Identifier at `from` (CMS format: 4-3-4, letters without S, L, O, I, B
/// and Z), with or without its dashes.
pub(super) fn mbi(text: &[u8], from: usize) -> Option<Seen> {
    const FORM: &[u8; 11] = b"1AX9AX9AA99";
    let mut place = from;
    let mut dashes = 0;
    for (index, form) in FORM.iter().enumerate() {
        if matches!(index, 4 | 7) && at(text, place) == b'-' {
            dashes += 1;
            place += 1;
        }
        let b = at(text, place);
        let letter =
            b.is_ascii_uppercase() && !matches!(b, b'S' | b'L' | b'O' | b'I' | b'B' | b'Z');
        let fits = match form {
            b'1' => matches!(b, b'1'..=b'9'),
            b'9' => b.is_ascii_digit(),
            b'A' => letter,
            _ => letter || b.is_ascii_digit(),
        };
        if !fits {
            return None;
        }
        place += 1;
    }
    let fits = dashes != 1 && closes(text, place);
    fits.then_some(Seen {
        end: place,
        separator: if dashes == 2 { b'-' } else { 0 },
        folded: false,
    })
}

/// A payment card number at `from`: an issuer's range and length and a right check digit, bare or
/// in its printed groups.
pub(super) fn card(text: &[u8], from: usize) -> Option<Seen> {
    let run = digits(text, from, 20);
    let found = match run {
        13..=19 => {
            let all = slice(text, from, from + run);
            is_card(all).then_some(Seen::bare(from + run))
        }
        // Four or six digits more, or it is not worth the reading.
        4 if separator(text, from + 4)
            .is_some_and(|it| matches!(digits(text, it.end, 7), 4 | 6)) =>
        {
            [
                grouped_card::<19>(text, from, &[4, 4, 4, 4, 3]),
                grouped_card::<16>(text, from, &[4, 4, 4, 4]),
                grouped_card::<15>(text, from, &[4, 6, 5]),
                grouped_card::<14>(text, from, &[4, 6, 4]),
            ]
            .into_iter()
            .flatten()
            .next()
        }
        _ => None,
    }?;
    (closes(text, found.end) && !goes_on(text, from, found)).then_some(found)
}

fn grouped_card<const N: usize>(text: &[u8], from: usize, sizes: &[usize]) -> Option<Seen> {
    let found = grouped::<N>(text, from, sizes)?;
    // A number may be broken once; four lines of four digits are a list of four numbers.
    (matches!(found.kind, b' ' | b'-') && found.folds <= 1 && is_card(&found.digits)).then_some(
        Seen {
            end: found.end,
            separator: found.kind,
            folded: found.folds > 0,
        },
    )
}

/// Whether more groups of the same kind stand before or after: an IBAN, a serial number, a table.
/// Where the number itself runs over two lines, what stands on other lines counts.
fn goes_on(text: &[u8], from: usize, found: Seen) -> bool {
    if found.separator != b' ' {
        return false;
    }
    let joins = |b: &u8| *b == b' ' || (found.folded && matches!(b, b'\r' | b'\n' | b'\t'));
    let left = slice(text, from.saturating_sub(4), from);
    let right = slice(text, found.end, found.end + 4);
    let before = left.iter().rev().take_while(|b| joins(b)).count();
    let after = right.iter().take_while(|b| joins(b)).count();
    // Hexadecimal groups count: their last figure may be a letter.
    let joined = before > 0
        && slice(text, from.saturating_sub(before + 4), from - before)
            .rsplit(|b| !b.is_ascii_alphanumeric())
            .next()
            .is_some_and(|group| group.iter().any(u8::is_ascii_digit));
    // An expiry (`12/29`) or a security code (`123`) may follow.
    joined || (after > 0 && digits(text, found.end + after, 5) >= 4)
}

/// Issuer ranges and lengths, and the check digit.
fn is_card(all: &[u8]) -> bool {
    let length = all.len();
    let prefix = number(slice(all, 0, 6));
    let fits = match prefix / 10_000 {
        34 | 37 => length == 15,
        36 | 38 | 39 => length == 14,
        51..=55 => length == 16,
        40..=49 => matches!(length, 13 | 16 | 19),
        // Discover, UnionPay, RuPay.
        62 | 65 => (16..=19).contains(&length),
        81 | 82 => length == 16,
        _ => match prefix / 100 {
            // Mir, Mastercard's second range.
            2200..=2204 | 2221..=2720 => length == 16,
            3528..=3589 => (16..=19).contains(&length),
            3000..=3059 | 3095 => length == 14,
            // Discover, Maestro.
            6011 | 6440..=6499 => (16..=19).contains(&length),
            5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => {
                matches!(length, 13 | 15 | 16 | 18 | 19)
            }
            _ => false,
        },
    };
    fits && luhn_sum(all).is_multiple_of(10)
}

/// The numbers that payment processors print in their manuals; no card has them.
const TEST_CARDS: &[&[u8]] = &[
    b"4111111111111111",
    b"4242424242424242",
    b"4012888888881881",
    b"4000056655665556",
    b"4000000000000002",
    b"4000000000009995",
    b"5555555555554444",
    b"5105105105105100",
    b"2223003122003222",
    b"5200828282828210",
    b"378282246310005",
    b"371449635398431",
    b"378734493671000",
    b"6011111111111117",
    b"6011000990139424",
    b"30569309025904",
    b"38520000023237",
    b"3530111333300000",
    b"3566002020360505",
];

/// Whether the card number in `written` is one of those test numbers.
pub(super) fn is_test_card(written: &[u8]) -> bool {
    let mut plain = [0; 19];
    let mut length = 0;
    for b in written.iter().filter(|b| b.is_ascii_digit()) {
        let Some(slot) = plain.get_mut(length) else {
            return false;
        };
        *slot = *b;
        length += 1;
    }
    TEST_CARDS.contains(&slice(&plain, 0, length))
}

/// A medical record, patient or member number at `from`: 4 to 14 letters and digits with at least
/// four digits, perhaps in groups; not a year, not a date, not all the same digit.
pub(super) fn record_number(text: &[u8], from: usize) -> Option<Seen> {
    const LONGEST: usize = 20;
    let mut end = from;
    let (mut letters, mut figures) = (0, 0);
    for b in slice(text, from, from + LONGEST) {
        match b {
            b'0'..=b'9' => figures += 1,
            b'A'..=b'Z' | b'a'..=b'z' => letters += 1,
            b'-' | b'_' | b'/' | b'.' => {}
            // One blank between two groups of digits.
            b' ' if letters == 0
                && at(text, end.wrapping_sub(1)).is_ascii_digit()
                && at(text, end + 1).is_ascii_digit() => {}
            _ => break,
        }
        end += 1;
    }
    while end > from && !at(text, end - 1).is_ascii_alphanumeric() {
        end -= 1;
    }
    let written = slice(text, from, end);
    let mut plain = written.iter().filter(|b| b.is_ascii_digit());
    let first = plain.next();
    let varied = plain.any(|b| Some(b) != first);
    let years = is_year(slice(written, 0, 4)) && is_year(slice(written, 5, written.len()));
    let fits = figures >= 4
        && letters <= 6
        && (letters == 0 || figures >= letters)
        && letters + figures <= 14
        && varied
        && !(letters == 0 && is_year(written))
        && !years
        && !at(text, end).is_ascii_alphanumeric()
        && at(text, from).is_ascii_alphanumeric()
        && super::date::date(text, from).is_none_or(|date| date.bare);
    fits.then_some(Seen::bare(end))
}

/// Whether the octets are a year of the last or this century.
fn is_year(written: &[u8]) -> bool {
    matches!(written, [b'1', b'9', a, b] | [b'2', b'0', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}
