//! What a body is: by its octets first, by what the sender said second.

use super::cms::pkcs7;
use crate::mail::finding::Unreadable;
use crate::scan::text;

/// How far into a file its marks are looked for.
const HEAD_OCTETS: usize = 1024;

/// A kind of document that the worker reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// ISO 32000.
    Pdf,
    /// A zip archive; office documents are archives.
    Zip,
    /// RFC 1952.
    Gzip,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text as it stands.
    Text,
    Html,
    /// Text with tags, read both as it stands and without them.
    Xml,
    /// A picture in XML.
    Svg,
    Rtf,
    /// iCalendar and vCard: lines are folded.
    Folded,
    /// A message of its own.
    Message,
    Document(DocumentKind),
    /// Nothing that says anything: empty, or a detached signature.
    Nothing,
    Unreadable(Unreadable),
    /// Said to be text, but not.
    NotText,
}

/// What the sender says that a part is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    ctype: String,
    subtype: String,
    charset: Option<String>,
    smime: String,
    extension: String,
}

impl Declared {
    /// Plain text.
    pub fn text() -> Self {
        let mut declared = Self::default();
        declared.set_type("text", "plain", None);
        declared
    }

    /// A file of this name, as in an archive.
    pub fn file(name: &str) -> Self {
        let mut declared = Self::default();
        declared.set_type("application", "octet-stream", None);
        declared.add_name(name);
        declared
    }

    pub(super) fn set_type(&mut self, ctype: &str, subtype: &str, charset: Option<&str>) {
        self.ctype = ctype.trim().to_ascii_lowercase();
        self.subtype = subtype.trim().to_ascii_lowercase();
        self.charset = charset.map(|name| name.trim().to_ascii_lowercase());
    }

    pub(super) fn set_smime(&mut self, kind: &str) {
        self.smime = kind.trim().to_ascii_lowercase();
    }

    /// A name of the part; of several, the one whose extension says how it is read counts.
    pub(super) fn add_name(&mut self, name: &str) {
        let extension = match name.rsplit_once('.') {
            Some((_, extension)) if extension.len() <= 16 => extension.trim().to_ascii_lowercase(),
            _ => String::new(),
        };
        if !is_telling(&self.extension) && (is_telling(&extension) || self.extension.is_empty()) {
            self.extension = extension;
        }
    }

    pub(super) fn charset(&self) -> Option<&str> {
        self.charset.as_deref()
    }

    /// Whether the type is this one; an empty subtype stands for all.
    pub(super) fn is(&self, ctype: &str, subtype: &str) -> bool {
        self.ctype == ctype && (subtype.is_empty() || self.subtype == subtype)
    }

    pub(super) fn is_message(&self) -> bool {
        self.is("message", "rfc822") || self.is("message", "global")
    }

    /// Whether it is ordinary text: the type of most mail.
    pub(super) fn is_plain(&self) -> bool {
        self.ctype.is_empty() || self.is("text", "plain")
    }

    fn is_text(&self) -> bool {
        let subtype = self.subtype.as_str();
        self.ctype.is_empty()
            || self.ctype == "text"
            || self.ctype == "message"
            || matches!(subtype, "json" | "xml" | "csv" | "x-sh" | "javascript")
            || subtype.ends_with("+json")
            || subtype.ends_with("+xml")
    }

    fn is_media(&self) -> bool {
        matches!(self.ctype.as_str(), "image" | "audio" | "video")
    }

    /// As what a program shows a body that goes by the declared type alone, where that is not
    /// how `kind` is read.
    pub(super) fn shown_as(&self, kind: Kind) -> Option<Kind> {
        let shown = if self.is_plain() {
            Kind::Text
        } else if self.is("text", "html") {
            Kind::Html
        } else if self.is_text() && kind == Kind::Unreadable(Unreadable::Media) {
            Kind::Text
        } else {
            return None;
        };
        let read = match kind {
            Kind::Nothing => true,
            Kind::NotText | Kind::Message => shown == Kind::Text,
            kind => kind == shown,
        };
        (!read).then_some(shown)
    }

    pub(super) fn names_pkcs7(&self) -> bool {
        matches!(
            self.subtype.as_str(),
            "pkcs7-mime" | "x-pkcs7-mime" | "pkcs7-signature" | "x-pkcs7-signature"
        )
    }

    pub(super) fn says_enveloped(&self) -> bool {
        self.smime.contains("enveloped")
    }

    pub(super) fn is_signature(&self) -> bool {
        matches!(
            self.subtype.as_str(),
            "pgp-signature" | "pkcs7-signature" | "x-pkcs7-signature"
        )
    }
}

