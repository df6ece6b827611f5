//! The account: what is registered, and changing it.
//!
//! Invariants: a change needs a factor of the account itself ([`crate::portal::proof`] decides),
//! shown once more and just now ([`super::again`]); with each change of a factor every other session
//! of the mailbox ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::again::{self, Deed, Onward};
use super::forms;
use super::pages::{AccountPage, CodesPage, Key, TotpPage};
use super::qr;
use super::routes::Page;
use super::shell::{Problem, Shell};
use super::sign_in::{PasswordSet, path_of, set_password};
use super::visitor::{COOKIE, Visitor};
use crate::mail::{Address, Language};
use crate::portal::http::{Answer, Status};
use crate::portal::proof::passwords::MIN_CHARS;
use crate::portal::proof::totp::TotpSecret;
use crate::portal::proof::{
    AccountError, Proof, ProofError, RecoveryCodes, Removed, Session, Step,
};

/// Characters of a key that stand together.
const GROUP: usize = 4;

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    match page {
        Page::AccountPassword => password(visitor).await,
        Page::AccountTotp => totp(visitor).await,
        Page::TotpRemove => totp_remove(visitor).await,
        Page::AccountRecovery => recovery(visitor).await,
        Page::AccountLanguage => language(visitor).await,
        Page::SignOutEverywhere => everywhere(visitor),
        Page::AccountDelete => delete(visitor).await,
        _ => account(visitor, Status::OK, visitor.shell()),
    }
}

/// What a passkey is called in a form.
pub(super) fn key_name(id: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, id);
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default())
}

