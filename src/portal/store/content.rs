//! The content of deposits and replies: a file each, sealed chunk by chunk.
//!
//! Owns `content/`. A file is written to `content/tmp/` while the octets arrive, made durable, and
//! only then gets its name `content/<last byte of the reference>/<reference>`. Files and not journal
//! records: deposits end in any order and after weeks, and a journal gives room back oldest first.
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 8 | magic `SPPCONT1` |
//! | 8 | 10 | reference |
//! | 18 | 7 | random prefix of the chunks' nonces |
//! | 25 | 7 | zeros |
//! | 32 | … | chunks: 65536 octets sealed, each + 16 of tag; the last one shorter |
//!
//! Additional data of each chunk: uuid, reference, recipient. The key is another one for each file,
//! so equal content never looks equal. Whoever reads the whole has a part of [`READ_OCTETS`] as long
//! as it is held, so it is held only while it is looked at; what goes to a client as it is is read
//! chunk by chunk as the client takes it ([`Source`]).

use std::collections::HashSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::journal::crypt::{Chunks, PREFIX_OCTETS, TAG_OCTETS, random};
use crate::journal::disk::{Disk, DiskFile, Open};
use crate::journal::{Keyring, MessageKey};
use crate::mail::{Address, Reference};

use super::StoreError;

/// Octets of content in a chunk.
pub const CHUNK_OCTETS: usize = 64 * 1024;
/// Octets that all readers together hold in memory; a larger message is read alone.
pub const READ_OCTETS: usize = 256 * 1024 * 1024;
/// How long a reader waits for its part of that.
pub const READ_PATIENCE: Duration = Duration::from_secs(30);
/// Octets from the front of a message in which its subject is looked for.
pub const HEAD_OCTETS: usize = 64 * 1024;
/// Room that is always left on the volume, as in the spool.
pub const RESERVE_OCTETS: u64 = 1024 * 1024 * 1024;
/// The same as a part of the volume: a twentieth.
pub const RESERVE_DIVISOR: u64 = 20;

const MAGIC: &[u8; 8] = b"SPPCONT1";
const HEADER_OCTETS: usize = 32;
const NAME_AT: usize = 8;
const PREFIX_AT: usize = 18;
/// What a permit of the readers' memory stands for.
const PERMIT_OCTETS: usize = 4096;

/// The directory of contents.
#[derive(Debug, Clone)]
pub(super) struct Contents {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    keys: Arc<Keyring>,
    memory: Arc<Semaphore>,
}

