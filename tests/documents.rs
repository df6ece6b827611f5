//! What the documents say of the product holds: README's configuration is accepted, its tables
//! name every field and event of the delivery log, ARCHITECTURE.md has a note on every dependency,
//! and the tests that SECURITY.md names exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot read the documents has to stop"
)]

use std::fs;
use std::path::Path;

use sealpost::config::{self, Sheet};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_first_configuration_of_the_readme_is_accepted() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("a configuration");
    let (text, _) = rest.split_once("```").unwrap();
    for (text, accepted) in [
        (text.to_owned(), true),
        (text.replace("[tls]\n", "[tls]\nciphers = 1\n"), false),
    ] {
        let mut sheet = Sheet::new(Path::new("README.md"), &text);
        let config = config::parse(&mut sheet);
        let problems = sheet.into_problems();
        assert_eq!(
            config.is_some() && problems.0.is_empty(),
            accepted,
            "{problems}"
        );
    }
}

#[test]
fn the_policy_of_the_readme_is_accepted() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("a configuration");
    let (first, rest) = rest.split_once("```").unwrap();
    let (_, section) = rest.split_once("\n## Policy\n").expect("a section");
    let (section, _) = section.split_once("\n## ").unwrap();
    let examples: Vec<&str> = section.split("```toml\n").skip(1).collect();
    assert!(examples.len() >= 4, "{} examples", examples.len());
    let mut text = first.to_owned();
    for example in examples {
        text.push_str(example.split_once("```").unwrap().0);
    }
    let mut sheet = Sheet::new(Path::new("README.md"), &text);
    let config = config::parse(&mut sheet);
    assert_eq!(sheet.into_problems().to_string(), "");
    let config = config.unwrap();
    assert_eq!(config.policy.rules.len(), 3);
    sealpost::policy::Policy::compile(config.policy).expect("a good policy");
    sealpost::scan::detect::Detectors::compile(&config.detectors).expect("good detectors");
}

#[test]
fn the_readme_names_every_field_and_event_of_the_delivery_log() {
    let readme = read("README.md");
    let source = read("src/report/event.rs");
    let (_, fields) = source.split_once("pub struct Event {").unwrap();
    let (fields, _) = fields.split_once("\n}").unwrap();
    let (_, events) = source.split_once("pub enum EventKind {").unwrap();
    let (events, _) = events.split_once("\n}").unwrap();
    let mut names: Vec<String> = fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    names.extend(
        events
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .map(snake_case),
    );
    assert!(names.contains(&"auth_failed".to_owned()), "{names:?}");
    for name in names {
        assert!(
            readme.contains(&format!("\n| `{name}` |")),
            "no row for {name}"
        );
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn every_direct_dependency_has_its_note() {
    let manifest = read("Cargo.toml");
    let map = read("ARCHITECTURE.md");
    let mut in_table = false;
    let mut count = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_table = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (in_table, line.split_once('=')) {
            let name = name.trim();
            if !name.starts_with('#') {
                count += 1;
                assert!(map.contains(&format!("| `{name}`")), "no note on {name}");
            }
        }
    }
    assert!(count > 20, "only {count} dependencies were read");
}

/// Text of every file under `folder` whose name ends in one of `ends`.
fn texts(folder: &Path, ends: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path, ends));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_tests_that_stand_against_attacks_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rust = texts(&root.join("src"), &[".rs"]);
    rust.extend(texts(&root.join("tests"), &[".rs"]));
    let interop = texts(&root.join("tests/interop"), &[".py", ".js"]);
    let security = read("SECURITY.md");
    let (_, table) = security
        .split_once("| shown by |\n|---|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut missing = Vec::new();
    let mut named = 0;
    for row in table.lines() {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        let checks: Vec<&str> = shown
            .split('“')
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('”')?.0))
            .collect();
        assert!(
            !tests.is_empty() || !checks.is_empty(),
            "nothing shows: {row}"
        );
        named += tests.len() + checks.len();
        missing.extend(tests.into_iter().filter(|name| {
            let head = format!("fn {name}()");
            !rust.iter().any(|text| text.contains(&head))
        }));
        missing.extend(checks.into_iter().filter(|name| {
            !interop
                .iter()
                .any(|text| text.contains(&format!("\"{name}\"")))
        }));
    }
    assert!(named > 50, "only {named} are named");
    assert!(missing.is_empty(), "these do not exist: {missing:?}");
}
