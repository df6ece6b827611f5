//! What may leave, written out once more: the tables of the security model as plain lists.
//!
//! Owns a second opinion. It shares no comparison with the engine: no order of levels or grades,
//! no `least_grade`, no `is_met_by`. A fault in those must differ from what stands here.

use crate::mail::CertificateFact;
use crate::mail::{
    Allowance, ExceptionUse, Grade, Level, MessageClass, PickupBy, PickupFacts, RenditionClass,
    Timestamp, TlsStanding,
};

/// The grades that carry content of a level.
const CONTENT: [(Level, &[Grade]); 4] = [
    (
        Level::Protected,
        &[Grade::Pkix, Grade::Pinned, Grade::MtaSts, Grade::Dane],
    ),
    (
        Level::Confidential,
        &[Grade::Pinned, Grade::MtaSts, Grade::Dane],
    ),
    (Level::Restricted, &[Grade::MtaSts, Grade::Dane]),
    (Level::Sealed, &[]),
];

/// The grades that carry a bounce of ours.
const DSN: &[Grade] = &[Grade::Pkix, Grade::Pinned, Grade::MtaSts, Grade::Dane];

/// The grades that an exception adds.
const ANY: &[Grade] = &[Grade::Any];
const PLAIN: &[Grade] = &[Grade::Any, Grade::None];

/// The certificates that carry a level.
const CERTIFICATES: [(Level, &[CertificateFact]); 4] = [
    (
        Level::Protected,
        &[
            CertificateFact::Valid,
            CertificateFact::Directory,
            CertificateFact::Pinned,
        ],
    ),
    (
        Level::Confidential,
        &[
            CertificateFact::Valid,
            CertificateFact::Directory,
            CertificateFact::Pinned,
        ],
    ),
    (
        Level::Restricted,
        &[CertificateFact::Directory, CertificateFact::Pinned],
    ),
    (Level::Sealed, &[CertificateFact::Pinned]),
];

/// The levels that a code to the mailbox opens, or begins to open.
const MAILBOX: &[Level] = &[Level::Protected, Level::Confidential];

/// The table of rendition classes at each level: the weakest grade, if any is enough.
pub(super) const CLASSES: [(RenditionClass, [Option<Grade>; 4]); 6] = [
    (
        RenditionClass::Content,
        [
            Some(Grade::Pkix),
            Some(Grade::Pinned),
            Some(Grade::MtaSts),
            None,
        ],
    ),
    (RenditionClass::Sealed, [Some(Grade::Any); 4]),
    (RenditionClass::Notice, [Some(Grade::None); 4]),
    (RenditionClass::Code, [Some(Grade::None); 4]),
    (RenditionClass::Dsn, [Some(Grade::Pkix); 4]),
    (RenditionClass::Report, [Some(Grade::None); 4]),
];

/// A level as a number, higher for more.
pub(super) const fn rank(level: Level) -> u8 {
    match level {
        Level::Protected => 1,
        Level::Confidential => 2,
        Level::Restricted => 3,
        Level::Sealed => 4,
    }
}

/// Everything that a case is made of.
#[derive(Debug, Clone)]
pub(super) struct Case<'a> {
    pub(super) class: MessageClass,
    /// The highest level that anything asked for.
    pub(super) level: Level,
    pub(super) now: Timestamp,
    pub(super) hold_micros: u64,
    pub(super) tls: &'a TlsStanding,
    /// A downgrade was suspected before, whatever this turn has come to.
    pub(super) suspected_before: bool,
    pub(super) certificate: CertificateFact,
    /// Something is wrong with the recipient's certificate.
    pub(super) certificate_problem: bool,
    /// A section says that content never goes by TLS alone.
    pub(super) tls_not_enough: bool,
    /// The domain has pins.
    pub(super) pinned: bool,
    pub(super) require_pq: bool,
    pub(super) smime: bool,
    pub(super) portal: bool,
    /// By what the recipient could open a message there.
    pub(super) pickup: PickupFacts,
    /// Entries of the register for this recipient.
    pub(super) exceptions: [Option<&'a ExceptionUse>; 2],
}

