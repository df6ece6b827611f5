//! How much protection a message needs for a recipient, and by which way it goes.
//!
//! Owns the table of the security model from level to least grade; what each kind of bytes demands
//! stands in [`super::demand`].
//! Everything here is ordered so that "enough" is one comparison, and nothing lowers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CertificateProblem, Domain, DomainPattern, Finding, PickupBy, Timestamp, Unscannable};

/// How much protection a message needs for a recipient. The maximum of all that asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The base: everything.
    Protected,
    /// Health information was detected, or a rule says so.
    Confidential,
    /// Psychotherapy notes, 42 CFR Part 2, or a tag.
    Restricted,
    /// Named by rule: no TLS grade is enough alone.
    Sealed,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 4] = [
        Self::Protected,
        Self::Confidential,
        Self::Restricted,
        Self::Sealed,
    ];

    /// The least TLS grade that reaches this level, or `None` where TLS alone never does.
    pub const fn least_grade(self) -> Option<Grade> {
        match self {
            Self::Protected => Some(Grade::Pkix),
            Self::Confidential => Some(Grade::Pinned),
            Self::Restricted => Some(Grade::MtaSts),
            Self::Sealed => None,
        }
    }

    /// The word in configuration, log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a TLS connection to an MX host really gives for a domain, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// No TLS.
    None,
    /// TLS, peer not authenticated.
    Any,
    /// TLS 1.2 or later, chain valid for the MX host name; the MX name came from unsigned DNS.
    Pkix,
    /// `pkix`, and the MX host is pinned, DNSSEC-secure or long known.
    Pinned,
    /// `pkix`, and an enforced MTA-STS policy names the host (RFC 8461).
    MtaSts,
    /// DNSSEC-secure all the way, and a TLSA record matches (RFC 7672).
    Dane,
}

impl Grade {
    /// Every grade, weakest first.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Any,
        Self::Pkix,
        Self::Pinned,
        Self::MtaSts,
        Self::Dane,
    ];

    /// Whether a connection of this grade may carry what demands `least`.
    /// `mta-sts` and `dane` both satisfy a demand for either.
    pub fn reaches(self, least: Grade) -> bool {
        self >= least.min(Grade::MtaSts)
    }

    /// The word in configuration, log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Any => "any",
            Self::Pkix => "pkix",
            Self::Pinned => "pinned",
            Self::MtaSts => "mta-sts",
            Self::Dane => "dane",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the content is protected on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Verified TLS to the recipient's mail server.
    Tls,
    /// Sealed to the recipient's own certificate.
    Smime,
    /// Picked up in the web portal.
    Portal,
}

impl Method {
    /// The word in configuration, log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Smime => "smime",
            Self::Portal => "portal",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The lowest grade that an exception lets content travel at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// TLS to whoever answers.
    Any,
    /// No TLS at all.
    None,
}

impl Allowance {
    /// The word in configuration, log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::None => "none",
        }
    }
}

/// An entry of the register of exceptions that a decision used: who answers for it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExceptionUse {
    /// The address or domain that it is for, as written.
    pub recipient: String,
    /// What it allows.
    pub allow: Allowance,
    /// The highest level that it is good for.
    pub max_level: Level,
    /// Who answers for it.
    pub owner: String,
    /// The reason code.
    pub reason: String,
    /// When it becomes inert.
    pub expires: Timestamp,
}

/// How far TLS got for a recipient, as far as is known when it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum TlsStanding {
    /// Not tried since the facts were fresh: it may be enough.
    #[default]
    Untried,
    /// Every host fell short just now.
    Short {
        /// The best that was reached.
        reached: Grade,
        /// What was demanded.
        required: Grade,
    },
    /// Every host fell short just now, though more is known of the domain: somebody may stand
    /// between.
    Suspected {
        /// The best that was reached.
        reached: Grade,
        /// What was demanded.
        required: Grade,
        /// What the domain is known to offer.
        expected: Grade,
        /// When it was first seen to fall short.
        since: Timestamp,
    },
}