/// What `octets` are.
pub(super) fn classify(declared: &Declared, octets: &[u8]) -> Kind {
    if octets.trim_ascii().is_empty() {
        return Kind::Nothing;
    }
    if let Some(kind) = by_octets(declared, octets) {
        return kind;
    }
    if declared.is_message() {
        return Kind::Message;
    }
    if declared.is("message", "partial") {
        return Kind::NotText; // a piece of something (RFC 2046 §5.2.2)
    }
    if !text::looks_like_text(octets) && !text::is_wide(octets) {
        return if declared.is_media() {
            Kind::Unreadable(Unreadable::Media)
        } else if declared.is_text() {
            Kind::NotText
        } else if declared.subtype == "pgp-encrypted" || declared.subtype == "pgp" {
            Kind::Unreadable(Unreadable::Encrypted)
        } else {
            Kind::Unreadable(Unreadable::UnknownKind)
        };
    }
    text_kind(declared, octets)
}

fn by_octets(declared: &Declared, octets: &[u8]) -> Option<Kind> {
    let head = octets.get(..HEAD_OCTETS).unwrap_or(octets);
    let document = |kind| Some(Kind::Document(kind));
    if memchr::memmem::find(head, b"%PDF-").is_some_and(|at| at == 0 || !declared.is_text()) {
        return document(DocumentKind::Pdf);
    }
    if head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"PK\x05\x06")
        || head.starts_with(b"PK\x07\x08")
    {
        return document(DocumentKind::Zip);
    }
    if head.starts_with(b"\x1F\x8B\x08") {
        return document(DocumentKind::Gzip);
    }
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        return Some(Kind::Unreadable(compound_file(octets)));
    }
    if is_media(head) {
        return Some(Kind::Unreadable(Unreadable::Media));
    }
    if let Some(kind) = pkcs7(declared, octets) {
        return Some(kind);
    }
    let unknown: [&[u8]; 8] = [
        b"\x78\x9F\x3E\x22", // TNEF
        b"Rar!\x1A\x07",
        b"7z\xBC\xAF\x27\x1C",
        b"\xFD7zXZ\x00",
        b"\x28\xB5\x2F\xFD",
        b"BZh",
        b"\x7FELF",
        b"MSCF",
    ];
    let binary = !text::looks_like_text(head) && !text::is_wide(head);
    if binary && unknown.iter().any(|mark| head.starts_with(mark)) {
        return Some(Kind::Unreadable(Unreadable::UnknownKind));
    }
    (head.get(128..132) == Some(b"DICM")).then_some(Kind::Unreadable(Unreadable::UnknownKind))
}

/// An old office document, or a new one that is encrypted (MS-OFFCRYPTO §2.3.4.4).
fn compound_file(octets: &[u8]) -> Unreadable {
    let name: Vec<u8> = "EncryptedPackage"
        .bytes()
        .flat_map(|octet| [octet, 0])
        .collect();
    if memchr::memmem::find(octets, &name).is_some() {
        Unreadable::Encrypted
    } else {
        Unreadable::UnknownKind
    }
}

fn is_media(head: &[u8]) -> bool {
    let marks: [&[u8]; 17] = [
        b"\x89PNG\r\n\x1A\n",
        b"\xFF\xD8\xFF",
        b"GIF87a",
        b"GIF89a",
        b"II*\x00",
        b"MM\x00*",
        b"8BPS\x00",
        b"\x00\x00\x01\x00",
        b"\xD7\xCD\xC6\x9A",
        b"\x00\x00\x00\x0CjP  ",
        b"ID3\x03",
        b"ID3\x04",
        b"OggS\x00",
        b"fLaC\x00",
        b"\x1A\x45\xDF\xA3",
        b"\x30\x26\xB2\x75\x8E\x66\xCF\x11",
        b"MThd\x00",
    ];
    let riff =
        head.starts_with(b"RIFF") && matches!(head.get(8..12), Some(b"WEBP" | b"WAVE" | b"AVI "));
    let film = head.get(4..8) == Some(b"ftyp") && head.first() == Some(&0);
    let bitmap = head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]);
    riff || film || bitmap || marks.iter().any(|mark| head.starts_with(mark))
}

/// Whether a file with this extension is read otherwise than as plain text.
fn is_telling(extension: &str) -> bool {
    matches!(
        extension,
        "svg" | "htm" | "html" | "xhtml" | "shtml" | "xml" | "xsl" | "xsd" | "eml"
    )
}

