//! The mail addresses that a certificate is for.
//!
//! RFC 5280 §4.2.1.6 (rfc822Name), RFC 9598 (SmtpUTF8Mailbox), RFC 8550 §3. One address in it that
//! is none (white space, NUL, quotes, comments, a second `@`, a trailing dot, a domain that only
//! looks like one) spoils the whole certificate, whatever its other names are: an authority that
//! lets such a thing through has not checked them either. Nothing is trimmed or repaired.
//!
//! Addresses are compared as [`Address::mailbox_key`] writes them: domains as A-labels, octet by
//! octet, so what merely looks alike is never equal.

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::name::Name;

use super::parse::Malformed;
use crate::mail::{Address, Domain};

/// Names in a subjectAltName, of any kind.
pub const MAX_ALTERNATIVE_NAMES: usize = 100;
/// Octets of a mail address before it is looked at (RFC 5321 §4.5.3.1.3, and room for UTF-8).
const MAX_MAILBOX_OCTETS: usize = 1024;

/// id-on-SmtpUTF8Mailbox (RFC 9598 §3).
const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");
/// emailAddress (RFC 2985 §5.2.1).
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// The mail addresses in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailNames {
    /// Those that mail can be sent to from here.
    pub addresses: Vec<Address>,
    /// At least one is no address at all.
    pub hostile: bool,
    /// They stand in the subject only: there is no subjectAltName. RFC 8550 §3 has those looked
    /// at too; here they count where the operator vouches for the certificate, for a subject is
    /// written by its owner and is checked by few authorities.
    pub legacy: bool,
    /// One stands in a SmtpUTF8Mailbox.
    pub unicode: bool,
}

impl MailNames {
    /// Whether one of them is this mailbox.
    pub fn contains(&self, address: &Address) -> bool {
        let key = address.mailbox_key();
        self.addresses.iter().any(|it| it.mailbox_key() == key)
    }

    fn add(&mut self, text: Mailbox) {
        match text {
            Mailbox::Ascii(address) => {
                if !self.contains(&address) {
                    self.addresses.push(address);
                }
            }
            Mailbox::Foreign => {}
            Mailbox::Hostile => self.hostile = true,
        }
    }
}

/// What a text in the place of an address is.
#[derive(Debug, PartialEq, Eq)]
enum Mailbox {
    /// An address.
    Ascii(Address),
    /// An address with a local part that is not ASCII: well formed, but no mail goes there from
    /// here (SMTPUTF8 is not offered).
    Foreign,
    /// None.
    Hostile,
}

/// The names in the value of a subjectAltName extension.
pub(super) fn of_extension(value: &[u8]) -> Result<MailNames, Malformed> {
    const RFC822_NAME: Tag = Tag::ContextSpecific {
        constructed: false,
        number: TagNumber(1),
    };
    const OTHER_NAME: Tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    };
    let mut names = MailNames::default();
    let mut reader = SliceReader::new(value)?;
    reader.sequence(|reader| {
        let mut count = 0;
        while !reader.is_finished() {
            count += 1;
            if count > MAX_ALTERNATIVE_NAMES {
                return Err(Malformed);
            }
            let name = AnyRef::decode(reader)?;
            match name.tag() {
                RFC822_NAME => names.add(ascii(name.value())),
                OTHER_NAME => {
                    if let Some(text) = smtp_utf8(name.value())? {
                        names.unicode = true;
                        names.add(unicode(text));
                    }
                }
                // The other form of these two tags is not DER; the rest is none of our business.
                Tag::ContextSpecific {
                    number: TagNumber(0 | 1),
                    ..
                } => return Err(Malformed),
                Tag::ContextSpecific {
                    number: TagNumber(2..=8),
                    ..
                } => {}
                _ => return Err(Malformed),
            }
        }
        // RFC 5280 §4.2.1.6: at least one.
        (count > 0).then_some(()).ok_or(Malformed)
    })?;
    reader.finish()?;
    Ok(names)
}

