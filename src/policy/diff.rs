//! What changed between two policies, in words, and which way.
//!
//! Owns the judgement whether a change strengthens or weakens. It looks at each change alone:
//! what another entry makes up for is not counted. Where it cannot tell it says so.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::canonical;
use super::source::{DomainSection, Exception, ExceptionScope, PolicySource, Rule, SubjectTag};
use crate::mail::{Allowance, Level, Method};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Some mail may be protected less, or go without a person's look.
    Weakens,
    /// It depends on the mail.
    Either,
    /// Nothing about protection.
    Neutral,
    /// Some mail is protected more, or waits for a person, and none less.
    Strengthens,
}

impl Effect {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weakens => "weakens",
            Self::Either => "either",
            Self::Neutral => "neutral",
            Self::Strengthens => "strengthens",
        }
    }

    const fn reversed(self) -> Self {
        match self {
            Self::Weakens => Self::Strengthens,
            Self::Strengthens => Self::Weakens,
            Self::Either | Self::Neutral => self,
        }
    }

    /// Of two changes that come together.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Neutral, effect) | (effect, Self::Neutral) => effect,
            (Self::Weakens, Self::Weakens) => Self::Weakens,
            (Self::Strengthens, Self::Strengthens) => Self::Strengthens,
            _ => Self::Either,
        }
    }

    fn of<T: Ord>(before: &T, after: &T) -> Self {
        match after.cmp(before) {
            std::cmp::Ordering::Less => Self::Weakens,
            std::cmp::Ordering::Equal => Self::Neutral,
            std::cmp::Ordering::Greater => Self::Strengthens,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Change {
    /// What, in words.
    pub what: String,
    /// Which way.
    pub effect: Effect,
}

/// What changed from `a` to `b`: settings first, then table by table in the order of names.
pub fn diff(a: &PolicySource, b: &PolicySource) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.settings(a, b);
    changes.entries(
        "rule",
        keyed(&a.rules, |rule| format!("\"{}\"", rule.name)),
        keyed(&b.rules, |rule| format!("\"{}\"", rule.name)),
        rule_effect,
        rule_words,
    );
    changes.entries(
        "domain",
        keyed(&a.domains, |domain| domain.name.to_string()),
        keyed(&b.domains, |domain| domain.name.to_string()),
        |domain| domain_changed(&empty_domain(domain), domain),
        domain_words,
    );
    changes.entries(
        "group",
        keyed(&a.groups, |group| group.name.clone()),
        keyed(&b.groups, |group| group.name.clone()),
        |group| strengthens(group.raise, group.tls_not_enough || group.require_pq),
        |old, new| {
            let (gone, come) = (
                missing(&old.members, &new.members),
                missing(&new.members, &old.members),
            );
            let members = match (gone, come) {
                (false, false) => Effect::Neutral,
                (true, false) => Effect::Weakens,
                (false, true) => Effect::Strengthens,
                (true, true) => Effect::Either,
            };
            let settings = section_changed(
                (old.raise, old.tls_not_enough, old.require_pq),
                (new.raise, new.tls_not_enough, new.require_pq),
            );
            (String::new(), members.and(settings))
        },
    );
    changes.entries(
        "account",
        keyed(&a.users, |user| user.name.clone()),
        keyed(&b.users, |user| user.name.clone()),
        |user| strengthens(user.raise, user.tls_not_enough || user.require_pq),
        |old, new| {
            let effect = section_changed(
                (old.raise, old.tls_not_enough, old.require_pq),
                (new.raise, new.tls_not_enough, new.require_pq),
            );
            (String::new(), effect)
        },
    );
    changes.entries(
        "tag",
        keyed(&a.tags, |tag| tag.text.to_lowercase()),
        keyed(&b.tags, |tag| tag.text.to_lowercase()),
        |_: &SubjectTag| Effect::Strengthens,
        |old, new| {
            (
                from_to(old.raise, new.raise),
                Effect::of(&old.raise, &new.raise),
            )
        },
    );
    changes.entries(
        "exception",
        keyed(&a.exceptions, exception_name),
        keyed(&b.exceptions, exception_name),
        |_| Effect::Weakens,
        exception_words,
    );
    changes.list
}

#[derive(Default)]
struct Changes {
    list: Vec<Change>,
}

type Keyed<'a, T> = BTreeMap<String, &'a T>;

fn keyed<T>(list: &[T], key: impl Fn(&T) -> String) -> Keyed<'_, T> {
    list.iter().map(|entry| (key(entry), entry)).collect()
}

