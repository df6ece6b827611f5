//! Which files are taken.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn why(name: &str, octets: &[u8]) -> Option<Why> {
    let octets = Bytes::copy_from_slice(octets);
    judge(
        name,
        "application/octet-stream",
        &octets,
        &FileRules::default(),
    )
    .err()
}

#[test]
fn what_people_send_is_taken() {
    let office = zipped(&[
        ("[Content_Types].xml", "<Types/>"),
        ("word/document.xml", "<w/>"),
        ("word/embeddings/oleObject1.bin", "x"),
    ]);
    let photos = zipped(&[("holiday/a.jpg", "x"), ("b.pdf", "y"), ("c.docx", "z")]);
    let old = [COMPOUND, &[0; 600]].concat();
    for (name, octets) in [
        ("a.png", PNG),
        ("a.pdf", b"%PDF-1.7 x"),
        ("notes.txt", b"Dear doctor"),
        ("a.csv", b"a,b"),
        ("a.docx", &office),
        ("photos.zip", &photos),
        ("old.doc", &old),
        ("a.rtf", b"{\\rtf1 hello}"),
        ("scan.heic", b"\0\0\0\x20ftypheic"),
        ("record.xml", b"<?xml version=\"1.0\"?><ClinicalDocument/>"),
        ("no extension", b"text"),
        ("empty.txt", b""),
    ] {
        assert_eq!(why(name, octets), None, "{name}");
    }
}

