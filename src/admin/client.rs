//! The asking end of the socket: blocking, for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Answer, MAX_ANSWER_OCTETS, Refusal, Request};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no daemon answers on {}", .0.display())]
    NoDaemon(PathBuf, #[source] io::Error),
    /// We may not open the socket.
    #[error("{} may not be opened by this user", .0.display())]
    Forbidden(PathBuf),
    /// The conversation broke.
    #[error("the daemon did not answer")]
    Broken(#[source] io::Error),
    /// Another version's words.
    #[error("the daemon's answer is not understood; is it of another version?")]
    Unknown(#[source] serde_json::Error),
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Asks the daemon behind the socket `path`.
pub fn ask<T: DeserializeOwned>(path: &Path, request: &Request) -> Result<T, AskError> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
        _ => AskError::NoDaemon(path.to_owned(), error),
    })?;
    let line = exchange(stream, request).map_err(AskError::Broken)?;
    match serde_json::from_slice(&line).map_err(AskError::Unknown)? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(refusal) => Err(refusal.into()),
    }
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream)
        .take(MAX_ANSWER_OCTETS)
        .read_until(b'\n', &mut answer)?;
    if answer.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}