/// The text of an otherName, if it is a SmtpUTF8Mailbox.
fn smtp_utf8(value: &[u8]) -> Result<Option<&str>, Malformed> {
    const EXPLICIT: Tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    };
    let mut reader = SliceReader::new(value)?;
    let kind = ObjectIdentifier::decode(&mut reader)?;
    let wrapped = AnyRef::decode(&mut reader)?;
    reader.finish()?;
    if wrapped.tag() != EXPLICIT {
        return Err(Malformed);
    }
    if kind != SMTP_UTF8_MAILBOX {
        return Ok(None);
    }
    let text = AnyRef::from_der(wrapped.value())?;
    match text.tag() {
        Tag::Utf8String => std::str::from_utf8(text.value())
            .map(Some)
            .map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

/// The addresses in a subject.
pub(super) fn of_subject(subject: &Name) -> MailNames {
    let mut names = MailNames {
        legacy: true,
        ..MailNames::default()
    };
    for attribute in subject.iter().filter(|it| it.oid == EMAIL_ADDRESS) {
        names.add(match attribute.value.tag() {
            Tag::Ia5String | Tag::PrintableString | Tag::Utf8String => {
                ascii(attribute.value.value())
            }
            _ => Mailbox::Hostile,
        });
    }
    names
}

/// An rfc822Name: a Mailbox (RFC 5321 §4.1.2) in ASCII, its local part a dot-string. Quotes are
/// legal there, and only used to hide something.
fn ascii(octets: &[u8]) -> Mailbox {
    let text = std::str::from_utf8(octets).ok();
    match text.and_then(|text| Address::parse(text).ok()) {
        Some(address) if !address.local_part().starts_with('"') => Mailbox::Ascii(address),
        Some(_) | None => Mailbox::Hostile,
    }
}

/// A SmtpUTF8Mailbox. Its domain is in A-labels (RFC 9598 §3); the U-labels of RFC 8398 are taken
/// if they are what their A-labels read as, so that nothing is folded on the way: full-width
/// letters are not the domain they fold to.
fn unicode(text: &str) -> Mailbox {
    if text.len() > MAX_MAILBOX_OCTETS {
        return Mailbox::Hostile;
    }
    if text.is_ascii() {
        return ascii(text.as_bytes());
    }
    let mut parts = text.split('@');
    let (Some(local), Some(domain), None) = (parts.next(), parts.next(), parts.next()) else {
        return Mailbox::Hostile;
    };
    let Some(domain) = exact_domain(domain) else {
        return Mailbox::Hostile;
    };
    if local.is_ascii() {
        return ascii(format!("{local}@{domain}").as_bytes());
    }
    let plain = |it: char| match it {
        it if it.is_ascii() => is_atom(it),
        it => !it.is_whitespace() && !it.is_control() && !is_invisible(it),
    };
    let well_formed = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(plain));
    match well_formed {
        true => Mailbox::Foreign,
        false => Mailbox::Hostile,
    }
}

fn exact_domain(text: &str) -> Option<Domain> {
    if text.is_ascii() {
        return Domain::parse(text).ok();
    }
    let domain = Domain::from_unicode(text).ok()?;
    let (back, valid) = idna::domain_to_unicode(domain.as_str());
    (valid.is_ok() && back == text).then_some(domain)
}

/// `atext` of RFC 5322 §3.2.3.
fn is_atom(it: char) -> bool {
    it.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(it)
}

/// Characters that take no place, turn the line around, stand for an `@`, or are none.
pub(super) const fn is_invisible(it: char) -> bool {
    matches!(it,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe6b}'
        | '\u{feff}' | '\u{ff20}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_hostile() {
        for text in [
            "",
            " kim@clinic.example",
            "kim@clinic.example ",
            "kim@clinic.example\0",
            "kim\0@clinic.example",
            "kim@clinic.example\0.evil.example",
            "kim@@clinic.example",
            "kim@clinic.example@evil.example",
            "kim@clinic.example.",
            "kim",
            "@clinic.example",
            "kim@",
            "\"kim\"@clinic.example",
            "(x)kim@clinic.example",
            "<kim@clinic.example>",
            "kim@[192.0.2.1]",
            "kim@clinic_x.example",
            "kim@clinic.example,eve@evil.example",
            "kim..x@clinic.example",
            ".kim@clinic.example",
            "k\u{ef}m@clinic.example",
            "kim@xn--a.example",
            "kim@clinic.example\r\n",
            "kim\t@clinic.example",
        ] {
            assert_eq!(ascii(text.as_bytes()), Mailbox::Hostile, "{text:?}");
            if text.is_ascii() {
                assert_eq!(unicode(text), Mailbox::Hostile, "{text:?}");
            }
        }
        assert_eq!(ascii(b"kim@cl\xffinic.example"), Mailbox::Hostile);
    }

    #[test]
    fn what_folds_to_an_address_is_not_that_address() {
        for text in [
            "kim@\u{ff43}linic.example",     // full-width c
            "kim@clinic\u{3002}example",     // ideographic full stop
            "kim\u{ff20}clinic.example",     // full-width @
            "k\u{200b}im@clinic.example",    // zero width space
            "kim@clinic\u{ad}.example",      // soft hyphen
            "k\u{202e}im@clinic.example",    // turned around
            "kim@B\u{fc}cher.example",       // not lower case
            "k\u{a0}\u{ef}m@clinic.example", // no-break space
            "\"k\u{ef}m\"@clinic.example",
        ] {
            assert_eq!(unicode(text), Mailbox::Hostile, "{text:?}");
        }
        let cyrillic = unicode("kim@clini\u{441}.example");
        let Mailbox::Ascii(address) = cyrillic else {
            panic!("a name of its own: {cyrillic:?}")
        };
        assert_ne!(address.domain().as_str(), "clinic.example");
    }

    #[test]
    fn a_labels_and_u_labels_are_one_domain() {
        let address: Address = "kim@xn--bcher-kva.example".parse().unwrap();
        for text in ["kim@b\u{fc}cher.example", "kim@xn--bcher-kva.example"] {
            assert_eq!(unicode(text), Mailbox::Ascii(address.clone()), "{text}");
        }
        assert_eq!(unicode("k\u{ef}m@clinic.example"), Mailbox::Foreign);
    }
}
