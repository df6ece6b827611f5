//! The site: what all its pages share, and the way of a request to its page.
//!
//! The order: who asks, is the form ours, has enough been shown, then the page. Nothing behind
//! these checks is reached around them; each message page judges the message anew besides.

use std::fmt;
use std::sync::Arc;

use askama::Template;

use super::forms::{self, Ended};
use super::mailer::Mailer;
use super::memory::Memory;
use super::operator::Operator;
use super::routes::{self, Needs, Page, Row};
use super::say::{Say, accepted};
use super::sending::Claim;
use super::shell::Shell;
use super::visitor::{COOKIE, Visitor};
use super::{account, codes, messages, passkeys, sign_in, writing};
use crate::locale::Texts;
use crate::mail::{Address, Language, Reference, Timestamp};
use crate::portal::answer::FileRules;
use crate::portal::answer::clamd::Clamd;
use crate::portal::http::{Answer, Head, Method, Problem, Request, Route, Site, Status};
use crate::portal::proof::sessions::Found;
use crate::portal::proof::{Desk, Moment, Proof, ProofError, Session, TooOften, same_mailbox};
use crate::portal::store::{Record, Store};
use crate::world::BoxFuture;
use crate::world::clock::Clock;

/// Most octets beside the files of a reply.
const MAX_FORM_EXTRA: u64 = 512 * 1024;

/// What the operator decides of the pages.
#[derive(Debug)]
pub struct SiteOptions {
    /// Who runs the portal.
    pub operator: Operator,
    /// The texts.
    pub texts: Texts,
    /// The language of whoever names none that there is.
    pub language: Language,
    /// Whether recipients may reply.
    pub replies: bool,
    /// Which files are taken.
    pub files: FileRules,
    /// Who looks for malware in them.
    pub clamd: Option<Clamd>,
    /// To whom outsiders may write.
    pub write_to: Vec<Address>,
    /// The local part of the address that replies come from, in the domain of whom they go to.
    pub reply_from: String,
}

/// The site.
pub struct Portal {
    /// The deposits.
    pub store: Store,
    /// Who somebody is.
    pub desk: Arc<Desk>,
    /// Who has codes mailed.
    pub mailer: Arc<dyn Mailer>,
    /// What the operator decided.
    pub options: SiteOptions,
    /// What outlives a reload.
    pub(super) memory: Arc<Memory>,
    clock: Clock,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").finish_non_exhaustive()
    }
}

