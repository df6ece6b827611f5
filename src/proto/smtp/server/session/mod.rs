//! The transitions of a session, in the order of the table in the parent's head: here what every
//! state shares (lines, commands, time, the end), in [`identify`] and [`transaction`] the rest.

mod identify;
mod transaction;

use std::collections::VecDeque;
use std::sync::Arc;

use super::lines::{Inbound, Line};
use super::reply::{self, Reply};
use super::state::{Open, Peer, Receiving, State, stay};
use super::{COMMAND_TIMEOUT, Channel, Hello, Input, MAX_ERRORS, Output, Rejection, SessionConfig};
use crate::mail::{Address, ReversePath, Timestamp};
use crate::proto::smtp::command::{
    self, Command, CommandError, MAX_AUTH_LINE_OCTETS, MAX_COMMAND_LINE_OCTETS,
};

/// 4.3.2 of a draining server.
const DRAINING: ((u8, u16, u16), &str) = ((4, 3, 2), "is shutting down");

/// One session, from the greeting to the end.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    peer: Peer,
    state: State,
    inbound: Inbound,
    /// Replies that wait to go out together.
    replies: Vec<u8>,
    outputs: VecDeque<Output>,
    /// When the client's time for the current command, or content, is over.
    deadline: Timestamp,
    draining: bool,
}

impl Session {
    /// A session on a fresh connection; its greeting is the first output.
    pub fn new(config: Arc<SessionConfig>, channel: Channel, now: Timestamp) -> Self {
        let greeting = format!("220 {} ESMTP sealpost\r\n", config.hostname);
        Self {
            config,
            peer: Peer {
                channel,
                hello: None,
                identified: channel == Channel::Local,
                errors: 0,
                refused_recipients: 0,
                auth_failures: 0,
            },
            state: State::Idle,
            inbound: Inbound::default(),
            replies: greeting.into_bytes(),
            outputs: VecDeque::new(),
            deadline: now + COMMAND_TIMEOUT,
            draining: false,
        }
    }

    /// Whether octets of the client would be looked at now. While not, the driver leaves them in
    /// the socket.
    pub fn wants_input(&self) -> bool {
        self.state.waits_for_client()
    }

