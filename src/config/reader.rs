//! Reads sections of the file key by key, and notes every problem instead of stopping at one.
//!
//! Invariant: each key of a table is asked for, is known to a later version, or is reported.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::later;
use super::problem::{At, Sheet, Spot};

/// Most entries of an array that are read; more is a mistake, or somebody else's file.
pub const MAX_LIST_ENTRIES: usize = 10_000;

/// Why a value does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong, to follow the key's name: `is a string, …`.
    pub what: String,
    /// What to do.
    pub mend: String,
}

impl Wrong {
    /// What is wrong and what to do.
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: mend.into(),
        }
    }

    /// A value of another type.
    pub fn kind(found: &DeValue<'_>, wanted: &str, example: &str) -> Self {
        Self {
            what: format!("is {}, where {wanted} belongs", article(found)),
            mend: format!("write it as in {example}"),
        }
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table of a file, and which of its keys were asked for.
#[derive(Debug)]
pub struct Section<'a> {
    /// The number of the file on the sheet.
    file: u16,
    /// Dotted path, empty for the whole file.
    path: String,
    at: Spot,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
    /// Keys that were refused as belonging elsewhere.
    refused: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole of a file; `file` is its number on the sheet.
    pub fn root(table: &'a DeTable<'a>, file: u16) -> Self {
        Self {
            file,
            path: String::new(),
            at: Spot::new(file, 0..0),
            table,
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn below(&self, path: String, at: Spot, table: &'a DeTable<'a>) -> Self {
        Self {
            file: self.file,
            path,
            at,
            table,
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn spot(&self, span: Range<usize>) -> Spot {
        Spot::new(self.file, span)
    }

    /// Whether `key` is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the section says nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Where the values of the keys stand that were asked for and are there.
    pub fn places(&self) -> Vec<(&'static str, Spot)> {
        let there = self.asked.iter().filter_map(|key| {
            let value = self.table.get(*key)?;
            Some((*key, self.spot(value.span())))
        });
        there.collect()
    }

    /// Where the section begins.
    pub fn at(&self) -> Spot {
        self.at
    }

    /// The dotted name of a key in this section.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn get(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
    ) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        sheet.asked.insert(self.name(key));
        self.table.get(key)
    }

    /// The value of `key`, if it is there and does.
    pub fn optional<T>(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        let value = self.get(sheet, key)?;
        let at = self.spot(value.span());
        match convert(value.get_ref()) {
            Ok(value) => Some(At { value, at }),
            Err(wrong) => {
                sheet.wrong(at, format!("{} {}", self.name(key), wrong.what), wrong.mend);
                None
            }
        }
    }

    /// The value of `key`; its absence is a problem, mended as `mend` says.
    pub fn required<T>(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        mend: &str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        if !self.table.contains_key(key) {
            sheet.wrong(self.at, format!("{} is missing", self.name(key)), mend);
        }
        self.optional(sheet, key, convert)
    }

    /// The list at `key`, entry by entry; `None` if it is not there or an entry does not do.
    pub fn list<T>(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        example: &str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<At<Vec<At<T>>>> {
        let value = self.get(sheet, key)?;
        let Some(entries) = value.get_ref().as_array() else {
            let (at, name) = (self.spot(value.span()), self.name(key));
            let wrong = Wrong::kind(value.get_ref(), "a list", example);
            sheet.wrong(at, format!("{name} {}", wrong.what), wrong.mend);
            return None;
        };
        self.entries(sheet, key, value, entries, convert)
    }

    /// Like [`Section::list`], where a single value may stand for a list of one.
    pub fn one_or_more<T>(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<At<Vec<At<T>>>> {
        match self.table.get(key) {
            Some(value) if value.get_ref().is_array() => self.list(sheet, key, "", convert),
            _ => self.optional(sheet, key, convert).map(|one| At {
                at: one.at,
                value: vec![one],
            }),
        }
    }

    fn entries<T>(
        &self,
        sheet: &mut Sheet<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        entries: &DeArray<'_>,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<At<Vec<At<T>>>> {
        let (at, name) = (self.spot(value.span()), self.name(key));
        if entries.len() > MAX_LIST_ENTRIES {
            let what = format!("{name} has more than {MAX_LIST_ENTRIES} entries");
            sheet.wrong(at, what, "shorten it");
            return None;
        }
        let mut list = Vec::new();
        let mut good = true;
        for entry in entries.iter() {
            let at = self.spot(entry.span());
            match convert(entry.get_ref()) {
                Ok(value) => list.push(At { value, at }),
                Err(wrong) => {
                    let what = format!("an entry of {name} {}", wrong.what);
                    sheet.wrong(at, what, wrong.mend);
                    good = false;
                }
            }
        }
        good.then_some(At { value: list, at })
    }

    /// The table at `key`, whose own keys are the operator's choice; `None` if it is not there or
    /// a value does not do.
    pub fn dictionary<T>(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        convert: impl Fn(&str, &DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Vec<(String, T)>> {
        let section = self.section(sheet, key)?;
        let mut found = Vec::new();
        let mut good = true;
        for (key, value) in section.table {
            let path = section.name(key.get_ref());
            match convert(key.get_ref(), value.get_ref()) {
                Ok(value) => found.push((key.get_ref().to_string(), value)),
                Err(wrong) => {
                    let what = format!("{} {}", printable(&path), wrong.what);
                    sheet.wrong(section.spot(value.span()), what, wrong.mend);
                    good = false;
                }
            }
            sheet.asked.insert(path);
        }
        good.then_some(found)
    }

    /// Refuses keys that belong elsewhere.
    pub fn refuse(&mut self, sheet: &mut Sheet<'_>, keys: &[&'static str], what: &str, mend: &str) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if let Some(known) = keys.iter().find(|known| **known == name) {
                self.refused.push(known);
                let what = format!("{} {what}", self.name(name));
                sheet.wrong(self.spot(key.span()), what, mend);
            }
        }
    }

    /// Passes over keys that are somebody else's to read.
    pub fn leave(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    /// The table at `key`.
    pub fn section(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Section<'a>> {
        let value = self.get(sheet, key)?;
        let path = self.name(key);
        let at = self.key_spot(key, value);
        match value.get_ref().as_table() {
            Some(table) => Some(self.below(path, at, table)),
            None => {
                let wrong = Wrong::kind(value.get_ref(), "a section", &format!("[{path}]"));
                sheet.wrong(at, format!("{path} {}", wrong.what), wrong.mend);
                None
            }
        }
    }

    /// The tables of an array of tables at `key`.
    pub fn sections(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.get(sheet, key) else {
            return Vec::new();
        };
        let path = self.name(key);
        let example = format!("[[{path}]]");
        let Some(entries) = value.get_ref().as_array() else {
            let wrong = Wrong::kind(value.get_ref(), "a list of sections", &example);
            let at = self.key_spot(key, value);
            sheet.wrong(at, format!("{path} {}", wrong.what), wrong.mend);
            return Vec::new();
        };
        if entries.len() > MAX_LIST_ENTRIES {
            let at = self.key_spot(key, value);
            let what = format!("more than {MAX_LIST_ENTRIES} [[{path}]]");
            sheet.wrong(at, what, "remove some");
        }
        let mut sections = Vec::new();
        for entry in entries.iter().take(MAX_LIST_ENTRIES) {
            let at = self.spot(entry.span());
            match entry.get_ref().as_table() {
                Some(table) => sections.push(self.below(path.clone(), at, table)),
                None => {
                    let wrong = Wrong::kind(entry.get_ref(), "a section", &example);
                    sheet.wrong(at, format!("{path} {}", wrong.what), wrong.mend);
                }
            }
        }
        sections
    }

    fn key_spot(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Spot {
        match self.table.get_key_value(key) {
            Some((key, _)) => self.spot(key.span()),
            None => self.spot(value.span()),
        }
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, sheet: &mut Sheet<'_>) {
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) || self.refused.contains(&name) {
                continue;
            }
            let at = self.spot(key.span());
            let path = self.name(name);
            if later::is_known(&path) {
                let (shown, kind) = match value.get_ref() {
                    DeValue::Table(_) => (format!("[{path}]"), "section"),
                    DeValue::Array(list) if list.iter().all(|entry| entry.get_ref().is_table()) => {
                        (format!("[[{path}]]"), "section")
                    }
                    _ => (path, "key"),
                };
                sheet.wrong(
                    at,
                    format!("{shown} comes with a later version of sealpost"),
                    format!("remove the {kind}"),
                );
                continue;
            }
            let mend = match closest(name, &self.asked) {
                Some(meant) => format!("did you mean {meant}?"),
                None if self.asked.is_empty() => "remove it".to_owned(),
                None => format!("remove it; known here: {}", self.asked.join(", ")),
            };
            sheet.wrong(at, format!("unknown key {}", printable(&path)), mend);
        }
    }
}

/// A key as a person may safely read it: control characters escaped, not endless.
fn printable(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The known word that `typed` was probably meant to be.
pub fn closest<'w>(typed: &str, known: &[&'w str]) -> Option<&'w str> {
    let allowed = 1 + typed.chars().count() / 4;
    if let Some(word) = known.iter().find(|word| word.eq_ignore_ascii_case(typed)) {
        return Some(word);
    }
    known
        .iter()
        .map(|word| (distance(typed, word), *word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Levenshtein distance; words over 64 characters are as far as can be.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    if left.chars().count() > 64 || right.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, &b) in right.iter().enumerate() {
            let above = row[column + 1];
            let step = diagonal + usize::from(a != b);
            row[column + 1] = step.min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_what_was_meant() {
        let known = ["hostname", "data_directory", "port"];
        assert_eq!(closest("hostnam", &known), Some("hostname"));
        assert_eq!(closest("data-directory", &known), Some("data_directory"));
        assert_eq!(closest("prot", &known), Some("port"));
        assert_eq!(closest("HOSTNAME", &known), Some("hostname"));
        assert_eq!(closest("completely_else", &known), None);
    }
}