impl Changes {
    fn push(&mut self, what: String, effect: Effect) {
        self.list.push(Change { what, effect });
    }

    /// `new` says which way an entry goes that was not there; `changed` what changed in one.
    fn entries<T: PartialEq>(
        &mut self,
        table: &str,
        before: Keyed<'_, T>,
        after: Keyed<'_, T>,
        new: impl Fn(&T) -> Effect,
        changed: impl Fn(&T, &T) -> (String, Effect),
    ) {
        for (name, entry) in &before {
            if !after.contains_key(name) {
                self.push(format!("{table} {name} removed"), new(entry).reversed());
            }
        }
        for (name, entry) in &after {
            let Some(old) = before.get(name) else {
                self.push(format!("{table} {name} added"), new(entry));
                continue;
            };
            if old == entry {
                continue;
            }
            let (words, effect) = changed(old, entry);
            let colon = if words.is_empty() { "" } else { ": " };
            self.push(format!("{table} {name} changed{colon}{words}"), effect);
        }
    }

    fn settings(&mut self, a: &PolicySource, b: &PolicySource) {
        if a.base != b.base {
            let words = format!("base {}", from_to(a.base, b.base));
            self.push(words, Effect::of(&a.base, &b.base));
        }
        if a.methods != b.methods {
            let words = format!("methods {} → {}", list(&a.methods), list(&b.methods));
            // The filter does not depend on the order or the list: every method reaches the level.
            self.push(words, Effect::Neutral);
        }
        for (name, before, after) in [
            ("S/MIME", a.smime, b.smime),
            ("the portal", a.portal, b.portal),
        ] {
            if before != after {
                let now = if after {
                    "configured"
                } else {
                    "no longer configured"
                };
                self.push(format!("{name} {now}"), Effect::Neutral);
            }
        }
        if a.downgrade_hold != b.downgrade_hold {
            let (x, y) = (a.downgrade_hold.as_secs(), b.downgrade_hold.as_secs());
            self.push(format!("downgrade_hold {x} s → {y} s"), Effect::of(&x, &y));
        }
        if a.utc_offset_minutes != b.utc_offset_minutes {
            let (x, y) = (a.utc_offset_minutes, b.utc_offset_minutes);
            self.push(format!("utc_offset {x} → {y} minutes"), Effect::Either);
        }
        for (domain, effect) in a
            .partners
            .iter()
            .filter(|domain| !b.partners.contains(domain))
            .map(|domain| (format!("partner {domain} removed"), Effect::Either))
            .chain(
                b.partners
                    .iter()
                    .filter(|domain| !a.partners.contains(domain))
                    .map(|domain| (format!("partner {domain} added"), Effect::Either)),
            )
        {
            self.push(domain, effect);
        }
        for (name, before, after) in [
            ("unscannable", a.unscannable, b.unscannable),
            ("media", a.media, b.media),
        ] {
            self.level(name, before, after);
        }
        let names = a.detectors.keys().chain(b.detectors.keys());
        let names: std::collections::BTreeSet<&String> = names.collect();
        for name in names {
            let (before, after) = (a.detectors.get(name), b.detectors.get(name));
            self.level(&format!("detector {name}"), before.copied(), after.copied());
            if a.detector_digests.get(name) != b.detector_digests.get(name) {
                let words = format!("detector {name} looks for something else");
                self.push(words, Effect::Either);
            }
        }
    }

    fn level(&mut self, name: &str, before: Option<Level>, after: Option<Level>) {
        if before != after {
            let word = |level: Option<Level>| level.map_or("off", Level::as_str);
            let words = format!("{name} {} → {}", word(before), word(after));
            self.push(words, Effect::of(&before, &after));
        }
    }
}

fn from_to(before: Level, after: Level) -> String {
    format!("{before} → {after}")
}

fn list(methods: &[Method]) -> String {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    names.join(", ")
}

fn missing(these: &[String], those: &[String]) -> bool {
    these.iter().any(|name| !those.contains(name))
}

const fn strengthens(raise: Option<Level>, more: bool) -> Effect {
    if raise.is_some() || more {
        Effect::Strengthens
    } else {
        Effect::Neutral
    }
}

fn section_changed(old: (Option<Level>, bool, bool), new: (Option<Level>, bool, bool)) -> Effect {
    Effect::of(&old.0, &new.0)
        .and(Effect::of(&old.1, &new.1))
        .and(Effect::of(&old.2, &new.2))
}

