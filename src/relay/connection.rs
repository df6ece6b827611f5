//! One connection to a next hop: opened, upgraded, used, reused, ended.
//!
//! Drives `proto::smtp::client`; owns no rule of SMTP. Content is read from the spool only after
//! the server has said 354 to a transaction that a permit began.

use super::address::Leg;
use super::outgoing::{Memory, Outgoing, Sharing};
use super::pool::Key;
use super::tls::{TlsClient, TlsError};
use super::wire::{Until, Wire};
use crate::mail::{Grade, Rendition, Terms, Timestamp, TlsFacts};
use crate::proto::smtp::client::{
    Cause, Client, DomainFacts, Failure, Input, Lack, Mail, Output, Phase, RecipientResult, Report,
    Session as _, Settings, Shortfall, Transfer, Unfit,
};
use crate::spool::Content;
use crate::world::clock::Clock;
use crate::world::net::Network;

/// What every connection is opened with.
pub(super) struct Opener<'a> {
    pub(super) network: &'a dyn Network,
    pub(super) tls: &'a TlsClient,
    pub(super) clock: Clock,
    /// Room for what is sealed whole.
    pub(super) sealing: &'a Memory,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Nobody answered, or not in time.
    Connect(String),
    /// There is TLS, and it does not work.
    Tls(TlsError),
    /// The session broke before it was established.
    Session(Failure),
}

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// The connection is not enough. Nothing was said about the message.
    Short(Shortfall),
    /// The content does not fit. Nothing was said about the message.
    Unfit {
        /// The grade that the connection had for the domain.
        grade: Grade,
        /// Why.
        unfit: Unfit,
    },
    /// It took place, or broke.
    Done {
        /// The grade that the connection had for the domain.
        grade: Grade,
        /// What became of whom.
        report: Report,
    },
    /// Our own content could not be read to its end; the peer has none of it.
    Unreadable(String),
}

/// An established connection.
pub(super) struct Connection {
    pub(super) key: Key,
    client: Client,
    wire: Wire,
    clock: Clock,
    quit_within: std::time::Duration,
    sealing: Memory,
    /// Transactions begun.
    pub(super) transactions: u32,
}

impl Opener<'_> {
    /// Connects, and gets as far as MAIL could be said.
    pub(super) async fn open(
        &self,
        key: Key,
        settings: Settings,
        limit: Timestamp,
    ) -> Result<Connection, OpenError> {
        let clock = self.clock;
        let Leg { peer, source } = key.leg;
        let by = (clock.now() + settings.timeouts.connect).min(limit);
        let stream = tokio::select! {
            biased;
            stream = self.network.connect(peer, source) => {
                stream.map_err(|error| OpenError::Connect(error.to_string()))?
            }
            () = clock.sleep_until(by) => {
                return Err(OpenError::Connect("no answer in time".to_owned()));
            }
        };
        let quit_within = settings.timeouts.quit;
        let mut client = Client::new(settings, clock.now());
        let mut wire = Wire::new(stream);
        loop {
            match wire
                .drive(&mut client, clock, Some(limit), Until::Event)
                .await
            {
                Some(Output::StartTls) => {
                    let by = client.poll_timeout().map_or(limit, |by| by.min(limit));
                    let handshake =
                        self.tls
                            .handshake(wire.into_stream(), &key.reference, key.post_quantum);
                    let (stream, facts) = tokio::select! {
                        biased;
                        done = handshake => done.map_err(OpenError::Tls)?,
                        () = clock.sleep_until(by) => return Err(OpenError::Session(Failure {
                            phase: Phase::Handshake,
                            cause: Cause::TimedOut,
                        })),
                    };
                    wire = Wire::new(stream);
                    client.handle(clock.now(), Input::Secured(facts));
                }
                Some(Output::Established) => {
                    return Ok(Connection {
                        key,
                        client,
                        wire,
                        clock,
                        quit_within,
                        sealing: self.sealing.clone(),
                        transactions: 0,
                    });
                }
                Some(Output::Failed(failure)) => {
                    // A QUIT may be on its way; nothing waits for it.
                    tokio::spawn(wire.finish(clock, clock.now() + quit_within));
                    return Err(OpenError::Session(failure));
                }
                // Neither can be before a transaction or QUIT; the session is of no use then.
                Some(
                    Output::SendContent | Output::Finished(_) | Output::Closed | Output::Write(_),
                )
                | None => {
                    return Err(OpenError::Session(Failure {
                        phase: Phase::Idle,
                        cause: Cause::Abandoned,
                    }));
                }
            }
        }
    }
}

impl Connection {
    /// What it is for a domain, and what it lacks for content under `terms`.
    pub(super) fn examine(&self, terms: &Terms, domain: &DomainFacts) -> (Grade, Option<Lack>) {
        self.client.examine(self.clock.now(), terms, domain)
    }

