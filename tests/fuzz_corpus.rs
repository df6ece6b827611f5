//! Replays the corpora of the fuzz targets, through the functions that the targets call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../fuzz/src/cms.rs"]
mod cms;
#[path = "../fuzz/src/ldap.rs"]
mod ldap;
#[path = "../fuzz/src/portal.rs"]
mod portal;
#[path = "../fuzz/src/seal.rs"]
mod seal;
#[path = "../fuzz/src/smtp.rs"]
mod smtp;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(directory).unwrap();
    let read = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let read: Vec<Vec<u8>> = read.collect();
    assert!(read.len() >= 5, "{target}: {} inputs", read.len());
    read
}

fn replay(target: &str, check: fn(&[u8])) {
    replay_by(3, target, check);
}

fn replay_by(step: usize, target: &str, check: fn(&[u8])) {
    for octets in corpus(target) {
        check(&octets);
        // Cut short anywhere they must hold as well.
        for end in (0..octets.len()).step_by(step) {
            check(&octets[..end]);
        }
    }
}

#[test]
fn cms() {
    replay("cms", cms::cms);
}

#[test]
fn portal_letter() {
    replay_by(17, "portal_letter", portal::letter);
}

#[test]
fn smtp_command() {
    replay("smtp_command", smtp::command);
}

#[test]
fn smtp_data() {
    replay("smtp_data", smtp::data);
}

#[test]
fn smtp_server_ops() {
    replay("smtp_server_ops", smtp::server_ops);
}

#[test]
fn ldap_reply() {
    replay("ldap_reply", ldap::reply);
}

#[test]
fn revocation() {
    replay(
        "revocation",
        sealpost::directory::revocation::check_fuzz_input,
    );
}

#[test]
fn webauthn() {
    replay(
        "webauthn",
        sealpost::portal::proof::webauthn::check_fuzz_input,
    );
}

#[test]
fn seal() {
    replay_by(17, "seal", seal::seal);
}

/// With a few octets changed.
#[test]
fn seal_damaged() {
    let mut state = 0x9E37_79B9_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % below
    };
    let odd = b"\r\n:;=\"(\\ \t<>-\x80\0Hh";
    for octets in corpus("seal") {
        for _ in 0..50 {
            let mut damaged = octets.clone();
            for _ in 0..=next(4) {
                let at = next(damaged.len());
                damaged[at] = odd[next(odd.len())];
            }
            seal::seal(&damaged);
        }
    }
}
