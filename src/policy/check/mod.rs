//! What is wrong with a policy as written: found at load, so that nothing surprises later.
//!
//! Owns the words for every fault, with its mend. A problem refuses the policy; a warning is
//! something that does nothing now and harms nothing. Sections and the register stand here,
//! rules in [`rules`], rules against one another in [`clash`].

mod clash;
mod relate;
mod rules;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::PolicyProblem;
use super::sets::{Key, address_key, parents};
use super::source::{DomainSection, Exception, ExceptionScope, PolicySource};
use crate::mail::{Level, Method, Timestamp};

/// Most rules of a policy.
pub const MAX_RULES: usize = 20_000;
/// Most sections of domains, of groups and of accounts, and most exceptions: of each.
pub const MAX_SECTIONS: usize = 20_000;
/// Most subject tags.
pub const MAX_TAGS: usize = 100;
/// Most conditions of a rule.
pub const MAX_CONDITIONS: usize = 32;
/// Most values of one condition.
pub const MAX_VALUES: usize = 10_000;
/// Octets of a regular expression as written.
pub const MAX_PATTERN_OCTETS: usize = 4096;
/// Most minutes that local time is off UTC: 14 hours.
const MAX_OFFSET_MINUTES: i32 = 14 * 60;

/// What is known of the daemon around the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The largest message that is taken, in octets; `None` where that is not known.
    pub message_size: Option<u64>,
}

pub(super) fn problem(
    table: &'static str,
    index: usize,
    key: &'static str,
    what: impl Into<String>,
    mend: impl Into<String>,
) -> PolicyProblem {
    PolicyProblem {
        table,
        index,
        key,
        what: what.into(),
        mend: mend.into(),
    }
}

/// Everything that refuses the policy, in the order of the tables.
pub(super) fn problems(source: &PolicySource, bounds: Bounds) -> Vec<PolicyProblem> {
    let mut found = Vec::new();
    counts(source, &mut found);
    if !found.is_empty() {
        // What is too long is not read to its end.
        return found;
    }
    methods("", 0, &source.methods, &mut found);
    if source.utc_offset_minutes.abs() > MAX_OFFSET_MINUTES {
        let what = "local time is more than 14 hours off UTC";
        found.push(problem("", 0, "utc_offset", what, "write it as \"+01:00\""));
    }
    rules::problems(source, bounds, &mut found);
    clash::problems(source, &mut found);
    domains(source, &mut found);
    accounts(source, &mut found);
    tags(source, &mut found);
    register(source, &mut found);
    found
}

fn counts(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    for (table, count, most) in [
        ("rule", source.rules.len(), MAX_RULES),
        ("domain", source.domains.len(), MAX_SECTIONS),
        ("group", source.groups.len(), MAX_SECTIONS),
        ("user", source.users.len(), MAX_SECTIONS),
        ("tag", source.tags.len(), MAX_TAGS),
        ("exception", source.exceptions.len(), MAX_SECTIONS),
    ] {
        if count > most {
            let what = format!("there are {count} tables of this kind, and {most} is the most");
            let mend = "name several values in one of them, or use domains and groups";
            found.push(problem(table, most, "", what, mend));
        }
    }
}

/// Numbers of the second and later tables that have the same name.
fn repeats<K: std::hash::Hash + Eq>(names: impl Iterator<Item = K>) -> Vec<(usize, usize)> {
    let mut first: HashMap<K, usize> = HashMap::new();
    let mut repeats = Vec::new();
    for (index, name) in names.enumerate() {
        match first.get(&name) {
            Some(&earlier) => repeats.push((index, earlier)),
            None => {
                first.insert(name, index);
            }
        }
    }
    repeats
}

fn methods(table: &'static str, index: usize, list: &[Method], found: &mut Vec<PolicyProblem>) {
    if list.is_empty() {
        let what = "the list of methods is empty: no mail could go anywhere";
        let mend = "name at least one of \"tls\", \"smime\", \"portal\"";
        found.push(problem(table, index, "methods", what, mend));
    }
    for (repeat, _) in repeats(list.iter()) {
        let name = list.get(repeat).map_or("", |method| method.as_str());
        let what = format!("the method \"{name}\" stands twice");
        found.push(problem(table, index, "methods", what, "name it once"));
    }
}

