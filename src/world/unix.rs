//! Listening on a Unix socket: a stale one is replaced, ours is removed when it is closed.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
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

/// An open socket. Removed when dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Who is at the other end, as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Socket {
    /// Opens the socket with this mode. A stale one, which nobody answers on, is replaced.
    pub fn open(path: &Path, mode: u32) -> Result<Self, SocketError> {
        clear(path)?;
        let failed = |operation| {
            let path = path.to_owned();
            move |source| SocketError::Io {
                operation,
                path,
                source,
            }
        };
        let listener = UnixListener::bind(path).map_err(failed("open"))?;
        // The process's umask has kept others out since the bind; this says so for good.
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).map_err(failed("protect"))?;
        Ok(socket)
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever finds it stale replaces it; nothing is lost if this fails.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Peer {
    /// Of a connection.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
        })
    }

    /// Whether it is root, our own user, or of our own group.
    pub fn is_ours(self) -> bool {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        self.uid == 0 || self.uid == uid || self.gid == gid
    }
}

/// Removes a socket that a process which is no more has left.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |operation| {
        let path = path.to_owned();
        move |source| SocketError::Io {
            operation,
            path,
            source,
        }
    };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at")(source)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed("replace"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = Socket::open(&path, 0o660).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let again = Socket::open(&path, 0o660);
        assert!(matches!(again, Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists());
        // A process that was killed leaves its socket.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::open(&path, 0o600).unwrap();
        let (near, far) = tokio::join!(UnixStream::connect(&path), socket.accept());
        let peer = Peer::of(&far.unwrap()).unwrap();
        assert!(peer.is_ours() && near.is_ok());
        drop(socket);
        std::fs::write(&path, "").unwrap();
        let other = Socket::open(&path, 0o600);
        assert!(matches!(other, Err(SocketError::NotASocket(_))));
        assert!(path.exists());
    }
}
