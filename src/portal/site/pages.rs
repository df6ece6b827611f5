//! The pages: what each shows, and its template in `templates/portal/`.
//!
//! A page is plain data; the templates escape everything (HTML text and attributes in double
//! quotes). The frame around a message's HTML is none of them: `reading` makes its document.

use askama::Template;

use super::shell::Shell;

/// A field of a form.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Its name and id.
    pub name: &'static str,
    /// What it is for.
    pub label: String,
    /// How to fill it in.
    pub hint: Option<String>,
    /// `text`, `email`, `password`.
    pub kind: &'static str,
    /// Its width.
    pub class: &'static str,
    /// What browsers may fill in.
    pub autocomplete: &'static str,
    /// Which keyboard.
    pub inputmode: &'static str,
    /// Not words of a language.
    pub plain: bool,
    /// Must not be empty.
    pub required: bool,
    /// Where one starts to type.
    pub first: bool,
    /// Lines; 0 for one line.
    pub rows: u32,
    /// Most characters.
    pub max: u32,
    /// What stands in it.
    pub value: String,
}

/// A way to somewhere else.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where.
    pub href: String,
    /// Called.
    pub text: String,
    /// By a form.
    pub post: bool,
}

impl Way {
    /// A link.
    pub fn link(href: impl Into<String>, text: String) -> Self {
        Self {
            href: href.into(),
            text,
            post: false,
        }
    }

    /// A form with nothing but a button.
    pub fn form(href: impl Into<String>, text: String) -> Self {
        Self {
            post: true,
            ..Self::link(href, text)
        }
    }
}

/// The start: type your address.
#[derive(Template)]
#[template(path = "portal/start.html")]
pub struct StartPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// The address.
    pub field: Field,
}

/// A form with a few fields.
#[derive(Template)]
#[template(path = "portal/step.html")]
pub struct StepPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// What it is about.
    pub title: String,
    /// What to do.
    pub lead: Vec<String>,
    /// Where the form goes.
    pub action: String,
    /// Its fields.
    pub fields: Vec<Field>,
    /// What the button says.
    pub button: String,
    /// Whether the button destroys something.
    pub danger: bool,
    /// Small print.
    pub notes: Vec<String>,
    /// Other ways.
    pub ways: Vec<Way>,
}

/// A part of a page that only says something.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Paragraphs.
    pub lines: Vec<String>,
}

/// A page that says something.
#[derive(Template)]
#[template(path = "portal/says.html")]
pub struct SaysPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// What.
    pub title: String,
    /// Its look.
    pub class: &'static str,
    /// Paragraphs.
    pub lines: Vec<String>,
    /// Parts.
    pub sections: Vec<Section>,
    /// Where to go on.
    pub main_way: Option<Way>,
    /// Other ways.
    pub ways: Vec<Way>,
}

impl SaysPage<'_> {
    /// The text above the ways: they are others only where there is one before them.
    pub const fn ways_title(&self) -> &'static str {
        match self.main_way {
            Some(_) => "ways.title",
            None => "ways.next",
        }
    }
}

/// A passkey is used or made: the only pages with a script.
#[derive(Template)]
#[template(path = "portal/passkey.html")]
pub struct PasskeyPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// What it is about.
    pub title: String,
    /// What to do.
    pub lead: String,
    /// Where the form goes.
    pub action: String,
    /// `get` or `create`.
    pub ceremony: &'static str,
    /// The options as JSON, for the script.
    pub options: String,
    /// Fields.
    pub fields: Vec<Field>,
    /// What the button says.
    pub button: String,
    /// Other ways.
    pub ways: Vec<Way>,
}

/// A message or a reply in a list.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// Where it is read, if it can be.
    pub href: Option<String>,
    /// Who wrote it, or whom it went to.
    pub from: String,
    /// Its subject, once that may be shown.
    pub subject: String,
    /// When, for people.
    pub date: String,
    /// When, for programs.
    pub date_machine: String,
    /// Where it stands.
    pub state: String,
    /// The same as a class.
    pub class: &'static str,
    /// Until when it is there.
    pub until: String,
}

/// Messages that belong together.
#[derive(Debug, Clone)]
pub struct Thread {
    /// The subject of the first.
    pub subject: String,
    /// Newest first.
    pub items: Vec<Item>,
}

impl Thread {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.items.len()
    }
}

