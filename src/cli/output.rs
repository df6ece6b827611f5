//! Standard output and standard error: a closed pipe ends the command quietly, nothing panics.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::{Exit, Failure};

/// Writes `text` and a newline to standard output.
pub fn say(text: &str) -> Result<(), Failure> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes `text` as it is to standard output.
pub fn put(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text).and_then(|()| out.flush()))
}

/// Writes a value as JSON to standard output.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(&text),
        Err(error) => Err(Failure::from_error(Exit::Failed, &error, "")),
    }
}

/// Writes to standard error; where even that fails there is nobody to tell.
pub fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        // `sealpost queue list | head` is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::from_error(Exit::Failed, &error, "")),
    }
}

/// Aligns rows under their heads, two spaces between columns.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        lines.push(padded.join("  ").trim_end().to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_align() {
        let rows = vec![
            vec!["a".to_owned(), "long cell".to_owned()],
            vec!["longer".to_owned(), "b".to_owned()],
        ];
        assert_eq!(
            super::table(&["ID", "WHAT"], &rows),
            "ID      WHAT\na       long cell\nlonger  b"
        );
    }
}
