//! Asking for a code by mail: how often, by whom, and to whom.
//!
//! Owns the limits of mails. Invariants: what one network asks for leaves room for others; what
//! nobody has takes nothing of what all share, and is answered as if it had.

use super::super::ProofError;
use super::super::codes::{Channel, Issued};
use super::super::throttle::{Counted, Limit, Network, TooOften};
use super::{Asked, Caller, DAY, Desk, HOUR, MINUTE};
use crate::mail::Address;

/// How often codes are mailed to one mailbox.
#[derive(Debug, Clone, Copy)]
struct Mails {
    /// Together.
    overall: [(&'static str, Limit); 2],
    /// Of that, for one network.
    share: [(&'static str, Limit); 2],
}

/// Asked for by whoever has the reference of a message for it.
const BY_REFERENCE: Mails = Mails {
    overall: [
        ("mail/hour", Limit::new(10, HOUR)),
        ("mail/day", Limit::new(24, DAY)),
    ],
    share: [
        ("mail/share/hour", Limit::new(5, HOUR)),
        ("mail/share/day", Limit::new(10, DAY)),
    ],
};
/// Asked for by whoever knows the address only. Counted apart, so that strangers leave something to
/// those who were written to.
const BY_ADDRESS: Mails = Mails {
    overall: [
        ("address/hour", Limit::new(10, HOUR)),
        ("address/day", Limit::new(24, DAY)),
    ],
    share: [
        ("address/share/hour", Limit::new(3, HOUR)),
        ("address/share/day", Limit::new(6, DAY)),
    ],
};
/// Asked for by outsiders who want to write: to any address there is, with or without a tag.
const BY_WRITING: Mails = Mails {
    overall: [
        ("writing/hour", Limit::new(2, HOUR)),
        ("writing/day", Limit::new(4, DAY)),
    ],
    share: [
        ("writing/share/hour", Limit::new(2, HOUR)),
        ("writing/share/day", Limit::new(4, DAY)),
    ],
};
/// What is kept for networks from which a right answer came lately: strangers cannot use it up.
const BY_KNOWN: [(&str, Limit); 2] = [
    ("known/hour", Limit::new(6, HOUR)),
    ("known/day", Limit::new(12, DAY)),
];
/// The same from one browser.
const BY_SEAT: Limit = Limit::new(1, MINUTE);
/// Outsiders' codes to all addresses of a domain.
const WRITING_TO_DOMAIN: [(&str, Limit); 2] = [
    ("writing/domain/hour", Limit::new(20, HOUR)),
    ("writing/domain/day", Limit::new(60, DAY)),
];
/// Of a domain's, for one network; of IPv6 the /48. A provider's domain is shared by very many who
/// write: whoever makes up names there must not have what is theirs. Names that were proved from a
/// network do not count there, so that an office is not stopped by how many it is.
const WRITING_TO_DOMAIN_BY_NETWORK: Limit = Limit::new(6, DAY);
/// Outsiders' codes from one network.
const WRITING_BY_NETWORK: [(&str, Limit); 2] = [
    ("writing/network/hour", Limit::new(5, HOUR)),
    ("writing/network/day", Limit::new(15, DAY)),
];
/// Outsiders' codes by everybody.
const WRITING_OVERALL: Limit = Limit::new(300, HOUR);
/// As often more from a /48 of IPv6 than from one /64.
const WIDE: u32 = 4;
/// Codes asked for from one network.
const ASKED_BY_NETWORK: Limit = Limit::new(120, HOUR);
/// Codes that are sent for everybody, in each way.
pub(super) const ASKED_OVERALL: Limit = Limit::new(3000, HOUR);
/// Codes asked for that nobody gets: beyond that no place is taken by them.
const ASKED_OF_NOBODY: Limit = Limit::new(3000, HOUR);

impl Desk {
    /// Makes a code to be mailed, where one may be: hand it to the courier, and tell
    /// [`Codes::queued`] or [`Codes::lost`] what came of it. `Ok(None)`: there is nobody to
    /// mail to; to be answered like the rest. Where nobody is, a code is made all the same that
    /// nobody will ever know, so that what follows goes the same way.
    pub fn ask_mailbox(
        &self,
        address: &Address,
        asked: Asked,
        exists: bool,
        caller: Caller,
    ) -> Result<Result<Option<Issued>, TooOften>, ProofError> {
        let (now, network) = (self.clock.now(), Network::of(caller.client));
        let channel = Channel::mailbox(address);
        if let Some(until) = self.codes.full_until(&channel, caller.seat, now) {
            return Ok(Err(TooOften { until }));
        }
        let mailbox = address.mailbox_key();
        let untagged = untagged(&mailbox);
        let (mails, scope, limit) = match asked {
            Asked::ByReference => (BY_REFERENCE, "asked/reference", ASKED_OVERALL),
            Asked::ByAddress => (BY_ADDRESS, "asked/address", ASKED_OVERALL),
            Asked::ByWriting => (BY_WRITING, "asked/writing", WRITING_OVERALL),
        };
        let writes = asked == Asked::ByWriting;
        let named = if writes { &untagged } else { &mailbox };
        let name = named.as_bytes();
        let own = joined(&caller.seat, name);
        let (narrow, wide) = (
            joined(network.as_bytes(), name),
            network.wide().map(|wide| joined(wide, name)),
        );
        let one = |scope, name, limit| Counted { scope, name, limit };
        let mut counted = asked_from(&network);
        counted.push(one("asked/seat", own.as_slice(), BY_SEAT));
        if !writes && self.guesses.is_known(&mailbox, network) {
            counted.extend(BY_KNOWN.map(|(scope, limit)| one(scope, name, limit)));
        } else {
            counted.extend(mails.overall.map(|(scope, limit)| one(scope, name, limit)));
            for (scope, limit) in mails.share {
                counted.push(one(scope, narrow.as_slice(), limit));
                let wide = wide.as_ref();
                counted.extend(wide.map(|wide| one(scope, wide.as_slice(), limit)));
            }
        }
        let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain);
        let widest = network.wide().unwrap_or_else(|| network.as_bytes());
        let share = joined(widest, domain.as_bytes());
        if writes && !self.guesses.is_known(&mailbox, network) {
            counted.push(one(
                "writing/domain/share",
                share.as_slice(),
                WRITING_TO_DOMAIN_BY_NETWORK,
            ));
            let to = WRITING_TO_DOMAIN.map(|(scope, limit)| one(scope, domain.as_bytes(), limit));
            counted.extend(to);
        }
        if writes {
            let by = WRITING_BY_NETWORK.map(|it| one(it.0, network.as_bytes(), it.1));
            counted.extend(by);
            if let Some(wide) = network.wide() {
                counted.extend(WRITING_BY_NETWORK.map(|(scope, limit)| one(scope, wide, limit)));
            }
        }
        let overall = [one(scope, &[], limit)];
        // What nobody has takes nothing of what all share; it is answered as if it had.
        let taken = match exists {
            true => {
                counted.extend(overall);
                self.throttle.take(&counted, now)
            }
            false => self.throttle.take_if(&counted, &overall, now),
        };
        if let Err(often) = taken {
            return Ok(Err(often));
        }
        let nobodys = [one("asked/nobody", &[], ASKED_OF_NOBODY)];
        if !exists && self.throttle.take(&nobodys, now).is_err() {
            return Ok(Ok(None));
        }
        let issued = self.codes.issue(&channel, caller.seat, now)?;
        Ok(Ok(issued.filter(|_| exists)))
    }
}

pub(super) fn asked_from(network: &Network) -> Vec<Counted<'_>> {
    let one = |scope, name, limit| Counted { scope, name, limit };
    let mut counted = vec![one("asked/network", network.as_bytes(), ASKED_BY_NETWORK)];
    if let Some(wide) = network.wide() {
        counted.push(one("asked/network/48", wide, ASKED_BY_NETWORK.times(WIDE)));
    }
    counted
}

fn joined(one: &[u8], other: &[u8]) -> Vec<u8> {
    [one, b"/", other].concat()
}

/// The key of a mailbox without what stands behind a `+`: where it is read all the same.
fn untagged(mailbox: &str) -> String {
    let (local, domain) = mailbox.rsplit_once('@').unwrap_or((mailbox, ""));
    let (bare, _) = local.split_once('+').unwrap_or((local, ""));
    format!("{bare}@{domain}")
}
