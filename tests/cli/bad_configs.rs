//! Every folder of `tests/data/bad_configs` is a configuration with faults, and the exact words
//! that `check` finds for them. Files beside it belong to the configuration.
//!
//! `SEALPOST_BLESS=1 cargo test --test cli bad_configs` writes down what is said now.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::support::{furnish, run};

/// Copies the files of a case, which nobody else may write; what was made, outermost first.
fn lay(case: &Path, into: &Path) -> Vec<PathBuf> {
    let mut laid = Vec::new();
    for entry in std::fs::read_dir(case).unwrap() {
        let (from, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        let to = into.join(&name);
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            laid.push(to.clone());
            laid.extend(lay(&from, &to));
        } else if name != "expected.txt" {
            std::fs::copy(&from, &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644)).unwrap();
            laid.push(to);
        }
    }
    laid
}

fn take_away(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir(path).unwrap();
    } else {
        std::fs::remove_file(path).unwrap();
    }
}

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
        let laid = lay(&case, scratch.path());
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
        for path in laid.iter().rev() {
            take_away(path);
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen >= 35, "{seen} cases");
}
