//! Whether the line can be reached: without it nobody gets a code.
//!
//! Owns one task that asks every few seconds; `/readyz` reads what it found, so that no request of
//! a stranger makes a connection to the line.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::world::clock::Clock;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_secs(3);
/// How long the line may take to let us in.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whoever is not let in is hung up on by then.
const LET_IN: Duration = Duration::from_millis(200);

/// What was found last. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Reach {
    answers: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Reach {
    /// Begins to ask on the line's socket. Until it is known it counts as not reached.
    pub(super) fn watch(socket: PathBuf, clock: Clock) -> Self {
        let answers = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        let found = Arc::clone(&answers);
        task.spawn(async move {
            loop {
                let now = asked(&socket).await;
                let before = found.swap(now, Ordering::Relaxed);
                if before && !now {
                    tracing::warn!(socket = %socket.display(), "the line cannot be reached: the portal is not ready");
                }
                clock.sleep_until(clock.now() + PAUSE).await;
            }
        });
        Self {
            answers,
            _task: task,
        }
    }

    /// Whether it answered when it was last asked.
    pub(super) fn is_there(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }
}

/// Whether somebody listens there, and lets us in.
async fn asked(socket: &PathBuf) -> bool {
    let connecting = tokio::time::timeout(PATIENCE, UnixStream::connect(socket)).await;
    let Ok(Ok(mut stream)) = connecting else {
        return false;
    };
    // Nothing was asked: the line says nothing, or hangs up.
    let heard = tokio::time::timeout(LET_IN, stream.read_u8()).await;
    heard.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_line_that_lets_us_in_is_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.sock");
        assert!(!asked(&path).await);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        assert!(asked(&path).await);
        let hangs_up = tokio::spawn(async move {
            loop {
                drop(listener.accept().await);
            }
        });
        assert!(!asked(&path).await);
        hangs_up.abort();
        assert!(hangs_up.await.is_err());
        // The socket's file is still there, and nobody listens.
        assert!(path.exists());
        assert!(!asked(&path).await);
    }
}
