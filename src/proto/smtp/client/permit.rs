//! The permit: the one way to MAIL.
//!
//! Owns the types that make promise 1 a matter of compilation. [`Client::permit`] compares the
//! grade of this connection with the demand of a rendition and makes a [`Permit`] only if it is
//! met. The permit borrows the connection's session, so it cannot be kept, copied or used with
//! another one; beginning uses it up, so each transaction is checked anew.
//!
//! A permit cannot be made by hand:
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail, Permit};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let permit = Permit { client, rendition, grade: sealpost::mail::Grade::Pkix }; // private fields
//!     permit.begin(now, mail).is_ok()
//! }
//! ```
//!
//! it is given by the check:
//!
//! ```
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail, Permit};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(permit) = client.permit(now, rendition, domain) else { return false };
//!     permit.begin(now, mail).is_ok()
//! }
//! ```
//!
//! There is no MAIL and no content without one:
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     client.begin(now, mail).is_ok() // no such method
//! }
//! ```
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     client.content(now, b"body").is_ok() // no such method
//! }
//! ```
//!
//! but with one there is:
//!
//! ```
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     client.permit(now, rendition, domain).is_ok_and(|permit| permit.begin(now, mail).is_ok())
//! }
//! ```
//!
//! It does not outlive its connection:
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, mut client: Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(permit) = client.permit(now, rendition, domain) else { return false };
//!     drop(client); // still borrowed
//!     permit.begin(now, mail).is_ok()
//! }
//! ```
//!
//! ```
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, mut client: Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(permit) = client.permit(now, rendition, domain) else { return false };
//!     let _ = (); // nothing happens to the connection
//!     permit.begin(now, mail).is_ok()
//! }
//! ```
//!
//! It serves one transaction:
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(permit) = client.permit(now, rendition, domain) else { return false };
//!     permit.begin(now, mail.clone()).is_ok() && permit.begin(now, mail).is_ok() // moved
//! }
//! ```
//!
//! ```
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(permit) = client.permit(now, rendition, domain) else { return false };
//!     permit.begin(now, mail.clone()).is_ok()
//! }
//! ```
//!
//! And it cannot be carried to another connection: the transfer that it begins writes to the
//! session that it was given for, and nothing else takes a permit.
//!
//! ```compile_fail
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, other: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(mut permit) = client.permit(now, rendition, domain) else { return false };
//!     permit.client = other; // private
//!     permit.begin(now, mail).is_ok()
//! }
//! ```
//!
//! ```
//! # use sealpost::mail::{Rendition, Timestamp}; use sealpost::proto::smtp::client::{Client, DomainFacts, Mail};
//! fn send(now: Timestamp, client: &mut Client, other: &mut Client, rendition: &Rendition, domain: &DomainFacts, mail: Mail) -> bool {
//!     let Ok(mut permit) = other.permit(now, rendition, domain) else { return false };
//!     if let Ok(theirs) = client.permit(now, rendition, domain) { permit = theirs; } // a permit, and its own connection
//!     permit.begin(now, mail).is_ok()
//! }
//! ```

use super::transaction::{Mail, Transaction};
use super::{
    BareLineEnd, Cause, Client, DomainFacts, DotStuffer, Established, Input, Lack, Output, Running,
    Session, Shortfall, State,
};
use crate::mail::{Grade, Rendition, Timestamp};

/// Leave to send one rendition over one connection, once.
pub struct Permit<'c> {
    client: &'c mut Client,
    rendition: &'c Rendition,
    grade: Grade,
}

/// Content that this server cannot take, before anything was said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It announces a lower SIZE (RFC 1870 §6.1).
    #[error("the message has {size} octets and the server takes {limit}")]
    TooLarge {
        /// Octets of the message.
        size: u64,
        /// Octets that the server takes.
        limit: u64,
    },
    /// The content has octets above 127 and 8BITMIME is not offered (RFC 6152 §3).
    #[error("the message has 8-bit content and the server does not offer 8BITMIME")]
    EightBit,
}

impl Client {
    /// The grade check: whether this connection, as it is now, may carry `rendition` for
    /// `domain`: its grade reaches the demand, and it keeps the terms. Evaluated for every transaction, on a reused connection as on a fresh one.
    pub fn permit<'c>(
        &'c mut self,
        now: Timestamp,
        rendition: &'c Rendition,
        domain: &DomainFacts,
    ) -> Result<Permit<'c>, Shortfall> {
        let demand = rendition.demand();
        let short = |reached, lack| Shortfall {
            reached,
            required: demand.least(),
            lack,
        };
        let State::Established(established) = &self.state else {
            return Err(short(Grade::None, Lack::Session));
        };
        let grade = established
            .channel
            .check(now, demand, &rendition.terms, domain)?;
        if self.settings.credentials.is_some() && !established.authenticated {
            return Err(short(grade, Lack::Authentication));
        }
        Ok(Permit {
            client: self,
            rendition,
            grade,
        })
    }
}

