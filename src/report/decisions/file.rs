//! The files of the decision records: their names, how long they stay, and where the chain of
//! what is there ends.
//!
//! After a crash the newest file may end in part of a batch. Nobody was told that it is durable.
//! What stands behind the last line that can be read is cut off, and kept in `quarantine/`: it
//! may be more than a crash, and evidence is not thrown away. Older lines are not looked at here.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::{self, Chain};
use super::{DecisionsError, MAX_LINE_OCTETS, QUARANTINE};
use crate::mail::Timestamp;

const DAY: u64 = 24 * 60 * 60;
/// The longest time without a decision that is believed when files are counted as old.
const LONGEST_PAUSE: Duration = Duration::from_secs(31 * DAY);
/// The end of a file name.
const EXTENSION: &str = ".jsonl";
/// What is read of a file's end at first; doubled until a line is found.
const FIRST_WINDOW: u64 = 256 * 1024;
/// A file whose end shows no line in as much as this is not ours.
const MAX_WINDOW: u64 = 2 * MAX_LINE_OCTETS as u64;
/// For the owner alone: who writes to whom, and why.
const FILE_MODE: u32 = 0o600;

/// A UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u64);

impl Day {
    /// The day of a moment.
    pub const fn of(moment: Timestamp) -> Self {
        Self(moment.as_secs() / DAY)
    }

    /// Its beginning.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_secs(self.0.saturating_mul(DAY))
    }

    /// Its end.
    pub fn ends(self) -> Timestamp {
        self.begins() + Duration::from_secs(DAY)
    }

    /// Reads `2026-11-22`.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Self::of(Timestamp::from_rfc3339(&format!("{text}T00:00:00Z"))?);
        (day.to_string() == text).then_some(day)
    }

    /// The name of its file.
    pub fn file_name(self) -> String {
        format!("{self}{EXTENSION}")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.begins().to_rfc3339();
        f.write_str(text.get(..10).unwrap_or_default())
    }
}

/// The files of a directory, oldest first; other names are left alone.
pub(super) fn list(directory: &Path) -> Result<Vec<(Day, PathBuf)>, DecisionsError> {
    let unlisted = DecisionsError::io("list", directory);
    let names = || -> io::Result<Vec<(Day, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            if let Some(day) = day.and_then(Day::parse) {
                found.push((day, directory.join(name)));
            }
        }
        found.sort_unstable();
        Ok(found)
    };
    names().map_err(unlisted)
}

/// Makes the file of a new day, its name durable.
pub(super) fn create(directory: &Path, day: Day) -> Result<File, DecisionsError> {
    let path = directory.join(day.file_name());
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(DecisionsError::io("make", &path))?;
    sync_directory(directory)?;
    Ok(file)
}

fn sync_directory(directory: &Path) -> Result<(), DecisionsError> {
    File::open(directory)
        .and_then(|names| names.sync_all())
        .map_err(DecisionsError::io("sync", directory))
}

/// Removes files of days that ended longer ago than `retention`, the newest one never; their
/// names.
pub(super) fn expire(
    directory: &Path,
    retention: Duration,
    now: Timestamp,
) -> Result<Vec<String>, DecisionsError> {
    let mut files = list(directory)?;
    files.pop();
    // A clock that leaps must not take the evidence with it: no file is older than those who came
    // after it say, give or take a pause of the daemon.
    let Some((latest, _)) = files.last() else {
        return Ok(Vec::new());
    };
    let now = now.min(latest.ends() + LONGEST_PAUSE);
    let mut removed = Vec::new();
    for (day, path) in files {
        if day.ends() + retention > now {
            break; // Never one from the middle.
        }
        fs::remove_file(&path).map_err(DecisionsError::io("remove", &path))?;
        removed.push(day.file_name());
    }
    if !removed.is_empty() {
        sync_directory(directory)?;
    }
    Ok(removed)
}

/// A torn end that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Of this file.
    pub file: String,
    /// So many octets.
    pub octets: u64,
    /// Their SHA-256 as hex.
    pub sha256: String,
    /// Where they are kept now.
    pub kept: PathBuf,
}

/// The end of what is there.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) chain: Chain,
    /// The newest file, to be continued.
    pub(super) newest: Option<(Day, File)>,
    /// Newest first.
    pub(super) cuts: Vec<Cut>,
}

/// Finds the end of the chain, and cuts off what is torn behind it.
pub(super) fn end(directory: &Path) -> Result<End, DecisionsError> {
    let mut found = End::default();
    for (day, path) in list(directory)?.into_iter().rev() {
        let failed = || DecisionsError::io("read", &path);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(failed())?;
        let octets = file.metadata().map_err(failed())?.len();
        let (chain, whole) = match last_line(&mut file, octets).map_err(failed())? {
            Last::Found(chain, whole) => (Some(chain), whole),
            Last::Nothing => (None, 0),
            Last::Foreign => return Err(DecisionsError::Foreign(path)),
        };
        if whole < octets {
            let name = day.file_name();
            let cut = cut(directory, &mut file, name, whole).map_err(failed())?;
            found.cuts.push(cut);
        }
        if let Some(chain) = chain {
            found.chain = chain;
            found.newest = Some((day, file));
            break;
        }
        // Not one line of it was ever durable: the day begins anew.
        fs::remove_file(&path).map_err(DecisionsError::io("remove", &path))?;
        sync_directory(directory)?;
    }
    Ok(found)
}

enum Last {
    /// The chain behind the last line, and the octets up to its newline.
    Found(Chain, u64),
    /// No line in the whole file.
    Nothing,
    /// No line in [`MAX_WINDOW`].
    Foreign,
}

fn last_line(file: &mut File, octets: u64) -> io::Result<Last> {
    let mut window = FIRST_WINDOW;
    loop {
        let size = window.min(octets);
        let start = octets - size;
        let tail = read_range(file, start, size)?;
        // Without the whole file, the first line of the window has lost its beginning.
        let skip = match start {
            0 => 0,
            _ => memchr::memchr(b'\n', &tail).map_or(tail.len(), |at| at + 1),
        };
        let mut end = memchr::memrchr(b'\n', &tail);
        while let Some(newline) = end.filter(|newline| *newline >= skip) {
            let before = tail.get(..newline).unwrap_or_default();
            let begin = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            let text = before.get(begin.max(skip)..).unwrap_or_default();
            if let Some(parsed) = line::parse(text) {
                let chain = Chain {
                    sequence: parsed.entry.sequence,
                    last: line::hash(text),
                };
                return Ok(Last::Found(chain, start + newline as u64 + 1));
            }
            end = begin.checked_sub(1);
        }
        if start == 0 {
            return Ok(Last::Nothing);
        }
        if window >= MAX_WINDOW {
            return Ok(Last::Foreign);
        }
        window *= 2;
    }
}

fn read_range(file: &mut File, start: u64, octets: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(octets).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Moves what stands behind `whole` into the quarantine, durably, then cuts it off.
fn cut(directory: &Path, file: &mut File, name: String, whole: u64) -> io::Result<Cut> {
    let octets = file.metadata()?.len() - whole;
    let torn = read_range(file, whole, octets)?;
    let quarantine = directory.join(QUARANTINE);
    fs::create_dir_all(&quarantine)?;
    let kept = quarantine.join(format!("{name}.{whole}"));
    let mut copy = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&kept)?;
    copy.write_all(&torn)?;
    copy.sync_all()?;
    File::open(&quarantine)?.sync_all()?;
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(Cut {
        file: name,
        octets,
        sha256: line::hex(&line::hash(&torn)),
        kept,
    })
}
