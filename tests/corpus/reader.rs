//! Reads the sample documents of `tests/corpus/`: several to a file, each under a line
//! `=== name :: detectors that must fire, and no others`.
//!
//! `(escapes)` behind the name: `\u{…}` stands for the character of that number, so that what a
//! reader could not see can be reviewed. `(dicom)`: the text stands behind a DICOM preamble.
//! `(bytes)`: a file of unknown kind, read as octets only. All documents were made up for this
//! repository; no number in them is known to belong to anybody.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealpost::mail::Finding;
use sealpost::scan::detect::Detectors;

/// How a document is given to the detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a text.
    Text,
    /// As the octets of a file.
    Octets,
}

/// A sample.
pub struct Document {
    /// `file/name`.
    pub name: String,
    /// How it is scanned.
    pub form: Form,
    /// What must fire.
    pub expected: BTreeSet<String>,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Document {
    /// What fires.
    pub fn scan(&self, detectors: &Detectors) -> BTreeSet<String> {
        let mut found: Vec<Finding> = Vec::new();
        match (self.form, std::str::from_utf8(&self.content)) {
            (Form::Text, Ok(text)) => detectors.scan_text(0, text, &mut found),
            (Form::Text, Err(_)) | (Form::Octets, _) => {
                detectors.scan_bytes(0, &self.content, &mut found);
            }
        }
        found.iter().map(|it| it.detector.to_string()).collect()
    }
}

/// Every document below `tests/corpus/<kind>`, in the order of their files' names.
///
/// # Errors
///
/// A file that cannot be read, or is not in the form above.
pub fn read(kind: &str) -> Result<Vec<Document>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|it| it.path()))
        .collect();
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let stem = file.file_stem().and_then(|it| it.to_str()).unwrap_or("");
        let mut parts = text.split("\n=== ");
        let first = parts.next().and_then(|it| it.strip_prefix("=== "));
        let first = first.ok_or_else(|| format!("{stem}: does not open with ==="))?;
        for part in std::iter::once(first).chain(parts) {
            documents.push(document(stem, part)?);
        }
    }
    Ok(documents)
}

fn document(file: &str, part: &str) -> Result<Document, String> {
    let (head, body) = part
        .split_once('\n')
        .ok_or_else(|| format!("{file}: a document without content"))?;
    let (title, expected) = head.split_once(" ::").unwrap_or((head, ""));
    let (name, form) = title.split_once(" (").unwrap_or((title, ""));
    let body = body.trim_end_matches('\n');
    let (form, content) = match form {
        "" => (Form::Text, body.as_bytes().to_vec()),
        "escapes)" => (Form::Text, unescape(body)?.into_bytes()),
        "bytes)" => (Form::Octets, body.as_bytes().to_vec()),
        "dicom)" => {
            let mut content = vec![0; 128];
            content.extend_from_slice(b"DICM");
            content.extend_from_slice(body.as_bytes());
            (Form::Octets, content)
        }
        other => return Err(format!("{file}/{name}: ({other} is no form")),
    };
    Ok(Document {
        name: format!("{file}/{}", name.trim()),
        form,
        expected: expected.split_whitespace().map(str::to_owned).collect(),
        content,
    })
}

/// `\u{a0}` to its character, `\\` to a backslash.
fn unescape(body: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut parts = body.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    let mut after_backslash = false;
    for part in parts {
        if after_backslash {
            after_backslash = false;
            out.push_str(part);
        } else if part.is_empty() {
            out.push('\\');
            after_backslash = true;
        } else {
            let (code, rest) = part
                .strip_prefix("u{")
                .and_then(|it| it.split_once('}'))
                .ok_or_else(|| format!("not an escape: {part:.8}"))?;
            let code = u32::from_str_radix(code, 16).map_err(|e| e.to_string())?;
            out.push(char::from_u32(code).ok_or_else(|| format!("{code:x}"))?);
            out.push_str(rest);
        }
    }
    Ok(out)
}
