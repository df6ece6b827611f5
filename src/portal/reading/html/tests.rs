//! What comes out is parsed again, as a browser would, and looked at node by node.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeBuilderOpts, TreeSink};
use html5ever::{Attribute, ExpandedName, ParseOpts, QualName, ns, parse_document};
use proptest::prelude::*;
use serde::Deserialize;

use super::super::clean::ELEMENTS;
use super::*;

/// The corpus, which the browser suite loads too.
const PAYLOADS: &str = include_str!("../../../../tests/data/mxss/payloads.json");
/// Elements of the document around the body.
const FRAME: [&str; 7] = ["html", "head", "meta", "title", "link", "body", "div"];

#[derive(Deserialize)]
struct Payload {
    name: String,
    html: String,
}

/// An element, or another node: name, whether it is an HTML one, attributes.
type Seen = (String, bool, Vec<(String, String)>);

/// Notes every node that is made.
#[derive(Default)]
struct Notes(Rc<RefCell<Vec<Seen>>>);

impl Notes {
    fn note(&self, name: QualName, attributes: Vec<Attribute>) -> Rc<QualName> {
        let html = name.ns == ns!(html);
        let attributes = attributes
            .into_iter()
            .map(|it| (it.name.local.to_string(), it.value.to_string()))
            .collect();
        let mut seen = self.0.borrow_mut();
        seen.push((name.local.to_string(), html, attributes));
        Rc::new(name)
    }

    fn other(&self, name: &str) -> Rc<QualName> {
        self.note(QualName::new(None, ns!(), name.into()), Vec::new())
    }
}

impl TreeSink for Notes {
    type Handle = Rc<QualName>;
    type Output = ();
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) {}
    fn parse_error(&self, _: Cow<'static, str>) {}
    fn get_document(&self) -> Rc<QualName> {
        Rc::new(QualName::new(None, ns!(), "#document".into()))
    }
    fn elem_name<'a>(&'a self, target: &'a Rc<QualName>) -> ExpandedName<'a> {
        target.expanded()
    }
    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        _: ElementFlags,
    ) -> Rc<QualName> {
        self.note(name, attributes)
    }
    fn create_comment(&self, _: StrTendril) -> Rc<QualName> {
        self.other("#comment")
    }
    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Rc<QualName> {
        self.other("#pi")
    }
    fn append(&self, _: &Rc<QualName>, _: NodeOrText<Rc<QualName>>) {}
    fn append_based_on_parent_node(
        &self,
        _: &Rc<QualName>,
        _: &Rc<QualName>,
        _: NodeOrText<Rc<QualName>>,
    ) {
    }
    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}
    fn get_template_contents(&self, target: &Rc<QualName>) -> Rc<QualName> {
        Rc::clone(target)
    }
    fn same_node(&self, one: &Rc<QualName>, other: &Rc<QualName>) -> bool {
        Rc::ptr_eq(one, other)
    }
    fn set_quirks_mode(&self, _: QuirksMode) {}
    fn append_before_sibling(&self, _: &Rc<QualName>, _: NodeOrText<Rc<QualName>>) {}
    fn add_attrs_if_missing(&self, target: &Rc<QualName>, attributes: Vec<Attribute>) {
        // Attributes of a second `body` or `html`.
        self.note(QualName::clone(target), attributes);
    }
    fn remove_from_parent(&self, _: &Rc<QualName>) {}
    fn reparent_children(&self, _: &Rc<QualName>, _: &Rc<QualName>) {}
}

/// All nodes of a page.
fn nodes(page: &str, scripting: bool) -> Vec<Seen> {
    let notes = Notes::default();
    let seen = Rc::clone(&notes.0);
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            scripting_enabled: scripting,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    parse_document(notes, options).one(page);
    seen.take()
}

fn made(html: &str) -> CleanHtml {
    let text = html.to_owned();
    let images = [("logo".to_owned(), "cid:logo".to_owned())];
    clean(&[Piece::Html(Text { text, cut: false })], images.into())
}

