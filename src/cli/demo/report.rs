//! What is shown of one recipient, and whether it went as it must.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::visit::VisitError;
use crate::dev::browser::Page;
use crate::dev::dkim;
use crate::dev::home::Home;
use crate::dev::mx::Session;
use crate::dev::smime;
use crate::dev::world::SENDER_DOMAIN;
use crate::mail::MessageId;
use crate::queue::QueueDetail;

/// The Subject of the demo's mail.
pub const SUBJECT: &str = "sealpost demo";
/// Its first line.
pub const GREETING: &str = "Dear friend,";
/// Lines of its text.
const TEXT_LINES: usize = 5;

/// The delivery log as values, oldest first.
#[derive(Debug, Default)]
pub struct Events(Vec<Value>);

impl Events {
    /// Reads what is there; a line that is still being written is left for the next look.
    pub fn read(log: &Path) -> Self {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let values = text.lines().map(serde_json::from_str);
        Self(values.filter_map(Result::ok).collect())
    }

    /// The latest event of a message that is one of `kinds`.
    fn latest(&self, id: MessageId, kinds: &[&str]) -> Option<&Value> {
        let id = id.to_string();
        self.0.iter().rev().find(|event| {
            word(event, "queue_id") == Some(&id)
                && word(event, "event").is_some_and(|kind| kinds.contains(&kind))
        })
    }

    fn outcome(&self, id: MessageId) -> Option<&Value> {
        let ends = [
            "delivered",
            "deposited",
            "deferred",
            "bounced",
            "expired",
            "held",
        ];
        self.latest(id, &ends)
    }

    /// Whether it has been attempted.
    pub fn has_outcome(&self, id: MessageId) -> bool {
        self.outcome(id).is_some()
    }
}

