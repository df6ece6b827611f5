//! The way in: address or link, then what is known: password, secret, app, recovery code.
//!
//! Invariant: to somebody who has proved nothing every answer is the same, whether there is such an
//! address, message or account or not.

use super::again::Onward;
use super::forms;
use super::pages::{StepPage, Way};
use super::portal::Portal;
use super::routes::Page;
use super::shell::{Problem, Shell};
use super::visitor::{COOKIE, Visitor};
use super::{again, automated, codes};
use crate::mail::{Address, Reference, SecretBytes};
use crate::portal::http::{Answer, Status};
use crate::portal::proof::passwords::MIN_CHARS;
use crate::portal::proof::sessions::AGAIN;
use crate::portal::proof::{
    AccountError, Channel, Proof, ProofError, Step, Token, Tried, Typed, Verdict, Visit,
    WeakPassword, judge, same_mailbox,
};
use crate::proto::link::{Access, Happening, PickupEvent};

/// Longest text that is taken for an address.
const MAX_ADDRESS_CHARS: usize = 254;

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    match page {
        Page::Waits => waits(visitor),
        Page::WaitsWay => way(visitor),
        Page::SignIn => choose(visitor),
        Page::SignOut => sign_out(visitor),
        Page::Password => password(visitor).await,
        Page::NewPassword => new_password(visitor).await,
        Page::Secret => secret(visitor).await,
        Page::Totp => totp(visitor).await,
        Page::Recovery => recovery(visitor).await,
        Page::Anew => anew(visitor).await,
        _ => start(visitor),
    }
}

impl Portal {
    /// A visit for a notice's link. The address of a message that is not there is one that nobody
    /// has: everything after this goes the same way.
    fn visit_of(&self, reference: Reference) -> Visit {
        let address = self
            .store
            .record(&reference)
            .map(|record| record.recipient.clone())
            .or_else(|| Address::parse(&format!("{reference}@nobody.invalid")).ok());
        Visit {
            reference: Some(reference),
            address,
            ..Visit::default()
        }
    }
}

