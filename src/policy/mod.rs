//! How each recipient is protected, and why. Pure.
//!
//! Owns the choice of the level and of the method. Never looks anything up: facts come in, a
//! decision with its reasons goes out, the same for the same facts. The way of a decision:
//! [`index`] finds the rules that may match, [`conditions`] says whether they do, [`evaluate`]
//! puts together who asks for which level, [`choose`] takes a method, and every elementary
//! judgement on that way stands in [`judge`]. [`prove`](prove()) runs all combinations of facts through
//! the same code. What a method must reach for a level stands in `Level::least_grade` and
//! `RenditionClass::least_grade`; nothing here can lower it.

pub mod canonical;
pub mod check;
mod choose;
mod compile;
mod conditions;
pub mod diff;
mod evaluate;
pub mod facts;
mod index;
pub mod judge;
pub mod lookalike;
pub mod prove;
mod sets;
mod settings;
pub mod source;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use crate::mail::CertificateFact;
use crate::mail::{
    Address, CertificateProblem, Course, Decision, Demand, Domain, ExceptionUse, Level,
    MessageClass, Method, PickupBy, PickupFacts, Reason, Refusal, Timestamp, TlsStanding, Verdict,
};
pub use check::Bounds;
use choose::{Setting, Standing};
use compile::Compiled;
use conditions::{Doubt, MessageView};
pub use diff::{Change, Effect, diff};
use evaluate::Matching;
pub use evaluate::{MAX_NAMES, MAX_REASONS};
pub use facts::{HeaderFacts, MessageFacts, PartFacts, RecipientFacts};
pub use judge::{Judge, Standard};
pub use lookalike::lookalike;
pub use prove::{Proof, prove, prove_by};
use sets::Party;
use settings::{AccountSetting, DomainSetting};
pub use source::PolicySource;

/// The methods of a bounce: it carries headers of a kept message, never its content, and goes
/// one way only, whatever the methods for content are.
const DSN_METHODS: &[Method] = &[Method::Tls];

/// The policy in force, compiled once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    source: Arc<PolicySource>,
    compiled: Arc<Compiled>,
    hash: Arc<str>,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {mend}")]
pub struct PolicyProblem {
    /// The table: `rule`, `domain`, `group`, `user`, `tag`, `exception`, or `` for `[policy]`.
    pub table: &'static str,
    /// Its number among those of its kind, from 0.
    pub index: usize,
    /// The key of it that is at fault; `` for the table as a whole.
    pub key: &'static str,
    /// What is wrong, to follow the place.
    pub what: String,
    /// What to do.
    pub mend: String,
}

/// What a policy wants to know of a message: what it does not need is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Header fields.
    pub header: bool,
    /// MIME parts.
    pub parts: bool,
    /// What the detectors find.
    pub findings: bool,
    /// Whether sender and recipient have met.
    pub first_contact: bool,
    /// How much the account writes.
    pub volume: bool,
}

/// A rule says that a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What the client is told.
    pub text: String,
}

/// A decision whose facts were not all known: what it is if every unknown is as the rules ask,
/// and if none is. The truth lies between the two, since no condition is negated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What the product would decide: doubt raises.
    pub if_all_match: Arc<Decision>,
    /// What it would be if nothing unknown were so.
    pub if_none_match: Arc<Decision>,
}

impl Judged {
    /// The decision, if it does not hang on what is unknown: level, candidates, course, terms,
    /// factors, pickup and exception are the same. The reasons may differ.
    pub fn certain(&self) -> Option<&Arc<Decision>> {
        let (a, b) = (&self.if_all_match, &self.if_none_match);
        let same = a.level == b.level
            && a.candidates == b.candidates
            && a.course == b.course
            && a.terms == b.terms
            && a.factors == b.factors
            && a.pickup == b.pickup
            && a.exception == b.exception;
        same.then_some(a)
    }
}

impl Policy {
    /// Compiles a policy; all problems at once.
    pub fn compile(source: PolicySource) -> Result<Self, Vec<PolicyProblem>> {
        Self::compile_within(source, Bounds::default())
    }

