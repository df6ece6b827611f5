//! From the policy as written to the policy as asked.
//!
//! Owns the compiled form: conditions as tests, rules filed in indexes, sections merged along
//! their inheritance. Assumes a source that `check` found without fault, and yet never lowers
//! anything where that is not so: what is merged is united or the maximum.

use std::collections::HashMap;
use std::sync::Arc;

use regex::RegexBuilder;

use super::conditions::{Kind, MessageTest, Probe, RecipientTest, Target};
use super::index::{Filing, Index};
use super::judge::Ways;
use super::lookalike::LookAlikes;
use super::sets::{AddressSet, Key, address_key, parents};
use super::settings::{AccountSetting, DomainSetting, account_settings, domain_settings, register};
use super::source::{Condition, ExceptionScope, PolicySource, Rule};
use super::{Needs, PolicyProblem};
use crate::mail::{AddressPattern, DomainPattern, ExceptionUse, Level};

/// Octets that one expression may take when compiled.
pub(super) const PATTERN_OCTETS: usize = 1 << 20;

/// A policy as it is asked.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) live: RuleSet,
    pub(super) rejects: RuleSet,
    pub(super) probes: Vec<Probe>,
    pub(super) ways: Ways,
    /// Every recipient that anything is said of.
    pub(super) mentioned: AddressSet,
    pub(super) lookalikes: LookAlikes,
    /// Whether a rule asks whether domains look alike.
    pub(super) asks_lookalike: bool,
    pub(super) needs: Needs,
    pub(super) refusal_needs: Needs,
    pub(super) windows: Vec<u64>,
    pub(super) header_fields: Vec<String>,
    any_domain: DomainSetting,
    domains: HashMap<Box<str>, DomainSetting>,
    below: HashMap<Box<str>, DomainSetting>,
    nobody: AccountSetting,
    accounts: HashMap<Box<str>, AccountSetting>,
    address_exceptions: HashMap<Box<str>, ExceptionUse>,
    domain_exceptions: HashMap<Box<str>, ExceptionUse>,
}

/// Rules of one purpose with their index.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    pub(super) rules: Vec<RuleTests>,
    pub(super) index: Index,
}

/// A rule as it is asked.
#[derive(Debug)]
pub(super) struct RuleTests {
    pub(super) name: Arc<str>,
    pub(super) raise: Option<Level>,
    pub(super) hold: bool,
    pub(super) alert: bool,
    pub(super) reject: Option<String>,
    pub(super) message: Vec<MessageTest>,
    pub(super) recipient: Vec<RecipientTest>,
    /// The least level, asked when the level is known.
    pub(super) at_least: Option<Level>,
}

impl Compiled {
    /// Compiles; every expression that cannot be.
    pub(super) fn new(source: &PolicySource) -> Result<Self, Vec<PolicyProblem>> {
        let mut probes = Probes::default();
        let (mut live, mut rejects) = (RuleSet::default(), RuleSet::default());
        let (mut needs, mut refusal_needs) = (Needs::default(), Needs::default());
        let (mut windows, mut header_fields) = (Vec::new(), Vec::new());
        for (index, rule) in source.rules.iter().enumerate() {
            let rejects_message = rule.reject.is_some();
            for condition in &rule.when {
                let both = [
                    Some(&mut needs),
                    rejects_message.then_some(&mut refusal_needs),
                ];
                for needs in both.into_iter().flatten() {
                    needs.add(condition);
                }
                match condition {
                    Condition::UserVolumeOver { within, .. } => windows.push(within.as_secs()),
                    Condition::Subject(_) => header_fields.push("subject".to_owned()),
                    Condition::Header { name, .. } => {
                        header_fields.push(name.to_ascii_lowercase());
                    }
                    _ => {}
                }
            }
            let set = if rejects_message {
                &mut rejects
            } else {
                &mut live
            };
            set.add(rule, index, &mut probes);
        }
        if !probes.problems.is_empty() {
            return Err(probes.problems);
        }
        let probes = probes.list;
        live.index.finish(&probes);
        rejects.index.finish(&probes);
        needs.findings |=
            !source.detectors.is_empty() || source.unscannable.is_some() || source.media.is_some();
        windows.sort_unstable();
        windows.dedup();
        header_fields.sort_unstable();
        header_fields.dedup();
        let (domains, below) = domain_settings(&source.domains);
        let (address_exceptions, domain_exceptions) = register(&source.exceptions);
        Ok(Self {
            live,
            rejects,
            probes,
            ways: Ways {
                smime: source.smime,
                portal: source.portal,
            },
            mentioned: mentioned(source),
            asks_lookalike: all_conditions(source).any(|c| *c == Condition::LookAlike),
            lookalikes: LookAlikes::new(partners(source)),
            needs,
            refusal_needs,
            windows,
            header_fields,
            any_domain: DomainSetting::default(),
            domains,
            below,
            nobody: AccountSetting::default(),
            accounts: account_settings(source),
            address_exceptions,
            domain_exceptions,
        })
    }