    /// When to come back with [`Input::Tick`], if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.state.timeout(self.deadline)
    }

    /// The next thing to do; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        // What was said goes out before the client is made to wait, or is shown the door.
        let first = match self.outputs.front() {
            Some(
                Output::StartTls | Output::AskCredentials(_) | Output::AskCommit(_) | Output::Close,
            ) => true,
            None => self.wants_input() || matches!(self.state, State::Penalty { .. }),
            Some(_) => false,
        };
        if first && !self.replies.is_empty() {
            return Some(Output::Send(std::mem::take(&mut self.replies)));
        }
        self.outputs.pop_front()
    }

    /// Takes an input. An answer to a question that was not asked changes nothing.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.state = match input {
            Input::Received(octets) => {
                if !matches!(state, State::Closed) {
                    self.inbound.push(octets);
                }
                state
            }
            Input::Eof => self.end_of_input(state),
            Input::Tick => self.tick(now, state),
            Input::Drain => {
                self.draining = true;
                state
            }
            Input::TlsEstablished => self.tls_established(now, state),
            Input::Credentials(verdict) => self.credentials(now, state, verdict),
            Input::Sender(answer) => self.sender(now, state, answer),
            Input::Ready(answer) => self.ready(now, state, answer),
            Input::Committed(answer) => self.committed(now, state, answer),
        };
        self.advance(now);
    }

    /// Works through what has come in until something is missing.
    fn advance(&mut self, now: Timestamp) {
        loop {
            let state = std::mem::replace(&mut self.state, State::Closed);
            let (state, progress) = match state {
                State::Idle if self.draining => (self.close(DRAINING.0, DRAINING.1), false),
                State::Sasl(_) if self.draining => (self.close(DRAINING.0, DRAINING.1), false),
                State::Idle | State::Open(_) | State::Sasl(_) => self.next_line(now, state),
                State::Data(receiving) => self.content(now, receiving),
                waiting @ (State::Handshaking
                | State::Verifying
                | State::Penalty { .. }
                | State::AskingSender(_)
                | State::Opening(_)
                | State::Committing { .. }
                | State::Closed) => (waiting, false),
            };
            self.state = state;
            if !progress {
                return;
            }
        }
    }

    // ---- lines

    /// Takes one line, if it is there, to the state that waits for it.
    fn next_line(&mut self, now: Timestamp, state: State) -> (State, bool) {
        let sasl = matches!(state, State::Sasl(_));
        let auth = self
            .inbound
            .rest()
            .get(..5)
            .is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        let limit = if sasl || auth {
            MAX_AUTH_LINE_OCTETS
        } else {
            MAX_COMMAND_LINE_OCTETS
        };
        let len = match self.inbound.line(limit) {
            Line::Incomplete => return (state, false),
            Line::Whole(len) => len,
            Line::TooLong(limit) => {
                self.command_came(now);
                let next = if sasl { State::Idle } else { state };
                let reply = if limit == MAX_AUTH_LINE_OCTETS {
                    reply::SASL_TOO_LONG
                } else {
                    reply::LINE_TOO_LONG
                };
                return (self.fail(next, &reply), true);
            }
            Line::Endless => {
                self.say(&reply::LINE_TOO_LONG);
                return (self.hang_up(), false);
            }
            Line::BareLf => {
                self.say(&reply::BARE_LF);
                return (self.hang_up(), false);
            }
        };
        self.command_came(now);
        let line =
            zeroize::Zeroizing::new(self.inbound.rest().get(..len).unwrap_or_default().to_vec());
        if sasl || auth {
            self.inbound.consume_secret(len + 2);
        } else {
            self.inbound.consume(len + 2);
        }
        let next = match state {
            State::Sasl(exchange) => {
                let step = exchange.answer(&line);
                self.sasl(now, step)
            }
            State::Open(open) => self.command(now, Some(open), &line),
            // The caller sends no other state here.
            State::Idle
            | State::Handshaking
            | State::Verifying
            | State::Penalty { .. }
            | State::AskingSender(_)
            | State::Opening(_)
            | State::Data(_)
            | State::Committing { .. }
            | State::Closed => self.command(now, None, &line),
        };
        (next, true)
    }

    /// A line is whole: the client has its time again, unless it has yet to say who it is.
    fn command_came(&mut self, now: Timestamp) {
        if self.peer.identified {
            self.deadline = now + COMMAND_TIMEOUT;
        }
    }

    /// One command, outside a transaction or in an open one.
    fn command(&mut self, now: Timestamp, open: Option<Open>, line: &[u8]) -> State {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(error) => return self.bad_command(open, line, error),
        };
        match command {
            Command::Ehlo(name) => self.hello(Hello {
                name,
                extended: true,
            }),
            Command::Helo(name) => self.hello(Hello {
                name,
                extended: false,
            }),
            Command::Mail(mail) => self.mail(open, mail),
            Command::Rcpt(forward) => self.rcpt(open, forward),
            Command::Data => self.data(open),
            Command::Rset => {
                self.say(&reply::RESET);
                State::Idle
            }
            Command::Noop => {
                self.say(&reply::RESET);
                stay(open)
            }
            Command::Vrfy => match self.not_ready() {
                Some(missing) => self.fail(stay(open), &missing),
                None => {
                    self.say(&reply::VRFY);
                    stay(open)
                }
            },
            Command::Help => {
                self.say(&reply::HELP);
                stay(open)
            }
            Command::Quit => {
                let bye = reply::bye(&self.config.hostname);
                self.say(&bye);
                self.hang_up()
            }
            Command::StartTls => self.start_tls(open),
            Command::Auth(auth) => self.auth(now, open, auth),
        }
    }

    fn bad_command(&mut self, open: Option<Open>, line: &[u8], error: CommandError) -> State {
        let reply = reply::command_error(error);
        let ends = match error {
            CommandError::Http | CommandError::Chunking => true,
            CommandError::Unknown
            | CommandError::NotImplemented
            | CommandError::Syntax(_)
            | CommandError::Address(_)
            | CommandError::Parameter => false,
        };
        if ends {
            self.say(&reply);
            return self.hang_up();
        }
        // Order first: who may not send yet learns that, and nothing about addresses.
        let verb = line.get(..4).unwrap_or_default();
        let rcpt = verb.eq_ignore_ascii_case(b"RCPT");
        if (rcpt || verb.eq_ignore_ascii_case(b"MAIL"))
            && let Some(missing) = self.not_ready()
        {
            return self.fail(stay(open), &missing);
        }
        match open {
            // Bad addresses among a thousand good ones are refused recipients, not misbehaviour.
            Some(mut open) if rcpt => {
                open.tried = true;
                self.refuse_recipient(open, None, &reply)
            }
            open => self.fail(stay(open), &reply),
        }
    }

    // ---- time, and the end

    fn tick(&mut self, now: Timestamp, state: State) -> State {
        if state.timeout(self.deadline).is_none_or(|at| now < at) {
            return state;
        }
        match state {
            State::Penalty { .. } => {
                self.say(&reply::BAD_CREDENTIALS);
                State::Idle
            }
            State::Data(receiving) => {
                self.abandon(&receiving);
                self.close((4, 4, 2), "waited too long for the rest of the message")
            }
            State::Idle | State::Sasl(_) | State::Open(_) => {
                self.close((4, 4, 2), "waited too long for a command")
            }
            waiting @ (State::Handshaking
            | State::Verifying
            | State::AskingSender(_)
            | State::Opening(_)
            | State::Committing { .. }
            | State::Closed) => waiting,
        }
    }

    fn end_of_input(&mut self, state: State) -> State {
        match state {
            State::Data(receiving) => {
                self.abandon(&receiving);
                self.hang_up()
            }
            State::Closed => State::Closed,
            State::Idle
            | State::Handshaking
            | State::Sasl(_)
            | State::Verifying
            | State::Penalty { .. }
            | State::AskingSender(_)
            | State::Open(_)
            | State::Opening(_)
            | State::Committing { .. } => self.hang_up(),
        }
    }

    /// The content will not be taken; says so unless that was said.
    fn abandon(&mut self, receiving: &Receiving) {
        if !receiving.abandoned {
            self.outputs.push_back(Output::AbandonContent);
        }
    }

    /// 421 and the end.
    fn close(&mut self, enhanced: (u8, u16, u16), why: &str) -> State {
        let reply = reply::closing(&self.config.hostname, enhanced, why);
        self.say(&reply);
        self.hang_up()
    }

    fn hang_up(&mut self) -> State {
        self.inbound.wipe();
        self.outputs.push_back(Output::Close);
        State::Closed
    }

    // ---- replies

    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.replies);
    }

    /// A command failed: says so, and counts.
    fn fail(&mut self, next: State, reply: &Reply) -> State {
        self.peer.errors += 1;
        if self.peer.errors >= MAX_ERRORS {
            return self.close((4, 7, 0), "saw too many errors");
        }
        self.say(reply);
        if reply.closes() {
            return self.hang_up();
        }
        next
    }

    /// The transaction ends by a refusal.
    fn refused(&mut self, reverse_path: ReversePath, reply: Reply) -> State {
        let closes = reply.closes();
        self.reject(reverse_path, None, reply);
        if closes { self.hang_up() } else { State::Idle }
    }

    /// Says that a message or recipient is refused, and states it for the log.
    fn reject(&mut self, reverse_path: ReversePath, recipient: Option<Address>, reply: Reply) {
        self.say(&reply);
        self.outputs.push_back(Output::Rejected(Rejection {
            reverse_path,
            recipient,
            reply,
        }));
    }
}
