//! Every folder of `tests/data/bad_configs` is a configuration with faults, and the exact words
//! that `check` finds for them.
//!
//! `SEALPOST_BLESS=1 cargo test --test cli bad_configs` writes down what is said now.

use std::path::Path;

use super::support::{furnish, run};

#[test]
fn every_fault_is_found_with_its_place_and_its_mend() {
    let bless = std::env::vars_os().any(|(name, _)| name == "SEALPOST_BLESS");
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad_configs");
    let scratch = tempfile::tempdir().unwrap();
    furnish(scratch.path());
    let mut seen = 0;
    let mut wrong = String::new();
    for case in std::fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        std::fs::copy(
            case.join("sealpost.toml"),
            scratch.path().join("sealpost.toml"),
        )
        .unwrap();
        let ran = run(scratch.path(), &["check", "--config", "sealpost.toml"]);
        let expected_file = case.join("expected.txt");
        if bless {
            std::fs::write(&expected_file, &ran.out).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_file).unwrap();
        assert_eq!(ran.code, Some(2), "{}: {ran:?}", case.display());
        if ran.out != expected {
            wrong.push_str(&format!(
                "--- {}\nexpected:\n{expected}said:\n{}\n",
                case.display(),
                ran.out
            ));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen >= 20, "{seen} cases");
}
