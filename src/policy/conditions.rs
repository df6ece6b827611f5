//! Conditions as they are asked: sets instead of lists, expressions compiled once.
//!
//! Owns what one condition means. Never remembers an answer: `evaluate` does. What is not known
//! counts as the caller's [`Doubt`] says; since no condition is negated, believing every unknown
//! and believing none enclose whatever the truth may be.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use regex::Regex;

use super::facts::{MessageFacts, RecipientFacts};
use super::sets::{AddressSet, Party};
use super::source::Network;
use crate::mail::Timestamp;

const MINUTES_A_DAY: i64 = 24 * 60;
const DAYS_A_WEEK: i64 = 7;
/// 1 January 1970 was a Thursday; Monday is 0.
const WEEKDAY_OF_THE_EPOCH: i64 = 3;

/// What to make of a fact that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is as the condition asks: doubt raises. The product's way.
    Matches,
    /// It is not. Only to tell whether a decision hangs on what is unknown.
    Fails,
}

impl Doubt {
    const fn answer(self) -> bool {
        matches!(self, Self::Matches)
    }
}

/// What a regular expression is asked of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// Every field of this name, in lower case.
    Header(Box<str>),
    /// The file name of every part.
    AttachmentName,
}

/// A regular expression and what it is asked of.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) target: Target,
    pub(super) regex: Regex,
}

/// The type of a part, or all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/pdf`.
    Exact(Box<str>),
    /// `image/*`, kept as `image`.
    Major(Box<str>),
}

/// A condition on the message: the same for all its recipients.
#[derive(Debug, Clone)]
pub(super) enum MessageTest {
    Sender(AddressSet),
    Author(AddressSet),
    User(HashSet<Box<str>>),
    Group(HashSet<Box<str>>),
    Listener(HashSet<Box<str>>),
    Client(Vec<Network>),
    SizeOver(u64),
    VisibleOver(u32),
    /// From, to: minutes of the day.
    Hours(u16, u16),
    /// One bit a day.
    Days(u8),
    Detector(HashSet<Box<str>>),
    Unscannable,
    Kind(Vec<Kind>),
    /// Index of a [`Probe`].
    Probe(u32),
}

/// A condition on a recipient.
#[derive(Debug, Clone)]
pub(super) enum RecipientTest {
    Recipient(AddressSet),
    LookAlike,
    FirstContact,
    /// Recipients, seconds.
    VolumeOver(u64, u64),
}

/// A message as conditions look at it.
#[derive(Debug, Clone)]
pub(super) struct MessageView<'a> {
    pub(super) facts: &'a MessageFacts,
    pub(super) sender: Option<Party<'a>>,
    pub(super) author: Option<Party<'a>>,
    /// Groups that the account is in.
    pub(super) groups: &'a [Arc<str>],
    pub(super) doubt: Doubt,
    minute: u16,
    weekday: u8,
}

impl<'a> MessageView<'a> {
    pub(super) fn new(
        facts: &'a MessageFacts,
        groups: &'a [Arc<str>],
        utc_offset_minutes: i32,
        doubt: Doubt,
    ) -> Self {
        let (weekday, minute) = local(facts.received, utc_offset_minutes);
        Self {
            facts,
            sender: facts.sender.address().map(Party::new),
            author: facts.author.as_ref().map(Party::new),
            groups,
            doubt,
            minute,
            weekday,
        }
    }

    /// The values of a target; `None` where they are not known.
    pub(super) fn values(&self, target: &Target) -> Option<Vec<&'a str>> {
        match target {
            Target::Header(name) => {
                let header = &self.facts.header;
                let known = header
                    .only
                    .as_ref()
                    .is_none_or(|only| only.iter().any(|covered| covered.as_str() == &**name));
                known.then(|| {
                    let named = header.fields.iter().filter(|(n, _)| n.as_str() == &**name);
                    named.map(|(_, value)| value.as_str()).collect()
                })
            }
            Target::AttachmentName => {
                let parts = self.facts.parts.as_ref()?;
                Some(
                    parts
                        .iter()
                        .flat_map(super::facts::PartFacts::names)
                        .collect(),
                )
            }
        }
    }
}

