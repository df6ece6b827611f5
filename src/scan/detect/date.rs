//! Dates as people write them, plausible as dates of birth.
//!
//! Owns: numeric forms (`03/14/1962`, `14.3.62`, `1962-03-14`, `19620314`, `1962年3月14日`) and
//! month names in a few languages. Never: decides between day and month first; either will do.

use super::bytes::{at, digits, is_letter, number, slice};

/// Nobody alive was born before; databases put their "unknown" there.
const FIRST_YEAR: u32 = 1905;
/// A bound for typing errors. Without a clock, next year's dates pass.
const LAST_YEAR: u32 = 2039;

/// A date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    /// Where it ends.
    pub(super) end: usize,
    /// Eight digits without separators: a date only if something says so.
    pub(super) bare: bool,
}

/// The beginnings of month names, lower case: English, German, French, Spanish, Italian,
/// Portuguese, Dutch. Which month does not matter.
const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär",
    "mae", "mai", "okt", "dez", "fév", "fev", "avr", "juin", "juil", "aoû", "aou", "déc", "ene",
    "abr", "ago", "dic", "gen", "mag", "giu", "lug", "set", "ott", "out", "mrt", "mei", "jän",
];
/// Longest month name, in octets ("septiembre").
const MAX_MONTH: usize = 10;

/// The date at `from`.
pub(super) fn date(text: &[u8], from: usize) -> Option<Date> {
    let found = match digits(text, from, 9) {
        0 => month_first(text, from),
        1 | 2 => numeric(text, from).or_else(|| day_first(text, from)),
        4 => year_first(text, from),
        8 => compact(text, from),
        _ => None,
    }?;
    (!at(text, found.end).is_ascii_digit()).then_some(found)
}

const fn written(end: usize) -> Date {
    Date { end, bare: false }
}

fn day_and_month(one: u32, two: u32) -> bool {
    (1..=31).contains(&one) && (1..=31).contains(&two) && (one <= 12 || two <= 12)
}

/// One or two digits at `from`: their value and end.
fn short(text: &[u8], from: usize) -> Option<(u32, usize)> {
    let count = digits(text, from, 3);
    (1..=2)
        .contains(&count)
        .then(|| (number(slice(text, from, from + count)), from + count))
}

/// A year of four digits, or of two.
fn year(text: &[u8], from: usize) -> Option<usize> {
    let count = digits(text, from, 5);
    let fits = match count {
        4 => (FIRST_YEAR..=LAST_YEAR).contains(&number(slice(text, from, from + 4))),
        2 => true,
        _ => false,
    };
    fits.then_some(from + count)
}

/// Past at most two blanks.
fn blanks(text: &[u8], from: usize) -> usize {
    from + slice(text, from, from + 2)
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count()
}

/// `3/14/1962`, `14. 3. 62`, `03-14-1962`.
fn numeric(text: &[u8], from: usize) -> Option<Date> {
    let (one, end) = short(text, from)?;
    let separator = at(text, end);
    if !matches!(separator, b'/' | b'.' | b'-') {
        return None;
    }
    let (two, end) = short(text, blanks(text, end + 1))?;
    if at(text, end) != separator || !day_and_month(one, two) {
        return None;
    }
    year(text, blanks(text, end + 1)).map(written)
}

/// `1962-03-14`, `1962/3/14`, `1962年3月14日`.
fn year_first(text: &[u8], from: usize) -> Option<Date> {
    let mut end = year(text, from)?;
    let mut parts = [0; 2];
    let marks = if slice(text, end, end + 3) == "年".as_bytes() {
        ["年", "月"]
    } else {
        match at(text, end) {
            b'-' => ["-"; 2],
            b'/' => ["/"; 2],
            b'.' => ["."; 2],
            _ => return None,
        }
    };
    for (part, mark) in parts.iter_mut().zip(marks) {
        if slice(text, end, end + mark.len()) != mark.as_bytes() {
            return None;
        }
        (*part, end) = short(text, end + mark.len())?;
    }
    let [month, day] = parts;
    day_and_month(month, day).then(|| written(end))
}

