//! How near the spool comes to what the disk can do: durable accepts a second of sealed 10 KB
//! messages, against bare appends of the same octets with one `fdatasync` per batch.
//!
//! Both run here, in turns, on the same volume (the directory given as the argument, else the
//! target's temporary directory); the median of the ratios is what counts, not the rates. The bare
//! loop groups what its producers have ready as the spool does, seals nothing, frames nothing and
//! writes into blocks that exist. Finite: a few seconds a row.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealpost::journal::{MasterKey, SEGMENT_OCTETS};
use sealpost::mail::{Address, Envelope, MessageClass, ReversePath, Timestamp};
use sealpost::spool::{Change, Spool, SpoolOptions, StagedBody};
use sealpost::world::clock::Clock;
use tokio::sync::{mpsc, oneshot};

const BODY_OCTETS: usize = 10_000;
const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_millis(1200);
/// What the bare loop takes in one batch at most, as the journal does.
const BATCH_OCTETS: usize = 8 * 1024 * 1024;
/// The bare loop's file, with its blocks written; it goes round.
const FILE_OCTETS: u64 = 4 * SEGMENT_OCTETS;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    let given = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let base = given.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let runtime = tokio::runtime::Runtime::new()?;
    println!("10 KB messages, durable a second; median of {ROUNDS} interleaved rounds");
    for producers in [1, 100] {
        let (mut bare, mut spool, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut per_flush = Vec::new();
        for _ in 0..ROUNDS {
            let directory = tempfile::tempdir_in(&base)?;
            let limit = runtime.block_on(bare_append(directory.path(), producers))?;
            let rate = runtime.block_on(accept(directory.path(), producers))?;
            bare.push(limit.rate);
            per_flush.push(limit.per_flush);
            spool.push(rate);
            ratios.push(rate / limit.rate);
        }
        println!(
            "{producers:>4} producers: bare append {:>8.0}/s ({:.1} a flush), spool {:>8.0}/s, ratio {:.2}",
            median(&mut bare),
            median(&mut per_flush),
            median(&mut spool),
            median(&mut ratios),
        );
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Runs `producers` until the time is up; returns how much was done a second.
async fn drive<F, W>(producers: usize, produce: F) -> Result<f64, Failure>
where
    F: Fn() -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let started = now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (stop, count, produce) = (Arc::clone(&stop), Arc::clone(&count), produce.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    produce().await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    tokio::time::sleep(RUN).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let done = u32::try_from(count.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

async fn accept(directory: &Path, producers: usize) -> Result<f64, Failure> {
    let options = SpoolOptions {
        directory: directory.join("spool"),
        master_key: MasterKey::from_base64(&MasterKey::generate()?)?,
        segment_octets: SEGMENT_OCTETS,
    };
    let clock = Clock::system();
    let (spool, _) = tokio::task::spawn_blocking(move || Spool::open(options, clock)).await??;
    let template = Envelope {
        id: spool.next_id(),
        class: MessageClass::Submitted,
        reverse_path: ReversePath::Null,
        recipients: vec![Address::parse("someone@example.test")?],
        author: None,
        message_id: "<1@example.test>".to_owned(),
        client: None,
        received: Timestamp::from_secs(1),
        size: BODY_OCTETS as u64,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    };
    let producer = spool.clone();
    let rate = drive(producers, move || {
        let (spool, mut envelope) = (producer.clone(), template.clone());
        async move {
            envelope.id = spool.next_id();
            let change = Change::Accept {
                envelope: Arc::new(envelope),
                body: StagedBody::from_bytes(vec![b'x'; BODY_OCTETS]),
            };
            Ok(spool.commit(vec![change]).await?)
        }
    })
    .await?;
    spool.close().await;
    Ok(rate)
}

struct Limit {
    rate: f64,
    per_flush: f64,
}

type Item = (Vec<u8>, oneshot::Sender<()>);

async fn bare_append(directory: &Path, producers: usize) -> Result<Limit, Failure> {
    let path: PathBuf = directory.join("bare");
    let (sender, receiver) = mpsc::channel::<Item>(4096);
    let writer = std::thread::spawn(move || append(&path, receiver));
    let rate = drive(producers, {
        let sender = sender.clone();
        move || {
            let sender = sender.clone();
            async move {
                let (done, durable) = oneshot::channel();
                sender.send((vec![b'x'; BODY_OCTETS], done)).await?;
                Ok(durable.await?)
            }
        }
    })
    .await?;
    drop(sender);
    let (records, flushes) = writer.join().map_err(|_| "the bare writer panicked")??;
    let per_flush = f64::from(records) / f64::from(flushes.max(1));
    Ok(Limit { rate, per_flush })
}

/// The physical limit: append what waits, one write, one `fdatasync`, tell everybody.
fn append(path: &Path, mut items: mpsc::Receiver<Item>) -> std::io::Result<(u32, u32)> {
    let file = File::create(path)?;
    let zeros = vec![0; 1024 * 1024];
    let mut offset = 0;
    while offset < FILE_OCTETS {
        file.write_all_at(&zeros, offset)?;
        offset += zeros.len() as u64;
    }
    file.sync_all()?;
    offset = 0;
    let (mut records, mut flushes) = (0, 0);
    let mut batch = Vec::with_capacity(BATCH_OCTETS);
    while let Some((first, done)) = items.blocking_recv() {
        batch.clear();
        batch.extend_from_slice(&first);
        let mut waiting = vec![done];
        while batch.len() + BODY_OCTETS <= BATCH_OCTETS
            && let Ok((next, done)) = items.try_recv()
        {
            batch.extend_from_slice(&next);
            waiting.push(done);
        }
        if offset + batch.len() as u64 > FILE_OCTETS {
            offset = 0;
        }
        file.write_all_at(&batch, offset)?;
        file.sync_data()?;
        offset += batch.len() as u64;
        records += u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        flushes += 1;
        for done in waiting {
            if done.send(()).is_err() {
                return Err(std::io::Error::other("a producer stopped waiting"));
            }
        }
    }
    Ok((records, flushes))
}
