//! The method portal, as the line works with it.
//!
//! A recipient's rendition is then a notice; before each attempt the message is left in the portal
//! ([`deposit`]), which is the same deposit every time. What must not stay there is taken back
//! ([`withdraw`]). What is retracted there is not sent any other way ([`retracted`]). How codes travelled
//! is told to the portal ([`travel`]), and what became of replies ([`news`]).

pub(super) mod deposit;
pub(super) mod news;
pub mod retracted;
pub(super) mod travel;
pub(super) mod withdraw;

use std::collections::BTreeMap;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use crate::mail::message::{Header, mailboxes};
use crate::mail::pickup::REFERENCE_OCTETS;
use crate::mail::{Address, Domain, Envelope, Language, MessageClass, Reference};
use crate::notice::{self, Setting};
use crate::pickup::Pickup;

/// The name of the account, and of the listener, that replies from the portal come in by. No
/// listener of the configuration can have it: those are addresses.
pub const PORTAL_ACCOUNT: &str = "portal";

/// What the method portal works with.
#[derive(Debug, Clone)]
pub struct Portal {
    /// Reaches the portal.
    pub client: Pickup,
    /// What mails of ours are made with.
    pub setting: Setting,
    /// How long a message waits there.
    pub expire_after: Duration,
    /// The language of who has no other.
    pub language: Language,
    /// The languages of recipients' domains, and of the domains below them.
    pub languages: BTreeMap<Domain, Language>,
    /// Whether codes can be sent to numbers.
    pub phone_codes: bool,
}

impl Portal {
    /// The language that a recipient of a message is written to in: what its sender says, else
    /// that of the closest domain.
    pub(super) fn language(&self, envelope: &Envelope, recipient: &Address) -> Language {
        let near = |(domain, _): &(&Domain, &Language)| recipient.domain().is_within(domain);
        let closest = || {
            let near = self.languages.iter().filter(near);
            near.max_by_key(|(domain, _)| domain.as_str().len())
        };
        let said = envelope.pickup.language;
        said.or_else(|| closest().map(|(_, language)| *language))
            .unwrap_or(self.language)
    }
}

/// Whether a message was written in the portal.
pub(super) fn is_reply(envelope: &Envelope) -> bool {
    let client = envelope.client.as_ref();
    envelope.class == MessageClass::Submitted
        && client.is_some_and(|it| it.listener == PORTAL_ACCOUNT && it.user == PORTAL_ACCOUNT)
}

/// Who the recipient of a deposit is told has written it.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) address: Address,
    /// The name beside it, where it is fit to be shown.
    pub(super) name: Option<String>,
    /// Whether a reply in the portal could be sent there.
    pub(super) answerable: bool,
}

/// Who wrote a message, by its envelope and header. A reply from the portal is from our own address
/// there; who wrote it is in Reply-To, which its door has checked.
pub(super) fn writer(envelope: &Envelope, header: &[u8], postmaster: &Address) -> Writer {
    let author = author(envelope, postmaster).clone();
    if !is_reply(envelope) {
        return Writer {
            address: author,
            name: notice::author_name(header),
            answerable: true,
        };
    }
    let replier = Header::parse(header).ok().and_then(|header| {
        let named = mailboxes(header.first("Reply-To")?.body()).ok()?;
        named.into_iter().next()
    });
    Writer {
        address: replier.unwrap_or(author),
        name: None,
        answerable: false,
    }
}

/// A reference that nobody guesses; `None` where the system has no randomness.
pub(super) fn new_reference() -> Option<Reference> {
    let mut octets = [0; REFERENCE_OCTETS];
    SystemRandom::new().fill(&mut octets).ok()?;
    Some(Reference::new(octets))
}

/// The address of a recipient.
pub(super) fn address(envelope: &Envelope, recipient: u32) -> Option<&Address> {
    envelope.recipients.get(usize::try_from(recipient).ok()?)
}

/// Who a message is from: whose domain signs, and to whom a reply goes.
pub(super) fn author<'a>(envelope: &'a Envelope, postmaster: &'a Address) -> &'a Address {
    let author = envelope.author.as_ref();
    author
        .or_else(|| envelope.reverse_path.address())
        .unwrap_or(postmaster)
}
