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