/// A section asks for a level that is there anyway.
fn raise(
    table: &'static str,
    index: usize,
    level: Option<Level>,
    inherited: Level,
    whose: &str,
    found: &mut Vec<PolicyProblem>,
) {
    let Some(level) = level.filter(|level| *level <= inherited) else {
        return;
    };
    let what = if level < inherited {
        format!(
            "\"{level}\" is below \"{inherited}\", which {whose} already gives: nothing lowers a level"
        )
    } else {
        format!("\"{level}\" never has an effect: {whose} already gives it")
    };
    let mend = "name a higher level, or remove it";
    found.push(problem(table, index, "raise", what, mend));
}

fn domains(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    let key = |section: &DomainSection| Key::from(&section.name);
    for (index, earlier) in repeats(source.domains.iter().map(key)) {
        let what = format!("the domain has a section already, number {}", earlier + 1);
        found.push(problem(
            "domain",
            index,
            "name",
            what,
            "make one of the two",
        ));
    }
    let raises: BTreeMap<Key, Level> = source
        .domains
        .iter()
        .filter_map(|section| Some((key(section), section.raise?)))
        .collect();
    for (index, section) in source.domains.iter().enumerate() {
        let mut inherited = (source.base, "the base".to_owned());
        let name = match key(section) {
            Key::Domain(name) | Key::Below(name) | Key::Address(name) => name,
        };
        for parent in parents(&name) {
            if let Some(&level) = raises.get(&Key::Below(parent.into()))
                && level > inherited.0
            {
                inherited = (level, format!("the section \"*.{parent}\""));
            }
        }
        raise(
            "domain",
            index,
            section.raise,
            inherited.0,
            &inherited.1,
            found,
        );
        if let Some(list) = &section.methods {
            methods("domain", index, list, found);
            if section.tls_not_enough && list.as_slice() == [Method::Tls] {
                let what = "the only method is \"tls\", which is said not to be enough";
                let mend = "name another method, or remove tls_not_enough";
                found.push(problem("domain", index, "methods", what, mend));
            }
        }
    }
}

fn accounts(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    for (index, earlier) in repeats(source.groups.iter().map(|group| &group.name)) {
        let what = format!("the group has a section already, number {}", earlier + 1);
        found.push(problem("group", index, "name", what, "make one of the two"));
    }
    for (index, earlier) in repeats(source.users.iter().map(|user| &user.name)) {
        let what = format!("the account has a section already, number {}", earlier + 1);
        found.push(problem("user", index, "name", what, "make one of the two"));
    }
    let mut of_groups: HashMap<&str, (Level, &str)> = HashMap::new();
    for (index, group) in source.groups.iter().enumerate() {
        if group.members.is_empty() {
            let what = "the group has no members";
            found.push(problem(
                "group",
                index,
                "members",
                what,
                "name its accounts, or remove it",
            ));
        }
        raise("group", index, group.raise, source.base, "the base", found);
        for member in &group.members {
            let asked = (group.raise.unwrap_or(source.base), group.name.as_str());
            let known = of_groups.entry(member).or_insert(asked);
            *known = (*known).max(asked);
        }
    }
    for (index, user) in source.users.iter().enumerate() {
        let inherited = of_groups.get(user.name.as_str());
        match inherited.filter(|(level, _)| *level > source.base) {
            Some((level, group)) => {
                let whose = format!("the group \"{group}\"");
                raise("user", index, user.raise, *level, &whose, found);
            }
            None => raise("user", index, user.raise, source.base, "the base", found),
        }
    }
}

fn tags(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    for (index, tag) in source.tags.iter().enumerate() {
        if tag.text.trim().is_empty() {
            let what = "the tag is empty: it would stand in every subject";
            found.push(problem(
                "tag",
                index,
                "text",
                what,
                "write one such as \"[secure]\"",
            ));
        }
    }
    let texts = source.tags.iter().map(|tag| tag.text.to_lowercase());
    for (index, earlier) in repeats(texts) {
        let what = format!(
            "the tag is there already, number {}; case does not matter",
            earlier + 1
        );
        found.push(problem("tag", index, "text", what, "remove one of the two"));
    }
}

fn scope(exception: &Exception) -> Key {
    match &exception.recipient {
        ExceptionScope::Address(address) => Key::Address(address_key(address).into()),
        ExceptionScope::Domain(domain) => Key::Domain(domain.as_str().into()),
    }
}

