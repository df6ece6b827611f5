//! Tests of the users file: reading, refusing, editing.

use std::fs::Permissions;

use super::*;
use crate::mail::{AddressPattern, SecretBytes};

const HASH: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (directory, path)
}

fn password(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn sender(text: &str) -> Vec<AddressPattern> {
    vec![text.parse().unwrap()]
}

#[test]
fn reads_accounts() {
    let (_directory, path) = file(&format!(
        "# ours\n[[user]]\nname = \"billing\"\npassword = \"{HASH}\"\nsenders = [\"billing@clinic.example\", \"*@lab.clinic.example\"]\n"
    ));
    let users = Users::load(&path).unwrap();
    assert_eq!(users.len(), 1);
    let user = users.get("billing").unwrap();
    assert!(user.may_send_as(&"x@lab.clinic.example".parse().unwrap()));
    assert!(!user.may_send_as(&"x@clinic.example".parse().unwrap()));
    assert!(users.get("Billing").is_none());
    assert!(!format!("{users:?}").contains("argon2"));
}

#[test]
fn every_mistake_has_its_place() {
    let head = format!("[[user]]\nname = \"a\"\npassword = \"{HASH}\"\n");
    for (text, place) in [
        (
            format!("{head}senders = [\"a@b.example\",\n \"*@*\"]\n"),
            "5:2: not an address pattern",
        ),
        (format!("{head}senders = []\n"), "4:11: senders must name"),
        (
            format!("{head}sender = []\n"),
            "4:1: unknown field `sender`",
        ),
        (head.clone(), "1:1: missing field `senders`"),
        (
            "[[user]]\nname = \"a\"\npassword = \"secret\"\nsenders = [\"a@b.example\"]\n".into(),
            "3:12: not an argon2id hash",
        ),
        (
            "[[user]]\nname = \" a\"\npassword = \"x\"\nsenders = []\n".into(),
            "2:8: a name has no control",
        ),
        (
            "[[user]]\nname = \"\"\npassword = \"x\"\nsenders = []\n".into(),
            "2:8: a name has 1 to 255",
        ),
        (
            format!("{head}senders = [\"a@b.example\"]\n{head}senders = [\"a@b.example\"]\n"),
            "6:8: a second user \"a\"",
        ),
        ("[user\n".into(), "1:6: "),
        ("[users]\n".into(), "1:2: unknown field `users`"),
    ] {
        let (_directory, path) = file(&text);
        let error = Users::load(&path).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}:{place}", path.display())),
            "{text}\n{error}"
        );
        assert!(!error.contains("v=19"), "{error}");
    }
}

#[test]
fn refuses_a_file_that_others_can_read() {
    let (_directory, path) = file("");
    for mode in [0o640, 0o604, 0o644, 0o620, 0o602] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(
            matches!(Users::load(&path), Err(UsersError::Permissions { .. })),
            "{mode:o}"
        );
    }
    assert!(matches!(
        Users::load(Path::new("/nonexistent/users.toml")),
        Err(UsersError::Read { .. })
    ));
}

#[test]
fn edits_keep_what_people_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.toml");
    edit::add(
        &path,
        "billing",
        &sender("billing@clinic.example"),
        &password("one"),
    )
    .unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("# Accounts of the clinic\n{text}# for the lab's robot\n"),
    )
    .unwrap();
    edit::add(
        &path,
        "lab \"2\"",
        &sender("*@lab.clinic.example"),
        &password("two"),
    )
    .unwrap();
    edit::add(
        &path,
        "third",
        &sender("*@*.clinic.example"),
        &password("three"),
    )
    .unwrap();
    let before = Users::load(&path).unwrap();
    assert_eq!(
        before.iter().map(User::name).collect::<Vec<_>>(),
        ["billing", "lab \"2\"", "third"]
    );

    edit::passwd(&path, "lab \"2\"", &password("new")).unwrap();
    let after = Users::load(&path).unwrap();
    assert_ne!(
        after.get("lab \"2\"").unwrap().phc(),
        before.get("lab \"2\"").unwrap().phc()
    );
    assert_eq!(
        after.get("third").unwrap().phc(),
        before.get("third").unwrap().phc()
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# Accounts of the clinic\n[[user]]\n"),
        "{text}"
    );
    assert!(text.contains("# for the lab's robot\n"), "{text}");

    edit::remove(&path, "lab \"2\"").unwrap();
    let rest = Users::load(&path).unwrap();
    assert_eq!(
        rest.iter().map(User::name).collect::<Vec<_>>(),
        ["billing", "third"]
    );
    edit::remove(&path, "third").unwrap();
    edit::remove(&path, "billing").unwrap();
    assert!(Users::load(&path).unwrap().is_empty());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn removing_leaves_the_next_comment() {
    let block = |name: &str| {
        format!(
            "[[user]]\nname = \"{name}\"\npassword = \"{HASH}\"\nsenders = [\n  \"a@b.example\",\n]\n"
        )
    };
    let (_directory, path) = file(&format!(
        "# top\n{}\n# b's comment\n{}",
        block("a"),
        block("b")
    ));
    edit::remove(&path, "a").unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("# top\n# b's comment\n{}", block("b"))
    );
}

#[test]
fn other_ways_to_write_a_list_are_written_anew() {
    let (_directory, path) = file(&format!(
        "user = [{{ name = \"a\", password = \"{HASH}\", senders = [\"a@b.example\"] }}, {{ name = \"b\", password = \"{HASH}\", senders = [\"b@b.example\"] }}]\n"
    ));
    edit::passwd(&path, "a", &password("new")).unwrap();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .starts_with("user = [")
    );
    edit::remove(&path, "a").unwrap();
    edit::add(&path, "c", &sender("c@b.example"), &password("c")).unwrap();
    let users = Users::load(&path).unwrap();
    assert_eq!(users.iter().map(User::name).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn edits_refuse_and_leave_the_file() {
    let (_directory, path) = file(&format!(
        "[[user]]\nname = \"a\"\npassword = \"{HASH}\"\nsenders = [\"a@b.example\"]\n"
    ));
    let before = std::fs::read(&path).unwrap();
    let refused = [
        edit::add(&path, "a", &sender("a@b.example"), &password("x")),
        edit::add(&path, "", &sender("a@b.example"), &password("x")),
        edit::add(&path, "x\n", &sender("a@b.example"), &password("x")),
        edit::add(&path, "b", &[], &password("x")),
        edit::add(&path, "b", &sender("a@b.example"), &password("")),
        edit::passwd(&path, "b", &password("x")),
        edit::remove(&path, "b"),
        edit::remove(Path::new("/nonexistent/users.toml"), "b"),
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(edit::remove(&path, "a").is_err());
}
