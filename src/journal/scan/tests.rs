//! Segments with everything that can happen to them.

use proptest::prelude::*;

use super::super::record::{Frame, Position};
use super::*;

const NUMBER: u64 = 5;
const LEN: usize = 16 * 1024;

/// A segment of `LEN` octets with batches of records; a record is its kind and payload length.
struct Built {
    bytes: Vec<u8>,
    records: Vec<Position>,
    end: u64,
}

fn frame(kind: Kind, message: u64, octets: usize) -> Frame {
    let header = Header {
        kind,
        flags: 0,
        segment: 0,
        message,
        envelope_octets: u32::try_from(octets).unwrap(),
        key_id: 1,
        body_octets: 0,
        batch: 0,
        batch_start: 0,
        payload_crc: 0,
    };
    let mut parts = vec![0; HEADER_OCTETS];
    parts.extend((1..=255).cycle().take(octets));
    Frame::new(header, parts)
}

fn build(number: u64, batches: &[&[(Kind, usize)]]) -> Built {
    let mut built = Built {
        bytes: vec![0; LEN],
        records: Vec::new(),
        end: SEGMENT_HEADER_OCTETS,
    };
    let mut message = 100;
    for (batch, records) in batches.iter().enumerate() {
        let start = built.end;
        for &(kind, octets) in *records {
            message += 1;
            let mut frame = frame(kind, message, octets);
            frame.place(number, 10 + batch as u64, start);
            let at = usize::try_from(built.end).unwrap();
            built.bytes[at..at + frame.as_bytes().len()].copy_from_slice(frame.as_bytes());
            built.records.push(Position {
                segment: number,
                offset: built.end,
                octets: frame.octets(),
            });
            built.end += frame.octets();
        }
    }
    built
}

fn offsets(scan: &Scan) -> Vec<u64> {
    scan.records.iter().map(|found| found.offset).collect()
}

fn usual() -> Built {
    build(
        NUMBER,
        &[
            &[(Kind::Pad, 0), (Kind::Accept, 300)],
            &[(Kind::State, 40), (Kind::Done, 0)],
            &[(Kind::Accept, 200), (Kind::State, 33), (Kind::Accept, 90)],
        ],
    )
}

#[test]
fn whole_segments_are_read_whole() {
    let built = usual();
    let all: Vec<u64> = built.records.iter().map(|record| record.offset).collect();
    let found = scan(&built.bytes, NUMBER, true);
    assert_eq!(offsets(&found), all);
    assert_eq!((found.gaps, found.tail), (vec![], Tail::Clean(built.end)));

    let sealed = build(NUMBER, &[&[(Kind::Accept, 300), (Kind::Seal, 0)]]);
    for last in [true, false] {
        let found = scan(&sealed.bytes, NUMBER, last);
        assert_eq!(found.records.len(), 2);
        assert_eq!((found.gaps, found.tail), (vec![], Tail::Sealed));
    }
}

#[test]
fn a_tail_torn_anywhere_loses_its_own_batch_alone() {
    let built = usual();
    let last_batch = built.records[4].offset;
    for torn in last_batch..built.end {
        let whole: Vec<u64> = built
            .records
            .iter()
            .filter(|record| record.offset + record.octets <= torn)
            .map(|record| record.offset)
            .collect();
        let cut = usize::try_from(torn).unwrap();
        let mut zeros = built.bytes.clone();
        zeros[cut..].fill(0);
        let mut garbage = built.bytes.clone();
        garbage[cut..].fill(0xa5);
        let mut flipped = built.bytes.clone();
        flipped[cut] ^= 0x40;
        let truncated = built.bytes[..cut].to_vec();
        for (how, bytes) in [
            ("zeros", zeros),
            ("garbage", garbage),
            ("flipped", flipped),
            ("truncated", truncated),
        ] {
            let found = scan(&bytes, NUMBER, true);
            assert_eq!(found.gaps, [], "{how} from {torn}");
            let found = offsets(&found);
            // Padding is not covered by a checksum: a flip or a cut in it harms nothing.
            assert!(
                found == whole || (found.starts_with(&whole) && padding(&built, torn)),
                "{how} from {torn}: {found:?}, not {whole:?}"
            );
        }
    }
}

/// Whether the octet at `place` is padding.
fn padding(built: &Built, place: u64) -> bool {
    built.records.iter().any(|record| {
        let at = usize::try_from(record.offset).unwrap();
        let header = Header::decode(&built.bytes[at..]).unwrap();
        let end = record.offset + HEADER_OCTETS as u64 + header.payload_octets().unwrap();
        (end..record.offset + record.octets).contains(&place)
    })
}

#[test]
fn what_is_broken_before_the_last_batch_is_corruption() {
    let built = usual();
    // The ACCEPT in the first batch: first its parts, then its header.
    let broken = built.records[1];
    for (place, header) in [(80, true), (3, false)] {
        let mut bytes = built.bytes.clone();
        bytes[usize::try_from(broken.offset).unwrap() + place] ^= 1;
        let found = scan(&bytes, NUMBER, true);
        assert_eq!(found.records.len(), built.records.len() - 1);
        assert_eq!(found.tail, Tail::Clean(built.end));
        assert_eq!(found.gaps.len(), 1);
        let gap = &found.gaps[0];
        assert_eq!(gap.range, broken.offset..broken.offset + broken.octets);
        let message = gap.header.map(|header| (header.kind, header.message));
        assert_eq!(message, header.then_some((Kind::Accept, 102)));
    }
}