impl Visitor<'_> {
    /// Begins a visit in the place of what was there, and goes on.
    fn begin(&self, visit: Visit, to: &[&str]) -> Answer {
        match self.begun(visit) {
            Ok(token) => self.on(to).cookie(COOKIE, token.expose()),
            Err(error) => self.failed(&error),
        }
    }

    /// Begins a visit of the address that was typed, and goes on. `draw` draws the form again.
    pub(super) fn goes_by_address<'v>(
        &'v self,
        visit: Visit,
        draw: impl FnOnce((Status, Shell<'v>), String) -> Answer,
    ) -> Answer {
        let typed = self.field("address");
        let address = Address::parse(typed).ok();
        let again: String = typed.chars().take(MAX_ADDRESS_CHARS).collect();
        if !self.is_ours() {
            // Sent twice: what it was to begin has begun.
            let begun = self.visit().filter(|it| it.writes == visit.writes);
            let begun = begun.filter(|it| it.reference.is_none() && it.address.is_some());
            return match begun.is_some_and(|it| it.address == address) {
                true => self.on(&["sign-in"]),
                false => draw(self.outdated(), again),
            };
        }
        match address {
            Some(address) => {
                let visit = Visit {
                    address: Some(address),
                    ..visit
                };
                self.begin(visit, &["sign-in"])
            }
            None => {
                let shell = self.wrong("address", "start.problem");
                draw((Status::UNPROCESSABLE_ENTITY, shell), again)
            }
        }
    }

    fn begun(&self, visit: Visit) -> Result<Token, ProofError> {
        let visit = Visit {
            language: self.asked.or(visit.language),
            ..visit
        };
        let sessions = &self.portal.desk.sessions;
        let form = self.request.field("csrf").unwrap_or_default();
        sessions.begin_after((self.token(), form), visit, self.portal.now())
    }

    /// The page's surroundings with what went wrong.
    pub(super) fn wrong(&self, field: &'static str, key: &str) -> Shell<'_> {
        let shell = self.shell();
        Shell {
            problem: Some(Problem::field(field, shell.t(key))),
            ..shell
        }
    }

    /// Other ways than the one that is shown.
    pub(super) fn ways(&self, but: Step) -> Vec<Way> {
        let steps = self.steps().unwrap_or_default();
        let mut ways: Vec<Way> = steps
            .into_iter()
            .filter(|step| *step != but)
            .map(|step| self.way_of(step))
            .collect();
        let account = self.facts().ok().flatten().unwrap_or_default();
        let mailbox = self.session().is_some_and(|it| it.proofs.mailbox);
        if mailbox && !account.is_empty() && matches!(but, Step::Recovery | Step::Password) {
            let path = self.for_target("/sign-in/anew");
            ways.push(Way::link(path, self.say().t("ways.anew")));
        }
        ways
    }

    fn way_of(&self, step: Step) -> Way {
        let say = self.say();
        let text = match step {
            Step::MailboxCode => "ways.mail",
            Step::SetPassword => "newpass.title",
            Step::Password => "ways.password",
            Step::Passkey => "ways.passkey",
            Step::Totp => "ways.totp",
            Step::Secret => "ways.secret",
            Step::PhoneCode => "ways.phone",
            Step::Recovery => "ways.recovery",
        };
        let path = self.for_target(path_of(step));
        match step {
            Step::MailboxCode => Way::form(path, say.t(text)),
            _ => Way::link(path, say.t(text)),
        }
    }

    /// What somebody may do next. Before anything is proved: the same for everybody.
    fn steps(&self) -> Option<Vec<Step>> {
        let Some(session) = self.session() else {
            let mut steps = vec![Step::MailboxCode, Step::Password, Step::Passkey];
            if self.target().is_some() {
                steps.push(Step::Secret);
            }
            return Some(steps);
        };
        let record = self.portal.store.record(&self.target()?)?;
        if !same_mailbox(&record.recipient, &session.address) {
            return None;
        }
        let facts = self.facts().ok()?;
        let need = super::messages::need_of(&record);
        let means = self.portal.desk.means();
        match judge(&need, &session.proofs, facts.as_ref(), means) {
            Verdict::Wants(steps) => Some(steps),
            Verdict::Open(_) | Verdict::CannotBeOpened(_) => None,
        }
    }

    /// What a try came to. `again` draws the page with a text's key.
    pub(super) async fn tried(
        &self,
        address: &Address,
        tried: Result<Tried<Proof>, ProofError>,
        wrong: &str,
        again: impl Fn(&str) -> Answer,
    ) -> Answer {
        match tried {
            Ok(Tried::Right(proof)) => self.proved(address, proof),
            Ok(Tried::Wrong { last }) => {
                if last {
                    self.locked_out(address).await;
                }
                again(wrong)
            }
            Ok(Tried::InAMoment) => again("code.travelling"),
            Ok(Tried::Exposed) => again("code.unsafe"),
            Ok(Tried::Later(often)) => self.locked(often),
            Err(error) => self.failed(&error),
        }
    }

    /// Tells the line that no more tries are looked at.
    async fn locked_out(&self, address: &Address) {
        if !self.portal.knows(address) {
            return;
        }
        let event = PickupEvent {
            event: Happening::LockedOut,
            time: self.portal.now(),
            queue_id: None,
            message_id: None,
            author: None,
            recipient: Some(address.clone()),
            factors: Vec::new(),
            client: Some(self.head().client.to_string()),
            reasons: Vec::new(),
            actor: None,
            opened_before: None,
        };
        self.portal.store.owe(event).await;
    }
}

/// Where a step is done.
pub(super) const fn path_of(step: Step) -> &'static str {
    match step {
        Step::MailboxCode => "/sign-in/send",
        Step::SetPassword => "/sign-in/new-password",
        Step::Password => "/sign-in/password",
        Step::Passkey => "/sign-in/passkey",
        Step::Totp => "/sign-in/totp",
        Step::Secret => "/sign-in/secret",
        Step::PhoneCode => "/sign-in/phone",
        Step::Recovery => "/sign-in/recovery",
    }
}

