//! How much of a message and of a document is read.

use std::time::Duration;

/// The bounds of reading. What is over one of them is unscannable, never skipped in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time for one document.
    pub time: Duration,
    /// Longest time for all documents of a message together.
    pub message_time: Duration,
    /// Most memory of a worker, in octets.
    pub memory: u64,
    /// Most octets that one document may expand to, all its members together.
    pub expanded: u64,
    /// Deepest nesting of archives, encoded messages and embedded documents.
    pub depth: u32,
    /// Most members of a document, at all depths together.
    pub entries: u32,
    /// Most octets of text that are taken from one document.
    pub text: u64,
    /// Most octets of text of a message that detectors look at.
    pub message_text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            message_time: Duration::from_secs(60),
            memory: 512 << 20,
            expanded: 64 << 20,
            depth: 3,
            entries: 1000,
            text: 16 << 20,
            message_text: 64 << 20,
        }
    }
}
