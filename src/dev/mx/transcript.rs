//! What was said to a server: every line, and how many octets of mail it was given.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions that are kept; older ones are forgotten.
const MAX_SESSIONS: usize = 1000;
/// Lines of a session that are kept.
const MAX_LINES: usize = 1000;
/// Characters of a line that are kept.
const MAX_LINE_CHARS: usize = 512;

/// One connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// The server that was talked to.
    pub host: String,
    /// The client.
    pub peer: Option<SocketAddr>,
    /// `C: …` and `S: …`, and remarks in brackets. No content.
    pub lines: Vec<String>,
    /// Whether a TLS handshake was completed.
    pub tls: bool,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// Octets of MAIL and RCPT commands.
    pub envelope_octets: u64,
    /// Octets after DATA.
    pub content_octets: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Whether the connection has ended.
    pub ended: bool,
}

impl Session {
    /// The client's commands, without `C: `.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix("C: "))
    }
}

/// The transcript of a server, or of several. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    sessions: Arc<Mutex<Vec<Arc<Mutex<Session>>>>>,
    directory: Option<PathBuf>,
}

impl Transcript {
    /// One that also appends each session, as it ends, to `DIRECTORY/<host>.log`.
    pub fn kept_in(directory: PathBuf) -> Self {
        Self {
            sessions: Arc::default(),
            directory: Some(directory),
        }
    }

    pub(super) fn begin(&self, host: &str, peer: SocketAddr) -> Record {
        let session = Arc::new(Mutex::new(Session {
            host: host.to_owned(),
            peer: Some(peer),
            ..Session::default()
        }));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == MAX_SESSIONS {
            sessions.remove(0);
        }
        sessions.push(Arc::clone(&session));
        Record {
            session,
            directory: self.directory.clone(),
        }
    }

    /// All sessions with `host`, oldest first.
    pub fn sessions_with(&self, host: &str) -> Vec<Session> {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.host == host);
        sessions
    }

    /// All sessions, oldest first.
    pub fn sessions(&self) -> Vec<Session> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |session: &Arc<Mutex<Session>>| {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            session.clone()
        };
        sessions.iter().map(copy).collect()
    }

    /// Octets of envelope and of content that all sessions were given.
    pub fn octets(&self) -> (u64, u64) {
        let sum = |(envelope, content), session: Session| {
            (
                envelope + session.envelope_octets,
                content + session.content_octets,
            )
        };
        self.sessions().into_iter().fold((0, 0), sum)
    }
}

/// A session that is being written.
#[derive(Debug)]
pub(super) struct Record {
    session: Arc<Mutex<Session>>,
    directory: Option<PathBuf>,
}

impl Record {
    fn change(&self, with: impl FnOnce(&mut Session)) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut session);
    }

    fn line(&self, mark: &str, text: &str) {
        self.change(|session| {
            if session.lines.len() < MAX_LINES {
                let shown = text.trim_end().chars().take(MAX_LINE_CHARS);
                let shown: String = shown.flat_map(char::escape_debug).collect();
                session.lines.push(format!("{mark}{shown}"));
            }
        });
    }

    pub(super) fn client(&self, line: &str) {
        self.line("C: ", line);
    }

    pub(super) fn server(&self, line: &str) {
        self.line("S: ", line);
    }

    pub(super) fn remark(&self, text: &str) {
        self.line("", &format!("[{text}]"));
    }

    pub(super) fn envelope(&self, octets: usize) {
        self.change(|session| session.envelope_octets += octets as u64);
    }

    pub(super) fn content(&self, octets: usize) {
        self.change(|session| session.content_octets += octets as u64);
    }

    pub(super) fn accepted(&self) {
        self.change(|session| session.accepted += 1);
    }

    pub(super) fn tls(&self, server_name: Option<&str>) {
        self.change(|session| {
            session.tls = true;
            session.server_name = server_name.map(str::to_owned);
        });
    }

    /// The connection is over.
    pub(super) fn end(&self) {
        self.change(|session| session.ended = true);
        let Some(directory) = &self.directory else {
            return;
        };
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = session.lines.join("\n");
        text.push_str(&format!(
            "\n[{} octets of envelope, {} octets of content]\n\n",
            session.envelope_octets, session.content_octets
        ));
        let opened = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join(format!("{}.log", session.host)));
        // The transcript in memory is what is relied upon.
        drop(opened.and_then(|mut file| file.write_all(text.as_bytes())));
    }
}
