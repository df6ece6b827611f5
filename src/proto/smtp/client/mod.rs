//! The client's end of an SMTP session (RFC 5321, RFC 3207), sans-I/O.
//!
//! Octets and moments go in through [`Session::handle`]; octets and events come out of
//! [`Session::poll_output`]; [`Session::poll_timeout`] says by when the peer must have answered.
//! The driver reads, writes, shakes hands and decides nothing.
//!
//! Invariants:
//! - MAIL, RCPT, DATA and content are written only by a [`Transfer`], which only
//!   [`Permit::begin`] makes, and a [`Permit`] is made only by [`Client::permit`]: the grade
//!   check of this very connection for this very rendition.
//! - AUTH is written only once the channel has grade `pkix`.
//! - No plaintext octet survives STARTTLS: one that came too early ends the session, and what was
//!   offered in plaintext is forgotten (RFC 3207 §4.2, §6).
//! - A reply counts only if the command that it answers had been written before it came.
//!
//! | state | input | next |
//! |---|---|---|
//! | `Greeting` | 220 | EHLO, `Ehlo` (§3.1, §4.1.1.1) |
//! | `Ehlo` | 250 with STARTTLS | STARTTLS, `Starttls` (RFC 3207 §4) |
//! | `Ehlo` | 250 without STARTTLS; 5yz | `Established` without TLS: a permit only where an exception allows it, and never behind 5yz |
//! | `Starttls` | 220 and nothing behind it | `Handshake` |
//! | `Starttls` | 220 and anything behind it | closed: injection |
//! | `Starttls` | 4yz, 5yz | `Established` without TLS |
//! | `Handshake` | the handshake's facts | EHLO, `EhloSecure`; with implicit TLS `GreetingSecure` (RFC 8314 §3.3) |
//! | `GreetingSecure` | 220 | EHLO, `EhloSecure` |
//! | `EhloSecure` | 250 | AUTH if we have credentials and the grade allows, else `Established` |
//! | `Auth` | 334; 235 | next step; `Established` (RFC 4954 §4) |
//! | `Established` | a permit begins | `Transaction` (its steps: `transaction.rs`) |
//! | `Transaction` | its last reply | `Established` |
//! | any | 421, a deadline, an end of stream, octets out of turn, a reply out of place | closed |

mod auth;
mod capabilities;
mod failure;
mod grade;
mod permit;
mod session;
mod stuff;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::VecDeque;

use zeroize::Zeroizing;

pub use super::reply;
pub use auth::{Credentials, CredentialsError, MAX_CREDENTIAL_OCTETS};
pub use capabilities::Capabilities;
pub use failure::{Cause, Failure, Phase, Timeouts};
pub use grade::{
    Anchors, DomainFacts, HandshakeFacts, Lack, NoTls, Reference, Shortfall, binds,
    grade as grade_of,
};
pub use permit::{Permit, Transfer, Unfit};
pub use session::{Input, Opening, Output, Session, Settings};
pub use stuff::{BareLineEnd, DotStuffer};
pub use transaction::{Mail, RecipientResult, Report};

use self::auth::AuthStep;
use self::grade::Channel;
use self::reply::{Reply, ReplyReader, Severity};
use self::transaction::{Progress, Transaction};
use crate::mail::{Demand, Grade, Level, Terms, Timestamp};

struct Authenticating {
    facts: HandshakeFacts,
    capabilities: Capabilities,
    step: AuthStep,
}

struct Established {
    channel: Channel,
    capabilities: Capabilities,
    authenticated: bool,
    /// The last transaction left something behind: RSET goes before the next MAIL.
    dirty: bool,
}

struct Running {
    established: Established,
    transaction: Transaction,
    stuffer: DotStuffer,
    /// The rendition's prefix, until it is sent.
    prefix: Vec<u8>,
}

enum State {
    Greeting,
    Ehlo,
    /// With what was offered in plaintext, which counts only if TLS is refused.
    Starttls(Capabilities),
    Handshake {
        greeted: bool,
    },
    GreetingSecure(HandshakeFacts),
    EhloSecure(HandshakeFacts),
    Auth(Box<Authenticating>),
    Established(Box<Established>),
    Transaction(Box<Running>),
    Quit,
    Closed,
}

/// A client session with one server over one connection.
pub struct Client {
    settings: Settings,
    state: State,
    reader: ReplyReader,
    out: Zeroizing<Vec<u8>>,
    events: VecDeque<Output>,
    deadline: Option<Timestamp>,
    /// Replies that are owed to us in all: one for the greeting, one for each command in `out`
    /// or before. Never goes back.
    asked: u64,
    /// The same without what is still in `out`. Never goes back.
    written: u64,
    /// Replies read. Never goes back, never passes `written`.
    answered: u64,
}

