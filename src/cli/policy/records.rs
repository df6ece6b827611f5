//! `sealpost policy records`: what was decided, and whether the record of it is whole.
//!
//! Never shows a subject, a header value or a file name unless it is asked for the facts.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::view::{self, DecisionView};
use super::{day, directory_of, domain, is_wrong_key, master_key, open_records, seconds};
use crate::cli::{Exit, Failure, bad_configuration, output};
use crate::config;
use crate::flow::recorded::RecordedFacts;
use crate::mail::{Address, Domain, MessageId, SecretBytes};
use crate::report::decisions::reader::Placed;
use crate::report::decisions::{Broken, Day, Decided, Kind};

/// Broken places that are listed; the rest is counted.
const MAX_BROKEN: usize = 100;

/// The records of what was decided.
#[derive(Debug, Subcommand)]
pub enum Records {
    /// What was decided, oldest first
    List(List),
    /// Check every line against the chain; exit 1 with file:line if one is missing or changed
    Verify(Verify),
    /// All that was recorded of one message
    Show(Show),
}

/// What was decided.
#[derive(Debug, Args)]
pub struct List {
    /// Only this message, by its queue id
    #[arg(long, value_name = "ID")]
    queue_id: Option<MessageId>,
    /// Only this recipient
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<Address>,
    /// Only recipients at this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Option<Domain>,
    /// Only from this day on (UTC)
    #[arg(long, value_name = "DATE", value_parser = day)]
    since: Option<Day>,
    /// Only up to this day (UTC)
    #[arg(long, value_name = "DATE", value_parser = day)]
    until: Option<Day>,
    /// At most so many recipients
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// Check the chain.
#[derive(Debug, Args)]
pub struct Verify {
    /// Without the master key: the chain alone. A changed newest line is then not seen
    #[arg(long)]
    chain_only: bool,
    /// A head that this command printed before and that was kept elsewhere: exit 1 unless it is
    /// still in the chain
    #[arg(long, value_name = "HASH")]
    noted: Option<String>,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// All that was recorded of one message.
#[derive(Debug, Args)]
pub struct Show {
    /// Its queue id
    queue_id: MessageId,
    /// Also the facts that the sender wrote: subject, header values, file names
    #[arg(long)]
    facts: bool,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

impl Records {
    /// Does it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let config = config::read(config).map_err(bad_configuration)?;
        match self {
            Self::List(list) => list.run(&config),
            Self::Verify(verify) => verify.run(&config),
            Self::Show(show) => show.run(&config),
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    time: String,
    queue_id: String,
    sender: String,
    recipient: String,
    level: &'static str,
    way: &'static str,
    exception: bool,
    policy: String,
}

#[derive(Serialize)]
struct Page {
    records: Vec<Row>,
    /// There are more than the limit.
    more: bool,
}

impl List {
    fn run(self, config: &config::Config) -> Result<(), Failure> {
        let mut page = Page {
            records: Vec::new(),
            more: false,
        };
        let mut broken = None;
        // A record that is being read is not being judged: the clear part is enough.
        for placed in open_records(config, None, self.since, self.until)? {
            match placed {
                Ok(placed) => self.collect(&placed, &mut page),
                Err(place) => broken = broken.or(Some(place)),
            }
            if page.more {
                break;
            }
        }
        if let Some(broken) = broken {
            output::complain(&format!(
                "{broken}; `sealpost policy records verify` says all"
            ));
        }
        if self.json {
            return output::json(&page);
        }
        if page.records.is_empty() {
            return output::say("nothing was recorded");
        }
        let rows: Vec<Vec<String>> = page.records.iter().map(Row::cells).collect();
        let heads = ["TIME", "QUEUE ID", "SENDER", "RECIPIENT", "LEVEL", "WAY"];
        output::say(&output::table(&heads, &rows))?;
        if page.more {
            output::complain(&format!("there are more: --limit is {}", self.limit));
        }
        Ok(())
    }

    fn collect(&self, placed: &Placed, page: &mut Page) {
        let Kind::Decision {
            queue_id,
            sender,
            policy,
            decided,
            ..
        } = &placed.entry.kind
        else {
            return;
        };
        if self.queue_id.is_some_and(|wanted| wanted != *queue_id) {
            return;
        }
        for group in decided {
            for recipient in group.recipients.iter().filter(|it| self.wants(it)) {
                if page.records.len() >= self.limit {
                    page.more = true;
                    return;
                }
                page.records.push(Row {
                    time: seconds(placed.entry.time),
                    queue_id: queue_id.to_string(),
                    sender: sender.clone(),
                    recipient: recipient.to_string(),
                    level: group.decision.level.as_str(),
                    way: view::way(&group.decision.course),
                    exception: group.decision.exception.is_some(),
                    policy: policy.to_string(),
                });
            }
        }
    }

