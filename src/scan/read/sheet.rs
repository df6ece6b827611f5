//! Worksheets (ECMA-376 part 1 §18): the cells of a row on one line with tabs between them, so
//! that a value stands in the column of its heading; dates and masked numbers as they are shown.

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};

use super::xml::{attribute, lenient, local, reference};

/// Widest gap between two cells that is kept.
const MAX_GAP: usize = 256;
/// Most cell formats that are known.
const MAX_FORMATS: usize = 65_536;

/// How a number is shown, as far as its reader would see something else than the number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Shown {
    #[default]
    Number,
    Date,
    /// Digits in a mask, such as `000-00-0000`.
    Mask(String),
}

/// The formats of a workbook's cells.
#[derive(Debug, Default)]
pub(super) struct Styles {
    cells: Vec<Shown>,
    /// Days count from 1904 (§18.17.4.1).
    from_1904: bool,
}

impl Styles {
    /// Reads the style sheet.
    pub(super) fn read(&mut self, xml: &str) {
        let mut formats: HashMap<String, Shown> = HashMap::new();
        let mut reader = lenient(xml);
        let mut in_cells = false;
        loop {
            match reader.read_event() {
                Ok(Event::Start(start) | Event::Empty(start)) => {
                    match local(start.name().as_ref()) {
                        "numFmt" if formats.len() < MAX_FORMATS => {
                            let id = attribute(&start, "numFmtId").unwrap_or_default();
                            let code = attribute(&start, "formatCode").unwrap_or_default();
                            formats.insert(id, shown_by_code(&code));
                        }
                        "cellXfs" => in_cells = true,
                        "cellStyleXfs" | "cellStyles" | "dxfs" => in_cells = false,
                        "xf" if in_cells && self.cells.len() < MAX_FORMATS => {
                            let id = attribute(&start, "numFmtId").unwrap_or_default();
                            let shown = formats.get(&id).cloned();
                            self.cells.push(shown.unwrap_or_else(|| shown_by_id(&id)));
                        }
                        _ => {}
                    }
                }
                Ok(Event::Eof) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Reads from the workbook how days are counted.
    pub(super) fn read_workbook(&mut self, xml: &str) {
        self.from_1904 = xml.contains("date1904=\"1\"") || xml.contains("date1904=\"true\"");
    }

    fn show(&self, format: Option<usize>, number: &str) -> String {
        let shown = format.and_then(|at| self.cells.get(at));
        match shown {
            Some(Shown::Date) => date(number, self.from_1904).unwrap_or_else(|| number.to_owned()),
            Some(Shown::Mask(mask)) => masked(number, mask).unwrap_or_else(|| number.to_owned()),
            Some(Shown::Number) | None => plain(number),
        }
    }
}

/// The built-in formats of dates (§18.8.30).
fn shown_by_id(id: &str) -> Shown {
    match id.parse::<u32>() {
        Ok(14..=17 | 22 | 27..=31 | 36 | 50..=58) => Shown::Date,
        _ => Shown::Number,
    }
}

fn shown_by_code(code: &str) -> Shown {
    let first = code.split(';').next().unwrap_or_default();
    let bare: String = first.chars().filter(|c| !matches!(c, '\\' | '"')).collect();
    if bare.contains('-') && bare.chars().all(|c| matches!(c, '0' | '-' | ' ')) {
        return Shown::Mask(bare);
    }
    // Quoted text and [Red] or [$-409] are no format letters.
    let (mut quoted, mut bracket, mut letters) = (false, false, String::new());
    for character in first.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' if !quoted => bracket = true,
            ']' if !quoted => bracket = false,
            other if !quoted && !bracket => letters.push(other.to_ascii_lowercase()),
            _ => {}
        }
    }
    if letters.contains('y') || (letters.contains('d') && letters.contains('m')) {
        Shown::Date
    } else {
        Shown::Number
    }
}

/// A day's number as a date. Days before 1900-03-01 count one more, for a leap day that never was.
fn date(number: &str, from_1904: bool) -> Option<String> {
    let days: f64 = number.parse().ok()?;
    if !(1.0..2_958_466.0).contains(&days) {
        return None;
    }
    let whole: i64 = number.split('.').next()?.parse().ok()?;
    let days = match (from_1904, whole) {
        (true, _) => whole + 1462,
        (false, ..60) => whole + 1,
        (false, _) => whole,
    };
    let epoch = time::Date::from_calendar_date(1899, time::Month::December, 30).ok()?;
    let date = epoch.checked_add(time::Duration::days(days))?;
    Some(format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    ))
}

