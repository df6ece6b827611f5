//! Cookies: the fields `Cookie` and `Set-Cookie` (RFC 6265 §4). Pure.
//!
//! Only cookies with the prefix `__Host-` exist here: neither a neighbouring host nor a page in
//! clear can set one. A name that comes twice has no value. Values are never shown.

use std::fmt;

use zeroize::Zeroizing;

/// What every cookie of ours is called first.
const PREFIX: &str = "__Host-";
/// Cookies of ours that are read.
const MAX_COOKIES: usize = 16;
/// Octets of a value of ours.
pub const MAX_VALUE_OCTETS: usize = 512;

/// Our cookies in a request.
#[derive(Clone, Default)]
pub struct Cookies(Vec<(String, Zeroizing<String>)>);

impl Cookies {
    /// Reads one `Cookie` field; HTTP/2 may send several. Others' cookies, and what is none of
    /// ours by its form, are passed over.
    pub fn read(&mut self, field: &str) {
        for cookie in field.split(';') {
            let Some((name, value)) = cookie.trim_matches([' ', '\t']).split_once('=') else {
                continue;
            };
            let Some(name) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if is_value(value) && self.0.len() < MAX_COOKIES {
                self.0
                    .push((name.to_owned(), Zeroizing::new(value.to_owned())));
            }
        }
    }

    /// The value of `__Host-<name>`, if it came exactly once.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = named.next()?;
        named.next().is_none().then_some(value.as_str())
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({})", self.0.len())
    }
}

/// The value of a `Set-Cookie` field: for this browser session, for our host and TLS only, out of
/// reach of scripts. Lax, because Strict would leave out the cookie on the way from a mail's link.
/// `None` if the value has characters that ours never have.
pub fn set(name: &str, value: &str) -> Option<String> {
    (is_value(value) && is_name(name))
        .then(|| format!("{PREFIX}{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"))
}

/// The value of a `Set-Cookie` field that removes a cookie.
pub fn remove(name: &str) -> Option<String> {
    is_name(name)
        .then(|| format!("{PREFIX}{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// Tokens in base64url, and language tags.
fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_VALUE_OCTETS
        && value
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(field: &str) -> Cookies {
        let mut cookies = Cookies::default();
        cookies.read(field);
        cookies
    }

    #[test]
    fn ours_are_read_and_others_passed_over() {
        let cookies =
            read("theme=dark; __Host-session=abc_-1;__Host-lang=de; session=no; junk; =x");
        assert_eq!(cookies.get("session"), Some("abc_-1"));
        assert_eq!(cookies.get("lang"), Some("de"));
        assert_eq!(cookies.get("theme"), None);
        assert_eq!(format!("{cookies:?}"), "Cookies(2)");
    }

    #[test]
    fn a_tossed_or_odd_cookie_has_no_value() {
        assert_eq!(read("__Host-s=a; __Host-s=b").get("s"), None);
        for odd in [
            "__Host-s=",
            "__Host-s=\"a\"",
            "__Host-s=a b",
            "__host-s=a",
            "__Host-s=é",
        ] {
            assert_eq!(read(odd).get("s"), None, "{odd}");
        }
        let long = format!("__Host-s={}", "a".repeat(MAX_VALUE_OCTETS + 1));
        assert_eq!(read(&long).get("s"), None);
    }

    #[test]
    fn what_is_set_is_for_this_host_only() {
        assert_eq!(
            set("session", "abc").unwrap(),
            "__Host-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert!(remove("session").unwrap().ends_with("; Max-Age=0"));
        for value in ["", "a;Domain=x", "a\r\nb", "a b"] {
            assert_eq!(set("session", value), None, "{value:?}");
        }
        assert_eq!(set("a;b", "x"), None);
    }

    proptest! {
        #[test]
        fn what_is_set_comes_back(name in "[a-z]{1,8}", value in "[A-Za-z0-9_-]{1,64}") {
            let set = set(&name, &value).unwrap();
            let (pair, _) = set.split_once(';').unwrap();
            let cookies = read(pair);
            prop_assert_eq!(cookies.get(&name), Some(value.as_str()));
        }

        #[test]
        fn no_field_upsets_the_reader(field in "\\PC{0,200}") {
            read(&field);
        }
    }
}
