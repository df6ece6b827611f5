//! Which rules may match at all: found by the most selective exact condition of each.
//!
//! Owns the choice of the condition that a rule is filed under. A rule is filed under every value
//! of one of its conditions, so that whatever matches it is found there; a rule without such a
//! condition is residual and asked each time. Never says that a rule matches: only that one that
//! is not found cannot.

use std::collections::HashMap;

use regex::{RegexSet, RegexSetBuilder};

use super::conditions::{Doubt, Kind, MessageView, Probe, Target, major_of};
use super::sets::{Key, Party, parents};

/// Expressions that are asked in one pass.
const SET_SIZE: usize = 100;
/// Octets that such a set may take when compiled; what takes more is asked one by one.
const SET_OCTETS: usize = 16 << 20;
/// Octets of its lazily built automaton.
const SET_CACHE_OCTETS: usize = 4 << 20;

/// A value that a rule is filed under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Filing {
    Recipient(Key),
    Sender(Key),
    Author(Key),
    User(Box<str>),
    Group(Box<str>),
    Listener(Box<str>),
    Detector(Box<str>),
    /// A part's type, or `image/` for all of a kind.
    Kind(Box<str>),
    Probe(u32),
}

impl Filing {
    /// How little it lets through: the smaller, the better.
    const fn rank(&self) -> u8 {
        match self {
            Self::Recipient(Key::Address(_))
            | Self::Sender(Key::Address(_))
            | Self::Author(Key::Address(_)) => 0,
            Self::Recipient(Key::Domain(_)) => 1,
            Self::Sender(Key::Domain(_)) | Self::Author(Key::Domain(_)) | Self::User(_) => 2,
            Self::Recipient(Key::Below(_)) => 3,
            Self::Sender(Key::Below(_)) | Self::Author(Key::Below(_)) => 4,
            Self::Detector(_) => 5,
            Self::Group(_) => 6,
            Self::Kind(_) => 7,
            Self::Probe(_) => 8,
            Self::Listener(_) => 9,
        }
    }

    /// The key of a part's type.
    pub(super) fn kind(kind: &Kind) -> Self {
        Self::Kind(match kind {
            Kind::Exact(exact) => exact.clone(),
            Kind::Major(major) => format!("{major}/").into(),
        })
    }
}

/// Rules by address and domain.
#[derive(Debug, Clone, Default)]
struct Slot {
    addresses: HashMap<Box<str>, Vec<u32>>,
    domains: HashMap<Box<str>, Vec<u32>>,
    below: HashMap<Box<str>, Vec<u32>>,
}

impl Slot {
    fn insert(&mut self, key: Key, rule: u32) {
        let (map, text) = match key {
            Key::Address(text) => (&mut self.addresses, text),
            Key::Domain(text) => (&mut self.domains, text),
            Key::Below(text) => (&mut self.below, text),
        };
        map.entry(text).or_default().push(rule);
    }

    fn find(&self, party: &Party<'_>, found: &mut Vec<u32>) {
        extend(found, &self.addresses, &party.key);
        extend(found, &self.domains, party.domain);
        if !self.below.is_empty() {
            for parent in parents(party.domain) {
                extend(found, &self.below, parent);
            }
        }
    }
}

fn extend(found: &mut Vec<u32>, map: &HashMap<Box<str>, Vec<u32>>, key: &str) {
    if !map.is_empty()
        && let Some(rules) = map.get(key)
    {
        found.extend_from_slice(rules);
    }
}

/// Rules by the expressions that they are filed under, all asked of one target.
#[derive(Debug, Clone)]
struct ProbeGroup {
    target: Target,
    sets: Vec<ProbeSet>,
    rules: HashMap<u32, Vec<u32>>,
}

/// Expressions that are asked in one pass; without a set, one by one.
#[derive(Debug, Clone)]
struct ProbeSet {
    probes: Vec<u32>,
    set: Option<RegexSet>,
}

/// The index of a set of rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    recipient: Slot,
    sender: Slot,
    author: Slot,
    users: HashMap<Box<str>, Vec<u32>>,
    groups: HashMap<Box<str>, Vec<u32>>,
    listeners: HashMap<Box<str>, Vec<u32>>,
    detectors: HashMap<Box<str>, Vec<u32>>,
    kinds: HashMap<Box<str>, Vec<u32>>,
    probes: Vec<ProbeGroup>,
    residual: Vec<u32>,
}

impl Index {
    /// Files a rule under the best of what its conditions offer.
    pub(super) fn file(&mut self, rule: u32, offers: Vec<Vec<Filing>>, probes: &[Probe]) {
        let worst = |offer: &Vec<Filing>| offer.iter().map(Filing::rank).max();
        let best = offers
            .into_iter()
            .filter(|offer| !offer.is_empty())
            .min_by_key(|offer| (worst(offer), offer.len()));
        let Some(mut best) = best else {
            self.residual.push(rule);
            return;
        };
        best.sort_unstable();
        best.dedup();
        for filing in best {
            self.insert(rule, filing, probes);
        }
    }

