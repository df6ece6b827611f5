//! What is wrong with a rule by itself.

use std::time::Duration;

use super::relate::{addresses, exclude, field};
use super::{Bounds, MAX_CONDITIONS, MAX_PATTERN_OCTETS, MAX_VALUES, Names, problem, repeats};
use crate::mail::state::{OPERATOR_HOLD, UNDELIVERABLE_DSN};
use crate::policy::PolicyProblem;
use crate::policy::compile::partners;
use crate::policy::conditions::Kind;
use crate::policy::source::{Condition, PolicySource, Rule};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTES_A_DAY: u16 = 24 * 60;

pub(super) fn problems(source: &PolicySource, bounds: Bounds, found: &mut Vec<PolicyProblem>) {
    for (index, earlier) in repeats(source.rules.iter().map(|rule| &rule.name)) {
        let what = format!("the name is taken by rule number {}", earlier + 1);
        found.push(problem(
            "rule",
            index,
            "name",
            what,
            "give each rule its own name",
        ));
    }
    let names = Names::new(source);
    let no_partner = partners(source).next().is_none();
    for (index, rule) in source.rules.iter().enumerate() {
        let mut check = Check {
            source,
            names: &names,
            bounds,
            no_partner,
            index,
            found,
        };
        check.rule(rule);
    }
}

struct Check<'a> {
    source: &'a PolicySource,
    names: &'a Names<'a>,
    bounds: Bounds,
    no_partner: bool,
    index: usize,
    found: &'a mut Vec<PolicyProblem>,
}

/// The key of a condition, as the file writes it.
pub(super) const fn key(condition: &Condition) -> &'static str {
    match condition {
        Condition::Sender(_) => "sender",
        Condition::SenderDomain(_) => "sender_domain",
        Condition::Author(_) => "author",
        Condition::AuthorDomain(_) => "author_domain",
        Condition::User(_) => "user",
        Condition::Group(_) => "group",
        Condition::Recipient(_) => "recipient",
        Condition::RecipientDomain(_) => "recipient_domain",
        Condition::Subject(_) => "subject",
        Condition::Header { .. } => "header",
        Condition::SizeOver(_) => "size_over",
        Condition::AttachmentName(_) => "attachment_name",
        Condition::AttachmentType(_) => "attachment_type",
        Condition::Listener(_) => "listener",
        Condition::Client(_) => "client",
        Condition::Hours { .. } => "hours",
        Condition::Days(_) => "days",
        Condition::Detector(_) => "detector",
        Condition::Unscannable => "unscannable",
        Condition::LookAlike => "lookalike",
        Condition::VisibleRecipientsOver(_) => "visible_recipients_over",
        Condition::FirstContact => "first_contact",
        Condition::UserVolumeOver { .. } => "volume",
        Condition::Level(_) => "level",
    }
}

