//! Marks by which senders ask for a level, `X-Sealpost-Level` and the policy's subject tags, and by
//! which they say how recipients prove who they are: `X-Sealpost-Secret`, `-Phone`, `-Language`.
//!
//! Owns: what they ask for, and that they never leave: no field of ours and no tag is in what is
//! stored, however the subject was folded or encoded. A mark that cannot be understood refuses the
//! message: a typo must not cost the protection that somebody asked for. No refusal repeats a value.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Refusal;
use crate::mail::message::{Field, Header, MAX_LINE_OCTETS, decode_text, encode_field};
use crate::mail::{Language, Level, PhoneNumber, SenderSecret, Tag};
use crate::policy::source::SubjectTag;

/// How the names of our fields begin, in lower case.
const PREFIX: &str = "x-sealpost-";
/// The fields of ours that senders may set.
const LEVEL: &str = "X-Sealpost-Level";
/// May stand once.
pub(super) const SECRET: &str = "X-Sealpost-Secret";
/// May stand once.
pub(super) const PHONE: &str = "X-Sealpost-Phone";
/// May stand once.
pub(super) const LANGUAGE: &str = "X-Sealpost-Language";
/// Where languages are taken from that nobody named: a list, the first that there are texts in.
const CONTENT_LANGUAGE: &str = "Content-Language";
/// Where subject tags are taken out. Outlook repeats the subject in the second one.
const WITH_TAGS: [&str; 2] = ["Subject", "Thread-Topic"];

/// Whether a field is one of ours, which never leave.
pub(super) fn is_ours(field: Field<'_>) -> bool {
    let name = field.name();
    name.eq_ignore_ascii_case(PREFIX.trim_end_matches('-'))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// What a field of ours says.
pub(super) enum Said {
    /// It asks for a level.
    Level(Level),
    /// A secret that the recipients know.
    Secret(SenderSecret),
    /// A number that codes may be sent to.
    Phone(PhoneNumber),
    /// The language of the recipients.
    Language(Language),
}

/// What a field of ours says.
pub(super) fn said(field: Field<'_>) -> Result<Said, Refusal> {
    let said = if field.is(LEVEL) {
        let value = field.value();
        Level::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(&value))
            .map(Said::Level)
            .ok_or(Refusal::UnknownLevel)?
    } else if field.is(SECRET) {
        let text = Zeroizing::new(decode_text(field.body()));
        // What could not be decoded could not be typed either.
        let whole = !text.contains(char::REPLACEMENT_CHARACTER);
        let secret = SenderSecret::parse(&text).ok().filter(|_| whole);
        Said::Secret(secret.ok_or(Refusal::Secret)?)
    } else if field.is(PHONE) {
        Said::Phone(field.value().parse().map_err(|_| Refusal::Phone)?)
    } else if field.is(LANGUAGE) {
        Said::Language(field.value().parse().map_err(|_| Refusal::Language)?)
    } else {
        return Err(Refusal::UnknownField(field.name().to_owned()));
    };
    Ok(said)
}

/// The language that the message says it is in, where there are texts in it.
pub(super) fn content_language(header: &Header<'_>) -> Option<Language> {
    let value = header.first(CONTENT_LANGUAGE)?.value();
    value.split(',').find_map(Language::of_tag)
}

/// The subject tags of a policy.
#[derive(Debug, Clone, Default)]
pub struct SubjectTags {
    /// Longest first, so that `#sealed` is not taken for `#s` with something behind it.
    marks: Vec<Mark>,
    /// The marks that end with a character, in their order.
    ends: HashMap<char, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Mark {
    tag: Tag,
    keys: Vec<char>,
}

/// A character of a subject, or its blanks in a row, folding included.
#[derive(Debug, Clone)]
struct Unit {
    /// What it is compared by; `' '` for blanks.
    key: char,
    /// Where it stands.
    at: Range<usize>,
    folds: bool,
}

impl SubjectTags {
    /// Case and the width of blanks do not matter.
    pub fn new(tags: &[SubjectTag]) -> Self {
        let mark = |tag: &SubjectTag| Mark {
            keys: units(tag.text.trim()).iter().map(|unit| unit.key).collect(),
            tag: Tag {
                text: Some(Arc::from(tag.text.as_str())),
                level: tag.raise,
            },
        };
        let mut marks: Vec<Mark> = tags.iter().map(mark).collect();
        marks.retain(|mark| !mark.keys.is_empty());
        marks.sort_by_key(|mark| std::cmp::Reverse(mark.keys.len()));
        let mut ends: HashMap<char, Vec<usize>> = HashMap::new();
        for (index, mark) in marks.iter().enumerate() {
            if let Some(last) = mark.keys.last() {
                ends.entry(*last).or_default().push(index);
            }
        }
        Self { marks, ends }
    }

