//! `[[policy.rule]]`: conditions and what follows from them.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::super::super::problem::{At, Sheet, Spot};
use super::super::super::reader::{Section, Wrong};
use super::super::super::value;
use super::super::incoming::{ListenerAddress, listener_address};
use super::{Draft, place, words};
use crate::policy::source::{Condition, Rule};

/// Largest size that a condition may name.
const MAX_SIZE: u64 = 1 << 30;
/// Most recipients that a condition may name.
const MAX_RECIPIENTS: u64 = 1_000_000;
/// The windows that volume is counted in.
const WINDOW: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));

/// Reads all rules of a file.
pub(super) fn read(sheet: &mut Sheet<'_>, policy: &mut Section<'_>, draft: &mut Draft<'_>) {
    for section in policy.sections(sheet, "rule") {
        rule(sheet, section, draft);
    }
}

fn rule(sheet: &mut Sheet<'_>, mut section: Section<'_>, draft: &mut Draft<'_>) {
    let name = section.required(
        sheet,
        "name",
        "add it, as in name = \"lab results\": decisions and logs show it",
        words::name,
    );
    let when = when(sheet, &mut section, draft.base);
    let raise = section.optional(sheet, "raise", value::level);
    let hold = section.optional(sheet, "hold", value::boolean);
    let reject = section.optional(sheet, "reject", words::reply);
    let alert = section.optional(sheet, "alert", value::boolean);
    let at = section.at();
    let mut places = section.places();
    section.finish(sheet);
    let (Some(name), Some((when, conditions))) = (name, when) else {
        return;
    };
    places.extend(conditions);
    place(draft, "rule", at, places);
    draft.source.rules.push(Rule {
        name: name.value,
        when,
        raise: raise.map(|level| level.value),
        hold: hold.is_some_and(|hold| hold.value),
        reject: reject.map(|text| text.value),
        alert: alert.is_some_and(|alert| alert.value),
    });
}

