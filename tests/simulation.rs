//! Weeks of retries, expiry, shortfalls, suspected downgrades, holds, orders, new policies, crashes
//! and slow disks over the queue's core, in milliseconds: the core is pure, so a scripted world with its own clock stands in for spool, policy, relay and
//! network. Every run follows from its seed; a failure names it.
//!
//! What is held true at every step stands in [`World::check_attempt`], [`World::check_settlement`]
//! and [`World::check_end`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a simulation that meets a surprise has to stop"
)]

#[path = "simulation/cost.rs"]
mod cost;
#[path = "simulation/policy.rs"]
mod policy;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::{
    Address, Candidate, Course, Decision, DeferReason, Demand, Domain, EnhancedCode, Envelope,
    Final, Grade, Level, MessageClass, MessageId, Method, Outcome, Prepared, RecipientOutcome,
    RecipientPlan, RecipientRecord, RecipientState, Refusal, Rendition, ReversePath, Status,
    Timestamp, TlsStanding, Verdict,
};
use sealpost::queue::{
    Attempt, Cause, Input, Limits, OPERATOR_HOLD, Operation, Order, Output, Preparation, Queue,
    QueueFilter, Retry, Selection, SettledRecipient, Settlement, ToDecide, UNDELIVERABLE_DSN,
};

use policy::{DOWNGRADE_HOLD, RULE};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Longest attempt, preparation and write of the world.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(2 * 3600);
const LONGEST_PREPARATION: Duration = Duration::from_secs(60);
const LONGEST_WRITE: Duration = Duration::from_secs(10);

/// SplitMix64: the run follows from the seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn up_to(&mut self, span: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(span.as_micros()).unwrap() + 1))
    }
}

/// How a destination behaves all week.
#[derive(Clone, Copy)]
enum Site {
    Good,
    Flaky,
    Refuses,
    Down,
    Insecure,
    /// Known to offer more than it does.
    Spoofed,
    Slow,
}

const SITES: [(&str, Site); 7] = [
    ("good.example", Site::Good),
    ("flaky.example", Site::Flaky),
    ("refuses.example", Site::Refuses),
    ("down.example", Site::Down),
    ("insecure.example", Site::Insecure),
    ("spoofed.example", Site::Spoofed),
    ("slow.example", Site::Slow),
];
/// Where DSNs go: to the senders.
const HOME: &str = "clinic.example";

enum Event {
    Accept(Arc<Envelope>),
    Prepared(MessageId, Option<Arc<Prepared>>),
    Attempted(MessageId, Vec<RecipientOutcome>),
    Settled(Settlement),
    Order,
    Reload,
    Crash,
}

/// A message as the disk has it.
struct Stored {
    envelope: Arc<Envelope>,
    prepared: Option<Arc<Prepared>>,
    records: Vec<RecipientRecord>,
    done: bool,
}

/// What happened to a recipient, as the outside sees it.
#[derive(Default)]
struct Story {
    /// It was there at the last start and was not tried since.
    owed: bool,
    /// It is in an attempt.
    attempting: bool,
    /// A record of it is on its way to the disk.
    settling: bool,
    /// Not before this is it tried again.
    not_before: Option<Timestamp>,
    /// Since when it is known to offer less than it should.
    suspected: Option<Timestamp>,
    suspicions: u32,
    warnings: u32,
    failures: u32,
    ended: bool,
}

struct World {
    seed: u64,
    random: Random,
    retry: Retry,
    limits: Limits,
    queue: Queue,
    now: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    disk: BTreeMap<MessageId, Stored>,
    stories: HashMap<(MessageId, u32), Story>,
    in_flight: HashMap<Domain, usize>,
    preparing: BTreeSet<MessageId>,
    settling: BTreeSet<MessageId>,
    dsns: u64,
    crashes: u32,
    attempts: u64,
    last_write: Timestamp,
    /// The number of the policy in force.
    policy: u64,
    tickets: u64,
    /// Orders that are not answered yet.
    ordered: BTreeSet<u64>,
    last_order: Timestamp,
    seen: Seen,
}

