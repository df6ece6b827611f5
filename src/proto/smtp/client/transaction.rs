//! One mail transaction (RFC 5321 §3.3): RSET if needed, MAIL, RCPT, DATA, content, end of data.
//!
//! Two positions in the list of steps, the sender's and the receiver's, only ever go forward;
//! the distance between them is what PIPELINING (RFC 2920) allows: everything up to DATA at
//! once, or one step. Owns what each reply means for each recipient. Writes no octet itself
//! except through [`Transaction::send`], which the session calls once a permit has begun it.

use super::failure::{Cause, Failure, Phase};
use super::reply::{Reply, Severity};
use crate::mail::{Address, ReversePath};

/// What a transaction is about.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Where bounces go.
    pub reverse_path: ReversePath,
    /// To whom; not empty.
    pub recipients: Vec<Address>,
    /// Octets of prefix and content together, before dot-stuffing (RFC 1870 §5).
    pub size: u64,
    /// Whether there are octets above 127.
    pub eight_bit: bool,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientResult {
    /// The end of data was answered 2yz.
    Delivered(Reply),
    /// A reply to MAIL, RCPT, DATA or the end of data refuses it, for now (4yz) or for good.
    Refused {
        /// What the reply answered.
        phase: Phase,
        /// The reply.
        reply: Reply,
    },
    /// The server takes no more recipients in one transaction (RFC 5321 §4.5.3.1.10): try again
    /// at once in another, on this connection.
    Leftover,
    /// The session broke before the end of data was sent: the server has nothing.
    Unsettled,
    /// The session broke after the end of data was sent: the server may have it (RFC 1047).
    InDoubt,
}

/// The end of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of [`Mail::recipients`].
    pub results: Vec<RecipientResult>,
    /// Why the connection is of no further use; `None` if it is.
    pub broken: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Recipient(usize),
    Data,
    EndOfData,
}

/// Where the content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// DATA has not been answered.
    NotAsked,
    /// 354 was given: octets may go.
    Wanted,
    /// The end of data is on its way, behind content.
    Ended,
    /// 354 was given though no recipient stands: a lone dot is on its way (RFC 2920 §3.1).
    LoneDot,
}

/// What a reply leads to.
pub(super) enum Progress {
    /// More is to come.
    Continue,
    /// Content is wanted now.
    SendContent,
    /// The transaction is over; whether the session needs RSET before another one.
    Finished { dirty: bool },
    /// The session is over.
    Broken(Cause),
}

pub(super) struct Transaction {
    mail: Mail,
    parameters: String,
    pipelining: bool,
    /// The next step to send.
    sender: usize,
    /// The next step to be answered.
    receiver: usize,
    mail_refused: Option<Reply>,
    /// What RCPT came to; `None` while unanswered or accepted.
    refused: Vec<Option<RecipientResult>>,
    accepted: usize,
    content: Content,
    /// What DATA or the end of data was answered, for every accepted recipient.
    verdict: Option<RecipientResult>,
}

impl Transaction {
    pub(super) fn new(mail: Mail, parameters: String, pipelining: bool, reset: bool) -> Self {
        Self {
            refused: vec![None; mail.recipients.len()],
            mail,
            parameters,
            pipelining,
            sender: usize::from(!reset),
            receiver: usize::from(!reset),
            mail_refused: None,
            accepted: 0,
            content: Content::NotAsked,
            verdict: None,
        }
    }

    /// Steps are numbered RSET 0, MAIL 1, RCPT 2 and on, DATA, end of data.
    fn step(&self, number: usize) -> Step {
        let recipients = self.mail.recipients.len();
        match number {
            0 => Step::Reset,
            1 => Step::Mail,
            _ if number - 2 < recipients => Step::Recipient(number - 2),
            _ if number - 2 == recipients => Step::Data,
            _ => Step::EndOfData,
        }
    }

    /// What the next reply answers.
    pub(super) fn phase(&self) -> Phase {
        match (self.step(self.receiver), self.content) {
            (Step::Reset, _) => Phase::Reset,
            (Step::Mail, _) => Phase::Mail,
            (Step::Recipient(_), _) => Phase::Recipient,
            (Step::Data, _) => Phase::Data,
            (Step::EndOfData, Content::Wanted) => Phase::Content,
            (Step::EndOfData, Content::NotAsked | Content::Ended | Content::LoneDot) => {
                Phase::EndOfData
            }
        }
    }

