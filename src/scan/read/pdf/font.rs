//! Fonts of a PDF (ISO 32000-2 §9.5–9.10): what the codes of a string mean, and how far it goes.

use std::collections::HashMap;

use lopdf::{Dictionary, Document as Pdf, Encoding, Object, dictionary};

/// Most widths that are kept of a font.
const MAX_WIDTHS: usize = 65_536;

/// Most numbers and names of a simple font's codes that are read; there are 256 codes.
const MAX_DIFFERENCES: usize = 1024;

/// A font as far as text needs it.
pub(super) struct Font<'a> {
    encoding: Option<Encoding<'a>>,
    /// Codes have two octets.
    wide: bool,
    widths: HashMap<u32, f64>,
    other_width: Option<f64>,
    /// Nothing says what its codes mean.
    pub(super) mute: bool,
    /// Codes of a simple font that stand for glyphs with names of their own (§9.6.5).
    named: HashMap<u8, Option<char>>,
    /// The font says itself what its codes mean, in a program that is not read.
    own_codes: bool,
}

impl<'a> Font<'a> {
    /// Reads a font's dictionary. `bound`: most octets that its tables expand to.
    pub(super) fn read(pdf: &'a Pdf, dict: &'a Dictionary, bound: usize) -> Self {
        let wide = dict.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Type0");
        let named = dict
            .get_deref(b"Encoding", pdf)
            .and_then(Object::as_name)
            .unwrap_or_default();
        let identity = named.starts_with(b"Identity") || named.is_empty();
        let encoding = dict.get_font_encoding_with_limit(pdf, bound).ok();
        let mut font = Self {
            mute: wide && identity && !matches!(encoding, Some(Encoding::UnicodeMapEncoding(_))),
            encoding,
            wide,
            widths: HashMap::new(),
            other_width: None,
            named: HashMap::new(),
            own_codes: false,
        };
        if wide {
            font.read_wide(pdf, dict);
        } else {
            if !dict.has(b"ToUnicode") {
                font.read_names(pdf, dict);
            }
            font.read_simple(pdf, dict);
        }
        font
    }

    /// What the font's dictionary says of its codes (§9.6.5). Fonts that are not embedded show
    /// what a reader's own font has at a code, which is what the encoding says.
    fn read_names(&mut self, pdf: &Pdf, dict: &Dictionary) {
        let encoding = dict.get_deref(b"Encoding", pdf).ok();
        let names = encoding
            .and_then(|one| one.as_dict().ok()?.get_deref(b"Differences", pdf).ok())
            .and_then(|names| names.as_array().ok());
        let mut code = 0_u8;
        for one in names.into_iter().flatten().take(MAX_DIFFERENCES) {
            match pdf.dereference(one) {
                Ok((_, Object::Integer(first))) => code = u8::try_from(*first).unwrap_or(code),
                Ok((_, Object::Name(name))) => {
                    self.named.insert(code, meaning(pdf, name));
                    code = code.wrapping_add(1);
                }
                _ => {}
            }
        }
        let descriptor = dict.get_deref(b"FontDescriptor", pdf);
        let Ok(descriptor) = descriptor.and_then(Object::as_dict) else {
            return;
        };
        let flags = descriptor.get_deref(b"Flags", pdf);
        let symbolic = flags.and_then(Object::as_i64).unwrap_or_default() & 4 != 0;
        // A Type 1 program (`FontFile`) without an encoding here is most often a plain text font
        // of a typesetter that keeps to ASCII; subsets with codes of their own are the others.
        let embedded = descriptor.has(b"FontFile2") || descriptor.has(b"FontFile3");
        self.own_codes = embedded && symbolic && encoding.is_none();
    }

    /// Whether some of `octets` show something that nothing here knows.
    pub(super) fn doubtful(&self, octets: &[u8]) -> bool {
        let unknown = |octet: &u8| self.named.get(octet) == Some(&None);
        !octets.is_empty() && (self.own_codes || octets.iter().any(unknown))
    }

    fn read_simple(&mut self, pdf: &Pdf, dict: &Dictionary) {
        let first = dict.get_deref(b"FirstChar", pdf).and_then(Object::as_i64);
        let widths = dict.get_deref(b"Widths", pdf).and_then(Object::as_array);
        let (Ok(first), Ok(widths)) = (first, widths) else {
            return;
        };
        for (at, width) in widths.iter().enumerate().take(256) {
            let code = i64::try_from(at).ok().and_then(|at| first.checked_add(at));
            let code = code.and_then(|code| u32::try_from(code).ok());
            if let (Some(code), Some(width)) = (code, number(pdf, width)) {
                self.widths.insert(code, width / 1000.0);
            }
        }
    }