#[test]
fn what_is_dangerous_is_refused_by_name_or_by_octets() {
    let html = b"<!DOCTYPE html><p>";
    for (name, octets, expected) in [
        ("a.exe", &b"x"[..], Why::Program),
        ("a.EXE", b"x", Why::Program),
        ("a.exe.", b"x", Why::Program),
        ("a.exe ", b"x", Why::Program),
        ("a.exe_", b"x", Why::Program),
        ("a.pdf\u{202e}fdp.scr", b"x", Why::Program),
        ("a.txt", b"MZ\0\0", Why::Program),
        ("a.txt", b"\x7fELF\x02", Why::Program),
        ("a.pdf", b"#!/bin/sh\nx", Why::Script),
        ("a.ps1", b"x", Why::Script),
        ("a.png", html, Why::Markup),
        ("a.htm", b"x", Why::Markup),
        ("a.svg", b"x", Why::Markup),
        ("a.txt", b"  <svg xmlns=x>", Why::Markup),
        (
            "a.txt",
            &[b"\xff\xfe", wide("<script>x").as_slice()].concat(),
            Why::Markup,
        ),
        ("a.docm", b"PK\x03\x04", Why::Macro),
        ("a.lnk", b"x", Why::Shortcut),
        ("a.txt", b"L\0\0\0\x01\x14\x02\0", Why::Shortcut),
        ("a.txt", b"[InternetShortcut]\nURL=x", Why::Shortcut),
        ("a.iso", b"x", Why::Disk),
        ("a.eml", b"Subject: x", Why::Message),
        ("a.rar", b"Rar!\x1a", Why::ClosedArchive),
        ("a.txt", b"7z\xbc\xaf\x27\x1c", Why::ClosedArchive),
        ("a.tar", b"x", Why::ClosedArchive),
        ("a.gz", b"\x1f\x8b\x08", Why::ClosedArchive),
        ("a.rtf", b"{\\rtf1{\\object\\objdata 01}}", Why::Macro),
        ("a.zip", b"PK\x03\x04 broken", Why::OddArchive),
        (
            "a.doc",
            &[COMPOUND, &wide("_VBA_PROJECT")].concat(),
            Why::Macro,
        ),
        (
            "a.doc",
            &[COMPOUND, &wide("__properties_version1.0")].concat(),
            Why::Message,
        ),
        (
            "a.doc",
            &[COMPOUND, b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"].concat(),
            Why::Program,
        ),
    ] {
        assert_eq!(why(name, octets), Some(expected), "{name} {octets:?}");
    }
}

#[test]
fn archives_are_looked_into() {
    for (files, expected) in [
        (&[("a.pdf", "x"), ("b/c.exe", "x")][..], Why::Inside),
        (&[("../../x.js", "x")], Why::Inside),
        (&[("x.html", "x")], Why::Inside),
        (&[("x.eml", "x")], Why::Inside),
        (&[("x.zip", "x")], Why::NestedArchive),
        (&[("x.7z", "x")], Why::NestedArchive),
        (&[("word/vbaProject.bin", "x")], Why::Macro),
        (&[("xl/macrosheets/sheet1.xml", "x")], Why::Macro),
        (&[("Basic/Standard/Module1.xml", "x")], Why::Macro),
        (
            &[(
                "[Content_Types].xml",
                "<Override ContentType=\"application/vnd.ms-word.document.MACROENABLED.main+xml\"/>",
            )],
            Why::Macro,
        ),
    ] {
        let octets = zipped(files);
        for name in ["a.zip", "a.txt", "a.jpg"] {
            assert_eq!(why(name, &octets), Some(expected), "{name} {files:?}");
        }
        // Nor behind a picture.
        let polyglot = [PNG, octets.as_slice()].concat();
        assert_eq!(why("a.png", &polyglot), Some(expected), "{files:?}");
    }
    let macros = zipped(&[("word/vbaProject.bin", "x")]);
    assert_eq!(why("a.docx", &macros), Some(Why::Macro));
    // The bit that says that an entry is encrypted.
    let mut locked = zipped(&[("a.txt", "x")]);
    for mark in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let at = memchr::memmem::find(&locked, mark).unwrap();
        locked[at + if mark[2] == 3 { 6 } else { 8 }] |= 1;
    }
    assert_eq!(why("a.zip", &locked), Some(Why::LockedArchive));
    let many: Vec<String> = (0..10_001).map(|n| format!("{n}.txt")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(why("a.zip", &zipped(&many)), Some(Why::OddArchive));
}

/// An archive whose directory names one file many times: opened, it would be one.
fn repeated(entries: u16, zip64: Option<u64>) -> Vec<u8> {
    let small = zipped(&[("a.txt", "x")]);
    let at = memchr::memmem::find(&small, b"PK\x01\x02").unwrap();
    let end = memchr::memmem::find(&small, b"PK\x05\x06").unwrap();
    let (files, entry) = (&small[..at], &small[at..end]);
    let mut octets = files.to_vec();
    octets.extend_from_slice(&entry.repeat(usize::from(entries)));
    let size = u32::try_from(octets.len() - at).unwrap();
    if let Some(announced) = zip64 {
        let large_end = octets.len() as u64;
        octets.extend_from_slice(b"PK\x06\x06");
        octets.extend_from_slice(&44_u64.to_le_bytes());
        // Two versions, two numbers of disks.
        octets.extend_from_slice(&[0x2d, 0, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [announced, announced, u64::from(size)] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&(at as u64).to_le_bytes());
        octets.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        octets.extend_from_slice(&large_end.to_le_bytes());
        octets.extend_from_slice(&1_u32.to_le_bytes());
    }
    octets.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let counted = if zip64.is_some() { u16::MAX } else { entries };
    octets.extend_from_slice(&counted.to_le_bytes());
    octets.extend_from_slice(&counted.to_le_bytes());
    octets.extend_from_slice(&size.to_le_bytes());
    octets.extend_from_slice(&u32::try_from(at).unwrap().to_le_bytes());
    octets.extend_from_slice(&[0, 0]);
    octets
}

#[test]
fn an_archive_of_too_many_entries_is_not_opened() {
    assert_eq!(why("a.zip", &repeated(2, None)), None);
    assert_eq!(why("a.zip", &repeated(10_000, None)), None);
    assert_eq!(why("a.zip", &repeated(2, Some(2))), None);
    // Opened, each of these would be an archive of one file.
    for many in [
        repeated(10_001, None),
        repeated(60_000, None),
        repeated(10_001, Some(10_001)),
    ] {
        assert_eq!(why("a.zip", &many), Some(Why::OddArchive));
        let behind = [PNG, many.as_slice()].concat();
        assert_eq!(why("a.png", &behind), Some(Why::OddArchive));
    }
    // Announced are more than there are, or there are ends without end.
    assert_eq!(
        why("a.zip", &repeated(2, Some(1 << 40))),
        Some(Why::OddArchive)
    );
    let end = &repeated(1, None);
    let end = &end[end.len() - 22..];
    let ends = [repeated(2, None), end.repeat(2000)].concat();
    assert_eq!(why("a.zip", &ends), Some(Why::OddArchive));
}

#[test]
fn number_size_and_the_operators_list_count() {
    let offered = |name: &str, octets: usize| Offered {
        name: name.to_owned(),
        declared: "text/plain; charset=utf-8".to_owned(),
        octets: Bytes::from(vec![b'x'; octets]),
    };
    let rules = FileRules {
        octets: 10,
        files: 2,
        extra: vec![
            ".MP4".to_owned(),
            "image/*".to_owned(),
            "text/csv".to_owned(),
        ],
    };
    let whys = |files: &[Offered]| -> Vec<(String, Why)> {
        let refused = take(files, &rules).err().unwrap_or_default();
        refused.into_iter().map(|it| (it.name, it.why)).collect()
    };
    assert_eq!(whys(&[offered("a.txt", 5), offered("b.txt", 5)]), []);
    assert_eq!(
        whys(&[offered("a.txt", 5), offered("b.txt", 6)]),
        [(String::new(), Why::TooLarge)]
    );
    let three = [offered("a", 1), offered("b", 1), offered("c", 1)];
    assert_eq!(whys(&three), [(String::new(), Why::TooMany)]);
    assert_eq!(
        whys(&[offered("x/a.js", 1), offered("b.csv", 1)]),
        [
            ("a.js".to_owned(), Why::Script),
            ("b.csv".to_owned(), Why::Extra)
        ]
    );
    assert_eq!(whys(&[offered("a.mp4", 1)])[0].1, Why::Extra);
    let taken = take(&[offered("../a.txt", 3)], &rules).unwrap();
    assert_eq!(
        (taken[0].name.as_str(), taken[0].media_type),
        ("a.txt", "text/plain")
    );
}
