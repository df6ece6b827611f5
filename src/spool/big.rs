//! Bodies that are too large for a record: a file each, sealed chunk by chunk.
//!
//! Owns `big/`. A file is written to `big/tmp/` while the content arrives, made durable, and only
//! then gets its name `big/<last byte of the id>/<id>.body`, all before its `ACCEPT` is queued.
//! A file that no live message refers to is removed at start.
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 8 | magic `SPBBODY1` |
//! | 8 | 8 | message id |
//! | 16 | 7 | random prefix of the chunks' nonces |
//! | 23 | 1 | zero |
//! | 24 | … | chunks: 65536 octets sealed, each + 16 of tag; the last one shorter |
//!
//! Additional data of each chunk: spool uuid, message id, `body file`. That a chunk is the last is
//! part of its nonce, and the length stands in the sealed `ACCEPT`.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::crypt::{Chunks, PREFIX_OCTETS, TAG_OCTETS, random};
use crate::journal::disk::{Disk, DiskFile, Open};
use crate::journal::{Keyring, MessageKey};
use crate::mail::MessageId;

use super::SpoolError;

/// Octets of content in a chunk.
pub const CHUNK_OCTETS: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"SPBBODY1";
const HEADER_OCTETS: usize = 24;

/// A durable body file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BigRef {
    /// Octets of content.
    pub(super) len: u64,
}

/// `big/` of a spool.
#[derive(Debug, Clone)]
pub(super) struct BigFiles {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
}

impl BigFiles {
    pub(super) fn temporary(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    fn folder(&self, id: MessageId) -> PathBuf {
        self.directory.join(format!("{:02x}", id.get() & 0xff))
    }

    pub(super) fn path(&self, id: MessageId) -> PathBuf {
        self.folder(id).join(format!("{:016x}.body", id.get()))
    }

    /// Whether a body's file is there.
    pub(super) fn exists(&self, id: MessageId) -> bool {
        self.disk.open(&self.path(id), Open::Read).is_ok()
    }

    /// Removes a body's file; one that is not there is no matter.
    pub(super) fn remove(&self, id: MessageId) {
        remove_quietly(&*self.disk, &self.path(id));
    }

    /// Removes what was left unfinished, and every body that `is_live` does not know. With `keep`
    /// (something in the journal is unreadable) those are moved to that directory instead.
    pub(super) fn sweep(
        &self,
        is_live: impl Fn(MessageId) -> bool,
        keep: Option<&Path>,
    ) -> Result<(), SpoolError> {
        let list = |directory: &Path| {
            self.disk
                .names(directory)
                .map_err(SpoolError::io("list", directory))
        };
        for name in list(&self.temporary())? {
            remove_quietly(&*self.disk, &self.temporary().join(name));
        }
        for folder in list(&self.directory)? {
            if folder.len() != 2 || !folder.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            let folder = self.directory.join(folder);
            for name in list(&folder)? {
                let id = name
                    .strip_suffix(".body")
                    .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                    .map(MessageId::new);
                let Some(id) = id.filter(|&id| !is_live(id)) else {
                    continue;
                };
                let path = folder.join(&name);
                match keep {
                    Some(keep) => self
                        .disk
                        .rename(&path, &keep.join(&name))
                        .map_err(SpoolError::io("quarantine", &path))?,
                    None => self.remove(id),
                }
            }
        }
        Ok(())
    }
}

fn remove_quietly(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        // It only takes room; the next start tries again.
        tracing::warn!(path = %path.display(), %error, "cannot remove a file of the spool");
    }
}

fn chunks(
    keys: &Keyring,
    key: &MessageKey,
    id: MessageId,
    prefix: [u8; PREFIX_OCTETS],
) -> Result<Chunks, SpoolError> {
    let mut aad = keys.spool().to_vec();
    aad.extend_from_slice(&id.get().to_le_bytes());
    aad.extend_from_slice(b"body file");
    Ok(key.chunks(prefix, aad)?)
}

/// A body file being written. Dropped before [`BigSink::finish`] it removes the file. Blocks.
#[derive(Debug)]
pub(super) struct BigSink {
    files: BigFiles,
    id: MessageId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    chunks: Chunks,
    offset: u64,
    /// Content that is not sealed yet: whether a chunk is the last is known when more comes.
    rest: Vec<u8>,
    len: u64,
    finished: bool,
}

