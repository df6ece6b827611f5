//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crypt::CryptError;

/// An operation of the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process (or another part of this one) has the directory open.
    #[error("another process is using {}", .0.display())]
    Locked(PathBuf),
    /// The journal was written under another master key. Nothing was changed.
    #[error("the master key is not the one that this spool was written with")]
    WrongKey,
    /// The `meta` file is missing beside existing segments, broken, or of a later version.
    #[error("cannot use {}: {why}", .path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The segment size is out of its bounds.
    #[error("a segment of {0} octets is not possible: a multiple of 4096 from 64 KiB to 1 GiB")]
    SegmentSize(u64),
    /// A record that no segment can hold.
    #[error("a record of {octets} octets is larger than a segment can hold ({most})")]
    TooLarge {
        /// What it needs.
        octets: u64,
        /// What fits.
        most: u64,
    },
    /// The operating system refused an operation.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A stored record is not what was written there.
    #[error("the record at {offset} in segment {segment:016x} is damaged")]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// The octet that it begins at.
        offset: u64,
    },
    /// Sealing or unsealing failed.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// An earlier write failed. Nothing is ever retried on that descriptor: the process ends and
    /// recovers from what the disk really holds.
    #[error("the journal has stopped after a failed write")]
    Failed(#[source] Arc<JournalError>),
    /// The journal was closed, or its writer is gone.
    #[error("the journal is closed")]
    Closed,
    /// A thread could not be started.
    #[error("cannot start a thread of the journal")]
    Thread(#[source] io::Error),
}

impl JournalError {
    /// For `map_err`: puts the operation and the file to an error of the system.
    pub(crate) fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
