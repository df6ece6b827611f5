//! A factor once more, before a factor of the account is added, changed or removed, and before the
//! account is deleted.
//!
//! An open browser on a desk is enough to read; it is not enough for this. For what is one button,
//! the password is typed into the very form, or the app's code where there is no password. Any
//! factor that the account has can be shown first, and is good for [`AGAIN`]. Where it has none yet,
//! a code from the mailbox stands for it, for as long as [`FIRST`].

use std::time::Duration;

use super::forms;
use super::pages::{StepPage, Way};
use super::shell::Shell;
use super::sign_in::{path_of, secret_field};
use super::visitor::Visitor;
use crate::portal::http::{Answer, Status};
use crate::portal::proof::sessions::{AGAIN, FIRST};
use crate::portal::proof::{AccountFacts, Step, Tried, Typed};

/// The page to which a factor leads that is shown for a change of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// The account.
    Account,
    /// Its password.
    Password,
    /// Its app.
    Totp,
    /// A passkey more.
    Passkey,
    /// Beginning it anew.
    Anew,
}

impl Onward {
    const ALL: [Self; 5] = [
        Self::Account,
        Self::Password,
        Self::Totp,
        Self::Passkey,
        Self::Anew,
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Its name in a link.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Password => "password",
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::Anew => "anew",
        }
    }

    /// Its path.
    pub const fn segments(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["account"],
            Self::Password => &["account", "password"],
            Self::Totp => &["account", "totp"],
            Self::Passkey => &["account", "passkey"],
            Self::Anew => &["sign-in", "anew"],
        }
    }

    /// The link of a step that leads to it.
    pub fn after(self, step: &str) -> String {
        format!("{step}?to={}", self.name())
    }
}

/// Whether a first factor may be registered: a code from the mailbox was typed not long ago. The
/// page that has one mailed otherwise.
pub(super) fn first(visitor: &Visitor<'_>, onward: Option<Onward>) -> Result<(), Box<Answer>> {
    mailbox(visitor, FIRST, onward)
}

fn mailbox(
    visitor: &Visitor<'_>,
    within: Duration,
    onward: Option<Onward>,
) -> Result<(), Box<Answer>> {
    let (session, now) = (visitor.member(), visitor.portal.now());
    if session.is_some_and(|session| session.mailbox_within(within, now)) {
        return Ok(());
    }
    let path = "/sign-in/send";
    let path = match onward {
        Some(onward) => onward.after(path),
        None => visitor.for_target(path),
    };
    let ways = vec![Way::form(path, visitor.say().t("ways.mail"))];
    let page = forms::stronger(visitor.shell(), ways);
    Err(Box::new(visitor.page(Status::FORBIDDEN, page)))
}

/// Whether enough was shown, just now, for a change that has a page of its own; the page that asks
/// for it otherwise, and leads back.
pub(super) fn recent(visitor: &Visitor<'_>, onward: Onward) -> Result<(), Box<Answer>> {
    let facts = match visitor.facts() {
        Ok(facts) => facts.unwrap_or_default(),
        Err(error) => return Err(Box::new(visitor.failed(&error))),
    };
    if facts.is_empty() {
        return first(visitor, Some(onward));
    }
    let now = visitor.portal.now();
    let enough = visitor
        .member()
        .is_some_and(|it| it.proofs.may_change(&facts) && it.shown_again(now));
    match enough {
        true => Ok(()),
        false => Err(Box::new(visitor.stronger_for(onward))),
    }
}

/// What is to be done.
pub(super) struct Deed {
    /// What it is called.
    pub title: String,
    /// What its button says.
    pub button: String,
    /// What comes of it.
    pub lead: Vec<String>,
    /// Whether it cannot be undone.
    pub danger: bool,
    /// Where its form goes.
    pub action: String,
}

/// Whether enough was shown for a deed, just now; the page that asks for it otherwise.
pub(super) async fn shown(visitor: &Visitor<'_>, deed: &Deed) -> Result<(), Box<Answer>> {
    let facts = match visitor.facts() {
        Ok(facts) => facts.unwrap_or_default(),
        Err(error) => return Err(Box::new(visitor.failed(&error))),
    };
    let Some(session) = visitor.member() else {
        return Err(Box::new(visitor.on(&[])));
    };
    if !session.proofs.may_change(&facts) {
        return Err(Box::new(visitor.stronger()));
    }
    let step = if facts.password.is_some() {
        Some(Step::Password)
    } else {
        facts.totp.map(|_| Step::Totp)
    };
    let fresh = session.shown_again(visitor.portal.now());
    let draw = |status, shell| visitor.page(status, page(visitor, shell, deed, &facts, step));
    if facts.is_empty() {
        mailbox(visitor, AGAIN, Some(Onward::Account))?;
    }
    if facts.is_empty() || fresh {
        return match visitor.posts() {
            true => Ok(()),
            false => Err(Box::new(visitor.page(
                Status::OK,
                page(
                    visitor,
                    visitor.shell(),
                    deed,
                    &AccountFacts::default(),
                    None,
                ),
            ))),
        };
    }
    let Some(step) = step else {
        return Err(Box::new(visitor.stronger()));
    };
    let (name, wrong) = field_of(step);
    if !visitor.posts() || visitor.request.field(name).is_none() {
        return Err(Box::new(draw(Status::OK, visitor.shell())));
    }
    let (desk, address) = (&visitor.portal.desk, &session.address);
    let password = secret_field(visitor, name);
    let typed = match step {
        Step::Password => Typed::Password(&password),
        _ => Typed::Totp(visitor.field(name)),
    };
    let tried = desk.try_account(address, typed, visitor.trying()).await;
    if let Ok(Tried::Right(_)) = &tried {
        return Ok(());
    }
    let again = |key: &str| draw(Status::UNPROCESSABLE_ENTITY, visitor.wrong(name, key));
    Err(Box::new(visitor.tried(address, tried, wrong, again).await))
}

const fn field_of(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Password => ("password", "password.wrong"),
        _ => ("code", "totp.wrong"),
    }
}

/// The form of a deed, with the field for a factor, and other factors to be shown first.
fn page<'a>(
    visitor: &Visitor<'_>,
    shell: Shell<'a>,
    deed: &Deed,
    facts: &AccountFacts,
    step: Option<Step>,
) -> StepPage<'a> {
    let fields = match step {
        Some(Step::Password) => vec![forms::password_field(&shell)],
        Some(_) => vec![forms::totp_field(&shell)],
        None => Vec::new(),
    };
    let mut lead = deed.lead.clone();
    if step.is_some() {
        lead.push(shell.t("account.stronger"));
    }
    let others = [
        (Step::Passkey, facts.passkey, "ways.passkey"),
        (Step::Totp, facts.totp, "ways.totp"),
        (Step::Recovery, facts.recovery, "ways.recovery"),
    ];
    let others = others
        .into_iter()
        .filter(|(other, since, _)| since.is_some() && Some(*other) != step);
    let mut ways: Vec<Way> = others
        .map(|(other, _, key)| {
            Way::link(Onward::Account.after(path_of(other)), visitor.say().t(key))
        })
        .collect();
    ways.push(Way::link("/account", shell.t("account.back")));
    StepPage {
        title: deed.title.clone(),
        lead,
        action: deed.action.clone(),
        fields,
        button: deed.button.clone(),
        danger: deed.danger,
        ways,
        ..forms::delete(shell)
    }
}