    fn insert(&mut self, rule: u32, filing: Filing, probes: &[Probe]) {
        let (map, key) = match filing {
            Filing::Recipient(key) => return self.recipient.insert(key, rule),
            Filing::Sender(key) => return self.sender.insert(key, rule),
            Filing::Author(key) => return self.author.insert(key, rule),
            Filing::Probe(probe) => return self.insert_probe(rule, probe, probes),
            Filing::User(key) => (&mut self.users, key),
            Filing::Group(key) => (&mut self.groups, key),
            Filing::Listener(key) => (&mut self.listeners, key),
            Filing::Detector(key) => (&mut self.detectors, key),
            Filing::Kind(key) => (&mut self.kinds, key),
        };
        map.entry(key).or_default().push(rule);
    }

    fn insert_probe(&mut self, rule: u32, probe: u32, probes: &[Probe]) {
        let Some(asked) = at(probes, probe) else {
            return self.residual.push(rule);
        };
        let group = self.probes.iter_mut().find(|g| g.target == asked.target);
        if let Some(group) = group {
            group.rules.entry(probe).or_default().push(rule);
            return;
        }
        self.probes.push(ProbeGroup {
            target: asked.target.clone(),
            sets: Vec::new(),
            rules: HashMap::from([(probe, vec![rule])]),
        });
    }

    /// Puts the expressions together, when all rules are filed.
    pub(super) fn finish(&mut self, probes: &[Probe]) {
        for group in &mut self.probes {
            let mut filed: Vec<u32> = group.rules.keys().copied().collect();
            filed.sort_unstable();
            group.sets = filed
                .chunks(SET_SIZE)
                .map(|chunk| ProbeSet::new(chunk, probes))
                .collect();
        }
    }

    /// Rules that may match a message, whoever the recipient; `matched` learns which expressions
    /// were seen to match on the way.
    pub(super) fn of_message(
        &self,
        view: &MessageView<'_>,
        probes: &[Probe],
        matched: &mut Vec<u32>,
    ) -> Vec<u32> {
        let facts = view.facts;
        let mut found = self.residual.clone();
        if let Some(sender) = &view.sender {
            self.sender.find(sender, &mut found);
        }
        if let Some(author) = &view.author {
            self.author.find(author, &mut found);
        }
        if let Some(user) = &facts.user {
            extend(&mut found, &self.users, user);
        }
        for group in view.groups {
            extend(&mut found, &self.groups, group);
        }
        if let Some(listener) = &facts.listener {
            extend(&mut found, &self.listeners, listener);
        }
        let doubt = view.doubt == Doubt::Matches;
        match &facts.findings {
            None if doubt => found.extend(self.detectors.values().flatten()),
            None => {}
            Some(findings) => {
                for finding in &findings.found {
                    extend(&mut found, &self.detectors, &finding.detector);
                }
            }
        }
        self.of_parts(view, &mut found);
        for group in &self.probes {
            group.find(view, probes, matched, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn of_parts(&self, view: &MessageView<'_>, found: &mut Vec<u32>) {
        if self.kinds.is_empty() {
            return;
        }
        match &view.facts.parts {
            None if view.doubt == Doubt::Matches => found.extend(self.kinds.values().flatten()),
            None => {}
            Some(parts) => {
                for part in parts {
                    extend(found, &self.kinds, &part.kind);
                    extend(found, &self.kinds, &format!("{}/", major_of(&part.kind)));
                }
            }
        }
    }

    /// Rules that are filed under the recipient.
    pub(super) fn of_recipient(&self, party: &Party<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        self.recipient.find(party, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl ProbeGroup {
    fn find(
        &self,
        view: &MessageView<'_>,
        probes: &[Probe],
        matched: &mut Vec<u32>,
        found: &mut Vec<u32>,
    ) {
        let Some(values) = view.values(&self.target) else {
            if view.doubt == Doubt::Matches {
                found.extend(self.rules.values().flatten());
            }
            return;
        };
        for value in values {
            for set in &self.sets {
                set.find(value, probes, |probe| {
                    matched.push(probe);
                    if let Some(rules) = self.rules.get(&probe) {
                        found.extend_from_slice(rules);
                    }
                });
            }
        }
    }
}

impl ProbeSet {
    fn new(chunk: &[u32], probes: &[Probe]) -> Self {
        let texts = chunk.iter().filter_map(|&probe| at(probes, probe));
        let set = RegexSetBuilder::new(texts.map(|probe| probe.regex.as_str()))
            .size_limit(SET_OCTETS)
            .dfa_size_limit(SET_CACHE_OCTETS)
            .build()
            .ok()
            .filter(|set| chunk.len() > 1 && set.len() == chunk.len());
        Self {
            probes: chunk.to_vec(),
            set,
        }
    }

    fn find(&self, value: &str, probes: &[Probe], mut found: impl FnMut(u32)) {
        if let Some(set) = &self.set {
            for hit in set.matches(value) {
                if let Some(&probe) = self.probes.get(hit) {
                    found(probe);
                }
            }
            return;
        }
        for &probe in &self.probes {
            if at(probes, probe).is_some_and(|asked| asked.regex.is_match(value)) {
                found(probe);
            }
        }
    }
}

/// The element with a number of ours.
pub(super) fn at<T>(list: &[T], index: u32) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}
