//! `sealpost policy explain`: how a message would be protected for each recipient, and why.
//!
//! Goes the way of the daemon: the same edits at the door, the same facts, the same scanner, the
//! same policy. What only the running daemon knows (who has written to whom, how much) can be
//! given, and is taken for the worse otherwise. Never shows the message.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use super::certificates::{Assumed, Known, assumed};
use super::view::{self, DecisionView, required};
use super::{moment, policy_of, seconds};
use crate::cli::{Exit, Failure, output, serve};
use crate::config::{Config, read_bounded};
use crate::directory::{User, Users};
use crate::flow::facts;
use crate::mail::message::Overview;
use crate::mail::{
    Address, Client, Decision, Envelope, Findings, Grade, Language, MessageClass, MessageId,
    PickupFacts, PickupWishes, ReversePath, Timestamp, TlsStanding,
};
use crate::policy::source::Condition;
use crate::policy::{MessageFacts, Policy, RecipientFacts, asks_portal};
use crate::proto::smtp::data::{DataFault, DataReader};
use crate::proto::smtp::server::Hello;
use crate::server::build;
use crate::submission::intake::{Accepted, Arrival, Intake};
use crate::submission::wishes;
use crate::world::clock::Clock;

/// How a message would be protected for each recipient, and why
#[derive(Debug, Args)]
pub struct Explain {
    /// The sender: reverse-path, and author where there is no message
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// A recipient; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<Address>,
    /// The message as the sender hands it in; without it, one that shows nothing
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// The account; without it, one that may send as the sender
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// The listener, as the configuration writes its address; without it, the first one
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,
    /// When it is handed in, as in 2026-11-22T09:30:00Z; without it, now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// The best grade that the recipients' hosts just reached, as after an attempt; without it,
    /// nobody has tried yet
    #[arg(long, value_name = "GRADE", value_parser = grade)]
    reached: Option<Grade>,
    /// The recipients' certificates: none, valid, directory or pinned, as far as they are trusted,
    /// or what is wrong with them, as in expired; without it, what the daemon knows of them
    #[arg(long, value_name = "TRUST|PROBLEM", value_parser = assumed)]
    certificate: Option<Assumed>,
    /// Whether the recipients registered in the portal before; without it, they did not
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    registered: Option<bool>,
    /// Whether the sender writes to the recipients for the first time
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    first_contact: Option<bool>,
    /// Recipients that the account wrote to lately, these included
    #[arg(long, value_name = "NUMBER")]
    volume: Option<u64>,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

fn grade(text: &str) -> Result<Grade, String> {
    let found = Grade::ALL.into_iter().find(|grade| grade.as_str() == text);
    found.ok_or_else(|| {
        let names = Grade::ALL.map(Grade::as_str).join(", ");
        format!("no grade; the grades are {names}")
    })
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

#[derive(Serialize)]
struct Report {
    from: String,
    user: String,
    /// Nobody named the account.
    user_assumed: bool,
    listener: String,
    client: Option<String>,
    at: String,
    policy: String,
    /// What the account would be told at the end of DATA, if the message were not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    notes: Vec<String>,
    /// What the message says for the portal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<Said>,
    recipients: Vec<Row>,
}

/// What a sender said for the portal, as far as it may be shown.
#[derive(Serialize)]
struct Said {
    secret: bool,
    phone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Language>,
}

impl Said {
    fn of(wishes: &PickupWishes) -> Option<Self> {
        (*wishes != PickupWishes::default()).then_some(Self {
            secret: wishes.secret.is_some(),
            phone: wishes.phone.is_some(),
            language: wishes.language,
        })
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if self.secret {
            said.push("a secret was given".to_owned());
        }
        if self.phone {
            said.push("a number was given".to_owned());
        }
        said.extend(self.language.map(|language| format!("language {language}")));
        f.write_str(&said.join(", "))
    }
}

#[derive(Serialize)]
struct Refused {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    text: String,
}

#[derive(Serialize)]
struct Row {
    recipient: String,
    decision: DecisionView,
}

/// What is sent, as the daemon would hold it after DATA.
struct Held {
    envelope: Envelope,
    /// `None` where no message was given.
    content: Option<Bytes>,
    /// What the door sees of it, where the policy wants it to look.
    overview: Option<Overview>,
}

impl Explain {
    /// Explains.
    pub fn run(self, file: &Path) -> Result<(), Failure> {
        let (config, policy) = policy_of(file)?;
        let now = self.at.unwrap_or_else(|| Clock::system().now());
        let (user, notes) = self.account(&config)?;
        let mut report = Report {
            from: self.from.to_string(),
            user: user.name().to_owned(),
            user_assumed: self.user.is_none(),
            listener: self.listener(&config)?,
            client: self.client.map(|client| client.to_string()),
            at: now.to_rfc3339(),
            policy: policy.hash().to_string(),
            refused: None,
            notes,
            pickup: None,
            recipients: Vec::new(),
        };
        if asks_for_clients(&policy)
            && self.client.is_none()
            && !report.listener.starts_with("unix:")
        {
            let note =
                "no client's address was given: rules that name networks do not match (--client)";
            report.notes.push(note.to_owned());
        }
        let held = match self.take((&config, &policy), user, &report.listener, now)? {
            Ok(held) => held,
            Err(text) => {
                report.refused = Some(Refused { rule: None, text });
                return self.tell(&report, &[]);
            }
        };
        if let Some(refused) = rejection(&policy, &held) {
            report.refused = Some(refused);
            return self.tell(&report, &[]);
        }
        report.pickup = Said::of(&held.envelope.pickup);
        let message = self.facts(&config, &policy, &held, &mut report.notes)?;
        let recipients =
            self.recipients((&config, &policy), &held.envelope, now, &mut report.notes)?;
        let decisions = self.decide(&policy, &message, recipients, &mut report.notes);
        let rows = held.envelope.recipients.iter().zip(&decisions);
        report.recipients = rows
            .map(|(recipient, decision)| Row {
                recipient: recipient.to_string(),
                decision: DecisionView::from(&**decision),
            })
            .collect();
        self.tell(&report, &decisions)
    }

    /// The account that hands it in.
    fn account(&self, config: &Config) -> Result<(Arc<User>, Vec<String>), Failure> {
        let users = Users::load(&config.users).map_err(|error| {
            let mend = "run this as root or as the account of the daemon";
            Failure::from_error(Exit::Failed, &error, mend)
        })?;
        let no_such = |name: &str| {
            let what = format!("no account is named {name}; `sealpost user list` shows them");
            Failure::new(Exit::Failed, what)
        };
        if let Some(name) = &self.user {
            let user = users.get(name).ok_or_else(|| no_such(name))?;
            if !user.may_send_as(&self.from) {
                return Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "account {name} may not send as {}: the daemon answers 550",
                        self.from
                    ),
                ));
            }
            return Ok((user, Vec::new()));
        }
        let mut able: Vec<&str> = users
            .iter()
            .filter(|user| user.may_send_as(&self.from))
            .map(User::name)
            .collect();
        able.sort_unstable();
        let Some(first) = able.first() else {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "no account may send as {}: the daemon answers 550; `sealpost user add` makes one that may",
                    self.from
                ),
            ));
        };
        let mut notes = Vec::new();
        if able.len() > 1 {
            notes.push(format!(
                "account {first} is assumed; {} others may send as {}, too: name one with --user",
                able.len() - 1,
                self.from
            ));
        }
        let user = users.get(first).ok_or_else(|| no_such(first))?;
        Ok((user, notes))
    }

    fn listener(&self, config: &Config) -> Result<String, Failure> {
        let names: Vec<String> = config
            .listeners
            .iter()
            .map(|listener| listener.address.value.to_string())
            .collect();
        match &self.listener {
            None => Ok(names.into_iter().next().unwrap_or_default()),
            Some(wanted) if names.contains(wanted) => Ok(wanted.clone()),
            Some(wanted) => Err(Failure::new(
                Exit::Usage,
                format!("no listener is at {wanted}; there are {}", names.join(", ")),
            )),
        }
    }

    /// The envelope, and the content as the door leaves it; the words of a refusal otherwise.
    fn take(
        &self,
        (config, policy): (&Config, &Policy),
        user: Arc<User>,
        listener: &str,
        now: Timestamp,
    ) -> Result<Result<Held, String>, Failure> {
        let mut recipients: Vec<Address> = Vec::new();
        for recipient in &self.to {
            if !recipients.contains(recipient) {
                recipients.push(recipient.clone());
            }
        }
        let mut envelope = Envelope {
            id: MessageId::new(0),
            class: MessageClass::Submitted,
            reverse_path: ReversePath::Address(self.from.clone()),
            recipients,
            author: Some(self.from.clone()),
            message_id: String::new(),
            client: Some(Client {
                address: self.client,
                helo: "localhost".to_owned(),
                user: user.name().to_owned(),
                listener: listener.to_owned(),
                tls: None,
            }),
            received: now,
            size: 0,
            eight_bit: false,
            tags: Vec::new(),
            pickup: Default::default(),
        };
        let Some(path) = &self.message else {
            return Ok(Ok(Held {
                envelope,
                content: None,
                overview: Some(Overview::default()),
            }));
        };
        let octets = read_bounded(path, config.limits.message_size).map_err(|error| {
            let what = format!("{} cannot be read: {error}", path.display());
            Failure::new(Exit::Usage, what)
        })?;
        let arrival = Arrival {
            id: envelope.id,
            hostname: config.hostname.clone(),
            received: now,
            address: self.client,
            hello: Hello {
                name: "localhost".to_owned(),
                extended: true,
            },
            tls: None,
            authenticated: true,
        };
        let octets = match carried(crlf(octets), config.limits.message_size) {
            Ok(octets) => octets,
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        let mut intake = Intake::new(arrival, user, wishes(policy));
        let mut content = Vec::new();
        let taken = intake
            .write(&octets, &mut content)
            .and_then(|()| intake.finish(&mut content));
        let accepted: Accepted = match taken {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        envelope.author = Some(accepted.author);
        envelope.message_id = accepted.message_id;
        envelope.eight_bit = accepted.eight_bit;
        envelope.tags = accepted.tags;
        envelope.pickup = accepted.pickup;
        envelope.size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Ok(Ok(Held {
            envelope,
            content: Some(Bytes::from(content)),
            overview: accepted.overview,
        }))
    }

    /// What the daemon would know of the message.
    fn facts(
        &self,
        config: &Config,
        policy: &Policy,
        held: &Held,
        notes: &mut Vec<String>,
    ) -> Result<MessageFacts, Failure> {
        let Some(content) = &held.content else {
            notes.push(
                "no message was given: subject, attachments and detectors say nothing".to_owned(),
            );
            let mut message = facts::of_envelope(&held.envelope);
            facts::show(&mut message, Overview::default());
            message.findings = Some(Findings::default());
            return Ok(message);
        };
        let scanner = build::scanner(config).map_err(|error| {
            Failure::from_error(Exit::Usage, &error, "`sealpost check` says more")
        })?;
        // Threads for the scanner and its workers are made only where it is asked.
        let runtime = serve::runtime()?;
        Ok(runtime.block_on(facts::of_message(
            policy,
            &scanner,
            &held.envelope,
            Some(content),
        )))
    }

    /// What is known of the recipients, each untried.
    fn recipients(
        &self,
        (config, policy): (&Config, &Policy),
        envelope: &Envelope,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<Vec<RecipientFacts>, Failure> {
        let needs = policy.needs();
        if needs.first_contact && self.first_contact.is_none() {
            notes.push("whether this is the first message is not known: rules take it for one (--first-contact)".to_owned());
        }
        if needs.volume && self.volume.is_none() {
            notes.push(
                "how much the account wrote is not known: rules take it for too much (--volume)"
                    .to_owned(),
            );
        }
        let mut known = Known::new(config, self.certificate);
        let portal = config.portal.as_ref();
        let phones = portal.is_some_and(|section| section.sms.is_some());
        let mut facts = |recipient: &Address| {
            let mut facts = facts::of_recipient(recipient, now);
            facts.pickup = PickupFacts {
                registered: self.registered,
                ..facts::of_wishes(&envelope.pickup, phones)
            };
            known.tell(config, &mut facts, notes)?;
            if needs.first_contact {
                facts.first_contact = self.first_contact;
            }
            if let Some(volume) = self.volume {
                let windows = policy.volume_windows().iter();
                facts.volume = windows.map(|window| (*window, volume)).collect();
            }
            Ok(facts)
        };
        envelope.recipients.iter().map(&mut facts).collect()
    }

    fn decide(
        &self,
        policy: &Policy,
        message: &MessageFacts,
        mut recipients: Vec<RecipientFacts>,
        notes: &mut Vec<String>,
    ) -> Vec<Arc<Decision>> {
        let mut decided = policy.decide(message, &recipients);
        if let Some(reached) = self.reached {
            // As after an attempt whose every host fell short.
            for (recipient, decision) in recipients.iter_mut().zip(&decided) {
                if let Some(required) = required(decision)
                    && !reached.reaches(required)
                {
                    recipient.tls = TlsStanding::Short { reached, required };
                }
            }
            decided = policy.decide(message, &recipients);
        }
        let mut all = recipients.iter().zip(&decided);
        if all.any(|(recipient, decision)| asks_portal(decision, recipient.pickup)) {
            notes.push("whether recipients have registered in the portal is not known: they are taken for strangers to it (--registered)".to_owned());
        }
        decided
    }

    fn tell(&self, report: &Report, decisions: &[Arc<Decision>]) -> Result<(), Failure> {
        if self.json {
            return output::json(report);
        }
        output::say(&report.to_string())?;
        for (row, decision) in report.recipients.iter().zip(decisions) {
            let mut lines = vec![("recipient", row.recipient.clone())];
            lines.extend(view::lines(decision));
            output::say(&format!("\n{}", view::text(&lines)))?;
        }
        Ok(())
    }
}

/// What a rule answers at the end of DATA, asked as the door asks.
fn rejection(policy: &Policy, held: &Held) -> Option<Refused> {
    let mut message = facts::of_envelope(&held.envelope);
    facts::show(&mut message, held.overview.clone()?);
    let rejection = policy.refuse(&message, &held.envelope.recipients)?;
    Some(Refused {
        rule: Some(rejection.rule.to_string()),
        text: rejection.text,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assumed = if self.user_assumed { " (assumed)" } else { "" };
        let at = Timestamp::from_rfc3339(&self.at).map(seconds);
        let mut lines = vec![
            ("sender", self.from.clone()),
            ("account", format!("{}{assumed}", self.user)),
            ("listener", self.listener.clone()),
        ];
        lines.extend(self.client.clone().map(|client| ("client", client)));
        lines.push(("at", at.unwrap_or_default()));
        lines.push(("policy", self.policy.clone()));
        lines.extend(self.pickup.iter().map(|said| ("portal", said.to_string())));
        lines.extend(self.notes.iter().map(|note| ("note", note.clone())));
        if let Some(refused) = &self.refused {
            let by = match &refused.rule {
                Some(rule) => format!(" by rule \"{rule}\""),
                None => String::new(),
            };
            lines.push((
                "refused",
                format!("at the end of DATA{by}: {}", refused.text),
            ));
        }
        f.write_str(&view::text(&lines))
    }
}

/// Whether a rule asks where the client is.
fn asks_for_clients(policy: &Policy) -> bool {
    let mut conditions = policy.source().rules.iter().flat_map(|rule| &rule.when);
    conditions.any(|condition| matches!(condition, Condition::Client(_)))
}

/// Lines end in CRLF, as the client sends them; a file with bare LF is taken for one of this
/// system.
fn crlf(octets: Vec<u8>) -> Vec<u8> {
    if memchr::memmem::find(&octets, b"\r\n").is_some() {
        return octets;
    }
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    for octet in octets {
        if octet == b'\n' {
            out.push(b'\r');
        }
        out.push(octet);
    }
    out
}

/// The content as it comes out of DATA: a fault refuses it before anything else does.
fn carried(mut octets: Vec<u8>, limit: u64) -> Result<Vec<u8>, DataFault> {
    // A client ends the last line, or the end of data would stand in it.
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        octets.extend_from_slice(b"\r\n");
    }
    let mut reader = DataReader::new(limit);
    let mut content = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            reader.read(b".", &mut content);
        }
        reader.read(line, &mut content);
    }
    match reader.fault() {
        Some(fault) => Err(fault),
        None => Ok(content),
    }
}
