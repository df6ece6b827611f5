//! One question to the line: connect, write, read the answer.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::proto::link::{Answer, Code, Decoder, Refusal, ToLine, encode};

/// How long one step may take: a piece written, or the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Octets of content written at once.
const PIECE_OCTETS: usize = 256 * 1024;
/// Octets of an answer read at once.
const READ_OCTETS: usize = 4096;

/// The line gave no answer, or said no.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens on the line's socket.
    #[error("the line does not answer on its socket")]
    NoLine(#[source] io::Error),
    /// The conversation broke.
    #[error("the line broke off")]
    Broken(#[source] io::Error),
    /// It takes too long.
    #[error("the line has not answered in time")]
    Late,
    /// The words are another version's.
    #[error("the line's answer is not understood")]
    NotUnderstood,
    /// The line said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AskError {
    /// Whether the same question would be answered so tomorrow.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused(refusal) => match refusal.code {
                Code::BadRequest | Code::NotFound | Code::Refused | Code::Retracted => true,
                Code::Temporary | Code::Stopping => false,
            },
            Self::NoLine(_) | Self::Broken(_) | Self::Late | Self::NotUnderstood => false,
        }
    }
}

impl AskError {
    /// Whether it may lie in what was asked, and not in a line that is not there, or not for now.
    pub(super) fn is_particular(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.code != Code::Stopping,
            Self::NoLine(_) => false,
            Self::Broken(_) | Self::Late | Self::NotUnderstood => true,
        }
    }
}

/// Asks, with the content that the request announces.
pub(super) async fn ask<T: DeserializeOwned>(
    socket: &Path,
    request: &ToLine,
    content: Option<Bytes>,
) -> Result<T, AskError> {
    let line = encode(request).map_err(|_| AskError::NotUnderstood)?;
    let connect = timeout(PATIENCE, UnixStream::connect(socket)).await;
    let mut stream = connect
        .map_err(|_| AskError::Late)?
        .map_err(AskError::NoLine)?;
    let written = async {
        write(&mut stream, &line).await?;
        for piece in content
            .iter()
            .flat_map(|content| content.chunks(PIECE_OCTETS))
        {
            write(&mut stream, piece).await?;
        }
        Ok(())
    };
    // A line that refuses before it has read everything may close; its answer is there to be read.
    let written = written.await;
    match (read(&mut stream).await, written) {
        (Ok(answer), _) => answer,
        (Err(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
    }
}

async fn write(stream: &mut UnixStream, octets: &[u8]) -> Result<(), AskError> {
    timeout(PATIENCE, stream.write_all(octets))
        .await
        .map_err(|_| AskError::Late)?
        .map_err(AskError::Broken)
}

/// The answer: `Err` where there was none, `Ok(Err)` where it was a refusal.
async fn read<T: DeserializeOwned>(
    stream: &mut UnixStream,
) -> Result<Result<T, AskError>, AskError> {
    let mut decoder = Decoder::<Answer<T>>::default();
    let mut buffer = [0; READ_OCTETS];
    loop {
        match decoder.next_line() {
            Ok(Some(Answer::Ok(value))) => return Ok(Ok(value)),
            Ok(Some(Answer::Error(refusal))) => return Ok(Err(refusal.into())),
            Ok(None) => {}
            Err(_) => return Err(AskError::NotUnderstood),
        }
        let read = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .map_err(|_| AskError::Late)?
            .map_err(AskError::Broken)?;
        match buffer.get(..read) {
            Some(octets) if read > 0 => decoder.push(octets),
            _ => return Err(AskError::Broken(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}
