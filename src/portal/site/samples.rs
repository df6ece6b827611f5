//! Every page, drawn with sample data in every language and looked at by a program: well-formed,
//! nothing inline, nothing from elsewhere, everything escaped, every text there, small.
//!
//! The pages are left in `target/portal-pages/`, to be looked at by people.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;

use super::forms::{self, Ended, Writing};
use super::operator::{self, Identity, Imprint, Logo, Operator};
use super::pages::*;
use super::say::Say;
use super::shell::{Member, Problem, Shell};
use crate::locale::Texts;
use crate::mail::{Language, Reference, Timestamp};
use crate::portal::http::Assets;

mod check;

/// What stands where people and messages fill something in.
struct Sample {
    operator: Operator,
    address: &'static str,
    name: &'static str,
    subject: &'static str,
    text: &'static str,
    file: &'static str,
}

const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)><!--</title>&lt;";

fn identity(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        origin: "https://secure.clinic.example".to_owned(),
        logo: None,
        colour: None,
        imprint: Some(Imprint::Text(
            "Example Clinic\n1 Garden Road, Exampletown\n\ninfo@clinic.example".into(),
        )),
        writable: true,
    }
}

fn kind_sample() -> Sample {
    Sample {
        operator: Operator::new(identity("Example Clinic"), &mut Assets::default()),
        address: "kim.larsen@patient.example",
        name: "Dr Ada Meyer <ada.meyer@clinic.example>",
        subject: "Your results of 12 November",
        text: "Dear Kim Larsen,\n\nyour results are here, and they are good. The details are in the \
               attached report.\n\nIf you have questions, simply reply to this message or look at \
               https://clinic.example/questions.\n\nKind regards\nAda Meyer\n",
        file: "Report Larsen 2026-11-12.pdf",
    }
}

fn hostile_sample() -> Sample {
    let logo = Logo::of(Bytes::from_static(b"\x89PNG\r\n\x1a\n0000"));
    Sample {
        operator: Operator::new(
            Identity {
                logo,
                imprint: Some(Imprint::Text(HOSTILE.to_owned())),
                ..identity(HOSTILE)
            },
            &mut Assets::default(),
        ),
        address: HOSTILE,
        name: HOSTILE,
        subject: HOSTILE,
        text: HOSTILE,
        file: HOSTILE,
    }
}

/// Draws pages.
struct Painter<'a> {
    sample: &'a Sample,
    say: Say,
    reference: Reference,
    now: Timestamp,
    drawn: Vec<(String, String)>,
}

impl<'a> Painter<'a> {
    fn new(sample: &'a Sample, language: Language) -> Self {
        Self {
            sample,
            say: Say::new(Texts::shipped(), language),
            reference: Reference::new(*b"0123456789"),
            now: Timestamp::from_secs(1_793_000_000),
            drawn: Vec::new(),
        }
    }

