//! What is decided for recipients, and from which certificates.
//!
//! What is at hand is always looked at; whoever else knows certificates, and whoever knows which
//! were revoked, is asked only where the answer could change what is decided. So a message that
//! goes by another method tells no directory of its recipients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::certificates::{KnowsCertificates, Smime};
use super::super::crowd::{Crowd, TURN_TIME, Turn};
use super::super::line::{Line, Machinery};
use crate::mail::{
    Address, CertificateProblem, Course, Decision, Domain, FoundCertificate, MessageClass, Method,
    RecipientCertificate, Timestamp,
};
use crate::policy::{MessageFacts, Policy, RecipientFacts, asks_portal, could_seal};
use crate::queue::Preparation;
use crate::world::clock::Clock;

/// Look-ups under way for one message.
const MAX_LOOK_UPS: usize = 16;
/// How long a message waits for its look-ups. Who has no answer by then has no certificate in this
/// turn.
const LOOK_UP_TIME: Duration = Duration::from_secs(60);

/// How long a message waits for the portal to say who is registered there.
const PORTAL_TIME: Duration = Duration::from_secs(15);

/// Recipients, what is known of each, and what is decided from that. All lists go by the same
/// numbers.
pub(super) struct Considered {
    pub(super) recipients: Vec<RecipientFacts>,
    pub(super) decisions: Vec<Arc<Decision>>,
    found: Vec<FoundCertificate>,
}

impl Considered {
    /// Decides by what is at hand.
    pub(super) fn new(
        machinery: &Machinery,
        message: &MessageFacts,
        mut recipients: Vec<RecipientFacts>,
        now: Timestamp,
    ) -> Self {
        let mut found = vec![FoundCertificate::default(); recipients.len()];
        if let Some(smime) = in_use(machinery, message.class) {
            for (facts, found) in recipients.iter_mut().zip(&mut found) {
                *found = smime.certificates.known(&facts.address, now);
                facts.find(found);
            }
        }
        let decisions = machinery.policy.decide(message, &recipients);
        Self {
            recipients,
            decisions,
            found,
        }
    }

    /// Those for whom somebody has to be asked: S/MIME is refused for want of a certificate and no
    /// method before it is taken, or S/MIME is taken and nobody was asked about revocation.
    pub(super) fn open_questions(
        &self,
        machinery: &Machinery,
        message: &MessageFacts,
    ) -> Vec<usize> {
        if in_use(machinery, message.class).is_none() {
            return Vec::new();
        }
        let asks = |decision: &Decision| {
            decision.course == Course::Send(Method::Smime) || could_seal(decision)
        };
        let all = self.decisions.iter().enumerate();
        all.filter(|(_, decision)| asks(decision))
            .map(|(at, _)| at)
            .collect()
    }

    /// Those for whom the portal has to be asked: it is refused for want of a proof, and no method
    /// before it is taken.
    pub(super) fn open_to_portal(
        &self,
        machinery: &Machinery,
        message: &MessageFacts,
    ) -> Vec<usize> {
        if machinery.portal.is_none() || message.class != MessageClass::Submitted {
            return Vec::new();
        }
        let all = self.decisions.iter().zip(&self.recipients).enumerate();
        all.filter(|(_, (decision, facts))| asks_portal(decision, facts.pickup))
            .map(|(at, _)| at)
            .collect()
    }

