//! Whether an SVG picture is a picture alone.
//!
//! Owns the judgement of an operator's logo. Refused is what could run, and what would have a browser
//! ask anybody else: the pages' own rules would stop both, but a file that has them is not what its
//! operator thinks it is. No DTD is read and no entity expanded.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Elements that are more than a picture. What animates can set any attribute, and so a link.
const REFUSED: [&str; 12] = [
    "script",
    "foreignobject",
    "iframe",
    "object",
    "embed",
    "audio",
    "video",
    "handler",
    "listener",
    "set",
    "animate",
    "animatetransform",
];

/// What else than a picture an SVG file is; `None` where it is nothing else.
pub(super) fn fault(octets: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(octets) else {
        return Some("is no XML in UTF-8".to_owned());
    };
    let mut reader = Reader::from_str(text);
    let mut is_svg = false;
    let mut in_style = false;
    let mut open = 0_usize;
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(_) => return Some("is no XML that can be read".to_owned()),
        };
        let bad = match event {
            Event::Start(start) => {
                open += 1;
                in_style = name_of(&start) == "style";
                is_svg |= name_of(&start) == "svg";
                element(&start)
            }
            Event::Empty(start) => {
                is_svg |= name_of(&start) == "svg";
                element(&start)
            }
            Event::Text(text) if in_style => style(&text),
            Event::CData(text) if in_style => style(&text),
            Event::GeneralRef(_) if in_style => Some("writes its style with references".to_owned()),
            Event::End(_) => {
                open = open.saturating_sub(1);
                in_style = false;
                None
            }
            Event::PI(instruction) => {
                let name = instruction.to_ascii_lowercase();
                name.starts_with("xml-stylesheet")
                    .then(|| "loads a style sheet".to_owned())
            }
            Event::DocType(kind) => kind.contains('[').then(|| "defines entities".to_owned()),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_) => None,
        };
        if bad.is_some() {
            return bad;
        }
    }
    if open > 0 {
        return Some("is no XML that can be read".to_owned());
    }
    (!is_svg).then(|| "has no <svg> element".to_owned())
}

fn name_of(start: &BytesStart<'_>) -> String {
    start.local_name().into_inner().to_ascii_lowercase()
}

fn element(start: &BytesStart<'_>) -> Option<String> {
    let name = name_of(start);
    if REFUSED.contains(&name.as_str()) {
        return Some(format!("has a <{name}> element"));
    }
    for attribute in start.attributes() {
        let Ok(attribute) = attribute else {
            return Some(format!("has a <{name}> element that cannot be read"));
        };
        let key = attribute.key.local_name().into_inner().to_ascii_lowercase();
        let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) else {
            return Some(format!("has a {key} attribute that cannot be read"));
        };
        let bad = match key.as_str() {
            key if key.starts_with("on") => Some(format!("has an {key} attribute")),
            "href" | "src" => {
                (!stays(&value)).then(|| format!("refers to something else by {key}"))
            }
            _ => style(&value),
        };
        if bad.is_some() {
            return bad;
        }
    }
    None
}

/// Whether a reference leads to the picture itself, or holds another one.
fn stays(target: &str) -> bool {
    let target = target.trim().to_ascii_lowercase();
    let inside = ["png", "jpeg", "jpg", "gif", "webp"];
    target.starts_with('#')
        || target
            .strip_prefix("data:image/")
            .is_some_and(|kind| inside.iter().any(|it| kind.starts_with(it)))
}

/// What CSS, and attributes that are read like it, would load.
fn style(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    // An escape could spell any of the words below.
    if text.contains("@import") || text.contains("javascript:") {
        return Some("loads or runs something by its style".to_owned());
    }
    let mut rest = text.as_str();
    while let Some((_, behind)) = rest.split_once("url(") {
        let target = behind.trim_start().trim_start_matches(['"', '\'']);
        if !stays(target) {
            return Some("refers to something else by its style".to_owned());
        }
        rest = behind;
    }
    let spelt = text.contains('\\') && (text.contains('(') || text.contains('@'));
    spelt.then(|| "has escapes in its style".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inside: &str) -> Option<String> {
        fault(format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{inside}</svg>").as_bytes())
    }

    #[test]
    fn pictures_are_taken() {
        for inside in [
            "<path d=\"M0 0h8v8z\" fill=\"#07c\"/>",
            "<defs><linearGradient id=\"a\"/></defs><rect fill=\"url(#a)\"/><use href=\"#b\"/>",
            "<style>.a { fill: url('#a'); }</style><g class=\"a\"/>",
            "<image href=\"data:image/png;base64,AAAA\"/>",
        ] {
            assert_eq!(svg(inside), None, "{inside}");
        }
        let head =
            "<?xml version=\"1.0\"?><!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x.dtd\">";
        assert_eq!(fault(format!("{head}<svg/>").as_bytes()), None);
    }

    #[test]
    fn what_runs_or_asks_elsewhere_is_refused() {
        for inside in [
            "<script>alert(1)</script>",
            "<SCRIPT/>",
            "<s:script xmlns:s=\"http://www.w3.org/2000/svg\"/>",
            "<g onload=\"x()\"/>",
            "<g ONCLICK='x()'/>",
            "<foreignObject><p>x</p></foreignObject>",
            "<image href=\"https://tracker.example/a.png\"/>",
            "<image xlink:href=\"//tracker.example/a.png\"/>",
            "<image href=\"data:image/svg+xml,x\"/>",
            "<a href=\" JavaScript:x()\"/>",
            "<a href=\"java&#115;cript:x()\"/>",
            "<a><set attributeName=\"href\" to=\"javascript:x()\"/></a>",
            "<rect fill=\"url(https://tracker.example/a)\"/>",
            "<rect style=\"fill:u\\72l(https://tracker.example/a)\"/>",
            "<style>@import 'https://tracker.example/a.css';</style>",
            "<style><![CDATA[.a{fill:url( \"//tracker.example\" )}]]></style>",
            "<g",
            "</g>",
        ] {
            assert!(svg(inside).is_some(), "{inside}");
        }
        for whole in [
            "<?xml-stylesheet href=\"https://tracker.example/a.css\"?><svg/>",
            "<!DOCTYPE svg [<!ENTITY a \"b\">]><svg/>",
            "<?xml version=\"1.0\"?><html/>",
            "",
        ] {
            assert!(fault(whole.as_bytes()).is_some(), "{whole}");
        }
        assert!(fault(b"<svg>\xff</svg>").is_some());
    }
}
