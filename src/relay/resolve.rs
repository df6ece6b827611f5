//! From a destination to next hops: a route of the operator's, or MX records (RFC 5321 §5.1).

use std::net::IpAddr;
use std::sync::PoisonError;

use super::Shared;
use super::address::{self, Leg};
use super::config::RouteTls;
use super::mx::{self, NoExchanger};
use super::shuffle::Shuffle;
use crate::mail::{DeferReason, Domain, EnhancedCode, Level, Outcome, Status};
use crate::proto::smtp::client::{Anchors, Credentials, Opening};
use crate::world::dns::DnsError;
use crate::world::reach::is_allowed;

/// Where a destination's mail goes.
pub(super) struct Way {
    /// What the log calls it: the domain, or the route's host.
    pub(super) next_hop: Domain,
    /// The hosts, best first.
    pub(super) hosts: Vec<Domain>,
    pub(super) port: u16,
    pub(super) opening: Opening,
    pub(super) anchors: Anchors,
    pub(super) route: Option<usize>,
    pub(super) credentials: Option<Credentials>,
    pub(super) max_level: Option<Level>,
    /// There were no MX records: the one host is the domain itself.
    implicit: bool,
}

fn deferred(enhanced: (u16, u16), text: String) -> Outcome {
    Outcome::Deferred {
        reason: DeferReason::Dns,
        status: Status::local(EnhancedCode::new(4, enhanced.0, enhanced.1), text),
    }
}

fn bounced(enhanced: (u16, u16), text: String) -> Outcome {
    Outcome::Bounced(Status::local(
        EnhancedCode::new(5, enhanced.0, enhanced.1),
        text,
    ))
}

impl Shared {
    /// The way to `destination`, or what is to be said to all its recipients.
    pub(super) async fn way(
        &self,
        destination: &Domain,
        shuffle: &mut Shuffle,
    ) -> Result<Way, Outcome> {
        if let Some(way) = self.route(destination) {
            return Ok(way);
        }
        let records = match self.dns.mx(destination).await {
            Ok(answer) => answer.records,
            Err(DnsError::NoSuchDomain(_)) => {
                return Err(self.missing(destination, "does not exist"));
            }
            // No fallback to the domain's own address: what is unknown is not "no MX".
            Err(error @ (DnsError::Bogus(_) | DnsError::Temporary { .. })) => {
                return Err(deferred((4, 3), error.to_string()));
            }
        };
        let implicit = records.is_empty();
        if !implicit {
            self.sightings_exist(destination);
        }
        let hosts = mx::hosts(destination, &self.config.hostname, records, shuffle);
        let hosts = hosts.map_err(|none| match none {
            NoExchanger::NullMx => {
                bounced((1, 10), format!("{destination} takes no mail (null MX)"))
            }
            NoExchanger::Loop => bounced(
                (4, 6),
                format!(
                    "mail for {destination} loops back to {}",
                    self.config.hostname
                ),
            ),
        })?;
        Ok(Way {
            next_hop: destination.clone(),
            hosts,
            port: self.config.port,
            opening: Opening::Starttls,
            anchors: Anchors::Public,
            route: None,
            credentials: None,
            max_level: None,
            implicit,
        })
    }

    fn route(&self, destination: &Domain) -> Option<Way> {
        let (number, route) = self.config.route(destination)?;
        Some(Way {
            next_hop: route.host.clone(),
            hosts: vec![route.host.clone()],
            port: route.port,
            opening: match route.tls {
                RouteTls::Starttls => Opening::Starttls,
                RouteTls::Implicit => Opening::Implicit,
            },
            anchors: match route.roots {
                Some(_) => Anchors::Route(number),
                None => Anchors::Public,
            },
            route: Some(number),
            credentials: route.credentials.clone(),
            max_level: Some(route.max_level),
            implicit: false,
        })
    }

    /// The addresses of one host of `way`, or what is to be said if no host does better.
    pub(super) async fn legs(
        &self,
        way: &Way,
        host: &Domain,
        shuffle: &mut Shuffle,
    ) -> Result<Vec<Leg>, Outcome> {
        let addresses = match self.dns.addresses(host).await {
            Ok(answer) => answer.records,
            Err(DnsError::NoSuchDomain(_)) => Vec::new(),
            Err(error @ (DnsError::Bogus(_) | DnsError::Temporary { .. })) => {
                return Err(deferred((4, 3), error.to_string()));
            }
        };
        if addresses.is_empty() {
            return Err(if way.implicit {
                self.missing(host, "has neither an MX record nor an address")
            } else {
                deferred((4, 4), format!("{host} has no address"))
            });
        }
        if way.implicit {
            self.sightings_exist(host);
        }
        let own = |address: &IpAddr| self.config.source_addresses.contains(address);
        // The operator named a route's host; what DNS says of strangers is another matter.
        let allow_private = self.config.allow_private_addresses || way.route.is_some();
        let (allowed, refused): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|&a| is_allowed(a, allow_private) && !own(&a));
        let sources = &self.config.source_addresses;
        let legs = address::legs(allowed, way.port, sources, shuffle);
        if !legs.is_empty() {
            return Ok(legs);
        }
        Err(match refused.first() {
            Some(address) if own(address) => deferred(
                (4, 6),
                format!("{host} is at {address}, which is our own address"),
            ),
            Some(address) => deferred(
                (4, 4),
                format!("{host} is at {address}, which is not a public address"),
            ),
            None => deferred(
                (4, 4),
                format!("{host} has no address of a family that we have a source address of"),
            ),
        })
    }

    /// One sighting of nothing defers; a second one a minute later or more bounces.
    fn missing(&self, domain: &Domain, what: &str) -> Outcome {
        let mut sightings = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if sightings.missing(domain, self.clock.now()) {
            bounced((1, 2), format!("{domain} {what}"))
        } else {
            deferred((1, 2), format!("{domain} {what}; to be confirmed"))
        }
    }

    fn sightings_exist(&self, domain: &Domain) {
        let mut sightings = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sightings.exists(domain);
    }
}