    /// Asks the portal whether those have registered there in time, and decides again by the
    /// answers. Whoever there is no answer for has not, in this turn.
    pub(super) async fn ask_portal(
        &mut self,
        line: &Line,
        machinery: &Machinery,
        message: &MessageFacts,
        preparation: &Preparation,
        open: Vec<usize>,
    ) {
        let Some(portal) = &machinery.portal else {
            return;
        };
        let limit = line.clock.now() + PORTAL_TIME;
        let mut waiting = open.into_iter();
        let mut asked = JoinSet::new();
        loop {
            while asked.len() < MAX_LOOK_UPS
                && let Some(at) = waiting.next()
                && let Some(facts) = self.recipients.get(at)
            {
                let (client, address) = (portal.client.clone(), facts.address.clone());
                asked.spawn(async move { (at, client.standing(&address).await) });
            }
            let next = tokio::select! {
                biased;
                next = asked.join_next() => next,
                () = line.clock.sleep_until(limit) => None,
            };
            match next {
                Some(Ok((at, Ok(standing)))) => {
                    let since = preparation
                        .recipients
                        .get(at)
                        .and_then(|it| it.suspected_since);
                    let received = preparation.envelope.received;
                    let trusted_before = since.unwrap_or(received).min(received);
                    if let Some(facts) = self.recipients.get_mut(at) {
                        let since = standing.registered;
                        facts.pickup.registered =
                            Some(since.is_some_and(|since| since < trusted_before));
                    }
                }
                Some(Ok((_, Err(error)))) => {
                    tracing::warn!(queue_id = %preparation.id, %error, "the portal could not be asked whether a recipient is registered");
                }
                Some(Err(_)) => {}
                None => break,
            }
        }
        self.decide(&machinery.policy, message);
    }

    /// Asks for those, and decides again by the answers.
    pub(super) async fn look_up(
        &mut self,
        line: &Line,
        machinery: &Machinery,
        message: &MessageFacts,
        open: Vec<usize>,
        now: Timestamp,
    ) {
        let Some(smime) = in_use(machinery, message.class) else {
            return;
        };
        let address = |at: usize| Some((at, self.recipients.get(at)?.address.clone()));
        let addresses = open.iter().copied().filter_map(address).collect();
        let questions = Questions {
            clock: line.clock,
            turns: line.look_ups(),
            certificates: Arc::clone(&smime.certificates),
            open: turns(&line.asking, line.clock, addresses).await,
        };
        let mut unanswered = open;
        let limit = line.clock.now() + TURN_TIME;
        if !questions.open.is_empty()
            && let Some(_turn) = line.asking.among_all(line.clock, limit).await
        {
            for (at, answer) in questions.ask(now).await {
                unanswered.retain(|&other| other != at);
                self.take(at, answer);
            }
        }
        for at in unanswered {
            self.give_up(smime, at, now);
        }
        self.decide(&machinery.policy, message);
    }

    fn take(&mut self, at: usize, answer: FoundCertificate) {
        if let (Some(facts), Some(found)) = (self.recipients.get_mut(at), self.found.get_mut(at)) {
            facts.find(&answer);
            *found = answer;
        }
    }

    /// No answer came in time, or there was no turn to ask. Whether a certificate that is at hand
    /// is used then is the operator's choice: nobody has said that it was not revoked.
    fn give_up(&mut self, smime: &Smime, at: usize, now: Timestamp) {
        let unanswered = match self.certificate(at) {
            Some(at_hand) => smime.certificates.unanswered(&at_hand.fingerprint, now),
            None => Err(CertificateProblem::LookupFailed),
        };
        if let Err(problem) = unanswered {
            self.refuse_certificate(at, problem);
        }
    }

    /// The certificate to seal to.
    pub(super) fn certificate(&self, at: usize) -> Option<&RecipientCertificate> {
        self.found.get(at)?.certificate.as_ref()
    }

    /// The certificate cannot be used after all.
    pub(super) fn refuse_certificate(&mut self, at: usize, problem: CertificateProblem) {
        let answer = FoundCertificate {
            certificate: None,
            problem: Some(problem),
        };
        self.take(at, answer);
    }

    /// The message cannot be sealed to it.
    pub(super) fn refuse_sealing(&mut self, at: usize) {
        if let Some(facts) = self.recipients.get_mut(at) {
            facts.unsealable = true;
        }
    }

    /// Decides by what is known now. What is known as before is decided as before.
    pub(super) fn decide(&mut self, policy: &Policy, message: &MessageFacts) {
        self.decisions = policy.decide(message, &self.recipients);
    }
}

/// What S/MIME works with, where it may be used for messages of this class.
fn in_use(machinery: &Machinery, class: MessageClass) -> Option<&Smime> {
    let smime = machinery.smime.as_ref()?;
    (machinery.policy.source().smime && class == MessageClass::Submitted).then_some(smime)
}

