//! Domains that look like a partner's and are none.
//!
//! Owns what "looks like" means: the same to the eye (confusable characters, UTS 39), the same
//! but for hyphens or the ending, one keystroke away, or a partner's name in front of a strange
//! one. A look-up costs a few searches, however many partners there are: each partner is filed
//! under its skeleton and under what is left of its name with one character gone.
//!
//! The registrable part is taken as the last two labels, or the last three where the second last
//! is a usual one under a country (`co`, `nhs`, …). No list of public suffixes is shipped: where
//! this takes too little, the partner's own name below it is still exact, and never suspicious.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use unicode_security::confusable_detection::skeleton;

use crate::mail::Domain;

/// Most partners that are looked at.
pub const MAX_PARTNERS: usize = 20_000;
/// Names shorter than this are one keystroke from too many others.
const LEAST_EDITABLE: usize = 5;
/// Second labels that belong to the ending, under an ending of two letters.
const SECOND_LEVEL: &[&str] = &[
    "ac", "asn", "co", "com", "edu", "gob", "gov", "gouv", "health", "id", "ltd", "med", "mil",
    "ne", "net", "nhs", "nom", "or", "org", "plc", "sch",
];

/// Partners, filed for look-ups.
#[derive(Debug, Clone, Default)]
pub struct LookAlikes {
    partners: Vec<Domain>,
    /// Names themselves, and their registrable parts: never suspicious, nor what lies below.
    known: HashSet<Box<str>>,
    /// The folded label without hyphens → partner.
    folded: HashMap<Box<str>, u32>,
    /// Hash of the folded registrable part, whole or with one character gone → partner; sorted.
    near: Vec<(u64, u32)>,
}

/// A registrable part, cut up.
struct Registrable<'a> {
    whole: &'a str,
    label: &'a str,
}

impl LookAlikes {
    /// Files partners; at most [`MAX_PARTNERS`].
    pub fn new<'a>(partners: impl IntoIterator<Item = &'a Domain>) -> Self {
        let mut all = Self::default();
        for (index, domain) in (0u32..).zip(partners.into_iter().take(MAX_PARTNERS)) {
            all.partners.push(domain.clone());
            let part = registrable(domain.as_str());
            all.known.insert(domain.as_str().into());
            all.known.insert(part.whole.into());
            all.folded
                .entry(squeezed(&fold(part.label)).into())
                .or_insert(index);
            let folded = fold(part.whole);
            if editable(&folded) {
                let shapes = std::iter::once(folded.clone()).chain(deletions(&folded));
                all.near.extend(shapes.map(|shape| (hash(&shape), index)));
            }
        }
        all.near.sort_unstable();
        all.near.dedup();
        all
    }

    /// Whether there is nothing to look like.
    pub fn is_empty(&self) -> bool {
        self.partners.is_empty()
    }

    /// The partner that `domain` looks like; `None` for partners themselves, what lies below
    /// them, and what resembles none.
    pub fn find(&self, domain: &Domain) -> Option<&Domain> {
        if self.is_empty() || self.is_known(domain.as_str()) {
            return None;
        }
        let part = registrable(domain.as_str());
        let label = squeezed(&fold(part.label));
        let index = self
            .folded
            .get(label.as_str())
            .copied()
            .or_else(|| self.one_edit_away(&fold(part.whole)))
            .or_else(|| self.in_front(domain.as_str()))?;
        self.partners.get(usize::try_from(index).ok()?)
    }

    fn is_known(&self, domain: &str) -> bool {
        std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, up)| up))
            .any(|name| self.known.contains(name))
    }

    fn one_edit_away(&self, folded: &str) -> Option<u32> {
        if !editable(folded) {
            return None;
        }
        let shapes = std::iter::once(folded.to_owned()).chain(deletions(folded));
        shapes
            .flat_map(|shape| self.filed_under(hash(&shape)))
            .find(|&index| {
                let partner = usize::try_from(index)
                    .ok()
                    .and_then(|i| self.partners.get(i));
                partner.is_some_and(|partner| {
                    within_one_edit(&fold(registrable(partner.as_str()).whole), folded)
                })
            })
    }

    fn filed_under(&self, shape: u64) -> impl Iterator<Item = u32> {
        let start = self.near.partition_point(|(hash, _)| *hash < shape);
        let rest = self.near.get(start..).unwrap_or_default();
        rest.iter()
            .take_while(move |(hash, _)| *hash == shape)
            .map(|(_, index)| *index)
    }

    /// A partner's name in front of a strange one: `hospital.example.login.test`.
    fn in_front(&self, domain: &str) -> Option<u32> {
        let labels: Vec<&str> = domain.split('.').collect();
        let runs = (2..labels.len()).flat_map(|length| labels.windows(length));
        let shown = runs
            .filter(|run| !domain.ends_with(&run.join(".")))
            .map(|run| run.join("."))
            .find(|run| self.known.contains(run.as_str()))?;
        let partner = self
            .partners
            .iter()
            .position(|partner| registrable(partner.as_str()).whole == registrable(&shown).whole)?;
        u32::try_from(partner).ok()
    }
}

