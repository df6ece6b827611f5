//! `sealpost queue`: what waits, and why; and what a person orders about it. Asks the daemon.

mod explain;
mod order;
mod selector;

use selector::Selector;
use std::path::Path;

use clap::{Args, Subcommand};

use super::unanswered::{self, Why};
use super::{Failure, output};
use crate::admin::Request;
use crate::admin::client::{AskError, ask};
use crate::config;
use crate::mail::Domain;
use crate::queue::{Operation, QueueDetail, QueueEntry, QueueFilter, QueuePage, RecipientView};

/// The queue.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// Messages that wait, oldest first
    List(List),
    /// One message: every recipient, what was decided, and why it waits
    Show(Show),
    /// Why each recipient of a message goes, waits or is held: all that the decision rests on
    Explain(explain::Explain),
    /// Try now what is deferred, and bounces of our own that could not be delivered
    Retry(order::Order),
    /// Make no attempt until released; the time of expiry stays
    Hold(order::Order),
    /// End a hold; the rules that held do not hold again
    Release(order::Order),
    /// End it for good; nobody is told but the log
    Cancel(order::Order),
}

/// Messages that wait.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    selector: Selector,
    /// At most so many messages
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u16,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// One message.
#[derive(Debug, Args)]
pub struct Show {
    /// Its queue id, as in the client's 250, the Received field and the log
    queue_id: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::from_unicode(text).map_err(|error| error.to_string())
}

impl Queue {
    /// Asks and prints.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let socket = config::read(config)
            .map_err(super::bad_configuration)?
            .admin_socket;
        match self {
            Self::List(list) => list.run(&socket),
            Self::Show(show) => show.run(&socket),
            Self::Explain(explain) => explain.run(&socket),
            Self::Retry(order) => order.run(&socket, Operation::Retry),
            Self::Hold(order) => order.run(&socket, Operation::Hold),
            Self::Release(order) => order.run(&socket, Operation::Release),
            Self::Cancel(order) => order.run(&socket, Operation::Cancel),
        }
    }
}

impl List {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let mut filter = QueueFilter::from(self.selector);
        let limit = usize::from(self.limit.max(1));
        let mut entries: Vec<QueueEntry> = Vec::new();
        loop {
            filter.limit = (limit - entries.len()).min(crate::queue::MAX_PAGE);
            let request = Request::QueueList(filter.clone());
            let page: QueuePage = ask(socket, &request).map_err(|error| explain(&error))?;
            entries.extend(page.entries);
            filter.after = page.next;
            if filter.after.is_none() || entries.len() >= limit {
                break;
            }
        }
        let more = filter.after;
        if self.json {
            return output::json(&QueuePage {
                entries,
                next: more,
            });
        }
        if entries.is_empty() {
            return output::say("nothing waits");
        }
        output::say(&table(&entries))?;
        if more.is_some() {
            output::complain(&format!("there are more: --limit is {limit}"));
        }
        Ok(())
    }
}

fn table(entries: &[QueueEntry]) -> String {
    let mut rows = Vec::new();
    for entry in entries {
        for (index, recipient) in entry.recipients.iter().enumerate() {
            let (id, sender) = match index {
                0 => (entry.queue_id.clone(), shown_sender(&entry.sender)),
                _ => (String::new(), String::new()),
            };
            rows.push(vec![
                id,
                sender,
                recipient.recipient.clone(),
                state(recipient),
                recipient.attempts.to_string(),
                recipient
                    .next_attempt
                    .as_deref()
                    .map_or_else(String::new, seconds),
            ]);
        }
        if entry.more > 0 {
            let rest = format!("and {} more recipients", entry.more);
            rows.push(vec![String::new(), String::new(), rest]);
        }
    }
    let heads = [
        "QUEUE ID",
        "SENDER",
        "RECIPIENT",
        "STATE",
        "ATTEMPTS",
        "NEXT ATTEMPT",
    ];
    output::table(&heads, &rows)
}

fn shown_sender(sender: &str) -> String {
    if sender.is_empty() {
        "<>".to_owned()
    } else {
        sender.to_owned()
    }
}

