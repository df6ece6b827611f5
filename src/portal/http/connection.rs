//! One connection: handshake, HTTP/1.1 or HTTP/2 as ALPN decided, its end.
//!
//! An HTTP/1.1 connection that we end is closed for writing first, and read from for a moment: a
//! client that is still sending would otherwise get a reset in place of the answer.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::service::{Service, Shared};
use super::tls::PortalTls;
use super::watch::{Expired, Watch, WatchedStream};

/// Octets of an HTTP/1.1 request's head; of what is waiting to be written.
const MAX_HEAD_OCTETS: usize = 16 * 1024;
/// Octets of an HTTP/2 request's header fields (RFC 9113 §6.5.2).
const MAX_H2_HEAD_OCTETS: u32 = 16 * 1024;
/// Requests at a time on one connection.
const MAX_STREAMS: u32 = 32;
/// Octets that a client may send ahead of us, in one request and in all.
const STREAM_WINDOW_OCTETS: u32 = 128 * 1024;
const CONNECTION_WINDOW_OCTETS: u32 = 256 * 1024;
/// Octets of an answer that wait for the client.
const MAX_SEND_OCTETS: usize = 64 * 1024;
/// Requests that were taken back before we saw them, and after they broke a rule (rapid reset).
const MAX_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;
/// How long, and how much, is read after the end.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1024 * 1024;

type Io = TokioIo<WatchedStream<TlsStream<TcpStream>>>;

/// Serves a connection to its end.
pub(super) async fn run(
    stream: TcpStream,
    client: IpAddr,
    tls: PortalTls,
    shared: Arc<Shared>,
    mut draining: watch::Receiver<bool>,
) {
    let handshake = timeout(shared.limits.head, Box::pin(tls.accept(stream)));
    let (stream, agreed) = tokio::select! {
        done = handshake => match done {
            Ok(Ok(agreed)) => agreed,
            Ok(Err(error)) => {
                tracing::debug!(%client, %error, "a TLS handshake with the portal failed");
                return;
            }
            Err(_) => {
                tracing::debug!(%client, "a TLS handshake with the portal took too long");
                return;
            }
        },
        () = drained(&mut draining) => return,
    };
    let watch = Watch::new(shared.clock, &shared.limits, agreed.h2);
    let io = TokioIo::new(WatchedStream {
        stream,
        watch: watch.clone(),
    });
    let drain = shared.limits.drain;
    let service = Arc::new(Service {
        shared,
        watch: watch.clone(),
        client,
        agreed,
    });
    let expired = if agreed.h2 {
        over_http2(io, service, watch, draining, drain).await
    } else {
        over_http1(io, service, watch, draining, drain).await
    };
    if let Some(why) = expired {
        tracing::debug!(%client, ?why, "a connection to the portal was ended");
    }
}

/// Ready when the order to drain was given, or nobody is left to give it.
pub(super) async fn drained(draining: &mut watch::Receiver<bool>) {
    drop(draining.wait_for(|draining| *draining).await);
}

async fn over_http2(
    io: Io,
    service: Arc<Service>,
    watch: Watch,
    draining: watch::Receiver<bool>,
    drain: Duration,
) -> Option<Expired> {
    let answers = service_fn(move |asked: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { service.serve(asked).await }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_H2_HEAD_OCTETS)
        .initial_stream_window_size(STREAM_WINDOW_OCTETS)
        .initial_connection_window_size(CONNECTION_WINDOW_OCTETS)
        .max_send_buf_size(MAX_SEND_OCTETS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .serve_connection(io, answers);
    let mut connection = Box::pin(connection);
    let step = |connection: &mut Pin<Box<_>>, context: &mut Context<'_>| {
        Future::poll(Pin::as_mut(connection), context).map(drop)
    };
    let wind_up = |connection: &mut Pin<Box<http2::Connection<_, _, _>>>| {
        connection.as_mut().graceful_shutdown();
    };
    drive(&mut connection, step, wind_up, &watch, draining, drain).await
}

async fn over_http1(
    io: Io,
    service: Arc<Service>,
    watch: Watch,
    draining: watch::Receiver<bool>,
    drain: Duration,
) -> Option<Expired> {
    let answers = service_fn(move |asked: Request<Incoming>| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.serve(asked).await })
    });
    // The watch keeps the time; hyper has one limit for the idle and for the slow.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_OCTETS)
        .serve_connection(io, answers);
    let mut connection = Box::new(connection);
    let step = |connection: &mut Box<http1::Connection<_, _>>, context: &mut Context<'_>| {
        connection.poll_without_shutdown(context).map(drop)
    };
    let wind_up = |connection: &mut Box<http1::Connection<_, _>>| {
        Pin::new(&mut **connection).graceful_shutdown();
    };
    let expired = drive(&mut connection, step, wind_up, &watch, draining, drain).await;
    let stream = connection.into_parts().io.into_inner().stream;
    // Whoever does not hear it has left.
    drop(timeout(LINGER, linger(stream)).await);
    expired
}

/// Says that nothing more comes, and reads until the client says so too.
async fn linger(mut stream: TlsStream<TcpStream>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 1024];
    let mut read = 0;
    while read < LINGER_OCTETS {
        match stream.read(&mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(octets) => read += octets,
        }
    }
}

/// Drives a connection until it ends, is too slow, or has been given its time after the order to
/// drain. `Some` if the watch ended it.
async fn drive<C>(
    connection: &mut C,
    mut step: impl FnMut(&mut C, &mut Context<'_>) -> Poll<()>,
    wind_up: impl FnOnce(&mut C),
    watch: &Watch,
    mut draining: watch::Receiver<bool>,
    drain: Duration,
) -> Option<Expired> {
    let mut alarm = Box::pin(Alarm::new());
    let mut on = |connection: &mut C, context: &mut Context<'_>| {
        if step(connection, context).is_ready() {
            return Poll::Ready(None);
        }
        alarm.as_mut().check(watch, context).map(Some)
    };
    tokio::select! {
        ended = poll_fn(|context| on(connection, context)) => return ended,
        () = drained(&mut draining) => {}
    }
    wind_up(connection);
    let rest = timeout(drain, poll_fn(|context| on(connection, context)));
    rest.await.ok().flatten()
}

/// Wakes the connection when its watch would have it ended.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// When it is set to, as the watch says it.
    set_to: Option<crate::mail::Timestamp>,
}

impl Alarm {
    fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            set_to: None,
        }
    }

    fn check(self: Pin<&mut Self>, watch: &Watch, context: &mut Context<'_>) -> Poll<Expired> {
        let alarm = self.get_mut();
        loop {
            let due = match watch.look() {
                Ok(due) => due,
                Err(why) => return Poll::Ready(why),
            };
            if alarm.set_to != Some(due) {
                alarm.set_to = Some(due);
                alarm
                    .sleep
                    .as_mut()
                    .reset(Instant::now() + watch.until(due));
            }
            match alarm.sleep.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                // Early by less than a tick of the timer, or the watch has moved on: look again.
                Poll::Ready(()) => alarm.set_to = None,
            }
        }
    }
}