    /// What is said of a recipient's domain.
    pub(super) fn domain(&self, domain: &str) -> &DomainSetting {
        if let Some(exact) = self.domains.get(domain) {
            return exact;
        }
        if self.below.is_empty() {
            return &self.any_domain;
        }
        parents(domain)
            .find_map(|parent| self.below.get(parent))
            .unwrap_or(&self.any_domain)
    }

    /// What is said of an account.
    pub(super) fn account(&self, user: Option<&str>) -> &AccountSetting {
        user.and_then(|user| self.accounts.get(user))
            .unwrap_or(&self.nobody)
    }

    /// Every setting that a domain can have, that of any other domain first.
    pub(super) fn domain_settings(&self) -> impl Iterator<Item = &DomainSetting> {
        let sections = self.domains.values().chain(self.below.values());
        std::iter::once(&self.any_domain).chain(sections)
    }

    /// Every setting that an account can have, that of any other account first.
    pub(super) fn account_settings(&self) -> impl Iterator<Item = &AccountSetting> {
        std::iter::once(&self.nobody).chain(self.accounts.values())
    }

    /// The entries of the register for a recipient: its own, then its domain's.
    pub(super) fn exceptions(&self, key: &str, domain: &str) -> [Option<&ExceptionUse>; 2] {
        [
            self.address_exceptions.get(key),
            self.domain_exceptions.get(domain),
        ]
    }
}

/// Domains that are written to on purpose: partners, and those with a section of their own.
pub(super) fn partners(source: &PolicySource) -> impl Iterator<Item = &crate::mail::Domain> {
    let sections = source
        .domains
        .iter()
        .filter_map(|section| match &section.name {
            DomainPattern::Exact(domain) => Some(domain),
            DomainPattern::Below(_) => None,
        });
    source.partners.iter().chain(sections)
}

impl Needs {
    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::Subject(_)
            | Condition::Header { .. }
            | Condition::VisibleRecipientsOver(_) => self.header = true,
            Condition::AttachmentName(_) | Condition::AttachmentType(_) => self.parts = true,
            Condition::Detector(_) | Condition::Unscannable => self.findings = true,
            Condition::FirstContact => self.first_contact = true,
            Condition::UserVolumeOver { .. } => self.volume = true,
            Condition::Sender(_)
            | Condition::SenderDomain(_)
            | Condition::Author(_)
            | Condition::AuthorDomain(_)
            | Condition::User(_)
            | Condition::Group(_)
            | Condition::Recipient(_)
            | Condition::RecipientDomain(_)
            | Condition::SizeOver(_)
            | Condition::Listener(_)
            | Condition::Client(_)
            | Condition::Hours { .. }
            | Condition::Days(_)
            | Condition::LookAlike
            | Condition::Level(_) => {}
        }
    }
}

