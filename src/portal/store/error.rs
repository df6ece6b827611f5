//! What can go wrong with the portal's store, and what the other end is told of it.

use std::io;
use std::path::PathBuf;

use crate::journal::{CryptError, JournalError};
use crate::mail::{Reference, Timestamp};
use crate::proto::link::{Code, DepositState, Refusal};
use crate::tables::TableError;

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("another process is using the portal's store {}", .0.display())]
    Locked(PathBuf),
    /// It was written under another master key. Nothing was changed.
    #[error("the master key is not the one that the portal's store was written with")]
    WrongKey,
    /// The key file is not one, or another store's.
    #[error("cannot use the key file {}: {why}", .path.display())]
    Slots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The journal below failed.
    #[error("the journal of the portal failed")]
    Journal(#[source] JournalError),
    /// A table failed.
    #[error("a table of the portal failed")]
    Table(#[from] TableError),
    /// Sealing failed.
    #[error("cannot seal for the portal")]
    Crypt(#[from] CryptError),
    /// A file refused an operation.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is stored of a deposit is not what was written.
    #[error("what the portal holds under {0} is damaged")]
    Damaged(Reference),
    /// There is no such deposit.
    #[error("there is no such message in the portal")]
    Unknown,
    /// It has ended.
    #[error("the message is no longer in the portal: {}", .0.as_str())]
    Ended(DepositState),
    /// Larger than a message may be.
    #[error("the message is larger than {most} octets, the most that the portal takes")]
    TooLarge {
        /// The bound.
        most: u64,
    },
    /// Fewer or more octets came than were announced.
    #[error("the content is not as long as was announced")]
    Length,
    /// The volume is nearly full.
    #[error("the volume of the portal is nearly full")]
    Full,
    /// As many deposits as there may be.
    #[error("the portal holds as many messages as it may")]
    TooMany,
    /// As many as one mailbox may have.
    #[error("as many messages wait for this recipient as may")]
    MailboxFull,
    /// More is owed to the line, or more replies are there, than may be.
    #[error("too much waits to be sent")]
    Backlog,
    /// The reference is another deposit's.
    #[error("the reference is another message's")]
    Taken,
    /// The expiry lies in the past.
    #[error("the expiry lies in the past")]
    Expiry,
    /// The expiry lies too far ahead.
    #[error("the expiry lies more than 365 days ahead")]
    TooFar,
    /// An extension that would be none.
    #[error("it expires later than that already, at {}; name the earlier time itself if it is meant", .0.to_rfc3339())]
    Shorter(Timestamp),
    /// The line took it back while it arrived, or it ended then.
    #[error("the message was taken back while it arrived")]
    Overtaken,
    /// Too much is being read at once.
    #[error("the portal is busy")]
    Busy,
    /// The sender's secret could not be hashed.
    #[error("the secret could not be hashed")]
    Secret,
    /// A durable write failed before: nothing more is written until the next start.
    #[error("the portal's store has stopped after a failed write")]
    Failed,
    /// A task was ended before it was done; only while the process stops.
    #[error("a task of the portal's store was interrupted")]
    Interrupted,
}

impl StoreError {
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

    /// The word for programs: whether it will be the same tomorrow.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::NotFound,
            Self::Ended(DepositState::Retracted) => Code::Retracted,
            Self::Ended(_)
            | Self::TooLarge { .. }
            | Self::Expiry
            | Self::TooFar
            | Self::Shorter(_) => Code::Refused,
            Self::Table(TableError::TooLarge { .. }) => Code::Refused,
            Self::Taken | Self::Length => Code::BadRequest,
            Self::Failed | Self::Interrupted => Code::Stopping,
            Self::Locked(_)
            | Self::WrongKey
            | Self::Slots { .. }
            | Self::Journal(_)
            | Self::Table(_)
            | Self::Crypt(_)
            | Self::Io { .. }
            | Self::Damaged(_)
            | Self::Full
            | Self::TooMany
            | Self::MailboxFull
            | Self::Backlog
            | Self::Overtaken
            | Self::Busy
            | Self::Secret => Code::Temporary,
        }
    }

    /// As it is told over the socket. Paths stay here: the other end has no use for them.
    pub fn refusal(&self) -> Refusal {
        let text = match self {
            Self::Io { .. } | Self::Slots { .. } | Self::Locked(_) => {
                "the portal's store has failed; its log says more".to_owned()
            }
            error => error.to_string(),
        };
        Refusal::new(self.code(), text)
    }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Locked(path) => Self::Locked(path),
            JournalError::WrongKey => Self::WrongKey,
            error => Self::Journal(error),
        }
    }
}

/// Why a message is not handed out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such deposit.
    #[error("there is no such message in the portal")]
    Unknown,
    /// It has ended.
    #[error("the message is no longer in the portal: {}", .0.as_str())]
    Ended(DepositState),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown => Self::Unknown,
            StoreError::Ended(state) => Self::Ended(state),
            error => Self::Store(error),
        }
    }
}
