//! Reads the decision records back, oldest first, and checks every line against the chain.
//!
//! Owns what counts as broken, and how it is said: file, line, what is wrong with it. Memory: one
//! line. A broken place does not end the reading; what follows is checked against what stands
//! there.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, Day};
use super::line::{self, Chain, Entry, Kind};
use super::{DecisionsError, LOCK, MAX_LINE_OCTETS, PURPOSE};
use crate::journal::{Disk, MasterKey, OsDisk, Sealer};

/// Octets that are read at once.
const BUFFER_OCTETS: usize = 256 * 1024;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has no end.
    CutShort,
    /// It is no decision record.
    Unreadable,
    /// It was sealed under a key of this name.
    OtherKey(String),
    /// Its seal does not vouch for it.
    Changed,
    /// The first line of a file does not begin it: it is another day's, or lost its beginning.
    NoBeginning,
    /// A beginning in the middle of a file.
    Beginning,
    /// Lines between the one before and this are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
        /// The file that holds the line before.
        after: String,
    },
    /// A line with this number, or a higher one, stands before it.
    OutOfOrder {
        /// Its number.
        sequence: u64,
        /// The one that should stand here.
        expected: u64,
    },
    /// The line before is not the one that it was written behind.
    NotChained,
    /// The file cannot be read on.
    Io(Arc<str>),
}

/// A broken place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub why: Why,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        match &self.why {
            Why::CutShort => f.write_str(
                "the line is cut short; if a crash did it, the next start of the daemon cuts it off",
            ),
            Why::Unreadable => f.write_str("the line is no decision record"),
            Why::OtherKey(name) => write!(
                f,
                "the line was sealed under another master key (named {name}); put back the key that it was written with"
            ),
            Why::Changed => f.write_str("the line was changed after it was written"),
            Why::NoBeginning => f.write_str(
                "the file does not begin with the first line of its day: lines before this one are missing, or the file was renamed",
            ),
            Why::Beginning => f.write_str("the first line of a day stands inside a file"),
            Why::Missing { from, to, after } if from == to => {
                write!(f, "record {from} is missing, which stood behind the last line read of {after}, or in a file that is gone")
            }
            Why::Missing { from, to, after } => write!(
                f,
                "records {from} to {to} are missing, which stood behind the last line read of {after}, or in files that are gone"
            ),
            Why::OutOfOrder { sequence, expected } => write!(
                f,
                "record {sequence} stands where record {expected} should: lines were repeated or moved"
            ),
            Why::NotChained => f.write_str(
                "the line was written behind another one than stands before it: that one was changed or replaced",
            ),
            Why::Io(error) => write!(f, "cannot be read on: {error}"),
        }
    }
}

/// A line and its place.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// What it says.
    pub entry: Entry,
    /// Its hash in lower-case hex, which the next line names.
    pub hash: String,
}

/// Reads all files of a directory.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    sealer: Option<Sealer>,
    /// Those still to come, newest first.
    files: Vec<(Day, PathBuf)>,
    open: Option<Open>,
    /// Where the chain should go on; `None` at the beginning and behind a broken place.
    expected: Option<Chain>,
    /// The name of the file that the last good line stood in.
    after: String,
    /// A good line behind a broken place that was told first.
    pending: Option<Placed>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    day: Day,
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
    newest: bool,
}

impl Reader {
    /// Of the records in `directory`, from the files of `since` to those of `until`. Without the
    /// key facts stay sealed, and a change of the newest line is not seen.
    pub fn open(
        directory: &Path,
        key: Option<MasterKey>,
        since: Option<Day>,
        until: Option<Day>,
    ) -> Result<Self, DecisionsError> {
        let sealer = match key {
            Some(key) => Some(Sealer::new(key, PURPOSE)?),
            None => None,
        };
        let mut files = file::list(directory)?;
        files.retain(|(day, _)| {
            since.is_none_or(|since| *day >= since) && until.is_none_or(|until| *day <= until)
        });
        files.reverse();
        Ok(Self {
            directory: directory.to_owned(),
            sealer,
            files,
            open: None,
            expected: None,
            after: String::new(),
            pending: None,
            buffer: Vec::new(),
        })
    }

    /// Files that are still to be read, the open one included.
    pub fn files_left(&self) -> usize {
        self.files.len() + usize::from(self.open.is_some())
    }

    /// The octets of the next line, without its newline, and whether it had one.
    fn read(open: &mut Open, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        buffer.clear();
        let most = MAX_LINE_OCTETS as u64 + 1;
        (&mut open.lines).take(most).read_until(b'\n', buffer)?;
        if buffer.is_empty() {
            return Ok(None);
        }
        open.line += 1;
        let ended = buffer.last() == Some(&b'\n');
        if ended {
            buffer.pop();
        }
        Ok(Some(ended))
    }

