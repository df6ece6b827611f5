//! Every touch of the disk by journal and spool, as one small trait.
//!
//! Owns the calls and their flags (modes 0700 and 0600, `flock`, `pwritev`, `fdatasync`). Decides
//! nothing: what is written when, and what a failure means, stands with the callers. The second
//! implementation is the one in the tests that counts, refuses and fails.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FlockOperation;

/// Slices in one `pwritev`: Linux takes no more (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To be read; it exists.
    Read,
    /// To be read and written; it exists.
    Write,
    /// To be read and written; made, or emptied.
    Create,
}

/// Room on a volume, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user may still write.
    pub available: u64,
    /// The volume's size.
    pub total: u64,
}

/// A lock that lasts as long as this lives.
pub type Lock = Box<dyn Any + Send + Sync>;

/// The file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory and those above it, readable by the owner alone.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in any order.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Opens a file; a new one is readable by the owner alone.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames, replacing what stands there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
    /// Locks a file for this process; `None` if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// Room on the volume of `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Octets in it.
    fn octets(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; an error if the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `parts`, one after the other, from `offset`.
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes the contents durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(how != Open::Read)
            .create(how == Open::Create)
            .truncate(how == Open::Create)
            .mode(0o600)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(Space {
            available: volume.f_bavail.saturating_mul(volume.f_frsize),
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
        })
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn octets(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0); // drops leading empty ones
        while !parts.is_empty() {
            let most = parts.len().min(MAX_SLICES);
            let slices = parts.get(..most).unwrap_or_default();
            match rustix::io::pwritev(&self.0, slices, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut parts, written);
                    offset += written as u64;
                }
                // Nothing was written and nothing is in doubt: the one error that may be tried again.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_more_slices_than_one_call_takes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("many");
        let file = OsDisk.open(&path, Open::Create).unwrap();
        let bytes: Vec<u8> = (0..5000u32)
            .flat_map(|n| n.to_le_bytes()[..3].to_vec())
            .collect();
        let mut slices: Vec<IoSlice<'_>> = bytes.chunks(3).map(IoSlice::new).collect();
        file.write_at(&mut slices, 7).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_at(&mut back, 7).unwrap();
        assert_eq!(back, bytes);
        assert_eq!(file.octets().unwrap(), 7 + bytes.len() as u64);
        assert!(file.read_at(&mut back, 8).is_err());
    }

    #[test]
    fn a_lock_is_held_until_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOCK");
        let lock = OsDisk.lock(&path).unwrap();
        assert!(lock.is_some());
        assert!(OsDisk.lock(&path).unwrap().is_none());
        drop(lock);
        assert!(OsDisk.lock(&path).unwrap().is_some());
    }
}
