//! Pivot caches (ECMA-376 part 1 §18.10): a copy of the rows that a pivot table was made of, kept
//! in attributes, and kept when the sheet they came from is gone.

use quick_xml::events::{BytesStart, Event};

use super::xml::{attribute, lenient, local};

/// Most fields of a cache that are told apart.
const MAX_FIELDS: usize = 16_384;

/// What a definition says of a cache: its fields, each with its name and the values that its rows
/// refer to by number.
#[derive(Debug, Default)]
pub(super) struct Cache {
    fields: Vec<(String, Vec<String>)>,
}

/// The number in the name of a part, by which a definition and its records belong together.
pub(super) fn number(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    stem.get(digits..).unwrap_or_default().to_owned()
}

/// The fields of a definition, and its texts: each value in the column of its field's name.
/// Whether it was read to its end.
pub(super) fn definition(xml: &str) -> (Cache, String, bool) {
    let (mut cache, mut out) = (Cache::default(), String::new());
    let mut reader = lenient(xml);
    let mut shared = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                shared |= local(start.name().as_ref()) == "sharedItems";
                field(&start, shared, &mut cache, &mut out);
            }
            Ok(Event::Empty(start)) => field(&start, shared, &mut cache, &mut out),
            Ok(Event::End(end)) if local(end.name().as_ref()) == "sharedItems" => shared = false,
            Ok(Event::Eof) => return (cache, out, true),
            Err(_) => return (cache, out, false),
            Ok(_) => {}
        }
    }
}

/// Takes one element of a definition.
fn field(start: &BytesStart<'_>, shared: bool, cache: &mut Cache, out: &mut String) {
    let name = start.name();
    let name = local(name.as_ref());
    if name == "cacheField" {
        let heading = attribute(start, "name").unwrap_or_default();
        line(out, &heading);
        if let Some(caption) = attribute(start, "caption") {
            line(out, &caption);
        }
        if cache.fields.len() < MAX_FIELDS {
            cache.fields.push((heading, Vec::new()));
        }
        return;
    }
    let value = value(start, name);
    if let Some(value) = &value {
        line(out, value);
    }
    // Rows count all that stands in the list, an empty one too.
    if shared
        && is_value(name)
        && let Some((_, values)) = cache.fields.last_mut()
    {
        values.push(value.unwrap_or_default());
    }
}

/// The rows of the records, below the names of their fields, no longer than a little over `bound`;
/// whether they were read to their end.
pub(super) fn records(xml: &str, cache: Option<&Cache>, bound: usize) -> (String, bool) {
    let mut out = String::new();
    let fields = cache.map(|cache| cache.fields.as_slice());
    let fields = fields.unwrap_or_default();
    for (heading, _) in fields {
        out.push_str(heading);
        out.push('\t');
    }
    out.push('\n');
    let mut reader = lenient(xml);
    let mut column = 0_usize;
    loop {
        if out.len() > bound {
            return (out, true); // the budget of text says so
        }
        match reader.read_event() {
            Ok(Event::Start(start) | Event::Empty(start)) => {
                let name = start.name();
                let name = local(name.as_ref());
                if name == "r" {
                    column = 0;
                } else if name == "x" && attribute(&start, "v").is_some() {
                    let at = attribute(&start, "v").and_then(|at| at.parse::<usize>().ok());
                    let values = fields.get(column).map(|(_, values)| values);
                    if let Some(value) = at.and_then(|at| values?.get(at)) {
                        out.push_str(value);
                    }
                    out.push('\t');
                    column += 1;
                } else if is_value(name) {
                    out.push_str(&value(&start, name).unwrap_or_default());
                    out.push('\t');
                    column += 1;
                }
            }
            Ok(Event::End(end)) if local(end.name().as_ref()) == "r" => out.push('\n'),
            Ok(Event::Eof) => return (out, true),
            Err(_) => return (out, false),
            Ok(_) => {}
        }
    }
}

/// String, number, date, boolean, error, missing (§18.10.1).
fn is_value(name: &str) -> bool {
    matches!(name, "s" | "n" | "d" | "b" | "e" | "m")
}

/// The value or the caption of an element; what it refers to by number says nothing by itself.
fn value(start: &BytesStart<'_>, name: &str) -> Option<String> {
    if name == "x" {
        return None;
    }
    let value = attribute(start, "v").or_else(|| attribute(start, "caption"))?;
    // A date without a time of day is shown as one.
    let date = value.strip_suffix("T00:00:00").filter(|_| name == "d");
    Some(date.map_or_else(|| value.clone(), str::to_owned))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
