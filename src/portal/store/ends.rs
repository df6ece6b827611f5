//! Replies that failed at the line before we knew what the line calls them.
//!
//! Owns the table `reply_ends`. The line may know the end of a reply before its answer, under which
//! id it took it, is noted here. The id is kept then until that is noted: the line need not say it
//! again. What outsiders began fails under such ids, too, and nobody can ask for that any more: it
//! cannot be told apart, is kept as well, and goes when no reply waits.
//!
//! For whoever holds the lock of the replies' rows.

use crate::mail::MessageId;
use crate::tables::{Table, Tables};

use super::StoreError;
use super::replies::ReplyState;

/// Ends that are kept; beyond it the oldest are forgotten. One is asked for when the line is asked
/// the next time about its reply, which is soon.
pub(super) const MAX_ENDS: usize = 1000;

/// The ids.
#[derive(Debug)]
pub(super) struct Ends(Table<ReplyState>);

impl Ends {
    pub(super) fn open(tables: &Tables) -> Result<Self, StoreError> {
        Ok(Self(tables.table("reply_ends")?))
    }

    /// What has become of whatever the line calls so; the last word counts. `most` are kept.
    pub(super) async fn note(
        &self,
        id: MessageId,
        state: ReplyState,
        most: usize,
    ) -> Result<(), StoreError> {
        match state {
            ReplyState::Failed => {}
            // What is taken counts as sent, unless we know better.
            ReplyState::Sent | ReplyState::Waiting => return self.forget(id).await,
        }
        if self.has_failed(id)? {
            return Ok(());
        }
        if self.0.len() >= most {
            // Ids rise with time: the first are the oldest.
            let over = self.0.len() - most + 1;
            for (oldest, _) in self.0.rows()?.into_iter().take(over) {
                self.0.delete(&oldest).await?;
            }
            tracing::warn!("too many mails failed while replies wait: the oldest is forgotten");
        }
        Ok(self.0.put(&key(id), &state).await?)
    }

    /// Whether what the line calls so has failed.
    pub(super) fn has_failed(&self, id: MessageId) -> Result<bool, StoreError> {
        Ok(self.0.get(&key(id))? == Some(ReplyState::Failed))
    }

    /// It is known which reply that was.
    pub(super) async fn forget(&self, id: MessageId) -> Result<(), StoreError> {
        match self.0.get(&key(id))? {
            Some(_) => Ok(self.0.delete(&key(id)).await?),
            None => Ok(()),
        }
    }

    /// No reply waits: none of these can be one's.
    pub(super) async fn clear(&self) -> Result<(), StoreError> {
        for (id, _) in self.0.rows()? {
            self.0.delete(&id).await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn key(id: MessageId) -> [u8; 8] {
    id.get().to_be_bytes()
}
