//! What a file is: by its name, by what is declared, and by its first octets.
//!
//! The octets win where they are clear; a name or a type alone never makes something an image that
//! is shown, and either alone is enough to make it dangerous. What cannot be told is served as
//! octets. Never opens a file: what is inside archives is the business of [`crate::portal::answer`].

use super::name::extension;
use tables::{DANGEROUS, KNOWN, Row};

mod tables;

/// First octets that are looked at.
pub(in crate::portal) const HEAD_OCTETS: usize = 4096;

/// What a file is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// PDF.
    Pdf,
    /// An image.
    Image,
    /// Plain text.
    Text,
    /// A text document.
    Document,
    /// A spreadsheet.
    Sheet,
    /// A presentation.
    Slides,
    /// ZIP and the like.
    Archive,
    /// Sound.
    Audio,
    /// Film.
    Video,
    /// A mail message.
    Message,
    /// A calendar entry.
    Calendar,
    /// A business card.
    Contact,
    /// A signature, certificate or encrypted content.
    Security,
    /// HTML, SVG, XML.
    Markup,
    /// Something that runs.
    Program,
    /// Anything else.
    Other,
}

/// Why a file is dangerous to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Danger {
    /// A program, an installer, a library.
    Program,
    /// A script.
    Script,
    /// A page or drawing that can run scripts in a browser.
    Markup,
    /// A document with macros.
    Macro,
    /// A shortcut to something else, or settings that change a machine.
    Shortcut,
    /// The image of a disk, which mounts past the checks for downloads.
    Disk,
}

/// An image that browsers show and that cannot run anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Raster {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

impl Raster {
    /// The type that it is served as.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }

    /// By the first octets.
    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        match octets {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// What was found out about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What it is.
    pub sort: Sort,
    /// The type that it is served as: never one that a browser runs.
    pub media_type: &'static str,
    /// The extension that it should have where it has none; may be empty.
    pub extension: &'static str,
    /// Why it is dangerous, if it is.
    pub danger: Option<Danger>,
    /// It is an image that may be shown in place.
    pub raster: Option<Raster>,
}

/// What nothing is known of.
pub(in crate::portal) const OCTETS: &str = "application/octet-stream";

/// The danger of that extension.
pub(in crate::portal) fn danger_of(extension: &str) -> Option<Danger> {
    let lower = extension.to_lowercase();
    let found = DANGEROUS
        .iter()
        .find(|(_, all)| all.split(' ').any(|it| it == lower));
    found.map(|(danger, _)| *danger)
}

/// What the first octets alone say, where they say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::portal) enum Magic {
    Raster(Raster),
    Pdf,
    /// ZIP, with office documents and programs among them.
    Zip,
    /// The container of old office documents, of installers and of Outlook messages.
    Compound,
    Rtf,
    /// An archive that is not looked into.
    Closed,
    Dangerous(Danger),
    /// It is text: no zeros, no controls.
    Text,
    Nothing,
}

impl Magic {
    /// By the octets of a file; of long ones the first are enough.
    pub(in crate::portal) fn of(octets: &[u8]) -> Self {
        if let Some(raster) = Raster::of(octets) {
            return Self::Raster(raster);
        }
        let head = octets.get(..HEAD_OCTETS).unwrap_or(octets);
        let binary = head.iter().take(256).any(|octet| *octet == 0);
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Self::Zip,
            [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => Self::Compound,
            [b'M', b'Z', ..] if binary => Self::Dangerous(Danger::Program),
            [0x7f, b'E', b'L', b'F', ..]
            | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [0xca, 0xfe, 0xba, 0xbe, ..]
            | [b'd', b'e', b'x', b'\n', ..]
            | [0, b'a', b's', b'm', ..]
            | [b'I', b'T', b'S', b'F', ..] => Self::Dangerous(Danger::Program),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] | [0xed, 0xab, 0xee, 0xdb, ..] => {
                Self::Dangerous(Danger::Program)
            }
            [0x4c, 0, 0, 0, 1, 0x14, 2, 0, ..] => Self::Dangerous(Danger::Shortcut),
            [0xe4, 0x52, 0x5c, 0x7b, 0x8c, 0xd8, 0xa7, 0x4d, ..] => Self::Dangerous(Danger::Macro),
            [b'R', b'a', b'r', b'!', ..]
            | [b'7', b'z', 0xbc, 0xaf, ..]
            | [b'M', b'S', b'C', b'F', ..]
            | [0x1f, 0x8b | 0x9d | 0xa0, ..]
            | [b'B', b'Z', b'h', ..]
            | [0xfd, b'7', b'z', b'X', b'Z', ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Closed,
            _ => Self::of_text(octets, head, binary),
        }
    }

