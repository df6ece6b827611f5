//! What was read of messages that are decided again and again: mail that waits for security is
//! looked at twice a turn, and need not be scanned each time, nor put on record again when it is
//! decided as it was before.
//!
//! Bounded in octets; the one that was kept longest goes first. Forgotten at a restart, and void
//! under another policy, which may look for other things.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::mail::{Decision, MessageId};
use crate::policy::MessageFacts;

/// Octets of facts that are kept.
const MAX_OCTETS: usize = 32 * 1024 * 1024;
/// Larger ones are not kept.
const MAX_ENTRY_OCTETS: usize = 64 * 1024;
/// What an entry takes beside its texts.
const ENTRY_OCTETS: usize = 1024;
/// Most decisions of a message that are known to be on record.
const MAX_DECIDED: usize = 4096;

/// Facts by message.
#[derive(Default)]
pub(super) struct Known {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<MessageId, Entry>,
    order: VecDeque<MessageId>,
    octets: usize,
}

struct Entry {
    policy: Arc<str>,
    facts: Arc<MessageFacts>,
    octets: usize,
    /// Decisions that are on record, by recipient.
    decided: HashSet<u64>,
}

impl Known {
    /// Whether this decision about a recipient is not on record yet, as far as is known here.
    pub(super) fn is_news(&self, id: MessageId, recipient: u32, decision: &Decision) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries.get(&id);
        !entry.is_some_and(|entry| entry.decided.contains(&digest(recipient, decision)))
    }

    /// Notes that it is on record.
    pub(super) fn recorded(&self, id: MessageId, recipient: u32, decision: &Decision) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.entries.get_mut(&id)
            && entry.decided.len() < MAX_DECIDED
        {
            entry.decided.insert(digest(recipient, decision));
        }
    }

    /// What was read of a message for this policy.
    pub(super) fn get(&self, id: MessageId, policy: &Arc<str>) -> Option<Arc<MessageFacts>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries.get(&id)?;
        (entry.policy == *policy).then(|| Arc::clone(&entry.facts))
    }

    /// Keeps what was read.
    pub(super) fn keep(&self, id: MessageId, policy: &Arc<str>, facts: &Arc<MessageFacts>) {
        let octets = size(facts);
        if octets > MAX_ENTRY_OCTETS {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            policy: Arc::clone(policy),
            facts: Arc::clone(facts),
            octets,
            decided: HashSet::new(),
        };
        match kept.entries.insert(id, entry) {
            Some(old) => kept.octets = kept.octets.saturating_sub(old.octets),
            None => kept.order.push_back(id),
        }
        kept.octets += octets;
        while kept.octets > MAX_OCTETS {
            let Some(oldest) = kept.order.pop_front() else {
                return;
            };
            if let Some(gone) = kept.entries.remove(&oldest) {
                kept.octets = kept.octets.saturating_sub(gone.octets);
            }
        }
    }
}

/// The same for the same decision about the same recipient; its policy is part of it.
fn digest(recipient: u32, decision: &Decision) -> u64 {
    let mut hasher = DefaultHasher::new();
    (recipient, decision).hash(&mut hasher);
    hasher.finish()
}

/// Octets that facts take, roughly.
fn size(facts: &MessageFacts) -> usize {
    let fields = facts.header.fields.iter();
    let fields: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
    let parts = facts.parts.iter().flatten();
    let names = parts.map(|part| part.kind.len() + part.name.as_ref().map_or(0, String::len) + 48);
    let findings = facts.findings.as_ref();
    let found = findings.map_or(0, |it| it.found.len() + it.unscannable.len());
    ENTRY_OCTETS + fields + names.sum::<usize>() + found * 40
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Course, Level, MessageClass, Method, ReversePath, Timestamp};
    use crate::policy::HeaderFacts;

    fn facts(octets: usize) -> Arc<MessageFacts> {
        Arc::new(MessageFacts {
            class: MessageClass::Submitted,
            sender: ReversePath::Null,
            author: None,
            user: None,
            listener: None,
            client: None,
            received: Timestamp::from_secs(0),
            size: 1,
            tags: Vec::new(),
            header: HeaderFacts {
                fields: vec![("x".to_owned(), "y".repeat(octets))],
                ..HeaderFacts::default()
            },
            parts: None,
            findings: None,
        })
    }

    #[test]
    fn is_void_under_another_policy() {
        let known = Known::default();
        let (one, other) = (Arc::from("1"), Arc::from("2"));
        known.keep(MessageId::new(7), &one, &facts(10));
        assert!(known.get(MessageId::new(7), &one).is_some());
        assert!(known.get(MessageId::new(7), &other).is_none());
        assert!(known.get(MessageId::new(8), &one).is_none());
    }

    #[test]
    fn a_decision_is_news_once_for_each_recipient() {
        let known = Known::default();
        let (id, policy) = (MessageId::new(7), Arc::from("1"));
        let decision = Decision::base(
            Level::Protected,
            Vec::new(),
            Course::NoMethod,
            Arc::clone(&policy),
        );
        known.recorded(id, 0, &decision);
        assert!(
            known.is_news(id, 0, &decision),
            "nothing is known of the message"
        );
        known.keep(id, &policy, &facts(10));
        known.recorded(id, 0, &decision);
        assert!(!known.is_news(id, 0, &decision));
        assert!(known.is_news(id, 1, &decision));
        let course = Course::Send(Method::Tls);
        let other = Decision::base(Level::Protected, Vec::new(), course, policy);
        assert!(known.is_news(id, 0, &other));
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let known = Known::default();
        let policy = Arc::from("1");
        let one = facts(60_000);
        let fit = MAX_OCTETS / size(&one);
        for id in 0..=fit as u64 {
            known.keep(MessageId::new(id), &policy, &one);
            known.keep(MessageId::new(id), &policy, &one);
        }
        assert!(known.get(MessageId::new(0), &policy).is_none());
        assert!(known.get(MessageId::new(1), &policy).is_some());
        let kept = known.kept.lock().unwrap();
        assert!(kept.octets <= MAX_OCTETS);
        assert_eq!(kept.entries.len(), kept.order.len());
        drop(kept);
        known.keep(MessageId::new(9999), &policy, &facts(70_000));
        assert!(
            known.get(MessageId::new(9999), &policy).is_none(),
            "too large"
        );
    }
}
