//! Outgoing connections.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use super::BoxFuture;

/// A byte stream to a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Something that can open connections.
pub trait Network: Send + Sync + 'static {
    /// Connects to `peer`, from `source` if given. No timeout of its own beyond the system's.
    fn connect<'a>(
        &'a self,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn connect<'a>(
        &'a self,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = open(peer, source).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

async fn open(peer: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match peer {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_keepalive(true)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(peer).await
}
