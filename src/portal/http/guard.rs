//! What stands before a site: whose host, which method, whose form. Pure.
//!
//! A field that must be one and comes twice is refused, so that nobody behind or before us reads
//! the other one.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method as Asked, Version};

use super::answer::Problem;
use super::cookie::Cookies;
use super::head::{Fetch, Head, Method};
use super::options::Origin;
use super::pairs::Pairs;
use super::path;
use crate::mail::Timestamp;

/// Header fields of a request.
pub(super) const MAX_FIELDS: usize = 64;
/// Octets of path and query.
pub(super) const MAX_TARGET_OCTETS: usize = 2048;
/// Octets of a field that is handed on.
const MAX_TEXT_OCTETS: usize = 256;
/// Fields that may come once.
const ONCE: [HeaderName; 6] = [
    header::HOST,
    header::ORIGIN,
    header::REFERER,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("sec-fetch-site"),
];

/// Whether sizes and counts are within bounds, and nothing that must be one is two.
pub(super) fn shape(parts: &Parts) -> Result<(), Problem> {
    let target = parts.uri.path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET_OCTETS) {
        return Err(Problem::TooLongAddress);
    }
    if parts.headers.len() > MAX_FIELDS {
        return Err(Problem::TooLargeHead);
    }
    let twice = |name: &HeaderName| parts.headers.get_all(name).iter().nth(1).is_some();
    if ONCE.iter().any(twice) {
        return Err(Problem::BadRequest);
    }
    Ok(())
}

/// Whether our host is asked: the authority of the target, `Host`, and the scheme, as far as
/// there are any; at least one must be there.
pub(super) fn host(parts: &Parts, origin: &Origin) -> Result<(), Problem> {
    let named = parts.uri.authority().map(|authority| authority.as_str());
    let field = match parts.headers.get(header::HOST) {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| Problem::BadRequest)?),
    };
    if field.is_none() && (named.is_none() || parts.version < Version::HTTP_2) {
        return Err(Problem::BadRequest);
    }
    let scheme = parts.uri.scheme_str();
    let ours = named.is_none_or(|named| origin.is_authority(named))
        && field.is_none_or(|field| origin.is_authority(field))
        && scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case("https"));
    if ours {
        Ok(())
    } else {
        Err(Problem::OtherHost)
    }
}

/// What is asked, if it is something that exists here; with whether it is HEAD.
pub(super) fn method(asked: &Asked) -> Result<(Method, bool), Problem> {
    match *asked {
        Asked::GET => Ok((Method::Get, false)),
        Asked::HEAD => Ok((Method::Get, true)),
        Asked::POST => Ok((Method::Post, false)),
        _ => Err(Problem::Method),
    }
}

/// The head as a site gets it.
pub(super) fn head(
    parts: &Parts,
    (method, head_only): (Method, bool),
    client: IpAddr,
    time: Timestamp,
) -> Result<Head, Problem> {
    let path = path::segments(parts.uri.path()).ok_or(Problem::NotFound)?;
    let query = parts.uri.query().unwrap_or_default();
    let query = Pairs::parse(query.as_bytes()).ok_or(Problem::BadRequest)?;
    let mut cookies = Cookies::default();
    for field in parts.headers.get_all(header::COOKIE) {
        if let Ok(field) = field.to_str() {
            cookies.read(field);
        }
    }
    Ok(Head {
        method,
        head_only,
        path,
        query,
        cookies,
        client,
        time,
        accept_language: text(&parts.headers, "accept-language"),
        user_agent: user_agent(&parts.headers),
        wants_json: wants_json(&parts.headers),
        fetch: fetch(&parts.headers),
    })
}

/// Whether a POST was sent from one of our own pages. `Origin` decides where there is one; a
/// browser that sends none says `Sec-Fetch-Site: same-origin`, or is old and sends `Referer`. What
/// says nothing is not believed.
pub(super) fn same_origin(headers: &HeaderMap, origin: &Origin) -> Result<(), Problem> {
    let of = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let from = of("origin").map(|from| origin.is(from));
    let site = of("sec-fetch-site");
    let ours = match (from, site) {
        (Some(false), _) => false,
        (Some(true), site) => matches!(site, None | Some("same-origin" | "none")),
        (None, Some(site)) => site == "same-origin",
        (None, None) => of("referer").is_some_and(|page| origin.is_page(page)),
    };
    if ours {
        Ok(())
    } else {
        Err(Problem::CrossSite)
    }
}

/// A field's printable ASCII, cut to a length.
pub(super) fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.as_bytes());
    value
        .unwrap_or_default()
        .iter()
        .filter(|octet| (0x20..0x7f).contains(*octet))
        .take(MAX_TEXT_OCTETS)
        .map(|octet| char::from(*octet))
        .collect()
}