    /// Compiles a policy for a daemon of which `bounds` are known: a rule that they leave nothing
    /// to match is a problem too.
    pub fn compile_within(
        source: PolicySource,
        bounds: Bounds,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let mut problems = check::problems(&source, bounds);
        let compiled = match Compiled::new(&source) {
            Ok(compiled) => compiled,
            Err(more) => {
                problems.extend(more);
                return Err(problems);
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            hash: canonical::hash(&source).into(),
            compiled: Arc::new(compiled),
            source: Arc::new(source),
        })
    }

    /// What does nothing at the moment `now`, and harms nothing: exceptions that have expired or
    /// are inert, tags that raise nothing.
    pub fn warnings(&self, now: Timestamp) -> Vec<PolicyProblem> {
        check::warnings(&self.source, now)
    }

    /// What it was compiled from.
    pub fn source(&self) -> &PolicySource {
        &self.source
    }

    /// The first 16 octets of SHA-256 over the policy's canonical text, as hex.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    /// What it wants to know of a message and its recipients to decide.
    pub fn needs(&self) -> Needs {
        self.compiled.needs
    }

    /// What it wants to know at the end of DATA, for [`Policy::refuse`].
    pub fn refusal_needs(&self) -> Needs {
        self.compiled.refusal_needs
    }

    /// The windows, in seconds, over which rules ask how much an account wrote; ascending.
    pub fn volume_windows(&self) -> &[u64] {
        &self.compiled.windows
    }

    /// The header fields that rules look at, in lower case; ascending.
    pub fn header_fields(&self) -> &[String] {
        &self.compiled.header_fields
    }

    /// The partner that a domain looks like without being one.
    pub fn lookalike(&self, domain: &Domain) -> Option<&Domain> {
        self.compiled.lookalikes.find(domain)
    }

    /// Whether any rule could reject a message: else there is no need to look at it at the door.
    pub fn rejects(&self) -> bool {
        !self.compiled.rejects.rules.is_empty()
    }

    /// Whether the message may be taken in at all; asked at the end of DATA, for all its
    /// recipients: a rule that names one of them refuses the message as a whole. Looks at
    /// envelope, header and MIME facts only. Of several rules the first by name speaks.
    pub fn refuse(&self, facts: &MessageFacts, recipients: &[Address]) -> Option<Rejection> {
        let set = &self.compiled.rejects;
        if !self.rejects() || !facts.class.is_submitted() {
            return None;
        }
        let view = self.view(facts, Doubt::Matches);
        let mut matching = Matching::new(set, &self.compiled.probes, &view);
        let for_everyone = matching.everyone().min_by_key(|rule| &rule.name);
        let rule = for_everyone.or_else(|| {
            recipients.iter().find_map(|address| {
                let recipient = RecipientFacts::new(address.clone(), facts.received);
                let party = Party::new(address);
                let alike = self.compiled.looks_alike(&recipient);
                let rules = matching.recipient(&recipient, &party, alike);
                rules.into_iter().min_by_key(|rule| &rule.name)
            })
        })?;
        Some(Rejection {
            rule: Arc::clone(&rule.name),
            text: rule.reject.clone().unwrap_or_default(),
        })
    }

    /// Decides for recipients of one message, in their order. Equal decisions are one. What is
    /// not known counts as the conditions ask for.
    pub fn decide(
        &self,
        message: &MessageFacts,
        recipients: &[RecipientFacts],
    ) -> Vec<Arc<Decision>> {
        self.decide_by(&Standard, message, recipients, Doubt::Matches)
    }

    /// Decides twice, for and against everything that is not known: for records, which keep only
    /// what the policy of their time looked at.
    pub fn judge(&self, message: &MessageFacts, recipients: &[RecipientFacts]) -> Vec<Judged> {
        let all = self.decide_by(&Standard, message, recipients, Doubt::Matches);
        let none = self.decide_by(&Standard, message, recipients, Doubt::Fails);
        let both = all.into_iter().zip(none);
        both.map(|(if_all_match, if_none_match)| Judged {
            if_all_match,
            if_none_match,
        })
        .collect()
    }

    fn view<'a>(&'a self, facts: &'a MessageFacts, doubt: Doubt) -> MessageView<'a> {
        let account = self.compiled.account(facts.user.as_deref());
        MessageView::new(
            facts,
            &account.groups,
            self.source.utc_offset_minutes,
            doubt,
        )
    }

