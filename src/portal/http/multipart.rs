//! Forms with files (`multipart/form-data`, RFC 7578), read as they come. Pure.
//!
//! Linear in time whatever is sent, and in whatever pieces: header fields are bounded, no preamble is
//! searched, and of what has been looked at no more is looked at again, or moved, than may be the
//! beginning of a mark. Holds what it has read; every count and size is bounded.

use bytes::Bytes;
use memchr::memmem::{Finder, find};
use zeroize::Zeroizing;

use super::pairs::{MAX_PAIRS, Pairs};
use super::request::{File, Over, Upload};

/// Octets of all fields that are no files.
pub const MAX_FIELD_OCTETS: usize = 1024 * 1024;
/// Octets of the header fields of one part: room for the longest name of a file that a browser may
/// send, which is shortened.
pub const MAX_PART_HEAD_OCTETS: usize = 64 * 1024;
/// File fields that were left empty.
const MAX_EMPTY_FILES: usize = 16;
/// What ends the header fields of a part.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Octets of white space after a boundary.
const MAX_PADDING_OCTETS: usize = 64;
/// Characters of a file's name that are kept; of these so many are from its end, where the
/// extension is.
const MAX_NAME_CHARS: usize = 1000;
const NAME_END_CHARS: usize = 100;
/// Octets of a file's media type.
const MAX_TYPE_OCTETS: usize = 200;
/// Characters of a boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY_OCTETS: usize = 70;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is not what browsers send.
    #[error("the form is malformed")]
    Malformed,
    /// More fields, or octets in them, than the route takes.
    #[error("the form is too large")]
    TooLarge,
    /// More octets in files than the route takes.
    #[error("the files of the form are too large")]
    TooLargeFiles,
    /// More files than the route takes.
    #[error("the form has too many files")]
    TooManyFiles,
}

/// How much a form may hold.
#[derive(Debug, Clone, Copy)]
pub struct FormBounds {
    /// Octets of all files.
    pub octets: usize,
    /// Files.
    pub files: usize,
    /// Other fields.
    pub fields: usize,
}

/// Where the reader is.
enum State {
    /// Before the first boundary.
    Start,
    /// Behind a boundary.
    Bound,
    /// In a part's header fields.
    Head,
    /// In a part's content.
    Content(Part),
    /// Behind the last boundary: what follows means nothing.
    End,
}

/// A part that is being read.
struct Part {
    field: String,
    /// `None`: not a file.
    file: Option<(String, String)>,
    content: Zeroizing<Vec<u8>>,
}

/// Reads one form.
pub struct FormReader {
    bounds: FormBounds,
    /// CRLF, two hyphens, boundary.
    delimiter: Finder<'static>,
    state: State,
    pending: Zeroizing<Vec<u8>>,
    /// Octets of a part's header fields in which their end was looked for.
    searched: usize,
    upload: Upload,
    file_octets: usize,
    field_octets: usize,
    fields: usize,
    empty_files: usize,
    /// Octets that were searched or moved.
    #[cfg(test)]
    touched: usize,
}

