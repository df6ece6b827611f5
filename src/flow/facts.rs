//! What policy is told of a message: the envelope and what the content shows.

use crate::mail::Envelope;
use crate::mail::message::Overview;
use crate::policy::{HeaderFacts, MessageFacts, PartFacts};

/// The facts of a message. Without an `overview`, header and parts are as if nobody had looked.
pub fn message_facts(envelope: &Envelope, overview: Option<Overview>) -> MessageFacts {
    let client = envelope.client.as_ref();
    let (header, parts) = match overview {
        Some(overview) => {
            let (header, parts) = of_overview(overview);
            (header, Some(parts))
        }
        None => (HeaderFacts::default(), None),
    };
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
        header,
        parts,
        findings: None,
    }
}

/// The same for what the content shows alone.
pub fn of_overview(overview: Overview) -> (HeaderFacts, Vec<PartFacts>) {
    let Overview {
        fields,
        visible_recipients,
        parts,
    } = overview;
    let header = HeaderFacts {
        fields,
        only: None,
        visible_recipients,
    };
    let part = |part: crate::mail::message::Part| PartFacts {
        kind: part.kind,
        name: part.name,
    };
    (header, parts.into_iter().map(part).collect())
}
