//! Every combination of facts that a decision can depend on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::oracle::{Case, rank};
use super::{Tally, Witness, levels_from};
use crate::mail::{
    Asker, Course, Decision, Demand, Domain, DomainPattern, ExceptionUse, Grade, Level,
    MessageClass, Method, PickupFacts, Reason, Timestamp, TlsStanding,
};
use crate::mail::{CertificateFact, CertificateProblem};
use crate::policy::choose::{Standing, choose};
use crate::policy::evaluate::{asked, base_reason};
use crate::policy::judge::Judge;
use crate::policy::settings::{AccountSetting, DomainSetting};
use crate::policy::source::ExceptionScope;
use crate::policy::{Policy, Wanted, wanted_by};

/// Far from the beginning of time, so that nothing saturates.
const FAR: u64 = 1 << 52;

/// Every trust without a problem; with one, the least and the most: which problem it is makes the
/// reason and nothing else.
const CERTIFICATES: [(CertificateFact, Option<CertificateProblem>); 6] = [
    (CertificateFact::None, None),
    (CertificateFact::Valid, None),
    (CertificateFact::Directory, None),
    (CertificateFact::Pinned, None),
    (CertificateFact::None, Some(CertificateProblem::Revoked)),
    (CertificateFact::Pinned, Some(CertificateProblem::Revoked)),
];

/// All that can be known of how a recipient opens a message in the portal.
fn pickups() -> Vec<PickupFacts> {
    let mut all = Vec::new();
    for registered in [None, Some(false), Some(true)] {
        for (secret, phone) in [(false, false), (false, true), (true, false), (true, true)] {
            all.push(PickupFacts {
                secret,
                phone,
                registered,
            });
        }
    }
    all
}

/// Settings of a domain that lead to different decisions: where the names differ only, one.
fn domain_classes(policy: &Policy) -> Vec<&DomainSetting> {
    let mut seen = BTreeSet::new();
    let mut classes = Vec::new();
    for setting in policy.compiled.domain_settings() {
        let methods: Option<Vec<&str>> = setting
            .methods
            .as_ref()
            .map(|list| list.iter().map(|method| method.as_str()).collect());
        let class = (
            methods,
            setting.tls_not_enough,
            setting.pin_mx.is_empty(),
            setting.require_pq,
        );
        if seen.insert(class) {
            classes.push(setting);
        }
    }
    classes
}

fn account_classes(policy: &Policy) -> Vec<&AccountSetting> {
    let mut seen = BTreeSet::new();
    let all = policy.compiled.account_settings();
    all.filter(|account| seen.insert((account.tls_not_enough, account.require_pq)))
        .collect()
}

/// Entries of the register as one recipient can have them: none, one, or its own and its
/// domain's; each just before its expiry, at it, and after. All are moved to one moment.
fn register_classes(policy: &Policy, now: Timestamp) -> Vec<[Option<ExceptionUse>; 2]> {
    let mut real: Vec<[Option<ExceptionUse>; 2]> = vec![[None, None]];
    let mut seen = BTreeSet::new();
    let what = |entry: Option<&ExceptionUse>| entry.map(|entry| (entry.allow, entry.max_level));
    for exception in &policy.source().exceptions {
        let pair = match &exception.recipient {
            ExceptionScope::Address(address) => {
                let key = address.to_string().to_ascii_lowercase();
                policy.compiled.exceptions(&key, address.domain().as_str())
            }
            ExceptionScope::Domain(domain) => policy.compiled.exceptions("", domain.as_str()),
        };
        let [own, domain] = pair;
        if seen.insert((what(own), what(domain))) {
            real.push([own.cloned(), domain.cloned()]);
        }
    }
    let moments = [
        Timestamp::from_micros(now.as_micros() + 1),
        now,
        Timestamp::from_micros(now.as_micros() - 1),
    ];
    let moved = |entry: &Option<ExceptionUse>| -> Vec<Option<ExceptionUse>> {
        match entry {
            None => vec![None],
            Some(entry) => moments
                .into_iter()
                .map(|expires| {
                    let entry = entry.clone();
                    Some(ExceptionUse { expires, ..entry })
                })
                .collect(),
        }
    };
    let mut classes = Vec::new();
    for [own, domain] in &real {
        for own in moved(own) {
            classes.extend(
                moved(domain)
                    .into_iter()
                    .map(|domain| [own.clone(), domain]),
            );
        }
    }
    classes
}

