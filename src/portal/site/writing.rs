//! Writing: replies to the author of a message, and messages to the addresses that the operator
//! lists.
//!
//! Invariants: a reply goes to the author of the message that it answers and to nobody else; what
//! was typed is kept when it is refused; nothing is kept that was not looked at, nor after it was
//! answered that it was not; a form is sent once, however often it comes.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::forms::{self, TEXT_MAX, Writing};
use super::messages::Gate;
use super::once::{self, Mark, Turn};
use super::pages::{Item, SentPage};
use super::portal::Portal;
use super::routes::Page;
use super::sent::{MAX_SENT_PER_HOUR, Place};
use super::shell::{Problem, Shell};
use super::view;
use super::visitor::Visitor;
use crate::journal::crypt::random;
use crate::mail::{Address, Level, Timestamp};
use crate::portal::answer::clamd::Verdict;
use crate::portal::answer::{Compose, File, Offered, Refused, Why, compose, files};
use crate::portal::http::{Answer, Body, Over, Status};
use crate::portal::proof::Visit;
use crate::portal::reading::{Identifiers, message_id};
use crate::portal::store::{NewReply, Record, StoreError};

/// Replies on one page of the list: so many that it stays small, whatever its authors are called.
const PAGE_REPLIES: usize = 40;
/// How long it may take to look at what was written, all files with the scanner and others' turns
/// before. Less than HTTP waits for an answer: it knows nothing of what was typed.
pub(super) const LOOKING: Duration = Duration::from_secs(45);

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    match page {
        Page::Reply => reply(visitor).await,
        Page::Sent => sent(visitor),
        Page::Write => write(visitor).await,
        _ => visitor.page(Status::OK, forms::replied(visitor.shell())),
    }
}

/// Why something was not sent: the field at fault, and what is said of it.
struct NotSent {
    status: Status,
    field: &'static str,
    text: String,
}

/// Who writes to whom, and about what.
struct Letter<'a> {
    from: &'a Address,
    to: &'a Address,
    to_name: Option<&'a str>,
    answers: Option<Identifiers>,
    typed: &'a Writing,
}

impl Portal {
    /// How the answered message is tied to others.
    fn identifiers(&self, record: &Record) -> Identifiers {
        let threads = self.memory.threads.lock();
        let threads = threads.unwrap_or_else(PoisonError::into_inner);
        let known = threads.get(&record.reference).cloned();
        known.unwrap_or_else(|| Identifiers {
            message_id: message_id(&record.message_id),
            ..Identifiers::default()
        })
    }
}

impl NotSent {
    fn new(status: Status, field: &'static str, text: String) -> Self {
        Self {
            status,
            field,
            text,
        }
    }
}

fn typed(visitor: &Visitor<'_>) -> Writing {
    let text = visitor.request.field("text").unwrap_or_default();
    Writing {
        subject: visitor.field("subject").to_owned(),
        // As forms send it: CRLF.
        text: text.replace("\r\n", "\n"),
        to: visitor.field("to").to_owned(),
        number: once::number(visitor.field("number")),
    }
}

/// A form in which nothing was typed yet.
fn untyped(subject: &str) -> Writing {
    Writing {
        subject: subject.to_owned(),
        number: once::number(""),
        ..Writing::default()
    }
}

fn refused(visitor: &Visitor<'_>, refused: &Refused) -> NotSent {
    let say = visitor.say();
    let rules = &visitor.portal.options.files;
    let named = |key: &str| say.with(key, "name", &refused.name);
    let text = match refused.why {
        Why::TooMany => say.with("why.many", "count", rules.files),
        Why::TooLarge => say.with("reply.too_large", "size", say.limit(rules.octets)),
        Why::Program | Why::Script | Why::Markup | Why::Shortcut | Why::Disk => named("why.runs"),
        Why::Macro => named("why.macro"),
        Why::ClosedArchive
        | Why::LockedArchive
        | Why::NestedArchive
        | Why::OddArchive
        | Why::Inside => named("why.archive"),
        Why::Message | Why::Extra => named("reply.type"),
    };
    let status = match refused.why {
        Why::TooLarge => Status::PAYLOAD_TOO_LARGE,
        _ => Status::UNPROCESSABLE_ENTITY,
    };
    NotSent::new(status, "files", text)
}

/// What is said where the server took none of the files, since they were too many or too large.
fn over(visitor: &Visitor<'_>) -> Option<NotSent> {
    let Body::Upload(upload) = &visitor.request.body else {
        return None;
    };
    let why = match upload.over? {
        Over::Octets => Why::TooLarge,
        Over::Files => Why::TooMany,
    };
    let name = String::new();
    let not_sent = refused(visitor, &Refused { name, why });
    Some(NotSent {
        status: Status::PAYLOAD_TOO_LARGE,
        ..not_sent
    })
}

