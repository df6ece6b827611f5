//! Names, and the words beside a number that say it is something else.
//!
//! Owns: a modest idea of what a name looks like. Every look is bounded.

use super::bytes::{at, before, closes, is_letter, slice};
use super::date::date;

/// How far behind its label a name may start.
const NAME_GAP: usize = 12;
/// Longest word of a name, in octets.
const MAX_WORD: usize = 30;
/// Most words of a name.
const MAX_WORDS: usize = 5;

/// Words before a number that make it something else, lower case.
const OTHERS: &[&str] = &[
    "tel",
    "tel.",
    "phone",
    "fax",
    "mobile",
    "cell",
    "order",
    "invoice",
    "tracking",
    "ticket",
    "part",
    "item",
    "sku",
    "serial",
    "model",
    "catalog",
    "catalogue",
    "isbn",
    "imei",
    "iccid",
    "sim",
    "key",
    "licence",
    "license",
    "voucher",
    "coupon",
    "ean",
    "upc",
    "gtin",
    "lot",
    "po",
    "p/n",
    "s/n",
    "iban",
    "rma",
    "asset",
    "batch",
    "dial",
    "drawing",
    "shipment",
    "parcel",
    "waybill",
    "konto",
    "telefon",
    "bestellung",
    "rechnung",
    "commande",
    "pedido",
    "activation",
    "product",
    "version",
    "barcode",
    "reservation",
    "booking",
    "confirmation",
    "permit",
];

/// Whether the words before the number at `start`, on its line, say that it is something else.
pub(super) fn is_spoken_for(text: &[u8], start: usize) -> bool {
    let from = start.saturating_sub(28);
    let before = slice(text, from, start);
    let line = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |it| it + 1);
    let clause = slice(before, line, before.len());
    clause
        .rsplit(|b| !(is_letter(*b) || matches!(b, b'/' | b'.')))
        .filter(|word| !word.is_empty())
        .take(3)
        .any(|word| {
            OTHERS
                .iter()
                .any(|it| word.eq_ignore_ascii_case(it.as_bytes()))
        })
}

/// A capitalised word at `from`: its end.
fn word(text: &[u8], from: usize) -> Option<usize> {
    let first = at(text, from);
    if !(first.is_ascii_uppercase() || first >= 0x80) {
        return None;
    }
    let rest = slice(text, from, from + MAX_WORD);
    let length = rest
        .iter()
        .take_while(|b| is_letter(**b) || matches!(b, b'\'' | b'-'))
        .count();
    let end = from + length;
    // An initial keeps its full stop.
    Some(end + usize::from(at(text, end) == b'.' && length <= 3))
}

/// The end of the name behind a label that ends at `from`: two capitalised words or more, or one
/// in a script that has no capitals.
pub(super) fn name(text: &[u8], from: usize) -> Option<usize> {
    let gap = slice(text, from, from + NAME_GAP);
    let skipped = gap
        .iter()
        .position(|b| is_letter(*b))
        .filter(|it| slice(gap, 0, *it).iter().all(|b| !b.is_ascii_digit()))?;
    let mut end = word(text, from + skipped)?;
    let mut words = 1;
    if at(text, from + skipped) >= 0xe3 && end - (from + skipped) >= 6 {
        words += 1;
    }
    while words < MAX_WORDS {
        let comma = usize::from(at(text, end) == b',');
        let next = end + comma + 1;
        let Some(after) = word(text, next).filter(|_| at(text, next - 1) == b' ') else {
            break;
        };
        end = after;
        words += 1;
    }
    (words >= 2).then_some(end)
}

/// Where the date of birth behind a name that ends at `end` starts: `(03/14/1962)`,
/// `, * 14.3.1962`, `, born March 14, 1962`.
pub(super) fn birth_date(text: &[u8], end: usize) -> Option<usize> {
    const MARKS: [&[u8]; 5] = [b"born ", b"geb. ", b"geb.", b"b. ", b"*"];
    let mut from = end;
    let mut marked = false;
    while from - end < 4 && matches!(at(text, from), b' ' | b'(' | b',' | b'[') {
        marked |= at(text, from) != b' ';
        from += 1;
    }
    for mark in MARKS {
        if slice(text, from, from + mark.len()).eq_ignore_ascii_case(mark) {
            from += mark.len();
            from += usize::from(at(text, from) == b' ');
            marked = true;
            break;
        }
    }
    let found = date(text, from).filter(|it| marked && !it.bare && closes(text, it.end));
    found.map(|_| from)
}

/// Whether a capitalised word near `start` begins with `initial` (upper case), as the second
/// letter of a DEA number asks.
pub(super) fn initial(text: &[u8], start: usize, initial: u8) -> bool {
    let from = start.saturating_sub(120);
    (from..start).any(|place| {
        at(text, place) == initial
            && !is_letter(before(text, place))
            && at(text, place + 1).is_ascii_lowercase()
            && at(text, place + 2).is_ascii_lowercase()
    })
}
