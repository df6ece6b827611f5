//! Segments go when nothing in them lives, and not before.

use super::super::*;
use super::support::*;
use crate::tables::Tables;

/// Numbers of the segments that exist, once the keeper has done what it was asked.
async fn segments(spool: &Spool, directory: &std::path::Path) -> Vec<u64> {
    keeper_rests(spool).await;
    let mut numbers: Vec<u64> = std::fs::read_dir(directory.join("log"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let number = name.strip_prefix("seg-")?.strip_suffix(".spj")?;
            u64::from_str_radix(number, 16).ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

async fn fill_segments(spool: &Spool, count: u64) {
    for n in 0..count * 6 {
        let id = spool.next_id();
        let changes = vec![accept(id, 1, body(n, 50_000)), Change::Done { id }];
        spool.commit(changes).await.unwrap();
    }
}

#[tokio::test]
async fn a_live_message_keeps_its_segment_and_what_follows() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    spool
        .commit(vec![accept(id, 2, body(1, 10))])
        .await
        .unwrap();
    spool.commit(vec![state(id, 1, 5)]).await.unwrap();
    fill_segments(&spool, 4).await;
    let before = segments(&spool, directory.path()).await;
    assert_eq!(before[0], 1);
    assert!(before.len() > 4, "{before:?}");
    drop(spool);

    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages.len(), 1);
    assert_eq!(recovery.messages[0].recipients[1], record(5));
    assert!(recovery.report.is_sound());
    assert_eq!(segments(&spool, directory.path()).await[0], 1);
    assert_eq!(read(&spool, id).await, body(1, 10));
    spool.commit(vec![Change::Done { id }]).await.unwrap();
    fill_segments(&spool, 1).await;
    let after = segments(&spool, directory.path()).await;
    // What is left is the one being written, and the one that is ready to be next.
    assert!(after.len() <= 3 && after[0] > 4, "{after:?}");
    drop(spool);

    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages, []);
    assert!(recovery.report.is_sound(), "{:?}", recovery.report);
    assert!(spool.next_id() > id);
}

/// Tables share the segments with mail: their rows wait beside a message that is held, and are
/// carried on when it has gone.
#[tokio::test]
async fn rows_of_tables_keep_no_more_than_a_few_segments() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let tables = Tables::open(spool.journal()).unwrap();
    let table = tables.table::<u64>("rows").unwrap();
    let held = spool.next_id();
    let content = vec![accept(held, 1, body(1, 10))];
    spool.commit(content).await.unwrap();
    for row in 0..100 {
        table.put(&[row], &u64::from(row)).await.unwrap();
    }
    fill_segments(&spool, 6).await;
    let before = segments(&spool, directory.path()).await;
    assert!(before[0] == 1 && before.len() >= 7, "{before:?}");
    drop((spool, tables, table));

    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages.len(), 1);
    let tables = Tables::open(spool.journal()).unwrap();
    let table = tables.table::<u64>("rows").unwrap();
    assert_eq!(segments(&spool, directory.path()).await[0], 1);
    spool.commit(vec![Change::Done { id: held }]).await.unwrap();
    // The rows go on with the next batches, and then the segments behind them go.
    fill_segments(&spool, 2).await;
    let after = segments(&spool, directory.path()).await;
    assert!(after[0] > 5 && after.len() <= 7, "{after:?}");
    let written = *after.last().unwrap();
    for _ in 0..3 {
        let id = spool.next_id();
        let changes = vec![accept(id, 1, body(1, 10)), Change::Done { id }];
        spool.commit(changes).await.unwrap();
        let now = segments(&spool, directory.path()).await;
        assert!(*now.last().unwrap() <= written + 1, "{now:?}");
    }
    drop((spool, tables, table));

    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages, []);
    let table = Tables::open(spool.journal()).unwrap();
    let table = table.table::<u64>("rows").unwrap();
    let rows = table.rows().unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|(key, value)| u64::from(key[0]) == *value));
}

#[tokio::test]
async fn segments_are_prepared_ahead_with_all_their_blocks() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    assert_eq!(segments(&spool, directory.path()).await, [1, 2]);
    let (mut ready, mut prepared) = (0, 0);
    for entry in std::fs::read_dir(directory.path().join("log")).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        assert_eq!(about.len(), SEGMENT);
        prepared += u64::from(about.blocks() * 512 >= SEGMENT);
        ready += u64::from(entry.file_name().to_string_lossy().starts_with("ready-"));
    }
    assert_eq!((ready, prepared), (2, 4));
}

#[tokio::test]
async fn files_of_another_size_are_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    spool
        .commit(vec![accept(id, 1, body(1, 10))])
        .await
        .unwrap();
    spool.close().await;
    let larger = SpoolOptions {
        segment_octets: 4 * SEGMENT,
        ..options(directory.path())
    };
    let (spool, recovery) = Spool::open(larger, clock()).unwrap();
    assert_eq!(recovery.messages.len(), 1);
    let large = spool.next_id();
    let content = body(2, usize::try_from(2 * SEGMENT).unwrap());
    let soon = spool.commit_soon(vec![accept(large, 1, content.clone())]);
    soon.await.unwrap();
    assert!(read(&spool, large).await == content);
    assert_eq!(read(&spool, id).await, body(1, 10));
}

#[test]
fn impossible_segment_sizes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for segment_octets in [0, 4096, 65536 + 1, 2 * 1024 * 1024 * 1024] {
        let options = SpoolOptions {
            segment_octets,
            ..options(directory.path())
        };
        let error = Spool::open(options, clock()).unwrap_err();
        assert!(matches!(
            error,
            SpoolError::Journal(JournalError::SegmentSize(_))
        ));
    }
}

/// A segment once went between the end of the scan and the pinning of what the scan had found.
#[tokio::test]
async fn nothing_goes_before_everything_that_lives_is_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    spool
        .commit(vec![accept(id, 1, body(1, 10))])
        .await
        .unwrap();
    fill_segments(&spool, 2).await;
    drop(spool);
    let options = journal::Options {
        directory: directory.path().to_path_buf(),
        master_key: key(1),
        segment_octets: SEGMENT,
        disk: Arc::new(OsDisk),
        clock: clock(),
        on_failure: Arc::new(|error| panic!("{error}")),
    };
    let journal = Journal::open(options, &mut |_, _| {}).unwrap().journal;
    let first = directory.path().join("log/seg-0000000000000001.spj");
    // Even if something else asks: a pin that comes and goes.
    drop(journal.pins().pin(1));
    let (done, waits) = tokio::sync::oneshot::channel();
    journal.later(move || done.send(()).unwrap());
    waits.await.unwrap();
    assert!(first.exists());
    journal.all_pinned();
    journal.close();
    assert!(!first.exists());
}
