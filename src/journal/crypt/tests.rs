//! Keys, seals, wraps and chunks, and everything that must not open.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::keyring::{Derived, SEALS_PER_SALT};
use super::*;

fn master(seed: u8) -> MasterKey {
    MasterKey([seed; KEY_OCTETS])
}

#[test]
fn master_keys_are_read_strictly() {
    let text = MasterKey::generate().unwrap();
    assert_eq!(text.len(), 44);
    assert!(MasterKey::from_base64(&format!(" {text}\n")).is_ok());
    assert_ne!(text, MasterKey::generate().unwrap());
    for text in ["", "AAAA", &text[1..], &format!("{text}AAAA")] {
        let error = MasterKey::from_base64(text).unwrap_err();
        assert!(matches!(error, MasterKeyError::Format));
    }
    assert_eq!(format!("{:?}", master(7)), "MasterKey(hidden)");
}

#[test]
fn a_key_file_that_others_may_touch_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    fs::write(&path, MasterKey::generate().unwrap()).unwrap();
    for (mode, accepted) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o604, false),
        (0o620, false),
    ] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, permissions).unwrap();
        let loaded = MasterKey::load(&path);
        assert_eq!(loaded.is_ok(), accepted, "{mode:o}");
        if !accepted {
            let error = loaded.unwrap_err();
            assert!(matches!(error, MasterKeyError::Exposed { mode: it, .. } if it == mode));
        }
    }
    let absent = MasterKey::load(&directory.path().join("absent"));
    assert!(matches!(absent, Err(MasterKeyError::Read { .. })));
}

#[test]
fn parts_unseal_with_their_key_and_their_place_only() {
    let key = MessageKey::generate().unwrap();
    let mut sealed = Vec::new();
    key.seal_into(b"here", b"content", &mut sealed).unwrap();
    assert_eq!(sealed.len(), 7 + SEAL_OCTETS);
    assert_eq!(key.open(b"here", &sealed).unwrap(), b"content");
    assert_eq!(key.open(b"there", &sealed), Err(CryptError::Unseal));
    let other = MessageKey::generate().unwrap();
    assert_eq!(other.open(b"here", &sealed), Err(CryptError::Unseal));
    for at in 0..sealed.len() {
        let mut sealed = sealed.clone();
        sealed[at] ^= 1;
        assert_eq!(key.open(b"here", &sealed), Err(CryptError::Unseal));
        assert_eq!(key.open(b"here", &sealed[..at]), Err(CryptError::Unseal));
    }
}

#[test]
fn a_wrap_is_good_for_its_message_spool_and_master_key() {
    let keys = Keyring::new(master(1), [1; 16], 9).unwrap();
    let key = MessageKey::generate().unwrap();
    let wrapped = keys.wrap(5, &key).unwrap();
    assert_eq!(keys.unwrap(5, &wrapped).unwrap().0, key.0);
    // Another run draws another salt, and still opens it.
    let again = Keyring::new(master(1), [1; 16], 9).unwrap();
    assert_eq!(again.unwrap(5, &wrapped).unwrap().0, key.0);
    assert_ne!(again.wrap(5, &key).unwrap(), wrapped);
    assert!(keys.unwrap(6, &wrapped).is_err());
    for other in [
        Keyring::new(master(2), [1; 16], 9),
        Keyring::new(master(1), [2; 16], 9),
        Keyring::new(master(1), [1; 16], 8),
    ] {
        assert!(other.unwrap().unwrap(5, &wrapped).is_err());
    }
}

#[test]
fn a_new_salt_is_drawn_in_time() {
    let master = master(1);
    let derived = Derived::new(&master, b"test").unwrap();
    let first = derived.current(&master).unwrap().salt;
    assert_eq!(derived.current(&master).unwrap().salt, first);
    derived.current.lock().unwrap().1 = SEALS_PER_SALT;
    let second = derived.current(&master).unwrap().salt;
    assert_ne!(second, first);
    assert_eq!(derived.of(&master, first).unwrap().salt, first);
}

#[test]
fn chunks_can_not_be_cut_moved_or_repeated() {
    let key = MessageKey::generate().unwrap();
    let chunks = || key.chunks([3; PREFIX_OCTETS], b"body".to_vec()).unwrap();
    let mut sealer = chunks();
    let sealed: Vec<Vec<u8>> = [("one", false), ("two", false), ("end", true)]
        .map(|(plain, last)| {
            let mut out = Vec::new();
            sealer.seal_into(plain.as_bytes(), last, &mut out).unwrap();
            out
        })
        .to_vec();
    let nothing = sealer.seal_into(b"more", false, &mut Vec::new());
    assert_eq!(nothing, Err(CryptError::TooLong));

    let open = |order: &[(usize, bool)]| {
        let mut opener = chunks();
        order
            .iter()
            .map(|&(at, last)| opener.open(sealed[at].clone(), last))
            .collect::<Result<Vec<_>, _>>()
    };
    let whole = open(&[(0, false), (1, false), (2, true)]).unwrap();
    assert_eq!(whole.concat(), b"onetwoend");
    for wrong in [
        &[(1, false)][..],
        &[(0, true)],
        &[(0, false), (0, false)],
        &[(0, false), (2, true)],
        &[(0, false), (1, true)],
        &[(0, false), (1, false), (2, false)],
    ] {
        assert_eq!(open(wrong), Err(CryptError::Unseal), "{wrong:?}");
    }
}
