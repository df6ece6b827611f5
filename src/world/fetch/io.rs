//! A stream of ours as hyper wants it: reads go through a buffer of its own, which is what it takes
//! to lend memory without `unsafe`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::world::net::Stream;

/// Octets read at once.
const READ_OCTETS: usize = 16 * 1024;

/// A stream for hyper.
pub(super) struct HyperIo {
    stream: Box<dyn Stream>,
    buffer: Box<[u8]>,
}

impl HyperIo {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: vec![0; READ_OCTETS].into_boxed_slice(),
        }
    }
}

impl Read for HyperIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, buffer } = &mut *self;
        let room = cursor.remaining().min(buffer.len());
        let mut read = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(context, &mut read))?;
        cursor.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for HyperIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
