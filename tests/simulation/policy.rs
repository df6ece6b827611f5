//! The policy of the simulated world: it holds some, waits out what is suspected, and has a second
//! way for some of those that fell short.

use super::*;

/// How long a suspected downgrade is waited out here.
pub const DOWNGRADE_HOLD: Duration = Duration::from_secs(2 * 3600);
/// The rule that holds.
pub const RULE: &str = "look";

/// The bytes for a method, so that they can be told apart.
fn rendition(method: Method) -> Rendition {
    let prefix = method.as_str().as_bytes().to_vec();
    let terms = sealpost::mail::Terms::default();
    Rendition::content(Demand::dsn(), terms, prefix, Vec::new()).unwrap()
}

fn refused(refusal: Refusal) -> Candidate {
    Candidate {
        method: Method::Tls,
        verdict: Verdict::Refused(refusal),
    }
}

impl World {
    /// Decides whom it is asked for, and keeps the plans of all others; the numbers of the
    /// renditions change now and then.
    pub fn decide(&mut self, preparation: &Preparation) -> Prepared {
        let mut decided: BTreeMap<u32, Arc<Decision>> = preparation
            .previous
            .iter()
            .flat_map(|previous| &previous.plans)
            .map(|plan| (plan.recipient, Arc::clone(&plan.decision)))
            .collect();
        for asked in &preparation.recipients {
            let decision = self.decide_one(preparation.envelope.class, asked);
            decided.insert(asked.recipient, Arc::new(decision));
        }
        let mut methods = [Method::Tls, Method::Smime, Method::Portal];
        if self.random.one_in(2) {
            methods.reverse();
        }
        let number = |decision: &Decision| {
            let method = decision.method()?;
            (0..)
                .zip(methods)
                .find(|(_, m)| *m == method)
                .map(|(at, _)| at)
        };
        Prepared {
            renditions: methods.map(rendition).to_vec(),
            plans: decided
                .into_iter()
                .map(|(recipient, decision)| RecipientPlan {
                    recipient,
                    rendition: number(&decision),
                    decision,
                })
                .collect(),
        }
    }

    fn decide_one(&mut self, class: MessageClass, asked: &ToDecide) -> Decision {
        let policy: Arc<str> = format!("{:032}", self.policy).into();
        let accepted = Candidate {
            method: Method::Tls,
            verdict: Verdict::Accepted,
        };
        let base = |candidate, course| {
            Decision::base(
                Level::Protected,
                vec![candidate],
                course,
                Arc::clone(&policy),
            )
        };
        if class == MessageClass::Dsn {
            assert_eq!(asked.tls, TlsStanding::Untried, "seed {}", self.seed);
            return base(accepted, Course::Send(Method::Tls));
        }
        match asked.tls {
            TlsStanding::Untried => {
                let released = asked.released.iter().any(|name| &**name == RULE);
                match self.random.below(20) {
                    0 if !released => base(accepted, Course::Hold(vec![RULE.into()])),
                    1 | 2 => base(refused(Refusal::LevelTooHigh), Course::NoMethod),
                    _ => base(accepted, Course::Send(Method::Tls)),
                }
            }
            TlsStanding::Short { reached, required } => {
                let short = refused(Refusal::Short { reached, required });
                match self.random.below(5) {
                    0 => base(short, Course::Send(Method::Portal)),
                    1 | 2 => base(short, Course::Send(Method::Smime)),
                    _ => base(short, Course::NoMethod),
                }
            }
            TlsStanding::Suspected {
                reached,
                expected,
                since,
                ..
            } => {
                let suspected = refused(Refusal::DowngradeSuspected { reached, expected });
                let until = since + DOWNGRADE_HOLD;
                if self.now < until {
                    return base(suspected, Course::Wait { until });
                }
                Decision {
                    factors: Level::Restricted,
                    ..base(suspected, Course::Send(Method::Portal))
                }
            }
        }
    }

    /// A person orders something.
    pub fn random_order(&mut self) -> Input {
        let operation = [
            Operation::Release,
            Operation::Hold,
            Operation::Cancel,
            Operation::Retry,
        ][usize::try_from(self.random.below(4)).unwrap()];
        let mut filter = QueueFilter::default();
        let mut id = None;
        match self.random.below(4) {
            0 => filter.dsn = true,
            1 => {
                let site = usize::try_from(self.random.below(SITES.len() as u64)).unwrap();
                filter.domain = Some(SITES[site].0.parse().unwrap());
            }
            2 => id = Some(MessageId::new(self.random.below(12))),
            // Everyone is cancelled only now and then: there would be nothing left to see.
            _ if operation == Operation::Cancel => filter.state = Some("held".to_owned()),
            _ => {}
        }
        let order = Order {
            operation,
            actor: "root".to_owned(),
            reason: "as the script says".to_owned(),
        };
        self.tickets += 1;
        self.ordered.insert(self.tickets);
        self.last_order = self.now;
        Input::Operate {
            ticket: self.tickets,
            selection: Selection { id, filter },
            order: Arc::new(order),
        }
    }
}
