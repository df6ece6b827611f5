//! Others are asked: sources, and whoever says what was revoked. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::*;
use super::home::*;
use super::make::*;
use crate::directory::revocation::RevocationStatus;
use crate::mail::CertificateFact::{Directory, Pinned, Valid};
use crate::mail::CertificateProblem::*;

const KIM: &str = "kim@clinic.example";

struct Scene {
    home: Home,
    root: Ca,
    _directory: tempfile::TempDir,
}

/// A home with these sources, and one authority that is configured.
fn scene(sources: &[&Arc<Told>], checker: Option<&Arc<Checker>>, mode: RevocationMode) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let root = Ca::root("Root");
    let settings = Settings {
        anchors: Anchors::new([root.der.clone()]).unwrap(),
        sources: sources
            .iter()
            .map(|it| -> Arc<dyn Source> { Arc::<Told>::clone(it) })
            .collect(),
        revocation: mode,
        checker: checker.map(|it| -> Arc<dyn CheckRevocation> { Arc::<Checker>::clone(it) }),
        ..Settings::default()
    };
    Scene {
        home: open(directory.path(), settings),
        root,
        _directory: directory,
    }
}

fn off(sources: &[&Arc<Told>]) -> Scene {
    scene(sources, None, RevocationMode::Off)
}

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn print(der: &Bytes) -> Fingerprint {
    Parsed::read(der).unwrap().fingerprint
}

#[tokio::test(start_paused = true)]
async fn what_is_found_elsewhere_needs_a_chain_and_is_kept_for_a_day() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&told]);
    let between = Ca::under(&root, "Between", |_| {});
    let leaf = between.issue(KIM, 1);
    told.now_answers(Answers::With(vec![leaf.to_vec()]));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(NoChain)));
    assert_eq!(home.finds(KIM, after(599)).await, Err(Some(NoChain)));
    assert_eq!(
        told.asked(),
        1,
        "that there is none is kept for ten minutes"
    );
    told.now_answers(Answers::With(vec![bundle(&[&leaf, &between.der])]));
    assert_eq!(home.finds(KIM, after(600)).await, Ok((Valid, leaf.clone())));
    assert_eq!(told.asked(), 2);
    told.now_answers(Answers::Fails);
    let day = 600 + 86_400;
    assert_eq!(
        home.finds(KIM, after(day - 1)).await,
        Ok((Valid, leaf.clone()))
    );
    assert_eq!(told.asked(), 2);
    assert_eq!(home.finds(KIM, after(day)).await, Err(Some(LookupFailed)));
    assert_eq!(
        home.finds(KIM, after(day + 59)).await,
        Err(Some(LookupFailed))
    );
    assert_eq!(told.asked(), 3, "that nobody answered is kept for a minute");
    told.now_answers(Answers::Refuses);
    assert_eq!(
        home.finds(KIM, after(day + 60)).await,
        Err(Some(LookupRefused))
    );
    // Nobody is asked for what is known here alone, nor for domains that nobody serves.
    assert_eq!(home.knows(KIM), Err(None));
    assert_eq!(home.finds("kim@elsewhere.example", NOW).await, Err(None));
    assert_eq!(told.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_goes_when_it_expires() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&told]);
    let short = root.sign(Make::new(&[KIM]).valid("260101000000Z", "261122001000Z"));
    told.now_answers(Answers::With(vec![short.to_vec()]));
    assert_eq!(home.finds(KIM, NOW).await, Ok((Valid, short.clone())));
    let kim = address(KIM);
    assert_eq!(home.stands(&kim, &print(&short), after(60)).await, Ok(()));
    assert_eq!(told.asked(), 1);
    assert_eq!(home.finds(KIM, after(601)).await, Err(Some(Expired)));
    assert_eq!(told.asked(), 2, "asked again when it had expired");
    let stands = home.stands(&kim, &print(&short), after(602)).await;
    assert_eq!(stands, Err(NoChain), "nobody vouches for it any more");
}

