//! How a session breaks, and how long it may take not to.

use std::fmt;
use std::time::Duration;

use super::reply::{Reply, ReplyError};

/// What the peer's next reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The greeting.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    Starttls,
    /// The TLS handshake.
    Handshake,
    /// AUTH and its steps.
    Auth,
    /// Nothing: the session is idle.
    Idle,
    /// RSET.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA.
    Data,
    /// Nothing: content is being sent.
    Content,
    /// The end of data.
    EndOfData,
    /// QUIT.
    Quit,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "waiting for the greeting",
            Self::Ehlo => "waiting for the reply to EHLO",
            Self::Starttls => "waiting for the reply to STARTTLS",
            Self::Handshake => "in the TLS handshake",
            Self::Auth => "authenticating",
            Self::Idle => "idle",
            Self::Reset => "waiting for the reply to RSET",
            Self::Mail => "waiting for the reply to MAIL",
            Self::Recipient => "waiting for the reply to RCPT",
            Self::Data => "waiting for the reply to DATA",
            Self::Content => "sending the content",
            Self::EndOfData => "waiting for the reply to the end of data",
            Self::Quit => "waiting for the reply to QUIT",
        })
    }
}

/// Why a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The peer closed the connection, or it broke.
    Closed,
    /// A deadline of [`Timeouts`] passed.
    TimedOut,
    /// The peer does not want us: a greeting that is not 220, a refused EHLO or AUTH, or 421.
    Refused(Reply),
    /// The peer's octets are no reply.
    Protocol(ReplyError),
    /// A reply that has no place where it came, by its code.
    Unexpected(Reply),
    /// The peer spoke when it was not its turn.
    OutOfTurn,
    /// Plaintext octets behind the 220 to STARTTLS, which someone wanted us to take for a
    /// protected answer (RFC 3207 §6; "NO STARTTLS", 2021): an attack.
    Injection,
    /// The route has credentials, and the server offers no mechanism that we speak.
    NoMechanism,
    /// We gave up the connection: the content could not be read.
    Abandoned,
}

impl fmt::Display for Cause {
    /// Goes on from the host's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed the connection"),
            Self::TimedOut => f.write_str("took too long"),
            Self::Refused(reply) => {
                write!(f, "refused us with {} {}", reply.code(), reply.text())
            }
            Self::Protocol(error) => write!(f, "broke the protocol: {error}"),
            Self::Unexpected(reply) => {
                write!(f, "gave a reply out of place: {}", reply.code())
            }
            Self::OutOfTurn => f.write_str("spoke out of turn"),
            Self::Injection => {
                f.write_str("sent plaintext behind its reply to STARTTLS, as an attacker would")
            }
            Self::NoMechanism => f.write_str("offers neither AUTH PLAIN nor AUTH LOGIN"),
            Self::Abandoned => f.write_str("was left because the content could not be read"),
        }
    }
}

/// The end of a session, before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it happened.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Failure {
    /// Goes on from the host's name: "mx.example *closed the connection while idle*".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Idle => write!(f, "{} while idle", self.cause),
            phase => write!(f, "{} while we were {phase}", self.cause),
        }
    }
}

/// How long each phase may take in all: a reply has to be complete by then, however it drips
/// (RFC 5321 §4.5.3.2, whose values are the defaults where it has one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a TCP connection.
    pub connect: Duration,
    /// The greeting (§4.5.3.2.1).
    pub greeting: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// EHLO, STARTTLS, AUTH, RSET, MAIL, RCPT (§4.5.3.2.2, §4.5.3.2.3).
    pub command: Duration,
    /// DATA (§4.5.3.2.4).
    pub data_start: Duration,
    /// Taking one block of the content (§4.5.3.2.5).
    pub data_block: Duration,
    /// The end of data (§4.5.3.2.6): long, because giving up here makes duplicates (RFC 1047).
    pub data_end: Duration,
    /// QUIT, for which nothing waits.
    pub quit: Duration,
    /// After this much of an attempt no further host is tried.
    pub search: Duration,
    /// A whole attempt, up to the end of data.
    pub attempt: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            connect: Duration::from_secs(30),
            greeting: 5 * MINUTE,
            handshake: MINUTE,
            command: 5 * MINUTE,
            data_start: 2 * MINUTE,
            data_block: 3 * MINUTE,
            data_end: 10 * MINUTE,
            quit: Duration::from_secs(5),
            search: 15 * MINUTE,
            attempt: 60 * MINUTE,
        }
    }
}

impl Timeouts {
    /// How long the peer has for what it owes us in `phase`; `None` if it owes nothing.
    pub(super) const fn of(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Greeting => Some(self.greeting),
            Phase::Ehlo
            | Phase::Starttls
            | Phase::Auth
            | Phase::Reset
            | Phase::Mail
            | Phase::Recipient => Some(self.command),
            Phase::Handshake => Some(self.handshake),
            Phase::Data => Some(self.data_start),
            Phase::Content => Some(self.data_block),
            Phase::EndOfData => Some(self.data_end),
            Phase::Quit => Some(self.quit),
            Phase::Idle => None,
        }
    }
}
