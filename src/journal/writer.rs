//! The writer: one thread, one batch, one `pwritev`, one `fdatasync`.
//!
//! Owns the queue of records that wait and the end of the journal. A batch is all that waits, up
//! to [`BATCH_OCTETS`] or [`BATCH_RECORDS`]; there is no timer for urgent work, so batches form by
//! themselves under load and a lone producer pays one flush. What is not urgent waits for company,
//! [`SOON`] at most.
//!
//! Order: durable, then published (memory), then the waiters hear of it.
//!
//! A failed write or `fdatasync` is final. The kernel may have dropped the pages and marked them
//! clean; a second `fdatasync` would then say "done" for octets that never arrived. So nothing is
//! retried: all who wait fail, nothing more is taken, and the process ends and recovers from disk.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::error::JournalError;
use super::keeper::{Job, Pins, Segment, Slot};
use super::record::{Frame, Kind, Position};
use super::segment::SEGMENT_HEADER_OCTETS;

/// Most octets in a batch (one submission may be larger).
pub const BATCH_OCTETS: u64 = 8 * 1024 * 1024;
/// Most records in a batch.
pub const BATCH_RECORDS: usize = 4096;
/// Most octets that wait; producers that reserve wait for room.
pub const QUEUE_OCTETS: u32 = 32 * 1024 * 1024;
/// How long what is not urgent waits for company.
pub const SOON: Duration = Duration::from_millis(20);

/// Runs on the writer's thread once records are durable, with their places, in order.
pub type Publish = Box<dyn FnOnce(&[Position]) + Send>;
/// Told once, when a write has failed.
pub type OnFailure = Arc<dyn Fn(&Arc<JournalError>) + Send + Sync>;

/// Records of one producer that become durable together.
pub(super) struct Submission {
    pub(super) frames: Vec<Frame>,
    pub(super) urgent: bool,
    /// Room taken in the queue.
    pub(super) permits: usize,
    pub(super) publish: Publish,
    pub(super) done: oneshot::Sender<Result<(), JournalError>>,
}

#[derive(Default)]
struct Waiting {
    line: VecDeque<Submission>,
    octets: u64,
    urgent: usize,
    closed: bool,
    failed: Option<Arc<JournalError>>,
}

/// What waits to be written.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    pub(super) room: Semaphore,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            room: Semaphore::new(usize::try_from(QUEUE_OCTETS).unwrap_or(usize::MAX)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts records in line, or tells at once why not.
    pub(super) fn push(&self, submission: Submission) {
        let mut waiting = self.lock();
        let refused = match (&waiting.failed, waiting.closed) {
            (Some(error), _) => Some(JournalError::Failed(Arc::clone(error))),
            (None, true) => Some(JournalError::Closed),
            (None, false) => None,
        };
        if let Some(error) = refused {
            drop(waiting);
            self.room.add_permits(submission.permits);
            drop(submission.done.send(Err(error)));
            return;
        }
        waiting.octets += submission.frames.iter().map(Frame::octets).sum::<u64>();
        waiting.urgent += usize::from(submission.urgent);
        waiting.line.push_back(submission);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Why there will be no more room.
    pub(super) fn why_closed(&self) -> JournalError {
        match &self.lock().failed {
            Some(error) => JournalError::Failed(Arc::clone(error)),
            None => JournalError::Closed,
        }
    }

    /// Takes nothing more; the writer ends when the line is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.arrived.notify_one();
    }

    /// The next batch; empty when the journal is closed and nothing waits.
    fn next_batch(&self) -> Vec<Submission> {
        let waiting = self
            .arrived
            .wait_while(self.lock(), |waiting| {
                waiting.line.is_empty() && !waiting.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, SOON, |waiting| {
                waiting.urgent == 0 && !waiting.closed && waiting.octets < BATCH_OCTETS
            })
            .unwrap_or_else(PoisonError::into_inner);
        let (mut batch, mut octets, mut records) = (Vec::new(), 0, 0);
        while let Some(next) = waiting.line.front() {
            octets += next.frames.iter().map(Frame::octets).sum::<u64>();
            records += next.frames.len();
            if !batch.is_empty() && (octets > BATCH_OCTETS || records > BATCH_RECORDS) {
                break;
            }
            let Some(next) = waiting.line.pop_front() else {
                break;
            };
            waiting.octets -= next.frames.iter().map(Frame::octets).sum::<u64>();
            waiting.urgent -= usize::from(next.urgent);
            batch.push(next);
        }
        batch
    }

    /// Ends the journal: all who wait hear why, and all who come.
    fn fail(&self, error: &Arc<JournalError>) {
        let mut waiting = self.lock();
        waiting.failed = Some(Arc::clone(error));
        let line = std::mem::take(&mut waiting.line);
        drop(waiting);
        self.room.close();
        for submission in line {
            let error = JournalError::Failed(Arc::clone(error));
            drop(submission.done.send(Err(error)));
        }
    }
}

/// The end of the journal.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) slot: Arc<Slot>,
    pub(super) pins: Arc<Pins>,
    pub(super) keeper: Sender<Job>,
    pub(super) segment: Segment,
    /// Where the next record goes.
    pub(super) offset: u64,
    /// Sequence of the last batch.
    pub(super) batch: u64,
    /// The highest message id so far.
    pub(super) highest: u64,
    pub(super) key_id: u32,
    pub(super) on_failure: OnFailure,
}