type Places = Vec<(&'static str, Spot)>;

/// The conditions of a rule; `None` if there are none that can be used.
fn when(
    sheet: &mut Sheet<'_>,
    rule: &mut Section<'_>,
    base: &Path,
) -> Option<(Vec<Condition>, Places)> {
    const MEND: &str = "add it, as in when = { sender_domain = \"lab.clinic.example\" }";
    if !rule.has("when") {
        sheet.wrong(rule.at(), "policy.rule.when is missing", MEND);
    }
    let mut section = rule.section(sheet, "when")?;
    if section.is_empty() {
        sheet.wrong(
            section.at(),
            "policy.rule.when is empty: the rule would be for all mail",
            "name a condition, or raise policy.base instead",
        );
        return None;
    }
    let mut reader = When {
        sheet,
        section: &mut section,
        found: Vec::new(),
    };
    reader.people();
    reader.content();
    reader.origin(base);
    reader.traffic();
    let conditions = reader.found;
    let places = section.places();
    section.finish(sheet);
    (!conditions.is_empty()).then_some((conditions, places))
}

/// A `when` table while it is read.
struct When<'w, 's, 't, 'a> {
    sheet: &'w mut Sheet<'t>,
    section: &'s mut Section<'a>,
    found: Vec<Condition>,
}

impl When<'_, '_, '_, '_> {
    /// A condition whose value is one or several of something.
    fn any<T>(
        &mut self,
        key: &'static str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
        make: impl FnOnce(Vec<T>) -> Condition,
    ) {
        let Some(list) = self.section.one_or_more(self.sheet, key, convert) else {
            return;
        };
        if list.value.is_empty() {
            let what = format!("{} is empty: nothing matches it", self.section.name(key));
            self.sheet
                .wrong(list.at, what, "name a value, or remove the condition");
            return;
        }
        let values = list.value.into_iter().map(|entry| entry.value);
        self.found.push(make(values.collect()));
    }

    /// A condition whose value is one thing.
    fn one<T>(
        &mut self,
        key: &'static str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
        make: impl FnOnce(T) -> Condition,
    ) {
        if let Some(At { value, .. }) = self.section.optional(self.sheet, key, convert) {
            self.found.push(make(value));
        }
    }

    /// A condition that is there or not.
    fn flag(&mut self, key: &'static str, condition: Condition) {
        self.one(key, only_true, |()| condition);
    }

    fn people(&mut self) {
        self.any("sender", words::address_pattern, Condition::Sender);
        self.any(
            "sender_domain",
            words::domain_pattern,
            Condition::SenderDomain,
        );
        self.any("author", words::address_pattern, Condition::Author);
        self.any(
            "author_domain",
            words::domain_pattern,
            Condition::AuthorDomain,
        );
        self.any("user", value::word, Condition::User);
        self.any("group", value::word, Condition::Group);
        self.any("recipient", words::address_pattern, Condition::Recipient);
        self.any(
            "recipient_domain",
            words::domain_pattern,
            Condition::RecipientDomain,
        );
    }

    fn content(&mut self) {
        self.any("subject", words::expression, |list| {
            Condition::Subject(words::any_of(list))
        });
        self.header();
        self.one("size_over", value::size(0, MAX_SIZE), Condition::SizeOver);
        self.any("attachment_name", words::expression, |list| {
            Condition::AttachmentName(words::any_of(list))
        });
        self.any(
            "attachment_type",
            words::media_type,
            Condition::AttachmentType,
        );
        self.any("detector", value::word, Condition::Detector);
        self.flag("unscannable", Condition::Unscannable);
    }

    fn header(&mut self) {
        let fields = self
            .section
            .dictionary(self.sheet, "header", |name, value| {
                words::field_name(name)?;
                // An empty expression asks only whether the field is there.
                if value.as_str() == Some("") {
                    return Ok(String::new());
                }
                match value.as_array() {
                    None => words::expression(value),
                    Some(list) if list.is_empty() => Err(Wrong::new(
                        "is empty: nothing matches it",
                        "name an expression, or remove the field",
                    )),
                    Some(list) => {
                        let all: Result<Vec<_>, _> = list
                            .iter()
                            .map(|it| words::expression(it.get_ref()))
                            .collect();
                        all.map(words::any_of)
                    }
                }
            });
        for (name, pattern) in fields.into_iter().flatten() {
            self.found.push(Condition::Header { name, pattern });
        }
    }

    fn origin(&mut self, base: &Path) {
        let listener = |value: &DeValue<'_>| {
            let address = match listener_address(value)? {
                ListenerAddress::Unix(path) => ListenerAddress::Unix(base.join(path)),
                tcp @ ListenerAddress::Tcp(_) => tcp,
            };
            Ok(address.to_string())
        };
        self.any("listener", listener, Condition::Listener);
        self.any("client", words::network, Condition::Client);
        self.one("hours", words::hours, |(from, to)| Condition::Hours {
            from,
            to,
        });
        self.any("days", words::day, |mut days| {
            days.sort_unstable();
            days.dedup();
            Condition::Days(days)
        });
    }

    fn traffic(&mut self) {
        self.flag("lookalike", Condition::LookAlike);
        let count = |value: &DeValue<'_>| {
            let number = value::number(1, MAX_RECIPIENTS)(value)?;
            Ok(u32::try_from(number).unwrap_or(u32::MAX))
        };
        self.one(
            "visible_recipients_over",
            count,
            Condition::VisibleRecipientsOver,
        );
        self.flag("first_contact", Condition::FirstContact);
        self.volume();
        self.one("level", value::level, Condition::Level);
    }

    fn volume(&mut self) {
        let Some(mut section) = self.section.section(self.sheet, "volume") else {
            return;
        };
        let recipients = section.required(
            self.sheet,
            "recipients_over",
            "add it, as in volume = { recipients_over = 500, within = \"1h\" }",
            value::number(1, MAX_RECIPIENTS),
        );
        let within = section.required(
            self.sheet,
            "within",
            "add it, as in volume = { recipients_over = 500, within = \"1h\" }",
            value::duration(WINDOW.0, WINDOW.1),
        );
        section.finish(self.sheet);
        if let (Some(recipients), Some(within)) = (recipients, within) {
            self.found.push(Condition::UserVolumeOver {
                recipients: recipients.value,
                within: within.value,
            });
        }
    }
}

/// `true`; the opposite cannot be asked for.
fn only_true(value: &DeValue<'_>) -> Result<(), Wrong> {
    match value::boolean(value)? {
        true => Ok(()),
        false => Err(Wrong::new(
            "is false, and a rule can ask only whether it is so",
            "write true, or remove the condition",
        )),
    }
}
