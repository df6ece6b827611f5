//! Rows last, through restarts and through the end of the segments they were written to.

mod carrying;
mod crash;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::journal::{MasterKey, MessageKey, Options, OsDisk};
use crate::mail::Timestamp;
use crate::world::clock::Clock;

const SEGMENT: u64 = 64 * 1024;

fn options(directory: &Path) -> Options {
    let master = "AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg=";
    Options {
        directory: directory.to_path_buf(),
        master_key: MasterKey::from_base64(master).unwrap(),
        segment_octets: SEGMENT,
        disk: Arc::new(OsDisk),
        clock: Clock::starting_at(Timestamp::from_secs(1)),
        on_failure: Arc::new(|error| panic!("{error}")),
    }
}

/// A journal of rows alone, for tests of what is kept in tables.
pub(crate) fn open(directory: &Path) -> (Journal, Tables) {
    let options = options(directory);
    let opened = Journal::open(options, &mut |_, _| {}).unwrap();
    assert_eq!(opened.report.quarantined, []);
    assert_eq!(opened.report.unreadable_rows, 0);
    let tables = Tables::open(&opened.journal).unwrap();
    opened.journal.all_pinned();
    (opened.journal, tables)
}

/// Fills `count` segments with records that nobody needs.
async fn fill(journal: &Journal, count: u64) {
    let key = MessageKey::generate().unwrap();
    for _ in 0..count * 4 {
        let draft = Draft {
            kind: Kind::State,
            flags: 0,
            message: 7,
            clear: &[],
            envelope: &[1; 20_000],
            body: None,
        };
        let frames = vec![draft.seal(journal.keys(), &key).unwrap()];
        let room = journal.line().reserve(&frames).await.unwrap();
        let nothing = Box::new(|_: &[Position]| {});
        let receipt = journal.line().submit(frames, Some(room), nothing);
        receipt.durable().await.unwrap();
    }
}

fn segments(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("seg-"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn rows_come_back_with_the_next_open() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let numbers = tables.table::<u32>("numbers").unwrap();
    let words = tables.table::<String>("words").unwrap();
    for n in 0..10 {
        numbers.put(&[n], &u32::from(n)).await.unwrap();
    }
    numbers.put(&[3], &33).await.unwrap();
    numbers.delete(&[4]).await.unwrap();
    numbers.delete(b"never there").await.unwrap();
    words.put(&[3], &"three".to_owned()).await.unwrap();
    assert_eq!(numbers.get(&[3]).unwrap(), Some(33));
    assert_eq!(numbers.get(&[4]).unwrap(), None);
    let before = numbers.rows().unwrap();
    drop((journal, tables, words, numbers));

    let (_journal, tables) = open(directory.path());
    let numbers = tables.table::<u32>("numbers").unwrap();
    assert_eq!(numbers.rows().unwrap(), before);
    assert_eq!(numbers.len(), 9);
    let words = tables.table::<String>("words").unwrap();
    assert_eq!(words.get(&[3]).unwrap(), Some("three".to_owned()));
    assert!(tables.table::<u32>("none").unwrap().is_empty());
    // Asked for another type, a value is an error and not a guess.
    assert!(
        tables
            .table::<[String; 9]>("words")
            .unwrap()
            .rows()
            .is_err()
    );
}

#[tokio::test]
async fn a_row_that_never_changes_does_not_keep_the_disk_full() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let table = tables.table::<u32>("rows").unwrap();
    table.put(b"still", &1).await.unwrap();
    table.put(b"deleted", &2).await.unwrap();
    table.delete(b"deleted").await.unwrap();
    for _ in 0..8 {
        fill(&journal, 2).await;
    }
    journal.close();
    let left = segments(directory.path());
    assert!(left.len() < 8, "{left:?}");
    drop((journal, tables, table));
    let (journal, tables) = open(directory.path());
    let table = tables.table::<u32>("rows").unwrap();
    assert_eq!(table.rows().unwrap(), [(b"still".to_vec(), 1)]);
    drop(journal);
}

#[tokio::test]
async fn rows_keep_their_segments_until_somebody_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    let table = tables.table::<u32>("rows").unwrap();
    table.put(b"still", &1).await.unwrap();
    journal.close();
    let options = options(directory.path());
    let journal = Journal::open(options, &mut |_, _| {}).unwrap().journal;
    journal.all_pinned();
    fill(&journal, 4).await;
    journal.close();
    drop(journal);
    let (_journal, tables) = open(directory.path());
    let table = tables.table::<u32>("rows").unwrap();
    assert_eq!(table.get(b"still").unwrap(), Some(1));
}

#[tokio::test]
async fn bounds_hold() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, tables) = open(directory.path());
    assert!(tables.table::<u32>("").is_err());
    assert!(
        tables
            .table::<u32>(&"n".repeat(MAX_NAME_OCTETS + 1))
            .is_err()
    );
    let table = tables.table::<Vec<u8>>("rows").unwrap();
    let long = vec![0; MAX_KEY_OCTETS + 1];
    assert!(table.put(&long, &vec![]).await.is_err());
    assert!(table.delete(&long).await.is_err());
    assert!(table.put(b"k", &vec![0; MAX_VALUE_OCTETS]).await.is_err());
    // The largest row there can be fits into the smallest segment.
    let key = vec![1; MAX_KEY_OCTETS];
    let value = vec![1; MAX_VALUE_OCTETS - 8];
    table.put(&key, &value).await.unwrap();
    assert_eq!(table.get(&key).unwrap(), Some(value));
    assert!(matches!(Tables::open(&journal), Err(TableError::Taken)));
}

#[tokio::test]
async fn a_full_table_takes_no_new_row_until_one_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (_journal, tables) = open(directory.path());
    tables.narrow(2);
    let table = tables.table::<u8>("rows").unwrap();
    table.put(b"one", &1).await.unwrap();
    assert!(!table.is_full());
    table.put(b"two", &2).await.unwrap();
    assert!(table.is_full());
    let refused = table.put(b"three", &3).await;
    assert!(matches!(refused, Err(TableError::Full(name)) if name == "rows"));
    // What is there may change, and other tables have room of their own.
    table.put(b"two", &22).await.unwrap();
    let other = tables.table::<u8>("other").unwrap();
    other.put(b"three", &3).await.unwrap();
    table.delete(b"one").await.unwrap();
    table.put(b"three", &3).await.unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Fill,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..6u8).prop_map(Step::Delete),
        2 => Just(Step::Fill),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_table_is_a_map_that_lasts(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let (mut journal, mut tables) = open(directory.path());
            let mut model = BTreeMap::new();
            for step in steps.into_iter().chain([Step::Reopen]) {
                let table = tables.table::<u8>("rows").unwrap();
                match step {
                    Step::Put(key, value) => {
                        table.put(&[key], &value).await.unwrap();
                        model.insert(vec![key], value);
                    }
                    Step::Delete(key) => {
                        table.delete(&[key]).await.unwrap();
                        model.remove(&vec![key]);
                    }
                    Step::Fill => fill(&journal, 2).await,
                    Step::Reopen => {
                        journal.close();
                        (journal, tables) = open(directory.path());
                    }
                }
                let rows: Vec<_> = tables.table::<u8>("rows").unwrap().rows().unwrap();
                assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
                let view = tables.inner.view();
                let counted = (view.live_octets(), view.places().clone());
                assert_eq!(view.recount(), counted);
            }
        });
    }
}
