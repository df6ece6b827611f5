//! Nothing readable on the disk, no nonce twice, no way in with another key.

use std::collections::HashSet;
use std::path::Path;

use super::super::*;
use super::support::*;
use crate::journal::Kind;
use crate::journal::crypt::{NONCE_OCTETS, SALT_OCTETS, WRAP_OCTETS};
use crate::journal::scan::scan;
use crate::tables::Tables;

/// A spool in which everything was used that stores something.
async fn used(directory: &Path) {
    let (spool, _) = open(directory);
    let tables = Tables::open(spool.journal()).unwrap();
    let table = tables.table::<String>("seen").unwrap();
    for n in 0..20 {
        let id = spool.next_id();
        let octets = if n % 7 == 0 { 200_000 } else { 1000 };
        spool
            .commit(vec![accept(id, 3, body(n, octets))])
            .await
            .unwrap();
        let changes = vec![
            Change::Prepared {
                id,
                prepared: prepared(1),
            },
            state(id, 1, 5),
        ];
        spool.commit(changes).await.unwrap();
        let key = format!("{CANARY}{n}");
        table.put(key.as_bytes(), &CANARY.to_owned()).await.unwrap();
    }
    let mut unfinished = spool.writer(spool.next_id());
    unfinished.write(&body(3, 300_000)).await.unwrap();
    std::mem::forget(unfinished);
    spool.close().await;
}

#[tokio::test]
async fn nothing_readable_is_ever_stored() {
    let directory = tempfile::tempdir().unwrap();
    used(directory.path()).await;
    let stored = files(directory.path());
    let octets: usize = stored.values().map(Vec::len).sum();
    assert!(octets > 1_000_000, "the test should have stored something");
    for (path, bytes) in stored {
        for word in [CANARY.as_bytes(), b"example.test", b"DKIM", b"seen"] {
            let found = memchr::memmem::find(&bytes, word);
            assert_eq!(found, None, "in {}", path.display());
        }
    }
}

/// Every (salt, nonce) or nonce of all seals in a directory. Nonces are drawn from 2^96, so two
/// equal ones at all, whatever their keys, are a broken generator.
fn nonces(directory: &Path) -> Vec<Vec<u8>> {
    let mut nonces = Vec::new();
    for (path, bytes) in files(directory) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".body") {
            nonces.push(bytes[16..23].to_vec());
        }
        let number = name
            .strip_prefix("seg-")
            .and_then(|it| it.strip_suffix(".spj"));
        let Some(number) = number.map(|it| u64::from_str_radix(it, 16).unwrap()) else {
            continue;
        };
        for found in scan(&bytes, number, true).records {
            let payload = found.payload(&bytes);
            let mut add = |at: usize| nonces.push(payload[at..at + NONCE_OCTETS].to_vec());
            match found.header.kind {
                Kind::Accept => {
                    add(SALT_OCTETS);
                    add(WRAP_OCTETS);
                    if found.header.body_octets > 0 {
                        add(usize::try_from(found.header.envelope_octets).unwrap());
                    }
                }
                Kind::Rendition | Kind::State => add(0),
                Kind::Table => add(SALT_OCTETS),
                _ => assert_eq!(payload, b""),
            }
        }
    }
    nonces
}

#[tokio::test]
async fn no_nonce_comes_twice() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        used(directory.path()).await;
    }
    let nonces = nonces(directory.path());
    let seals = 3 * (20 * (2 + 2 + 1) + 20);
    assert_eq!(nonces.len(), seals);
    let different: HashSet<&Vec<u8>> = nonces.iter().collect();
    assert_eq!(different.len(), seals);
}

#[tokio::test]
async fn the_wrong_key_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    used(directory.path()).await;
    let before = files(directory.path());
    let wrong = SpoolOptions {
        master_key: key(2),
        ..options(directory.path())
    };
    let error = Spool::open(wrong, clock()).unwrap_err();
    assert!(matches!(error, SpoolError::WrongKey));
    assert!(files(directory.path()) == before);
    assert_eq!(open(directory.path()).1.messages.len(), 20);
}

#[tokio::test]
async fn debug_texts_say_nothing_of_content_or_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery.messages, []);
    let id = spool.next_id();
    let content = Content::from_bytes(body(1, 100));
    let mut writer = spool.writer(id);
    writer.write(&body(1, 100)).await.unwrap();
    let mut text = format!("{spool:?} {content:?} {writer:?} {:?}", key(7));
    text += &format!("{:?}", content.open().await.unwrap());
    text += &format!("{:?}", writer.finish().await.unwrap());
    assert!(!text.contains(CANARY), "{text}");
    assert!(!text.contains("7, 7"), "{text}");
}

#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let spool_directory = directory.path().join("spool");
    let (spool, _) = open(&spool_directory);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&spool_directory), 0o700);
    drop(spool);
    for path in files(&spool_directory).into_keys() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
