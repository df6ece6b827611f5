//! The durable directory: imports, pins, approvals, the choice; all of it through restarts.

use bytes::Bytes;

use super::super::ImportOutcome::{Imported, Issuer, Refused, Unchanged, WaitsForApproval};
use super::super::*;
use super::home::*;
use super::make::*;
use crate::mail::CertificateFact::{Directory, Pinned};
use crate::mail::CertificateProblem::*;

const KIM: &str = "kim@clinic.example";

/// A good certificate of Kim's with the key `seed`, valid from this year on.
fn kim(year: &str, seed: u8) -> Bytes {
    let from = format!("{year}0101000000Z");
    let made = Make::new(&[KIM]).key(good_rsa(seed));
    made.valid(&from, "291231235959Z").unsigned()
}

fn fingerprint(der: &Bytes) -> Fingerprint {
    Parsed::read(der).unwrap().fingerprint
}

#[tokio::test]
async fn what_is_imported_is_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let der = kim("26", 1);
    assert_eq!(home.knows(KIM), Err(None));
    let options = ImportOptions::default();
    assert_eq!(home.take(&[&der], options.clone()).await, [Imported]);
    assert_eq!(home.take(&[&der], options).await, [Unchanged]);
    assert_eq!(home.knows(KIM), Ok((Directory, der.clone())));
    let listed = home.list(&Selection::default(), NOW);
    drop(home);

    let home = open(directory.path(), Settings::default());
    assert_eq!(
        home.knows("KIM@Clinic.Example"),
        Ok((Directory, der.clone()))
    );
    assert_eq!(home.list(&Selection::default(), NOW), listed);
    let Origin::Imported {
        source, imported, ..
    } = &listed[0].origin
    else {
        panic!("{listed:?}")
    };
    assert_eq!((source.as_str(), &imported.by), ("file.pem", &by()));
    let known = home.known(&address(KIM), NOW).certificate.unwrap();
    assert!(!known.gcm && !known.oaep);
    assert_eq!(known.fingerprint, fingerprint(&der));
    assert_eq!(
        home.remove(&known.fingerprint, None, &by(), NOW)
            .await
            .unwrap(),
        [address(KIM)]
    );
    assert_eq!(home.knows(KIM), Err(None));
    drop(home);
    assert_eq!(
        open(directory.path(), Settings::default()).knows(KIM),
        Err(None)
    );
}

#[tokio::test]
async fn a_refused_certificate_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let expired = Make::new(&[KIM])
        .valid("200101000000Z", "211231235959Z")
        .unsigned();
    let hostile = Make::new(&[KIM])
        .named(&[rfc822(KIM), rfc822("x y")])
        .unsigned();
    let nobody = Make::new(&[KIM])
        .named(&[tlv(0x82, b"clinic.example")])
        .unsigned();
    let ca = Ca::root("Root").der;
    let refused = |problem| Refused { problem };
    let outcomes = home
        .take(
            &[&expired, &hostile, &nobody, &ca],
            ImportOptions::default(),
        )
        .await;
    for problem in [Expired, HostileAddress, OtherAddress, Authority] {
        assert!(
            outcomes.contains(&refused(problem)),
            "{problem:?}: {outcomes:?}"
        );
    }
    assert_eq!(outcomes.len(), 4);
    assert_eq!(home.list(&Selection::default(), NOW), []);
    assert_eq!(home.knows(KIM), Err(None));
}

#[tokio::test]
async fn a_certificate_is_for_each_of_its_addresses_or_for_the_one_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let both = Make::new(&[KIM, "jo@clinic.example"]).unsigned();
    let only = ImportOptions {
        address: Some(address(KIM)),
        ..ImportOptions::default()
    };
    assert_eq!(home.take(&[&both], only).await, [Imported]);
    assert_eq!(home.knows("jo@clinic.example"), Err(None));
    let other = ImportOptions {
        address: Some(address("eve@clinic.example")),
        ..ImportOptions::default()
    };
    let refused = Refused {
        problem: OtherAddress,
    };
    assert_eq!(home.take(&[&both], other).await, [refused]);
    let outcomes = home.take(&[&both, &both], ImportOptions::default()).await;
    assert_eq!(outcomes, [Unchanged, Imported, Unchanged, Unchanged]);
    assert_eq!(
        home.knows("jo@clinic.example"),
        Ok((Directory, both.clone()))
    );
    let print = fingerprint(&both);
    let jo = address("jo@clinic.example");
    assert_eq!(
        home.remove(&print, Some(&jo), &by(), NOW).await.unwrap(),
        [jo]
    );
    assert_eq!(home.knows(KIM), Ok((Directory, both)));
}

