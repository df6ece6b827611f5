//! A session: TLS, perhaps a bind, one question, its answer.
//!
//! Octets go in through [`Client::handle`], octets and events come out of [`Client::poll_output`].
//! The driver reads, writes, shakes hands and bounds the time; a session waits for nothing but
//! its peer.
//!
//! | state | input | next |
//! |---|---|---|
//! | `StartTls` | success and nothing behind it | `Handshake` (RFC 4511 §4.14) |
//! | `StartTls` | success and anything behind it | failed: injection |
//! | `Handshake` | the handshake's end | bind, `Bind`, if there are credentials; else search, `Search` |
//! | `Bind` | success | search, `Search` |
//! | `Search` | entries, references | `Search` |
//! | `Search` | success | `Ended`, found |
//! | any | anything else | `Ended`, failed |
//!
//! Invariants: nothing but StartTLS is written before TLS; each answer has the number of the one
//! request that is open; after `Found` or `Failed` nothing is read.

use std::collections::VecDeque;
use std::fmt;

use zeroize::Zeroizing;

use super::ber::{self, BerError, tag};
use super::message::{self, Entry, Message, Response, ResultCode, Search};
use super::{MAX_ENTRIES, MAX_MESSAGE_OCTETS, MAX_REFERENCES, MAX_SESSION_OCTETS, MAX_VALUES};
use crate::mail::SecretBytes;

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// At once (`ldaps://`).
    Implicit,
    /// By an extended operation in plaintext, and not without it (`ldap://`).
    StartTls,
}

/// Whom to say that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: SecretBytes,
}

/// Credentials that would bind as nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bind needs a name and a password: without one of them it succeeds as nobody")]
pub struct CredentialsError;

