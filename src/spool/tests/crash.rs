//! What a crash or a bad disk leaves, and what the next start makes of it.

use std::path::{Path, PathBuf};

use super::super::*;
use super::support::*;
use crate::journal::scan::{Found, Tail, scan};
use crate::journal::{HEADER_OCTETS, Kind};

/// The first segment's file of a spool.
fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("log/seg-{number:016x}.spj"))
}

/// The records of the first segment.
fn records(directory: &Path) -> Vec<Found> {
    let bytes = std::fs::read(segment(directory, 1)).unwrap();
    scan(&bytes, 1, true).records
}

fn at(place: u64) -> usize {
    usize::try_from(place).unwrap()
}

/// A killed spool with messages 1 to 4, each in a batch of its own, and 5 and 6 in the last one;
/// its directory and their ids.
async fn killed() -> (tempfile::TempDir, Vec<MessageId>) {
    let (running, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (spool, _) = open(running.path());
    let ids: Vec<MessageId> = (0..6).map(|_| spool.next_id()).collect();
    for &id in &ids[..4] {
        let change = vec![accept(id, 1, body(id.get(), 500))];
        spool.commit(change).await.unwrap();
    }
    let last = ids[4..].iter();
    let changes = last.map(|&id| accept(id, 1, body(id.get(), 500))).collect();
    spool.commit(changes).await.unwrap();
    copy(running.path(), killed.path());
    (killed, ids)
}

fn ids_of(recovery: &Recovery) -> Vec<MessageId> {
    let messages = recovery.messages.iter();
    messages.map(|message| message.envelope.id).collect()
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let (directory, ids) = killed().await;
    let (spool, recovery) = open(directory.path());
    assert_eq!(ids_of(&recovery), ids);
    assert!(recovery.report.is_sound());
    assert_eq!(recovery.report.torn_tail, None);
    for &id in &ids {
        assert_eq!(read(&spool, id).await, body(id.get(), 500));
    }
}

#[tokio::test]
async fn a_torn_tail_is_sealed_off_and_the_mail_goes_on() {
    let (directory, ids) = killed().await;
    let whole = std::fs::read(segment(directory.path(), 1)).unwrap();
    let found = records(directory.path());
    let (first, second) = (found[found.len() - 2], found[found.len() - 1]);
    // Within the first of the batch, at its end, and within the second.
    for (torn, left) in [
        (first.offset + 5, 4),
        (first.offset + 200, 4),
        (second.offset, 5),
        (second.offset + 70, 5),
    ] {
        for truncated in [false, true] {
            let case = format!("torn at {torn}, truncated: {truncated}");
            let mut bytes = whole.clone();
            if truncated {
                bytes.truncate(at(torn));
            } else {
                bytes[at(torn)..].fill(0);
            }
            let copied = tempfile::tempdir().unwrap();
            copy(directory.path(), copied.path());
            std::fs::write(segment(copied.path(), 1), bytes).unwrap();

            let (spool, recovery) = open(copied.path());
            assert_eq!(ids_of(&recovery), ids[..left], "{case}");
            assert!(recovery.report.is_sound(), "{case}");
            let clean = torn == second.offset;
            assert_eq!(recovery.report.torn_tail.is_some(), !clean, "{case}");
            let new = spool.next_id();
            spool
                .commit(vec![accept(new, 1, body(9, 50))])
                .await
                .unwrap();
            drop(spool);

            // The torn tail stays sealed off: nothing behind it comes back, nothing new is lost.
            let (spool, recovery) = open(copied.path());
            let mut expected = ids[..left].to_vec();
            expected.push(new);
            assert_eq!(ids_of(&recovery), expected, "{case}");
            assert!(recovery.report.is_sound(), "{case}");
            assert_eq!(recovery.report.torn_tail, None, "{case}");
            assert_eq!(read(&spool, new).await, body(9, 50), "{case}");
        }
    }
}

#[tokio::test]
async fn a_batch_after_a_torn_one_does_not_come_back() {
    // The first record of the last batch is broken, the second is whole: both were not acknowledged.
    let (directory, ids) = killed().await;
    let mut bytes = std::fs::read(segment(directory.path(), 1)).unwrap();
    let found = records(directory.path());
    bytes[at(found[found.len() - 2].offset) + 100] ^= 4;
    std::fs::write(segment(directory.path(), 1), bytes).unwrap();
    for torn in [true, false] {
        let (spool, recovery) = open(directory.path());
        assert_eq!(ids_of(&recovery), ids[..4]);
        assert_eq!(recovery.report.torn_tail.is_some(), torn);
        assert!(recovery.report.is_sound());
        drop(spool);
    }
}

#[tokio::test]
async fn a_flipped_bit_costs_one_message_and_is_told() {
    let (directory, ids) = killed().await;
    let mut bytes = std::fs::read(segment(directory.path(), 1)).unwrap();
    let accepted: Vec<Found> = records(directory.path())
        .into_iter()
        .filter(|found| found.header.kind == Kind::Accept)
        .collect();
    // Its content in the second, its header in the third.
    bytes[at(accepted[1].offset) + HEADER_OCTETS + 250] ^= 1;
    bytes[at(accepted[2].offset) + 9] ^= 1;
    std::fs::write(segment(directory.path(), 1), &bytes).unwrap();

    let (spool, recovery) = open(directory.path());
    assert_eq!(ids_of(&recovery), [ids[0], ids[3], ids[4], ids[5]]);
    let report = recovery.report;
    assert!(!report.is_sound());
    assert_eq!(report.torn_tail, None);
    // One range, as they are neighbours; the header that still stands tells whose it was.
    assert_eq!(report.quarantined_ranges, 1);
    let range = &report.quarantined[0];
    assert_eq!(
        (range.start, range.end),
        (accepted[1].offset, accepted[3].offset)
    );
    assert_eq!(range.record, Some((Kind::Accept, ids[1].get())));
    assert_eq!(report.lost, [ids[1]]);
    let kept = std::fs::read(range.copy.as_ref().unwrap()).unwrap();
    assert_eq!(kept, bytes[at(range.start)..at(range.end)]);
    // The rest goes on, and ids do not come again.
    assert_eq!(read(&spool, ids[3]).await, body(ids[3].get(), 500));
    assert!(spool.next_id() > ids[5]);
}

#[tokio::test]
async fn a_message_whose_acceptance_is_gone_is_named_by_what_follows() {
    let (running, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (spool, _) = open(running.path());
    let (lost, done) = (spool.next_id(), spool.next_id());
    for id in [lost, done] {
        spool
            .commit(vec![accept(id, 1, body(1, 50))])
            .await
            .unwrap();
    }
    spool.commit(vec![state(lost, 0, 1)]).await.unwrap();
    spool.commit(vec![state(done, 0, 1)]).await.unwrap();
    spool.commit(vec![Change::Done { id: done }]).await.unwrap();
    copy(running.path(), killed.path());
    let mut bytes = std::fs::read(segment(killed.path(), 1)).unwrap();
    for found in records(killed.path()) {
        if found.header.kind == Kind::Accept {
            bytes[at(found.offset)] ^= 1; // not even the header says whose it is
        }
    }
    std::fs::write(segment(killed.path(), 1), bytes).unwrap();
    let (_spool, recovery) = open(killed.path());
    assert_eq!(recovery.messages, []);
    assert_eq!(recovery.report.lost, [lost]);
}

#[tokio::test]
async fn bodies_are_kept_when_their_acceptance_cannot_be_read() {
    let (running, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (spool, _) = open(running.path());
    let ids = [spool.next_id(), spool.next_id()];
    for id in ids {
        let content = body(id.get(), 300_000);
        spool.commit(vec![accept(id, 1, content)]).await.unwrap();
    }
    copy(running.path(), killed.path());
    let mut bytes = std::fs::read(segment(killed.path(), 1)).unwrap();
    let found = records(killed.path());
    let first = found.iter().find(|found| found.header.kind == Kind::Accept);
    bytes[at(first.unwrap().offset) + 80] ^= 1;
    std::fs::write(segment(killed.path(), 1), bytes).unwrap();
    let (spool, recovery) = open(killed.path());
    assert_eq!(recovery.report.lost, [ids[0]]);
    let name = format!("{:016x}.body", ids[0].get());
    assert!(killed.path().join("quarantine").join(name).exists());
    assert!(read(&spool, ids[1]).await == body(ids[1].get(), 300_000));
}

#[tokio::test]
async fn damage_found_while_reading_is_that_message_s_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let ids: Vec<MessageId> = (0..4).map(|_| spool.next_id()).collect();
    for (&id, octets) in ids.iter().zip([500, 500, 300_000, 300_000]) {
        spool
            .commit(vec![accept(id, 1, body(1, octets))])
            .await
            .unwrap();
    }
    let flip = |path: &Path, place: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[place] ^= 0x20;
        std::fs::write(path, bytes).unwrap();
    };
    let accepted = records(directory.path())
        .into_iter()
        .find(|found| found.header.message == ids[0].get());
    flip(
        &segment(directory.path(), 1),
        at(accepted.unwrap().offset) + 300,
    );
    let file = spool.shared.files.path(ids[2]);
    flip(&file, 200_000);
    for id in [ids[0], ids[2]] {
        let error = spool.content(id).read_all().await.unwrap_err();
        assert!(matches!(error, SpoolError::Damaged { id: of } if of == id));
    }
    assert_eq!(read(&spool, ids[1]).await, body(1, 500));
    assert!(read(&spool, ids[3]).await == body(1, 300_000));

    // A body that is cut at the end of a chunk, or gone, is as damaged.
    let file = spool.shared.files.path(ids[3]);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..24 + 3 * (65536 + 16)]).unwrap();
    assert!(spool.content(ids[3]).read_all().await.is_err());
    std::fs::remove_file(&file).unwrap();
    let error = spool.content(ids[3]).open().await.unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { .. }));
}