impl Contents {
    /// Makes the directory if it is missing. Blocks.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        parent: &Path,
        keys: Arc<Keyring>,
    ) -> Result<Self, StoreError> {
        let directory = parent.join("content");
        let temporary = directory.join("tmp");
        disk.create_dir_all(&temporary)
            .and_then(|()| disk.sync_dir(&directory))
            .and_then(|()| disk.sync_dir(parent))
            .map_err(StoreError::io("create", &temporary))?;
        Ok(Self {
            disk,
            directory,
            keys,
            memory: Arc::new(Semaphore::new(READ_OCTETS / PERMIT_OCTETS)),
        })
    }

    fn folder(&self, name: Reference) -> PathBuf {
        let [.., last] = *name.as_bytes();
        self.directory.join(format!("{last:02x}"))
    }

    /// Where a content lies.
    pub(super) fn path(&self, name: Reference) -> PathBuf {
        self.folder(name).join(name.to_string())
    }

    /// Whether there is room for `octets` more. Blocks.
    pub(super) fn room_for(&self, octets: u64) -> Result<(), StoreError> {
        let space = self
            .disk
            .space(&self.directory)
            .map_err(StoreError::io("ask for the room of", &self.directory))?;
        let reserve = RESERVE_OCTETS.max(space.total / RESERVE_DIVISOR);
        match space.available >= reserve.saturating_add(octets) {
            true => Ok(()),
            false => Err(StoreError::Full),
        }
    }

    /// Removes a content's file; one that is not there is no matter. Blocks.
    pub(super) fn remove(&self, name: Reference) {
        remove_quietly(&*self.disk, &self.path(name));
    }

    /// Removes what was left unfinished and what `live` does not name; returns the live ones that
    /// have no file. Blocks.
    pub(super) fn sweep(&self, live: &HashSet<Reference>) -> Result<Vec<Reference>, StoreError> {
        let list = |directory: &Path| {
            let names = self.disk.names(directory);
            names.map_err(StoreError::io("list", directory))
        };
        let temporary = self.directory.join("tmp");
        for name in list(&temporary)? {
            remove_quietly(&*self.disk, &temporary.join(name));
        }
        let mut missing = live.clone();
        for folder in list(&self.directory)? {
            if folder.len() != 2 || !folder.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            let folder = self.directory.join(folder);
            for name in list(&folder)? {
                let Ok(reference) = name.parse::<Reference>() else {
                    continue; // not ours
                };
                if !live.contains(&reference) {
                    remove_quietly(&*self.disk, &folder.join(&name));
                }
                missing.remove(&reference);
            }
        }
        Ok(missing.into_iter().collect())
    }

    fn chunks(
        &self,
        key: &MessageKey,
        name: Reference,
        owner: &Address,
        prefix: [u8; PREFIX_OCTETS],
    ) -> Result<Chunks, StoreError> {
        let mut aad = self.keys.spool().to_vec();
        aad.extend_from_slice(name.as_bytes());
        aad.extend_from_slice(owner.to_string().as_bytes());
        aad.extend_from_slice(b" portal content");
        Ok(key.chunks(prefix, aad)?)
    }

    /// Begins a content for `owner`. Blocks.
    pub(super) fn create(
        &self,
        name: Reference,
        owner: &Address,
        key: &MessageKey,
    ) -> Result<Sink, StoreError> {
        let (mut prefix, mut unique) = ([0; PREFIX_OCTETS], [0; 8]);
        random(&mut prefix)?;
        random(&mut unique)?;
        let chunks = self.chunks(key, name, owner, prefix)?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(&prefix);
        header.resize(HEADER_OCTETS, 0);
        // Two of one name may arrive at once; whichever is finished is the one that counts.
        let unique = u64::from_le_bytes(unique);
        let path = self.directory.join(format!("tmp/{name}.{unique:016x}"));
        let file = self
            .disk
            .open(&path, Open::Create)
            .map_err(StoreError::io("create", &path))?;
        let sink = Sink {
            contents: self.clone(),
            name,
            path,
            file,
            chunks,
            offset: HEADER_OCTETS as u64,
            rest: Zeroizing::new(Vec::new()),
            head: Zeroizing::new(Vec::new()),
            octets: 0,
            named: false,
        };
        sink.file
            .write_at(&mut [IoSlice::new(&header)], 0)
            .map_err(StoreError::io("write", &sink.path))?;
        Ok(sink)
    }

    /// Waits for memory to read `octets` into; the permit goes with them.
    pub(super) async fn reserve(&self, octets: u64) -> Result<OwnedSemaphorePermit, StoreError> {
        let all = READ_OCTETS / PERMIT_OCTETS;
        let octets = usize::try_from(octets).unwrap_or(usize::MAX);
        let permits = u32::try_from(octets.div_ceil(PERMIT_OCTETS).min(all)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(permits);
        match tokio::time::timeout(READ_PATIENCE, memory).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }

    /// Begins to read a content, chunk by chunk. Blocks.
    pub(super) fn source(
        &self,
        name: Reference,
        owner: &Address,
        key: &MessageKey,
        octets: u64,
    ) -> Result<Source, StoreError> {
        let path = self.path(name);
        let damaged = || StoreError::Damaged(name);
        let file = match self.disk.open(&path, Open::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(damaged()),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let mut header = [0; HEADER_OCTETS];
        read(&*file, &path, name, &mut header, 0)?;
        let of = header.get(NAME_AT..PREFIX_AT).unwrap_or_default();
        let prefix = header.get(PREFIX_AT..PREFIX_AT + PREFIX_OCTETS);
        let prefix = prefix.and_then(|prefix| prefix.try_into().ok());
        let right = header.starts_with(MAGIC) && of == name.as_bytes();
        let prefix = prefix.filter(|_| right).ok_or_else(damaged)?;
        Ok(Source {
            chunks: self.chunks(key, name, owner, prefix)?,
            name,
            path,
            file,
            offset: HEADER_OCTETS as u64,
            left: Some(usize::try_from(octets).map_err(|_| damaged())?),
        })
    }

    /// Reads a content whole. What it returns is wiped when the last copy of it is dropped. Blocks.
    pub(super) fn read(
        &self,
        name: Reference,
        owner: &Address,
        key: &MessageKey,
        octets: u64,
        memory: OwnedSemaphorePermit,
    ) -> Result<Bytes, StoreError> {
        let mut source = self.source(name, owner, key, octets)?;
        let all = usize::try_from(octets).map_err(|_| StoreError::Damaged(name))?;
        let mut content = Zeroizing::new(Vec::with_capacity(all));
        while let Some(plain) = source.next()? {
            content.extend_from_slice(&plain);
        }
        let owned = Owned {
            content,
            _memory: memory,
        };
        Ok(Bytes::from_owner(owned))
    }
}

/// A content being read, chunk by chunk. Its file may be removed meanwhile: it is open.
pub(super) struct Source {
    chunks: Chunks,
    name: Reference,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    offset: u64,
    /// Octets that are still to come; nothing once the last chunk was read.
    left: Option<usize>,
}

impl Source {
    /// The next chunk; `None` after the last one. Blocks.
    pub(super) fn next(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(left) = self.left else {
            return Ok(None);
        };
        let piece = left.min(CHUNK_OCTETS);
        let mut sealed = vec![0; piece + TAG_OCTETS];
        read(&*self.file, &self.path, self.name, &mut sealed, self.offset)?;
        self.offset += sealed.len() as u64;
        let last = piece == left;
        let plain = self.chunks.open(sealed, last);
        let plain = plain.map_err(|_| StoreError::Damaged(self.name))?;
        self.left = (!last).then_some(left - piece);
        Ok(Some(Zeroizing::new(plain)))
    }
}

/// Octets that were read, and the memory that they may take.
struct Owned {
    content: Zeroizing<Vec<u8>>,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

/// A file that ends too early is damaged; anything else is the disk's trouble.
fn read(
    file: &dyn DiskFile,
    path: &Path,
    name: Reference,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), StoreError> {
    file.read_at(buffer, offset).map_err(|source| {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            StoreError::Damaged(name)
        } else {
            StoreError::io("read", path)(source)
        }
    })
}

fn remove_quietly(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        // It only takes room, and its key is gone; the next start tries again.
        tracing::warn!(path = %path.display(), %error, "cannot remove a file of the portal");
    }
}

