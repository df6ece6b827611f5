//! What the mails say in each language, and what they cannot be made to say.

use mail_parser::{Message, MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;
use crate::mail::message::Header;
use crate::mail::{Grade, Level, PickupBy, Rendition, RenditionClass};

const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

fn setting() -> Setting {
    Setting {
        operator: "Clinic West".to_owned(),
        url: "https://portal.clinic.example/".to_owned(),
        notice_from: "secure-mail".to_owned(),
        domains: vec!["clinic.example".parse().unwrap()],
        hostname: "mta.clinic.example".parse().unwrap(),
        postmaster: address("postmaster@clinic.example"),
        language: Language::En,
        texts: Texts::shipped(),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn reference() -> Reference {
    Reference::new(*b"0123456789")
}

fn expires() -> Timestamp {
    Timestamp::from_rfc3339("2026-12-24T12:00:00Z").unwrap()
}

fn remind(author_name: Option<&str>, language: Language) -> Remind {
    Remind {
        reference: reference(),
        queue_id: MessageId::new(7),
        recipient: address("kim@home.example"),
        author: address("jo@ward.clinic.example"),
        author_name: author_name.map(str::to_owned),
        language,
        expires: expires(),
    }
}

fn noticed(setting: &Setting, author_name: Option<&str>, language: Language) -> Notice {
    let remind = remind(author_name, language);
    let waiting = Waiting {
        reference: remind.reference,
        recipient: &remind.recipient,
        author: &remind.author,
        author_name,
        language,
        expires: remind.expires,
    };
    setting.notice(NOW, &waiting)
}

fn asked(language: Language, author: Option<&str>) -> AskCode {
    AskCode {
        recipient: address("kim@home.example"),
        code: "12345678".to_owned(),
        language,
        minutes: 15,
        author: author.map(address),
    }
}

fn reported(kind: ReportKind, message_id: &str) -> ReportPickup {
    ReportPickup {
        kind,
        queue_id: MessageId::new(7),
        message_id: message_id.to_owned(),
        author: address("jo@ward.clinic.example"),
        recipient: address("kim@home.example"),
        deposited: NOW,
        expires: expires(),
    }
}

/// All mails, of which each must keep to what holds for all.
fn all(setting: &Setting, name: Option<&str>, language: Language) -> Vec<Vec<u8>> {
    let setting = Setting {
        language,
        ..setting.clone()
    };
    let id = MessageId::new(42);
    let author = Some("jo@ward.clinic.example");
    vec![
        noticed(&setting, name, language).octets().to_vec(),
        setting.reminder(id, NOW, &remind(name, language)).octets,
        setting.code(id, NOW, &asked(language, author)).octets,
        setting
            .report(id, NOW, &reported(ReportKind::Unread, "<a@b.example>"))
            .octets,
        setting
            .report(
                id,
                NOW,
                &reported(ReportKind::ExpiredUnread, "<a@b.example>"),
            )
            .octets,
    ]
}

fn read(octets: &[u8]) -> Message<'_> {
    MessageParser::default().parse(octets).unwrap()
}

/// The text, and the HTML without its tags.
fn bodies(message: &Message<'_>) -> (String, String) {
    let text = message.body_text(0).unwrap().replace("\r\n", "\n");
    let html = message.body_html(0).unwrap().into_owned();
    (text, html)
}

/// Form: what every mail server takes, and nobody has to look twice at.
fn sound(octets: &[u8], language: Language) {
    assert!(octets.is_ascii());
    assert!(octets.len() < MAX_MAIL_OCTETS, "{}", octets.len());
    let text = std::str::from_utf8(octets).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
    assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let block = format!("{head}\r\n");
    let header = Header::parse(block.as_bytes()).unwrap();
    let names: Vec<&str> = header.fields().map(|field| field.name()).collect();
    let about = names.contains(&"References");
    let mut expected = vec!["From", "To", "Subject", "Date", "Message-ID"];
    if about {
        expected.extend(["In-Reply-To", "References"]);
    }
    expected.extend([
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Content-Language",
        "MIME-Version",
        "Content-Type",
    ]);
    assert_eq!(names, expected);
    assert_eq!(
        header.first("Auto-Submitted").unwrap().value(),
        "auto-generated"
    );
    let tag = header.first("Content-Language").unwrap().value();
    assert_eq!(tag, language.as_str());
    let message = read(octets);
    let kinds: Vec<_> = message
        .parts
        .iter()
        .map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
        })
        .collect();
    assert_eq!(kinds, ["multipart/alternative", "text/plain", "text/html"]);
    let (_, html) = bodies(&message);
    assert!(html.contains(&format!("<html lang=\"{language}\">")));
    for never in [
        "<img", "<script", "<style", " style=", "<form", "<table", "<input",
    ] {
        assert!(!html.contains(never), "{never}");
    }
    // The one link is its own text.
    for (at, _) in html.match_indices("href=\"") {
        let (target, rest) = html[at + 6..].split_once("\">").unwrap();
        assert!(rest.starts_with(&format!("{target}</a>")), "{html}");
    }
}

