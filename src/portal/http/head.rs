//! What is known of a request before its body: method, path, query, cookies, a few fields.
//!
//! Everything is bounded and decoded when it stands here. Debug output has no query and no cookie.

use std::fmt;
use std::net::IpAddr;

use super::cookie::Cookies;
use super::pairs::Pairs;
use crate::mail::Timestamp;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD ([`Head::head_only`]).
    Get,
    /// POST, from one of our pages.
    Post,
}

/// A request without its body.
#[derive(Clone)]
pub struct Head {
    /// What is asked.
    pub method: Method,
    /// HEAD: the answer's body is not sent. Nobody reads it.
    pub head_only: bool,
    /// The path, decoded once; `/` has no segment. No segment is empty, holds `..`, a separator or
    /// a control character.
    pub path: Vec<String>,
    /// The query. Never put anything secret into one.
    pub query: Pairs,
    /// Our cookies.
    pub cookies: Cookies,
    /// Who asks: the address at the other end of the connection.
    pub client: IpAddr,
    /// When the head was whole.
    pub time: Timestamp,
    /// `Accept-Language`, printable ASCII, possibly empty.
    pub accept_language: String,
    /// `User-Agent`, printable ASCII, possibly empty.
    pub user_agent: String,
    /// Whether a program asks that reads JSON, not a browser.
    pub wants_json: bool,
    /// Fetch Metadata, as the browser sent it.
    pub fetch: Fetch,
}

/// The fields `Sec-Fetch-*` (W3C Fetch Metadata), and what announces a prefetch. Empty where the
/// browser sends none. No proof of anything: a program may write what it likes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    /// `Sec-Fetch-Site`: `none` was typed or clicked outside of a page.
    pub site: String,
    /// `Sec-Fetch-Mode`.
    pub mode: String,
    /// `Sec-Fetch-Dest`.
    pub dest: String,
    /// `Sec-Fetch-User: ?1`: a person clicked or typed.
    pub user: bool,
    /// `Sec-Purpose` or `Purpose`: fetched ahead of anybody's wish.
    pub ahead: bool,
}

impl Head {
    /// The path's segments, to match on.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("segments", &self.path.len())
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
