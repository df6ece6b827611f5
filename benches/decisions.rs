//! How many decisions a second are put on record, durable, by one and by many at a time: sealed,
//! chained, one `fdatasync` a batch. Then how fast they are read back and verified. A few seconds.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures with the machine's own clock"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost::journal::MasterKey;
use sealpost::mail::{
    Address, Candidate, Course, Decision, Level, MessageId, Method, ReversePath, SecretBytes,
    Timestamp, Verdict,
};
use sealpost::report::decisions::{
    CitedPolicy, Decided, DecisionRecord, Decisions, Options, Reader,
};

const RUN: Duration = Duration::from_millis(1500);
/// What the facts of a plain message come to.
const FACTS_OCTETS: usize = 700;
const NOON: Timestamp = Timestamp::from_secs(1_795_348_800);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let given = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let base = given.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let runtime = tokio::runtime::Runtime::new()?;
    let key = MasterKey::from_base64(&MasterKey::generate()?)?;
    for producers in [1_u64, 64, 1024] {
        let directory = tempfile::tempdir_in(&base)?;
        let options = Options {
            directory: directory.path().to_owned(),
            master_key: key.clone(),
            retention: Duration::from_secs(24 * 60 * 60),
        };
        let (decisions, _) = Decisions::open(options, NOON)?;
        let record = record()?;
        let started = Instant::now();
        let written = runtime.block_on(async {
            let mut crowd = tokio::task::JoinSet::new();
            for _ in 0..producers {
                let (decisions, record) = (decisions.clone(), record.clone());
                crowd.spawn(async move {
                    let mut written = 0_u64;
                    while started.elapsed() < RUN {
                        decisions.record(record.clone()).await?;
                        written += 1;
                    }
                    Ok::<u64, Failure>(written)
                });
            }
            let mut total = 0;
            while let Some(written) = crowd.join_next().await {
                total += written??;
            }
            Ok::<u64, Failure>(total)
        })?;
        let write_rate = rate(written, started.elapsed());
        decisions.close();
        let started = Instant::now();
        let mut read = 0_u64;
        for placed in Reader::open(directory.path(), Some(key.clone()), None, None)? {
            placed.map_err(|broken| broken.to_string())?;
            read += 1;
        }
        println!(
            "{producers:>5} producers: {write_rate:>8.0} records/s durable, {:>8.0} lines/s verified",
            rate(read, started.elapsed())
        );
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn record() -> Result<DecisionRecord, Failure> {
    let tls = Candidate {
        method: Method::Tls,
        verdict: Verdict::Accepted,
    };
    let hash: Arc<str> = "0123456789abcdef0123456789abcdef".into();
    let decision = Decision::base(
        Level::Protected,
        vec![tls],
        Course::Send(Method::Tls),
        Arc::clone(&hash),
    );
    Ok(DecisionRecord {
        time: NOON,
        queue_id: MessageId::new(1 << 60),
        sender: ReversePath::Address(Address::parse("billing@clinic.example")?),
        policy: CitedPolicy {
            hash,
            source: "{}".into(),
        },
        decided: vec![Decided {
            recipients: vec![Address::parse("someone@partner.example")?],
            decision: Arc::new(decision),
        }],
        facts: SecretBytes::new(vec![b'x'; FACTS_OCTETS]),
    })
}