/// How often the script came by what it is there for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    replans: u64,
    by_portal: u64,
    by_smime: u64,
    held: u64,
    released: u64,
    cancelled: u64,
    suspected: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let retry = match random.below(3) {
            0 => Retry::default(),
            1 => Retry {
                schedule: vec![MINUTE, 30 * MINUTE, 6 * HOUR],
                expire_after: 2 * DAY,
                warn_after: HOUR,
            },
            // A warning that never comes, and an expiry within the first pauses.
            _ => Retry {
                schedule: vec![20 * MINUTE],
                expire_after: HOUR,
                warn_after: 2 * HOUR,
            },
        };
        let size = |random: &mut Random, limit| usize::try_from(1 + random.below(limit)).unwrap();
        let limits = Limits {
            attempts: size(&mut random, 12),
            attempts_per_destination: size(&mut random, 4),
            preparing: size(&mut random, 4),
            recipients_per_attempt: size(&mut random, 4),
        };
        let mut world = Self {
            seed,
            queue: Queue::new(retry.clone(), limits.clone(), seed),
            random,
            retry,
            limits,
            now: START,
            events: BTreeMap::new(),
            sequence: 0,
            disk: BTreeMap::new(),
            stories: HashMap::new(),
            in_flight: HashMap::new(),
            preparing: BTreeSet::new(),
            settling: BTreeSet::new(),
            dsns: 0,
            crashes: 0,
            attempts: 0,
            last_write: START,
            policy: 0,
            tickets: 0,
            ordered: BTreeSet::new(),
            last_order: START,
            seen: Seen::default(),
        };
        for id in 0..1 + world.random.below(12) {
            let received = START + world.random.up_to(DAY);
            let envelope = world.submitted(id, received);
            world.at(received, Event::Accept(envelope));
        }
        for _ in 0..world.random.below(6) {
            let moment = START + world.random.up_to(3 * DAY);
            world.at(moment, Event::Order);
        }
        for _ in 0..world.random.below(6) {
            let moment = START + world.random.up_to(2 * DAY);
            world.at(moment, Event::Reload);
        }
        if world.random.one_in(3) {
            for _ in 0..1 + world.random.below(4) {
                let moment = START + world.random.up_to(3 * DAY);
                world.at(moment, Event::Crash);
            }
        }
        world
    }

    fn submitted(&mut self, id: u64, received: Timestamp) -> Arc<Envelope> {
        let recipients = (0..1 + self.random.below(8))
            .map(|n| {
                let site = usize::try_from(self.random.below(7)).unwrap();
                Address::parse(&format!("r{n}@{}", SITES[site].0)).unwrap()
            })
            .collect();
        let reverse_path = if self.random.one_in(8) {
            ReversePath::Null
        } else {
            ReversePath::Address(Address::parse(&format!("jo@{HOME}")).unwrap())
        };
        envelope(
            id,
            MessageClass::Submitted,
            reverse_path,
            recipients,
            received,
        )
    }

    fn at(&mut self, moment: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.insert((moment, self.sequence), event);
    }

    fn after(&mut self, longest: Duration, event: Event) {
        let delay = self.random.up_to(longest);
        self.at(self.now + delay, event);
    }

    fn story(&mut self, id: MessageId, recipient: u32) -> &mut Story {
        self.stories.entry((id, recipient)).or_default()
    }

    /// Runs until nothing is left to happen.
    fn run(mut self) -> Self {
        let mut turns = 0u32;
        loop {
            let event = self.events.first_key_value().map(|(key, _)| key.0);
            let input = match (event, self.queue.poll_timeout()) {
                (None, None) => break,
                (Some(event), Some(due)) if due < event => self.tick(due),
                (None, Some(due)) => self.tick(due),
                (Some(_), _) => self.next_event(),
            };
            if let Some(input) = input {
                self.queue.handle(self.now, input);
            }
            self.take_outputs();
            turns += 1;
            assert!(
                turns < 1_000_000,
                "seed {}: it does not come to rest",
                self.seed
            );
        }
        self.check_end();
        self
    }

    fn tick(&mut self, due: Timestamp) -> Option<Input> {
        self.now = self.now.max(due);
        Some(Input::Tick)
    }

    fn next_event(&mut self) -> Option<Input> {
        let ((moment, _), event) = self.events.pop_first().unwrap();
        self.now = self.now.max(moment);
        match event {
            Event::Accept(envelope) => {
                let stored = Stored {
                    envelope: Arc::clone(&envelope),
                    prepared: None,
                    records: vec![RecipientRecord::queued(); envelope.recipients.len()],
                    done: false,
                };
                self.disk.insert(envelope.id, stored);
                Some(Input::Accepted { envelope })
            }
            Event::Prepared(id, prepared) => {
                assert!(self.preparing.remove(&id));
                Some(match prepared {
                    Some(prepared) => {
                        let stored = self.disk.get_mut(&id).unwrap();
                        assert!(!stored.done, "seed {}: prepared after its end", self.seed);
                        stored.prepared = Some(Arc::clone(&prepared));
                        Input::Prepared { id, prepared }
                    }
                    None => Input::PrepareFailed {
                        id,
                        status: status(4, 3),
                    },
                })
            }
            Event::Attempted(id, outcomes) => {
                for outcome in &outcomes {
                    let now = self.now;
                    let class = self.disk[&id].envelope.class;
                    let story = self.story(id, outcome.recipient);
                    assert!(std::mem::take(&mut story.attempting));
                    if let Outcome::Shortfall {
                        expected: Some(_), ..
                    } = outcome.outcome
                        && class == MessageClass::Submitted
                    {
                        story.suspected.get_or_insert(now);
                    }
                }
                let destination = self.destination(id, outcomes[0].recipient);
                *self.in_flight.get_mut(&destination).unwrap() -= 1;
                Some(Input::Attempted { id, outcomes })
            }
            Event::Settled(settlement) => {
                self.write(&settlement);
                self.settling.remove(&settlement.id);
                Some(Input::Settled { id: settlement.id })
            }
            Event::Order => Some(self.random_order()),
            Event::Reload => {
                self.policy += 1;
                None
            }
            Event::Crash => {
                self.crash();
                None
            }
        }
    }

    fn destination(&self, id: MessageId, recipient: u32) -> Domain {
        self.disk[&id].envelope.recipients[recipient as usize]
            .domain()
            .clone()
    }

    /// The settlement reaches the disk; a failure brings its DSN along.
    fn write(&mut self, settlement: &Settlement) {
        let stored = self.disk.get_mut(&settlement.id).unwrap();
        let mut failed = false;
        for change in &settlement.changes {
            let record = &mut stored.records[change.recipient as usize];
            assert!(!record.state.is_final(), "seed {}: final twice", self.seed);
            *record = change.record.clone();
            failed |= matches!(
                change.record.state,
                RecipientState::Final(Final::Bounced | Final::Expired)
            );
        }
        stored.done |= settlement.done;
        self.last_write = self.now;
        for change in &settlement.changes {
            let ended = change.record.state.is_final();
            let dsn = settlement.envelope.class == MessageClass::Dsn;
            let story = self.story(settlement.id, change.recipient);
            story.settling = false;
            story.ended |= ended;
            // A bounce that a person sends on its way again may be past its time.
            story.owed |= change.record.state == RecipientState::Queued && dsn;
        }
        let told = settlement.envelope.reverse_path.address().is_some();
        if failed && told {
            self.dsns += 1;
            let to = vec![Address::parse(&format!("jo@{HOME}")).unwrap()];
            let id = 1_000_000 + self.dsns;
            let dsn = envelope(id, MessageClass::Dsn, ReversePath::Null, to, self.now);
            self.at(self.now, Event::Accept(dsn));
        }
    }

    /// Memory is lost; what was being written may have reached the disk or not.
    fn crash(&mut self) {
        self.crashes += 1;
        for ((moment, sequence), event) in std::mem::take(&mut self.events) {
            match event {
                Event::Settled(settlement) if self.random.one_in(2) => self.write(&settlement),
                Event::Accept(_) | Event::Order | Event::Reload | Event::Crash => {
                    self.events.insert((moment, sequence), event);
                }
                Event::Settled(_) | Event::Prepared(..) | Event::Attempted(..) => {}
            }
        }
        self.in_flight.clear();
        self.preparing.clear();
        self.settling.clear();
        self.ordered.clear();
        for ((id, at), story) in &mut self.stories {
            (story.attempting, story.settling, story.not_before) = (false, false, None);
            story.suspected = self.disk[id].records[*at as usize].suspected_since;
        }
        self.queue = Queue::new(self.retry.clone(), self.limits.clone(), self.random.next());
        let restart = self.now + self.random.up_to(HOUR);
        self.now = restart;
        for stored in self.disk.values().filter(|stored| !stored.done) {
            for recipient in 0..u32::try_from(stored.records.len()).unwrap() {
                let story = self.stories.entry((stored.envelope.id, recipient));
                story.or_default().owed = true;
            }
            let input = Input::Recovered {
                envelope: Arc::clone(&stored.envelope),
                prepared: stored.prepared.clone(),
                recipients: stored.records.clone(),
            };
            self.queue.handle(restart, input);
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.queue.poll_output() {
            match output {
                Output::Prepare(preparation) => self.prepare(&preparation),
                Output::Operated { ticket, .. } => {
                    assert!(self.ordered.remove(&ticket), "seed {}", self.seed);
                }
                Output::Attempt(attempt) => {
                    self.check_attempt(&attempt);
                    self.attempt(&attempt);
                }
                Output::Settle(settlement) => {
                    self.check_settlement(&settlement);
                    // Mostly quick, now and then slow.
                    let longest = if self.random.one_in(20) {
                        LONGEST_WRITE
                    } else {
                        Duration::from_millis(20)
                    };
                    self.after(longest, Event::Settled(settlement));
                }
            }
        }
    }

    fn prepare(&mut self, preparation: &Preparation) {
        let (id, seed) = (preparation.id, self.seed);
        assert!(
            self.preparing.insert(id),
            "seed {seed}: prepared twice at once"
        );
        assert!(self.preparing.len() <= self.limits.preparing, "seed {seed}");
        assert!(!preparation.recipients.is_empty(), "seed {seed}");
        assert_eq!(
            preparation.previous.as_deref(),
            self.disk[&id].prepared.as_deref(),
            "seed {seed}"
        );
        for asked in &preparation.recipients {
            let record = &self.disk[&id].records[asked.recipient as usize];
            assert_eq!(asked.released, record.released, "seed {seed}");
            let held = matches!(record.state, RecipientState::Held { .. });
            let story = self.story(id, asked.recipient);
            assert!(!held && !story.ended && !story.attempting, "seed {seed}");
        }
        let prepared = (!self.random.one_in(10)).then(|| Arc::new(self.decide(preparation)));
        self.after(LONGEST_PREPARATION, Event::Prepared(id, prepared));
    }

    /// Nothing is attempted that must not be, and no limit is passed.
    fn check_attempt(&mut self, attempt: &Attempt) {
        let (seed, now, id) = (self.seed, self.now, attempt.id);
        let expiry = attempt.envelope.received + self.retry.expire_after;
        assert!(!attempt.recipients.is_empty());
        assert!(
            attempt.recipients.len() <= self.limits.recipients_per_attempt,
            "seed {seed}"
        );
        for &recipient in &attempt.recipients {
            assert_eq!(self.destination(id, recipient), attempt.destination);
            let plan = attempt.prepared.plan(recipient).unwrap();
            assert_eq!(
                plan.rendition,
                Some(attempt.rendition),
                "seed {seed}: not its rendition"
            );
            let decision = &plan.decision;
            let by = attempt.prepared.rendition(plan).unwrap().prefix.clone();
            let method = decision.method().unwrap();
            assert_eq!(by, method.as_str().as_bytes(), "seed {seed}: other bytes");
            let record = &self.disk[&id].records[recipient as usize];
            assert!(record.attempts < attempt.attempt, "seed {seed}");
            let held = matches!(record.state, RecipientState::Held { .. });
            assert!(!held, "seed {seed}: attempted while it is held");
            self.seen.by_portal += u64::from(method == Method::Portal);
            self.seen.by_smime += u64::from(method == Method::Smime);
            let story = self.story(id, recipient);
            if let (Some(since), Method::Portal) = (story.suspected, method) {
                let waited = now >= since + DOWNGRADE_HOLD;
                assert!(
                    waited,
                    "seed {seed}: another method before the hold is over"
                );
                assert!(decision.factors >= Level::Restricted, "seed {seed}");
            }
            assert!(!story.ended, "seed {seed}: attempted after its end");
            assert!(!story.attempting, "seed {seed}: attempted twice at once");
            assert!(
                !story.settling,
                "seed {seed}: attempted before the disk knows the last"
            );
            let early = story.not_before.is_some_and(|moment| now < moment);
            assert!(!early, "seed {seed}: attempted before its time");
            // Late is only the one try that each gets after a start.
            let owed = std::mem::take(&mut story.owed);
            assert!(
                now < expiry || owed,
                "seed {seed}: attempted after its time"
            );
            story.attempting = true;
        }
        *self
            .in_flight
            .entry(attempt.destination.clone())
            .or_default() += 1;
        let here = self.in_flight[&attempt.destination];
        assert!(here <= self.limits.attempts_per_destination, "seed {seed}");
        let all: usize = self.in_flight.values().sum();
        assert!(all <= self.limits.attempts, "seed {seed}");
        self.attempts += 1;
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let site = SITES
            .iter()
            .find(|(name, _)| *name == attempt.destination.as_str())
            .map_or(Site::Flaky, |(_, site)| *site);
        let in_force = format!("{:032}", self.policy);
        let outcomes: Vec<RecipientOutcome> = attempt
            .recipients
            .iter()
            .map(|&recipient| {
                let decision = &attempt.prepared.plan(recipient).unwrap().decision;
                let outcome = if *decision.policy == *in_force {
                    self.outcome(site, decision.method().unwrap())
                } else {
                    self.seen.replans += 1;
                    Outcome::Replan
                };
                RecipientOutcome {
                    recipient,
                    outcome,
                    hop: None,
                    duplicate_possible: false,
                }
            })
            .collect();
        let longest = match site {
            Site::Slow => LONGEST_ATTEMPT,
            _ => Duration::from_secs(5),
        };
        self.after(longest, Event::Attempted(attempt.id, outcomes));
    }

    fn outcome(&mut self, site: Site, method: Method) -> Outcome {
        let short = |expected| Outcome::Shortfall {
            required: Grade::Pkix,
            hosts: Vec::new(),
            status: status(4, 7),
            expected,
        };
        let deferred = |reason| Outcome::Deferred {
            reason,
            status: status(4, 4),
        };
        match site {
            Site::Good | Site::Slow => Outcome::Delivered(status(2, 0)),
            Site::Refuses => Outcome::Bounced(status(5, 1)),
            Site::Down => deferred(DeferReason::Site),
            Site::Insecure | Site::Spoofed if method == Method::Portal => {
                match self.random.below(4) {
                    0 => Outcome::Delivered(status(2, 0)),
                    1 => short(None),
                    _ => deferred(DeferReason::Temporary),
                }
            }
            // Now and then its certificate has fallen since.
            Site::Insecure | Site::Spoofed if method == Method::Smime => {
                match self.random.below(6) {
                    0 | 1 => Outcome::Delivered(status(2, 0)),
                    2 => short(None),
                    3 | 4 => Outcome::Replan,
                    _ => deferred(DeferReason::Temporary),
                }
            }
            Site::Insecure => short(None),
            Site::Spoofed => short((!self.random.one_in(4)).then_some(Grade::Dane)),
            Site::Flaky => match self.random.below(10) {
                0..=3 => Outcome::Delivered(status(2, 0)),
                4 => Outcome::Bounced(status(5, 1)),
                5 => deferred(DeferReason::Dns),
                _ => deferred(DeferReason::Temporary),
            },
        }
    }

    /// Every change follows from the one before, on schedule, once.
    fn check_settlement(&mut self, settlement: &Settlement) {
        let (seed, now, id) = (self.seed, self.now, settlement.id);
        assert!(
            self.settling.insert(id),
            "seed {seed}: two settlements of a message at once"
        );
        let expiry = settlement.envelope.received + self.retry.expire_after;
        for change in &settlement.changes {
            let at = change.recipient;
            let before = self.disk[&id].records[at as usize].clone();
            let record = &change.record;
            assert!(
                !before.state.is_final(),
                "seed {seed}: changed after its end"
            );
            assert!(
                record.warned || !before.warned,
                "seed {seed}: a warning was forgotten"
            );
            assert!(record.attempts >= before.attempts, "seed {seed}");
            let lifted = before.released.iter();
            assert!(lifted.clone().all(|name| record.released.contains(name)));
            match &change.cause {
                Cause::DelayWarning => {
                    assert_eq!(record.state, before.state, "seed {seed}");
                    assert!(settlement.envelope.class == MessageClass::Submitted);
                    let story = self.story(id, at);
                    story.warnings += 1;
                    assert!(now < expiry && record.warned, "seed {seed}");
                    continue;
                }
                Cause::Expired { .. } => {
                    assert!(now >= expiry, "seed {seed}: expired early");
                }
                Cause::Attempted(_) | Cause::NoMethod | Cause::PrepareFailed => {
                    assert!(record.attempts > 0, "seed {seed}");
                }
                Cause::Rules(rules) => assert_eq!(**rules, [RULE.into()], "seed {seed}"),
                Cause::Ordered { .. } => {}
            }
            self.check_change(settlement, change);
        }
    }

    /// The new state of one recipient.
    fn check_change(&mut self, settlement: &Settlement, change: &SettledRecipient) {
        let (seed, now, id, at) = (self.seed, self.now, settlement.id, change.recipient);
        let expiry = settlement.envelope.received + self.retry.expire_after;
        let retry = self.retry.clone();
        let class = settlement.envelope.class;
        let submitted = class == MessageClass::Submitted;
        let record = &change.record;
        let by_order = matches!(change.cause, Cause::Ordered { .. });
        match &record.state {
            RecipientState::Held { .. } => self.seen.held += 1,
            RecipientState::Queued => self.seen.released += 1,
            RecipientState::Final(Final::Cancelled) => self.seen.cancelled += 1,
            _ => {}
        }
        self.seen.suspected += u64::from(change.suspected);
        let story = self.story(id, at);
        assert!(!story.settling && !story.attempting, "seed {seed}");
        story.settling = true;
        story.suspicions += u32::from(change.suspected);
        assert!(!change.suspected || record.suspected_since == story.suspected);
        match &record.state {
            RecipientState::Deferred { next_attempt, .. } if by_order => {
                assert!(*next_attempt <= now, "seed {seed}");
                story.not_before = Some(*next_attempt);
            }
            RecipientState::Deferred {
                reason,
                next_attempt,
            } => {
                // It may have waited for the disk since its outcome was known.
                let known = now - LONGEST_WRITE;
                assert!(known < expiry, "seed {seed}: deferred after its time");
                let shortest = match reason {
                    DeferReason::DowngradeSuspected => Duration::from_secs(1),
                    _ => retry.base_delay(class, record.attempts),
                };
                let latest = now + retry.longest_delay(class, record.attempts);
                assert!(
                    *next_attempt >= known + shortest,
                    "seed {seed}: off schedule"
                );
                assert!(*next_attempt <= latest, "seed {seed}: off schedule");
                if *reason == DeferReason::DowngradeSuspected {
                    assert!(record.suspected_since.is_some(), "seed {seed}");
                }
                story.not_before = Some(*next_attempt);
            }
            RecipientState::Final(Final::Bounced | Final::Expired) => {
                assert!(submitted, "seed {seed}: a DSN of ours was dropped");
                story.failures += 1;
            }
            RecipientState::Final(ended @ (Final::Delivered | Final::Deposited)) => {
                let plan = settlement.prepared.as_ref().and_then(|it| it.plan(at));
                let method = plan.and_then(|plan| plan.decision.method());
                let by_portal = method == Some(Method::Portal);
                assert_eq!(by_portal, *ended == Final::Deposited, "seed {seed}");
            }
            RecipientState::Final(Final::Cancelled) => assert!(by_order, "seed {seed}"),
            RecipientState::Queued => {
                assert!(by_order, "seed {seed}");
                story.not_before = None;
            }
            RecipientState::Held { name } => match name.as_str() {
                OPERATOR_HOLD => assert!(by_order, "seed {seed}"),
                RULE => assert!(submitted, "seed {seed}"),
                UNDELIVERABLE_DSN => assert!(!submitted, "seed {seed}"),
                other => panic!("seed {seed}: held by {other}"),
            },
            other => panic!("seed {seed}: nothing makes {other:?}"),
        }
    }

    /// Everyone has come to exactly one end.
    fn check_end(&self) {
        let seed = self.seed;
        let mut held = 0;
        let slack = LONGEST_ATTEMPT + LONGEST_PREPARATION + LONGEST_WRITE * 2 + 5 * HOUR;
        for (id, stored) in &self.disk {
            for (at, record) in (0u32..).zip(&stored.records) {
                let story = &self.stories[&(*id, at)];
                let submitted = stored.envelope.class == MessageClass::Submitted;
                let ended = record.state.is_final();
                assert!(ended || !submitted, "seed {seed}: {id} #{at} never ended");
                if !ended {
                    assert_eq!(record.state.as_str(), "held", "seed {seed}");
                    held += 1;
                }
                // A crash can repeat what the disk had not heard of.
                let once = 1 + self.crashes;
                assert!(
                    story.failures <= once && story.warnings <= once && story.suspicions <= once,
                    "seed {seed}"
                );
                let failed = matches!(
                    record.state,
                    RecipientState::Final(Final::Bounced | Final::Expired)
                );
                assert!(
                    story.failures >= u32::from(failed),
                    "seed {seed}: no cause for a DSN"
                );
            }
            let all = stored.records.iter().all(|record| record.state.is_final());
            assert_eq!(stored.done, all, "seed {seed}");
        }
        assert!(self.queue.is_quiet(), "seed {seed}");
        assert!(
            self.ordered.is_empty(),
            "seed {seed}: an order has no answer"
        );
        assert_eq!(self.queue.len(), held, "seed {seed}: one recipient each");
        let summary = self.queue.summary();
        assert_eq!(
            (summary.held, summary.deferred, summary.ready),
            (held, 0, 0),
            "seed {seed}"
        );
        let last = self
            .disk
            .values()
            .map(|stored| stored.envelope.received)
            .max()
            .unwrap()
            .max(self.last_order);
        let end = last + self.retry.expire_after + slack;
        let until = self.last_write;
        assert!(until <= end, "seed {seed}: it took until {until}");
    }
}