    fn of_text(octets: &[u8], head: &[u8], binary: bool) -> Self {
        if octets.get(257..262) == Some(b"ustar") {
            return Self::Closed;
        }
        if octets.get(0x8001..0x8006) == Some(b"CD001") {
            return Self::Dangerous(Danger::Disk);
        }
        // Readers look for it in the first kilobyte.
        let first = head.get(..1024).unwrap_or(head);
        if memchr::memmem::find(first, b"%PDF-").is_some() {
            return match active(head) {
                Some(danger) => Self::Dangerous(danger),
                None => Self::Pdf,
            };
        }
        if first.starts_with(b"{\\rt") {
            return Self::Rtf;
        }
        if let Some(danger) = active(head) {
            return Self::Dangerous(danger);
        }
        if binary
            || head
                .iter()
                .any(|it| matches!(it, 0..=8 | 14..=31 if *it != 0x1b))
        {
            return Self::Nothing;
        }
        Self::Text
    }
}

/// Whether `head` begins with what an interpreter or a browser would run. In UTF-16 as well.
fn active(head: &[u8]) -> Option<Danger> {
    let narrow: Vec<u8> = head
        .iter()
        .filter(|octet| **octet != 0)
        .map(u8::to_ascii_lowercase)
        .collect();
    let text = narrow.as_slice();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = text.strip_prefix(b"\xff\xfe").unwrap_or(text);
    let text = text.strip_prefix(b"\xfe\xff").unwrap_or(text);
    let text = text.trim_ascii_start();
    if text.starts_with(b"#!") || text.starts_with(b"<?php") {
        return Some(Danger::Script);
    }
    if text.starts_with(b"[internetshortcut]") || text.starts_with(b"[desktop entry]") {
        return Some(Danger::Shortcut);
    }
    if text.starts_with(b"windows registry editor") || text.starts_with(b"regedit4") {
        return Some(Danger::Shortcut);
    }
    // What browsers sniff as HTML (WHATWG MIME Sniffing §7.1), and what they run once it is open.
    const TAGS: [&[u8]; 15] = [
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<script",
        b"<iframe",
        b"<svg",
        b"<body",
        b"<style",
        b"<object",
        b"<embed",
        b"<meta",
        b"<!doctype svg",
        b"<math",
        b"<hta:",
        b"<xsl:",
    ];
    let markup = text.starts_with(b"<")
        && TAGS
            .iter()
            .any(|tag| memchr::memmem::find(text, tag).is_some());
    if markup {
        return Some(Danger::Markup);
    }
    let mime = text.starts_with(b"mime-version:") || text.starts_with(b"from: <saved by ");
    let page = memchr::memmem::find(text, b"multipart/related").is_some();
    (mime && page).then_some(Danger::Markup)
}

