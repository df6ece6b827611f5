//! Pages that say how something stands, and what to do.

use std::time::Duration;

use crate::mail::{Reference, Timestamp};
use crate::portal::site::operator::Imprint;
use crate::portal::site::pages::{SaysPage, Section, Way};
use crate::portal::site::say::Say;
use crate::portal::site::shell::Shell;

fn says<'a>(s: Shell<'a>, title: &str, class: &'static str, lines: Vec<String>) -> SaysPage<'a> {
    SaysPage {
        title: s.t(title),
        class,
        lines,
        sections: Vec::new(),
        main_way: None,
        ways: Vec::new(),
        s,
    }
}

fn home(s: &Shell<'_>) -> Way {
    match s.member {
        Some(_) => Way::link("/box", s.t("ways.messages")),
        None => Way::link("/", s.t("ways.start")),
    }
}

/// The message cannot be opened by what there is; `reasons` are keys of texts.
pub fn cannot<'a>(s: Shell<'a>, reasons: &[&str], ways: Vec<Way>) -> SaysPage<'a> {
    let lines = reasons.iter().map(|reason| s.t(reason)).collect();
    let mut page = says(s, "cannot.title", "cannot", lines);
    page.sections = vec![Section {
        title: page.s.t("cannot.ask"),
        lines: vec![page.s.t("cannot.ask_sender"), page.s.t("cannot.ask_later")],
    }];
    page.ways = ways;
    page.ways.push(home(&page.s));
    page
}

/// Its time was up.
pub fn expired(s: Shell<'_>, at: Timestamp) -> SaysPage<'_> {
    let lines = vec![s.with("expired.text", "date", s.say.day(at))];
    let mut page = says(s, "expired.title", "gone", lines);
    page.ways = vec![home(&page.s)];
    page
}

/// The sender has taken it back.
pub fn retracted(s: Shell<'_>) -> SaysPage<'_> {
    let lines = vec![s.t("retracted.text")];
    let mut page = says(s, "retracted.title", "gone", lines);
    page.ways = vec![home(&page.s)];
    page
}

/// When something may be tried again.
pub fn when(say: &Say, wait: Duration) -> String {
    let minutes = wait.as_secs().div_ceil(60);
    match minutes {
        0..=1 => say.t("locked.seconds"),
        2..=90 => say.with("locked.minutes", "count", minutes),
        _ => say.with("locked.hours", "count", minutes.div_ceil(60)),
    }
}

/// Too many tries; the wait is said in a coarse measure.
pub fn locked(s: Shell<'_>, wait: Duration) -> SaysPage<'_> {
    let when = when(&s.say, wait);
    let lines = vec![s.with("locked.text", "when", when), s.t("locked.note")];
    let mut page = says(s, "locked.title", "locked", lines);
    page.ways = vec![home(&page.s)];
    page
}

/// Why a session is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing happened for too long, or it was too old.
    Idle,
    /// A reply was written when it was no more.
    Reply,
}

/// The session is no more.
pub fn ended(s: Shell<'_>, why: Ended) -> SaysPage<'_> {
    let lines = match why {
        Ended::Idle => vec![s.t("ended.text")],
        Ended::Reply => vec![s.t("reply.expired")],
    };
    let mut page = says(s, "ended.title", "ended", lines);
    page.main_way = Some(Way::link("/", page.s.t("signedout.again")));
    page
}

/// Signed out.
pub fn signed_out(s: Shell<'_>) -> SaysPage<'_> {
    let lines = vec![s.t("signedout.text")];
    let mut page = says(s, "signedout.title", "ended", lines);
    page.main_way = Some(Way::link("/", page.s.t("signedout.again")));
    page
}

/// The account is no more.
pub fn deleted(s: Shell<'_>) -> SaysPage<'_> {
    let lines = vec![s.t("deleted.text")];
    let mut page = says(s, "deleted.title", "ended", lines);
    page.ways = vec![Way::link("/", page.s.t("ways.start"))];
    page
}

/// A message is opened only by a click on our own pages.
pub fn confirm<'a>(s: Shell<'a>, address: &str, reference: &Reference) -> SaysPage<'a> {
    let lines = vec![s.with("confirm.text", "address", address)];
    let mut page = says(s, "confirm.title", "confirm", lines);
    let text = page.s.t("confirm.button");
    page.main_way = Some(Way::link(format!("/box/{reference}"), text));
    page.ways = vec![home(&page.s)];
    page
}

/// First a factor of the account has to be shown.
pub fn stronger(s: Shell<'_>, ways: Vec<Way>) -> SaysPage<'_> {
    let lines = vec![s.t("account.stronger")];
    let mut page = says(s, "account.title", "stronger", lines);
    page.ways = ways;
    page.ways
        .push(Way::link("/account", page.s.t("account.back")));
    page
}

/// A message that is built so that it cannot be read.
pub fn unreadable(s: Shell<'_>) -> SaysPage<'_> {
    let lines = vec![s.t("message.unreadable")];
    let mut page = says(s, "mailbox.opened", "unreadable", lines);
    page.ways = vec![home(&page.s)];
    page
}

/// A reply, or a message, was taken.
pub fn replied(s: Shell<'_>) -> SaysPage<'_> {
    let lines = vec![s.t("replied.text")];
    let mut page = says(s, "replied.title", "done", lines);
    page.main_way = Some(Way::link("/box", page.s.t("replied.back")));
    page
}

/// An error, by its status.
pub fn error(s: Shell<'_>, status: u16) -> SaysPage<'_> {
    let key = match status {
        400 | 403 | 404 | 405 | 413 | 415 | 421 | 429 | 503 => format!("error.{status}"),
        408 | 411 | 414 | 417 | 422 | 431 => "error.400".to_owned(),
        _ => "error.500".to_owned(),
    };
    // Whoever asked another host finds the right one nowhere on it.
    let elsewhere = status == 421;
    let line = match elsewhere {
        true => s.with("error.421_text", "origin", &s.operator.origin),
        false => s.t(&format!("{key}_text")),
    };
    let mut page = says(s, &key, "error", vec![line]);
    page.ways = match elsewhere {
        true => vec![Way::link(
            format!("{}/", page.s.operator.origin),
            page.s.t("ways.start"),
        )],
        false => vec![home(&page.s)],
    };
    page
}

/// Whether all this is genuine.
pub fn help(s: Shell<'_>) -> SaysPage<'_> {
    let (name, origin) = (&s.operator.name, &s.operator.origin);
    let lines = vec![s.with("help.lead", "operator", name)];
    let part = |title: &str, text: String| Section {
        title: s.t(title),
        lines: vec![text],
    };
    let sections = vec![
        part(
            "help.check",
            s.with("help.check_text", "origin", format!("{origin}/")),
        ),
        part("help.ask", s.t("help.ask_text")),
        part("help.why", s.t("help.why_text")),
        part("help.see", s.t("help.see_text")),
        part("help.trouble", s.t("help.trouble_text")),
    ];
    let mut page = says(s, "help.title", "help", lines);
    page.sections = sections;
    page.ways = vec![home(&page.s)];
    page
}

/// Who runs this: an empty line begins a paragraph, other lines stay lines.
pub fn imprint(s: Shell<'_>) -> SaysPage<'_> {
    let lines = match &s.operator.imprint {
        Some(Imprint::Text(text)) => text
            .replace("\r\n", "\n")
            .split("\n\n")
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Imprint::At(_)) | None => Vec::new(),
    };
    says(s, "imprint.title", "imprint", lines)
}