impl FormReader {
    /// A reader for parts between this boundary.
    pub fn new(boundary: &str, bounds: FormBounds) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            bounds,
            delimiter: Finder::new(delimiter.as_bytes()).into_owned(),
            state: State::Start,
            pending: Zeroizing::default(),
            searched: 0,
            upload: Upload::default(),
            file_octets: 0,
            field_octets: 0,
            fields: 0,
            empty_files: 0,
            #[cfg(test)]
            touched: 0,
        }
    }

    /// Reads on.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), FormError> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(octets);
        let mut rest: &[u8] = &pending;
        while let Some(left) = self.step(rest)? {
            rest = left;
        }
        // Step keeps no more than a part's head or a delimiter.
        let kept = match self.state {
            State::Content(_) => {
                let keep = rest.len().min(self.delimiter.needle().len() - 1);
                let (sure, unsure) = rest.split_at(rest.len() - keep);
                self.take(sure)?;
                unsure.len()
            }
            State::End => 0,
            State::Start | State::Bound | State::Head => rest.len(),
        };
        // What is kept of a head stays where it is: nothing before it was used.
        let used = pending.len() - kept;
        if used > 0 {
            self.touch(kept);
            pending.drain(..used);
        }
        self.pending = pending;
        Ok(())
    }

    /// Counts, for the tests, what was done.
    fn touch(&mut self, octets: usize) {
        #[cfg(test)]
        {
            self.touched += octets;
        }
        #[cfg(not(test))]
        let _ = octets;
    }

    /// What was read; an error if the form does not end.
    pub fn finish(self) -> Result<Upload, FormError> {
        match self.state {
            State::End => Ok(self.upload),
            _ => Err(FormError::Malformed),
        }
    }

    /// What was read before the files became too many or too large, and no file.
    pub fn without_files(mut self, over: Over) -> Upload {
        self.upload.files.clear();
        self.upload.over = Some(over);
        self.upload
    }

    /// One step; what is left, or `None` if more must come first.
    fn step<'a>(&mut self, rest: &'a [u8]) -> Result<Option<&'a [u8]>, FormError> {
        match &self.state {
            State::Start => {
                let first = self.delimiter.needle().get(2..).unwrap_or_default();
                match strip(rest, first)? {
                    Some(left) => {
                        self.state = State::Bound;
                        Ok(Some(left))
                    }
                    None => Ok(None),
                }
            }
            State::Bound => self.after_boundary(rest),
            State::Head => self.after_head(rest),
            State::Content(_) => {
                let Some(end) = self.delimiter.find(rest) else {
                    return Ok(None);
                };
                let (content, left) = rest.split_at(end);
                self.take(content)?;
                self.close()?;
                Ok(left.get(self.delimiter.needle().len()..))
            }
            State::End => Ok(None),
        }
    }

    /// Behind header fields stands an empty line.
    fn after_head<'a>(&mut self, rest: &'a [u8]) -> Result<Option<&'a [u8]>, FormError> {
        let from = self.searched.saturating_sub(HEAD_END.len() - 1);
        let unsearched = rest.get(from..).unwrap_or_default();
        let found = find(unsearched, HEAD_END).map(|at| from + at);
        self.touch(found.unwrap_or(rest.len()) - from);
        // Without an end: the last octets may be the beginning of one.
        let octets = found.unwrap_or((rest.len() + 1).saturating_sub(HEAD_END.len()));
        if octets > MAX_PART_HEAD_OCTETS {
            return Err(FormError::Malformed);
        }
        let Some(end) = found else {
            self.searched = rest.len();
            return Ok(None);
        };
        self.searched = 0;
        let (head, left) = rest.split_at(end);
        self.state = State::Content(self.part(head)?);
        Ok(left.get(HEAD_END.len()..))
    }

    /// Behind a boundary stand two hyphens, or white space and a line's end.
    fn after_boundary<'a>(&mut self, rest: &'a [u8]) -> Result<Option<&'a [u8]>, FormError> {
        if rest.len() < 2 {
            return Ok(None);
        }
        if rest.starts_with(b"--") {
            self.state = State::End;
            return Ok(None);
        }
        let padding = rest
            .iter()
            .take_while(|o| matches!(o, b' ' | b'\t'))
            .count();
        if padding > MAX_PADDING_OCTETS {
            return Err(FormError::Malformed);
        }
        let left = strip(rest.get(padding..).unwrap_or_default(), b"\r\n")?;
        if left.is_some() {
            self.state = State::Head;
        }
        Ok(left)
    }

    fn part(&mut self, head: &[u8]) -> Result<Part, FormError> {
        let head = String::from_utf8_lossy(head);
        let mut disposition = None;
        let mut media_type = String::new();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(FormError::Malformed)?;
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" => disposition = Some(parameters(value)),
                "content-type" => media_type = value.trim().to_owned(),
                _ => {}
            }
        }
        let (kind, parameters) = disposition.ok_or(FormError::Malformed)?;
        let value_of = |wanted: &str| {
            let mut found = parameters.iter().filter(|(name, _)| name == wanted);
            found.next().map(|(_, value)| value.clone())
        };
        let field = value_of("name").ok_or(FormError::Malformed)?;
        if kind != "form-data" {
            return Err(FormError::Malformed);
        }
        let file = value_of("filename").map(|name| {
            media_type.truncate(media_type.floor_char_boundary(MAX_TYPE_OCTETS));
            (shortened(&name), media_type)
        });
        if file.is_none() {
            self.fields += 1;
            if self.fields > self.bounds.fields.min(MAX_PAIRS) {
                return Err(FormError::TooLarge);
            }
        }
        Ok(Part {
            field,
            file,
            content: Zeroizing::default(),
        })
    }

    fn take(&mut self, octets: &[u8]) -> Result<(), FormError> {
        let State::Content(part) = &mut self.state else {
            return Ok(());
        };
        let (count, most, error) = match part.file {
            Some(_) => (
                &mut self.file_octets,
                self.bounds.octets,
                FormError::TooLargeFiles,
            ),
            None => (
                &mut self.field_octets,
                MAX_FIELD_OCTETS,
                FormError::TooLarge,
            ),
        };
        *count += octets.len();
        if *count > most {
            return Err(error);
        }
        part.content.extend_from_slice(octets);
        Ok(())
    }

    fn close(&mut self) -> Result<(), FormError> {
        let State::Content(mut part) = std::mem::replace(&mut self.state, State::Bound) else {
            return Ok(());
        };
        let content = std::mem::take(&mut *part.content);
        match part.file {
            // A file field that was left empty.
            Some((name, _)) if name.is_empty() && content.is_empty() => {
                self.empty_files += 1;
                match self.empty_files <= MAX_EMPTY_FILES {
                    true => Ok(()),
                    false => Err(FormError::Malformed),
                }
            }
            Some((name, media_type)) => {
                if self.upload.files.len() >= self.bounds.files {
                    return Err(FormError::TooManyFiles);
                }
                self.upload.files.push(File {
                    field: part.field,
                    name,
                    media_type,
                    octets: Bytes::from(content),
                });
                Ok(())
            }
            None => {
                let value = String::from_utf8(content).map_err(|_| FormError::Malformed)?;
                let fields: &mut Pairs = &mut self.upload.fields;
                fields
                    .push(&part.field, Zeroizing::new(value))
                    .ok_or(FormError::Malformed)
            }
        }
    }
}

