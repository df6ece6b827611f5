//! What the portal shows that the operator chose: texts in a folder, and a logo. Loaded, and looked
//! at before anybody sees it.
//!
//! The folder holds `LANG.toml` files of the form of `locale`. Texts go into mails too, so the line
//! reads them as the portal does. A logo is a picture by its own first octets, never by its name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::file::{FileError, read_bounded};
use crate::locale::{Texts, TextsError};
use crate::mail::Language;
use crate::portal::http::AssetKind;
use crate::portal::site::Logo;
use crate::portal::site::operator::MAX_LOGO_OCTETS;

/// Largest file of texts.
const MAX_TEXTS_OCTETS: u64 = 1 << 20;
/// Most entries of the folder that are looked at.
const MAX_ENTRIES: usize = 1000;
/// A logo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file.
    #[error("{0}")]
    File(#[from] FileError),
    /// No picture, or of another kind.
    #[error("is neither PNG nor JPEG nor SVG")]
    Kind,
    /// An SVG file that is more than a picture.
    #[error("{0}")]
    Svg(String),
}

/// Reads a logo.
pub fn read_logo(path: &Path) -> Result<Logo, LogoError> {
    let most = u64::try_from(MAX_LOGO_OCTETS).unwrap_or(u64::MAX);
    let octets = read_bounded(path, most)?;
    let logo = Logo::of(octets.into()).ok_or(LogoError::Kind)?;
    let fault = match logo.kind == AssetKind::Svg {
        true => super::svg::fault(&logo.octets),
        false => None,
    };
    fault.map_or(Ok(logo), |fault| Err(LogoError::Svg(fault)))
}

/// What is wrong with a folder of texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct TextsProblem {
    /// The folder, or a file in it.
    pub file: PathBuf,
    /// The text of the file, where it could be read.
    pub text: Option<Arc<str>>,
    /// Where in it.
    pub span: Range<usize>,
    /// Whether the file or folder is simply not there.
    pub missing: bool,
    /// What.
    pub what: String,
    /// What to do about it.
    pub mend: &'static str,
}

/// The shipped texts with those of a folder in their place, and every problem of the folder. What
/// has a problem is left out.
pub fn read_texts(folder: &Path) -> (Texts, Vec<TextsProblem>) {
    let mut texts = Texts::shipped();
    let mut problems = Vec::new();
    let files = match files_in(folder) {
        Ok(files) => files,
        Err(error) => {
            problems.push(TextsProblem {
                file: folder.to_owned(),
                text: None,
                span: 0..0,
                missing: error.kind() == io::ErrorKind::NotFound,
                what: format!("the folder cannot be read: {error}"),
                mend: "correct the path, or make it readable for the user of the daemon",
            });
            return (texts, problems);
        }
    };
    for file in files {
        let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let language = Language::ALL.into_iter().find(|it| it.as_str() == stem);
        match language {
            Some(language) => texts = one_file(texts, language, &file, &mut problems),
            None => problems.push(TextsProblem {
                text: None,
                span: 0..0,
                missing: false,
                what: "is named for no language that there are texts in".to_owned(),
                mend: "name it en.toml, es.toml, de.toml, fr.toml or zh.toml",
                file,
            }),
        }
    }
    (texts, problems)
}

