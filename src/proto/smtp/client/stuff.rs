//! Dot-stuffing of outgoing content (RFC 5321 §4.5.2).
//!
//! Invariant: whatever octets go in, a reader that ends a message at `CRLF . CRLF` finds exactly
//! one message in what comes out. Content with a bare CR or LF is refused, so that a reader that
//! is lenient about line ends finds exactly one as well (SMTP smuggling).

/// The content has a CR or an LF that is not part of a CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content has a bare CR or a bare LF")]
pub struct BareLineEnd;

/// Where in a line the last octet stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    AfterCr,
    Within,
}

/// Stuffs one message, piece by piece.
#[derive(Debug)]
pub struct DotStuffer {
    at: At,
    bare: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self {
            at: At::LineStart,
            bare: false,
        }
    }
}

impl DotStuffer {
    /// Appends `content` to `out`, with a dot before each dot that begins a line. Fails for good
    /// once a bare CR or LF was seen; what has been appended by then must not be ended with a dot.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        self.stuff(content, out);
        if self.bare { Err(BareLineEnd) } else { Ok(()) }
    }

    /// Appends the end of data: `CRLF . CRLF`, of which the first CRLF is the content's own
    /// where it has one.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        self.bare |= self.at == At::AfterCr;
        self.terminate(out);
        if self.bare { Err(BareLineEnd) } else { Ok(()) }
    }

    fn stuff(&mut self, mut content: &[u8], out: &mut Vec<u8>) {
        out.reserve(content.len());
        while let Some(&first) = content.first() {
            match self.at {
                At::LineStart if first == b'.' => out.push(b'.'),
                At::LineStart | At::Within => {}
                At::AfterCr if first == b'\n' => {
                    out.push(first);
                    content = &content[1..];
                    self.at = At::LineStart;
                    continue;
                }
                At::AfterCr => self.bare = true,
            }
            // Everything up to the next CR is one copy.
            let len = memchr::memchr(b'\r', content).map_or(content.len(), |at| at + 1);
            let (piece, rest) = content.split_at(len);
            self.bare |= memchr::memchr(b'\n', piece).is_some();
            out.extend_from_slice(piece);
            self.at = if piece.last() == Some(&b'\r') {
                At::AfterCr
            } else {
                At::Within
            };
            content = rest;
        }
    }

    fn terminate(&self, out: &mut Vec<u8>) {
        if self.at != At::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A receiver by the letter of RFC 5321 §4.1.1.4: the content of the first message, and what
    /// is left of the stream behind it.
    fn split_strict(stream: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut content = Vec::new();
        let mut rest = stream;
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n")? + 2;
            let (line, after) = rest.split_at(end);
            if line == b".\r\n" {
                return Some((content, after));
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            rest = after;
        }
    }

    /// A receiver that takes LF or CR alone for a line end.
    fn split_lenient(stream: &[u8]) -> Option<&[u8]> {
        let mut line = Vec::new();
        for (at, &byte) in stream.iter().enumerate() {
            if byte != b'\r' && byte != b'\n' {
                line.push(byte);
                continue;
            }
            if line == b"." {
                let rest = &stream[at + 1..];
                return Some(rest.strip_prefix(b"\n").unwrap_or(rest));
            }
            line.clear();
        }
        None
    }

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::default();
        for piece in pieces {
            stuffer.stuff(piece, &mut out);
        }
        stuffer.terminate(&mut out);
        out
    }

    #[test]
    fn stuffs_dots_at_line_starts_only() {
        for (content, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b".", b"..\r\n.\r\n"),
            (b"a.b\r\n", b"a.b\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n..b\r\n", b"a\r\n...b\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(&[content]), wire, "{content:?}");
        }
    }

    #[test]
    fn refuses_bare_line_ends_wherever_they_hide() {
        for content in [
            &[&b"a\nb"[..]][..],
            &[b"a\rb"],
            &[b"\n"],
            &[b"a\r", b"b"],
            &[b"a\r\r\n"],
            &[b"a\r\n", b"\n.\n"],
            &[b"a", b"\n"],
            &[b"\r\n.\r", b"\r\n"],
        ] {
            let mut out = Vec::new();
            let mut stuffer = DotStuffer::default();
            let outcomes: Vec<_> = content
                .iter()
                .map(|piece| stuffer.push(piece, &mut out))
                .collect();
            assert_eq!(outcomes.last(), Some(&Err(BareLineEnd)), "{content:?}");
        }
        let mut stuffer = DotStuffer::default();
        assert_eq!(stuffer.push(b"a\r", &mut Vec::new()), Ok(()));
        assert_eq!(stuffer.finish(&mut Vec::new()), Err(BareLineEnd));
    }

    /// Octets in which line ends and dots are frequent.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(
                proptest::sample::select(b".\r\n.\r\n.\r\nax\0".to_vec()),
                0..60
            ),
        ]
    }

    proptest! {
        #[test]
        fn every_byte_string_is_exactly_one_message(content in octets(), cut in 0usize..300) {
            let (head, tail) = content.split_at(cut.min(content.len()));
            let wire = stuffed(&[head, tail]);
            prop_assert_eq!(&wire, &stuffed(&[&content]));
            let (read, rest) = split_strict(&wire).expect("an end of data");
            prop_assert_eq!(rest, &b""[..]);
            let mut expected = content.clone();
            if !content.is_empty() && !content.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn what_is_not_refused_is_one_message_for_lenient_readers_too(content in octets()) {
            let mut out = Vec::new();
            let mut stuffer = DotStuffer::default();
            if stuffer.push(&content, &mut out).is_ok() && stuffer.finish(&mut out).is_ok() {
                prop_assert_eq!(split_lenient(&out), Some(&b""[..]));
                prop_assert_eq!(split_strict(&out).map(|(_, rest)| rest.len()), Some(0));
            }
        }

        #[test]
        fn canonical_content_is_never_refused(lines in proptest::collection::vec("[ -~]{0,8}", 0..20)) {
            let content = lines.join("\r\n").into_bytes();
            let mut out = Vec::new();
            let mut stuffer = DotStuffer::default();
            prop_assert_eq!(stuffer.push(&content, &mut out), Ok(()));
            prop_assert_eq!(stuffer.finish(&mut out), Ok(()));
            let read = split_strict(&out).map(|(read, _)| read).unwrap_or_default();
            prop_assert!(read.starts_with(&content));
        }
    }
}
