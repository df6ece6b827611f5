//! That a level is the maximum of all that ask for one, and that the table of rendition classes
//! is the one that was agreed on.

use std::sync::Arc;

use super::oracle::{CLASSES, rank};
use super::{Tally, Witness};
use crate::mail::{
    Asker, Finding, Grade, Level, MessageClass, Reason, RenditionClass, Unreadable, Unscannable,
};
use crate::policy::evaluate::asked;
use crate::policy::judge::Judge;

/// Longest sequence of askers that is tried.
const SEQUENCE: u32 = 5;
/// The algebra of levels: nothing that is asked for is missed, whoever asks in whatever order.
pub(super) fn levels<J: Judge>(judge: &J, tally: &mut Tally) {
    for base in Level::ALL {
        for length in 0..=SEQUENCE {
            for number in 0..4_usize.pow(length) {
                let of_digit = |place: u32| Level::ALL.get(number / 4_usize.pow(place) % 4);
                let sequence: Vec<Level> = (0..length).filter_map(of_digit).copied().collect();
                let level = judge.level(base, &sequence);
                let missed = sequence
                    .iter()
                    .chain([&base])
                    .find(|asked| rank(**asked) > rank(level));
                tally.tried(missed.map(|_| Witness {
                    facts: format!("base {base}, asked {sequence:?}"),
                    decision: format!("level {level}"),
                    why: "a level that something asks for is not reached".to_owned(),
                }));
            }
        }
    }
    kinds(judge, tally);
}

/// Every set of kinds of askers, with levels that differ.
fn kinds<J: Judge>(judge: &J, tally: &mut Tally) {
    let name: Arc<str> = "x".into();
    let askers = [
        Asker::Domain(Arc::clone(&name)),
        Asker::Group(Arc::clone(&name)),
        Asker::User(Arc::clone(&name)),
        Asker::Rule(Arc::clone(&name)),
        Asker::Tag(Arc::clone(&name)),
        Asker::Field,
        Asker::Detector(Finding {
            detector: Arc::clone(&name),
            part: 0,
            offset: 0,
        }),
        Asker::Unscannable(Unscannable {
            part: 0,
            why: Unreadable::Damaged,
        }),
        Asker::NotScanned,
    ];
    for set in 0..1_usize << askers.len() {
        for turn in 0..2 {
            let chosen = askers.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1);
            let reasons: Vec<Reason> = chosen
                .filter_map(|(n, asker)| {
                    Some(Reason {
                        level: *Level::ALL.get((n * 3 + turn) % 4)?,
                        asker: asker.clone(),
                    })
                })
                .collect();
            let (of_message, of_domain) = reasons.split_at(reasons.len() / 2);
            let asked = asked(judge, Level::Protected, of_message, of_domain, &[]);
            let missed = reasons.iter().find(|reason| {
                rank(reason.level) > rank(asked.level) || !asked.reasons.contains(reason)
            });
            tally.tried(missed.map(|reason| Witness {
                facts: format!("{} asks for {}", reason.asker, reason.level),
                decision: format!("level {}", asked.level),
                why: "a level that something asks for is not reached, or not said".to_owned(),
            }));
        }
    }
}

/// The table of rendition classes.
pub(super) fn classes<J: Judge>(judge: &J, tally: &mut Tally) {
    for (class, row) in CLASSES {
        for (level, least) in Level::ALL.into_iter().zip(row) {
            let found = class.least_grade(level);
            let demand = match class {
                RenditionClass::Content => judge.demand(MessageClass::Submitted, level, None),
                RenditionClass::Dsn => judge.demand(MessageClass::Dsn, level, None),
                // Of a reminder: the demand of a notice comes with it, and asks for no less.
                RenditionClass::Notice => judge.demand(MessageClass::Notice, level, None),
                RenditionClass::Code => judge.demand(MessageClass::Code, level, None),
                // The demand of what is sealed comes with it, and is made in `mail`; that of a
                // report cannot be made yet.
                RenditionClass::Sealed | RenditionClass::Report => None,
            };
            let same_class = demand.is_none_or(|demand| demand.class() == class);
            for grade in Grade::ALL {
                let enough = least.is_some_and(|least| strength(grade) >= strength(least));
                let by_table = found.is_some_and(|least| grade.reaches(least));
                let by_demand = demand.is_some_and(|demand| demand.is_met_by(grade));
                let wrong = !enough && (by_table || by_demand) || !same_class;
                tally.tried(wrong.then(|| Witness {
                    facts: format!("class {}, level {level}, grade {grade}", class.as_str()),
                    decision: "it may travel".to_owned(),
                    why: "the table of rendition classes does not say so".to_owned(),
                }));
            }
        }
    }
}

/// A grade as a number; an enforced policy and DANE are worth the same.
const fn strength(grade: Grade) -> u8 {
    match grade {
        Grade::None => 0,
        Grade::Any => 1,
        Grade::Pkix => 2,
        Grade::Pinned => 3,
        Grade::MtaSts | Grade::Dane => 4,
    }
}