impl BigSink {
    pub(super) fn create(
        files: BigFiles,
        keys: &Keyring,
        key: &MessageKey,
        id: MessageId,
    ) -> Result<Self, SpoolError> {
        let mut prefix = [0; PREFIX_OCTETS];
        random(&mut prefix)?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&id.get().to_le_bytes());
        header.extend_from_slice(&prefix);
        header.push(0);
        let chunks = chunks(keys, key, id, prefix)?;
        let path = files.temporary().join(format!("{:016x}", id.get()));
        let file = files
            .disk
            .open(&path, Open::Create)
            .map_err(SpoolError::io("create", &path))?;
        let sink = Self {
            files,
            id,
            path,
            file,
            chunks,
            offset: HEADER_OCTETS as u64,
            rest: Vec::new(),
            len: 0,
            finished: false,
        };
        sink.file
            .write_at(&mut [IoSlice::new(&header)], 0)
            .map_err(SpoolError::io("write", &sink.path))?;
        Ok(sink)
    }

    pub(super) fn write(&mut self, content: &[u8]) -> Result<(), SpoolError> {
        self.len += content.len() as u64;
        self.rest.extend_from_slice(content);
        // One octet stays behind at least, so that the last chunk is never an empty one.
        let whole = self.rest.len().saturating_sub(1) / CHUNK_OCTETS;
        let ready = whole * CHUNK_OCTETS;
        let mut out = Vec::with_capacity(whole * (CHUNK_OCTETS + TAG_OCTETS));
        for chunk in self.rest.chunks_exact(CHUNK_OCTETS).take(whole) {
            self.chunks.seal_into(chunk, false, &mut out)?;
        }
        self.rest.drain(..ready);
        self.put(&out)
    }

    fn put(&mut self, sealed: &[u8]) -> Result<(), SpoolError> {
        self.file
            .write_at(&mut [IoSlice::new(sealed)], self.offset)
            .map_err(SpoolError::io("write", &self.path))?;
        self.offset += sealed.len() as u64;
        Ok(())
    }

    /// Seals the last chunk, makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> Result<BigRef, SpoolError> {
        let mut out = Vec::with_capacity(CHUNK_OCTETS + TAG_OCTETS);
        let rest = std::mem::take(&mut self.rest);
        self.chunks.seal_into(&rest, true, &mut out)?;
        self.put(&out)?;
        self.file
            .sync_data()
            .map_err(SpoolError::io("sync", &self.path))?;
        let (disk, folder) = (&self.files.disk, self.files.folder(self.id));
        disk.create_dir_all(&folder)
            .and_then(|()| disk.sync_dir(&self.files.directory))
            .map_err(SpoolError::io("create", &folder))?;
        let path = self.files.path(self.id);
        disk.rename(&self.path, &path)
            .map_err(SpoolError::io("name", &path))?;
        self.path = path;
        disk.sync_dir(&folder)
            .map_err(SpoolError::io("sync", &folder))?;
        self.finished = true;
        Ok(BigRef { len: self.len })
    }
}

impl Drop for BigSink {
    fn drop(&mut self) {
        if !self.finished {
            remove_quietly(&*self.files.disk, &self.path);
        }
    }
}

/// A body file being read, front to back. Blocks.
#[derive(Debug)]
pub(super) struct BigSource {
    id: MessageId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    chunks: Chunks,
    offset: u64,
    /// Content still to come.
    left: u64,
}

impl BigSource {
    pub(super) fn open(
        files: &BigFiles,
        keys: &Keyring,
        key: &MessageKey,
        id: MessageId,
        body: BigRef,
    ) -> Result<Self, SpoolError> {
        let path = files.path(id);
        let file = files.disk.open(&path, Open::Read).map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                SpoolError::Damaged { id }
            } else {
                SpoolError::io("open", &path)(source)
            }
        })?;
        let mut header = [0; HEADER_OCTETS];
        read(&*file, &path, id, &mut header, 0)?;
        let right = header.starts_with(MAGIC) && header[8..16] == id.get().to_le_bytes();
        let prefix = header[16..16 + PREFIX_OCTETS].try_into().ok();
        let prefix = prefix.filter(|_| right).ok_or(SpoolError::Damaged { id })?;
        Ok(Self {
            id,
            path,
            file,
            chunks: chunks(keys, key, id, prefix)?,
            offset: HEADER_OCTETS as u64,
            left: body.len,
        })
    }

    /// The next chunk; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, SpoolError> {
        let content = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(CHUNK_OCTETS);
        if content == 0 {
            return Ok(None);
        }
        let mut sealed = vec![0; content + TAG_OCTETS];
        read(&*self.file, &self.path, self.id, &mut sealed, self.offset)?;
        self.offset += sealed.len() as u64;
        self.left -= content as u64;
        self.chunks
            .open(sealed, self.left == 0)
            .map(Some)
            .map_err(|_| SpoolError::Damaged { id: self.id })
    }
}

/// A file that ends too early is damaged; anything else is the disk's trouble.
fn read(
    file: &dyn DiskFile,
    path: &Path,
    id: MessageId,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), SpoolError> {
    file.read_at(buffer, offset).map_err(|source| {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            SpoolError::Damaged { id }
        } else {
            SpoolError::io("read", path)(source)
        }
    })
}