#[test]
fn a_notice_says_who_until_when_and_where_in_every_language() {
    let setting = setting();
    for (language, subject, until) in [
        (
            Language::En,
            "Jo Doe has sent you a protected message",
            "24 December 2026",
        ),
        (
            Language::Es,
            "Jo Doe le ha enviado un mensaje protegido",
            "24 de diciembre de 2026",
        ),
        (
            Language::De,
            "Jo Doe hat Ihnen eine geschützte Nachricht gesendet",
            "24. Dezember 2026",
        ),
        (
            Language::Fr,
            "Jo Doe vous a envoyé un message protégé",
            "24 décembre 2026",
        ),
        (
            Language::Zh,
            "Jo Doe 给您发送了一封受保护的邮件",
            "2026年12月24日",
        ),
    ] {
        let notice = noticed(&setting, Some("Jo Doe"), language);
        sound(notice.octets(), language);
        let message = read(notice.octets());
        assert_eq!(message.subject(), Some(subject));
        let from = message.from().unwrap().first().unwrap();
        assert_eq!(from.address(), Some("secure-mail@ward.clinic.example"));
        let shown = from.name().unwrap();
        assert!(shown.contains("Jo Doe") && shown.contains("Clinic West"));
        let to = message.to().unwrap().first().unwrap();
        assert_eq!((to.name(), to.address()), (None, Some("kim@home.example")));
        let id = format!("notice.{}@mta.clinic.example", reference());
        assert_eq!(message.message_id(), Some(id.as_str()));
        let (text, html) = bodies(&message);
        let link = format!("https://portal.clinic.example/m/{}", reference());
        for body in [&text, &html] {
            for said in [
                "Jo Doe (jo@ward.clinic.example)",
                "Clinic West",
                until,
                &link,
                "kim@home.example",
                "postmaster@clinic.example",
            ] {
                assert!(body.contains(said), "{language}: {said}: {body}");
            }
        }
        // Typed by hand it stands alone, with nothing that clings to it.
        assert!(
            text.contains("\n  https://portal.clinic.example\n"),
            "{text}"
        );
        assert!(text.contains(&format!("\n  {link}\n")), "{text}");
        assert!(!text.contains(['{', '}']), "{text}");
        assert_eq!(notice.reference(), reference());
        assert_eq!((notice.language(), notice.expires()), (language, expires()));
    }
}

#[test]
fn the_english_notice_word_by_word() {
    let notice = noticed(&setting(), Some("Jo Doe"), Language::En);
    let (text, _) = bodies(&read(notice.octets()));
    let link = format!("https://portal.clinic.example/m/{}", reference());
    let expected = format!(
        "Hello,

Jo Doe (jo@ward.clinic.example) has sent you a protected message through Clinic West.

You can read it on this page until 24 December 2026:

  {link}

If you would rather not follow a link, type this address into your browser yourself, and enter your e-mail address there:

  https://portal.clinic.example

The page asks you to show that it is you, for instance by a code that we send to kim@home.example. Nothing needs to be installed.

* * *

We never ask for a password by e-mail or by telephone.

Please do not reply to this e-mail: a reply would be neither protected nor read.

This e-mail was written automatically by Clinic West. If you have questions, please write to postmaster@clinic.example.
"
    );
    assert_eq!(text, expected);
}

#[test]
fn every_mail_is_sound_in_every_language() {
    let setting = setting();
    for language in Language::ALL {
        let mails = all(&setting, Some("李小龍 Jo"), language);
        let mut texts = Vec::new();
        for octets in &mails {
            sound(octets, language);
            let (text, html) = bodies(&read(octets));
            assert!(
                !text.contains(['{', '}']) && !html.contains(['{', '}']),
                "{text}"
            );
            texts.push(text);
        }
        texts.dedup();
        assert_eq!(texts.len(), 5, "each says something of its own");
    }
}

