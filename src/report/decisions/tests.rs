//! The records under a crash, a thief, a calendar and a crowd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::journal::MasterKey;
use crate::mail::{Address, Candidate, Course, Decision, Level, Method, Verdict};

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const OTHER_KEY: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
/// Noon of 2026-11-22.
const NOON: Timestamp = Timestamp::from_secs(1_795_348_800);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECRET: &str = "Biopsy result of a patient";

fn key() -> MasterKey {
    MasterKey::from_base64(KEY).unwrap()
}

fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        master_key: key(),
        retention: 30 * DAY,
    }
}

fn open(directory: &Path, now: Timestamp) -> (Decisions, Recovery) {
    Decisions::open(options(directory), now).unwrap()
}

fn cited(name: &str) -> CitedPolicy {
    CitedPolicy {
        hash: name.into(),
        source: format!("{{\"name\":\"{name}\"}}").into(),
    }
}

fn record(number: u64, time: Timestamp) -> DecisionRecord {
    let tls = Candidate {
        method: Method::Tls,
        verdict: Verdict::Accepted,
    };
    let policy = cited("p1");
    let decision = Decision::base(
        Level::Protected,
        vec![tls],
        Course::Send(Method::Tls),
        Arc::clone(&policy.hash),
    );
    let to = |who: &str| Address::parse(&format!("{who}{number}@partner.example")).unwrap();
    DecisionRecord {
        time,
        queue_id: MessageId::new(number),
        sender: ReversePath::Address(Address::parse("lab@clinic.example").unwrap()),
        policy,
        decided: vec![Decided {
            recipients: vec![to("ann"), to("bob")],
            decision: Arc::new(decision),
        }],
        facts: SecretBytes::new(format!("{{\"subject\":\"{SECRET} {number}\"}}").into_bytes()),
    }
}

fn read(directory: &Path) -> Vec<Result<reader::Placed, Broken>> {
    Reader::open(directory, Some(key()), None, None)
        .unwrap()
        .collect()
}

/// The queue ids of the decisions; every line must be good.
fn ids(directory: &Path) -> Vec<u64> {
    let entries = read(directory).into_iter().map(|placed| {
        let placed = placed.unwrap_or_else(|broken| panic!("{broken}"));
        placed.entry
    });
    entries
        .filter_map(|entry| match entry.kind {
            Kind::Decision { queue_id, .. } => Some(queue_id.get()),
            Kind::Begin { .. } | Kind::Policy { .. } | Kind::Cut { .. } => None,
        })
        .collect()
}

