//! Office Open XML (ECMA-376) and OpenDocument (ISO/IEC 26300): every XML part of the package is
//! read, whatever its name; what is embedded is read as what it is, and what is text is read
//! whatever it is called.
//!
//! Pictures beside text are not said to be unreadable, in a package and on the page of a PDF alike:
//! nearly every letterhead and slide has one, and a mark on all of them would tell nobody anything.
//! A document of nothing but pictures has no text, and that is said.

use std::collections::HashMap;

use super::Reader;
use super::archive::{Archive, name_of};
use super::pivot::{self, Cache};
use super::sheet::{self, Styles};
use super::xml::{self, Dialect};
use crate::mail::finding::Unreadable;
use crate::scan::parts::Sink;
use crate::scan::text;

/// A package that is being read.
struct Package {
    dialect: Dialect,
    depth: u32,
    /// Sheets wait for the strings and styles that they refer to.
    sheets: Vec<(String, Vec<u8>)>,
    /// Pivot records wait for their definition, which is found by the number in its name.
    records: Vec<(String, Vec<u8>)>,
    caches: HashMap<String, Cache>,
    strings: Vec<String>,
    styles: Styles,
    /// Parts that carry neither text nor a known kind of file.
    binary: Option<Unreadable>,
    images: bool,
}

impl Reader<'_> {
    /// Reads `archive` if it is an office document; whether it is.
    pub(super) fn office(&mut self, archive: &mut Archive, depth: u32) -> bool {
        let Some(dialect) = self.dialect(archive) else {
            return false;
        };
        let outer = std::mem::take(&mut self.said);
        let mut package = Package {
            dialect,
            depth,
            sheets: Vec::new(),
            records: Vec::new(),
            caches: HashMap::new(),
            strings: Vec::new(),
            styles: Styles::default(),
            binary: None,
            images: false,
        };
        for at in 0..archive.len() {
            if !self.entry() {
                break;
            }
            let name = name_of(archive, at);
            if let Some(octets) = self.unzip(archive, at) {
                self.part(&mut package, &name, octets);
            }
        }
        self.sheets(&package);
        if let Some(why) = package.binary {
            self.unscannable(0, why);
        }
        if !self.said && package.images {
            self.unscannable(0, Unreadable::NoText);
        }
        self.said |= outer;
        true
    }

    fn dialect(&mut self, archive: &mut Archive) -> Option<Dialect> {
        if archive.index_for_name("[Content_Types].xml").is_some() {
            return Some(Dialect::Ooxml);
        }
        let at = archive.index_for_name("mimetype")?;
        let mut start = Vec::new();
        let file = archive.by_index(at).ok()?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, 64), &mut start).ok()?;
        start
            .starts_with(b"application/vnd.oasis.opendocument")
            .then_some(Dialect::Odf)
    }

    fn part(&mut self, package: &mut Package, name: &str, octets: Vec<u8>) {
        let lower = name.to_ascii_lowercase();
        if package.dialect == Dialect::Odf && lower == "meta-inf/manifest.xml" {
            if memchr::memmem::find(&octets, b"encryption-data").is_some() {
                self.unscannable(0, Unreadable::Encrypted);
            }
            return;
        }
        // What a part is counts before what it is called.
        if looks_like_xml(&octets) {
            self.xml_part(package, &lower, octets);
        } else if is_document(&octets) {
            self.member(name, package.depth + 1, octets);
        } else if lower.ends_with(".xml") {
            // Encrypted ODF, or not XML at all.
            self.unscannable(0, Unreadable::Damaged);
        } else if is_text(&lower, &octets) {
            self.member(name, package.depth + 1, octets);
        } else if is_picture(&lower) {
            package.images = true;
        } else if is_binary_sheet(&lower) {
            package.binary = Some(Unreadable::UnknownKind);
        } else if !is_known_blob(&lower) {
            self.member(name, package.depth + 1, octets);
        }
    }

    fn xml_part(&mut self, package: &mut Package, name: &str, octets: Vec<u8>) {
        let (decoded, _) = text::decode(&octets, None);
        let root = xml::root(&decoded).unwrap_or_default();
        match (package.dialect, root.as_str()) {
            (Dialect::Ooxml, "worksheet" | "dialogsheet" | "macrosheet") => {
                package.sheets.push((name.to_owned(), octets));
            }
            (Dialect::Ooxml, "sst") => {
                let (strings, whole) = sheet::strings(&decoded);
                package.strings.extend(strings);
                self.whole(whole);
            }
            (Dialect::Ooxml, "styleSheet") => package.styles.read(&decoded),
            (Dialect::Ooxml, "workbook") => {
                package.styles.read_workbook(&decoded);
                self.text(0, &sheet::names(&decoded));
            }
            (Dialect::Ooxml, "pivotCacheRecords") => {
                package.records.push((name.to_owned(), octets));
            }
            (Dialect::Ooxml, "pivotCacheDefinition") => {
                let (cache, text, whole) = pivot::definition(&decoded);
                package.caches.insert(pivot::number(name), cache);
                self.text(0, &text);
                self.whole(whole);
            }
            (dialect, _) => {
                let (text, whole) = xml::read(&octets, dialect);
                self.text(0, &text);
                self.whole(whole);
            }
        }
    }

    fn whole(&mut self, whole: bool) {
        if !whole {
            self.unscannable(0, Unreadable::Damaged);
        }
    }

    /// Where a text need not go on, since the budget is used up.
    fn text_bound(&self) -> usize {
        usize::try_from(self.text)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    fn sheets(&mut self, package: &Package) {
        let mut used: HashMap<usize, ()> = HashMap::new();
        for (_, octets) in &package.sheets {
            let (decoded, _) = text::decode(octets, None);
            let bound = self.text_bound();
            let read = sheet::rows(
                &decoded,
                &package.strings,
                &package.styles,
                bound,
                &mut |at| {
                    used.insert(at, ());
                },
            );
            self.text(0, &read.text);
            self.whole(read.whole);
        }
        for (name, octets) in &package.records {
            let (decoded, _) = text::decode(octets, None);
            let cache = package.caches.get(&pivot::number(name));
            let (text, whole) = pivot::records(&decoded, cache, self.text_bound());
            self.text(0, &text);
            self.whole(whole);
        }
        // What no cell shows is in the file all the same.
        let mut rest = String::new();
        for (at, string) in package.strings.iter().enumerate() {
            if !used.contains_key(&at) {
                rest.push_str(string);
                rest.push('\n');
            }
        }
        self.text(0, &rest);
    }
}

