//! Which messages belong to one conversation (RFC 5322 §3.6.4).
//!
//! Only by Message-ID, References and In-Reply-To: a subject says nothing, and would let a stranger
//! put a message into somebody's conversation.

use std::collections::HashMap;

/// Longest id that is taken, with its brackets.
pub(super) const MAX_ID_OCTETS: usize = 250;
/// Most ids of a References field: the first, which names the conversation, and the last ones.
pub(super) const MAX_REFERENCES: usize = 20;

/// How a message is tied to others. Ids are written `<left@right>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identifiers {
    /// Its own id.
    pub message_id: Option<String>,
    /// What it answers.
    pub in_reply_to: Option<String>,
    /// The conversation so far, oldest first.
    pub references: Vec<String>,
}

impl Identifiers {
    /// What all messages of a conversation agree on as far as each of them knows its beginning:
    /// the oldest id that it names. `None` for a message without any id.
    pub fn conversation(&self) -> Option<&str> {
        let named = self.references.first().or(self.in_reply_to.as_ref());
        named.or(self.message_id.as_ref()).map(String::as_str)
    }

    /// The References field of an answer: what the message itself names, and the message.
    pub fn references_of_answer(&self) -> Vec<String> {
        let mut all = self.references.clone();
        if all.is_empty() {
            all.extend(self.in_reply_to.clone());
        }
        all.extend(self.message_id.clone());
        all.dedup();
        bound(all)
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let own = self.message_id.iter().chain(&self.in_reply_to);
        own.chain(&self.references).map(String::as_str)
    }
}

/// The first and the last of `ids`, [`MAX_REFERENCES`] together.
fn bound(mut ids: Vec<String>) -> Vec<String> {
    if ids.len() > MAX_REFERENCES {
        let surplus = ids.len() - MAX_REFERENCES;
        ids.drain(1..=surplus);
    }
    ids
}

/// `text` as an id with its brackets; `None` if it could not stand in a header as it is.
pub fn id(text: &str) -> Option<String> {
    let inner = text.trim();
    let inner = inner.strip_prefix('<').unwrap_or(inner);
    let inner = inner.strip_suffix('>').unwrap_or(inner);
    let sound = inner.len() + 2 <= MAX_ID_OCTETS
        && inner.bytes().all(|octet| {
            matches!(octet, b'!'..=b'~')
                && !matches!(octet, b'<' | b'>' | b',' | b'(' | b')' | b'"' | b'\\')
        })
        && inner.split_once('@').is_some_and(|(left, right)| {
            !left.is_empty() && !right.is_empty() && !right.contains('@')
        });
    sound.then(|| format!("<{inner}>"))
}

/// The ids among `texts`, bounded.
pub(super) fn ids<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    bound(texts.filter_map(id).collect())
}

/// Puts messages that name one another, directly or by way of others, together: groups of indices
/// into `messages`, each group and all groups in the order given.
pub fn conversations(messages: &[Identifiers]) -> Vec<Vec<usize>> {
    // Union-find over the messages; an id stands for the first message that names it.
    let mut parents: Vec<usize> = (0..messages.len()).collect();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        for id in message.all() {
            let other = *known.entry(id).or_insert(at);
            let (a, b) = (root(&mut parents, at), root(&mut parents, other));
            let (low, high) = (a.min(b), a.max(b));
            if let Some(slot) = parents.get_mut(high) {
                *slot = low;
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_root: HashMap<usize, usize> = HashMap::new();
    for at in 0..messages.len() {
        let root = root(&mut parents, at);
        let group = *of_root.entry(root).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.push(at);
        }
    }
    groups
}

/// The first message of the group, with the path to it made shorter. Parents never lie behind
/// their children, so this ends.
fn root(parents: &mut [usize], mut at: usize) -> usize {
    while let Some(&parent) = parents.get(at) {
        if parent == at {
            break;
        }
        let above = parents.get(parent).copied().unwrap_or(parent);
        if let Some(slot) = parents.get_mut(at) {
            *slot = above;
        }
        at = above;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(own: &str, answers: &str, references: &[&str]) -> Identifiers {
        Identifiers {
            message_id: id(own),
            in_reply_to: id(answers),
            references: ids(references.iter().copied()),
        }
    }

    #[test]
    fn ids_are_taken_only_where_they_can_stand_in_a_header() {
        assert_eq!(id("a@b"), Some("<a@b>".to_owned()));
        assert_eq!(id(" <a.b@c.example> "), Some("<a.b@c.example>".to_owned()));
        let long = format!("{}@b", "a".repeat(300));
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a",
            "a b@c",
            "a@b@c",
            "<a@b>\r\nBcc: x@y",
            "a@b\0",
            "\u{e4}@b",
            "<<a@b>>",
            "a,b@c",
            &long,
        ] {
            assert_eq!(id(text), None, "{text:?}");
        }
    }

    #[test]
    fn messages_that_name_one_another_are_together() {
        let all = [
            message("1@x", "", &[]),
            message("2@x", "", &[]),
            message("3@x", "1@x", &[]),
            message("", "", &[]),
            message("5@x", "9@x", &["8@x", "9@x"]),
            message("6@x", "", &["8@x", "2@x"]),
        ];
        assert_eq!(conversations(&all), [vec![0, 2], vec![1, 4, 5], vec![3]]);
        assert_eq!(all[4].conversation(), Some("<8@x>"));
        assert_eq!(all[2].conversation(), Some("<1@x>"));
        assert_eq!(all[0].conversation(), Some("<1@x>"));
        assert_eq!(all[3].conversation(), None);
    }

    #[test]
    fn a_long_conversation_keeps_its_beginning_and_its_end() {
        let many: Vec<String> = (0..500).map(|n| format!("{n}@x")).collect();
        let found = ids(many.iter().map(String::as_str));
        assert_eq!(found.len(), MAX_REFERENCES);
        assert_eq!(found[0], "<0@x>");
        assert_eq!(found[1], "<481@x>");
        let answer = Identifiers {
            message_id: id("own@x"),
            in_reply_to: None,
            references: found,
        };
        let references = answer.references_of_answer();
        assert_eq!(references.len(), MAX_REFERENCES);
        assert_eq!(
            (references[0].as_str(), references[19].as_str()),
            ("<0@x>", "<own@x>")
        );
    }

    #[test]
    fn ten_thousand_in_a_row_are_one() {
        let all: Vec<Identifiers> = (1..10_000)
            .map(|n| message(&format!("{n}@x"), &format!("{}@x", n - 1), &[]))
            .collect();
        assert_eq!(conversations(&all).len(), 1);
    }
}
