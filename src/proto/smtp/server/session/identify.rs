//! Who is there, and over what: EHLO, HELO, STARTTLS (RFC 3207), AUTH (RFC 4954).

use super::Session;
use crate::mail::Timestamp;
use crate::proto::smtp::command::Auth;
use crate::proto::smtp::sasl::{Exchange, MECHANISMS, SaslError, Step};
use crate::proto::smtp::server::reply;
use crate::proto::smtp::server::state::{Open, State, stay};
use crate::proto::smtp::server::{
    AUTH_DELAY, AUTH_FAILURES_BEFORE_DELAY, Channel, Hello, MAX_AUTH_FAILURES, Output, Verdict,
};

impl Session {
    pub(super) fn hello(&mut self, hello: Hello) -> State {
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

    pub(super) fn start_tls(&mut self, open: Option<Open>) -> State {
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

    pub(super) fn tls_established(&mut self, now: Timestamp, state: State) -> State {
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

    pub(super) fn auth(&mut self, now: Timestamp, open: Option<Open>, auth: Auth) -> State {
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

    pub(super) fn sasl(&mut self, now: Timestamp, step: Result<Step, SaslError>) -> State {
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

    pub(super) fn credentials(&mut self, now: Timestamp, state: State, verdict: Verdict) -> State {
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

    pub(super) fn wrong_credentials(&mut self, now: Timestamp) -> State {
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
}
