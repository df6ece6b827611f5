//! What the portal owes the line, kept until it is taken.
//!
//! Owns the way to the line's socket. What is owed stands in the store; here it is told in order, each
//! [`Lane`] apart, again and again with growing pauses until the line has answered. A refusal that
//! would be the same tomorrow ends it: a reply is marked as failed, the rest is dropped with a line
//! in our own log. Codes are another matter: somebody waits for the answer, so they are asked for
//! directly and never kept.

mod talk;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::portal::store::{Lane, Owed, OwedItem, ReplyState, Store, StoreError};
use crate::proto::link::{AskCode, Queued, ToLine};
use crate::world::clock::Clock;

pub use talk::AskError;

/// The first pause after a failure; each one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Codes that are asked for at once; more wait.
pub const CODES_AT_ONCE: usize = 8;
/// How long somebody waits for a code to be taken.
pub const CODE_PATIENCE: Duration = Duration::from_secs(10);

/// Takes what the store owes to the line until it is dropped. Cheap to clone; the last one ends it.
#[derive(Clone)]
pub struct Courier {
    socket: Arc<PathBuf>,
    codes: Arc<Semaphore>,
    _lanes: Arc<JoinSet<()>>,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Courier({})", self.socket.display())
    }
}

impl Courier {
    /// Begins to serve the store, over the line's socket.
    pub fn start(store: &Store, socket: PathBuf, clock: Clock) -> Self {
        let socket = Arc::new(socket);
        let mut lanes = JoinSet::new();
        for lane in Lane::ALL {
            let lane = Serving {
                store: store.clone(),
                socket: Arc::clone(&socket),
                clock,
                lane,
            };
            lanes.spawn(lane.run());
        }
        Self {
            socket,
            codes: Arc::new(Semaphore::new(CODES_AT_ONCE)),
            _lanes: Arc::new(lanes),
        }
    }

    /// Has a code mailed; ready when that is durable at the line. Not kept if it fails.
    pub async fn code(&self, ask: AskCode) -> Result<Queued, AskError> {
        let asking = async {
            let _permit = self.codes.acquire().await.map_err(|_| AskError::Late)?;
            talk::ask(&self.socket, &ToLine::Code(ask), None).await
        };
        tokio::time::timeout(CODE_PATIENCE, asking)
            .await
            .unwrap_or(Err(AskError::Late))
    }
}

/// What came of an attempt.
enum Told {
    /// There was nothing to tell.
    Nothing,
    /// It is off our hands.
    Done,
    /// Later again.
    NotYet,
}

struct Serving {
    store: Store,
    socket: Arc<PathBuf>,
    clock: Clock,
    lane: Lane,
}

impl Serving {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let told = match self.lane {
                Lane::Events | Lane::Mails => self.tell().await,
                Lane::Replies => self.hand_on().await,
            };
            match told {
                Ok(Told::Done) => pause = FIRST_PAUSE,
                Ok(Told::Nothing) => self.store.owed_changed(self.lane).await,
                Ok(Told::NotYet) => {
                    self.clock.sleep_until(self.clock.now() + pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    tracing::error!(%error, "the portal cannot read what it owes");
                    self.clock
                        .sleep_until(self.clock.now() + LONGEST_PAUSE)
                        .await;
                }
            }
        }
    }

    /// Events and mails.
    async fn tell(&self) -> Result<Told, StoreError> {
        let Some(item) = self.store.next_owed(self.lane)? else {
            return Ok(Told::Nothing);
        };
        let asked = match &item.owed {
            Owed::Event(event) => {
                let request = ToLine::Event(event.clone());
                talk::ask::<()>(&self.socket, &request, None).await
            }
            Owed::Remind(remind) => self.mail(ToLine::Remind(remind.clone())).await,
            Owed::Report(report) => self.mail(ToLine::Report(report.clone())).await,
        };
        match asked {
            Ok(()) => {}
            Err(error) if error.is_final() => drop_item(&item, &error),
            Err(error) => {
                tracing::debug!(%error, "the line does not take what the portal owes");
                return Ok(Told::NotYet);
            }
        }
        self.store.settle_owed(&item).await?;
        Ok(Told::Done)
    }

    async fn mail(&self, request: ToLine) -> Result<(), AskError> {
        talk::ask::<Queued>(&self.socket, &request, None)
            .await
            .map(drop)
    }

    /// Replies.
    async fn hand_on(&self) -> Result<Told, StoreError> {
        let Some(reply) = self.store.next_reply()? else {
            return Ok(Told::Nothing);
        };
        let ticket = reply.ticket;
        let state = match self.store.reply_content(ticket).await {
            Ok(content) => {
                let request = ToLine::Reply(reply);
                match talk::ask::<Queued>(&self.socket, &request, Some(content)).await {
                    Ok(_) => ReplyState::Sent,
                    Err(error) if error.is_final() => {
                        tracing::warn!(%error, ticket, "the line refuses a reply for good");
                        ReplyState::Failed
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the line does not take a reply");
                        return Ok(Told::NotYet);
                    }
                }
            }
            Err(error @ StoreError::Damaged(_)) => {
                tracing::error!(%error, ticket, "a reply is lost");
                ReplyState::Failed
            }
            Err(StoreError::Busy) => return Ok(Told::NotYet),
            Err(error) => return Err(error),
        };
        self.store.settle_reply(ticket, state).await?;
        Ok(Told::Done)
    }
}

fn drop_item(item: &OwedItem, error: &AskError) {
    let what = match &item.owed {
        Owed::Event(_) => "an event",
        Owed::Remind(_) => "a reminder",
        Owed::Report(_) => "a report",
    };
    let ticket = item.ticket;
    tracing::warn!(%error, ticket, what, "the line refuses for good what the portal owes it");
}