fn word<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// A domain and what must become of mail to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It lands there, over verified TLS, signed.
    Delivered(&'static str),
    /// It lands there sealed to the recipient's certificate, and the recipient can open it.
    Sealed(&'static str),
    /// It lies in the portal, and its notice, which says nothing of it, has landed there.
    Deposited(&'static str),
    /// It waits for security, and its MX has not been given an octet of it.
    Waiting(&'static str),
}

impl Expected {
    /// The domain.
    pub const fn domain(self) -> &'static str {
        match self {
            Self::Delivered(domain)
            | Self::Sealed(domain)
            | Self::Deposited(domain)
            | Self::Waiting(domain) => domain,
        }
    }
}

/// What became of one message.
#[derive(Debug)]
pub struct Report {
    domain: &'static str,
    head: String,
    lines: Vec<(&'static str, String)>,
    /// The path of the message in the portal.
    link: Option<String>,
    /// What is not as it must be.
    pub faults: Vec<String>,
}

impl Report {
    /// Looks at log, inbox and transcripts.
    pub async fn of(
        home: &Home,
        events: &Events,
        detail: Option<&QueueDetail>,
        expected: Expected,
        id: MessageId,
    ) -> Self {
        let domain = expected.domain();
        let sessions = home.world().sessions_of(domain);
        let outcome = events.outcome(id).unwrap_or(&Value::Null);
        let state = word(outcome, "event")
            .unwrap_or("nothing happened")
            .to_uppercase();
        let mut report = Self {
            domain,
            head: format!("friend@{domain}: {state}"),
            lines: vec![("queue id", id.to_string())],
            link: None,
            faults: Vec::new(),
        };
        match events.latest(id, &["decided"]) {
            Some(decided) => report.decision(decided, outcome),
            None => report.fault("the delivery log has no decision"),
        }
        report.candidates(detail);
        report.connection(outcome);
        let file = landed(&home.path("inbox").join(domain), &id.to_string());
        match expected {
            Expected::Delivered(_) => {
                report.must_have_gone(outcome, &sessions);
                report.must_be_verified(outcome);
                report.must_have_landed(home, file.as_deref()).await;
            }
            Expected::Sealed(_) => {
                report.must_have_gone(outcome, &sessions);
                report.must_have_landed(home, file.as_deref()).await;
                report.must_be_sealed(home, outcome, file.as_deref());
            }
            Expected::Deposited(_) => report.must_be_deposited(home, outcome, &sessions).await,
            Expected::Waiting(_) => report.must_wait(outcome, file, &sessions),
        }
        report
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    fn decision(&mut self, decided: &Value, outcome: &Value) {
        let level = word(decided, "level").unwrap_or("?");
        let method = match word(decided, "method") {
            Some(method) => format!("method {method}"),
            None => "no method is left".to_owned(),
        };
        let required = word(outcome, "required")
            .or_else(|| word(decided, "required"))
            .unwrap_or("pkix");
        self.lines.push((
            "decided",
            format!("level {level}, {method}; TLS must reach grade {required} or better"),
        ));
    }

    /// Every method that was considered, and why it was taken or not.
    fn candidates(&mut self, detail: Option<&QueueDetail>) {
        let recipients = detail.into_iter().flat_map(|detail| &detail.recipients);
        let mut taken = false;
        for candidate in recipients.flat_map(|recipient| &recipient.candidates) {
            let verdict = match &candidate.refusal {
                None if taken => "would do too".to_owned(),
                None => "taken".to_owned(),
                Some(refusal) => format!("not taken: {refusal}"),
            };
            taken |= candidate.refusal.is_none();
            let line = format!("method {} {verdict}", candidate.method);
            self.lines.push(("because", line));
        }
    }

    fn connection(&mut self, outcome: &Value) {
        if let Some(mx) = word(outcome, "mx") {
            let address = word(outcome, "address").unwrap_or("?");
            self.lines.push(("MX", format!("{mx} at {address}")));
        }
        if let Some(grade) = word(outcome, "grade") {
            self.lines.push(("grade", grade.to_owned()));
        }
        let tls = match outcome.get("tls") {
            Some(tls) => {
                let fact = |key| word(tls, key).unwrap_or("?");
                format!(
                    "{}, {}, {}, verified by {}",
                    fact("version"),
                    fact("cipher"),
                    fact("group"),
                    fact("verified_by")
                )
            }
            None => "none".to_owned(),
        };
        self.lines.push(("TLS", tls));
    }

    fn must_have_gone(&mut self, outcome: &Value, sessions: &[Session]) {
        if word(outcome, "event") != Some("delivered") {
            self.fault("it was not delivered");
            self.reason(outcome);
        }
        if let Some(reply) = outcome.get("reply") {
            let text = word(reply, "text").unwrap_or_default();
            let enhanced = word(reply, "enhanced").unwrap_or_default();
            self.lines.push(("reply", format!("{enhanced} {text}")));
        }
        if !sessions
            .iter()
            .any(|session| session.tls && session.accepted > 0)
        {
            self.fault("its MX has not taken it over TLS");
        }
    }

    fn must_be_verified(&mut self, outcome: &Value) {
        let verified = outcome.get("tls").and_then(|tls| word(tls, "verified_by"));
        if verified != Some("pkix") {
            self.fault("it did not go over verified TLS");
        }
    }

    /// What travelled says nothing, and the recipient's key opens it.
    fn must_be_sealed(&mut self, home: &Home, outcome: &Value, file: Option<&Path>) {
        if word(outcome, "method") != Some("smime") {
            self.fault("it did not go by S/MIME");
        }
        let fact = |key| word(outcome, key).unwrap_or("?");
        let sealed = format!("to certificate {}, {}", fact("certificate"), fact("cipher"));
        self.lines.push(("sealed", sealed));
        let mail = file
            .map(std::fs::read)
            .and_then(Result::ok)
            .unwrap_or_default();
        let outside = String::from_utf8_lossy(&mail);
        if [SUBJECT, GREETING]
            .iter()
            .any(|text| outside.contains(text))
        {
            self.fault("what was written can be read without the recipient's key");
        }
        if let Some(subject) = field(&outside, "subject") {
            self.lines.push(("outside", format!("Subject: {subject}")));
        }
        let person = format!("friend@{}", self.domain);
        let Some(inside) = smime::open(home.directory(), &person, &mail) else {
            self.fault("the recipient's key does not open it");
            return;
        };
        let inside = String::from_utf8_lossy(&inside);
        let subject = field(&inside, "subject").unwrap_or("?");
        self.lines.push(("opened", format!("Subject: {subject}")));
        let text = inside
            .lines()
            .skip_while(|line| *line != GREETING)
            .take(TEXT_LINES);
        let text: Vec<(&str, String)> = text.map(|line| ("", format!("> {line}"))).collect();
        if text.is_empty() || subject != SUBJECT {
            self.fault("what is inside is not what was sent");
        }
        self.lines.extend(text);
        match word(outcome, "signer") {
            Some(signer) => self.lines.push(("signed by", signer.to_owned())),
            None => self.fault("it is not signed inside"),
        }
    }

    async fn must_have_landed(&mut self, home: &Home, file: Option<&Path>) {
        let Some(file) = file else {
            self.fault("it is not in the inbox of its domain");
            return;
        };
        let mail = std::fs::read(file).unwrap_or_default();
        let found = dkim::verify(home.world().dns().address(), &mail).await;
        for signature in &found {
            let verdict = match &signature.fault {
                None => "verifies against the key in the DNS".to_owned(),
                Some(fault) => format!("does not verify: {fault}"),
            };
            let line = format!("signature of {} {verdict}", signature.domain);
            self.lines.push(("DKIM", line));
        }
        let good = found
            .iter()
            .any(|signature| signature.domain == SENDER_DOMAIN && signature.fault.is_none());
        if !good {
            self.fault(format!("no DKIM signature of {SENDER_DOMAIN} verifies"));
        }
        self.lines.push(("landed in", file.display().to_string()));
    }

    /// What travelled is the notice alone.
    async fn must_be_deposited(&mut self, home: &Home, outcome: &Value, sessions: &[Session]) {
        if word(outcome, "event") != Some("deposited") || word(outcome, "method") != Some("portal")
        {
            self.fault("it was not left in the portal");
            self.reason(outcome);
        }
        let inbox = home.path("inbox").join(self.domain);
        let Some(reference) = word(outcome, "reference") else {
            return self.fault("the delivery log has no reference");
        };
        let path = format!("/m/{reference}");
        let Some(file) = landed(&inbox, &path) else {
            return self.fault("its notice is not in the inbox of its domain");
        };
        let notice = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&notice);
        let link = text
            .split_whitespace()
            .find(|word| word.starts_with("https://") && word.ends_with(&path));
        match link {
            Some(link) => self.lines.push(("link", link.to_owned())),
            None => self.fault("the notice has no link"),
        }
        let shown: u64 = sessions.iter().map(|session| session.accepted).sum();
        if [SUBJECT, GREETING].iter().any(|it| text.contains(it)) || shown == 0 {
            self.fault("the notice says something of the message, or was not taken");
        }
        let ca = home.path("ca.pem");
        self.lines.push((
            "certificate",
            format!("of the authority in {}", ca.display()),
        ));
        self.must_have_landed(home, Some(&file)).await;
        let code = format!(
            "follow the link and ask for a code: it lands in {}",
            inbox.display()
        );
        self.lines.push(("to read it", code));
        self.link = Some(path);
    }

    /// The path of the message in the portal.
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Somebody followed the link.
    pub fn visited(&mut self, visit: Result<Page, VisitError>) {
        let page = match visit {
            Ok(page) => page,
            Err(error) => {
                let error = super::super::failure::chain(&error);
                return self.fault(format!("it cannot be read in the portal: {error}"));
            }
        };
        if !page.body.contains(GREETING) || !page.body.contains(SUBJECT) {
            return self.fault("what is read in the portal is not what was sent");
        }
        let octets = page.body.len();
        let read = format!("with a mailed code, on a page of {octets} octets: Subject: {SUBJECT}");
        self.lines.push(("read", read));
        self.lines.push(("", format!("> {GREETING}")));
    }

    fn must_wait(&mut self, outcome: &Value, file: Option<PathBuf>, sessions: &[Session]) {
        if word(outcome, "event") != Some("deferred") || word(outcome, "reason") != Some("security")
        {
            self.fault("it is not deferred for security");
        }
        self.reason(outcome);
        if let Some(next) = word(outcome, "next_attempt") {
            self.lines.push(("next try", next.to_owned()));
        }
        let envelope: u64 = sessions.iter().map(|session| session.envelope_octets).sum();
        let content: u64 = sessions.iter().map(|session| session.content_octets).sum();
        let commands: Vec<&str> = sessions
            .iter()
            .flat_map(Session::commands)
            .filter_map(|command| command.split(' ').next())
            .collect();
        self.lines.push((
            "its MX saw",
            format!(
                "{}: {envelope} octets of envelope, {content} octets of content",
                commands.join(", ")
            ),
        ));
        if sessions.is_empty() {
            self.fault("its MX was not even asked");
        }
        if envelope + content > 0 {
            self.fault("its MX was given mail over a connection that was not good enough");
        }
        if file.is_some() {
            self.fault("it is in the inbox of its domain");
        }
    }

    fn reason(&mut self, outcome: &Value) {
        let reason = word(outcome, "reason").unwrap_or("unknown");
        let text = outcome.get("reply").and_then(|reply| word(reply, "text"));
        self.lines.push((
            "why",
            format!("{reason}: {}", text.unwrap_or("no more is known")),
        ));
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.head);
        for (name, value) in &self.lines {
            text.push_str(&format!("  {name:<13}{value}\n"));
        }
        for fault in &self.faults {
            text.push_str(&format!("  WRONG      {fault}\n"));
        }
        text
    }
}

/// The value of the first field of that name, up to its folding.
fn field<'m>(mail: &'m str, name: &str) -> Option<&'m str> {
    mail.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The file of a message in an inbox: the one that has this text, its queue id or its link.
fn landed(inbox: &Path, text: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(inbox).ok()?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "eml"))
        .find(|path| std::fs::read_to_string(path).is_ok_and(|mail| mail.contains(text)))
}
