//! Records and letters as pages show them.
//!
//! Everything that others fill in is bounded by the octets that it takes in the page, escaped: an
//! ordinary page is smaller than 50 KB, whatever the message is.

use super::pages::{File, Head, Item, Piece};
use super::say::Say;
use super::text::{self, cut, escaped};
use crate::mail::Timestamp;
use crate::portal::reading::{Attachment, Letter, Note, Person, Sort};
use crate::portal::store::{Record, ReplyState, ReplyView};
use crate::proto::link::DepositState;

/// Octets that a text takes on its page at first.
pub const SHOWN_TEXT_OCTETS: usize = 20 * 1024;
/// Octets that the list of attachments takes at first.
const SHOWN_FILES_OCTETS: usize = 10 * 1024;
/// Octets of an attachment in it, beside what it is called and what is said of it.
const AROUND_FILE: usize = 180;
/// Replies to a message that are listed with it at first.
pub const SHOWN_REPLIES: usize = 20;
/// Octets that the people of one field take.
const SHOWN_PEOPLE_OCTETS: usize = 2 * 1024;
/// Octets that an author takes in a list.
const LISTED_AUTHOR_OCTETS: usize = 600;
/// Octets that a subject takes in a list.
const LISTED_SUBJECT_OCTETS: usize = 400;
/// Characters of a subject above its message, and in a list.
const MAX_HEADING_CHARS: usize = 160;
/// People of one field that are shown.
const MAX_SHOWN_PEOPLE: usize = 20;

/// Who wrote a message: what the line said when it left it here.
pub(super) fn author(record: &Record) -> String {
    match &record.author_name {
        Some(name) => format!("{name} <{}>", record.author),
        None => record.author.to_string(),
    }
}

/// An author in a list.
pub(super) fn in_a_list(author: &str) -> String {
    cut(author, LISTED_AUTHOR_OCTETS)
}

/// A message in the list.
pub(super) fn item(say: &Say, record: &Record, subject: Option<String>, now: Timestamp) -> Item {
    let (class, key) = match record.state_at(now) {
        DepositState::Waiting => ("new", "state.new"),
        DepositState::Opened => ("opened", "state.opened"),
        DepositState::Expired => ("expired", "state.expired"),
        DepositState::Retracted | DepositState::Withdrawn => ("retracted", "state.retracted"),
    };
    let live = matches!(class, "new" | "opened");
    let subject = match (subject, record.was_opened()) {
        (Some(subject), _) if !subject.is_empty() => cut(&heading(&subject), LISTED_SUBJECT_OCTETS),
        (Some(_), _) => say.t("mailbox.no_subject"),
        (None, true) => say.t("mailbox.opened"),
        (None, false) => say.t("mailbox.unopened"),
    };
    let until = match live {
        true => say.with("mailbox.until", "date", say.day(record.expires)),
        false => String::new(),
    };
    Item {
        href: live.then(|| format!("/box/{}", record.reference)),
        from: in_a_list(&author(record)),
        subject,
        date: say.moment(record.accepted),
        date_machine: record.accepted.to_rfc3339(),
        state: say.t(key),
        class,
        until,
    }
}

/// A reply in a list.
pub(super) fn reply(say: &Say, reply: &ReplyView) -> Item {
    let (class, key) = match reply.state {
        ReplyState::Waiting => ("waiting", "state.waiting"),
        ReplyState::Sent => ("sent", "state.sent"),
        ReplyState::Failed => ("failed", "state.failed"),
    };
    Item {
        date: say.moment(reply.time),
        date_machine: reply.time.to_rfc3339(),
        state: say.t(key),
        class,
        ..Item::default()
    }
}

/// A subject, cut where it is too long for a heading.
fn heading(subject: &str) -> String {
    match subject.char_indices().nth(MAX_HEADING_CHARS) {
        None => subject.to_owned(),
        Some((end, _)) => format!("{}…", subject.get(..end).unwrap_or_default().trim_end()),
    }
}

fn people(people: &[Person]) -> String {
    let mut shown = String::new();
    let mut octets = 0;
    for (number, person) in people.iter().enumerate() {
        let person = match &person.name {
            Some(name) => format!("{name} <{}>", person.address),
            None => person.address.clone(),
        };
        octets += escaped(&person) + ", ".len();
        if number > 0 {
            shown.push_str(", ");
        }
        // The first one fits.
        if number >= MAX_SHOWN_PEOPLE || (number > 0 && octets > SHOWN_PEOPLE_OCTETS) {
            shown.push('…');
            break;
        }
        shown.push_str(&person);
    }
    shown
}

