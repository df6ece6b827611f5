//! Rows that are written again so that the segments they lie in can go.
//!
//! Owns when that is done and how much of it at once. The journal gives back its oldest segment
//! alone, so rows that never change would keep the disk full of what came after them; and rows that
//! are carried without need would be written for ever.
//!
//! The rule: out of the oldest segment, and only while the segments that the writer has left hold
//! more than [`TIMES_LIVE`] times what lives in rows, and [`SLACK_SEGMENTS`] besides. Then
//! - it ends: rows alone, one behind the other, take less than that however they fit. A segment is
//!   left because the next record did not fit, so with what the next one begins with it would be
//!   more than full: that is twice what lives at most, and a segment;
//! - the log stays below that, but for what is written while rows are being carried;
//! - in one turn of the log each row is carried at most once, and the log is longer than three times
//!   the rows: to two octets put comes one octet carried, at most.
//!
//! Order: a row goes to the writer under the lock of the view, after a look that it still lies there
//! and that no change of it is under way. So what is carried comes before any later change in the
//! journal as well. Its old record is let go when the new one is durable, not before: a crash finds
//! the old one, or both, which say the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::journal::{Frame, Oldest};

use super::view::RowName;
use super::{Inner, RowRecord, TableError};

/// How many times what lives the log may hold before rows are carried.
pub const TIMES_LIVE: u64 = 3;
/// Segments that the log may hold besides: a small table is left alone.
pub const SLACK_SEGMENTS: u64 = 2;
/// Rows that are carried at once.
pub const STEP_ROWS: usize = 1024;
/// Octets of rows that are carried at once, and one row more.
pub const STEP_OCTETS: u64 = 1024 * 1024;

/// Whether a step is on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct Step(AtomicBool);

impl Inner {
    /// The next step out of the oldest segment, if it is worth it. For the keeper's thread alone.
    pub(super) fn carry(self: &Arc<Self>, oldest: &Oldest) -> Result<(), TableError> {
        if self.step.0.load(Ordering::Acquire) {
            return Ok(()); // the keeper is told to look again when that one is durable
        }
        let rows = {
            let view = self.view();
            if !is_worth(oldest, view.live_octets()) {
                return Ok(());
            }
            view.rows_in(oldest.segment, STEP_ROWS, STEP_OCTETS)
        };
        if rows.is_empty() {
            return Ok(()); // all have changes under way, which let go of the segment
        }
        // Sealed without the lock: all who read wait for that.
        let mut sealed = Vec::with_capacity(rows.len());
        for (name, value) in rows {
            sealed.push((self.seal(&name, &value)?, name, value));
        }
        let mut view = self.view();
        let (mut frames, mut records): (Vec<Frame>, Vec<(RowName, Option<Bytes>)>) =
            Default::default();
        for (frame, name, value) in sealed {
            if view.rests_in(oldest.segment, &name) {
                frames.push(frame);
                records.push((name, Some(value)));
            }
        }
        if frames.is_empty() {
            // Others of the segment may rest.
            drop(view);
            self.pins.look_again();
            return Ok(());
        }
        self.step.0.store(true, Ordering::Release);
        let inner = Arc::clone(self);
        let durable = move || {
            inner.step.0.store(false, Ordering::Release);
            inner.pins.look_again();
        };
        drop(self.submit(&mut view, frames, records, None, durable));
        Ok(())
    }

    fn seal(&self, name: &RowName, value: &Bytes) -> Result<Frame, TableError> {
        self.frame(&RowRecord {
            table: &name.0,
            key: &name.1,
            value: Some(value),
        })
    }
}

fn is_worth(oldest: &Oldest, live_octets: u64) -> bool {
    let slack = oldest.segment_octets.saturating_mul(SLACK_SEGMENTS);
    let most = live_octets.saturating_mul(TIMES_LIVE).saturating_add(slack);
    oldest.left_octets > most
}
