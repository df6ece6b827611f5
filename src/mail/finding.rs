//! What the detectors found in a message, and what could not be read: never the matched text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most findings that are kept of one message; more of the same say nothing new.
pub const MAX_FINDINGS: usize = 100;
/// Most findings of one detector in one part that are kept.
pub const MAX_FINDINGS_PER_DETECTOR: usize = 5;

/// A detector fired.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// The detector's name: one of those shipped (`us-ssn`), or the operator's own.
    pub detector: Arc<str>,
    /// The MIME part, counted from 0 in the order of the message, containers included. A document
    /// within an archive counts as its part.
    pub part: u32,
    /// Octets into the part's text as the detectors saw it: decoded, UTF-8.
    pub offset: u64,
}

/// Why a part could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It needs a password or a key.
    Encrypted,
    /// It is not what it claims to be, or is broken.
    Damaged,
    /// Its transfer or character encoding is broken or unknown.
    Encoding,
    /// Over a bound of size or expansion.
    TooLarge,
    /// Over a bound of nesting or number of parts.
    TooDeep,
    /// Its reader ran out of time.
    Timeout,
    /// Its reader died.
    ReaderDied,
    /// A kind of file that nothing here reads.
    UnknownKind,
    /// A picture, sound or film: it may show anything.
    Media,
    /// A document without any text, such as a scanned page.
    NoText,
}

impl Unreadable {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Encrypted,
        Self::Damaged,
        Self::Encoding,
        Self::TooLarge,
        Self::TooDeep,
        Self::Timeout,
        Self::ReaderDied,
        Self::UnknownKind,
        Self::Media,
        Self::NoText,
    ];

    /// The word in configuration, log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Damaged => "damaged",
            Self::Encoding => "encoding",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::Timeout => "timeout",
            Self::ReaderDied => "reader_died",
            Self::UnknownKind => "unknown_kind",
            Self::Media => "media",
            Self::NoText => "no_text",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unscannable {
    /// The MIME part, counted as in [`Finding::part`].
    pub part: u32,
    /// Why.
    pub why: Unreadable,
}

/// All that scanning a message showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// What fired, in the order of the message; at most [`MAX_FINDINGS`], and of each detector at
    /// least the first.
    pub found: Vec<Finding>,
    /// What could not be read; at most [`MAX_FINDINGS`].
    pub unscannable: Vec<Unscannable>,
}
