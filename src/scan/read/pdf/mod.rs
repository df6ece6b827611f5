//! PDF (ISO 32000): the text of the pages as it stands on them, and what is said beside them: form
//! fields, annotations, outlines, alternative texts, embedded files.
//!
//! `lopdf` reads the file; the page's program is run here, as far as it places text.

mod font;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use lopdf::xref::XrefRecovery;
use lopdf::{Dictionary, Document as Pdf, Error, LoadOptions, Object, ObjectId};

use self::page::Pages;
use super::Reader;
use crate::mail::finding::Unreadable;
use crate::scan::parts::{Document, Sink};

/// Deepest nesting of arrays and dictionaries that is searched for texts.
const MAX_NESTING: u32 = 8;

/// Keys whose string is a text for a person.
const TEXT_KEYS: [&[u8]; 15] = [
    b"Contents",
    b"RC",
    b"V",
    b"DV",
    b"TU",
    b"Title",
    b"Subject",
    b"Keywords",
    b"Author",
    b"Alt",
    b"ActualText",
    b"UF",
    b"F",
    b"Desc",
    b"Opt",
];

/// Keys whose stream, if it is one, is a text for a person (§12.7.4.3, §12.5.6.2).
const TEXT_STREAM_KEYS: [&[u8]; 3] = [b"V", b"DV", b"RC"];

impl Reader<'_> {
    pub(super) fn pdf(&mut self, document: &Document) {
        if !self.entry() {
            return;
        }
        let options = LoadOptions {
            max_decompressed_size: Some(usize::try_from(self.expanded).unwrap_or(usize::MAX)),
            ..LoadOptions::default()
        };
        let mut pdf = match Pdf::load_mem_with_options(&document.octets, options) {
            Ok(pdf) => pdf,
            Err(error) => return self.unscannable(0, reason(&error)),
        };
        if pdf.trailer.has(b"Encrypt") && !pdf.was_encrypted() {
            return self.unscannable(0, Unreadable::Encrypted);
        }
        if pdf.xref_recovery == Some(XrefRecovery::Reconstructed) {
            self.unscannable(0, Unreadable::Damaged);
        }
        prefer_unicode(&mut pdf);
        self.beside_pages(&pdf, document.depth);
        let outer = std::mem::take(&mut self.said);
        Pages::new(&pdf, self).run();
        self.said |= outer;
    }

    /// Texts that stand on no page, and embedded files.
    fn beside_pages(&mut self, pdf: &Pdf, depth: u32) {
        let mut beside = Beside::new(pdf);
        for (id, object) in &pdf.objects {
            if let Object::Stream(stream) = object
                && stream.dict.has_type(b"EmbeddedFile")
            {
                beside.file(*id, "");
            }
            beside.collect(object, MAX_NESTING);
        }
        beside.collect_of(&pdf.trailer, MAX_NESTING);
        let Beside { texts, files, .. } = beside;
        self.text(0, &texts);
        let forms = pdf.objects.values().filter_map(|object| xfa(pdf, object));
        let forms = forms.flatten().map(|stream| (String::new(), stream));
        let files = files.into_iter().filter_map(|(id, name)| {
            let stream = pdf.get_object(id).ok()?.as_stream().ok()?;
            Some((name, stream))
        });
        for (name, stream) in forms.chain(files) {
            if !self.entry() {
                return;
            }
            let bound = usize::try_from(self.expanded).unwrap_or(usize::MAX);
            match stream.get_plain_content_with_limit(bound) {
                Ok(octets) => {
                    if !self.expand(octets.len()) {
                        return;
                    }
                    self.member(&name, depth + 1, octets);
                }
                Err(error) => self.unscannable(0, reason(&error)),
            }
        }
    }
}

/// The streams of a form in XML (XFA).
fn xfa<'a>(pdf: &'a Pdf, object: &'a Object) -> Option<Vec<&'a lopdf::Stream>> {
    let form = object.as_dict().ok()?.get_deref(b"XFA", pdf).ok()?;
    let streams = match form {
        Object::Array(list) => list
            .iter()
            .filter_map(|one| pdf.dereference(one).ok()?.1.as_stream().ok())
            .collect(),
        Object::Stream(stream) => vec![stream],
        _ => return None,
    };
    Some(streams)
}

