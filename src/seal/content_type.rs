//! A Content-Type field, read without changing an octet of it (RFC 2045 §5.1), and given the `hp`
//! parameter of RFC 9788 §2.1.1.
//!
//! The parameter goes right behind the type, where nothing that follows (a trailing semicolon, a
//! comment, a parameter without a value) can swallow it. A field in which two readers could find
//! different types or parameters is not read.

use std::ops::Range;

/// Deepest nesting of comments.
const MAX_COMMENT_DEPTH: usize = 10;
/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 100;
/// A line that would become longer than this is folded (RFC 5322 §2.1.1).
const LINE_OCTETS: usize = 78;

/// Why a Content-Type is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// Not `type/subtype`, or something other than a semicolon behind it.
    #[error("the Content-Type field does not begin with type/subtype and an end or a semicolon")]
    Kind,
    /// A quoted string or a comment has no end.
    #[error("the Content-Type field has a quoted string or a comment without an end")]
    Unbalanced,
    /// Over [`MAX_COMMENT_DEPTH`].
    #[error("comments in the Content-Type field are nested more than {MAX_COMMENT_DEPTH} deep")]
    CommentDepth,
    /// Over [`MAX_PARAMETERS`].
    #[error("the Content-Type field has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
}

/// What stands behind the colon of a Content-Type field.
#[derive(Debug)]
pub(super) struct ContentType<'a> {
    body: &'a [u8],
    kind: String,
    /// Where the subtype ends.
    kind_end: usize,
    parameters: Vec<Parameter>,
}

/// A parameter: `; name=value` with all that stands around it. Nobody needs its value.
#[derive(Debug)]
struct Parameter {
    /// In lower case; empty where there is none.
    name: String,
    /// From its semicolon up to the next one.
    span: Range<usize>,
}

impl<'a> ContentType<'a> {
    /// Reads the body of a field ([`crate::mail::message::Field::body`]).
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ContentTypeError> {
        let semicolons = semicolons(body)?;
        let start = gap_len(body, 0);
        let main_end = token_end(body, start).ok_or(ContentTypeError::Kind)?;
        let slash = gap_len(body, main_end);
        if body.get(slash) != Some(&b'/') {
            return Err(ContentTypeError::Kind);
        }
        let sub = gap_len(body, slash + 1);
        let kind_end = token_end(body, sub).ok_or(ContentTypeError::Kind)?;
        if !matches!(body.get(gap_len(body, kind_end)), None | Some(b';')) {
            return Err(ContentTypeError::Kind);
        }
        let word = |range: Range<usize>| {
            let octets = body.get(range).unwrap_or_default();
            String::from_utf8_lossy(octets).to_ascii_lowercase()
        };
        let kind = format!("{}/{}", word(start..main_end), word(sub..kind_end));
        let ends = semicolons.iter().skip(1).copied().chain([body.len()]);
        let parameters = semicolons.iter().zip(ends);
        let parameters = parameters
            .map(|(&from, to)| parameter(body, from..to))
            .collect();
        Ok(Self {
            body,
            kind,
            kind_end,
            parameters,
        })
    }

    /// `type/subtype` in lower case.
    #[cfg(test)]
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether the root of a message of this type is a layer of protection already: its octets
    /// must stay as they are.
    pub(super) fn is_cryptographic(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "multipart/signed" | "multipart/encrypted"
        ) || self.is_pkcs7()
    }

    /// Whether it holds a CMS structure (RFC 8551 §3.2; the older name too).
    fn is_pkcs7(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "application/pkcs7-mime" | "application/x-pkcs7-mime"
        )
    }

    /// The body with `hp="cipher"` as its only `hp`, for a field whose name takes `name_octets`
    /// with the colon.
    pub(super) fn with_header_protection(&self, name_octets: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 16);
        let (kind, _) = self
            .body
            .split_at_checked(self.kind_end)
            .unwrap_or_default();
        out.extend_from_slice(kind);
        out.extend_from_slice(if self.line_octets(name_octets) + 13 > LINE_OCTETS {
            b";\r\n hp=\"cipher\"".as_slice()
        } else {
            b"; hp=\"cipher\""
        });
        let mut at = self.kind_end;
        for parameter in self.parameters.iter().filter(|it| is_hp(&it.name)) {
            let kept = self.body.get(at..parameter.span.start);
            out.extend_from_slice(kept.unwrap_or_default());
            at = parameter.span.end;
        }
        out.extend_from_slice(self.body.get(at..).unwrap_or_default());
        out
    }

    /// Octets of the line in which the subtype ends.
    fn line_octets(&self, name_octets: usize) -> usize {
        let (before, behind) = self
            .body
            .split_at_checked(self.kind_end)
            .unwrap_or_default();
        let before = match memchr::memrchr(b'\n', before) {
            Some(at) => before.len() - at - 1,
            None => name_octets + before.len(),
        };
        before + memchr::memchr(b'\r', behind).unwrap_or(behind.len())
    }
}

