//! What can happen to mail in the spool, and how it becomes records.
//!
//! | change | record | sealed in it (postcard) |
//! |---|---|---|
//! | `Accept` | `ACCEPT` | [`AcceptHead`] behind the wrapped key; the body, or flag 1 and a file |
//! | `Prepared` | `RENDITION` | [`Prepared`] |
//! | `State` | `STATE`, one per [`STATE_RECIPIENTS`] | `[(index, RecipientRecord)]` |
//! | `Done` | `DONE` | |

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::journal::{Draft, FLAG_BODY_FILE, Frame, Kind, MessageKey, WrappedKey};
use crate::mail::{Envelope, MessageId, Prepared, RecipientRecord};

use super::big::BigRef;
use super::stage::{Staged, StagedBody, StagedFile};
use super::{Shared, SpoolError};

/// Recipients in one `STATE` record.
pub const STATE_RECIPIENTS: usize = 256;

/// Something that is to become durable.
#[derive(Debug)]
pub enum Change {
    /// A message is ours now: envelope, all recipients and content in one record.
    Accept {
        /// The envelope; its id names the message from now on.
        envelope: Arc<Envelope>,
        /// The content.
        body: StagedBody,
    },
    /// What was decided and signed.
    Prepared {
        /// The message.
        id: MessageId,
        /// The whole of it; replaces what was prepared before.
        prepared: Arc<Prepared>,
    },
    /// Where recipients stand now.
    State {
        /// The message.
        id: MessageId,
        /// Index in the envelope, and the new record.
        recipients: Vec<(u32, RecipientRecord)>,
    },
    /// Nothing more will happen to the message: it may be forgotten.
    Done {
        /// The message.
        id: MessageId,
    },
}

/// The sealed envelope part of an `ACCEPT`.
#[derive(Serialize)]
struct AcceptHead<'a> {
    body_octets: u64,
    envelope: &'a Envelope,
}

/// The same, read back.
#[derive(Deserialize)]
pub(super) struct StoredHead {
    pub(super) body_octets: u64,
    pub(super) envelope: Envelope,
}

/// What a record does to the index once it is durable.
#[derive(Debug)]
pub(super) enum Effect {
    Accepted(MessageId, Option<BigRef>),
    Done(MessageId),
    Nothing,
}

/// Records ready for the writer.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) frames: Vec<Frame>,
    /// One for each frame.
    pub(super) effects: Vec<Effect>,
    pub(super) accepted: Vec<(MessageId, WrappedKey)>,
    pub(super) files: Vec<StagedFile>,
    keys: HashMap<MessageId, MessageKey>,
}

impl Shared {
    /// Seals and frames. Runs on the producer's own thread.
    pub(super) fn plan(&self, changes: Vec<Change>) -> Result<Plan, SpoolError> {
        let mut plan = Plan::default();
        for change in changes {
            match change {
                Change::Accept { envelope, body } => {
                    self.plan_accept(&mut plan, &envelope, body)?
                }
                Change::Prepared { id, prepared } => {
                    let text = encode(&*prepared)?;
                    self.plan_sealed(&mut plan, Kind::Rendition, id, &text)?;
                }
                Change::State { id, recipients } => {
                    for recipients in recipients.chunks(STATE_RECIPIENTS) {
                        self.plan_sealed(&mut plan, Kind::State, id, &encode(recipients)?)?;
                    }
                }
                Change::Done { id } => {
                    if !plan.keys.contains_key(&id) && !self.index.contains(id) {
                        return Err(SpoolError::Unknown { id });
                    }
                    let frame = Frame::plain(Kind::Done, id.get(), self.journal.keys());
                    plan.push(frame, Effect::Done(id));
                }
            }
        }
        Ok(plan)
    }

    fn plan_accept(
        &self,
        plan: &mut Plan,
        envelope: &Envelope,
        body: StagedBody,
    ) -> Result<(), SpoolError> {
        let id = envelope.id;
        if plan.keys.contains_key(&id) || self.index.contains(id) {
            return Err(SpoolError::Duplicate { id });
        }
        let head = encode(&AcceptHead {
            body_octets: body.len(),
            envelope,
        })?;
        let (key, content, file) = match body.0 {
            Staged::Memory(content) => (MessageKey::generate()?, Some(content), None),
            Staged::File(file) if file.id != id => return Err(SpoolError::Mismatch { id }),
            Staged::File(file) => (file.key.clone(), None, Some(file)),
        };
        let keys = self.journal.keys();
        let wrapped = keys.wrap(id.get(), &key)?;
        let draft = Draft {
            kind: Kind::Accept,
            flags: if file.is_some() { FLAG_BODY_FILE } else { 0 },
            message: id.get(),
            clear: wrapped.as_bytes(),
            envelope: &head,
            body: content.as_deref(),
        };
        let frame = draft.seal(keys, &key)?;
        let reference = file.as_ref().map(|file| file.body);
        plan.push(frame, Effect::Accepted(id, reference));
        plan.accepted.push((id, wrapped));
        plan.keys.insert(id, key);
        plan.files.extend(file);
        Ok(())
    }

    fn plan_sealed(
        &self,
        plan: &mut Plan,
        kind: Kind,
        id: MessageId,
        text: &[u8],
    ) -> Result<(), SpoolError> {
        let keys = self.journal.keys();
        let key = match plan.keys.get(&id) {
            Some(key) => key.clone(),
            None => {
                let wrapped = self.index.key(id).ok_or(SpoolError::Unknown { id })?;
                let key = keys.unwrap(id.get(), &wrapped)?;
                plan.keys.insert(id, key.clone());
                key
            }
        };
        let draft = Draft {
            kind,
            flags: 0,
            message: id.get(),
            clear: &[],
            envelope: text,
            body: None,
        };
        plan.push(draft.seal(keys, &key)?, Effect::Nothing);
        Ok(())
    }
}

impl Plan {
    fn push(&mut self, frame: Frame, effect: Effect) {
        self.frames.push(frame);
        self.effects.push(effect);
    }
}

/// The clear text of a record, wiped when it is dropped: it has content keys and protected fields
/// in it. A buffer that grew would leave copies behind, so it has its size from the beginning.
fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Zeroizing<Vec<u8>>, SpoolError> {
    let octets = postcard::experimental::serialized_size(value).map_err(SpoolError::Encode)?;
    let mut text = Zeroizing::new(vec![0; octets]);
    postcard::to_slice(value, &mut text).map_err(SpoolError::Encode)?;
    Ok(text)
}
