//! Header fields, authors and MIME structure of a message, as bytes.
//!
//! Owns: reading a message (RFC 5322, RFC 2045–2047) without changing an octet of it, and writing
//! an unstructured field anew. Never: repairs; panics on any bytes; holds a body in memory.

mod header;
mod mailbox;
mod mime;
mod overview;
mod words;

pub use header::{Field, Header, HeaderError, unfold};
pub use mailbox::{MailboxError, mailboxes};
pub use mime::{MimeError, MimeWalk, Part};
pub use overview::{Overview, OverviewError};
pub use words::{decode as decode_text, encode as encode_field};

/// Longest header in octets, with the CRLF of its last field.
pub const MAX_HEADER_OCTETS: usize = 256 * 1024;
/// Most fields in a header.
pub const MAX_HEADER_FIELDS: usize = 1000;
/// Most octets that we add to a header when we take it in: Received, Date, Message-ID.
pub const MAX_ADDED_OCTETS: usize = 8 * 1024;
/// Most fields that we add to a header when we take it in.
pub const MAX_ADDED_FIELDS: usize = 8;
/// Deepest nesting of multipart and message parts.
pub const MAX_MIME_DEPTH: usize = 50;
/// Most parts of a message, at all depths together.
pub const MAX_MIME_PARTS: usize = 1000;
/// Most octets of a part's name that are kept: the last ones, which tell what it is.
pub const MAX_PART_NAME_OCTETS: usize = 512;
/// Most octets of a part's type that are kept.
pub const MAX_PART_KIND_OCTETS: usize = 255;
/// Most `Received` fields: a message with more goes in circles (RFC 5321 §6.3).
pub const MAX_HOPS: usize = 50;
/// Longest line of a message without its CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6).
pub const MAX_LINE_OCTETS: usize = 998;

/// Splits a message at its first empty line: the header with its last CRLF, and the body behind
/// the empty line. Without an empty line all of it is header.
pub fn split(message: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = message.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    match memchr::memmem::find(message, b"\r\n\r\n") {
        Some(at) => {
            let (header, rest) = message.split_at(at + 2);
            (header, rest.get(2..).unwrap_or_default())
        }
        None => (message, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_empty_line() {
        let cases: [(&[u8], &[u8], &[u8]); 6] = [
            (
                b"A: 1\r\n\r\nbody\r\n\r\nmore",
                b"A: 1\r\n",
                b"body\r\n\r\nmore",
            ),
            (b"A: 1\r\n\r\n", b"A: 1\r\n", b""),
            (b"A: 1\r\n", b"A: 1\r\n", b""),
            (b"\r\nbody", b"", b"body"),
            (b"", b"", b""),
            (b"A: 1\n\nbody", b"A: 1\n\nbody", b""),
        ];
        for (message, header, body) in cases {
            assert_eq!(split(message), (header, body), "{message:?}");
        }
    }
}