    /// Nobody is signed in.
    fn outside(&self, path: &str) -> Shell<'a> {
        Shell {
            operator: &self.sample.operator,
            say: self.say.clone(),
            asked: Some(self.say.language()),
            path: path.to_owned(),
            csrf: "c".repeat(43),
            member: None,
            typed: Some(self.sample.address.to_owned()),
            problem: None,
            told: None,
        }
    }

    fn inside(&self, path: &str) -> Shell<'a> {
        Shell {
            member: Some(Member {
                address: self.sample.address.to_owned(),
                idle_minutes: 15,
            }),
            ..self.outside(path)
        }
    }

    fn wrong(&self, path: &str, field: &'static str, key: &str) -> Shell<'a> {
        Shell {
            problem: Some(Problem::field(field, self.say.t(key))),
            ..self.outside(path)
        }
    }

    fn draw(&mut self, name: &str, page: impl Template) {
        self.drawn.push((name.to_owned(), page.render().unwrap()));
    }

    fn ways(&self) -> Vec<Way> {
        ["password", "passkey", "totp", "secret", "phone", "recovery"]
            .map(|way| {
                Way::link(
                    format!("/sign-in/{way}"),
                    self.say.t(&format!("ways.{way}")),
                )
            })
            .to_vec()
    }

    fn item(&self, class: &'static str, state: &str, subject: &str) -> Item {
        let gone = matches!(class, "expired" | "retracted");
        Item {
            href: (!gone).then(|| format!("/box/{}", self.reference)),
            from: self.sample.name.to_owned(),
            subject: subject.to_owned(),
            date: self.say.moment(self.now),
            date_machine: self.now.to_rfc3339(),
            state: self.say.t(state),
            class,
            until: match gone {
                true => String::new(),
                false => self
                    .say
                    .with("mailbox.until", "date", self.say.day(self.now)),
            },
        }
    }

    fn head(&self) -> Head {
        Head {
            subject: self.sample.subject.to_owned(),
            from: self.sample.name.to_owned(),
            to: self.sample.address.to_owned(),
            cc: self.sample.name.to_owned(),
            date: self.say.moment(self.now),
            expires: self.say.day(self.now),
        }
    }

    fn text(&self) -> Vec<Piece> {
        super::text::pieces(self.sample.text)
    }

    fn files(&self) -> Vec<File> {
        [("PDF", 248_000), ("PNG", 3_400_000)]
            .map(|(kind, octets)| File {
                href: format!("/box/{}/file/1", self.reference),
                name: self.sample.file.to_owned(),
                kind: kind.to_owned(),
                size: self.say.size(octets),
                warning: (kind == "PNG").then(|| self.say.t("message.danger")),
            })
            .to_vec()
    }

    fn message(&self, frame: bool) -> MessagePage<'a> {
        let here = format!("/box/{}", self.reference);
        MessagePage {
            s: self.inside(&here),
            head: self.head(),
            text: self.text(),
            whole: Some(format!("{here}?whole=1")),
            html: Some(format!("{here}/html")),
            frame: frame.then(|| format!("{here}/frame")),
            files: self.files(),
            zip: Some(format!("{here}/all.zip")),
            print: format!("{here}/print"),
            original: Some(format!("{here}/message.eml")),
            can_reply: true,
            reply: format!("{here}/reply"),
            replies: vec![self.item("sent", "state.sent", "")],
            here,
        }
    }

    fn proofs(&mut self) {
        self.draw("start", forms::start(self.outside("/"), String::new()));
        let wrong = self.wrong("/", "address", "start.problem");
        self.draw("start-wrong", forms::start(wrong, HOSTILE.to_owned()));
        let path = format!("/m/{}", self.reference);
        self.draw("waits", forms::waits(self.outside(&path), &self.reference));
        let page = forms::sign_in(self.outside("/sign-in"), self.sample.address);
        self.draw("sign-in", page);
        let code = |shell| forms::code(shell, 15, self.ways());
        let (right, wrong) = (
            code(self.outside("/sign-in/code")),
            code(self.wrong("/sign-in/code", "code", "code.wrong")),
        );
        let told = code(Shell {
            told: Some(self.say.t("code.resent")),
            ..self.outside("/sign-in/code")
        });
        self.draw("code", right);
        self.draw("code-wrong", wrong);
        self.draw("code-again", told);
        let path = "/sign-in/new-password";
        for (name, shell) in [
            ("new-password", self.outside(path)),
            (
                "new-password-wrong",
                self.wrong(path, "password", "newpass.common"),
            ),
        ] {
            let page = forms::new_password(shell, path, 12, "newpass.lead");
            self.draw(name, page);
        }
        let (ways, ending) = (self.ways(), "23");
        let shell = |name: &str| self.outside(&format!("/sign-in/{name}"));
        let (password, totp) = (shell("password"), shell("totp"));
        let (passkey, secret) = (shell("passkey"), shell("secret"));
        let (phone, phone_code) = (shell("phone"), shell("phone"));
        let recovery = shell("recovery");
        self.draw("password", forms::password(password, ways.clone()));
        self.draw("totp", forms::totp(totp, ways.clone()));
        let options = "{\"challenge\":\"AAAA\",\"rpId\":\"secure.clinic.example\"}".to_owned();
        self.draw("passkey", forms::passkey(passkey, options, ways.clone()));
        self.draw("secret", forms::secret(secret, ways.clone()));
        self.draw("phone", forms::phone_send(phone, ending, ways.clone()));
        self.draw(
            "phone-code",
            forms::phone_code(phone_code, ending, ways.clone()),
        );
        self.draw("recovery", forms::recovery(recovery, ways));
        self.draw("anew", forms::anew(self.outside("/sign-in/anew")));
    }

    fn statements(&mut self) {
        let reasons = ["cannot.no_factor", "cannot.too_late", "cannot.generation"];
        let out = self.outside("/");
        self.draw(
            "cannot",
            forms::cannot(out.clone(), &reasons[..1], self.ways()),
        );
        self.draw(
            "cannot-all",
            forms::cannot(out.clone(), &reasons, Vec::new()),
        );
        let ways = self.ways();
        self.draw("stronger", forms::stronger(self.inside("/account"), ways));
        self.draw("unreadable", forms::unreadable(self.inside("/box")));
        self.draw("expired", forms::expired(out.clone(), self.now));
        self.draw("retracted", forms::retracted(self.inside("/box")));
        for (name, wait) in [("locked", 25 * 60), ("locked-long", 11 * 3600)] {
            self.draw(name, forms::locked(out.clone(), Duration::from_secs(wait)));
        }
        self.draw("ended", forms::ended(out.clone(), Ended::Idle));
        self.draw("ended-reply", forms::ended(out.clone(), Ended::Reply));
        self.draw("signed-out", forms::signed_out(out.clone()));
        self.draw("deleted", forms::deleted(out.clone()));
        let page = forms::confirm(self.inside("/box"), self.sample.address, &self.reference);
        self.draw("confirm", page);
        self.draw("replied", forms::replied(self.inside("/box")));
        for status in [400, 403, 404, 405, 413, 415, 429, 500, 503] {
            self.draw(
                &format!("error-{status}"),
                forms::error(out.clone(), status),
            );
        }
        self.draw("help", forms::help(self.outside("/help")));
        self.draw("imprint", forms::imprint(self.outside("/imprint")));
    }

    fn reading(&mut self) {
        let subject = self.sample.subject;
        let unopened = self.say.t("mailbox.unopened");
        let one = |item| Thread {
            subject: String::new(),
            items: vec![item],
        };
        let threads = vec![
            one(self.item("new", "state.new", &unopened)),
            Thread {
                subject: subject.to_owned(),
                items: vec![
                    self.item("opened", "state.opened", &format!("Re: {subject}")),
                    self.item("opened", "state.opened", subject),
                ],
            },
            one(self.item("retracted", "state.retracted", &unopened)),
            one(self.item("expired", "state.expired", subject)),
        ];
        let mailbox = |threads| MailboxPage {
            s: self.inside("/box"),
            threads,
            newer: Some("/box".to_owned()),
            older: Some("/box?page=2".to_owned()),
        };
        let (full, empty) = (mailbox(threads), mailbox(Vec::new()));
        self.draw("mailbox", full);
        self.draw("mailbox-empty", empty);
        self.draw("message", self.message(false));
        self.draw("message-html", self.message(true));
        let print = PrintPage {
            s: self.inside("/box/x/print"),
            head: self.head(),
            text: self.text(),
            files: self.files(),
            here: format!("/box/{}", self.reference),
        };
        self.draw("print", print);
        let items = vec![
            self.item("waiting", "state.waiting", &self.say.t("sent.reply")),
            self.item("sent", "state.sent", &self.say.t("sent.reply")),
            self.item("failed", "state.failed", &self.say.t("sent.reply")),
        ];
        let sent = SentPage {
            s: self.inside("/sent"),
            items,
            newer: None,
            older: None,
        };
        self.draw("sent", sent);
    }

    fn writing(&mut self) {
        let people = (self.sample.address.to_owned(), self.sample.name.to_owned());
        let typed = Writing {
            subject: format!("Re: {}", self.sample.subject),
            text: self.sample.text.to_owned(),
            to: "office@clinic.example".to_owned(),
            number: "00".repeat(16),
        };
        let limit = 25 * 1024 * 1024;
        let inside = self.inside("/box/x/reply");
        let wrong = Shell {
            problem: Some(Problem::field(
                "files",
                self.say.with("reply.type", "name", self.sample.file),
            )),
            ..inside.clone()
        };
        for (name, shell) in [("reply", inside), ("reply-wrong", wrong)] {
            let page = forms::reply(shell, &self.reference, people.clone(), typed.clone(), limit);
            self.draw(name, page);
        }
        let to = [
            "reception@clinic.example".to_owned(),
            "office@clinic.example".to_owned(),
        ];
        let shell = self.inside("/write");
        let page = forms::write(shell, self.sample.address, &to, typed, limit);
        self.draw("write", page);
        let page = forms::write_first(self.outside("/write"), &to, String::new());
        self.draw("write-first", page);
    }

    fn account(&mut self) {
        let account = |rich: bool| AccountPage {
            s: self.inside("/account"),
            address: self.sample.address.to_owned(),
            password: rich,
            totp: rich,
            passkeys: match rich {
                true => vec![Key {
                    name: self.sample.name.to_owned(),
                    since: self
                        .say
                        .with("account.passkey_since", "date", self.say.day(self.now)),
                    remove: "/account/passkey/0/remove".to_owned(),
                    key: "AAAA".to_owned(),
                }],
                false => Vec::new(),
            },
            recovery: if rich { 8 } else { 0 },
        };
        let (rich, poor) = (account(true), account(false));
        self.draw("account", rich);
        self.draw("account-new", poor);
        let shell = self.inside("/account/totp");
        let (qr, side) = super::qr::path("otpauth://totp/Example%20Clinic").unwrap();
        let totp = TotpPage {
            field: forms::totp_field(&shell),
            s: shell,
            qr,
            side,
            secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP".to_owned(),
        };
        self.draw("totp-setup", totp);
        let codes = CodesPage {
            s: self.inside("/account"),
            codes: (0..10).map(|n| format!("7K3F-Q9WX-TM{n}D")).collect(),
        };
        self.draw("recovery-codes", codes);
        let path = "/account/password";
        let page = forms::new_password(self.inside(path), path, 12, "newpass.account");
        self.draw("account-password", page);
        let shell = self.inside("/account/passkey");
        self.draw("passkey-add", forms::passkey_add(shell, "{}".to_owned()));
        self.draw("delete", forms::delete(self.inside("/account/delete")));
    }

    fn all(mut self) -> Vec<(String, String)> {
        self.proofs();
        self.statements();
        self.reading();
        self.writing();
        self.account();
        self.drawn
    }
}

