//! The one way to MAIL stays the only one: what the compiler cannot see, the sources show.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Files under `src/` that have `needle` outside comments and outside their tests.
fn files_with(needle: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let mut found: Vec<_> = all
        .iter()
        .filter(|path| !path.to_string_lossy().ends_with("tests.rs"))
        // The dev world's own mail program: it submits to us, and has nobody's mail.
        .filter(|path| !path.starts_with(root.join("dev")))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code = code
                .split("#[cfg(test)]\npub(super) mod tests {")
                .next()
                .unwrap();
            code.lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .any(|line| line.contains(needle))
        })
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    found.sort();
    found
}

#[test]
fn only_the_handshake_makes_handshake_facts() {
    assert_eq!(files_with("HandshakeFacts::observed("), ["relay/tls.rs"]);
}

#[test]
fn only_the_transaction_writes_mail_and_data() {
    assert_eq!(
        files_with("\"MAIL FROM:<{"),
        ["proto/smtp/client/transaction.rs"]
    );
    assert_eq!(
        files_with("\"RCPT TO:<{"),
        ["proto/smtp/client/transaction.rs"]
    );
    // Its `send` is called where a permit begins, and where the reply to a step comes in.
    assert_eq!(
        files_with("transaction.send("),
        ["proto/smtp/client/mod.rs", "proto/smtp/client/permit.rs"]
    );
}

#[test]
fn only_the_check_makes_a_permit() {
    assert_eq!(files_with("Ok(Permit {"), ["proto/smtp/client/permit.rs"]);
    assert_eq!(files_with("Permit {"), ["proto/smtp/client/permit.rs"]);
}
