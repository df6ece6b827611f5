//! The detectors against the sample documents: what must fire does, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot read its samples has to stop"
)]

use std::collections::BTreeSet;

use sealpost::scan::detect::{DetectorSource, Detectors, SHIPPED};

#[path = "corpus/reader.rs"]
mod reader;

/// Documents on which the detectors are wrong, and why that is not mended. What is listed here and
/// works fails the test too.
const KNOWN_LIMITS: &[(&str, &str)] = &[];

fn detectors() -> Detectors {
    Detectors::compile(&DetectorSource::all_shipped()).unwrap()
}

/// Documents that are wrong, each with what fired instead.
fn wrong(documents: &[reader::Document]) -> Vec<String> {
    let detectors = detectors();
    documents
        .iter()
        .filter_map(|document| {
            let fired = document.scan(&detectors);
            let limit = KNOWN_LIMITS.iter().any(|(name, _)| *name == document.name);
            match (fired == document.expected, limit) {
                (true, false) | (false, true) => None,
                (true, true) => Some(format!("{}: no limit any more", document.name)),
                (false, false) => Some(format!(
                    "{}: expected {:?}, fired {fired:?}",
                    document.name, document.expected
                )),
            }
        })
        .collect()
}

#[test]
fn every_true_document_fires_its_detectors_and_no_others() {
    let documents = reader::read("true").unwrap();
    assert!(documents.len() >= 60, "{} documents", documents.len());
    let wrong = wrong(&documents);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_false_friend_fires_anything() {
    let documents = reader::read("false").unwrap();
    let expecting = documents.iter().find(|it| !it.expected.is_empty());
    assert!(expecting.is_none(), "a false friend expects something");
    let wrong = wrong(&documents);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(documents.len() >= 200, "{} documents", documents.len());
}

#[test]
fn every_shipped_detector_has_true_documents_of_its_own() {
    let documents = reader::read("true").unwrap();
    for shipped in SHIPPED {
        let count = documents
            .iter()
            .filter(|it| it.expected.contains(shipped.name))
            .count();
        let least = if shipped.name == "dicom" { 1 } else { 2 };
        assert!(count >= least, "{}: {count} documents", shipped.name);
    }
}

#[test]
fn names_are_unique_and_limits_few() {
    let mut names = BTreeSet::new();
    let mut count = 0;
    for kind in ["true", "false"] {
        for document in reader::read(kind).unwrap() {
            count += 1;
            assert!(names.insert(document.name.clone()), "{}", document.name);
            assert!(!document.content.is_empty(), "{}", document.name);
        }
    }
    assert!(KNOWN_LIMITS.len() * 100 <= count * 3);
    for (name, why) in KNOWN_LIMITS {
        assert!(names.contains(*name) && !why.is_empty(), "{name}");
    }
}