fn standings(now: Timestamp, hold_micros: u64) -> Vec<TlsStanding> {
    let mut all = vec![TlsStanding::Untried];
    for reached in Grade::ALL {
        for required in Grade::ALL {
            all.push(TlsStanding::Short { reached, required });
        }
        for expected in [Grade::Pkix, Grade::Dane] {
            let end = now.as_micros().saturating_sub(hold_micros);
            for since in [end.saturating_add(1), end, end.saturating_sub(1)] {
                all.push(TlsStanding::Suspected {
                    reached,
                    required: Grade::Pkix,
                    expected,
                    since: Timestamp::from_micros(since),
                });
            }
        }
    }
    all
}

/// Whether a downgrade was suspected in an earlier turn: both, where this turn does not say so too.
fn suspicions(tls: &TlsStanding) -> &'static [bool] {
    match tls {
        TlsStanding::Untried | TlsStanding::Short { .. } => &[false, true],
        TlsStanding::Suspected { .. } => &[true],
    }
}

/// A host that the pins name, and one that they do not.
fn hosts(pins: &[DomainPattern]) -> [(Option<Domain>, bool); 2] {
    let inside = match pins.first() {
        Some(DomainPattern::Exact(host)) => Some(host.clone()),
        Some(DomainPattern::Below(domain)) => Domain::parse(&format!("mx.{domain}")).ok(),
        None => Domain::parse("mx.invalid").ok(),
    };
    [
        (inside, true),
        (Domain::parse("elsewhere.invalid").ok(), false),
    ]
}

/// Every decision that this policy can come to, and every connection after it.
pub(super) fn decisions<J: Judge>(policy: &Policy, judge: &J, tally: &mut Tally) {
    let hold = u64::try_from(policy.source().downgrade_hold.as_micros()).unwrap_or(u64::MAX);
    let hold = hold.min(FAR / 2);
    let now = Timestamp::from_micros(FAR);
    let register = register_classes(policy, now);
    let standings = standings(now, hold);
    let accounts = account_classes(policy);
    let (pickups, none) = (pickups(), [PickupFacts::default()]);
    for domain in domain_classes(policy) {
        let hosts = hosts(&domain.pin_mx);
        for account in &accounts {
            for entries in &register {
                for class in [MessageClass::Submitted, MessageClass::Dsn] {
                    let space = Space {
                        policy,
                        judge,
                        domain,
                        account,
                        entries,
                        class,
                        now,
                        hold,
                        hosts: &hosts,
                        pickups: match setting_uses_portal(policy, domain, class) {
                            true => &pickups,
                            false => &none,
                        },
                    };
                    for tls in &standings {
                        if tally.is_full() {
                            return;
                        }
                        for &suspected in suspicions(tls) {
                            space.with(tls, suspected, tally);
                        }
                    }
                }
            }
        }
    }
}

/// Whether anything can go by the portal here.
fn setting_uses_portal(policy: &Policy, domain: &DomainSetting, class: MessageClass) -> bool {
    let source = policy.source();
    let methods = domain.methods.as_ref().unwrap_or(&source.methods);
    source.portal && class.is_submitted() && methods.contains(&Method::Portal)
}

struct Space<'a, J> {
    policy: &'a Policy,
    judge: &'a J,
    domain: &'a DomainSetting,
    account: &'a AccountSetting,
    entries: &'a [Option<ExceptionUse>; 2],
    class: MessageClass,
    now: Timestamp,
    hold: u64,
    hosts: &'a [(Option<Domain>, bool); 2],
    pickups: &'a [PickupFacts],
}