    fn wants(&self, recipient: &Address) -> bool {
        let same = |wanted: &Address| {
            wanted.domain() == recipient.domain()
                && wanted
                    .local_part()
                    .eq_ignore_ascii_case(recipient.local_part())
        };
        self.recipient.as_ref().is_none_or(same)
            && self
                .domain
                .as_ref()
                .is_none_or(|domain| domain == recipient.domain())
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let sender = match self.sender.as_str() {
            "" => "<>".to_owned(),
            sender => sender.to_owned(),
        };
        let way = match self.exception {
            true => format!("{} (by exception)", self.way),
            false => self.way.to_owned(),
        };
        vec![
            self.time.clone(),
            self.queue_id.clone(),
            sender,
            self.recipient.clone(),
            self.level.to_owned(),
            way,
        ]
    }
}

#[derive(Debug, Default, Serialize)]
struct Verdict {
    ok: bool,
    files: usize,
    records: u64,
    decisions: u64,
    recipients: u64,
    policies: usize,
    cuts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// The hash of the newest line.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// Whether a head that was noted before is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    noted: Option<bool>,
    broken_places: u64,
    broken: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    file: String,
    line: u64,
    text: String,
}

impl Verdict {
    fn count(&mut self, placed: &Placed, policies: &mut BTreeMap<String, ()>) {
        self.records += 1;
        let time = || Some(seconds(placed.entry.time));
        self.first = self.first.take().or_else(time);
        self.last = time();
        match &placed.entry.kind {
            Kind::Begin { .. } => {}
            Kind::Policy { policy, .. } => {
                policies.insert(policy.to_string(), ());
            }
            Kind::Cut { .. } => self.cuts += 1,
            Kind::Decision { decided, .. } => {
                self.decisions += 1;
                let recipients: usize = decided.iter().map(|group| group.recipients.len()).sum();
                self.recipients += recipients as u64;
            }
        }
    }

    fn note(&mut self, broken: &Broken) {
        self.broken_places += 1;
        if self.broken.len() < MAX_BROKEN {
            self.broken.push(Place {
                file: broken.file.display().to_string(),
                line: broken.line,
                text: broken.to_string(),
            });
        }
    }
}

impl Verify {
    fn run(self, config: &config::Config) -> Result<(), Failure> {
        let key = match self.chain_only {
            true => None,
            false => Some(master_key(config)?),
        };
        let reader = open_records(config, key, None, None)?;
        let mut verdict = Verdict {
            files: reader.files_left(),
            noted: self.noted.as_ref().map(|_| false),
            ..Verdict::default()
        };
        let mut policies = BTreeMap::new();
        for placed in reader {
            match placed {
                Ok(placed) => {
                    verdict.count(&placed, &mut policies);
                    if self.noted.as_ref() == Some(&placed.hash) {
                        verdict.noted = Some(true);
                    }
                    verdict.head = Some(placed.hash);
                }
                Err(broken) if is_wrong_key(&broken) => {
                    return Err(Failure::new(Exit::Failed, broken.to_string()));
                }
                Err(broken) => verdict.note(&broken),
            }
        }
        verdict.policies = policies.len();
        verdict.ok = verdict.broken_places == 0 && verdict.noted != Some(false);
        if self.json {
            output::json(&verdict)?;
        } else {
            self.tell(config, &verdict)?;
        }
        match verdict.ok {
            true => Ok(()),
            false => Err(Failure::silent(Exit::Failed)),
        }
    }

    fn tell(&self, config: &config::Config, verdict: &Verdict) -> Result<(), Failure> {
        for place in &verdict.broken {
            output::say(&place.text)?;
        }
        let unlisted = verdict.broken_places - verdict.broken.len() as u64;
        if unlisted > 0 {
            output::say(&format!("and {unlisted} more broken places"))?;
        }
        if verdict.noted == Some(false) {
            output::say(
                "the head that was noted is not in the chain: either its day is past the retention, or the records were written anew",
            )?;
        }
        let state = match (verdict.ok, self.chain_only) {
            (true, false) => "whole",
            (true, true) => "whole as far as the chain tells without the key",
            (false, _) => "not whole",
        };
        let (first, last) = (&verdict.first, &verdict.last);
        let span = match (first, last) {
            (Some(first), Some(last)) => format!(", {first} to {last}"),
            _ => String::new(),
        };
        output::say(&format!(
            "{}: {state}: {} decisions for {} recipients, {} policies, {} files{span}",
            directory_of(config).display(),
            verdict.decisions,
            verdict.recipients,
            verdict.policies,
            verdict.files,
        ))?;
        if let Some(head) = &verdict.head {
            output::say(&format!("head {head}"))?;
        }
        if verdict.cuts > 0 {
            output::say(&format!(
                "{} torn ends were cut off at a start; they are kept in quarantine/",
                verdict.cuts
            ))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Shown {
    time: String,
    file: String,
    line: u64,
    sequence: u64,
    queue_id: String,
    sender: String,
    decided: Vec<ShownDecision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<RecordedFacts>,
}

#[derive(Serialize)]
struct ShownDecision {
    recipients: Vec<String>,
    decision: DecisionView,
}

impl Show {
    fn run(self, config: &config::Config) -> Result<(), Failure> {
        let key = master_key(config)?;
        let mut shown = Vec::new();
        for placed in open_records(config, Some(key), None, None)? {
            match placed {
                Ok(placed) => self.collect(placed, &mut shown)?,
                Err(broken) if is_wrong_key(&broken) => {
                    return Err(Failure::new(Exit::Failed, broken.to_string()));
                }
                Err(broken) => output::complain(&broken.to_string()),
            }
        }
        if shown.is_empty() {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "nothing is recorded of {}; it may be older than policy.records.retention, or waits to be decided",
                    self.queue_id
                ),
            ));
        }
        match self.json {
            true => output::json(&shown),
            false => Ok(()),
        }
    }