/// The messages for an address.
#[derive(Template)]
#[template(path = "portal/mailbox.html")]
pub struct MailboxPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// Newest first.
    pub threads: Vec<Thread>,
    /// The page before.
    pub newer: Option<String>,
    /// The page behind.
    pub older: Option<String>,
}

/// The header of a message.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Its subject.
    pub subject: String,
    /// Who wrote it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Copies.
    pub cc: String,
    /// When.
    pub date: String,
    /// Until when it is there.
    pub expires: String,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// It.
    pub text: String,
    /// Whether it is a link, too.
    pub link: bool,
}

/// An attachment.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is downloaded.
    pub href: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// How much.
    pub size: String,
    /// What to beware of.
    pub warning: Option<String>,
}

/// A message, as text or with its formatting.
#[derive(Template)]
#[template(path = "portal/message.html")]
pub struct MessagePage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// The header.
    pub head: Head,
    /// The text.
    pub text: Vec<Piece>,
    /// Whether there is more of it.
    pub text_cut: bool,
    /// Where everything is shown, however long it is.
    pub whole: String,
    /// The text view.
    pub here: String,
    /// The formatted view, if there is one.
    pub html: Option<String>,
    /// The frame's content, on the formatted view.
    pub frame: Option<String>,
    /// The attachments.
    pub files: Vec<File>,
    /// How many there are, if not all of them are shown.
    pub files_some: Option<String>,
    /// All of them in one.
    pub zip: Option<String>,
    /// The print view.
    pub print: String,
    /// The original, where it may leave the portal.
    pub original: Option<String>,
    /// Whether one may reply.
    pub can_reply: bool,
    /// Where.
    pub reply: String,
    /// What was replied.
    pub replies: Vec<Item>,
    /// Whether there are more of these.
    pub replies_cut: bool,
}

/// A message for paper.
#[derive(Template)]
#[template(path = "portal/print.html")]
pub struct PrintPage<'a> {
    /// Language and operator.
    pub s: Shell<'a>,
    /// The header.
    pub head: Head,
    /// The text.
    pub text: Vec<Piece>,
    /// The attachments.
    pub files: Vec<File>,
    /// The text view.
    pub here: String,
}

/// An address that can be written to.
#[derive(Debug, Clone)]
pub struct Choice {
    /// It.
    pub value: String,
    /// Chosen.
    pub chosen: bool,
}

/// A reply, or a message to one of the operator's addresses.
#[derive(Template)]
#[template(path = "portal/write.html")]
pub struct WritePage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// What it is about.
    pub title: String,
    /// What to do.
    pub lead: Vec<String>,
    /// The way back.
    pub back: Option<String>,
    /// Where the form goes.
    pub action: String,
    /// The one who gets it.
    pub to: String,
    /// The one who writes.
    pub from: String,
    /// Those who can be written to.
    pub choices: Vec<Choice>,
    /// Which form this is.
    pub number: String,
    /// Subject and text.
    pub fields: Vec<Field>,
    /// Most octets, for people.
    pub size_limit: String,
    /// What the button says.
    pub button: String,
}

/// What was sent from here.
#[derive(Template)]
#[template(path = "portal/sent.html")]
pub struct SentPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// Newest first.
    pub items: Vec<Item>,
    /// The page before.
    pub newer: Option<String>,
    /// The page behind.
    pub older: Option<String>,
}

/// A passkey of the account.
#[derive(Debug, Clone)]
pub struct Key {
    /// What its owner calls it.
    pub name: String,
    /// Since when.
    pub since: String,
    /// Where it is removed.
    pub remove: String,
    /// Which it is, for the form.
    pub key: String,
}

/// The account.
#[derive(Template)]
#[template(path = "portal/account.html")]
pub struct AccountPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// Whose.
    pub address: String,
    /// Whether there is a password.
    pub password: bool,
    /// Whether there is an app.
    pub totp: bool,
    /// The passkeys.
    pub passkeys: Vec<Key>,
    /// Recovery codes that are left.
    pub recovery: usize,
}

/// An authenticator app is set up.
#[derive(Template)]
#[template(path = "portal/totp.html")]
pub struct TotpPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// The dark squares of the picture, as the data of an SVG path.
    pub qr: String,
    /// Its side in squares.
    pub side: usize,
    /// The key as text.
    pub secret: String,
    /// The code.
    pub field: Field,
}

/// Recovery codes, shown once.
#[derive(Template)]
#[template(path = "portal/codes.html")]
pub struct CodesPage<'a> {
    /// Around it.
    pub s: Shell<'a>,
    /// They.
    pub codes: Vec<String>,
}
