//! The thread that writes decision records: all that wait in one buffer, one write, one
//! `fdatasync`, then everybody is told.
//!
//! Owns the chain's end, the day's file and what policies it has already named. A failed write or
//! sync is final: what the file holds then is not known, and the next start looks.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use super::file::{self, Cut, Day};
use super::line::{self, Chain};
use super::{DecisionsError, Job, LOCK, Recovery};
use crate::journal::disk::Lock;
use crate::journal::{Disk, OsDisk, Sealer};
use crate::mail::Timestamp;

/// A batch is written when it has grown to this.
pub(super) const BATCH_OCTETS: usize = 4 * 1024 * 1024;

/// The thread's side.
pub(super) struct Writer {
    directory: PathBuf,
    sealer: Sealer,
    retention: Duration,
    chain: Chain,
    /// The day that is written, and its file.
    current: Option<(Day, File)>,
    /// Policies that the current file names, since it was opened.
    named: BTreeSet<Arc<str>>,
    buffer: Vec<u8>,
    _lock: Lock,
}

impl Writer {
    /// Opens the directory and finds the chain's end.
    pub(super) fn open(
        directory: PathBuf,
        sealer: Sealer,
        retention: Duration,
        now: Timestamp,
    ) -> Result<(Self, Recovery), DecisionsError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(DecisionsError::io("make", &directory))?;
        let lock = directory.join(LOCK);
        let held = OsDisk.lock(&lock);
        let held = held.map_err(DecisionsError::io("lock", &lock))?;
        let held = held.ok_or_else(|| DecisionsError::Locked(directory.clone()))?;
        let end = file::end(&directory)?;
        // A clock that went back writes on in the newest day.
        let current = end.newest.filter(|(day, _)| *day >= Day::of(now));
        let mut writer = Self {
            directory,
            sealer,
            retention,
            chain: end.chain,
            current,
            named: BTreeSet::new(),
            buffer: Vec::new(),
            _lock: held,
        };
        for cut in &end.cuts {
            writer.tell_cut(now, cut)?;
        }
        let removed = file::expire(&writer.directory, retention, now)?;
        let recovery = Recovery {
            files: file::list(&writer.directory)?.len(),
            last_sequence: writer.chain.sequence,
            cuts: end.cuts,
            removed,
        };
        Ok((writer, recovery))
    }

    /// The chain says itself that something was cut off.
    fn tell_cut(&mut self, now: Timestamp, cut: &Cut) -> Result<(), DecisionsError> {
        let clear = line::cut(now, cut.octets, &cut.sha256)?;
        self.turn_to(Day::of(now), now)?;
        self.append(&clear, &[])?;
        self.flush()
    }

    /// Writes until nobody can send any more.
    pub(super) fn run(
        mut self,
        jobs: &mpsc::Receiver<Job>,
        failed: &watch::Sender<Option<Arc<DecisionsError>>>,
    ) {
        let mut broken: Option<Arc<DecisionsError>> = None;
        let mut waiting = Vec::new();
        while let Ok(first) = jobs.recv() {
            let mut outcome = match &broken {
                Some(error) => Err(DecisionsError::Failed(Arc::clone(error))),
                None => Ok(()),
            };
            let mut next = Some(first);
            while let Some(job) = next {
                outcome = outcome.and_then(|()| self.add(&job));
                waiting.push(job);
                next = match self.buffer.len() < BATCH_OCTETS {
                    true => jobs.try_recv().ok(),
                    false => None,
                };
            }
            outcome = outcome.and_then(|()| self.flush());
            if let Err(error) = &outcome
                && broken.is_none()
            {
                let error = Arc::new(error.clone());
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "the decision records cannot be written"
                );
                failed.send_replace(Some(Arc::clone(&error)));
                broken = Some(error);
            }
            for job in waiting.drain(..) {
                // Whoever asked may have gone.
                drop(job.done.send(outcome.clone()));
            }
        }
    }

    fn add(&mut self, job: &Job) -> Result<(), DecisionsError> {
        self.turn_to(Day::of(job.time), job.time)?;
        if !self.named.contains(&job.policy.hash) {
            let clear = line::policy(job.time, &job.policy)?;
            self.append(&clear, &[])?;
            self.named.insert(Arc::clone(&job.policy.hash));
        }
        self.append(&job.clear, job.facts.expose())
    }

    fn append(&mut self, clear: &[u8], facts: &[u8]) -> Result<(), DecisionsError> {
        self.chain
            .append(&self.sealer, clear, facts, &mut self.buffer)
    }

    /// Goes on in the file of `day`, or stays in a later one.
    fn turn_to(&mut self, day: Day, now: Timestamp) -> Result<(), DecisionsError> {
        if self
            .current
            .as_ref()
            .is_some_and(|(current, _)| *current >= day)
        {
            return Ok(());
        }
        self.flush()?;
        self.current = Some((day, file::create(&self.directory, day)?));
        self.named.clear();
        let clear = line::begin(now, day)?;
        self.append(&clear, &[])?;
        for name in file::expire(&self.directory, self.retention, now)? {
            tracing::info!(
                file = name,
                "decision records past their retention were removed"
            );
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DecisionsError> {
        let Some((day, file)) = &mut self.current else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = file.write_all(&self.buffer).and_then(|()| file.sync_data());
        self.buffer.clear();
        // A large batch was the exception.
        self.buffer.shrink_to(2 * BATCH_OCTETS);
        let path = || self.directory.join(day.file_name());
        written.map_err(|error| DecisionsError::io("write", &path())(error))
    }
}