    /// Writes the steps that may go now; how many commands that were.
    pub(super) fn send(&mut self, out: &mut Vec<u8>) -> u64 {
        let mut commands = 0;
        loop {
            let step = self.step(self.sender);
            let in_step = self.sender == self.receiver;
            match step {
                // Its octets are content; the session sends them.
                Step::EndOfData => return commands,
                Step::Reset | Step::Mail | Step::Recipient(_) | Step::Data
                    if in_step || self.pipelining => {}
                Step::Reset | Step::Mail | Step::Recipient(_) | Step::Data => return commands,
            }
            self.write(step, out);
            self.sender += 1;
            commands += 1;
        }
    }

    fn write(&self, step: Step, out: &mut Vec<u8>) {
        let line = match step {
            Step::Reset => "RSET".to_owned(),
            Step::Mail => format!("MAIL FROM:<{}>{}", self.mail.reverse_path, self.parameters),
            Step::Recipient(index) => match self.mail.recipients.get(index) {
                Some(address) => format!("RCPT TO:<{address}>"),
                None => return,
            },
            Step::Data => "DATA".to_owned(),
            Step::EndOfData => return,
        };
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Whether content may be sent now.
    pub(super) fn wants_content(&self) -> bool {
        self.content == Content::Wanted
    }

    /// The end of data is being sent behind content: from here on the server may have it all.
    pub(super) fn content_ended(&mut self) {
        self.content = Content::Ended;
        self.sender += 1;
    }

    /// A lone dot is being sent.
    pub(super) fn lone_dot(&mut self) {
        self.content = Content::LoneDot;
        self.sender += 1;
    }

    /// Whether 354 was given for nobody.
    pub(super) fn wants_lone_dot(&self) -> bool {
        self.sender == self.receiver
            && self.step(self.sender) == Step::EndOfData
            && self.content == Content::NotAsked
    }

    /// Whether the whole content and its end have been handed to the wire.
    pub(super) fn is_past_content(&self) -> bool {
        self.content == Content::Ended
    }

    /// Takes the next reply.
    pub(super) fn on_reply(&mut self, reply: Reply) -> Progress {
        let step = self.step(self.receiver);
        if self.content == Content::Wanted {
            return self.early_reply(reply);
        }
        self.receiver += 1;
        // 421 anywhere: the server is closing (RFC 5321 §3.8). After the end of data it is an
        // answer to the content first.
        let closing = reply.code() == 421;
        match step {
            Step::Reset => match reply.severity() {
                Severity::Completed => Progress::Continue,
                Severity::Transient | Severity::Permanent => {
                    Progress::Broken(Cause::Refused(reply))
                }
                Severity::Intermediate => Progress::Broken(Cause::Unexpected(reply)),
            },
            Step::Mail => self.on_mail(reply, closing),
            Step::Recipient(index) => self.on_recipient(index, reply, closing),
            Step::Data => self.on_data(reply, closing),
            Step::EndOfData => self.on_end(reply, closing),
        }
    }

    fn on_mail(&mut self, reply: Reply, closing: bool) -> Progress {
        match reply.severity() {
            Severity::Completed => Progress::Continue,
            Severity::Intermediate => Progress::Broken(Cause::Unexpected(reply)),
            Severity::Transient | Severity::Permanent => {
                self.mail_refused = Some(reply.clone());
                if closing {
                    return Progress::Broken(Cause::Refused(reply));
                }
                if self.pipelining {
                    Progress::Continue
                } else {
                    Progress::Finished { dirty: false }
                }
            }
        }
    }

    fn on_recipient(&mut self, index: usize, reply: Reply, closing: bool) -> Progress {
        let result = match reply.severity() {
            Severity::Completed => {
                self.accepted += 1;
                None
            }
            Severity::Intermediate => return Progress::Broken(Cause::Unexpected(reply)),
            Severity::Transient | Severity::Permanent if closing => {
                return Progress::Broken(Cause::Refused(reply));
            }
            Severity::Transient | Severity::Permanent => {
                Some(if self.accepted > 0 && is_too_many_recipients(&reply) {
                    RecipientResult::Leftover
                } else {
                    let phase = Phase::Recipient;
                    RecipientResult::Refused { phase, reply }
                })
            }
        };
        if let Some(slot) = self.refused.get_mut(index) {
            *slot = result;
        }
        let last = index + 1 == self.mail.recipients.len();
        if last && self.accepted == 0 && !self.pipelining {
            return Progress::Finished { dirty: true };
        }
        Progress::Continue
    }

    fn on_data(&mut self, reply: Reply, closing: bool) -> Progress {
        match reply.severity() {
            Severity::Intermediate if reply.code() == 354 => {
                if self.accepted == 0 || self.mail_refused.is_some() {
                    return Progress::Continue;
                }
                self.content = Content::Wanted;
                Progress::SendContent
            }
            Severity::Intermediate | Severity::Completed => {
                Progress::Broken(Cause::Unexpected(reply))
            }
            Severity::Transient | Severity::Permanent => {
                let phase = Phase::Data;
                self.verdict = Some(RecipientResult::Refused {
                    phase,
                    reply: reply.clone(),
                });
                if closing {
                    return Progress::Broken(Cause::Refused(reply));
                }
                Progress::Finished { dirty: true }
            }
        }
    }

    fn on_end(&mut self, reply: Reply, closing: bool) -> Progress {
        if self.content == Content::Ended {
            self.verdict = Some(match reply.severity() {
                Severity::Completed => RecipientResult::Delivered(reply.clone()),
                // Not an answer to anything: whether the server has it stays open.
                Severity::Intermediate => return Progress::Broken(Cause::Unexpected(reply)),
                Severity::Transient | Severity::Permanent => RecipientResult::Refused {
                    phase: Phase::EndOfData,
                    reply: reply.clone(),
                },
            });
        }
        if closing {
            Progress::Broken(Cause::Refused(reply))
        } else {
            Progress::Finished { dirty: false }
        }
    }

    /// A reply while content is being sent: the server has had enough. The content was not
    /// ended, so there is no message; and it cannot be ended now, so the connection goes.
    fn early_reply(&mut self, reply: Reply) -> Progress {
        match reply.severity() {
            Severity::Transient | Severity::Permanent => {
                self.verdict = Some(RecipientResult::Refused {
                    phase: Phase::Content,
                    reply: reply.clone(),
                });
                Progress::Broken(Cause::Refused(reply))
            }
            Severity::Completed | Severity::Intermediate => {
                Progress::Broken(Cause::Unexpected(reply))
            }
        }
    }

    /// Ends the transaction: what is known of each recipient.
    pub(super) fn into_report(self, broken: Option<Failure>) -> Report {
        let open = if self.content == Content::Ended {
            RecipientResult::InDoubt
        } else {
            RecipientResult::Unsettled
        };
        // RCPT replies 0..answered have been read.
        let answered = self.receiver.saturating_sub(2);
        let results = self
            .refused
            .into_iter()
            .enumerate()
            .map(|(index, refused)| match (&self.mail_refused, refused) {
                (Some(reply), _) => RecipientResult::Refused {
                    phase: Phase::Mail,
                    reply: reply.clone(),
                },
                (None, Some(refused)) => refused,
                (None, None) if index < answered => {
                    self.verdict.clone().unwrap_or_else(|| open.clone())
                }
                (None, None) => open.clone(),
            })
            .collect();
        Report { results, broken }
    }
}

/// RFC 5321 §4.5.3.1.10: 452, and 552 from old servers, mean that the rest goes in another
/// transaction. Both codes have other meanings too, which the enhanced code tells apart.
fn is_too_many_recipients(reply: &Reply) -> bool {
    let enhanced = reply.enhanced().map(|code| (code.subject, code.detail));
    match reply.code() {
        452 => matches!(enhanced, None | Some((5, 3))),
        552 => enhanced == Some((5, 3)),
        _ => false,
    }
}