#[tokio::test]
async fn the_newest_wins_and_a_pinned_one_before_all() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let (old, new) = (kim("24", 1), kim("26", 2));
    home.take(&[&new, &old], ImportOptions::default()).await;
    assert_eq!(home.knows(KIM), Ok((Directory, new.clone())));
    assert_eq!(home.take(&[&old], pin()).await, [Imported]);
    assert_eq!(home.knows(KIM), Ok((Pinned, old.clone())));
    // The other key is there, and is not used.
    let views = home.list(&Selection::default(), NOW);
    let of = |der: &Bytes| {
        views
            .iter()
            .find(|it| it.fingerprint == fingerprint(der))
            .unwrap()
    };
    assert_eq!((of(&old).problem, of(&old).chosen), (None, true));
    assert_eq!(
        (of(&new).problem, of(&new).chosen),
        (Some(NotApproved), false)
    );
    // Equals: by fingerprint, however they came.
    let twins = [kim("25", 3), kim("25", 4)];
    let first = twins.iter().min_by_key(|it| fingerprint(it)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let home = open(elsewhere.path(), Settings::default());
    home.take(&[&twins[0], &twins[1]], ImportOptions::default())
        .await;
    assert_eq!(home.knows(KIM), Ok((Directory, first.clone())));
}

#[tokio::test]
async fn another_key_for_a_pinned_address_waits_until_it_is_approved() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let (old, new) = (kim("24", 1), kim("26", 2));
    home.take(&[&old], pin()).await;
    assert_eq!(
        home.take(&[&new], ImportOptions::default()).await,
        [WaitsForApproval]
    );
    assert_eq!(home.take(&[&new], pin()).await, [WaitsForApproval]);
    assert_eq!(home.knows(KIM), Ok((Pinned, old.clone())));
    let (old_print, new_print) = (fingerprint(&old), fingerprint(&new));
    let kims = address(KIM);
    assert_eq!(home.stands(&kims, &old_print, NOW).await, Ok(()));
    assert_eq!(home.stands(&kims, &new_print, NOW).await, Err(NotApproved));
    drop(home);

    let home = open(directory.path(), Settings::default());
    assert_eq!(home.knows(KIM), Ok((Pinned, old)));
    let waiting = home.list(&Selection::default(), NOW);
    assert!(waiting.iter().any(|it| it.state == State::WaitsForApproval));
    let approved = home.approve(&new_print, None, &by(), NOW).await.unwrap();
    assert_eq!(approved, [address(KIM)]);
    assert_eq!(home.knows(KIM), Ok((Pinned, new.clone())));
    assert_eq!(home.stands(&kims, &new_print, NOW).await, Ok(()));
    assert_eq!(home.stands(&kims, &old_print, NOW).await, Err(NotApproved));
    drop(home);

    let home = open(directory.path(), Settings::default());
    assert_eq!(home.knows(KIM), Ok((Pinned, new)));
    assert_eq!(
        home.list(&Selection::default(), NOW).len(),
        1,
        "the old one is gone"
    );
    let Origin::Imported { approved, .. } = &home.list(&Selection::default(), NOW)[0].origin else {
        panic!("imported")
    };
    assert_eq!(approved.as_ref().map(|it| &it.by), Some(&by()));
}

#[tokio::test]
async fn the_same_key_in_a_new_certificate_stays_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let (old, renewed) = (kim("24", 1), kim("26", 1));
    home.take(&[&old], pin()).await;
    assert_eq!(
        home.take(&[&renewed], ImportOptions::default()).await,
        [Imported]
    );
    assert_eq!(home.knows(KIM), Ok((Pinned, renewed.clone())));
    // Approving it does not take the other one of the same key away.
    home.approve(&fingerprint(&renewed), None, &by(), NOW)
        .await
        .unwrap();
    assert_eq!(home.list(&Selection::default(), NOW).len(), 2);
}

