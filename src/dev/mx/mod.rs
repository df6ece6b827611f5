//! A small receiving mail server: correct enough to take real mail, with the faults that real
//! ones have, and a transcript of all that was said to it.
//!
//! RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 2920
//! (PIPELINING). Relays nothing, authenticates nobody, belongs on loopback.

mod inbox;
mod session;
mod transcript;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use inbox::{Inbox, Mail};
pub use transcript::{Session, Transcript};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 512;

/// What the server does about TLS.
#[derive(Debug, Clone)]
pub enum MxTls {
    /// Does not offer STARTTLS.
    Absent,
    /// Offers it and does it.
    Offered(Arc<ServerConfig>),
    /// Offers it and then says 454.
    Refused,
    /// Says 220 and then sends rubbish instead of a handshake.
    Broken,
    /// Sends another reply behind the 220, in the same segment, as an attacker in the middle would
    /// (the command injection of CVE-2011-0411, turned round).
    Injecting(Arc<ServerConfig>),
    /// TLS from the first octet.
    Implicit(Arc<ServerConfig>),
}

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct MxOptions {
    /// What it calls itself.
    pub host: String,
    /// TLS.
    pub tls: MxTls,
    /// Where mail goes.
    pub inbox: Inbox,
    /// Whether it offers PIPELINING.
    pub pipelining: bool,
    /// Whether it offers 8BITMIME.
    pub eight_bit: bool,
    /// The SIZE that it declares and keeps to.
    pub size: Option<u64>,
    /// A command line that begins so (in any case) gets this reply instead of the usual one.
    /// `CONNECT` stands for the greeting and `.` for the end of the content; a reply that begins
    /// with 421 closes the connection, an empty one closes it without a word.
    pub replies: Vec<(String, String)>,
}

impl MxOptions {
    /// A well-behaved server.
    pub fn new(host: &str, tls: MxTls, inbox: Inbox) -> Self {
        Self {
            host: host.to_owned(),
            tls,
            inbox,
            pipelining: true,
            eight_bit: true,
            size: Some(64 << 20),
            replies: Vec::new(),
        }
    }

    /// With another reply to commands that begin with `prefix`.
    pub fn replying(mut self, prefix: &str, reply: &str) -> Self {
        self.replies.push((prefix.to_owned(), reply.to_owned()));
        self
    }

    /// The reply that stands in for the usual one.
    fn instead(&self, line: &str) -> Option<&str> {
        let matching = self.replies.iter().find(|(prefix, _)| {
            line.get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        });
        matching.map(|(_, reply)| reply.as_str())
    }
}

/// A running server; stops when dropped.
#[derive(Debug)]
pub struct Mx {
    address: SocketAddr,
    options: Arc<MxOptions>,
    transcript: Transcript,
    _task: JoinSet<()>,
}

impl Mx {
    /// Starts to answer on `listener`.
    pub fn start(listener: TcpListener, options: MxOptions) -> io::Result<Self> {
        Self::start_with(listener, options, Transcript::default())
    }

    /// Starts to answer on `listener`, and writes into `transcript`.
    pub fn start_with(
        listener: TcpListener,
        options: MxOptions,
        transcript: Transcript,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let options = Arc::new(options);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&options), transcript.clone()));
        Ok(Self {
            address,
            options,
            transcript,
            _task: task,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it calls itself.
    pub fn host(&self) -> &str {
        &self.options.host
    }

    /// What was said.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The mail that it keeps in memory.
    pub fn inbox(&self) -> &Inbox {
        &self.options.inbox
    }
}

async fn accept(listener: TcpListener, options: Arc<MxOptions>, transcript: Transcript) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        let (options, transcript) = (Arc::clone(&options), transcript.clone());
        sessions.spawn(async move {
            let record = transcript.begin(&options.host, peer);
            // An error ends the session; the transcript has what came before it.
            drop(session::run(stream, &options, &record).await);
            record.end();
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