    /// What the header's subject asks for.
    pub(super) fn asked(&self, header: &Header<'_>) -> Vec<Tag> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(subject) = header.first("Subject") {
            self.cleaned(&decode_text(subject.body()), &mut found);
        }
        let asked = self.marks.iter().zip(0..);
        asked
            .filter(|(_, index)| found.contains(index))
            .map(|(mark, _)| mark.tag.clone())
            .collect()
    }

    /// The field without its tags; `None` where it has none, or is none that has any.
    pub(super) fn without(&self, field: Field<'_>) -> Option<Vec<u8>> {
        if self.marks.is_empty() || !WITH_TAGS.iter().any(|name| field.is(name)) {
            return None;
        }
        let name = field.name();
        let body = field.body();
        if let (Ok(text), false) = (std::str::from_utf8(body), has_words(body)) {
            // Plain text: spliced, so that nothing else about it changes.
            let rest = text.trim_start();
            let start = text.get(..text.len() - rest.len()).unwrap_or_default();
            let cleaned = self.cleaned(rest.trim_end(), &mut Vec::new())?;
            let spliced = format!("{name}:{start}{cleaned}\r\n");
            let sound = !cleaned.is_empty()
                && !has_words(cleaned.as_bytes())
                && spliced.lines().all(|line| line.len() <= MAX_LINE_OCTETS);
            if sound {
                return Some(spliced.into_bytes());
            }
            // As it stands, since what looks like an encoded word now was none before.
            let text = cleaned.replace("\r\n", "");
            return Some(encode_field(name, &text).into_bytes());
        }
        let cleaned = self.cleaned(&decode_text(body), &mut Vec::new())?;
        Some(encode_field(name, &cleaned).into_bytes())
    }

    /// `text` without any mark, each with one of the blanks beside it; `None` where there is none.
    /// Which ones there were, some more than once. What is left holds no mark either, not even
    /// one that came about when another was taken out of its middle.
    fn cleaned(&self, text: &str, found: &mut Vec<usize>) -> Option<String> {
        let mut units = units(text);
        // All that stand there count, also where they overlap.
        let mut standing = self.standing(&units);
        if standing.is_empty() {
            return None;
        }
        found.extend(&standing);
        for index in 0..self.marks.len() {
            if standing.contains(&index) {
                units = self.pass(units, Some(index), found);
                standing = self.standing(&units);
            }
        }
        if !standing.is_empty() {
            units = self.pass(units, None, found);
        }
        let kept = units.iter().filter_map(|unit| text.get(unit.at.clone()));
        Some(kept.collect())
    }

    /// The marks that stand there, in one walk.
    fn standing(&self, units: &[Unit]) -> BTreeSet<usize> {
        let ends = 1..=units.len();
        let behind = ends.filter_map(|end| units.get(..end));
        behind.flat_map(|units| self.ending(units)).collect()
    }

    /// The marks that `units` end with, longest first.
    fn ending<'a>(&'a self, units: &'a [Unit]) -> impl Iterator<Item = usize> + 'a {
        // Nearly every character of a subject ends no mark.
        let last = units.last().and_then(|unit| self.ends.get(&unit.key));
        let last = last.into_iter().flatten().copied();
        last.filter(|&index| {
            let mark = self.marks.get(index);
            mark.is_some_and(|mark| ends_with(units, &mark.keys))
        })
    }

    /// Takes all marks out, or only this one. At no moment does what has been kept hold one of them,
    /// since it is looked at behind every character: one pass is enough.
    fn pass(&self, units: Vec<Unit>, only: Option<usize>, found: &mut Vec<usize>) -> Vec<Unit> {
        let mut kept: Vec<Unit> = Vec::with_capacity(units.len());
        // A mark was just taken out, and what is kept ends with a blank, or is nothing.
        let mut blank_before = false;
        for unit in units {
            if std::mem::take(&mut blank_before) && unit.key == ' ' {
                // Of the two blanks the one stays that breaks the line.
                match kept.last_mut() {
                    Some(last) if unit.folds && !last.folds => *last = unit,
                    Some(_) | None => {}
                }
                continue;
            }
            kept.push(unit);
            let taken = self
                .ending(&kept)
                .find(|&index| only.is_none_or(|only| only == index));
            if let Some(mark) = taken.and_then(|index| self.marks.get(index)) {
                kept.truncate(kept.len().saturating_sub(mark.keys.len()));
                found.extend(taken);
                blank_before = kept.last().is_none_or(|unit| unit.key == ' ');
            }
        }
        if blank_before {
            kept.pop();
        }
        kept
    }
}

fn has_words(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"=?").is_some()
}