    /// Decides by another judge's word: for the proof.
    fn decide_by<J: Judge>(
        &self,
        judge: &J,
        message: &MessageFacts,
        recipients: &[RecipientFacts],
        doubt: Doubt,
    ) -> Vec<Arc<Decision>> {
        let compiled = &*self.compiled;
        let view = self.view(message, doubt);
        let mut matching = match message.class {
            MessageClass::Submitted => Some(Matching::new(&compiled.live, &compiled.probes, &view)),
            MessageClass::Dsn | MessageClass::Notice | MessageClass::Code => None,
        };
        let of_message = self.message_reasons(&view);
        let mut decided: HashMap<SameFacts<'_>, Arc<Decision>> = HashMap::new();
        let mut distinct: HashSet<Arc<Decision>> = HashSet::new();
        let mut decisions = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let party = Party::new(&recipient.address);
            let alike = compiled.looks_alike(recipient);
            let key = SameFacts::new(compiled, recipient, &party, alike);
            if let Some(known) = decided.get(&key) {
                decisions.push(Arc::clone(known));
                continue;
            }
            let domain = compiled.domain(party.domain);
            let base = self.base(message.class);
            let asked = match &mut matching {
                Some(matching) => {
                    let rules = matching.recipient(recipient, &party, alike);
                    evaluate::asked(judge, base, &of_message, &domain.reasons, &rules)
                }
                None => evaluate::asked(judge, base, &of_message, &[], &[]),
            };
            let exceptions = compiled.exceptions(&party.key, party.domain);
            let account = compiled.account(message.user.as_deref());
            let setting = self.setting(message.class, domain, account, exceptions);
            let standing = Standing::new(message.class, recipient);
            let decision = Arc::new(choose::choose(judge, &setting, standing, asked));
            let decision = match distinct.get(&decision) {
                Some(equal) => Arc::clone(equal),
                None => decision,
            };
            distinct.insert(Arc::clone(&decision));
            decided.insert(key, Arc::clone(&decision));
            decisions.push(decision);
        }
        decisions
    }

    /// The least level: of a bounce of ours, whatever the policy says of content.
    fn base(&self, class: MessageClass) -> Level {
        match class {
            MessageClass::Submitted => self.source.base,
            MessageClass::Dsn | MessageClass::Notice | MessageClass::Code => Level::Protected,
        }
    }

    fn message_reasons(&self, view: &MessageView<'_>) -> Vec<Reason> {
        let class = view.facts.class;
        let mut reasons = vec![evaluate::base_reason(self.base(class))];
        if class == MessageClass::Submitted {
            let account = self.compiled.account(view.facts.user.as_deref());
            reasons.extend(account.reasons.iter().cloned());
            evaluate::content_reasons(&self.source, view, &mut reasons);
        }
        reasons
    }

    /// What the policy says, rules aside. A bounce keeps to what is said of its recipient's
    /// servers (pins, key exchange), and skips what is said of content.
    fn setting<'a>(
        &'a self,
        class: MessageClass,
        domain: &'a DomainSetting,
        account: &AccountSetting,
        exceptions: [Option<&'a ExceptionUse>; 2],
    ) -> Setting<'a> {
        let submitted = class == MessageClass::Submitted;
        Setting {
            methods: match (class, &domain.methods) {
                (MessageClass::Dsn | MessageClass::Notice | MessageClass::Code, _) => DSN_METHODS,
                (MessageClass::Submitted, Some(methods)) => methods,
                (MessageClass::Submitted, None) => &self.source.methods,
            },
            ways: self.compiled.ways,
            downgrade_hold: self.source.downgrade_hold,
            domain_not_enough: submitted && domain.tls_not_enough,
            account_not_enough: submitted && account.tls_not_enough,
            pins: &domain.pin_mx,
            domain_pq: domain.require_pq,
            account_pq: submitted && account.require_pq,
            exceptions,
            policy: &self.hash,
        }
    }
}

/// The rendition that a decision calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The content in clear, over a connection that meets this: a row of the table, or of the
    /// register.
    Content(Demand),
    /// The content sealed to the recipient's certificate; the demand comes with what is sealed.
    Sealed,
    /// A notice, and the content left in the portal to be opened by this; the demand comes with the
    /// notice.
    Notice(PickupBy),
    /// None.
    Nothing,
}