#[tokio::test]
async fn bodies_exchanged_between_messages_do_not_unseal() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let ids = [spool.next_id(), spool.next_id()];
    for id in ids {
        spool
            .commit(vec![accept(id, 1, body(1, 300_000))])
            .await
            .unwrap();
    }
    let (one, other) = (
        spool.shared.files.path(ids[0]),
        spool.shared.files.path(ids[1]),
    );
    let mut bytes = std::fs::read(one).unwrap();
    bytes[8..16].copy_from_slice(&ids[1].get().to_le_bytes());
    std::fs::write(other, bytes).unwrap();
    let error = spool.content(ids[1]).read_all().await.unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { .. }));
}

#[tokio::test]
async fn stale_octets_of_another_segment_do_not_come_back() {
    let (directory, ids) = killed().await;
    let path = segment(directory.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let Tail::Clean(end) = scan(&bytes, 1, true).tail else {
        panic!("the tail should be clean");
    };
    // As if the segment had been number 0 before: the same records behind the end.
    let old: Vec<u8> = bytes[4096..at(end)].to_vec();
    for found in records(directory.path()) {
        let mut header = found.header;
        header.segment = 0;
        let place = at(found.offset - 4096);
        bytes[at(end) + place..][..old.len() - place].copy_from_slice(&old[place..]);
        bytes[at(end) + place..][..HEADER_OCTETS].copy_from_slice(&header.encode());
    }
    std::fs::write(&path, bytes).unwrap();
    let (_spool, recovery) = open(directory.path());
    assert_eq!(ids_of(&recovery), ids);
    assert!(recovery.report.is_sound());
}

#[tokio::test]
async fn segments_named_ahead_of_need_are_no_end() {
    let (directory, ids) = killed().await;
    // The keeper names segment 2 as soon as the spool is open; make sure of it, torn or not.
    let spare = std::fs::read(segment(directory.path(), 1)).unwrap();
    let mut header = spare[..4096].to_vec();
    header.resize(spare.len(), 0);
    std::fs::write(segment(directory.path(), 2), header).unwrap();
    let (spool, recovery) = open(directory.path());
    assert_eq!(ids_of(&recovery), ids);
    assert!(recovery.report.is_sound());
    let new = spool.next_id();
    spool
        .commit(vec![accept(new, 1, body(1, 10))])
        .await
        .unwrap();
    assert_eq!(read(&spool, new).await, body(1, 10));
}

#[tokio::test]
async fn a_spool_without_its_meta_is_not_begun_anew() {
    let (directory, _) = killed().await;
    std::fs::remove_file(directory.path().join("meta")).unwrap();
    let error = Spool::open(options(directory.path()), clock()).unwrap_err();
    assert!(matches!(
        error,
        SpoolError::Journal(JournalError::Meta { .. })
    ));
    std::fs::write(directory.path().join("meta"), b"nonsense").unwrap();
    let error = Spool::open(options(directory.path()), clock()).unwrap_err();
    assert!(matches!(
        error,
        SpoolError::Journal(JournalError::Meta { .. })
    ));
}
