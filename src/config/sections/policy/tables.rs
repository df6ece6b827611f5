//! What a file may say of domains, groups, accounts, tags, exceptions, and of the operator's own
//! detectors.

use super::super::super::problem::{At, Sheet};
use super::super::super::reader::Section;
use super::super::super::value;
use super::{Draft, located, methods, place, rules, words};
use crate::mail::Level;
use crate::policy::source::{DomainSection, Exception, GroupSection, SubjectTag, UserSection};
use crate::scan::detect::{Dictionary, MAX_PATTERN_OCTETS, MAX_WORDS, Pattern};

/// Reads the tables that both the main file and an included one may have.
pub(super) fn read(sheet: &mut Sheet<'_>, policy: &mut Section<'_>, draft: &mut Draft<'_>) {
    let partners = policy.list(sheet, "partners", "[\"hospital.example\"]", value::domain);
    for partner in partners.into_iter().flat_map(|list| list.value) {
        if !draft.source.partners.contains(&partner.value) {
            draft.source.partners.push(partner.value);
        }
    }
    rules::read(sheet, policy, draft);
    for section in policy.sections(sheet, "domain") {
        domain(sheet, section, draft);
    }
    for section in policy.sections(sheet, "group") {
        group(sheet, section, draft);
    }
    for section in policy.sections(sheet, "user") {
        user(sheet, section, draft);
    }
    for section in policy.sections(sheet, "tag") {
        tag(sheet, section, draft);
    }
    for section in policy.sections(sheet, "exception") {
        exception(sheet, section, draft);
    }
    for section in policy.sections(sheet, "dictionary") {
        dictionary(sheet, section, draft);
    }
    for section in policy.sections(sheet, "pattern") {
        pattern(sheet, section, draft);
    }
    if let Some(file) = policy.optional(sheet, "icd10_codes", value::path) {
        if draft.places.code_file.is_some() {
            sheet.wrong(
                file.at,
                "policy.icd10_codes stands in two files",
                "remove one of them",
            );
        }
        draft.places.code_file = Some(located(file, draft.base));
    }
}

/// What sections of domains, groups and accounts have in common.
struct Terms {
    raise: Option<Level>,
    tls_not_enough: bool,
    require_pq: bool,
}

