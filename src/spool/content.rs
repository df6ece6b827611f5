//! Reading a message's content back.

use bytes::Bytes;

use super::SpoolError;

/// A handle on the content of a message. Cheap to clone; nothing is read before it is opened.
#[derive(Clone, Debug)]
pub struct Content {
    bytes: Bytes,
}

impl Content {
    /// Content that is in memory.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
        }
    }

    /// Starts to read it.
    pub async fn open(&self) -> Result<BodyReader, SpoolError> {
        Ok(BodyReader {
            len: self.bytes.len() as u64,
            rest: Some(self.bytes.clone()),
        })
    }

    /// Reads it whole.
    pub async fn read_all(&self) -> Result<Bytes, SpoolError> {
        Ok(self.bytes.clone())
    }
}

/// Reads content front to back.
#[derive(Debug)]
pub struct BodyReader {
    len: u64,
    rest: Option<Bytes>,
}

impl BodyReader {
    /// Octets in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next octets; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        Ok(self.rest.take().filter(|bytes| !bytes.is_empty()))
    }
}
