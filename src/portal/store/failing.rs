//! Whether a durable write has failed: then nothing more is written until the next start.

use std::sync::Arc;

use tokio::sync::watch;

use super::StoreError;

/// A flag that is set once. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Failing(Arc<watch::Sender<bool>>);

impl Failing {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    /// Sets it.
    pub(super) fn fail(&self) {
        self.0.send_replace(true);
    }

    /// An error once it is set.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match *self.0.borrow() {
            true => Err(StoreError::Failed),
            false => Ok(()),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
