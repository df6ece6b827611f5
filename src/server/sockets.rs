//! The sockets that mail comes in on, opened before anything else moves.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::{ListenerAddress, ListenerSection};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Who may connect to a submission socket: the daemon's account and group. Others are let in by
/// group membership.
const UNIX_MODE: u32 = 0o660;

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Where.
    pub address: String,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Opens the socket of a listener.
pub(super) fn open(section: &ListenerSection) -> Result<Listening, ListenError> {
    let opened = match &section.address.value {
        ListenerAddress::Tcp(address) => tcp(*address).map(Listening::Tcp),
        ListenerAddress::Unix(path) => {
            unix(path).map(|listener| Listening::Unix(listener, path.clone()))
        }
    };
    opened.map_err(|source| ListenError {
        address: section.address.value.to_string(),
        source,
    })
}

/// Opens a port, and says which where the system chose it.
pub(super) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let opened = tcp(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    opened.map_err(|source| ListenError {
        address: address.to_string(),
        source,
    })
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the process before.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] is IPv6 alone, so that 0.0.0.0 can stand beside it on every system.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path)
        && metadata.file_type().is_socket()
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?; // left by a process that is no more
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_MODE))?;
    Ok(listener)
}