/// The `.toml` files of a folder by name; other files are not looked at.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let path = entry?.path();
        let hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
        if path.extension() == Some(OsStr::new("toml")) && !path.file_name().is_some_and(hidden) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn one_file(
    texts: Texts,
    language: Language,
    file: &Path,
    problems: &mut Vec<TextsProblem>,
) -> Texts {
    let problem = |text: Option<Arc<str>>, span, what, mend| TextsProblem {
        file: file.to_owned(),
        text,
        span,
        missing: false,
        what,
        mend,
    };
    let read = read_bounded(file, MAX_TEXTS_OCTETS)
        .and_then(|octets| String::from_utf8(octets).map_err(|_| FileError::NotText));
    let text: Arc<str> = match read {
        Ok(text) => text.into(),
        Err(error) => {
            let mend = "make it a text file that the user of the daemon can read";
            problems.push(problem(
                None,
                0..0,
                format!("cannot be read: {error}"),
                mend,
            ));
            return texts;
        }
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        let what = format!("not TOML: {}", error.message());
        let span = error.span().unwrap_or_default();
        let mend = "see toml.io for the syntax";
        problems.push(problem(Some(Arc::clone(&text)), span, what, mend));
    }
    if !errors.is_empty() {
        return texts;
    }
    let mut texts = texts;
    for (key, value) in table.get_ref() {
        // Key by key, so that each problem has its place.
        let Some(own) = value.get_ref().as_str() else {
            let what = "is not a text".to_owned();
            let mend = "write \"key\" = \"text\", one a line";
            problems.push(problem(Some(Arc::clone(&text)), key.span(), what, mend));
            continue;
        };
        let alone = BTreeMap::from([(key.get_ref().as_ref(), own)]);
        let replaced = toml::to_string(&alone)
            .map_err(|error| TextsError::Form(error.to_string()))
            .and_then(|alone| texts.replaced(language, &alone));
        match replaced {
            Ok(replaced) => texts = replaced,
            Err(error) => {
                let mend = match &error {
                    TextsError::UnknownKey(_) => "take its key from the shipped file",
                    TextsError::UnknownValue { .. } => "use the values of the shipped text only",
                    TextsError::TooLong(_) => "shorten it",
                    TextsError::Form(_) => "write \"key\" = \"text\", one a line",
                };
                let what = error.to_string();
                problems.push(problem(Some(Arc::clone(&text)), key.span(), what, mend));
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_what_its_octets_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo.png");
        for (octets, good) in [
            (&b"\x89PNG\r\n\x1a\nrest"[..], true),
            (b"\xff\xd8\xff\xe0rest", true),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", true),
            (b"<html><script>", false),
            (b"", false),
        ] {
            std::fs::write(&path, octets).unwrap();
            assert_eq!(read_logo(&path).is_ok(), good);
        }
        std::fs::write(&path, vec![0x89; MAX_LOGO_OCTETS + 1]).unwrap();
        assert!(matches!(read_logo(&path), Err(LogoError::File(_))));
    }

    #[test]
    fn every_problem_of_a_folder_of_texts_is_told_and_the_rest_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put(
            "de.toml",
            "\"mail.from\" = \"{author} ({operator})\"\n\"no.such\" = \"x\"\nb = 1\n",
        );
        put("en.toml", "\"mail.from\" = \"{subject}\"\n");
        put("nl.toml", "");
        put("fr.toml", "= 1");
        put("notes.txt", "not looked at");
        let (texts, problems) = read_texts(folder.path());
        let filled = texts.fill(
            Language::De,
            "mail.from",
            &[("author", "Jo"), ("operator", "Klinik")],
        );
        assert_eq!(filled, "Jo (Klinik)");
        let told: Vec<(String, usize)> = problems
            .iter()
            .map(|it| {
                let name = it.file.file_name().unwrap().to_string_lossy().into_owned();
                let line = it.text.as_ref().map_or(0, |text| {
                    text.get(..it.span.start).unwrap().matches('\n').count() + 1
                });
                (name, line)
            })
            .collect();
        let expected = [
            ("de.toml", 3),
            ("de.toml", 2),
            ("en.toml", 1),
            ("fr.toml", 1),
            ("nl.toml", 0),
        ];
        assert_eq!(told, expected.map(|(name, line)| (name.to_owned(), line)));
    }

    #[test]
    fn a_folder_that_is_not_there_is_missing() {
        let (_, problems) = read_texts(Path::new("/no/such/folder"));
        assert!(problems.len() == 1 && problems[0].missing);
    }
}
