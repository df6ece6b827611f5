//! One message on its way in: intake, the policy's word, the spool's writer, and the handing over
//! to `flow`.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::intake::{Accepted, Intake, SubjectTags, Wishes};
use crate::flow::{AcceptError, Handle, Machinery, NotNow, facts};
use crate::mail::{Client, Envelope, MessageClass, MessageId};
use crate::policy::{Policy, Rejection};
use crate::proto::smtp::server::{MAX_REPLY_TEXT_OCTETS, Reply, Transaction};
use crate::spool::{BodyWriter, SpoolError};

const FULL: Reply = Reply::fixed(452, (4, 3, 1), "Insufficient system storage");
const DRAINING: Reply = Reply::fixed(421, (4, 3, 2), "The server is shutting down; closing");
const OVERLOADED: Reply = Reply::fixed(421, (4, 3, 2), "The server is overloaded; closing");
const FAILED: Reply = Reply::fixed(451, (4, 3, 0), "The message could not be stored");
/// Most characters of a rule's name in a reply.
const MAX_CITED_NAME_CHARS: usize = 100;
/// No memory for another message came free.
pub(super) const NO_MEMORY: Reply = OVERLOADED;

/// What a client is told when no mail is taken in.
pub(super) fn not_now(reason: NotNow) -> Reply {
    match reason {
        NotNow::Full => FULL,
        NotNow::Draining => DRAINING,
        NotNow::Overloaded => OVERLOADED,
        NotNow::Failed => FAILED,
    }
}

/// What a policy has to do with messages that come in.
pub fn wishes(policy: &Policy) -> Wishes {
    Wishes {
        subject_tags: SubjectTags::new(&policy.source().tags),
        overview: policy.rejects(),
    }
}

/// A message that was not taken.
pub(super) struct NotTaken {
    /// What the client is told.
    pub(super) reply: Reply,
    /// The rule that says so, if one does.
    pub(super) cited: Option<Cited>,
}

/// A rule of a policy.
pub(super) struct Cited {
    /// The rule's name.
    pub(super) rule: Arc<str>,
    /// The policy's hash.
    pub(super) policy: Arc<str>,
}

impl From<Reply> for NotTaken {
    fn from(reply: Reply) -> Self {
        Self { reply, cited: None }
    }
}

/// A message that comes in.
pub(super) struct Incoming {
    id: MessageId,
    stage: Stage,
    /// In force when the content began: its tags and its rules are of one policy.
    machinery: Arc<Machinery>,
    /// What the intake made of the latest chunk.
    scratch: Vec<u8>,
    /// Held until the message is durable, or dropped.
    _memory: OwnedSemaphorePermit,
}

enum Stage {
    Taking(Box<Taking>),
    /// The rest is thrown away; the client learns at the end of data.
    Refused(Reply),
}

struct Taking {
    intake: Intake,
    writer: BodyWriter,
}

impl Incoming {
    pub(super) fn new(
        id: MessageId,
        intake: Intake,
        writer: BodyWriter,
        machinery: Arc<Machinery>,
        memory: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            id,
            machinery,
            stage: Stage::Taking(Box::new(Taking { intake, writer })),
            scratch: Vec::new(),
            _memory: memory,
        }
    }

    /// Takes the next octets of the content.
    pub(super) async fn write(&mut self, chunk: &[u8]) {
        let Stage::Taking(taking) = &mut self.stage else {
            return;
        };
        let Taking { intake, writer } = taking.as_mut();
        self.scratch.clear();
        let taken = match intake.write(chunk, &mut self.scratch) {
            Ok(()) => writer
                .write(&self.scratch)
                .await
                .map_err(|error| storage(self.id, &error)),
            Err(refusal) => Err(refusal.reply()),
        };
        if let Err(reply) = taken {
            self.scratch = Vec::new();
            self.stage = Stage::Refused(reply);
        }
    }

    /// The content is whole: asks the rules that may reject it, makes it durable and queues it.
    pub(super) async fn commit(
        self,
        flow: &Handle,
        transaction: Transaction,
        client: Client,
    ) -> Result<MessageId, NotTaken> {
        let Taking { intake, mut writer } = match self.stage {
            Stage::Taking(taking) => *taking,
            Stage::Refused(reply) => return Err(reply.into()),
        };
        let mut rest = Vec::new();
        let accepted = intake
            .finish(&mut rest)
            .map_err(|refusal| refusal.reply())?;
        let failed = |error: SpoolError| storage(self.id, &error);
        writer.write(&rest).await.map_err(failed)?;
        let Accepted {
            author,
            message_id,
            eight_bit,
            tags,
            pickup,
            overview,
        } = accepted;
        let envelope = Envelope {
            id: self.id,
            class: MessageClass::Submitted,
            reverse_path: transaction.reverse_path,
            recipients: transaction.recipients,
            author: Some(author),
            message_id,
            client: Some(client),
            received: flow.now(),
            size: writer.written(),
            eight_bit,
            tags,
            pickup,
        };
        if let Some(overview) = overview {
            let mut message = facts::of_envelope(&envelope);
            facts::show(&mut message, overview);
            let policy = &self.machinery.policy;
            if let Some(rejection) = policy.refuse(&message, &envelope.recipients) {
                return Err(rejected(rejection, policy));
            }
        }
        let body = writer.finish().await.map_err(failed)?;
        match flow.accept(envelope, body).await {
            Ok(()) => Ok(self.id),
            Err(AcceptError::Spool(error)) => Err(storage(self.id, &error).into()),
            Err(AcceptError::Interrupted) => Err(FAILED.into()),
        }
    }
}

/// `550 5.7.1 TEXT (rule "NAME")` on one line: where there is no room for both, the rule is named
/// and the text is cut.
fn rejected(rejection: Rejection, policy: &Policy) -> NotTaken {
    let Rejection { rule, text } = rejection;
    let name: String = rule.chars().take(MAX_CITED_NAME_CHARS).collect();
    let citation = format!(" (rule \"{name}\")");
    let room = MAX_REPLY_TEXT_OCTETS.saturating_sub(citation.chars().count());
    let text: String = text.chars().take(room).collect();
    let policy = Arc::clone(policy.hash());
    NotTaken {
        reply: Reply::new(550, (5, 7, 1), &format!("{text}{citation}")),
        cited: Some(Cited { rule, policy }),
    }
}

fn storage(id: MessageId, error: &SpoolError) -> Reply {
    tracing::warn!(%id, error = %chain(error), "a message could not be stored");
    match error {
        SpoolError::Full => FULL,
        SpoolError::Io { source, .. } if is_full(source) => FULL,
        _ => FAILED,
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