/// A content being written. Dropped before [`Sink::finish`] it removes the file. Blocks.
#[derive(Debug)]
pub(super) struct Sink {
    contents: Contents,
    name: Reference,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    chunks: Chunks,
    offset: u64,
    /// Content that is not sealed yet: whether a chunk is the last is known when more comes.
    rest: Zeroizing<Vec<u8>>,
    head: Zeroizing<Vec<u8>>,
    octets: u64,
    named: bool,
}

impl Sink {
    /// Octets so far.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    /// The first octets, up to [`HEAD_OCTETS`].
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.octets += content.len() as u64;
        let room = HEAD_OCTETS - self.head.len();
        let head = content.get(..room.min(content.len())).unwrap_or_default();
        self.head.extend_from_slice(head);
        self.rest.extend_from_slice(content);
        // One octet stays behind at least, so that the last chunk is empty only where all is.
        let whole = self.rest.len().saturating_sub(1) / CHUNK_OCTETS;
        let mut out = Vec::with_capacity(whole * (CHUNK_OCTETS + TAG_OCTETS));
        for chunk in self.rest.chunks_exact(CHUNK_OCTETS).take(whole) {
            self.chunks.seal_into(chunk, false, &mut out)?;
        }
        self.rest.drain(..whole * CHUNK_OCTETS);
        self.put(&out)
    }

    fn put(&mut self, sealed: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_at(&mut [IoSlice::new(sealed)], self.offset)
            .map_err(StoreError::io("write", &self.path))?;
        self.offset += sealed.len() as u64;
        Ok(())
    }

    /// Seals the last chunk, makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let mut out = Vec::with_capacity(CHUNK_OCTETS + TAG_OCTETS);
        let rest = std::mem::take(&mut *self.rest);
        self.chunks
            .seal_into(&Zeroizing::new(rest), true, &mut out)?;
        self.put(&out)?;
        self.file
            .sync_data()
            .map_err(StoreError::io("sync", &self.path))?;
        let disk = Arc::clone(&self.contents.disk);
        let folder = self.contents.folder(self.name);
        disk.create_dir_all(&folder)
            .and_then(|()| disk.sync_dir(&self.contents.directory))
            .map_err(StoreError::io("create", &folder))?;
        let path = self.contents.path(self.name);
        disk.rename(&self.path, &path)
            .map_err(StoreError::io("name", &path))?;
        self.named = true;
        disk.sync_dir(&folder)
            .map_err(StoreError::io("sync", &folder))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.named {
            remove_quietly(&*self.contents.disk, &self.path);
        }
    }
}
