//! The line's way to the portal: what is left there, taken back, asked and told.
//!
//! Owns the client of the portal's Unix socket (the words are `proto::link`). Connections are kept
//! for the next request, at most [`MAX_CONNECTIONS`] at a time; whoever comes when all are busy
//! waits. A connection that was kept and turns out dead is replaced once: the portal may have been
//! started anew, and every request may be repeated (a deposit is the same one by its queue id and
//! recipient). Bounds: time by [`Patience`], an answer by `MAX_LINE_OCTETS`.
//!
//! Never: reads what it was given to leave there; decides what follows from an error.

mod connection;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::mail::{Address, Deposit, MessageId};
use crate::proto::link::{Answer, Code, Deposited, Refusal, Standing, ToPortal, Travelled, encode};
use crate::spool::{Content, SpoolError};
use crate::world::clock::Clock;
use connection::Connection;

/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 32;

/// How long the portal is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, and until the portal has taken another piece of what is sent.
    pub step: Duration,
    /// For the answer to what was sent whole: the portal makes it durable meanwhile.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(10),
            answer: Duration::from_secs(60),
        }
    }
}

/// Nothing came of a request to the portal.
#[derive(Debug, thiserror::Error)]
pub enum PickupError {
    /// It cannot be reached, is busy or stopping, or does not answer: another time it may.
    #[error("the portal cannot be asked now: {0}")]
    Unavailable(String),
    /// It says no, and would say so again.
    #[error("the portal refused: {0}")]
    Refused(String),
    /// What it is about was retracted there: it is not to go any other way.
    #[error("the message was retracted in the portal")]
    Retracted,
    /// What was to be left there cannot be read.
    #[error("what was to be left in the portal cannot be read")]
    Content(#[source] SpoolError),
    /// The two do not speak the same language.
    #[error("the portal and the line do not understand each other: {0}")]
    Failed(String),
}

/// The portal's client. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Pickup {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Clock,
    patience: Patience,
    turns: Semaphore,
    /// Connections that nobody uses; the one used last is the last one.
    idle: Mutex<Vec<Connection>>,
}

/// What a request came to on one connection.
enum Tried<T> {
    Answered(Result<T, PickupError>),
    /// The connection was kept and has died meanwhile.
    Stale,
}

impl Pickup {
    /// For the portal that answers on the socket at `path`. Nothing is opened yet.
    pub fn new(path: &Path, clock: Clock) -> Self {
        Self::waiting(path, clock, Patience::default())
    }

    /// The same with another patience.
    pub fn waiting(path: &Path, clock: Clock, patience: Patience) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                clock,
                patience,
                turns: Semaphore::new(MAX_CONNECTIONS),
                idle: Mutex::default(),
            }),
        }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Leaves a message in the portal; durable there when it returns.
    pub async fn deposit(
        &self,
        deposit: &Deposit,
        content: &Content,
    ) -> Result<Deposited, PickupError> {
        let request = ToPortal::Deposit(Box::new(deposit.clone()));
        self.ask(&request, Some(content)).await
    }

    /// Takes a deposit back: its key is overwritten when it returns. One that is not there is no
    /// error.
    pub async fn withdraw(
        &self,
        queue_id: MessageId,
        recipient: &Address,
    ) -> Result<(), PickupError> {
        let recipient = recipient.clone();
        self.ask(
            &ToPortal::Withdraw {
                queue_id,
                recipient,
            },
            None,
        )
        .await
    }

    /// Whether what was left for a recipient was retracted in the portal.
    pub async fn was_retracted(
        &self,
        queue_id: MessageId,
        recipient: &Address,
    ) -> Result<bool, PickupError> {
        let recipient = recipient.clone();
        let request = ToPortal::WasRetracted {
            queue_id,
            recipient,
        };
        self.ask(&request, None).await
    }

    /// What the portal knows of an address.
    pub async fn standing(&self, recipient: &Address) -> Result<Standing, PickupError> {
        let recipient = recipient.clone();
        self.ask(&ToPortal::Standing { recipient }, None).await
    }

    /// Tells the portal how a mail of its travelled.
    pub async fn travelled(&self, travelled: &Travelled) -> Result<(), PickupError> {
        self.ask(&ToPortal::Travelled(travelled.clone()), None)
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: &ToPortal,
        content: Option<&Content>,
    ) -> Result<T, PickupError> {
        let line = encode(request).map_err(|error| PickupError::Failed(error.to_string()))?;
        let shared = &*self.shared;
        // The semaphore is never closed.
        let _turn = shared.turns.acquire().await;
        while let Some(kept) = shared.kept() {
            match shared.attempt(kept, true, &line, content).await {
                Tried::Answered(answer) => return answer,
                Tried::Stale => {}
            }
        }
        let fresh = Connection::open(&shared.path, shared.clock, shared.patience).await;
        let fresh = fresh.map_err(|error| PickupError::Unavailable(error.to_string()))?;
        match shared.attempt(fresh, false, &line, content).await {
            Tried::Answered(answer) => answer,
            Tried::Stale => Err(PickupError::Unavailable(
                "the connection was closed".to_owned(),
            )),
        }
    }
}

impl Shared {
    fn kept(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        mut connection: Connection,
        kept: bool,
        line: &[u8],
        content: Option<&Content>,
    ) -> Tried<T> {
        match connection.exchange::<T>(line, content).await {
            Ok(answer) => {
                if connection.is_clean() {
                    self.idle().push(connection);
                }
                Tried::Answered(match answer {
                    Answer::Ok(value) => Ok(value),
                    Answer::Error(refusal) => Err(refused(refusal)),
                })
            }
            Err(connection::Broken::Closed) if kept => Tried::Stale,
            Err(connection::Broken::Content(error)) => {
                Tried::Answered(Err(PickupError::Content(error)))
            }
            Err(connection::Broken::NotUnderstood(error)) => {
                Tried::Answered(Err(PickupError::Failed(error.to_string())))
            }
            Err(broken) => {
                let unavailable = PickupError::Unavailable(broken.to_string());
                Tried::Answered(Err(unavailable))
            }
        }
    }
}

fn refused(refusal: Refusal) -> PickupError {
    match refusal.code {
        Code::Refused | Code::NotFound => PickupError::Refused(refusal.text),
        Code::Retracted => PickupError::Retracted,
        Code::Temporary | Code::Stopping => PickupError::Unavailable(refusal.text),
        Code::BadRequest => PickupError::Failed(refusal.text),
    }
}

#[cfg(test)]
mod tests;
