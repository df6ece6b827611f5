//! Connections of the portal: requests in, answers out.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::tickets::Tickets;
use super::{LinkError, LinkOptions, MAX_CONNECTIONS, PATIENCE, SOCKET_MODE, reply};
use crate::flow::{AcceptError, By, Handle, NotNow, OursError};
use crate::mail::MessageId;
use crate::proto::link::{
    Answer, Code, Decoder, Happening, PickupEvent, Queued, Refusal, ToLine, encode,
};
use crate::report::{DeliveryLog, events};
use crate::world::unix::{Peer, Socket};

/// Digits of a code.
const CODE_DIGITS: RangeInclusive<usize> = 4..=12;
/// Octets read at a time.
const READ_OCTETS: usize = 16 * 1024;

/// What the door works with.
#[derive(Clone)]
pub struct LinkServices {
    /// The line.
    pub flow: Handle,
    /// Where it is told what happened in the portal.
    pub log: DeliveryLog,
    /// The replies that were taken in.
    pub tickets: Tickets,
}

/// Answers on the socket until dropped, which removes it and ends all connections.
#[derive(Debug)]
pub struct LinkServer {
    _task: JoinSet<()>,
}

impl LinkServer {
    /// Opens the socket at `path`. A stale one is replaced.
    pub fn open(path: &std::path::Path) -> Result<Socket, LinkError> {
        Socket::open(path, SOCKET_MODE)
    }

    /// Begins to answer.
    pub fn start(socket: Socket, options: LinkOptions, services: LinkServices) -> Self {
        let mut task = JoinSet::new();
        let resources = Arc::new(Resources {
            options,
            services,
            log_fails: AtomicBool::new(false),
        });
        task.spawn(accept(socket, resources));
        Self { _task: task }
    }
}

pub(super) struct Resources {
    pub(super) options: LinkOptions,
    pub(super) services: LinkServices,
    /// The log could not be written the last time.
    log_fails: AtomicBool,
}

impl Resources {
    /// Puts what happened into the log, on disk before it is answered: the portal forgets it then.
    /// What was retracted there is not sent any more.
    async fn hear(&self, told: &PickupEvent) -> Result<(), Refusal> {
        let LinkServices { flow, log, .. } = &self.services;
        if let (Happening::Retracted, Some(id), Some(recipient)) =
            (told.event, told.queue_id, &told.recipient)
        {
            let by = By {
                actor: told.actor.clone(),
                reasons: told.reasons.clone(),
            };
            if !flow.retracted(id, recipient, &by).await {
                return Err(Refusal::new(Code::Stopping, "the line is stopping"));
            }
        }
        // Told again and again, it would stand there as often.
        if self.log_fails.load(Ordering::Acquire) {
            self.write_log().await?;
        }
        log.record(events::picked_up(told)).await;
        self.write_log().await
    }

    async fn write_log(&self) -> Result<(), Refusal> {
        let written = self.services.log.flush().await;
        self.log_fails.store(written.is_err(), Ordering::Release);
        written.map_err(|error| {
            let text = format!("the delivery log cannot be written: {error}");
            Refusal::new(Code::Temporary, text)
        })
    }
}

/// Whether it can be a code: what the portal mails in our name is digits, and nothing else.
fn is_code(text: &str) -> bool {
    CODE_DIGITS.contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
}

