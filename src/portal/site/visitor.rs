//! Who asks: the visit or session that belongs to a request's cookie, and the language.

use zeroize::Zeroizing;

use super::again::Onward;
use super::portal::Portal;
use super::routes;
use super::say::{Say, accepted};
use super::shell::{Member, Problem, Shell};
use crate::mail::{Address, Language, Reference};
use crate::portal::http::{Answer, Head, Method, OwnPath, Request, Status};
use crate::portal::proof::sessions::Found;
use crate::portal::proof::{AccountFacts, Moment, Session, Trying, Visit};

/// The cookie: `__Host-portal`.
pub const COOKIE: &str = "portal";

/// Who asks.
pub struct Visitor<'a> {
    /// The portal.
    pub portal: &'a Portal,
    /// The request.
    pub request: &'a Request,
    /// What the cookie says.
    pub token: Option<Zeroizing<String>>,
    /// What stands behind it.
    pub found: Option<Found>,
    /// When the request began, in the order in which sessions end.
    pub began: Moment,
    /// The language of the link.
    pub asked: Option<Language>,
    /// The language.
    pub language: Language,
}

impl<'a> Visitor<'a> {
    /// Looks the cookie up.
    pub fn new(portal: &'a Portal, request: &'a Request) -> Self {
        let head = &request.head;
        let began = portal.desk.sessions.moment();
        let cookie = head.cookies.get(COOKIE);
        let found = cookie.and_then(|token| portal.desk.sessions.find(token, portal.now()));
        let asked = head.query.get("lang").and_then(Language::of_tag);
        let mut visitor = Self {
            portal,
            request,
            token: cookie.map(|token| Zeroizing::new(token.to_owned())),
            found,
            began,
            asked,
            language: portal.options.language,
        };
        visitor.language = asked
            .or_else(|| visitor.remembered())
            .or_else(|| accepted(&head.accept_language))
            .unwrap_or(portal.options.language);
        visitor
    }

    /// The language that was chosen before, in this visit or in the account.
    fn remembered(&self) -> Option<Language> {
        match self.found.as_ref()? {
            Found::Visit(visit) => visit.language,
            Found::Session(session) => session.language.or_else(|| {
                if !session.proofs.holds_address() {
                    return None;
                }
                let accounts = &self.portal.desk.accounts;
                let view = accounts.view(&session.address, self.portal.now());
                view.ok()?.language
            }),
        }
    }