fn broken(directory: &Path) -> Vec<Broken> {
    read(directory)
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Records decisions `from..to` at `time`, then closes.
async fn write(directory: &Path, numbers: std::ops::Range<u64>, time: Timestamp) -> Recovery {
    let (decisions, recovery) = open(directory, time);
    for number in numbers {
        decisions.record(record(number, time)).await.unwrap();
    }
    decisions.close();
    recovery
}

fn newest(directory: &Path) -> PathBuf {
    file::list(directory).unwrap().pop().unwrap().1
}

#[tokio::test]
async fn what_is_recorded_comes_back_with_its_policy_and_its_facts() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("decisions");
    write(&directory, 1..4, NOON).await;
    let path = directory.join("2026-11-22.jsonl");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("Biopsy"), "content stands in clear");
    let lines = read(&directory);
    assert_eq!(
        lines.len(),
        5,
        "the day and the policy once, then three decisions"
    );
    let first = &lines[1].as_ref().unwrap().entry;
    assert!(
        matches!(&first.kind, Kind::Policy { policy, source } if &**policy == "p1" && source == "{\"name\":\"p1\"}"),
        "{first:?}"
    );
    let second = &lines[2].as_ref().unwrap().entry;
    assert_eq!((second.sequence, second.time), (3, NOON));
    let Kind::Decision {
        queue_id,
        sender,
        decided,
        facts,
        ..
    } = &second.kind
    else {
        panic!("{second:?}");
    };
    let expected = record(1, NOON);
    assert_eq!(*queue_id, expected.queue_id);
    assert_eq!(sender, "lab@clinic.example");
    assert_eq!(*decided, expected.decided);
    assert_eq!(facts.as_ref().unwrap(), &expected.facts);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart_and_names_the_policy_again() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), 1..3, NOON).await;
    let recovery = write(scratch.path(), 3..5, NOON + Duration::from_secs(5)).await;
    assert_eq!(recovery.last_sequence, 4);
    assert_eq!(recovery.cuts, []);
    assert_eq!(ids(scratch.path()), [1, 2, 3, 4]);
    let sequences: Vec<u64> = read(scratch.path())
        .into_iter()
        .map(|placed| placed.unwrap().entry.sequence)
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn every_record_of_a_crowd_is_durable_when_it_is_told_so() {
    let scratch = tempfile::tempdir().unwrap();
    let (decisions, _) = open(scratch.path(), NOON);
    let mut crowd = tokio::task::JoinSet::new();
    for producer in 0..32_u64 {
        let decisions = decisions.clone();
        let directory = scratch.path().to_owned();
        crowd.spawn(async move {
            for turn in 0..20 {
                let number = producer * 100 + turn;
                decisions.record(record(number, NOON)).await.unwrap();
                if turn == 19 {
                    // Not closed, not flushed: it is in the file already.
                    let text = fs::read_to_string(directory.join("2026-11-22.jsonl")).unwrap();
                    assert!(text.contains(&MessageId::new(number).to_string()));
                }
            }
        });
    }
    crowd.join_all().await;
    decisions.close();
    let mut found = ids(scratch.path());
    found.sort_unstable();
    let mut expected: Vec<u64> = (0..32)
        .flat_map(|p| (0..20).map(move |t| p * 100 + t))
        .collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_new_day_is_a_new_file_of_the_same_chain_and_old_ones_go() {
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        retention: 2 * DAY,
        ..options(scratch.path())
    };
    let (decisions, _) = Decisions::open(options, NOON).unwrap();
    let names = || -> Vec<String> {
        let files = file::list(scratch.path()).unwrap();
        files.into_iter().map(|(day, _)| day.file_name()).collect()
    };
    for day in 0..3 {
        decisions
            .record(record(day.into(), NOON + day * DAY))
            .await
            .unwrap();
    }
    assert_eq!(
        names(),
        ["2026-11-22.jsonl", "2026-11-23.jsonl", "2026-11-24.jsonl"]
    );
    // Noon of the 25th: the 22nd ended 60 hours ago.
    decisions.record(record(3, NOON + 3 * DAY)).await.unwrap();
    assert_eq!(
        names(),
        ["2026-11-23.jsonl", "2026-11-24.jsonl", "2026-11-25.jsonl"]
    );
    // A clock that went back writes on in the newest file.
    decisions.record(record(4, NOON)).await.unwrap();
    decisions.close();
    assert_eq!(ids(scratch.path()), [1, 2, 3, 4], "the rest verifies");
    // A long pause: all but the newest go at the start.
    let (decisions, recovery) = open(scratch.path(), NOON + 90 * DAY);
    assert_eq!(recovery.removed, ["2026-11-23.jsonl", "2026-11-24.jsonl"]);
    assert_eq!(names(), ["2026-11-25.jsonl"]);
    decisions.record(record(5, NOON + 90 * DAY)).await.unwrap();
    decisions.close();
    assert_eq!(ids(scratch.path()), [5], "and the chain went on from it");
}

