//! ICD-10-CM codes: their form, and which categories there are.
//!
//! Owns: the shipped table of blocks (the classification is a work of the US government) and a
//! list the operator loads instead. A code alone says nothing of anybody; who is near decides.

use std::collections::BTreeSet;

use super::bytes::{at, closes, is_word, opens, slice};
use super::source::{DetectorProblem, MAX_CODES};

/// Categories by letter: the ranges of their two digits.
const BLOCKS: &[(u8, &[(u8, u8)])] = &[
    (b'A', &[(0, 9), (15, 28), (30, 99)]),
    (b'B', &[(0, 10), (15, 20), (25, 83), (85, 97), (99, 99)]),
    (b'C', &[(0, 26), (30, 34), (37, 41), (43, 58), (60, 96)]),
    (b'D', &[(0, 7), (9, 53), (55, 78), (80, 89)]),
    (b'E', &[(0, 13), (15, 16), (20, 36), (40, 46), (50, 89)]),
    (b'F', &[(1, 99)]),
    (
        b'G',
        &[
            (0, 14),
            (20, 26),
            (30, 32),
            (35, 37),
            (40, 47),
            (50, 65),
            (70, 73),
            (80, 83),
            (89, 99),
        ],
    ),
    (
        b'H',
        &[
            (0, 5),
            (10, 11),
            (15, 22),
            (25, 28),
            (30, 36),
            (40, 44),
            (46, 57),
            (59, 62),
            (65, 75),
            (80, 83),
            (90, 95),
        ],
    ),
    (
        b'I',
        &[(0, 2), (5, 16), (20, 28), (30, 52), (60, 89), (95, 99)],
    ),
    (
        b'J',
        &[
            (0, 6),
            (9, 18),
            (20, 22),
            (30, 47),
            (60, 70),
            (80, 86),
            (90, 99),
        ],
    ),
    (
        b'K',
        &[
            (0, 14),
            (20, 31),
            (35, 38),
            (40, 46),
            (50, 52),
            (55, 68),
            (70, 77),
            (80, 87),
            (90, 95),
        ],
    ),
    (
        b'L',
        &[
            (0, 8),
            (10, 14),
            (20, 30),
            (40, 45),
            (49, 60),
            (62, 76),
            (80, 99),
        ],
    ),
    (
        b'M',
        &[
            (0, 2),
            (4, 27),
            (30, 36),
            (40, 43),
            (45, 54),
            (60, 63),
            (65, 67),
            (70, 72),
            (75, 77),
            (79, 97),
            (99, 99),
        ],
    ),
    (
        b'N',
        &[
            (0, 8),
            (10, 23),
            (25, 37),
            (39, 53),
            (60, 65),
            (70, 77),
            (80, 99),
        ],
    ),
    (
        b'O',
        &[
            (0, 16),
            (20, 26),
            (28, 36),
            (40, 48),
            (60, 77),
            (80, 82),
            (85, 92),
            (94, 99),
        ],
    ),
    (
        b'P',
        &[
            (0, 5),
            (7, 15),
            (19, 29),
            (35, 39),
            (50, 61),
            (70, 72),
            (74, 78),
            (80, 84),
            (90, 96),
        ],
    ),
    (
        b'Q',
        &[
            (0, 7),
            (10, 18),
            (20, 28),
            (30, 45),
            (50, 56),
            (60, 87),
            (89, 93),
            (95, 99),
        ],
    ),
    (
        b'R',
        &[
            (0, 7),
            (9, 23),
            (25, 27),
            (29, 68),
            (70, 94),
            (97, 97),
            (99, 99),
        ],
    ),
    (b'S', &[(0, 99)]),
    (b'T', &[(7, 7), (14, 28), (30, 34), (36, 65), (66, 88)]),
    (b'U', &[(7, 7), (9, 9)]),
    (b'V', &[(0, 99)]),
    (
        b'W',
        &[(0, 40), (42, 42), (45, 46), (49, 74), (85, 94), (99, 99)],
    ),
    (
        b'X',
        &[
            (0, 6),
            (8, 8),
            (10, 19),
            (30, 39),
            (50, 50),
            (52, 52),
            (58, 58),
            (71, 83),
            (92, 99),
        ],
    ),
    (
        b'Y',
        &[(0, 9), (21, 33), (35, 39), (62, 84), (90, 95), (99, 99)],
    ),
    (
        b'Z',
        &[
            (0, 9),
            (11, 20),
            (21, 23),
            (28, 34),
            (36, 49),
            (51, 53),
            (55, 99),
        ],
    ),
];

/// Categories whose third character is a letter.
const LETTERED: &[&[u8; 3]] = &[
    b"C4A", b"C7A", b"C7B", b"D3A", b"I1A", b"I5A", b"J4A", b"M1A", b"O9A", b"Z3A", b"Z1A",
];

/// Longest code without its dot.
const LONGEST: usize = 7;

/// Which codes there are.
#[derive(Debug)]
pub(super) enum Codes {
    /// The shipped categories with any further characters.
    Categories,
    /// Just these, without dots, padded with zeros.
    List(BTreeSet<[u8; LONGEST]>),
}

