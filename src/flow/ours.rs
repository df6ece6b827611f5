//! Mails of ours that the portal has made: codes, reminders, reports to authors.
//!
//! They are composed here, from our own texts; the portal says only whom and what it is about.
//! From then on they are mail like any other: durable in the spool, decided, signed, delivered.

use crate::mail::{Address, Envelope, MessageClass, MessageId, ReversePath};
use crate::notice::Composed;
use crate::proto::link::{AskCode, Remind, ReportPickup};
use crate::spool::SpoolError;

use super::accept::{AcceptError, NotNow};
use super::{Handle, Portal};

/// A mail of ours was not made.
#[derive(Debug, thiserror::Error)]
pub enum OursError {
    /// No portal is configured, so nobody should ask.
    #[error("no portal is configured")]
    NoPortal,
    /// No mail is taken in now.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// It could not be written.
    #[error("the mail could not be written")]
    Spool(#[from] SpoolError),
    /// It could not be stored.
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl Handle {
    /// Mails a code; it is durable when this returns.
    pub async fn mail_code(&self, asked: &AskCode) -> Result<MessageId, OursError> {
        let compose = |portal: &Portal, id| portal.setting.code(id, self.now(), asked);
        self.send_ours(MessageClass::Code, &asked.recipient, compose)
            .await
    }

    /// Mails a reminder; it is durable when this returns.
    pub async fn mail_reminder(&self, remind: &Remind) -> Result<MessageId, OursError> {
        let compose = |portal: &Portal, id| portal.setting.reminder(id, self.now(), remind);
        self.send_ours(MessageClass::Notice, &remind.recipient, compose)
            .await
    }

    /// Mails a report to an author; it is durable when this returns.
    pub async fn mail_report(&self, report: &ReportPickup) -> Result<MessageId, OursError> {
        let compose = |portal: &Portal, id| portal.setting.report(id, self.now(), report);
        self.send_ours(MessageClass::Dsn, &report.author, compose)
            .await
    }

    /// The address that a reply to `to` comes from: the one that notices of its domain come from.
    /// `None` without a portal.
    pub fn replies_from(&self, to: &Address) -> Option<Address> {
        let machinery = self.machinery();
        let portal = machinery.portal.as_ref()?;
        Some(portal.setting.address_in(to.domain()))
    }

    async fn send_ours(
        &self,
        class: MessageClass,
        to: &Address,
        compose: impl FnOnce(&Portal, MessageId) -> Composed,
    ) -> Result<MessageId, OursError> {
        self.admits()?;
        let machinery = self.machinery();
        let portal = machinery.portal.as_ref().ok_or(OursError::NoPortal)?;
        let (id, mut writer) = self.begin();
        let Composed {
            octets,
            from,
            message_id,
        } = compose(portal, id);
        writer.write(&octets).await?;
        let body = writer.finish().await?;
        let envelope = Envelope {
            id,
            class,
            reverse_path: ReversePath::Null,
            recipients: vec![to.clone()],
            author: Some(from),
            message_id,
            client: None,
            received: self.now(),
            size: u64::try_from(octets.len()).unwrap_or(u64::MAX),
            eight_bit: !octets.is_ascii(),
            tags: Vec::new(),
            pickup: Default::default(),
        };
        self.accept(envelope, body).await?;
        Ok(id)
    }
}
