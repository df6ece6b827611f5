//! An answer on its way out: its header fields, and its octets in pieces that a slow client cannot
//! make large.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;

use super::answer::{Answer, Payload};
use super::log::{AccessLog, Line};
use super::profile::Profile;
use super::service::Room;
use super::watch::Answering;
use crate::mail::Timestamp;
use crate::world::clock::Clock;

/// Octets that are handed to the connection at once.
const PIECE_OCTETS: usize = 16 * 1024;
/// Two years, in seconds: what browsers ask of hosts on their lists.
const HSTS_SECONDS: u64 = 63_072_000;

/// The value of `Strict-Transport-Security`.
pub(super) fn hsts(subdomains: bool) -> String {
    let below = if subdomains {
        "; includeSubDomains"
    } else {
        ""
    };
    format!("max-age={HSTS_SECONDS}{below}")
}

/// What is told of a request when its answer has gone.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) log: AccessLog,
    pub(super) clock: Clock,
    pub(super) began: Timestamp,
    pub(super) line: Line,
}

/// What an answer has with it until its client took all of it, or left.
pub(super) struct To {
    pub(super) answering: Answering,
    pub(super) telling: Telling,
    /// The place of a download.
    pub(super) sending: Option<Room>,
}

/// The octets of an answer. Tells the log when it is dropped.
pub(super) struct OutBody {
    rest: Rest,
    answering: Answering,
    telling: Telling,
    _sending: Option<Room>,
}

enum Rest {
    Over,
    Whole(Bytes),
    Stream {
        left: Option<u64>,
        from: mpsc::Receiver<io::Result<Bytes>>,
    },
}

/// The answer as hyper takes it.
pub(super) fn response(answer: Answer, head_only: bool, hsts: &str, to: To) -> Response<OutBody> {
    let mut telling = to.telling;
    let length = match &answer.payload {
        Payload::Empty => Some(0),
        Payload::Whole(octets) => Some(octets.len() as u64),
        Payload::Stream { octets, .. } => *octets,
    };
    telling.line.status = answer.status.as_u16();
    telling.line.reference.clone_from(&answer.note);
    let mut fields = HeaderMap::with_capacity(24);
    write_fields(&mut fields, &answer, hsts);
    if answer.last && telling.line.protocol != "HTTP/2" {
        put(&mut fields, "connection", "close");
    }
    if let Some(length) = length {
        put(&mut fields, "content-length", &length.to_string());
    }
    let rest = match answer.payload {
        _ if head_only => Rest::Over,
        Payload::Empty => Rest::Over,
        Payload::Whole(octets) if octets.is_empty() => Rest::Over,
        Payload::Whole(octets) => Rest::Whole(octets),
        Payload::Stream { octets, from } => Rest::Stream { left: octets, from },
    };
    let mut response = Response::new(OutBody {
        rest,
        answering: to.answering,
        telling,
        _sending: to.sending,
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = fields;
    response
}

fn write_fields(fields: &mut HeaderMap, answer: &Answer, hsts: &str) {
    let profile: Profile = answer.profile;
    put(fields, "strict-transport-security", hsts);
    put(
        fields,
        "content-security-policy",
        &profile.content_security_policy(),
    );
    put(fields, "permissions-policy", &profile.permissions_policy());
    put(fields, "x-frame-options", profile.frame_options());
    let resource_policy = profile.resource_policy();
    put(fields, "cross-origin-resource-policy", resource_policy);
    for (name, value) in Profile::FIXED {
        put(fields, name, value);
    }
    let lasting = answer.status.is_success();
    let cache = if lasting {
        profile.cache_control()
    } else {
        "no-store"
    };
    put(fields, "cache-control", cache);
    if let Some(vary) = profile.vary() {
        put(fields, "vary", vary);
    }
    if !answer.media_type.is_empty() {
        put(fields, "content-type", &answer.media_type);
    }
    for (name, value) in &answer.fields {
        put(fields, name, value);
    }
    for cookie in &answer.cookies {
        if let Ok(mut value) = HeaderValue::from_str(cookie) {
            // Kept out of the header compression's table, and of Debug output.
            value.set_sensitive(true);
            fields.append("set-cookie", value);
        }
    }
}

fn put(fields: &mut HeaderMap, name: &'static str, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            fields.insert(HeaderName::from_static(name), value);
        }
        Err(_) => tracing::error!(name, "a field of an answer cannot be sent and was left out"),
    }
}

impl OutBody {
    fn took(&mut self, octets: &Bytes) {
        self.telling.line.octets += octets.len() as u64;
        self.answering.taken(octets.len() as u64);
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = &mut *self;
        let piece = match &mut body.rest {
            Rest::Over => return Poll::Ready(None),
            Rest::Whole(octets) => octets.split_to(octets.len().min(PIECE_OCTETS)),
            Rest::Stream { left, from } => match ready!(from.poll_recv(context)) {
                Some(Ok(piece)) => {
                    if let Some(left) = left {
                        let octets = piece.len() as u64;
                        *left = left.checked_sub(octets).ok_or_else(wrong_length)?;
                    }
                    piece
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if left.is_none_or(|left| left == 0) => {
                    body.rest = Rest::Over;
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(Some(Err(wrong_length()))),
            },
        };
        let over = match &body.rest {
            Rest::Whole(octets) => octets.is_empty(),
            Rest::Stream { left, .. } => *left == Some(0),
            Rest::Over => true,
        };
        if over {
            body.rest = Rest::Over;
        }
        body.took(&piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Over => SizeHint::with_exact(0),
            Rest::Whole(octets) => SizeHint::with_exact(octets.len() as u64),
            Rest::Stream { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

fn wrong_length() -> io::Error {
    io::Error::other("a streamed answer is not as long as was said")
}

impl Drop for OutBody {
    fn drop(&mut self) {
        let telling = &mut self.telling;
        let took = telling.clock.now().since(telling.began);
        telling.line.ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        telling.line.cut = !matches!(self.rest, Rest::Over);
        telling.log.record(&telling.line);
    }
}
