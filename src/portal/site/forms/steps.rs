//! Proving who one is, a step a page.

use super::fields;
use crate::mail::Reference;
use crate::portal::site::pages::{Field, PasskeyPage, StartPage, StepPage, Way};
use crate::portal::site::shell::Shell;

fn step<'a>(s: Shell<'a>, key: &str, action: impl Into<String>) -> StepPage<'a> {
    StepPage {
        title: s.t(&format!("{key}.title")),
        lead: Vec::new(),
        action: action.into(),
        fields: Vec::new(),
        button: s.t(&format!("{key}.button")),
        danger: false,
        notes: Vec::new(),
        ways: Vec::new(),
        s,
    }
}

/// Type your address.
pub fn start(s: Shell<'_>, value: String) -> StartPage<'_> {
    let field = fields::address(&s.say, value);
    StartPage { s, field }
}

/// A notice's link: the same for every reference, whether there is such a deposit or not.
pub fn waits<'a>(s: Shell<'a>, reference: &Reference) -> StepPage<'a> {
    let mut page = step(s, "waits", format!("/m/{reference}"));
    let name = &page.s.operator.name;
    page.lead = vec![
        page.s.with("waits.lead", "operator", name),
        page.s.t("waits.how"),
    ];
    page.notes = vec![page.s.t("waits.note")];
    page.ways = vec![
        Way::form(
            format!("/m/{reference}/password"),
            page.s.t("ways.password"),
        ),
        Way::form(format!("/m/{reference}/passkey"), page.s.t("ways.passkey")),
        Way::form(format!("/m/{reference}/secret"), page.s.t("ways.secret")),
    ];
    page
}

/// How to sign in, for an address that was typed: the same for every address.
pub fn sign_in<'a>(s: Shell<'a>, address: &str) -> StepPage<'a> {
    let mut page = step(s, "waits", "/sign-in/send");
    page.title = page.s.t("signin.title");
    page.lead = vec![page.s.with("signin.lead", "address", address)];
    page.ways = vec![
        Way::link("/sign-in/password", page.s.t("ways.password")),
        Way::link("/sign-in/passkey", page.s.t("ways.passkey")),
        Way::link("/", page.s.t("ways.start")),
    ];
    page
}

/// The code from the mail.
pub fn code(s: Shell<'_>, minutes: u64, ways: Vec<Way>) -> StepPage<'_> {
    let mut page = step(s, "code", "/sign-in/code");
    let s = &page.s;
    page.lead = vec![s.t("code.lead")];
    page.fields = vec![fields::code(s.t("code.label"), s.t("code.hint"))];
    page.notes = vec![
        s.with("code.note", "minutes", minutes),
        s.with("code.origin", "origin", &s.operator.origin),
    ];
    page.ways = vec![Way::form("/sign-in/send", s.t("code.resend"))];
    page.ways.extend(ways);
    page
}

/// A password is chosen: on the first visit, or in the account.
pub fn new_password<'a>(s: Shell<'a>, action: &str, least: usize, lead: &str) -> StepPage<'a> {
    let mut page = step(s, "newpass", action);
    let s = &page.s;
    page.lead = vec![s.t(lead)];
    let hint = s.with("newpass.hint", "count", least);
    let (label, repeat) = (s.t("newpass.label"), s.t("newpass.repeat"));
    page.fields = Vec::from([
        fields::password("password", label, Some(hint), "new-password"),
        fields::password("repeat", repeat, None, "new-password"),
    ]);
    page
}

