//! One connection to the portal: a request goes out, an answer comes in.
//!
//! The portal may answer before it has read everything that follows a request, with a refusal; so
//! what comes is looked at while content goes out, and the rest is not sent then.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::Patience;
use crate::proto::link::{Answer, Decoder, FrameError};
use crate::spool::{Content, SpoolError};
use crate::world::clock::Clock;

/// Octets read at a time.
const READ_OCTETS: usize = 4096;

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The portal closed it before it answered anything.
    #[error("the connection was closed")]
    Closed,
    #[error("it did not answer in time")]
    TooSlow,
    #[error("the socket: {0}")]
    Io(io::Error),
    #[error("its answer: {0}")]
    NotUnderstood(FrameError),
    #[error("the content cannot be read")]
    Content(SpoolError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A connection. After an error it is not used again.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    clock: Clock,
    patience: Patience,
    /// Nothing is under way, and nothing came that nobody asked for.
    clean: bool,
}

impl Connection {
    pub(super) async fn open(
        path: &Path,
        clock: Clock,
        patience: Patience,
    ) -> Result<Self, Broken> {
        let opening = UnixStream::connect(path);
        let stream = within(clock, patience.step, opening).await??;
        Ok(Self {
            stream,
            clock,
            patience,
            clean: true,
        })
    }

    /// Whether another request may follow.
    pub(super) const fn is_clean(&self) -> bool {
        self.clean
    }

    /// Sends a request with what follows it, and reads its answer.
    pub(super) async fn exchange<T: DeserializeOwned>(
        &mut self,
        line: &[u8],
        content: Option<&Content>,
    ) -> Result<Answer<T>, Broken> {
        self.clean = false;
        let mut decoder = Decoder::<Answer<T>>::default();
        self.send(line).await?;
        let mut whole = true;
        if let Some(content) = content {
            let mut reader = content.open().await.map_err(Broken::Content)?;
            while let Some(chunk) = reader.next().await.map_err(Broken::Content)? {
                if !self.send_unless_answered(&chunk, &mut decoder).await? {
                    whole = false;
                    break;
                }
            }
        }
        let limit = self.clock.now() + self.patience.answer;
        loop {
            if let Some(answer) = decoder.next_line().map_err(Broken::NotUnderstood)? {
                self.clean = whole && decoder.is_empty();
                return Ok(answer);
            }
            let time = limit.since(self.clock.now());
            let mut octets = [0; READ_OCTETS];
            let read = self.stream.read(&mut octets);
            match within(self.clock, time, read).await?? {
                0 => return Err(Broken::Closed),
                count => decoder.push(octets.get(..count).unwrap_or_default()),
            }
        }
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), Broken> {
        let sending = self.stream.write_all(octets);
        Ok(within(self.clock, self.patience.step, sending).await??)
    }

    /// Whether all of it was sent: not if an answer began to come.
    async fn send_unless_answered<T: DeserializeOwned>(
        &mut self,
        octets: &[u8],
        decoder: &mut Decoder<Answer<T>>,
    ) -> Result<bool, Broken> {
        let (mut reader, mut writer) = self.stream.split();
        let mut heard = [0; READ_OCTETS];
        let both = async {
            tokio::select! {
                sent = writer.write_all(octets) => match sent {
                    Ok(()) => Ok(None),
                    // It may have answered before it closed.
                    Err(error) => match reader.read(&mut heard).await {
                        Ok(count) if count > 0 => Ok(Some(count)),
                        Ok(_) | Err(_) => Err(error),
                    },
                },
                read = reader.read(&mut heard) => read.map(Some),
            }
        };
        match within(self.clock, self.patience.step, both).await?? {
            None => Ok(true),
            Some(0) => Err(Broken::Closed),
            Some(count) => {
                decoder.push(heard.get(..count).unwrap_or_default());
                Ok(false)
            }
        }
    }
}

/// What comes of it in time.
async fn within<T>(
    clock: Clock,
    time: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Broken> {
    let limit = clock.now() + time;
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = clock.sleep_until(limit) => Err(Broken::TooSlow),
    }
}
