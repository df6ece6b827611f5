//! That every rule, section, account and entry of the register takes effect where it is written
//! for: the engine's look-up against a plain reading of the source. A rule is taken as matching:
//! conditions and the index of rules are not run here, and the property tests are what holds them
//! against a plain reading.

use std::collections::{BTreeMap, HashMap};

use super::oracle::rank;
use super::{Tally, Witness};
use crate::mail::{Domain, DomainPattern, Level, Reason};
use crate::policy::evaluate::{asked, base_reason};
use crate::policy::judge::Judge;
use crate::policy::settings::{AccountSetting, DomainSetting};
use crate::policy::source::{DomainSection, ExceptionScope, GroupSection, UserSection};
use crate::policy::{Policy, source::Rule};

fn hole(facts: String, decision: String, why: &str) -> Option<Witness> {
    let why = why.to_owned();
    Some(Witness {
        facts,
        decision,
        why,
    })
}

/// Each rule, alone, as where its conditions are met.
pub(super) fn rules<J: Judge>(policy: &Policy, judge: &J, tally: &mut Tally) {
    let source = policy.source();
    let written: HashMap<&str, &Rule> = source
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    let compiled = &policy.compiled;
    let sets = [&compiled.live, &compiled.rejects];
    let count: usize = sets.iter().map(|set| set.rules.len()).sum();
    tally.tried((count != source.rules.len()).then(|| Witness {
        facts: format!("{} rules are written", source.rules.len()),
        decision: format!("{count} are asked"),
        why: "a rule is lost".to_owned(),
    }));
    let base = [base_reason(source.base)];
    for tests in &compiled.live.rules {
        if tally.is_full() {
            return;
        }
        let Some(rule) = written.get(&*tests.name) else {
            let why = "a rule is asked that nobody wrote";
            tally.tried(hole(format!("rule {}", tests.name), String::new(), why));
            continue;
        };
        let asked = asked(judge, source.base, &base, &[], &[tests]);
        let least = rule.raise.unwrap_or(source.base);
        let reached = rank(asked.level) >= rank(least) && rank(asked.level) >= rank(source.base);
        tally.tried(if reached {
            None
        } else {
            let facts = format!("rule {} matches and raises to {least}", rule.name);
            hole(facts, asked.level.to_string(), "a level is lowered")
        });
        let named = asked.holds.contains(&tests.name) || tests.at_least.is_some();
        tally.tried(if named || !rule.hold {
            None
        } else {
            let facts = format!("rule {} matches and holds", rule.name);
            hole(facts, "no hold".to_owned(), "a hold is lost")
        });
    }
}

/// Each section of a domain, at a name that it is for, and a name that none is for.
pub(super) fn domains(policy: &Policy, tally: &mut Tally) {
    let source = policy.source();
    let written: BTreeMap<String, &DomainSection> = source
        .domains
        .iter()
        .map(|section| (section.name.to_string(), section))
        .collect();
    let inside = source
        .domains
        .iter()
        .filter_map(|section| match &section.name {
            DomainPattern::Exact(domain) => Some(domain.as_str().to_owned()),
            DomainPattern::Below(domain) => {
                let below = format!("x--below.{domain}");
                Domain::parse(&below).ok().map(|_| below)
            }
        });
    for domain in inside.chain(["elsewhere.invalid".to_owned()]) {
        if tally.is_full() {
            return;
        }
        let mut sections: Vec<&DomainSection> = written.get(&domain).into_iter().copied().collect();
        for (dot, _) in domain.match_indices('.') {
            let above = domain.get(dot..).unwrap_or_default();
            sections.extend(written.get(&format!("*{above}")).copied());
        }
        let found = policy.compiled.domain(&domain);
        let fault = domain_fault(found, &sections);
        tally.tried(fault.and_then(|why| {
            let facts = format!("recipient domain {domain}");
            hole(facts, format!("{} sections match", sections.len()), why)
        }));
    }
}