/// What a file is. `name` has been cleaned; `declared` is the message's own word, and counts
/// least.
pub fn look(name: &str, declared: &str, octets: &[u8]) -> Look {
    let extension = extension(name).map(str::to_lowercase).unwrap_or_default();
    let row = KNOWN.iter().find(|(known, ..)| *known == extension);
    let declared_row = KNOWN
        .iter()
        .find(|(.., kind)| *kind == declared && *kind != OCTETS);
    let magic = Magic::of(octets);
    let by_name = danger_of(&extension).or_else(|| declared_danger(declared));
    let mut seen = match magic {
        Magic::Raster(raster) => Look {
            sort: Sort::Image,
            media_type: raster.media_type(),
            extension: raster.extension(),
            danger: None,
            raster: Some(raster),
        },
        Magic::Pdf => plain(Sort::Pdf, "application/pdf", "pdf"),
        Magic::Dangerous(danger) => Look {
            danger: Some(danger),
            ..plain(dangerous_sort(danger), OCTETS, "")
        },
        Magic::Closed => plain(Sort::Archive, OCTETS, ""),
        Magic::Zip => among(
            row,
            declared_row,
            &[Sort::Document, Sort::Sheet, Sort::Slides],
        )
        .unwrap_or_else(|| plain(Sort::Archive, "application/zip", "zip")),
        Magic::Rtf => plain(Sort::Document, "application/rtf", "rtf"),
        Magic::Compound | Magic::Text | Magic::Nothing => {
            by_claim(magic, row, declared_row, declared)
        }
    };
    if let (None, Some(danger)) = (seen.danger, by_name) {
        seen.danger = Some(danger);
        seen.sort = dangerous_sort(danger);
        seen.media_type = OCTETS;
    }
    seen
}

/// What the name or the type claims, where the octets do not contradict.
fn by_claim(magic: Magic, row: Option<&Row>, declared_row: Option<&Row>, declared: &str) -> Look {
    if declared == "message/rfc822" || declared == "message/global" {
        return plain(Sort::Message, OCTETS, "eml");
    }
    let row = row.or(declared_row);
    match row {
        // These have octets of their own, which are not there.
        Some((_, Sort::Pdf, _) | (_, Sort::Archive, "application/zip")) => {
            plain(Sort::Other, OCTETS, "")
        }
        Some((_, Sort::Image, kind))
            if matches!(
                *kind,
                "image/png" | "image/jpeg" | "image/gif" | "image/webp"
            ) =>
        {
            plain(Sort::Other, OCTETS, "")
        }
        Some((extension, sort, kind)) => plain(*sort, kind, extension),
        None if magic == Magic::Text => plain(Sort::Text, "text/plain", "txt"),
        None => plain(Sort::Other, OCTETS, ""),
    }
}

fn among(row: Option<&Row>, declared: Option<&Row>, sorts: &[Sort]) -> Option<Look> {
    let found = row
        .or(declared)
        .filter(|(_, sort, _)| sorts.contains(sort))?;
    Some(plain(found.1, found.2, found.0))
}

const fn plain(sort: Sort, media_type: &'static str, extension: &'static str) -> Look {
    Look {
        sort,
        media_type,
        extension,
        danger: None,
        raster: None,
    }
}

const fn dangerous_sort(danger: Danger) -> Sort {
    match danger {
        Danger::Markup => Sort::Markup,
        Danger::Macro => Sort::Document,
        Danger::Program | Danger::Script | Danger::Shortcut | Danger::Disk => Sort::Program,
    }
}