/// Why a method was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The method's assurance does not reach the level.
    LevelTooHigh,
    /// This build or configuration does not have the method.
    NotConfigured,
    /// No certificate that could be used is known for the address.
    NoCertificate,
    /// One is known, and cannot be used.
    Certificate(CertificateProblem),
    /// The message could not be sealed when that was tried; the log says why.
    NotSealed,
    /// The recipient could not prove who they are as the level asks: nothing is known that does not
    /// travel by the mailbox, or a code to it would not count.
    NoFactor,
    /// The portal did not take it; the log says why.
    NotDeposited,
    /// The policy for this recipient says that TLS is not enough.
    TlsNotEnough,
    /// Every host of the domain fell short.
    Short {
        /// The best that was reached.
        reached: Grade,
        /// What was demanded.
        required: Grade,
    },
    /// The domain is known to offer more than it did just now.
    DowngradeSuspected {
        /// The best that was reached.
        reached: Grade,
        /// What the domain is known to offer.
        expected: Grade,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LevelTooHigh => f.write_str("its assurance does not reach the level"),
            Self::NotConfigured => f.write_str("not configured"),
            Self::NoCertificate => f.write_str("no certificate for this address"),
            Self::Certificate(problem) => problem.fmt(f),
            Self::NotSealed => f.write_str("the message could not be sealed"),
            Self::NoFactor => f.write_str(
                "nothing is known by which the recipient could prove who they are, as the level asks",
            ),
            Self::NotDeposited => f.write_str("the portal did not take the message"),
            Self::TlsNotEnough => f.write_str("the policy says that TLS is not enough here"),
            // The grade would do: it is a pin or the key exchange that was not met.
            Self::Short { reached, required } if reached.reaches(*required) => {
                f.write_str("no host met the pins or the key exchange that the policy asks for")
            }
            Self::Short { reached, required } => {
                write!(
                    f,
                    "the connection reached {reached}, and {required} is needed"
                )
            }
            Self::DowngradeSuspected { reached, expected } => write!(
                f,
                "the connection reached {reached}, and the domain is known to offer {expected}"
            ),
        }
    }
}

/// What became of a method that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It reaches the level.
    Accepted,
    /// It does not, or cannot be used.
    Refused(Refusal),
}

/// A method that was considered for a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub method: Method,
    /// Taken or not, and why.
    pub verdict: Verdict,
}

/// What asked for a level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// The base of the policy.
    Base,
    /// The section of the recipient's domain, by its name.
    Domain(Arc<str>),
    /// A group of accounts, by its name.
    Group(Arc<str>),
    /// The section of the account, by its name.
    User(Arc<str>),
    /// A rule, by its name.
    Rule(Arc<str>),
    /// A tag in the subject, as the policy writes it.
    Tag(Arc<str>),
    /// The sender's `X-Sealpost-Level` field.
    Field,
    /// A detector.
    Detector(Finding),
    /// Something that could not be read.
    Unscannable(Unscannable),
    /// Nobody looked at the content, and the policy has detectors.
    NotScanned,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("the base of the policy"),
            Self::Domain(name) => write!(f, "the policy for domain {name}"),
            Self::Group(name) => write!(f, "the policy for group {name}"),
            Self::User(name) => write!(f, "the policy for account {name}"),
            Self::Rule(name) => write!(f, "rule \"{name}\""),
            Self::Tag(tag) => write!(f, "subject tag {tag}"),
            Self::Field => f.write_str("the X-Sealpost-Level field"),
            Self::Detector(found) => write!(
                f,
                "detector {} (part {}, offset {})",
                found.detector, found.part, found.offset
            ),
            Self::Unscannable(part) => {
                write!(f, "part {} could not be read ({})", part.part, part.why)
            }
            Self::NotScanned => f.write_str("the content was not looked at"),
        }
    }
}

