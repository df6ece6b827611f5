//! Messages at random, and the ways that they come in.

use super::dice::Dice;
use super::policies::Drawn;
use super::{BILLING, DOMAINS, KNOWN, LISTENERS, RESEARCH, SENDERS};

/// How a message comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// TLS and a password, on the first listener.
    Tls,
    /// A Unix socket, which has no client's address.
    Unix,
    /// Plain, on loopback, from this last octet.
    Loopback(u8),
}

impl Way {
    pub fn user(self) -> &'static str {
        match self {
            Self::Tls => sealpost::dev::home::USER,
            Self::Unix => BILLING,
            Self::Loopback(_) => RESEARCH,
        }
    }

    pub fn listener(self) -> &'static str {
        match self {
            Self::Tls => LISTENERS[0],
            Self::Loopback(_) => LISTENERS[1],
            Self::Unix => LISTENERS[2],
        }
    }

    pub fn client(self) -> Option<String> {
        match self {
            Self::Tls => Some("127.0.0.1".to_owned()),
            Self::Unix => None,
            Self::Loopback(octet) => Some(format!("127.0.0.{octet}")),
        }
    }
}

/// A message to be handed in.
#[derive(Debug)]
pub struct Letter {
    pub way: Way,
    pub sender: &'static str,
    pub recipients: Vec<String>,
    pub content: Vec<u8>,
    /// Whether nobody of the recipients was ever written to by this sender.
    pub first: bool,
}

/// Draws a message for a policy. `number` makes strangers strange.
pub fn letter(dice: &mut Dice, policy: &Drawn, number: usize) -> Letter {
    let way = match dice.below(10) {
        0 | 1 => Way::Tls,
        2..=5 => Way::Unix,
        _ => Way::Loopback(dice.one(&[1, 9, 20])),
    };
    let first = dice.chance(70);
    let recipients = match (first, policy.first_contact) {
        (false, true) => dice
            .some(&KNOWN, 2)
            .iter()
            .map(|it| (*it).to_owned())
            .collect(),
        (_, asks) => strangers(dice, number, asks),
    };
    Letter {
        way,
        sender: dice.one(&SENDERS),
        content: content(dice, policy, &recipients),
        recipients,
        first: first || !policy.first_contact,
    }
}

/// Somebody at each of some domains. With `asks` nobody who was ever written to before.
fn strangers(dice: &mut Dice, number: usize, asks: bool) -> Vec<String> {
    let domains = dice.some(&DOMAINS, 5);
    let mut recipients: Vec<String> = domains
        .iter()
        .map(|domain| match dice.below(3) {
            _ if asks => format!("new{number}@{domain}"),
            0 => format!("friend{number}@{domain}"),
            1 => format!("Fax@{domain}"),
            _ => format!("fax@{domain}"),
        })
        .collect();
    if dice.chance(20) {
        let second = format!("second{number}@{}", domains[0]);
        recipients.push(second);
    }
    recipients
}

fn subject(dice: &mut Dice, policy: &Drawn) -> String {
    let text = dice.one(&[
        "Your result",
        "Re: the biopsy",
        "=?utf-8?q?K=C3=A4se?=",
        "hello",
        "",
    ]);
    if !dice.chance(30) {
        return text.to_owned();
    }
    let tag = dice.one(&policy.tags);
    match dice.below(4) {
        0 => format!("{tag} {text}"),
        1 => format!("{text} {}", tag.to_uppercase()),
        2 => format!("{text}\r\n {tag}"),
        // Encoded, as some programs do.
        _ => format!(
            "=?utf-8?q?{}?= {text}",
            tag.replace('[', "=5B").replace(']', "=5D")
        ),
    }
}

/// What the detectors look for, and what only looks like it.
const LINES: [&str; 12] = [
    "Patient: Jane Roe, SSN 536-90-4399",
    "MRN: 00482913",
    "Card 4111 1111 1111 1111, thank you",
    "About Apollo, as agreed",
    "See CASE-482913",
    "Order 666-12-3456 is not one",
    "Nothing to see",
    "Nor here",
    "See you",
    "Thank you",
    ".",
    "..and so on",
];

