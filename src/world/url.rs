//! URLs as we follow them: a scheme, a host, a port and a target, and nothing else (RFC 3986).
//!
//! Never a user, a fragment, a space or an octet that is not ASCII: what two readers could read
//! differently is refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::mail::Domain;

/// Longest URL in octets.
pub const MAX_URL_OCTETS: usize = 2048;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// `ldap`.
    Ldap,
    /// `ldaps`.
    Ldaps,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Ldap, Self::Ldaps];

    /// Its name in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ldap => "ldap",
            Self::Ldaps => "ldaps",
        }
    }

    /// The port where a URL names none.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ldap => 389,
            Self::Ldaps => 636,
        }
    }
}

/// Who is connected to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// By name.
    Name(Domain),
    /// By address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a URL that we follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Over [`MAX_URL_OCTETS`].
    #[error("the URL is longer than {MAX_URL_OCTETS} octets")]
    TooLong,
    /// None of [`Scheme`].
    #[error("the URL does not begin with http://, https://, ldap:// or ldaps://")]
    Scheme,
    /// An octet that does not stand in a URL, a fragment, or half an escape.
    #[error("the URL has a character that does not belong there")]
    Character,
    /// `user@host`.
    #[error("the URL names a user")]
    User,
    /// Neither a domain name nor an address.
    #[error("the URL names no host")]
    Host,
    /// Not from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
}

/// A URL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    host: Host,
    port: u16,
    target: String,
}

impl Url {
    /// Parses a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_OCTETS {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(scheme))
            .ok_or(UrlError::Scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        check_target(target)?;
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => scheme.port(),
        };
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        Ok(Self {
            scheme,
            host,
            port,
            target,
        })
    }

    /// What is spoken.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Who is connected to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// At which port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query; begins with `/`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port, the latter only where it is not the scheme's own: the Host field of HTTP
    /// (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn split_authority(authority: &str) -> Result<(Host, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address = address.parse().map_err(|_| UrlError::Host)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(UrlError::Host),
        };
        return Ok((Host::Address(IpAddr::V6(address)), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = match host.parse() {
        Ok(address) => Host::Address(IpAddr::V4(address)),
        Err(_) => Host::Name(Domain::parse(host).map_err(|_| UrlError::Host)?),
    };
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    if text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(UrlError::Port),
        Ok(port) => Ok(port),
    }
}

/// `path-abempty [ "?" query ]` of RFC 3986 §3.
fn check_target(target: &str) -> Result<(), UrlError> {
    let mut bytes = target.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                digit() && digit()
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return Err(UrlError::Character);
        }
    }
    Ok(())
}

/// `text` with everything escaped but the unreserved characters (RFC 3986 §2.1, §2.3).
pub fn escape(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a String does not fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.name(),
            self.authority(),
            self.target
        )
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_is_made_of() {
        let url = Url::parse("HTTPS://Keys.B.example:8443/a%2Fb?c=d&e").unwrap();
        assert_eq!(url.scheme(), Scheme::Https);
        assert_eq!(
            url.host(),
            &Host::Name(Domain::parse("keys.b.example").unwrap())
        );
        assert_eq!((url.port(), url.target()), (8443, "/a%2Fb?c=d&e"));
        assert_eq!(url.authority(), "keys.b.example:8443");
        assert_eq!(url.to_string(), "https://keys.b.example:8443/a%2Fb?c=d&e");
        for (text, said) in [
            ("http://b.example", "http://b.example/"),
            ("http://b.example:80?x", "http://b.example/?x"),
            ("ldaps://b.example", "ldaps://b.example/"),
            ("ldap://192.0.2.1/", "ldap://192.0.2.1/"),
            ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x"),
            ("http://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), said, "{text}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let long = format!("http://b.example/{}", "a".repeat(MAX_URL_OCTETS));
        for (text, error) in [
            ("b.example", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("gopher://b.example/", UrlError::Scheme),
            ("http:/b.example/", UrlError::Scheme),
            ("http://jo@b.example/", UrlError::User),
            ("http://jo:pw@b.example/", UrlError::User),
            ("http:///x", UrlError::Host),
            ("http://", UrlError::Host),
            ("http://:80/", UrlError::Host),
            ("http://a_b.example/", UrlError::Host),
            ("http://2130706433/", UrlError::Host),
            ("http://127.1/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://[b.example]/", UrlError::Host),
            ("http://b.example\\@c.example/", UrlError::User),
            ("http://b.example\\c.example/", UrlError::Host),
            ("http://b.example:/", UrlError::Port),
            ("http://b.example:0/", UrlError::Port),
            ("http://b.example:+80/", UrlError::Port),
            ("http://b.example:65536/", UrlError::Port),
            ("http://b.example/#x", UrlError::Character),
            ("http://b.example/a b", UrlError::Character),
            ("http://b.example/a\r\nHost: c", UrlError::Character),
            ("http://b.example/ä", UrlError::Character),
            ("http://b.example/%4", UrlError::Character),
            ("http://b.example/%zz", UrlError::Character),
            (&long, UrlError::TooLong),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_escaped_stands_in_a_target() {
        let escaped = escape("\"a b\"/../x@B.example?#%");
        assert_eq!(escaped, "%22a%20b%22%2F..%2Fx%40B.example%3F%23%25");
        let url = Url::parse(&format!("https://b.example/{escaped}")).unwrap();
        assert_eq!(url.target(), format!("/{escaped}"));
    }
}
