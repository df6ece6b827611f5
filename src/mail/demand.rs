//! What a connection must reach before a kind of bytes may travel on it.
//!
//! Owns the table of the security model from rendition class and level to the least grade.

use serde::{Deserialize, Serialize};

use super::{Allowance, ExceptionUse, Grade, Level, MessageClass, PickupBy};

/// What kind of bytes go out, which settles what they demand of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenditionClass {
    /// A sender's message, readable by whoever carries it.
    Content,
    /// Sealed to the recipient's certificate.
    Sealed,
    /// A portal notice: a fixed template, nothing from the sender but the name.
    Notice,
    /// A portal code mail.
    Code,
    /// Our own bounce to a sender.
    Dsn,
    /// A TLS report.
    Report,
}

impl RenditionClass {
    /// The word in log and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Sealed => "sealed",
            Self::Notice => "notice",
            Self::Code => "code",
            Self::Dsn => "dsn",
            Self::Report => "report",
        }
    }

    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Content,
        Self::Sealed,
        Self::Notice,
        Self::Code,
        Self::Dsn,
        Self::Report,
    ];

    /// The table of the security model: the least grade for this class at a level; `None` where
    /// no grade is ever enough. Only content demands more at a higher level. "Best available" is
    /// the grade `none`: such mail says nothing that a sender wrote.
    pub const fn least_grade(self, level: Level) -> Option<Grade> {
        match self {
            Self::Content => level.least_grade(),
            Self::Sealed => Some(Grade::Any),
            Self::Notice | Self::Code | Self::Report => Some(Grade::None),
            Self::Dsn => Some(Grade::Pkix),
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
        match RenditionClass::Content.least_grade(level) {
            Some(least) => Some(Self {
                class: RenditionClass::Content,
                level,
                least,
            }),
            None => None,
        }
    }

    /// What content of `level` demands where the register of exceptions allows less; `None` where
    /// the exception does not reach as high as the level.
    pub fn excepted(level: Level, exception: &ExceptionUse) -> Option<Self> {
        (level <= exception.max_level).then_some(Self {
            class: RenditionClass::Content,
            level,
            least: match exception.allow {
                Allowance::Any => Grade::Any,
                Allowance::None => Grade::None,
            },
        })
    }

    /// What content sealed to the recipient's certificate demands: only `Rendition::sealed` asks.
    pub(super) const fn sealed(level: Level) -> Self {
        Self {
            class: RenditionClass::Sealed,
            level,
            least: Grade::Any,
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

    /// What a message of ours demands; `None` for one that an application submitted.
    pub const fn ours(class: MessageClass) -> Option<Self> {
        let (class, least) = match class {
            MessageClass::Submitted => return None,
            MessageClass::Dsn => return Some(Self::dsn()),
            MessageClass::Notice => (RenditionClass::Notice, Grade::None),
            MessageClass::Code => (RenditionClass::Code, Grade::None),
        };
        Some(Self {
            class,
            level: Level::Protected,
            least,
        })
    }

    /// What the notice of a deposit demands: only `Rendition::notice` asks. Where the mailbox code
    /// is what opens the deposit, a path without TLS would make that code worthless, so the notice
    /// must not be sent there either.
    pub(super) const fn notice(level: Level, by: PickupBy) -> Self {
        Self {
            class: RenditionClass::Notice,
            level,
            least: match by {
                PickupBy::Mailbox => Grade::Any,
                PickupBy::Apart => Grade::None,
            },
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_mailed_code_asks_for_tls_where_its_notice_goes() {
        let level = Level::Protected;
        assert!(!Demand::notice(level, PickupBy::Mailbox).is_met_by(Grade::None));
        assert!(Demand::notice(level, PickupBy::Mailbox).is_met_by(Grade::Any));
        assert!(Demand::notice(level, PickupBy::Apart).is_met_by(Grade::None));
    }
}
