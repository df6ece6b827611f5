//! What the operator decides: our address, and how much of everything.

use std::time::Duration;

use super::assets::Assets;
use crate::world::url::{Scheme, Url, UrlError};

/// Where the portal is on the web: scheme, host and port, and nothing else. Never learnt from a
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As browsers write it: `https://portal.example`, with a port that is not 443.
    text: String,
    /// `portal.example` or `portal.example:8443`.
    authority: String,
    /// The host, for the passkeys' rpId.
    host: String,
}

/// Why an address is none for a portal.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Not a URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// In clear.
    #[error("the portal's address begins with https://")]
    NotHttps,
    /// A path or query.
    #[error("the portal's address ends with the host or port: nothing may follow")]
    Path,
}

impl Origin {
    /// Reads `https://portal.example`, with or without a port and `/`.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let url = Url::parse(url)?;
        if url.scheme() != Scheme::Https {
            return Err(OriginError::NotHttps);
        }
        if !matches!(url.target(), "" | "/") {
            return Err(OriginError::Path);
        }
        let authority = url.authority().to_ascii_lowercase();
        let authority = match authority.strip_suffix(":443") {
            Some(host) => host.to_owned(),
            None => authority,
        };
        Ok(Self {
            text: format!("https://{authority}"),
            host: url.host().to_string().to_ascii_lowercase(),
            authority,
        })
    }

    /// `https://portal.example`, without a slash behind.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `portal.example`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether an `Origin` field is ours.
    pub(super) fn is(&self, origin: &str) -> bool {
        origin.eq_ignore_ascii_case(&self.text)
    }

    /// Whether a `Host` field or an authority is ours.
    pub(super) fn is_authority(&self, authority: &str) -> bool {
        let authority = authority.strip_suffix(":443").unwrap_or(authority);
        authority.eq_ignore_ascii_case(&self.authority)
    }

    /// Whether a `Referer` is a page of ours.
    pub(super) fn is_page(&self, page: &str) -> bool {
        let (start, rest) = page
            .split_at_checked(self.text.len())
            .unwrap_or((page, "?"));
        self.is(start) && (rest.is_empty() || rest.starts_with('/'))
    }
}

/// How much there may be of everything. Of what one network (IPv4 /24, IPv6 /64) may have, the
/// networks of one /48 of IPv6 may have four times as much together; rates apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Connections from one network.
    pub connections_per_network: usize,
    /// Requests that the site works on at a time.
    pub requests: usize,
    /// The same for one network.
    pub requests_per_network: usize,
    /// Requests of one address.
    pub address: Rate,
    /// Requests of one network.
    pub network: Rate,
    /// Octets of forms with files in memory.
    pub body_octets: u64,
    /// The same of one network.
    pub body_octets_per_network: u64,
    /// Octets of forms without files in memory: uploads take nothing of it.
    pub form_octets: u64,
    /// The same of one network.
    pub form_octets_per_network: u64,
    /// Downloads at a time: from the request to the last octet that the client takes.
    pub downloads: usize,
    /// The same of one network.
    pub downloads_per_network: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// How long a handshake, and a request's head, may take.
    pub head: Duration,
    /// How long a request's body may take, whatever its size; larger ones have a second more for
    /// each [`super::body::MIN_OCTETS_PER_SECOND`].
    pub body: Duration,
    /// How long a body may take at most.
    pub body_most: Duration,
    /// How long an answer may stand still because the client takes nothing.
    pub stall: Duration,
    /// How long an answer may be on its way. Besides, after `stall` the client must have taken a
    /// second's worth for each second, see [`super::watch::MIN_TAKEN_PER_SECOND`].
    pub sent: Duration,
    /// How long the site may think about an answer.
    pub answer: Duration,
    /// How long connections have to end when we do.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            connections_per_network: 512,
            requests: 512,
            requests_per_network: 96,
            address: Rate {
                burst: 240,
                per_minute: 240,
            },
            network: Rate {
                burst: 1200,
                per_minute: 1200,
            },
            body_octets: 512 * 1024 * 1024,
            body_octets_per_network: 128 * 1024 * 1024,
            form_octets: 64 * 1024 * 1024,
            form_octets_per_network: 2 * 1024 * 1024,
            downloads: 512,
            downloads_per_network: 32,
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_most: Duration::from_secs(900),
            stall: Duration::from_secs(60),
            sent: Duration::from_secs(3600),
            answer: Duration::from_secs(60),
            drain: Duration::from_secs(20),
        }
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// In the long run.
    pub per_minute: u32,
}

/// What the operator decides of the portal's HTTP.
#[derive(Debug)]
pub struct Options {
    /// Where the portal is.
    pub origin: Origin,
    /// Whether HSTS covers hosts below ours.
    pub hsts_subdomains: bool,
    /// How much of everything.
    pub limits: Limits,
    /// Style, script, pictures.
    pub assets: Assets,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_host_and_nothing_else() {
        let origin = Origin::parse("https://portal.example:443/").unwrap();
        assert_eq!(origin.as_str(), "https://portal.example");
        assert!(origin.is_authority("Portal.Example"));
        let other_port = Origin::parse("https://127.0.0.1:8443").unwrap();
        assert_eq!(other_port.as_str(), "https://127.0.0.1:8443");
        assert_eq!(other_port.host(), "127.0.0.1");
        assert!(!other_port.is_authority("127.0.0.1"));
        for not in [
            "http://portal.example",
            "https://portal.example/x",
            "https://portal.example/?a",
            "portal.example",
            "ldaps://portal.example",
            "https://a@portal.example",
        ] {
            assert!(Origin::parse(not).is_err(), "{not}");
        }
    }
}