/// Fonts that say what their codes mean in Unicode are taken at their word (§9.10.2).
fn prefer_unicode(pdf: &mut Pdf) {
    for object in pdf.objects.values_mut() {
        if let Object::Dictionary(dict) = object
            && dict.has_type(b"Font")
            && dict.has(b"ToUnicode")
        {
            dict.remove(b"Encoding");
        }
    }
}

/// Gathers what stands on no page. Each object is taken once, however often it is referred to.
struct Beside<'a> {
    pdf: &'a Pdf,
    texts: String,
    /// Streams that are files, with their names.
    files: BTreeMap<ObjectId, String>,
    taken: BTreeSet<ObjectId>,
}

impl<'a> Beside<'a> {
    fn new(pdf: &'a Pdf) -> Self {
        Self {
            pdf,
            texts: String::new(),
            files: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Searches `object` for keys that hold texts or files.
    fn collect(&mut self, object: &'a Object, nesting: u32) {
        let Some(nesting) = nesting.checked_sub(1) else {
            return;
        };
        match object {
            Object::Array(list) => {
                for one in list {
                    self.collect(one, nesting);
                }
            }
            Object::Dictionary(dict) => self.collect_of(dict, nesting),
            Object::Stream(stream) => self.collect_of(&stream.dict, nesting),
            _ => {}
        }
    }

    fn collect_of(&mut self, dict: &'a Dictionary, nesting: u32) {
        // §7.11.4: the type of the streams of a file is optional, so what refers to them counts.
        for key in [&b"EF"[..], b"RF"] {
            if let Ok(streams) = dict.get_deref(key, self.pdf).and_then(Object::as_dict) {
                let name = self.file_name(dict);
                for (_, value) in streams {
                    self.files_of(value, &name, nesting);
                }
            }
        }
        for (key, value) in dict {
            if TEXT_KEYS.contains(&key.as_slice()) {
                let streams = TEXT_STREAM_KEYS.contains(&key.as_slice());
                self.text_value(value, streams, nesting);
            }
            self.collect(value, nesting);
        }
    }

    /// The strings of the value of a key that holds text.
    fn text_value(&mut self, value: &'a Object, streams: bool, nesting: u32) {
        let Some(nesting) = nesting.checked_sub(1) else {
            return;
        };
        match value {
            Object::String(octets, _) => {
                self.texts.push_str(&text_string(octets));
                self.texts.push('\n');
            }
            Object::Array(list) => {
                for one in list {
                    self.text_value(one, streams, nesting);
                }
            }
            Object::Reference(id) => match self.pdf.get_object(*id) {
                Ok(Object::Stream(_)) if streams => self.file(*id, ""),
                Ok(object @ (Object::String(..) | Object::Array(_) | Object::Reference(_)))
                    if self.taken.insert(*id) =>
                {
                    self.text_value(object, streams, nesting);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The streams under a key of a dictionary of files: one, or an array of names and streams.
    fn files_of(&mut self, value: &'a Object, name: &str, nesting: u32) {
        let Some(nesting) = nesting.checked_sub(1) else {
            return;
        };
        match value {
            Object::Reference(id) => match self.pdf.get_object(*id) {
                Ok(Object::Stream(_)) => self.file(*id, name),
                Ok(object @ (Object::Array(_) | Object::Reference(_)))
                    if self.taken.insert(*id) =>
                {
                    self.files_of(object, name, nesting);
                }
                _ => {}
            },
            Object::Array(list) => {
                for one in list {
                    self.files_of(one, name, nesting);
                }
            }
            _ => {}
        }
    }

    fn file(&mut self, id: ObjectId, name: &str) {
        let known = self.files.entry(id).or_default();
        if known.is_empty() {
            name.clone_into(known);
        }
    }

    /// The name in a file specification (§7.11.3).
    fn file_name(&self, dict: &Dictionary) -> String {
        let named = |key: &[u8]| match dict.get_deref(key, self.pdf) {
            Ok(Object::String(octets, _)) => Some(text_string(octets)),
            _ => None,
        };
        named(b"UF").or_else(|| named(b"F")).unwrap_or_default()
    }
}

/// A text string (§7.9.2.2): UTF-16 or UTF-8 by its mark, else much like Latin-1.
fn text_string(octets: &[u8]) -> String {
    crate::scan::text::decode(octets, None).0.into_owned()
}

fn reason(error: &Error) -> Unreadable {
    match error {
        Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }) => {
            Unreadable::TooLarge
        }
        Error::InvalidPassword | Error::Decryption(_) => Unreadable::Encrypted,
        _ => Unreadable::Damaged,
    }
}