fn envelope(
    id: u64,
    class: MessageClass,
    reverse_path: ReversePath,
    recipients: Vec<Address>,
    received: Timestamp,
) -> Arc<Envelope> {
    Arc::new(Envelope {
        id: MessageId::new(id),
        class,
        reverse_path,
        recipients,
        author: None,
        message_id: format!("<{id}@{HOME}>"),
        client: None,
        received,
        size: 1000,
        eight_bit: false,
        tags: Vec::new(),
        pickup: Default::default(),
    })
}

/// A plan for each recipient: a rendition, or no method.
fn plans(renditions: &[Option<u32>]) -> Prepared {
    let plan = |(recipient, &rendition): (u32, &Option<u32>)| RecipientPlan {
        recipient,
        decision: Arc::new(Decision::base(
            Level::Protected,
            vec![Candidate {
                method: Method::Tls,
                verdict: match rendition {
                    Some(_) => Verdict::Accepted,
                    None => Verdict::Refused(Refusal::LevelTooHigh),
                },
            }],
            match rendition {
                Some(_) => Course::Send(Method::Tls),
                None => Course::NoMethod,
            },
            "0".repeat(32).into(),
        )),
        rendition,
    };
    let terms = sealpost::mail::Terms::default();
    let rendition = Rendition::content(Demand::dsn(), terms, Vec::new(), Vec::new()).unwrap();
    Prepared {
        renditions: vec![rendition],
        plans: (0u32..).zip(renditions).map(plan).collect(),
    }
}

