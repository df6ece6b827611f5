//! Small documents over HTTP/1.1 (RFC 9112): certificates of partners, revocation lists, answers
//! of OCSP responders.
//!
//! Owns one request on one connection, bounded in time and octets. Follows no redirect, keeps no
//! connection, cookie or proxy, believes no content type. Plain HTTP only for what is signed in
//! itself: the caller says so with [`Guard::Signed`].

mod io;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use rustls::RootCertStore;
use zeroize::Zeroizing;

use self::io::HyperIo;
use super::clock::Clock;
use super::dial::{DialError, Dialer};
use super::net::Stream;
use super::url::{Scheme, Url};
use crate::mail::SecretBytes;

/// How long a connection, with its handshake, may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request may take in all, where the caller does not say.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of status line and header fields that are read.
const MAX_HEAD_OCTETS: usize = 16 * 1024;
/// Header fields that are read.
const MAX_FIELDS: usize = 64;

/// What vouches for what is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The server: `https` only.
    Server,
    /// A signature in the document, which the caller verifies: `http` will do.
    Signed,
}

/// Bounds on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most octets of the document.
    pub octets: usize,
    /// How long it may take in all.
    pub time: Duration,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL's scheme is not one for this.
    #[error("{0}:// is not followed here")]
    Scheme(&'static str),
    /// No connection, or no TLS.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The connection broke, or what came is not HTTP.
    #[error("{host} did not answer with HTTP: {why}")]
    Http {
        /// Who was asked.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// An answer that is no document; redirects among them.
    #[error("{host} answered with status {status}")]
    Status {
        /// Who was asked.
        host: String,
        /// The status (RFC 9110 §15).
        status: u16,
    },
    /// The document is over the bound.
    #[error("the answer of {host} is longer than {octets} octets")]
    TooLarge {
        /// Who was asked.
        host: String,
        /// The bound.
        octets: usize,
    },
}

impl FetchError {
    /// Whether the same question may be answered later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Scheme(_) | Self::TooLarge { .. } => false,
            Self::Dial(DialError::NotPublic(_)) => false,
            Self::Dial(_) | Self::TimedOut(_) | Self::Http { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
        }
    }
}

/// What is sent with POST.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its media type.
    pub media_type: &'static str,
    /// Who we are, where the server has to know (RFC 6750 §2.1).
    pub bearer: Option<SecretBytes>,
    /// The octets.
    pub octets: Bytes,
}

/// Fetches documents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    dialer: Dialer,
    roots: Arc<RootCertStore>,
}

impl Fetcher {
    /// Web servers have to be vouched for by `roots`.
    pub fn new(dialer: Dialer, roots: Arc<RootCertStore>) -> Self {
        Self { dialer, roots }
    }

    /// The clock by which servers are verified.
    pub fn clock(&self) -> Clock {
        self.dialer.clock()
    }

    /// The document at a URL.
    pub async fn get(&self, url: &Url, guard: Guard, bounds: Bounds) -> Result<Bytes, FetchError> {
        self.fetch(url, guard, bounds, None).await
    }

    /// The document with which a URL answers to another.
    pub async fn post(
        &self,
        url: &Url,
        guard: Guard,
        bounds: Bounds,
        posted: Posted,
    ) -> Result<Bytes, FetchError> {
        self.fetch(url, guard, bounds, Some(posted)).await
    }

    async fn fetch(
        &self,
        url: &Url,
        guard: Guard,
        bounds: Bounds,
        posted: Option<Posted>,
    ) -> Result<Bytes, FetchError> {
        let in_time = async {
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(url, guard));
            let stream = connecting.await.map_err(|_| late(url))??;
            let request = request(url, posted).map_err(|error| not_http(url, &error))?;
            exchange(stream, request, url, bounds.octets).await
        };
        let limited = tokio::time::timeout(bounds.time, in_time);
        limited.await.map_err(|_| late(url))?
    }

    async fn connect(&self, url: &Url, guard: Guard) -> Result<Box<dyn Stream>, FetchError> {
        let secure = match (url.scheme(), guard) {
            (Scheme::Https, Guard::Server | Guard::Signed) => true,
            (Scheme::Http, Guard::Signed) => false,
            (scheme @ (Scheme::Http | Scheme::Ldap | Scheme::Ldaps), _) => {
                return Err(FetchError::Scheme(scheme.name()));
            }
        };
        let stream = self.dialer.connect(url.host(), url.port()).await?;
        if !secure {
            return Ok(stream);
        }
        let secured = self
            .dialer
            .secure(stream, url.host(), &self.roots, b"http/1.1");
        Ok(secured.await?)
    }
}

fn late(url: &Url) -> FetchError {
    FetchError::TimedOut(url.host().to_string())
}

fn not_http(url: &Url, error: &dyn std::error::Error) -> FetchError {
    FetchError::Http {
        host: url.host().to_string(),
        why: error.to_string(),
    }
}

fn request(url: &Url, posted: Option<Posted>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let builder = Request::builder()
        .uri(url.target())
        .header(HOST, url.authority())
        .header(USER_AGENT, "sealpost")
        .header(CONNECTION, HeaderValue::from_static("close"));
    match posted {
        None => builder.method("GET").body(Full::default()),
        Some(posted) => {
            let mut builder = builder
                .method("POST")
                .header(CONTENT_TYPE, posted.media_type);
            if let Some(token) = &posted.bearer {
                let value = Zeroizing::new([b"Bearer ", token.expose()].concat());
                let mut value = HeaderValue::from_bytes(&value)?;
                value.set_sensitive(true);
                builder = builder.header(AUTHORIZATION, value);
            }
            builder.body(Full::new(posted.octets))
        }
    }
}

/// Sends the request and reads the document; the connection is driven meanwhile, and dropped then.
async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    url: &Url,
    octets: usize,
) -> Result<Bytes, FetchError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_OCTETS)
        .max_headers(MAX_FIELDS)
        .handshake(HyperIo::new(stream))
        .await
        .map_err(|error| not_http(url, &error))?;
    let answer = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| not_http(url, &error))?;
        let status = response.status().as_u16();
        if status != 200 {
            let host = url.host().to_string();
            return Err(FetchError::Status { host, status });
        }
        document(response.into_body(), url, octets).await
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // Its end or failure reaches `answer` as well, behind what was read before.
        _ = &mut connection => answer.await,
    }
}

async fn document(mut body: Incoming, url: &Url, octets: usize) -> Result<Bytes, FetchError> {
    let too_large = || FetchError::TooLarge {
        host: url.host().to_string(),
        octets,
    };
    let bound = u64::try_from(octets).unwrap_or(u64::MAX);
    if body.size_hint().lower() > bound {
        return Err(too_large());
    }
    let mut document = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| not_http(url, &error))?;
        // Trailers are no part of the document.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if document.len() + data.len() > octets {
            return Err(too_large());
        }
        document.extend_from_slice(&data);
    }
    Ok(document.into())
}