impl Visitor<'_> {
    /// First a factor of the account.
    pub(super) fn stronger(&self) -> Answer {
        self.stronger_for(Onward::Account)
    }

    /// The same; it leads on to a page.
    pub(super) fn stronger_for(&self, onward: Onward) -> Answer {
        let facts = self.facts().ok().flatten().unwrap_or_default();
        let ways = [
            (Step::Passkey, facts.passkey, "ways.passkey"),
            (Step::Password, facts.password, "ways.password"),
            (Step::Totp, facts.totp, "ways.totp"),
            (Step::Recovery, facts.recovery, "ways.recovery"),
        ];
        let shell = self.shell();
        let ways = ways
            .into_iter()
            .filter(|(_, since, _)| since.is_some())
            .map(|(step, _, key)| {
                super::pages::Way::link(onward.after(path_of(step)), shell.t(key))
            })
            .collect();
        let page = forms::stronger(shell, ways);
        self.page(Status::FORBIDDEN, page)
    }

    /// The account could not be changed.
    pub(super) fn account_failed(&self, error: &AccountError) -> Answer {
        match error {
            AccountError::Proof(error @ (ProofError::Busy | ProofError::Ended)) => {
                self.failed(error)
            }
            AccountError::Unknown => self.error(Status::NOT_FOUND),
            error => {
                tracing::error!(%error, "an account of the portal cannot be changed");
                self.error(Status::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// A factor was changed: other sessions end, this one has a new token.
    pub(super) fn changed(&self, address: &Address, proof: Option<Proof>, told: &str) -> Answer {
        let (sessions, now) = (&self.portal.desk.sessions, self.portal.now());
        let ended = sessions.end_all(address, Some(self.token()));
        let on = Answer::see_other(&self.path(&["account"]).with("done", told));
        let Some(proof) = proof else {
            return on;
        };
        match sessions.prove(self.token(), address, proof, ended, now) {
            Ok(token) => {
                // What was only just registered is no factor that was shown once more.
                let again = self.session().and_then(|it| it.again);
                sessions.change_session(token.expose(), |it| it.again = again, now);
                on.cookie(COOKIE, token.expose())
            }
            Err(error) => self.failed(&error),
        }
    }

    /// The removal of a factor. With the last one the account goes, which is said before.
    pub(super) fn removing(&self, title: String, last: bool, action: String) -> Deed {
        let say = self.say();
        let lead = match last {
            true => vec![say.t("account.delete_what"), say.t("account.delete_sure")],
            false => Vec::new(),
        };
        Deed {
            title,
            button: say.t("account.remove"),
            lead,
            danger: true,
            action,
        }
    }

    /// A factor was removed, or the account was.
    pub(super) fn removed(
        &self,
        address: &Address,
        removed: Result<Removed, AccountError>,
    ) -> Answer {
        match removed {
            Ok(Removed::Factor) => self.changed(address, None, "removed"),
            Ok(Removed::Account) => {
                self.portal.desk.sessions.end_all(address, None);
                let on = self.on(&["account", "deleted"]);
                on.without_cookie(COOKIE).forget()
            }
            Err(AccountError::NotAllowed) => self.stronger(),
            Err(error) => self.account_failed(&error),
        }
    }
}

fn account(visitor: &Visitor<'_>, status: Status, shell: Shell<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let accounts = &visitor.portal.desk.accounts;
    let view = match accounts.view(&session.address, visitor.portal.now()) {
        Ok(view) => view,
        Err(error) => return visitor.failed(&error),
    };
    let told = match visitor.head().query.get("done") {
        Some("saved") => Some("account.saved"),
        Some("removed") => Some("account.removed"),
        Some("totp") => Some("totp_setup.done"),
        Some("password") => Some("newpass.saved"),
        _ => None,
    };
    let told = told.map(|key| shell.t(key));
    let passkeys = view.passkeys.iter().enumerate().map(|(number, key)| Key {
        name: key.name.clone(),
        since: shell.with("account.passkey_since", "date", shell.say.day(key.since)),
        remove: format!("/account/passkey/{number}/remove"),
        key: key_name(&key.id),
    });
    let page = AccountPage {
        address: session.address.to_string(),
        password: view.facts.password.is_some(),
        totp: view.facts.totp.is_some(),
        passkeys: passkeys.collect(),
        recovery: view.recovery_left,
        s: Shell { told, ..shell },
    };
    visitor.page(status, page)
}

async fn password(visitor: &Visitor<'_>) -> Answer {
    let draw = |status, shell| {
        let action = "/account/password";
        let page = forms::new_password(shell, action, MIN_CHARS, "newpass.account");
        visitor.page(status, page)
    };
    if let Err(answer) = again::recent(visitor, Onward::Password) {
        return *answer;
    }
    if !visitor.posts() {
        return draw(Status::OK, visitor.shell());
    }
    match (set_password(visitor).await, visitor.address()) {
        (PasswordSet::Done(proof), Some(address)) => {
            visitor.changed(address, Some(proof), "password")
        }
        (PasswordSet::Done(_), None) => visitor.on(&[]),
        (PasswordSet::Again(shell), _) => draw(Status::UNPROCESSABLE_ENTITY, *shell),
        (PasswordSet::Other(answer), _) => *answer,
    }
}

async fn totp(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    if let Err(answer) = again::recent(visitor, Onward::Totp) {
        return *answer;
    }
    if !visitor.posts() {
        let secret = match &session.new_totp {
            Some(secret) => secret.clone(),
            None => match TotpSecret::generate() {
                Ok(secret) => secret,
                Err(error) => return visitor.failed(&error),
            },
        };
        let (sessions, now) = (&visitor.portal.desk.sessions, visitor.portal.now());
        let kept = secret.clone();
        let keep = move |session: &mut Session| {
            session.new_totp = Some(kept);
        };
        sessions.change_session(visitor.token(), keep, now);
        return draw_totp(visitor, Status::OK, visitor.shell(), &secret);
    }
    let Some(secret) = session.new_totp.clone() else {
        return visitor.on(&["account", "totp"]);
    };
    let (address, typed) = (&session.address, visitor.field("code"));
    let (accounts, now) = (&visitor.portal.desk.accounts, visitor.portal.now());
    let confirmed = accounts.confirm_totp(address, &session.proofs, &secret, typed, now);
    match confirmed.await {
        Ok(proof) => {
            let sessions = &visitor.portal.desk.sessions;
            sessions.change_session(visitor.token(), |it| it.new_totp = None, now);
            visitor.changed(address, Some(Proof::Account(proof)), "totp")
        }
        Err(AccountError::WrongCode) => {
            let shell = visitor.wrong("code", "totp.wrong");
            draw_totp(visitor, Status::UNPROCESSABLE_ENTITY, shell, &secret)
        }
        Err(AccountError::NotAllowed) => visitor.stronger(),
        Err(error) => visitor.account_failed(&error),
    }
}

fn draw_totp(
    visitor: &Visitor<'_>,
    status: Status,
    shell: Shell<'_>,
    secret: &TotpSecret,
) -> Answer {
    let Some(address) = visitor.address() else {
        return visitor.on(&[]);
    };
    let issuer = &visitor.portal.options.operator.name;
    let (qr, side) = qr::path(&secret.uri(issuer, address)).unwrap_or_default();
    let text = secret.to_base32();
    let groups: Vec<&str> = (0..text.len())
        .step_by(GROUP)
        .filter_map(|at| text.get(at..(at + GROUP).min(text.len())))
        .collect();
    let page = TotpPage {
        field: forms::totp_field(&shell),
        secret: groups.join(" "),
        qr,
        side,
        s: shell,
    };
    visitor.page(status, page)
}

async fn totp_remove(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let facts = match visitor.facts() {
        Ok(facts) => facts.unwrap_or_default(),
        Err(error) => return visitor.failed(&error),
    };
    if facts.totp.is_none() {
        return visitor.error(Status::NOT_FOUND);
    }
    let last = facts.password.is_none() && facts.passkey.is_none();
    let title = visitor.say().t("account.totp_remove");
    let deed = visitor.removing(title, last, "/account/totp/remove".to_owned());
    if let Err(answer) = again::shown(visitor, &deed).await {
        return *answer;
    }
    let (accounts, now) = (&visitor.portal.desk.accounts, visitor.portal.now());
    let removed = accounts.remove_totp(&session.address, &session.proofs, now);
    visitor.removed(&session.address, removed.await)
}

async fn recovery(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let say = visitor.say();
    let deed = Deed {
        title: say.t("account.recovery"),
        button: say.t("account.recovery_make"),
        lead: Vec::new(),
        danger: false,
        action: "/account/recovery".to_owned(),
    };
    let (mut wanted, now) = (0, visitor.portal.now());
    let want = |session: &mut Session| {
        session.codes_wanted = session.codes_wanted.wrapping_add(1);
        wanted = session.codes_wanted;
    };
    let sessions = &visitor.portal.desk.sessions;
    sessions.change_session(visitor.token(), want, now);
    if let Err(answer) = again::shown(visitor, &deed).await {
        return *answer;
    }
    let made = recovery_codes(visitor, session, wanted).await;
    match made {
        Ok(codes) => {
            let page = CodesPage {
                s: visitor.shell(),
                codes: codes.expose().map(str::to_owned).collect(),
            };
            visitor.page(Status::OK, page)
        }
        Err(AccountError::NotAllowed) => visitor.stronger(),
        Err(error) => visitor.account_failed(&error),
    }
}

/// Makes them, and ends other sessions. Where the button was pressed twice, the codes of the last
/// press are those that are seen: it makes them in the place of those that nobody saw, and one that
/// comes after it makes none.
async fn recovery_codes(
    visitor: &Visitor<'_>,
    session: &Session,
    wanted: u32,
) -> Result<RecoveryCodes, AccountError> {
    let (desk, now) = (&visitor.portal.desk, visitor.portal.now());
    let (sessions, token) = (&desk.sessions, visitor.token());
    let make = |proofs| {
        let ending = || sessions.end_others(&session.address, token);
        let accounts = &desk.accounts;
        async move {
            let made = accounts.new_recovery_codes(&session.address, &proofs, now, ending);
            made.await
        }
    };
    let made = make(session.proofs.clone()).await;
    let Err(AccountError::Proof(ProofError::Ended)) = made else {
        return made;
    };
    match sessions.spared(token, now) {
        Some(spared) if spared.codes_wanted == wanted => make(spared.proofs).await,
        _ => made,
    }
}

/// The language is remembered in the session, and in the account if there is one.
async fn language(visitor: &Visitor<'_>) -> Answer {
    let chosen = Language::of_tag(visitor.field("language"));
    let (Some(chosen), Some(session)) = (chosen, visitor.member()) else {
        let shell = visitor.shell();
        let problem = Some(Problem::page(shell.t("error.400_text")));
        return account(visitor, Status::BAD_REQUEST, Shell { problem, ..shell });
    };
    let (desk, now) = (&visitor.portal.desk, visitor.portal.now());
    let (address, proofs) = (&session.address, &session.proofs);
    let set = desk.accounts.set_language(address, proofs, chosen, now);
    match set.await {
        Ok(()) | Err(AccountError::Unknown | AccountError::NotAllowed) => {}
        Err(error) => return visitor.account_failed(&error),
    }
    let sessions = &desk.sessions;
    sessions.change_session(visitor.token(), |it| it.language = Some(chosen), now);
    // Without the language of the link, which would win.
    let path = crate::portal::http::OwnPath::to(&["account"]).with("done", "saved");
    Answer::see_other(&path)
}

fn everywhere(visitor: &Visitor<'_>) -> Answer {
    if let Some(session) = visitor.member() {
        visitor.portal.desk.sessions.end_all(&session.address, None);
    }
    visitor.on(&["signed-out"]).without_cookie(COOKIE).forget()
}

async fn delete(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let say = visitor.say();
    let deed = Deed {
        title: say.t("account.delete"),
        button: say.t("account.delete_yes"),
        lead: vec![say.t("account.delete_what"), say.t("account.delete_sure")],
        danger: true,
        action: "/account/delete".to_owned(),
    };
    if let Err(answer) = again::shown(visitor, &deed).await {
        return *answer;
    }
    let (accounts, now) = (&visitor.portal.desk.accounts, visitor.portal.now());
    let removed = accounts.remove(&session.address, &session.proofs, now);
    let removed = removed.await.map(|()| Removed::Account);
    visitor.removed(&session.address, removed)
}
