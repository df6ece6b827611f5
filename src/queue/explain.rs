//! Why each recipient of a message goes the way it goes: the decision whole, for the operator.

use serde::{Deserialize, Serialize};

use crate::mail::{Course, ExceptionUse, MessageId, Reason};

use super::core::Queue;
use super::message::{Message, Recipient};
use super::view::{RecipientView, class, strings, view};

/// Why each recipient of a message goes the way it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueExplanation {
    /// Its queue id.
    pub queue_id: String,
    /// `submitted`, `dsn`, `notice` or `code`.
    pub class: String,
    /// The reverse-path; empty for the null one.
    pub sender: String,
    /// Every recipient.
    pub recipients: Vec<RecipientExplanation>,
}

/// Why a recipient goes the way it goes: the whole decision, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientExplanation {
    /// Where it stands, and its candidates.
    #[serde(flatten)]
    pub standing: RecipientView,
    /// `send`, `wait`, `hold` or `no_method`; absent before the first decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<String>,
    /// What asked for a level, highest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<ReasonView>,
    /// With `wait`: when other methods are considered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// With `hold`: the rules that hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The level whose factors the portal asks for, where it is above the level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<String>,
    /// The only MX hosts that may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pin_mx: Vec<String>,
    /// The key exchange must withstand a quantum computer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_pq: bool,
    /// The exception that lets the content travel below `pkix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionUse>,
    /// Rules that ask for a person's attention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
}

/// Something that asked for a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// The level.
    pub level: String,
    /// What asked for it.
    pub asker: String,
}

impl Queue {
    /// Why each recipient of a message goes the way it goes: one in the queue, or one that ended
    /// lately.
    pub fn explain(&self, id: MessageId) -> Option<QueueExplanation> {
        let message = self.messages.get(&id).or_else(|| self.finished.find(id))?;
        Some(QueueExplanation {
            queue_id: id.to_string(),
            class: class(&message.envelope),
            sender: message.envelope.reverse_path.to_string(),
            recipients: message
                .numbered()
                .map(|(at, recipient)| explanation(message, at, recipient))
                .collect(),
        })
    }
}

fn explanation(message: &Message, at: u32, recipient: &Recipient) -> RecipientExplanation {
    let standing = view(message, at, recipient);
    let mut explained = RecipientExplanation {
        standing,
        course: None,
        reasons: Vec::new(),
        until: None,
        rules: Vec::new(),
        factors: None,
        pin_mx: Vec::new(),
        require_pq: false,
        exception: None,
        alerts: Vec::new(),
    };
    let Some(decision) = message.plan(at).map(|plan| &*plan.decision) else {
        return explained;
    };
    let course = match &decision.course {
        Course::Send(_) => "send",
        Course::Wait { until } => {
            explained.until = Some(until.to_rfc3339());
            "wait"
        }
        Course::Hold(rules) => {
            explained.rules = strings(rules);
            "hold"
        }
        Course::NoMethod => "no_method",
    };
    explained.course = Some(course.to_owned());
    let reason = |reason: &Reason| ReasonView {
        level: reason.level.to_string(),
        asker: reason.asker.to_string(),
    };
    explained.reasons = decision.reasons.iter().map(reason).collect();
    let above = (decision.factors > decision.level).then_some(decision.factors);
    explained.factors = above.map(|level| level.to_string());
    explained.pin_mx = decision
        .terms
        .pin_mx
        .iter()
        .map(ToString::to_string)
        .collect();
    explained.require_pq = decision.terms.require_pq;
    explained.exception.clone_from(&decision.exception);
    explained.alerts = strings(&decision.alerts);
    explained
}
