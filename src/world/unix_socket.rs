//! A Unix socket to listen on: opened in place of one that a process which is no more has left, and
//! removed when dropped.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Somebody answers on it.
    #[error("another process answers on the socket {}", .0.display())]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{} is there and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The system said no.
    #[error("cannot {operation} the socket {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// An open socket.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Whoever finds it stale replaces it; nothing is lost if this fails.
        drop(std::fs::remove_file(&self.path));
    }
}

impl UnixSocket {
    /// Opens the socket, for those whom `mode` lets in.
    pub fn open(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(failed("open", path))?;
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).map_err(failed("protect", path))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

fn failed(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> UnixSocketError + use<> {
    let path = path.to_owned();
    move |source| UnixSocketError::Io {
        operation,
        path,
        source,
    }
}

/// Removes a socket on which nobody answers.
fn clear(path: &Path) -> Result<(), UnixSocketError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at", path)(source)),
    };
    if !metadata.file_type().is_socket() {
        return Err(UnixSocketError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed("replace", path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(UnixSocketError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replaces_what_is_stale_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let socket = UnixSocket::open(&path, 0o660).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let busy = UnixSocket::open(&path, 0o660);
        assert!(matches!(busy, Err(UnixSocketError::InUse(_))), "{busy:?}");
        drop(socket);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody removed it");
        drop(UnixSocket::open(&path, 0o600).unwrap());
        std::fs::write(&path, b"").unwrap();
        let file = UnixSocket::open(&path, 0o660);
        assert!(
            matches!(file, Err(UnixSocketError::NotASocket(_))),
            "{file:?}"
        );
    }
}
