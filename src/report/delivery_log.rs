//! The delivery log on its way to a file or to standard output: one JSON object a line.
//!
//! Owns one buffer and one thread that writes it. Final lines are the record of what became of
//! mail, so none is ever dropped: the buffer is bounded, and when the disk does not keep up
//! [`DeliveryLog::record`] waits (as a future: it holds up the mail whose line it is, never the
//! runtime). A failed write is reported through `tracing` and tried again for as long as the
//! process lives; nothing here panics. Lines stay whole across a failed write, and across
//! [`DeliveryLog::reopen`], which log rotation asks for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::event::Event;

/// Octets of lines that wait to be written; then [`DeliveryLog::record`] waits.
pub const MAX_BUFFERED_OCTETS: u32 = 4 * 1024 * 1024;
/// Pause before a failed write is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Failed tries between two reports of the same trouble.
const TRIES_PER_REPORT: u64 = 60;
/// Others than owner and group have no business with who wrote to whom.
const FILE_MODE: u32 = 0o640;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Appended to this file, which is made with mode 0640 if it is missing.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// The delivery log. Cheap to clone; the thread ends when the last clone is dropped and
/// everything is written.
#[derive(Debug, Clone)]
pub struct DeliveryLog(Arc<Owner>);

/// Tells the thread to end when the last handle goes.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.news.notify_one();
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something in `state` wants the thread's attention.
    news: Condvar,
    /// A permit per free octet of the buffer.
    room: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Permits of `room` that the lines hold.
    held: usize,
    flushes: Vec<oneshot::Sender<io::Result<()>>>,
    reopen: bool,
    closing: bool,
}