#[tokio::test]
async fn a_clock_that_leaps_does_not_take_the_records_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    let options = || Options {
        retention: 365 * DAY,
        ..options(scratch.path())
    };
    let (decisions, _) = Decisions::open(options(), NOON).unwrap();
    for day in 0..3 {
        let record = record(day.into(), NOON + day * DAY);
        decisions.record(record).await.unwrap();
    }
    // Ten years ahead, while it runs and at a start.
    let leap = NOON + 3650 * DAY;
    decisions.record(record(3, leap)).await.unwrap();
    decisions.close();
    let (decisions, recovery) = Decisions::open(options(), leap).unwrap();
    assert_eq!(recovery.removed, [""; 0]);
    decisions.close();
    assert_eq!(ids(scratch.path()), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_torn_end_is_cut_off_kept_and_told() {
    // Cut anywhere in the last line, or followed by what a crash may leave.
    for (cut, garbage) in [
        (1, &b""[..]),
        (40, b""),
        (300, b""),
        (0, b"\0\0\0\0"),
        (0, b"{\"sequence\":7,"),
        (0, b"\0\0\0\n\0\0{}\n"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        write(scratch.path(), 1..4, NOON).await;
        let path = newest(scratch.path());
        let mut text = fs::read(&path).unwrap();
        text.truncate(text.len() - cut);
        text.extend_from_slice(garbage);
        fs::write(&path, &text).unwrap();
        let recovery = write(scratch.path(), 8..10, NOON).await;
        let [cut_off] = &recovery.cuts[..] else {
            panic!("{recovery:?}");
        };
        assert_eq!(
            fs::read(&cut_off.kept).unwrap().len() as u64,
            cut_off.octets
        );
        let survived = if cut == 0 {
            vec![1, 2, 3, 8, 9]
        } else {
            vec![1, 2, 8, 9]
        };
        assert_eq!(ids(scratch.path()), survived, "{cut} {garbage:?}");
        let told = read(scratch.path()).into_iter().any(|placed| {
            matches!(placed.unwrap().entry.kind, Kind::Cut { octets, .. } if octets == cut_off.octets)
        });
        assert!(told, "the chain says it");
    }
}

#[tokio::test]
async fn a_torn_first_line_of_a_day_is_cut_off_and_the_day_before_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), 1..3, NOON).await;
    fs::write(scratch.path().join("2026-11-23.jsonl"), b"{\"sequ").unwrap();
    let recovery = write(scratch.path(), 3..4, NOON + DAY).await;
    assert_eq!(
        recovery.last_sequence, 6,
        "two of a day, a policy, two decisions, the cut"
    );
    assert_eq!(ids(scratch.path()), [1, 2, 3]);
}

#[tokio::test]
async fn a_failed_write_is_told_to_all_and_nothing_is_written_after_it() {
    let scratch = tempfile::tempdir().unwrap();
    // Every write to this device fails with "no space left".
    let path = scratch.path().join("2026-11-23.jsonl");
    let (decisions, _) = open(scratch.path(), NOON);
    decisions.record(record(1, NOON)).await.unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let failure = decisions.failure();
    let error = decisions.record(record(2, NOON + DAY)).await.unwrap_err();
    assert!(matches!(error, DecisionsError::Io { .. }), "{error:?}");
    assert!(failure.borrow().is_some(), "the daemon is told");
    fs::remove_file(&path).unwrap();
    let error = decisions.record(record(3, NOON + DAY)).await.unwrap_err();
    assert!(matches!(error, DecisionsError::Failed(_)), "{error:?}");
    decisions.close();
    let error = decisions.record(record(4, NOON)).await.unwrap_err();
    assert!(matches!(error, DecisionsError::Closed), "{error:?}");
    assert_eq!(ids(scratch.path()), [1]);
}

#[tokio::test]
async fn one_writes_at_a_time() {
    let scratch = tempfile::tempdir().unwrap();
    let (decisions, _) = open(scratch.path(), NOON);
    let second = Decisions::open(options(scratch.path()), NOON).unwrap_err();
    assert!(matches!(second, DecisionsError::Locked(_)), "{second:?}");
    decisions.close();
    drop(open(scratch.path(), NOON));
}

#[tokio::test]
async fn a_line_on_its_way_is_no_damage_while_the_daemon_lives() {
    let scratch = tempfile::tempdir().unwrap();
    let (decisions, _) = open(scratch.path(), NOON);
    decisions.record(record(1, NOON)).await.unwrap();
    let path = newest(scratch.path());
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"sequence\":3,\"prev");
    fs::write(&path, &text).unwrap();
    assert_eq!(broken(scratch.path()), []);
    decisions.close();
    let found = broken(scratch.path());
    assert_eq!((found[0].line, &found[0].why), (4, &Why::CutShort));
}

