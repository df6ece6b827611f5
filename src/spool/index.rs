//! Where every message that is not done lies: in memory, small, made anew at each start.
//!
//! Owns the pins that keep the segments of live messages. Holds keys only as they are stored,
//! wrapped; never content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::{Pin, Pins, Position, WrappedKey};
use crate::mail::MessageId;

use super::big::BigRef;

/// Where a message's body lies, once its `ACCEPT` is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// In the `ACCEPT` itself.
    Inline(Position),
    /// In a file of its own.
    File(BigRef),
}

#[derive(Debug)]
struct Entry {
    wrapped: WrappedKey,
    /// `None` while its `ACCEPT` is under way.
    place: Option<(Body, Pin)>,
}

/// The messages that are not done.
#[derive(Debug)]
pub(super) struct Index {
    entries: Mutex<HashMap<MessageId, Entry>>,
    pins: Arc<Pins>,
}

impl Index {
    pub(super) fn new(pins: Arc<Pins>) -> Self {
        Self {
            entries: Mutex::default(),
            pins,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the message is known.
    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.lock().contains_key(&id)
    }

    /// A message whose `ACCEPT` goes to the writer now.
    pub(super) fn announce(&self, id: MessageId, wrapped: WrappedKey) {
        let place = None;
        self.lock().insert(id, Entry { wrapped, place });
    }

    /// Its `ACCEPT` is durable at `position`.
    pub(super) fn accepted(&self, id: MessageId, position: Position, file: Option<BigRef>) {
        let pin = self.pins.pin(position.segment);
        let body = file.map_or(Body::Inline(position), Body::File);
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.place = Some((body, pin));
        }
    }

    /// Its `DONE` is durable. Returns where its body was.
    pub(super) fn done(&self, id: MessageId) -> Option<Body> {
        let entry = self.lock().remove(&id)?;
        entry.place.map(|(body, _)| body)
    }

    /// Its key, wrapped.
    pub(super) fn key(&self, id: MessageId) -> Option<WrappedKey> {
        self.lock().get(&id).map(|entry| entry.wrapped)
    }

    /// Its key and where its body lies; `None` before its `ACCEPT` is durable and after its `DONE`.
    pub(super) fn body(&self, id: MessageId) -> Option<(WrappedKey, Body)> {
        let entries = self.lock();
        let entry = entries.get(&id)?;
        let (body, _) = entry.place.as_ref()?;
        Some((entry.wrapped, *body))
    }
}
