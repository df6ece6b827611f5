//! The transitions of a session: all of them, in the order of the table in the module's head.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::lines::{Inbound, Line};
use super::reply::{self, Reply};
use super::state::{Open, Peer, Receiving, State, stay};
use super::{
    AUTH_DELAY, AUTH_FAILURES_BEFORE_DELAY, COMMAND_TIMEOUT, Channel, Hello, Input,
    MAX_AUTH_FAILURES, MAX_ERRORS, MAX_EXCESS_OCTETS, MAX_REFUSED_RECIPIENTS, Output, Rejection,
    SessionConfig, Transaction, Verdict, data_deadline,
};
use crate::mail::{Address, MessageId, ReversePath, Timestamp};
use crate::proto::smtp::command::{
    self, Auth, Command, CommandError, Forward, MAX_AUTH_LINE_OCTETS, MAX_COMMAND_LINE_OCTETS, Mail,
};
use crate::proto::smtp::data::DataReader;
use crate::proto::smtp::sasl::{Exchange, MECHANISMS, SaslError, Step};

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

    // ---- EHLO, STARTTLS, AUTH

    fn hello(&mut self, hello: Hello) -> State {
        let config = &self.config;
        let mut lines = vec![config.hostname.to_string()];
        if hello.extended {
            lines.push("PIPELINING".to_owned());
            lines.push(format!("SIZE {}", config.message_octets));
            lines.push("8BITMIME".to_owned());
            match self.peer.channel {
                Channel::Plain => lines.push("STARTTLS".to_owned()),
                Channel::Tls if !self.peer.identified => lines.push(format!("AUTH {MECHANISMS}")),
                Channel::Tls | Channel::Local => {}
            }
            lines.push("ENHANCEDSTATUSCODES".to_owned());
        }
        for (at, line) in lines.iter().enumerate() {
            let mark = if at + 1 == lines.len() { ' ' } else { '-' };
            self.replies
                .extend_from_slice(format!("250{mark}{line}\r\n").as_bytes());
        }
        self.peer.hello = Some(hello);
        State::Idle // EHLO ends a transaction as RSET does (RFC 5321 §4.1.4)
    }

    fn start_tls(&mut self, open: Option<Open>) -> State {
        match self.peer.channel {
            Channel::Tls => self.fail(stay(open), &reply::ALREADY_TLS),
            Channel::Local => self.fail(stay(open), &reply::NO_STARTTLS),
            // What stands behind STARTTLS in the clear may be an attacker's, and would be read
            // as if it had come encrypted.
            Channel::Plain if !self.inbound.is_empty() => {
                self.say(&reply::TLS_INJECTION);
                self.hang_up()
            }
            Channel::Plain => {
                self.say(&reply::READY_FOR_TLS);
                self.outputs.push_back(Output::StartTls);
                State::Handshaking
            }
        }
    }

    fn tls_established(&mut self, now: Timestamp, state: State) -> State {
        let State::Handshaking = state else {
            return state;
        };
        // RFC 3207 §4.2: both sides forget what was said in the clear.
        self.inbound.wipe();
        self.peer.channel = Channel::Tls;
        self.peer.hello = None;
        self.command_came(now);
        State::Idle
    }

    fn auth(&mut self, now: Timestamp, open: Option<Open>, auth: Auth) -> State {
        let missing = match self.peer.channel {
            Channel::Plain => Some(reply::AUTH_NEEDS_TLS),
            Channel::Tls | Channel::Local if open.is_some() => Some(reply::AUTH_IN_TRANSACTION),
            Channel::Tls | Channel::Local if self.peer.identified => {
                Some(reply::ALREADY_AUTHENTICATED)
            }
            Channel::Tls | Channel::Local => match &self.peer.hello {
                Some(hello) if hello.extended => None,
                Some(_) | None => Some(reply::EHLO_FIRST),
            },
        };
        if let Some(missing) = missing {
            return self.fail(stay(open), &missing);
        }
        let Some(exchange) = Exchange::of(&auth.mechanism) else {
            return self.fail(State::Idle, &reply::MECHANISM);
        };
        let step = match auth.initial.map(zeroize::Zeroizing::new) {
            None => Ok(Step::Challenge(exchange)),
            Some(response) => exchange.initial(&response),
        };
        self.sasl(now, step)
    }

    fn sasl(&mut self, now: Timestamp, step: Result<Step, SaslError>) -> State {
        match step {
            Ok(Step::Challenge(exchange)) => {
                let line = format!("334 {}\r\n", exchange.challenge());
                self.replies.extend_from_slice(line.as_bytes());
                State::Sasl(exchange)
            }
            Ok(Step::Complete(credentials)) => {
                self.outputs.push_back(Output::AskCredentials(credentials));
                State::Verifying
            }
            Err(SaslError::OtherIdentity) => self.wrong_credentials(now),
            Err(error @ (SaslError::Cancelled | SaslError::Encoding | SaslError::Malformed)) => {
                self.fail(State::Idle, &reply::sasl_error(error))
            }
        }
    }

    fn credentials(&mut self, now: Timestamp, state: State, verdict: Verdict) -> State {
        let State::Verifying = state else {
            return state;
        };
        match verdict {
            Verdict::Accepted => {
                self.peer.identified = true;
                self.peer.auth_failures = 0;
                self.command_came(now);
                self.say(&reply::AUTHENTICATED);
                State::Idle
            }
            Verdict::Wrong => self.wrong_credentials(now),
            Verdict::Refused(reply) => self.fail(State::Idle, &reply),
        }
    }

    fn wrong_credentials(&mut self, now: Timestamp) -> State {
        self.peer.auth_failures += 1;
        if self.peer.auth_failures >= MAX_AUTH_FAILURES {
            return self.close((4, 7, 0), "had too many failed authentications");
        }
        if self.peer.auth_failures >= AUTH_FAILURES_BEFORE_DELAY {
            return State::Penalty {
                until: now + AUTH_DELAY,
            };
        }
        self.say(&reply::BAD_CREDENTIALS);
        State::Idle
    }

    // ---- MAIL, RCPT, DATA

    /// What is missing before mail may be sent.
    fn not_ready(&self) -> Option<Reply> {
        match self.peer.channel {
            Channel::Plain => Some(reply::TLS_FIRST),
            Channel::Tls | Channel::Local if !self.peer.identified => Some(reply::AUTH_FIRST),
            Channel::Tls | Channel::Local => self.peer.hello.is_none().then_some(reply::EHLO_FIRST),
        }
    }

    fn mail(&mut self, open: Option<Open>, mail: Mail) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        if open.is_some() {
            return self.fail(stay(open), &reply::NESTED_MAIL);
        }
        let Some(hello) = self.peer.hello.clone() else {
            return self.fail(State::Idle, &reply::EHLO_FIRST);
        };
        if mail
            .size
            .is_some_and(|octets| octets > self.config.message_octets)
        {
            let reply = reply::too_large(self.config.message_octets);
            self.reject(mail.reverse_path, None, reply);
            return State::Idle;
        }
        self.outputs
            .push_back(Output::AskSender(mail.reverse_path.clone()));
        State::AskingSender(Open {
            transaction: Transaction {
                hello,
                reverse_path: mail.reverse_path,
                recipients: Vec::new(),
            },
            seen: HashSet::new(),
            tried: false,
        })
    }

    fn sender(&mut self, now: Timestamp, state: State, answer: Result<(), Reply>) -> State {
        let State::AskingSender(open) = state else {
            return state;
        };
        self.command_came(now);
        match answer {
            Ok(()) => {
                self.say(&reply::SENDER_OK);
                State::Open(open)
            }
            Err(reply) => self.refused(open.transaction.reverse_path, reply),
        }
    }

    fn rcpt(&mut self, open: Option<Open>, forward: Forward) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        let Some(mut open) = open else {
            return self.fail(State::Idle, &reply::MAIL_FIRST);
        };
        open.tried = true;
        let recipient = match forward {
            Forward::Address(address) => address,
            Forward::Postmaster => self.config.postmaster.clone(),
        };
        if !open.seen.contains(&recipient) {
            if open.transaction.recipients.len() >= self.config.recipients {
                return self.refuse_recipient(open, Some(recipient), &reply::TOO_MANY_RECIPIENTS);
            }
            open.seen.insert(recipient.clone());
            open.transaction.recipients.push(recipient);
        }
        self.say(&reply::RECIPIENT_OK);
        State::Open(open)
    }

    fn refuse_recipient(&mut self, open: Open, recipient: Option<Address>, reply: &Reply) -> State {
        self.reject(
            open.transaction.reverse_path.clone(),
            recipient,
            reply.clone(),
        );
        self.peer.refused_recipients += 1;
        if self.peer.refused_recipients >= MAX_REFUSED_RECIPIENTS {
            return self.close((4, 5, 3), "refused too many recipients");
        }
        State::Open(open)
    }

    fn data(&mut self, open: Option<Open>) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        match open {
            None => self.fail(State::Idle, &reply::MAIL_FIRST),
            Some(open) if !open.transaction.recipients.is_empty() => {
                self.outputs.push_back(Output::AskData);
                State::Opening(open)
            }
            Some(open) if open.tried => self.fail(State::Open(open), &reply::NO_RECIPIENT),
            Some(open) => self.fail(State::Open(open), &reply::RCPT_FIRST),
        }
    }

    fn ready(&mut self, now: Timestamp, state: State, answer: Result<(), Reply>) -> State {
        let State::Opening(open) = state else {
            return state;
        };
        if let Err(reply) = answer {
            return self.refused(open.transaction.reverse_path, reply);
        }
        self.replies
            .extend_from_slice(b"354 End data with <CR><LF>.<CR><LF>\r\n");
        self.deadline = data_deadline(now, 0);
        State::Data(Receiving {
            transaction: open.transaction,
            reader: DataReader::new(self.config.message_octets),
            began: now,
            abandoned: false,
        })
    }

    fn content(&mut self, now: Timestamp, mut receiving: Receiving) -> (State, bool) {
        if self.inbound.is_empty() {
            return (State::Data(receiving), false);
        }
        let mut content = Vec::with_capacity(self.inbound.rest().len());
        let progress = receiving.reader.read(self.inbound.rest(), &mut content);
        self.inbound.consume(progress.consumed);
        self.deadline = data_deadline(receiving.began, receiving.reader.octets());
        if receiving.reader.fault().is_none() {
            if !content.is_empty() {
                self.outputs.push_back(Output::Content(content));
            }
        } else if !receiving.abandoned {
            receiving.abandoned = true;
            self.outputs.push_back(Output::AbandonContent);
        }
        if !progress.ended {
            return self.go_on_reading(receiving);
        }
        let Transaction { reverse_path, .. } = &receiving.transaction;
        let reverse_path = reverse_path.clone();
        if let Some(fault) = receiving.reader.fault() {
            self.command_came(now);
            return (self.refused(reverse_path, reply::data_fault(fault)), true);
        }
        self.outputs
            .push_back(Output::AskCommit(receiving.transaction));
        (State::Committing { reverse_path }, true)
    }

    /// A refused content is read to its end, within reason.
    fn go_on_reading(&mut self, receiving: Receiving) -> (State, bool) {
        let bound = self.config.message_octets.saturating_add(MAX_EXCESS_OCTETS);
        match receiving.reader.fault() {
            Some(fault) if receiving.reader.octets() > bound => {
                let reply = reply::data_fault(fault);
                self.reject(receiving.transaction.reverse_path, None, reply);
                (self.hang_up(), false)
            }
            Some(_) | None => (State::Data(receiving), true),
        }
    }

    fn committed(
        &mut self,
        now: Timestamp,
        state: State,
        answer: Result<MessageId, Reply>,
    ) -> State {
        let State::Committing { reverse_path } = state else {
            return state;
        };
        self.command_came(now);
        match answer {
            Ok(id) => {
                self.say(&reply::queued(id));
                self.peer.errors = 0;
                self.peer.refused_recipients = 0;
                State::Idle
            }
            Err(reply) => self.refused(reverse_path, reply),
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
            State::Data(_) => {
                self.outputs.push_back(Output::AbandonContent);
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
                if !receiving.abandoned {
                    self.outputs.push_back(Output::AbandonContent);
                }
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