/// A whole number in a mask: 123456789 in `000-00-0000` is 123-45-6789.
fn masked(number: &str, mask: &str) -> Option<String> {
    let digits = plain(number);
    let places = mask.chars().filter(|c| *c == '0').count();
    if digits.len() > places || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut digits = format!("{digits:0>places$}").into_bytes().into_iter();
    mask.chars()
        .map(|c| {
            if c == '0' {
                digits.next().map(char::from)
            } else {
                Some(c)
            }
        })
        .collect()
}

/// A number without its exponent: `1.23456789E8` is 123456789.
fn plain(number: &str) -> String {
    let expanded = number
        .split_once(['E', 'e'])
        .and_then(|(digits, exponent)| {
            let exponent: usize = exponent.trim_start_matches('+').parse().ok()?;
            let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
            (exponent <= 20 && part.len() <= exponent).then(|| format!("{whole}{part:0<exponent$}"))
        });
    expanded.unwrap_or_else(|| number.to_owned())
}

/// The shared strings; whether all were read.
pub(super) fn strings(xml: &str) -> (Vec<String>, bool) {
    let mut found = Vec::new();
    let mut current = String::new();
    let (mut in_text, mut in_reading) = (false, false);
    let mut reader = lenient(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => match local(start.name().as_ref()) {
                "t" => in_text = true,
                "rPh" => in_reading = true, // how it is pronounced
                _ => {}
            },
            Ok(Event::Empty(start)) if local(start.name().as_ref()) == "si" => {
                found.push(String::new());
            }
            Ok(Event::End(end)) => match local(end.name().as_ref()) {
                "t" => in_text = false,
                "rPh" => in_reading = false,
                "si" => found.push(std::mem::take(&mut current)),
                _ => {}
            },
            Ok(Event::Eof) => return (found, true),
            Ok(event) => {
                if in_text && !in_reading {
                    push_text(&event, &mut current);
                }
            }
            Err(_) => return (found, false),
        }
    }
}

/// The names of the sheets and what is defined beside them.
pub(super) fn names(xml: &str) -> String {
    let mut names = String::new();
    let mut reader = lenient(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start) | Event::Empty(start)) => {
                if local(start.name().as_ref()) == "sheet"
                    && let Some(name) = attribute(&start, "name")
                {
                    names.push_str(&name);
                    names.push('\n');
                }
            }
            Ok(Event::Eof) | Err(_) => return names,
            Ok(_) => {}
        }
    }
}

fn push_text(event: &Event<'_>, out: &mut String) {
    match event {
        Event::Text(text) => out.push_str(&text.clone().into_inner()),
        Event::CData(text) => out.push_str(&text.clone().into_inner()),
        Event::GeneralRef(name) => {
            let character = name.resolve_char_ref().ok().flatten();
            out.extend(reference(&name.clone().into_inner(), character));
        }
        _ => {}
    }
}

/// What was read of a sheet.
pub(super) struct Rows {
    pub text: String,
    pub whole: bool,
}

#[derive(Default)]
struct Cell {
    kind: String,
    format: Option<usize>,
    value: String,
    text: String,
}

