//! `[policy]`: how every message is protected. What an included file may say of it, and what only
//! the main file may.
//!
//! Whether the parts of a policy fit together is for the policy itself to say
//! ([`crate::policy::Policy::compile`]); here each key is read for itself, and its place is kept
//! for that answer.

mod rules;
mod tables;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::places::Places;
use super::super::problem::{At, Sheet, Spot};
use super::super::reader::Section;
use super::super::value;
use crate::mail::{Level, Method};
use crate::policy::PolicySource;
use crate::policy::source::SubjectTag;
use crate::scan::detect::{DetectorSource, SHIPPED};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long decisions are kept, where `policy.records.retention` does not say: six years.
pub(super) const RETENTION: Duration = Duration::from_secs(2190 * DAY.as_secs());
/// The longest that they are: a hundred years.
const MAX_RETENTION: Duration = Duration::from_secs(36_500 * DAY.as_secs());
/// What only the main file may say.
const MAIN_ONLY: [&str; 9] = [
    "base",
    "methods",
    "include",
    "utc_offset",
    "unscannable",
    "media",
    "default_tags",
    "detectors",
    "records",
];

/// A policy while it is read, from one file after the other.
#[derive(Debug)]
pub(in super::super) struct Draft<'d> {
    /// What becomes the policy.
    pub source: &'d mut PolicySource,
    /// What becomes the detectors.
    pub detectors: &'d mut DetectorSource,
    /// Where everything stands.
    pub places: &'d mut Places,
    /// The directory that relative paths are taken from.
    pub base: &'d Path,
}

/// What an empty `[policy]` means.
pub(super) fn default_source() -> PolicySource {
    let detectors = SHIPPED
        .iter()
        .map(|detector| (detector.name.to_owned(), Level::Confidential));
    PolicySource {
        methods: vec![Method::Tls, Method::Smime, Method::Portal],
        detectors: detectors.collect(),
        unscannable: Some(Level::Confidential),
        media: Some(Level::Confidential),
        ..PolicySource::default()
    }
}

/// The tags that senders may use where the operator names none.
fn default_tags() -> Vec<SubjectTag> {
    let tag = |text: &str, raise| SubjectTag {
        text: text.to_owned(),
        raise,
    };
    vec![
        tag("[secure]", Level::Confidential),
        tag("[restricted]", Level::Restricted),
    ]
}

/// Reads `[policy]` of the main file into a draft that holds the defaults; how long decisions are
/// kept.
pub(super) fn main_file(
    sheet: &mut Sheet<'_>,
    root: &mut Section<'_>,
    draft: &mut Draft<'_>,
) -> Duration {
    let Some(mut section) = root.section(sheet, "policy") else {
        draft.source.tags = default_tags();
        return RETENTION;
    };
    if let Some(level) = section.optional(sheet, "base", value::level) {
        draft.source.base = level.value;
    }
    if let Some(list) = methods(sheet, &mut section) {
        draft.source.methods = list;
    }
    if let Some(minutes) = section.optional(sheet, "utc_offset", words::utc_offset) {
        draft.source.utc_offset_minutes = minutes.value;
    }
    if let Some(level) = section.optional(sheet, "unscannable", words::level_or_off) {
        draft.source.unscannable = level.value;
        draft.source.media = level.value;
    }
    if let Some(level) = section.optional(sheet, "media", words::level_or_off) {
        draft.source.media = level.value;
    }
    let files = section.list(sheet, "include", "[\"policy.d/*.toml\"]", value::path);
    draft.places.includes = files.map(|list| list.value).unwrap_or_default();
    shipped_detectors(sheet, &mut section, draft);
    let retention = records(sheet, &mut section);
    // Last of the switches: whether a tag stands anywhere is known when all files are read.
    let tags = section.optional(sheet, "default_tags", value::boolean);
    tables::read(sheet, &mut section, draft);
    draft.places.top(section.at(), section.places());
    section.finish(sheet);
    draft.places.default_tags = tags.is_none_or(|wanted| wanted.value);
    give_default_tags(draft.source, draft.places);
    retention
}

/// Reads `[policy]` of an included file.
pub(in super::super) fn included_file(
    sheet: &mut Sheet<'_>,
    mut section: Section<'_>,
    draft: &mut Draft<'_>,
) {
    section.refuse(
        sheet,
        &MAIN_ONLY,
        "stands in an included file, and is said once for all",
        "move it into the main file",
    );
    if draft.places.has_default_tags {
        draft.source.tags.clear();
        draft.places.has_default_tags = false;
    }
    tables::read(sheet, &mut section, draft);
    section.finish(sheet);
    give_default_tags(draft.source, draft.places);
}

/// The shipped tags stand only where there is none of the operator's.
fn give_default_tags(source: &mut PolicySource, places: &mut Places) {
    if source.tags.is_empty() && places.default_tags {
        source.tags = default_tags();
        places.has_default_tags = true;
    }
}

/// A list of methods: not empty, none twice.
fn methods(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Option<Vec<Method>> {
    let list = section.list(sheet, "methods", "[\"tls\"]", value::method)?;
    let name = section.name("methods");
    if list.value.is_empty() {
        sheet.wrong(
            list.at,
            format!("{name} is empty: no mail could go anywhere"),
            "write methods = [\"tls\"]",
        );
        return None;
    }
    let mut methods = Vec::new();
    for method in list.value {
        if methods.contains(&method.value) {
            let what = format!("an entry of {name} names \"{}\" again", method.value);
            sheet.wrong(method.at, what, "remove it");
        } else {
            methods.push(method.value);
        }
    }
    Some(methods)
}

/// `[policy.detectors]`: a level for each shipped detector, or `"off"`.
fn shipped_detectors(sheet: &mut Sheet<'_>, section: &mut Section<'_>, draft: &mut Draft<'_>) {
    draft.detectors.enabled = SHIPPED.iter().map(|it| it.name.to_owned()).collect();
    let Some(mut section) = section.section(sheet, "detectors") else {
        return;
    };
    for detector in SHIPPED {
        match section.optional(sheet, detector.name, words::level_or_off) {
            None => {}
            Some(At {
                value: Some(level), ..
            }) => {
                draft
                    .source
                    .detectors
                    .insert(detector.name.to_owned(), level);
            }
            Some(At { value: None, at }) => {
                draft.source.detectors.remove(detector.name);
                draft.detectors.enabled.remove(detector.name);
                draft.places.switched_off.push(At {
                    value: detector.name,
                    at,
                });
            }
        }
    }
    section.finish(sheet);
}

/// `[policy.records]`.
fn records(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Duration {
    let Some(mut section) = section.section(sheet, "records") else {
        return RETENTION;
    };
    let span = value::duration(DAY, MAX_RETENTION);
    let retention = section.optional(sheet, "retention", span);
    section.finish(sheet);
    retention.map_or(RETENTION, |span| span.value)
}

/// A path that was written in a file, taken from the directory of the main file.
fn located(path: At<PathBuf>, base: &Path) -> At<PathBuf> {
    super::located(path, base)
}

/// Notes where a table of `draft` stands.
fn place(draft: &mut Draft<'_>, table: &'static str, at: Spot, keys: Vec<(&'static str, Spot)>) {
    draft.places.add(table, at, keys);
}