fn start(visitor: &Visitor<'_>) -> Answer {
    if !visitor.posts() {
        return match visitor.member() {
            Some(_) => visitor.on(&["box"]),
            None => visitor.page(Status::OK, forms::start(visitor.shell(), String::new())),
        };
    }
    let draw = |(status, shell), typed| visitor.page(status, forms::start(shell, typed));
    visitor.goes_by_address(Visit::default(), draw)
}

/// A notice's link. GET changes nothing; what looks like a program is noted, in the background, so
/// that it takes no longer where there is such a message.
fn waits(visitor: &Visitor<'_>) -> Answer {
    let Some(reference) = visitor.reference() else {
        return visitor.error(Status::NOT_FOUND);
    };
    if visitor.posts() && !visitor.is_ours() {
        return stale(visitor, reference);
    }
    if visitor.posts() {
        return match visitor.begun(visitor.portal.visit_of(reference)) {
            Ok(token) => codes::mail(visitor, reference, &token),
            Err(error) => visitor.failed(&error),
        };
    }
    let automated = automated::reasons(visitor.head());
    if !automated.is_empty() && visitor.portal.store.record(&reference).is_some() {
        let access = Access {
            time: visitor.portal.now(),
            factors: Vec::new(),
            client: visitor.head().client.to_string(),
            automated,
            what: "read".to_owned(),
        };
        let store = visitor.portal.store.clone();
        tokio::spawn(async move { store.note_probe(&reference, access).await });
    }
    if let Some(session) = visitor.member() {
        // Whose session it is, is known: only whether the message is theirs is asked.
        let own = visitor.portal.store.record(&reference);
        let own = own.filter(|it| same_mailbox(&it.recipient, &session.address));
        if own.is_some() {
            let address = session.address.to_string();
            let page = forms::confirm(visitor.shell(), &address, &reference);
            return visitor.page(Status::OK, page).note(&reference.to_string());
        }
    }
    let page = forms::waits(visitor.shell(), &reference);
    visitor.page(Status::OK, page).note(&reference.to_string())
}

/// A notice's link, and then another way than a code.
fn way(visitor: &Visitor<'_>) -> Answer {
    let way = visitor.head().path.get(2).map(String::as_str);
    let (Some(reference), Some(way @ ("password" | "passkey" | "secret"))) =
        (visitor.reference(), way)
    else {
        return visitor.error(Status::NOT_FOUND);
    };
    if !visitor.is_ours() {
        return stale(visitor, reference);
    }
    visitor.begin(visitor.portal.visit_of(reference), &["sign-in", way])
}

/// A notice's form that is not of this browser's pages any more, as after it was sent twice. Nothing
/// is done for it: it goes on to where its code is asked for, if there is one, or to the page that
/// the form stood on, as it is now.
fn stale(visitor: &Visitor<'_>, reference: Reference) -> Answer {
    let visit = visitor.visit().filter(|it| it.reference == Some(reference));
    let waits = visit.and_then(|it| it.address.as_ref()).is_some_and(|it| {
        let (channel, now) = (Channel::mailbox(it), visitor.portal.now());
        let desk = &visitor.portal.desk;
        let seat = desk.sessions.seat(visitor.token(), now);
        seat.is_some_and(|seat| desk.codes.is_live(&channel, seat, now))
    });
    match waits {
        true => visitor.on(&["sign-in", "code"]),
        false => visitor.on(&["m", &reference.to_string()]),
    }
}

fn choose(visitor: &Visitor<'_>) -> Answer {
    let typed = visitor.visit().filter(|visit| visit.reference.is_none());
    let address = typed.and_then(|visit| visit.address.as_ref());
    let mut page = forms::sign_in(
        visitor.shell(),
        &address.map(Address::to_string).unwrap_or_default(),
    );
    if address.is_none() {
        page.lead = vec![visitor.say().t("waits.how")];
        page.action = visitor.for_target(&page.action);
        page.ways = visitor.ways(Step::MailboxCode);
    }
    visitor.page(Status::OK, page)
}

fn sign_out(visitor: &Visitor<'_>) -> Answer {
    visitor.portal.desk.sessions.end(visitor.token());
    visitor.on(&["signed-out"]).without_cookie(COOKIE).forget()
}

