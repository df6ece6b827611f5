//! An answer, built by what it is; the fields that belong to it follow from that.
//!
//! A redirect leads to a path of our own and nowhere else ([`OwnPath`]).

use std::fmt;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::Status;
use super::cookie;
use super::disposition;
use super::profile::Profile;

/// What stays as it is in a segment or a query.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Octets of a note for the access log.
const MAX_NOTE_OCTETS: usize = 80;

/// A path of ours, with or without a query. It cannot be anything else: segments and values are
/// encoded, so that no input makes it another host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPath(String);

impl OwnPath {
    /// `/a/b` from `["a", "b"]`; `/` from nothing.
    pub fn to(segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments.iter().filter(|segment| !segment.is_empty()) {
            path.push('/');
            path.extend(utf8_percent_encode(segment, UNRESERVED));
        }
        if path.is_empty() {
            path.push('/');
        }
        Self(path)
    }

    /// With `name=value` in the query. Nothing secret: it will stand in histories.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.extend(utf8_percent_encode(name, UNRESERVED));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, UNRESERVED));
        self
    }

    /// As it stands in a page or a `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a request is refused before, or instead of, the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// 400: not a request that we understand.
    BadRequest,
    /// 403: a form that was not sent from a page of ours.
    CrossSite,
    /// 404.
    NotFound,
    /// 405.
    Method,
    /// 408: the body did not come in time.
    TooSlow,
    /// 413.
    TooLarge,
    /// 414.
    TooLongAddress,
    /// 415: not a form.
    NotAForm,
    /// 421: this is not the host that was asked for.
    OtherHost,
    /// 429.
    TooMany,
    /// 431: too many fields, or too large ones.
    TooLargeHead,
    /// 500.
    Broken,
    /// 503: too much to do.
    Busy,
}

impl Problem {
    /// Its status.
    pub const fn status(self) -> Status {
        match self {
            Self::BadRequest => Status::BAD_REQUEST,
            Self::CrossSite => Status::FORBIDDEN,
            Self::NotFound => Status::NOT_FOUND,
            Self::Method => Status::METHOD_NOT_ALLOWED,
            Self::TooSlow => Status::REQUEST_TIMEOUT,
            Self::TooLarge => Status::PAYLOAD_TOO_LARGE,
            Self::TooLongAddress => Status::URI_TOO_LONG,
            Self::NotAForm => Status::UNSUPPORTED_MEDIA_TYPE,
            Self::OtherHost => Status::MISDIRECTED_REQUEST,
            Self::TooMany => Status::TOO_MANY_REQUESTS,
            Self::TooLargeHead => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Broken => Status::INTERNAL_SERVER_ERROR,
            Self::Busy => Status::SERVICE_UNAVAILABLE,
        }
    }

    /// A sentence for a person, in English.
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "Your browser sent something that this server does not understand.",
            Self::CrossSite => "This form was not sent from a page of this site. Nothing was done.",
            Self::NotFound => "There is no such page.",
            Self::Method => "This page cannot be used in this way.",
            Self::TooSlow => "What you sent did not arrive in time. Nothing was done.",
            Self::TooLarge => "What you sent is too large. Nothing was done.",
            Self::TooLongAddress => "The address is too long.",
            Self::NotAForm => "This page takes forms only.",
            Self::OtherHost => "This is not the server that you asked for.",
            Self::TooMany => "Too many requests. Please wait a moment.",
            Self::TooLargeHead => "Your browser sent too much with its request.",
            Self::Broken => "Something went wrong here. Please try again later.",
            Self::Busy => "There is too much to do at the moment. Please try again soon.",
        }
    }
}

/// The octets of an answer.
#[derive(Default)]
pub enum Payload {
    /// None.
    #[default]
    Empty,
    /// All of them.
    Whole(Bytes),
    /// As they come. An error breaks the answer off, so that nobody takes a part for the whole.
    Stream {
        /// How many there will be, if that is known. Fewer or more is an error.
        octets: Option<u64>,
        /// Where they come from. The channel's bound is the buffer's.
        from: mpsc::Receiver<std::io::Result<Bytes>>,
    },
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "Empty"),
            Self::Whole(octets) => write!(f, "Whole({} octets)", octets.len()),
            Self::Stream { octets, .. } => write!(f, "Stream({octets:?} octets)"),
        }
    }
}

