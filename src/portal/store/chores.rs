//! What time alone brings about: expiry, reminders, reports of what nobody opened, forgetting.
//!
//! Sleeps until the first thing is due and looks at nothing else, however many deposits there are.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::mail::{Address, MessageId, Reference, Timestamp};
use crate::proto::link::{DepositState, Remind, ReportKind};

use super::outbox::Owed;
use super::record::{Chore, Record};
use super::shared::Shared;
use super::{Store, StoreError};

/// Deposits that are seen to at once.
const AT_ONCE: usize = 32;
/// How long what could not be done is put off.
const PUT_OFF: Duration = Duration::from_secs(60);

/// Does what is due until the store is gone.
pub(super) async fn run(shared: Weak<Shared>) {
    loop {
        let Some(store) = shared.upgrade() else {
            return;
        };
        let now = store.now();
        let next = store.index().next_due().map(|(due, _)| due);
        if next.is_some_and(|due| due <= now) {
            store.do_due(now).await;
            continue;
        }
        let (clock, changed) = (store.clock, Arc::clone(&store.due_changed));
        drop(store); // asleep, this task keeps no store open
        tokio::select! {
            () = changed.notified() => {}
            () = async {
                match next {
                    Some(due) => clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

impl Shared {
    /// Does what is due at `now`, [`AT_ONCE`] deposits at most; how many there were.
    pub(super) async fn do_due(self: &Arc<Self>, now: Timestamp) -> usize {
        let due = self.index().due(now, AT_ONCE);
        let mut tasks = JoinSet::new();
        for &reference in &due {
            let shared = Arc::clone(self);
            tasks.spawn(async move {
                if let Err(error) = shared.see_to(reference, now).await {
                    tracing::warn!(%reference, %error, "what is due for a deposit is put off");
                    shared.index().put_off(reference, now + PUT_OFF);
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        due.len()
    }

    async fn see_to(
        self: &Arc<Self>,
        reference: Reference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.failing.check()?;
        let _lock = self.locks.deposit(reference).await;
        let Some(mut record) = self.record(reference)? else {
            self.index().forget(reference);
            return Ok(());
        };
        let (due, chore) = record.due(&self.reminders);
        if due > now {
            self.show(&record); // it was changed in the meantime
            return Ok(());
        }
        if record.is_live() && now >= record.expires {
            // Before anything else that is due: there may be no room for news, and no key outlives
            // its time for that.
            return self.expire(record, now).await;
        }
        match chore {
            Chore::Tell => {
                if !record.is_live() {
                    self.shred(reference, record.slot).await?;
                }
                self.tell_untold(record).await
            }
            Chore::Expire => self.expire(record, now).await,
            Chore::Forget => {
                self.forget_replies(reference).await?;
                self.drop_record(&record).await
            }
            Chore::Remind => {
                self.owe(Owed::Remind(record.reminder())).await?;
                record.reminded = true;
                self.save(&record).await
            }
            Chore::TellUnread => {
                let report = record.report(ReportKind::Unread);
                self.owe(Owed::Report(report)).await?;
                record.unread_told = true;
                self.save(&record).await
            }
        }
    }
}

impl Store {
    /// What is to be said now of something owed, which may have waited for long: `None` where it is
    /// not true any more. Nobody is reminded of what was opened or has ended.
    pub fn still_owed(&self, owed: &Owed) -> Option<Owed> {
        let waits = |id, recipient| self.shared.waiting(id, recipient);
        match owed {
            Owed::Remind(remind) => waits(remind.queue_id, &remind.recipient)
                .map(|record| Owed::Remind(record.reminder())),
            Owed::Report(report) if report.kind == ReportKind::Unread => {
                waits(report.queue_id, &report.recipient)
                    .map(|record| Owed::Report(record.report(ReportKind::Unread)))
            }
            Owed::Report(_) | Owed::Event(_) => Some(owed.clone()),
        }
    }
}

impl Shared {
    /// The deposit of a message for a recipient that nobody has opened yet. It may have another
    /// reference by now.
    fn waiting(&self, id: MessageId, recipient: &Address) -> Option<Record> {
        let references = self.index().message(id, Some(recipient));
        let now = self.now();
        let mut records = self.records_of(references);
        records.find(|it| it.recipient == *recipient && it.state_at(now) == DepositState::Waiting)
    }
}

impl Record {
    fn reminder(&self) -> Remind {
        Remind {
            reference: self.reference,
            queue_id: self.queue_id,
            recipient: self.recipient.clone(),
            author: self.author.clone(),
            author_name: self.author_name.clone(),
            language: self.language,
            expires: self.expires,
        }
    }
}
