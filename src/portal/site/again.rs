//! A factor once more, before what cannot be undone: a factor removed, the account deleted.
//!
//! An open browser on a desk is enough to read; it is not enough for this. The password is typed
//! into the very form, or the app's code where there is no password; any other factor that the
//! account has can be shown first, and is good for [`AGAIN`](crate::portal::proof::sessions::AGAIN).

use super::forms;
use super::pages::{StepPage, Way};
use super::shell::Shell;
use super::sign_in::{path_of, secret_field};
use super::visitor::Visitor;
use crate::portal::http::{Answer, Status};
use crate::portal::proof::{AccountFacts, Step, Tried, Typed};

/// What is to be done.
pub(super) struct Deed {
    /// What it is called.
    pub title: String,
    /// What its button says.
    pub button: String,
    /// What comes of it.
    pub lead: Vec<String>,
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
        .map(|(other, _, key)| Way::link(path_of(other), visitor.say().t(key)))
        .collect();
    ways.push(Way::link("/account", shell.t("account.back")));
    StepPage {
        title: deed.title.clone(),
        lead,
        action: deed.action.clone(),
        fields,
        button: deed.button.clone(),
        ways,
        ..forms::delete(shell)
    }
}
