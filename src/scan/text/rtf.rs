//! Rich Text Format 1.9.1: the text of a document. One pass; groups are counted, not recursed.
//!
//! Text in every group is read, those a word processor would skip too, except tables of fonts,
//! colours and the like, pictures and embedded objects.

use mail_parser::decoders::charsets::map::charset_decoder;

use crate::mail::finding::Unreadable;

/// Deepest nesting of groups that is followed.
const MAX_GROUPS: usize = 10_000;

/// What was read.
#[derive(Debug, Default)]
pub(in crate::scan) struct Rtf {
    pub text: String,
    pub unreadable: Option<Unreadable>,
}

#[derive(Clone, Copy)]
struct Group {
    skip: bool,
    /// How many characters stand for one `\u` (its `\uc`).
    substitutes: u32,
}

struct Reader {
    out: Rtf,
    groups: Vec<Group>,
    group: Group,
    charset: String,
    /// Characters still to be passed over behind a `\u`.
    pending: u32,
    /// Octets of text whose charset is applied at once, for those of two octets.
    octets: Vec<u8>,
    surrogate: Option<u16>,
}

/// Reads `octets`.
pub(in crate::scan) fn read(octets: &[u8]) -> Rtf {
    let mut reader = Reader {
        out: Rtf::default(),
        groups: Vec::new(),
        group: Group {
            skip: false,
            substitutes: 1,
        },
        charset: "windows-1252".to_owned(),
        pending: 0,
        octets: Vec::new(),
        surrogate: None,
    };
    reader.run(octets);
    reader.flush();
    reader.out
}

impl Reader {
    fn run(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some((&octet, after)) = rest.split_first() {
            rest = after;
            match octet {
                b'{' => {
                    if self.groups.len() >= MAX_GROUPS {
                        self.out.unreadable = Some(Unreadable::TooDeep);
                        return;
                    }
                    self.groups.push(self.group);
                }
                b'}' => {
                    self.flush();
                    if let Some(group) = self.groups.pop() {
                        self.group = group;
                    }
                    self.pending = 0;
                }
                b'\\' => rest = self.control(after),
                b'\r' | b'\n' | 0 => {}
                other => self.plain(other),
            }
        }
    }

    fn plain(&mut self, octet: u8) {
        if self.pending > 0 {
            self.pending -= 1;
        } else if !self.group.skip {
            self.octets.push(octet);
        }
    }

    /// A character that is not in the charset.
    fn push(&mut self, character: char) {
        self.flush();
        if !self.group.skip {
            self.out.text.push(character);
        }
    }

    fn flush(&mut self) {
        if self.octets.is_empty() {
            return;
        }
        let octets = std::mem::take(&mut self.octets);
        match (octets.is_ascii(), charset_decoder(self.charset.as_bytes())) {
            (false, Some(decoder)) => self.out.text.push_str(&decoder(&octets)),
            _ => self.out.text.push_str(&String::from_utf8_lossy(&octets)),
        }
    }