impl<J: Judge> Space<'_, J> {
    /// What is known of a recipient. Every way to open the portal where there is neither certificate
    /// nor exception; else none of them, and all, beside the one or the other: no judgement looks at
    /// two of the three.
    fn known(
        &self,
    ) -> impl Iterator<Item = (CertificateFact, Option<CertificateProblem>, PickupFacts)> {
        let pickups = self.pickups;
        let last = pickups.len().saturating_sub(1);
        let excepted = self.entries.iter().any(Option::is_some);
        let tried = move |certificate: usize, pickup: usize| match (certificate, excepted) {
            (0, false) => true,
            (0, true) | (_, false) => pickup == 0 || pickup == last,
            (_, true) => pickup == 0,
        };
        let all = CERTIFICATES.into_iter().enumerate();
        all.flat_map(move |(number, (fact, problem))| {
            let pickups = pickups.iter().enumerate();
            pickups
                .filter(move |(place, _)| tried(number, *place))
                .map(move |(_, pickup)| (fact, problem, *pickup))
        })
    }

    fn with(&self, tls: &TlsStanding, suspected: bool, tally: &mut Tally) {
        let source = self.policy.source();
        let [own, domain] = self.entries;
        let exceptions = [own.as_ref(), domain.as_ref()];
        let setting = self
            .policy
            .setting(self.class, self.domain, self.account, exceptions);
        let submitted = self.class == MessageClass::Submitted;
        let base = self.policy.base(self.class);
        let levels: Vec<Level> = match self.class {
            MessageClass::Submitted => levels_from(base).collect(),
            MessageClass::Dsn | MessageClass::Notice | MessageClass::Code => vec![base],
        };
        let held: Arc<str> = "held".into();
        for level in levels {
            let reasons = [
                base_reason(base),
                Reason {
                    level,
                    asker: Asker::Field,
                },
            ];
            for (certificate, certificate_problem, pickup) in self.known() {
                let case = Case {
                    class: self.class,
                    level,
                    now: self.now,
                    hold_micros: self.hold,
                    tls,
                    suspected_before: suspected,
                    certificate,
                    certificate_problem: certificate_problem.is_some(),
                    tls_not_enough: submitted
                        && (self.domain.tls_not_enough || self.account.tls_not_enough),
                    pinned: !self.domain.pin_mx.is_empty(),
                    require_pq: self.domain.require_pq || submitted && self.account.require_pq,
                    smime: source.smime,
                    portal: source.portal,
                    pickup,
                    exceptions,
                };
                let standing = Standing {
                    class: self.class,
                    now: self.now,
                    tls,
                    suspected,
                    certificate,
                    certificate_problem,
                    // Where it is so nothing can be sent that was sealed, or left in the portal.
                    unsealable: false,
                    pickup,
                    undepositable: false,
                    released: &[],
                };
                let mut asked = asked(self.judge, base, &reasons, &[], &[]);
                let decision = choose(self.judge, &setting, standing, asked.clone());
                self.check(&case, &decision, tally);
                // A hold keeps it until a person releases it, whatever else is so.
                asked.holds = vec![Arc::clone(&held)];
                let kept = choose(self.judge, &setting, standing, asked);
                let passed = !matches!(kept.course, Course::Hold(_));
                tally.tried(passed.then(|| witness(&case, &kept, "a hold is passed", "")));
            }
        }
    }

    fn check(&self, case: &Case<'_>, decision: &Decision, tally: &mut Tally) {
        let hole = |why: &str| Some(witness(case, decision, why, ""));
        if rank(decision.level) < rank(case.level) {
            return tally.tried(hole("a level that something asks for is not reached"));
        }
        let Course::Send(method) = decision.course else {
            return tally.tried(None);
        };
        if case.must_wait() {
            return tally.tried(hole("a suspected downgrade is not waited out"));
        }
        match method {
            Method::Tls => self.connections(case, decision, tally),
            Method::Smime => tally.tried(if !case.certificate_carries() {
                hole("no certificate of this recipient carries the level")
            } else if case.any_fell_short() {
                hole("what was sealed has just fallen short, and would be taken again")
            } else if wanted_by(self.judge, decision, case.class) != Wanted::Sealed {
                hole("what is to be sealed leaves as something else")
            } else {
                None
            }),
            Method::Portal => tally.tried(match wanted_by(self.judge, decision, case.class) {
                _ if !case.portal_carries(decision.factors) => {
                    hole("the portal's factors do not reach the level")
                }
                Wanted::Notice(by) if case.opens(by) => None,
                Wanted::Notice(_) => {
                    hole("the recipient has nothing that opens it as the level asks")
                }
                Wanted::Content(_) | Wanted::Sealed | Wanted::Nothing => {
                    hole("what goes into the portal leaves as something else")
                }
            }),
        }
    }

    /// Content would go by TLS: over which connections?
    fn connections(&self, case: &Case<'_>, decision: &Decision, tally: &mut Tally) {
        let hole = |why: &str| Some(witness(case, decision, why, ""));
        if matches!(case.tls, TlsStanding::Suspected { .. }) {
            return tally.tried(hole("content goes by TLS where a downgrade is suspected"));
        }
        if let TlsStanding::Short { reached, .. } = case.tls
            && !case.grade_carries(*reached)
        {
            tally.tried(hole("what has just fallen short is taken again"));
        }
        if case.uses_register() && decision.exception.is_none() {
            tally.tried(hole("the use of an exception is not recorded"));
        }
        let demand = wanted_by(self.judge, decision, case.class).demand();
        for (host, pinned_host) in self.hosts {
            let Some(host) = host else { continue };
            for post_quantum in [false, true] {
                let terms = decision.terms.are_met_by(host, post_quantum);
                for grade in Grade::ALL {
                    let leaves = terms && demand.is_some_and(|demand| carries(demand, case, grade));
                    let may = case.may_carry(grade, post_quantum, *pinned_host);
                    tally.tried((leaves && !may).then(|| {
                        let connection = format!(
                            "; a connection of grade {grade} to {host}, post-quantum {post_quantum}"
                        );
                        let why = "content leaves below its demand";
                        witness(case, decision, why, &connection)
                    }));
                }
            }
        }
    }
}

