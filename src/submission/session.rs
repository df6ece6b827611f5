//! Drives one connection: reads, feeds `proto::smtp::server`, writes, answers its questions.
//! Decides nothing about the dialog.

use std::future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use zeroize::Zeroize;

use super::Shared;
use super::caps::{ConnectionSlot, Slot};
use super::delivery::{self, Cited, Incoming, NotTaken};
use super::intake::{Arrival, Intake};
use crate::directory::User;
use crate::mail::{Client, ReversePath, Timestamp, TlsFacts};
use crate::proto::smtp::sasl::Credentials;
use crate::proto::smtp::server::{
    Channel, Hello, Input, Output, Rejection, Reply, Session, Transaction, Verdict, turned_away,
};
use crate::report::{Event, EventKind};
use crate::world::net::Stream;

/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may leave a reply unread.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long, and how much, is still read after our last word, so that it reaches a client that is
/// in the middle of sending.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1024 * 1024;
/// Octets read at a time.
const READ_OCTETS: usize = 16 * 1024;

const NOT_PERMITTED: (u16, (u8, u16, u16)) = (550, (5, 7, 1));
const ACCOUNT_GONE: Reply = Reply::fixed(550, (5, 7, 1), "The account does not exist any more");
const USER_CROWDED: Reply = Reply::fixed(
    421,
    (4, 7, 0),
    "Too many connections of this account; closing",
);

/// How a listener treats what it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Implicit,
    StartTls,
    /// No TLS, no AUTH: acts for this account.
    Local(String),
}

/// A connection as it was accepted.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) address: Option<IpAddr>,
    /// The listener's name.
    pub(super) listener: Arc<str>,
    pub(super) mode: Mode,
}

/// Why the loop of a session ends. What there is to say was said.
struct Ended;

/// Serves a connection to its end.
pub(super) async fn run(connection: Connection, shared: Arc<Shared>, slot: ConnectionSlot) {
    let Some((stream, tls)) = opened(connection.stream, &connection.mode, &shared).await else {
        return;
    };
    let now = shared.services.clock.now();
    let (channel, account) = match connection.mode {
        Mode::Implicit => (Channel::Tls, None),
        Mode::StartTls => (Channel::Plain, None),
        Mode::Local(user) => (Channel::Local, Some(user)),
    };
    let mut driver = Driver {
        core: Session::new(Arc::clone(&shared.session), channel, now),
        draining: shared.draining.clone(),
        stream: Some(stream),
        tls,
        address: connection.address,
        listener: connection.listener,
        authenticated: false,
        account,
        incoming: None,
        cited: None,
        _slot: slot,
        _user_slot: None,
        shared,
    };
    driver.serve().await;
}

/// Tells a connection that there is no room for it.
pub(super) async fn turn_away(connection: Connection, shared: Arc<Shared>, why: &'static str) {
    let Some((mut stream, _)) = opened(connection.stream, &connection.mode, &shared).await else {
        return;
    };
    let line = turned_away(&shared.session.hostname, (4, 3, 2), why);
    let told = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    if matches!(tokio::time::timeout(WRITE_TIMEOUT, told).await, Ok(Ok(()))) {
        linger(&mut stream).await;
    }
}

/// The stream as the session begins on it: with implicit TLS behind its handshake.
async fn opened(
    stream: Box<dyn Stream>,
    mode: &Mode,
    shared: &Shared,
) -> Option<(Box<dyn Stream>, Option<TlsFacts>)> {
    match mode {
        Mode::Implicit => {
            let (stream, facts) = handshake(stream, shared).await?;
            Some((stream, Some(facts)))
        }
        Mode::StartTls | Mode::Local(_) => Some((stream, None)),
    }
}