async fn password(visitor: &Visitor<'_>) -> Answer {
    let draw = |status, shell| {
        let mut page = forms::password(shell, visitor.ways(Step::Password));
        page.action = visitor.for_target(&page.action);
        visitor.page(status, page)
    };
    let (true, Some(address)) = (visitor.posts(), visitor.address()) else {
        return draw(Status::OK, visitor.shell());
    };
    let typed = secret_field(visitor, "password");
    let desk = &visitor.portal.desk;
    let tried = desk.try_account(address, Typed::Password(&typed), visitor.trying());
    let tried = tried.await;
    visitor
        .tried(address, tried, "password.wrong", |key| {
            draw(Status::UNPROCESSABLE_ENTITY, visitor.wrong("password", key))
        })
        .await
}

/// A password as it was typed: blanks around it belong to it.
pub(super) fn secret_field(visitor: &Visitor<'_>, name: &str) -> SecretBytes {
    let text = visitor.request.field(name).unwrap_or_default();
    SecretBytes::new(text.as_bytes().to_vec())
}

async fn new_password(visitor: &Visitor<'_>) -> Answer {
    let action = visitor.for_target("/sign-in/new-password");
    let draw = |status, shell| {
        let page = forms::new_password(shell, &action, MIN_CHARS, "newpass.lead");
        visitor.page(status, page)
    };
    // Only the first one is set here: another one is changed in the account.
    match visitor.facts() {
        Ok(facts) if facts.unwrap_or_default().is_empty() => {}
        Ok(_) => return visitor.stronger(),
        Err(error) => return visitor.failed(&error),
    }
    if let Err(answer) = again::first(visitor, None) {
        return *answer;
    }
    if !visitor.posts() {
        return draw(Status::OK, visitor.shell());
    }
    match (set_password(visitor).await, visitor.address()) {
        (PasswordSet::Done(proof), Some(address)) => {
            let sessions = &visitor.portal.desk.sessions;
            let ended = sessions.end_all(address, Some(visitor.token()));
            visitor.proved_since(address, proof, ended)
        }
        (PasswordSet::Done(_), None) => visitor.on(&[]),
        (PasswordSet::Again(shell), _) => draw(Status::UNPROCESSABLE_ENTITY, *shell),
        (PasswordSet::Other(answer), _) => *answer,
    }
}

/// What came of a new password.
pub(super) enum PasswordSet<'a> {
    /// It is set.
    Done(Proof),
    /// It will not do: the page again.
    Again(Box<Shell<'a>>),
    /// It could not be set.
    Other(Box<Answer>),
}

/// Sets the password that was typed twice. Other sessions are to be ended: who knew the old one is
/// out.
pub(super) async fn set_password<'a>(visitor: &'a Visitor<'_>) -> PasswordSet<'a> {
    let Some(session) = visitor.session() else {
        return PasswordSet::Other(Box::new(visitor.on(&[])));
    };
    let (new, again) = (
        secret_field(visitor, "password"),
        secret_field(visitor, "repeat"),
    );
    if new.expose() != again.expose() {
        let shell = visitor.wrong("repeat", "newpass.differ");
        return PasswordSet::Again(Box::new(shell));
    }
    let (address, portal) = (&session.address, visitor.portal);
    let accounts = &portal.desk.accounts;
    let set = accounts.set_password(address, &session.proofs, &new, portal.now());
    let problem = |key: &str| {
        let shell = visitor.shell();
        let text = shell.with(key, "count", MIN_CHARS);
        let problem = Some(Problem::field("password", text));
        PasswordSet::Again(Box::new(Shell { problem, ..shell }))
    };
    match set.await {
        Ok(proof) => PasswordSet::Done(Proof::Account(proof)),
        Err(AccountError::Weak(WeakPassword::Short)) => problem("newpass.short"),
        Err(AccountError::Weak(WeakPassword::Long | WeakPassword::NotText)) => {
            problem("newpass.long")
        }
        Err(AccountError::Weak(WeakPassword::Address | WeakPassword::Common)) => {
            problem("newpass.common")
        }
        Err(AccountError::NotAllowed) => PasswordSet::Other(Box::new(visitor.stronger())),
        Err(error) => PasswordSet::Other(Box::new(visitor.account_failed(&error))),
    }
}

