//! When rows are carried forward, and when they are left where they lie.

use tokio::task::JoinSet;

use super::*;
use crate::tables::carry::{SLACK_SEGMENTS, TIMES_LIVE};

/// Octets of the values of these tests.
const VALUE: usize = 1000;

/// The keeper does what it was asked so far, and the writer what it was given.
async fn round(journal: &Journal) {
    let (done, waits) = tokio::sync::oneshot::channel();
    journal.later(move || done.send(()).unwrap());
    waits.await.unwrap();
    let nothing = Box::new(|_: &[Position]| {});
    let receipt = journal.line().submit(Vec::new(), None, nothing);
    receipt.durable().await.unwrap();
}

/// Goes on until nothing moves; whether that is ever so.
async fn comes_to_rest(journal: &Journal) -> bool {
    let (mut before, mut same) = (Vec::new(), 0);
    for _ in 0..400 {
        round(journal).await;
        let now = segments(journal.directory());
        same = if now == before { same + 1 } else { 0 };
        if same == 4 {
            return true;
        }
        before = now;
    }
    false
}

fn number(name: &str) -> u64 {
    let hex = name.strip_prefix("seg-").unwrap();
    u64::from_str_radix(hex.strip_suffix(".spj").unwrap(), 16).unwrap()
}

fn highest(journal: &Journal) -> u64 {
    number(segments(journal.directory()).last().unwrap())
}

fn lowest(journal: &Journal) -> u64 {
    number(segments(journal.directory()).first().unwrap())
}

fn live_octets(tables: &Tables) -> u64 {
    tables.inner.view().live_octets()
}

/// Octets of the segments, but for the one that is written to and the one that is ready.
fn left_octets(journal: &Journal) -> u64 {
    (segments(journal.directory()).len() as u64).saturating_sub(2) * SEGMENT
}

fn bound(tables: &Tables) -> u64 {
    TIMES_LIVE * live_octets(tables) + SLACK_SEGMENTS * SEGMENT
}

/// Puts rows with the same value, all at once.
async fn put_all(table: &Table<Vec<u8>>, keys: impl Iterator<Item = u32>, value: u8) {
    let mut puts = JoinSet::new();
    for key in keys {
        let table = table.clone();
        puts.spawn(async move {
            let value = vec![value; VALUE];
            table.put(&key.to_be_bytes(), &value).await.unwrap();
        });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap();
    }
}

#[tokio::test]
async fn rows_of_many_segments_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    put_all(&table, 0..400, 1).await;
    assert!(live_octets(&tables) > 5 * SEGMENT);
    assert!(comes_to_rest(&journal).await); // the next segment is named
    let written = highest(&journal);
    for _ in 0..30 {
        round(&journal).await;
        assert_eq!(highest(&journal), written);
    }
    drop((journal, tables, table));
    // Nor does a start begin it.
    let (journal, tables) = open(directory.path());
    for _ in 0..30 {
        round(&journal).await;
        assert!(highest(&journal) <= written);
    }
    assert_eq!(tables.table::<Vec<u8>>("rows").unwrap().len(), 400);
}

