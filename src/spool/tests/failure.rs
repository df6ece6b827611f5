//! Batches, flushes, and what happens when the disk says no.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::*;
use super::support::*;

#[tokio::test]
async fn every_acknowledged_batch_has_its_own_fdatasync() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    for n in 1..=20 {
        let id = spool.next_id();
        spool
            .commit(vec![accept(id, 1, body(1, 100))])
            .await
            .unwrap();
        assert_eq!(knobs.syncs.load(Ordering::SeqCst), n);
        assert_eq!(knobs.writes.load(Ordering::SeqCst), n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_share_flushes() {
    const PRODUCERS: u64 = 64;
    const EACH: u64 = 8;
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let spool = spool.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let id = spool.next_id();
                    spool
                        .commit(vec![accept(id, 1, body(1, 100))])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let syncs = knobs.syncs.load(Ordering::SeqCst);
    // Each producer waits for each of its flushes, so there are at least as many as it commits;
    // and at least two of 64 that wait at once share one.
    assert!((EACH..PRODUCERS * EACH).contains(&syncs), "{syncs} flushes");
}

#[tokio::test]
async fn what_can_wait_is_flushed_without_company() {
    let (directory, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (spool, knobs) = open_knobs(directory.path());
    let id = spool.next_id();
    // Queued at the call: nobody polls the future before the record is on the disk.
    let soon = spool.commit_soon(vec![accept(id, 1, body(1, 100))]);
    while knobs.syncs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    soon.await.unwrap();
    assert_eq!(knobs.syncs.load(Ordering::SeqCst), 1);
    copy(directory.path(), killed.path());
    assert_eq!(open(killed.path()).1.messages.len(), 1);
}

#[tokio::test]
async fn what_can_wait_rides_with_what_cannot_and_keeps_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    spool
        .commit(vec![accept(id, 1, body(1, 10))])
        .await
        .unwrap();
    for seed in 0..50 {
        let soon = spool.commit_soon(vec![state(id, 0, seed)]);
        spool.commit(vec![state(id, 0, 1000 + seed)]).await.unwrap();
        // Whoever was in line before is durable, too.
        tokio::time::timeout(Duration::from_secs(60), soon)
            .await
            .unwrap()
            .unwrap();
    }
    spool.close().await;
    let (_spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages[0].recipients, [record(1049)]);
}

#[tokio::test]
async fn a_commit_nobody_waits_for_is_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let (id, other) = (spool.next_id(), spool.next_id());
    {
        let mut commit = Box::pin(spool.commit(vec![accept(id, 1, body(1, 100))]));
        // The first poll queues it; a connection that goes away drops it like this.
        let once = std::future::poll_fn(|context| {
            std::task::Poll::Ready(commit.as_mut().poll(context).is_pending())
        });
        once.await;
    }
    spool
        .commit(vec![accept(other, 1, body(1, 9))])
        .await
        .unwrap();
    assert_eq!(read(&spool, id).await, body(1, 100));
}

async fn fails_for_good(spoil: impl Fn(&Knobs)) {
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    let kept = spool.next_id();
    spool
        .commit(vec![accept(kept, 1, body(1, 100))])
        .await
        .unwrap();
    let mut failure = spool.failure();
    assert!(failure.borrow().is_none());
    spoil(&knobs);
    let waiters: Vec<_> = (0..10)
        .map(|_| spool.commit_soon(vec![accept(spool.next_id(), 1, body(2, 10))]))
        .collect();
    let lost = spool.next_id();
    assert!(
        spool
            .commit(vec![accept(lost, 1, body(2, 10))])
            .await
            .is_err()
    );
    for waiter in waiters {
        let error = waiter.await.unwrap_err();
        assert!(matches!(
            error,
            SpoolError::Journal(JournalError::Failed(_))
        ));
    }
    failure.wait_for(Option::is_some).await.unwrap();
    assert!(spool.content(lost).open().await.is_err());

    // The disk is well again; the descriptor is not trusted again.
    knobs.fail_sync.store(false, Ordering::SeqCst);
    knobs.fail_write.store(false, Ordering::SeqCst);
    let (writes, syncs) = (
        knobs.writes.load(Ordering::SeqCst),
        knobs.syncs.load(Ordering::SeqCst),
    );
    let refused = spool.commit(vec![state(kept, 0, 1)]).await;
    assert!(matches!(
        refused,
        Err(SpoolError::Journal(JournalError::Failed(_)))
    ));
    assert!(spool.commit_soon(vec![state(kept, 0, 1)]).await.is_err());
    assert_eq!(read(&spool, kept).await, body(1, 100));
    spool.close().await;
    assert_eq!(knobs.writes.load(Ordering::SeqCst), writes);
    assert_eq!(knobs.syncs.load(Ordering::SeqCst), syncs);

    let (_spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages[0].envelope, envelope(kept, 1));
}

#[tokio::test]
async fn a_failed_fdatasync_is_final() {
    fails_for_good(|knobs| knobs.fail_sync.store(true, Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_failed_write_is_final() {
    fails_for_good(|knobs| knobs.fail_write.store(true, Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_closed_spool_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let other = spool.clone();
    let soon = spool.commit_soon(vec![accept(spool.next_id(), 1, body(2, 10))]);
    spool.close().await;
    soon.await.unwrap();
    let id = other.next_id();
    let refused = other.commit(vec![accept(id, 1, body(1, 1))]).await;
    assert!(matches!(
        refused,
        Err(SpoolError::Journal(JournalError::Closed))
    ));
    // The lock is gone with the threads, whoever still holds a clone.
    assert_eq!(open(directory.path()).1.messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_volume_is_noticed_and_left_behind() {
    const GIB: u64 = 1024 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    let set = |octets| knobs.available.store(octets, Ordering::SeqCst);
    set(GIB);
    assert!(spool.free_space().is_ok());
    set(GIB - 1);
    assert!(spool.free_space().is_ok(), "an answer holds for a second");
    tokio::time::advance(space::SAMPLE_EVERY).await;
    assert!(matches!(spool.free_space(), Err(SpoolError::Full)));
    set(GIB + GIB / 4);
    tokio::time::advance(space::SAMPLE_EVERY).await;
    assert!(matches!(spool.free_space(), Err(SpoolError::Full)));
    set(GIB + GIB / 2);
    tokio::time::advance(space::SAMPLE_EVERY).await;
    assert!(spool.free_space().is_ok());
}

#[tokio::test]
async fn a_second_instance_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let error = Spool::open(options(directory.path()), clock()).unwrap_err();
    assert!(matches!(error, SpoolError::Locked(_)));
    drop(spool);
    assert!(Spool::open(options(directory.path()), clock()).is_ok());
}

#[tokio::test]
async fn a_full_volume_is_survived_for_as_long_as_segments_are_ready() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    let mut accepted = Vec::new();
    let mut fill = async |segments: u64| {
        for _ in 0..segments * 5 {
            let id = spool.next_id();
            spool.commit(vec![accept(id, 1, body(1, 50_000))]).await?;
            accepted.push(id);
        }
        Ok::<_, SpoolError>(())
    };
    fill(1).await.unwrap();
    // There is a next segment and there are two prepared files: those are still good.
    keeper_rests(&spool).await;
    knobs.refuse_new.store(true, Ordering::SeqCst);
    fill(2).await.unwrap();
    knobs.refuse_new.store(false, Ordering::SeqCst);
    fill(4).await.unwrap();
    keeper_rests(&spool).await;
    knobs.refuse_new.store(true, Ordering::SeqCst);
    let error = fill(20).await.unwrap_err();
    assert!(matches!(
        error,
        SpoolError::Journal(JournalError::Failed(_))
    ));
    let mut failure = spool.failure();
    failure.wait_for(Option::is_some).await.unwrap();
    spool.close().await;
    let (_spool, recovery) = open(directory.path());
    assert!(recovery.report.is_sound());
    let found = recovery.messages.iter().map(|it| it.envelope.id);
    assert_eq!(found.collect::<Vec<_>>(), accepted);
}

#[tokio::test]
async fn what_ends_on_a_full_volume_does_not_try_to_fill_it() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, knobs) = open_knobs(directory.path());
    let id = spool.next_id();
    spool
        .commit(vec![accept(id, 1, body(1, 50_000))])
        .await
        .unwrap();
    keeper_rests(&spool).await;
    knobs.refuse_new.store(true, Ordering::SeqCst);
    // One of the prepared files is used up, so that there is one to make.
    let refused = || knobs.refused.load(Ordering::SeqCst);
    while refused() == 0 {
        let id = spool.next_id();
        let kept = accept(id, 1, body(1, 50_000));
        spool.commit(vec![kept]).await.unwrap();
        keeper_rests(&spool).await;
    }
    let before = refused();
    for _ in 0..100 {
        spool.journal().pins().look_again();
        keeper_rests(&spool).await;
    }
    assert_eq!(refused(), before);
    spool.close().await;
}

#[tokio::test]
async fn the_queue_is_bounded_and_gives_its_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let line = spool.journal().line().clone();
    let most = usize::try_from(journal::QUEUE_OCTETS).unwrap();
    // More than fits at once goes through in turns.
    let commits = most / 50_000 + 100;
    for _ in 0..commits {
        let id = spool.next_id();
        let changes = vec![accept(id, 1, body(1, 50_000)), Change::Done { id }];
        spool.commit(changes).await.unwrap();
    }
    // All of it is free again, and then none.
    let frames = |count: usize| {
        (0..count)
            .map(|_| journal::Frame::plain(journal::Kind::Done, 1, spool.journal().keys()))
            .collect::<Vec<_>>()
    };
    let all = line.reserve(&frames(most / 64)).await.unwrap();
    let one = frames(1);
    let mut waits = Box::pin(line.reserve(&one));
    let pending = std::future::poll_fn(|context| {
        std::task::Poll::Ready(waits.as_mut().poll(context).is_pending())
    });
    assert!(pending.await);
    drop(all);
    drop(waits.await.unwrap());
}

#[test]
fn a_write_that_was_abandoned_spoils_the_body() {
    // The one thread for what blocks is kept busy, so that the write cannot be ready at once.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    runtime.block_on(async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || released.recv());
        let mut writer = spool.writer(spool.next_id());
        {
            let content = body(1, 300_000);
            let mut write = Box::pin(writer.write(&content));
            let once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(write.as_mut().poll(context).is_pending())
            });
            assert!(once.await);
        }
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert!(writer.write(&body(1, 300_000)).await.is_err());
        assert!(matches!(
            writer.finish().await,
            Err(SpoolError::Interrupted)
        ));
    });
}
