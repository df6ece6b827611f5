//! The message that an answer becomes: from our own domain, to one person.
//!
//! Pure: time, id and boundary are given. 7-bit throughout, lines of at most 998 octets, CRLF.
//! Every text is cleaned, bounded and encoded before it stands in the header, so that the number
//! of fields does not depend on it.

use std::fmt;

use bytes::Bytes;

use super::encode::{base64_lines, filename, phrase, text};
use super::files::File;
use crate::mail::message::encode_field;
use crate::mail::{Address, Timestamp};
use crate::portal::reading::{Identifiers, MAX_SUBJECT_CHARS, file_name, line};

/// Most characters of a display name.
const MAX_DISPLAY_CHARS: usize = 120;
/// Most characters of the operator's name in it.
const MAX_VIA_CHARS: usize = 60;
/// Ids of a conversation on one line of References.
const FOLD: &str = "\r\n ";

/// What an answer is made of.
#[derive(Clone)]
pub struct Compose<'a> {
    /// The address in our domain that it is from.
    pub author: &'a Address,
    /// The operator's name.
    pub via: &'a str,
    /// Who wrote it: proved to hold that address.
    pub replier: &'a Address,
    /// The one to whom it goes, and nobody else.
    pub to: &'a Address,
    /// The name beside that address.
    pub to_name: Option<&'a str>,
    /// The subject, without `Re:`.
    pub subject: &'a str,
    /// What it answers; `None` for a message that somebody outside begins.
    pub answers: Option<&'a Identifiers>,
    /// What was written.
    pub text: &'a str,
    /// What was attached, after [`super::files`] has looked at it.
    pub files: &'a [File],
    /// Now.
    pub date: Timestamp,
    /// The left part of its own id: random letters and digits.
    pub id: &'a str,
    /// Random octets, of which the boundary is made.
    pub boundary: [u8; 16],
}

impl fmt::Debug for Compose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compose")
            .field("octets", &self.text.len())
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

/// Makes the message.
pub fn compose(answer: &Compose<'_>) -> Vec<u8> {
    let mut out = header(answer);
    let (encoding, body) = text(answer.text);
    let part = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    );
    if answer.files.is_empty() {
        out.push_str(&part);
        return out.into_bytes();
    }
    // Sixteen random octets stand in no part: all of them are encoded, and no encoding here
    // writes `=_`.
    let digits = answer.boundary.iter().map(|octet| format!("{octet:02x}"));
    let boundary = format!("=_{}", digits.collect::<String>());
    out.push_str(&format!(
        "Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n{part}"
    ));
    let mut out = out.into_bytes();
    for file in answer.files {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        attach(file, &mut out);
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

fn attach(file: &File, out: &mut Vec<u8>) {
    let name = filename(&file_name(&file.name));
    let kind = file.media_type;
    let octets: &Bytes = &file.octets;
    out.extend_from_slice(
        format!(
            "Content-Type: {kind}\r\nContent-Disposition: attachment{name}\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        )
        .as_bytes(),
    );
    out.extend_from_slice(base64_lines(octets).as_bytes());
}

/// All fields but those of the body.
fn header(answer: &Compose<'_>) -> String {
    let via = line(answer.via, MAX_VIA_CHARS);
    let shown = match via.as_str() {
        "" => answer.replier.to_string(),
        via => format!("{} via {via}", answer.replier),
    };
    let mut out = String::new();
    let name = line(&shown, MAX_DISPLAY_CHARS + 254);
    out.push_str(&format!(
        "From: {}{FOLD}<{}>\r\n",
        phrase(&name),
        answer.author
    ));
    out.push_str(&format!("Reply-To: {}\r\n", answer.replier));
    let to_name = answer.to_name.map(|it| line(it, MAX_DISPLAY_CHARS));
    match to_name.filter(|it| !it.is_empty()) {
        Some(name) => out.push_str(&format!("To: {}{FOLD}<{}>\r\n", phrase(&name), answer.to)),
        None => out.push_str(&format!("To: {}\r\n", answer.to)),
    }
    out.push_str(&encode_field("Subject", &subject(answer)));
    out.push_str(&format!("Date: {}\r\n", answer.date.to_rfc5322()));
    let left: String = answer
        .id
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    let left = if left.is_empty() { "0" } else { &left };
    out.push_str(&format!(
        "Message-ID: <{left}@{}>\r\n",
        answer.author.domain()
    ));
    if let Some(answers) = answer.answers {
        if let Some(id) = answers.message_id.as_deref().and_then(sound_id) {
            out.push_str(&format!("In-Reply-To: {id}\r\n"));
        }
        let references = answers.references_of_answer();
        let references: Vec<String> = references.iter().filter_map(|it| sound_id(it)).collect();
        if !references.is_empty() {
            out.push_str(&format!("References: {}\r\n", references.join(FOLD)));
        }
    }
    out.push_str("MIME-Version: 1.0\r\n");
    out
}

/// An id once more by the strict reader: its fields are public.
fn sound_id(text: &str) -> Option<String> {
    crate::portal::reading::message_id(text)
}

/// One `Re:` however many there were, for an answer.
fn subject(answer: &Compose<'_>) -> String {
    let mut rest = line(answer.subject, MAX_SUBJECT_CHARS);
    if answer.answers.is_none() {
        return rest;
    }
    while let Some(tail) = strip_reply(&rest) {
        rest = tail;
    }
    let rest = line(&rest, MAX_SUBJECT_CHARS - 4);
    format!("Re: {rest}").trim_end().to_owned()
}

/// The subject behind a mark of a reply, in the languages that mark theirs otherwise too.
fn strip_reply(subject: &str) -> Option<String> {
    let marks = [
        "re",
        "aw",
        "sv",
        "antw",
        "rv",
        "\u{56de}\u{590d}",
        "\u{7b54}\u{590d}",
    ];
    let (mark, rest) = subject.split_once([':', '\u{ff1a}'])?;
    let mark = mark.trim().to_lowercase();
    marks
        .contains(&mark.as_str())
        .then(|| rest.trim().to_owned())
}

#[cfg(test)]
mod tests;