#[tokio::test]
async fn the_disk_and_what_is_written_to_it_are_bounded() {
    const ROWS: u32 = 200;
    const BURSTS: u32 = 40;
    const BURST: u32 = 50;
    // Each burst's rows: one again and again, all in turn, any, and some of few.
    let patterns: [fn(u32) -> u32; 4] = [
        |_| 7,
        |n| n % ROWS,
        |n| n.wrapping_mul(2_654_435_761) >> 8 & 0x7fff_ffff,
        |n| n.wrapping_mul(2_654_435_761) % 20,
    ];
    for (case, pattern) in patterns.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, tables) = open(directory.path());
        let table = tables.table::<Vec<u8>>("rows").unwrap();
        put_all(&table, 0..ROWS, 0).await;
        let record = live_octets(&tables) / u64::from(ROWS);
        for burst in 0..BURSTS {
            let keys = (burst * BURST..(burst + 1) * BURST).map(|n| pattern(n) % ROWS);
            put_all(&table, keys, 1).await;
            round(&journal).await;
            // One step with each burst: not more than the rows themselves besides.
            let left = left_octets(&journal);
            let most = bound(&tables) + live_octets(&tables) + 2 * SEGMENT;
            assert!(left <= most, "{case}: {left} > {most}");
        }
        assert!(comes_to_rest(&journal).await, "{case}");
        assert!(left_octets(&journal) <= bound(&tables), "{case}");
        assert!(lowest(&journal) > 10, "{case}");
        let put = u64::from(ROWS + BURSTS * BURST) * record;
        let written = highest(&journal) * SEGMENT;
        assert!(written <= put * 2, "{case}: {written} for {put}");
        assert_eq!(table.len(), 200);
        assert_eq!(live_octets(&tables), u64::from(ROWS) * record);
    }
}

#[tokio::test]
async fn room_is_given_back_when_most_rows_go() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    put_all(&table, 0..1000, 1).await;
    let before = segments(directory.path()).len();
    for key in (0..1000u32).filter(|key| key % 20 != 0) {
        drop(table.delete(&key.to_be_bytes()).await);
    }
    assert!(comes_to_rest(&journal).await);
    let after = segments(directory.path()).len();
    assert!(before > 15 && after <= 7, "{before} {after}");
    assert!(left_octets(&journal) <= bound(&tables));
    drop((journal, tables, table));
    let (_journal, tables) = open(directory.path());
    let rows = tables.table::<Vec<u8>>("rows").unwrap().rows().unwrap();
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|(_, value)| *value == vec![1; VALUE]));
}

#[tokio::test]
async fn rows_beside_something_that_stays_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    put_all(&table, 0..20, 1).await;
    let message = journal.pins().pin(1);
    fill(&journal, 8).await;
    assert!(comes_to_rest(&journal).await);
    // To carry them would free nothing.
    let lie_in = |segment| tables.inner.view().rows_in(segment, 100, u64::MAX).len();
    assert_eq!((lowest(&journal), lie_in(1)), (1, 20));
    let written = highest(&journal);
    drop(message);
    assert!(comes_to_rest(&journal).await);
    assert_eq!(lie_in(1), 0);
    assert!(lowest(&journal) > 6);
    assert!(highest(&journal) <= written + 1);
    assert_eq!(table.len(), 20);
}

#[tokio::test]
async fn more_than_a_step_is_carried_in_steps() {
    let directory = tempfile::tempdir().unwrap();
    let mut large = options(directory.path());
    large.segment_octets = 32 * SEGMENT;
    let journal = Journal::open(large, &mut |_, _| {}).unwrap().journal;
    let tables = Tables::open(&journal).unwrap();
    journal.all_pinned();
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    for part in 0..3 {
        put_all(&table, part * 500..(part + 1) * 500, 1).await;
    }
    let lie_in = |segment| tables.inner.view().rows_in(segment, 9999, u64::MAX).len();
    assert_eq!(lie_in(1), 1500);
    // Five segments of what nobody needs, and while that is carried, some of it changes.
    let mut seen = Vec::new();
    for n in 0..5 * 32 {
        fill(&journal, 1).await;
        put_all(&table, n..n + 1, 2).await;
        seen.push(lie_in(1));
    }
    assert!(
        seen.iter().any(|&rows| (1..=1400).contains(&rows)),
        "{seen:?}"
    );
    assert!(comes_to_rest(&journal).await);
    assert!(lowest(&journal) > 1);
    let rows = table.rows().unwrap();
    assert_eq!(rows.len(), 1500);
    for (key, value) in rows {
        let changed = u32::from_be_bytes(key.try_into().unwrap()) < 160;
        assert_eq!(value[0], 1 + u8::from(changed));
    }
}