    /// The request without its body.
    pub fn head(&self) -> &'a Head {
        &self.request.head
    }

    /// Whether something was posted.
    pub fn posts(&self) -> bool {
        self.head().method == Method::Post
    }

    /// The cookie's text; nothing where there is none.
    pub fn token(&self) -> &str {
        self.token.as_ref().map_or("", |token| token.as_str())
    }

    /// The session.
    pub fn session(&self) -> Option<&Session> {
        match self.found.as_ref()? {
            Found::Session(session) => Some(session),
            Found::Visit(_) => None,
        }
    }

    /// The visit.
    pub fn visit(&self) -> Option<&Visit> {
        match self.found.as_ref()? {
            Found::Visit(visit) => Some(visit),
            Found::Session(_) => None,
        }
    }

    /// The session of somebody who proved the address itself.
    pub fn member(&self) -> Option<&Session> {
        self.session().filter(|it| it.proofs.holds_address())
    }

    /// As whom a factor is shown here.
    pub fn trying(&self) -> Trying {
        Trying {
            client: self.head().client,
            holds: self.member().is_some(),
        }
    }

    /// The address that is to be proved, or was.
    pub fn address(&self) -> Option<&Address> {
        match self.found.as_ref()? {
            Found::Visit(visit) => visit.address.as_ref(),
            Found::Session(session) => Some(&session.address),
        }
    }

    /// The message that somebody wants to read.
    pub fn target(&self) -> Option<Reference> {
        let named = self.head().query.get("for").and_then(|it| it.parse().ok());
        match self.found.as_ref()? {
            Found::Visit(visit) => visit.reference,
            Found::Session(session) => named.or(session.reference),
        }
    }

    /// To where a step leads that is a step towards a change of the account.
    pub(super) fn onward(&self) -> Option<Onward> {
        self.session()?;
        Onward::named(self.head().query.get("to")?)
    }

    /// The reference in the path.
    pub fn reference(&self) -> Option<Reference> {
        self.head().path.get(1)?.parse().ok()
    }

    /// What is registered for the address, once it may be told.
    pub fn facts(&self) -> Result<Option<AccountFacts>, crate::portal::proof::ProofError> {
        let accounts = &self.portal.desk.accounts;
        let facts = |it: &Session| accounts.facts(&it.address, self.portal.now());
        self.member().map(facts).transpose()
    }

    /// It began where outsiders write: whoever's address that is, a code is mailed to it.
    pub(super) fn writes(&self) -> bool {
        match &self.found {
            Some(Found::Visit(visit)) => visit.writes,
            Some(Found::Session(session)) => session.writes,
            None => false,
        }
    }

    /// Whether there is a session behind the cookie now, however long the request has taken.
    pub(super) fn is_signed_in_still(&self) -> bool {
        let (sessions, now) = (&self.portal.desk.sessions, self.portal.now());
        matches!(
            sessions.find(self.token(), now),
            Some(Found::Session(session)) if session.proofs.holds_address()
        )
    }

    /// Whether a form has the token of this browser's pages; where its cookie stands for nothing,
    /// also that of the pages of somebody without.
    pub fn is_ours(&self) -> bool {
        let given = self.request.field("csrf").unwrap_or_default();
        let sessions = &self.portal.desk.sessions;
        sessions.csrf_is(self.token(), given) || self.found.is_none() && sessions.csrf_is("", given)
    }

    /// The surroundings of a form that is drawn again because it was none of this browser's pages:
    /// now it is one.
    pub(super) fn outdated(&self) -> (Status, Shell<'a>) {
        let shell = self.shell();
        let problem = Some(Problem::page(shell.t("error.403_again")));
        (Status::FORBIDDEN, Shell { problem, ..shell })
    }

    /// A field, without blanks around it; nothing where it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.request.field(name).unwrap_or_default().trim()
    }

    /// What surrounds a page.
    pub fn shell(&self) -> Shell<'a> {
        let options = &self.portal.options;
        let path = routes::shown_at(&self.head().path);
        let sessions = &self.portal.desk.sessions;
        let idle = sessions.bounds().idle;
        let csrf = match &self.found {
            Some(_) => sessions.csrf(self.token()),
            None => sessions.csrf(""),
        };
        Shell {
            operator: &options.operator,
            say: self.say(),
            asked: self.asked,
            path,
            csrf,
            member: self.member().map(|session| Member {
                address: session.address.to_string(),
                idle_minutes: idle.as_secs() / 60,
            }),
            typed: self
                .visit()
                .filter(|visit| visit.reference.is_none())
                .and_then(|visit| visit.address.as_ref().map(Address::to_string)),
            problem: None,
            told: None,
        }
    }

    /// The texts.
    pub fn say(&self) -> Say {
        Say::new(self.portal.options.texts.clone(), self.language)
    }

    /// On to another page, in the language of the link.
    pub fn on(&self, segments: &[&str]) -> Answer {
        Answer::see_other(&self.path(segments))
    }

    /// A path of ours, in the language of the link.
    pub fn path(&self, segments: &[&str]) -> OwnPath {
        let path = OwnPath::to(segments);
        match self.asked {
            Some(language) => path.with("lang", language.as_str()),
            None => path,
        }
    }

    /// A link with the message that it is for, or the change.
    pub fn for_target(&self, path: &str) -> String {
        let target = self.session().and_then(|_| self.target());
        let target = target.map(|reference| format!("for={reference}"));
        let onward = self.onward().map(|onward| format!("to={}", onward.name()));
        let query: Vec<String> = target.into_iter().chain(onward).collect();
        match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", query.join("&")),
        }
    }
}