impl Case<'_> {
    fn suspected(&self) -> bool {
        matches!(self.tls, TlsStanding::Suspected { .. })
    }

    /// Whether nothing at all may be sent yet.
    pub(super) fn must_wait(&self) -> bool {
        match self.tls {
            TlsStanding::Suspected { since, .. } => {
                let end = since.as_micros().saturating_add(self.hold_micros);
                self.now.as_micros() < end
            }
            TlsStanding::Untried | TlsStanding::Short { .. } => false,
        }
    }

    /// The grades below `pkix` that the register allows: of the first entry that is in force.
    fn excepted(&self) -> &'static [Grade] {
        let in_force = |entry: &&&ExceptionUse| {
            self.now.as_micros() < entry.expires.as_micros()
                && rank(self.level) <= rank(entry.max_level)
                && rank(self.level) < rank(Level::Sealed)
                && !self.suspected()
                && !self.suspected_before
                && !matches!(self.class, MessageClass::Dsn)
        };
        match self.exceptions.iter().flatten().find(in_force) {
            None => &[],
            Some(entry) => match entry.allow {
                Allowance::Any => ANY,
                Allowance::None => PLAIN,
            },
        }
    }

    /// Whether an entry of the register must be named if this goes by TLS at all.
    pub(super) fn uses_register(&self) -> bool {
        !self.excepted().is_empty()
    }

    /// Whether content may go by TLS over a connection of this grade.
    pub(super) fn grade_carries(&self, grade: Grade) -> bool {
        if let MessageClass::Dsn = self.class {
            return DSN.contains(&grade);
        }
        let of_level = CONTENT
            .iter()
            .find(|(level, _)| rank(*level) == rank(self.level))
            .map_or(&[][..], |(_, grades)| grades);
        if of_level.contains(&grade) {
            return !self.tls_not_enough;
        }
        // What an exception adds, it adds for whatever is better too.
        let added = self.excepted();
        let better = !added.is_empty() && !matches!(grade, Grade::Any | Grade::None);
        !self.tls_not_enough && (added.contains(&grade) || better)
    }

    /// Whether content may go over this connection.
    pub(super) fn may_carry(&self, grade: Grade, post_quantum: bool, pinned_host: bool) -> bool {
        self.grade_carries(grade)
            && (pinned_host || !self.pinned)
            && (post_quantum || !self.require_pq)
    }

    /// Whether the recipient's certificate may seal this.
    pub(super) fn certificate_carries(&self) -> bool {
        let trusted = CERTIFICATES
            .iter()
            .find(|(level, _)| rank(*level) == rank(self.level))
            .is_some_and(|(_, trusted)| trusted.contains(&self.certificate));
        self.smime
            && trusted
            && !self.certificate_problem
            && matches!(self.class, MessageClass::Submitted)
    }

    /// Whether hosts have just fallen short of what sealed mail and codes need: they have no TLS, or they
    /// were asked for no more than it needs and fell short all the same.
    pub(super) fn any_fell_short(&self) -> bool {
        match self.tls {
            TlsStanding::Untried => false,
            TlsStanding::Short { reached, required }
            | TlsStanding::Suspected {
                reached, required, ..
            } => matches!(reached, Grade::None) || matches!(required, Grade::None | Grade::Any),
        }
    }

    /// Whether the portal may hold this for a recipient who shows the factors of `factors`.
    pub(super) fn portal_carries(&self, factors: Level) -> bool {
        let least = match self.suspected() || self.suspected_before {
            true => rank(self.level).max(rank(Level::Restricted)),
            false => rank(self.level),
        };
        self.portal && rank(factors) >= least && matches!(self.class, MessageClass::Submitted)
    }
    /// Whether the recipient can open it so.
    pub(super) fn opens(&self, by: PickupBy) -> bool {
        let PickupFacts {
            secret,
            phone,
            registered,
        } = self.pickup;
        match by {
            PickupBy::Apart => secret || phone || matches!(registered, Some(true)),
            PickupBy::Mailbox => {
                MAILBOX.contains(&self.level)
                    && !self.suspected()
                    && !self.suspected_before
                    && !self.any_fell_short()
            }
        }
    }
}