/// Day of the week and minute of the day, local time.
fn local(moment: Timestamp, utc_offset_minutes: i32) -> (u8, u16) {
    let minutes = i64::try_from(moment.as_secs() / 60).unwrap_or(i64::MAX / 2);
    let minutes = minutes.saturating_add(i64::from(utc_offset_minutes));
    let days = minutes.div_euclid(MINUTES_A_DAY);
    let weekday = (days + WEEKDAY_OF_THE_EPOCH).rem_euclid(DAYS_A_WEEK);
    let minute = minutes.rem_euclid(MINUTES_A_DAY);
    (
        u8::try_from(weekday).unwrap_or(0),
        u16::try_from(minute).unwrap_or(0),
    )
}

impl MessageTest {
    /// Whether the message is so. Expressions are left to `probe`, which may remember.
    pub(super) fn holds(&self, view: &MessageView<'_>, probe: impl FnOnce(u32) -> bool) -> bool {
        let facts = view.facts;
        let named = |set: &HashSet<Box<str>>, value: Option<&str>| {
            value.is_some_and(|value| set.contains(value))
        };
        match self {
            Self::Sender(set) => view
                .sender
                .as_ref()
                .is_some_and(|sender| set.contains(sender)),
            Self::Author(set) => view
                .author
                .as_ref()
                .is_some_and(|author| set.contains(author)),
            Self::User(set) => named(set, facts.user.as_deref()),
            Self::Group(set) => view.groups.iter().any(|group| set.contains(&**group)),
            Self::Listener(set) => named(set, facts.listener.as_deref()),
            Self::Client(networks) => facts
                .client
                .is_some_and(|client| networks.iter().any(|network| network.contains(client))),
            Self::SizeOver(limit) => facts.size > *limit,
            Self::VisibleOver(limit) => facts
                .header
                .visible_recipients
                .map_or(view.doubt.answer(), |count| count > *limit),
            Self::Hours(from, to) if from < to => (*from..*to).contains(&view.minute),
            Self::Hours(from, to) => view.minute >= *from || view.minute < *to,
            Self::Days(days) => days >> view.weekday & 1 == 1,
            Self::Detector(names) => match &facts.findings {
                None => view.doubt.answer(),
                Some(findings) => {
                    let mut found = findings.found.iter();
                    found.any(|finding| names.contains(&*finding.detector))
                }
            },
            Self::Unscannable => match &facts.findings {
                None => view.doubt.answer(),
                Some(findings) => !findings.unscannable.is_empty(),
            },
            Self::Kind(kinds) => match &facts.parts {
                None => view.doubt.answer(),
                Some(parts) => parts
                    .iter()
                    .any(|part| kinds.iter().any(|kind| kind.matches(&part.kind))),
            },
            Self::Probe(index) => probe(*index),
        }
    }
}

impl RecipientTest {
    /// Whether the recipient is so.
    pub(super) fn holds(
        &self,
        recipient: &RecipientFacts,
        party: &Party<'_>,
        looks_alike: bool,
        doubt: Doubt,
    ) -> bool {
        match self {
            Self::Recipient(set) => set.contains(party),
            Self::LookAlike => looks_alike,
            Self::FirstContact => recipient.first_contact.unwrap_or(doubt.answer()),
            Self::VolumeOver(limit, within) => recipient
                .volume
                .iter()
                .find(|(window, _)| window == within)
                .map_or(doubt.answer(), |(_, recipients)| recipients > limit),
        }
    }
}

impl Kind {
    /// From lower-case text; `None` where it is no type.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('/')?;
        let token = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
        };
        match (major, minor) {
            (major, "*") if token(major) => Some(Self::Major(major.to_ascii_lowercase().into())),
            (major, minor) if token(major) && token(minor) => {
                Some(Self::Exact(text.to_ascii_lowercase().into()))
            }
            _ => None,
        }
    }

    pub(super) fn matches(&self, kind: &str) -> bool {
        match self {
            Self::Exact(exact) => kind == &**exact,
            Self::Major(major) => major_of(kind) == &**major,
        }
    }
}

/// What stands before the slash.
pub(super) fn major_of(kind: &str) -> &str {
    kind.split_once('/').map_or(kind, |(major, _)| major)
}

impl Network {
    /// The longest prefix that its kind of address has.
    pub(super) const fn bits(&self) -> u8 {
        match self.address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// Whether an address lies in it. An IPv4 address mapped into IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let host_bits = u32::from(self.bits().saturating_sub(self.prefix));
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(host_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}
