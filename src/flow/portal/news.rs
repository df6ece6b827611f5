//! What became of replies that were written in the portal, on its way there.
//!
//! Owns a small durable table. A row is durable before the end that it tells of is; then the portal
//! is told, for as long as it takes; then the row goes. So the portal hears it, whichever side was
//! away when the reply ended. A crash between the row and the end has the reply end once more: the
//! row is written over, and the last word counts. One between the telling and the row's deletion
//! has the same told twice, which changes nothing.
//!
//! The portal may know a reply's name later than we know its end. It keeps the end until then. Where
//! it refuses something for now, other news need not wait for that: it is passed over until the next
//! round.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::super::line::Line;
use super::{is_reply, travel};
use crate::mail::MessageId;
use crate::pickup::PickupError;
use crate::proto::link::Travelled;
use crate::queue::Settlement;
use crate::tables::{Table, TableError, Tables};

/// Replies of which the portal has not been told. Beyond it the oldest are forgotten: their writers
/// read that they were sent.
pub const MAX_NEWS: usize = 10_000;
/// Failures one after another that end a round: the portal is away.
const MAX_FAILURES: usize = 8;
/// The pause after a round that failed, doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What the portal is to be told of replies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct News {
    table: Table<Travelled>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// For whoever changes the rows.
    changing: AsyncMutex<()>,
    fresh: Notify,
}

impl News {
    /// The rows among the tables of the spool.
    pub fn open(tables: &Tables) -> Result<Self, TableError> {
        Ok(Self {
            table: tables.table("portal_news")?,
            shared: Arc::default(),
        })
    }

    /// How much there is to be told.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes what ends with a settlement, if that is a reply; whether there is any of it. Durable
    /// when it returns.
    pub(in crate::flow) async fn note(&self, settlement: &Settlement) -> bool {
        if !is_reply(&settlement.envelope) {
            return false;
        }
        let changes = settlement.changes.iter();
        let ended = changes.filter_map(|change| travel::travelled(settlement, change));
        let mut any = false;
        for travelled in ended {
            any = true;
            if let Err(error) = self.put(&travelled, MAX_NEWS).await {
                // Where the journal has failed, the settlement fails too.
                tracing::error!(queue_id = %settlement.id, error = &error as &dyn std::error::Error, "what became of a reply cannot be kept for the portal");
            }
        }
        any
    }

    /// There is news, or the portal may be another one.
    pub(in crate::flow) fn nudge(&self) {
        self.shared.fresh.notify_one();
    }

    async fn put(&self, travelled: &Travelled, most: usize) -> Result<(), TableError> {
        let _changing = self.shared.changing.lock().await;
        let key = key(travelled.queue_id);
        if self.table.len() >= most && self.table.get(&key)?.is_none() {
            // Names rise with time: the first are the oldest.
            let over = self.table.len() - most + 1;
            for (oldest, _) in self.table.rows()?.into_iter().take(over) {
                self.table.delete(&oldest).await?;
            }
            tracing::warn!(
                "the portal has not been told of too many replies: the oldest is forgotten"
            );
        }
        self.table.put(&key, travelled).await
    }

    /// The portal has answered. What came meanwhile stays.
    async fn told(&self, travelled: &Travelled) -> Result<(), TableError> {
        let _changing = self.shared.changing.lock().await;
        let key = key(travelled.queue_id);
        match self.table.get(&key)?.is_some_and(|row| row == *travelled) {
            true => self.table.delete(&key).await,
            false => Ok(()),
        }
    }

    /// Tells the portal everything, beginning with `from`. Whether nothing is left.
    async fn work_off(&self, line: &Line, from: &mut MessageId) -> bool {
        let machinery = line.machinery();
        let Some(portal) = &machinery.portal else {
            return true; // Whoever configures one again says so.
        };
        let mut rows = match self.table.rows() {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what the portal is to be told of replies cannot be read"
                );
                return true;
            }
        };
        let at = rows.partition_point(|(_, row)| row.queue_id < *from);
        rows.rotate_left(at);
        let (mut all, mut failures) = (true, 0);
        for (_, row) in rows {
            let id = row.queue_id;
            match portal.client.travelled(&row).await {
                Ok(()) => failures = 0,
                Err(error @ PickupError::Unavailable(_)) => {
                    tracing::debug!(queue_id = %id, %error, "the portal could not be told yet what became of a reply");
                    all = false;
                    failures += 1;
                    if failures == MAX_FAILURES {
                        *from = MessageId::new(id.get().saturating_add(1));
                        tracing::warn!(queue_id = %id, %error, "the portal cannot be told yet what became of replies");
                        return false;
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(queue_id = %id, %error, "the portal does not take what became of a reply");
                    failures = 0;
                }
            }
            if let Err(error) = self.told(&row).await {
                tracing::error!(queue_id = %id, error = &error as &dyn std::error::Error, "that the portal was told of a reply could not be noted: it is told again");
                return false;
            }
        }
        all
    }
}

/// Tells what there is to be told, from the start on, until it is ended.
pub(in crate::flow) async fn run(line: Arc<Line>) {
    let news = line.news.clone();
    let mut pause = FIRST_PAUSE;
    let mut from = MessageId::new(0);
    loop {
        if news.work_off(&line, &mut from).await {
            pause = FIRST_PAUSE;
            news.shared.fresh.notified().await;
            continue;
        }
        let next = line.clock.now() + pause;
        tokio::select! {
            () = line.clock.sleep_until(next) => {
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
            // What is new need not wait for what was refused.
            () = news.shared.fresh.notified() => {}
        }
    }
}

fn key(id: MessageId) -> [u8; 8] {
    id.get().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Final;

    fn ended(id: u64, ended: Final) -> Travelled {
        Travelled {
            queue_id: MessageId::new(id),
            ended,
            grade: None,
            reply: true,
        }
    }

    #[tokio::test]
    async fn the_last_word_counts_and_the_oldest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let (_journal, tables) = crate::tables::tests::open(directory.path());
        let news = News::open(&tables).unwrap();
        let rows = || -> Vec<Travelled> {
            let rows = news.table.rows().unwrap().into_iter();
            rows.map(|(_, row)| row).collect()
        };
        for id in [300, 2, 9] {
            news.put(&ended(id, Final::Expired), 3).await.unwrap();
        }
        // Written over, nothing has to go.
        news.put(&ended(9, Final::Delivered), 3).await.unwrap();
        assert_eq!(news.len(), 3);
        news.put(&ended(301, Final::Bounced), 3).await.unwrap();
        let left = [
            ended(9, Final::Delivered),
            ended(300, Final::Expired),
            ended(301, Final::Bounced),
        ];
        assert_eq!(rows(), left);
        // Told of an end that is no longer the last word: that is told, too.
        news.told(&ended(9, Final::Expired)).await.unwrap();
        assert_eq!(rows(), left);
        news.told(&left[0]).await.unwrap();
        assert_eq!(rows(), left[1..]);
    }
}
