//! One attempt: every host in turn until every recipient has its answer.
//!
//! Owns what goes on to the next host and what does not:
//!
//! | what happened | for whom | then |
//! |---|---|---|
//! | 2yz to the end of data | accepted recipients | delivered |
//! | 5yz to MAIL, RCPT, DATA or the end of data | those it concerns | bounced at once |
//! | 4yz to the same | those it concerns | next host; deferred at the end |
//! | too many recipients | the rest | another transaction on the same connection |
//! | broken after the end of data | accepted recipients | deferred, and no other host: it may have been taken (RFC 1047) |
//! | broken before it | the rest | next host; on a reused connection, a fresh one first |
//! | no connection, a refused session | all | next host |
//! | not good enough, broken TLS | all | next host, judged on its own; a shortfall at the end if every host fell short |
//! | good enough by an exception only | all | put aside; used when no host gives verified TLS |
//! | content unfit for the server | all | bounced |
//! | sealed it is too large for the server | all | decided again, for another method |
//! | content unreadable | all | deferred; no other host |
//!
//! An exception lets content travel below `pkix`, and never makes it: all hosts are asked for
//! verified TLS first; then those that gave less are taken, best first, and none that is weaker
//! than one that has answered about the message. TLS that is offered is never passed over: a
//! handshake that breaks is a shortfall under `allow = "none"` too, since whoever can break it
//! could otherwise choose that the message goes in clear. And a connection that idles without TLS
//! is not taken again before a fresh one was asked for it.
//!
//! A shortfall is a word about the whole domain, on which another method may be chosen. So it is
//! said only where every host fell short, at one of its addresses at least: a host that did not
//! answer may be good enough, and whoever can keep us from it must not choose the method.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::address::Leg;
use super::connection::{Connection, OpenError, Opener, Transacted};
use super::pool::Key;
use super::resolve::Way;
use super::shuffle::Shuffle;
use super::{Job, Shared, status, tls};
use crate::mail::{
    Address, DeferReason, Domain, EnhancedCode, Grade, Hop, Outcome, RecipientOutcome,
    RenditionClass, ShortHost, Status, Terms, Timestamp,
};
use crate::proto::smtp::client::reply::{Reply, Severity};
use crate::proto::smtp::client::{
    Cause, DomainFacts, Failure, Mail, RecipientResult, Report, Settings, Unfit, binds,
};

/// Addresses tried in one attempt.
pub const MAX_LEGS: usize = 20;
/// Connections on which one attempt begins a transaction before it leaves the rest for later.
pub const MAX_SESSIONS: usize = 3;

/// What is to be done after a connection was used.
enum Used {
    /// The connection went back to the pool, or is ended; go on to the next host.
    Over,
    /// It broke before anything could have been accepted.
    Broken {
        /// How.
        failure: Failure,
        /// Where.
        hop: Box<Hop>,
    },
    /// No other host is to be tried.
    Stop,
}

/// A host that an exception allows, for when no better one is found.
struct Aside {
    grade: Grade,
    host: Domain,
    leg: Leg,
}

pub(super) struct Attempt<'a> {
    relay: &'a Shared,
    job: &'a Job,
    way: &'a Way,
    limit: Timestamp,
    search_until: Timestamp,
    /// Recipients without an answer yet.
    open: Vec<u32>,
    done: Vec<RecipientOutcome>,
    /// The latest 4yz of a recipient that is still open.
    soft: BTreeMap<u32, (Status, Hop)>,
    shorts: Vec<(ShortHost, EnhancedCode)>,
    /// The latest connection that broke, or was not to be had.
    failure: Option<(Status, Hop)>,
    /// The first host without an address.
    unresolved: Option<Outcome>,
    legs: usize,
    sessions: usize,
    /// Whether verified TLS is still looked for.
    searching: bool,
    aside: Vec<Aside>,
    /// The best connection on which a transaction took place.
    used: Option<Grade>,
}

/// Delivers along `way`.
pub(super) async fn run(
    relay: &Shared,
    job: &Job,
    way: &Way,
    started: Timestamp,
    shuffle: &mut Shuffle,
) -> Vec<RecipientOutcome> {
    let timeouts = relay.config.timeouts;
    let mut attempt = Attempt {
        relay,
        job,
        way,
        limit: started + timeouts.attempt,
        search_until: started + timeouts.search,
        open: job.recipients.clone(),
        done: Vec::new(),
        soft: BTreeMap::new(),
        shorts: Vec::new(),
        failure: None,
        unresolved: None,
        legs: 0,
        sessions: 0,
        searching: true,
        aside: Vec::new(),
        used: None,
    };
    attempt.all_hosts(shuffle).await;
    attempt.second_best().await;
    attempt.finish()
}

