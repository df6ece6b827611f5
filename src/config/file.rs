//! Reading small files with a bound, and who else may read them.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::world::file::open_regular;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("there is no such file")]
    NotFound,
    /// The system said so.
    #[error("reading failed")]
    Io(#[from] io::Error),
    /// A directory, device or socket.
    #[error("not a regular file")]
    NotAFile,
    /// Over the bound, in octets.
    #[error("larger than {0} octets")]
    TooLarge(u64),
    /// Not UTF-8.
    #[error("not UTF-8 text")]
    NotText,
}

impl FileError {
    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

/// Reads a regular file of at most `most` octets.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => FileError::NotAFile,
        io::ErrorKind::NotFound => FileError::NotFound,
        _ => FileError::Io(error),
    })?;
    let mut octets = Vec::new();
    file.take(most + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > most {
        return Err(FileError::TooLarge(most));
    }
    Ok(octets)
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.mode() & 0o7777)
}
