//! Reads a page as a strict reader would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const VOID: [&str; 8] = ["meta", "link", "img", "input", "br", "hr", "rect", "path"];
const KNOWN: [&str; 53] = [
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "a",
    "header",
    "div",
    "p",
    "img",
    "span",
    "nav",
    "ul",
    "li",
    "form",
    "input",
    "button",
    "main",
    "footer",
    "h1",
    "h2",
    "label",
    "textarea",
    "select",
    "option",
    "dl",
    "dt",
    "dd",
    "pre",
    "article",
    "section",
    "iframe",
    "time",
    "ol",
    "code",
    "br",
    "svg",
    "rect",
    "path",
    "noscript",
    "b",
    "i",
    "em",
    "strong",
    "table",
    "tr",
    "td",
    "th",
    "blockquote",
    "hr",
    "small",
];

/// An element's opening tag.
struct Tag<'a> {
    name: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
}

fn attributes<'a>(whole: &str, text: &'a str) -> BTreeMap<&'a str, &'a str> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') || matches!(name, "viewBox"),
            "{whole}: {name:?} in {text:?}"
        );
        let value = match behind.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').unwrap();
                rest = after;
                value
            }
            None => {
                assert!(!behind.starts_with('='), "{whole}: {text:?}");
                rest = behind;
                ""
            }
        };
        assert!(found.insert(name, value).is_none(), "{whole}: twice {name}");
        rest = rest.trim_start();
    }
    found
}

fn look_at(page: &str, tag: &Tag<'_>) {
    let name = tag.name;
    assert!(KNOWN.contains(&name), "{page}: <{name}>");
    for (attribute, value) in &tag.attributes {
        assert!(
            !attribute.starts_with("on") && *attribute != "style",
            "{page}: {attribute} on <{name}>"
        );
        let leads = matches!(*attribute, "href" | "src" | "action");
        let ours = value.starts_with('/') && !value.starts_with("//") || value.starts_with('#');
        let text_link = name == "a" && value.starts_with("https://");
        assert!(!leads || ours || text_link, "{page}: {attribute}={value}");
    }
    if name == "script" {
        assert!(
            tag.attributes.contains_key("src"),
            "{page}: a script inline"
        );
    }
    if name == "img" {
        assert!(tag.attributes.contains_key("alt"), "{page}: no alt");
    }
}

/// Panics where a page is not as it must be.
pub(super) fn page(page: &str, html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (mut ids, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    let (mut labelled, mut fields) = (BTreeSet::new(), Vec::new());
    let mut heading = 0;
    let mut text = String::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
    while let Some((before, behind)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{page}: a stray > in {before:?}");
        text.push_str(before);
        let (inner, after) = behind.split_once('>').unwrap();
        rest = after;
        if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{page}");
            continue;
        }
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let (name, attributes_text) = inner.split_once([' ', '\n']).unwrap_or((inner, ""));
        let tag = Tag {
            name,
            attributes: attributes(page, attributes_text),
        };
        look_at(page, &tag);
        let attribute = |name: &str| tag.attributes.get(name).copied();
        if let Some(id) = attribute("id") {
            assert!(ids.insert(id), "{page}: two of {id}");
        }
        for by in ["aria-describedby", "aria-labelledby"] {
            wanted.extend(attribute(by).into_iter().flat_map(str::split_whitespace));
        }
        labelled.extend(attribute("for"));
        // What only password managers read stands outside the page for everybody else.
        let hidden = attribute("type") == Some("hidden") || attribute("aria-hidden").is_some();
        if matches!(name, "input" | "textarea" | "select") && !hidden {
            fields.push(attribute("id").unwrap_or_default());
        }
        if let Some(level) = name.strip_prefix('h').and_then(|n| n.parse::<u32>().ok()) {
            assert!(level <= heading + 1, "{page}: h{level} behind h{heading}");
            assert!(level > 1 || heading == 0, "{page}: a second h1");
            heading = level;
        }
        if !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(
        open.is_empty() && rest.trim().is_empty(),
        "{page}: {open:?}"
    );
    assert!(heading > 0, "{page}: no heading");
    assert!(!text.contains(['{', '}']), "{page}: {text}");
    assert!(wanted.is_subset(&ids), "{page}: {wanted:?} {ids:?}");
    for field in fields {
        assert!(labelled.contains(field), "{page}: {field:?} has no label");
    }
    assert!(html.contains("<main id=\"main\"") && html.contains("lang=\""));
}

/// The sources that name texts: templates and the code beside this.
pub(super) fn sources() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("templates/portal"), root.join("src/portal/site")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains("check") && !name.contains("samples") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn is_key(text: &str) -> bool {
    let groups: BTreeSet<String> = page_keys()
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0.to_owned()))
        .collect();
    let Some((group, rest)) = text.split_once('.') else {
        return false;
    };
    groups.contains(group)
        && !rest.is_empty()
        && rest
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !matches!(rest, "html" | "css" | "js" | "rs" | "toml")
}

/// Every literal that is the key of a text.
pub(super) fn keys(sources: &[String]) -> BTreeSet<String> {
    sources
        .iter()
        .flat_map(|source| source.split('"').skip(1).step_by(1))
        .filter(|literal| literal.len() < 60 && is_key(literal))
        .map(str::to_owned)
        .collect()
}

/// The keys of the portal's pages.
pub(super) fn page_keys() -> Vec<String> {
    let table: BTreeMap<String, String> =
        toml::from_str(include_str!("../../../locale/pages/en.toml")).unwrap();
    table.into_keys().collect()
}

/// Keys that are put together from parts.
pub(super) fn made_up(key: &str) -> bool {
    key.starts_with("month.")
        || key.starts_with("error.")
        || key.ends_with(".title")
        || key.ends_with(".button")
}