/// A name that is not too long; of one that is, the beginning and the end.
fn shortened(name: &str) -> String {
    let chars = name.chars().count();
    if chars <= MAX_NAME_CHARS {
        return name.to_owned();
    }
    let start = name.chars().take(MAX_NAME_CHARS - NAME_END_CHARS);
    start
        .chain(name.chars().skip(chars - NAME_END_CHARS))
        .collect()
}

/// What follows `prefix`; `None` if it may still come.
fn strip<'a>(octets: &'a [u8], prefix: &[u8]) -> Result<Option<&'a [u8]>, FormError> {
    match octets.strip_prefix(prefix) {
        Some(left) => Ok(Some(left)),
        None if prefix.starts_with(octets) => Ok(None),
        None => Err(FormError::Malformed),
    }
}

/// The boundary of a `multipart/form-data` body, from its `Content-Type`.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = parameters(content_type);
    if kind != "multipart/form-data" {
        return None;
    }
    let (_, boundary) = parameters
        .into_iter()
        .find(|(name, _)| name == "boundary")?;
    let sound = (1..=MAX_BOUNDARY_OCTETS).contains(&boundary.len())
        && !boundary.ends_with(' ')
        && boundary
            .bytes()
            .all(|o| o.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&o));
    sound.then_some(boundary)
}

/// `value; name=value; name="value"`: the value and the parameters, names in lower case. In quotes
/// as browsers write them (HTML §4.10.21.8): `%22`, `%0D`, `%0A`, and `\"` of older ones; another
/// backslash is one, as in a path of Windows.
fn parameters(field: &str) -> (String, Vec<(String, String)>) {
    let (value, mut rest) = field.split_once(';').unwrap_or((field, ""));
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (inside, left) = until_quote(quoted);
                (unescape(inside), left)
            }
            None => {
                let (plain, left) = after.split_once(';').unwrap_or((after, ""));
                (plain.trim().to_owned(), left)
            }
        };
        found.push((name, value));
        rest = left;
    }
    (value.trim().to_ascii_lowercase(), found)
}

fn until_quote(quoted: &str) -> (&str, &str) {
    let mut before = ' ';
    for (at, c) in quoted.char_indices() {
        if c == '"' && before != '\\' {
            let (inside, left) = quoted.split_at(at);
            return (inside, left.strip_prefix('"').unwrap_or_default());
        }
        before = c;
    }
    (quoted, "")
}

fn unescape(inside: &str) -> String {
    inside
        .replace("\\\"", "\"")
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

#[cfg(test)]
mod tests;
