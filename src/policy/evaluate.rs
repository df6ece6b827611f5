//! Which rules match, and what level a message needs for a recipient.
//!
//! Owns the memory of one evaluation: an expression is run once a message, the message's part of
//! a rule is asked once, and recipients of which the policy says the same share one decision.

use std::collections::HashMap;
use std::sync::Arc;

use super::choose::Asked;
use super::compile::{Compiled, RuleSet, RuleTests};
use super::conditions::{Doubt, MessageView, Probe};
use super::facts::RecipientFacts;
use super::index::at;
use super::judge::Judge;
use super::sets::Party;
use super::source::PolicySource;
use crate::mail::{Asker, Level, Reason, Unreadable};

/// Most reasons that a decision keeps. The highest are kept, and the base always is.
pub const MAX_REASONS: usize = 32;
/// Most holds, and most alerts, that a decision names; the first by name. When those are
/// released, the others show.
pub const MAX_NAMES: usize = 32;

/// The rules of one set, asked of one message.
pub(super) struct Matching<'a> {
    set: &'a RuleSet,
    probes: &'a [Probe],
    view: &'a MessageView<'a>,
    answers: HashMap<u32, bool>,
    verdicts: HashMap<u32, bool>,
    /// Rules that match whoever the recipient is.
    everyone: Vec<u32>,
    /// Rules that match if the recipient is as they say.
    some: Vec<u32>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(set: &'a RuleSet, probes: &'a [Probe], view: &'a MessageView<'a>) -> Self {
        let mut matching = Self {
            set,
            probes,
            view,
            answers: HashMap::new(),
            verdicts: HashMap::new(),
            everyone: Vec::new(),
            some: Vec::new(),
        };
        if set.rules.is_empty() {
            return matching;
        }
        let mut matched = Vec::new();
        let candidates = set.index.of_message(view, probes, &mut matched);
        matching
            .answers
            .extend(matched.into_iter().map(|probe| (probe, true)));
        for rule in candidates {
            if !matching.message_holds(rule) {
                continue;
            }
            let everyone = at(&set.rules, rule).is_some_and(|tests| tests.recipient.is_empty());
            if everyone {
                matching.everyone.push(rule);
            } else {
                matching.some.push(rule);
            }
        }
        matching
    }

    /// The message's part of a rule.
    fn message_holds(&mut self, rule: u32) -> bool {
        let (set, view) = (self.set, self.view);
        let Some(tests) = at(&set.rules, rule) else {
            return false;
        };
        tests
            .message
            .iter()
            .all(|test| test.holds(view, |probe| self.probe_holds(probe)))
    }

    fn probe_holds(&mut self, index: u32) -> bool {
        let (probes, view) = (self.probes, self.view);
        *self.answers.entry(index).or_insert_with(|| {
            at(probes, index).is_some_and(|probe| match view.values(&probe.target) {
                Some(values) => values.iter().any(|value| probe.regex.is_match(value)),
                None => view.doubt == Doubt::Matches,
            })
        })
    }

    /// Rules that match whoever the recipient is.
    pub(super) fn everyone(&self) -> impl Iterator<Item = &'a RuleTests> {
        let set = self.set;
        self.everyone
            .iter()
            .filter_map(move |&rule| at(&set.rules, rule))
    }

    /// Every rule that matches for a recipient; a level is not asked for yet.
    pub(super) fn recipient(
        &mut self,
        recipient: &RecipientFacts,
        party: &Party<'_>,
        looks_alike: bool,
    ) -> Vec<&'a RuleTests> {
        let (set, view) = (self.set, self.view);
        let mut found: Vec<&'a RuleTests> = self.everyone().collect();
        if set.rules.is_empty() {
            return found;
        }
        let holds = |tests: &RuleTests| {
            tests
                .recipient
                .iter()
                .all(|test| test.holds(recipient, party, looks_alike, view.doubt))
        };
        let some = self.some.iter().filter_map(|&rule| at(&set.rules, rule));
        found.extend(some.filter(|tests| holds(tests)));
        for rule in set.index.of_recipient(party) {
            let Some(tests) = at(&set.rules, rule) else {
                continue;
            };
            if !holds(tests) {
                continue;
            }
            let known = self.verdicts.get(&rule).copied();
            let matches = known.unwrap_or_else(|| self.message_holds(rule));
            self.verdicts.insert(rule, matches);
            if matches {
                found.push(tests);
            }
        }
        found
    }
}

