//! All attachments in one ZIP file (APPNOTE 6.3.10).
//!
//! Names are made unique whatever the letters' case, and have been made safe before. In memory:
//! the input is a message, which is bounded, and deflate adds next to nothing.

use std::collections::HashSet;
use std::io::{Cursor, Write};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::name::{MAX_NAME_CHARS, extension, file_name};

/// The archive could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the archive cannot be written")]
pub struct PackError;

/// Writes `files` into an archive.
pub(super) fn pack<'a>(
    files: impl Iterator<Item = (&'a str, Bytes)>,
) -> Result<Vec<u8>, PackError> {
    let mut taken = HashSet::new();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, octets) in files {
        let name = unique(name, &mut taken);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(octets.len() > u32::MAX as usize)
            .unix_permissions(0o600);
        writer.start_file(name, options).map_err(|_| PackError)?;
        writer.write_all(&octets).map_err(|_| PackError)?;
    }
    let archive = writer.finish().map_err(|_| PackError)?;
    Ok(archive.into_inner())
}

/// `name`, or that name with a number before its extension. Ends: only so many are taken.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let name = file_name(name);
    if taken.insert(name.to_lowercase()) {
        return name;
    }
    let extension = extension(&name)
        .map(|it| format!(".{it}"))
        .unwrap_or_default();
    let stem = name.strip_suffix(&extension).unwrap_or(&name);
    let mut number = 2_u64;
    loop {
        let mark = format!(" ({number})");
        let room = MAX_NAME_CHARS.saturating_sub(mark.len() + extension.chars().count());
        let short: String = stem.chars().take(room.max(1)).collect();
        let other = format!("{short}{mark}{extension}");
        if taken.insert(other.to_lowercase()) {
            return other;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn names_are_unique_and_octets_come_back() {
        let files = [
            ("a.txt", "one"),
            ("A.TXT", "two"),
            ("../../a.txt", "three"),
            ("", "four"),
            ("C:\\b", "five"),
        ];
        let packed = pack(
            files
                .iter()
                .map(|(name, octets)| (*name, Bytes::from(*octets))),
        )
        .unwrap();
        let mut archive = ZipArchive::new(Cursor::new(packed)).unwrap();
        let mut found = Vec::new();
        for at in 0..archive.len() {
            let mut file = archive.by_index(at).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            found.push((file.name().unwrap().into_owned(), text));
        }
        let expected = [
            ("a.txt", "one"),
            ("A (2).TXT", "two"),
            ("a (3).txt", "three"),
            ("file", "four"),
            ("b", "five"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_thousand_of_one_long_name_are_kept() {
        let name = format!("{}.pdf", "x".repeat(400));
        let packed = pack((0..1000).map(|_| (name.as_str(), Bytes::from_static(b"y")))).unwrap();
        let archive = ZipArchive::new(Cursor::new(packed)).unwrap();
        let names: HashSet<String> = (archive.file_names())
            .map(|it| it.unwrap().into_owned())
            .collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|it| it.chars().count() <= MAX_NAME_CHARS));
    }
}