/// An answer.
pub struct Answer {
    pub(super) status: Status,
    pub(super) profile: Profile,
    pub(super) media_type: String,
    pub(super) payload: Payload,
    pub(super) cookies: Vec<String>,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) note: Option<String>,
    pub(super) last: bool,
}

/// Neither cookies nor content.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("profile", &self.profile)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

impl Answer {
    fn new(status: Status, profile: Profile, media_type: &str, payload: Payload) -> Self {
        Self {
            status,
            profile,
            media_type: media_type.to_owned(),
            payload,
            cookies: Vec::new(),
            fields: Vec::new(),
            note: None,
            last: false,
        }
    }

    /// A page of ours. No script runs on it, nothing is framed by it, unless it asks.
    pub fn html(status: Status, page: impl Into<Bytes>) -> Self {
        let profile = Profile::Page {
            script: false,
            frame: false,
        };
        let payload = Payload::Whole(page.into());
        Self::new(status, profile, "text/html; charset=utf-8", payload)
    }

    /// A message's HTML, cleaned, for `<iframe sandbox>`. Its pictures should be `data:`: the frame
    /// has an origin of its own, so browsers send no cookie with what it loads, and take nothing
    /// from us that says `Cross-Origin-Resource-Policy: same-origin`, as all of ours does.
    pub fn mail_frame(cleaned: impl Into<Bytes>) -> Self {
        let payload = Payload::Whole(cleaned.into());
        Self::new(
            Status::OK,
            Profile::MailFrame,
            "text/html; charset=utf-8",
            payload,
        )
    }

    /// 303: after a form, on to a page of ours.
    pub fn see_other(path: &OwnPath) -> Self {
        let mut answer = Self::new(Status::SEE_OTHER, Profile::Data, "", Payload::Empty);
        answer.fields.push(("location", path.0.clone()));
        answer
    }

    /// A file to be saved. Its name and type may be a stranger's.
    pub fn download(name: &str, media_type: &str, payload: Payload) -> Self {
        let media_type = disposition::media_type(media_type);
        let mut answer = Self::new(Status::OK, Profile::Download, &media_type, payload);
        let disposition = disposition::attachment(name);
        answer.fields.push(("content-disposition", disposition));
        answer
    }

    /// A picture that our pages show; SVG is for [`super::Assets`] only. Another type than PNG,
    /// JPEG, GIF or WebP becomes a download.
    pub fn image(media_type: &str, octets: Bytes) -> Self {
        let payload = Payload::Whole(octets);
        if !matches!(
            media_type,
            "image/png" | "image/jpeg" | "image/gif" | "image/webp"
        ) {
            return Self::download("image", media_type, payload);
        }
        let mut answer = Self::new(Status::OK, Profile::Image, media_type, payload);
        answer
            .fields
            .push(("content-disposition", "inline".to_owned()));
        answer
    }