async fn accept(socket: Socket, resources: Arc<Resources>) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok(stream) if !Peer::of(&stream).is_ok_and(Peer::is_ours) => {
                tracing::warn!("somebody who is neither ours nor of our group asked as the portal");
            }
            Ok(stream) => {
                let resources = Arc::clone(&resources);
                connections.spawn(async move {
                    let connection = Connection {
                        stream,
                        decoder: Decoder::default(),
                    };
                    connection.serve(&resources).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others need a moment to give some back.
                tracing::warn!(%error, "the socket for the portal cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection. What a request says follows it is read whole, or the connection ends.
pub(super) struct Connection {
    stream: UnixStream,
    decoder: Decoder<ToLine>,
}

/// The peer is gone, too slow, or not understood.
#[derive(Debug)]
pub(super) struct Gone;

impl Connection {
    async fn serve(mut self, resources: &Resources) {
        loop {
            let request = match self.request().await {
                Ok(request) => request,
                Err(None) => return,
                Err(Some(refusal)) => {
                    // Where the next request begins is unknown.
                    drop(self.answer(Err::<(), _>(refusal)).await);
                    return;
                }
            };
            let answered = self.carry_out(request, resources).await;
            if answered.is_err() {
                return;
            }
        }
    }

    async fn carry_out(&mut self, request: ToLine, resources: &Resources) -> Result<(), Gone> {
        let flow = &resources.services.flow;
        match request {
            ToLine::Code(asked) => {
                let made = match is_code(&asked.code) {
                    true => queued(flow.mail_code(&asked).await),
                    false => Err(Refusal::new(Code::BadRequest, "that is no code")),
                };
                self.answer(made).await
            }
            ToLine::Remind(remind) => self.answer(queued(flow.mail_reminder(&remind).await)).await,
            ToLine::Report(report) => self.answer(queued(flow.mail_report(&report).await)).await,
            ToLine::Event(told) => self.answer(resources.hear(&told).await).await,
            ToLine::Reply(reply) => {
                let octets = reply.octets;
                let mut content = Content {
                    connection: self,
                    left: octets,
                };
                let taken = reply::take(&reply, &mut content, resources).await;
                let left = content.left;
                let answer = match taken {
                    Ok(queue_id) => Ok(Queued { queue_id }),
                    Err(reply::Failed::Gone) => return Err(Gone),
                    Err(reply::Failed::Refused(refusal)) => Err(refusal),
                };
                self.answer(answer).await?;
                // What was not read stands before the next request.
                (left == 0).then_some(()).ok_or(Gone)
            }
        }
    }

    /// The next request. `Err(None)`: the peer is gone; else why it cannot be understood.
    async fn request(&mut self) -> Result<ToLine, Option<Refusal>> {
        loop {
            match self.decoder.next_line() {
                Ok(Some(request)) => return Ok(request),
                Ok(None) => {}
                Err(error) => {
                    return Err(Some(Refusal::new(Code::BadRequest, error.to_string())));
                }
            }
            self.read().await.map_err(|Gone| None)?;
        }
    }

    async fn read(&mut self) -> Result<(), Gone> {
        let mut octets = vec![0; READ_OCTETS];
        let read = self.stream.read(&mut octets);
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(count)) if count > 0 => {
                self.decoder.push(octets.get(..count).unwrap_or_default());
                Ok(())
            }
            _ => Err(Gone),
        }
    }

    async fn answer<T: Serialize>(&mut self, answer: Result<T, Refusal>) -> Result<(), Gone> {
        let answer = match answer {
            Ok(value) => Answer::Ok(value),
            Err(refusal) => Answer::Error(refusal),
        };
        let line = encode(&answer).map_err(|_| Gone)?;
        let writing = self.stream.write_all(&line);
        match tokio::time::timeout(PATIENCE, writing).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}

/// The octets that follow a request.
pub(super) struct Content<'c> {
    connection: &'c mut Connection,
    left: u64,
}

impl Content<'_> {
    /// The next of them; `None` at their end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Gone> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.connection.decoder.is_empty() {
            self.connection.read().await?;
        }
        let octets = self.connection.decoder.raw(self.left);
        let count = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(count);
        Ok(Some(octets))
    }
}

fn queued(made: Result<MessageId, OursError>) -> Result<Queued, Refusal> {
    match made {
        Ok(queue_id) => Ok(Queued { queue_id }),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a mail for the portal could not be made"
            );
            Err(not_made(&error))
        }
    }
}

fn not_made(error: &OursError) -> Refusal {
    let code = match error {
        OursError::NotNow(reason) => not_now(*reason),
        // It may be configured again.
        OursError::NoPortal | OursError::Spool(_) | OursError::Accept(_) => Code::Temporary,
    };
    Refusal::new(code, error.to_string())
}

pub(super) const fn not_now(reason: NotNow) -> Code {
    match reason {
        NotNow::Draining => Code::Stopping,
        NotNow::Full | NotNow::Overloaded | NotNow::Failed => Code::Temporary,
    }
}

pub(super) fn not_accepted(error: &AcceptError) -> Refusal {
    Refusal::new(Code::Temporary, error.to_string())
}