/// Expressions, each once for each target.
#[derive(Default)]
struct Probes {
    list: Vec<Probe>,
    known: HashMap<(Target, String), u32>,
    problems: Vec<PolicyProblem>,
}

impl Probes {
    fn add(&mut self, rule: usize, key: &'static str, target: Target, text: &str) -> Option<u32> {
        let known = (target, text.to_owned());
        if let Some(&index) = self.known.get(&known) {
            return Some(index);
        }
        match RegexBuilder::new(text).size_limit(PATTERN_OCTETS).build() {
            Ok(regex) => {
                let index = u32::try_from(self.list.len()).ok()?;
                let target = known.0.clone();
                self.list.push(Probe { target, regex });
                self.known.insert(known, index);
                Some(index)
            }
            Err(error) => {
                let (what, mend) = match error {
                    regex::Error::CompiledTooBig(_) => (
                        "the regular expression is too large when compiled (over 1 MiB)".to_owned(),
                        "use fewer or smaller repetitions, or several rules",
                    ),
                    other => (
                        format!("the regular expression is not valid: {}", brief(&other)),
                        "mend the expression; look-around and back-references are not supported",
                    ),
                };
                self.problems.push(PolicyProblem {
                    table: "rule",
                    index: rule,
                    key,
                    what,
                    mend: mend.to_owned(),
                });
                None
            }
        }
    }
}

