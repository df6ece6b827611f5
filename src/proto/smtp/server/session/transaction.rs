//! A mail transaction: MAIL, RCPT, DATA, the content and its end (RFC 5321 §3.3).

use std::collections::HashSet;

use super::Session;
use crate::mail::{Address, MessageId, Timestamp};
use crate::proto::smtp::command::{Forward, Mail};
use crate::proto::smtp::data::DataReader;
use crate::proto::smtp::server::reply::{self, Reply};
use crate::proto::smtp::server::state::{Open, Receiving, State, stay};
use crate::proto::smtp::server::{
    Channel, MAX_EXCESS_OCTETS, MAX_REFUSED_RECIPIENTS, Output, Transaction, data_deadline,
};

impl Session {
    /// What is missing before mail may be sent.
    pub(super) fn not_ready(&self) -> Option<Reply> {
        match self.peer.channel {
            Channel::Plain => Some(reply::TLS_FIRST),
            Channel::Tls | Channel::Local if !self.peer.identified => Some(reply::AUTH_FIRST),
            Channel::Tls | Channel::Local => self.peer.hello.is_none().then_some(reply::EHLO_FIRST),
        }
    }

    pub(super) fn mail(&mut self, open: Option<Open>, mail: Mail) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        if open.is_some() {
            return self.fail(stay(open), &reply::NESTED_MAIL);
        }
        let Some(hello) = self.peer.hello.clone() else {
            return self.fail(State::Idle, &reply::EHLO_FIRST);
        };
        if mail
            .size
            .is_some_and(|octets| octets > self.config.message_octets)
        {
            let reply = reply::too_large(self.config.message_octets);
            self.reject(mail.reverse_path, None, reply);
            return State::Idle;
        }
        self.outputs
            .push_back(Output::AskSender(mail.reverse_path.clone()));
        State::AskingSender(Open {
            transaction: Transaction {
                hello,
                reverse_path: mail.reverse_path,
                recipients: Vec::new(),
            },
            seen: HashSet::new(),
            tried: false,
        })
    }

    pub(super) fn sender(
        &mut self,
        now: Timestamp,
        state: State,
        answer: Result<(), Reply>,
    ) -> State {
        let State::AskingSender(open) = state else {
            return state;
        };
        self.command_came(now);
        match answer {
            Ok(()) => {
                self.say(&reply::SENDER_OK);
                State::Open(open)
            }
            Err(reply) => self.refused(open.transaction.reverse_path, reply),
        }
    }

    pub(super) fn rcpt(&mut self, open: Option<Open>, forward: Forward) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        let Some(mut open) = open else {
            return self.fail(State::Idle, &reply::MAIL_FIRST);
        };
        open.tried = true;
        let recipient = match forward {
            Forward::Address(address) => address,
            Forward::Postmaster => self.config.postmaster.clone(),
        };
        if !open.seen.contains(&recipient) {
            if open.transaction.recipients.len() >= self.config.recipients {
                return self.refuse_recipient(open, Some(recipient), &reply::TOO_MANY_RECIPIENTS);
            }
            open.seen.insert(recipient.clone());
            open.transaction.recipients.push(recipient);
        }
        self.say(&reply::RECIPIENT_OK);
        State::Open(open)
    }

    pub(super) fn refuse_recipient(
        &mut self,
        open: Open,
        recipient: Option<Address>,
        reply: &Reply,
    ) -> State {
        self.reject(
            open.transaction.reverse_path.clone(),
            recipient,
            reply.clone(),
        );
        self.peer.refused_recipients += 1;
        if self.peer.refused_recipients >= MAX_REFUSED_RECIPIENTS {
            return self.close((4, 5, 3), "refused too many recipients");
        }
        State::Open(open)
    }

    pub(super) fn data(&mut self, open: Option<Open>) -> State {
        if let Some(missing) = self.not_ready() {
            return self.fail(stay(open), &missing);
        }
        match open {
            None => self.fail(State::Idle, &reply::MAIL_FIRST),
            Some(open) if !open.transaction.recipients.is_empty() => {
                let hello = open.transaction.hello.clone();
                self.outputs.push_back(Output::AskData(hello));
                State::Opening(open)
            }
            Some(open) if open.tried => self.fail(State::Open(open), &reply::NO_RECIPIENT),
            Some(open) => self.fail(State::Open(open), &reply::RCPT_FIRST),
        }
    }

    pub(super) fn ready(
        &mut self,
        now: Timestamp,
        state: State,
        answer: Result<(), Reply>,
    ) -> State {
        let State::Opening(open) = state else {
            return state;
        };
        if let Err(reply) = answer {
            return self.refused(open.transaction.reverse_path, reply);
        }
        self.replies
            .extend_from_slice(b"354 End data with <CR><LF>.<CR><LF>\r\n");
        self.deadline = data_deadline(now, 0);
        State::Data(Receiving {
            transaction: open.transaction,
            reader: DataReader::new(self.config.message_octets),
            began: now,
            abandoned: false,
        })
    }

    pub(super) fn content(&mut self, now: Timestamp, mut receiving: Receiving) -> (State, bool) {
        if self.inbound.is_empty() {
            return (State::Data(receiving), false);
        }
        let mut content = Vec::with_capacity(self.inbound.rest().len());
        let progress = receiving.reader.read(self.inbound.rest(), &mut content);
        self.inbound.consume(progress.consumed);
        self.deadline = data_deadline(receiving.began, receiving.reader.octets());
        if receiving.reader.fault().is_none() {
            if !content.is_empty() {
                self.outputs.push_back(Output::Content(content));
            }
        } else if !receiving.abandoned {
            receiving.abandoned = true;
            self.outputs.push_back(Output::AbandonContent);
        }
        if !progress.ended {
            return self.go_on_reading(receiving);
        }
        let Transaction { reverse_path, .. } = &receiving.transaction;
        let reverse_path = reverse_path.clone();
        if let Some(fault) = receiving.reader.fault() {
            self.command_came(now);
            return (self.refused(reverse_path, reply::data_fault(fault)), true);
        }
        self.outputs
            .push_back(Output::AskCommit(receiving.transaction));
        (State::Committing { reverse_path }, true)
    }

    /// A refused content is read to its end, within reason.
    pub(super) fn go_on_reading(&mut self, receiving: Receiving) -> (State, bool) {
        let bound = self.config.message_octets.saturating_add(MAX_EXCESS_OCTETS);
        match receiving.reader.fault() {
            Some(fault) if receiving.reader.octets() > bound => {
                let reply = reply::data_fault(fault);
                self.reject(receiving.transaction.reverse_path, None, reply);
                (self.hang_up(), false)
            }
            Some(_) | None => (State::Data(receiving), true),
        }
    }

    pub(super) fn committed(
        &mut self,
        now: Timestamp,
        state: State,
        answer: Result<MessageId, Reply>,
    ) -> State {
        let State::Committing { reverse_path } = state else {
            return state;
        };
        self.command_came(now);
        match answer {
            Ok(id) => {
                self.say(&reply::queued(id));
                self.peer.errors = 0;
                self.peer.refused_recipients = 0;
                State::Idle
            }
            Err(reply) => self.refused(reverse_path, reply),
        }
    }
}
