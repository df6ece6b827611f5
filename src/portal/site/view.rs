//! Records and letters as pages show them.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pages::{File, Head, Item};
use super::say::Say;
use crate::journal::crypt::random;
use crate::mail::Timestamp;
use crate::portal::reading::{Attachment, CleanHtml, Letter, Note, Person, Sort};
use crate::portal::store::{Record, ReplyState, ReplyView};
use crate::proto::link::DepositState;

/// Octets of a text that are shown at first, so that the page stays small.
pub const SHOWN_TEXT_OCTETS: usize = 24 * 1024;
/// Octets of images that stand in the HTML. They are put into it, because the frame, which has an
/// origin of its own, shows no cookie with what it loads.
pub const MAX_INLINE_OCTETS: u64 = 8 * 1024 * 1024;
/// Octets of images in one frame, as they are written there.
pub const MAX_FRAME_OCTETS: usize = 16 * 1024 * 1024;
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
        (Some(subject), _) if !subject.is_empty() => heading(&subject),
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
        from: author(record),
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
    let mut shown: Vec<String> = people
        .iter()
        .take(MAX_SHOWN_PEOPLE)
        .map(|person| match &person.name {
            Some(name) => format!("{name} <{}>", person.address),
            None => person.address.clone(),
        })
        .collect();
    if people.len() > MAX_SHOWN_PEOPLE {
        shown.push("…".to_owned());
    }
    shown.join(", ")
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
pub(super) fn shown(text: &str, whole: bool) -> (&str, bool) {
    if whole || text.len() <= SHOWN_TEXT_OCTETS {
        return (text, false);
    }
    let mut end = SHOWN_TEXT_OCTETS;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default(), true)
}

/// The name of an attachment.
pub(super) fn file_name(say: &Say, file: &Attachment) -> String {
    match file.name.trim() {
        "" => say.with("message.file_unnamed", "n", file.index + 1),
        name => name.to_owned(),
    }
}

/// The attachments, those aside that the HTML shows in their place and that are small pictures of
/// it: they are in the list too, since the text does not show them.
pub(super) fn files(say: &Say, record: &Record, letter: &Letter) -> Vec<File> {
    let file = |it: &Attachment| File {
        href: format!("/box/{}/file/{}", record.reference, it.index),
        name: file_name(say, it),
        kind: say.t(sort(it)),
        size: say.size(it.octets),
        warning: it.danger.map(|_| say.t("message.danger")),
    };
    letter.attachments().iter().map(file).collect()
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

/// A message's HTML and the images that stand in it.
pub(super) struct Html {
    /// The cleaned HTML, with marks in the places of its images, so that an image that is named a
    /// thousand times is not there a thousand times.
    pub(super) clean: CleanHtml,
    /// What stands there before an image's number: another one each time, which nobody who writes
    /// a message can know.
    mark: String,
    images: HashMap<usize, String>,
}

/// The cleaned HTML with its images.
pub(super) fn html(letter: &Letter) -> Option<Html> {
    let mut drawn = [0; 16];
    random(&mut drawn).ok()?;
    let mark = format!("/inline-image-{:032x}/", u128::from_le_bytes(drawn));
    let clean = letter.html(&|index| format!("{mark}{index}"))?;
    let mut images = HashMap::new();
    let mut room = MAX_INLINE_OCTETS;
    for file in letter.attachments() {
        if file.inline.is_none() || file.octets > room {
            continue;
        }
        if let Some((kind, octets)) = letter.inline_image(file.index) {
            room -= file.octets;
            let data = format!("data:{kind};base64,{}", STANDARD.encode(&octets));
            images.insert(file.index, data);
        }
    }
    Some(Html {
        clean,
        mark,
        images,
    })
}

impl Html {
    /// Puts the images into a document, as long as there is room; without an address otherwise.
    pub(super) fn with_images(&self, document: &str) -> String {
        let mut out = String::with_capacity(document.len());
        let mut pieces = document.split(self.mark.as_str());
        out.push_str(pieces.next().unwrap_or_default());
        let mut room = MAX_FRAME_OCTETS;
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = piece.split_at(digits);
            let image = number
                .parse()
                .ok()
                .and_then(|number: usize| self.images.get(&number));
            if let Some(image) = image.filter(|image| image.len() <= room) {
                room -= image.len();
                out.push_str(image);
            }
            out.push_str(rest);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn images_are_put_in_once_there_is_room() {
        let message = "Content-Type: text/html\r\n\r\n<p>/inline-image/1</p><img src=\"cid:x\">";
        let letter = Letter::read(&Bytes::from(message)).unwrap();
        let mut html = html(&letter).unwrap();
        html.images = HashMap::from([(1, "data:one".to_owned()), (12, "x".repeat(9 << 20))]);
        let mark = html.mark.clone();
        let document = format!("<img src=\"{mark}1\"><img src=\"{mark}7\"> /inline-image/1");
        assert_eq!(
            html.with_images(&document),
            "<img src=\"data:one\"><img src=\"\"> /inline-image/1"
        );
        let many = format!("<img src=\"{mark}12\">").repeat(1000);
        assert!(html.with_images(&many).len() <= MAX_FRAME_OCTETS + many.len());
        // The sender cannot know it.
        assert_ne!(super::html(&letter).unwrap().mark, mark);
    }

    #[test]
    fn a_long_subject_is_cut() {
        assert_eq!(heading("short"), "short");
        let cut = heading(&"é".repeat(300));
        assert_eq!(cut.chars().count(), MAX_HEADING_CHARS + 1);
        assert!(cut.ends_with("é…"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(SHOWN_TEXT_OCTETS);
        let (cut, more) = shown(&text, false);
        assert!(more && cut.len() <= SHOWN_TEXT_OCTETS && text.starts_with(cut));
        assert_eq!(shown(&text, true), (text.as_str(), false));
        assert_eq!(shown("short", false), ("short", false));
    }
}
