//! Changing the users file: add, passwd, remove.
//!
//! The text around a change stays as people wrote it, comments and all; only where the result
//! would not say what it must is the file written anew. Each change is atomic (a new file,
//! synced, renamed over the old one, the directory synced) and the result is mode 0600, with the
//! owner that the file had. Two changes at a time wait for each other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Uid, fchown, flock};

use super::{Mistake, PasswordError, RawFile, Users, UsersError, check_name, hash, read_private};
use crate::mail::{AddressPattern, SecretBytes};

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file as it is cannot be used.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// There is such an account already.
    #[error("there is a user {0:?} already: use `sealpost user passwd`")]
    Exists(String),
    /// There is no such account.
    #[error("there is no user {0:?}")]
    NoSuchUser(String),
    /// The name cannot be one.
    #[error("{0}")]
    Name(&'static str),
    /// An account that may send as nobody is of no use.
    #[error("name at least one sender, as in --sender billing@clinic.example")]
    NoSenders,
    /// The password cannot be one.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The new file could not be put in place.
    #[error("the users file {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Adds an account; makes the file if there is none.
pub fn add(
    path: &Path,
    name: &str,
    senders: &[AddressPattern],
    password: &SecretBytes,
) -> Result<(), EditError> {
    check_name(name).map_err(EditError::Name)?;
    if senders.is_empty() {
        return Err(EditError::NoSenders);
    }
    let entry = Entry {
        name: name.to_owned(),
        password: hash(password)?,
        senders: senders.iter().map(ToString::to_string).collect(),
    };
    change(path, true, |text, entries| {
        if entries.iter().any(|other| other.name == entry.name) {
            return Err(EditError::Exists(entry.name.clone()));
        }
        let mut edited = text.to_owned();
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push('\n');
        }
        if !edited.is_empty() {
            edited.push('\n');
        }
        edited.push_str(&entry.to_toml());
        entries.push(entry.clone());
        Ok(edited)
    })
}

/// Gives an account another password.
pub fn passwd(path: &Path, name: &str, password: &SecretBytes) -> Result<(), EditError> {
    let password = hash(password)?;
    change(path, false, |text, entries| {
        let at = position(entries, name)?;
        if let Some(entry) = entries.get_mut(at) {
            entry.password.clone_from(&password);
        }
        let raw = parse(text)?;
        let span = raw.user.get(at).map(|user| user.password.span());
        let (Some(before), Some(after)) = (
            span.as_ref().and_then(|span| text.get(..span.start)),
            span.as_ref().and_then(|span| text.get(span.end..)),
        ) else {
            return Ok(String::new());
        };
        Ok(format!("{before}{}{after}", quoted(&password)))
    })
}

/// Removes an account.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    change(path, false, |text, entries| {
        let at = position(entries, name)?;
        entries.remove(at);
        let raw = parse(text)?;
        let start = raw.user.get(at).map_or(0, |user| user.name.span().start);
        Ok(without_block(text, start))
    })
}

/// The text without the `[[user]]` block that holds the octet `at`. Comments that stand directly
/// above the next block stay with it.
fn without_block(text: &str, at: usize) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut offset = 0;
    let mut inside = 0;
    for (number, line) in lines.iter().enumerate() {
        if offset <= at {
            inside = number;
        }
        offset += line.len();
    }
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let first = (0..=inside)
        .rev()
        .find(|&number| lines.get(number).is_some_and(|line| is_header(line)))
        .unwrap_or(inside);
    let mut end = (inside + 1..lines.len())
        .find(|&number| lines.get(number).is_some_and(|line| is_header(line)))
        .unwrap_or(lines.len());
    if end < lines.len() {
        while end > inside + 1
            && lines
                .get(end - 1)
                .is_some_and(|line| line.trim_start().starts_with('#'))
        {
            end -= 1;
        }
    }
    lines
        .iter()
        .enumerate()
        .filter(|(number, _)| !(first..end).contains(number))
        .map(|(_, line)| *line)
        .collect()
}

/// An account as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    password: String,
    senders: Vec<String>,
}

impl Entry {
    fn to_toml(&self) -> String {
        let senders: Vec<String> = self.senders.iter().map(|text| quoted(text)).collect();
        format!(
            "[[user]]\nname = {}\npassword = {}\nsenders = [{}]\n",
            quoted(&self.name),
            quoted(&self.password),
            senders.join(", ")
        )
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn entries_of(raw: RawFile) -> Vec<Entry> {
    raw.user
        .into_iter()
        .map(|user| Entry {
            name: user.name.into_inner(),
            password: user.password.into_inner(),
            senders: user
                .senders
                .into_inner()
                .into_iter()
                .map(toml::Spanned::into_inner)
                .collect(),
        })
        .collect()
}

fn position(entries: &[Entry], name: &str) -> Result<usize, EditError> {
    entries
        .iter()
        .position(|entry| entry.name == name)
        .ok_or_else(|| EditError::NoSuchUser(name.to_owned()))
}

fn parse(text: &str) -> Result<RawFile, EditError> {
    toml::from_str(text).map_err(|error| {
        let mistake = Mistake::new(0, error.message().to_owned());
        EditError::Users(mistake.at(Path::new(""), text))
    })
}

/// Reads, edits the text, checks that it says what it must, and writes.
fn change(
    path: &Path,
    may_create: bool,
    edit: impl FnOnce(&str, &mut Vec<Entry>) -> Result<String, EditError>,
) -> Result<(), EditError> {
    let failed = |source| EditError::Write {
        path: path.to_owned(),
        source,
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let directory = File::open(parent).map_err(failed)?;
    flock(&directory, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let missing = may_create && !path.try_exists().map_err(failed)?;
    let text = if missing {
        String::new()
    } else {
        read_private(path)?
    };
    Users::parse(&text).map_err(|mistake| mistake.at(path, &text))?;
    let mut entries = entries_of(parse(&text)?);
    let mut edited = edit(&text, &mut entries)?;
    let says = |text: &str| {
        Users::parse(text).is_ok() && parse(text).is_ok_and(|raw| entries_of(raw) == entries)
    };
    if !says(&edited) {
        let blocks: Vec<String> = entries.iter().map(Entry::to_toml).collect();
        edited = blocks.join("\n");
    }
    Users::parse(&edited).map_err(|mistake| mistake.at(path, &edited))?;
    replace(path, &directory, &edited).map_err(failed)
}

/// Puts `text` in the place of the file: a new file beside it, synced, renamed over it.
fn replace(path: &Path, directory: &File, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Ok(()) => {} // left by a change that was cut short
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = keep_owner(path, &file)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| directory.sync_all());
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

/// Root may edit the file of the daemon's user, who must still be able to read it.
fn keep_owner(path: &Path, file: &File) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) == (new.uid(), new.gid()) {
        return Ok(());
    }
    fchown(
        file,
        Some(Uid::from_raw(old.uid())),
        Some(Gid::from_raw(old.gid())),
    )?;
    Ok(())
}
