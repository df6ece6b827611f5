//! What came from the client and was not looked at yet, and the command lines in it.

use zeroize::Zeroize;

/// How much of an over-long line is read and thrown away before the session is ended.
const MAX_SKIPPED_OCTETS: usize = 64 * 1024;

/// Received octets. Bounded by its feeder: one read at a time, and none while a question is out.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    octets: Vec<u8>,
    start: usize,
    skipping: Option<Skipping>,
}

/// In an over-long line.
#[derive(Debug, Clone, Copy)]
struct Skipping {
    /// How long it might have been.
    limit: usize,
    /// Octets of it thrown away so far.
    octets: usize,
    /// Whether the last one was a CR.
    after_cr: bool,
}

/// What the next line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Not all of it is there.
    Incomplete,
    /// A line of this many octets, at the front of [`Inbound::rest`], without its CRLF.
    Whole(usize),
    /// It was longer than this limit, and is gone.
    TooLong(usize),
    /// It is longer than we go on reading.
    Endless,
    /// A line feed without carriage return.
    BareLf,
}

impl Inbound {
    pub(super) fn push(&mut self, octets: &[u8]) {
        if self.start == self.octets.len() {
            self.octets.clear();
            self.start = 0;
        } else if self.start > self.octets.len() / 2 {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.start = self.octets.len().min(self.start + octets);
    }

    /// Consumes, and wipes: a password stood there.
    pub(super) fn consume_secret(&mut self, octets: usize) {
        let end = self.octets.len().min(self.start + octets);
        if let Some(secret) = self.octets.get_mut(self.start..end) {
            secret.zeroize();
        }
        self.start = end;
    }

    /// Drops everything.
    pub(super) fn wipe(&mut self) {
        self.octets.zeroize();
        *self = Self::default();
    }

    /// Looks for a line of at most `limit` octets with its CRLF.
    pub(super) fn line(&mut self, limit: usize) -> Line {
        if let Some(skipping) = self.skipping {
            return self.skip(skipping);
        }
        let rest = self.rest();
        let window = rest.get(..limit).unwrap_or(rest);
        match memchr::memchr(b'\n', window) {
            Some(0) => Line::BareLf,
            Some(at) if rest.get(at - 1) != Some(&b'\r') => Line::BareLf,
            Some(at) => Line::Whole(at - 1),
            None if rest.len() >= limit => self.skip(Skipping {
                limit,
                octets: 0,
                after_cr: false,
            }),
            None => Line::Incomplete,
        }
    }

    fn skip(&mut self, mut skipping: Skipping) -> Line {
        let mut end = None;
        for (at, &octet) in self.rest().iter().enumerate() {
            if octet == b'\n' && skipping.after_cr {
                end = Some(at + 1);
                break;
            }
            skipping.after_cr = octet == b'\r';
        }
        let gone = end.unwrap_or(self.rest().len());
        skipping.octets += gone;
        self.consume_secret(gone);
        if skipping.octets > MAX_SKIPPED_OCTETS {
            return Line::Endless;
        }
        self.skipping = end.is_none().then_some(skipping);
        match end {
            Some(_) => Line::TooLong(skipping.limit),
            None => Line::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as (text | what else) with `limit`, fed by `chunk` octets.
    fn lines(wire: &[u8], limit: usize, chunk: usize) -> Vec<String> {
        let mut inbound = Inbound::default();
        let mut seen = Vec::new();
        for piece in wire.chunks(chunk) {
            inbound.push(piece);
            loop {
                match inbound.line(limit) {
                    Line::Incomplete => break,
                    Line::Whole(len) => {
                        seen.push(String::from_utf8_lossy(&inbound.rest()[..len]).into_owned());
                        inbound.consume(len + 2);
                    }
                    other => {
                        let last = matches!(other, Line::BareLf | Line::Endless);
                        seen.push(format!("{other:?}"));
                        if last {
                            return seen;
                        }
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn the_cut_does_not_matter() {
        let long = "x".repeat(20);
        let wire = format!(
            "ab\r\n\r\n12345678\r\n123456789\r\nc\r\n{long}\r\n{long}\n\r\nd\re\r\nlast\nrest"
        );
        for chunk in 1..=wire.len() {
            assert_eq!(
                lines(wire.as_bytes(), 10, chunk),
                [
                    "ab",
                    "",
                    "12345678",
                    "TooLong(10)",
                    "c",
                    "TooLong(10)",
                    "TooLong(10)",
                    "d\re",
                    "BareLf"
                ],
                "{chunk}"
            );
        }
        assert_eq!(lines(b"\nx", 10, 1), ["BareLf"]);
    }

    #[test]
    fn over_long_lines_are_skipped_up_to_a_bound() {
        let line = |octets: usize| [vec![b'x'; octets], b"\r\nNOOP\r\n".to_vec()].concat();
        for chunk in [1000, 4096, 1 << 20] {
            assert_eq!(
                lines(&line(MAX_SKIPPED_OCTETS - 2), 100, chunk)
                    .last()
                    .unwrap(),
                "NOOP"
            );
            let endless = lines(&line(4 << 20), 100, chunk);
            assert_eq!(endless, ["Endless"], "{chunk}");
        }
    }

    #[test]
    fn a_secret_is_wiped() {
        let mut inbound = Inbound::default();
        inbound.push(b"AUTH PLAIN c2VjcmV0\r\nNOOP\r\n");
        inbound.consume_secret(21);
        assert_eq!(inbound.rest(), b"NOOP\r\n");
        assert!(inbound.octets.iter().take(21).all(|&octet| octet == 0));
    }
}
