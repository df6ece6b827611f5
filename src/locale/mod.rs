//! The texts that people read in mails and on the portal's pages, in every language.
//!
//! Owns the files a translator edits: `mails/*.toml` and `pages/*.toml`, one a language, each a flat
//! table from key to text. `{name}` in a text stands for a value. An operator may replace texts by
//! files of the same form. Pure: whoever reads those files hands their text in.
//!
//! Invariants, held by tests: every language has every key, and the same values in each text.
//! What is filled in is put in as it is: whoever shows the text escapes it.

mod date;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::mail::Language;

pub use date::date;

/// Longest text, in octets.
pub const MAX_TEXT_OCTETS: usize = 4096;

const SHIPPED: [(Language, &str, &str); 5] = [
    (
        Language::En,
        include_str!("mails/en.toml"),
        include_str!("pages/en.toml"),
    ),
    (
        Language::Es,
        include_str!("mails/es.toml"),
        include_str!("pages/es.toml"),
    ),
    (
        Language::De,
        include_str!("mails/de.toml"),
        include_str!("pages/de.toml"),
    ),
    (
        Language::Fr,
        include_str!("mails/fr.toml"),
        include_str!("pages/fr.toml"),
    ),
    (
        Language::Zh,
        include_str!("mails/zh.toml"),
        include_str!("pages/zh.toml"),
    ),
];

type Table = BTreeMap<String, String>;

/// A file of texts cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextsError {
    /// Not a flat table of texts.
    #[error("not a table of texts: {0}")]
    Form(String),
    /// A key that is none.
    #[error("there is no text with the key {0:?}")]
    UnknownKey(String),
    /// A value that the text it replaces does not have.
    #[error("the text {key:?} has no value {{{value}}} to fill in")]
    UnknownValue {
        /// The text.
        key: String,
        /// The value.
        value: String,
    },
    /// Over [`MAX_TEXT_OCTETS`].
    #[error("the text {0:?} is too long")]
    TooLong(String),
}

/// The texts of all languages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Texts {
    tables: Arc<BTreeMap<Language, Table>>,
}

impl Texts {
    /// The texts as they are shipped.
    pub fn shipped() -> Self {
        static SHIPPED_TEXTS: OnceLock<Texts> = OnceLock::new();
        SHIPPED_TEXTS
            .get_or_init(|| {
                let tables = SHIPPED.into_iter().map(|(language, mails, pages)| {
                    // A test reads all of them; a file that cannot be read has no texts.
                    let mut table: Table = toml::from_str(mails).unwrap_or_default();
                    table.extend(toml::from_str::<Table>(pages).unwrap_or_default());
                    (language, table)
                });
                Texts {
                    tables: Arc::new(tables.collect()),
                }
            })
            .clone()
    }

    /// The same with some texts of a language replaced by those of `file`.
    pub fn replaced(&self, language: Language, file: &str) -> Result<Self, TextsError> {
        let replaced: Table =
            toml::from_str(file).map_err(|error| TextsError::Form(error.message().to_owned()))?;
        let mut tables = (*self.tables).clone();
        let table = tables.entry(language).or_default();
        for (key, text) in replaced {
            let Some(before) = table.get(&key) else {
                return Err(TextsError::UnknownKey(key));
            };
            if text.len() > MAX_TEXT_OCTETS {
                return Err(TextsError::TooLong(key));
            }
            let known: Vec<&str> = values(before).collect();
            if let Some(value) = values(&text).find(|value| !known.contains(value)) {
                let value = value.to_owned();
                return Err(TextsError::UnknownValue { key, value });
            }
            table.insert(key, text);
        }
        Ok(Self {
            tables: Arc::new(tables),
        })
    }

    /// A text; where it is missing, the English one, and where there is none, nothing.
    pub fn text(&self, language: Language, key: &str) -> &str {
        let of = |language| self.tables.get(&language).and_then(|table| table.get(key));
        of(language)
            .or_else(|| of(Language::En))
            .map_or("", String::as_str)
    }

    /// Whether there is a text with this key.
    pub fn has(&self, key: &str) -> bool {
        let english = self.tables.get(&Language::En);
        english.is_some_and(|table| table.contains_key(key))
    }

    /// A text with its values filled in. What stands in a value is not looked at again.
    pub fn fill(&self, language: Language, key: &str, filled: &[(&str, &str)]) -> String {
        let mut rest = self.text(language, key);
        let mut out = String::with_capacity(rest.len() + 64);
        while let Some((before, behind)) = rest.split_once('{') {
            out.push_str(before);
            match behind.split_once('}') {
                Some((name, after)) => {
                    let value = filled.iter().find(|(known, _)| *known == name);
                    out.push_str(value.map_or("", |(_, value)| value));
                    rest = after;
                }
                None => rest = behind,
            }
        }
        out.push_str(rest);
        out
    }
}

/// The names of the values in a text.
fn values(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|behind| Some(behind.split_once('}')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_language_has_every_text_with_the_same_values() {
        for (language, mails, pages) in SHIPPED {
            for file in [mails, pages] {
                let table: Result<Table, _> = toml::from_str(file);
                assert!(table.is_ok(), "{language}: {table:?}");
            }
        }
        let texts = Texts::shipped();
        let english = &texts.tables[&Language::En];
        for (language, table) in texts.tables.iter() {
            let keys = |table: &Table| table.keys().cloned().collect::<BTreeSet<String>>();
            assert_eq!(keys(table), keys(english), "{language}");
            for (key, text) in table {
                let of = |text: &str| {
                    values(text)
                        .map(str::to_owned)
                        .collect::<BTreeSet<String>>()
                };
                assert_eq!(of(text), of(&english[key]), "{language}: {key}");
                assert!(
                    !text.trim().is_empty() && text.len() <= MAX_TEXT_OCTETS,
                    "{language}: {key}"
                );
            }
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let texts = Texts::shipped();
        let filled = texts.fill(
            Language::En,
            "mail.from",
            &[("author", "{operator}"), ("operator", "Clinic")],
        );
        assert_eq!(filled, "{operator} via Clinic");
    }

    #[test]
    fn an_operator_replaces_texts_and_cannot_break_them() {
        let texts = Texts::shipped();
        let own = texts
            .replaced(Language::En, "\"mail.from\" = \"{author} ({operator})\"")
            .unwrap();
        let filled = own.fill(
            Language::En,
            "mail.from",
            &[("author", "Jo"), ("operator", "Clinic")],
        );
        assert_eq!(filled, "Jo (Clinic)");
        let refused = |file| texts.replaced(Language::En, file).unwrap_err();
        assert_eq!(
            refused("\"no.such\" = \"x\""),
            TextsError::UnknownKey("no.such".into())
        );
        assert!(matches!(
            refused("\"mail.from\" = \"{subject}\""),
            TextsError::UnknownValue { .. }
        ));
        assert!(matches!(refused("x = 1"), TextsError::Form(_)));
    }
}
