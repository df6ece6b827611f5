//! What the portal owes the line, kept until it is taken.
//!
//! Owns the way to the line's socket. What is owed stands in the store; here it is told in order, each
//! [`Lane`] apart, again and again with growing pauses until the line has answered. A refusal that
//! would be the same tomorrow ends it: a reply is marked as failed, the rest is dropped with a line
//! in our own log. A reply that the line goes on not taking fails after days; a reminder or report
//! that is not true any more when its turn comes is not sent. Codes are another matter: somebody waits for the answer, so they are asked for
//! directly and never kept.
//!
//! What fails again and again while the line is there is passed over for a while ([`aside`]).

mod aside;
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
use crate::proto::link::{AskCode, Code, Queued, ToLine};
use crate::world::clock::Clock;

use aside::Aside;
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
                aside: Aside::default(),
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
    aside: Aside,
}

impl Serving {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let told = match self.lane {
                Lane::Events | Lane::Mails => self.tell().await,
                Lane::Replies => self.hand_on().await,
            };
            match told {
                Ok(Told::Done) => pause = FIRST_PAUSE,
                Ok(Told::Nothing) => self.news().await,
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

    /// Until there is more, or something that was passed over is to be tried again.
    async fn news(&self) {
        let changed = self.store.owed_changed(self.lane);
        match self.aside.next(self.clock.now()) {
            None => changed.await,
            Some(next) => tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(next) => {}
            },
        }
    }

    /// Not now. What it is that does not work counts where the line is there and well.
    fn not_yet(&mut self, ticket: u64, counts: bool) -> Told {
        if counts && self.aside.failed(ticket, self.clock.now()) {
            tracing::warn!(
                ticket,
                "what the portal owes the line fails again and again; the next goes first"
            );
        }
        Told::NotYet
    }

    /// Events and mails.
    async fn tell(&mut self) -> Result<Told, StoreError> {
        let aside = self.aside.tickets(self.clock.now());
        let Some(item) = self.store.next_owed_but(self.lane, &aside)? else {
            return Ok(Told::Nothing);
        };
        let Some(owed) = self.store.still_owed(&item.owed) else {
            self.store.settle_owed(&item).await?;
            self.aside.done(item.ticket);
            return Ok(Told::Done);
        };
        let asked = match &owed {
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
                return Ok(self.not_yet(item.ticket, error.is_particular()));
            }
        }
        self.store.settle_owed(&item).await?;
        self.aside.done(item.ticket);
        Ok(Told::Done)
    }

    async fn mail(&self, request: ToLine) -> Result<(), AskError> {
        talk::ask::<Queued>(&self.socket, &request, None)
            .await
            .map(drop)
    }

    /// Whether the line says no to a reply, for now, and has done so for long enough.
    fn is_given_up(&self, ticket: u64, error: &AskError) -> bool {
        let said = matches!(error, AskError::Refused(refusal) if refusal.code == Code::Temporary);
        let written = self.store.reply_written(ticket).filter(|_| said);
        written.is_some_and(|written| {
            let now = self.clock.now();
            self.aside.is_given_up(ticket, written, now)
        })
    }

    /// Replies.
    async fn hand_on(&mut self) -> Result<Told, StoreError> {
        let aside = self.aside.tickets(self.clock.now());
        let Some(reply) = self.store.next_reply_but(&aside)? else {
            return Ok(Told::Nothing);
        };
        let ticket = reply.ticket;
        let taken = match self.store.reply_content(ticket).await {
            Ok(content) => {
                let request = ToLine::Reply(reply);
                match talk::ask::<Queued>(&self.socket, &request, Some(content)).await {
                    Ok(queued) => Some(queued.queue_id),
                    Err(error) if error.is_final() => {
                        tracing::warn!(%error, ticket, "the line refuses a reply for good");
                        None
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the line does not take a reply");
                        let told = self.not_yet(ticket, error.is_particular());
                        if !self.is_given_up(ticket, &error) {
                            return Ok(told);
                        }
                        tracing::warn!(%error, ticket, "the line has not taken a reply for days; it is given up");
                        None
                    }
                }
            }
            Err(error @ StoreError::Damaged(_)) => {
                tracing::error!(%error, ticket, "a reply is lost");
                None
            }
            Err(StoreError::Busy) => return Ok(Told::NotYet),
            Err(error) => {
                tracing::error!(%error, ticket, "a reply cannot be read");
                return Ok(self.not_yet(ticket, true));
            }
        };
        match taken {
            Some(id) => self.store.reply_taken(ticket, id).await?,
            None => self.store.settle_reply(ticket, ReplyState::Failed).await?,
        }
        self.aside.done(ticket);
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
