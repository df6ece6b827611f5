//! Codes: asked for and typed. By mail, and by the number that a sender gave.
//!
//! A code is mailed in the background: whether there is somebody to mail it to does not show in the
//! time that the answer takes.

use std::time::Duration;

use super::forms;
use super::portal::{Portal, Written};
use super::routes::Page;
use super::shell::{Problem, Shell};
use super::visitor::{COOKIE, Visitor};
use crate::mail::{Address, Language, PhoneNumber, Reference};
use crate::portal::http::{Answer, Status};
use crate::portal::proof::codes::DIGITS;
use crate::portal::proof::{
    Asked, Caller, Channel, ProofError, Step, Token, TooOften, same_mailbox,
};
use crate::proto::link::AskCode;

/// Longest wait that a page says.
const MAX_WAIT_SECS: u64 = 86_400;

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    match page {
        Page::Send => send(visitor),
        Page::Phone => phone(visitor).await,
        Page::PhoneSend => phone_send(visitor).await,
        _ => code(visitor).await,
    }
}

impl Portal {
    /// Has a code mailed, if there is somebody to mail it to. It goes where a sender or the
    /// account's owner wrote; only an outsider whom nobody knows, and who is there to write, gets
    /// it where it was typed. Where that is, is looked up in the background.
    fn mail_code(
        &self,
        address: &Address,
        (asked, named): (Asked, Option<Reference>),
        (exists, writes): (bool, bool),
        (caller, language): (Caller, Language),
    ) -> Result<Result<(), TooOften>, ProofError> {
        let exists = exists || writes;
        let issued = match self.desk.ask_mailbox(address, asked, exists, caller)? {
            Ok(issued) => issued,
            Err(often) => return Ok(Err(often)),
        };
        let Some(issued) = issued else {
            return Ok(Ok(()));
        };
        let (store, desk, now) = (self.store.clone(), self.desk.clone(), self.now());
        let (mailer, typed) = (self.mailer.clone(), address.clone());
        tokio::spawn(async move {
            let written = Written::find(&store, &desk, &typed, named, now);
            let outsider = writes.then_some(Written {
                address: typed,
                author: None,
            });
            let Some(to) = written.or(outsider) else {
                desk.codes.lost(issued.ticket);
                return;
            };
            let ask = AskCode {
                recipient: to.address,
                code: issued.code.expose().to_owned(),
                language,
                minutes: issued.minutes,
                author: to.author,
            };
            match mailer.send(ask).await {
                Some(queue_id) => desk.codes.queued(issued.ticket, queue_id),
                None => desk.codes.lost(issued.ticket),
            }
        });
        Ok(Ok(()))
    }
}

impl Visitor<'_> {
    /// Where from, and in which browser; `None` where its token stands for nothing any more.
    fn caller(&self, token: &str) -> Option<Caller> {
        let seat = self.portal.desk.sessions.seat(token, self.portal.now())?;
        let client = self.head().client;
        Some(Caller { client, seat })
    }

    /// A code was asked for, and that was taken. Where one was made, be it for nobody, the visit
    /// waits for it: as many visits may wait as there are codes, and no more.
    fn has_asked(&self, token: &str, address: &Address, caller: Caller) {
        let (desk, now) = (&self.portal.desk, self.portal.now());
        let channel = Channel::mailbox(address);
        if desk.codes.is_live(&channel, caller.seat, now) {
            desk.sessions.asked(token, now);
        }
    }

    /// What is said where none was sent: how long one from before is good, and when to ask again.
    fn soon(&self, wait: Duration) -> String {
        let life = self.portal.desk.codes.life().as_secs() / 60;
        let say = self.say();
        let when = forms::when(&say, wait);
        say.with2("code.soon", ("minutes", &life.to_string()), ("when", &when))
    }
}

