//! The asking end of the socket: blocking, for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Answer, MAX_ANSWER_OCTETS, Refusal, Request};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take where more has to be done for it.
const LONG: Duration = Duration::from_secs(180);

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no daemon answers on {}", .0.display())]
    NoDaemon(PathBuf, #[source] io::Error),
    /// We may not open the socket.
    #[error("{} may not be opened by this user", .0.display())]
    Forbidden(PathBuf),
    /// It takes longer than we wait. What changes something may still be done.
    #[error("the daemon has not answered in time")]
    Late,
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

/// Asks the daemon behind the socket `path` one thing.
pub fn ask<T: DeserializeOwned>(path: &Path, request: &Request) -> Result<T, AskError> {
    Conversation::begin(path)?.ask(request)
}

/// A connection on which one thing is asked after the other.
#[derive(Debug)]
pub struct Conversation(BufReader<UnixStream>);

impl Conversation {
    /// Connects to the daemon behind the socket `path`.
    pub fn begin(path: &Path) -> Result<Self, AskError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
            _ => AskError::NoDaemon(path.to_owned(), error),
        })?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks, and waits for the answer.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, AskError> {
        let line = self.exchange(request).map_err(|error| match error.kind() {
            // What a read that timed out is called differs between systems.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Late,
            _ => AskError::Broken(error),
        })?;
        match serde_json::from_slice(&line).map_err(AskError::Unknown)? {
            Answer::Ok(value) => Ok(value),
            Answer::Error(refusal) => Err(refusal.into()),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let patience = match request {
            // Servers elsewhere are asked, or much is written.
            Request::CertLookup(_) | Request::CertShow { .. } | Request::CertImport(_) => LONG,
            _ => PATIENCE,
        };
        let stream = self.0.get_mut();
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = Vec::new();
        let mut bounded = (&mut self.0).take(MAX_ANSWER_OCTETS);
        bounded.read_until(b'\n', &mut answer)?;
        if answer.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}