/// The grade check, as the permit makes it; of the wrong class it would never be made.
fn carries(demand: Demand, case: &Case<'_>, grade: Grade) -> bool {
    demand.class() == case.class.rendition_class() && demand.is_met_by(grade)
}

fn witness(case: &Case<'_>, decision: &Decision, why: &str, connection: &str) -> Witness {
    let course = match &decision.course {
        Course::Send(method) => format!("goes by {method}"),
        Course::Wait { until } => format!("waits until {until}"),
        Course::Hold(names) => format!("is held by {}", names.join(", ")),
        Course::NoMethod => "no method is left".to_owned(),
    };
    let register: Vec<String> = case
        .exceptions
        .iter()
        .flatten()
        .map(|entry| {
            format!(
                "exception for {} (allow {}, max_level {}, expires {})",
                entry.recipient,
                entry.allow.as_str(),
                entry.max_level,
                entry.expires
            )
        })
        .collect();
    Witness {
        facts: format!(
            "{:?}, level {}, TLS {:?}, suspected before {}, certificate {:?} (problem {}), {:?}, tls_not_enough {}, pins {}, require_pq {}, S/MIME {}, portal {}, at {}, [{}]{connection}",
            case.class,
            case.level,
            case.tls,
            case.suspected_before,
            case.certificate,
            case.certificate_problem,
            case.pickup,
            case.tls_not_enough,
            case.pinned,
            case.require_pq,
            case.smime,
            case.portal,
            case.now,
            register.join("; "),
        ),
        decision: format!(
            "level {}, {course}, factors {}",
            decision.level, decision.factors
        ),
        why: why.to_owned(),
    }
}
