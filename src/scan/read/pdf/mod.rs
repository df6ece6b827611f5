//! PDF (ISO 32000): the text of the pages as it stands on them, and what is said beside them: form
//! fields, annotations, outlines, alternative texts, embedded files.
//!
//! `lopdf` reads the file; the page's program is run here, as far as it places text.

mod font;
mod page;

use lopdf::xref::XrefRecovery;
use lopdf::{Dictionary, Document as Pdf, Error, LoadOptions, Object};

use self::page::Pages;
use super::Reader;
use crate::mail::finding::Unreadable;
use crate::scan::parts::{Document, Sink};

/// Deepest nesting of arrays and dictionaries that is searched for texts.
const MAX_NESTING: u32 = 8;

/// Keys whose string is a text for a person.
const TEXT_KEYS: [&[u8]; 12] = [
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
];

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
        let mut texts = String::new();
        for object in pdf.objects.values() {
            collect(object, MAX_NESTING, &mut texts);
        }
        collect(
            &Object::Dictionary(pdf.trailer.clone()),
            MAX_NESTING,
            &mut texts,
        );
        self.text(0, &texts);
        let forms = pdf.objects.values().filter_map(|object| xfa(pdf, object));
        let files = pdf.objects.values().filter_map(|object| {
            let stream = object.as_stream().ok()?;
            stream.dict.has_type(b"EmbeddedFile").then_some(stream)
        });
        for stream in forms.flatten().chain(files) {
            if !self.entry() {
                return;
            }
            let bound = usize::try_from(self.expanded).unwrap_or(usize::MAX);
            match stream.get_plain_content_with_limit(bound) {
                Ok(octets) => {
                    if !self.expand(octets.len()) {
                        return;
                    }
                    self.member("", depth + 1, octets);
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

fn collect(object: &Object, nesting: u32, out: &mut String) {
    let Some(nesting) = nesting.checked_sub(1) else {
        return;
    };
    match object {
        Object::Array(list) => {
            for one in list {
                collect(one, nesting, out);
            }
        }
        Object::Dictionary(dict) => collect_of(dict, nesting, out),
        Object::Stream(stream) => collect_of(&stream.dict, nesting, out),
        _ => {}
    }
}

fn collect_of(dict: &Dictionary, nesting: u32, out: &mut String) {
    for (key, value) in dict {
        if let Object::String(octets, _) = value
            && TEXT_KEYS.contains(&key.as_slice())
        {
            out.push_str(&text_string(octets));
            out.push('\n');
        } else {
            collect(value, nesting, out);
        }
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
