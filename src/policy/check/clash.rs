//! Rules that cannot live with one another: what one does, a rule that rejects never lets happen.
//!
//! Each rejecting rule is filed under the values of one of its conditions, so that a rule is
//! compared with few. Where a policy is so made that more would have to be compared than
//! [`MAX_COMPARED`], the rest is not: that costs a message to the operator, not protection.

use std::collections::{BTreeSet, HashMap};

use super::problem;
use super::relate::{Side, addresses, field, implies};
use crate::policy::sets::{Key, parents};
use crate::policy::source::{Condition, PolicySource, Rule};
use crate::policy::{PolicyProblem, canonical};

/// Rejecting rules that one rule is compared with, and that are taken from one file.
const MAX_COMPARED: usize = 200;

pub(super) fn problems(source: &PolicySource, found: &mut Vec<PolicyProblem>) {
    let rejects: Vec<usize> = (0..source.rules.len())
        .filter(|index| rule(source, *index).is_some_and(|rule| rule.reject.is_some()))
        .collect();
    if rejects.is_empty() {
        return;
    }
    let mut filed: HashMap<String, Vec<usize>> = HashMap::new();
    let mut residual = Vec::new();
    for &index in &rejects {
        let clues = rule(source, index).and_then(|rule| rule.when.iter().find_map(clues));
        match clues {
            Some(clues) => {
                for clue in clues {
                    filed.entry(clue).or_default().push(index);
                }
            }
            None => residual.push(index),
        }
    }
    for (index, rule) in source.rules.iter().enumerate() {
        if rule.when.is_empty() {
            continue;
        }
        let mut candidates: BTreeSet<usize> = residual.iter().take(MAX_COMPARED).copied().collect();
        for clue in rule.when.iter().flat_map(covering) {
            let under = filed.get(&clue).into_iter().flatten();
            candidates.extend(under.take(MAX_COMPARED));
        }
        candidates.remove(&index);
        let compared = candidates.into_iter().take(MAX_COMPARED);
        if let Some(other) = compared
            .into_iter()
            .find(|other| shadows(source, *other, index))
        {
            found.extend(clash(source, other, index));
        }
    }
}

fn rule(source: &PolicySource, index: usize) -> Option<&Rule> {
    source.rules.get(index)
}

/// Whether the rejecting rule `reject` takes every message that `index` would match.
fn shadows(source: &PolicySource, reject: usize, index: usize) -> bool {
    let (Some(reject_rule), Some(rule)) = (rule(source, reject), rule(source, index)) else {
        return false;
    };
    let all = !reject_rule.when.is_empty()
        && reject_rule
            .when
            .iter()
            .all(|outer| rule.when.iter().any(|inner| implies(inner, outer)));
    // Of two rejecting rules that say the same, the first stays.
    let equal = rule.reject.is_some()
        && canonical::conditions(&reject_rule.when) == canonical::conditions(&rule.when);
    all && (!equal || reject < index)
}

fn clash(source: &PolicySource, reject: usize, index: usize) -> Option<PolicyProblem> {
    let (reject_rule, rule) = (rule(source, reject)?, rule(source, index)?);
    let name = &reject_rule.name;
    let equal = canonical::conditions(&reject_rule.when) == canonical::conditions(&rule.when);
    let what = if equal && rule.reject.is_none() {
        format!("the rule contradicts rule \"{name}\", which rejects on the same conditions")
    } else {
        format!("the rule never has an effect: rule \"{name}\" rejects all that it matches")
    };
    let mend = "remove one of the two, or narrow the rule that rejects";
    Some(problem("rule", index, "when", what, mend))
}

/// What a rejecting rule is filed under: every value of a condition.
fn clues(condition: &Condition) -> Option<Vec<String>> {
    if let Some((side, keys)) = addresses(condition) {
        return Some(keys.iter().map(|key| clue(side, key)).collect());
    }
    if let Some((name, pattern)) = field(condition) {
        return Some(vec![format!("field {name} {pattern}")]);
    }
    let words = |kind: &str, list: &[String]| list.iter().map(|w| format!("{kind} {w}")).collect();
    match condition {
        Condition::User(list) => Some(words("user", list)),
        Condition::Group(list) => Some(words("group", list)),
        Condition::Listener(list) => Some(words("listener", list)),
        Condition::AttachmentName(pattern) => Some(vec![format!("name {pattern}")]),
        _ => None,
    }
}

fn clue(side: Side, key: &Key) -> String {
    match key {
        Key::Address(text) => format!("{side:?} {text}"),
        Key::Domain(text) => format!("{side:?} @{text}"),
        Key::Below(text) => format!("{side:?} *{text}"),
    }
}

/// Everything that a condition which this one implies may be filed under. The first value is
/// enough: a wider condition has to cover that one too.
fn covering(condition: &Condition) -> Vec<String> {
    if let Some((side, keys)) = addresses(condition) {
        let Some(first) = keys.first() else {
            return Vec::new();
        };
        let (domain, itself) = match first {
            Key::Address(text) => (text.rsplit_once('@').map_or("", |(_, d)| d), true),
            Key::Domain(text) | Key::Below(text) => (&**text, false),
        };
        let mut clues = vec![clue(side, first)];
        if itself {
            clues.push(clue(side, &Key::Domain(domain.into())));
        }
        let above = parents(domain).map(|parent| clue(side, &Key::Below(parent.into())));
        clues.extend(above);
        return clues;
    }
    if let Some((name, pattern)) = field(condition) {
        return vec![format!("field {name} {pattern}"), format!("field {name} ")];
    }
    match condition {
        Condition::AttachmentName(pattern) => {
            vec![format!("name {pattern}"), "name ".to_owned()]
        }
        other => clues(other)
            .unwrap_or_default()
            .into_iter()
            .take(1)
            .collect(),
    }
}