/// The files of the form, looked at by us and by the scanner.
async fn taken(visitor: &Visitor<'_>) -> Result<Vec<File>, NotSent> {
    if let Some(not_sent) = over(visitor) {
        return Err(not_sent);
    }
    let options = &visitor.portal.options;
    let offered: Vec<Offered> = visitor
        .request
        .body
        .files()
        .iter()
        .map(|file| Offered {
            name: file.name.clone(),
            declared: file.media_type.clone(),
            octets: file.octets.clone(),
        })
        .collect();
    let rules = options.files.clone();
    let judged = tokio::task::spawn_blocking(move || files::take(&offered, &rules));
    let say = visitor.say();
    let later = |key: &str| NotSent::new(Status::SERVICE_UNAVAILABLE, "files", say.t(key));
    let taken = match judged.await {
        Ok(Ok(taken)) => taken,
        Ok(Err(all)) => {
            return Err(match all.first() {
                Some(first) => refused(visitor, first),
                None => later("reply.later"),
            });
        }
        Err(_) => return Err(later("reply.later")),
    };
    if let Some(clamd) = &options.clamd {
        for file in &taken {
            match clamd.scan(&file.octets).await {
                Verdict::Clean => {}
                Verdict::Found(_) => {
                    let text = say.with("reply.malware", "name", &file.name);
                    return Err(NotSent::new(Status::UNPROCESSABLE_ENTITY, "files", text));
                }
                Verdict::TooLarge | Verdict::Unavailable => return Err(later("reply.scan")),
            }
        }
    }
    Ok(taken)
}

/// The turn to send this form.
async fn turn(visitor: &Visitor<'_>, letter: &Letter<'_>) -> Option<Turn> {
    let (from, to) = (letter.from.clone(), letter.to.clone());
    let (typed, files) = (letter.typed.clone(), visitor.request.body.files().to_vec());
    let mark = tokio::task::spawn_blocking(move || Mark::of(&from, &to, &typed, &files));
    let (once, now) = (&visitor.portal.memory.once, visitor.portal.now());
    Some(once.turn(mark.await.ok()?, now).await)
}

/// Sends what was written: it is looked at, made a message of and kept. What takes longer than
/// there is time for is not kept.
async fn send<K>(
    visitor: &Visitor<'_>,
    letter: Letter<'_>,
    keep: impl FnOnce(Bytes) -> K,
) -> Result<Answer, NotSent>
where
    K: Future<Output = Result<u64, StoreError>>,
{
    let late = || {
        let (field, key) = match visitor.request.body.files() {
            [] => ("text", "reply.later"),
            _ => ("files", "reply.scan"),
        };
        NotSent::new(Status::SERVICE_UNAVAILABLE, field, visitor.say().t(key))
    };
    let until = visitor.portal.now() + LOOKING;
    let looking = async {
        let turn = turn(visitor, &letter).await.ok_or_else(late)?;
        match turn.is_sent() {
            true => Ok((turn, None)),
            false => Ok((turn, Some(made(visitor, letter).await?))),
        }
    };
    let looked = timeout(LOOKING, looking).await;
    let (turn, made) = looked.map_err(|_| late())??;
    let Some(Made { content, place }) = made else {
        return Ok(visitor.on(&["replied"]));
    };
    // It may have been done in the moment in which time was up, or long after where the machine
    // stood still: somebody was told to send it again.
    if visitor.portal.now() > until {
        return Err(late());
    }
    let answer = kept(visitor, keep(content.into()).await, place)?;
    turn.sent();
    Ok(answer)
}

/// A message that was made, and that counts.
struct Made<'v> {
    content: Vec<u8>,
    place: Place<'v>,
}