/// Largest page with an ordinary message.
const MAX_PAGE_OCTETS: usize = 50_000;

#[test]
fn every_page_is_sound_in_every_language_with_hostile_data() {
    let sample = hostile_sample();
    for language in Language::ALL {
        for (name, page) in Painter::new(&sample, language).all() {
            check::page(&format!("{name} ({language})"), &page);
            assert!(page.len() < MAX_PAGE_OCTETS, "{name}: {}", page.len());
        }
    }
}

#[test]
fn the_pages_can_be_looked_at() {
    let sample = kind_sample();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portal-pages");
    std::fs::create_dir_all(folder.join("static")).unwrap();
    let operator = &sample.operator;
    for (path, text) in operator::files(operator) {
        std::fs::write(folder.join(&path[1..]), text).unwrap();
    }
    let mut names = BTreeSet::new();
    for language in Language::ALL {
        for (name, page) in Painter::new(&sample, language).all() {
            let page = page
                .replace("\"/static/", "\"static/")
                .replace("src=\"/box/40R30C1G60S3GE1N/frame", "src=\"frame.html");
            let name = format!("{name}.{language}.html");
            std::fs::write(folder.join(&name), page).unwrap();
            assert!(names.insert(name));
        }
    }
}

#[test]
fn every_key_that_is_asked_for_is_there_and_every_text_is_used() {
    let texts = Texts::shipped();
    let sources = check::sources();
    let asked = check::keys(&sources);
    assert!(asked.len() > 200, "{}", asked.len());
    let missing: Vec<_> = asked.iter().filter(|key| !texts.has(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unused: Vec<_> = check::page_keys()
        .into_iter()
        .filter(|key| !asked.contains(key) && !check::made_up(key))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}
