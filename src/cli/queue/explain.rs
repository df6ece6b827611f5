//! `sealpost queue explain`: the decision on each recipient, whole.

use std::path::Path;

use clap::Args;

use super::super::{Failure, output};
use super::{aligned, describe_candidates, describe_waiting, seconds, shown_sender, state};
use crate::admin::Request;
use crate::admin::client::ask;
use crate::queue::{QueueExplanation, RecipientExplanation};

/// The decision on each recipient of a message.
#[derive(Debug, Args)]
pub struct Explain {
    /// Its queue id, as in the client's 250, the Received field and the log
    queue_id: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, socket: &Path) -> Result<(), Failure> {
        let request = Request::QueueExplain {
            queue_id: self.queue_id,
        };
        let explanation: QueueExplanation =
            ask(socket, &request).map_err(|error| super::explain(&error))?;
        if self.json {
            return output::json(&explanation);
        }
        output::say(&text(&explanation))
    }
}

fn text(explanation: &QueueExplanation) -> String {
    let mut lines = vec![
        ("queue id", explanation.queue_id.clone()),
        ("class", explanation.class.clone()),
        ("sender", shown_sender(&explanation.sender)),
    ];
    for recipient in &explanation.recipients {
        lines.push(("", String::new()));
        lines.push(("recipient", recipient.standing.recipient.clone()));
        lines.push(("state", state(&recipient.standing)));
        lines.extend(recipient_lines(recipient));
    }
    aligned(&lines)
}

fn recipient_lines(explained: &RecipientExplanation) -> Vec<(&'static str, String)> {
    let standing = &explained.standing;
    let mut lines = Vec::new();
    let Some(level) = &standing.level else {
        lines.push(("decided", "not yet".to_owned()));
        return lines;
    };
    lines.push(("level", level.clone()));
    for reason in &explained.reasons {
        lines.push(("  asked by", format!("{} ({})", reason.asker, reason.level)));
    }
    describe_candidates(standing, &mut lines);
    lines.push(("course", course(explained)));
    if let Some(required) = &standing.required {
        lines.push(("demanded", format!("grade {required} or better")));
    }
    if let Some(certificate) = &standing.certificate {
        lines.push(("sealed to", certificate.clone()));
        let by_sender = "the sender's program".to_owned();
        lines.push(("encrypted", standing.cipher.clone().unwrap_or(by_sender)));
    }
    if let Some(signer) = &standing.signer {
        lines.push(("signed by", signer.clone()));
    }
    if !explained.pin_mx.is_empty() {
        lines.push(("MX hosts", format!("only {}", explained.pin_mx.join(", "))));
    }
    if explained.require_pq {
        let text = "must withstand a quantum computer";
        lines.push(("key exchange", format!(" {text}")));
    }
    if let Some(factors) = &explained.factors {
        lines.push(("factors", format!("as for {factors}")));
    }
    if let Some(exception) = &explained.exception {
        let (allow, owner) = (exception.allow.as_str(), &exception.owner);
        let (recipient, reason) = (&exception.recipient, &exception.reason);
        let text = format!("{recipient} may go at {allow}: {reason}, says {owner}");
        lines.push(("exception", text));
    }
    for alert in &explained.alerts {
        lines.push(("alert", format!("rule \"{alert}\"")));
    }
    if let Some(policy) = &standing.policy {
        lines.push(("policy", policy.clone()));
    }
    describe_waiting(standing, &mut lines);
    lines
}

fn course(explained: &RecipientExplanation) -> String {
    match (explained.course.as_deref(), &explained.until) {
        (Some("send"), _) => {
            let method = explained.standing.method.as_deref().unwrap_or("?");
            format!("goes by {method}")
        }
        (Some("wait"), Some(until)) => {
            let until = seconds(until);
            format!("a downgrade is suspected: no other method before {until}")
        }
        (Some("hold"), _) => format!("held by {}", explained.rules.join(", ")),
        _ => "no method is left".to_owned(),
    }
}