#[tokio::test]
async fn another_key_is_named_as_such() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), 1..2, NOON).await;
    let other = MasterKey::from_base64(OTHER_KEY).unwrap();
    let first = Reader::open(scratch.path(), Some(other), None, None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(first.why, Why::OtherKey(_)), "{first}");
    // Without a key the chain is still checked, and the facts stay closed.
    let blind: Vec<_> = Reader::open(scratch.path(), None, None, None)
        .unwrap()
        .collect();
    assert_eq!(blind.len(), 3);
    for placed in blind {
        if let Kind::Decision { facts, .. } = placed.unwrap().entry.kind {
            assert_eq!(facts, None);
        }
    }
}

#[tokio::test]
async fn a_day_that_is_missing_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let (decisions, _) = open(scratch.path(), NOON);
    for day in 0..3 {
        decisions
            .record(record(day.into(), NOON + day * DAY))
            .await
            .unwrap();
    }
    decisions.close();
    fs::remove_file(scratch.path().join("2026-11-23.jsonl")).unwrap();
    let found = broken(scratch.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].file.ends_with("2026-11-24.jsonl"));
    let expected = Why::Missing {
        from: 4,
        to: 6,
        after: "2026-11-22.jsonl".to_owned(),
    };
    assert_eq!((found[0].line, &found[0].why), (1, &expected));
    // What is too old may be missing: that is retention.
    fs::remove_file(scratch.path().join("2026-11-22.jsonl")).unwrap();
    assert_eq!(broken(scratch.path()), []);
}

#[test]
fn days_are_named_as_people_do() {
    let day = Day::of(NOON);
    assert_eq!(day.to_string(), "2026-11-22");
    assert_eq!(Day::parse("2026-11-22"), Some(day));
    for text in [
        "2026-11-31",
        "2026-1-2",
        "+2026-11-22",
        "",
        "1969-12-31",
        "LOCK",
    ] {
        assert_eq!(Day::parse(text), None, "{text}");
    }
}

/// Eight lines: the day, a policy and six decisions.
fn eight(directory: &Path) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(write(directory, 1..7, NOON));
    let text = fs::read(newest(directory)).unwrap();
    text.split_inclusive(|octet| *octet == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

#[derive(Debug, Clone)]
enum Attack {
    Flip { octet: prop::sample::Index, bit: u8 },
    Remove,
    Swap,
    Duplicate,
    Truncate(prop::sample::Index),
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(octet, bit)| Attack::Flip { octet, bit }),
        1 => Just(Attack::Remove),
        1 => Just(Attack::Swap),
        1 => Just(Attack::Duplicate),
        2 => any::<prop::sample::Index>().prop_map(Attack::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever one does to one line of a closed file is found, and its place is named: the line
    /// itself, or the one that now stands there or behind it.
    #[test]
    fn whatever_is_done_to_a_line_is_found_and_named(at in 0..8_usize, attack in attack()) {
        let scratch = tempfile::tempdir().unwrap();
        let mut lines = eight(scratch.path());
        let last = lines.len() - 1;
        match &attack {
            Attack::Flip { octet, bit } => {
                let place = octet.index(lines[at].len());
                lines[at][place] ^= 1 << bit;
            }
            // Nobody can see that the newest line is gone.
            Attack::Remove if at == last => return Ok(()),
            Attack::Remove => drop(lines.remove(at)),
            Attack::Swap => lines.swap(at.min(last - 1), at.min(last - 1) + 1),
            Attack::Duplicate => lines.insert(at, lines[at].clone()),
            Attack::Truncate(keep) => {
                let keep = keep.index(lines[at].len());
                prop_assume!(keep > 0 || at != last);
                lines[at].truncate(keep);
            }
        }
        fs::write(newest(scratch.path()), lines.concat()).unwrap();
        let found = broken(scratch.path());
        prop_assert!(!found.is_empty(), "{attack:?} at {at} was not seen");
        let named = usize::try_from(found[0].line).unwrap();
        let first = if matches!(attack, Attack::Swap) { at.min(last - 1) } else { at };
        prop_assert!(
            (first + 1..=first + 2).contains(&named),
            "{attack:?} at line {} was named as line {named}: {}", first + 1, found[0]
        );
    }
}
