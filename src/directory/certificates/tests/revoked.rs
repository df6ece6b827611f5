//! What revocation does where chains fail, servers are away, or settings change. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::*;
use super::chains::permitted;
use super::home::*;
use super::make::*;
use crate::directory::revocation::RevocationStatus;
use crate::mail::CertificateFact::{Directory, Valid};
use crate::mail::CertificateProblem::*;

const KIM: &str = "kim@clinic.example";

fn settings(root: &Ca, checker: &Arc<Checker>, mode: RevocationMode) -> Settings {
    Settings {
        anchors: Anchors::new([root.der.clone()]).unwrap(),
        revocation: mode,
        checker: Some(Arc::<Checker>::clone(checker)),
        ..Settings::default()
    }
}

fn with(sources: &[&Arc<Told>], settings: Settings) -> Settings {
    let sources = sources.iter();
    Settings {
        sources: sources
            .map(|it| -> Arc<dyn Source> { Arc::<Told>::clone(it) })
            .collect(),
        ..settings
    }
}

fn unknown() -> Option<RevocationStatus> {
    Some(RevocationStatus::Unknown("no answer".to_owned()))
}

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn print(der: &Bytes) -> Fingerprint {
    Parsed::read(der).unwrap().fingerprint
}

#[tokio::test(start_paused = true)]
async fn revocation_is_asked_about_where_the_chain_itself_is_not_accepted() {
    let root = Ca::root("Root");
    let constrained = |it: &mut Make| it.extensions.push(permitted(&rfc822("clinic.example")));
    let old = |it: &mut Make| *it = it.clone().valid("200101000000Z", "211231235959Z");
    for change in [constrained as fn(&mut Make), old] {
        let directory = tempfile::tempdir().unwrap();
        let checker = Arc::new(Checker::default());
        let home = open(
            directory.path(),
            settings(&root, &checker, RevocationMode::Require),
        );
        let between = Ca::under(&root, "Between", change);
        let own = between.issue(KIM, 1);
        home.take(&[&own, &between.der], ImportOptions::default())
            .await;
        assert_eq!(home.finds(KIM, NOW).await, Ok((Directory, own.clone())));
        let way = vec![own.clone(), between.der.clone(), root.der.clone()];
        assert_eq!(*checker.chains.lock().unwrap(), [way]);
        checker.say(&own, Some(RevocationStatus::Revoked));
        assert_eq!(home.finds(KIM, NOW).await, Err(Some(Revoked)));
        let shown = home.show(&print(&own), NOW).await.unwrap();
        assert_eq!(shown[0].revocation, RevocationView::Revoked);
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_did_not_sign_it_leaves_it_unknown() {
    let (root, namesake) = (Ca::root("Root"), Ca::root("Root"));
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let home = open(
        directory.path(),
        settings(&root, &checker, RevocationMode::Require),
    );
    let own = namesake.issue(KIM, 1);
    home.take(&[&own], ImportOptions::default()).await;
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(RevocationUnknown)));
    home.reload(settings(&root, &checker, RevocationMode::Prefer));
    assert_eq!(home.finds(KIM, NOW).await, Ok((Directory, own)));
    assert!(checker.chains.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_was_revoked_stays_so_until_an_authority_says_otherwise() {
    let root = Ca::root("Root");
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let prefer = || settings(&root, &checker, RevocationMode::Prefer);
    let home = open(directory.path(), prefer());
    let own = root.issue(KIM, 1);
    home.take(&[&own], ImportOptions::default()).await;
    checker.say(&own, unknown());
    assert!(home.finds(KIM, NOW).await.is_ok());
    assert_eq!(home.unanswered(&print(&own), NOW), Ok(()));
    checker.say(&own, Some(RevocationStatus::Revoked));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(Revoked)));
    // Somebody keeps the authority's answers away.
    checker.say(&own, unknown());
    let week = after(7 * 86_400);
    assert_eq!(home.finds(KIM, week).await, Err(Some(Revoked)));
    let stands = home.stands(&address(KIM), &print(&own), week).await;
    assert_eq!(stands, Err(Revoked));
    home.reload(prefer());
    assert_eq!(home.finds(KIM, week).await, Err(Some(Revoked)));
    assert_eq!(home.unanswered(&print(&own), week), Err(Revoked));
    checker.say(&own, Some(RevocationStatus::Good));
    assert_eq!(home.finds(KIM, week).await, Ok((Directory, own.clone())));
    checker.say(&own, unknown());
    assert!(home.finds(KIM, week).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_an_unanswered_question_means_is_the_operators_choice() {
    let root = Ca::root("Root");
    let own = root.issue(KIM, 1);
    for (mode, expected) in [
        (RevocationMode::Require, Err(RevocationUnknown)),
        (RevocationMode::Prefer, Ok(())),
        (RevocationMode::Off, Ok(())),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let checker = Arc::new(Checker::default());
        let home = open(directory.path(), settings(&root, &checker, mode));
        assert_eq!(home.unanswered(&print(&own), NOW), expected, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_at_one_source_does_not_hide_the_good_one_of_the_next() {
    let root = Ca::root("Root");
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let (one, two) = (root.issue(KIM, 1), root.issue(KIM, 2));
    let first = Told::new("clinic.example", Answers::With(vec![one.to_vec()]));
    let second = Told::new("clinic.example", Answers::With(Vec::new()));
    let asked = || (first.asked(), second.asked());
    let require = settings(&root, &checker, RevocationMode::Require);
    let home = open(directory.path(), with(&[&first, &second], require));
    checker.say(&one, Some(RevocationStatus::Revoked));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(Revoked)));
    assert_eq!(home.finds(KIM, after(599)).await, Err(Some(Revoked)));
    assert_eq!(asked(), (1, 1), "that all fell is kept for ten minutes");
    second.now_answers(Answers::With(vec![two.to_vec()]));
    let found = home.finds(KIM, after(600)).await;
    assert_eq!(found, Ok((Valid, two.clone())));
    assert_eq!(asked(), (2, 2));
    // It is revoked while it is remembered; the owner has another one at the first source.
    let three = root.issue(KIM, 3);
    first.now_answers(Answers::With(vec![three.to_vec()]));
    assert_eq!(home.finds(KIM, after(700)).await, Ok((Valid, two.clone())));
    checker.say(&two, Some(RevocationStatus::Revoked));
    assert_eq!(home.finds(KIM, after(700)).await, Ok((Valid, three)));
    assert_eq!(asked(), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_earlier_settings_is_not_remembered_under_later_ones() {
    let (root, other) = (Ca::root("Root"), Ca::root("Other root"));
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let leaf = root.issue(KIM, 1);
    let told = Told::new("clinic.example", Answers::Waits(vec![leaf.to_vec()]));
    let of = |ca| with(&[&told], settings(ca, &checker, RevocationMode::Off));
    let home = open(directory.path(), of(&root));
    let certificates = home.certificates.clone();
    let early = tokio::spawn(async move { certificates.look_up(&address(KIM), NOW).await });
    while told.asked() == 0 {
        tokio::task::yield_now().await;
    }
    home.reload(of(&other));
    told.go_on.notify_one();
    assert_eq!(outcome(early.await.unwrap()), Ok((Valid, leaf.clone())));
    told.now_answers(Answers::With(vec![leaf.to_vec()]));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(NoChain)));
    assert_eq!(told.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_told_how_long_it_has_and_what_is_saved_goes_to_the_next() {
    let root = Ca::root("Root");
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let quick = Told::new("clinic.example", Answers::With(Vec::new()));
    let hangs = Told::new("clinic.example", Answers::Hangs);
    let off = settings(&root, &checker, RevocationMode::Off);
    let home = open(directory.path(), with(&[&quick, &hangs], off));
    let begun = tokio::time::Instant::now();
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(LookupFailed)));
    let given = |told: &Told| told.deadlines.lock().unwrap()[0] - begun;
    let all = found::ASKING;
    assert_eq!((given(&quick), given(&hangs)), (all / 2, all));
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_cannot_be_read_any_more_lets_no_other_key_in() {
    let root = Ca::root("Root");
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let told = Told::new("clinic.example", Answers::With(Vec::new()));
    let off = settings(&root, &checker, RevocationMode::Off);
    let home = open(directory.path(), with(&[&told], off));
    let own = root.issue(KIM, 1);
    home.take(&[&own], ImportOptions::default()).await;
    let entry = home.0.store.all().remove(0);
    let row = store::Row {
        der: Bytes::from_static(b"what was readable once"),
        pinned: true,
        ..entry.row.clone()
    };
    let broken = store::Entry::new(row);
    let fingerprint = broken.fingerprint;
    home.0.store.put(vec![broken]).await.unwrap();
    assert_eq!(home.knows(KIM), Err(Some(NotApproved)));
    assert_eq!(home.finds(KIM, NOW).await, Err(Some(NotApproved)));
    assert_eq!(told.asked(), 0, "what others have could not be used");
    let other = root.issue(KIM, 2);
    let items = home.take(&[&other], ImportOptions::default()).await;
    assert_eq!(items, [ImportOutcome::WaitsForApproval]);
    // An approval takes its place.
    home.approve(&print(&other), None, &by(), NOW)
        .await
        .unwrap();
    assert_eq!(home.knows(KIM).unwrap().1, other);
    assert!(
        home.0
            .store
            .all()
            .iter()
            .all(|it| it.fingerprint != fingerprint)
    );
}

#[tokio::test(start_paused = true)]
async fn a_partners_authority_finds_nobody_of_another_partner() {
    let (a, b) = (Ca::root("A"), Ca::root("B"));
    let directory = tempfile::tempdir().unwrap();
    let checker = Arc::new(Checker::default());
    let forged = a.issue("jo@b.example", 1);
    let told = Told::new("b.example", Answers::With(vec![forged.to_vec()]));
    let only = |text: &str| Vouches::For(vec![text.parse().unwrap()]);
    let anchors = [
        (a.der.clone(), only("a.example")),
        (b.der.clone(), only("b.example")),
    ];
    let settings = Settings {
        anchors: Anchors::narrowed(anchors).unwrap(),
        ..with(&[&told], settings(&a, &checker, RevocationMode::Off))
    };
    let home = open(directory.path(), settings);
    let jo = "jo@b.example";
    assert_eq!(home.finds(jo, NOW).await, Err(Some(Constrained)));
    let both = a.sign(Make::new(&["jo@a.example", jo]));
    let demanded = ImportOptions {
        require_chain: true,
        ..ImportOptions::default()
    };
    let items = home.take(&[&both], demanded).await;
    let refused = ImportOutcome::Refused {
        problem: Constrained,
    };
    assert_eq!(items, [ImportOutcome::Imported, refused]);
    let good = b.issue(jo, 2);
    told.now_answers(Answers::With(vec![forged.to_vec(), good.to_vec()]));
    assert_eq!(home.finds(jo, after(600)).await, Ok((Valid, good)));
}