impl Portal {
    /// Puts it together. Pages that take the place of others have the same `memory`.
    pub fn new(
        store: Store,
        desk: Arc<Desk>,
        mailer: Arc<dyn Mailer>,
        memory: Arc<Memory>,
        options: SiteOptions,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            desk,
            mailer,
            options,
            memory,
            clock,
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a code may be mailed to an address: something was left for it, or it has an account.
    pub fn knows(&self, address: &Address) -> bool {
        let facts = self.desk.accounts.facts(address, self.now());
        // Both are looked at, and no deposit is read: it takes the same time for everybody.
        self.store.has(address) | facts.is_ok_and(|facts| !facts.is_empty())
    }

    /// Where mail for a mailbox goes; see [`Written`]. Reads deposits.
    fn spelling(&self, typed: &Address, named: Option<Reference>) -> Option<Address> {
        let written = Written::find(&self.store, &self.desk, typed, named, self.now());
        written.map(|it| it.address)
    }

    /// Whether a request may bring files: where they are taken at all, from whoever has shown who
    /// they are. Anybody else's would only fill the memory.
    fn may_upload(&self, page: Page, head: &Head) -> bool {
        let taken = match page {
            Page::Reply => self.options.replies,
            Page::Write => !self.options.write_to.is_empty(),
            _ => false,
        };
        let token = head.cookies.get(COOKIE).filter(|_| taken);
        let found = token.and_then(|token| self.desk.sessions.find(token, self.now()));
        match found {
            Some(Found::Session(session)) => page == Page::Reply || session.proofs.holds_address(),
            Some(Found::Visit(_)) | None => false,
        }
    }

    async fn respond(&self, request: Request) -> Answer {
        let visitor = Visitor::new(self, &request);
        let Some(row) = routes::find(&visitor.head().path) else {
            return visitor.error(Status::NOT_FOUND);
        };
        // Pages that anybody asks for without a cookie have forms too: where they come from was
        // looked at before; what is bound to a browser is bound from the first cookie on. Where
        // nothing is lost by it, such a form is drawn again.
        if visitor.posts() && !visitor.is_ours() && !draws_again(row.page) {
            return match (row.needs, &visitor.found) {
                (Needs::Nothing, _) | (_, Some(_)) => visitor.error(Status::FORBIDDEN),
                (_, None) => visitor.over(row),
            };
        }
        match visitor.may(row) {
            true => self.show(&visitor, row).await,
            false => visitor.over(row),
        }
    }

    async fn show(&self, visitor: &Visitor<'_>, row: &Row) -> Answer {
        match row.page {
            Page::Start
            | Page::Waits
            | Page::WaitsWay
            | Page::SignIn
            | Page::SignOut
            | Page::Password
            | Page::NewPassword
            | Page::Secret
            | Page::Totp
            | Page::Recovery
            | Page::Anew => sign_in::show(visitor, row.page).await,
            Page::Send | Page::Code | Page::Phone | Page::PhoneSend => {
                codes::show(visitor, row.page).await
            }
            Page::Passkey | Page::AccountPasskey | Page::PasskeyRemove => {
                passkeys::show(visitor, row.page).await
            }
            Page::Box
            | Page::Message
            | Page::Html
            | Page::Frame
            | Page::File
            | Page::Zip
            | Page::Original
            | Page::Print => messages::show(visitor, row.page).await,
            Page::Reply | Page::Replied | Page::Sent | Page::Write => {
                writing::show(visitor, row.page).await
            }
            Page::Account
            | Page::AccountPassword
            | Page::AccountTotp
            | Page::TotpRemove
            | Page::AccountRecovery
            | Page::AccountLanguage
            | Page::SignOutEverywhere
            | Page::AccountDelete => account::show(visitor, row.page).await,
            Page::SignedOut => visitor.page(Status::OK, forms::signed_out(visitor.shell())),
            Page::Ended => visitor.ended(),
            Page::Deleted => visitor.page(Status::OK, forms::deleted(visitor.shell())),
            Page::Help => visitor.page(Status::OK, forms::help(visitor.shell())),
            Page::Imprint => match visitor.shell().imprint() {
                Some(_) => visitor.page(Status::OK, forms::imprint(visitor.shell())),
                None => visitor.error(Status::NOT_FOUND),
            },
        }
    }
}

/// Pages that know for themselves what to do with a form that is none of this browser's: they do
/// nothing of what it says, draw it again with what was typed, or lead to where it stands. It is not
/// always forged: a button that was pressed twice, and another tab in which somebody signed in, send
/// such forms.
const fn draws_again(page: Page) -> bool {
    matches!(
        page,
        Page::Start | Page::Waits | Page::WaitsWay | Page::Write | Page::Reply
    )
}

/// A mailbox's address as a sender or its owner wrote it: mail of ours goes there, and never to
/// what somebody typed.
pub(super) struct Written {
    /// The address.
    pub address: Address,
    /// Who wrote the message that it was taken from, if that can still be opened.
    pub author: Option<Address>,
}

impl Written {
    /// As the named message has it, if it is for this mailbox; else the newest that can be opened;
    /// else the account; else what has ended. Reads deposits: not to be called before a throttle.
    pub fn find(
        store: &Store,
        desk: &Desk,
        typed: &Address,
        named: Option<Reference>,
        now: Timestamp,
    ) -> Option<Self> {
        let of = |record: &Record| {
            let live = record.is_live() && record.expires > now;
            let address = record.recipient.clone();
            let author = live.then(|| record.author.clone());
            Self { address, author }
        };
        let named = named.and_then(|named| store.record(&named));
        let named = named.filter(|it| same_mailbox(&it.recipient, typed));
        if let Some(record) = named {
            return Some(of(&record));
        }
        let newest = store.newest(typed).map(|record| of(&record));
        if newest.as_ref().is_some_and(|it| it.author.is_some()) {
            return newest;
        }
        let account = desk.accounts.spelling(typed, now).ok().flatten();
        let account = account.map(|address| Self {
            address,
            author: None,
        });
        account.or(newest)
    }
}

impl Visitor<'_> {
    /// Whether enough was shown for a route. What a message needs is judged with the message.
    fn may(&self, row: &Row) -> bool {
        match row.needs {
            Needs::Nothing => true,
            Needs::Visit => self.found.is_some(),
            Needs::Session | Needs::Message => self.session().is_some(),
            Needs::Address => self.member().is_some(),
        }
    }

    /// To where what is missing can be shown.
    fn over(&self, row: &Row) -> Answer {
        if self.session().is_some() {
            return self.on(&["sign-in"]);
        }
        if row.page == Page::Reply && self.posts() {
            let page = forms::ended(self.shell(), Ended::Reply);
            return self.page(Status::FORBIDDEN, page);
        }
        match (row.needs, self.reference()) {
            (Needs::Message, Some(reference)) => self.on(&["m", &reference.to_string()]),
            (Needs::Message, None) => self.error(Status::NOT_FOUND),
            _ if self.token.is_some() && self.found.is_none() => {
                // The cookie stays: another one may have taken its place while this was asked.
                self.on(&["ended"])
            }
            _ => self.on(&[]),
        }
    }

    /// A page.
    pub fn page(&self, status: Status, page: impl Template) -> Answer {
        self.page_in(status, page, self.claim())
    }

    /// A form with what was typed into it: what is sent otherwise takes none of its room.
    pub(super) fn form_page(&self, status: Status, page: impl Template) -> Answer {
        let claim = self.portal.memory.forms.claim(self.head().client);
        self.page_in(status, page, claim)
    }

