//! Any sequence of changes, restarts and crashes against a model of what must come back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::support::*;
use crate::mail::RecipientRecord;

#[derive(Debug, Clone)]
enum Step {
    Accept {
        recipients: usize,
        octets: usize,
    },
    Prepare {
        message: usize,
        seed: u8,
    },
    State {
        message: usize,
        recipient: usize,
        seed: u32,
    },
    Done {
        message: usize,
    },
    Restart,
    /// The process dies while these wait; nothing of them was acknowledged.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4usize, prop_oneof![4 => 0..3000usize, 1 => 60_000..150_000usize])
            .prop_map(|(recipients, octets)| Step::Accept { recipients, octets }),
        2 => (any::<usize>(), any::<u8>())
            .prop_map(|(message, seed)| Step::Prepare { message, seed }),
        4 => (any::<usize>(), any::<usize>(), any::<u32>())
            .prop_map(|(message, recipient, seed)| Step::State { message, recipient, seed }),
        4 => any::<usize>().prop_map(|message| Step::Done { message }),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

struct Known {
    recovered: Recovered,
    octets: usize,
}

/// The spool, and what must be in it.
struct World {
    directory: tempfile::TempDir,
    spool: Option<Spool>,
    known: BTreeMap<MessageId, Known>,
}

impl World {
    fn spool(&self) -> &Spool {
        self.spool.as_ref().unwrap()
    }

    fn pick(&mut self, number: usize) -> Option<(MessageId, &mut Known)> {
        let at = number.checked_rem(self.known.len())?;
        let (&id, known) = self.known.iter_mut().nth(at)?;
        Some((id, known))
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Accept { recipients, octets } => {
                let id = self.spool().next_id();
                let change = accept(id, recipients, body(id.get(), octets));
                self.spool().commit(vec![change]).await.unwrap();
                let recovered = Recovered {
                    envelope: envelope(id, recipients),
                    prepared: None,
                    recipients: vec![RecipientRecord::queued(); recipients],
                };
                self.known.insert(id, Known { recovered, octets });
            }
            Step::Prepare { message, seed } => {
                let Some((id, known)) = self.pick(message) else {
                    return;
                };
                let prepared = prepared(seed);
                known.recovered.prepared = Some(Arc::clone(&prepared));
                let change = Change::Prepared { id, prepared };
                self.spool().commit(vec![change]).await.unwrap();
            }
            Step::State {
                message,
                recipient,
                seed,
            } => {
                let Some((id, known)) = self.pick(message) else {
                    return;
                };
                let recipient = recipient % known.recovered.recipients.len();
                known.recovered.recipients[recipient] = record(seed);
                let index = u32::try_from(recipient).unwrap();
                self.spool()
                    .commit_soon(vec![state(id, index, seed)])
                    .await
                    .unwrap();
            }
            Step::Done { message } => {
                let Some((id, _)) = self.pick(message) else {
                    return;
                };
                self.known.remove(&id);
                self.spool()
                    .commit(vec![Change::Done { id }])
                    .await
                    .unwrap();
            }
            Step::Restart => {
                self.spool.take().unwrap().close().await;
                self.reopen().await;
            }
            Step::Crash => {
                let killed = tempfile::tempdir().unwrap();
                copy(self.directory.path(), killed.path());
                self.spool = None;
                self.directory = killed;
                self.reopen().await;
            }
        }
    }

    async fn reopen(&mut self) {
        let (spool, recovery) = open(self.directory.path());
        assert!(recovery.report.is_sound(), "{:?}", recovery.report);
        assert_eq!(recovery.report.torn_tail, None);
        let expected: Vec<_> = self.known.values().map(|known| &known.recovered).collect();
        assert_eq!(recovery.messages.iter().collect::<Vec<_>>(), expected);
        for (&id, known) in &self.known {
            assert!(read(&spool, id).await == body(id.get(), known.octets));
        }
        let bodies = files(&self.directory.path().join("big")).len();
        let large = |known: &&Known| known.octets >= spool.shared.inline_octets;
        assert_eq!(bodies, self.known.values().filter(large).count());
        self.spool = Some(spool);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_was_acknowledged_comes_back(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let spool = Some(open(directory.path()).0);
            let mut world = World { directory, spool, known: BTreeMap::new() };
            for step in steps {
                world.apply(step).await;
            }
            world.apply(Step::Crash).await;
            world.apply(Step::Restart).await;
        });
    }
}