impl Wanted {
    /// What content in clear demands, where it is that.
    pub const fn demand(self) -> Option<Demand> {
        match self {
            Self::Content(demand) => Some(demand),
            Self::Sealed | Self::Notice(_) | Self::Nothing => None,
        }
    }
}

/// The rendition that a decision calls for.
pub fn wanted(decision: &Decision, class: MessageClass) -> Wanted {
    wanted_by(&Standard, decision, class)
}

fn wanted_by<J: Judge>(judge: &J, decision: &Decision, class: MessageClass) -> Wanted {
    match decision.method() {
        Some(Method::Tls) => judge
            .demand(class, decision.level, decision.exception.as_ref())
            .map_or(Wanted::Nothing, Wanted::Content),
        Some(Method::Smime) => Wanted::Sealed,
        Some(Method::Portal) => decision.pickup.map_or(Wanted::Nothing, Wanted::Notice),
        None => Wanted::Nothing,
    }
}

/// Whether a certificate that is trusted as far as `certificate` says may still seal what was
/// decided on: asked once more before it is sent.
pub fn certificate_carries(decision: &Decision, certificate: CertificateFact) -> bool {
    let judge = &Standard;
    judge.certificate_refusal(certificate, None).is_none()
        && judge.certificate_admits(decision.level, certificate)
}

/// Whether another certificate than the one that is known could change a decision: no method that
/// stands before S/MIME is taken, and S/MIME is refused for want of a certificate.
pub fn could_seal(decision: &Decision) -> bool {
    let waits = matches!(decision.course, Course::Hold(_) | Course::Wait { .. });
    let mut until_taken = decision
        .candidates
        .iter()
        .take_while(|candidate| candidate.verdict != Verdict::Accepted);
    !waits
        && until_taken.any(|candidate| {
            let refused = &candidate.verdict;
            candidate.method == Method::Smime
                && matches!(
                    refused,
                    Verdict::Refused(Refusal::NoCertificate | Refusal::Certificate(_))
                )
        })
}

/// Whether asking the portal could change a decision: no method that stands before the portal is
/// taken, the portal is refused since nothing is known by which the recipient could open it, and
/// nobody has asked yet whether the recipient is registered there.
pub fn asks_portal(decision: &Decision, known: PickupFacts) -> bool {
    let waits = matches!(decision.course, Course::Hold(_) | Course::Wait { .. });
    let mut until_taken = decision
        .candidates
        .iter()
        .take_while(|candidate| candidate.verdict != Verdict::Accepted);
    !waits
        && known.registered.is_none()
        && until_taken.any(|candidate| {
            candidate.method == Method::Portal
                && candidate.verdict == Verdict::Refused(Refusal::NoFactor)
        })
}

/// All that can make the decision of one recipient of a message differ from another's.
#[derive(PartialEq, Eq, Hash)]
struct SameFacts<'a> {
    /// Where the policy names the address itself.
    address: Option<String>,
    /// Where it says something of the domain.
    domain: Option<&'a str>,
    looks_alike: bool,
    now: Timestamp,
    tls: &'a TlsStanding,
    suspected: bool,
    certificate: CertificateFact,
    certificate_problem: Option<CertificateProblem>,
    unsealable: bool,
    pickup: PickupFacts,
    undepositable: bool,
    released: &'a [Arc<str>],
    first_contact: Option<bool>,
    volume: &'a [(u64, u64)],
}

impl<'a> SameFacts<'a> {
    fn new(
        compiled: &Compiled,
        recipient: &'a RecipientFacts,
        party: &Party<'a>,
        looks_alike: bool,
    ) -> Self {
        let mentioned = &compiled.mentioned;
        Self {
            address: mentioned.names_address(party).then(|| party.key.clone()),
            domain: mentioned.has_domain(party.domain).then_some(party.domain),
            looks_alike,
            now: recipient.now,
            tls: &recipient.tls,
            suspected: recipient.suspected,
            certificate: recipient.certificate,
            certificate_problem: recipient.certificate_problem,
            unsealable: recipient.unsealable,
            pickup: recipient.pickup,
            undepositable: recipient.undepositable,
            released: &recipient.released,
            first_contact: recipient.first_contact,
            volume: &recipient.volume,
        }
    }
}