/// Has a code mailed for a notice's link, in the browser of this token. Whether there is such a
/// message does not show: the page that asks for the code is the same.
pub(super) fn mail(visitor: &Visitor<'_>, reference: Reference, token: &Token) -> Answer {
    let (portal, language) = (visitor.portal, visitor.language);
    let record = portal.store.record(&reference);
    let recipient = match &record {
        Some(record) => Ok(record.recipient.clone()),
        // Counted like the rest.
        None => Address::parse(&format!("{reference}@nobody.invalid")),
    };
    let mut path = visitor.path(&["sign-in", "code"]);
    if let (Ok(recipient), Some(caller)) = (recipient, visitor.caller(token.expose())) {
        let asked = (Asked::ByReference, record.is_some().then_some(reference));
        let exists = (record.is_some(), false);
        let to = (caller, language);
        match portal.mail_code(&recipient, asked, exists, to) {
            Ok(Ok(())) => visitor.has_asked(token.expose(), &recipient, caller),
            Ok(Err(often)) => {
                let wait = often.until.since(portal.now());
                path = path.with("soon", &wait.as_secs().max(1).to_string());
            }
            Err(error) => tracing::error!(%error, "a code cannot be made"),
        }
    }
    Answer::see_other(&path).cookie(COOKIE, token.expose())
}

fn send(visitor: &Visitor<'_>) -> Answer {
    let Some(address) = visitor.address() else {
        return visitor.on(&[]);
    };
    let portal = visitor.portal;
    let target = visitor.target();
    let writes = visitor.writes();
    let asked = match target {
        Some(_) => Asked::ByReference,
        None if writes => Asked::ByWriting,
        None => Asked::ByAddress,
    };
    let exists = (portal.knows(address), writes);
    let Some(caller) = visitor.caller(visitor.token()) else {
        return visitor.on(&[]);
    };
    let to = (caller, visitor.language);
    match portal.mail_code(address, (asked, target), exists, to) {
        Ok(Ok(())) => {
            let again = visitor.visit().is_some_and(|visit| visit.code_asked);
            visitor.has_asked(visitor.token(), address, caller);
            let mut path = visitor.path(&["sign-in", "code"]);
            if let (Some(_), Some(reference)) = (visitor.session(), target) {
                path = path.with("for", &reference.to_string());
            }
            if let Some(onward) = visitor.onward() {
                path = path.with("to", onward.name());
            }
            if again {
                path = path.with("again", "1");
            }
            Answer::see_other(&path)
        }
        Ok(Err(often)) => {
            let shell = visitor.shell();
            let wait = often.until.since(portal.now());
            let problem = Some(Problem::page(visitor.soon(wait)));
            draw(
                visitor,
                Status::TOO_MANY_REQUESTS,
                Shell { problem, ..shell },
            )
            .retry_after(wait.as_secs().max(1))
        }
        Err(error) => visitor.failed(&error),
    }
}

fn draw(visitor: &Visitor<'_>, status: Status, shell: Shell<'_>) -> Answer {
    let minutes = visitor.portal.desk.codes.life().as_secs() / 60;
    let mut page = forms::code(shell, minutes, visitor.ways(Step::MailboxCode));
    page.action = visitor.for_target(&page.action);
    if let Some(again) = page.ways.first_mut() {
        again.href = visitor.for_target(&again.href);
    }
    visitor.page(status, page)
}

/// Digits as they were typed: blanks and hyphens between them do not count. `None` for what cannot
/// be a code, which then costs no try.
fn digits(typed: &str) -> Option<String> {
    let kept: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .take(DIGITS + 1)
        .collect();
    (kept.len() == DIGITS && kept.bytes().all(|b| b.is_ascii_digit())).then_some(kept)
}

async fn code(visitor: &Visitor<'_>) -> Answer {
    let (true, Some(address)) = (visitor.posts(), visitor.address()) else {
        let shell = visitor.shell();
        let again = visitor.head().query.get("again").is_some();
        let soon = visitor.head().query.get("soon");
        let soon: Option<u64> = soon.and_then(|secs| secs.parse().ok());
        let told = match soon {
            // What a link says is no more than a number: it is kept within a day.
            Some(secs) => Some(visitor.soon(Duration::from_secs(secs.min(MAX_WAIT_SECS)))),
            None => again.then(|| shell.t("code.resent")),
        };
        return draw(visitor, Status::OK, Shell { told, ..shell });
    };
    let again = |key: &str| {
        let shell = visitor.wrong("code", key);
        draw(visitor, Status::UNPROCESSABLE_ENTITY, shell)
    };
    let Some(typed) = digits(visitor.field("code")) else {
        return again("code.malformed");
    };
    let writes = visitor.writes();
    let exists = writes || visitor.portal.knows(address);
    let desk = &visitor.portal.desk;
    let Some(caller) = visitor.caller(visitor.token()) else {
        return visitor.on(&[]);
    };
    let tried = desk.try_mailbox(address, exists, &typed, caller);
    let tried = tried.await;
    visitor.tried(address, tried, "code.wrong", again).await
}