fn asks(reasons: &[Reason], level: Level) -> bool {
    reasons
        .iter()
        .any(|reason| rank(reason.level) >= rank(level))
}

fn domain_fault(found: &DomainSetting, sections: &[&DomainSection]) -> Option<&'static str> {
    let raises = sections.iter().filter_map(|section| section.raise);
    if raises.into_iter().any(|level| !asks(&found.reasons, level)) {
        return Some("a section's level is lost");
    }
    if sections.iter().any(|section| section.tls_not_enough) && !found.tls_not_enough {
        return Some("tls_not_enough is lost");
    }
    if sections.iter().any(|section| section.require_pq) && !found.require_pq {
        return Some("require_pq is lost");
    }
    let mut pins = sections.iter().map(|section| &section.pin_mx);
    if pins
        .find(|pins| !pins.is_empty())
        .is_some_and(|pins| *pins != found.pin_mx)
    {
        return Some("the pins are not those of the most specific section");
    }
    let methods = sections.iter().find_map(|section| section.methods.as_ref());
    (methods != found.methods.as_ref())
        .then_some("the methods are not those of the most specific section")
}

/// Each account that is named anywhere, and one that is not.
pub(super) fn accounts(policy: &Policy, tally: &mut Tally) {
    let source = policy.source();
    let mut groups: BTreeMap<&str, Vec<&GroupSection>> = BTreeMap::new();
    for group in &source.groups {
        for member in &group.members {
            groups.entry(member).or_default().push(group);
        }
    }
    let mut users: BTreeMap<&str, Option<&UserSection>> =
        groups.keys().map(|name| (*name, None)).collect();
    for user in &source.users {
        users.insert(&user.name, Some(user));
    }
    for (name, user) in users {
        if tally.is_full() {
            return;
        }
        let found = policy.compiled.account(Some(name));
        let groups = groups.get(name).map_or(&[][..], Vec::as_slice);
        let sections = groups
            .iter()
            .map(|group| (group.raise, group.tls_not_enough, group.require_pq))
            .chain(user.map(|user| (user.raise, user.tls_not_enough, user.require_pq)));
        let fault = sections
            .into_iter()
            .find_map(|section| account_fault(found, section));
        let facts = format!("account {name}");
        tally.tried(fault.and_then(|why| hole(facts, format!("{} groups", groups.len()), why)));
    }
}

fn account_fault(
    found: &AccountSetting,
    (raise, tls_not_enough, require_pq): (Option<Level>, bool, bool),
) -> Option<&'static str> {
    if raise.is_some_and(|level| !asks(&found.reasons, level)) {
        return Some("a section's level is lost");
    }
    if tls_not_enough && !found.tls_not_enough {
        return Some("tls_not_enough is lost");
    }
    (require_pq && !found.require_pq).then_some("require_pq is lost")
}

/// Each entry of the register: found for its recipient, not for a neighbour.
pub(super) fn register(policy: &Policy, tally: &mut Tally) {
    for exception in &policy.source().exceptions {
        if tally.is_full() {
            return;
        }
        let entry = exception.entry();
        let (address, domain, slot) = match &exception.recipient {
            ExceptionScope::Address(address) => {
                let key = address.to_string().to_ascii_lowercase();
                (key, address.domain().as_str(), 0)
            }
            ExceptionScope::Domain(domain) => (format!("x@{domain}"), domain.as_str(), 1),
        };
        let own = policy.compiled.exceptions(&address, domain);
        let found = own.get(slot).copied().flatten() == Some(&entry);
        let neighbour = format!("not.{domain}");
        let strange = policy
            .compiled
            .exceptions(&format!("x@{neighbour}"), &neighbour)
            .into_iter()
            .flatten()
            .any(|other| *other == entry);
        tally.tried(if found && !strange {
            None
        } else {
            let facts = format!("exception for {}", entry.recipient);
            let what = if strange {
                "used for another"
            } else {
                "not found"
            };
            hole(facts, what.to_owned(), "the register is read wrongly")
        });
    }
}
