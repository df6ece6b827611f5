//! What was committed comes back.

use super::super::*;
use super::support::*;
use crate::mail::RecipientRecord;

#[tokio::test]
async fn what_is_committed_comes_back_with_the_next_open() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages, []);
    assert!(recovery.report.is_sound());
    let (kept, ended) = (spool.next_id(), spool.next_id());
    spool
        .commit(vec![accept(kept, 3, body(1, 10_000))])
        .await
        .unwrap();
    spool
        .commit(vec![accept(ended, 1, body(2, 100))])
        .await
        .unwrap();
    assert_eq!(read(&spool, kept).await, body(1, 10_000));
    let changes = vec![
        Change::Prepared {
            id: kept,
            prepared: prepared(1),
        },
        state(kept, 1, 7),
        state(kept, 1, 8),
        Change::Done { id: ended },
    ];
    spool.commit(changes).await.unwrap();
    assert!(matches!(
        spool.content(ended).open().await,
        Err(SpoolError::Unknown { id }) if id == ended
    ));
    spool.close().await;

    let (spool, recovery) = open(directory.path());
    let expected = Recovered {
        envelope: envelope(kept, 3),
        prepared: Some(prepared(1)),
        recipients: vec![
            RecipientRecord::queued(),
            record(8),
            RecipientRecord::queued(),
        ],
    };
    assert_eq!(recovery.messages, [expected]);
    assert!(recovery.report.is_sound());
    assert_eq!(recovery.report.torn_tail, None);
    assert_eq!(read(&spool, kept).await, body(1, 10_000));
    assert!(spool.next_id() > ended);
}

/// Segments large enough that only the fixed bound decides what gets a file.
fn open_large(directory: &std::path::Path) -> (Spool, Recovery) {
    let segment_octets = 8 * 1024 * 1024;
    let options = SpoolOptions {
        segment_octets,
        ..options(directory)
    };
    Spool::open(options, clock()).unwrap()
}

async fn stage(spool: &Spool, id: MessageId, content: &[u8], piece: usize) -> StagedBody {
    let mut writer = spool.writer(id);
    for chunk in content.chunks(piece) {
        writer.write(chunk).await.unwrap();
    }
    assert_eq!(writer.written(), content.len() as u64);
    let staged = writer.finish().await.unwrap();
    assert_eq!(staged.len(), content.len() as u64);
    staged
}

#[tokio::test]
async fn content_of_every_size_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open_large(directory.path());
    const MIB: usize = BIG_BODY_OCTETS;
    let sizes = [
        0,
        1,
        10_000,
        MIB - 1,
        MIB,
        MIB + 1,
        MIB + big::CHUNK_OCTETS,
        20 * MIB + 5,
    ];
    let mut ids = Vec::new();
    for (seed, &octets) in (0u64..).zip(&sizes) {
        let id = spool.next_id();
        let content = body(seed, octets);
        let staged = stage(&spool, id, &content, 70_001).await;
        let is_file = directory
            .path()
            .join(format!(
                "big/{:02x}/{:016x}.body",
                id.get() & 0xff,
                id.get()
            ))
            .exists();
        assert_eq!(is_file, octets >= MIB, "{octets} octets");
        let envelope = envelope(id, 1);
        let body = staged;
        spool
            .commit(vec![Change::Accept { envelope, body }])
            .await
            .unwrap();
        assert!(read(&spool, id).await == content, "{octets} octets");
        ids.push(id);
    }
    spool.close().await;
    let (spool, recovery) = open_large(directory.path());
    assert_eq!(recovery.messages.len(), sizes.len());
    assert!(recovery.report.is_sound());
    for ((seed, id), &octets) in (0u64..).zip(ids).zip(&sizes) {
        let mut reader = spool.content(id).open().await.unwrap();
        assert_eq!(reader.len(), octets as u64);
        let mut content = Vec::new();
        while let Some(chunk) = reader.next().await.unwrap() {
            assert!(octets < MIB || chunk.len() <= big::CHUNK_OCTETS);
            content.extend_from_slice(&chunk);
        }
        assert!(content == body(seed, octets), "{octets} octets");
    }
}

#[tokio::test]
async fn large_content_in_memory_gets_a_file_too() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open_large(directory.path());
    let id = spool.next_id();
    let content = body(3, BIG_BODY_OCTETS + 9);
    spool
        .commit(vec![accept(id, 1, content.clone())])
        .await
        .unwrap();
    assert!(spool.shared.files.exists(id));
    assert!(read(&spool, id).await == content);
}