/// The password of the account.
pub fn password(s: Shell<'_>, ways: Vec<Way>) -> StepPage<'_> {
    let mut page = step(s, "password", "/sign-in/password");
    let s = &page.s;
    page.lead = vec![s.with("password.lead", "operator", &s.operator.name)];
    let label = s.t("password.label");
    let field = fields::password("password", label, None, "current-password");
    page.fields = vec![Field {
        first: true,
        ..field
    }];
    page.ways = ways;
    page
}

/// The code that an app shows.
pub fn totp(s: Shell<'_>, ways: Vec<Way>) -> StepPage<'_> {
    let mut page = step(s, "totp", "/sign-in/totp");
    let s = &page.s;
    page.lead = vec![s.with("totp.lead", "operator", &s.operator.name)];
    page.fields = vec![totp_field(s)];
    page.ways = ways;
    page
}

/// The field for the code that an app shows.
pub fn totp_field(s: &Shell<'_>) -> Field {
    fields::code(s.t("totp.label"), s.t("totp.hint"))
}

/// A passkey proves who somebody is.
pub fn passkey(s: Shell<'_>, options: String, ways: Vec<Way>) -> PasskeyPage<'_> {
    PasskeyPage {
        title: s.t("passkey.title"),
        lead: s.t("passkey.lead"),
        action: "/sign-in/passkey".to_owned(),
        ceremony: "get",
        options,
        fields: Vec::new(),
        button: s.t("passkey.button"),
        ways,
        s,
    }
}

/// A passkey is added to the account.
pub fn passkey_add(s: Shell<'_>, options: String) -> PasskeyPage<'_> {
    let field = Field {
        name: "name",
        label: s.t("passkey_add.name"),
        hint: Some(s.t("passkey_add.hint")),
        kind: "text",
        autocomplete: "off",
        required: true,
        max: 60,
        ..Field::default()
    };
    PasskeyPage {
        title: s.t("passkey_add.title"),
        lead: s.t("passkey_add.lead"),
        action: "/account/passkey".to_owned(),
        ceremony: "create",
        options,
        fields: vec![field],
        button: s.t("passkey_add.button"),
        ways: vec![Way::link("/account", s.t("account.back"))],
        s,
    }
}

/// The secret that the sender gave.
pub fn secret(s: Shell<'_>, ways: Vec<Way>) -> StepPage<'_> {
    let mut page = step(s, "secret", "/sign-in/secret");
    let s = &page.s;
    page.lead = vec![s.t("secret.lead")];
    page.fields = vec![fields::told("secret", s.t("secret.label"))];
    page.notes = vec![s.t("secret.note")];
    page.ways = ways;
    page
}

/// A code is to be sent to the number that the sender gave.
pub fn phone_send<'a>(s: Shell<'a>, ending: &str, ways: Vec<Way>) -> StepPage<'a> {
    let mut page = step(s, "phone", "/sign-in/phone/send");
    page.button = page.s.t("phone.send");
    page.lead = vec![page.s.with("phone.lead", "ending", ending)];
    page.ways = ways;
    page
}

/// The code from the phone.
pub fn phone_code<'a>(s: Shell<'a>, ending: &str, ways: Vec<Way>) -> StepPage<'a> {
    let mut page = step(s, "phone", "/sign-in/phone");
    let s = &page.s;
    page.button = s.t("code.button");
    page.lead = vec![s.with("phone.sent", "ending", ending)];
    page.fields = vec![fields::code(s.t("phone.label"), s.t("code.hint"))];
    page.ways = vec![Way::form("/sign-in/phone/send", s.t("phone.again"))];
    page.ways.extend(ways);
    page
}

/// A recovery code.
pub fn recovery(s: Shell<'_>, ways: Vec<Way>) -> StepPage<'_> {
    let mut page = step(s, "recovery", "/sign-in/recovery");
    let s = &page.s;
    page.lead = vec![s.t("recovery.lead")];
    page.fields = vec![fields::told("recovery", s.t("recovery.label"))];
    page.ways = ways;
    page
}

/// An account is begun anew: nothing that was registered is at hand any more.
pub fn anew(s: Shell<'_>) -> StepPage<'_> {
    let mut page = step(s, "anew", "/sign-in/anew");
    let s = &page.s;
    page.danger = true;
    page.lead = vec![s.t("anew.lead"), s.t("anew.warning")];
    page.ways = vec![Way::link("/sign-in", s.t("ways.title"))];
    page
}

/// Whether the account is really to be deleted.
pub fn delete(s: Shell<'_>) -> StepPage<'_> {
    let mut page = step(s, "recovery", "/account/delete");
    let s = &page.s;
    page.title = s.t("account.delete");
    page.button = s.t("account.delete_yes");
    page.danger = true;
    page.lead = vec![s.t("account.delete_what"), s.t("account.delete_sure")];
    page.ways = vec![Way::link("/account", s.t("account.back"))];
    page
}