impl Shared {
    /// A panic while the lock is held cannot leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeliveryLog {
    /// Opens the target and starts the thread.
    pub fn open(target: Target) -> io::Result<Self> {
        let sink = Sink::open(&target)?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: Condvar::new(),
            room: Semaphore::new(MAX_BUFFERED_OCTETS as usize),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            target,
            sink,
            unwritten: Vec::new(),
            written: 0,
            held: 0,
            failures: 0,
        };
        std::thread::Builder::new()
            .name("delivery-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Records an event. Lines come out in the order in which these calls finish. Waits only
    /// while [`MAX_BUFFERED_OCTETS`] are unwritten.
    pub async fn record(&self, event: Event) {
        let mut line = match serde_json::to_vec(&event) {
            Ok(line) => line,
            Err(error) => {
                // An event has no map with odd keys and no failing serialiser.
                tracing::error!(%error, "a delivery log event cannot be written as JSON");
                return;
            }
        };
        line.push(b'\n');
        let shared = &self.0.0;
        let octets = u32::try_from(line.len()).unwrap_or(u32::MAX);
        // A line larger than the whole buffer would take all of it.
        let permits = octets.min(MAX_BUFFERED_OCTETS);
        match shared.room.acquire_many(permits).await {
            Ok(permit) => permit.forget(),
            Err(_) => return, // The semaphore is never closed.
        }
        let mut state = shared.lock();
        state.lines.extend_from_slice(&line);
        state.held += permits as usize;
        drop(state);
        shared.news.notify_one();
    }

    /// Whether at least half of the buffer is free. While it is not, the target takes nothing, and
    /// mail that would have to be logged should not be taken in.
    pub fn has_room(&self) -> bool {
        self.0.0.room.available_permits() >= MAX_BUFFERED_OCTETS as usize / 2
    }

    /// Waits until everything recorded so far is on its way to the disk (`fdatasync`). An error
    /// means that it is not; it stays in the buffer and is tried again.
    pub async fn flush(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.0.lock().flushes.push(done);
        self.0.0.news.notify_one();
        answer
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the delivery log has stopped")))
    }

    /// Opens the file anew before the next line, after it was moved away. If that fails, lines
    /// go on to the old one.
    pub fn reopen(&self) {
        self.0.0.lock().reopen = true;
        self.0.0.news.notify_one();
    }
}

enum Sink {
    File(File),
    Stdout(io::Stdout),
}

impl Sink {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .mode(FILE_MODE)
                .open(path)
                .map(Self::File),
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(octets),
            Self::Stdout(out) => out.write(octets),
        }
    }

    /// Past every buffer of ours.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Stdout(out) => out.flush(),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    target: Target,
    sink: Sink,
    /// Lines taken from the buffer; of these, `written` octets are out.
    unwritten: Vec<u8>,
    written: usize,
    /// Permits of `room` that the unwritten lines hold.
    held: usize,
    failures: u64,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (flushes, reopen, closing) = self.wait();
            if reopen {
                self.reopen();
            }
            let mut outcome = self.write_out();
            if outcome.is_ok() && !flushes.is_empty() {
                outcome = self.sink.sync();
            }
            let failed = outcome.as_ref().err().map(io::Error::kind);
            for flush in flushes {
                let answer = failed.map_or(Ok(()), |kind| Err(io::Error::from(kind)));
                drop(flush.send(answer)); // Whoever asked may have gone.
            }
            match outcome {
                Ok(()) => self.failures = 0,
                Err(error) => self.report(&error),
            }
            if closing && self.unwritten.is_empty() {
                return;
            }
        }
    }

    /// Waits for something to do and takes it. With lines left over from a failed write, waits
    /// for news or for the pause to end.
    fn wait(&mut self) -> (Vec<oneshot::Sender<io::Result<()>>>, bool, bool) {
        let mut state = self.shared.lock();
        if self.unwritten.is_empty() {
            while state.lines.is_empty()
                && state.flushes.is_empty()
                && !state.reopen
                && !state.closing
            {
                state = self
                    .shared
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.lines, &mut self.unwritten);
        } else {
            // New lines are no reason to hurry; a flush or a new file is.
            let quiet = |state: &mut State| state.flushes.is_empty() && !state.reopen;
            state = self
                .shared
                .news
                .wait_timeout_while(state, RETRY_PAUSE, quiet)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            self.unwritten.append(&mut state.lines);
        }
        self.held += std::mem::take(&mut state.held);
        let flushes = std::mem::take(&mut state.flushes);
        (flushes, std::mem::take(&mut state.reopen), state.closing)
    }

    fn write_out(&mut self) -> io::Result<()> {
        while let Some(rest) = self.unwritten.get(self.written..).filter(|r| !r.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => self.written += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sink.flush()?;
        self.shared.room.add_permits(std::mem::take(&mut self.held));
        self.unwritten.clear();
        self.written = 0;
        Ok(())
    }

    fn reopen(&mut self) {
        match Sink::open(&self.target) {
            Ok(sink) => {
                self.sink = sink;
                // A line of which a part went to the old file goes whole to the new one.
                let out = self.unwritten.get(..self.written).unwrap_or_default();
                let start = memchr::memrchr(b'\n', out).map_or(0, |newline| newline + 1);
                self.written = start;
            }
            Err(error) => tracing::error!(
                %error,
                "the delivery log cannot be opened anew: it goes on in the old file"
            ),
        }
    }

    fn report(&mut self, error: &io::Error) {
        if self.failures.is_multiple_of(TRIES_PER_REPORT) {
            tracing::error!(
                %error,
                waiting_octets = self.unwritten.len() - self.written,
                "the delivery log cannot be written: its lines wait in memory"
            );
        }
        self.failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::EventKind;
    use super::*;
    use crate::mail::{MessageId, Timestamp};

    fn event(number: u64) -> Event {
        Event::new(Timestamp::from_secs(number), EventKind::Delivered).of(MessageId::new(number))
    }

    fn ids(text: &str) -> Vec<String> {
        let id = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            value["queue_id"].as_str().unwrap().to_owned()
        };
        text.lines().map(id).collect()
    }

    fn expected(numbers: impl Iterator<Item = u64>) -> Vec<String> {
        numbers.map(|n| MessageId::new(n).to_string()).collect()
    }

    #[tokio::test]
    async fn writes_every_event_once_and_in_order() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delivery.jsonl");
        let log = DeliveryLog::open(Target::File(path.clone())).unwrap();
        for number in 0..1000 {
            log.record(event(number)).await;
        }
        log.flush().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ids(&text), expected(0..1000));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
        // An existing file is continued.
        drop(log);
        let log = DeliveryLog::open(Target::File(path.clone())).unwrap();
        log.record(event(1000)).await;
        log.flush().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ids(&text), expected(0..1001));
    }

    #[tokio::test]
    async fn follows_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delivery.jsonl");
        let moved = directory.path().join("delivery.jsonl.1");
        let log = DeliveryLog::open(Target::File(path.clone())).unwrap();
        log.record(event(1)).await;
        log.flush().await.unwrap();
        std::fs::rename(&path, &moved).unwrap();
        log.record(event(2)).await;
        log.flush().await.unwrap();
        log.reopen();
        log.record(event(3)).await;
        log.flush().await.unwrap();
        let text = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(ids(&text(&moved)), expected(1..3));
        assert_eq!(ids(&text(&path)), expected(3..4));
    }

    #[tokio::test]
    async fn a_full_disk_holds_lines_back_and_loses_none() {
        // Every write to this device fails with "no space left".
        let device = PathBuf::from("/dev/full");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delivery.jsonl");
        std::os::unix::fs::symlink(&device, &path).unwrap();
        let log = DeliveryLog::open(Target::File(path.clone())).unwrap();
        for number in 0..10 {
            log.record(event(number)).await;
        }
        let error = log.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        std::fs::remove_file(&path).unwrap();
        log.reopen();
        log.flush().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ids(&text), expected(0..10));
    }

    #[tokio::test]
    async fn a_full_buffer_makes_the_caller_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delivery.jsonl");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let log = DeliveryLog::open(Target::File(path.clone())).unwrap();
        let line = serde_json::to_vec(&event(0)).unwrap().len() as u64 + 1;
        let fits = u64::from(MAX_BUFFERED_OCTETS) / line;
        for _ in 0..fits {
            log.record(event(0)).await;
        }
        let late = log.clone();
        let waiting = tokio::spawn(async move { late.record(event(0)).await });
        log.flush().await.unwrap_err();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the buffer is full");
        std::fs::remove_file(&path).unwrap();
        log.reopen();
        waiting.await.unwrap();
        log.flush().await.unwrap();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count() as u64;
        assert_eq!(lines, fits + 1);
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_opened_is_said_at_once() {
        let target = Target::File(PathBuf::from("/nonexistent/delivery.jsonl"));
        assert_eq!(
            DeliveryLog::open(target).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
