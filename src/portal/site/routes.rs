//! The routes, as data: pattern, methods, body, and what somebody must have shown before.
//!
//! Owns the table that `route` and `answer` read, and that the tests enumerate. GET and HEAD change
//! nothing on any of them, with one exception that is written down at [`Needs::Message`].

use crate::portal::http::{BodyLimit, Methods, Route};

/// Octets of a form without files.
const FORM_OCTETS: usize = 16 * 1024;
/// Octets of the form that holds a passkey's answer.
const PASSKEY_OCTETS: usize = 64 * 1024;
/// Fields of a form with files.
const UPLOAD_FIELDS: usize = 8;

/// What somebody must have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// An address, or a notice's link: nothing proved.
    Visit,
    /// Some proof.
    Session,
    /// A proof of the address itself: its mailbox, or a factor of its account.
    Address,
    /// The proofs that open the message named in the path. GET of a message opens it, which is
    /// recorded: it is what a person with these proofs wants, and nobody else comes so far. HEAD,
    /// what is fetched ahead, and what comes from another site's link does not open it.
    Message,
}

/// What a route shows or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// Type your address.
    Start,
    /// A notice's link.
    Waits,
    /// A notice's link, by another way than a code.
    WaitsWay,
    /// How to sign in.
    SignIn,
    /// Mail a code.
    Send,
    /// The code from the mail.
    Code,
    /// The password.
    Password,
    /// A first password.
    NewPassword,
    /// The code of an app.
    Totp,
    /// A passkey.
    Passkey,
    /// The sender's secret.
    Secret,
    /// The code from the phone.
    Phone,
    /// Send a code to the phone.
    PhoneSend,
    /// A recovery code.
    Recovery,
    /// Begin the account anew.
    Anew,
    /// Sign out.
    SignOut,
    /// Signed out.
    SignedOut,
    /// The session is no more.
    Ended,
    /// The list of messages.
    Box,
    /// A message as text.
    Message,
    /// A message with its formatting.
    Html,
    /// The frame's content.
    Frame,
    /// An attachment.
    File,
    /// All attachments.
    Zip,
    /// The message as it is.
    Original,
    /// For paper.
    Print,
    /// A reply.
    Reply,
    /// A reply was taken.
    Replied,
    /// What was sent.
    Sent,
    /// The account.
    Account,
    /// Its password.
    AccountPassword,
    /// Its app.
    AccountTotp,
    /// Without the app.
    TotpRemove,
    /// A passkey more.
    AccountPasskey,
    /// A passkey less.
    PasskeyRemove,
    /// Recovery codes.
    AccountRecovery,
    /// Its language.
    AccountLanguage,
    /// Sign out everywhere.
    SignOutEverywhere,
    /// No account any more.
    AccountDelete,
    /// There is none any more.
    Deleted,
    /// A message to one of the operator's addresses.
    Write,
    /// Is this genuine?
    Help,
    /// Who runs this.
    Imprint,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The path: `{reference}` and `{number}` stand for one segment.
    pub pattern: &'static str,
    /// What it may be asked with.
    pub methods: Methods,
    /// What must have been shown.
    pub needs: Needs,
    /// What it does.
    pub page: Page,
}

const fn row(pattern: &'static str, methods: Methods, needs: Needs, page: Page) -> Row {
    Row {
        pattern,
        methods,
        needs,
        page,
    }
}

/// Every route.
pub const ROUTES: &[Row] = {
    use Methods::{Both, Get, Post};
    use Needs::{Address, Message, Nothing, Session, Visit};
    &[
        row("/", Both, Nothing, Page::Start),
        row("/m/{reference}", Both, Nothing, Page::Waits),
        row("/m/{reference}/{way}", Post, Nothing, Page::WaitsWay),
        row("/help", Get, Nothing, Page::Help),
        row("/imprint", Get, Nothing, Page::Imprint),
        row("/sign-in", Get, Visit, Page::SignIn),
        row("/sign-in/send", Post, Visit, Page::Send),
        row("/sign-in/code", Both, Visit, Page::Code),
        row("/sign-in/password", Both, Visit, Page::Password),
        row("/sign-in/passkey", Both, Visit, Page::Passkey),
        row("/sign-in/secret", Both, Visit, Page::Secret),
        row("/sign-in/new-password", Both, Address, Page::NewPassword),
        row("/sign-in/totp", Both, Address, Page::Totp),
        row("/sign-in/phone", Both, Address, Page::Phone),
        row("/sign-in/phone/send", Post, Address, Page::PhoneSend),
        row("/sign-in/recovery", Both, Address, Page::Recovery),
        row("/sign-in/anew", Both, Address, Page::Anew),
        row("/sign-out", Post, Nothing, Page::SignOut),
        row("/signed-out", Get, Nothing, Page::SignedOut),
        row("/ended", Get, Nothing, Page::Ended),
        row("/box", Get, Address, Page::Box),
        row("/box/{reference}", Get, Message, Page::Message),
        row("/box/{reference}/html", Get, Message, Page::Html),
        row("/box/{reference}/frame", Get, Message, Page::Frame),
        row("/box/{reference}/print", Get, Message, Page::Print),
        row("/box/{reference}/file/{number}", Get, Message, Page::File),
        row("/box/{reference}/all.zip", Get, Message, Page::Zip),
        row("/box/{reference}/message.eml", Get, Message, Page::Original),
        row("/box/{reference}/reply", Both, Message, Page::Reply),
        row("/replied", Get, Session, Page::Replied),
        row("/sent", Get, Address, Page::Sent),
        row("/account", Get, Address, Page::Account),
        row("/account/password", Both, Address, Page::AccountPassword),
        row("/account/totp", Both, Address, Page::AccountTotp),
        row("/account/totp/remove", Post, Address, Page::TotpRemove),
        row("/account/passkey", Both, Address, Page::AccountPasskey),
        row(
            "/account/passkey/{number}/remove",
            Post,
            Address,
            Page::PasskeyRemove,
        ),
        row("/account/recovery", Post, Address, Page::AccountRecovery),
        row("/account/language", Post, Address, Page::AccountLanguage),
        row(
            "/account/sign-out-everywhere",
            Post,
            Address,
            Page::SignOutEverywhere,
        ),
        row("/account/delete", Both, Address, Page::AccountDelete),
        row("/account/deleted", Get, Nothing, Page::Deleted),
        row("/write", Both, Nothing, Page::Write),
    ]
};

