//! The asking end of the portal's socket: blocking, for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::super::Failure;
use super::super::unanswered::{self, Why};
use crate::proto::link::{Answer, FrameError, MAX_LINE_OCTETS, Refusal, ToPortal, encode};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// There is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// Nobody listens.
    #[error("no portal answers on {}", .0.display())]
    NoPortal(PathBuf, #[source] io::Error),
    /// We may not open the socket.
    #[error("{} may not be opened by this user", .0.display())]
    Forbidden(PathBuf),
    /// It takes longer than we wait. What changes something may still be done.
    #[error("the portal has not answered in time")]
    Late,
    /// The conversation broke.
    #[error("the portal did not answer")]
    Broken(#[source] io::Error),
    /// The request cannot be written.
    #[error("this cannot be asked")]
    Unsaid(#[source] FrameError),
    /// Another version's words.
    #[error("the portal's answer is not understood; is it of another version?")]
    Unknown(#[source] serde_json::Error),
    /// The portal said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Asks the portal behind the socket `path` one thing.
pub(super) fn ask<T: DeserializeOwned>(path: &Path, request: &ToPortal) -> Result<T, Failure> {
    exchange(path, request).map_err(|error| explain(&error))
}

fn exchange<T: DeserializeOwned>(path: &Path, request: &ToPortal) -> Result<T, AskError> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
        _ => AskError::NoPortal(path.to_owned(), error),
    })?;
    let line = encode(request).map_err(AskError::Unsaid)?;
    let answer = spoken(&stream, &line).map_err(|error| match error.kind() {
        // What a read that timed out is called differs between systems.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Late,
        _ => AskError::Broken(error),
    })?;
    match serde_json::from_slice(&answer).map_err(AskError::Unknown)? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(refusal) => Err(refusal.into()),
    }
}

fn spoken(mut stream: &UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line)?;
    let mut answer = Vec::new();
    let most = u64::try_from(MAX_LINE_OCTETS).unwrap_or(u64::MAX);
    BufReader::new(stream)
        .take(most)
        .read_until(b'\n', &mut answer)?;
    match answer.last() {
        Some(b'\n') => Ok(answer),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn explain(error: &AskError) -> Failure {
    let why = match error {
        AskError::NoPortal(..) => Why::Nobody,
        AskError::Forbidden(_) => Why::Forbidden,
        AskError::Late => Why::Late,
        AskError::Broken(_) => Why::Broken,
        AskError::Unsaid(_) => Why::Unsaid,
        AskError::Unknown(_) => Why::Unknown,
        AskError::Refused(refusal) => Why::Refused(refusal.code),
    };
    unanswered::PORTAL.explain(error, why)
}