    /// Whether a daemon is writing there now: then the newest line may be on its way.
    fn is_written(&self) -> bool {
        matches!(OsDisk.lock(&self.directory.join(LOCK)), Ok(None))
    }

    /// The line in the buffer; `None` where it is still being written. A line that is good in
    /// itself comes with what is wrong with its place, if anything is.
    fn judge(
        &mut self,
        ended: bool,
        newest: bool,
        place: (Day, u64),
    ) -> Option<Result<(Entry, Option<Why>), Why>> {
        if !ended {
            if newest && self.is_written() {
                return None;
            }
            return Some(Err(Why::CutShort));
        }
        let hash = line::hash(&self.buffer);
        let Some(parsed) = line::parse(&self.buffer) else {
            return Some(Err(Why::Unreadable));
        };
        let entry = match &self.sealer {
            None => parsed.entry,
            Some(sealer) if sealer.key_name() != parsed.entry.key => {
                return Some(Err(Why::OtherKey(parsed.entry.key)));
            }
            Some(sealer) => match parsed.unseal(sealer) {
                Some(entry) => entry,
                None => return Some(Err(Why::Changed)),
            },
        };
        let misplaced = match self.expected {
            Some(before) => self.misplaced(&entry, before),
            None => None,
        };
        let misplaced = misplaced.or(match (place, &entry.kind) {
            ((day, 1), Kind::Begin { day: said }) if *said == day => None,
            ((_, 1), _) => Some(Why::NoBeginning),
            (_, Kind::Begin { .. }) => Some(Why::Beginning),
            _ => None,
        });
        self.expected = Some(Chain {
            sequence: entry.sequence,
            last: hash,
        });
        Some(Ok((entry, misplaced)))
    }

    fn misplaced(&self, entry: &Entry, before: Chain) -> Option<Why> {
        let expected = before.sequence.saturating_add(1);
        let sequence = entry.sequence;
        if sequence > expected {
            return Some(Why::Missing {
                from: expected,
                to: sequence - 1,
                after: self.after.clone(),
            });
        }
        if sequence < expected {
            return Some(Why::OutOfOrder { sequence, expected });
        }
        (entry.previous != line::hex(&before.last)).then_some(Why::NotChained)
    }

    fn open_next(&mut self) -> Option<Result<Open, Broken>> {
        let (day, path) = self.files.pop()?;
        let opened = match File::open(&path) {
            Ok(file) => Ok(Open {
                day,
                path,
                lines: BufReader::with_capacity(BUFFER_OCTETS, file),
                line: 0,
                newest: self.files.is_empty(),
            }),
            Err(error) => Err(Broken {
                file: path,
                line: 0,
                why: Why::Io(error.to_string().into()),
            }),
        };
        Some(opened)
    }
}

impl Iterator for Reader {
    type Item = Result<Placed, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(placed) = self.pending.take() {
            return Some(Ok(placed));
        }
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.open_next()? {
                    Ok(open) => open,
                    Err(broken) => {
                        self.expected = None;
                        return Some(Err(broken));
                    }
                },
            };
            let judged = match Self::read(&mut open, &mut self.buffer) {
                Ok(None) => continue,
                Ok(Some(ended)) => match self.judge(ended, open.newest, (open.day, open.line)) {
                    Some(judged) => judged,
                    None => continue,
                },
                Err(error) => Err(Why::Io(error.to_string().into())),
            };
            let (file, line) = (open.path.clone(), open.line);
            let why = match judged {
                Ok((entry, misplaced)) => {
                    let name = open.path.file_name().unwrap_or_default();
                    let name = name.to_string_lossy();
                    if name != self.after {
                        self.after = name.into_owned();
                    }
                    self.open = Some(open);
                    let placed = Placed {
                        file: file.clone(),
                        line,
                        entry,
                        // Where the chain stands behind a line that was read.
                        hash: line::hex(&self.expected.unwrap_or_default().last),
                    };
                    let Some(why) = misplaced else {
                        return Some(Ok(placed));
                    };
                    self.pending = Some(placed);
                    why
                }
                Err(why) => {
                    self.expected = None;
                    // Behind a line without an end, or an unreadable octet, there is nothing.
                    if !matches!(why, Why::CutShort | Why::Io(_)) {
                        self.open = Some(open);
                    }
                    why
                }
            };
            return Some(Err(Broken { file, line, why }));
        }
    }
}
