//! Reading a message's content back.
//!
//! Nothing is handed out that was not checked: the record's CRC and the seal of every octet.
//! Damage is said of the one message that has it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::journal::{JournalError, MessageKey, Position};
use crate::mail::MessageId;

use super::big::{BigRef, BigSource};
use super::index::Body;
use super::stage::blocking;
use super::{Shared, SpoolError};

/// Chunks that are read in one hop to a blocking thread.
const READ_AHEAD_CHUNKS: usize = 4;

/// A handle on the content of a message. Cheap to clone; nothing is read before it is opened.
#[derive(Clone)]
pub struct Content(Source);

#[derive(Clone)]
enum Source {
    Memory(Bytes),
    Spool(Arc<Shared>, MessageId),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Memory(bytes) => write!(f, "Content({} octets)", bytes.len()),
            Source::Spool(_, id) => write!(f, "Content({id})"),
        }
    }
}

impl Content {
    /// Content that is in memory.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Source::Memory(bytes.into()))
    }

    pub(super) fn stored(shared: Arc<Shared>, id: MessageId) -> Self {
        Self(Source::Spool(shared, id))
    }

    /// Starts to read it.
    pub async fn open(&self) -> Result<BodyReader, SpoolError> {
        match &self.0 {
            Source::Memory(bytes) => Ok(BodyReader::memory(bytes.clone())),
            Source::Spool(shared, id) => {
                let (shared, id) = (Arc::clone(shared), *id);
                blocking(move || shared.open_body(id)).await
            }
        }
    }

    /// Reads it whole.
    pub async fn read_all(&self) -> Result<Bytes, SpoolError> {
        let mut reader = self.open().await?;
        let Some(first) = reader.next().await? else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 == reader.len() {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(usize::try_from(reader.len()).unwrap_or(0));
        all.extend_from_slice(&first);
        while let Some(chunk) = reader.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl Shared {
    /// Blocks.
    fn open_body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        let keys = self.journal.keys();
        let (wrapped, body) = self.index.body(id).ok_or(SpoolError::Unknown { id })?;
        let key = keys
            .unwrap(id.get(), &wrapped)
            .map_err(|_| SpoolError::Damaged { id })?;
        match body {
            Body::Inline(position) => self.read_inline(id, position, &key),
            Body::File(file) => self.open_file(id, file, &key),
        }
    }

    fn read_inline(
        &self,
        id: MessageId,
        position: Position,
        key: &MessageKey,
    ) -> Result<BodyReader, SpoolError> {
        let keys = self.journal.keys();
        let damaged = || SpoolError::Damaged { id };
        let body = self
            .journal
            .read(position, |stored| {
                (stored.header.message == id.get()).then(|| stored.open_body(keys, key))
            })
            .map_err(|error| match error {
                JournalError::Damaged { .. } => damaged(),
                JournalError::Io { source, .. }
                    if source.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    damaged()
                }
                error => error.into(),
            })?;
        match body {
            Some(Ok(content)) => Ok(BodyReader::memory(content.into())),
            Some(Err(_)) | None => Err(damaged()),
        }
    }

    fn open_file(
        &self,
        id: MessageId,
        file: BigRef,
        key: &MessageKey,
    ) -> Result<BodyReader, SpoolError> {
        let source = BigSource::open(&self.files, self.journal.keys(), key, id, file)?;
        Ok(BodyReader {
            len: file.len,
            ready: VecDeque::new(),
            rest: Rest::File(Box::new(source)),
        })
    }
}

/// Reads content front to back.
pub struct BodyReader {
    len: u64,
    ready: VecDeque<Bytes>,
    rest: Rest,
}

enum Rest {
    Nothing,
    File(Box<BigSource>),
    /// A read failed, or was abandoned half-way.
    Lost,
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyReader({} octets)", self.len)
    }
}

impl BodyReader {
    fn memory(content: Bytes) -> Self {
        Self {
            len: content.len() as u64,
            ready: Some(content)
                .filter(|content| !content.is_empty())
                .into_iter()
                .collect(),
            rest: Rest::Nothing,
        }
    }

    /// Octets in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next octets, checked: at most 64 KiB of a large body, all of a small one; `None` at the
    /// end. After an error, or a future dropped before it was ready, it only fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if let Some(chunk) = self.ready.pop_front() {
            return Ok(Some(chunk));
        }
        match std::mem::replace(&mut self.rest, Rest::Lost) {
            Rest::Nothing => {
                self.rest = Rest::Nothing;
                Ok(None)
            }
            Rest::Lost => Err(SpoolError::Interrupted),
            Rest::File(mut source) => {
                let (chunks, source) = blocking(move || {
                    let mut chunks = VecDeque::new();
                    while chunks.len() < READ_AHEAD_CHUNKS
                        && let Some(chunk) = source.next()?
                    {
                        chunks.push_back(Bytes::from(chunk));
                    }
                    Ok((chunks, source))
                })
                .await?;
                self.ready = chunks;
                let next = self.ready.pop_front();
                self.rest = match next {
                    Some(_) => Rest::File(source),
                    None => Rest::Nothing,
                };
                Ok(next)
            }
        }
    }
}