fn register(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    let mut fault = |index, key, what: String, mend: &str| {
        found.push(problem("exception", index, key, what, mend));
    };
    for (index, earlier) in repeats(source.exceptions.iter().map(scope)) {
        let what = format!(
            "the recipient has an exception already, number {}",
            earlier + 1
        );
        fault(index, "recipient", what, "remove one of the two");
    }
    for (index, exception) in source.exceptions.iter().enumerate() {
        let owner = exception.owner.trim();
        if owner.is_empty() {
            let what = "nobody answers for the exception".to_owned();
            fault(index, "owner", what, "name a person");
        }
        if exception.reason.trim().is_empty() {
            let what = "the exception has no reason".to_owned();
            fault(
                index,
                "reason",
                what,
                "write a code such as \"patient-request\"",
            );
        }
        let second = exception.second_owner.as_deref().map(str::trim);
        let whole_domain = matches!(exception.recipient, ExceptionScope::Domain(_));
        match second {
            None | Some("") if whole_domain => {
                let what = "an exception for a whole domain needs a second owner".to_owned();
                fault(
                    index,
                    "second_owner",
                    what,
                    "name another person, or one address",
                );
            }
            Some(second) if second.eq_ignore_ascii_case(owner) => {
                let what = "the second owner is the owner".to_owned();
                fault(index, "second_owner", what, "name another person");
            }
            _ => {}
        }
        if exception.max_level == Level::Sealed {
            let what = "no exception reaches \"sealed\": TLS alone never does".to_owned();
            fault(index, "max_level", what, "name a lower level");
        }
    }
}

/// What does nothing at the moment `now`, and harms nothing.
pub(super) fn warnings(source: &PolicySource, now: Timestamp) -> Vec<PolicyProblem> {
    let mut found = Vec::new();
    for (index, tag) in source.tags.iter().enumerate() {
        if tag.raise <= source.base {
            let what = format!("the tag raises nothing: the base is \"{}\"", source.base);
            found.push(problem(
                "tag",
                index,
                "raise",
                what,
                "name a higher level, or remove it",
            ));
        }
    }
    let sections: HashMap<Key, &DomainSection> = source
        .domains
        .iter()
        .map(|section| (Key::from(&section.name), section))
        .collect();
    for (index, exception) in source.exceptions.iter().enumerate() {
        let mut warn = |key, what: String, mend: &str| {
            found.push(problem("exception", index, key, what, mend));
        };
        if exception.expires <= now {
            let what = format!("the exception expired at {}", exception.expires);
            warn("expires", what, "remove it, or have its owner renew it");
        }
        let domain = match &exception.recipient {
            ExceptionScope::Address(address) => address.domain().as_str(),
            ExceptionScope::Domain(domain) => domain.as_str(),
        };
        let keys = std::iter::once(Key::Domain(domain.into()))
            .chain(parents(domain).map(|parent| Key::Below(parent.into())));
        let matching: Vec<&DomainSection> =
            keys.filter_map(|key| sections.get(&key).copied()).collect();
        let raised = matching.iter().filter_map(|section| section.raise).max();
        let least = raised.unwrap_or(source.base).max(source.base);
        if least > exception.max_level {
            let what = format!(
                "the exception is inert: mail to this recipient is at least \"{least}\", and it ends at \"{}\"",
                exception.max_level
            );
            warn(
                "max_level",
                what,
                "raise max_level, or remove the exception",
            );
        }
        let methods = matching.iter().find_map(|section| section.methods.as_ref());
        let without_tls = !methods.unwrap_or(&source.methods).contains(&Method::Tls);
        if without_tls || matching.iter().any(|section| section.tls_not_enough) {
            let what = "the exception is inert: content for this domain never goes by TLS alone";
            warn(
                "recipient",
                what.to_owned(),
                "remove it, or change the domain's section",
            );
        }
    }
    found
}

/// Names that a policy has, for what refers to them.
pub(super) struct Names<'a> {
    /// Groups with their members.
    pub(super) groups: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(source: &'a PolicySource) -> Self {
        let groups = source.groups.iter().map(|group| {
            let members = group.members.iter().map(String::as_str).collect();
            (group.name.as_str(), members)
        });
        Self {
            groups: groups.collect(),
        }
    }
}
