//! Content on its way in: collected in memory while it is small, sealed to a file when it is not.
//!
//! Owns the two-step from octets to a body that a commit can take. What is dropped on the way
//! leaves nothing behind.

use std::fmt;
use std::sync::Arc;

use crate::journal::MessageKey;
use crate::mail::MessageId;

use super::big::{BigRef, BigSink};
use super::{Shared, SpoolError};

/// Content that goes to the file in one piece: a hop to a blocking thread costs more than this.
const HOP_OCTETS: usize = 1024 * 1024;

/// Takes a message's content.
pub struct BodyWriter {
    shared: Arc<Shared>,
    id: MessageId,
    /// Content that is not in the file.
    buffer: Vec<u8>,
    file: Option<(BigSink, MessageKey)>,
    written: u64,
    /// A write failed or was abandoned half-way: what is in the file is not what was given.
    broken: bool,
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyWriter({}, {} octets)", self.id, self.written)
    }
}

impl BodyWriter {
    pub(super) fn new(shared: Arc<Shared>, id: MessageId) -> Self {
        Self {
            shared,
            id,
            buffer: Vec::new(),
            file: None,
            written: 0,
            broken: false,
        }
    }

    /// Appends content. A future that is dropped before it is ready spoils the writer.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        self.written += chunk.len() as u64;
        self.buffer.extend_from_slice(chunk);
        let most = match self.file {
            Some(_) => HOP_OCTETS,
            None => self.shared.inline_octets,
        };
        if self.buffer.len() >= most {
            self.spill().await?;
        }
        Ok(())
    }

    /// Octets of content so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Moves the buffer to the file; makes the file first if there is none.
    async fn spill(&mut self) -> Result<(), SpoolError> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(SpoolError::Interrupted);
        }
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let (content, file) = (std::mem::take(&mut self.buffer), self.file.take());
        let written = blocking(move || {
            let (mut sink, key) = match file {
                Some(file) => file,
                None => shared.create_file(id)?,
            };
            sink.write(&content)?;
            Ok((sink, key))
        });
        self.file = Some(written.await?);
        self.broken = false;
        Ok(())
    }

    /// Ends the content. A file is durable, and has its name, when this is ready.
    pub async fn finish(mut self) -> Result<StagedBody, SpoolError> {
        if self.broken {
            return Err(SpoolError::Interrupted);
        }
        let content = std::mem::take(&mut self.buffer);
        let Some((mut sink, key)) = self.file.take() else {
            return Ok(StagedBody::from_bytes(content));
        };
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        blocking(move || {
            sink.write(&content)?;
            shared.finish_file(id, sink, key)
        })
        .await
    }
}

/// Content that waits for its commit. Dropped without one it leaves nothing behind.
pub struct StagedBody(pub(super) Staged);

pub(super) enum Staged {
    Memory(Vec<u8>),
    File(StagedFile),
}

/// A durable body file that no record refers to yet.
pub(super) struct StagedFile {
    pub(super) shared: Arc<Shared>,
    pub(super) id: MessageId,
    pub(super) body: BigRef,
    pub(super) key: MessageKey,
    /// A record that refers to it is on its way.
    pub(super) used: bool,
}

impl fmt::Debug for StagedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StagedBody({} octets)", self.len())
    }
}

impl StagedBody {
    /// Content that is in memory.
    pub fn from_bytes(content: Vec<u8>) -> Self {
        Self(Staged::Memory(content))
    }

    /// Octets of content.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Staged::Memory(content) => content.len() as u64,
            Staged::File(file) => file.body.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.used {
            let (files, id) = (self.shared.files.clone(), self.id);
            self.shared.journal.later(move || files.remove(id));
        }
    }
}

impl Shared {
    pub(super) fn create_file(&self, id: MessageId) -> Result<(BigSink, MessageKey), SpoolError> {
        let key = MessageKey::generate()?;
        let sink = BigSink::create(self.files.clone(), self.journal.keys(), &key, id)?;
        Ok((sink, key))
    }

    pub(super) fn finish_file(
        self: Arc<Self>,
        id: MessageId,
        sink: BigSink,
        key: MessageKey,
    ) -> Result<StagedBody, SpoolError> {
        let body = sink.finish()?;
        Ok(StagedBody(Staged::File(StagedFile {
            shared: self,
            id,
            body,
            key,
            used: false,
        })))
    }
}

/// Runs what blocks on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(SpoolError::Interrupted))
}
