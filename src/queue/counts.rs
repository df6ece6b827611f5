//! Counts that are kept and never counted up, and the messages that ended lately.

use std::collections::VecDeque;

use crate::mail::MessageId;

use super::message::{Message, Standing};

/// Messages that ended lately and can still be shown.
const MAX_FINISHED_MESSAGES: usize = 1000;
/// Their recipients in all.
const MAX_FINISHED_RECIPIENTS: usize = 10_000;

/// Recipients of messages that are not done, by where they stand. Kept, never counted up.
#[derive(Debug, Default)]
pub(super) struct Counts([usize; 6]);

impl Counts {
    pub(super) fn enter(&mut self, standing: Standing) {
        self.0[standing as usize] += 1;
    }

    pub(super) fn leave(&mut self, standing: Standing) {
        let count = &mut self.0[standing as usize];
        *count = count.saturating_sub(1);
    }

    pub(super) fn of(&self, standing: Standing) -> usize {
        self.0[standing as usize]
    }
}

/// Messages that ended lately, oldest first.
#[derive(Debug, Default)]
pub(super) struct Finished {
    messages: VecDeque<Message>,
    recipients: usize,
}

impl Finished {
    pub(super) fn push(&mut self, message: Message) {
        self.recipients += message.recipients.len();
        self.messages.push_back(message);
        while self.messages.len() > 1
            && (self.messages.len() > MAX_FINISHED_MESSAGES
                || self.recipients > MAX_FINISHED_RECIPIENTS)
        {
            if let Some(oldest) = self.messages.pop_front() {
                self.recipients -= oldest.recipients.len();
            }
        }
    }

    pub(super) fn find(&self, id: MessageId) -> Option<&Message> {
        self.messages.iter().rev().find(|m| m.envelope.id == id)
    }
}
