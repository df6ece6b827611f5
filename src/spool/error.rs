//! What can go wrong with the spool.

use std::io;
use std::path::PathBuf;

use crate::journal::{CryptError, JournalError};
use crate::mail::MessageId;

/// An operation of the spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The volume is nearly full: nothing more is taken in, deliveries go on.
    #[error("the volume of the spool is nearly full")]
    Full,
    /// Another process has the spool open.
    #[error("another process is using the spool {}", .0.display())]
    Locked(PathBuf),
    /// The spool was written under another master key. Nothing was changed.
    #[error("the master key is not the one that the spool was written with")]
    WrongKey,
    /// What is stored of a message is not what was written. Other messages are not affected.
    #[error("what the spool holds of message {id} is damaged")]
    Damaged {
        /// The message.
        id: MessageId,
    },
    /// The spool has no such message, or it is done.
    #[error("the spool holds no message {id}")]
    Unknown {
        /// The message.
        id: MessageId,
    },
    /// A message of this id is there already.
    #[error("the spool holds a message {id} already")]
    Duplicate {
        /// The message.
        id: MessageId,
    },
    /// A change that contradicts itself: a body staged for another message, or used twice.
    #[error("the body was not staged for message {id}")]
    Mismatch {
        /// The message.
        id: MessageId,
    },
    /// The journal below failed.
    #[error("the journal of the spool failed")]
    Journal(#[source] JournalError),
    /// Sealing failed.
    #[error("cannot seal for the spool")]
    Crypt(#[from] CryptError),
    /// A value could not be put in its stored form.
    #[error("cannot encode for the spool")]
    Encode(#[source] postcard::Error),
    /// A body's file refused an operation.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A task of the spool was ended before it was done; only while the process stops.
    #[error("a task of the spool was interrupted")]
    Interrupted,
}

impl SpoolError {
    /// For `map_err`: puts the operation and the file to an error of the system.
    pub(super) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}

impl From<JournalError> for SpoolError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Locked(path) => Self::Locked(path),
            JournalError::WrongKey => Self::WrongKey,
            error => Self::Journal(error),
        }
    }
}
