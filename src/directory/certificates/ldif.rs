//! Certificates in LDIF (RFC 2849): what directories and address books export.
//!
//! Read are `userCertificate` (RFC 4523 §2.1), `userSMIMECertificate` (RFC 2798 §2.8), the
//! authorities in `cACertificate`, and `mail`: of an entry with mail addresses, certificates are
//! for those and no others. Values that are a URL (`:<`) are never followed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::formats::{FormatError, Item, Items, NoCertificate};
use crate::mail::Address;
use crate::proto::cms::MAX_BUNDLE_OCTETS;

/// Entries of a file.
const MAX_ENTRIES: usize = 50_000;
/// Octets of a line, its continuations with it: what is longer is cut, and then refused.
const MAX_LINE_OCTETS: usize = 2 * MAX_BUNDLE_OCTETS;
/// Mail addresses of an entry that are looked at.
const MAX_ADDRESSES: usize = 100;

/// Whether a text begins as LDIF does: comments aside, with `version:` or `dn:`.
pub(super) fn looks_like(text: &str) -> bool {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with(['#', ' ']));
    first.is_some_and(|line| {
        let name = line.split(':').next().unwrap_or(line);
        line.contains(':')
            && (name.eq_ignore_ascii_case("version") || name.eq_ignore_ascii_case("dn"))
    })
}

/// A line with its continuations.
struct Line {
    number: usize,
    text: String,
}

/// What stands behind an attribute's name.
enum Value {
    Octets(Vec<u8>),
    /// A URL, or base64 that is none.
    Useless,
}

#[derive(Default)]
struct Entry {
    number: usize,
    addresses: Vec<Address>,
    /// It says whom it is for, whether or not that can be read.
    says_for: bool,
    certificates: Vec<(usize, Value)>,
    is_change: bool,
}

/// Adds what the entries of `text` hold.
pub(super) fn read(text: &str, items: &mut Items) -> Result<(), FormatError> {
    let mut entry = Entry::default();
    let mut entries = 0;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, first)) = lines.next() {
        let mut line = Line {
            number: at + 1,
            text: first.trim_end_matches('\r').to_owned(),
        };
        while let Some((_, more)) = lines.next_if(|(_, next)| next.starts_with(' ')) {
            if line.text.len() <= MAX_LINE_OCTETS {
                line.text.push_str(more[1..].trim_end_matches('\r'));
            }
        }
        if line.text.is_empty() {
            flush(std::mem::take(&mut entry), items)?;
            continue;
        }
        if entry.number == 0 && !line.text.starts_with('#') {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(FormatError::TooMany);
            }
            entry.number = line.number;
        }
        note(&mut entry, &line);
    }
    flush(entry, items)
}

/// Takes note of a line of an entry.
fn note(entry: &mut Entry, line: &Line) {
    if line.text.starts_with('#') {
        return;
    }
    let Some((description, rest)) = line.text.split_once(':') else {
        return;
    };
    // Options, such as `;binary`, say nothing that matters here.
    let name = description.split(';').next().unwrap_or(description);
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("userCertificate") || is("userSMIMECertificate") || is("cACertificate") {
        entry.certificates.push((line.number, value(rest)));
    } else if is("mail") || is("rfc822Mailbox") {
        entry.says_for = true;
        let address = match value(rest) {
            Value::Octets(octets) => String::from_utf8(octets).ok(),
            Value::Useless => None,
        };
        let address = address.and_then(|text| Address::parse(&text).ok());
        if entry.addresses.len() < MAX_ADDRESSES {
            entry.addresses.extend(address);
        }
    } else if is("changetype") {
        entry.is_change |= !rest.trim().eq_ignore_ascii_case("add");
    }
}

/// RFC 2849: `: ` text, `:: ` base64, `:< ` a URL; spaces before the value do not count.
fn value(rest: &str) -> Value {
    match rest.as_bytes().first() {
        Some(b':') => match STANDARD.decode(rest[1..].trim_matches(' ')) {
            Ok(octets) => Value::Octets(octets),
            Err(_) => Value::Useless,
        },
        Some(b'<') => Value::Useless,
        Some(_) | None => Value::Octets(rest.trim_start_matches(' ').as_bytes().to_vec()),
    }
}

/// Adds the certificates of an entry that is complete.
fn flush(entry: Entry, items: &mut Items) -> Result<(), FormatError> {
    let none = |number: usize, why| Item {
        place: format!("line {number}"),
        der: Err(why),
        said_for: Vec::new(),
    };
    for (number, value) in entry.certificates {
        let place = format!("line {number}");
        match value {
            // A record of changes is not the state of an entry.
            _ if entry.is_change => items.push(none(number, NoCertificate::Other))?,
            // It is for somebody that no mail can be sent to.
            _ if entry.says_for && entry.addresses.is_empty() => {
                items.push(none(number, NoCertificate::Other))?;
            }
            Value::Octets(der) => items.push_der(&place, der, &entry.addresses)?,
            Value::Useless => items.push(none(number, NoCertificate::Malformed))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<Item> {
        let mut items = Items(Vec::new());
        read(text, &mut items).unwrap();
        items.0
    }

    #[test]
    fn folding_comments_options_case_and_both_kinds_of_value() {
        let text = "version: 1\n# a comment\n  that goes on\n\ndn: cn=Kim\r\nmail: kim@clinic.example\r\n\
            MAIL:: am9AY2xpbmljLmV4YW1wbGU=\r\nUserCertificate;binary:: MAAw\r\n AA==\r\n\
            cn: Kim\n\ndn: cn=None\nuserCertificate: 0plain\n";
        let found = items(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].der.as_deref(), Ok(&[0x30, 0, 0x30, 0][..]));
        assert_eq!(found[0].place, "line 8");
        let said: Vec<String> = found[0].said_for.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["kim@clinic.example", "jo@clinic.example"]);
        assert_eq!(found[1].der.as_deref(), Ok(&b"0plain"[..]));
        assert_eq!(found[1].said_for, []);
    }

    #[test]
    fn urls_bad_base64_changes_and_strangers_are_not_read() {
        for (text, expected) in [
            (
                "userCertificate:< file:///etc/passwd",
                NoCertificate::Malformed,
            ),
            ("userCertificate:: !!!!", NoCertificate::Malformed),
            (
                "changetype: modify\nuserCertificate:: MAA=",
                NoCertificate::Other,
            ),
            (
                "mail: no address\nuserCertificate:: MAA=",
                NoCertificate::Other,
            ),
        ] {
            let found = items(&format!("dn: cn=x\n{text}\n"));
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].der, Err(expected), "{text}");
        }
        let added = items("dn: cn=x\nchangetype: add\nuserCertificate:: MAA=\n");
        assert!(added[0].der.is_ok());
    }

    #[test]
    fn it_is_told_from_other_text() {
        for text in ["version: 1\n", "# x\n\ndn: cn=x\n", "DN:: Y249eA==\n"] {
            assert!(looks_like(text), "{text}");
        }
        for text in ["", "hello", "dn", "cn: x\n", "# dn: x\n"] {
            assert!(!looks_like(text), "{text}");
        }
    }
}
