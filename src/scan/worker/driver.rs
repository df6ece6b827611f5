//! The parent's side: starts a worker for one document, gives it the document, takes its answer,
//! and ends it when its time is over.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::COMMAND;
use super::frame::{self, Answer, FRAME_OCTETS, Garbage};
use crate::mail::finding::Unreadable;
use crate::scan::limits::Limits;
use crate::scan::parts::Document;

/// One thing that a worker says.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// A text of the document.
    Text(String),
    /// The first octets of a member.
    Octets(Vec<u8>),
    /// The document, or something in it, could not be read.
    Unreadable(Unreadable),
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Never what is in it.
            Self::Text(text) => f.debug_tuple("Text").field(&text.len()).finish(),
            Self::Octets(octets) => f.debug_tuple("Octets").field(&octets.len()).finish(),
            Self::Unreadable(why) => f.debug_tuple("Unreadable").field(why).finish(),
        }
    }
}

/// Has `program` read `document` as a worker. A worker that dies, talks nonsense or takes too long
/// is an answer; an error is that none could be started.
pub async fn read(program: &Path, limits: &Limits, document: &Document) -> io::Result<Vec<Piece>> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .arg(limits.memory.to_string())
        .arg((limits.time.as_secs() + 1).to_string())
        .env_clear()
        // The allocator must not set aside a gigabyte before there is a bound on memory.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe));
    };
    let mut answer = Answer::new(limits);
    let talk = async {
        let give = give(stdin, document, limits);
        let (given, taken) = tokio::join!(give, take(stdout, &mut answer));
        // A worker that died early leaves the document half given: its answer tells.
        drop(given);
        taken
    };
    let why = match tokio::time::timeout(limits.time, talk).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(Unreadable::ReaderDied),
        Err(_) => Some(Unreadable::Timeout),
    };
    // It has said all or nothing useful: there is nothing to wait for.
    drop(child.kill().await);
    let mut pieces = answer.into_pieces();
    pieces.extend(why.map(Piece::Unreadable));
    Ok(pieces)
}

async fn give(mut stdin: ChildStdin, document: &Document, limits: &Limits) -> io::Result<()> {
    stdin.write_all(&frame::request(document, limits)).await?;
    stdin.write_all(&document.octets).await?;
    stdin.shutdown().await
}

async fn take(mut stdout: ChildStdout, answer: &mut Answer) -> Result<(), Garbage> {
    while !answer.ended() {
        let mut head = [0; FRAME_OCTETS];
        stdout.read_exact(&mut head).await.map_err(|_| Garbage)?;
        let length = answer.length(head)?;
        let bound = u64::try_from(length).map_err(|_| Garbage)?;
        // Grows as octets come: a length alone costs nothing.
        let mut payload = Vec::new();
        let mut source = (&mut stdout).take(bound);
        source
            .read_to_end(&mut payload)
            .await
            .map_err(|_| Garbage)?;
        if payload.len() != length {
            return Err(Garbage);
        }
        let [tag, ..] = head;
        answer.frame(tag, payload)?;
    }
    Ok(())
}