#[tokio::test(start_paused = true)]
async fn of_what_is_found_the_newest_acceptable_is_chosen() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&told]);
    let of = |from: &str, seed| {
        root.sign(
            Make::new(&[KIM])
                .key(good_rsa(seed))
                .valid(from, "281231235959Z"),
        )
    };
    let (old, new) = (of("240101000000Z", 1), of("260101000000Z", 2));
    let expired = root.sign(Make::new(&[KIM]).valid("200101000000Z", "211231235959Z"));
    let stranger = Ca::root("Stranger").issue(KIM, 3);
    let other = root.issue("jo@clinic.example", 4);
    let all = [&expired, &old, &stranger, &new, &other, &root.der];
    let values = all
        .map(|it| it.to_vec())
        .into_iter()
        .chain([b"rubbish".to_vec()]);
    told.now_answers(Answers::With(values.collect()));
    assert_eq!(home.finds(KIM, NOW).await, Ok((Valid, new.clone())));
    let kim = address(KIM);
    assert_eq!(home.stands(&kim, &print(&old), NOW).await, Ok(()));
    assert_eq!(
        home.stands(&kim, &print(&stranger), NOW).await,
        Err(NoChain)
    );
    let (views, problem) = home.consider(&kim, NOW).await;
    assert_eq!((views.len(), problem), (2, None));
    assert!(views[0].chosen && views[0].origin == Origin::Found && !views[1].chosen);
    assert_eq!(told.asked(), 2, "once for all messages, once by hand");
}

#[tokio::test(start_paused = true)]
async fn sources_are_asked_in_order_and_what_is_known_here_comes_first() {
    let first = Told::new("clinic.example", Answers::Fails);
    let second = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&first, &second]);
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(LookupFailed)));
    let (one, two) = (root.issue(KIM, 1), root.issue(KIM, 2));
    second.now_answers(Answers::With(vec![two.to_vec()]));
    assert_eq!(home.finds(KIM, after(60)).await, Ok((Valid, two.clone())));
    home.reload(Settings {
        anchors: Anchors::new([root.der.clone()]).unwrap(),
        sources: vec![Arc::<Told>::clone(&first), Arc::<Told>::clone(&second)],
        revocation: RevocationMode::Off,
        ..Settings::default()
    });
    first.now_answers(Answers::With(vec![one.to_vec()]));
    assert_eq!(home.finds(KIM, after(61)).await, Ok((Valid, one)));
    assert_eq!((first.asked(), second.asked()), (3, 2), "a reload forgets");
    let own = Make::new(&[KIM]).key(good_rsa(3)).unsigned();
    home.take(&[&own], ImportOptions::default()).await;
    assert_eq!(home.finds(KIM, after(62)).await, Ok((Directory, own)));
    let pinned = Make::new(&[KIM]).key(good_rsa(4)).unsigned();
    home.take(&[&pinned], pin()).await;
    assert_eq!(home.finds(KIM, after(63)).await, Ok((Pinned, pinned)));
    assert_eq!((first.asked(), second.asked()), (3, 2));
    let stands = home.stands(&address(KIM), &print(&two), after(63)).await;
    assert_eq!(stands, Err(NotApproved), "not beside a pinned key");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_costs_its_share_and_no_more() {
    let hangs = Told::new("clinic.example", Answers::Hangs);
    let good = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&hangs, &good]);
    let leaf = root.issue(KIM, 1);
    good.now_answers(Answers::With(vec![leaf.to_vec()]));
    let begun = tokio::time::Instant::now();
    assert_eq!(home.finds(KIM, NOW).await, Ok((Valid, leaf)));
    assert_eq!(begun.elapsed(), found::ASKING / 2);
    good.now_answers(Answers::Hangs);
    let begun = tokio::time::Instant::now();
    let jo = "jo@clinic.example";
    assert_eq!(home.finds(jo, NOW).await, Err(Some(LookupFailed)));
    assert_eq!(begun.elapsed(), found::ASKING);
    assert_eq!(home.finds(jo, after(1)).await, Err(Some(LookupFailed)));
    assert_eq!(begun.elapsed(), found::ASKING, "the failure is remembered");
}

#[tokio::test(start_paused = true)]
async fn many_ask_once_for_one_address() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&told]);
    let leaf = root.issue(KIM, 1);
    told.now_answers(Answers::Waits(vec![leaf.to_vec()]));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let certificates = home.certificates.clone();
            tokio::spawn(async move { certificates.look_up(&address(KIM), NOW).await })
        })
        .collect();
    while told.asked() == 0 {
        tokio::task::yield_now().await;
    }
    told.go_on.notify_one();
    for asked in asking {
        let found = asked.await.unwrap();
        assert_eq!(outcome(found), Ok((Valid, leaf.clone())));
    }
    assert_eq!(told.asked(), 1);
}