/// The partner that `domain` looks like, if any. For a single question; [`LookAlikes`] for many.
pub fn lookalike<'a>(
    domain: &Domain,
    partners: impl IntoIterator<Item = &'a Domain>,
) -> Option<Domain> {
    LookAlikes::new(partners).find(domain).cloned()
}

fn registrable(domain: &str) -> Registrable<'_> {
    let mut ends = domain.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (ends.next(), ends.next(), ends.next());
    let after = |dot: Option<usize>| dot.map_or(0, |dot| dot + 1);
    let tail = |from: usize| domain.get(from..).unwrap_or(domain);
    let Some(last) = last else {
        return Registrable {
            whole: domain,
            label: domain,
        };
    };
    let middle = domain.get(after(second)..last).unwrap_or_default();
    let country = tail(last + 1).len() == 2;
    let (start, suffix) = match second {
        Some(dot) if country && SECOND_LEVEL.contains(&middle) => (after(third), dot),
        _ => (after(second), last),
    };
    Registrable {
        whole: tail(start),
        label: domain.get(start..suffix).unwrap_or(domain),
    }
}

/// What the eye sees: Unicode skeleton of the U-labels, and the ASCII pairs that it leaves.
fn fold(name: &str) -> String {
    let shown = if name.contains("xn--") {
        idna::domain_to_unicode(name).0
    } else {
        name.to_owned()
    };
    let seen: String = skeleton(&shown).flat_map(char::to_lowercase).collect();
    seen.replace("rn", "m")
        .replace("vv", "w")
        .replace('0', "o")
        .replace(['1', 'i'], "l")
}

fn squeezed(label: &str) -> String {
    label.replace('-', "")
}

fn editable(folded: &str) -> bool {
    folded
        .split('.')
        .next()
        .is_some_and(|label| label.chars().count() >= LEAST_EDITABLE)
}