impl Check<'_> {
    fn say(&mut self, key: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.found
            .push(problem("rule", self.index, key, what, mend));
    }

    fn rule(&mut self, rule: &Rule) {
        if rule.name.trim().is_empty() {
            self.say(
                "name",
                "the rule has no name",
                "give it one: decisions and logs show it",
            );
        }
        if [OPERATOR_HOLD, UNDELIVERABLE_DSN].contains(&rule.name.as_str()) {
            let what = format!("\"{}\" is the name of a hold of ours", rule.name);
            self.say("name", what, "give the rule another name");
        }
        self.actions(rule);
        if rule.when.is_empty() {
            self.say(
                "when",
                "the rule has no condition: it would match everything",
                "name a condition, or raise the base",
            );
        }
        if rule.when.len() > MAX_CONDITIONS {
            let what = format!("the rule has more than {MAX_CONDITIONS} conditions");
            return self.say("when", what, "make several rules of it");
        }
        for condition in &rule.when {
            self.condition(condition);
            self.fits(rule, condition);
        }
        for (at, one) in rule.when.iter().enumerate() {
            for other in rule.when.iter().skip(at + 1) {
                if exclude(one, other, self.names) {
                    let what = format!(
                        "the rule can never match: nothing meets both {} and {}",
                        key(one),
                        key(other)
                    );
                    self.say(key(other), what, "remove one of the two, or make two rules");
                }
            }
        }
    }

    fn actions(&mut self, rule: &Rule) {
        if rule.raise.is_none() && !rule.hold && rule.reject.is_none() && !rule.alert {
            self.say(
                "",
                "the rule does nothing",
                "add raise, hold, reject or alert",
            );
        }
        if let Some(text) = &rule.reject {
            if rule.raise.is_some() || rule.hold || rule.alert {
                self.say(
                    "reject",
                    "the rule contradicts itself: a message that it rejects is never raised, held or reported",
                    "keep reject, or the others",
                );
            }
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                self.say(
                    "reject",
                    "the text is empty or has a control character",
                    "write one line that tells the sender what to do",
                );
            }
        }
        let base = self.source.base;
        if let Some(level) = rule.raise.filter(|level| *level <= base) {
            let what = if level < base {
                format!("\"{level}\" is below the base \"{base}\": nothing lowers a level")
            } else {
                format!("\"{level}\" never has an effect: the base gives it already")
            };
            self.say("raise", what, "name a higher level, or remove it");
        }
    }

    /// Whether the rule's action can wait for what the condition asks.
    fn fits(&mut self, rule: &Rule, condition: &Condition) {
        let late = matches!(
            condition,
            Condition::Detector(_)
                | Condition::Unscannable
                | Condition::Level(_)
                | Condition::FirstContact
                | Condition::UserVolumeOver { .. }
        );
        if late && rule.reject.is_some() {
            self.say(
                key(condition),
                "is not known when a rule rejects: that is at the end of DATA, by envelope, header and MIME parts",
                "use hold instead of reject",
            );
        }
        let Condition::Level(level) = condition else {
            return;
        };
        if rule.raise.is_some() {
            self.say(
                "level",
                "a rule that raises cannot ask for the level: the level comes from all that raises",
                "use it with hold or alert",
            );
        }
        if *level <= self.source.base {
            let what = format!("is always so: the base is \"{}\"", self.source.base);
            self.say(
                "level",
                what,
                "name a higher level, or remove the condition",
            );
        }
    }

    fn condition(&mut self, condition: &Condition) {
        let key = key(condition);
        let length = match condition {
            Condition::User(list)
            | Condition::Group(list)
            | Condition::AttachmentType(list)
            | Condition::Listener(list)
            | Condition::Detector(list) => Some(list.len()),
            Condition::Client(list) => Some(list.len()),
            Condition::Days(list) => Some(list.len()),
            other => addresses(other).map(|(_, list)| list.len()),
        };
        match length {
            Some(0) => self.say(
                key,
                "the rule can never match: the list is empty",
                "name a value, or remove the condition",
            ),
            Some(length) if length > MAX_VALUES => {
                let what = format!("the list has {length} values, and {MAX_VALUES} is the most");
                self.say(key, what, "use domains or groups");
            }
            _ => {}
        }
        match condition {
            Condition::Subject(pattern)
            | Condition::AttachmentName(pattern)
            | Condition::Header { pattern, .. } => self.pattern(key, pattern),
            Condition::Group(list) => self.groups(list),
            Condition::Detector(list) => self.detectors(list),
            Condition::AttachmentType(list) => {
                for kind in list.iter().filter(|kind| Kind::parse(kind).is_none()) {
                    let what = format!("\"{kind}\" is not a type");
                    self.say(key, what, "write it as \"application/pdf\" or \"image/*\"");
                }
            }
            Condition::Client(list) => {
                for network in list.iter().filter(|net| net.prefix > net.bits()) {
                    let what = format!("/{} is longer than the address", network.prefix);
                    self.say(key, what, "write it as \"10.0.0.0/8\"");
                }
            }
            Condition::Days(list) if list.iter().any(|day| *day > 6) => {
                self.say(key, "there are seven days", "name days of the week");
            }
            Condition::SizeOver(size) => self.size(*size),
            Condition::Hours { from, to } => self.hours(*from, *to),
            Condition::UserVolumeOver { within, .. } if within.is_zero() || *within > DAY => {
                self.say(key, "the time is zero or over a day", "name at most \"1d\"");
            }
            Condition::LookAlike if self.no_partner => self.say(
                key,
                "the rule can never match: the policy names no partner to look like",
                "name domains in partners, or give them a section",
            ),
            _ => {}
        }
        if let Some((name, _)) = field(condition)
            && (name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':'))
        {
            self.say(
                key,
                "the field has a name that no field can have",
                "write it as X-Project",
            );
        }
    }

    fn size(&mut self, size: u64) {
        if self.bounds.message_size.is_some_and(|limit| size >= limit) {
            self.say(
                "size_over",
                "the rule can never match: larger messages are not taken",
                "name less than limits.message_size",
            );
        }
    }

    fn hours(&mut self, from: u16, to: u16) {
        if from == to {
            let what = "the rule can never match: the hours have no length";
            self.say(
                "hours",
                what,
                "write them as \"18:00-06:00\", or remove them",
            );
        } else if from >= MINUTES_A_DAY || to > MINUTES_A_DAY {
            self.say(
                "hours",
                "a day has 24 hours",
                "write them as \"18:00-06:00\"",
            );
        }
    }

    fn groups(&mut self, list: &[String]) {
        for name in list {
            match self.names.groups.get(name.as_str()) {
                None => {
                    let what = format!("there is no group \"{name}\"");
                    self.say("group", what, "add a [[policy.group]], or mend the name");
                }
                Some(members) if members.is_empty() => {
                    let what = format!("the group \"{name}\" has no members");
                    self.say("group", what, "name its accounts");
                }
                Some(_) => {}
            }
        }
    }

    fn detectors(&mut self, list: &[String]) {
        let unknown = |name: &&String| !self.source.detectors.contains_key(*name);
        let unknown: Vec<&String> = list.iter().filter(unknown).collect();
        for name in unknown {
            let what = format!("the detector \"{name}\" is not known, or is switched off");
            self.say("detector", what, "mend the name, or switch it on");
        }
    }

    /// Whether it can match at all; whether it can be compiled shows later.
    fn pattern(&mut self, key: &'static str, pattern: &str) {
        if pattern.len() > MAX_PATTERN_OCTETS {
            let what = format!(
                "the regular expression is too large ({} octets, and {MAX_PATTERN_OCTETS} is the most)",
                pattern.len()
            );
            return self.say(key, what, "use several rules, or a dictionary");
        }
        let nothing = regex_syntax::parse(pattern)
            .is_ok_and(|parsed| parsed.properties().minimum_len().is_none());
        if nothing {
            let what = "the rule can never match: the regular expression matches nothing";
            self.say(key, what, "mend the expression, such as its empty class");
        }
    }
}