#[tokio::test]
async fn an_expired_pin_still_keeps_other_keys_out() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let short = Make::new(&[KIM])
        .valid("260101000000Z", "261201000000Z")
        .unsigned();
    home.take(&[&short], pin()).await;
    let later = Timestamp::from_secs(NOW.as_secs() + 30 * 86_400);
    let kims = address(KIM);
    assert_eq!(outcome(home.known(&kims, later)), Err(Some(Expired)));
    let new = kim("26", 2);
    home.take(&[&new], ImportOptions::default()).await;
    assert_eq!(outcome(home.known(&kims, later)), Err(Some(NotApproved)));
    assert_eq!(
        home.stands(&kims, &fingerprint(&short), later).await,
        Err(Expired)
    );
    home.approve(&fingerprint(&new), None, &by(), later)
        .await
        .unwrap();
    assert_eq!(outcome(home.known(&kims, later)), Ok((Pinned, new)));
}

#[tokio::test]
async fn certificates_that_are_pinned_together_do_not_wait_for_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let (old, new) = (kim("24", 1), kim("26", 2));
    assert_eq!(home.take(&[&old, &new], pin()).await, [Imported, Imported]);
    assert_eq!(home.knows(KIM), Ok((Pinned, new)));
}

#[tokio::test]
async fn orders_on_what_is_not_there_or_may_not_be_used_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let der = Make::new(&[KIM])
        .valid("260101000000Z", "261201000000Z")
        .unsigned();
    let print = fingerprint(&der);
    let unknown = home.approve(&print, None, &by(), NOW).await;
    assert!(matches!(unknown, Err(CertificatesError::Unknown)));
    assert!(matches!(
        home.remove(&print, None, &by(), NOW).await,
        Err(CertificatesError::Unknown)
    ));
    assert!(matches!(
        home.show(&print, NOW).await,
        Err(CertificatesError::Unknown)
    ));
    home.take(&[&der], ImportOptions::default()).await;
    let later = Timestamp::from_secs(NOW.as_secs() + 30 * 86_400);
    let expired = home.approve(&print, None, &by(), later).await;
    assert!(
        matches!(expired, Err(CertificatesError::Refused(Expired))),
        "{expired:?}"
    );
    let other = address("jo@clinic.example");
    let other = home.approve(&print, Some(&other), &by(), NOW).await;
    assert!(matches!(other, Err(CertificatesError::Unknown)));
    home.approve(&print, None, &by(), NOW).await.unwrap();
    assert_eq!(home.knows(KIM), Ok((Pinned, der)));
}

#[tokio::test]
async fn a_chain_is_demanded_where_it_was_asked_for_and_shown_where_it_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let root = Ca::root("Root");
    let between = Ca::under(&root, "Between", |_| {});
    let settings = || Settings {
        anchors: Anchors::new([root.der.clone()]).unwrap(),
        ..Settings::default()
    };
    let home = open(directory.path(), settings());
    let strict = ImportOptions {
        require_chain: true,
        ..ImportOptions::default()
    };
    let leaf = between.issue(KIM, 1);
    let refused = Refused { problem: NoChain };
    assert_eq!(home.take(&[&leaf], strict.clone()).await, [refused]);
    let outcomes = home.take(&[&leaf, &between.der], strict).await;
    assert_eq!(outcomes, [Issuer, Imported]);
    assert_eq!(home.knows(KIM), Ok((Directory, leaf.clone())));
    let shown = home.show(&fingerprint(&leaf), NOW).await.unwrap();
    assert_eq!(shown[0].chain, ["CN=Between", "CN=Root"]);
    assert!(shown[0].require_chain && shown[0].chosen);
    drop(home);
    // The authority is taken out of the configuration.
    let home = open(directory.path(), Settings::default());
    assert_eq!(home.knows(KIM), Err(Some(NoChain)));
    home.reload(settings());
    assert_eq!(home.knows(KIM), Ok((Directory, leaf)));
}