/// Looks at what was written, and makes the message of it.
async fn made<'v>(visitor: &'v Visitor<'_>, letter: Letter<'_>) -> Result<Made<'v>, NotSent> {
    let say = visitor.say();
    let wrong = |field, key: &str| NotSent::new(Status::UNPROCESSABLE_ENTITY, field, say.t(key));
    let files = taken(visitor).await?;
    if letter.typed.text.trim().is_empty() && files.is_empty() {
        return Err(wrong("text", "reply.empty"));
    }
    let most = usize::try_from(TEXT_MAX).unwrap_or(usize::MAX);
    if letter.typed.text.chars().count() > most {
        return Err(wrong("text", "reply.text_too_long"));
    }
    let later = || NotSent::new(Status::SERVICE_UNAVAILABLE, "text", say.t("reply.later"));
    let place = visitor
        .portal
        .memory
        .sent
        .take(letter.from, visitor.portal.now());
    let place = place.map_err(|wait| {
        let (count, when) = (MAX_SENT_PER_HOUR.to_string(), forms::when(&say, wait));
        let text = say.with2("reply.too_often", ("count", &count), ("when", &when));
        NotSent::new(Status::TOO_MANY_REQUESTS, "text", text)
    })?;
    let (mut id, mut boundary) = ([0u8; 16], [0u8; 16]);
    random(&mut id).map_err(|_| later())?;
    random(&mut boundary).map_err(|_| later())?;
    let options = &visitor.portal.options;
    let author = format!("{}@{}", options.reply_from, letter.to.domain());
    let author = Address::parse(&author).map_err(|_| later())?;
    let id: String = id.iter().map(|octet| format!("{octet:02x}")).collect();
    let subject = letter.typed.subject.clone();
    let (via, date) = (options.operator.name.clone(), visitor.portal.now());
    let (from, to) = (letter.from.clone(), letter.to.clone());
    let to_name = letter.to_name.map(str::to_owned);
    let (answers, text) = (letter.answers, letter.typed.text.clone());
    let composed = tokio::task::spawn_blocking(move || {
        compose(&Compose {
            author: &author,
            via: &via,
            replier: &from,
            to: &to,
            to_name: to_name.as_deref(),
            subject: &subject,
            answers: answers.as_ref(),
            text: &text,
            files: &files,
            date,
            id: &id,
            boundary,
        })
    });
    let content = composed.await.map_err(|_| later())?;
    Ok(Made { content, place })
}

fn kept(
    visitor: &Visitor<'_>,
    kept: Result<u64, StoreError>,
    place: Place<'_>,
) -> Result<Answer, NotSent> {
    let say = visitor.say();
    match kept {
        Ok(_) => {
            place.keep();
            Ok(visitor.on(&["replied"]))
        }
        Err(StoreError::TooLarge { most }) => {
            let text = say.with("reply.too_large", "size", say.limit(most));
            Err(NotSent::new(Status::PAYLOAD_TOO_LARGE, "files", text))
        }
        Err(error) => {
            tracing::warn!(%error, "a reply was not kept");
            let text = say.t("reply.later");
            Err(NotSent::new(Status::SERVICE_UNAVAILABLE, "text", text))
        }
    }
}

/// The form is none of this browser's pages any more, as after signing in again in another tab.
fn outdated(visitor: &Visitor<'_>) -> NotSent {
    let (field, key) = match visitor.request.body.files() {
        [] => ("text", "error.403_again"),
        _ => ("files", "reply.outdated"),
    };
    NotSent::new(Status::FORBIDDEN, field, visitor.say().t(key))
}

fn surrounded<'v>(visitor: &'v Visitor<'_>, not_sent: NotSent) -> (Status, Shell<'v>) {
    let problem = Some(Problem::field(not_sent.field, not_sent.text));
    let shell = visitor.shell();
    (not_sent.status, Shell { problem, ..shell })
}

/// A subject without the marks of answers before it.
fn bare(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some((mark, behind)) = rest.split_once(':') {
        let known = ["re", "aw", "antw", "sv", "回复"];
        if !known
            .iter()
            .any(|known| known.eq_ignore_ascii_case(mark.trim()))
        {
            break;
        }
        rest = behind.trim_start();
    }
    rest
}

async fn reply(visitor: &Visitor<'_>) -> Answer {
    if !visitor.portal.options.replies {
        return visitor.error(Status::NOT_FOUND);
    }
    let gate = match Gate::pass(visitor) {
        Ok(gate) => gate,
        Err(answer) => return *answer,
    };
    let record = &gate.record;
    if !record.answerable {
        return visitor.error(Status::NOT_FOUND);
    }
    let people = (record.recipient.to_string(), view::author(record));
    let limit = visitor.portal.options.files.octets;
    let draw = |(status, shell), typed| {
        let page = forms::reply(shell, &record.reference, people.clone(), typed, limit);
        let note = record.reference.to_string();
        visitor.form_page(status, page).note(&note)
    };
    if !visitor.posts() {
        let store = &visitor.portal.store;
        let subject = store.subjects(&[record.reference]).await;
        let subject = subject.into_iter().flatten().next().unwrap_or_default();
        return draw((Status::OK, visitor.shell()), untyped(bare(&subject)));
    }
    let typed = typed(visitor);
    if !visitor.is_ours() {
        return draw(surrounded(visitor, outdated(visitor)), typed);
    }
    match send_reply(visitor, record, &typed).await {
        Ok(answer) => answer.note(&record.reference.to_string()),
        Err(not_sent) => draw(surrounded(visitor, not_sent), typed),
    }
}