#[test]
fn the_same_notice_is_the_same_octets_and_a_reminder_is_another_mail() {
    let setting = setting();
    let once = noticed(&setting, Some("Jo Doe"), Language::De);
    assert_eq!(once, noticed(&setting, Some("Jo Doe"), Language::De));
    let first = setting.reminder(MessageId::new(1), NOW, &remind(None, Language::De));
    let other = setting.reminder(MessageId::new(2), NOW, &remind(None, Language::De));
    assert_ne!(first.message_id, other.message_id);
    let id = format!("<{}>", read(&first.octets).message_id().unwrap());
    assert_eq!(id, first.message_id);
    assert_eq!(first.from, address("secure-mail@ward.clinic.example"));
}

#[test]
fn a_code_is_in_groups_and_stands_in_no_header() {
    let setting = setting();
    let id = MessageId::new(9);
    for language in Language::ALL {
        let asked_for = asked(language, Some("jo@ward.clinic.example"));
        let mail = setting.code(id, NOW, &asked_for);
        assert_eq!(mail.from, address("secure-mail@ward.clinic.example"));
        let message = read(&mail.octets);
        let (text, html) = bodies(&message);
        assert!(text.contains("\n    1234 5678\n"), "{text}");
        assert!(html.contains("<b>1234 5678</b>"), "{html}");
        assert!(text.contains("15") && text.contains("https://portal.clinic.example\n"));
        let head = mail.octets.split(|octet| *octet == b'\n').take(9);
        let head = head.collect::<Vec<_>>().concat();
        assert!(memchr::memmem::find(&head, b"1234").is_none());
        assert!(!message.subject().unwrap().contains("1234"));
        // Nothing to click: it is typed where it was asked for.
        assert!(!html.contains("href"), "{html}");
        assert!(
            !text.contains("jo@"),
            "who wrote is not said beside the code"
        );
    }
    let alone = setting.code(id, NOW, &asked(Language::En, None));
    assert_eq!(alone.from, address("secure-mail@clinic.example"));
}