fn units(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        let blank = c.is_whitespace();
        let folds = c == '\n';
        match units.last_mut() {
            Some(last) if blank && last.key == ' ' => {
                last.at.end = end;
                last.folds |= folds;
            }
            _ => units.push(Unit {
                key: if blank { ' ' } else { folded(c) },
                at: start..end,
                folds,
            }),
        }
    }
    units
}

/// Lower case, where that is one character.
fn folded(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

fn ends_with(units: &[Unit], keys: &[char]) -> bool {
    let Some(from) = units.len().checked_sub(keys.len()) else {
        return false;
    };
    let tail = units.get(from..).unwrap_or_default();
    tail.iter().map(|unit| unit.key).eq(keys.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::mail::Timestamp;
    use crate::mail::message::MAX_HEADER_OCTETS;
    use crate::policy::check::MAX_TAGS;
    use crate::world::clock::Clock;

    fn tags(texts: &[&str]) -> SubjectTags {
        let tag = |text: &&str| SubjectTag {
            text: (*text).to_owned(),
            raise: Level::Restricted,
        };
        SubjectTags::new(&texts.iter().map(tag).collect::<Vec<_>>())
    }

    /// The field as it is stored, and the tags that it asked for.
    fn stored(tags: &SubjectTags, field: &str) -> (String, Vec<String>) {
        let block = format!("{field}\r\n");
        let header = Header::parse(block.as_bytes()).unwrap();
        let asked = tags.asked(&header);
        let asked = asked
            .iter()
            .map(|tag| tag.text.clone().unwrap().to_string());
        let out: Vec<u8> = header
            .fields()
            .flat_map(|field| tags.without(field).unwrap_or_else(|| field.raw().to_vec()))
            .collect();
        (String::from_utf8(out).unwrap(), asked.collect())
    }

    #[test]
    fn takes_tags_out_of_plain_subjects_and_leaves_the_rest_as_it_stands() {
        let tags = tags(&["[secure]", "#sealed", "#s", "[secure  Mail]"]);
        for (field, expected, asked) in [
            (
                "Subject: [secure] Results",
                "Subject: Results",
                &["[secure]"][..],
            ),
            ("subject:Results [SECURE]", "subject:Results", &["[secure]"]),
            ("Subject: a [Secure] b", "Subject: a b", &["[secure]"]),
            ("Subject: a[secure]b", "Subject: ab", &["[secure]"]),
            ("Subject: a [secure]b", "Subject: a b", &["[secure]"]),
            ("Subject: a  [secure]  b", "Subject: a  b", &["[secure]"]),
            (
                "Subject: [secure] [secure] x [secure]",
                "Subject: x",
                &["[secure]"],
            ),
            ("Subject: [secure]", "Subject:", &["[secure]"]),
            ("Subject:\r\n [secure]\r\n ", "Subject:", &["[secure]"]),
            ("Subject: x #sealed", "Subject: x", &["#sealed", "#s"]),
            ("Subject: #s x #sealed", "Subject: x", &["#sealed", "#s"]),
            // Over a fold, and with the fold kept where lines would grow.
            (
                "Subject: [secure\r\n\tmail] x",
                "Subject: x",
                &["[secure  Mail]"],
            ),
            (
                "Subject: a [secure]\r\n b",
                "Subject: a\r\n b",
                &["[secure]"],
            ),
            (
                "Subject: a\r\n [secure]\r\n b",
                "Subject: a\r\n b",
                &["[secure]"],
            ),
            (
                "Subject:\r\n [secure]  b \r\n c",
                "Subject:\r\n b \r\n c",
                &["[secure]"],
            ),
            // Taken out of its own middle.
            ("Subject: [sec[secure]ure] x", "Subject: x", &["[secure]"]),
            ("Subject: [sec#sure] x", "Subject: x", &["[secure]", "#s"]),
            ("Subject: [secured] x", "Subject: [secured] x", &[]),
            ("Subject:  odd\t", "Subject:  odd\t", &[]),
            ("Thread-Topic: x [secure]", "Thread-Topic: x", &[]),
            ("X-Topic: x [secure]", "X-Topic: x [secure]", &[]),
        ] {
            let (out, mut found) = stored(&tags, field);
            assert_eq!(out, format!("{expected}\r\n"), "{field}");
            found.sort();
            let mut asked: Vec<_> = asked.iter().map(|&tag| tag.to_owned()).collect();
            asked.sort();
            assert_eq!(found, asked, "{field}");
        }
    }

    #[test]
    fn takes_tags_out_of_encoded_subjects() {
        let tags = tags(&["[secure]", "Gesch\u{fc}tzt:"]);
        for (field, expected) in [
            (
                "Subject: =?utf-8?q?[secure]_caf=C3=A9?=",
                "Subject: =?UTF-8?Q?caf=C3=A9?=",
            ),
            (
                "Subject: =?utf-8?q?[sec?= =?utf-8?b?dXJlXSB4?=",
                "Subject: x",
            ),
            (
                "Subject: =?utf-8?q?[sec?=\r\n ure] x",
                "Subject: =?utf-8?q?[sec?=\r\n ure] x",
            ),
            ("Subject: [sec=?utf-8?q?ure]?= x", "Subject: x"),
            ("Subject: =?iso-8859-1?q?GESCH=DCTZT:_x?=", "Subject: x"),
            (
                "Subject: =?utf-8?q?Gesch=C3?=\r\n =?utf-8?q?=BCtzt:?= =?utf-8?q?_x?=",
                "Subject: x",
            ),
            ("Subject: =?utf-8?b?W3NlY3VyZV0=?=", "Subject:"),
            // Taking it out must not make a word of what is left.
            (
                "Subject: =[secure]?utf-8?q?[secure]?=",
                "Subject: =?UTF-8?Q?=3D=3Futf-8=3Fq=3F=3F=3D?=",
            ),
            (
                "Subject: =?utf-8?q?untagged_caf=C3=A9?=",
                "Subject: =?utf-8?q?untagged_caf=C3=A9?=",
            ),
        ] {
            let (out, _) = stored(&tags, field);
            assert_eq!(out, format!("{expected}\r\n"), "{field}");
        }
    }

    #[test]
    fn a_line_that_grows_too_long_is_folded_anew() {
        let tags = tags(&["[secure]"]);
        let word = "x".repeat(985);
        let (out, _) = stored(&tags, &format!("Subject: aaaa [secure]\r\n {word}"));
        assert_eq!(out, format!("Subject: aaaa\r\n {word}\r\n"));
        let (out, _) = stored(
            &tags,
            &format!("Subject: aaaaaaaa[secure]\r\n {word}[secure]bbbbbbbbbbbb"),
        );
        assert!(
            out.lines().all(|line| line.len() <= MAX_LINE_OCTETS),
            "{out}"
        );
        let (out, _) = stored(&tags, &format!("Subject: [secure]\r\n {}", "y".repeat(995)));
        assert!(out.lines().all(|line| line.len() <= 78), "{out}");
    }

    /// The most tags, and a subject that fills the header: what each character costs must not grow
    /// with the square of the tags. That took minutes.
    #[test]
    fn many_tags_and_a_long_subject_cost_little() {
        let texts: Vec<String> = (0..MAX_TAGS).map(|n| format!("[secure-{n:03}]")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = format!("{}{}{}", texts[99], texts[7], texts[50]);
        let line = format!("\r\n {}", "x".repeat(800));
        let long = line.repeat((MAX_HEADER_OCTETS - all.len() - 100) / line.len());
        let clock = Clock::starting_at(Timestamp::default());
        let (out, asked) = stored(&tags(&texts), &format!("Subject: {all}{long}"));
        let took = clock.now().since(Timestamp::default());
        assert!(out == format!("Subject: {}\r\n", long.trim_start()));
        assert_eq!(asked.len(), 3);
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[test]
    fn a_policy_without_tags_touches_nothing() {
        for tags in [SubjectTags::default(), tags(&["", "  "])] {
            let field = "Subject: =?utf-8?q?[secure]?=";
            let (out, asked) = stored(&tags, field);
            assert_eq!((out, asked), (format!("{field}\r\n"), vec![]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever the subject: no tag is left in what people see, or in what stands there.
        #[test]
        fn no_tag_is_left(pieces in proptest::collection::vec(prop_oneof![
            Just("[secure]"), Just("[SEC"), Just("ure]"), Just("#s"), Just("aa"), Just("a"), Just(" "),
            Just("\r\n "), Just("=?utf-8?q?"), Just("?="), Just("=5Bsecure]"), Just("=?utf-8?b?W3NlY3VyZV0=?="),
            Just("=?iso-8859-1?q?[sec?="), Just("top secret"), Just("top"), Just("secret"), Just("x"), Just("\t"),
        ], 0..25)) {
            let tags = tags(&["[secure]", "#s", "aa", "top secret"]);
            let mut body = pieces.concat();
            while body.contains("\r\n \r\n") {
                body = body.replace("\r\n \r\n", "\r\n");
            }
            let (out, asked) = stored(&tags, &format!("Subject: {body}"));
            let seen = decode_text(&out.as_bytes()["Subject:".len()..]);
            let mut found = Vec::new();
            prop_assert_eq!(tags.cleaned(&seen, &mut found), None, "{:?}", out);
            let before = decode_text(body.as_bytes());
            let tagged = tags.cleaned(&before, &mut found).is_some();
            prop_assert_eq!(tagged, !asked.is_empty());
            prop_assert!(Header::parse(out.as_bytes()).unwrap().fields().count() == 1);
            prop_assert!(out.lines().all(|line| line.len() <= MAX_LINE_OCTETS));
        }
    }
}