/// Everything that has to hold of what comes out, whatever went in.
fn check(html: &str) -> Result<(), String> {
    let clean = made(html);
    let again = made(clean.body());
    if unordered(&again.body) != unordered(&clean.body) {
        return Err(format!(
            "not the same twice:\n{}\n{}",
            clean.body, again.body
        ));
    }
    if clean.body.contains("<!") || clean.body.contains("<?") {
        return Err(format!("a comment: {}", clean.body));
    }
    let page = clean.document("en", "x", "/style.css");
    for scripting in [false, true] {
        let seen = nodes(&page, scripting);
        let frame = nodes(&made("").document("en", "x", "/style.css"), scripting);
        let (before, inner) = seen.split_at(frame.len().min(seen.len()));
        if before != frame {
            return Err(format!("the frame is not what it was: {before:?}"));
        }
        for (element, is_html, attributes) in inner {
            if !is_html || !ELEMENTS.contains(&element.as_str()) {
                return Err(format!("<{element}> in {}", clean.body));
            }
            for (name, value) in attributes {
                attribute(element, name, value)?;
            }
        }
    }
    Ok(())
}

/// Without the two attributes that the cleaner sets itself: where they stand among others depends
/// on whether one was taken away. That they are there is checked node by node. Line ends neither:
/// a parser drops the first one in a `pre`.
fn unordered(body: &str) -> String {
    body.replace(" rel=\"noopener noreferrer nofollow\"", "")
        .replace(" target=\"_blank\"", "")
        .replace('\n', "")
}

fn attribute(element: &str, name: &str, value: &str) -> Result<(), String> {
    let digits = |it: char| it.is_ascii_digit() || "%px+-".contains(it);
    let sound = match (element, name) {
        ("a", "href") => {
            let lower = value.to_ascii_lowercase();
            ["https://", "http://", "mailto:", "tel:"]
                .iter()
                .any(|it| lower.starts_with(it))
                && !value.contains(|it: char| it.is_control())
        }
        ("a", "rel") => value == "noopener noreferrer nofollow",
        ("a", "target") => value == "_blank",
        ("img", "src") => {
            value == "cid:logo"
                || ["png", "jpeg", "gif", "webp"]
                    .iter()
                    .any(|it| value.starts_with(&format!("data:image/{it};base64,")))
        }
        (_, "title" | "alt") => !value.contains(|it: char| it.is_control()),
        (
            _,
            "width" | "height" | "border" | "cellpadding" | "cellspacing" | "hspace" | "vspace"
            | "colspan" | "rowspan" | "span" | "size" | "start" | "value",
        ) => value.chars().all(digits) && value.len() <= 8,
        (_, "bgcolor" | "color" | "align" | "valign" | "dir" | "lang" | "type" | "scope") => value
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "#-".contains(it)),
        ("font", "face") | ("time", "datetime") => {
            !value.contains([':', ';', '(', '<', '"']) || name == "datetime"
        }
        (_, "nowrap" | "noshade" | "reversed" | "open") => value.is_empty(),
        _ => false,
    };
    match sound {
        true => Ok(()),
        false => Err(format!("{name}={value:?} of <{element}>")),
    }
}