impl Writer {
    /// Writes until the journal is closed or a write fails.
    pub(super) fn run(mut self) {
        let _guard = PanicGuard(Arc::clone(&self.queue), Arc::clone(&self.on_failure));
        loop {
            let mut batch = self.queue.next_batch();
            if batch.is_empty() {
                break;
            }
            match self.write(&mut batch) {
                Ok(positions) => self.release(batch, &positions),
                Err(error) => return self.fail(batch, error),
            }
        }
        // What a clean stop ends with: whatever is invalid before it was durable once.
        let mut end = [Frame::bare(Kind::Pad, self.highest, self.key_id)];
        let mut end: Vec<&mut Frame> = end.iter_mut().collect();
        if self.offset > SEGMENT_HEADER_OCTETS
            && let Err(error) = self.write_frames(&mut end)
        {
            self.fail(Vec::new(), error);
        }
    }

    fn fail(&self, batch: Vec<Submission>, error: JournalError) {
        let error = Arc::new(error);
        self.queue.fail(&error);
        (self.on_failure)(&error);
        for submission in batch {
            let error = JournalError::Failed(Arc::clone(&error));
            drop(submission.done.send(Err(error)));
        }
    }

    fn write(&mut self, batch: &mut [Submission]) -> Result<Vec<Position>, JournalError> {
        let mut frames: Vec<&mut Frame> = batch
            .iter_mut()
            .flat_map(|submission| submission.frames.iter_mut())
            .collect();
        self.write_frames(&mut frames)
    }

    /// Publishes and answers. `positions` has the places of all records of `batch`, in order.
    fn release(&self, batch: Vec<Submission>, mut positions: &[Position]) {
        let mut waiters = Vec::with_capacity(batch.len());
        for submission in batch {
            let count = submission.frames.len().min(positions.len());
            let (own, rest) = positions.split_at(count);
            positions = rest;
            (submission.publish)(own);
            waiters.push((submission.permits, submission.done));
        }
        self.pins.left_for(self.segment.number);
        for (permits, done) in waiters {
            self.queue.room.add_permits(permits);
            // Whoever stopped waiting has its records all the same.
            drop(done.send(Ok(())));
        }
    }

    /// Writes records, going on in the next segment where one is full; durable when it returns.
    fn write_frames(&mut self, frames: &mut [&mut Frame]) -> Result<Vec<Position>, JournalError> {
        let mut positions = Vec::with_capacity(frames.len());
        let mut run = Run::default();
        for at in 0..frames.len() {
            let octets = frames.get(at).map_or(0, |frame| frame.octets());
            let seal = Frame::bare(Kind::Seal, 0, 0).octets();
            if run.start == 0 {
                self.begin(&mut run);
            }
            if run.start + run.octets + octets + seal > self.segment.octets {
                self.flush(&run, frames.get(run.first..at).unwrap_or_default(), true)?;
                self.next_segment()?;
                run = Run {
                    first: at,
                    ..Run::default()
                };
                self.begin(&mut run);
            }
            let position = Position {
                segment: self.segment.number,
                offset: run.start + run.octets,
                octets,
            };
            if let Some(frame) = frames.get_mut(at) {
                self.highest = self.highest.max(frame.message());
                frame.place(position.segment, self.batch, run.start);
            }
            run.octets += octets;
            positions.push(position);
        }
        if run.octets > 0 {
            self.flush(&run, frames.get(run.first..).unwrap_or_default(), false)?;
        }
        Ok(positions)
    }

    /// A new batch at the end of the segment. The first of a segment begins with a `PAD`.
    fn begin(&mut self, run: &mut Run) {
        self.batch += 1;
        run.start = self.offset;
        if self.offset == SEGMENT_HEADER_OCTETS {
            let mut pad = Frame::bare(Kind::Pad, self.highest, self.key_id);
            pad.place(self.segment.number, self.batch, run.start);
            run.octets = pad.octets();
            run.lead = Some(pad);
        }
    }

    /// One `pwritev`, one `fdatasync`. `seal`: the segment ends with this batch.
    fn flush(&mut self, run: &Run, frames: &[&mut Frame], seal: bool) -> Result<(), JournalError> {
        let mut end = Frame::bare(Kind::Seal, self.highest, self.key_id);
        end.place(self.segment.number, self.batch, run.start);
        let mut slices: Vec<IoSlice<'_>> = run
            .lead
            .iter()
            .chain(frames.iter().map(|frame| &**frame))
            .chain(seal.then_some(&end))
            .map(|frame| IoSlice::new(frame.as_bytes()))
            .collect();
        let failed = |operation| {
            let name = super::segment::segment_name(self.segment.number);
            JournalError::io(operation, name)
        };
        self.segment
            .file
            .write_at(&mut slices, run.start)
            .map_err(failed("write"))?;
        self.segment.file.sync_data().map_err(failed("sync"))?;
        self.offset = run.start + run.octets;
        Ok(())
    }

    fn next_segment(&mut self) -> Result<(), JournalError> {
        self.segment = self.slot.take()?;
        self.offset = SEGMENT_HEADER_OCTETS;
        // The keeper is gone only when the journal closes.
        drop(self.keeper.send(Job::Prepare));
        Ok(())
    }
}

/// What is written in one go.
#[derive(Default)]
struct Run {
    lead: Option<Frame>,
    /// The first of its frames.
    first: usize,
    /// Where in the segment it begins; 0 before it has begun.
    start: u64,
    octets: u64,
}

/// A panic of the writer is a failure like any other: nobody is left waiting for ever.
struct PanicGuard(Arc<Queue>, OnFailure);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = Arc::new(JournalError::Closed);
            self.0.fail(&error);
            (self.1)(&error);
        }
    }
}
