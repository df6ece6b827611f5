//! The allow-list of HTML: elements, attributes, and what may stand in each of them.
//!
//! Not there at all: scripts, styles in any form, SVG, MathML, forms, frames, embedded objects,
//! `link`, `meta`, `base`; identifiers and classes; any address that something is loaded from, but
//! images that the message itself brings. What is not known is not allowed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ammonia::{Builder, UrlRelative};

use super::kind::Raster;
use super::transfer::Transfer;

/// Elements that are kept. Others go, and what they hold stays, but for [`EMPTIED`].
pub(super) const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];
/// Elements that go with all that they hold: it is no text, or is read in another way than it is
/// parsed here.
const EMPTIED: &[&str] = &[
    "script",
    "style",
    "title",
    "template",
    "noscript",
    "noembed",
    "noframes",
    "iframe",
    "frame",
    "frameset",
    "object",
    "embed",
    "applet",
    "param",
    "svg",
    "math",
    "xmp",
    "plaintext",
    "listing",
    "textarea",
    "select",
    "option",
    "optgroup",
    "datalist",
    "audio",
    "video",
    "source",
    "track",
    "canvas",
    "map",
    "area",
    "portal",
    "slot",
    "link",
    "meta",
    "base",
    "head",
    "bgsound",
    "keygen",
    "dialog",
    "xml",
];
/// Attributes of every element.
const GENERIC: &[&str] = &["dir", "lang", "title", "align", "valign"];
/// Attributes of some elements.
const SPECIAL: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    (
        "img",
        &[
            "src", "alt", "width", "height", "border", "hspace", "vspace",
        ],
    ),
    (
        "table",
        &[
            "width",
            "height",
            "border",
            "cellpadding",
            "cellspacing",
            "bgcolor",
        ],
    ),
    ("thead", &["bgcolor"]),
    ("tbody", &["bgcolor"]),
    ("tfoot", &["bgcolor"]),
    ("tr", &["bgcolor", "height"]),
    (
        "td",
        &["width", "height", "bgcolor", "colspan", "rowspan", "nowrap"],
    ),
    (
        "th",
        &[
            "width", "height", "bgcolor", "colspan", "rowspan", "nowrap", "scope",
        ],
    ),
    ("col", &["width", "span"]),
    ("colgroup", &["width", "span"]),
    ("font", &["color", "face", "size"]),
    ("hr", &["width", "size", "color", "noshade"]),
    ("ol", &["start", "type", "reversed"]),
    ("ul", &["type"]),
    ("li", &["type", "value"]),
    ("details", &["open"]),
    ("time", &["datetime"]),
];
/// Schemes of links.
const LINKS: &[&str] = &["https://", "http://", "mailto:", "tel:"];

/// Longest address of a link.
const MAX_LINK_OCTETS: usize = 2048;
/// Longest text of an attribute.
const MAX_ATTRIBUTE_CHARS: usize = 500;
/// Largest image that an address may hold itself.
const MAX_DATA_IMAGE: usize = 128 * 1024;
/// All of them together.
const MAX_DATA_IMAGES: usize = 1024 * 1024;

/// The paths of the images that the message brings, by their Content-ID.
pub(super) type Images = Arc<HashMap<String, String>>;

/// What cleaning met.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Images elsewhere, which are not loaded.
    pub remote: AtomicUsize,
    data: AtomicUsize,
}

/// `html` with what is allowed, well formed: every tag closed, every attribute in double quotes.
pub(super) fn scrub(html: &str, images: &Images, tally: &Arc<Tally>) -> String {
    let mut builder = Builder::empty();
    let special = SPECIAL.iter().map(|(element, names)| {
        let names: HashSet<&str> = names.iter().copied().collect();
        (*element, names)
    });
    let (images, tally) = (Arc::clone(images), Arc::clone(tally));
    builder
        .tags(ELEMENTS.iter().copied().collect())
        .clean_content_tags(EMPTIED.iter().copied().collect())
        .generic_attributes(GENERIC.iter().copied().collect())
        .tag_attributes(special.collect())
        .url_schemes(["http", "https", "mailto", "tel", "cid", "data"].into())
        // Paths of our own are put in by the filter, which takes none from outside.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .strip_comments(true)
        .attribute_filter(move |element, name, value| {
            attribute(element, name, value, &images, &tally)
        });
    builder.clean(html).to_string()
}