#[tokio::test]
async fn a_look_by_hand_asks_anew_and_what_it_finds_is_used_from_then_on() {
    let source = Told::new("clinic.example", Answers::With(Vec::new()));
    let scene = off(&[&source]);
    assert_eq!(scene.home.finds(KIM, NOW).await, Err(None));
    let good = scene.root.issue(KIM, 1);
    source.now_answers(Answers::With(vec![good.to_vec()]));
    assert_eq!(scene.home.finds(KIM, NOW).await, Err(None));
    let (views, _) = scene.home.consider(&address(KIM), NOW).await;
    assert!(views.len() == 1 && views[0].chosen);
    assert_eq!(scene.home.finds(KIM, NOW).await, Ok((Valid, good)));
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_asked_and_left_does_not_hold_up_the_others() {
    let told = Told::new("clinic.example", Answers::Hangs);
    let Scene { home, root, .. } = off(&[&told]);
    let certificates = home.certificates.clone();
    let first = tokio::spawn(async move { certificates.look_up(&address(KIM), NOW).await });
    while told.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let leaf = root.issue(KIM, 1);
    told.now_answers(Answers::With(vec![leaf.to_vec()]));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(home.finds(KIM, NOW).await, Ok((Valid, leaf)));
    assert_eq!(told.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_passed_over_wherever_it_comes_from() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let checker = Arc::new(Checker::default());
    let Scene { home, root, .. } = scene(&[&told], Some(&checker), RevocationMode::Require);
    let (own, found, other) = (root.issue(KIM, 1), root.issue(KIM, 2), root.issue(KIM, 3));
    home.take(&[&own], ImportOptions::default()).await;
    told.now_answers(Answers::With(vec![found.to_vec(), other.to_vec()]));
    assert_eq!(home.finds(KIM, NOW).await, Ok((Directory, own.clone())));
    let chain = vec![own.clone(), root.der.clone()];
    assert_eq!(*checker.chains.lock().unwrap(), [chain]);
    checker.say(&own, Some(RevocationStatus::Revoked));
    let kim = address(KIM);
    assert_eq!(home.stands(&kim, &print(&own), NOW).await, Err(Revoked));
    let next = home.finds(KIM, NOW).await.unwrap();
    assert_eq!(next.0, Valid);
    // What was found out is not offered again without asking.
    assert_eq!(home.knows(KIM), Err(Some(Revoked)));
    let later = home.known(&kim, after(30 * 86_400));
    assert_eq!(outcome(later), Err(Some(Revoked)));
    checker.say(&found, Some(RevocationStatus::Revoked));
    checker.say(&other, Some(RevocationStatus::Revoked));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(Revoked)));
    let shown = home.show(&print(&own), NOW).await.unwrap();
    assert_eq!(shown[0].revocation, RevocationView::Revoked);
    assert_eq!(shown[0].problem, Some(Revoked));
    checker.say(&own, Some(RevocationStatus::Good));
    assert_eq!(home.finds(KIM, NOW).await, Ok((Directory, own.clone())));
    assert_eq!(home.knows(KIM), Ok((Directory, own)));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_revocation_counts_as_the_operator_says() {
    let unknown = || Some(RevocationStatus::Unknown("no answer".to_owned()));
    for (mode, expected) in [
        (RevocationMode::Require, Err(Some(RevocationUnknown))),
        (RevocationMode::Prefer, Ok(Directory)),
        (RevocationMode::Off, Ok(Directory)),
    ] {
        let checker = Arc::new(Checker::default());
        let Scene { home, root, .. } = scene(&[], Some(&checker), mode);
        let own = root.issue(KIM, 1);
        home.take(&[&own], ImportOptions::default()).await;
        checker.say(&own, unknown());
        let found = home.finds(KIM, NOW).await.map(|it| it.0);
        assert_eq!(found, expected, "{mode:?}");
        let stands = home.stands(&address(KIM), &print(&own), NOW).await;
        assert_eq!(stands.is_ok(), expected.is_ok(), "{mode:?}");
        // One that never answers is one whose answer is not known.
        checker.say(&own, None);
        let begun = tokio::time::Instant::now();
        let found = home.finds(KIM, NOW).await.map(|it| it.0);
        assert_eq!(found, expected, "{mode:?}");
        assert!(begun.elapsed() <= ASKING_REVOCATION);
        checker.say(&own, Some(RevocationStatus::Revoked));
        let revoked = home.finds(KIM, NOW).await.map(|it| it.0);
        match mode {
            RevocationMode::Off => assert_eq!(revoked, Ok(Directory)),
            _ => assert_eq!(revoked, Err(Some(Revoked)), "{mode:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_issuer_there_is_nobody_to_ask() {
    let checker = Arc::new(Checker::default());
    let Scene { home, .. } = scene(&[], Some(&checker), RevocationMode::Require);
    let own = Make::new(&[KIM]).unsigned();
    home.take(&[&own], pin()).await;
    assert_eq!(home.finds(KIM, NOW).await, Ok((Pinned, own.clone())));
    assert!(checker.chains.lock().unwrap().is_empty());
    let shown = home.show(&print(&own), NOW).await.unwrap();
    assert_eq!(shown[0].revocation, RevocationView::NoIssuer);
}

#[tokio::test(start_paused = true)]
async fn without_anybody_to_ask_a_required_answer_is_unknown() {
    let Scene { home, root, .. } = scene(&[], None, RevocationMode::Require);
    let own = root.issue(KIM, 1);
    home.take(&[&own], ImportOptions::default()).await;
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(RevocationUnknown)));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_does_not_stand() {
    let Scene { home, .. } = off(&[]);
    let own = Make::new(&[KIM]).unsigned();
    home.take(&[&own], ImportOptions::default()).await;
    let kim = address(KIM);
    assert_eq!(home.stands(&kim, &print(&own), NOW).await, Ok(()));
    let jo = address("jo@clinic.example");
    assert_eq!(home.stands(&jo, &print(&own), NOW).await, Err(NoChain));
    home.remove(&print(&own), None, &by(), NOW).await.unwrap();
    assert_eq!(home.stands(&kim, &print(&own), NOW).await, Err(NoChain));
}

#[tokio::test(start_paused = true)]
async fn an_address_in_the_subject_alone_is_not_found_elsewhere() {
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let Scene { home, root, .. } = off(&[&told]);
    let mut made = Make::bare();
    made.subject = rdns(&[("1.2.840.113549.1.9.1", 0x16, KIM.as_bytes())]);
    let leaf = root.sign(made);
    told.now_answers(Answers::With(vec![leaf.to_vec()]));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(OtherAddress)));
    let items = home.take(&[&leaf], ImportOptions::default()).await;
    assert_eq!(items, [ImportOutcome::Imported]);
    assert_eq!(home.finds(KIM, NOW).await, Ok((Directory, leaf)));
}

/// Accepts as it is told, and whoever is accepted is good.
struct Only(found::Accept);

impl found::Judge for Only {
    fn accept(&self) -> found::Accept {
        Arc::clone(&self.0)
    }

    fn has_one<'a>(
        &'a self,
        _: &'a [found::Found],
        _: tokio::time::Instant,
    ) -> crate::world::BoxFuture<'a, bool> {
        Box::pin(async { true })
    }
}

#[tokio::test]
async fn of_an_answer_sixteen_values_are_judged_and_not_on_the_runtime() {
    let ca = Ca::root("Root");
    let good = ca.issue(KIM, 1);
    let bad = |_| Make::new(&["eve@other.example"]).unsigned().to_vec();
    for (before, found) in [(15, true), (16, false)] {
        let mut values: Vec<Vec<u8>> = (0..before).map(bad).collect();
        values.push(good.to_vec());
        values.extend((before..300).map(bad));
        let source = Told::new("clinic.example", Answers::With(values));
        let sources: Vec<Arc<dyn Source>> = vec![source];
        let here = std::thread::current().id();
        let right = print(&good);
        let accept: found::Accept = Arc::new(move |parsed: &Parsed, _: &[Bytes]| {
            assert_ne!(std::thread::current().id(), here);
            match parsed.fingerprint == right {
                true => Ok(()),
                false => Err(OtherAddress),
            }
        });
        let answers = found::Answers::default();
        let answer = answers
            .get(&sources, &address(KIM), NOW, &Only(accept))
            .await;
        assert_eq!(!answer.found.is_empty(), found);
        assert_eq!(answer.problem, Some(LookupRefused));
    }
}
