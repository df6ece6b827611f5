//! Which files are taken: their number and size, and what they are, by name **and** by octets.
//!
//! Refused: what runs or can make something run, what holds other files that nobody can look at,
//! and what the operator refuses. Archives are looked into; only ZIP can be. Pure.

use std::fmt;

use bytes::Bytes;

use super::archive;
use crate::portal::reading::kind::{Danger, Look, Magic, Sort, danger_of, look};
use crate::portal::reading::{extension, file_name};

/// Most files of one answer, whatever the rules say.
pub const MAX_FILES: usize = 50;

/// What the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRules {
    /// Most octets of all files together.
    pub octets: u64,
    /// Most files.
    pub files: usize,
    /// What is refused besides: extensions (`mp4`, `.mp4`) and types (`video/mp4`, `video/*`).
    pub extra: Vec<String>,
}

impl Default for FileRules {
    fn default() -> Self {
        Self {
            octets: 25 * 1024 * 1024,
            files: 20,
            extra: Vec::new(),
        }
    }
}

/// A file that came with a form, as it came.
#[derive(Clone)]
pub struct Offered {
    /// Its name, as it is.
    pub name: String,
    /// Its type, as the browser says.
    pub declared: String,
    /// Its content.
    pub octets: Bytes,
}

/// A file that was taken.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// A safe name.
    pub name: String,
    /// What it is, by us.
    pub media_type: &'static str,
    /// Its content.
    pub octets: Bytes,
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered")
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// More files than may be.
    #[error("there are too many files")]
    TooMany,
    /// All together are too large.
    #[error("the files are too large together")]
    TooLarge,
    /// A program or an installer.
    #[error("it is a program")]
    Program,
    /// A script.
    #[error("it is a script")]
    Script,
    /// HTML, SVG and the like.
    #[error("it is a web page or a drawing that can run scripts")]
    Markup,
    /// A document with macros or with other files in it.
    #[error("it is a document with macros or embedded files")]
    Macro,
    /// A shortcut or settings.
    #[error("it is a shortcut or changes settings")]
    Shortcut,
    /// The image of a disk.
    #[error("it is the image of a disk")]
    Disk,
    /// A mail message, which holds other files.
    #[error("it is a mail message")]
    Message,
    /// An archive of a sort that is not looked into.
    #[error("it is an archive that cannot be looked into; a ZIP file can")]
    ClosedArchive,
    /// An archive with a password.
    #[error("it is an archive with a password")]
    LockedArchive,
    /// An archive in an archive.
    #[error("it is an archive with another one in it")]
    NestedArchive,
    /// An archive that is damaged, or has more in it than is looked at.
    #[error("it is an archive that is damaged or has too many files in it")]
    OddArchive,
    /// An archive with something in it that would be refused by itself.
    #[error("it is an archive with a file in it that is refused")]
    Inside,
    /// The operator refuses this sort.
    #[error("files of this sort are not accepted here")]
    Extra,
}

impl Why {
    /// The key of its text on the pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooLarge => "too_large",
            Self::Program => "program",
            Self::Script => "script",
            Self::Markup => "markup",
            Self::Macro => "macro",
            Self::Shortcut => "shortcut",
            Self::Disk => "disk",
            Self::Message => "message",
            Self::ClosedArchive => "closed_archive",
            Self::LockedArchive => "locked_archive",
            Self::NestedArchive => "nested_archive",
            Self::OddArchive => "odd_archive",
            Self::Inside => "inside",
            Self::Extra => "extra",
        }
    }
}

impl From<Danger> for Why {
    fn from(danger: Danger) -> Self {
        match danger {
            Danger::Program => Self::Program,
            Danger::Script => Self::Script,
            Danger::Markup => Self::Markup,
            Danger::Macro => Self::Macro,
            Danger::Shortcut => Self::Shortcut,
            Danger::Disk => Self::Disk,
        }
    }
}

/// A file that was refused.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its safe name, to be shown to the one who sent it; empty where it is about all of them.
    pub name: String,
    /// Why.
    pub why: Why,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({:?})", self.why)
    }
}

/// Takes all files, or says of each one that is refused why.
pub fn take(offered: &[Offered], rules: &FileRules) -> Result<Vec<File>, Vec<Refused>> {
    let of_all = |why| {
        let name = String::new();
        Err(vec![Refused { name, why }])
    };
    if offered.len() > rules.files.min(MAX_FILES) {
        return of_all(Why::TooMany);
    }
    let octets: u64 = offered.iter().map(|it| it.octets.len() as u64).sum();
    if octets > rules.octets {
        return of_all(Why::TooLarge);
    }
    let mut taken = Vec::new();
    let mut refused = Vec::new();
    for one in offered {
        match judge(&one.name, &one.declared, &one.octets, rules) {
            Ok(file) => taken.push(file),
            Err(why) => refused.push(Refused {
                name: file_name(&one.name),
                why,
            }),
        }
    }
    if refused.is_empty() {
        Ok(taken)
    } else {
        Err(refused)
    }
}

/// Judges one file.
pub fn judge(name: &str, declared: &str, octets: &Bytes, rules: &FileRules) -> Result<File, Why> {
    if octets.len() as u64 > rules.octets {
        return Err(Why::TooLarge);
    }
    let name = file_name(name);
    let declared = declared.split(';').next().unwrap_or_default().trim();
    let seen = look(&name, &declared.to_ascii_lowercase(), octets);
    if let Some(danger) = seen.danger {
        return Err(danger.into());
    }
    let ending = extension(&name).unwrap_or_default().to_lowercase();
    // Whoever looks at `letter.exe.` or `letter.exe_` may still see a program.
    let words = name.split('.').skip(1).map(|it| it.trim_end_matches('_'));
    if let Some(danger) = words.last().and_then(danger_of) {
        return Err(danger.into());
    }
    if seen.sort == Sort::Message {
        return Err(Why::Message);
    }
    if is_extra(&ending, &seen, rules) {
        return Err(Why::Extra);
    }
    match Magic::of(octets) {
        Magic::Zip => archive::zip(octets, is_office(&seen))?,
        Magic::Compound => archive::compound(octets)?,
        Magic::Rtf => archive::rtf(octets)?,
        Magic::Closed => return Err(Why::ClosedArchive),
        Magic::Raster(_) | Magic::Pdf | Magic::Dangerous(_) | Magic::Text | Magic::Nothing => {
            if seen.sort == Sort::Archive {
                return Err(Why::ClosedArchive);
            }
            archive::appended(octets)?;
        }
    }
    Ok(File {
        name,
        media_type: seen.media_type,
        octets: octets.clone(),
    })
}

fn is_office(seen: &Look) -> bool {
    matches!(seen.sort, Sort::Document | Sort::Sheet | Sort::Slides)
}

/// Whether the operator refuses it.
fn is_extra(ending: &str, seen: &Look, rules: &FileRules) -> bool {
    rules.extra.iter().any(|rule| {
        let rule = rule.trim().to_lowercase();
        match rule.split_once('/') {
            Some((group, "*")) => seen
                .media_type
                .split_once('/')
                .is_some_and(|(own, _)| own == group),
            Some(_) => seen.media_type == rule,
            None => {
                let rule = rule.trim_start_matches(['*', '.']);
                !rule.is_empty() && (ending == rule || seen.extension == rule)
            }
        }
    })
}

#[cfg(test)]
mod tests;
