//! Looking into files that hold other files: names and marks only, nothing is unpacked but one
//! small table of contents, and that within a bound.

use std::io::{Cursor, Read};

use bytes::Bytes;
use zip::ZipArchive;
use zip::result::ZipResult;

use super::files::Why;
use crate::portal::reading::kind::{Sort, danger_of, look};
use crate::portal::reading::{extension, file_name};

/// Most files in an archive.
const MAX_ENTRIES: usize = 10_000;
/// Most marks of an archive's end: one is its own, others are in what is stored in it as it is. Each
/// is tried as the end by whoever opens it.
const MAX_ENDS: usize = 1000;
/// The mark of an entry in the directory, that of an archive's end, and those of a large one's end
/// (APPNOTE.TXT 4.3.12, 4.3.16, 4.3.14, 4.3.15).
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LARGE_END: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
/// Most octets of an office document's table of contents.
const MAX_CONTENTS: u64 = 1024 * 1024;
/// Where an office document says what its parts are (ECMA-376 part 2, §10.1.2).
const CONTENTS: &str = "[Content_Types].xml";
/// Class of the root of an installer (MSI), as it lies in a compound file.
const INSTALLER: [u8; 16] = [
    0x84, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46,
];

/// A ZIP file. Of an office document the parts are known; any other is judged by its names.
pub(super) fn zip(octets: &Bytes, office: bool) -> Result<(), Why> {
    let archive = open(octets)?.map_err(|_| Why::OddArchive)?;
    judge(archive, office)
}

/// Opens an archive that is not too much to open: opening it makes something of each entry.
fn open(octets: &Bytes) -> Result<ZipResult<ZipArchive<Cursor<&[u8]>>>, Why> {
    if most(octets, ENTRY, MAX_ENTRIES) && most(octets, END, MAX_ENDS) && !announces_many(octets) {
        Ok(ZipArchive::new(Cursor::new(octets.as_ref())))
    } else {
        Err(Why::OddArchive)
    }
}

/// Whether a mark stands there so many times at most.
fn most(octets: &[u8], mark: &[u8], count: usize) -> bool {
    let marks = memchr::memmem::find_iter(octets, mark);
    marks.take(count + 1).count() <= count
}

/// Whether the end of a large archive announces more entries than may be, for which room would be
/// made. It counts where what it says of its own length leads to its locator.
fn announces_many(octets: &[u8]) -> bool {
    let number = |at: usize| -> Option<u64> {
        let octets = octets.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*octets))
    };
    let announced = |at: usize| -> Option<u64> {
        let length = usize::try_from(number(at + 4)?).ok()?;
        let behind = (at + 12).checked_add(length)?;
        let is_one = octets.get(behind..)?.starts_with(LOCATOR);
        number(at + 32).filter(|_| is_one)
    };
    memchr::memmem::find_iter(octets, LARGE_END)
        .filter_map(announced)
        .any(|entries| entries > MAX_ENTRIES as u64)
}

/// Judges an archive by what is in it.
fn judge(mut archive: ZipArchive<Cursor<&[u8]>>, office: bool) -> Result<(), Why> {
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|_| Why::OddArchive)?;
        if entry.encrypted() {
            return Err(Why::LockedArchive);
        }
        if entry.is_symlink() {
            return Err(Why::OddArchive);
        }
        let path = entry.name().map_err(|_| Why::OddArchive)?.to_lowercase();
        if has_macros(&path) {
            return Err(Why::Macro);
        }
        if !office && !entry.is_dir() {
            inside(&path)?;
        }
    }
    macro_types(&mut archive)
}

/// Names of parts that hold macros: Office Open XML, OpenDocument.
fn has_macros(path: &str) -> bool {
    let file = path.rsplit(['/', '\\']).next().unwrap_or_default();
    file.contains("vbaproject")
        || file.contains("vbadata")
        || path.contains("/macrosheets/")
        || path.contains("/dialogsheets/")
        || path.contains("/activex/")
        || path.starts_with("basic/")
        || path.starts_with("scripts/")
}

/// A part may be called anything; what it is stands in the table of contents.
fn macro_types(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<(), Why> {
    let Some(at) = archive.index_for_name(CONTENTS) else {
        return Ok(());
    };
    let entry = archive.by_index(at).map_err(|_| Why::OddArchive)?;
    let mut table = Vec::new();
    let read = entry.take(MAX_CONTENTS + 1).read_to_end(&mut table);
    if read.is_err() || table.len() as u64 > MAX_CONTENTS {
        return Err(Why::OddArchive);
    }
    table.retain(|octet| *octet != 0); // UTF-16
    table.make_ascii_lowercase();
    let marks: [&[u8]; 4] = [b"macroenabled", b"vbaproject", b"macrosheet", b"activex"];
    match marks.iter().any(|mark| holds(&table, mark)) {
        true => Err(Why::Macro),
        false => Ok(()),
    }
}

/// A file in an archive, by its name.
fn inside(path: &str) -> Result<(), Why> {
    let name = file_name(path);
    let ending = extension(&name).unwrap_or_default();
    if danger_of(ending.trim_end_matches('_')).is_some() {
        return Err(Why::Inside);
    }
    match look(&name, "", &[]).sort {
        Sort::Archive => Err(Why::NestedArchive),
        Sort::Message => Err(Why::Inside),
        _ if matches!(ending, "zip" | "zipx" | "jar") => Err(Why::NestedArchive),
        _ => Ok(()),
    }
}

/// An old office document, or what looks like one ([MS-CFB], [MS-OVBA] §2.2, [MS-OXMSG]).
pub(super) fn compound(octets: &Bytes) -> Result<(), Why> {
    if holds(octets, &INSTALLER) {
        return Err(Why::Program);
    }
    if holds(octets, &wide("__properties_version1.0")) {
        return Err(Why::Message);
    }
    let marks = ["_VBA_PROJECT", "VBA_PROJECT_CUR", "Ole10Native", "Macros"];
    match marks.iter().any(|mark| holds(octets, &wide(mark))) {
        true => Err(Why::Macro),
        false => Ok(()),
    }
}

/// Rich text with objects in it.
pub(super) fn rtf(octets: &Bytes) -> Result<(), Why> {
    let lower = octets.to_ascii_lowercase();
    let marks: [&[u8]; 4] = [b"\\objdata", b"\\objocx", b"\\objupdate", b"\\ddeauto"];
    match marks.iter().any(|mark| holds(&lower, mark)) {
        true => Err(Why::Macro),
        false => Ok(()),
    }
}

/// A file with an archive of names behind it: a picture that is also a ZIP file, say. The archive
/// counts if its end lies where programs look for it.
pub(super) fn appended(octets: &Bytes) -> Result<(), Why> {
    let tail = octets.len().saturating_sub(65_557);
    let end = octets.get(tail..).unwrap_or_default();
    if !holds(end, END) {
        return Ok(());
    }
    match open(octets)? {
        Ok(archive) if !archive.is_empty() => judge(archive, false),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn holds(octets: &[u8], mark: &[u8]) -> bool {
    memchr::memmem::find(octets, mark).is_some()
}

/// `text` in UTF-16, as names lie in a compound file.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