fn deletions(text: &str) -> impl Iterator<Item = String> {
    text.char_indices().map(|(at, gone)| {
        let (head, tail) = text.split_at(at);
        let tail = tail.get(gone.len_utf8()..).unwrap_or_default();
        [head, tail].concat()
    })
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Whether one insertion, deletion, substitution or swap of neighbours makes `a` into `b`.
fn within_one_edit(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (
        a.get(head..).unwrap_or_default(),
        b.get(head..).unwrap_or_default(),
    );
    match (a, b) {
        ([], rest) | (rest, []) => rest.len() <= 1,
        ([x, a @ ..], [y, b @ ..]) => {
            let swapped = match (a, b) {
                ([x2, a @ ..], [y2, b @ ..]) => x == y2 && y == x2 && a == b,
                _ => false,
            };
            // Substituted; inserted into b; deleted from it.
            swapped
                || a == b
                || b.first() == Some(x) && b.get(1..) == Some(a) && b.len() == a.len() + 1
                || a.first() == Some(y) && a.get(1..) == Some(b) && a.len() == b.len() + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_like(domain: &str, partner: &str) -> bool {
        let (domain, partner) = (
            Domain::from_unicode(domain).unwrap(),
            Domain::from_unicode(partner).unwrap(),
        );
        lookalike(&domain, [&partner]).is_some()
    }

    #[test]
    fn what_looks_alike_is_found() {
        for (domain, partner, why) in [
            ("hospita1.example", "hospital.example", "1 for l"),
            ("h0spital.example", "hospital.example", "0 for o"),
            ("hospitai.example", "hospital.example", "i for l"),
            ("rnercy.example", "mercy.example", "rn for m"),
            ("mercy.example", "rnercy.example", "m for rn"),
            ("vvestclinic.example", "westclinic.example", "vv for w"),
            ("hоspital.example", "hospital.example", "a Cyrillic o"),
            ("clínic.example", "clinic.example", "an accent"),
            (
                "hopsital.example",
                "hospital.example",
                "two letters swapped",
            ),
            ("hospitl.example", "hospital.example", "a letter gone"),
            ("hospittal.example", "hospital.example", "a letter twice"),
            ("hospitel.example", "hospital.example", "another letter"),
            (
                "hospital.exmaple",
                "hospital.example",
                "a swap in the ending",
            ),
            ("hospital.test", "hospital.example", "another ending"),
            ("hospital.co.uk", "hospital.nhs.uk", "another ending of two"),
            (
                "city-hospital.example",
                "cityhospital.example",
                "a hyphen more",
            ),
            (
                "cityhospital.example",
                "city-hospital.example",
                "a hyphen less",
            ),
            ("mail.hospita1.example", "hospital.example", "below it"),
            (
                "h0spital.example",
                "mx.hospital.example",
                "a partner below its domain",
            ),
            (
                "hospital.example.login.test",
                "hospital.example",
                "in front",
            ),
        ] {
            assert!(looks_like(domain, partner), "{why}: {domain} and {partner}");
        }
    }

    #[test]
    fn what_is_the_partner_or_something_else_is_not() {
        for (domain, partner) in [
            ("hospital.example", "hospital.example"),
            ("lab.hospital.example", "hospital.example"),
            ("a.b.hospital.example", "hospital.example"),
            ("hospital.example", "mx.hospital.example"),
            ("clinic.example", "hospital.example"),
            ("hostels.example", "hospital.example"),
            ("abd.example", "abc.example"),
            ("northhospital.example", "hospital.example"),
            ("trust.nhs.uk", "other.nhs.uk"),
        ] {
            assert!(!looks_like(domain, partner), "{domain} and {partner}");
        }
        let domain = Domain::parse("anything.example").unwrap();
        assert_eq!(lookalike(&domain, []), None);
        assert!(LookAlikes::default().is_empty());
    }

    #[test]
    fn one_edit_is_one_edit() {
        for (a, b, near) in [
            ("abcde", "abcde", true),
            ("abcde", "abcd", true),
            ("abcd", "abcde", true),
            ("abcde", "abXde", true),
            ("abcde", "abdce", true),
            ("abcde", "bacde", true),
            ("abcde", "Xabcde", true),
            ("abcde", "badce", false),
            ("abcde", "abc", false),
            ("abcde", "aXcXe", false),
            ("abcde", "cdeab", false),
            ("", "a", true),
            ("", "ab", false),
        ] {
            assert_eq!(within_one_edit(a, b), near, "{a} {b}");
            assert_eq!(within_one_edit(b, a), near, "{b} {a}");
        }
    }

    #[test]
    fn the_registrable_part_knows_usual_endings() {
        for (domain, whole, label) in [
            ("hospital.example", "hospital.example", "hospital"),
            ("mx.hospital.example", "hospital.example", "hospital"),
            ("a.trust.nhs.uk", "trust.nhs.uk", "trust"),
            ("nhs.uk", "nhs.uk", ""),
            ("example", "example", "example"),
        ] {
            let part = registrable(domain);
            assert_eq!(part.whole, whole);
            if !label.is_empty() {
                assert_eq!(part.label, label);
            }
        }
    }
}
