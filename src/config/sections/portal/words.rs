//! The values of `[portal]` that no other section has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::super::super::problem::At;
use super::super::super::reader::Wrong;
use super::super::super::value;
use crate::mail::{Address, Domain, Language};
use crate::world::url::{Host, Scheme, Url};

/// Longest name of an operator, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Longest imprint, in octets.
const MAX_IMPRINT_OCTETS: usize = 4000;
/// Longest refused type, in octets.
const MAX_TYPE_OCTETS: usize = 100;

/// A colour of CSS: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Who is answerable for the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imprint {
    /// On a page elsewhere: `https://`.
    Url(String),
    /// Here, in lines.
    Text(String),
}

/// Where clamd answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// On a Unix socket.
    Unix(PathBuf),
    /// On a host and port.
    Tcp(Host, u16),
}

impl std::fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// With a relative path taken from `base`.
pub(super) fn placed(address: At<ClamdAddress>, base: &Path) -> At<ClamdAddress> {
    At {
        value: match address.value {
            ClamdAddress::Unix(path) => ClamdAddress::Unix(base.join(path)),
            tcp @ ClamdAddress::Tcp(..) => tcp,
        },
        at: address.at,
    }
}

fn text<'v>(value: &'v DeValue<'_>, wanted: &str, example: &str) -> Result<&'v str, Wrong> {
    value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, wanted, example))
}

/// An IP address and port to listen on.
pub(super) fn listen_address(value: &DeValue<'_>) -> Result<std::net::SocketAddr, Wrong> {
    const EXAMPLE: &str = "\"0.0.0.0:443\" or \"[::]:443\"";
    text(value, "an IP address and port", EXAMPLE)?
        .parse()
        .map_err(|_| {
            Wrong::new(
                "is not an IP address and port",
                format!("write it as in {EXAMPLE}"),
            )
        })
}

/// An `https://` URL.
pub(super) fn https(value: &DeValue<'_>) -> Result<Url, Wrong> {
    const EXAMPLE: &str = "\"https://secure.clinic.example\"";
    let text = text(value, "a URL", EXAMPLE)?;
    let mend = || format!("write it as in {EXAMPLE}");
    let url =
        Url::parse(text).map_err(|error| Wrong::new(format!("is no URL: {error}"), mend()))?;
    match url.scheme() {
        Scheme::Https => Ok(url),
        Scheme::Http | Scheme::Ldap | Scheme::Ldaps => Err(Wrong::new(
            "does not begin with https://: what it is for must not be read or changed on its way",
            mend(),
        )),
    }
}

/// An `https://` URL with nothing behind host and port: pages and cookies are those of a whole host.
pub(super) fn origin(value: &DeValue<'_>) -> Result<Url, Wrong> {
    let url = https(value)?;
    if url.target() != "/" {
        return Err(Wrong::new(
            "has a path: the portal is a whole site",
            "give it a host name of its own, as in \"https://secure.clinic.example\"",
        ));
    }
    Ok(url)
}

/// What people read as the operator's name.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::word(value)?;
    if name.chars().count() > MAX_NAME_CHARS || name.trim() != name {
        return Err(Wrong::new(
            format!("is longer than {MAX_NAME_CHARS} characters, or has blanks around it"),
            "write what people know you by",
        ));
    }
    if name.chars().any(is_unseen) {
        return Err(Wrong::new(
            "has characters that cannot be seen, or turn the direction of writing",
            "write it anew, without them",
        ));
    }
    Ok(name)
}

/// Characters that are not seen, but change what is.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One address: no pattern, as accounts may have them.
pub(super) fn one_address(value: &DeValue<'_>) -> Result<Address, Wrong> {
    let address = value::address(value)?;
    if address.to_string().contains('*') {
        return Err(Wrong::new(
            "is a pattern",
            "name each address that outsiders may write to",
        ));
    }
    Ok(address)
}

/// The part of an address before the @.
pub(super) fn local_part(value: &DeValue<'_>) -> Result<String, Wrong> {
    const EXAMPLE: &str = "\"secure-mail\"";
    let text = text(value, "the part of an address before the @", EXAMPLE)?;
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
    match Address::parse(&format!("{text}@example.test")) {
        Ok(_) if plain => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            "is not the part of an address before the @",
            format!("use letters, digits, dots, hyphens, + and _, as in {EXAMPLE}"),
        )),
    }
}