#[test]
fn an_earlier_segment_without_its_seal_has_lost_its_end() {
    let built = usual();
    let found = scan(&built.bytes, NUMBER, false);
    assert_eq!(found.records.len(), built.records.len());
    assert_eq!(found.gaps.len(), 1);
    assert_eq!(found.gaps[0].range, built.end..LEN as u64);
}

#[test]
fn nothing_behind_a_seal_counts() {
    let mut built = build(
        NUMBER,
        &[
            &[(Kind::Accept, 30)],
            &[(Kind::Seal, 0)],
            &[(Kind::Accept, 30)],
        ],
    );
    for last in [true, false] {
        let found = scan(&built.bytes, NUMBER, last);
        assert_eq!(found.records.len(), 2);
        assert_eq!((found.gaps, found.tail), (vec![], Tail::Sealed));
    }
    // A seal whose own batch is torn before it does not hide that.
    built = build(NUMBER, &[&[(Kind::Accept, 30), (Kind::Seal, 0)]]);
    built.bytes[4096 + 70] ^= 1;
    let found = scan(&built.bytes, NUMBER, true);
    assert_eq!((found.records, found.tail), (vec![], Tail::Torn(4096)));
}

#[test]
fn stale_octets_of_another_segment_are_no_records() {
    let mut built = build(NUMBER, &[&[(Kind::Accept, 300)]]);
    let stale = usual_of(NUMBER - 1);
    let at = usize::try_from(built.end).unwrap();
    let rest = LEN - at;
    built.bytes[at..].copy_from_slice(&stale.bytes[4096..4096 + rest]);
    let found = scan(&built.bytes, NUMBER, true);
    assert_eq!(found.records.len(), 1);
    assert_eq!(found.tail, Tail::Torn(built.end));
    assert_eq!(scan(&stale.bytes, NUMBER, true).records, []);
}

fn usual_of(number: u64) -> Built {
    build(
        number,
        &[
            &[(Kind::Accept, 300)],
            &[(Kind::Accept, 30), (Kind::Done, 0)],
        ],
    )
}

#[test]
fn lengths_that_lie_are_no_records() {
    let mut header = Header::decode(&usual().bytes[4096 + 64..]).unwrap();
    for (envelope_octets, body_octets) in [
        (u32::MAX, 0),
        (0, u64::MAX),
        (0, u64::MAX - 64),
        (u32::MAX, u64::MAX),
        (0, LEN as u64),
    ] {
        header.envelope_octets = envelope_octets;
        header.body_octets = body_octets;
        header.segment = NUMBER;
        header.batch_start = 4096;
        let mut bytes = vec![0; LEN];
        bytes[4096..4096 + HEADER_OCTETS].copy_from_slice(&header.encode());
        let found = scan(&bytes, NUMBER, true);
        assert_eq!((found.records, found.tail), (vec![], Tail::Torn(4096)));
    }
}

#[test]
fn short_files_are_read_without_a_panic() {
    for octets in [0, 1, 63, 64, 4095, 4096, 4097, 4096 + 63] {
        assert_eq!(check_any_octets(&vec![0; octets], NUMBER), Ok(()));
        assert_eq!(check_any_octets(&vec![b'S'; octets], NUMBER), Ok(()));
    }
}

/// The corpus: what the fuzz target begins with, replayed. `seed-*` are made here (the test says
/// how when one is missing or the format has changed), everything else was found by fuzzing.
#[test]
fn the_corpus_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/journal_recover");
    let whole = build(
        1,
        &[
            &[(Kind::Pad, 0), (Kind::Accept, 60)],
            &[(Kind::State, 12), (Kind::Done, 0)],
            &[(Kind::Table, 20), (Kind::Seal, 0)],
        ],
    );
    let whole = &whole.bytes[4096..usize::try_from(whole.end).unwrap()];
    let mut broken = whole.to_vec();
    broken[64 + 80] ^= 1;
    let seeds = [
        ("seed-whole", whole.to_vec()),
        ("seed-torn", whole[..whole.len() - 70].to_vec()),
        ("seed-broken", broken),
    ];
    for (name, octets) in seeds {
        let stored = std::fs::read(format!("{corpus}/{name}")).unwrap_or_default();
        if stored != octets {
            std::fs::write(format!("{corpus}/{name}.new"), octets).unwrap();
            panic!("{name} is not what the format gives now; compare with {name}.new");
        }
    }
    let mut replayed = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let octets = std::fs::read(&path).unwrap();
        assert_eq!(check_fuzz_input(&octets), Ok(()), "{}", path.display());
        replayed += 1;
    }
    assert!(replayed >= 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What the fuzz target runs, on segments that were sound before a few octets changed.
    #[test]
    fn holds_on_any_damage(
        damage in prop::collection::vec((0..LEN, any::<u8>(), 1..200usize), 0..6),
        cut in prop::option::of(0..LEN),
    ) {
        let mut bytes = usual().bytes;
        for (at, value, len) in damage {
            let end = (at + len).min(LEN);
            bytes[at..end].fill(value);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        prop_assert_eq!(check_any_octets(&bytes, NUMBER), Ok(()));
    }

    /// Octets moved about within the segment: sound records at wrong places.
    #[test]
    fn holds_on_moved_octets(
        moves in prop::collection::vec((0..LEN / 8, 0..LEN / 8, 1..100usize), 1..5),
    ) {
        let mut bytes = usual().bytes;
        for (from, to, len) in moves {
            let (from, to) = (from * 8, to * 8);
            let len = (len * 8).min(LEN - from.max(to));
            bytes.copy_within(from..from + len, to);
        }
        prop_assert_eq!(check_any_octets(&bytes, NUMBER), Ok(()));
    }
}