impl Attempt<'_> {
    async fn all_hosts(&mut self, shuffle: &mut Shuffle) {
        for host in &self.way.hosts {
            if self.is_enough() {
                return;
            }
            let legs = match self.relay.legs(self.way, host, shuffle).await {
                Ok(legs) => legs,
                Err(outcome) => {
                    self.unresolved.get_or_insert(outcome);
                    continue;
                }
            };
            for leg in legs {
                if self.is_enough() {
                    return;
                }
                self.legs += 1;
                if self.visit(host, leg).await.is_break() {
                    return;
                }
            }
        }
    }

    /// Goes back to the hosts that were put aside.
    async fn second_best(&mut self) {
        self.searching = false;
        let mut aside = std::mem::take(&mut self.aside);
        // In the order of the MX records where equal.
        aside.sort_by_key(|host| std::cmp::Reverse(host.grade));
        for Aside { grade, host, leg } in aside {
            let is_weaker = self.used.is_some_and(|used| grade < used);
            // Not bound by the time of the search, which one host that stalls can use up.
            let is_over = self.is_served() || self.relay.clock.now() >= self.limit;
            if is_weaker || is_over || self.visit(&host, leg).await.is_break() {
                return;
            }
        }
    }

    async fn visit(&mut self, host: &Domain, leg: Leg) -> ControlFlow<()> {
        match self.one_leg(host, leg).await {
            Used::Over => {}
            Used::Broken { failure, hop } => {
                self.failure = Some((status::of_failure(&failure, host), *hop));
            }
            Used::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn is_enough(&self) -> bool {
        self.is_served() || self.legs >= MAX_LEGS || self.relay.clock.now() >= self.search_until
    }

    fn is_served(&self) -> bool {
        self.open.is_empty() || self.sessions >= MAX_SESSIONS
    }

    async fn one_leg(&mut self, host: &Domain, leg: Leg) -> Used {
        let key = Key {
            reference: tls::reference(host, self.way.anchors),
            leg,
            route: self.way.route,
            post_quantum: self.terms().is_some_and(|terms| terms.require_pq),
        };
        if let Some(connection) = self.relay.pool.take(&key).await {
            if self.searching && connection.tls().is_none() {
                // The host may offer TLS by now: that is for a fresh connection to find out.
                connection.quit();
                return self.fresh(host, key).await;
            }
            match self.use_connection(host, connection).await {
                Used::Broken { .. } if self.open.is_empty() => return Used::Over,
                // It may have died of old age: that says nothing about the host.
                Used::Broken { .. } => self.sessions = self.sessions.saturating_sub(1),
                used @ (Used::Over | Used::Stop) => return used,
            }
        }
        self.fresh(host, key).await
    }

    async fn fresh(&mut self, host: &Domain, key: Key) -> Used {
        match self.open(host, key).await {
            Some(connection) => self.use_connection(host, connection).await,
            None => Used::Over,
        }
    }

    /// The terms of the rendition, where they bind it.
    fn terms(&self) -> Option<&Terms> {
        let rendition = &self.job.rendition;
        binds(rendition.demand().class()).then_some(&rendition.terms)
    }

    /// Whether a connection would do only by an exception, or since the best there is will do, and
    /// better is still looked for.
    fn is_for_later(&self, connection: &Connection, domain: &DomainFacts) -> Option<Grade> {
        let demand = self.job.rendition.demand();
        let takes_less = match demand.class() {
            RenditionClass::Content => demand.least() < Grade::Pkix,
            RenditionClass::Notice | RenditionClass::Code | RenditionClass::Report => true,
            RenditionClass::Sealed | RenditionClass::Dsn => false,
        };
        if !self.searching || !takes_less {
            return None;
        }
        let (grade, _) = connection.examine(&self.job.rendition.terms, domain);
        (grade < Grade::Pkix && demand.is_met_by(grade)).then_some(grade)
    }

    async fn open(&mut self, host: &Domain, key: Key) -> Option<Connection> {
        let leg = key.leg;
        let settings = Settings {
            hostname: self.relay.config.hostname.clone(),
            opening: self.way.opening,
            reference: key.reference.clone(),
            credentials: self.way.credentials.clone(),
            timeouts: self.relay.config.timeouts,
        };
        let opener = Opener {
            network: self.relay.network.as_ref(),
            tls: &self.relay.tls,
            clock: self.relay.clock,
            sealing: &self.relay.sealing,
        };
        let hop = self.hop(host, leg);
        match opener.open(key, settings, self.limit).await {
            Ok(connection) => return Some(connection),
            Err(OpenError::Connect(why)) => {
                self.failure = Some((status::unreachable(host, leg.peer, &why), hop));
            }
            Err(OpenError::Tls(error)) => {
                let (enhanced, why) = status::of_tls(&error);
                self.shorts.push((ShortHost { hop, why }, enhanced));
            }
            Err(OpenError::Session(failure)) if failure.cause == Cause::Injection => {
                self.relay.count_injection(host, leg.peer);
                let why = failure.cause.to_string();
                self.shorts.push((ShortHost { hop, why }, status::ATTACK));
            }
            Err(OpenError::Session(failure)) => {
                self.failure = Some((status::of_failure(&failure, host), hop));
            }
        }
        None
    }

    /// Transactions on one connection, until nobody is left over.
    async fn use_connection(&mut self, host: &Domain, mut connection: Connection) -> Used {
        let domain = DomainFacts {
            reference: tls::reference(host, self.way.anchors),
            max_level: self.way.max_level,
            pinned: self.terms().is_some_and(|terms| terms.names(host)),
        };
        if let Some(grade) = self.is_for_later(&connection, &domain) {
            let (host, leg) = (host.clone(), connection.key.leg);
            self.aside.push(Aside { grade, host, leg });
            self.relay.pool.put(connection);
            return Used::Over;
        }
        let mut batch = self.open.clone();
        loop {
            let mail = self.mail(&batch);
            let job = self.job;
            let transacted = connection
                .transact(&job.rendition, &domain, mail, &job.content, self.limit)
                .await;
            let mut hop = self.hop(host, connection.key.leg);
            hop.tls = connection.tls().cloned();
            match transacted {
                Transacted::Short(short) => {
                    hop.grade = short.reached;
                    let (enhanced, why) = status::of_lack(&short.lack);
                    self.shorts.push((ShortHost { hop, why }, enhanced));
                    connection.quit();
                    return Used::Over;
                }
                Transacted::Unfit { grade, unfit } => {
                    hop.grade = grade;
                    let status = unfit_status(&unfit, host);
                    // What is sealed is a good third larger than the content.
                    let is_sealed = job.rendition.recipe().is_some();
                    let outcome = match unfit {
                        Unfit::TooLarge { .. } if is_sealed => Outcome::TooLarge(status),
                        Unfit::TooLarge { .. } | Unfit::EightBit => Outcome::Bounced(status),
                    };
                    self.settle_all(&batch, &outcome, &hop);
                    self.relay.pool.put(connection);
                    return Used::Over;
                }
                Transacted::Unreadable(why) => {
                    tracing::error!(queue_id = %self.job.envelope.id, %why, "the content of a message cannot be read; it waits");
                    let outcome = Outcome::Deferred {
                        reason: DeferReason::Local,
                        status: Status::local(EnhancedCode::new(4, 3, 0), why),
                    };
                    let open = self.open.clone();
                    self.settle_all(&open, &outcome, &hop);
                    return Used::Stop;
                }
                Transacted::Done { grade, report } => {
                    hop.grade = grade;
                    self.used = self.used.max(Some(grade));
                    let Report { results, broken } = report;
                    let left = self.apply(&batch, results, broken.as_ref(), host, &hop);
                    if let Some(failure) = broken {
                        self.sessions += 1;
                        let hop = Box::new(hop);
                        return Used::Broken { failure, hop };
                    }
                    if left.is_empty() || self.relay.clock.now() >= self.limit {
                        self.sessions += 1;
                        self.relay.pool.put(connection);
                        return Used::Over;
                    }
                    batch = left;
                }
            }
        }
    }

    /// Applies a report; who is left over for another transaction at once.
    fn apply(
        &mut self,
        batch: &[u32],
        results: Vec<RecipientResult>,
        broken: Option<&Failure>,
        host: &Domain,
        hop: &Hop,
    ) -> Vec<u32> {
        let mut left = Vec::new();
        for (&recipient, result) in batch.iter().zip(results) {
            match result {
                RecipientResult::Delivered(reply) => {
                    let status = status::of_reply(&reply, host);
                    self.settle(recipient, Outcome::Delivered(status), hop, false);
                }
                RecipientResult::Refused { reply, .. } => {
                    self.refused(recipient, &reply, host, hop)
                }
                RecipientResult::Leftover => left.push(recipient),
                RecipientResult::Unsettled => {}
                RecipientResult::InDoubt => {
                    let status = match broken {
                        Some(failure) => status::of_failure(failure, host),
                        None => Status::local(EnhancedCode::new(4, 4, 2), "no reply"),
                    };
                    let outcome = Outcome::Deferred {
                        reason: DeferReason::Site,
                        status,
                    };
                    self.settle(recipient, outcome, hop, true);
                }
            }
        }
        left
    }

    fn refused(&mut self, recipient: u32, reply: &Reply, host: &Domain, hop: &Hop) {
        let status = status::of_reply(reply, host);
        if reply.severity() == Severity::Permanent {
            self.settle(recipient, Outcome::Bounced(status), hop, false);
        } else {
            self.soft.insert(recipient, (status, hop.clone()));
        }
    }

    fn settle(&mut self, recipient: u32, outcome: Outcome, hop: &Hop, duplicate_possible: bool) {
        self.open.retain(|&other| other != recipient);
        self.done.push(RecipientOutcome {
            recipient,
            outcome,
            hop: Some(hop.clone()),
            duplicate_possible,
        });
    }

    fn settle_all(&mut self, recipients: &[u32], outcome: &Outcome, hop: &Hop) {
        for &recipient in recipients {
            self.settle(recipient, outcome.clone(), hop, false);
        }
    }

    fn mail(&self, batch: &[u32]) -> Mail {
        let envelope = &self.job.envelope;
        let recipients = batch
            .iter()
            .filter_map(|&recipient| usize::try_from(recipient).ok())
            .filter_map(|recipient| envelope.recipients.get(recipient).cloned())
            .collect::<Vec<Address>>();
        Mail {
            reverse_path: envelope.reverse_path.clone(),
            recipients,
            size: 0,
            eight_bit: envelope.eight_bit,
        }
    }

    fn hop(&self, host: &Domain, leg: Leg) -> Hop {
        Hop {
            next_hop: self.way.next_hop.clone(),
            mx: host.clone(),
            address: Some(leg.peer),
            grade: Grade::None,
            tls: None,
        }
    }

    /// Whether every host was asked, and fell short at one of its addresses at least.
    fn all_fell_short(&self) -> bool {
        let fell_short = |host: &Domain| self.shorts.iter().any(|(short, _)| short.hop.mx == *host);
        !self.shorts.is_empty() && self.way.hosts.iter().all(fell_short)
    }

    /// Gives every recipient that is still open what fits best: its own 4yz, or else a shortfall of
    /// all hosts, the latest failure, or a host that could not be found, with those that fell short.
    fn finish(self) -> Vec<RecipientOutcome> {
        let all_fell_short = self.all_fell_short();
        let Self {
            job,
            open,
            mut done,
            mut soft,
            shorts,
            failure,
            unresolved,
            ..
        } = self;
        let short_hop = shorts.first().map(|(short, _)| short.hop.clone());
        let told = status::told(&shorts);
        let site = |status| Outcome::Deferred {
            reason: DeferReason::Site,
            status,
        };
        let (rest, rest_hop) = if all_fell_short {
            (status::shortfall(&job.rendition, shorts), short_hop)
        } else if let Some((status, hop)) = failure {
            (site(status::beside(status, &told)), Some(hop))
        } else if let Some(outcome) = unresolved {
            (unsettled(outcome, &told), None)
        } else {
            let text = match told.is_empty() {
                true => "no host could be tried within the time of an attempt",
                false => "not every host could be tried within the time of an attempt",
            };
            let status = Status::local(EnhancedCode::new(4, 4, 1), text);
            (site(status::beside(status, &told)), None)
        };
        for recipient in open {
            let (outcome, hop) = match soft.remove(&recipient) {
                Some((status, hop)) => {
                    let reason = DeferReason::Temporary;
                    (Outcome::Deferred { reason, status }, Some(hop))
                }
                None => (rest.clone(), rest_hop.clone()),
            };
            done.push(RecipientOutcome {
                recipient,
                outcome,
                hop,
                duplicate_possible: false,
            });
        }
        done
    }
}

/// What is said of a host that could not be found, beside hosts that fell short.
fn unsettled(outcome: Outcome, told: &str) -> Outcome {
    match outcome {
        Outcome::Deferred { reason, status } => Outcome::Deferred {
            reason,
            status: status::beside(status, told),
        },
        other @ (Outcome::Delivered(_)
        | Outcome::Bounced(_)
        | Outcome::Shortfall { .. }
        | Outcome::TooLarge(_)
        | Outcome::NotDeposited(_)
        | Outcome::Replan) => other,
    }
}

fn unfit_status(unfit: &Unfit, host: &Domain) -> Status {
    let enhanced = match unfit {
        Unfit::TooLarge { .. } => EnhancedCode::new(5, 3, 4),
        Unfit::EightBit => EnhancedCode::new(5, 6, 3),
    };
    Status::local(enhanced, format!("{host}: {unfit}"))
}