/// Something asked for a level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// The level.
    pub level: Level,
    /// What asked for it.
    pub asker: Asker,
}

/// What a decision comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It goes, by this method.
    Send(Method),
    /// It waits before any other method is considered: a downgrade is suspected, and the hold for
    /// that ends then.
    Wait {
        /// When other methods are considered.
        until: Timestamp,
    },
    /// It waits for a person: the rules that hold it, by name. Never empty.
    Hold(Vec<Arc<str>>),
    /// No method is left: it waits for facts to change.
    NoMethod,
}

/// Why a recipient's message goes the way it does. Durable before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// What the message needs for this recipient: the maximum over `reasons`.
    pub level: Level,
    /// What asked for a level, highest first; the base always stands among them.
    pub reasons: Vec<Reason>,
    /// Every method considered, in the order of least friction.
    pub candidates: Vec<Candidate>,
    /// What it comes to.
    pub course: Course,
    /// What the channel must be, beyond the grade.
    pub terms: Terms,
    /// The level whose row of the portal's factors applies; above `level` where a downgrade is
    /// suspected.
    pub factors: Level,
    /// What the recipient opens it by, where it goes by the portal.
    pub pickup: Option<PickupBy>,
    /// The exception that lets the content travel below `pkix`, where one does.
    pub exception: Option<ExceptionUse>,
    /// Rules that ask for a person's attention, by name.
    pub alerts: Vec<Arc<str>>,
    /// The first 16 octets of SHA-256 over the policy in force, as hex.
    pub policy: Arc<str>,
}

impl Decision {
    /// A decision that nothing but the base asked for.
    pub fn base(
        level: Level,
        candidates: Vec<Candidate>,
        course: Course,
        policy: Arc<str>,
    ) -> Self {
        let asker = Asker::Base;
        Self {
            level,
            reasons: vec![Reason { level, asker }],
            candidates,
            course,
            terms: Terms::default(),
            factors: level,
            pickup: None,
            exception: None,
            alerts: Vec::new(),
            policy,
        }
    }

    /// The method that it goes by, if it goes.
    pub const fn method(&self) -> Option<Method> {
        match self.course {
            Course::Send(method) => Some(method),
            Course::Wait { .. } | Course::Hold(_) | Course::NoMethod => None,
        }
    }
}

/// What a channel must be for a recipient, beyond its grade.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The only MX hosts that may be used; empty for all. A `pkix` connection to one of these
    /// has the grade `pinned`.
    pub pin_mx: Vec<DomainPattern>,
    /// Whether the key exchange must withstand a quantum computer.
    pub require_pq: bool,
}

impl Terms {
    /// Whether `pin_mx` names this host.
    pub fn names(&self, host: &Domain) -> bool {
        self.pin_mx.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether a connection to `host` meets them; `post_quantum` says whether its key exchange
    /// withstands a quantum computer.
    pub fn are_met_by(&self, host: &Domain, post_quantum: bool) -> bool {
        let pinned = self.pin_mx.is_empty() || self.names(host);
        pinned && (post_quantum || !self.require_pq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_level_never_demands_less() {
        let levels = [
            Level::Protected,
            Level::Confidential,
            Level::Restricted,
            Level::Sealed,
        ];
        for pair in levels.windows(2) {
            let (low, high) = (pair[0].least_grade(), pair[1].least_grade());
            assert!(high.is_none() || low <= high, "{pair:?}");
        }
    }

    #[test]
    fn dane_and_mta_sts_satisfy_each_other_and_nothing_less_does() {
        for least in [Grade::MtaSts, Grade::Dane] {
            assert!(Grade::MtaSts.reaches(least));
            assert!(Grade::Dane.reaches(least));
            assert!(!Grade::Pinned.reaches(least));
        }
        assert!(!Grade::Any.reaches(Grade::Pkix));
        assert!(Grade::Pkix.reaches(Grade::Pkix));
    }
}