async fn handshake(
    stream: Box<dyn Stream>,
    shared: &Shared,
) -> Option<(Box<dyn Stream>, TlsFacts)> {
    let tls = shared.tls.as_ref()?;
    let mut draining = shared.draining.clone();
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)) => accepted,
        // Nobody is there yet to whom anything was promised.
        _ = draining.wait_for(|draining| *draining) => return None,
    };
    match accepted {
        Ok(Ok(opened)) => Some(opened),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

async fn linger(stream: &mut Box<dyn Stream>) {
    let rest = async {
        let mut scrap = [0_u8; 4096];
        let mut octets = 0;
        while octets < LINGER_OCTETS {
            match stream.read(&mut scrap).await {
                Ok(0) | Err(_) => return,
                Ok(read) => octets += read,
            }
        }
    };
    drop(tokio::time::timeout(LINGER, rest).await);
}

struct Driver {
    core: Session,
    shared: Arc<Shared>,
    draining: watch::Receiver<bool>,
    /// `None` only while TLS has it.
    stream: Option<Box<dyn Stream>>,
    tls: Option<TlsFacts>,
    address: Option<IpAddr>,
    listener: Arc<str>,
    /// By password, as opposed to the listener naming the account.
    authenticated: bool,
    account: Option<String>,
    incoming: Option<Incoming>,
    /// The rule by which the latest message was rejected, until that is logged.
    cited: Option<Cited>,
    _slot: ConnectionSlot,
    _user_slot: Option<Slot<String>>,
}

impl Driver {
    async fn serve(&mut self) {
        let mut buffer = vec![0_u8; READ_OCTETS];
        loop {
            while let Some(output) = self.core.poll_output() {
                if let Err(Ended) = self.perform(output).await {
                    return;
                }
            }
            let Some(event) = self.next_event(&mut buffer).await else {
                return;
            };
            let now = self.shared.services.clock.now();
            match event {
                Happened::Read(0) => self.core.handle(now, Input::Eof),
                Happened::Read(octets) => {
                    let received = buffer.get_mut(..octets).unwrap_or_default();
                    self.core.handle(now, Input::Received(received));
                    if self.account.is_none() {
                        received.zeroize(); // a password may have been in it
                    }
                }
                Happened::TimePassed => self.core.handle(now, Input::Tick),
                Happened::Draining => self.core.handle(now, Input::Drain),
            }
        }
    }

    /// Waits for the client, the clock or the order to drain. `None` if there is nothing left to
    /// wait for.
    async fn next_event(&mut self, buffer: &mut [u8]) -> Option<Happened> {
        let stream = self.stream.as_mut()?;
        let clock = self.shared.services.clock;
        let timeout = self.core.poll_timeout();
        let wants_input = self.core.wants_input();
        if timeout.is_none() && !wants_input {
            return None;
        }
        let time = async {
            match timeout {
                Some(at) => clock.sleep_until(at).await,
                None => future::pending().await,
            }
        };
        Some(tokio::select! {
            changed = self.draining.changed() => match changed {
                Ok(()) => Happened::Draining,
                Err(_) => return None, // the server is gone
            },
            read = stream.read(buffer), if wants_input => match read {
                Ok(octets) => Happened::Read(octets),
                Err(_) => Happened::Read(0),
            },
            () = time => Happened::TimePassed,
        })
    }

    async fn perform(&mut self, output: Output) -> Result<(), Ended> {
        let answer = match output {
            Output::Send(octets) => return self.send(&octets).await,
            Output::Close => return self.close().await,
            Output::Content(octets) => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.write(&octets).await;
                }
                return Ok(());
            }
            Output::AbandonContent => {
                self.incoming = None;
                return Ok(());
            }
            Output::Rejected(rejection) => {
                self.log_rejection(rejection).await;
                return Ok(());
            }
            Output::StartTls => {
                let stream = self.stream.take().ok_or(Ended)?;
                let (stream, facts) = handshake(stream, &self.shared).await.ok_or(Ended)?;
                self.stream = Some(stream);
                self.tls = Some(facts);
                Input::TlsEstablished
            }
            Output::AskCredentials(credentials) => {
                Input::Credentials(self.check(&credentials).await)
            }
            Output::AskSender(path) => Input::Sender(self.may_send(&path)),
            Output::AskData(hello) => Input::Ready(self.begin(hello).await),
            Output::AskCommit(transaction) => Input::Committed(self.commit(transaction).await),
        };
        let now = self.shared.services.clock.now();
        self.core.handle(now, answer);
        Ok(())
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), Ended> {
        let stream = self.stream.as_mut().ok_or(Ended)?;
        let written = async {
            stream.write_all(octets).await?;
            stream.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }

    async fn close(&mut self) -> Result<(), Ended> {
        let stream = self.stream.as_mut().ok_or(Ended)?;
        if matches!(
            tokio::time::timeout(WRITE_TIMEOUT, stream.shutdown()).await,
            Ok(Ok(()))
        ) {
            linger(stream).await;
        }
        Err(Ended)
    }

    async fn check(&mut self, credentials: &Credentials) -> Verdict {
        let user = match self
            .shared
            .doorkeeper
            .check(credentials, self.address)
            .await
        {
            Ok(user) => user,
            Err(verdict) => return verdict,
        };
        let Some(slot) = self.shared.caps.user(user.name()) else {
            return Verdict::Refused(USER_CROWDED);
        };
        self._user_slot = Some(slot);
        self.account = Some(user.name().to_owned());
        self.authenticated = true;
        Verdict::Accepted
    }

    fn user(&self) -> Option<Arc<User>> {
        self.shared.doorkeeper.user(self.account.as_deref()?)
    }

    fn may_send(&self, path: &ReversePath) -> Result<(), Reply> {
        self.shared
            .services
            .flow
            .admits()
            .map_err(delivery::not_now)?;
        let user = self.user().ok_or(ACCOUNT_GONE)?;
        match path.address() {
            Some(address) if !user.may_send_as(address) => {
                let (code, enhanced) = NOT_PERMITTED;
                let text = format!("This account may not send as {address}");
                Err(Reply::new(code, enhanced, &text))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn begin(&mut self, hello: Hello) -> Result<(), Reply> {
        let user = self.user().ok_or(ACCOUNT_GONE)?;
        let memory = self
            .shared
            .caps
            .message()
            .await
            .ok_or(delivery::NO_MEMORY)?;
        let (id, writer) = self.shared.services.flow.begin();
        let arrival = Arrival {
            id,
            hostname: self.shared.session.hostname.clone(),
            received: self.now(),
            address: self.address,
            hello,
            tls: self.tls.clone(),
            authenticated: self.authenticated,
        };
        // A reload must not come between the tags and the rules of one message.
        let machinery = self.shared.services.flow.machinery();
        let intake = Intake::new(arrival, user, delivery::wishes(&machinery.policy));
        self.incoming = Some(Incoming::new(id, intake, writer, machinery, memory));
        Ok(())
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<crate::mail::MessageId, Reply> {
        let incoming = self.incoming.take().ok_or(delivery::NO_MEMORY)?;
        let client = Client {
            address: self.address,
            helo: transaction.hello.name.clone(),
            user: self.account.clone().unwrap_or_default(),
            listener: self.listener.to_string(),
            tls: self.tls.clone(),
        };
        let flow = &self.shared.services.flow;
        match incoming.commit(flow, transaction, client).await {
            Ok(id) => Ok(id),
            Err(NotTaken { reply, cited }) => {
                self.cited = cited;
                Err(reply)
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.services.flow.now()
    }

    async fn log_rejection(&mut self, rejection: Rejection) {
        let mut event = Event::new(self.now(), EventKind::Rejected)
            .from(&rejection.reverse_path)
            .saying(&rejection.reply.status());
        if let Some(recipient) = &rejection.recipient {
            event = event.to(recipient);
        }
        if let Some(Cited { rule, policy }) = self.cited.take() {
            event.rule = Some(rule.to_string());
            event.policy = Some(policy.to_string());
        }
        event.user = self.account.clone();
        event.client = self.address.map(|address| address.to_string());
        self.shared.services.log.record(event).await;
    }
}

enum Happened {
    Read(usize),
    TimePassed,
    Draining,
}
