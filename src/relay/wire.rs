//! A connection's octets: moves them between a stream and a sans-I/O session, and decides
//! nothing.
//!
//! Reading and writing go on at the same time, so that a peer that answers before it has read
//! all of a pipelined batch blocks nobody. A deadline is looked at before any octets are.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

use crate::mail::Timestamp;
use crate::proto::smtp::client::{Input, Output, Session};
use crate::world::clock::Clock;
use crate::world::net::Stream;

/// Octets read at once: replies are short.
const READ_OCTETS: usize = 4096;

/// When [`Wire::drive`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At the session's next event.
    Event,
    /// At the session's next event, or once everything written so far has been sent.
    Sent,
}

/// A stream with what is on its way out.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    pending: Zeroizing<Vec<u8>>,
    sent: usize,
    unflushed: bool,
    buffer: Box<[u8; READ_OCTETS]>,
}

/// What moved.
enum Moved {
    Out,
    In(usize),
    /// End of stream, or an error, which is the same to SMTP.
    Nothing,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            pending: Zeroizing::default(),
            sent: 0,
            unflushed: false,
            buffer: Box::new([0; READ_OCTETS]),
        }
    }

    /// Takes the stream out, for the handshake. What was on its way is dropped: a session that
    /// asks for a handshake has nothing on its way.
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Runs `session` until `until`. `limit` is a second deadline beside the session's own.
    /// `None` means that everything was sent.
    pub(super) async fn drive(
        &mut self,
        session: &mut (dyn Session + Send),
        clock: Clock,
        limit: Option<Timestamp>,
        until: Until,
    ) -> Option<Output> {
        let mut ended = false;
        loop {
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Write(octets) => self.queue(octets),
                    event @ (Output::StartTls
                    | Output::Established
                    | Output::SendContent
                    | Output::Finished(_)
                    | Output::Failed(_)
                    | Output::Closed) => return Some(event),
                }
            }
            if until == Until::Sent && self.is_sent() {
                return None;
            }
            // A session that was told of its end and has nothing to say had ended before.
            if ended {
                return Some(Output::Closed);
            }
            let deadline = [session.poll_timeout(), limit].into_iter().flatten().min();
            let late = async {
                match deadline {
                    Some(moment) => clock.sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = late => {
                    session.handle(clock.now(), Input::TimedOut);
                    ended = true;
                }
                moved = poll_fn(|context| self.poll_move(context)) => match moved {
                    Moved::Out => {}
                    Moved::In(octets) => {
                        let octets = self.buffer.get(..octets).unwrap_or_default();
                        session.handle(clock.now(), Input::Received(octets));
                    }
                    Moved::Nothing => {
                        session.handle(clock.now(), Input::Closed);
                        ended = true;
                    }
                },
            }
        }
    }

    /// Sends what a session that has ended still had to say (QUIT), without waiting for more than
    /// the stream's own buffer, and closes the stream. Errors are of no interest any more.
    pub(super) async fn finish(mut self, clock: Clock, limit: Timestamp) {
        let closing = async {
            while !self.is_sent() {
                if matches!(
                    poll_fn(|context| self.poll_send(context)).await,
                    Moved::Nothing
                ) {
                    return;
                }
            }
            drop(poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await);
        };
        tokio::select! {
            () = closing => {}
            () = clock.sleep_until(limit) => {}
        }
    }

    /// Whether the stream is silent, as that of an idle connection should be.
    pub(super) async fn is_silent(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.poll_receive(context).is_pending())).await
    }

    fn queue(&mut self, octets: Zeroizing<Vec<u8>>) {
        if self.is_sent() {
            self.pending = octets;
            self.sent = 0;
        } else {
            self.pending.extend_from_slice(&octets);
        }
    }

    fn is_sent(&self) -> bool {
        self.sent >= self.pending.len() && !self.unflushed
    }

    fn poll_move(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        if !self.is_sent()
            && let Poll::Ready(moved) = self.poll_send(context)
        {
            return Poll::Ready(moved);
        }
        self.poll_receive(context)
    }

    /// Sends, then flushes: a TLS stream holds octets back until it is flushed.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        let stream = Pin::new(&mut self.stream);
        let rest = self.pending.get(self.sent..).unwrap_or_default();
        if rest.is_empty() {
            return match stream.poll_flush(context) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    Poll::Ready(Moved::Out)
                }
                Poll::Ready(Err(_)) => Poll::Ready(Moved::Nothing),
                Poll::Pending => Poll::Pending,
            };
        }
        match stream.poll_write(context, rest) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Moved::Nothing),
            Poll::Ready(Ok(octets)) => {
                self.sent += octets;
                self.unflushed = true;
                Poll::Ready(Moved::Out)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                Poll::Ready(Moved::In(buffer.filled().len()))
            }
            Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(Moved::Nothing),
            Poll::Pending => Poll::Pending,
        }
    }
}