async fn send_reply(
    visitor: &Visitor<'_>,
    record: &Record,
    typed: &Writing,
) -> Result<Answer, NotSent> {
    let letter = Letter {
        from: &record.recipient,
        to: &record.author,
        to_name: record.author_name.as_deref(),
        answers: Some(visitor.portal.identifiers(record)),
        typed,
    };
    let keep = |content| {
        visitor.portal.store.reply(NewReply {
            answers: record.reference,
            level: record.level,
            content,
        })
    };
    send(visitor, letter, keep).await
}

/// What was replied. What an outsider began stands nowhere: it answers nothing that is kept.
fn sent(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let sees_from = match visitor.facts() {
        Ok(facts) => facts.and_then(|facts| facts.sees_from),
        Err(error) => return visitor.failed(&error),
    };
    let (store, shell) = (&visitor.portal.store, visitor.shell());
    let mut items: Vec<(Timestamp, Item)> = Vec::new();
    for record in store.mailbox(&session.address) {
        if sees_from.is_some_and(|from| super::messages::came(&record) < from) {
            continue;
        }
        let href = record
            .is_live()
            .then(|| format!("/box/{}", record.reference));
        items.extend(store.replies(&record.reference).iter().map(|it| {
            let item = Item {
                href: href.clone(),
                from: view::in_a_list(&view::author(&record)),
                subject: shell.t("sent.reply"),
                ..view::reply(&shell.say, it)
            };
            (it.time, item)
        }));
    }
    items.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let pages = items.len().div_ceil(PAGE_REPLIES).max(1);
    let page = visitor.head().query.get("page");
    let page = page.and_then(|it| it.parse().ok()).unwrap_or(1usize);
    let page = page.clamp(1, pages);
    let shown = items.into_iter().skip((page - 1) * PAGE_REPLIES);
    let to = |page: usize| format!("/sent?page={page}");
    let page = SentPage {
        items: shown.take(PAGE_REPLIES).map(|(_, item)| item).collect(),
        newer: (page > 1).then(|| to(page - 1)),
        older: (page < pages).then(|| to(page + 1)),
        s: shell,
    };
    visitor.page(Status::OK, page)
}

/// A message to one of the operator's addresses. First it is made sure whose address it is from.
async fn write(visitor: &Visitor<'_>) -> Answer {
    let options = &visitor.portal.options;
    if options.write_to.is_empty() {
        return visitor.error(Status::NOT_FOUND);
    }
    let to: Vec<String> = options.write_to.iter().map(Address::to_string).collect();
    let Some(session) = visitor.member() else {
        return first(visitor, &to);
    };
    let from = session.address.to_string();
    let limit = options.files.octets;
    let draw = |(status, shell), typed| {
        let page = forms::write(shell, &from, &to, typed, limit);
        visitor.form_page(status, page)
    };
    if !visitor.posts() {
        return draw((Status::OK, visitor.shell()), untyped(""));
    }
    let typed = typed(visitor);
    if !visitor.is_ours() {
        return draw(surrounded(visitor, outdated(visitor)), typed);
    }
    let listed = options
        .write_to
        .iter()
        .find(|it| it.to_string() == typed.to);
    let done = match listed {
        Some(to) => begin(visitor, &session.address, to, &typed).await,
        None => {
            let text = visitor.say().t("error.400_text");
            Err(NotSent::new(Status::BAD_REQUEST, "to", text))
        }
    };
    match done {
        Ok(answer) => answer,
        Err(not_sent) => draw(surrounded(visitor, not_sent), typed),
    }
}

async fn begin(
    visitor: &Visitor<'_>,
    from: &Address,
    to: &Address,
    typed: &Writing,
) -> Result<Answer, NotSent> {
    let letter = Letter {
        from,
        to,
        to_name: None,
        answers: None,
        typed,
    };
    let store = &visitor.portal.store;
    let keep = |content| store.begin(from.clone(), to.clone(), Level::Protected, content);
    send(visitor, letter, keep).await
}

fn first(visitor: &Visitor<'_>, to: &[String]) -> Answer {
    if !visitor.posts() {
        let page = forms::write_first(visitor.shell(), to, String::new());
        return visitor.page(Status::OK, page);
    }
    let draw = |(status, shell), typed| {
        let page = forms::write_first(shell, to, typed);
        visitor.page(status, page)
    };
    let visit = Visit {
        writes: true,
        ..Visit::default()
    };
    visitor.goes_by_address(visit, draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_answers_are_taken_off() {
        assert_eq!(bare("Re: AW: re:  Results"), "Results");
        assert_eq!(bare("Results: all of them"), "Results: all of them");
        assert_eq!(bare(""), "");
    }
}
