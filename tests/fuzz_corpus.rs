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
#[path = "../fuzz/src/smtp.rs"]
mod smtp;

fn replay(target: &str, check: fn(&[u8])) {
    let directory = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut replayed = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let octets = std::fs::read(entry.unwrap().path()).unwrap();
        check(&octets);
        // Cut short anywhere they must hold as well.
        for end in (0..octets.len()).step_by(3) {
            check(&octets[..end]);
        }
        replayed += 1;
    }
    assert!(replayed >= 5, "{target}: {replayed} inputs");
}

#[test]
fn cms() {
    replay("cms", cms::cms);
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