#[test]
fn a_report_names_the_message_and_nothing_of_it() {
    let setting = setting();
    let id = MessageId::new(9);
    let report = setting.report(
        id,
        NOW,
        &reported(ReportKind::Unread, "<m1@clinic.example>"),
    );
    let message = read(&report.octets);
    assert_eq!(
        message.subject(),
        Some("Not read yet: your message to kim@home.example")
    );
    assert_eq!(message.in_reply_to().as_text(), Some("m1@clinic.example"));
    assert_eq!(report.from, address("postmaster@clinic.example"));
    let (text, _) = bodies(&message);
    for said in [
        "22 November 2026",
        "24 December 2026",
        "<m1@clinic.example>",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    for hostile in [
        "",
        "m1@clinic.example",
        "<m1>",
        "<a@b@c>",
        "<a@b>\r\nBcc: x@y.example",
        "<a b@c>",
        "<ä@c>",
        &format!("<{}@c>", "x".repeat(300)),
    ] {
        let report = setting.report(id, NOW, &reported(ReportKind::ExpiredUnread, hostile));
        sound(&report.octets, Language::En);
        assert!(
            read(&report.octets).in_reply_to().as_text().is_none(),
            "{hostile}"
        );
    }
}

#[test]
fn an_unfit_name_gives_way_to_the_address() {
    let setting = setting();
    for name in [
        None,
        Some("security@bank.example"),
        Some("Visit bank.example"),
        Some("https://bank"),
        Some("x\r\nBcc: all@world.example"),
        Some("\u{202e}Jo"),
        Some(""),
    ] {
        let notice = noticed(&setting, name, Language::En);
        sound(notice.octets(), Language::En);
        let message = read(notice.octets());
        let shown = message.from().unwrap().first().unwrap().name().unwrap();
        assert_eq!(shown, "jo@ward.clinic.example via Clinic West");
        let (text, _) = bodies(&message);
        assert!(!text.contains("bank") && !text.contains("world"), "{text}");
    }
}

#[test]
fn what_an_operator_is_called_breaks_nothing() {
    let mut setting = setting();
    setting.operator = "Smith & <Sons>\r\nBcc: x@y.example \"q\" ".repeat(3);
    for octets in all(&setting, Some("Jo"), Language::Es) {
        sound(&octets, Language::Es);
        let message = read(&octets);
        assert!(message.bcc().is_none());
        let (_, html) = bodies(&message);
        assert!(html.contains("Smith &amp; &lt;Sons&gt;") && !html.contains("<Sons"));
    }
    setting.notice_from = "not a local part".to_owned();
    let from = setting.from_address(None, &address("r@b.example"));
    assert_eq!(from, address("postmaster@clinic.example"));
}

/// What a mail shows anywhere.
fn shown(octets: &[u8]) -> String {
    let message = read(octets);
    let (text, html) = bodies(&message);
    let from = message.from().unwrap().first().unwrap();
    let (name, subject) = (from.name().unwrap(), message.subject().unwrap());
    format!("{name}\n{subject}\n{text}\n{html}")
}

#[test]
fn every_text_is_said_somewhere_and_can_be_replaced() {
    let english: std::collections::BTreeMap<String, String> =
        toml::from_str(include_str!("../locale/mails/en.toml")).unwrap();
    assert!(english.len() > 25, "{} texts", english.len());
    for key in english.keys() {
        let file = format!("{key:?} = \"<i>Quuux</i> & co\"");
        let texts = Texts::shipped().replaced(Language::En, &file).unwrap();
        let own = Setting { texts, ..setting() };
        let said = all(&own, Some("Jo"), Language::En);
        let said: Vec<String> = said.iter().map(|octets| shown(octets)).collect();
        assert!(said.iter().any(|said| said.contains("Quuux")), "{key}");
        // A text is words, and no markup.
        assert!(said.iter().all(|said| !said.contains("<p><i>")), "{key}");
        let other = all(&own, Some("Jo"), Language::De);
        assert!(other.iter().all(|octets| !shown(octets).contains("Quuux")));
    }
}

#[test]
fn no_language_borrows_the_english_words() {
    let english = all(&setting(), Some("Jo"), Language::En);
    for language in Language::ALL.into_iter().skip(1) {
        let own = all(&setting(), Some("Jo"), language);
        for (own, english) in own.iter().zip(&english) {
            let (own, english) = (bodies(&read(own)).0, bodies(&read(english)).0);
            let lines = english
                .lines()
                .filter(|line| line.contains(' ') && !line.starts_with(' '));
            for line in lines.filter(|line| *line != "* * *") {
                assert!(!own.contains(line), "{language}: {line}");
            }
        }
    }
}

#[test]
fn a_notice_demands_what_its_code_needs() {
    let notice = std::sync::Arc::new(noticed(&setting(), None, Language::En));
    for level in Level::ALL {
        for (by, least) in [
            (PickupBy::Mailbox, Grade::Any),
            (PickupBy::Apart, Grade::None),
        ] {
            let rendition = Rendition::notice(level, by, std::sync::Arc::clone(&notice));
            let demand = rendition.demand();
            assert_eq!(
                (demand.class(), demand.least()),
                (RenditionClass::Notice, least)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever a sender is called: the header is the same fields, the mail the same parts.
    #[test]
    fn no_name_breaks_out(name in "(?s).{0,80}") {
        for octets in all(&setting(), Some(&name), Language::Fr) {
            sound(&octets, Language::Fr);
        }
    }

    /// What is shown of a name has nothing that an address, a link or a trick is made of.
    #[test]
    fn what_is_shown_is_a_name(name in "[\\PC@. \u{202e}\r\n]{0,20}") {
        if let Some(shown) = fit(&name) {
            let unfit = shown.contains(['@', '<', '>', ':', '\r', '\n', '\u{202e}']);
            prop_assert!(!unfit, "{:?}", shown);
            prop_assert!(shown.chars().count() <= MAX_NAME_CHARS);
        }
    }
}

#[test]
fn mails_about_a_reply_come_from_the_domain_of_whom_it_is_for() {
    let setting = setting();
    let from = |author: &str, recipient: &str| {
        let from = setting.from_address(Some(&address(author)), &address(recipient));
        from.to_string()
    };
    let [kim, jo] = ["kim@b.example", "jo@ward.clinic.example"];
    assert_eq!(from(jo, kim), "secure-mail@ward.clinic.example");
    assert_eq!(from(kim, jo), "secure-mail@ward.clinic.example");
    assert_eq!(from(kim, kim), "secure-mail@b.example");
}