async fn secret(visitor: &Visitor<'_>) -> Answer {
    let draw = |status, shell| {
        let mut page = forms::secret(shell, visitor.ways(Step::Secret));
        page.action = visitor.for_target(&page.action);
        visitor.page(status, page)
    };
    let Some(reference) = visitor.target() else {
        return visitor.error(Status::NOT_FOUND);
    };
    let (true, Some(address)) = (visitor.posts(), visitor.address()) else {
        return draw(Status::OK, visitor.shell());
    };
    let record = visitor.portal.store.record(&reference);
    let record = record.filter(|it| same_mailbox(&it.recipient, address));
    let phc = record.as_ref().and_then(|it| it.secret.as_deref());
    let desk = &visitor.portal.desk;
    let (typed, client) = (visitor.field("secret"), visitor.head().client);
    let tried = desk.try_secret(reference, phc, typed, client).await;
    visitor
        .tried(address, tried, "secret.wrong", |key| {
            draw(Status::UNPROCESSABLE_ENTITY, visitor.wrong("secret", key))
        })
        .await
}

async fn totp(visitor: &Visitor<'_>) -> Answer {
    let draw = |status, shell| {
        let mut page = forms::totp(shell, visitor.ways(Step::Totp));
        page.action = visitor.for_target(&page.action);
        visitor.page(status, page)
    };
    let (true, Some(address)) = (visitor.posts(), visitor.address()) else {
        return draw(Status::OK, visitor.shell());
    };
    let desk = &visitor.portal.desk;
    let tried = desk.try_account(
        address,
        Typed::Totp(visitor.field("code")),
        visitor.trying(),
    );
    let tried = tried.await;
    visitor
        .tried(address, tried, "totp.wrong", |key| {
            draw(Status::UNPROCESSABLE_ENTITY, visitor.wrong("code", key))
        })
        .await
}

async fn recovery(visitor: &Visitor<'_>) -> Answer {
    let draw = |status, shell| {
        let mut page = forms::recovery(shell, visitor.ways(Step::Recovery));
        page.action = visitor.for_target(&page.action);
        visitor.page(status, page)
    };
    let (true, Some(address)) = (visitor.posts(), visitor.address()) else {
        return draw(Status::OK, visitor.shell());
    };
    let desk = &visitor.portal.desk;
    let typed = Typed::Recovery(visitor.field("recovery"));
    let tried = desk.try_account(address, typed, visitor.trying());
    let tried = tried.await;
    visitor
        .tried(address, tried, "recovery.wrong", |key| {
            let shell = visitor.wrong("recovery", key);
            draw(Status::UNPROCESSABLE_ENTITY, shell)
        })
        .await
}

/// Nothing that was registered is at hand: the account begins again, and does not see what came
/// before. An open browser is not enough for that: the code is of just now.
async fn anew(visitor: &Visitor<'_>) -> Answer {
    let now = visitor.portal.now();
    let session = visitor.member();
    let session = session.filter(|session| session.mailbox_within(AGAIN, now));
    let Some(session) = session else {
        let page = StepPage {
            lead: vec![visitor.say().t("anew.lead")],
            button: visitor.say().t("ways.mail"),
            action: Onward::Anew.after("/sign-in/send"),
            danger: false,
            ..forms::anew(visitor.shell())
        };
        return visitor.page(Status::OK, page);
    };
    if !visitor.posts() {
        return visitor.page(Status::OK, forms::anew(visitor.shell()));
    }
    let address = &session.address;
    let accounts = &visitor.portal.desk.accounts;
    match accounts.begin_anew(address, &session.proofs, now).await {
        Ok(()) => {
            let sessions = &visitor.portal.desk.sessions;
            sessions.end_all(address, Some(visitor.token()));
            visitor.on(&["account", "password"])
        }
        // The button was pressed twice: the other press has done it, in this session, and leads on.
        Err(AccountError::Proof(ProofError::Ended)) if visitor.is_signed_in_still() => {
            visitor.on(&["account", "password"])
        }
        Err(AccountError::NotAllowed) => visitor.stronger(),
        Err(error) => visitor.account_failed(&error),
    }
}
