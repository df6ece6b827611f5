//! One line of the delivery log: the operator's contract, field by field.
//!
//! Content and subjects never appear here: there is no field for them.

use serde::Serialize;

use crate::mail::{
    Address, ContentCipher, DeferReason, Domain, ExceptionUse, Factor, Grade, Level, MessageId,
    Method, ReversePath, Source, Status, Timestamp, TlsFacts, VerifiedBy,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A message was accepted and is durable.
    Received,
    /// A message or a recipient was refused at submission.
    Rejected,
    /// Policy chose how a recipient is protected.
    Decided,
    /// The next hop took it. Final.
    Delivered,
    /// The next hop took the notice of a message that waits in the portal.
    Notified,
    /// It waits in the portal, and the notice was taken. Final.
    Deposited,
    /// A message in the portal was opened.
    Opened,
    /// A recipient wrote a reply in the portal.
    Replied,
    /// A message in the portal was made unreadable by order.
    Retracted,
    /// The time of a message in the portal was moved by order.
    Extended,
    /// The time of a message in the portal was up.
    PortalExpired,
    /// A program looked at the page of a message in the portal; nothing changed.
    Probed,
    /// Waits for another attempt.
    Deferred,
    /// Refused for good. Final.
    Bounced,
    /// Its time ran out. Final.
    Expired,
    /// Waits for a person.
    Held,
    /// A person let it go on.
    Released,
    /// A person wants it tried now.
    Retried,
    /// A person ended it. Final.
    Cancelled,
    /// A domain offers less than is known of it: somebody may stand between.
    DowngradeSuspected,
    /// A bounce, or a notice of delay, was put on its way to the sender.
    DsnSent,
    /// A submission client failed to authenticate.
    AuthFailed,
    /// Too many failures: the address or account is refused for a while.
    LockedOut,
}

/// TLS facts as the log shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsField {
    version: String,
    cipher: String,
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    peer_sha256: String,
    verified_by: &'static str,
}

impl From<&TlsFacts> for TlsField {
    fn from(facts: &TlsFacts) -> Self {
        Self {
            version: facts.version.to_string(),
            cipher: facts.cipher.clone(),
            group: facts.group.clone(),
            peer_sha256: facts.peer_sha256.clone(),
            verified_by: match facts.verified_by {
                VerifiedBy::Nothing(_) => "none",
                VerifiedBy::Pkix => "pkix",
            },
        }
    }
}

/// A status as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplyField {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    enhanced: String,
    text: String,
}

impl From<&Status> for ReplyField {
    fn from(status: &Status) -> Self {
        // Ours are marked, so that they are never mistaken for a remote's words.
        let text = match status.source {
            Source::Local => format!("sealpost: {}", status.text),
            Source::Remote(_) => status.text.clone(),
        };
        Self {
            code: status.code,
            enhanced: status.enhanced.to_string(),
            text,
        }
    }
}

/// An exception of the policy as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExceptionField {
    recipient: String,
    owner: String,
    reason: String,
}

impl From<&ExceptionUse> for ExceptionField {
    fn from(exception: &ExceptionUse) -> Self {
        Self {
            recipient: exception.recipient.clone(),
            owner: exception.owner.clone(),
            reason: exception.reason.clone(),
        }
    }
}

/// A line of the delivery log. Fields that do not apply are left out.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are documented in README.md, as operators see them"
)]
pub struct Event {
    pub time: Timestamp3339,
    pub event: EventKind,
    /// Absent only on events before a message exists (`rejected`, `auth_failed`, `locked_out`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The rules that set the level or that hold; on `released` and `cancelled` the holds that end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<Level>,
    /// With method `portal`: what its notice calls the deposit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What a person proved who they are by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Factor>,
    /// Whether it had been opened before it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_before: Option<bool>,
    /// On what a person ordered: who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<Domain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mx: Option<Domain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<Grade>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Grade>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The domains that signed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dkim: Vec<String>,
    /// With method `smime`: the fingerprint of the certificate that it is sealed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// With method `smime`: how it is encrypted; absent where the sender did that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<ContentCipher>,
    /// With method `smime`: whose identity signed inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// On `dsn_sent`: the queue id of the DSN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsn: Option<String>,
    /// The content was sent whole and no reply came: the peer may have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate_possible: bool,
}

/// A timestamp that serialises as RFC 3339, UTC, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp3339(pub Timestamp);

impl Serialize for Timestamp3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Event {
    /// An event with nothing but its time and kind.
    pub fn new(time: Timestamp, event: EventKind) -> Self {
        Self {
            time: Timestamp3339(time),
            event,
            queue_id: None,
            message_id: None,
            sender: None,
            recipient: None,
            user: None,
            client: None,
            size: None,
            class: None,
            level: None,
            method: None,
            rule: None,
            reasons: Vec::new(),
            alerts: Vec::new(),
            exception: None,
            factors: None,
            reference: None,
            proofs: Vec::new(),
            opened_before: None,
            actor: None,
            policy: None,
            next_hop: None,
            mx: None,
            address: None,
            attempt: None,
            grade: None,
            required: None,
            expected: None,
            tls: None,
            reply: None,
            reason: None,
            next_attempt: None,
            delay_ms: None,
            dkim: Vec::new(),
            certificate: None,
            cipher: None,
            signer: None,
            dsn: None,
            duplicate_possible: false,
        }
    }

    /// Of this message.
    pub fn of(mut self, id: MessageId) -> Self {
        self.queue_id = Some(id.to_string());
        self
    }

    /// From this reverse-path.
    pub fn from(mut self, reverse_path: &ReversePath) -> Self {
        self.sender = Some(reverse_path.to_string());
        self
    }

    /// To this recipient.
    pub fn to(mut self, recipient: &Address) -> Self {
        self.recipient = Some(recipient.to_string());
        self
    }

    /// With this status.
    pub fn saying(mut self, status: &Status) -> Self {
        self.reply = Some(status.into());
        self
    }

    /// Deferred for this reason until then.
    pub fn until(mut self, reason: DeferReason, next_attempt: Timestamp) -> Self {
        self.reason = Some(reason.as_str().to_owned());
        self.next_attempt = Some(Timestamp3339(next_attempt));
        self
    }
}
