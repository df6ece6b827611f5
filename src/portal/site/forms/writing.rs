//! Writing: a reply to a message, or a message to one of the operator's addresses.

use super::fields;
use crate::mail::Reference;
use crate::portal::site::pages::{Choice, Field, StepPage, WritePage};
use crate::portal::site::shell::Shell;

/// Most characters of a text that is written here.
pub const TEXT_MAX: u32 = 100_000;
/// Most characters of a subject.
pub const SUBJECT_MAX: u32 = 200;

/// What stands in the form: what was typed before it was refused.
#[derive(Debug, Clone, Default)]
pub struct Writing {
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// To whom, where there is a choice.
    pub to: String,
    /// Which form this is, so that it is sent once.
    pub number: String,
}

fn subject(s: &Shell<'_>, value: String) -> Field {
    Field {
        name: "subject",
        label: s.t("reply.subject"),
        kind: "text",
        autocomplete: "off",
        max: SUBJECT_MAX,
        value,
        ..Field::default()
    }
}

fn text(s: &Shell<'_>, value: String) -> Field {
    Field {
        name: "text",
        label: s.t("reply.text"),
        rows: 12,
        max: TEXT_MAX,
        value,
        ..Field::default()
    }
}

/// A reply.
pub fn reply<'a>(
    s: Shell<'a>,
    reference: &Reference,
    (from, to): (String, String),
    typed: Writing,
    limit: u64,
) -> WritePage<'a> {
    WritePage {
        title: s.t("reply.title"),
        lead: Vec::new(),
        back: Some(format!("/box/{reference}")),
        action: format!("/box/{reference}/reply"),
        to,
        from,
        choices: Vec::new(),
        number: typed.number,
        fields: vec![subject(&s, typed.subject), text(&s, typed.text)],
        size_limit: s.say.limit(limit),
        button: s.t("reply.button"),
        s,
    }
}

/// A message that somebody outside begins.
pub fn write<'a>(
    s: Shell<'a>,
    from: &str,
    to: &[String],
    typed: Writing,
    limit: u64,
) -> WritePage<'a> {
    let choices = to.iter().map(|value| Choice {
        value: value.clone(),
        chosen: *value == typed.to,
    });
    WritePage {
        title: s.t("write.title"),
        lead: vec![s.with("write.sender", "address", from)],
        back: None,
        action: "/write".to_owned(),
        to: String::new(),
        from: from.to_owned(),
        choices: choices.collect(),
        number: typed.number,
        fields: vec![subject(&s, typed.subject), text(&s, typed.text)],
        size_limit: s.say.limit(limit),
        button: s.t("reply.button"),
        s,
    }
}

/// Whose address a message is from, before it is written.
pub fn write_first<'a>(s: Shell<'a>, to: &[String], value: String) -> StepPage<'a> {
    let mut lead = vec![s.t("write.lead")];
    lead.extend_from_slice(to);
    StepPage {
        title: s.t("write.title"),
        lead,
        action: "/write".to_owned(),
        fields: vec![fields::address(&s.say, value)],
        button: s.t("start.button"),
        danger: false,
        notes: Vec::new(),
        ways: Vec::new(),
        s,
    }
}
