//! An SMTP server that takes everything over STARTTLS and counts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// What arrived.
#[derive(Default)]
pub struct Tally {
    pub messages: AtomicU64,
    pub connections: AtomicU64,
    arrived: Notify,
}

impl Tally {
    /// Waits until `expected` messages have arrived.
    pub async fn reach(&self, expected: u64) {
        loop {
            let arrival = self.arrived.notified();
            if self.messages.load(Ordering::Acquire) >= expected {
                return;
            }
            arrival.await;
        }
    }
}

/// Serves until the runtime ends; returns the bound address and the tally.
pub async fn start(
    address: SocketAddr,
    tls: Arc<ServerConfig>,
) -> std::io::Result<(SocketAddr, Arc<Tally>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let counter = Arc::clone(&tally);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.connections.fetch_add(1, Ordering::Relaxed);
            let (tls, counter) = (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&counter));
            tokio::spawn(async move {
                drop(stream.set_nodelay(true));
                let mut plain = BufStream::new(stream);
                if greet(&mut plain).await.is_ok()
                    && let Ok(stream) = tls.accept(plain.into_inner()).await
                {
                    drop(
                        session(BufStream::with_capacity(64 * 1024, 4096, stream), &counter).await,
                    );
                }
            });
        }
    });
    Ok((address, tally))
}

/// Up to and with the reply to STARTTLS.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
) -> std::io::Result<()> {
    reply(stream, "220 sink ESMTP\r\n").await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with(b"STARTTLS") {
            return reply(stream, "220 go ahead\r\n").await;
        }
        reply(stream, "250-sink\r\n250 STARTTLS\r\n").await?;
    }
}

async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufStream<S>,
    tally: &Tally,
) -> std::io::Result<()> {
    let mut line = Vec::with_capacity(1024);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default() {
            b"EHLO" => {
                reply(
                    &mut stream,
                    "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
                )
                .await?
            }
            b"DATA" => {
                reply(&mut stream, "354 go ahead\r\n").await?;
                loop {
                    line.clear();
                    if stream.read_until(b'\n', &mut line).await? == 0 {
                        return Ok(());
                    }
                    if line == b".\r\n" {
                        break;
                    }
                }
                tally.messages.fetch_add(1, Ordering::Release);
                tally.arrived.notify_waiters();
                reply(&mut stream, "250 2.0.0 taken\r\n").await?;
            }
            b"QUIT" => return reply(&mut stream, "221 2.0.0 bye\r\n").await,
            _ => {
                // Group the replies of a pipelined batch into one write.
                stream.write_all(b"250 2.0.0 ok\r\n").await?;
                if !stream_has_more(&mut stream) {
                    stream.flush().await?;
                }
            }
        }
    }
}

fn stream_has_more<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> bool {
    use std::task::{Context, Poll, Waker};
    use tokio::io::AsyncBufRead;
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(stream).poll_fill_buf(&mut context) {
        Poll::Ready(Ok(buffer)) => !buffer.is_empty(),
        Poll::Ready(Err(_)) | Poll::Pending => false,
    }
}

async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}
