//! The text that a policy's hash stands for, and the hash.
//!
//! Owns what counts as the same policy: the order of rules, sections, conditions and list entries
//! does not, nor does an entry written twice; the order of methods does. The text is JSON behind
//! a line with the version of this form. A change of the form changes every hash.

use ring::digest;
use serde::Serialize;

use super::source::{Condition, PolicySource};

/// The first line: the form.
const FORM: &str = "sealpost policy 1\n";
/// Octets of SHA-256 that a hash keeps.
const HASH_OCTETS: usize = 16;

/// The canonical text of a policy.
pub fn text(source: &PolicySource) -> String {
    let mut policy = source.clone();
    for rule in &mut policy.rules {
        rule.when.iter_mut().for_each(order);
        sort(&mut rule.when);
    }
    sort(&mut policy.rules);
    for domain in &mut policy.domains {
        sort(&mut domain.pin_mx);
    }
    sort(&mut policy.domains);
    for group in &mut policy.groups {
        sort(&mut group.members);
    }
    sort(&mut policy.groups);
    sort(&mut policy.users);
    sort(&mut policy.tags);
    sort(&mut policy.exceptions);
    sort(&mut policy.partners);
    format!("{FORM}{}", json(&policy))
}

/// The first 16 octets of SHA-256 over the canonical text, as hex.
pub fn hash(source: &PolicySource) -> String {
    let digest = digest::digest(&digest::SHA256, text(source).as_bytes());
    let octets = digest.as_ref().iter().take(HASH_OCTETS);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

/// The canonical text of the conditions of a rule: equal for those that mean the same.
pub(super) fn conditions(when: &[Condition]) -> String {
    let mut when = when.to_vec();
    when.iter_mut().for_each(order);
    sort(&mut when);
    json(&when)
}

fn order(condition: &mut Condition) {
    match condition {
        Condition::Sender(list) | Condition::Author(list) | Condition::Recipient(list) => {
            sort(list);
        }
        Condition::SenderDomain(list)
        | Condition::AuthorDomain(list)
        | Condition::RecipientDomain(list) => sort(list),
        Condition::User(list)
        | Condition::Group(list)
        | Condition::AttachmentType(list)
        | Condition::Listener(list)
        | Condition::Detector(list) => sort(list),
        Condition::Client(list) => sort(list),
        Condition::Days(list) => sort(list),
        Condition::Subject(_)
        | Condition::Header { .. }
        | Condition::SizeOver(_)
        | Condition::AttachmentName(_)
        | Condition::Hours { .. }
        | Condition::Unscannable
        | Condition::LookAlike
        | Condition::VisibleRecipientsOver(_)
        | Condition::FirstContact
        | Condition::UserVolumeOver { .. }
        | Condition::Level(_) => {}
    }
}

/// Sorted by the text of each entry, each once.
fn sort<T: Serialize>(list: &mut Vec<T>) {
    if list.len() < 2 {
        return;
    }
    let mut keyed: Vec<(String, T)> = list.drain(..).map(|entry| (json(&entry), entry)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.dedup_by(|(a, _), (b, _)| a == b);
    list.extend(keyed.into_iter().map(|(_, entry)| entry));
}

/// Nothing in a policy can fail to be written: its maps have text keys and it has no floats.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
