//! One connection: requests in, answers out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::mail::Deposit;
use crate::portal::store::{Store, StoreError};
use crate::proto::link::{
    Answer, Code, Decoder, Deposited, PickupOrder, Refusal, ToPortal, encode,
};
use crate::world::account;
use crate::world::unix::Peer;

use super::{Hears, PATIENCE};

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;
/// Octets of an unwanted content that are read away, so that the answer can be read; a client that
/// announces more is cut off.
const MAX_UNWANTED_OCTETS: u64 = 512 * 1024 * 1024;
/// Octets of a reason.
const MAX_REASON_OCTETS: usize = 200;

/// What is asked about.
#[derive(Clone)]
pub(super) struct Resources {
    pub(super) store: Store,
    pub(super) hears: Arc<dyn Hears>,
}

/// The connection cannot go on.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self
    }
}

struct Connection<'a> {
    stream: UnixStream,
    decoder: Decoder<ToPortal>,
    buffer: Vec<u8>,
    peer: Peer,
    resources: &'a Resources,
}

/// Answers until the other end is done, silent for too long, or not to be understood.
pub(super) async fn serve(stream: UnixStream, peer: Peer, resources: &Resources) {
    let mut connection = Connection {
        stream,
        decoder: Decoder::default(),
        buffer: vec![0; READ_OCTETS],
        peer,
        resources,
    };
    while connection.turn().await.is_ok() {}
}

impl Connection<'_> {
    /// One request and its answer.
    async fn turn(&mut self) -> Result<(), Ended> {
        let request = loop {
            match self.decoder.next_line() {
                Ok(Some(request)) => break request,
                Ok(None) => {
                    let octets = self.read(READ_OCTETS).await?;
                    self.decoder.push(&octets);
                }
                Err(error) => {
                    // Where the next request begins is unknown.
                    let refusal = Refusal::new(Code::BadRequest, error.to_string());
                    self.answer::<()>(Err(refusal)).await?;
                    return Err(Ended);
                }
            }
        };
        self.respond(request).await
    }

    /// Some octets, `most` at most and one at least.
    async fn read(&mut self, most: usize) -> Result<Bytes, Ended> {
        let most = most.min(self.buffer.len());
        let buffer = self.buffer.get_mut(..most).unwrap_or_default();
        match timeout(PATIENCE, self.stream.read(buffer)).await {
            Ok(Ok(read)) if read > 0 => {
                let read = buffer.get(..read).unwrap_or_default();
                Ok(Bytes::copy_from_slice(read))
            }
            _ => Err(Ended),
        }
    }

    async fn answer<T: Serialize>(&mut self, answer: Result<T, Refusal>) -> Result<(), Ended> {
        let answer = match answer {
            Ok(value) => Answer::Ok(value),
            Err(refusal) => Answer::Error(refusal),
        };
        let line = encode(&answer).or_else(|_| {
            let refusal = Refusal::new(Code::Temporary, "the answer is too long");
            encode(&Answer::<()>::Error(refusal))
        });
        let line = line.map_err(|_| Ended)?;
        match timeout(PATIENCE, self.stream.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }

    async fn respond(&mut self, request: ToPortal) -> Result<(), Ended> {
        let Resources { store, hears } = self.resources;
        let refusal = |error: StoreError| {
            if matches!(error.code(), Code::Temporary | Code::Stopping) {
                tracing::warn!(%error, "the portal cannot do what it was asked");
            }
            error.refusal()
        };
        match request {
            ToPortal::Deposit(deposit) => {
                let deposited = self.deposit(*deposit).await?;
                self.answer(deposited.map_err(refusal)).await
            }
            ToPortal::Withdraw {
                queue_id,
                recipient,
            } => {
                let withdrawn = store.withdraw(queue_id, &recipient).await;
                self.answer(withdrawn.map_err(refusal)).await
            }
            ToPortal::WasRetracted {
                queue_id,
                recipient,
            } => {
                let retracted = store.was_retracted(queue_id, &recipient);
                self.answer(Ok(retracted)).await
            }
            ToPortal::Standing { recipient } => {
                let standing = hears.standing(&recipient);
                self.answer(Ok(standing)).await
            }
            ToPortal::Travelled(travelled) => {
                let heard = store.reply_travelled(&travelled).await;
                if matches!(heard, Ok(false)) {
                    hears.travelled(&travelled); // no reply: a code, as far as we know
                }
                self.answer(heard.map(drop).map_err(refusal)).await
            }
            ToPortal::PickupList(filter) => {
                let page = store.list(filter).await;
                self.answer(page.map_err(refusal)).await
            }
            ToPortal::PickupShow { name } => {
                let shown = store.show(&name).await;
                self.answer(shown.map_err(refusal)).await
            }
            ToPortal::PickupRetract(order) => {
                let done = match self.ordered(order).await {
                    Ok(order) => store.retract_named(order).await.map_err(refusal),
                    Err(refusal) => Err(refusal),
                };
                self.answer(done).await
            }
            ToPortal::PickupExtend(order) => {
                let done = match self.ordered(order).await {
                    Ok(order) => store.extend_named(order).await.map_err(refusal),
                    Err(refusal) => Err(refusal),
                };
                self.answer(done).await
            }
        }
    }

    /// An order with who gives it as the system says, and a reason that is a short line.
    async fn ordered(&self, mut order: PickupOrder) -> Result<PickupOrder, Refusal> {
        let reason = &order.reason;
        if reason.len() > MAX_REASON_OCTETS || reason.chars().any(char::is_control) {
            let text = "the reason is too long, or more than one line";
            return Err(Refusal::new(Code::BadRequest, text));
        }
        let uid = self.peer.uid;
        let name = tokio::task::spawn_blocking(move || account::name(uid)).await;
        order.actor = name.unwrap_or_else(|_| format!("uid {uid}"));
        Ok(order)
    }

    /// Streams the content to the store. What the store does not want is read all the same: the
    /// other end reads no answer before it has written everything.
    async fn deposit(&mut self, deposit: Deposit) -> Result<Result<Deposited, StoreError>, Ended> {
        let mut left = deposit.octets;
        let mut incoming = self.resources.store.deposit(deposit).await;
        while left > 0 {
            if incoming.is_err() && left > MAX_UNWANTED_OCTETS {
                break;
            }
            let before = Bytes::from(self.decoder.raw(left.min(READ_OCTETS as u64)));
            let octets = match before.is_empty() {
                false => before,
                true => {
                    let most = usize::try_from(left).unwrap_or(READ_OCTETS);
                    self.read(most).await?
                }
            };
            left -= octets.len() as u64;
            if let Ok(taking) = &mut incoming
                && let Err(error) = taking.write(octets).await
            {
                incoming = Err(error);
            }
        }
        let deposited = match incoming {
            Ok(incoming) => incoming.finish().await,
            Err(error) => Err(error),
        };
        if left > 0 {
            if let Err(error) = deposited {
                self.answer::<()>(Err(error.refusal())).await?;
            }
            return Err(Ended);
        }
        Ok(deposited)
    }
}