/// The last line of an error of several: what is wrong, without the drawing.
fn brief(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl RuleSet {
    fn add(&mut self, rule: &Rule, number: usize, probes: &mut Probes) {
        let Ok(index) = u32::try_from(self.rules.len()) else {
            return;
        };
        let mut tests = RuleTests {
            name: rule.name.as_str().into(),
            raise: rule.raise,
            hold: rule.hold,
            alert: rule.alert,
            reject: rule.reject.clone(),
            message: Vec::new(),
            recipient: Vec::new(),
            at_least: None,
        };
        let mut offers = Vec::new();
        for condition in &rule.when {
            offers.extend(tests.add(condition, number, probes));
        }
        // Cheap ones first: an expression is run only where nothing else said no.
        tests
            .message
            .sort_by_key(|test| matches!(test, MessageTest::Probe(_)));
        self.index.file(index, offers, &probes.list);
        self.rules.push(tests);
    }
}

impl RuleTests {
    /// Adds a condition; what the rule can be filed under for its sake.
    fn add(
        &mut self,
        condition: &Condition,
        rule: usize,
        probes: &mut Probes,
    ) -> Option<Vec<Filing>> {
        let words = |list: &[String]| list.iter().map(|word| word.as_str().into()).collect();
        let file = |list: &[String], make: fn(Box<str>) -> Filing| {
            Some(list.iter().map(|word| make(word.as_str().into())).collect())
        };
        let mut probe = |key, target, text: &str| probes.add(rule, key, target, text);
        let (test, filings) = match condition {
            Condition::Sender(list) => {
                let (set, filings) = filed(keys(list), Filing::Sender);
                (MessageTest::Sender(set), Some(filings))
            }
            Condition::SenderDomain(list) => {
                let (set, filings) = filed(domain_keys(list), Filing::Sender);
                (MessageTest::Sender(set), Some(filings))
            }
            Condition::Author(list) => {
                let (set, filings) = filed(keys(list), Filing::Author);
                (MessageTest::Author(set), Some(filings))
            }
            Condition::AuthorDomain(list) => {
                let (set, filings) = filed(domain_keys(list), Filing::Author);
                (MessageTest::Author(set), Some(filings))
            }
            Condition::User(list) => (MessageTest::User(words(list)), file(list, Filing::User)),
            Condition::Group(list) => (MessageTest::Group(words(list)), file(list, Filing::Group)),
            Condition::Listener(list) => (
                MessageTest::Listener(words(list)),
                file(list, Filing::Listener),
            ),
            Condition::Detector(list) => (
                MessageTest::Detector(words(list)),
                file(list, Filing::Detector),
            ),
            Condition::Client(networks) => (MessageTest::Client(networks.clone()), None),
            Condition::SizeOver(limit) => (MessageTest::SizeOver(*limit), None),
            Condition::VisibleRecipientsOver(limit) => (MessageTest::VisibleOver(*limit), None),
            Condition::Hours { from, to } => (MessageTest::Hours(*from, *to), None),
            Condition::Days(days) => {
                let bits = days.iter().filter(|day| **day < 7);
                (
                    MessageTest::Days(bits.fold(0, |bits, day| bits | 1 << day)),
                    None,
                )
            }
            Condition::Unscannable => (MessageTest::Unscannable, None),
            Condition::AttachmentType(list) => {
                let kinds: Vec<Kind> = list.iter().filter_map(|text| Kind::parse(text)).collect();
                let filings = kinds.iter().map(Filing::kind).collect();
                (MessageTest::Kind(kinds), Some(filings))
            }
            Condition::Subject(text) => {
                probe_test(probe("subject", Target::Header("subject".into()), text)?)
            }
            Condition::Header { name, pattern } => {
                let target = Target::Header(name.to_ascii_lowercase().into());
                probe_test(probe("header", target, pattern)?)
            }
            Condition::AttachmentName(text) => {
                probe_test(probe("attachment_name", Target::AttachmentName, text)?)
            }
            Condition::Recipient(list) => return self.add_recipients(keys(list)),
            Condition::RecipientDomain(list) => return self.add_recipients(domain_keys(list)),
            Condition::LookAlike => return self.add_recipient(RecipientTest::LookAlike),
            Condition::FirstContact => return self.add_recipient(RecipientTest::FirstContact),
            Condition::UserVolumeOver { recipients, within } => {
                return self
                    .add_recipient(RecipientTest::VolumeOver(*recipients, within.as_secs()));
            }
            Condition::Level(level) => {
                self.at_least = self.at_least.max(Some(*level));
                return None;
            }
        };
        self.message.push(test);
        filings
    }

    fn add_recipients(&mut self, keys: Vec<Key>) -> Option<Vec<Filing>> {
        let (set, filings) = filed(keys, Filing::Recipient);
        self.recipient.push(RecipientTest::Recipient(set));
        Some(filings)
    }

    fn add_recipient(&mut self, test: RecipientTest) -> Option<Vec<Filing>> {
        self.recipient.push(test);
        None
    }
}

fn probe_test(probe: u32) -> (MessageTest, Option<Vec<Filing>>) {
    (MessageTest::Probe(probe), Some(vec![Filing::Probe(probe)]))
}

fn keys(list: &[AddressPattern]) -> Vec<Key> {
    list.iter().map(Key::from).collect()
}

fn domain_keys(list: &[DomainPattern]) -> Vec<Key> {
    list.iter().map(Key::from).collect()
}

fn filed(keys: Vec<Key>, make: fn(Key) -> Filing) -> (AddressSet, Vec<Filing>) {
    let set = keys.iter().cloned().collect();
    (set, keys.into_iter().map(make).collect())
}

fn all_conditions(source: &PolicySource) -> impl Iterator<Item = &Condition> {
    source.rules.iter().flat_map(|rule| &rule.when)
}

fn mentioned(source: &PolicySource) -> AddressSet {
    let mut set = AddressSet::default();
    for condition in all_conditions(source) {
        match condition {
            Condition::Recipient(list) => keys(list).into_iter().for_each(|key| set.insert(key)),
            Condition::RecipientDomain(list) => {
                domain_keys(list)
                    .into_iter()
                    .for_each(|key| set.insert(key));
            }
            _ => {}
        }
    }
    for section in &source.domains {
        set.insert(Key::from(&section.name));
    }
    for exception in &source.exceptions {
        set.insert(match &exception.recipient {
            ExceptionScope::Address(address) => Key::Address(address_key(address).into()),
            ExceptionScope::Domain(domain) => Key::Domain(domain.as_str().into()),
        });
    }
    set
}
