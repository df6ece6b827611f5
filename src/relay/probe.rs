//! What a delivery to a domain would find now, without a message: for forecasts and for people.
//!
//! Goes the way of a delivery: routes, MX records, addresses, EHLO, STARTTLS, the grade. Never:
//! MAIL, RCPT, DATA or AUTH; a connection that is kept or was kept for mail. Bounded in hosts,
//! in addresses of a host, and in time.

use std::time::Duration;

use super::address::Leg;
use super::connection::{Connection, OpenError, Opener};
use super::pool::Key;
use super::resolve::Way;
use super::shuffle::Shuffle;
use super::{Relay, Shared, status, tls};
use crate::mail::{Domain, Grade, Hop, Outcome, Terms, Timestamp};
use crate::proto::smtp::client::{DomainFacts, Settings};

/// Most hosts of a domain that a probe asks.
pub const MAX_PROBED_HOSTS: usize = 10;
/// Most addresses of one host that it tries; the first that answers speaks for the host.
pub const MAX_PROBED_ADDRESSES: usize = 2;
/// How long one connection may take.
pub const PROBE_CONNECTION_TIME: Duration = Duration::from_secs(20);
/// How long a probe may take in all.
pub const PROBE_TIME: Duration = Duration::from_secs(60);

/// What was found for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Whether a route of the operator's leads there, and not its MX records.
    pub by_route: bool,
    /// The hosts in the order in which a delivery would try them.
    pub hosts: Vec<ProbedHost>,
    /// The highest grade among the hosts that lack nothing; `None` where every host lacks
    /// something, or there is none.
    pub best: Option<Grade>,
    /// What a delivery would say where no host could be looked for: the domain does not exist, or
    /// takes no mail, or DNS does not answer.
    pub outcome: Option<Outcome>,
    /// Hosts were left out, for their number or for time.
    pub cut: bool,
}

/// What was found at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedHost {
    /// The host, the address that answered, the grade and the handshake's facts.
    pub hop: Hop,
    /// Whether anybody answered there; if not, nothing is known of its grade.
    pub answered: bool,
    /// What it lacks for content of the lowest level, as a phrase that goes on from its name;
    /// `None` where it lacks nothing.
    pub lack: Option<String>,
}

impl Relay {
    /// Finds out what a delivery to `domain` under `terms` would find now. The grade counts the
    /// pins of `terms`; with `require_pq` nothing but post-quantum key exchanges are offered.
    pub async fn probe(&self, domain: &Domain, terms: &Terms) -> ProbeReport {
        let shared = &*self.shared;
        let until = shared.clock.now() + PROBE_TIME;
        let mut report = ProbeReport {
            by_route: false,
            hosts: Vec::new(),
            best: None,
            outcome: None,
            cut: false,
        };
        let mut shuffle = shared.next_shuffle();
        let way = tokio::select! {
            biased;
            way = shared.way(domain, &mut shuffle) => way,
            () = shared.clock.sleep_until(until) => {
                report.cut = true;
                return report;
            }
        };
        match way {
            Ok(way) => {
                report.by_route = way.route.is_some();
                let probe = Probe {
                    shared,
                    way: &way,
                    terms,
                    until,
                };
                probe.hosts(&mut report, &mut shuffle).await;
            }
            Err(outcome) => report.outcome = Some(outcome),
        }
        report.best = report
            .hosts
            .iter()
            .filter(|host| host.lack.is_none())
            .map(|host| host.hop.grade)
            .max();
        report
    }
}

struct Probe<'a> {
    shared: &'a Shared,
    way: &'a Way,
    terms: &'a Terms,
    until: Timestamp,
}

impl Probe<'_> {
    async fn hosts(&self, report: &mut ProbeReport, shuffle: &mut Shuffle) {
        let mut unresolved = None;
        report.cut = self.way.hosts.len() > MAX_PROBED_HOSTS;
        for host in self.way.hosts.iter().take(MAX_PROBED_HOSTS) {
            if self.shared.clock.now() >= self.until {
                report.cut = true;
                break;
            }
            let legs = tokio::select! {
                biased;
                legs = self.shared.legs(self.way, host, shuffle) => legs,
                () = self.shared.clock.sleep_until(self.until) => {
                    report.cut = true;
                    break;
                }
            };
            match legs {
                Ok(legs) => report.hosts.extend(self.host(host, legs).await),
                Err(outcome) => {
                    unresolved.get_or_insert(outcome);
                }
            }
        }
        if report.hosts.is_empty() {
            report.outcome = unresolved;
        }
    }

    /// The first address that answers, or else the last one that did not.
    async fn host(&self, host: &Domain, legs: Vec<Leg>) -> Option<ProbedHost> {
        let mut found = None;
        for leg in legs.into_iter().take(MAX_PROBED_ADDRESSES) {
            let probed = self.leg(host, leg).await;
            let answered = probed.answered;
            found = Some(probed);
            if answered {
                break;
            }
        }
        found
    }

    /// What stands at an address.
    async fn leg(&self, host: &Domain, leg: Leg) -> ProbedHost {
        let mut hop = Hop {
            next_hop: self.way.next_hop.clone(),
            mx: host.clone(),
            address: Some(leg.peer),
            grade: Grade::None,
            tls: None,
        };
        match self.open(host, leg).await {
            Ok(connection) => {
                let facts = DomainFacts {
                    reference: tls::reference(host, self.way.anchors),
                    max_level: self.way.max_level,
                    pinned: self.terms.names(host),
                };
                let (grade, lack) = connection.examine(self.terms, &facts);
                hop.grade = grade;
                hop.tls = connection.tls().cloned();
                connection.quit();
                let lack = lack.map(|lack| lack.to_string());
                ProbedHost {
                    hop,
                    answered: true,
                    lack,
                }
            }
            Err(error) => {
                let (lack, answered) = match error {
                    OpenError::Connect(why) => (format!("could not be reached: {why}"), false),
                    OpenError::Tls(error) => (status::of_tls(&error).1, true),
                    OpenError::Session(failure) => (failure.to_string(), true),
                };
                ProbedHost {
                    hop,
                    answered,
                    lack: Some(lack),
                }
            }
        }
    }

    async fn open(&self, host: &Domain, leg: Leg) -> Result<Connection, OpenError> {
        let Shared {
            config,
            network,
            tls: handshakes,
            clock,
            sealing,
            ..
        } = self.shared;
        let key = Key {
            reference: tls::reference(host, self.way.anchors),
            leg,
            route: self.way.route,
            post_quantum: self.terms.require_pq,
        };
        let settings = Settings {
            hostname: config.hostname.clone(),
            opening: self.way.opening,
            reference: key.reference.clone(),
            // Nobody is asked to let us in who is not asked to take mail.
            credentials: None,
            timeouts: config.timeouts,
        };
        let opener = Opener {
            network: network.as_ref(),
            tls: handshakes,
            clock: *clock,
            sealing,
        };
        let limit = (clock.now() + PROBE_CONNECTION_TIME).min(self.until);
        opener.open(key, settings, limit).await
    }
}
