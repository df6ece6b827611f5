//! What is known of a message and of its recipients when they are decided.
//!
//! The daemon and `policy explain` make their facts here and nowhere else, so that they cannot
//! come to different ends. Reads what the policy wants to know and nothing more; what could not be
//! read is unknown, and policy takes unknown for the worse.

use bytes::Bytes;

use crate::mail::message::{Overview, Part};
use crate::mail::{Address, Envelope, MessageClass, PickupFacts, PickupWishes, Timestamp};
use crate::policy::{HeaderFacts, MessageFacts, PartFacts, Policy, RecipientFacts};
use crate::scan::Scanner;

use super::contacts::{Contacts, Volumes};

/// Content up to this many octets is looked over where it is; more of it on a thread for that.
const MAX_INLINE_OCTETS: usize = 64 * 1024;

/// Whether the content has to be read before a message can be decided.
pub fn wants_content(policy: &Policy, class: MessageClass) -> bool {
    let needs = policy.needs();
    class == MessageClass::Submitted && (needs.header || needs.parts || needs.findings)
}

/// What is known of a message; `content` is as stored, `None` where it was not read.
pub async fn of_message(
    policy: &Policy,
    scanner: &Scanner,
    envelope: &Envelope,
    content: Option<&Bytes>,
) -> MessageFacts {
    let mut facts = of_envelope(envelope);
    // A bounce of ours is decided by what it is.
    if let (MessageClass::Submitted, Some(content)) = (envelope.class, content) {
        if let Some(overview) = look_over(content).await {
            show(&mut facts, overview);
        }
        if policy.needs().findings {
            facts.findings = Some(scanner.scan(content.clone()).await);
        }
    }
    facts
}

/// What the envelope alone says; header, parts and findings are unknown.
pub fn of_envelope(envelope: &Envelope) -> MessageFacts {
    let client = envelope.client.as_ref();
    MessageFacts {
        class: envelope.class,
        sender: envelope.reverse_path.clone(),
        author: envelope.author.clone(),
        user: client.map(|client| client.user.clone()),
        listener: client.map(|client| client.listener.clone()),
        client: client.and_then(|client| client.address),
        received: envelope.received,
        size: envelope.size,
        tags: envelope.tags.clone(),
        header: HeaderFacts {
            only: Some(Vec::new()),
            ..HeaderFacts::default()
        },
        parts: None,
        findings: None,
    }
}

/// Adds what a message shows.
pub fn show(facts: &mut MessageFacts, overview: Overview) {
    facts.header = HeaderFacts {
        fields: overview.fields,
        only: None,
        visible_recipients: Some(overview.visible_recipients),
    };
    let part = |part: Part| PartFacts {
        kind: part.kind,
        name: part.name,
        other_name: part.other_name,
    };
    facts.parts = Some(overview.parts.into_iter().map(part).collect());
}

/// `None` where the content breaks a bound that submission keeps: it cannot have come that way.
async fn look_over(content: &Bytes) -> Option<Overview> {
    if content.len() <= MAX_INLINE_OCTETS {
        return Overview::of(content).ok();
    }
    let content = content.clone();
    let work = tokio::task::spawn_blocking(move || Overview::of(&content).ok());
    work.await.unwrap_or(None)
}

/// What is remembered of those who write and are written to.
pub(super) struct Memory<'a> {
    pub(super) contacts: &'a Contacts,
    pub(super) volumes: &'a Volumes,
}

impl Memory<'_> {
    /// Adds what the policy wants to know about `recipient`. The volume is that of the moment when
    /// the message came in, itself included: what is decided again later is not held for what
    /// came after it.
    pub(super) fn recall(
        &self,
        policy: &Policy,
        envelope: &Envelope,
        recipient: &mut RecipientFacts,
    ) {
        let needs = policy.needs();
        if needs.first_contact
            && let Some(sender) = envelope.reverse_path.address()
        {
            recipient.first_contact = Some(self.contacts.is_first(sender, &recipient.address));
        }
        if needs.volume
            && let Some(client) = &envelope.client
        {
            let count = |&window: &u64| {
                let count = self.volumes.within(&client.user, envelope.received, window);
                (window, count)
            };
            recipient.volume = policy.volume_windows().iter().map(count).collect();
        }
    }
}

/// By what recipients could open a message in the portal, as far as its sender said; `phones` says
/// whether codes can be sent to numbers. Whether a recipient is registered only the portal knows.
pub const fn of_wishes(wishes: &PickupWishes, phones: bool) -> PickupFacts {
    PickupFacts {
        secret: wishes.secret.is_some(),
        phone: phones && wishes.phone.is_some(),
        registered: None,
    }
}

/// What is known of a recipient that nobody has tried yet.
pub fn of_recipient(address: &Address, now: Timestamp) -> RecipientFacts {
    RecipientFacts::new(address.clone(), now)
}
