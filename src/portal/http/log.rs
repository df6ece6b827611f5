//! The access log: one JSON object a line, written by a thread of its own.
//!
//! A line has what was asked for only as the site's name for the route: no path, no query, no
//! cookie, no field of a form. It is a help, not a record: when the disk does not keep up, lines are
//! lost, and their number is told; requests never wait for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Octets of lines that wait to be written.
const MAX_WAITING_OCTETS: usize = 1024 * 1024;
/// Others than owner and group have no business with who read what.
const FILE_MODE: u32 = 0o640;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Nowhere,
    /// Appended to this file, which is made with mode 0640 if it is missing.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// One request.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) time: String,
    pub(super) client: String,
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) status: u16,
    /// Octets of the answer's body that were taken.
    pub(super) octets: u64,
    pub(super) ms: u64,
    pub(super) protocol: &'static str,
    pub(super) tls: &'static str,
    pub(super) agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    /// The answer was not taken to its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) cut: bool,
}

/// The access log. Cheap to clone; the thread ends, with everything written, when the last clone is
/// dropped.
#[derive(Debug, Clone)]
pub struct AccessLog(Option<Arc<Owner>>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.news.notify_all();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It ends as soon as what waits is written; a panic in it has been told.
            drop(thread.join());
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    reopen: bool,
    closing: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLog {
    /// Opens the target and starts the thread.
    pub fn open(target: LogTarget) -> io::Result<Self> {
        let Some(sink) = Sink::open(&target)? else {
            return Ok(Self(None));
        };
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            shared: Arc::clone(&shared),
            target,
            sink,
            failed: false,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Owner {
            shared,
            thread: Mutex::new(Some(thread)),
        }))))
    }

    /// Opens the file anew before the next line, after it was moved away.
    pub fn reopen(&self) {
        if let Some(owner) = &self.0 {
            owner.shared.lock().reopen = true;
            owner.shared.news.notify_all();
        }
    }

    pub(super) fn record(&self, line: &Line) {
        let Some(owner) = &self.0 else {
            return;
        };
        let Ok(mut text) = serde_json::to_vec(line) else {
            return;
        };
        text.push(b'\n');
        let mut waiting = owner.shared.lock();
        if waiting.lines.len() + text.len() > MAX_WAITING_OCTETS {
            waiting.lost = waiting.lost.saturating_add(1);
        } else {
            waiting.lines.extend_from_slice(&text);
        }
        drop(waiting);
        owner.shared.news.notify_all();
    }
}

#[derive(Debug)]
enum Sink {
    File(File),
    Stdout,
}

impl Sink {
    fn open(target: &LogTarget) -> io::Result<Option<Self>> {
        match target {
            LogTarget::Nowhere => Ok(None),
            LogTarget::Stdout => Ok(Some(Self::Stdout)),
            LogTarget::File(path) => {
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(FILE_MODE);
                Ok(Some(Self::File(options.open(path)?)))
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(lines),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
        }
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    target: LogTarget,
    sink: Sink,
    failed: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut waiting = self.shared.lock();
            while waiting.lines.is_empty() && !waiting.reopen && !waiting.closing {
                let woken = self.shared.news.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
            let lines = std::mem::take(&mut waiting.lines);
            let lost = std::mem::take(&mut waiting.lost);
            let reopen = std::mem::take(&mut waiting.reopen);
            let closing = waiting.closing;
            drop(waiting);
            if lost > 0 {
                tracing::warn!(
                    lost,
                    "lines of the access log were lost: its target is too slow"
                );
            }
            // What was recorded before the order belongs to the old file.
            self.write(&lines);
            if reopen {
                self.reopen();
            }
            if closing && !reopen && lines.is_empty() {
                return;
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let written = self.sink.write(lines);
        if let Err(error) = &written
            && !self.failed
        {
            tracing::warn!(%error, "the access log cannot be written");
        }
        self.failed = written.is_err();
    }

    fn reopen(&mut self) {
        match Sink::open(&self.target) {
            Ok(Some(sink)) => self.sink = sink,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the access log cannot be opened anew"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn line(route: &'static str) -> Line {
        Line {
            time: "2026-11-22T00:30:07.000042Z".to_owned(),
            client: "192.0.2.1".to_owned(),
            method: "GET",
            route,
            status: 200,
            octets: 7,
            ms: 1,
            protocol: "HTTP/2",
            tls: "TLSv1.3",
            agent: "x".to_owned(),
            reference: None,
            cut: false,
        }
    }

    #[test]
    fn lines_are_whole_and_the_file_can_be_rotated() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("access.log");
        let log = AccessLog::open(LogTarget::File(path.clone())).unwrap();
        log.record(&line("/one"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        drop(log);
        let old = scratch.path().join("access.log.1");
        let log = AccessLog::open(LogTarget::File(path.clone())).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        log.record(&line("/two"));
        drop(log);
        let (before, after) = (
            std::fs::read_to_string(&old).unwrap(),
            std::fs::read_to_string(&path).unwrap(),
        );
        assert!(before.contains("\"route\":\"/one\"") && before.ends_with("}\n"));
        assert!(after.contains("\"route\":\"/two\"") && !after.contains("/one"));
        let parsed: serde_json::Value = serde_json::from_str(after.trim_end()).unwrap();
        assert_eq!(parsed["status"], 200);
        assert_eq!(parsed.get("cut"), None);
    }

    #[test]
    fn a_slow_target_loses_lines_and_holds_up_nobody() {
        let log = AccessLog(Some(Arc::new(Owner {
            shared: Arc::default(),
            thread: Mutex::new(None),
        })));
        for _ in 0..20_000 {
            log.record(&line("/x"));
        }
        let waiting = log.0.as_ref().unwrap().shared.lock();
        assert!(waiting.lines.len() <= MAX_WAITING_OCTETS && waiting.lost > 0);
    }
}