/// A duration, or `never`.
pub(super) fn span_or_never(
    least: Duration,
    most: Duration,
) -> impl Fn(&DeValue<'_>) -> Result<Option<Duration>, Wrong> {
    let span = value::duration(least, most);
    move |value| match value.as_str() {
        Some("never") => Ok(None),
        _ => span(value).map(Some).map_err(|wrong| Wrong {
            mend: format!("{}, or \"never\"", wrong.mend),
            what: wrong.what,
        }),
    }
}

/// A language that there are texts in.
pub(super) fn language(value: &DeValue<'_>) -> Result<Language, Wrong> {
    const LANGUAGES: [(&str, Language); 5] = [
        ("en", Language::En),
        ("es", Language::Es),
        ("de", Language::De),
        ("fr", Language::Fr),
        ("zh", Language::Zh),
    ];
    let lower = value.as_str().map(str::to_ascii_lowercase);
    let known = lower.filter(|lower| LANGUAGES.iter().any(|(word, _)| word == lower));
    match known {
        Some(word) => value::one_of(&LANGUAGES)(&DeValue::String(word.into())),
        None => value::one_of(&LANGUAGES)(value),
    }
}

/// A key of `portal.languages`.
pub(super) fn domain(name: &str) -> Result<Domain, Wrong> {
    Domain::from_unicode(name).map_err(|error| {
        Wrong::new(
            format!("is of no domain: {error}"),
            "write it as in \"example.de\" = \"de\"",
        )
    })
}

/// `#rrggbb`.
pub(super) fn colour(value: &DeValue<'_>) -> Result<Colour, Wrong> {
    const EXAMPLE: &str = "\"#0b5cad\"";
    let text = text(value, "a colour", EXAMPLE)?;
    let wrong = || Wrong::new("is no colour", format!("write it as in {EXAMPLE}"));
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let number = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
    let [_, red, green, blue] = number.to_be_bytes();
    Ok(Colour([red, green, blue]))
}

/// A page elsewhere, or lines of text.
pub(super) fn imprint(value: &DeValue<'_>) -> Result<Imprint, Wrong> {
    const EXAMPLE: &str = "\"https://clinic.example/imprint\"";
    let text = text(value, "a URL or a text", EXAMPLE)?;
    if text.starts_with("http://") || text.starts_with("https://") {
        https(value)?;
        return Ok(Imprint::Url(text.to_owned()));
    }
    if is_link(text) {
        return Err(Wrong::new(
            "is a link that does not begin with https://",
            format!("name a page, as in {EXAMPLE}, or write lines of text"),
        ));
    }
    let control = |c: char| c.is_control() && c != '\n';
    if text.trim().is_empty() || text.len() > MAX_IMPRINT_OCTETS || text.chars().any(control) {
        return Err(Wrong::new(
            format!("is empty, longer than {MAX_IMPRINT_OCTETS} octets, or has control characters"),
            format!("write it in lines of text, or name a page, as in {EXAMPLE}"),
        ));
    }
    Ok(Imprint::Text(text.to_owned()))
}

/// Whether a text would be a link: a scheme (RFC 3986 §3.1), with no blank behind it.
fn is_link(text: &str) -> bool {
    let Some((scheme, behind)) = text.trim().split_once(':') else {
        return false;
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    scheme.len() > 1 && scheme.bytes().all(fits) && behind.starts_with(|c: char| !c.is_whitespace())
}

/// The end of a file's name, or a type.
pub(super) fn refused_type(value: &DeValue<'_>) -> Result<String, Wrong> {
    const EXAMPLE: &str =
        "\"iso\" for the end of a name, or \"application/zip\" or \"video/*\" for a type";
    let text = text(value, "a kind of file", EXAMPLE)?.to_ascii_lowercase();
    let token = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !part.is_empty() && part.bytes().all(fits)
    };
    let wrong = || Wrong::new("is no kind of file", format!("write it as in {EXAMPLE}"));
    if text.len() > MAX_TYPE_OCTETS {
        return Err(wrong());
    }
    match text.split_once('/') {
        Some((whole, part)) if token(whole) && (token(part) || part == "*") => Ok(text),
        None if token(&text) && !text.contains('.') => Ok(text),
        _ => Err(wrong()),
    }
}