/// The header of a message.
pub(super) fn head(say: &Say, record: &Record, letter: &Letter) -> Head {
    let subject = match letter.subject() {
        "" => say.t("mailbox.no_subject"),
        subject => heading(subject),
    };
    Head {
        subject,
        from: author(record),
        to: people(letter.to()),
        cc: people(letter.cc()),
        date: say.moment(letter.date().unwrap_or(record.accepted)),
        expires: say.day(record.expires),
    }
}

/// What of a text is shown, and whether there is more.
pub(super) fn text(text: &str, whole: bool) -> (Vec<Piece>, bool) {
    let pieces = text::pieces(text);
    match whole {
        true => (pieces, false),
        false => text::beginning(pieces, SHOWN_TEXT_OCTETS),
    }
}

/// The name of an attachment.
pub(super) fn file_name(say: &Say, file: &Attachment) -> String {
    match file.name.trim() {
        "" => say.with("message.file_unnamed", "n", file.index + 1),
        name => name.to_owned(),
    }
}

/// The attachments, as many as are shown; those that the HTML shows in their place are in the list
/// too, since the text does not show them.
pub(super) fn files(say: &Say, record: &Record, letter: &Letter, whole: bool) -> Vec<File> {
    let file = |it: &Attachment| File {
        href: format!("/box/{}/file/{}", record.reference, it.index),
        name: file_name(say, it),
        kind: say.t(sort(it)),
        size: say.size(it.octets),
        warning: it.danger.map(|_| say.t("message.danger")),
    };
    let mut room = SHOWN_FILES_OCTETS;
    let files = letter.attachments().iter().map(file);
    let files = files.take_while(|file| {
        let said = [&file.name, &file.kind, &file.size];
        let said = said.into_iter().chain(&file.warning);
        let octets = AROUND_FILE + said.map(|it| escaped(it)).sum::<usize>();
        let fits = octets <= room;
        room = room.saturating_sub(octets);
        whole || fits
    });
    files.collect()
}

fn sort(file: &Attachment) -> &'static str {
    match (file.note, file.sort) {
        (Some(Note::Signature), _) => "sort.signature",
        (Some(Note::Encrypted), _) => "sort.encrypted",
        (Some(Note::Message), _) | (_, Sort::Message) => "sort.message",
        (_, Sort::Pdf) => "sort.pdf",
        (_, Sort::Image) => "sort.image",
        (_, Sort::Text) => "sort.text",
        (_, Sort::Document) => "sort.document",
        (_, Sort::Sheet) => "sort.sheet",
        (_, Sort::Slides) => "sort.slides",
        (_, Sort::Archive) => "sort.archive",
        (_, Sort::Audio) => "sort.audio",
        (_, Sort::Video) => "sort.video",
        (_, Sort::Calendar) => "sort.calendar",
        (_, Sort::Contact) => "sort.contact",
        (_, Sort::Security) => "sort.signature",
        (_, Sort::Markup) => "sort.markup",
        (_, Sort::Program) => "sort.program",
        (Some(Note::Tnef), Sort::Other) | (None, Sort::Other) => "sort.other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_subject_is_cut() {
        assert_eq!(heading("short"), "short");
        let cut = heading(&"é".repeat(300));
        assert_eq!(cut.chars().count(), MAX_HEADING_CHARS + 1);
        assert!(cut.ends_with("é…"));
    }

    #[test]
    fn people_are_listed_as_long_as_there_is_room() {
        let person = |name: String| Person {
            name: Some(name),
            address: "kim@patient.example".to_owned(),
        };
        let one = person("Kim Larsen".to_owned());
        assert_eq!(people(&[]), "");
        let two = people(&[one.clone(), one.clone()]);
        assert_eq!(
            two,
            "Kim Larsen <kim@patient.example>, Kim Larsen <kim@patient.example>"
        );
        let many = people(&vec![one; 50]);
        assert_eq!(many.matches('@').count(), MAX_SHOWN_PEOPLE);
        assert!(many.ends_with(">, …"));
        let wide = people(&vec![person("\"".repeat(100)); 50]);
        assert!(escaped(&wide) <= SHOWN_PEOPLE_OCTETS + 8 && wide.ends_with(", …"));
    }
}