impl Codes {
    /// From the operator's list, or the shipped table.
    pub(super) fn new(list: Option<&[String]>) -> Result<Self, DetectorProblem> {
        let Some(list) = list else {
            return Ok(Self::Categories);
        };
        let count = list.len();
        if !(1..=MAX_CODES).contains(&count) {
            return Err(DetectorProblem::CodeCount { count });
        }
        (1..)
            .zip(list)
            .map(|(position, code)| {
                let text = code.trim().to_ascii_uppercase();
                let read = read(text.as_bytes(), 0).filter(|it| it.end == text.len());
                read.map(|it| it.plain)
                    .ok_or(DetectorProblem::BadCode { position })
            })
            .collect::<Result<_, _>>()
            .map(Self::List)
    }

    /// The code at `from`, if there is such a one.
    pub(super) fn code(&self, text: &[u8], from: usize) -> Option<Code> {
        if !opens(text, from) {
            return None;
        }
        let code = read(text, from)?;
        let known = match self {
            Self::Categories => is_category(&code.plain),
            Self::List(list) => list.contains(&code.plain),
        };
        (known && closes(text, code.end)).then_some(code)
    }
}

/// A code as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code {
    pub(super) end: usize,
    /// It has its dot: nothing else looks quite like it.
    pub(super) dotted: bool,
    plain: [u8; LONGEST],
}

/// Letter, digit, digit or A or B; then, behind a dot or not, up to four more.
fn read(text: &[u8], from: usize) -> Option<Code> {
    let mut plain = [0; LONGEST];
    let [letter, digit, third] = *slice(text, from, from + 3) else {
        return None;
    };
    let category = letter.is_ascii_uppercase()
        && digit.is_ascii_digit()
        && (third.is_ascii_digit() || matches!(third, b'A' | b'B'));
    if !category {
        return None;
    }
    plain.get_mut(..3)?.copy_from_slice(&[letter, digit, third]);
    let mut end = from + 3;
    let dotted = at(text, end) == b'.' && is_more(at(text, end + 1));
    end += usize::from(dotted);
    let more = slice(text, end, end + 4);
    let count = more.iter().take_while(|b| is_more(**b)).count();
    let more = slice(more, 0, count);
    let spelt = count <= 1 || more.iter().any(u8::is_ascii_digit);
    plain.get_mut(3..3 + count)?.copy_from_slice(more);
    end += count;
    (spelt && !is_word(at(text, end))).then_some(Code { end, dotted, plain })
}

const fn is_more(b: u8) -> bool {
    b.is_ascii_digit() || b.is_ascii_uppercase()
}

fn is_category(plain: &[u8; LONGEST]) -> bool {
    let [letter, tens, ones, ..] = *plain;
    if !ones.is_ascii_digit() {
        return LETTERED
            .iter()
            .any(|it| it.as_slice() == slice(plain, 0, 3));
    }
    let category = (tens - b'0') * 10 + (ones - b'0');
    BLOCKS
        .iter()
        .filter(|(block, _)| *block == letter)
        .flat_map(|(_, ranges)| ranges.iter())
        .any(|(first, last)| (*first..=*last).contains(&category))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(codes: &Codes, text: &str) -> Option<(usize, bool)> {
        codes.code(text.as_bytes(), 0).map(|it| (it.end, it.dotted))
    }

    #[test]
    fn codes_are_read_to_their_end() {
        let codes = Codes::new(None).unwrap();
        for (text, expected) in [
            ("E11.9", Some((5, true))),
            ("E11.9.", Some((5, true))),
            ("I10", Some((3, false))),
            ("S72.001A", Some((8, true))),
            ("C7A.00", Some((6, true))),
            ("E119", Some((4, false))),
            ("T88.7XXA", Some((8, true))),
            ("B12.3", None),
            ("C7C.1", None),
            ("U08.1", None),
            ("e11.9", None),
            ("E11.9x", None),
            ("E11.90000", None),
            ("B20.PDF", None),
            ("E1", None),
            ("E11.9-a", None),
        ] {
            assert_eq!(code(&codes, text), expected, "{text}");
        }
    }

    #[test]
    fn a_loaded_list_is_all_there_is() {
        let list = ["E11.9", " i10 ", "S72001A"].map(str::to_owned);
        let codes = Codes::new(Some(&list)).unwrap();
        for (text, known) in [
            ("E11.9", true),
            ("E119", true),
            ("I10", true),
            ("S72.001A", true),
            ("E11.8", false),
            ("E11", false),
        ] {
            assert_eq!(code(&codes, text).is_some(), known, "{text}");
        }
        for (list, problem) in [
            (vec![], DetectorProblem::CodeCount { count: 0 }),
            (
                vec!["I10".to_owned(), "x".to_owned()],
                DetectorProblem::BadCode { position: 2 },
            ),
            (
                vec!["I10, I11".to_owned()],
                DetectorProblem::BadCode { position: 1 },
            ),
        ] {
            assert_eq!(Codes::new(Some(&list)).unwrap_err(), problem);
        }
    }
}
