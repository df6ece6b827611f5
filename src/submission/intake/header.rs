//! What is checked in a header, and what is changed.

use super::tags::Said;
use super::{Arrival, MAX_MESSAGE_ID_OCTETS, Refusal, SubjectTags};
use super::{received, tags};
use crate::directory::User;
use crate::mail::message::{Field, Header, MAX_HOPS, mailboxes};
use crate::mail::{Address, Domain, PickupWishes, Tag};

/// Fields that RFC 5322 §3.6 and RFC 2045 §3 allow once. Where there are two, receivers disagree
/// about which one counts; the large ones refuse such mail.
const ONCE: [&str; 14] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
];

/// Fields that never leave: the blind recipients, and what only final delivery may write
/// (RFC 5321 §4.4).
const REMOVED: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];

/// Checks a header against the account; its author.
pub(super) fn check(
    header: &Header<'_>,
    user: &User,
    hostname: &Domain,
) -> Result<Address, Refusal> {
    if let Some(field) = header.fields().find(|field| !field.raw().is_ascii()) {
        return Err(Refusal::EightBitHeader(field.name().to_owned()));
    }
    for name in ONCE {
        if header.all(name).nth(1).is_some() {
            return Err(Refusal::Duplicate(name));
        }
    }
    loops(header, hostname)?;
    let from = header.first("From").ok_or(Refusal::NoFrom)?;
    let author = permitted(from, "From", user)?;
    if let Some(sender) = header.first("Sender") {
        permitted(sender, "Sender", user)?;
    }
    Ok(author)
}

/// The one address of a field, if the account may send as it.
fn permitted(field: Field<'_>, name: &'static str, user: &User) -> Result<Address, Refusal> {
    let found =
        mailboxes(field.body()).map_err(|error| Refusal::Mailboxes { field: name, error })?;
    let [address] = found.as_slice() else {
        return Err(Refusal::NotOne {
            field: name,
            count: found.len(),
        });
    };
    if !user.may_send_as(address) {
        return Err(Refusal::NotPermitted {
            field: name,
            address: address.clone(),
        });
    }
    Ok(address.clone())
}

/// More hops than any way has, or our own name among them twice (RFC 5321 §6.3).
fn loops(header: &Header<'_>, hostname: &Domain) -> Result<(), Refusal> {
    let hops = header.all("Received").count();
    let ours = header
        .all("Received")
        .filter(|field| received::is_by(&field.value(), hostname))
        .count();
    if hops > MAX_HOPS || ours >= 2 {
        return Err(Refusal::Loop);
    }
    Ok(())
}

/// What the sender asks for: for a level every field and every subject tag counts; of what is said
/// for the portal each may stand once, since of two nobody knows which one the recipient was told.
pub(super) fn asked(
    header: &Header<'_>,
    subject_tags: &SubjectTags,
) -> Result<(Vec<Tag>, PickupWishes), Refusal> {
    let (mut asked, mut pickup) = (Vec::new(), PickupWishes::default());
    for field in header.fields().filter(|&field| tags::is_ours(field)) {
        match tags::said(field)? {
            Said::Level(level) => {
                let tag = Tag { text: None, level };
                if !asked.contains(&tag) {
                    asked.push(tag);
                }
            }
            Said::Secret(secret) => once(&mut pickup.secret, secret, tags::SECRET)?,
            Said::Phone(phone) => once(&mut pickup.phone, phone, tags::PHONE)?,
            Said::Language(language) => once(&mut pickup.language, language, tags::LANGUAGE)?,
        }
    }
    pickup.language = pickup.language.or_else(|| tags::content_language(header));
    asked.extend(subject_tags.asked(header));
    Ok((asked, pickup))
}

fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Duplicate(name)),
    }
}

/// Writes the header as it is stored; the value of its Message-ID.
pub(super) fn rewrite(
    header: &Header<'_>,
    arrival: &Arrival,
    subject_tags: &SubjectTags,
    out: &mut Vec<u8>,
) -> Result<String, Refusal> {
    let given = |name: &str| {
        let value = header.first(name).map(|field| field.value());
        value.filter(|value| !value.is_empty())
    };
    let message_id = given("Message-ID");
    let date = given("Date");
    if message_id
        .as_ref()
        .is_some_and(|id| id.len() > MAX_MESSAGE_ID_OCTETS)
    {
        return Err(Refusal::MessageId);
    }
    out.extend_from_slice(received::field(arrival).as_bytes());
    for field in header.fields() {
        let removed = REMOVED.iter().any(|name| field.is(name))
            || tags::is_ours(field)
            // An empty one is as good as none, and is replaced.
            || field.is("Date") && date.is_none()
            || field.is("Message-ID") && message_id.is_none();
        if removed {
            continue;
        }
        match subject_tags.without(field) {
            Some(cleaned) => out.extend_from_slice(&cleaned),
            None => out.extend_from_slice(field.raw()),
        }
    }
    if date.is_none() {
        let date = format!("Date: {}\r\n", arrival.received.to_rfc5322());
        out.extend_from_slice(date.as_bytes());
    }
    Ok(message_id.unwrap_or_else(|| {
        let made = format!("<{}@{}>", arrival.id, arrival.hostname);
        out.extend_from_slice(format!("Message-ID: {made}\r\n").as_bytes());
        made
    }))
}
