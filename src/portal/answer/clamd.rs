//! Asking a malware scanner: clamd's `INSTREAM` over a Unix or a TCP socket.
//!
//! A file is clean only when clamd says so in so many words. No answer, a late one, one that is
//! not understood: unavailable, and the answer of the recipient waits. One file a connection, a
//! few connections at a time. Never says what was scanned.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one file may take, waiting for others among it.
const WHOLE: Duration = Duration::from_secs(60);
/// Octets of one chunk.
const CHUNK: usize = 64 * 1024;
/// Longest answer.
const MAX_ANSWER: u64 = 1024;
/// Scans at a time.
const MAX_SCANS: usize = 4;
/// Most characters of the name of what was found.
const MAX_FOUND_CHARS: usize = 100;

/// Where clamd listens: `unix:/path` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP socket, which should be on this machine: files go over it in clear.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// A text that names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a socket of clamd: unix:/path or host:port")]
pub struct AtError;

impl FromStr for At {
    type Err = AtError;

    fn from_str(text: &str) -> Result<Self, AtError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(AtError)
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(AtError)?;
        let port = port.parse().map_err(|_| AtError)?;
        let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let sound = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let letters = |it: char| it.is_ascii_alphanumeric() || ".-_".contains(it);
                !host.is_empty() && host.chars().all(letters)
            }
        };
        if !sound || port == 0 {
            return Err(AtError);
        }
        let host = inner.unwrap_or(host).to_owned();
        Ok(Self::Tcp { host, port })
    }
}

/// What clamd says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// Something was: its name, by clamd.
    Found(String),
    /// It is larger than clamd looks at.
    TooLarge,
    /// Nobody knows: to be tried later.
    Unavailable,
}

/// A scanner. Cheap to clone; clones share the bound of scans at a time.
#[derive(Debug, Clone)]
pub struct Clamd {
    at: At,
    places: Arc<Semaphore>,
    whole: Duration,
}

impl Clamd {
    /// The scanner that listens there.
    pub fn new(at: At) -> Self {
        Self {
            at,
            places: Arc::new(Semaphore::new(MAX_SCANS)),
            whole: WHOLE,
        }
    }

    /// The same with another patience.
    pub fn patient(self, whole: Duration) -> Self {
        Self { whole, ..self }
    }

    /// Has a file scanned.
    pub async fn scan(&self, octets: &Bytes) -> Verdict {
        let scan = async {
            let Ok(_place) = self.places.acquire().await else {
                return Ok(Verdict::Unavailable);
            };
            match &self.at {
                At::Unix(path) => {
                    let stream = timeout(CONNECT, UnixStream::connect(path)).await;
                    talk(late(stream)?, octets).await
                }
                At::Tcp { host, port } => {
                    let stream = timeout(CONNECT, TcpStream::connect((host.as_str(), *port))).await;
                    talk(late(stream)?, octets).await
                }
            }
        };
        match timeout(self.whole, scan).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) | Err(_) => Verdict::Unavailable,
        }
    }
}

fn late<S>(stream: Result<io::Result<S>, tokio::time::error::Elapsed>) -> io::Result<S> {
    stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One file on one connection. Written and read at once: clamd may say no before it has all.
async fn talk(stream: impl AsyncRead + AsyncWrite, octets: &Bytes) -> io::Result<Verdict> {
    let (reader, mut writer) = tokio::io::split(stream);
    let send = async {
        writer.write_all(b"zINSTREAM\0").await?;
        for chunk in octets.chunks(CHUNK) {
            let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
            writer.write_all(&length.to_be_bytes()).await?;
            writer.write_all(chunk).await?;
        }
        writer.write_all(&0_u32.to_be_bytes()).await?;
        writer.flush().await
    };
    let receive = async {
        let mut answer = Vec::new();
        reader
            .take(MAX_ANSWER)
            .read_to_end_or_zero(&mut answer)
            .await?;
        Ok::<_, io::Error>(answer)
    };
    // A file that was not sent whole was not scanned whole, whatever is answered; but a refusal
    // of its size comes while it is being sent.
    let (sent, answer) = tokio::join!(send, receive);
    let verdict = read(&answer?);
    match (sent, verdict) {
        (Err(error), Verdict::Clean) => Err(error),
        (_, verdict) => Ok(verdict),
    }
}

/// Reading up to the zero that ends an answer.
trait ReadAnswer {
    async fn read_to_end_or_zero(self, answer: &mut Vec<u8>) -> io::Result<()>;
}

impl<R: AsyncRead + Unpin> ReadAnswer for R {
    async fn read_to_end_or_zero(mut self, answer: &mut Vec<u8>) -> io::Result<()> {
        let mut octets = [0_u8; 256];
        loop {
            let count = self.read(&mut octets).await?;
            let new = octets.get(..count).unwrap_or_default();
            match memchr::memchr(0, new) {
                Some(end) => {
                    answer.extend_from_slice(new.get(..end).unwrap_or_default());
                    return Ok(());
                }
                None if count == 0 => return Ok(()),
                None => answer.extend_from_slice(new),
            }
        }
    }
}

/// What an answer says: `stream: OK`, `stream: NAME FOUND`, or an error.
fn read(answer: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.starts_with("INSTREAM size limit exceeded") {
        return Verdict::TooLarge;
    }
    match text.strip_prefix("stream: ") {
        Some("OK") => Verdict::Clean,
        Some(said) => match said.strip_suffix(" FOUND") {
            Some(name) => Verdict::Found(
                name.chars()
                    .filter(|it| it.is_ascii_graphic())
                    .take(MAX_FOUND_CHARS)
                    .collect(),
            ),
            None => Verdict::Unavailable,
        },
        None => Verdict::Unavailable,
    }
}

#[cfg(test)]
mod tests;