fn status(class: u8, subject: u16) -> Status {
    Status::local(EnhancedCode::new(class, subject, 0), "as the script says")
}

/// Runs the world by each of these seeds; says how much happened.
fn weeks(seeds: std::ops::Range<u64>) -> (u64, u64, u32, Seen) {
    let (mut attempts, mut dsns, mut crashes, mut seen) = (0, 0, 0, Seen::default());
    for seed in seeds {
        let world = World::new(seed).run();
        attempts += world.attempts;
        dsns += world.dsns;
        crashes += world.crashes;
        seen.replans += world.seen.replans;
        seen.by_portal += world.seen.by_portal;
        seen.by_smime += world.seen.by_smime;
        seen.held += world.seen.held;
        seen.released += world.seen.released;
        seen.cancelled += world.seen.cancelled;
        seen.suspected += world.seen.suspected;
    }
    (attempts, dsns, crashes, seen)
}

#[test]
fn a_week_by_three_hundred_seeds() {
    let (attempts, dsns, crashes, seen) = weeks(0..300);
    // The script does exercise what it is there for.
    assert!(
        attempts > 30_000 && dsns > 500 && crashes > 100,
        "{attempts} {dsns} {crashes}"
    );
    assert!(
        seen.replans > 100
            && seen.by_portal > 100
            && seen.by_smime > 100
            && seen.held > 100
            && seen.released > 30
            && seen.cancelled > 100
            && seen.suspected > 100,
        "{seen:?}"
    );
}

/// Minutes of work: for releases, `cargo test --test simulation -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn a_week_by_ten_thousand_seeds() {
    weeks(300..10_300);
}

#[test]
fn the_same_seed_gives_the_same_week() {
    let week = |seed| {
        let world = World::new(seed).run();
        (world.now, world.attempts, world.dsns, world.queue.steps())
    };
    for seed in 0..20 {
        assert_eq!(week(seed), week(seed), "seed {seed}");
    }
}
