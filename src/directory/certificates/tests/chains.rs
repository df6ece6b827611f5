//! Chains: which lead to a configured authority, and what is told of those that do not.

use bytes::Bytes;

use super::super::chain::{AnchorError, Anchors, MAX_ANCHORS, Vouches};
use super::super::parse::Parsed;
use super::make::*;
use crate::mail::CertificateProblem::{self, *};

const KIM: &str = "kim@clinic.example";

struct Scene {
    name: &'static str,
    anchors: Vec<Bytes>,
    issuers: Vec<Bytes>,
    leaf: Bytes,
    /// The length of the chain, or the problem.
    expected: Result<usize, CertificateProblem>,
}

/// nameConstraints with one permitted subtree.
pub fn permitted(base: &[u8]) -> Vec<u8> {
    let subtree = seq(&[base]);
    extension("2.5.29.30", true, &seq(&[&tlv(0xa0, &subtree)]))
}

fn scenes() -> Vec<Scene> {
    let root = Ca::root("Root");
    let other = Ca::root("Other root");
    // The same name, another key.
    let namesake = Ca::root("Root");
    let mut scenes = Vec::new();
    let mut scene = |name, anchors: &[&Ca], issuers: &[&Ca], leaf, expected| {
        let ders = |list: &[&Ca]| list.iter().map(|it| it.der.clone()).collect();
        scenes.push(Scene {
            name,
            anchors: ders(anchors),
            issuers: ders(issuers),
            leaf,
            expected,
        });
    };
    let under = |change: fn(&mut Make)| Ca::under(&root, "Between", change);
    let between = under(|_| {});
    let leaf = || Make::new(&[KIM]);
    scene(
        "straight from the root",
        &[&root],
        &[],
        root.issue(KIM, 1),
        Ok(2),
    );
    scene(
        "over one",
        &[&root],
        &[&between],
        between.issue(KIM, 1),
        Ok(3),
    );
    scene(
        "among others",
        &[&other, &root],
        &[&other, &between],
        between.issue(KIM, 1),
        Ok(3),
    );
    scene(
        "no anchors",
        &[],
        &[&between],
        between.issue(KIM, 1),
        Err(NoChain),
    );
    scene(
        "one missing between",
        &[&root],
        &[],
        between.issue(KIM, 1),
        Err(NoChain),
    );
    scene(
        "another root",
        &[&other],
        &[&between],
        between.issue(KIM, 1),
        Err(NoChain),
    );
    scene(
        "a root of the same name",
        &[&namesake],
        &[&between],
        between.issue(KIM, 1),
        Err(NoChain),
    );
    scene(
        "the right one of two of the same name",
        &[&namesake, &root],
        &[],
        root.issue(KIM, 1),
        Ok(2),
    );
    scene(
        "the root comes along but is not configured",
        &[&other],
        &[&between, &root],
        between.issue(KIM, 1),
        Err(NoChain),
    );
    let mut forged = root.issue(KIM, 1).to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    scene(
        "a signature that does not hold",
        &[&root],
        &[],
        forged.into(),
        Err(NoChain),
    );
    let expired = under(|it| *it = it.clone().valid("200101000000Z", "211231235959Z"));
    scene(
        "one between has expired",
        &[&root],
        &[&expired],
        expired.issue(KIM, 1),
        Err(Expired),
    );
    let early = under(|it| *it = it.clone().valid("300101000000Z", "311231235959Z"));
    scene(
        "one between is not valid yet",
        &[&root],
        &[&early],
        early.issue(KIM, 1),
        Err(NotYetValid),
    );
    let not_authority = under(|it| it.extensions.clear());
    scene(
        "one between is no authority",
        &[&root],
        &[&not_authority],
        not_authority.issue(KIM, 1),
        Err(NoChain),
    );
    let may_not_sign = under(|it| it.extensions[1] = usage(&[SIGN]));
    scene(
        "one between may not sign",
        &[&root],
        &[&may_not_sign],
        may_not_sign.issue(KIM, 1),
        Err(NoChain),
    );
    let without_usage = under(|it| it.extensions.truncate(1));
    scene(
        "one between without key usage",
        &[&root],
        &[&without_usage],
        without_usage.issue(KIM, 1),
        Ok(3),
    );
    let last = under(|it| it.extensions[0] = authority(Some(0)));
    let too_deep = Ca::under(&last, "Too deep", |_| {});
    scene(
        "path length kept",
        &[&root],
        &[&last],
        last.issue(KIM, 1),
        Ok(3),
    );
    scene(
        "path length broken",
        &[&root],
        &[&last, &too_deep],
        too_deep.issue(KIM, 1),
        Err(NoChain),
    );
    let servers = under(|it| it.extensions.push(purposes(&[SERVER])));
    scene(
        "one between is for servers",
        &[&root],
        &[&servers],
        servers.issue(KIM, 1),
        Err(ExtendedKeyUsage),
    );
    let for_mail = under(|it| it.extensions.push(purposes(&[MAIL])));
    scene(
        "one between is for mail",
        &[&root],
        &[&for_mail],
        for_mail.issue(KIM, 1),
        Ok(3),
    );
    let for_any = under(|it| it.extensions.push(purposes(&[ANY])));
    scene(
        "one between is for anything",
        &[&root],
        &[&for_any],
        for_any.issue(KIM, 1),
        Ok(3),
    );
    let unknown = under(|it| {
        it.extensions
            .push(extension("1.3.6.1.4.1.32473.1", true, &[5, 0]))
    });
    scene(
        "one between has an unknown critical extension",
        &[&root],
        &[&unknown],
        unknown.issue(KIM, 1),
        Err(CriticalExtension),
    );
    let here = under(|it| it.extensions.push(permitted(&rfc822("clinic.example"))));
    scene(
        "constrained to this domain: not understood",
        &[&root],
        &[&here],
        here.issue(KIM, 1),
        Err(Constrained),
    );
    let there = under(|it| it.extensions.push(permitted(&rfc822("elsewhere.example"))));
    scene(
        "constrained to another domain",
        &[&root],
        &[&there],
        there.issue(KIM, 1),
        Err(Constrained),
    );
    let utf8_leaf = leaf().named(&[utf8(0x0c, KIM)]);
    scene(
        "constrained, and a SmtpUTF8Mailbox",
        &[&root],
        &[&there],
        there.sign(utf8_leaf.clone()),
        Err(Constrained),
    );
    scene(
        "a SmtpUTF8Mailbox",
        &[&root],
        &[&between],
        between.sign(utf8_leaf),
        Ok(3),
    );
    let hosts = under(|it| it.extensions.push(permitted(&tlv(0x82, b"clinic.example"))));
    scene(
        "constrained in hosts",
        &[&root],
        &[&hosts],
        hosts.issue(KIM, 1),
        Ok(3),
    );
    let weak = Make::bare().with(|it| {
        it.subject = name("Weak");
        it.issuer = root.subject.clone();
        it.spki = rsa(1024, &[1, 0, 1], 1);
        it.extensions = vec![authority(None)];
    });
    let from_weak = leaf().with(|it| it.issuer = name("Weak")).unsigned();
    scenes.push(Scene {
        name: "one between has a short key",
        anchors: vec![root.der.clone()],
        issuers: vec![weak.clone().unsigned()],
        leaf: from_weak.clone(),
        expected: Err(WeakSignature),
    });
    scenes.push(Scene {
        name: "one between is signed with SHA-1",
        anchors: vec![root.der.clone()],
        issuers: vec![
            weak.with(|it| {
                it.spki = good_rsa(9);
                it.algorithm = algorithm(SHA1_RSA);
            })
            .unsigned(),
        ],
        leaf: from_weak,
        expected: Err(WeakSignature),
    });
    scenes.push(Scene {
        name: "rubbish among the issuers",
        anchors: vec![root.der.clone()],
        issuers: vec![Bytes::from_static(b"rubbish"), between.der.clone()],
        leaf: between.issue(KIM, 1),
        expected: Ok(3),
    });
    scenes
}

