//! The server's side of an SMTP session (RFC 5321, submission: RFC 6409), sans-I/O.
//!
//! Owns every decision about the dialog: what is offered, in which order commands may come, what
//! is answered, when the session ends. Never reads a clock, a socket or a users file: octets,
//! time and answers come in by [`Session::handle`]; octets, questions and facts go out by
//! [`Session::poll_output`]; [`Session::poll_timeout`] says when to come back.
//!
//! A driver reads octets only while [`Session::wants_input`], takes all outputs after every input,
//! answers each question by the input named at it, and writes each [`Output::Send`] in one write:
//! the replies to a pipelined batch go out together (RFC 2920 §3.2).
//!
//! Invariants: nothing but EHLO, HELO, STARTTLS, NOOP, RSET, HELP and QUIT works on a
//! channel that still has to be encrypted; no MAIL without an identity; content is handed out
//! only between 354 and its one true end; octets behind a question wait until it is answered.
//!
//! # States
//!
//! | state | waits for | input → next state |
//! |---|---|---|
//! | `Idle` | a command | STARTTLS → `Handshaking`; AUTH → `Sasl` or `Verifying`; MAIL → `AskingSender`; the rest → `Idle` |
//! | `Handshaking` | `TlsEstablished` | → `Idle`, with everything the client said forgotten (RFC 3207 §4.2) |
//! | `Sasl` | a line of the client | → `Sasl`, `Verifying`, or `Idle` after an error (RFC 4954 §4) |
//! | `Verifying` | `Credentials` | accepted → `Idle`; wrong → `Idle`, from the 3rd by `Penalty`, at the 5th `Closed` |
//! | `Penalty` | its time | → `Idle` |
//! | `AskingSender` | `Sender` | → `Open` or `Idle` |
//! | `Open` | a command | RCPT → `Open`; DATA → `Opening`; RSET, EHLO, HELO → `Idle`; the rest → `Open` |
//! | `Opening` | `Ready` | → `Data` or `Idle` |
//! | `Data` | content to its end | sound → `Committing`; faulty → `Idle` |
//! | `Committing` | `Committed` | → `Idle` |
//! | `Closed` | nothing | the end: QUIT, 421, EOF, injection, bare LF |
//!
//! `Eof` and the client's silence end a session in every state that waits for the client. `Drain`
//! ends one that is in no transaction, or as soon as the transaction ends (421 4.3.2).

mod lines;
mod reply;
mod session;
mod state;

use std::time::Duration;

use crate::mail::{Address, Domain, MessageId, ReversePath, Timestamp};

use super::sasl::Credentials;

pub use reply::{MAX_REPLY_LINE_OCTETS, MAX_REPLY_TEXT_OCTETS, Reply};
pub use session::Session;

/// How long a client may take for one command, all of its octets (RFC 5321 §4.5.3.2.7). Before it
/// has authenticated it has this long in all.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may send content before the rate counts.
pub const DATA_GRACE: Duration = Duration::from_secs(300);
/// Octets of content a second that a client must reach on average, beyond the grace.
pub const MIN_DATA_RATE: u64 = 1024;
/// Commands that fail before the session is ended.
pub const MAX_ERRORS: u32 = 20;
/// Recipients that are refused before the session is ended.
pub const MAX_REFUSED_RECIPIENTS: u32 = 100;
/// Failed authentications from which on the answer is held back.
pub const AUTH_FAILURES_BEFORE_DELAY: u32 = 3;
/// How long it is held back.
pub const AUTH_DELAY: Duration = Duration::from_secs(3);
/// Failed authentications that end the session.
pub const MAX_AUTH_FAILURES: u32 = 5;
/// How much of a refused content is read beyond the size limit before the session is ended.
pub const MAX_EXCESS_OCTETS: u64 = 16 * 1024 * 1024;

/// What all sessions share.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our name in the greeting and EHLO.
    pub hostname: Domain,
    /// Where `RCPT TO:<postmaster>` goes.
    pub postmaster: Address,
    /// The largest message, in octets (SIZE).
    pub message_octets: u64,
    /// The most recipients of a transaction.
    pub recipients: usize,
}

/// What the octets of a session travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// TCP in the clear: nothing happens before STARTTLS.
    Plain,
    /// TLS, from the start or since STARTTLS.
    Tls,
    /// A Unix socket or the loopback, in the clear, acting for the account that the listener names.
    Local,
}

/// How the client introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name it claims.
    pub name: String,
    /// EHLO, not HELO.
    pub extended: bool,
}

/// A mail transaction (RFC 5321 §3.3) as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// How the client introduced itself.
    pub hello: Hello,
    /// Where bounces go.
    pub reverse_path: ReversePath,
    /// Whom it is for, in the order given, without repeats.
    pub recipients: Vec<Address>,
}

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client.
    Received(&'a [u8]),
    /// The client will send no more.
    Eof,
    /// The time of [`Session::poll_timeout`] may have come.
    Tick,
    /// Finish what is open, begin nothing.
    Drain,
    /// Answers [`Output::StartTls`].
    TlsEstablished,
    /// Answers [`Output::AskCredentials`].
    Credentials(Verdict),
    /// Answers [`Output::AskSender`].
    Sender(Result<(), Reply>),
    /// Answers [`Output::AskData`].
    Ready(Result<(), Reply>),
    /// Answers [`Output::AskCommit`]: the message is durable, or why not.
    Committed(Result<MessageId, Reply>),
}

/// What became of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They are right.
    Accepted,
    /// They are wrong; whether the account exists is not said.
    Wrong,
    /// They were not looked at, or may not be used now.
    Refused(Reply),
}

/// What goes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this, in one write.
    Send(Vec<u8>),
    /// Hand the stream, and nothing read from it before, to TLS; then [`Input::TlsEstablished`].
    StartTls,
    /// Are these right? [`Input::Credentials`]
    AskCredentials(Credentials),
    /// May the client send as this, now? [`Input::Sender`]
    AskSender(ReversePath),
    /// Is there room for a message of a client that introduced itself so? [`Input::Ready`]
    AskData(Hello),
    /// The next octets of the content, dots undone.
    Content(Vec<u8>),
    /// Forget the content: it will not be accepted.
    AbandonContent,
    /// The content is whole and sound: take it. [`Input::Committed`]
    AskCommit(Transaction),
    /// A message or a recipient was refused: for the log.
    Rejected(Rejection),
    /// Close the connection.
    Close,
}

/// A refusal, as a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Of the transaction.
    pub reverse_path: ReversePath,
    /// If it was one recipient.
    pub recipient: Option<Address>,
    /// What the client was told.
    pub reply: Reply,
}

/// What a connection is told that there is no room for, or that comes while we drain: in place of
/// the greeting.
pub fn turned_away(hostname: &Domain, enhanced: (u8, u16, u16), why: &str) -> Vec<u8> {
    let mut line = Vec::new();
    reply::closing(hostname, enhanced, why).write(&mut line);
    line
}

/// The latest moment for the end of a content that began at `began` and has `octets` so far.
fn data_deadline(began: Timestamp, octets: u64) -> Timestamp {
    began + DATA_GRACE + Duration::from_secs(octets / MIN_DATA_RATE)
}