#[tokio::test]
async fn a_record_that_no_segment_holds_is_refused_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    let too_large = body(1, usize::try_from(SEGMENT).unwrap());
    let refused = spool.commit_soon(vec![accept(id, 1, too_large)]).await;
    assert!(matches!(
        refused,
        Err(SpoolError::Journal(JournalError::TooLarge { .. }))
    ));
    spool
        .commit(vec![accept(id, 1, body(1, 10))])
        .await
        .unwrap();
    assert_eq!(read(&spool, id).await, body(1, 10));
}

#[tokio::test]
async fn what_is_dropped_or_done_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let content = body(1, 300_000);
    let bodies = |directory: &std::path::Path| {
        let paths = files(&directory.join("big")).into_keys();
        paths.collect::<Vec<_>>()
    };

    let mut writer = spool.writer(spool.next_id());
    writer.write(&content).await.unwrap();
    assert_eq!(bodies(directory.path()).len(), 1, "an unfinished file");
    drop(writer);
    assert_eq!(bodies(directory.path()), Vec::<PathBuf>::new());

    drop(stage(&spool, spool.next_id(), &content, 9999).await);
    let done = spool.next_id();
    let staged = stage(&spool, done, &content, 9999).await;
    let change = Change::Accept {
        envelope: envelope(done, 1),
        body: staged,
    };
    spool.commit(vec![change]).await.unwrap();
    assert!(spool.shared.files.exists(done));
    spool.commit(vec![Change::Done { id: done }]).await.unwrap();
    spool.close().await;
    assert_eq!(bodies(directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn files_that_nothing_refers_to_go_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let content = body(1, 300_000);
    let mut unfinished = spool.writer(spool.next_id());
    unfinished.write(&content).await.unwrap();
    let finished = stage(&spool, spool.next_id(), &content, 9999).await;
    assert_eq!(files(&directory.path().join("big")).len(), 2);
    copy(directory.path(), killed.path());
    let (_spool, recovery) = open(killed.path());
    assert!(recovery.report.is_sound());
    assert_eq!(files(&killed.path().join("big")).len(), 0);
    drop((unfinished, finished));
}

#[tokio::test]
async fn a_body_staged_for_another_message_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let (staged_for, id) = (spool.next_id(), spool.next_id());
    let staged = stage(&spool, staged_for, &body(1, 300_000), 9999).await;
    let change = Change::Accept {
        envelope: envelope(id, 1),
        body: staged,
    };
    let refused = spool.commit(vec![change]).await;
    assert!(matches!(refused, Err(SpoolError::Mismatch { .. })));
}

#[tokio::test]
async fn changes_to_messages_that_are_not_there_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let id = spool.next_id();
    for change in [state(id, 0, 1), Change::Done { id }] {
        let refused = spool.commit(vec![change]).await;
        assert!(matches!(refused, Err(SpoolError::Unknown { .. })));
    }
    spool.commit(vec![accept(id, 1, vec![])]).await.unwrap();
    let twice = spool.commit(vec![accept(id, 1, vec![])]).await;
    assert!(matches!(twice, Err(SpoolError::Duplicate { .. })));
}

#[tokio::test]
async fn ids_rise_whatever_the_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let mut last = spool.next_id();
    for _ in 0..1000 {
        let id = spool.next_id();
        assert!(id > last);
        last = id;
    }
    // Every segment in which the message ever was is gone, but for the ids.
    spool.commit(vec![accept(last, 1, vec![])]).await.unwrap();
    spool.commit(vec![Change::Done { id: last }]).await.unwrap();
    let low = MessageId::new(1);
    for _ in 0..12 {
        let fill = vec![accept(low, 1, body(1, 60_000)), Change::Done { id: low }];
        spool.commit(fill).await.unwrap();
    }
    spool.close().await;
    assert!(
        !directory
            .path()
            .join("log/seg-0000000000000001.spj")
            .exists(),
        "the segment of the highest id should be gone"
    );
    let early = Clock::starting_at(crate::mail::Timestamp::from_secs(1_000));
    let (spool, recovery) = Spool::open(options(directory.path()), early).unwrap();
    assert_eq!(recovery.messages, []);
    assert!(spool.next_id() > last);
}
