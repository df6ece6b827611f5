//! What is wrong with a configuration, where, and how it is mended.
//!
//! Owns the form `file:line:column: what; mend` that operators and outside checks read. Never
//! holds a value that may be secret: texts name keys and paths, not contents.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

/// A place in the configuration: a file, and the octet of it where a key or value begins. The
/// default is the beginning of the main file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    /// 0 for the main file, then the included ones in their order.
    file: u16,
    offset: usize,
}

impl Spot {
    /// Where `span` begins in a file of the sheet.
    pub fn new(file: u16, span: Range<usize>) -> Self {
        Self {
            file,
            offset: span.start,
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place in the file.
    pub at: Spot,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// How bad a problem is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The daemon can run with it, but somebody should look.
    Warning,
    /// A file that is named does not exist: exit code 78 at start, if nothing worse is found.
    Missing,
    /// Wrong: exit code 2.
    Wrong,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The configuration file, or one that it includes.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How bad it is.
    pub weight: Weight,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = match self.weight {
            Weight::Warning => "warning: ",
            Weight::Missing | Weight::Wrong => "",
        };
        write!(
            f,
            "{}:{}:{}: {warning}{}; {}",
            self.file.display(),
            self.line,
            self.column,
            self.what,
            self.mend
        )
    }
}

/// All problems of a configuration: of the main file, then of those it includes, each in the order
/// of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The worst of them; `None` if there are none.
    pub fn worst(&self) -> Option<Weight> {
        let weights = self.0.iter().map(|problem| problem.weight);
        weights.max_by_key(|weight| match weight {
            Weight::Warning => 0,
            Weight::Missing => 1,
            Weight::Wrong => 2,
        })
    }

    /// Whether the daemon cannot run with them.
    pub fn are_fatal(&self) -> bool {
        matches!(self.worst(), Some(Weight::Missing | Weight::Wrong))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where problems are gathered while a file is read.
#[derive(Debug)]
pub struct Sheet<'t> {
    file: &'t Path,
    text: &'t str,
    /// What the main file includes: names and texts.
    included: Vec<(PathBuf, Arc<str>)>,
    found: Vec<(Spot, Weight, String, String)>,
    /// Every key that the reader asked for, dotted: what the documentation test compares with.
    pub(super) asked: std::collections::BTreeSet<String>,
}

impl<'t> Sheet<'t> {
    /// An empty sheet for `file` with this `text`.
    pub fn new(file: &'t Path, text: &'t str) -> Self {
        Self {
            file,
            text,
            included: Vec::new(),
            found: Vec::new(),
            asked: std::collections::BTreeSet::new(),
        }
    }

    /// The file's name.
    pub fn file(&self) -> &'t Path {
        self.file
    }

    /// The file's text.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// Adds an included file; its number, for [`Spot::new`]. `None` if there are too many.
    pub fn include(&mut self, file: PathBuf, text: Arc<str>) -> Option<u16> {
        let number = u16::try_from(self.included.len() + 1).ok()?;
        self.included.push((file, text));
        Some(number)
    }

    /// How much was noted so far that the daemon cannot run with.
    pub fn faults(&self) -> usize {
        let weights = self.found.iter().map(|found| found.1);
        weights.filter(|weight| *weight != Weight::Warning).count()
    }

    /// Notes something wrong.
    pub fn wrong(&mut self, at: Spot, what: impl Into<String>, mend: impl Into<String>) {
        self.found
            .push((at, Weight::Wrong, what.into(), mend.into()));
    }

    /// Notes something missing on disk.
    pub fn missing(&mut self, at: Spot, what: impl Into<String>, mend: impl Into<String>) {
        self.found
            .push((at, Weight::Missing, what.into(), mend.into()));
    }

    /// Notes something that somebody should look at.
    pub fn warn(&mut self, at: Spot, what: impl Into<String>, mend: impl Into<String>) {
        self.found
            .push((at, Weight::Warning, what.into(), mend.into()));
    }

    /// The problems, in the order of the files.
    pub fn into_problems(mut self) -> Problems {
        self.found.sort_by_key(|found| found.0);
        let main = [(self.file.to_owned(), Arc::from(self.text))];
        let files: Vec<(PathBuf, Arc<str>, Lines)> = main
            .into_iter()
            .chain(self.included)
            .map(|(file, text)| {
                let lines = Lines::new(&text);
                (file, text, lines)
            })
            .collect();
        let located = self
            .found
            .into_iter()
            .filter_map(|(at, weight, what, mend)| {
                let (file, text, lines) = files.get(usize::from(at.file))?;
                let (line, column) = lines.line_and_column(text, at.offset);
                Some(Problem {
                    file: file.clone(),
                    line,
                    column,
                    weight,
                    what,
                    mend,
                })
            });
        Problems(located.collect())
    }
}

/// The octets that the lines of a text begin at; the first is 0.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(newlines).collect())
    }

    /// Line and column, from 1, the column in characters.
    fn line_and_column(&self, text: &str, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.0.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.0.get(line));
        let before = text.get(start.copied().unwrap_or(0)..offset);
        (line, before.unwrap_or_default().chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let text = "a = 1\nö = \"x\"\n";
        let lines = Lines::new(text);
        assert_eq!(lines.line_and_column(text, 0), (1, 1));
        assert_eq!(lines.line_and_column(text, 6), (2, 1));
        assert_eq!(lines.line_and_column(text, 7), (2, 1), "inside a character");
        assert_eq!(lines.line_and_column(text, 8), (2, 2));
        assert_eq!(lines.line_and_column(text, 999), (3, 1));
    }

    #[test]
    fn reads_as_file_line_column() {
        let mut sheet = Sheet::new(Path::new("s.toml"), "a = 1\nb = 2\n");
        sheet.wrong(Spot::new(0, 6..7), "unknown key b", "remove it");
        sheet.warn(Spot::default(), "old", "look");
        let problems = sheet.into_problems();
        assert_eq!(
            problems.to_string(),
            "s.toml:1:1: warning: old; look\ns.toml:2:1: unknown key b; remove it"
        );
        assert_eq!(problems.worst(), Some(Weight::Wrong));
    }

    #[test]
    fn an_included_file_has_its_own_lines() {
        let mut sheet = Sheet::new(Path::new("s.toml"), "a = 1\n");
        let number = sheet.include("policy.d/x.toml".into(), "\n\n  b = 2\n".into());
        let at = Spot::new(number.unwrap(), 4..5);
        sheet.wrong(at, "unknown key b", "remove it");
        sheet.wrong(Spot::new(0, 0..1), "unknown key a", "remove it");
        assert_eq!(
            sheet.into_problems().to_string(),
            "s.toml:1:1: unknown key a; remove it\npolicy.d/x.toml:3:3: unknown key b; remove it"
        );
    }
}