pub(super) fn user_agent(headers: &HeaderMap) -> String {
    text(headers, "user-agent")
}

/// Whether a program asks that reads JSON.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = text(headers, "accept");
    accept.contains("json") && !accept.contains("text/html")
}

fn fetch(headers: &HeaderMap) -> Fetch {
    Fetch {
        site: text(headers, "sec-fetch-site"),
        mode: text(headers, "sec-fetch-mode"),
        dest: text(headers, "sec-fetch-dest"),
        user: text(headers, "sec-fetch-user") == "?1",
        ahead: headers.contains_key("sec-purpose") || headers.contains_key("purpose"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::parse("https://Portal.Clinic.Example").unwrap()
    }

    fn asked(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut builder = hyper::Request::builder().uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_our_host_is_served() {
        for (uri, host_field) in [
            ("/", "portal.clinic.example"),
            ("/", "PORTAL.clinic.example:443"),
            ("https://portal.clinic.example/", "portal.clinic.example"),
        ] {
            assert_eq!(
                host(&asked(uri, &[("host", host_field)]), &origin()),
                Ok(())
            );
        }
        for (uri, host_field) in [
            ("/", "evil.example"),
            ("/", "portal.clinic.example.evil.example"),
            ("/", "portal.clinic.example:8443"),
            ("/", "portal.clinic.example@evil.example"),
            ("/", "portal.clinic.example."),
            ("/", ""),
            ("https://evil.example/", "portal.clinic.example"),
            ("https://portal.clinic.example/", "evil.example"),
            ("http://portal.clinic.example/", "portal.clinic.example"),
        ] {
            let parts = asked(uri, &[("host", host_field)]);
            assert_eq!(
                host(&parts, &origin()),
                Err(Problem::OtherHost),
                "{uri} {host_field}"
            );
        }
        assert_eq!(host(&asked("/", &[]), &origin()), Err(Problem::BadRequest));
        let twice = asked("/", &[("host", "portal.clinic.example"), ("host", "x")]);
        assert_eq!(shape(&twice), Err(Problem::BadRequest));
    }

    #[test]
    fn forms_come_from_our_pages() {
        let ours = "https://portal.clinic.example";
        let page = "https://portal.clinic.example/m/abc";
        let refused = Err(Problem::CrossSite);
        for (fields, verdict) in [
            (&[("origin", ours)][..], Ok(())),
            (
                &[("origin", ours), ("sec-fetch-site", "same-origin")],
                Ok(()),
            ),
            (&[("origin", ours), ("sec-fetch-site", "none")], Ok(())),
            (&[("sec-fetch-site", "same-origin")], Ok(())),
            (&[("referer", page)], Ok(())),
            (&[], refused),
            (&[("origin", "null")], refused),
            (
                &[("origin", "null"), ("sec-fetch-site", "same-origin")],
                refused,
            ),
            (&[("origin", "https://evil.example")], refused),
            (&[("origin", "http://portal.clinic.example")], refused),
            (&[("origin", "https://portal.clinic.example:8443")], refused),
            (
                &[("origin", ours), ("sec-fetch-site", "cross-site")],
                refused,
            ),
            (
                &[("sec-fetch-site", "same-site"), ("referer", page)],
                refused,
            ),
            (&[("sec-fetch-site", "none")], refused),
            (&[("sec-fetch-site", "cross-site")], refused),
            (
                &[(
                    "referer",
                    "https://evil.example/?https://portal.clinic.example/",
                )],
                refused,
            ),
            (
                &[("referer", "https://portal.clinic.example.evil.example/")],
                refused,
            ),
            (
                &[("referer", "https://portal.clinic.example@evil.example/")],
                refused,
            ),
        ] {
            let parts = asked("/", fields);
            assert_eq!(
                same_origin(&parts.headers, &origin()),
                verdict,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn methods_are_three() {
        assert_eq!(method(&Asked::HEAD), Ok((Method::Get, true)));
        for other in [
            "OPTIONS", "TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "PROPFIND", "get",
        ] {
            let asked = Asked::from_bytes(other.as_bytes()).unwrap();
            assert_eq!(method(&asked), Err(Problem::Method), "{other}");
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("/?{}", "a".repeat(MAX_TARGET_OCTETS));
        assert_eq!(shape(&asked(&long, &[])), Err(Problem::TooLongAddress));
        let many = vec![("x", "y"); MAX_FIELDS + 1];
        assert_eq!(shape(&asked("/", &many)), Err(Problem::TooLargeHead));
        let agent = "a".repeat(1000);
        assert_eq!(
            text(&asked("/", &[("a", &agent)]).headers, "a").len(),
            MAX_TEXT_OCTETS
        );
    }
}