    /// Keeps a record for JSON, or prints it.
    fn collect(&self, placed: Placed, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let Kind::Decision {
            queue_id,
            sender,
            decided,
            facts,
            ..
        } = &placed.entry.kind
        else {
            return Ok(());
        };
        if *queue_id != self.queue_id {
            return Ok(());
        }
        let facts = facts.as_ref().and_then(|facts| self.facts(facts));
        if !self.json {
            if !shown.is_empty() {
                output::say("")?;
            }
            output::say(&describe(&placed, sender, decided, facts.as_ref()))?;
        }
        let decision = |group: &Decided| ShownDecision {
            recipients: group.recipients.iter().map(ToString::to_string).collect(),
            decision: DecisionView::from(&*group.decision),
        };
        shown.push(Shown {
            time: placed.entry.time.to_rfc3339(),
            file: placed.file.display().to_string(),
            line: placed.line,
            sequence: placed.entry.sequence,
            queue_id: queue_id.to_string(),
            sender: sender.clone(),
            decided: decided.iter().map(decision).collect(),
            facts,
        });
        Ok(())
    }

    /// The facts, without what the sender wrote unless it is asked for.
    fn facts(&self, sealed: &SecretBytes) -> Option<RecordedFacts> {
        let mut facts = RecordedFacts::read(sealed)?;
        if !self.facts {
            for (_, value) in &mut facts.message.header.fields {
                *value = "(hidden)".to_owned();
            }
            for part in facts.message.parts.iter_mut().flatten() {
                for name in [&mut part.name, &mut part.other_name] {
                    *name = name.as_ref().map(|_| "(hidden)".to_owned());
                }
            }
        }
        Some(facts)
    }
}

fn describe(
    placed: &Placed,
    sender: &str,
    decided: &[Decided],
    facts: Option<&RecordedFacts>,
) -> String {
    let mut lines = vec![
        (
            "record",
            format!(
                "{} ({}:{})",
                placed.entry.sequence,
                placed.file.display(),
                placed.line
            ),
        ),
        ("decided", seconds(placed.entry.time)),
        (
            "sender",
            if sender.is_empty() {
                "<>".to_owned()
            } else {
                sender.to_owned()
            },
        ),
    ];
    match facts {
        Some(facts) => describe_facts(facts, &mut lines),
        None => lines.push(("facts", "cannot be read by this version".to_owned())),
    }
    for group in decided {
        let recipients: Vec<String> = group.recipients.iter().map(ToString::to_string).collect();
        lines.push(("", String::new()));
        lines.push(("recipient", recipients.join(", ")));
        lines.extend(view::lines(&group.decision));
    }
    view::text(&lines)
}

fn describe_facts(facts: &RecordedFacts, lines: &mut Vec<(&'static str, String)>) {
    let message = &facts.message;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    lines.push(("account", known(&message.user)));
    lines.push((
        "author",
        known(&message.author.as_ref().map(ToString::to_string)),
    ));
    lines.push(("listener", known(&message.listener)));
    lines.push((
        "client",
        known(&message.client.map(|client| client.to_string())),
    ));
    lines.push(("received", seconds(message.received)));
    lines.push(("size", format!("{} octets", message.size)));
    for (name, value) in &message.header.fields {
        lines.push(("field", format!("{name}: {value}")));
    }
    for part in message.parts.iter().flatten() {
        let mut words = vec![part.kind.as_str()];
        words.extend(part.names());
        lines.push(("part", words.join(" ")));
    }
    match &message.findings {
        None => lines.push(("content", "was not looked at".to_owned())),
        Some(findings) => {
            for found in &findings.found {
                let (detector, part, offset) = (&found.detector, found.part, found.offset);
                lines.push((
                    "found",
                    format!("{detector} (part {part}, offset {offset})"),
                ));
            }
            for unread in &findings.unscannable {
                lines.push(("not read", format!("part {} ({})", unread.part, unread.why)));
            }
        }
    }
}