/// The number of the message that somebody wants to read, if it is theirs.
fn number(visitor: &Visitor<'_>) -> Option<(Reference, PhoneNumber)> {
    let (reference, session) = (visitor.target()?, visitor.member()?);
    let record = visitor.portal.store.record(&reference)?;
    let own = same_mailbox(&record.recipient, &session.address);
    let phone = record.phone.clone().filter(|_| own)?;
    Some((reference, phone))
}

/// The form for a code that was sent to a number.
fn draw_phone(
    visitor: &Visitor<'_>,
    phone: &PhoneNumber,
    status: Status,
    shell: Shell<'_>,
) -> Answer {
    let ways = visitor.ways(Step::PhoneCode);
    let mut page = forms::phone_code(shell, phone.ending(), ways);
    page.action = visitor.for_target(&page.action);
    if let Some(again) = page.ways.first_mut() {
        again.href = visitor.for_target(&again.href);
    }
    visitor.page(status, page)
}

async fn phone(visitor: &Visitor<'_>) -> Answer {
    let Some((reference, phone)) = number(visitor) else {
        return visitor.error(Status::NOT_FOUND);
    };
    let draw = |status, shell| draw_phone(visitor, &phone, status, shell);
    if !visitor.posts() {
        if visitor.head().query.get("sent").is_some() {
            return draw(Status::OK, visitor.shell());
        }
        let ways = visitor.ways(Step::PhoneCode);
        let mut page = forms::phone_send(visitor.shell(), phone.ending(), ways);
        page.action = visitor.for_target(&page.action);
        return visitor.page(Status::OK, page);
    }
    let again = |key: &str| {
        let shell = visitor.wrong("code", key);
        draw(Status::UNPROCESSABLE_ENTITY, shell)
    };
    let (Some(typed), Some(session)) = (digits(visitor.field("code")), visitor.session()) else {
        return again("code.malformed");
    };
    let desk = &visitor.portal.desk;
    let Some(caller) = visitor.caller(visitor.token()) else {
        return visitor.on(&[]);
    };
    let tried = desk.try_phone(reference, &typed, caller);
    let tried = tried.await;
    visitor
        .tried(&session.address, tried, "code.wrong", again)
        .await
}

async fn phone_send(visitor: &Visitor<'_>) -> Answer {
    let Some((reference, phone)) = number(visitor) else {
        return visitor.error(Status::NOT_FOUND);
    };
    let operator = visitor.portal.options.operator.name.clone();
    let say = visitor.say();
    let text = |code: &str, _minutes: u32| {
        say.with2("phone.text", ("operator", &operator), ("code", code))
    };
    let desk = &visitor.portal.desk;
    let Some(caller) = visitor.caller(visitor.token()) else {
        return visitor.on(&[]);
    };
    let channel = Channel::Phone(reference);
    let asked = desk.ask_phone(reference, &phone, caller, text);
    match asked.await {
        Ok(Ok(Some(()))) => {
            let path = visitor.path(&["sign-in", "phone"]).with("sent", "1");
            Answer::see_other(&path.with("for", &reference.to_string()))
        }
        Ok(Ok(None)) => {
            let shell = visitor.shell();
            let problem = Some(Problem::page(shell.t("phone.failed")));
            let ways = visitor.ways(Step::PhoneCode);
            let page = forms::phone_send(Shell { problem, ..shell }, phone.ending(), ways);
            visitor.page(Status::SERVICE_UNAVAILABLE, page)
        }
        // One from before is good still: the page asks for it.
        Ok(Err(often))
            if desk
                .codes
                .is_live(&channel, caller.seat, visitor.portal.now()) =>
        {
            let shell = visitor.shell();
            let wait = often.until.since(visitor.portal.now());
            let problem = Some(Problem::page(visitor.soon(wait)));
            let shell = Shell { problem, ..shell };
            draw_phone(visitor, &phone, Status::TOO_MANY_REQUESTS, shell)
                .retry_after(wait.as_secs().max(1))
        }
        Ok(Err(often)) => visitor.locked(often),
        Err(error) => visitor.failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_code_costs_no_try() {
        assert_eq!(digits("1234 5678").as_deref(), Some("12345678"));
        assert_eq!(digits("1234-56 78").as_deref(), Some("12345678"));
        for typed in ["", "1234567", "123456789", "1234567a", "１２３４５６７８"] {
            assert_eq!(digits(typed), None, "{typed}");
        }
    }
}