/// `hp`, also in the spellings of RFC 2231 (`hp*`, `hp*0`).
fn is_hp(name: &str) -> bool {
    name.strip_prefix("hp")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('*'))
}

/// Where the semicolons outside quoted strings and comments are.
fn semicolons(body: &[u8]) -> Result<Vec<usize>, ContentTypeError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&octet) = body.get(at) {
        at = match octet {
            b'"' => quoted_end(body, at).ok_or(ContentTypeError::Unbalanced)?,
            b'(' => comment_end(body, at)?,
            b';' if found.len() == MAX_PARAMETERS => {
                return Err(ContentTypeError::TooManyParameters);
            }
            b';' => {
                found.push(at);
                at + 1
            }
            _ => at + 1,
        };
    }
    Ok(found)
}

/// Behind the quoted string that begins at `at`.
fn quoted_end(body: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match body.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the comment that begins at `at`.
fn comment_end(body: &[u8], at: usize) -> Result<usize, ContentTypeError> {
    let mut depth = 0_usize;
    let mut at = at;
    loop {
        match body.get(at).ok_or(ContentTypeError::Unbalanced)? {
            b'(' if depth == MAX_COMMENT_DEPTH => return Err(ContentTypeError::CommentDepth),
            b'(' => depth += 1,
            b')' if depth == 1 => return Ok(at + 1),
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
}

/// Behind the white space, folds and comments that stand at `at`.
fn gap_len(body: &[u8], at: usize) -> usize {
    let mut at = at;
    loop {
        at = match body.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at + 1,
            // That every comment ends was seen before.
            Some(b'(') => comment_end(body, at).unwrap_or(body.len()),
            Some(_) | None => return at,
        };
    }
}

/// Behind the token that begins at `at`, if one does (RFC 2045 §5.1).
fn token_end(body: &[u8], at: usize) -> Option<usize> {
    let rest = body.get(at..)?;
    let octets = rest.iter().take_while(|octet| is_token(**octet)).count();
    (octets > 0).then_some(at + octets)
}

const fn is_token(octet: u8) -> bool {
    !matches!(
        octet,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    ) && matches!(octet, b'!'..=b'~')
}

fn parameter(body: &[u8], span: Range<usize>) -> Parameter {
    let part = body.get(span.clone()).unwrap_or_default();
    let start = gap_len(part, 1);
    let end = token_end(part, start).unwrap_or(start);
    let name = part.get(start..end).unwrap_or_default();
    Parameter {
        name: String::from_utf8_lossy(name).to_ascii_lowercase(),
        span,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn protected(body: &str) -> Result<String, ContentTypeError> {
        let read = ContentType::parse(body.as_bytes())?;
        Ok(String::from_utf8(read.with_header_protection(13)).unwrap())
    }

    #[test]
    fn the_parameter_goes_behind_the_type() {
        for (body, with) in [
            (" text/plain", " text/plain; hp=\"cipher\""),
            ("text/plain", "text/plain; hp=\"cipher\""),
            (" text/plain;", " text/plain; hp=\"cipher\";"),
            (" text/plain ; ", " text/plain; hp=\"cipher\" ; "),
            (
                " text/plain; charset=utf-8",
                " text/plain; hp=\"cipher\"; charset=utf-8",
            ),
            (
                " Text/HTML;charset=\"utf-8\";",
                " Text/HTML; hp=\"cipher\";charset=\"utf-8\";",
            ),
            (
                "\r\n multipart/mixed;\r\n\tboundary=\"a;b\\\"c\"",
                "\r\n multipart/mixed; hp=\"cipher\";\r\n\tboundary=\"a;b\\\"c\"",
            ),
            (
                " (a (b\\)) c) text (d) / (e) plain (f; hp=clear); charset=x (g)",
                " (a (b\\)) c) text (d) / (e) plain;\r\n hp=\"cipher\" (f; hp=clear); charset=x (g)",
            ),
            (
                " text/plain; charset; =x; name=\"hp=clear\"",
                " text/plain; hp=\"cipher\"; charset; =x; name=\"hp=clear\"",
            ),
            // A line that would be too long is folded, and only that one.
            (
                " multipart/mixed; boundary=\"0123456789012345678901234567890123456789\"",
                " multipart/mixed;\r\n hp=\"cipher\"; boundary=\"0123456789012345678901234567890123456789\"",
            ),
            (
                " multipart/mixed;\r\n boundary=\"01234567890123456789012345678901234567890123456789012345678\"",
                " multipart/mixed; hp=\"cipher\";\r\n boundary=\"01234567890123456789012345678901234567890123456789012345678\"",
            ),
        ] {
            assert_eq!(protected(body).as_deref(), Ok(with), "{body:?}");
        }
    }

    #[test]
    fn there_is_one_hp_and_it_is_ours() {
        for (body, with) in [
            (" text/plain; hp=clear", " text/plain; hp=\"cipher\""),
            (
                " text/plain; HP=\"clear\" (x); charset=utf-8",
                " text/plain; hp=\"cipher\"; charset=utf-8",
            ),
            (
                " text/plain; a=b; hp*=us-ascii'en'clear; c=d; hp*0=cl; hp*1=ear;",
                " text/plain;\r\n hp=\"cipher\"; a=b; c=d;",
            ),
            (
                " text/plain;\r\n hp=cipher;\r\n charset=x",
                " text/plain; hp=\"cipher\";\r\n charset=x",
            ),
            (
                " text/plain; hp-legacy-display=1; hpx=2",
                " text/plain; hp=\"cipher\"; hp-legacy-display=1; hpx=2",
            ),
        ] {
            assert_eq!(protected(body).as_deref(), Ok(with), "{body:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use ContentTypeError::{CommentDepth, Kind, TooManyParameters, Unbalanced};
        let deep = format!(" {}{} text/plain", "(".repeat(11), ")".repeat(11));
        let many = format!(" text/plain{}", ";a=b".repeat(101));
        for (body, error) in [
            ("", Kind),
            (" ", Kind),
            (" text", Kind),
            (" text/", Kind),
            (" /plain", Kind),
            (" text/plain charset=utf-8", Kind),
            (" text/plain, text/html", Kind),
            (" text/plain/x", Kind),
            (" \"text\"/plain", Kind),
            (" text//plain", Kind),
            (" t\u{e4}xt/plain", Kind),
            (" text/plain; charset=\"utf-8", Unbalanced),
            (" text/plain; charset=\"utf-8\\\"", Unbalanced),
            (" text/plain (x", Unbalanced),
            (" text/plain; (x\\)", Unbalanced),
            (&deep, CommentDepth),
            (&many, TooManyParameters),
        ] {
            assert_eq!(protected(body), Err(error), "{body:?}");
        }
        assert!(protected(&deep.replace("((", "(").replace("))", ")")).is_ok());
        assert!(protected(many.strip_suffix(";a=b").unwrap()).is_ok());
    }

    #[test]
    fn layers_of_protection_are_known() {
        let read = |body: &'static str| ContentType::parse(body.as_bytes()).unwrap();
        for body in [
            "multipart/signed; protocol=x",
            "Multipart/(x)Encrypted",
            "application/PKCS7-mime",
            "application/x-pkcs7-mime;",
        ] {
            assert!(read(body).is_cryptographic(), "{body}");
        }
        for body in [
            "multipart/mixed",
            "application/pkcs7-signature",
            "text/plain; name=\"multipart/signed\"",
        ] {
            assert!(!read(body).is_cryptographic(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_is_found_again(body in proptest::collection::vec(
            prop_oneof![Just(b'('), Just(b')'), Just(b'"'), Just(b';'), Just(b'='), Just(b'/'),
                Just(b'\\'), Just(b'h'), Just(b'p'), Just(b' '), any::<u8>()], 0..60))
        {
            let body = [b"a/b".as_slice(), &body].concat();
            if let Ok(read) = ContentType::parse(&body) {
                let with = read.with_header_protection(13);
                let again = ContentType::parse(&with).unwrap();
                prop_assert_eq!(again.kind(), read.kind());
                let mut ours = again.parameters.iter().filter(|it| is_hp(&it.name));
                let hp = ours.next().and_then(|it| with.get(it.span.clone())).unwrap();
                let hp = String::from_utf8_lossy(hp).into_owned();
                prop_assert!(hp.trim_start_matches([';', '\r', '\n', ' ']).starts_with("hp=\"cipher\""));
                prop_assert!(ours.next().is_none());
            }
        }
    }
}
