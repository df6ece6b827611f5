//! One message in its views: as text, with its formatting, in a frame, for paper.
//!
//! Invariants: its opening is on record before its content is read; what comes from a program or
//! from another site's link opens nothing. An ordinary page is small, whatever the message is; for
//! one that shows all of it there is room in [`super::sending`] before it is opened.

use bytes::Bytes;

use super::automated;
use super::forms;
use super::frame::{self, Framed};
use super::messages::{Gate, may_leave};
use super::pages::{MessagePage, PrintPage, Way};
use super::routes::Page;
use super::sending::Claim;
use super::view;
use super::visitor::Visitor;
use crate::portal::http::{Answer, Status};
use crate::portal::reading::Letter;

/// How many times its own octets a message needs as a page, as a rule: it is there as text and
/// escaped. What needs more claims it when that is known.
const PAGE_FACTOR: u64 = 4;
/// As many octets as a page of a whole message needs, as a rule: attachments are not on it.
const PAGE_OCTETS: u64 = 4 * 1024 * 1024;

/// How much of a message is shown.
#[derive(Clone, Copy)]
struct Extent {
    /// In a frame.
    framed: bool,
    /// Everything, however long it is.
    whole: bool,
}

/// A message that was opened by its own page, and not by a program or another site's link.
pub(super) async fn read(visitor: &Visitor<'_>, gate: &Gate, page: Page) -> Answer {
    let head = visitor.head();
    let automated = automated::not_opened(head);
    let elsewhere = head.fetch.site == "cross-site";
    if !automated.is_empty() || elsewhere {
        if !automated.is_empty() {
            let mut access = gate.access(visitor, "read");
            access.automated = automated;
            let store = &visitor.portal.store;
            store.note_probe(&gate.record.reference, access).await;
        }
        let address = visitor.address().map(ToString::to_string);
        let address = address.unwrap_or_default();
        let page = forms::confirm(visitor.shell(), &address, &gate.record.reference);
        return visitor.page(Status::OK, page);
    }
    let whole = head.query.get("whole").is_some();
    let mut claim = visitor.claim();
    if whole || matches!(page, Page::Print | Page::Frame) {
        // Room first: what cannot be sent is not opened.
        let expected = gate.record.octets.saturating_mul(PAGE_FACTOR);
        if !claim.grow(expected.min(PAGE_OCTETS)) {
            return visitor.busy();
        }
    }
    let what = if page == Page::Print { "print" } else { "read" };
    let content = match gate.open(visitor, what).await {
        Ok(content) => content,
        Err(answer) => return *answer,
    };
    if page == Page::Frame {
        return in_frame(visitor, gate, content, claim).await;
    }
    // Reading can take a while: not on the threads that serve.
    let done = tokio::task::spawn_blocking(move || {
        let letter = Letter::read(&content).ok()?;
        let text = letter.text();
        Some((letter, text))
    });
    let Some((letter, text)) = done.await.ok().flatten() else {
        return unreadable(visitor, gate);
    };
    let tied = &gate.record.reference;
    visitor.portal.tie(*tied, letter.identifiers());
    if page == Page::Print {
        let shell = visitor.shell();
        let page = PrintPage {
            head: view::head(&shell.say, &gate.record, &letter),
            text: view::text(&text.text, true).0,
            files: view::files(&shell.say, &gate.record, &letter, true),
            here: format!("/box/{}", gate.record.reference),
            s: shell,
        };
        return visitor.page_in(Status::OK, page, claim);
    }
    let framed = page == Page::Html && letter.has_html();
    let extent = Extent { framed, whole };
    message(visitor, gate, (&letter, &text.text), extent, claim)
}

async fn in_frame(visitor: &Visitor<'_>, gate: &Gate, content: Bytes, claim: Claim) -> Answer {
    let style = visitor.portal.options.operator.letter_path().to_owned();
    // Cleaning can take a while: not on the threads that serve.
    let done = tokio::task::spawn_blocking(move || {
        let letter = Letter::read(&content).ok()?;
        let framed = frame::document(&letter, &style, claim);
        Some((letter.identifiers().clone(), framed))
    });
    let Some((identifiers, framed)) = done.await.ok().flatten() else {
        return unreadable(visitor, gate);
    };
    visitor.portal.tie(gate.record.reference, &identifiers);
    match framed {
        Framed::Made(document) => Answer::mail_frame(document),
        Framed::NoHtml => visitor.error(Status::NOT_FOUND),
        Framed::NoRoom => visitor.busy(),
    }
}

fn message(
    visitor: &Visitor<'_>,
    gate: &Gate,
    (letter, text): (&Letter, &str),
    Extent { framed, whole }: Extent,
    claim: Claim,
) -> Answer {
    let shell = visitor.shell();
    let here = format!("/box/{}", gate.record.reference);
    // What stands in the frame does not stand beside it.
    let (text, text_cut) = view::text(if framed { "" } else { text }, whole);
    let files = view::files(&shell.say, &gate.record, letter, whole);
    let (shown, all) = (files.len(), letter.attachments().len());
    let some = |shown: usize| {
        let (shown, all) = (shown.to_string(), all.to_string());
        let values = (("shown", &*shown), ("count", &*all));
        shell.say.with2("message.files_some", values.0, values.1)
    };
    let all_replies = visitor.portal.store.replies(&gate.record.reference);
    let replies = all_replies.iter().rev();
    let most = if whole {
        usize::MAX
    } else {
        view::SHOWN_REPLIES
    };
    let replies = replies
        .take(most)
        .map(|it| view::reply(&shell.say, it))
        .collect::<Vec<_>>();
    let page = MessagePage {
        head: view::head(&shell.say, &gate.record, letter),
        text,
        text_cut,
        whole: match framed {
            true => format!("{here}/html?whole=1"),
            false => format!("{here}?whole=1"),
        },
        html: letter.has_html().then(|| format!("{here}/html")),
        frame: framed.then(|| format!("{here}/frame")),
        zip: (all > 1).then(|| format!("{here}/all.zip")),
        files_some: (shown < all).then(|| some(shown)),
        files,
        print: format!("{here}/print"),
        original: may_leave(&gate.record).then(|| format!("{here}/message.eml")),
        can_reply: visitor.portal.options.replies && gate.record.answerable,
        reply: format!("{here}/reply"),
        replies_cut: replies.len() < all_replies.len(),
        replies,
        here,
        s: shell,
    };
    let answer = visitor.page_in(Status::OK, page, claim);
    if framed { answer.with_frame() } else { answer }
}

/// A message that is no message: all that can be done is to have it as it is.
fn unreadable(visitor: &Visitor<'_>, gate: &Gate) -> Answer {
    let mut page = forms::unreadable(visitor.shell());
    if may_leave(&gate.record) {
        let path = format!("/box/{}/message.eml", gate.record.reference);
        let text = visitor.say().t("message.original");
        page.ways.insert(0, Way::link(path, text));
    }
    visitor.page(Status::OK, page)
}