#[test]
fn the_corpus_comes_out_clean() {
    let payloads: Vec<Payload> = serde_json::from_str(PAYLOADS).unwrap();
    assert!(payloads.len() >= 150, "{}", payloads.len());
    let mut failures = Vec::new();
    for payload in &payloads {
        // Also within what mail is made of.
        for html in [
            payload.html.clone(),
            format!("<table><tr><td>{}</td></tr></table>", payload.html),
            format!("<p><b><a href=https://x.example>{}", payload.html),
            format!("<blockquote><pre>{}", payload.html),
        ] {
            if let Err(why) = check(&html) {
                failures.push(format!("{}: {why}", payload.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_check_can_fail() {
    for body in [
        "<script>x</script>",
        "<p onclick=x>",
        "<svg></svg>",
        "<p style=x>",
    ] {
        let dirty = CleanHtml {
            body: body.to_owned(),
            blocked: 0,
            cut: false,
        };
        let seen = nodes(&dirty.document("en", "x", "/s"), false);
        let bad = seen.iter().any(|(element, is_html, attributes)| {
            let known = ELEMENTS.contains(&element.as_str()) || FRAME.contains(&element.as_str());
            !is_html
                || !known
                || (element == "p"
                    && attributes
                        .iter()
                        .any(|(n, v)| attribute("p", n, v).is_err()))
        });
        assert!(bad, "{body}");
    }
}

#[test]
fn ordinary_mail_stays_readable() {
    let pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
    for (html, expected) in [
        (
            "<p align=center>a <b>b</b></p>",
            "<p align=\"center\">a <b>b</b></p>",
        ),
        (
            "<table width=100% border=0 cellpadding=5 bgcolor=#fff><tr><td colspan=2>x</table>",
            "<table width=\"100%\" border=\"0\" cellpadding=\"5\" bgcolor=\"#fff\"><tbody><tr><td colspan=\"2\">x</td></tr></tbody></table>",
        ),
        (
            "<font color=red face=\"Arial, sans-serif\" size=+1>x</font>",
            "<font color=\"red\" face=\"Arial, sans-serif\" size=\"+1\">x</font>",
        ),
        (
            "<a href='https://x.example/?a=1&b=2'>x</a>",
            "<a href=\"https://x.example/?a=1&amp;b=2\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>",
        ),
        (
            "<img src=cid:logo alt=Logo width=10>",
            "<img src=\"cid:logo\" alt=\"Logo\" width=\"10\">",
        ),
        ("<img src=\"cid:%3Clogo%3E\">", "<img src=\"cid:logo\">"),
        (
            "<img src=https://x.example/i.png alt=Chart>",
            "<img alt=\"Chart\">",
        ),
        (
            "<html><head><title>t</title></head><body bgcolor=red>x</body></html>",
            "x",
        ),
        (
            "<o:p>x</o:p><span class=y style=z>y</span>",
            "x<span>y</span>",
        ),
        ("a&nbsp;&lt;b&gt;", "a&nbsp;&lt;b&gt;"),
        (
            &format!("<img src=\"{pixel}\">"),
            &format!("<img src=\"{pixel}\">"),
        ),
    ] {
        assert_eq!(made(html).body(), expected, "{html}");
    }
    assert_eq!(
        made("<img src=https://x.example/i><img src=http://x.example/j>").blocked(),
        2
    );
}

#[test]
fn images_in_addresses_are_few_and_small() {
    use base64::Engine;
    let image = |octets: usize| {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.resize(octets, 0);
        let digits = base64::engine::general_purpose::STANDARD.encode(png);
        format!("<img src=\"data:image/png;base64,{digits}\">")
    };
    let count = |html: &str| made(html).body().matches("src=").count();
    assert_eq!(count(&image(90_000)), 1);
    assert_eq!(count(&image(110_000)), 0);
    assert_eq!(count(&image(60_000).repeat(20)), 13);
}

#[test]
fn pieces_are_put_together_and_bounded() {
    let text = |text: &str| Text {
        text: text.to_owned(),
        cut: false,
    };
    let both = clean(
        &[Piece::Html(text("<b>a")), Piece::Plain(text("<b>\n\"'&"))],
        HashMap::new(),
    );
    assert_eq!(
        both.body(),
        "<b>a</b><div>&lt;b&gt;<br>&quot;&#39;&amp;</div>"
    );
    let fonts: String = (0..200).map(|n| format!("<font size={n}>")).collect();
    let bomb = made(&format!("<p>{fonts}{}", "<p>x".repeat(20_000)));
    assert!(bomb.cut() && bomb.body().len() < MAX_CLEAN_OCTETS);
    let page = both.document("en\"><script>", "</title><script>", "/x\" onload=\"x");
    assert!(!page.contains("<script>") && !page.contains("\" onload"));
}

proptest! {
    #[test]
    fn any_mixture_comes_out_clean(pieces in proptest::collection::vec(prop_oneof![
        Just("<svg>"), Just("</svg>"), Just("<math>"), Just("<mtext>"), Just("<mglyph>"), Just("<style>"),
        Just("</style>"), Just("<table>"), Just("<tr>"), Just("<td>"), Just("</table>"), Just("<p>"), Just("</p>"),
        Just("<a href=\"javascript:x\" title=\""), Just("\">"), Just("<!--"), Just("-->"), Just("<![CDATA["), Just("]]>"),
        Just("<select>"), Just("<option>"), Just("<template>"), Just("<noscript>"), Just("</noscript>"), Just("<form>"),
        Just("<b>"), Just("</b>"), Just("<img src=x onerror=x>"), Just("<title>"), Just("</title>"), Just("<textarea>"),
        Just("<foreignObject>"), Just("<desc>"), Just("<annotation-xml encoding=text/html>"), Just("<plaintext>"),
        Just("<pre>\n"), Just("\n"), Just("<"), Just("&lt;"), Just("&#0;"), Just("\0"), Just("'"), Just("x"),
    ], 0..25)) {
        let html = pieces.concat();
        prop_assert_eq!(check(&html), Ok(()), "{}", html);
    }
}