fn terms(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Terms {
    let raise = section.optional(sheet, "raise", value::level);
    let mut flag = |key| section.optional(sheet, key, value::boolean);
    Terms {
        raise: raise.map(|level| level.value),
        tls_not_enough: flag("tls_not_enough").is_some_and(|flag| flag.value),
        require_pq: flag("require_pq").is_some_and(|flag| flag.value),
    }
}

fn domain(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let name = section.required(
        sheet,
        "name",
        "add it, as in name = \"hospital.example\"",
        words::domain_pattern,
    );
    let methods = methods(sheet, &mut section);
    let pins = section.one_or_more(sheet, "pin_mx", words::domain_pattern);
    if let Some(pins) = &pins
        && pins.value.is_empty()
    {
        sheet.wrong(
            pins.at,
            "policy.domain.pin_mx is empty",
            "name the MX hosts that may be used, or remove it",
        );
    }
    let terms = terms(sheet, &mut section);
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let Some(name) = name else { return };
    place(draft, "domain", at, places);
    draft.source.domains.push(DomainSection {
        name: name.value,
        raise: terms.raise,
        methods,
        tls_not_enough: terms.tls_not_enough,
        pin_mx: values(pins),
        require_pq: terms.require_pq,
    });
}

fn values<T>(list: Option<At<Vec<At<T>>>>) -> Vec<T> {
    let list = list.map(|list| list.value).unwrap_or_default();
    list.into_iter().map(|entry| entry.value).collect()
}

fn group(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let name = section.required(
        sheet,
        "name",
        "add it, as in name = \"research\"",
        words::name,
    );
    if !section.has("members") {
        sheet.wrong(
            section.at(),
            "policy.group.members is missing",
            "add the accounts, as in members = [\"billing\"]",
        );
    }
    let members = section.list(sheet, "members", "[\"billing\"]", value::word);
    let terms = terms(sheet, &mut section);
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let (Some(name), Some(members)) = (name, members) else {
        return;
    };
    place(draft, "group", at, places);
    draft.source.groups.push(GroupSection {
        name: name.value,
        members: values(Some(members)),
        raise: terms.raise,
        tls_not_enough: terms.tls_not_enough,
        require_pq: terms.require_pq,
    });
}

fn user(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let name = section.required(
        sheet,
        "name",
        "add the account, as in name = \"billing\"",
        value::word,
    );
    let terms = terms(sheet, &mut section);
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let Some(name) = name else { return };
    place(draft, "user", at, places);
    draft.source.users.push(UserSection {
        name: name.value,
        raise: terms.raise,
        tls_not_enough: terms.tls_not_enough,
        require_pq: terms.require_pq,
    });
}

fn tag(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let text = section.required(
        sheet,
        "text",
        "add it, as in text = \"[secure]\"",
        words::name,
    );
    let raise = section.required(
        sheet,
        "raise",
        "add the level, as in raise = \"confidential\"",
        value::level,
    );
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let (Some(text), Some(raise)) = (text, raise) else {
        return;
    };
    place(draft, "tag", at, places);
    draft.source.tags.push(SubjectTag {
        text: text.value,
        raise: raise.value,
    });
}

fn exception(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let recipient = section.required(
        sheet,
        "recipient",
        "add it, as in recipient = \"fax@gateway.example\"",
        words::scope,
    );
    let allow = section.required(
        sheet,
        "allow",
        "add the lowest grade, allow = \"any\" or allow = \"none\"",
        words::allowance,
    );
    let max_level = section.optional(sheet, "max_level", value::level);
    let owner = section.required(
        sheet,
        "owner",
        "add who answers for it, as in owner = \"jo@clinic.example\"",
        words::name,
    );
    let second_owner = section.optional(sheet, "second_owner", words::name);
    let reason = section.required(
        sheet,
        "reason",
        "add a reason code, as in reason = \"patient-request\"",
        words::name,
    );
    let warning = section.optional(sheet, "warning", value::word);
    let offset = draft.source.utc_offset_minutes;
    let expires = section.required(
        sheet,
        "expires",
        "add the day that it ends, as in expires = 2027-01-31",
        |value| words::moment(value, offset),
    );
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let exception = (|| {
        Some(Exception {
            recipient: recipient?.value,
            allow: allow?.value,
            max_level: max_level.map_or(Level::Protected, |level| level.value),
            owner: owner?.value,
            second_owner: second_owner.map(|owner| owner.value),
            reason: reason?.value,
            warning: warning.map(|text| text.value),
            expires: expires?.value,
        })
    })();
    if let Some(exception) = exception {
        place(draft, "exception", at, places);
        draft.source.exceptions.push(exception);
    }
}

fn dictionary(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    const MEND: &str = "add words = [\"…\"], or file = \"FILE\" with one a line";
    let name = detector_name(sheet, &mut section);
    let words = section.list(sheet, "words", "[\"Project Apollo\"]", value::word);
    let file = section.optional(sheet, "file", value::path);
    let raise = section.optional(sheet, "raise", value::level);
    let limit = u64::try_from(MAX_WORDS).unwrap_or(u64::MAX);
    let at_least = section.optional(sheet, "at_least", value::number(1, limit));
    let case_sensitive = section.optional(sheet, "case_sensitive", value::boolean);
    match (section.has("words"), section.has("file")) {
        (false, false) => {
            sheet.wrong(section.at(), "policy.dictionary has no words", MEND);
        }
        (true, true) => sheet.wrong(
            section.at(),
            "policy.dictionary has both words and file",
            "remove one of them",
        ),
        _ => {}
    }
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let Some(name) = name else { return };
    if let Some(file) = file {
        let number = draft.detectors.dictionaries.len();
        let file = located(file, draft.base);
        draft.places.word_files.push((number, file));
    }
    let level = raise.map_or(Level::Confidential, |level| level.value);
    place(draft, "dictionary", at, places);
    draft.source.detectors.insert(name.clone(), level);
    draft.detectors.dictionaries.push(Dictionary {
        name,
        words: values(words),
        case_sensitive: case_sensitive.is_some_and(|flag| flag.value),
        at_least: at_least.map_or(1, |least| u32::try_from(least.value).unwrap_or(u32::MAX)),
    });
}

fn pattern(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let name = detector_name(sheet, &mut section);
    let regex = section.required(
        sheet,
        "regex",
        "add it, as in regex = \"\\\\bCASE-[0-9]{6}\\\\b\"",
        |value| {
            let text = value::word(value)?;
            if text.len() > MAX_PATTERN_OCTETS {
                return Err(super::super::super::reader::Wrong::new(
                    format!("is longer than {MAX_PATTERN_OCTETS} octets"),
                    "split it into several patterns",
                ));
            }
            Ok(text)
        },
    );
    let raise = section.optional(sheet, "raise", value::level);
    let (at, places) = (section.at(), section.places());
    section.finish(sheet);
    let (Some(name), Some(regex)) = (name, regex) else {
        return;
    };
    let level = raise.map_or(Level::Confidential, |level| level.value);
    place(draft, "pattern", at, places);
    draft.source.detectors.insert(name.clone(), level);
    draft.detectors.patterns.push(Pattern {
        name,
        regex: regex.value,
    });
}

fn detector_name(sheet: &mut Sheet<'_>, section: &mut Section<'_>) -> Option<String> {
    let name = section.required(
        sheet,
        "name",
        "add it, as in name = \"project-names\"",
        words::name,
    );
    name.map(|name| name.value)
}