/// What the content asks for: tags, detectors, what could not be read.
pub(super) fn content_reasons(
    source: &PolicySource,
    view: &MessageView<'_>,
    reasons: &mut Vec<Reason>,
) {
    let facts = view.facts;
    reasons.extend(facts.tags.iter().map(|tag| Reason {
        level: tag.level,
        asker: match &tag.text {
            Some(text) => Asker::Tag(Arc::clone(text)),
            None => Asker::Field,
        },
    }));
    let Some(findings) = &facts.findings else {
        let all = source.detectors.values().copied();
        let most = all.chain(source.unscannable).chain(source.media).max();
        if view.doubt == Doubt::Matches {
            reasons.extend(most.map(|level| Reason {
                level,
                asker: Asker::NotScanned,
            }));
        }
        return;
    };
    // Of each detector the first, and of each reason that something could not be read.
    let mut seen = Vec::new();
    for finding in &findings.found {
        if seen.contains(&&finding.detector) {
            continue;
        }
        seen.push(&finding.detector);
        let level = source.detectors.get(&*finding.detector);
        reasons.extend(level.map(|&level| Reason {
            level,
            asker: Asker::Detector(finding.clone()),
        }));
    }
    let mut seen = Vec::new();
    for part in &findings.unscannable {
        if seen.contains(&part.why) {
            continue;
        }
        seen.push(part.why);
        let level = match part.why {
            Unreadable::Media => source.media,
            _ => source.unscannable,
        };
        reasons.extend(level.map(|level| Reason {
            level,
            asker: Asker::Unscannable(*part),
        }));
    }
}

/// That the base asks for its level.
pub(super) const fn base_reason(level: Level) -> Reason {
    Reason {
        level,
        asker: Asker::Base,
    }
}

/// Puts together what asks for a level for one recipient, and which rules hold and alert.
pub(super) fn asked<J: Judge>(
    judge: &J,
    base: Level,
    of_message: &[Reason],
    of_domain: &[Reason],
    rules: &[&RuleTests],
) -> Asked {
    let mut reasons = of_message.to_vec();
    reasons.extend(of_domain.iter().cloned());
    reasons.extend(rules.iter().filter_map(|rule| {
        Some(Reason {
            level: rule.raise?,
            asker: Asker::Rule(Arc::clone(&rule.name)),
        })
    }));
    let levels: Vec<Level> = reasons.iter().map(|reason| reason.level).collect();
    let level = judge.level(base, &levels);
    let reached = |rule: &&&RuleTests| rule.at_least.is_none_or(|least| level >= least);
    let names = |wanted: fn(&RuleTests) -> bool| {
        let matching = rules.iter().filter(reached).filter(|rule| wanted(rule));
        let mut names: Vec<Arc<str>> = matching.map(|rule| Arc::clone(&rule.name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let holds = names(|rule| rule.hold);
    let mut alerts = names(|rule| rule.alert);
    alerts.truncate(MAX_NAMES);
    Asked {
        level,
        reasons: ordered(reasons, base),
        holds,
        alerts,
    }
}

/// Highest first, then by who asked; bounded, and the base stays.
fn ordered(mut reasons: Vec<Reason>, base: Level) -> Vec<Reason> {
    reasons.sort_unstable_by(|a, b| b.level.cmp(&a.level).then_with(|| a.asker.cmp(&b.asker)));
    reasons.dedup();
    if reasons.len() > MAX_REASONS {
        reasons.truncate(MAX_REASONS);
        let base = base_reason(base);
        if !reasons.contains(&base) {
            reasons.pop();
            reasons.push(base);
        }
    }
    reasons
}

impl Compiled {
    /// Whether a recipient's domain looks like a partner's; asked only where a rule wants it.
    pub(super) fn looks_alike(&self, recipient: &RecipientFacts) -> bool {
        self.asks_lookalike && self.lookalikes.find(recipient.address.domain()).is_some()
    }
}