#[tokio::test]
async fn what_partners_read_is_by_configuration_then_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        partners: vec![
            Partner {
                domain: "clinic.example".parse().unwrap(),
                gcm: Some(true),
                oaep: None,
            },
            Partner {
                domain: "old.example".parse().unwrap(),
                gcm: Some(false),
                oaep: Some(true),
            },
        ],
        ..Settings::default()
    };
    let home = open(directory.path(), settings);
    // Its owner reads AES-256-GCM (RFC 4262).
    let gcm = seq(&[&seq(&[&oid("2.16.840.1.101.3.4.1.46")])]);
    let says = |address: &str| {
        let says = extension("1.2.840.113549.1.9.15", false, &gcm);
        Make::new(&[address]).and(says).unsigned()
    };
    let silent = |address: &str| Make::new(&[address]).unsigned();
    home.take(
        &[
            &silent("a@clinic.example"),
            &silent("b@other.example"),
            &says("c@other.example"),
            &says("d@old.example"),
        ],
        ImportOptions::default(),
    )
    .await;
    for (text, gcm, oaep) in [
        ("a@clinic.example", true, false),
        ("b@other.example", false, false),
        ("c@other.example", true, false),
        ("d@old.example", false, true),
    ] {
        let known = home.known(&address(text), NOW).certificate.unwrap();
        assert_eq!((known.gcm, known.oaep), (gcm, oaep), "{text}");
    }
}

#[tokio::test]
async fn many_certificates_are_imported_at_once_and_found_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let made: Vec<Bytes> = (0..300)
        .map(|at| Make::new(&[&format!("u{at}@clinic.example")]).unsigned())
        .collect();
    let all: Vec<&Bytes> = made.iter().collect();
    let outcomes = home.take(&all, ImportOptions::default()).await;
    assert!(outcomes.iter().all(|it| *it == Imported) && outcomes.len() == 300);
    assert_eq!(
        home.knows("u299@clinic.example"),
        Ok((Directory, made[299].clone()))
    );
    let of_domain = Selection {
        domain: Some("clinic.example".parse().unwrap()),
        ..Selection::default()
    };
    assert_eq!(home.list(&of_domain, NOW).len(), 300);
    let of_none = Selection {
        domain: Some("example".parse().unwrap()),
        ..Selection::default()
    };
    assert_eq!(home.list(&of_none, NOW).len(), 0);
}

#[tokio::test]
async fn what_was_removed_or_replaced_is_kept_on_record_and_is_no_pin() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let (old, new) = (kim("25", 1), kim("26", 2));
    home.take(&[&old], pin()).await;
    home.take(&[&new], pin()).await;
    let later = NOW + Duration::from_secs(1);
    let (old, print) = (fingerprint(&old), fingerprint(&new));
    home.approve(&print, None, &by(), NOW).await.unwrap();
    let why = By {
        actor: "ops".to_owned(),
        reason: "left the clinic".to_owned(),
    };
    home.remove(&print, None, &why, later).await.unwrap();
    let kept = home.removed(&Selection::default());
    drop(home);

    let home = open(directory.path(), Settings::default());
    assert_eq!(home.removed(&Selection::default()), kept);
    let told: Vec<_> = kept
        .iter()
        .map(|it| (it.fingerprint, it.gone, it.pinned, &it.removed.by))
        .collect();
    assert_eq!(
        told,
        [
            (print, Gone::Removed, true, &why),
            (old, Gone::Replaced, true, &by())
        ]
    );
    assert!(kept[0].approved.is_some() && kept[0].removed.at == later);
    let of_another = Selection {
        address: Some(address("jo@clinic.example")),
        ..Selection::default()
    };
    assert_eq!(home.removed(&of_another), []);
    // Nothing keeps another key out any more.
    let third = kim("26", 3);
    assert_eq!(
        home.take(&[&third], ImportOptions::default()).await,
        [Imported]
    );
    assert_eq!(home.knows(KIM), Ok((Directory, third)));
}

#[tokio::test]
async fn a_fingerprint_is_completed_and_a_list_comes_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let made: Vec<Bytes> = (0..MAX_PAGE + 7)
        .map(|at| Make::new(&[&format!("u{at}@clinic.example")]).unsigned())
        .collect();
    let all: Vec<&Bytes> = made.iter().collect();
    home.take(&all, ImportOptions::default()).await;
    let everything = Selection::default();
    let first = home.page(&everything, 0, NOW);
    assert_eq!(first.len(), MAX_PAGE);
    let second = home.page(&everything, MAX_PAGE, NOW);
    assert_eq!(second.len(), 7);
    let whole: Vec<_> = first.into_iter().chain(second).collect();
    assert_eq!(home.list(&everything, NOW), whole);

    let print = fingerprint(&made[3]);
    let digits = print.to_string();
    for length in [16, 17, 64] {
        let found = home.beginning(&digits[..length]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [print]);
    }
    assert_eq!(home.beginning("").len(), made.len());
    assert_eq!(home.beginning(&format!("{digits}0")).len(), 0);
}
