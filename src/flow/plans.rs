//! A new decision for some recipients of a message, put beside the plans of the others.
//!
//! Renditions that no plan refers to any more are dropped, and so are those of recipients that have
//! ended which were made for them alone (sealed ones and notices); equal ones are one (sealed ones
//! never are equal): there are never more than
//! recipients, however often a message is decided again. Attempts in flight keep the `Prepared`
//! that they were given, so numbers may change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::mail::{Decision, Prepared, RecipientPlan, Rendition, Sealed};

/// What was decided for a recipient, and what was made for it.
pub(super) struct Decided {
    pub(super) recipient: u32,
    pub(super) decision: Arc<Decision>,
    pub(super) rendition: Option<Rendition>,
}

/// The plans of `previous`, with what was decided now in place of what was decided before. Of
/// recipients in `ended` the decision stays, and nothing that was sealed, and no notice.
pub(super) fn merge(previous: Option<&Prepared>, decided: Vec<Decided>, ended: &[u32]) -> Prepared {
    let ended: HashSet<u32> = ended.iter().copied().collect();
    let mut plans: BTreeMap<u32, (Arc<Decision>, Option<&Rendition>)> = BTreeMap::new();
    if let Some(previous) = previous {
        for plan in &previous.plans {
            let needed = |rendition: &&Rendition| {
                let shared = rendition.recipe().is_none() && rendition.deposit().is_none();
                shared || !ended.contains(&plan.recipient)
            };
            let rendition = previous.rendition(plan).filter(needed);
            let kept = (Arc::clone(&plan.decision), rendition);
            plans.insert(plan.recipient, kept);
        }
    }
    for new in &decided {
        let plan = (Arc::clone(&new.decision), new.rendition.as_ref());
        plans.insert(new.recipient, plan);
    }
    let mut prepared = Prepared::default();
    let mut numbers = Numbers::default();
    for (recipient, (decision, rendition)) in plans {
        let rendition =
            rendition.and_then(|rendition| numbers.of(&mut prepared.renditions, rendition));
        prepared.plans.push(RecipientPlan {
            recipient,
            decision,
            rendition,
        });
    }
    prepared
}

/// The numbers of renditions so far. What is sealed is made for one recipient, so there can be as
/// many as recipients: two of those are one only where they are the same object.
#[derive(Default)]
struct Numbers {
    sealed: HashMap<*const Sealed, u32>,
    others: Vec<u32>,
}

impl Numbers {
    /// The number of a rendition, which is added if it is not there yet.
    fn of(&mut self, renditions: &mut Vec<Rendition>, wanted: &Rendition) -> Option<u32> {
        let equals = |number: &&u32| {
            let at = usize::try_from(**number).ok();
            at.and_then(|at| renditions.get(at)) == Some(wanted)
        };
        let known = match wanted.recipe() {
            Some(recipe) => self.sealed.get(&Arc::as_ptr(recipe)),
            None => self.others.iter().find(equals),
        };
        if let Some(known) = known {
            return Some(*known);
        }
        let number = u32::try_from(renditions.len()).ok()?;
        renditions.push(wanted.clone());
        match wanted.recipe() {
            Some(recipe) => drop(self.sealed.insert(Arc::as_ptr(recipe), number)),
            None => self.others.push(number),
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sealed::sample;
    use crate::mail::{Course, Demand, Level, Method, Terms};

    fn decided(recipient: u32, policy: &str, prefix: Option<&str>) -> Decided {
        let course = match prefix {
            Some(_) => Course::Send(Method::Tls),
            None => Course::NoMethod,
        };
        let decision = Decision::base(Level::Protected, Vec::new(), course, policy.into());
        Decided {
            recipient,
            decision: Arc::new(decision),
            rendition: prefix.and_then(|prefix| {
                let demand = Demand::content(Level::Protected).unwrap();
                let prefix = prefix.as_bytes().to_vec();
                Rendition::content(demand, Terms::default(), prefix, Vec::new())
            }),
        }
    }

    fn shown(prepared: &Prepared) -> Vec<(u32, String, Option<String>)> {
        let show = |plan: &RecipientPlan| {
            let prefix = prepared.rendition(plan).map(|rendition| &rendition.prefix);
            let prefix = prefix.map(|prefix| String::from_utf8(prefix.clone()).unwrap());
            (plan.recipient, plan.decision.policy.to_string(), prefix)
        };
        prepared.plans.iter().map(show).collect()
    }

    #[test]
    fn the_plans_of_others_stay_and_point_to_the_same_bytes() {
        let first = merge(
            None,
            vec![
                decided(2, "1", Some("c")),
                decided(0, "1", Some("a")),
                decided(1, "1", Some("a")),
            ],
            &[],
        );
        assert_eq!(first.renditions.len(), 2, "equal ones are one");
        let second = merge(
            Some(&first),
            vec![decided(0, "2", None), decided(1, "2", Some("b"))],
            &[2],
        );
        let expected = [
            (0, "2".to_owned(), None),
            (1, "2".to_owned(), Some("b".to_owned())),
            (2, "1".to_owned(), Some("c".to_owned())),
        ];
        assert_eq!(shown(&second), expected);
        assert_eq!(second.renditions.len(), 2, "the old one went");
    }

    #[test]
    fn what_was_sealed_for_those_who_have_ended_is_dropped() {
        let sealed = |recipient| Decided {
            rendition: Some(Rendition::sealed(
                Level::Protected,
                Terms::default(),
                Arc::new(sample()),
            )),
            ..decided(recipient, "1", None)
        };
        let first = merge(None, (0..3).map(sealed).collect(), &[]);
        assert_eq!(first.renditions.len(), 3);
        let second = merge(Some(&first), vec![sealed(1)], &[0]);
        assert_eq!(second.renditions.len(), 2);
        let left: Vec<_> = second.plans.iter().map(|plan| plan.rendition).collect();
        assert_eq!(left, [None, Some(0), Some(1)]);
        assert_eq!(*second.plans[0].decision.policy, *"1", "the decision stays");
    }

    #[test]
    fn renditions_do_not_pile_up_however_often_it_is_decided_again() {
        let first = (0..3).map(|at| decided(at, "0", Some("x"))).collect();
        let mut prepared = merge(None, first, &[]);
        for round in 0..100 {
            let new = decided(round % 3, "1", Some(&round.to_string()));
            prepared = merge(Some(&prepared), vec![new], &[]);
            assert!(prepared.renditions.len() <= 3);
        }
        let prefixes: Vec<_> = shown(&prepared).into_iter().map(|plan| plan.2).collect();
        assert_eq!(
            prefixes,
            ["99", "97", "98"].map(|text| Some(text.to_owned()))
        );
    }
}