fn text_kind(declared: &Declared, octets: &[u8]) -> Kind {
    let head = octets.get(..HEAD_OCTETS).unwrap_or(octets);
    let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let start = start.trim_ascii_start();
    let begins = |word: &str| {
        start
            .get(..word.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
    };
    let extension = declared.extension.as_str();
    let subtype = declared.subtype.as_str();
    if begins("{\\rtf") || subtype == "rtf" {
        return Kind::Rtf;
    }
    if subtype == "svg+xml" || extension == "svg" || begins("<svg") {
        return Kind::Svg;
    }
    if begins("<!doctype html") || begins("<html") || declared.is("text", "html") {
        return Kind::Html;
    }
    if begins("BEGIN:VC") || matches!(subtype, "calendar" | "vcard" | "x-vcard") {
        return Kind::Folded;
    }
    if begins("<?xml") || subtype == "xml" || subtype.ends_with("+xml") {
        return Kind::Xml;
    }
    match extension {
        "htm" | "html" | "xhtml" | "shtml" => Kind::Html,
        "xml" | "xsl" | "xsd" => Kind::Xml,
        "eml" if !declared.is_plain() => Kind::Message,
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(ctype: &str, name: &str, octets: &[u8]) -> Kind {
        let (ctype, subtype) = ctype.split_once('/').unwrap_or((ctype, ""));
        let mut declared = Declared::default();
        declared.set_type(ctype, subtype, None);
        declared.add_name(name);
        classify(&declared, octets)
    }

    #[test]
    fn octets_count_before_words() {
        use DocumentKind::{Gzip, Pdf, Zip};
        use Unreadable::{Encrypted, Media, UnknownKind};
        let dicom = [vec![0; 128], b"DICM\x02\x00".to_vec()].concat();
        let enveloped = b"\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03\xA0\x80";
        let signed = b"\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02\xA0\x80\x30\x80\
            \x02\x01\x01\x31\x00\x30\x0B\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01\x31\x00\0\0\0\0\0\0";
        let mut package = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
        package.extend("EncryptedPackage".bytes().flat_map(|b| [b, 0]));
        let octet = "application/octet-stream";
        let cases: &[(&str, &str, &[u8], Kind)] = &[
            ("image/png", "x.png", b"%PDF-1.7", Kind::Document(Pdf)),
            (octet, "x", b"junk\n%PDF-1.7", Kind::Document(Pdf)),
            ("text/plain", "x", b"PK\x03\x04..", Kind::Document(Zip)),
            (octet, "x", b"\x1F\x8B\x08\x00", Kind::Document(Gzip)),
            (octet, "x", b"\x89PNG\r\n\x1A\n", Kind::Unreadable(Media)),
            (
                "text/plain",
                "x",
                b"\xFF\xD8\xFF\xE0",
                Kind::Unreadable(Media),
            ),
            ("image/x-odd", "x", b"\x00\x01\x02", Kind::Unreadable(Media)),
            ("image/png", "x.png", b"MSH|^~\\&|A", Kind::Text),
            ("audio/wav", "x", b"plain words", Kind::Text),
            (
                octet,
                "x.bin",
                b"\x00\x01\x02",
                Kind::Unreadable(UnknownKind),
            ),
            (octet, "x", &dicom, Kind::Unreadable(UnknownKind)),
            (
                "application/ms-tnef",
                "winmail.dat",
                b"\x78\x9F\x3E\x22\x00",
                Kind::Unreadable(UnknownKind),
            ),
            (octet, "smime.p7m", enveloped, Kind::Unreadable(Encrypted)),
            (octet, "smime.p7m", signed, Kind::NotText),
            (
                "application/pkcs7-signature",
                "smime.p7s",
                signed,
                Kind::Nothing,
            ),
            (
                "application/msword",
                "x.doc",
                b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\x00",
                Kind::Unreadable(UnknownKind),
            ),
            (octet, "x.docx", &package, Kind::Unreadable(Encrypted)),
            ("text/plain", "x", b"{\\rtf1 x}", Kind::Rtf),
            ("text/html", "x", b"<p>1", Kind::Html),
            (octet, "x", b"<!DOCTYPE html><p>", Kind::Html),
            (octet, "x.hl7", b"MSH|^~\\&|\rPID|1\r", Kind::Text),
            ("application/xml", "x", b"<a>1</a>", Kind::Xml),
            (octet, "x.eml", b"Subject: a\r\n\r\n", Kind::Message),
            ("text/calendar", "x", b"BEGIN:VCALENDAR", Kind::Folded),
            ("text/plain", "x", b"a\x00b\x01\x02\x03", Kind::NotText),
            ("message/partial", "", b"a piece", Kind::NotText),
            ("text/plain", "x", b" \r\n", Kind::Nothing),
            ("text/plain", "x", b"Gr\xFC\xDFe", Kind::Text),
            ("", "", b"ordinary", Kind::Text),
        ];
        for (ctype, name, octets, expected) in cases {
            assert_eq!(
                kind(ctype, name, octets),
                *expected,
                "{ctype} {name} {octets:?}"
            );
        }
    }

    #[test]
    fn every_mark_alone_is_something() {
        let marks: [&[u8]; 6] = [
            b"%PDF-",
            b"PK\x03\x04",
            b"\x1F\x8B\x08",
            b"BZh91",
            b"{\\rtf",
            b"MZ",
        ];
        for mark in marks {
            // Never a panic, whatever is missing behind the mark.
            let _kind = kind("application/octet-stream", "", mark);
        }
    }
}
