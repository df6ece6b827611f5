//! Which parts of a message are its text, and which are attachments (RFC 2046 §5.1, RFC 2387,
//! RFC 1847, RFC 2183).

use super::entity::{Disposition, Grouping, Leaf, Node};
use super::letter::Note;

/// A piece of the body: one of the two, or both where they say the same.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub plain: Vec<Leaf>,
    pub html: Vec<Leaf>,
}

/// The message, taken apart. Attachments stand in the order of the message.
#[derive(Debug, Default)]
pub(super) struct Arranged {
    pub blocks: Vec<Block>,
    pub attachments: Vec<(Leaf, Option<Note>)>,
}

/// Takes a message apart.
pub(super) fn arrange(node: Node) -> Arranged {
    let mut arranged = Arranged::default();
    arranged.take(node);
    // Alternatives that are not shown were moved behind.
    arranged
        .attachments
        .sort_by_key(|(leaf, _)| leaf.body.start);
    arranged
}

impl Arranged {
    fn take(&mut self, node: Node) {
        match node {
            Node::Leaf(leaf) => self.leaf(leaf),
            Node::Group(Grouping::Mixed, parts) => parts.into_iter().for_each(|it| self.take(it)),
            Node::Group(Grouping::Alternative, parts) => self.alternative(parts),
            Node::Group(Grouping::Related, parts) => {
                let mut parts = parts.into_iter();
                parts.next().into_iter().for_each(|root| self.take(root));
                parts.for_each(|it| self.attach_all(it, None));
            }
            Node::Group(Grouping::Signed, parts) => {
                let mut parts = parts.into_iter();
                parts.next().into_iter().for_each(|root| self.take(root));
                parts.for_each(|it| self.attach_all(it, Some(Note::Signature)));
            }
            Node::Group(Grouping::Encrypted, parts) => parts
                .into_iter()
                .for_each(|it| self.attach_all(it, Some(Note::Encrypted))),
        }
    }

    fn leaf(&mut self, leaf: Leaf) {
        let shown = leaf.disposition != Disposition::Attachment && leaf.name.is_none();
        match leaf.kind.as_str() {
            "text/plain" if shown => self.blocks.push(Block {
                plain: vec![leaf],
                html: Vec::new(),
            }),
            "text/html" if shown => self.blocks.push(Block {
                plain: Vec::new(),
                html: vec![leaf],
            }),
            _ => {
                let note = note(&leaf.kind);
                self.attachments.push((leaf, note));
            }
        }
    }

    fn attach_all(&mut self, node: Node, why: Option<Note>) {
        match node {
            Node::Leaf(leaf) => {
                let note = why.or_else(|| note(&leaf.kind));
                self.attachments.push((leaf, note));
            }
            Node::Group(_, parts) => parts.into_iter().for_each(|it| self.attach_all(it, why)),
        }
    }

    /// The first plain text and the last HTML stand for all; what else there is to read is kept as
    /// attachments, so that nothing is lost.
    fn alternative(&mut self, parts: Vec<Node>) {
        let mut both = Block::default();
        let mut spare = Vec::new();
        for part in parts {
            let mut inner = Self::default();
            inner.take(part);
            self.attachments.append(&mut inner.attachments);
            let (mut plain, mut html) = (Vec::new(), Vec::new());
            for block in inner.blocks {
                plain.extend(block.plain);
                html.extend(block.html);
            }
            // One with both, such as text and HTML in turns, is shown by its HTML.
            if !html.is_empty() {
                spare.append(&mut both.html);
                both.html = html;
                spare.append(&mut plain);
            } else if both.plain.is_empty() {
                both.plain = plain;
            } else {
                spare.append(&mut plain);
            }
        }
        let spare = spare.into_iter().map(|leaf| (leaf, None));
        self.attachments.extend(spare);
        if !both.plain.is_empty() || !both.html.is_empty() {
            self.blocks.push(both);
        }
    }
}

/// What has to be said of parts that other programs than ours open.
fn note(kind: &str) -> Option<Note> {
    match kind {
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => Some(Note::Encrypted),
        "application/pgp-encrypted" => Some(Note::Encrypted),
        "application/pkcs7-signature"
        | "application/x-pkcs7-signature"
        | "application/pgp-signature" => Some(Note::Signature),
        "application/ms-tnef" | "application/vnd.ms-tnef" => Some(Note::Tnef),
        "message/rfc822" | "message/global" => Some(Note::Message),
        _ => None,
    }
}