impl Credentials {
    /// A distinguished name and its password; neither may be empty (RFC 4513 §5.1.2).
    pub fn new(name: String, password: SecretBytes) -> Result<Self, CredentialsError> {
        if name.is_empty() || password.is_empty() {
            return Err(CredentialsError);
        }
        Ok(Self { name, password })
    }
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the server; in TLS, decrypted.
    Received(&'a [u8]),
    /// The server's end of stream, or a broken connection.
    Closed,
    /// The handshake that [`Output::StartTls`] asked for has ended well.
    Secured,
}

/// What a session wants or tells.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Octets for the server. Wiped when dropped: they may hold a password.
    Write(Zeroizing<Vec<u8>>),
    /// Begin the TLS handshake, then give [`Input::Secured`].
    StartTls,
    /// The values of the attributes that were asked for, each once. The session is over.
    Found(Vec<Vec<u8>>),
    /// The session is over.
    Failed(LdapError),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(octets) => write!(f, "Write({} octets)", octets.len()),
            Self::StartTls => f.write_str("StartTls"),
            Self::Found(values) => write!(f, "Found({} values)", values.len()),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LdapError {
    /// The server went away.
    #[error("the connection was closed")]
    Closed,
    /// The server said that it will go away.
    #[error("the server ends the session: {0}")]
    Disconnected(ResultCode),
    /// TLS was refused.
    #[error("StartTLS was refused: {0}")]
    NoTls(ResultCode),
    /// The bind was refused.
    #[error("the bind was refused: {0}")]
    Bind(ResultCode),
    /// The search did not succeed.
    #[error("the search ended with: {0}")]
    Search(ResultCode),
    /// Octets before the handshake that are no part of it.
    #[error("the server spoke before TLS had begun")]
    Injection,
    /// What came is not LDAP.
    #[error("the answer is not LDAP: {0}")]
    Malformed(#[from] BerError),
    /// An answer to a question that was not asked.
    #[error("an answer to another request")]
    OutOfTurn,
    /// Over one of the bounds.
    #[error("the answer has too many {0}")]
    TooMuch(&'static str),
}

impl LdapError {
    /// Whether the same question may be answered later.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::Closed | Self::Disconnected(_) | Self::NoTls(_) | Self::Injection => true,
            // Somebody has to change something; what is asked meanwhile is not answered.
            Self::Bind(_) => true,
            Self::Search(code) => code.is_temporary(),
            Self::Malformed(_) | Self::OutOfTurn | Self::TooMuch(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    StartTls,
    Handshake,
    Bind,
    Search,
    Ended,
}

/// A session with one server over one connection.
#[derive(Debug)]
pub struct Client {
    state: State,
    credentials: Option<Credentials>,
    search: Search,
    /// What was received and makes no message yet.
    buffer: Vec<u8>,
    /// Octets received in all.
    received: usize,
    /// The number of the open request.
    request: u32,
    entries: u32,
    references: u32,
    found: Vec<Vec<u8>>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A session on a new connection.
    pub fn new(opening: Opening, credentials: Option<Credentials>, search: Search) -> Self {
        let mut client = Self {
            state: State::Handshake,
            credentials,
            search,
            buffer: Vec::new(),
            received: 0,
            request: 0,
            entries: 0,
            references: 0,
            found: Vec::new(),
            outputs: VecDeque::new(),
        };
        match opening {
            Opening::Implicit => client.outputs.push_back(Output::StartTls),
            Opening::StartTls => {
                client.state = State::StartTls;
                client.request = 1;
                client.write(message::start_tls(1));
            }
        }
        client
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input<'_>) {
        let handled = match (self.state, input) {
            (State::Ended, _) => Ok(()),
            (State::Handshake, Input::Received(_)) => Err(LdapError::Injection),
            (_, Input::Received(octets)) => self.receive(octets),
            (_, Input::Closed) => Err(LdapError::Closed),
            (State::Handshake, Input::Secured) => {
                self.secured();
                Ok(())
            }
            // Nobody asked for a handshake.
            (State::StartTls | State::Bind | State::Search, Input::Secured) => {
                Err(LdapError::OutOfTurn)
            }
        };
        if let Err(error) = handled {
            self.end(Output::Failed(error));
        }
    }

    /// The next thing to do; `None` until there is more input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn write(&mut self, octets: Zeroizing<Vec<u8>>) {
        self.outputs.push_back(Output::Write(octets));
    }

    fn end(&mut self, output: Output) {
        self.state = State::Ended;
        self.buffer = Vec::new();
        // What was to be done next is not to be done any more.
        self.outputs.clear();
        self.outputs.push_back(output);
    }

    fn secured(&mut self) {
        match self.credentials.take() {
            Some(credentials) => {
                self.state = State::Bind;
                self.request += 1;
                let password = credentials.password.expose();
                self.write(message::bind(self.request, &credentials.name, password));
            }
            None => self.ask(),
        }
    }

    fn ask(&mut self) {
        self.state = State::Search;
        self.request += 1;
        self.write(message::search(self.request, &self.search, MAX_ENTRIES));
    }

    fn receive(&mut self, octets: &[u8]) -> Result<(), LdapError> {
        self.received = self.received.saturating_add(octets.len());
        if self.received > MAX_SESSION_OCTETS {
            return Err(LdapError::TooMuch("octets"));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(octets);
        let mut at = 0;
        while let Some(waiting) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
            if self.state == State::Handshake {
                return Err(LdapError::Injection);
            }
            if self.state == State::Ended {
                return Ok(());
            }
            let Some((tag, start, length)) = ber::head(waiting)? else {
                break;
            };
            if tag != tag::SEQUENCE {
                return Err(BerError("a message that is no sequence").into());
            }
            if length > MAX_MESSAGE_OCTETS {
                return Err(LdapError::TooMuch("octets in a message"));
            }
            let Some(content) = waiting.get(start..start + length) else {
                break;
            };
            self.on_message(Message::read(content)?)?;
            at += start + length;
        }
        buffer.drain(..at);
        self.buffer = buffer;
        Ok(())
    }

    fn on_message(&mut self, message: Message<'_>) -> Result<(), LdapError> {
        let response = match message {
            Message::Disconnection(code) => return Err(LdapError::Disconnected(code)),
            Message::Answer(id, _) if id != self.request => return Err(LdapError::OutOfTurn),
            Message::Answer(_, response) => response,
        };
        match (self.state, response) {
            (State::StartTls, Response::Extended(ResultCode::SUCCESS)) => {
                self.state = State::Handshake;
                self.outputs.push_back(Output::StartTls);
            }
            (State::StartTls, Response::Extended(code)) => return Err(LdapError::NoTls(code)),
            (State::Bind, Response::Bind(ResultCode::SUCCESS)) => self.ask(),
            (State::Bind, Response::Bind(code)) => return Err(LdapError::Bind(code)),
            (State::Search, Response::Entry(entry)) => self.on_entry(&entry)?,
            (State::Search, Response::Reference) => {
                self.references += 1;
                if self.references > MAX_REFERENCES {
                    return Err(LdapError::TooMuch("references"));
                }
            }
            (State::Search, Response::Done(ResultCode::SUCCESS)) => {
                let found = std::mem::take(&mut self.found);
                self.end(Output::Write(message::unbind(self.request + 1)));
                self.outputs.push_back(Output::Found(found));
            }
            (State::Search, Response::Done(code)) => return Err(LdapError::Search(code)),
            (
                State::StartTls | State::Handshake | State::Bind | State::Search | State::Ended,
                Response::Bind(_)
                | Response::Extended(_)
                | Response::Entry(_)
                | Response::Reference
                | Response::Done(_),
            ) => return Err(LdapError::OutOfTurn),
        }
        Ok(())
    }

    fn on_entry(&mut self, entry: &Entry<'_>) -> Result<(), LdapError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(LdapError::TooMuch("entries"));
        }
        let found = &mut self.found;
        entry.values(&self.search.attributes, |value| {
            if found.iter().any(|known| known == value) {
                return Ok(());
            }
            if found.len() == MAX_VALUES {
                return Err(LdapError::TooMuch("values"));
            }
            found.push(value.to_vec());
            Ok(())
        })
    }
}