    /// What the handshake showed, if there was one.
    pub(super) fn tls(&self) -> Option<&TlsFacts> {
        Some(self.client.handshake()?.tls())
    }

    /// Whether another transaction could begin.
    pub(super) fn is_idle(&self) -> bool {
        self.client.is_idle()
    }

    /// Whether the peer has neither spoken nor gone since the last transaction.
    pub(super) async fn is_fresh(&mut self) -> bool {
        self.is_idle() && self.wire.is_silent().await
    }

    /// One transaction, if the connection is enough for it. `limit` ends it, but not the wait
    /// for the reply to the end of data: giving up there makes duplicates (RFC 1047).
    pub(super) async fn transact(
        &mut self,
        rendition: &Rendition,
        domain: &DomainFacts,
        mail: Mail,
        content: &Content,
        limit: Timestamp,
    ) -> Transacted {
        let clock = self.clock;
        let permit = match self.client.permit(clock.now(), rendition, domain) {
            Ok(permit) => permit,
            Err(shortfall) => return Transacted::Short(shortfall),
        };
        let grade = permit.grade();
        let recipients = mail.recipients.len();
        let sharing = Sharing {
            memory: &self.sealing,
            clock,
            limit,
        };
        let mut body = match Outgoing::open(rendition, content, sharing).await {
            Ok(body) => body,
            Err(error) => return Transacted::Unreadable(error.to_string()),
        };
        // What is sealed has a number of octets of its own, which the permit knows.
        let mail = Mail {
            size: body.accepted_octets(),
            ..mail
        };
        let mut transfer = match permit.begin(clock.now(), mail) {
            Ok(transfer) => transfer,
            Err(unfit) => return Transacted::Unfit { grade, unfit },
        };
        self.transactions += 1;
        let wire = &mut self.wire;
        loop {
            let before = (!transfer.is_past_content()).then_some(limit);
            match wire.drive(&mut transfer, clock, before, Until::Event).await {
                Some(Output::SendContent) => {
                    match send(wire, &mut transfer, &mut body, clock, limit).await {
                        Sent::All => {}
                        Sent::Ended(report) => {
                            let report = report.unwrap_or_else(|| lost(recipients, false));
                            return Transacted::Done { grade, report };
                        }
                        Sent::Unreadable(why) => return Transacted::Unreadable(why),
                    }
                }
                Some(Output::Finished(report)) => return Transacted::Done { grade, report },
                Some(
                    Output::StartTls
                    | Output::Established
                    | Output::Failed(_)
                    | Output::Closed
                    | Output::Write(_),
                )
                | None => {
                    let report = lost(recipients, transfer.is_past_content());
                    return Transacted::Done { grade, report };
                }
            }
        }
    }

    /// Says QUIT in the background, and closes.
    pub(super) fn quit(mut self) {
        let clock = self.clock;
        let by = clock.now() + self.quit_within;
        self.client.quit(clock.now());
        tokio::spawn(async move {
            let Self {
                mut client,
                mut wire,
                ..
            } = self;
            wire.drive(&mut client, clock, Some(by), Until::Event).await;
            wire.finish(clock, by).await;
        });
    }
}

/// The report of a session that ended without one.
fn lost(recipients: usize, past_content: bool) -> Report {
    let result = if past_content {
        RecipientResult::InDoubt
    } else {
        RecipientResult::Unsettled
    };
    Report {
        results: vec![result; recipients],
        broken: Some(Failure {
            phase: Phase::Idle,
            cause: Cause::Abandoned,
        }),
    }
}

/// How far the content came.
enum Sent {
    All,
    /// With what the session reports of its end.
    Ended(Option<Report>),
    Unreadable(String),
}

/// Sends the content and its end, a chunk at a time.
async fn send(
    wire: &mut Wire,
    transfer: &mut Transfer<'_>,
    body: &mut Outgoing,
    clock: Clock,
    limit: Timestamp,
) -> Sent {
    loop {
        let written = match body.next().await {
            Ok(Some(chunk)) => transfer.content(clock.now(), &chunk),
            Ok(None) => {
                return match transfer.end(clock.now()) {
                    Ok(()) => Sent::All,
                    Err(bare) => Sent::Unreadable(bare.to_string()),
                };
            }
            Err(error) => {
                transfer.abandon();
                return Sent::Unreadable(error.to_string());
            }
        };
        if let Err(bare) = written {
            return Sent::Unreadable(bare.to_string());
        }
        match wire.drive(transfer, clock, Some(limit), Until::Sent).await {
            None => {}
            Some(Output::Finished(report)) => return Sent::Ended(Some(report)),
            Some(
                Output::StartTls
                | Output::Established
                | Output::SendContent
                | Output::Failed(_)
                | Output::Closed
                | Output::Write(_),
            ) => return Sent::Ended(None),
        }
    }
}