/// Those about whom may be asked now: of a domain that many messages ask about there are none.
async fn turns(crowd: &Crowd, clock: Clock, open: Vec<(usize, Address)>) -> Vec<Question> {
    let limit = clock.now() + TURN_TIME;
    let mut turns: HashMap<Domain, Option<Arc<Turn>>> = HashMap::new();
    let mut questions = Vec::with_capacity(open.len());
    for (at, address) in open {
        let turn = match turns.get(address.domain()) {
            Some(turn) => turn.clone(),
            None => {
                let turn = crowd.turn(address.domain(), clock, limit).await;
                let turn = turn.map(Arc::new);
                turns.insert(address.domain().clone(), turn.clone());
                turn
            }
        };
        questions.extend(turn.map(|turn| Question { at, address, turn }));
    }
    questions
}

/// A question about a recipient, with the turn that its domain has given to the message.
struct Question {
    at: usize,
    address: Address,
    turn: Arc<Turn>,
}

/// Questions to whoever can be asked.
struct Questions {
    clock: Clock,
    /// Turns to ask, shared by all messages.
    turns: Arc<Semaphore>,
    certificates: Arc<dyn KnowsCertificates>,
    open: Vec<Question>,
}

impl Questions {
    /// The answers that come within [`LOOK_UP_TIME`], in no particular order.
    async fn ask(self, now: Timestamp) -> Vec<(usize, FoundCertificate)> {
        let limit = self.clock.now() + LOOK_UP_TIME;
        let mut waiting = self.open.into_iter();
        let mut asked = JoinSet::new();
        let mut answers = Vec::new();
        loop {
            while asked.len() < MAX_LOOK_UPS
                && let Some(Question { at, address, turn }) = waiting.next()
            {
                let (certificates, turns) =
                    (Arc::clone(&self.certificates), Arc::clone(&self.turns));
                asked.spawn(async move {
                    let _question = turn.question().await;
                    let _turn = turns.acquire_owned().await.ok();
                    (at, certificates.look_up(&address, now).await)
                });
            }
            let next = tokio::select! {
                biased;
                next = asked.join_next() => next,
                () = self.clock.sleep_until(limit) => None,
            };
            match next {
                Some(Ok(answer)) => answers.push(answer),
                // It died: no answer is an answer.
                Some(Err(_)) => {}
                // All have answered, or the time is up; those under way end with the set.
                None => return answers,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::flow::certificates::Answer;
    use crate::mail::{CertificateFact, Fingerprint};
    use crate::seal::Sealer;

    /// Answers after a second; never for addresses that begin with `mute`.
    #[derive(Debug, Default)]
    struct Slow {
        under_way: AtomicUsize,
        most: AtomicUsize,
        /// What is at hand is used where no answer comes.
        lenient: bool,
    }

    impl KnowsCertificates for Slow {
        fn known(&self, _: &Address, _: Timestamp) -> FoundCertificate {
            FoundCertificate::default()
        }

        fn look_up<'a>(
            &'a self,
            address: &'a Address,
            _: Timestamp,
        ) -> Answer<'a, FoundCertificate> {
            Box::pin(async move {
                if address.to_string().starts_with("mute") {
                    std::future::pending::<()>().await;
                }
                assert!(!address.to_string().starts_with("dies"), "as a test wants");
                let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                FoundCertificate::default()
            })
        }

        fn unanswered(&self, _: &Fingerprint, _: Timestamp) -> Result<(), CertificateProblem> {
            match self.lenient {
                true => Ok(()),
                false => Err(CertificateProblem::RevocationUnknown),
            }
        }

        fn stands<'a>(
            &'a self,
            _: &'a Address,
            _: &'a Fingerprint,
            _: Timestamp,
        ) -> Answer<'a, Result<(), CertificateProblem>> {
            Box::pin(async { Ok(()) })
        }
    }

    async fn asked(names: &[String], at_once: usize) -> (Vec<usize>, usize, Duration) {
        let slow = Arc::new(Slow::default());
        let clock = Clock::starting_at(Timestamp::from_secs(1000));
        let address = |name: &String| Address::parse(&format!("{name}@b.example")).unwrap();
        let open = names.iter().map(address).enumerate().collect();
        let crowd = Crowd::new(1);
        let questions = Questions {
            clock,
            turns: Arc::new(Semaphore::new(at_once)),
            certificates: Arc::clone(&slow) as Arc<dyn KnowsCertificates>,
            open: turns(&crowd, clock, open).await,
        };
        let begun = tokio::time::Instant::now();
        let answers = questions.ask(Timestamp::from_secs(1000)).await;
        let mut answered: Vec<usize> = answers.into_iter().map(|(at, _)| at).collect();
        answered.sort_unstable();
        (answered, slow.most.load(Ordering::SeqCst), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn asks_many_at_a_time_and_not_too_many() {
        let names: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let all: Vec<usize> = (0..100).collect();
        let (answered, most, took) = asked(&names, 64).await;
        assert_eq!((answered, most), (all.clone(), MAX_LOOK_UPS));
        assert_eq!(took.as_secs(), 7);
        // Of the turns that all messages share, others have taken most.
        let (answered, most, _) = asked(&names, 3).await;
        assert_eq!((answered, most), (all, 3));
    }

    #[test]
    fn what_is_at_hand_is_used_without_an_answer_where_the_operator_says_so() {
        let now = Timestamp::from_secs(1000);
        let at_hand = FoundCertificate {
            certificate: Some(RecipientCertificate {
                der: bytes::Bytes::new(),
                fingerprint: Fingerprint::new([1; 32]),
                expires: now,
                fact: CertificateFact::Directory,
                gcm: false,
                oaep: false,
            }),
            problem: None,
        };
        for (lenient, found, expected) in [
            (true, &at_hand, None),
            (false, &at_hand, Some(CertificateProblem::RevocationUnknown)),
            (
                true,
                &FoundCertificate::default(),
                Some(CertificateProblem::LookupFailed),
            ),
        ] {
            let smime = Smime {
                certificates: Arc::new(Slow {
                    lenient,
                    ..Slow::default()
                }),
                sealer: Arc::new(Sealer::new(Vec::new())),
            };
            let jo = Address::parse("jo@b.example").unwrap();
            let mut considered = Considered {
                recipients: vec![RecipientFacts::new(jo, now)],
                decisions: Vec::new(),
                found: vec![found.clone()],
            };
            considered.give_up(&smime, 0, now);
            assert_eq!(considered.certificate(0).is_some(), expected.is_none());
            assert_eq!(considered.recipients[0].certificate_problem, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_whose_directory_is_mute_holds_up_no_other() {
        let clock = Clock::starting_at(Timestamp::from_secs(1000));
        let crowd = Crowd::new(64);
        let shared = Arc::new(Semaphore::new(64));
        let ask = async |names: &[&str]| {
            let parse = |name: &&str| Address::parse(name).unwrap();
            let open = names.iter().map(parse).enumerate().collect();
            Questions {
                clock,
                turns: Arc::clone(&shared),
                certificates: Arc::new(Slow::default()),
                open: turns(&crowd, clock, open).await,
            }
        };
        let many: Vec<String> = (0..100).map(|n| format!("mute{n}@a.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut others = JoinSet::new();
        for _ in 0..8 {
            others.spawn(ask(&many).await.ask(clock.now()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        // Of that domain there are no more turns; the other one is asked about at once.
        let begun = clock.now();
        let both = ask(&["p@b.example", "mute@a.example"]).await;
        assert_eq!(both.open.len(), 1);
        assert_eq!(both.ask(clock.now()).await.len(), 1);
        assert_eq!(clock.now(), begun + TURN_TIME + Duration::from_secs(1));
        assert_eq!(others.len(), 8, "they still wait");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_waited_for_longer() {
        let names = ["a", "mute", "dies", "b"].map(str::to_owned);
        let (answered, _, took) = asked(&names, 64).await;
        assert_eq!(answered, [0, 3]);
        assert_eq!(took, LOOK_UP_TIME);
    }
}