/// `19620314`.
fn compact(text: &[u8], from: usize) -> Option<Date> {
    year(text.get(..from + 4)?, from)?;
    let month = number(slice(text, from + 4, from + 6));
    let day = number(slice(text, from + 6, from + 8));
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Date {
        end: from + 8,
        bare: true,
    })
}

/// The end of the month's name at `from`, its full stop included.
fn month(text: &[u8], from: usize) -> Option<usize> {
    let word = slice(text, from, from + MAX_MONTH + 1);
    let length = word.iter().take_while(|b| is_letter(**b)).count();
    let name = std::str::from_utf8(slice(text, from, from + length)).ok()?;
    let named = length <= MAX_MONTH
        && MONTHS.iter().any(|month| {
            let mut letters = name.chars().flat_map(char::to_lowercase);
            month.chars().all(|c| letters.next() == Some(c))
        });
    let end = from + length;
    named.then(|| end + usize::from(at(text, end) == b'.'))
}

/// Past blanks, a comma or hyphen, and the small words between the parts of a date.
fn joint(text: &[u8], from: usize) -> usize {
    let mut end = from;
    for small in [&b"th"[..], b"st", b"nd", b"rd"] {
        if slice(text, end, end + 2).eq_ignore_ascii_case(small) {
            end += 2;
            break;
        }
    }
    if matches!(at(text, end), b'.' | b',' | b'-' | b'/') {
        end += 1;
    }
    end = blanks(text, end);
    for small in [&b"of "[..], b"de ", b"del ", b"van "] {
        if slice(text, end, end + small.len()).eq_ignore_ascii_case(small) {
            return end + small.len();
        }
    }
    end
}

/// `14 March 1962`, `14. März 1962`, `14 de marzo de 1962`, `14-Mar-62`.
fn day_first(text: &[u8], from: usize) -> Option<Date> {
    let (day, end) = short(text, from)?;
    if !(1..=31).contains(&day) {
        return None;
    }
    let end = month(text, joint(text, end))?;
    year(text, joint(text, end)).map(written)
}

/// `March 14, 1962`.
fn month_first(text: &[u8], from: usize) -> Option<Date> {
    let end = month(text, from)?;
    let (day, end) = short(text, joint(text, end))?;
    if !(1..=31).contains(&day) {
        return None;
    }
    year(text, joint(text, end)).map(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_many_hands_are_read_to_their_end() {
        for text in [
            "03/14/1962",
            "3/14/62",
            "14.03.1962",
            "14. 3. 1962",
            "14-03-1962",
            "1962-03-14",
            "1962/3/4",
            "1962年3月14日",
            "19620314",
            "14 March 1962",
            "14th of March, 1962",
            "14. März 1962",
            "14 de marzo de 1962",
            "14-Mar-62",
            "14MAR1962",
            "March 14, 1962",
            "Mar. 14th 1962",
            "1er".trim_start_matches("1er"),
            "14 août 1962",
            "1. Jänner 2001",
        ] {
            let end = date(text.as_bytes(), 0).map(|it| it.end);
            let expected = match text {
                "" => None,
                _ => Some(text.trim_end_matches('日').len()),
            };
            assert_eq!(end, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_of_birth_is_not() {
        for text in [
            "14.03.1879",
            "01/01/1900",
            "13/13/1962",
            "00/10/1962",
            "32 March 1962",
            "14 Marble 62x".trim_end_matches(" 62x"),
            "1.2.3",
            "10.0.0.1",
            "1962-13-41",
            "19621341",
            "2041-01-01",
            "03/14/19621",
            "03/14-1962",
            "1962年",
            "March 1962",
            "é",
        ] {
            assert_eq!(date(text.as_bytes(), 0), None, "{text}");
        }
    }
}