fn body(dice: &mut Dice) -> String {
    let mut body = dice.some(&LINES, 2).join("\r\n");
    // Kept away from the sizes that rules name, whatever the header takes.
    let padding = dice.one(&[0, 20, 60]) * 1024;
    while body.len() < padding {
        body.push_str("\r\nNothing but a line to fill the message up with, and another word");
    }
    if dice.chance(8) {
        // What no line of a message may hold.
        let long = "x".repeat(999);
        body.push_str(dice.one(&["\r\nbare\nend", "\r\nbare\rend", "\r\nnul\0", &long]));
    }
    body.push_str("\r\n");
    body
}

fn attachment(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "Content-Type: text/csv; name=\"list.csv\"\r\nContent-Disposition: attachment; filename=\"list.csv\"\r\n\r\nname,ssn\r\nRoe,536-90-4399\r\n",
        "Content-Type: text/csv\r\nContent-Disposition: attachment; filename=\"LIST.CSV\"\r\n\r\na,b\r\n",
        "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"letter.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjcKbm8gZmlsZQo=\r\n",
        "Content-Type: image/png; name=\"scan.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==\r\n",
        "Content-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n filename*=utf-8''r%C3%A9sum%C3%A9.exe\r\n\r\nMZ\r\n",
        "Content-Type: application/zip; name=\"a.zip\"\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBBQAAQAAAA==\r\n",
        "Content-Type: message/rfc822\r\n\r\nSubject: forwarded\r\n\r\nMRN: 00482913\r\n",
        "Content-Type: text/html\r\n\r\n<p>SSN&nbsp;<b>536-90-4399</b></p>\r\n",
    ])
}

fn content(dice: &mut Dice, policy: &Drawn, recipients: &[String]) -> Vec<u8> {
    let author = match dice.chance(3) {
        // Not for this account to say.
        true => "boss@else.test",
        false => dice.one(&SENDERS),
    };
    let mut text = format!("From: Somebody <{author}>\r\n");
    let (seen, blind) = recipients.split_at(1 + dice.below(recipients.len()));
    text.push_str(&format!("To: {}\r\n", seen.join(", ")));
    if dice.chance(20) {
        text.push_str("Cc: one@tls.test, two@tls.test,\r\n three@weak.test\r\n");
    }
    if !blind.is_empty() && dice.chance(50) {
        text.push_str(&format!("Bcc: {}\r\n", blind.join(", ")));
    }
    if !dice.chance(10) {
        text.push_str(&format!("Subject: {}\r\n", subject(dice, policy)));
    }
    if dice.chance(60) {
        let project = dice.one(&["apollo", "gemini four", "=?utf-8?b?YXBvbGxv?="]);
        text.push_str(&format!("X-Project: {project}\r\n"));
    }
    if dice.chance(12) {
        // The last one is none: the door says so.
        let level = dice.one(&[
            "confidential",
            "Restricted",
            "sealed",
            "protected",
            "secret",
        ]);
        text.push_str(&format!("X-Sealpost-Level: {level}\r\n"));
    }
    if dice.chance(30) {
        text.push_str("Date: Sun, 22 Nov 2026 09:30:00 +0000\r\n");
    }
    if !dice.chance(45) {
        text.push_str(&format!("\r\n{}", body(dice)));
        return text.into_bytes();
    }
    text.push_str("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"cut\"\r\n\r\n");
    text.push_str(&format!(
        "--cut\r\nContent-Type: text/plain\r\n\r\n{}",
        body(dice)
    ));
    for _ in 0..=dice.below(2) {
        text.push_str(&format!("--cut\r\n{}", attachment(dice)));
    }
    text.push_str("--cut--\r\n");
    text.into_bytes()
}