/// The rows of a sheet, no longer than a little over `bound`. `used` is told which strings it shows.
pub(super) fn rows(
    xml: &str,
    strings: &[String],
    styles: &Styles,
    bound: usize,
    used: &mut dyn FnMut(usize),
) -> Rows {
    let mut out = String::new();
    let mut cell = Cell::default();
    let (mut column, mut place) = (0, String::new());
    let mut reader = lenient(xml);
    let whole = loop {
        if out.len() > bound {
            break true; // the budget of text says so
        }
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                let name = start.name();
                let name = local(name.as_ref());
                match name {
                    "row" => column = 0,
                    "c" => cell = open_cell(&start, &mut column, &mut out),
                    _ => {}
                }
                place = name.to_owned();
            }
            Ok(Event::Empty(start)) if local(start.name().as_ref()) == "c" => {
                open_cell(&start, &mut column, &mut out);
                column += 1;
            }
            Ok(Event::End(end)) => {
                match local(end.name().as_ref()) {
                    "c" => {
                        close_cell(&std::mem::take(&mut cell), strings, styles, used, &mut out);
                        column += 1;
                    }
                    "row" => out.push('\n'),
                    _ => {}
                }
                place.clear();
            }
            Ok(Event::Eof) => break true,
            Ok(event) => match place.as_str() {
                "v" => push_text(&event, &mut cell.value),
                "t" => push_text(&event, &mut cell.text),
                "oddHeader" | "oddFooter" | "evenHeader" | "evenFooter" | "firstHeader"
                | "firstFooter" => {
                    push_text(&event, &mut out);
                    out.push('\n');
                }
                _ => {}
            },
            Err(_) => break false,
        }
    };
    Rows { text: out, whole }
}

/// Goes to the column of a cell with tabs.
fn open_cell(start: &BytesStart<'_>, column: &mut usize, out: &mut String) -> Cell {
    let own = attribute(start, "r").and_then(|name| column_of(&name));
    let own = own.unwrap_or(*column).max(*column);
    let first = *column == 0;
    let gap = (own - *column + usize::from(!first)).min(MAX_GAP);
    out.extend(std::iter::repeat_n('\t', gap));
    *column = own;
    Cell {
        kind: attribute(start, "t").unwrap_or_default(),
        format: attribute(start, "s").and_then(|at| at.parse().ok()),
        ..Cell::default()
    }
}

fn close_cell(
    cell: &Cell,
    strings: &[String],
    styles: &Styles,
    used: &mut dyn FnMut(usize),
    out: &mut String,
) {
    let value = match cell.kind.as_str() {
        "s" => {
            let at = cell.value.trim().parse::<usize>().unwrap_or(usize::MAX);
            used(at);
            strings.get(at).cloned().unwrap_or_default()
        }
        "inlineStr" => cell.text.clone(),
        "str" | "d" | "b" | "e" => cell.value.clone(),
        _ => styles.show(cell.format, cell.value.trim()),
    };
    // A line break within a cell would look like a row.
    out.extend(
        value
            .chars()
            .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
    );
}

/// The column of a cell reference: `C7` is 2.
fn column_of(reference: &str) -> Option<usize> {
    let letters = reference
        .bytes()
        .take_while(u8::is_ascii_alphabetic)
        .take(4);
    let number = letters.fold(0_usize, |column, letter| {
        column * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1
    });
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_numbers_as_the_program_does() {
        assert_eq!(date("29221", false).as_deref(), Some("1980-01-01"));
        assert_eq!(date("1", false).as_deref(), Some("1900-01-01"));
        assert_eq!(date("27759.5", true).as_deref(), Some("1980-01-01"));
        assert_eq!(date("0.5", false), None);
        assert_eq!(date("99999999999999", false), None);
        assert_eq!(
            masked("12345678", "000-00-0000").as_deref(),
            Some("012-34-5678")
        );
        assert_eq!(masked("1.2", "000-00-0000"), None);
        for (number, shown) in [
            ("1.23456789E8", "123456789"),
            ("4.111E+15", "4111000000000000"),
            ("12", "12"),
            ("1.5", "1.5"),
            ("1E-5", "1E-5"),
            ("1E99", "1E99"),
        ] {
            assert_eq!(plain(number), shown);
        }
        for (code, shown) in [
            ("mm/dd/yyyy", Shown::Date),
            ("[$-409]d\\-mmm\\-yy;@", Shown::Date),
            ("000\\-00\\-0000", Shown::Mask("000-00-0000".into())),
            ("#,##0.00", Shown::Number),
            ("\"day\"0", Shown::Number),
        ] {
            assert_eq!(shown_by_code(code), shown, "{code}");
        }
    }

    #[test]
    fn columns_have_letters() {
        for (reference, column) in [
            ("A1", Some(0)),
            ("C7", Some(2)),
            ("AA1", Some(26)),
            ("7", None),
        ] {
            assert_eq!(column_of(reference), column, "{reference}");
        }
    }
}
