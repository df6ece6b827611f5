//! How much of an HTML text can be parsed without a page of a few kilobytes becoming a tree of
//! gigabytes: the parser makes open formatting elements anew in every paragraph, attributes and
//! all, and walks over all open elements for many an end tag.
//!
//! Runs the same parser over the text with a tree that only counts, a little at a time, and says
//! how long the part is that stays within bounds.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use html5ever::driver::parse_fragment;
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::{Attribute, ExpandedName, QualName, ns};

/// Most nodes of a tree.
const MAX_NODES: usize = 100_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 300;
/// Most octets of all attributes of all elements, those that are made anew among them.
const MAX_ATTRIBUTE_OCTETS: usize = 4 * 1024 * 1024;
/// Octets between two looks at the counts.
const STEP: usize = 256;

#[derive(Debug, Default)]
struct Counts {
    nodes: Cell<usize>,
    deepest: Cell<usize>,
    octets: Cell<usize>,
}

impl Counts {
    fn within(&self) -> bool {
        self.nodes.get() <= MAX_NODES
            && self.deepest.get() <= MAX_DEPTH
            && self.octets.get() <= MAX_ATTRIBUTE_OCTETS
    }
}

/// The beginning of `html` that can be parsed; all of it, as a rule.
pub(super) fn affordable(html: &str) -> &str {
    let counts = Rc::new(Counts::default());
    let sink = CountingSink {
        counts: Rc::clone(&counts),
        document: Rc::new(Node::new(name("#document"))),
    };
    let mut parser = parse_fragment(sink, Default::default(), name("div"), Vec::new(), false);
    let mut at = 0;
    while at < html.len() {
        let end = html.ceil_char_boundary((at + STEP).min(html.len()));
        let piece = html.get(at..end).unwrap_or_default();
        parser.process(StrTendril::from(piece));
        if !counts.within() {
            return html.get(..at).unwrap_or_default();
        }
        at = end;
    }
    html
}

fn name(local: &str) -> QualName {
    QualName::new(None, ns!(html), local.into())
}

/// An element as far as the parser asks for it.
struct Node {
    name: QualName,
    depth: Cell<usize>,
}

impl Node {
    fn new(name: QualName) -> Self {
        Self {
            name,
            depth: Cell::new(0),
        }
    }
}

struct CountingSink {
    counts: Rc<Counts>,
    document: Rc<Node>,
}

impl CountingSink {
    fn node(&self, name: QualName, octets: usize) -> Rc<Node> {
        let counts = &self.counts;
        counts.nodes.set(counts.nodes.get() + 1);
        counts
            .octets
            .set(counts.octets.get().saturating_add(octets));
        Rc::new(Node::new(name))
    }

    fn put(&self, parent: &Rc<Node>, child: &NodeOrText<Rc<Node>>) {
        if let NodeOrText::AppendNode(child) = child {
            let depth = parent.depth.get().saturating_add(1);
            child.depth.set(depth);
            let counts = &self.counts;
            counts.deepest.set(counts.deepest.get().max(depth));
        }
    }
}

impl TreeSink for CountingSink {
    type Handle = Rc<Node>;
    type Output = ();
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) {}

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Rc<Node> {
        Rc::clone(&self.document)
    }

    fn elem_name<'a>(&'a self, target: &'a Rc<Node>) -> ExpandedName<'a> {
        target.name.expanded()
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        _: ElementFlags,
    ) -> Rc<Node> {
        let octets = attributes
            .iter()
            .map(|it| it.value.len() + it.name.local.len());
        self.node(name, octets.sum())
    }

    fn create_comment(&self, _: StrTendril) -> Rc<Node> {
        self.node(name("#comment"), 0)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Rc<Node> {
        self.node(name("#pi"), 0)
    }

    fn append(&self, parent: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        self.put(parent, &child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Rc<Node>,
        _: &Rc<Node>,
        child: NodeOrText<Rc<Node>>,
    ) {
        self.put(element, &child);
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Rc<Node>) -> Rc<Node> {
        Rc::clone(target)
    }

    fn same_node(&self, one: &Rc<Node>, other: &Rc<Node>) -> bool {
        Rc::ptr_eq(one, other)
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        self.put(sibling, &child);
    }

    fn add_attrs_if_missing(&self, _: &Rc<Node>, attributes: Vec<Attribute>) {
        let octets: usize = attributes.iter().map(|it| it.value.len()).sum();
        let counts = &self.counts;
        counts
            .octets
            .set(counts.octets.get().saturating_add(octets));
    }

    fn remove_from_parent(&self, _: &Rc<Node>) {}

    fn reparent_children(&self, _: &Rc<Node>, _: &Rc<Node>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_pages_are_taken_whole() {
        let row = "<tr><td><b>a</b> <a href=\"https://x.example/\">b</a></td></tr>";
        let page = format!("<table>{}</table>", row.repeat(5000));
        assert_eq!(affordable(&page), page);
        let nested = "<table><tr><td>".repeat(50);
        assert_eq!(affordable(&nested), nested);
        assert_eq!(affordable(""), "");
    }

    #[test]
    fn bombs_are_cut() {
        let fonts: String = (0..200).map(|n| format!("<font size={n}>")).collect();
        let long = "x".repeat(100_000);
        for bomb in [
            format!("<p>{fonts}{}", "<p>x".repeat(20_000)),
            format!("<p><b title={long}>{}", "<p>x".repeat(10_000)),
            "<div>".repeat(200_000),
            "<b>\u{e4}".repeat(200_000),
            format!("{}{}", "<div>".repeat(50_000), "</p>".repeat(50_000)),
            "<table>".repeat(150_000),
            "<a><svg><math>".repeat(50_000),
            "<!-- -->".repeat(200_000),
        ] {
            let kept = affordable(&bomb);
            assert!(kept.len() < bomb.len() && bomb.starts_with(kept));
        }
    }
}