#[test]
fn chains_end_at_a_configured_authority_or_are_told_apart() {
    let scenes = scenes();
    assert!(scenes.len() >= 25, "{}", scenes.len());
    let mut wrong = Vec::new();
    for scene in scenes {
        let anchors = Anchors::new(scene.anchors.clone()).unwrap();
        let leaf = Parsed::read(&scene.leaf).unwrap();
        let chain = anchors.chain(&leaf, &scene.issuers, &domain("clinic.example"), NOW);
        if let Ok(chain) = &chain {
            assert_eq!(chain.first(), Some(&scene.leaf), "{}", scene.name);
            let last = chain.last().unwrap();
            assert!(scene.anchors.contains(last), "{}", scene.name);
        }
        let got = chain.map(|it| it.len());
        if got != scene.expected {
            wrong.push(format!(
                "{}: expected {:?}, got {got:?}",
                scene.name, scene.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_chain_is_in_order() {
    let root = Ca::root("Root");
    let one = Ca::under(&root, "One", |_| {});
    let two = Ca::under(&one, "Two", |_| {});
    let leaf = two.issue(KIM, 1);
    let anchors = Anchors::new([root.der.clone()]).unwrap();
    let parsed = Parsed::read(&leaf).unwrap();
    let issuers = [one.der.clone(), two.der.clone()];
    let chain = anchors
        .chain(&parsed, &issuers, &domain("clinic.example"), NOW)
        .unwrap();
    assert_eq!(chain, [leaf, two.der, one.der, root.der]);
}

#[test]
fn anchors_are_bounded_and_read() {
    let root = Ca::root("Root").der;
    let rubbish = [root.clone(), Bytes::from_static(b"rubbish")];
    assert_eq!(
        Anchors::new(rubbish).unwrap_err(),
        AnchorError::Malformed(2)
    );
    let many = vec![root; MAX_ANCHORS + 1];
    assert_eq!(Anchors::new(many).unwrap_err(), AnchorError::TooMany);
    assert!(Anchors::new([]).unwrap().is_empty());
}

#[test]
fn an_anchor_vouches_for_its_domains_only() {
    let (all, narrow) = (Ca::root("Everybody's"), Ca::root("Partner's"));
    let here = vec![
        "clinic.example".parse().unwrap(),
        "*.lab.example".parse().unwrap(),
    ];
    let anchors = Anchors::narrowed([
        (all.der.clone(), Vouches::ForAll),
        (narrow.der.clone(), Vouches::For(here)),
    ])
    .unwrap();
    let between = Ca::under(&narrow, "Between", |_| {});
    for (issuer, of, expected) in [
        (&all, "clinic.example", Ok(2)),
        (&all, "elsewhere.example", Ok(2)),
        (&narrow, "clinic.example", Ok(2)),
        (&between, "a.lab.example", Ok(3)),
        (&narrow, "elsewhere.example", Err(Constrained)),
        (&between, "lab.example", Err(Constrained)),
    ] {
        let leaf = Parsed::read(&issuer.issue(&format!("kim@{of}"), 1)).unwrap();
        let chain = anchors.chain(&leaf, std::slice::from_ref(&between.der), &domain(of), NOW);
        assert_eq!(chain.map(|it| it.len()), expected, "{of}");
    }
    let stranger = Parsed::read(&Ca::root("Stranger").issue(KIM, 1)).unwrap();
    let chain = anchors.chain(&stranger, &[], &domain("elsewhere.example"), NOW);
    assert_eq!(chain, Err(NoChain));
}