fn rule_effect(rule: &Rule) -> Effect {
    strengthens(rule.raise, rule.hold || rule.reject.is_some())
}

fn rule_words(old: &Rule, new: &Rule) -> (String, Effect) {
    let mut words = Vec::new();
    let mut effect = Effect::Neutral;
    if canonical::conditions(&old.when) != canonical::conditions(&new.when) {
        words.push("its conditions".to_owned());
        effect = effect.and(match rule_effect(old).and(rule_effect(new)) {
            Effect::Neutral => Effect::Neutral,
            _ => Effect::Either,
        });
    }
    if old.raise != new.raise {
        let word = |level: Option<Level>| level.map_or("nothing", Level::as_str);
        words.push(format!("raise {} → {}", word(old.raise), word(new.raise)));
        effect = effect.and(Effect::of(&old.raise, &new.raise));
    }
    for (name, before, after) in [
        ("hold", old.hold, new.hold),
        ("reject", old.reject.is_some(), new.reject.is_some()),
    ] {
        if before != after {
            words.push(format!(
                "{name} {}",
                if after { "added" } else { "removed" }
            ));
            effect = effect.and(Effect::of(&before, &after));
        }
    }
    if old.alert != new.alert {
        words.push(format!(
            "alert {}",
            if new.alert { "added" } else { "removed" }
        ));
    }
    if old.reject != new.reject && old.reject.is_some() == new.reject.is_some() {
        words.push("the text of reject".to_owned());
    }
    (words.join(", "), effect)
}

fn empty_domain(section: &DomainSection) -> DomainSection {
    DomainSection {
        name: section.name.clone(),
        raise: None,
        methods: None,
        tls_not_enough: false,
        pin_mx: Vec::new(),
        require_pq: false,
    }
}

fn domain_changed(old: &DomainSection, new: &DomainSection) -> Effect {
    let settings = section_changed(
        (old.raise, old.tls_not_enough, old.require_pq),
        (new.raise, new.tls_not_enough, new.require_pq),
    );
    let pins = match (old.pin_mx.is_empty(), new.pin_mx.is_empty()) {
        (true, true) => Effect::Neutral,
        (true, false) => Effect::Strengthens,
        (false, true) => Effect::Weakens,
        (false, false) => {
            let gone = old.pin_mx.iter().any(|pin| !new.pin_mx.contains(pin));
            let come = new.pin_mx.iter().any(|pin| !old.pin_mx.contains(pin));
            match (gone, come) {
                (false, false) => Effect::Neutral,
                (true, false) => Effect::Strengthens,
                (false, true) => Effect::Weakens,
                (true, true) => Effect::Either,
            }
        }
    };
    settings.and(pins)
}

fn domain_words(old: &DomainSection, new: &DomainSection) -> (String, Effect) {
    let mut words = Vec::new();
    for (name, changed) in [
        ("raise", old.raise != new.raise),
        ("methods", old.methods != new.methods),
        ("tls_not_enough", old.tls_not_enough != new.tls_not_enough),
        ("pin_mx", old.pin_mx != new.pin_mx),
        ("require_pq", old.require_pq != new.require_pq),
    ] {
        if changed {
            words.push(name);
        }
    }
    (words.join(", "), domain_changed(old, new))
}

fn exception_name(exception: &Exception) -> String {
    match &exception.recipient {
        ExceptionScope::Address(address) => address.to_string(),
        ExceptionScope::Domain(domain) => format!("@{domain}"),
    }
}

fn exception_words(old: &Exception, new: &Exception) -> (String, Effect) {
    let weaker = |allow: Allowance| allow == Allowance::None;
    let effect = Effect::of(&weaker(old.allow), &weaker(new.allow))
        .and(Effect::of(&old.max_level, &new.max_level))
        .and(Effect::of(&old.expires, &new.expires));
    let mut words = Vec::new();
    for (name, changed) in [
        ("allow", old.allow != new.allow),
        ("max_level", old.max_level != new.max_level),
        ("expires", old.expires != new.expires),
        (
            "owner",
            old.owner != new.owner || old.second_owner != new.second_owner,
        ),
        ("reason", old.reason != new.reason),
        ("warning", old.warning != new.warning),
    ] {
        if changed {
            words.push(name);
        }
    }
    (words.join(", "), effect.reversed())
}