/// Types that name something dangerous, whatever the file is called.
fn declared_danger(declared: &str) -> Option<Danger> {
    match declared {
        "text/html"
        | "application/xhtml+xml"
        | "image/svg+xml"
        | "text/xsl"
        | "multipart/related" => Some(Danger::Markup),
        "application/x-msdownload"
        | "application/x-msdos-program"
        | "application/x-dosexec"
        | "application/java-archive"
        | "application/vnd.android.package-archive" => Some(Danger::Program),
        "application/javascript"
        | "text/javascript"
        | "application/hta"
        | "application/x-sh"
        | "text/vbscript"
        | "application/x-bat" => Some(Danger::Script),
        other if other.contains("macroenabled") => Some(Danger::Macro),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    #[test]
    fn octets_win_over_names() {
        for (name, declared, octets, sort, danger) in [
            ("a.png", "image/png", PNG, Sort::Image, None),
            ("a.pdf", "application/pdf", PNG, Sort::Image, None),
            (
                "a.png",
                "image/png",
                b"<svg onload=x>",
                Sort::Markup,
                Some(Danger::Markup),
            ),
            ("a.png", "image/png", b"hello", Sort::Other, None),
            (
                "a.txt",
                "text/plain",
                b"MZ\x90\0\x03",
                Sort::Program,
                Some(Danger::Program),
            ),
            ("a.txt", "text/plain", b"MZ is a town", Sort::Text, None),
            ("a.pdf", "application/pdf", b"%PDF-1.7", Sort::Pdf, None),
            (
                "a.pdf",
                "application/pdf",
                b"<html>%PDF-1.7",
                Sort::Markup,
                Some(Danger::Markup),
            ),
            (
                "a.exe",
                "image/png",
                PNG,
                Sort::Program,
                Some(Danger::Program),
            ),
            ("a.pdf.js", "", b"x", Sort::Program, Some(Danger::Script)),
            ("a", "text/html", b"x", Sort::Markup, Some(Danger::Markup)),
            ("a.docx", "", b"PK\x03\x04", Sort::Document, None),
            (
                "a.docm",
                "",
                b"PK\x03\x04",
                Sort::Document,
                Some(Danger::Macro),
            ),
            ("a.bin2", "", b"PK\x03\x04", Sort::Archive, None),
            (
                "a",
                "",
                b"\xff\xfe<\0s\0c\0r\0i\0p\0t\0>\0",
                Sort::Markup,
                Some(Danger::Markup),
            ),
            ("a", "", b"#!/bin/sh", Sort::Program, Some(Danger::Script)),
            ("a.lnk", "", b"x", Sort::Program, Some(Danger::Shortcut)),
            ("a", "", b"", Sort::Text, None),
            (
                "a.eml",
                "message/rfc822",
                b"Subject: x",
                Sort::Message,
                None,
            ),
            ("a.PDF", "", b"%PDF-", Sort::Pdf, None),
        ] {
            let seen = look(name, declared, octets);
            assert_eq!(
                (seen.sort, seen.danger),
                (sort, danger),
                "{name} {octets:?}"
            );
        }
    }

    #[test]
    fn nothing_that_a_browser_runs_is_served_as_what_it_is() {
        for (danger, all) in DANGEROUS {
            for extension in all.split(' ') {
                let seen = look(&format!("x.{extension}"), "text/html", b"<html>");
                assert_eq!(seen.media_type, OCTETS, "{danger:?} {extension}");
                assert!(look(&format!("x.{extension}"), "", b"x").danger.is_some());
            }
        }
        let served: Vec<&str> = KNOWN.iter().map(|row| row.2).collect();
        for kind in [
            "text/html",
            "image/svg+xml",
            "text/xml",
            "application/xml",
            "text/javascript",
        ] {
            assert!(!served.contains(&kind));
        }
    }

    #[test]
    fn only_rasters_with_their_octets_are_shown() {
        assert_eq!(look("", "", PNG).raster, Some(Raster::Png));
        assert_eq!(look("", "", b"\xff\xd8\xff\xe0").raster, Some(Raster::Jpeg));
        assert_eq!(look("", "", b"GIF89a").raster, Some(Raster::Gif));
        assert_eq!(look("", "", b"RIFF\0\0\0\0WEBP").raster, Some(Raster::Webp));
        for octets in [
            &b"GIF88a"[..],
            b"BM\0\0",
            b"<svg>",
            b"RIFF\0\0\0\0WAVE",
            b"",
        ] {
            assert_eq!(look("a.png", "image/png", octets).raster, None);
        }
    }
}