/// The row of a path.
pub fn find(path: &[String]) -> Option<&'static Row> {
    ROUTES.iter().find(|row| matches(row.pattern, path))
}

/// Where a page is found again by a link, whatever led to it: what was posted to a path that takes
/// nothing else is shown by the page that its form stands on.
pub fn shown_at(path: &[String]) -> String {
    let posted = find(path).is_some_and(|row| row.methods == Methods::Post);
    let kept = match (posted, path) {
        (false, path) => path,
        (true, [first, ..]) if first == "account" => path.get(..1).unwrap_or_default(),
        (true, [kept @ .., _]) => kept,
        (true, []) => path,
    };
    format!("/{}", kept.join("/"))
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let wanted: Vec<&str> = pattern.split('/').filter(|it| !it.is_empty()).collect();
    let alike = |(wanted, given): (&&str, &String)| wanted.starts_with('{') || *wanted == given;
    wanted.len() == path.len() && wanted.iter().zip(path).all(alike)
}

impl Row {
    /// For the server. `upload`: octets and number of the files, from whoever may bring some.
    pub fn route(&self, upload: Option<(usize, usize)>) -> Route {
        let body = match (self.page, upload) {
            _ if self.methods == Methods::Get => BodyLimit::None,
            (Page::Reply | Page::Write, Some((octets, files))) => BodyLimit::Upload {
                octets,
                files,
                fields: UPLOAD_FIELDS,
            },
            (Page::Passkey | Page::AccountPasskey, _) => BodyLimit::Form(PASSKEY_OCTETS),
            _ => BodyLimit::Form(FORM_OCTETS),
        };
        Route {
            pattern: self.pattern,
            methods: self.methods,
            body,
            download: matches!(self.page, Page::File | Page::Zip | Page::Original),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        let segments = text.split('/').filter(|it| !it.is_empty());
        segments.map(str::to_owned).collect()
    }

    #[test]
    fn every_row_is_found_by_its_own_path_and_no_other_row_is() {
        for row in ROUTES {
            let own = row.pattern.replace("{reference}", "0000000000000000");
            let own = own.replace("{number}", "1").replace("{way}", "passkey");
            assert_eq!(find(&path(&own)), Some(row), "{own}");
        }
        for text in [
            "/nowhere",
            "/box/a/b/c",
            "/m",
            "/account/passkey/1",
            "/static/x.css",
        ] {
            assert_eq!(find(&path(text)), None, "{text}");
        }
    }

    #[test]
    fn where_a_page_is_shown_can_be_asked_for() {
        for row in ROUTES {
            let own = row.pattern.replace("{number}", "1");
            let shown = shown_at(&path(&own));
            assert!(find(&path(&shown)).is_some_and(|row| row.methods != Methods::Post));
            assert!(row.methods == Methods::Post || shown == own, "{own}");
        }
        for (posted, shown) in [
            ("/account/passkey/1/remove", "/account"),
            ("/sign-in/phone/send", "/sign-in/phone"),
            ("/m/0000000000000000/secret", "/m/0000000000000000"),
            ("/sign-out", "/"),
            ("/nowhere/at/all", "/nowhere/at/all"),
        ] {
            assert_eq!(shown_at(&path(posted)), shown);
        }
    }

    #[test]
    fn what_is_only_read_takes_no_body() {
        for row in ROUTES {
            let route = row.route(Some((1000, 2)));
            assert_eq!(route.body == BodyLimit::None, row.methods == Methods::Get);
            let bare = row.route(None).body;
            assert!(!matches!(bare, BodyLimit::Upload { .. }), "{}", row.pattern);
        }
    }
}
