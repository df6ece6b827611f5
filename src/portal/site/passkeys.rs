//! Passkeys: used to sign in, added, removed.

use serde::Deserialize;

use super::again::{self, Onward};
use super::forms;
use super::routes::Page;
use super::shell::{Problem, Shell};
use super::visitor::Visitor;
use crate::mail::Address;
use crate::portal::http::{Answer, Status};
use crate::portal::proof::webauthn::{Made, Used};
use crate::portal::proof::{AccountError, Proof, Step, Tried};

/// What the script posts: the browser's answer, its octets as base64url.
#[derive(Deserialize)]
struct Credential {
    #[serde(rename = "rawId")]
    raw_id: String,
    response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(default)]
    attestation_object: String,
    #[serde(default)]
    authenticator_data: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    user_handle: String,
}

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    match page {
        Page::AccountPasskey if visitor.posts() => add(visitor).await,
        Page::AccountPasskey => ask_new(visitor, visitor.shell(), Status::OK),
        Page::PasskeyRemove => remove(visitor).await,
        _ if visitor.posts() => used(visitor).await,
        _ => ask(visitor, visitor.shell(), Status::OK),
    }
}

fn answered(visitor: &Visitor<'_>) -> Option<Credential> {
    serde_json::from_str(visitor.field("answer")).ok()
}

fn ask(visitor: &Visitor<'_>, shell: Shell<'_>, status: Status) -> Answer {
    let desk = &visitor.portal.desk;
    let challenge = desk
        .sessions
        .challenge(visitor.token(), visitor.portal.now());
    match challenge {
        Ok(Some(challenge)) => {
            let options = desk.party.request(&challenge).to_string();
            let mut page = forms::passkey(shell, options, visitor.ways(Step::Passkey));
            page.action = visitor.for_target(&page.action);
            visitor.page(status, page).with_script()
        }
        Ok(None) => visitor.on(&[]),
        Err(error) => visitor.failed(&error),
    }
}

async fn used(visitor: &Visitor<'_>) -> Answer {
    let now = visitor.portal.now();
    let desk = &visitor.portal.desk;
    let again = || {
        let shell = visitor.shell();
        let problem = Some(Problem::page(shell.t("passkey.wrong")));
        let status = Status::UNPROCESSABLE_ENTITY;
        ask(visitor, Shell { problem, ..shell }, status)
    };
    let challenge = desk.sessions.take_challenge(visitor.token(), now);
    let (Some(challenge), Some(given)) = (challenge, answered(visitor)) else {
        return again();
    };
    let response = &given.response;
    let used = Used::from_fields(
        &given.raw_id,
        &response.client_data,
        &response.authenticator_data,
        &response.signature,
        &response.user_handle,
    );
    let Ok(used) = used else {
        return again();
    };
    match desk
        .try_passkey(&challenge, &used, visitor.head().client)
        .await
    {
        Ok(Tried::Right((address, proof))) => visitor.proved(&address, proof),
        Ok(Tried::Later(often)) => visitor.locked(often),
        Ok(Tried::Wrong { .. } | Tried::InAMoment | Tried::Exposed) => again(),
        Err(error) => visitor.failed(&error),
    }
}

/// The account that a passkey is added to, if enough was shown for that just now.
fn owner<'v>(visitor: &'v Visitor<'_>) -> Result<&'v Address, Box<Answer>> {
    let Some(session) = visitor.member() else {
        return Err(Box::new(visitor.on(&[])));
    };
    again::recent(visitor, Onward::Passkey)?;
    Ok(&session.address)
}

fn ask_new(visitor: &Visitor<'_>, shell: Shell<'_>, status: Status) -> Answer {
    let address = match owner(visitor) {
        Ok(address) => address,
        Err(answer) => return *answer,
    };
    let (desk, now) = (&visitor.portal.desk, visitor.portal.now());
    let kept = desk.accounts.for_new_passkey(address, now);
    let challenge = desk.sessions.challenge(visitor.token(), now);
    match (kept, challenge) {
        (Ok((handle, kept)), Ok(Some(challenge))) => {
            let options = desk.party.creation(&challenge, &handle, address, &kept);
            let page = forms::passkey_add(shell, options.to_string());
            visitor.page(status, page).with_script()
        }
        (Ok(_), Ok(None)) => visitor.on(&[]),
        (Err(error), _) | (_, Err(error)) => visitor.failed(&error),
    }
}

async fn add(visitor: &Visitor<'_>) -> Answer {
    if let Err(answer) = owner(visitor) {
        return *answer;
    }
    let (desk, now) = (&visitor.portal.desk, visitor.portal.now());
    let again = |key: &str| {
        let shell = visitor.shell();
        let problem = Some(Problem::page(shell.t(key)));
        let status = Status::UNPROCESSABLE_ENTITY;
        ask_new(visitor, Shell { problem, ..shell }, status)
    };
    let challenge = desk.sessions.take_challenge(visitor.token(), now);
    let (Some(challenge), Some(given), Some(session)) =
        (challenge, answered(visitor), visitor.member())
    else {
        return again("passkey.failed");
    };
    let response = &given.response;
    let made = Made::from_fields(&response.client_data, &response.attestation_object);
    let made = made.and_then(|made| desk.party.made(&challenge, &made));
    let Ok(made) = made else {
        return again("passkey.failed");
    };
    let name = match visitor.field("name") {
        "" => visitor.say().t("account.passkeys"),
        name => name.to_owned(),
    };
    let (address, proofs) = (&session.address, &session.proofs);
    let added = desk.accounts.add_passkey(address, proofs, made, &name, now);
    match added.await {
        Ok(proof) => visitor.changed(address, Some(Proof::Account(proof)), "saved"),
        Err(AccountError::TooMany) => again("account.full"),
        Err(AccountError::NotAllowed) => visitor.stronger(),
        Err(error) => visitor.account_failed(&error),
    }
}

async fn remove(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let (desk, now) = (&visitor.portal.desk, visitor.portal.now());
    let view = match desk.accounts.view(&session.address, now) {
        Ok(view) => view,
        Err(error) => return visitor.failed(&error),
    };
    let number = visitor.head().path.get(2).and_then(|it| it.parse().ok());
    let Some(key) = number.and_then(|number: usize| view.passkeys.get(number)) else {
        return visitor.error(Status::NOT_FOUND);
    };
    // Which one was meant, and not which one stands there by now.
    let meant = match visitor.field("key") {
        "" => visitor.head().query.get("key").unwrap_or_default(),
        meant => meant,
    };
    if meant != super::account::key_name(&key.id) {
        return visitor.error(Status::NOT_FOUND);
    }
    let (facts, name) = (&view.facts, super::account::key_name(&key.id));
    let last = facts.password.is_none() && facts.totp.is_none() && view.passkeys.len() == 1;
    let action = format!(
        "/account/passkey/{}/remove?key={name}",
        number.unwrap_or_default()
    );
    let title = format!("{}: {}", visitor.say().t("account.remove"), key.name);
    let deed = visitor.removing(title, last, action);
    if let Err(answer) = again::shown(visitor, &deed).await {
        return *answer;
    }
    let (address, proofs) = (&session.address, &session.proofs);
    let removed = desk.accounts.remove_passkey(address, proofs, &key.id, now);
    visitor.removed(address, removed.await)
}
