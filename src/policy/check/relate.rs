//! How two conditions stand to one another: one implies the other, or they exclude each other.
//!
//! Never claims what it cannot see: expressions are compared as text. Both answers are used to
//! refuse a policy, so they err towards no.

use std::collections::HashSet;

use super::Names;
use crate::mail::{AddressPattern, DomainPattern};
use crate::policy::conditions::Kind;
use crate::policy::sets::{AddressSet, Key};
use crate::policy::source::{Condition, Network};

const MINUTES_A_DAY: u16 = 24 * 60;

/// Whose address or domain a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Sender,
    Author,
    Recipient,
}

/// The addresses that a condition allows, if it is about addresses.
pub(super) fn addresses(condition: &Condition) -> Option<(Side, Vec<Key>)> {
    let of = |list: &[AddressPattern]| list.iter().map(Key::from).collect();
    let below = |list: &[DomainPattern]| list.iter().map(Key::from).collect();
    match condition {
        Condition::Sender(list) => Some((Side::Sender, of(list))),
        Condition::SenderDomain(list) => Some((Side::Sender, below(list))),
        Condition::Author(list) => Some((Side::Author, of(list))),
        Condition::AuthorDomain(list) => Some((Side::Author, below(list))),
        Condition::Recipient(list) => Some((Side::Recipient, of(list))),
        Condition::RecipientDomain(list) => Some((Side::Recipient, below(list))),
        _ => None,
    }
}

/// A field and the expression that it must match; Subject is a field too.
pub(super) fn field(condition: &Condition) -> Option<(String, &str)> {
    match condition {
        Condition::Subject(pattern) => Some(("subject".to_owned(), pattern)),
        Condition::Header { name, pattern } => Some((name.to_ascii_lowercase(), pattern)),
        _ => None,
    }
}

fn all_covered(inner: &[Key], outer: &[Key]) -> bool {
    let outer: AddressSet = outer.iter().cloned().collect();
    !inner.is_empty() && inner.iter().all(|key| outer.covers(key))
}

fn subset<T: Eq + std::hash::Hash>(inner: &[T], outer: &[T]) -> bool {
    let outer: HashSet<&T> = outer.iter().collect();
    !inner.is_empty() && inner.iter().all(|value| outer.contains(value))
}

fn in_hours(from: u16, to: u16, minute: u16) -> bool {
    if from < to {
        (from..to).contains(&minute)
    } else {
        minute >= from || minute < to
    }
}

/// Whether whatever meets `inner` meets `outer` too.
pub(super) fn implies(inner: &Condition, outer: &Condition) -> bool {
    use Condition as C;
    if inner == outer {
        return true;
    }
    if let (Some((a_side, a)), Some((b_side, b))) = (addresses(inner), addresses(outer)) {
        return a_side == b_side && all_covered(&a, &b);
    }
    if let (Some((a_name, a)), Some((b_name, b))) = (field(inner), field(outer)) {
        return a_name == b_name && (a == b || b.is_empty());
    }
    match (inner, outer) {
        (C::User(a), C::User(b))
        | (C::Group(a), C::Group(b))
        | (C::Listener(a), C::Listener(b))
        | (C::Detector(a), C::Detector(b)) => subset(a, b),
        (C::Days(a), C::Days(b)) => subset(a, b),
        (C::AttachmentType(a), C::AttachmentType(b)) => {
            let outer: Vec<Kind> = b.iter().filter_map(|kind| Kind::parse(kind)).collect();
            !a.is_empty()
                && a.iter().all(|kind| match Kind::parse(kind) {
                    Some(Kind::Exact(exact)) => outer.iter().any(|kind| kind.matches(&exact)),
                    Some(major) => outer.contains(&major),
                    None => false,
                })
        }
        (C::AttachmentName(_), C::AttachmentName(b)) => b.is_empty(),
        (C::Client(a), C::Client(b)) => {
            !a.is_empty() && a.iter().all(|net| b.iter().any(|wider| wider.covers(net)))
        }
        (C::SizeOver(a), C::SizeOver(b)) => a >= b,
        (C::VisibleRecipientsOver(a), C::VisibleRecipientsOver(b)) => a >= b,
        (
            C::UserVolumeOver {
                recipients: a,
                within: a_within,
            },
            C::UserVolumeOver {
                recipients: b,
                within: b_within,
            },
        ) => a >= b && a_within <= b_within,
        (C::Level(a), C::Level(b)) => a >= b,
        (C::Hours { from: a, to: b }, C::Hours { from: c, to: d }) => (0..MINUTES_A_DAY)
            .filter(|minute| in_hours(*a, *b, *minute))
            .all(|minute| in_hours(*c, *d, minute)),
        _ => false,
    }
}

/// Whether nothing meets both.
pub(super) fn exclude(a: &Condition, b: &Condition, names: &Names<'_>) -> bool {
    use Condition as C;
    if let (Some((a_side, a)), Some((b_side, b))) = (addresses(a), addresses(b)) {
        return a_side == b_side && no_overlap(&a, &b);
    }
    let none_common = |a: &[String], b: &[String]| {
        let b: HashSet<&String> = b.iter().collect();
        !a.iter().any(|value| b.contains(value))
    };
    let members = |groups: &[String]| -> HashSet<&str> {
        groups
            .iter()
            .filter_map(|group| names.groups.get(group.as_str()))
            .flatten()
            .copied()
            .collect()
    };
    match (a, b) {
        (C::User(a), C::User(b)) | (C::Listener(a), C::Listener(b)) => none_common(a, b),
        (C::User(users), C::Group(groups)) | (C::Group(groups), C::User(users)) => {
            let members = members(groups);
            !users.iter().any(|user| members.contains(user.as_str()))
        }
        (C::Group(a), C::Group(b)) => members(a).is_disjoint(&members(b)),
        (C::Days(a), C::Days(b)) => !a.iter().any(|day| b.contains(day)),
        (C::Hours { from: a, to: b }, C::Hours { from: c, to: d }) => {
            !(0..MINUTES_A_DAY).any(|minute| in_hours(*a, *b, minute) && in_hours(*c, *d, minute))
        }
        (C::Client(a), C::Client(b)) => !a
            .iter()
            .any(|one| b.iter().any(|other| one.covers(other) || other.covers(one))),
        _ => false,
    }
}

/// Two patterns overlap only where one covers the other.
fn no_overlap(a: &[Key], b: &[Key]) -> bool {
    let a_set: AddressSet = a.iter().cloned().collect();
    let b_set: AddressSet = b.iter().cloned().collect();
    !a.iter().any(|key| b_set.covers(key)) && !b.iter().any(|key| a_set.covers(key))
}

impl Network {
    fn covers(&self, other: &Network) -> bool {
        self.prefix <= other.prefix && self.bits() == other.bits() && self.contains(other.address)
    }
}