/// Where clamd answers.
pub(super) fn clamd(value: &DeValue<'_>) -> Result<ClamdAddress, Wrong> {
    const EXAMPLE: &str = "\"unix:/run/clamav/clamd.ctl\" or \"127.0.0.1:3310\"";
    let text = text(value, "the place of clamd", EXAMPLE)?;
    let wrong = || {
        Wrong::new(
            "is neither a Unix socket nor a host and port",
            format!("write it as in {EXAMPLE}"),
        )
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.is_empty() || path.contains('\0') {
            true => Err(wrong()),
            false => Ok(ClamdAddress::Unix(PathBuf::from(path))),
        };
    }
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    // Host and port as in a URL, so that both are read by one rule.
    match Url::parse(&format!("http://{text}")) {
        Ok(url) if has_port && url.target() == "/" && !text.ends_with('/') => {
            Ok(ClamdAddress::Tcp(url.host().clone(), url.port()))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> DeValue<'_> {
        DeValue::String(text.into())
    }

    #[test]
    fn clamd_is_a_socket_or_a_host_and_port() {
        for text in [
            "unix:/run/clamd.ctl",
            "127.0.0.1:3310",
            "[::1]:3310",
            "clamd.test:3310",
        ] {
            let read = clamd(&string(text)).unwrap();
            assert_eq!(read.to_string(), text);
        }
        for text in [
            "",
            "unix:",
            "clamd.test",
            "clamd.test:",
            "a b:1",
            "h:0",
            "h:70000",
            "h:1/x",
            "[::1]",
        ] {
            assert!(clamd(&string(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_of_files_are_ends_of_names_and_types() {
        let read = |text| refused_type(&string(text));
        assert_eq!(read("ISO"), Ok("iso".to_owned()));
        assert_eq!(read("video/*"), Ok("video/*".to_owned()));
        for text in ["", ".iso", "a/b/c", "*/zip", "a b", "tar.gz", "/x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn colours_are_six_digits() {
        let read = |text| colour(&string(text)).map(|colour| colour.to_string());
        assert_eq!(read("#0B5cad"), Ok("#0b5cad".to_owned()));
        for text in ["", "#123", "0b5cad", "#0b5cag", "red", "#+b5cad"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_url_is_a_whole_host_over_tls() {
        let good = ["https://secure.clinic.example", "https://127.0.0.1:8443/"];
        assert!(good.iter().all(|text| origin(&string(text)).is_ok()));
        for text in [
            "http://secure.clinic.example",
            "https://h.example/portal",
            "secure",
            "ftp://x",
        ] {
            assert!(origin(&string(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn an_imprint_is_a_page_over_tls_or_a_text() {
        let read = |text: &str| imprint(&string(text));
        let page = "https://clinic.example/imprint";
        assert_eq!(read(page), Ok(Imprint::Url(page.to_owned())));
        for text in ["Clinic: West Road 1", "Clinic West\nTel.: 030"] {
            assert_eq!(read(text), Ok(Imprint::Text(text.to_owned())), "{text}");
        }
        for text in [
            "javascript:alert(1)",
            " JavaScript:x",
            "data:text/html,x",
            "http://clinic.example",
            "HTTPS://clinic.example",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_what_they_look_like() {
        assert_eq!(
            name(&string("Dr. Roe & Söhne")),
            Ok("Dr. Roe & Söhne".to_owned())
        );
        for text in ["a\u{202e}b", "a\u{200b}b", "a\nb", " a", "a\u{2066}"] {
            assert!(name(&string(text)).is_err(), "{text:?}");
        }
        assert!(name(&string(&"a".repeat(81))).is_err());
    }

    #[test]
    fn languages_are_known_in_any_case() {
        assert_eq!(language(&string("DE")), Ok(Language::De));
        assert_eq!(language(&string("zh")), Ok(Language::Zh));
        assert!(language(&string("NL")).is_err());
    }

    #[test]
    fn a_notice_comes_from_a_plain_local_part() {
        assert_eq!(
            local_part(&string("secure-mail")),
            Ok("secure-mail".to_owned())
        );
        for text in ["", "a@b", "\"a b\"", ".a", "a..b", "ü"] {
            assert!(local_part(&string(text)).is_err(), "{text}");
        }
    }
}
