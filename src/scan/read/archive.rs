//! zip (APPNOTE 6.3.10: stored and deflated) and gzip (RFC 1952) members, each read as what it is.

use std::io::Cursor;

use bytes::Bytes;
use zip::ZipArchive;
use zip::result::ZipError;

use super::Reader;
use crate::mail::finding::Unreadable;
use crate::scan::parts::{Document, Sink};

/// An archive in memory.
pub(super) type Archive = ZipArchive<Cursor<Bytes>>;

/// Names are read as texts of about this length.
const MAX_NAMES_OCTETS: usize = 256 * 1024;

impl Reader<'_> {
    pub(super) fn gzip(&mut self, document: &Document) {
        if !self.entry() {
            return;
        }
        let mut source = flate2::read::MultiGzDecoder::new(&document.octets[..]);
        let name = source
            .header()
            .and_then(|header| header.filename())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default();
        self.text(0, &name);
        let octets = self.inflate(&mut source);
        self.member(&name, document.depth + 1, octets);
    }

    pub(super) fn zip(&mut self, document: &Document) {
        let mut archive = match ZipArchive::new(Cursor::new(document.octets.clone())) {
            Ok(archive) => archive,
            Err(error) => return self.unscannable(0, reason(&error)),
        };
        if self.office(&mut archive, document.depth) {
            return;
        }
        let mut names = String::new();
        for at in 0..archive.len() {
            let name = name_of(&archive, at);
            names.push_str(&name);
            names.push('\n');
            if names.len() >= MAX_NAMES_OCTETS {
                self.text(0, &std::mem::take(&mut names));
            }
            if !self.entry() {
                break;
            }
            if let Some(octets) = self.unzip(&mut archive, at) {
                self.member(&name, document.depth + 1, octets);
            }
        }
        self.text(0, &names);
    }

    /// The octets of the member at `at`; `None` for a directory and for what cannot be read.
    pub(super) fn unzip(&mut self, archive: &mut Archive, at: usize) -> Option<Vec<u8>> {
        let raw = archive
            .by_index_raw(at)
            .map(|file| (file.is_dir(), file.encrypted()));
        let why = match raw {
            Ok((true, _)) => return None,
            Ok((false, true)) => Unreadable::Encrypted,
            Ok((false, false)) => match archive.by_index(at) {
                Ok(mut file) => return Some(self.inflate(&mut file)),
                Err(error) => reason(&error),
            },
            Err(error) => reason(&error),
        };
        self.unscannable(0, why);
        None
    }
}

/// The name of the member at `at`.
pub(super) fn name_of(archive: &Archive, at: usize) -> String {
    match archive.name_for_index(at) {
        Some(Ok(name)) => name.into_owned(),
        Some(Err(_)) | None => String::new(),
    }
}

fn reason(error: &ZipError) -> Unreadable {
    match error {
        ZipError::InvalidPassword => Unreadable::Encrypted,
        ZipError::UnsupportedArchive(text) if *text == ZipError::PASSWORD_REQUIRED => {
            Unreadable::Encrypted
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            Unreadable::UnknownKind
        }
        ZipError::DecompressedSizeLimitExceeded { .. } => Unreadable::TooLarge,
        _ => Unreadable::Damaged,
    }
}
