//! How much protection a message needs for a recipient, and by which way it goes.
//!
//! Owns the tables of the security model: level → least grade, rendition class → demand.
//! Everything here is ordered so that "enough" is one comparison, and nothing lowers.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// What kind of bytes go out, which settles what they demand of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenditionClass {
    /// A sender's message, readable by whoever carries it.
    Content,
    /// Our own bounce to a sender.
    Dsn,
}

impl RenditionClass {
    /// The word in log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Dsn => "dsn",
        }
    }
}

/// What a connection must reach before a rendition may travel on it. Only the rows of the table
/// in the security model can be made: there is no constructor that takes a grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Demand {
    class: RenditionClass,
    level: Level,
    least: Grade,
}

impl Demand {
    /// What content of `level` demands; `None` where no TLS grade is ever enough.
    pub const fn content(level: Level) -> Option<Self> {
        match level.least_grade() {
            Some(least) => Some(Self {
                class: RenditionClass::Content,
                level,
                least,
            }),
            None => None,
        }
    }

    /// What our own bounce to a sender demands.
    pub const fn dsn() -> Self {
        Self {
            class: RenditionClass::Dsn,
            level: Level::Protected,
            least: Grade::Pkix,
        }
    }

    /// The rendition class it was made for.
    pub const fn class(self) -> RenditionClass {
        self.class
    }

    /// The level of the content.
    pub const fn level(self) -> Level {
        self.level
    }

    /// The least grade that is enough.
    pub const fn least(self) -> Grade {
        self.least
    }

    /// Whether a connection of `grade` is enough.
    pub fn is_met_by(self, grade: Grade) -> bool {
        grade.reaches(self.least)
    }
}

/// Why a method was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The method's assurance does not reach the level.
    LevelTooHigh,
    /// This build or configuration does not have the method.
    NotConfigured,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LevelTooHigh => "its assurance does not reach the level",
            Self::NotConfigured => "not configured",
        })
    }
}

/// What became of a method that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It reaches the level.
    Accepted,
    /// It does not, or cannot be used.
    Refused(Refusal),
}

/// A method that was considered for a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub method: Method,
    /// Taken or not, and why.
    pub verdict: Verdict,
}

/// Why a recipient's message goes the way it does. Durable before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What the message needs for this recipient.
    pub level: Level,
    /// Every method considered, in the order of least friction.
    pub candidates: Vec<Candidate>,
    /// The first accepted one; `None` defers the recipient with reason `security`.
    pub method: Option<Method>,
    /// The first 16 octets of SHA-256 over the policy in force, as hex.
    pub policy: String,
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

    #[test]
    fn no_demand_is_below_pkix() {
        let demands = [Level::Protected, Level::Confidential, Level::Restricted]
            .map(|level| Demand::content(level).unwrap());
        for demand in demands.into_iter().chain([Demand::dsn()]) {
            assert!(!demand.is_met_by(Grade::None));
            assert!(!demand.is_met_by(Grade::Any));
        }
        assert_eq!(Demand::content(Level::Sealed), None);
    }
}
