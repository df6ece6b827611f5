//! What every page has around its own part: language, operator, who is signed in, what went wrong.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::operator::{Imprint, Operator};
use super::say::{Say, own_name};
use crate::mail::Language;

/// What is escaped in a path that is shown in a link again.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Member {
    /// Their address.
    pub address: String,
    /// After how long without activity they are signed out.
    pub idle_minutes: u64,
}

/// What went wrong with a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, if it is one's fault.
    pub field: Option<&'static str>,
    /// What, and what to do about it.
    pub text: String,
    /// More of it.
    pub more: Vec<String>,
}

impl Problem {
    /// A field is wrong.
    pub fn field(field: &'static str, text: String) -> Self {
        Self {
            field: Some(field),
            text,
            more: Vec::new(),
        }
    }

    /// Something else is.
    pub fn page(text: String) -> Self {
        Self {
            field: None,
            text,
            more: Vec::new(),
        }
    }
}

/// A link to the same page in another language.
#[derive(Debug, Clone)]
pub struct LanguageLink {
    /// Where.
    pub href: String,
    /// RFC 5646.
    pub tag: &'static str,
    /// What it calls itself.
    pub name: &'static str,
    /// Whether this page is in it.
    pub current: bool,
}

/// What every page has.
#[derive(Debug, Clone)]
pub struct Shell<'a> {
    /// Who runs the portal.
    pub operator: &'a Operator,
    /// The texts.
    pub say: Say,
    /// The language that the link asked for: carried on in every link.
    pub asked: Option<Language>,
    /// Where this page is, for links to it in other languages.
    pub path: String,
    /// Proves that a form is ours.
    pub csrf: String,
    /// Who is signed in.
    pub member: Option<Member>,
    /// The address that was typed in this visit. Never one that was only looked up.
    pub typed: Option<String>,
    /// What went wrong.
    pub problem: Option<Problem>,
    /// What went well.
    pub told: Option<String>,
}

impl Shell<'_> {
    /// A text.
    pub fn t(&self, key: &str) -> String {
        self.say.t(key)
    }

    /// A text with a value.
    pub fn with(&self, key: &str, name: &str, value: impl Display) -> String {
        self.say.with(key, name, value)
    }

    /// A text with two values.
    pub fn with2(
        &self,
        key: &str,
        one: &str,
        first: impl AsRef<str>,
        two: &str,
        second: impl AsRef<str>,
    ) -> String {
        self.say
            .with2(key, (one, first.as_ref()), (two, second.as_ref()))
    }

    /// The tag of the page's language.
    pub fn lang(&self) -> &'static str {
        self.say.language().as_str()
    }

    /// A link within the portal, in the language that was asked for.
    pub fn to(&self, path: impl AsRef<str>) -> String {
        linked(path.as_ref(), self.asked)
    }

    /// Where the operator's name leads.
    pub fn home(&self) -> &'static str {
        match self.member {
            Some(_) => "/box",
            None => "/",
        }
    }

    /// Whether this page belongs to a part of the menu.
    pub fn here(&self, place: &str) -> bool {
        let rest = self.path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// This page in every language.
    pub fn languages(&self) -> Vec<LanguageLink> {
        let path = utf8_percent_encode(&self.path, PATH).to_string();
        Language::ALL
            .into_iter()
            .map(|language| LanguageLink {
                href: linked(&path, Some(language)),
                tag: language.as_str(),
                name: own_name(language),
                current: language == self.say.language(),
            })
            .collect()
    }

    /// Where the imprint is.
    pub fn imprint(&self) -> Option<String> {
        match self.operator.imprint.as_ref()? {
            Imprint::At(url) => Some(url.clone()),
            Imprint::Text(_) => Some(self.to("/imprint")),
        }
    }

    /// Whose password is asked for, for whatever remembers passwords.
    pub fn account(&self, fields: &[super::pages::Field]) -> Option<&str> {
        let asked = fields.iter().any(|field| field.kind == "password");
        let member = self.member.as_ref().map(|member| member.address.as_str());
        member.or(self.typed.as_deref()).filter(|_| asked)
    }

    /// Whether a field is the one at fault.
    pub fn wrong(&self, field: impl AsRef<str>) -> bool {
        let at_fault = self.problem.as_ref().and_then(|problem| problem.field);
        at_fault == Some(field.as_ref())
    }

    /// The ids of what describes a field.
    pub fn described(&self, field: &super::pages::Field) -> Option<String> {
        match (field.hint.is_some(), self.wrong(field.name)) {
            (true, true) => Some(format!("{}-hint problem", field.name)),
            (true, false) => Some(format!("{}-hint", field.name)),
            (false, true) => Some("problem".to_owned()),
            (false, false) => None,
        }
    }
}

/// A path, with the language that was asked for.
pub fn linked(path: &str, asked: Option<Language>) -> String {
    match asked {
        None => path.to_owned(),
        Some(language) => {
            let joint = if path.contains('?') { '&' } else { '?' };
            format!("{path}{joint}lang={language}")
        }
    }
}