impl<'c> Permit<'c> {
    /// The grade that the connection reached for the domain.
    pub const fn grade(&self) -> Grade {
        self.grade
    }

    /// Begins the transaction: writes MAIL, and what may follow it at once.
    pub fn begin(self, now: Timestamp, mut mail: Mail) -> Result<Transfer<'c>, Unfit> {
        let Self {
            client, rendition, ..
        } = self;
        let State::Established(established) = &mut client.state else {
            // `permit` saw it established, and nobody else could touch it since.
            return Ok(Transfer { client });
        };
        let capabilities = established.capabilities;
        if let Some(sealed) = rendition.recipe() {
            // Base64, whatever the accepted content is.
            (mail.size, mail.eight_bit) = (sealed.octets, false);
        }
        if let Some(notice) = rendition.deposit() {
            // 7-bit; the accepted content is in the portal.
            (mail.size, mail.eight_bit) = (notice.octets().len() as u64, false);
        }
        mail.size += rendition.prefix.len() as u64;
        let parameters = parameters(established, &mail)?;
        let dirty = std::mem::take(&mut established.dirty);
        let mut transaction = Transaction::new(mail, parameters, capabilities.pipelining, dirty);
        client.asked += transaction.send(&mut client.out);
        let state = std::mem::replace(&mut client.state, State::Closed);
        if let State::Established(established) = state {
            client.state = State::Transaction(Box::new(Running {
                established: *established,
                transaction,
                stuffer: DotStuffer::default(),
                prefix: rendition.prefix.clone(),
            }));
        }
        client.arm(now);
        Ok(Transfer { client })
    }
}

/// The parameters of MAIL (RFC 1870 §3, RFC 6152 §2).
fn parameters(established: &Established, mail: &Mail) -> Result<String, Unfit> {
    let size = mail.size;
    let mut parameters = String::new();
    match established.capabilities.size {
        Some(Some(limit)) if size > limit => return Err(Unfit::TooLarge { size, limit }),
        Some(_) => parameters.push_str(&format!(" SIZE={size}")),
        None => {}
    }
    match (mail.eight_bit, established.capabilities.eight_bit_mime) {
        (true, false) => return Err(Unfit::EightBit),
        (true, true) => parameters.push_str(" BODY=8BITMIME"),
        (false, _) => {}
    }
    Ok(parameters)
}

/// A transaction under way. Ends with [`Output::Finished`].
pub struct Transfer<'c> {
    client: &'c mut Client,
}

impl Transfer<'_> {
    /// Writes a piece of the content. Only after [`Output::SendContent`]; before and after it,
    /// nothing is written. Content with bare line ends breaks the session: no end of data is
    /// ever sent behind it.
    pub fn content(&mut self, now: Timestamp, octets: &[u8]) -> Result<(), BareLineEnd> {
        let outcome = match &mut self.client.state {
            State::Transaction(running) if running.transaction.wants_content() => {
                running.stuffer.push(octets, &mut self.client.out)
            }
            _ => return Ok(()),
        };
        self.settle(now, outcome)
    }

    /// Writes the end of data.
    pub fn end(&mut self, now: Timestamp) -> Result<(), BareLineEnd> {
        let outcome = match &mut self.client.state {
            State::Transaction(running) if running.transaction.wants_content() => {
                let stuffer = std::mem::take(&mut running.stuffer);
                let outcome = stuffer.finish(&mut self.client.out);
                if outcome.is_ok() {
                    running.transaction.content_ended();
                    self.client.asked += 1;
                }
                outcome
            }
            _ => return Ok(()),
        };
        self.settle(now, outcome)
    }

    fn settle(
        &mut self,
        now: Timestamp,
        outcome: Result<(), BareLineEnd>,
    ) -> Result<(), BareLineEnd> {
        match outcome {
            Ok(()) => self.client.arm(now),
            Err(BareLineEnd) => self.abandon(),
        }
        outcome
    }

    /// Gives the transaction up: the connection must be dropped without another octet.
    pub fn abandon(&mut self) {
        self.client.fail(Cause::Abandoned);
    }

    /// Whether the end of data was written: from here on only the peer's reply, or its absence,
    /// ends the transaction.
    pub fn is_past_content(&self) -> bool {
        matches!(&self.client.state, State::Transaction(running) if running.transaction.is_past_content())
    }
}

impl Session for Transfer<'_> {
    fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        self.client.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.client.poll_output()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.client.poll_timeout()
    }
}