fn state(recipient: &RecipientView) -> String {
    match &recipient.reason {
        Some(reason) => format!("{}({reason})", recipient.state),
        None => recipient.state.clone(),
    }
}

/// A time without its microseconds.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

impl Show {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let request = Request::QueueShow {
            queue_id: self.queue_id,
        };
        let detail: QueueDetail = ask(socket, &request).map_err(|error| explain(&error))?;
        if self.json {
            return output::json(&detail);
        }
        output::say(&describe(&detail))
    }
}

fn describe(detail: &QueueDetail) -> String {
    let mut lines = vec![
        ("queue id", detail.queue_id.clone()),
        ("class", detail.class.clone()),
        ("message-id", detail.message_id.clone()),
        ("sender", shown_sender(&detail.sender)),
    ];
    lines.extend(detail.user.clone().map(|user| ("user", user)));
    lines.extend(detail.client.clone().map(|client| ("client", client)));
    lines.push(("size", format!("{} octets", detail.size)));
    lines.push(("received", seconds(&detail.received)));
    if !detail.done {
        lines.push(("expires", seconds(&detail.expires)));
    }
    for recipient in &detail.recipients {
        lines.push(("", String::new()));
        lines.push(("recipient", recipient.recipient.clone()));
        lines.push(("state", state(recipient)));
        describe_recipient(recipient, &mut lines);
    }
    aligned(&lines)
}

/// Names and values in two columns.
fn aligned(lines: &[(&str, String)]) -> String {
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<13}{value}"));
    let text: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    text.join("\n")
}

fn describe_recipient(recipient: &RecipientView, lines: &mut Vec<(&'static str, String)>) {
    lines.push(("attempts", recipient.attempts.to_string()));
    if let Some(time) = &recipient.next_attempt {
        lines.push(("next attempt", seconds(time)));
    }
    if let Some(status) = &recipient.status {
        let code = status
            .code
            .map_or_else(String::new, |code| format!("{code} "));
        let who = status.host.as_deref().unwrap_or("sealpost");
        lines.push((
            "latest",
            format!("{who}: {code}{} {}", status.enhanced, status.text),
        ));
    }
    if let Some(level) = &recipient.level {
        let method = match (&recipient.method, recipient.state.as_str()) {
            (Some(method), _) => method,
            (None, "held") => "none before it is released",
            (None, _) => "none is left",
        };
        let required = match &recipient.required {
            Some(grade) => format!(", grade {grade} or better demanded"),
            None => String::new(),
        };
        lines.push((
            "decided",
            format!("level {level}, method {method}{required}"),
        ));
    }
    describe_candidates(recipient, lines);
    describe_waiting(recipient, lines);
}

fn describe_candidates(recipient: &RecipientView, lines: &mut Vec<(&'static str, String)>) {
    for candidate in &recipient.candidates {
        let verdict = match (&candidate.refusal, candidate.accepted) {
            (_, true) => "accepted".to_owned(),
            (Some(refusal), false) => format!("refused: {refusal}"),
            (None, false) => "refused".to_owned(),
        };
        lines.push(("  candidate", format!("{} {verdict}", candidate.method)));
    }
}

fn describe_waiting(recipient: &RecipientView, lines: &mut Vec<(&'static str, String)>) {
    if let Some(since) = &recipient.suspected_since {
        let since = seconds(since);
        lines.push((
            "suspected",
            format!("since {since}: less is offered than is known of it"),
        ));
    }
    if !recipient.released.is_empty() {
        lines.push(("released", recipient.released.join(", ")));
    }
    if let Some(ordered) = &recipient.ordered {
        lines.push(("ordered", format!("{ordered}, once nobody is busy with it")));
    }
    if recipient.warned {
        lines.push(("sender", "was told of the delay".to_owned()));
    }
}

pub(super) fn explain(error: &AskError) -> Failure {
    let why = match error {
        AskError::NoDaemon(..) => Why::Nobody,
        AskError::Forbidden(_) => Why::Forbidden,
        AskError::Late => Why::Late,
        AskError::Broken(_) => Why::Broken,
        AskError::Unknown(_) => Why::Unknown,
        AskError::Refused(refusal) => Why::Refused(refusal.code),
    };
    unanswered::DAEMON.explain(error, why)
}
