//! A panic says where it was and nothing of what was being read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test stops at the first surprise"
)]

use std::process::Command;

/// Run by the other test in a process of its own, since a hook is for a whole process.
#[test]
#[ignore = "fails on purpose"]
fn fails_on_a_text() {
    sealpost::cli::say_only_where();
    let text = String::from("SSN 123-45-6789 \u{e4}");
    let cut = &text[..text.len() - 1];
    panic!("{cut} was cut");
}

#[test]
fn a_panic_says_where_and_not_what() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "fails_on_a_text"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("sealpost: panic at tests/panics.rs:"),
        "{said}"
    );
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all);
    assert!(
        !all.contains("123-45") && !all.contains("boundary"),
        "{all}"
    );
}