    /// §9.7.4.3: `W` holds `c [w1 w2 …]` and `first last w`.
    fn read_wide(&mut self, pdf: &Pdf, dict: &Dictionary) {
        let descendant = dict
            .get_deref(b"DescendantFonts", pdf)
            .and_then(Object::as_array)
            .ok()
            .and_then(|list| list.first())
            .and_then(|one| pdf.dereference(one).ok())
            .and_then(|(_, one)| one.as_dict().ok());
        let Some(descendant) = descendant else {
            return;
        };
        let other = descendant.get(b"DW").ok().and_then(|one| number(pdf, one));
        self.other_width = Some(other.unwrap_or(1000.0) / 1000.0);
        let Ok(list) = descendant.get_deref(b"W", pdf).and_then(Object::as_array) else {
            return;
        };
        let mut rest = list.iter();
        while let Some(first) = rest.next().and_then(|one| code(pdf, one)) {
            let Some((_, next)) = rest.next().and_then(|one| pdf.dereference(one).ok()) else {
                return;
            };
            if let Object::Array(widths) = next {
                for (width, code) in widths.iter().zip(first..) {
                    self.set_width(code, number(pdf, width));
                }
            } else {
                let width = rest.next().and_then(|one| number(pdf, one));
                for code in first
                    ..=code(pdf, next)
                        .unwrap_or(first)
                        .min(first.saturating_add(65_535))
                {
                    self.set_width(code, width);
                }
            }
        }
    }

    fn set_width(&mut self, code: u32, width: Option<f64>) {
        if let Some(width) = width
            && self.widths.len() < MAX_WIDTHS
        {
            self.widths.insert(code, width / 1000.0);
        }
    }

    /// What `octets` mean.
    pub(super) fn text(&self, octets: &[u8]) -> String {
        let mut out = String::new();
        if self.mute {
            return out;
        }
        if self.named.is_empty() {
            self.encoded(octets, &mut out);
        } else {
            for octet in octets {
                match self.named.get(octet) {
                    Some(Some(character)) => out.push(*character),
                    Some(None) | None => self.encoded(&[*octet], &mut out),
                }
            }
        }
        out.retain(|character| character != '\0' && character != '\u{AD}');
        out
    }

    fn encoded(&self, octets: &[u8], out: &mut String) {
        let before = out.len();
        let read = match &self.encoding {
            Some(encoding) => encoding.write_to_string(octets, out).is_ok(),
            None => false,
        };
        if !read {
            out.truncate(before);
            out.extend(octets.iter().map(|octet| char::from(*octet)));
        }
    }

    /// How many codes `octets` are, and how wide, in units of the font's size.
    pub(super) fn advance(&self, octets: &[u8]) -> (usize, f64) {
        if self.wide {
            let codes = octets.chunks(2).map(|two| match two {
                [high, low] => u32::from(*high) << 8 | u32::from(*low),
                _ => 0,
            });
            let width = codes.map(|code| self.width(code)).sum();
            return (octets.len() / 2, width);
        }
        let width = octets
            .iter()
            .map(|octet| self.width(u32::from(*octet)))
            .sum();
        (octets.len(), width)
    }

    fn width(&self, code: u32) -> f64 {
        if let Some(width) = self.widths.get(&code) {
            return *width;
        }
        // The widths of Helvetica, roughly: fonts that every reader has need not say theirs.
        self.other_width
            .unwrap_or(match u8::try_from(code).map(char::from) {
                Ok(' ' | '.' | ',' | ':' | ';' | '!' | '/' | 'i' | 'j' | 'l' | 'I' | 't' | 'f') => {
                    0.278
                }
                Ok('-' | '(' | ')' | 'r') => 0.333,
                Ok('A'..='Z') => 0.68,
                Ok('m' | 'w') => 0.8,
                Ok('0'..='9') => 0.556,
                _ => 0.52,
            })
    }
}

/// The character that a glyph's name stands for, by the rules of the Adobe Glyph List as far as
/// they give one character; `None` for a name that means something to its font alone.
fn meaning(pdf: &Pdf, name: &[u8]) -> Option<char> {
    let base = match memchr::memchr(b'.', name) {
        Some(0) => return Some('\0'), // .notdef shows nothing
        Some(end) => name.get(..end).unwrap_or(name),
        None => name,
    };
    if let Some(character) = listed(pdf, base) {
        return Some(character);
    }
    let base = std::str::from_utf8(base).ok()?;
    let hex = |digits: &str| {
        let value = u32::from_str_radix(digits, 16).ok()?;
        char::from_u32(value).filter(|_| !digits.starts_with('+'))
    };
    match (base.strip_prefix("uni"), base.strip_prefix('u')) {
        (Some(digits), _) if digits.len() == 4 => hex(digits),
        (_, Some(digits)) if (4..=6).contains(&digits.len()) => hex(digits),
        _ => None,
    }
}

/// A name that `lopdf` lists: it only tells by decoding with a font that has this one glyph.
fn listed(pdf: &Pdf, name: &[u8]) -> Option<char> {
    let font = dictionary! {
        "Type" => "Font",
        "Encoding" => dictionary! {
            "Differences" => vec![Object::Integer(0), Object::Name(name.to_vec())],
        },
    };
    let encoding = font.get_font_encoding(pdf).ok()?;
    let mut out = String::new();
    encoding.write_to_string(&[0], &mut out).ok()?;
    out.chars().next()
}

/// A number, whatever its kind.
pub(super) fn number(pdf: &Pdf, object: &Object) -> Option<f64> {
    let (_, object) = pdf.dereference(object).ok()?;
    object.as_float().ok().map(f64::from)
}

fn code(pdf: &Pdf, object: &Object) -> Option<u32> {
    let (_, object) = pdf.dereference(object).ok()?;
    u32::try_from(object.as_i64().ok()?).ok()
}