    /// A page, in the room that was claimed for it.
    pub(super) fn page_in(&self, status: Status, page: impl Template, claim: Claim) -> Answer {
        match page.render() {
            Ok(page) => match claim.hold(page.into()) {
                Some(page) => Answer::html(status, page),
                None => self.busy(),
            },
            Err(error) => {
                tracing::error!(%error, "a page of the portal cannot be drawn");
                Answer::problem_json(Problem::Broken)
            }
        }
    }

    /// Room for what is sent to this client.
    pub(super) fn claim(&self) -> Claim {
        self.portal.memory.sending.claim(self.head().client)
    }

    /// There is no room for it at the moment.
    pub(super) fn busy(&self) -> Answer {
        self.error(Status::SERVICE_UNAVAILABLE).retry_after(5)
    }

    /// The page of an error.
    pub fn error(&self, status: Status) -> Answer {
        self.page(status, forms::error(self.shell(), status.as_u16()))
    }

    /// The page after too many tries.
    pub fn locked(&self, often: TooOften) -> Answer {
        let wait = often.until.since(self.portal.now());
        let page = forms::locked(self.shell(), wait);
        self.page(Status::TOO_MANY_REQUESTS, page)
            .retry_after(wait.as_secs().max(1))
    }

    /// The page where proof cannot be looked at.
    pub fn failed(&self, error: &ProofError) -> Answer {
        if matches!(error, ProofError::Ended) {
            return self.on(&["ended"]);
        }
        match error {
            ProofError::Busy => self.busy(),
            error => {
                tracing::error!(%error, "a proof cannot be looked at");
                self.error(Status::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// The session is no more; unless this browser has another by now, as after a form that was sent
    /// twice.
    fn ended(&self) -> Answer {
        match (self.session().and_then(|it| it.reference), self.member()) {
            (Some(reference), _) => self.on(&["box", &reference.to_string()]),
            (None, Some(_)) => self.on(&["box"]),
            (None, None) => self.page(Status::OK, forms::ended(self.shell(), Ended::Idle)),
        }
    }

    /// Something was proved: a new cookie, and on.
    pub fn proved(&self, address: &Address, proof: Proof) -> Answer {
        self.proved_since(address, proof, self.began)
    }

    /// The same, for what was shown at this moment.
    pub(super) fn proved_since(&self, address: &Address, proof: Proof, shown: Moment) -> Answer {
        let (sessions, now) = (&self.portal.desk.sessions, self.portal.now());
        // From here on the address is the one that mail goes to, not the one that was typed: an
        // account that begins in this session keeps it.
        let spelling = self.portal.spelling(address, self.target());
        let address = spelling.as_ref().unwrap_or(address);
        let token = match sessions.prove(self.token(), address, proof, shown, now) {
            Ok(token) => token,
            Err(error) => return self.failed(&error),
        };
        let (onward, target) = (self.onward(), self.target());
        let confirms = onward.is_some() && matches!(proof, Proof::Account(_));
        let change = |session: &mut Session| {
            session.reference = target.or(session.reference);
            // It was shown for a change of the account, and for nothing else.
            session.again = confirms.then_some(now).or(session.again);
        };
        sessions.change_session(token.expose(), change, now);
        let on = match (onward, target) {
            (Some(onward), _) => self.on(onward.segments()),
            (None, Some(reference)) => self.on(&["box", &reference.to_string()]),
            (None, None) if self.writes() => self.on(&["write"]),
            (None, None) => self.on(&["box"]),
        };
        on.cookie(COOKIE, token.expose())
    }
}

impl Site for Portal {
    fn route(&self, head: &Head) -> Route {
        let Some(row) = routes::find(&head.path) else {
            return Route::NOWHERE;
        };
        let files = &self.options.files;
        let octets = files.octets.saturating_add(MAX_FORM_EXTRA);
        let reply = (usize::try_from(octets).unwrap_or(usize::MAX), files.files);
        let uploads = head.method == Method::Post && self.may_upload(row.page, head);
        row.route(uploads.then_some(reply))
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(self.respond(request))
    }

    fn ready(&self) -> bool {
        !*self.store.failure().borrow()
    }

    fn problem_page(&self, problem: Problem, head: Option<&Head>) -> Option<String> {
        let asked = head.and_then(|head| head.query.get("lang").and_then(Language::of_tag));
        let language = asked
            .or_else(|| head.and_then(|head| accepted(&head.accept_language)))
            .unwrap_or(self.options.language);
        let shell = Shell {
            operator: &self.options.operator,
            say: Say::new(self.options.texts.clone(), language),
            asked,
            // Not the path of what was refused: its languages are those of the start.
            path: "/".to_owned(),
            csrf: String::new(),
            member: None,
            typed: None,
            problem: None,
            told: None,
        };
        // Files from somebody who is signed in no more: that is what has to be said.
        let row = head.and_then(|head| routes::find(&head.path).map(|row| (row.page, head)));
        if let (Some((page @ (Page::Reply | Page::Write), head)), Problem::NotAForm) =
            (row, problem)
            && !self.may_upload(page, head)
        {
            return forms::ended(shell, Ended::Reply).render().ok();
        }
        let page = forms::error(shell, problem.status().as_u16());
        page.render().ok()
    }
}