    /// JSON.
    pub fn json<T: Serialize>(status: Status, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(octets) => {
                let payload = Payload::Whole(Bytes::from(octets));
                Self::new(status, Profile::Data, "application/json", payload)
            }
            Err(_) => Self::problem_json(Problem::Broken),
        }
    }

    /// Plain text.
    pub fn text(status: Status, text: &'static str) -> Self {
        let payload = Payload::Whole(Bytes::from_static(text.as_bytes()));
        Self::new(status, Profile::Data, "text/plain; charset=utf-8", payload)
    }

    /// A refusal for programs (RFC 9457).
    pub fn problem_json(problem: Problem) -> Self {
        let status = problem.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": problem.text(),
        });
        let payload = Payload::Whole(Bytes::from(body.to_string()));
        Self::new(status, Profile::Data, "application/problem+json", payload)
    }

    pub(super) fn asset(media_type: &str, octets: Bytes, hashed: bool) -> Self {
        let profile = if hashed {
            Profile::Asset
        } else {
            Profile::FixedAsset
        };
        Self::new(Status::OK, profile, media_type, Payload::Whole(octets))
    }

    /// Lets a page of ours run our own script.
    #[must_use]
    pub fn with_script(mut self) -> Self {
        if let Profile::Page { script, .. } = &mut self.profile {
            *script = true;
        }
        self
    }

    /// Lets a page of ours show a frame of ours.
    #[must_use]
    pub fn with_frame(mut self) -> Self {
        if let Profile::Page { frame, .. } = &mut self.profile {
            *frame = true;
        }
        self
    }

    /// Sets the cookie `__Host-<name>`, until the browser is closed. `name` is ASCII letters, digits
    /// and `-`; `value` also has `_` and `.`, as base64url does. Anything else sets nothing.
    #[must_use]
    pub fn cookie(mut self, name: &'static str, value: &str) -> Self {
        self.add_cookie(name, cookie::set(name, value));
        self
    }

    /// Removes the cookie `__Host-<name>`.
    #[must_use]
    pub fn without_cookie(mut self, name: &'static str) -> Self {
        self.add_cookie(name, cookie::remove(name));
        self
    }

    fn add_cookie(&mut self, name: &'static str, field: Option<String>) {
        match field {
            Some(field) => self.cookies.push(field),
            None => tracing::error!(name, "a cookie's value cannot be sent and was left out"),
        }
    }

    /// Tells the browser to forget what it kept of us: after a logout.
    #[must_use]
    pub fn forget(mut self) -> Self {
        let what = "\"cache\", \"cookies\", \"storage\"";
        self.fields.push(("clear-site-data", what.to_owned()));
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.fields.push(("retry-after", seconds.to_string()));
        self
    }

    /// Writes a reference into the access log's line. Never a token, a code, an address or a name.
    #[must_use]
    pub fn note(mut self, reference: &str) -> Self {
        let mut note: String = reference.chars().filter(|c| !c.is_control()).collect();
        while note.len() > MAX_NOTE_OCTETS {
            note.pop();
        }
        self.note = Some(note);
        self
    }

    pub(super) fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// Ends the connection, where it can carry one request at a time.
    pub(super) fn close(mut self) -> Self {
        self.last = true;
        self
    }

    /// Its status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Where it leads, if it is a redirect.
    pub fn location(&self) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(name, _)| *name == "location");
        field.map(|(_, value)| value.as_str())
    }

    /// The `Set-Cookie` values, for tests of a site.
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// The octets.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The same, to be taken.
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_ours() {
        assert_eq!(OwnPath::to(&[]).as_str(), "/");
        assert_eq!(OwnPath::to(&["m", "a b"]).as_str(), "/m/a%20b");
        assert_eq!(
            OwnPath::to(&["m"])
                .with("page", "2")
                .with("q", "a&b")
                .as_str(),
            "/m?page=2&q=a%26b"
        );
        assert_eq!(
            OwnPath::to(&["", "/evil.example"]).as_str(),
            "/%2Fevil.example"
        );
    }

    proptest! {
        #[test]
        fn no_input_leads_elsewhere(segments in prop::collection::vec("\\PC{0,20}", 0..4)) {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            let path = OwnPath::to(&segments);
            let path = path.as_str();
            prop_assert!(path.starts_with('/') && !path.starts_with("//"));
            prop_assert!(!path.contains('\\') && path.bytes().all(|o| o.is_ascii_graphic()));
        }
    }

    #[test]
    fn an_odd_cookie_is_left_out() {
        let answer = Answer::text(Status::OK, "")
            .cookie("s", "a;b")
            .cookie("s", "ab");
        assert_eq!(answer.cookies().len(), 1);
        let shown = format!("{:?}", answer.cookie("t", "secret-token"));
        assert!(!shown.contains("secret-token"));
    }

    #[test]
    fn an_image_that_is_none_is_saved() {
        let answer = Answer::image("image/svg+xml", Bytes::new());
        assert_eq!(answer.profile, Profile::Download);
        assert_eq!(answer.media_type, "application/octet-stream");
    }
}