/// What stands in an attribute of the allow-list; `None` takes the attribute away.
fn attribute<'a>(
    element: &str,
    name: &str,
    value: &'a str,
    images: &Images,
    tally: &Tally,
) -> Option<Cow<'a, str>> {
    let trimmed = value.trim();
    let kept = |sound: bool| sound.then_some(Cow::Borrowed(trimmed));
    match (element, name) {
        // These two are set by the cleaner itself.
        ("a", "rel") => kept(value == "noopener noreferrer nofollow"),
        ("a", "target") => kept(value == "_blank"),
        ("a", "href") => kept(is_link(trimmed)),
        ("img", "src") => image(trimmed, images, tally).map(Cow::Owned),
        (_, "title" | "alt") => Some(Cow::Owned(words(value))),
        (_, "lang") => kept(is_plain(trimmed, "-")),
        (_, "dir") => kept(is_one_of(trimmed, &["ltr", "rtl", "auto"])),
        (_, "align" | "valign") => {
            let words = [
                "left", "right", "center", "justify", "top", "middle", "bottom", "baseline",
            ];
            kept(is_one_of(trimmed, &words))
        }
        (_, "width" | "height") => kept(is_length(trimmed)),
        (
            _,
            "border" | "cellpadding" | "cellspacing" | "hspace" | "vspace" | "colspan" | "rowspan"
            | "span",
        ) => kept(is_number(trimmed, 3)),
        ("font", "size") => kept(is_number(trimmed.trim_start_matches(['+', '-']), 1)),
        ("hr", "size") => kept(is_number(trimmed, 3)),
        ("ol", "start") | ("li", "value") => kept(is_number(trimmed.trim_start_matches('-'), 6)),
        (_, "bgcolor" | "color") => kept(is_colour(trimmed)),
        ("font", "face") => kept(is_plain(trimmed, " ,-'")),
        ("ol" | "ul" | "li", "type") => kept(is_plain(trimmed, "")),
        ("th", "scope") => kept(is_one_of(trimmed, &["row", "col", "rowgroup", "colgroup"])),
        ("time", "datetime") => kept(is_plain(trimmed, "-:+. ")),
        (_, "nowrap" | "noshade" | "reversed" | "open") => Some(Cow::Borrowed("")),
        _ => None,
    }
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Letters, digits and `more`, not many.
fn is_plain(text: &str, more: &str) -> bool {
    let letters = |it: char| it.is_ascii_alphanumeric() || more.contains(it);
    !text.is_empty() && text.len() <= 100 && text.chars().all(letters)
}

fn is_number(text: &str, digits: usize) -> bool {
    !text.is_empty() && text.len() <= digits && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_length(text: &str) -> bool {
    match text.strip_suffix('%') {
        Some(share) => is_number(share, 3),
        None => is_number(text.strip_suffix("px").unwrap_or(text), 4),
    }
}

fn is_colour(text: &str) -> bool {
    match text.strip_prefix('#') {
        Some(digits) => {
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|it| it.is_ascii_hexdigit())
        }
        None => {
            text.len() <= 24 && !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphabetic())
        }
    }
}

fn is_link(url: &str) -> bool {
    let known = LINKS.iter().any(|scheme| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    known && url.len() <= MAX_LINK_OCTETS && !url.chars().any(|it| it.is_control() || it == '\\')
}

/// Text of an attribute on one line, bounded.
fn words(value: &str) -> String {
    super::name::line(value, MAX_ATTRIBUTE_CHARS)
}

/// Where an image is shown from, if at all.
fn image(url: &str, images: &Images, tally: &Tally) -> Option<String> {
    if let Some(id) = strip_scheme(url, "cid:") {
        let plain = percent_encoding::percent_decode_str(id).decode_utf8();
        let plain = plain.ok()?;
        return images.get(plain.trim_matches(['<', '>'])).cloned();
    }
    if let Some(rest) = strip_scheme(url, "data:") {
        return data_image(rest, tally);
    }
    if url.starts_with("//") || strip_scheme(url, "http").is_some() {
        tally.remote.fetch_add(1, Ordering::Relaxed);
    }
    None
}

fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let start = url.get(..scheme.len())?;
    let same = start.eq_ignore_ascii_case(scheme);
    same.then(|| url.get(scheme.len()..)).flatten()
}

/// A small image that the address itself holds: only if it is what it claims to be.
fn data_image(rest: &str, tally: &Tally) -> Option<String> {
    let (kind, octets) = rest.split_once(";base64,")?;
    let digits = |it: u8| it.is_ascii_alphanumeric() || b"+/=".contains(&it);
    if octets.len() > MAX_DATA_IMAGE || !octets.bytes().all(digits) {
        return None;
    }
    let before = tally.data.fetch_add(octets.len(), Ordering::Relaxed);
    if before.saturating_add(octets.len()) > MAX_DATA_IMAGES {
        return None;
    }
    let raster = Raster::of(&Transfer::Base64.decode(octets.as_bytes()))?;
    kind.eq_ignore_ascii_case(raster.media_type())
        .then(|| format!("data:{};base64,{octets}", raster.media_type()))
}