    /// Reads the control word or symbol behind a backslash; what follows it.
    fn control<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let word = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if word == 0 {
            let Some((&symbol, after)) = rest.split_first() else {
                return rest;
            };
            return self.symbol(symbol, after);
        }
        let (name, after) = rest.split_at(word);
        let sign = usize::from(after.first() == Some(&b'-'));
        let digits = after
            .iter()
            .skip(sign)
            .take(10)
            .take_while(|b| b.is_ascii_digit())
            .count();
        let end = if digits == 0 { 0 } else { sign + digits };
        let (number, after) = after.split_at(end);
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        let after = after.strip_prefix(b" ").unwrap_or(after);
        self.word(name, number, after)
    }

    fn symbol<'a>(&mut self, symbol: u8, after: &'a [u8]) -> &'a [u8] {
        match symbol {
            b'\'' => {
                let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                if let Some(octet) = hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    self.plain(octet);
                    return after.get(2..).unwrap_or_default();
                }
            }
            b'~' => self.push(' '),
            b'_' => self.push('-'),
            b'\r' | b'\n' => self.push('\n'),
            b'\\' | b'{' | b'}' => self.plain(symbol),
            _ => {} // `\*`, `\-` and the like say nothing
        }
        after
    }

    fn word<'a>(&mut self, name: &[u8], number: Option<i64>, after: &'a [u8]) -> &'a [u8] {
        match name {
            b"par" | b"line" | b"row" | b"sect" | b"page" | b"nestrow" => self.push('\n'),
            b"tab" | b"cell" | b"nestcell" => self.push('\t'),
            b"emspace" | b"enspace" | b"qmspace" => self.push(' '),
            b"endash" => self.push('–'),
            b"emdash" => self.push('—'),
            b"uc" => {
                self.group.substitutes = number
                    .and_then(|count| u32::try_from(count).ok())
                    .map_or(1, |count| count.min(16));
            }
            b"u" => {
                self.unit(number.unwrap_or_default());
                self.pending = self.group.substitutes;
            }
            b"ansicpg" => {
                if let Some(page) = number {
                    self.flush();
                    self.charset = format!("windows-{page}");
                }
            }
            b"fonttbl"
            | b"colortbl"
            | b"stylesheet"
            | b"listtable"
            | b"listoverridetable"
            | b"rsidtbl"
            | b"themedata"
            | b"colorschememapping"
            | b"latentstyles"
            | b"datastore" => {
                self.flush();
                self.group.skip = true;
            }
            b"pict" => self.leave_out(Unreadable::Media),
            b"objdata" => self.leave_out(Unreadable::UnknownKind),
            b"bin" => {
                let length = number.and_then(|count| usize::try_from(count).ok());
                return after.get(length.unwrap_or_default()..).unwrap_or_default();
            }
            _ => {}
        }
        after
    }

    fn leave_out(&mut self, why: Unreadable) {
        self.flush();
        self.group.skip = true;
        self.out.unreadable = self.out.unreadable.max(Some(why));
    }

    /// A UTF-16 unit, written as a signed number.
    fn unit(&mut self, number: i64) {
        let Ok(unit) = u16::try_from(number.rem_euclid(0x1_0000)) else {
            return;
        };
        match (self.surrogate.take(), unit) {
            (_, 0xD800..=0xDBFF) => self.surrogate = Some(unit),
            (Some(high), 0xDC00..=0xDFFF) => {
                for character in char::decode_utf16([high, unit]).flatten() {
                    self.push(character);
                }
            }
            (_, unit) => {
                if let Some(character) = char::from_u32(u32::from(unit)) {
                    self.push(character);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_text() {
        for (document, text) in [
            (r"{\rtf1\ansi 123{\b -45}-6789\par}", "123-45-6789\n"),
            (r"{\rtf1 Gr\'fc\'dfe}", "Grüße"),
            (r"{\rtf1\ansicpg1251 \'cf\'f0}", "Пр"),
            (r"{\rtf1\uc1 a\u8211?b}", "a–b"),
            (r"{\rtf1\uc0 a\u-10179\u-8704 b}", "a\u{1F600}b"),
            (r"{\rtf1{\fonttbl{\f0 Arial;}}{\stylesheet x;}z}", "z"),
            (r"{\rtf1{\info{\title Note}}{\*\unknown y}}", "Notey"),
            (r"{\rtf1 12\_34\~5\{\}\\}", "12-34 5{}\\"),
            (r"{\rtf1 a\cell b\cell\row}", "a\tb\t\n"),
            (r"{\rtf1 a\bin3 {{{b}", "ab"),
            (r"{\rtf1", ""),
            (r"{\rtf1 \'z", "z"),
        ] {
            assert_eq!(read(document.as_bytes()).text, text, "{document}");
        }
    }

    #[test]
    fn says_what_it_leaves_out() {
        let picture = read(br"{\rtf1 a{\pict\pngblip 8950}b}");
        assert_eq!(picture.text, "ab");
        assert_eq!(picture.unreadable, Some(Unreadable::Media));
        let object = read(br"{\rtf1 {\object{\*\objdata 0105}}}");
        assert_eq!(object.unreadable, Some(Unreadable::UnknownKind));
        let deep = read("{".repeat(20_000).as_bytes());
        assert_eq!(deep.unreadable, Some(Unreadable::TooDeep));
    }
}