impl Client {
    /// A session on a connection that was opened at `now`.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        let mut client = Self {
            settings,
            state: State::Greeting,
            reader: ReplyReader::default(),
            out: Zeroizing::default(),
            events: VecDeque::new(),
            deadline: None,
            asked: 1,
            written: 1,
            answered: 0,
        };
        if client.settings.opening == Opening::Implicit {
            client.state = State::Handshake { greeted: false };
            client.events.push_back(Output::StartTls);
        }
        client.arm(now);
        client
    }

    /// Whether a transaction could begin now: for the pool.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Established(_)) && self.events.is_empty() && self.out.is_empty()
    }

    /// What this connection, as it is now, lacks for content under `terms` for `domain`, and the
    /// grade that it has: what [`Client::permit`] would say of content of the lowest level.
    pub fn examine(
        &self,
        now: Timestamp,
        terms: &Terms,
        domain: &DomainFacts,
    ) -> (Grade, Option<Lack>) {
        let (Some(demand), State::Established(established)) =
            (Demand::content(Level::Protected), &self.state)
        else {
            return (Grade::None, Some(Lack::Session));
        };
        match established.channel.check(now, demand, terms, domain) {
            Ok(grade) => (grade, None),
            Err(short) => (short.reached, Some(short.lack)),
        }
    }

    /// What the handshake showed, while established.
    pub fn handshake(&self) -> Option<&HandshakeFacts> {
        match &self.state {
            State::GreetingSecure(facts) | State::EhloSecure(facts) => Some(facts),
            State::Auth(auth) => Some(&auth.facts),
            State::Established(established) => established.channel.handshake(),
            State::Transaction(running) => running.established.channel.handshake(),
            State::Greeting
            | State::Ehlo
            | State::Starttls(_)
            | State::Handshake { .. }
            | State::Quit
            | State::Closed => None,
        }
    }

    /// Ends an idle session politely (RFC 5321 §4.1.1.10); any other at once.
    pub fn quit(&mut self, now: Timestamp) {
        if self.is_idle() {
            self.state = State::Quit;
            self.command("QUIT", "");
            self.arm(now);
        } else {
            self.state = State::Closed;
            self.deadline = None;
        }
    }

    fn command(&mut self, verb: &str, argument: &str) {
        self.out.extend_from_slice(verb.as_bytes());
        self.out.extend_from_slice(argument.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.asked += 1;
    }

    fn ehlo(&mut self) {
        let name = format!(" {}", self.settings.hostname);
        self.command("EHLO", &name);
    }

    /// What the next reply answers.
    fn phase(&self) -> Phase {
        match &self.state {
            State::Greeting | State::GreetingSecure(_) => Phase::Greeting,
            State::Ehlo | State::EhloSecure(_) => Phase::Ehlo,
            State::Starttls(_) => Phase::Starttls,
            State::Handshake { .. } => Phase::Handshake,
            State::Auth(_) => Phase::Auth,
            State::Established(_) | State::Closed => Phase::Idle,
            State::Transaction(running) => running.transaction.phase(),
            State::Quit => Phase::Quit,
        }
    }

    /// The peer has a full timeout for what it owes us next. Called when that changes, never
    /// when mere octets arrive: a reply that drips is as late as one that does not come.
    fn arm(&mut self, now: Timestamp) {
        let timeout = self.settings.timeouts.of(self.phase());
        self.deadline = timeout.map(|timeout| now + timeout);
    }

    fn fail(&mut self, cause: Cause) {
        self.fail_in(self.phase(), cause);
    }

    fn fail_in(&mut self, phase: Phase, cause: Cause) {
        self.out.clear();
        self.deadline = None;
        // What was to happen next must not happen any more: above all no handshake once it is
        // known that somebody spoke before it. What has happened stays told.
        self.events.retain(|event| {
            matches!(
                event,
                Output::Finished(_) | Output::Failed(_) | Output::Closed
            )
        });
        // A server that refuses us and stays gets its QUIT; we do not wait for the answer.
        let refused = matches!(&cause, Cause::Refused(reply) if reply.code() != 421);
        if refused && phase != Phase::Content {
            self.command("QUIT", "");
        }
        let failure = Failure { phase, cause };
        let event = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => return,
            State::Quit => Output::Closed,
            State::Transaction(running) => {
                Output::Finished(running.transaction.into_report(Some(failure)))
            }
            State::Greeting
            | State::Ehlo
            | State::Starttls(_)
            | State::Handshake { .. }
            | State::GreetingSecure(_)
            | State::EhloSecure(_)
            | State::Auth(_)
            | State::Established(_) => Output::Failed(failure),
        };
        self.events.push_back(event);
    }

    fn on_received(&mut self, now: Timestamp, mut octets: &[u8]) {
        while !octets.is_empty() {
            match &self.state {
                // Whatever comes before the handshake's end and is no part of it.
                State::Handshake { .. } => return self.fail(Cause::Injection),
                State::Closed => return,
                _ => {}
            }
            match self.reader.read(&mut octets) {
                Ok(Some(reply)) => self.on_reply(now, reply),
                Ok(None) => {}
                Err(error) => return self.fail(Cause::Protocol(error)),
            }
        }
    }

    fn on_reply(&mut self, now: Timestamp, reply: Reply) {
        if self.answered == self.written && !self.wants_content() {
            return self.fail(match reply.code() {
                421 => Cause::Refused(reply),
                _ => Cause::OutOfTurn,
            });
        }
        self.answered = (self.answered + 1).min(self.written);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Transaction(running) => self.on_transaction_reply(running, reply),
            State::Quit => self.events.push_back(Output::Closed),
            // 421 anywhere (RFC 5321 §3.8); in a transaction it is told apart there.
            state if reply.code() == 421 => {
                self.state = state;
                self.fail(Cause::Refused(reply));
            }
            State::Greeting => self.on_greeting(State::Greeting, State::Ehlo, reply),
            State::GreetingSecure(facts) => {
                let here = State::GreetingSecure(facts.clone());
                self.on_greeting(here, State::EhloSecure(facts), reply);
            }
            State::Ehlo => self.on_plain_ehlo(reply),
            State::Starttls(capabilities) => self.on_starttls(capabilities, reply),
            State::EhloSecure(facts) => self.on_secure_ehlo(now, facts, reply),
            State::Auth(auth) => self.on_auth(auth, reply),
            state @ (State::Handshake { .. } | State::Established(_) | State::Closed) => {
                self.state = state;
                self.fail(Cause::OutOfTurn);
            }
        }
        self.arm(now);
    }

    fn on_greeting(&mut self, here: State, next: State, reply: Reply) {
        // RFC 5321 §3.1: 220, or 554 from a server that takes no mail.
        if reply.code() == 220 {
            self.state = next;
            self.ehlo();
        } else {
            self.state = here;
            self.refused_or_unexpected(reply);
        }
    }

    fn refused_or_unexpected(&mut self, reply: Reply) {
        self.fail(match reply.severity() {
            Severity::Transient | Severity::Permanent => Cause::Refused(reply),
            Severity::Completed | Severity::Intermediate => Cause::Unexpected(reply),
        });
    }

    fn on_plain_ehlo(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Completed => {
                let capabilities = Capabilities::from_ehlo(&reply);
                if capabilities.starttls {
                    self.state = State::Starttls(capabilities);
                    self.command("STARTTLS", "");
                } else {
                    self.establish_plain(NoTls::NotOffered, capabilities);
                }
            }
            // HELO could not bring TLS about, so it is not tried.
            Severity::Permanent => {
                self.establish_plain(NoTls::NoEsmtp(reply), Capabilities::default());
            }
            Severity::Transient | Severity::Intermediate => {
                self.state = State::Ehlo;
                self.refused_or_unexpected(reply);
            }
        }
    }

    fn on_starttls(&mut self, capabilities: Capabilities, reply: Reply) {
        match reply.severity() {
            Severity::Completed if reply.code() == 220 => {
                self.state = State::Handshake { greeted: true };
                self.events.push_back(Output::StartTls);
            }
            Severity::Transient | Severity::Permanent => {
                self.establish_plain(NoTls::Refused(reply), capabilities);
            }
            Severity::Completed | Severity::Intermediate => {
                self.state = State::Starttls(capabilities);
                self.fail(Cause::Unexpected(reply));
            }
        }
    }

    /// Without TLS: what was offered in plaintext holds (RFC 3207 §4), for whom that is enough.
    fn establish_plain(&mut self, why: NoTls, capabilities: Capabilities) {
        self.establish(Established {
            channel: Channel::Plain(why),
            capabilities,
            authenticated: false,
            dirty: false,
        });
    }

    fn establish(&mut self, established: Established) {
        self.state = State::Established(Box::new(established));
        self.events.push_back(Output::Established);
    }

    fn on_secured(&mut self, now: Timestamp, facts: HandshakeFacts) {
        match self.state {
            State::Handshake { greeted: true } => {
                self.state = State::EhloSecure(facts);
                self.ehlo();
            }
            State::Handshake { greeted: false } => self.state = State::GreetingSecure(facts),
            // No handshake was asked for: these facts are not of this session.
            _ => return self.fail(Cause::Abandoned),
        }
        self.arm(now);
    }

    fn on_secure_ehlo(&mut self, now: Timestamp, facts: HandshakeFacts, reply: Reply) {
        if reply.severity() != Severity::Completed {
            self.state = State::EhloSecure(facts);
            return self.refused_or_unexpected(reply);
        }
        let capabilities = Capabilities::from_ehlo(&reply);
        let way = DomainFacts {
            reference: self.settings.reference.clone(),
            max_level: None,
            pinned: false,
        };
        let verified = grade_of(now, &way, Some(&facts)) >= Grade::Pkix;
        let (Some(credentials), true) = (&self.settings.credentials, verified) else {
            return self.establish(Established {
                channel: Channel::Secure(facts),
                capabilities,
                authenticated: false,
                dirty: false,
            });
        };
        let step = if capabilities.auth_plain {
            let response = credentials.plain();
            self.command("AUTH PLAIN ", &response);
            AuthStep::Plain
        } else if capabilities.auth_login {
            self.command("AUTH LOGIN", "");
            AuthStep::LoginStart
        } else {
            self.state = State::EhloSecure(facts);
            return self.fail(Cause::NoMechanism);
        };
        self.state = State::Auth(Box::new(Authenticating {
            facts,
            capabilities,
            step,
        }));
    }

    fn on_auth(&mut self, mut auth: Box<Authenticating>, reply: Reply) {
        let Some(credentials) = &self.settings.credentials else {
            return self.fail(Cause::Abandoned);
        };
        let next = match (auth.step, reply.code()) {
            (AuthStep::LoginStart, 334) => (AuthStep::LoginUser, credentials.login_user()),
            (AuthStep::LoginUser, 334) => (AuthStep::LoginPassword, credentials.login_password()),
            (AuthStep::Plain | AuthStep::LoginPassword, 235) => {
                let Authenticating {
                    facts,
                    capabilities,
                    ..
                } = *auth;
                return self.establish(Established {
                    channel: Channel::Secure(facts),
                    capabilities,
                    authenticated: true,
                    dirty: false,
                });
            }
            _ => {
                self.state = State::Auth(auth);
                return self.refused_or_unexpected(reply);
            }
        };
        auth.step = next.0;
        self.command(&next.1, "");
        self.state = State::Auth(auth);
    }

    fn wants_content(&self) -> bool {
        matches!(&self.state, State::Transaction(running) if running.transaction.wants_content())
    }

    fn on_transaction_reply(&mut self, mut running: Box<Running>, reply: Reply) {
        let phase = running.transaction.phase();
        match running.transaction.on_reply(reply) {
            Progress::Continue => {
                self.asked += running.transaction.send(&mut self.out);
                if running.transaction.wants_lone_dot() {
                    running.transaction.lone_dot();
                    self.command(".", "");
                }
                self.state = State::Transaction(running);
            }
            Progress::SendContent => {
                let prefix = std::mem::take(&mut running.prefix);
                let pushed = running.stuffer.push(&prefix, &mut self.out);
                self.state = State::Transaction(running);
                match pushed {
                    Ok(()) => self.events.push_back(Output::SendContent),
                    Err(BareLineEnd) => self.fail(Cause::Abandoned),
                }
            }
            Progress::Finished { dirty } => {
                let Running {
                    mut established,
                    transaction,
                    ..
                } = *running;
                established.dirty = dirty;
                self.state = State::Established(Box::new(established));
                let report = transaction.into_report(None);
                self.events.push_back(Output::Finished(report));
            }
            // In the phase that the reply was an answer to.
            Progress::Broken(cause) => {
                self.state = State::Transaction(running);
                self.fail_in(phase, cause);
            }
        }
    }
}

impl Session for Client {
    fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        match input {
            Input::Received(octets) => self.on_received(now, octets),
            Input::Closed => self.fail(Cause::Closed),
            Input::TimedOut => self.fail(Cause::TimedOut),
            Input::Secured(facts) => self.on_secured(now, facts),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if !self.out.is_empty() {
            // Octets of an answer to a command that the peer cannot have seen.
            let idle = self.written == self.answered && self.asked > self.written;
            if idle && self.reader.is_within_reply() && !matches!(self.state, State::Closed) {
                self.fail(Cause::OutOfTurn);
                return self.events.pop_front();
            }
            self.written = self.asked;
            return Some(Output::Write(std::mem::take(&mut self.out)));
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadline
    }
}