fn looks_like_xml(octets: &[u8]) -> bool {
    let head = octets.get(..256).unwrap_or(octets);
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    head.trim_ascii_start().starts_with(b"<") || text::is_wide(head)
}

/// Whether characters stand in it for someone to read. Few octets of a picture may pass for text
/// in an old encoding, so they have to spell UTF-8.
fn is_text(name: &str, octets: &[u8]) -> bool {
    let own_type = name == "mimetype"
        && octets.len() < 128
        && octets.starts_with(b"application/")
        && !octets.iter().any(u8::is_ascii_whitespace);
    !own_type && std::str::from_utf8(octets).is_ok() && text::looks_like_text(octets)
}

/// Whether it is a document of its own, whatever its name.
fn is_document(octets: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [b"PK\x03\x04", b"%PDF-", b"\x1F\x8B\x08"];
    marks.iter().any(|mark| octets.starts_with(mark))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_picture(name: &str) -> bool {
    matches!(
        extension(name),
        "png"
            | "jpg"
            | "jpeg"
            | "gif"
            | "bmp"
            | "tif"
            | "tiff"
            | "emf"
            | "wmf"
            | "svm"
            | "wdp"
            | "ico"
            | "webp"
            | "jfif"
    )
}

/// Sheets and strings of the binary workbook format (MS-XLSB).
fn is_binary_sheet(name: &str) -> bool {
    extension(name) == "bin"
        && (name.contains("worksheets/") || name.ends_with("sharedstrings.bin"))
}

/// Parts that a word processor keeps for itself: they show nothing.
fn is_known_blob(name: &str) -> bool {
    let own = [
        "printersettings",
        "vbaproject",
        "activex",
        "customproperty",
        "thumbnails/",
    ];
    matches!(
        extension(name),
        "odttf" | "fntdata" | "ttf" | "otf" | "rdf" | "xba"
    ) || own.iter().any(|part| name.contains(part))
        || name == "mimetype"
        || name.starts_with("configurations2/")
}
