//! The shape, case by case: which field stands where, whose signature there is, what is refused.

use super::generator::Rng;
use super::reader::{Opened, der, header_sets, open, sent};
use super::*;
use crate::mail::ContentCipher;
use crate::mail::message::{Header, split};

/// Seals to the first recipient; outer header, and what is inside.
fn sealed_by(sealer: &Sealer, content: &str) -> (String, Opened) {
    let payload = sealer.payload(content.as_bytes(), Some(&author()), NOW);
    let keys = &WORLD.recipients[1];
    let sealing = payload
        .unwrap()
        .seal(content.as_bytes(), &recipient(keys, false, false));
    let wire = sent(&sealing.unwrap().sealed, content.as_bytes(), &mut Rng(1));
    let (outer, _) = split(&wire);
    let opened = open(&wire, &keys.certificate, &keys.pkcs8);
    (String::from_utf8(outer.to_vec()).unwrap(), opened)
}

fn sealed(content: &str) -> (String, String) {
    let (outer, opened) = sealed_by(&Sealer::default(), content);
    (outer, String::from_utf8(opened.root).unwrap())
}

/// Content with these fields beside From.
fn with(fields: &str) -> String {
    format!("From: jo@clinic.example\r\n{fields}\r\nbody\r\n")
}

const MIME: &str = "MIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=\"smime.p7m\"\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=\"smime.p7m\"\r\n";

#[test]
fn a_whole_message() {
    let content = "Received: from app by mail.clinic.example;\r\n Sun, 22 Nov 2026 00:30:07 +0000\r\n\
        From: Jo Doe\r\n <jo@clinic.example>\r\n\
        To:kim@smime.example\r\n\
        Subject: =?utf-8?q?R=C3=A9sultats?=\r\n of Tuesday\r\n\
        Keywords: results\r\n\
        Auto-Submitted: auto-notified; owner-email=\"x\"\r\n\
        Message-ID: <1@clinic.example>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\
        X-Matter: 17\r\n\
        \r\n\
        Gr\u{fc}\u{df}e \t\r\nFrom here\r\n.\r\n";
    let (outer, root) = sealed(content);
    assert_eq!(
        outer,
        format!(
            "Received: from app by mail.clinic.example;\r\n Sun, 22 Nov 2026 00:30:07 +0000\r\n\
            From: Jo Doe\r\n <jo@clinic.example>\r\n\
            To:kim@smime.example\r\n\
            Subject: [...]\r\n\
            Auto-Submitted: auto-notified\r\n\
            Message-ID: <1@clinic.example>\r\n{MIME}"
        )
    );
    assert_eq!(
        root,
        "From: Jo Doe\r\n <jo@clinic.example>\r\n\
        To:kim@smime.example\r\n\
        Subject: =?utf-8?q?R=C3=A9sultats?=\r\n of Tuesday\r\n\
        Keywords: results\r\n\
        Auto-Submitted: auto-notified; owner-email=\"x\"\r\n\
        Message-ID: <1@clinic.example>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; hp=\"cipher\"; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\
        X-Matter: 17\r\n\
        HP-Outer: From: Jo Doe\r\n <jo@clinic.example>\r\n\
        HP-Outer: To: kim@smime.example\r\n\
        HP-Outer: Subject: [...]\r\n\
        HP-Outer: Auto-Submitted: auto-notified\r\n\
        HP-Outer: Message-ID: <1@clinic.example>\r\n\
        \r\n\
        Gr\u{fc}\u{df}e \t\r\nFrom here\r\n.\r\n"
    );
}

/// A field, what stands outside for it (nothing: as it is), and whether it stands inside.
const PLACES: &[(&str, Option<&str>, bool)] = &[
    // As it is.
    ("Date: Sun, 22 Nov 2026 00:30:07 +0000", Some(""), true),
    ("SENDER: jo@clinic.example", Some(""), true),
    (
        "Reply-To: Desk (office) <desk@clinic.example>",
        Some(""),
        true,
    ),
    (
        "To: Patients: a@b.example,\r\n\tc@d.example;",
        Some(""),
        true,
    ),
    ("Cc:", Some(""), true),
    ("Resent-Date: 22 Nov 26 00:30 GMT", Some(""), true),
    ("Message-ID:\r\n <1@clinic.example>", Some(""), true),
    ("Resent-From: a@b.example", Some(""), true),
    ("Resent-Message-ID: <a@b>", Some(""), true),
    (
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        Some(""),
        true,
    ),
    ("List-Id: <x.example>", Some(""), true),
    (
        "Disposition-Notification-To: jo@clinic.example",
        Some(""),
        true,
    ),
    // A date and nothing else.
    (
        "Date: Sun, 22 Nov 2026 01:30:07 +0100 (Kim is ill)",
        Some("Date: Sun, 22 Nov 2026 01:30:07 +0100"),
        true,
    ),
    (
        "Date: Kim is ill",
        Some("Date: Fri, 15 Jan 2027 08:00:00 +0000"),
        true,
    ),
    ("Resent-Date: Kim is ill", None, true),
    (
        "Resent-Date: Sun, 22 Nov 2026 00:30:07 +0000 Kim is ill",
        None,
        true,
    ),
    (
        "Resent-Date: (Kim is ill) Sun, 22 Nov 2026 00:30:07 +0000",
        None,
        true,
    ),
    // One message id and nothing else.
    ("Message-ID: any <thing", None, true),
    ("Message-ID: Kim is ill <x@y>", None, true),
    ("Message-ID: <x@y> <Kim@ill>", None, true),
    ("Resent-Message-ID: Kim is ill <x@y>", None, true),
    // Message ids and nothing else.
    ("References: <a@b>\r\n <c@d><e@f>", Some(""), true),
    ("In-Reply-To:<a@b>", Some(""), true),
    ("In-Reply-To: your mail about Kim <a@b>", None, true),
    ("In-Reply-To: <a b@c>", None, true),
    ("References: <a@b> (Kim)", None, true),
    ("References: <a@b", None, true),
    ("References: a@b", None, true),
    ("References:", None, true),
    // Words of a small choice.
    ("Importance: HIGH", Some(""), true),
    (
        "Importance: high (Kim is ill)",
        Some("Importance: high"),
        true,
    ),
    ("Importance: ill", None, true),
    ("Priority: urgent", Some(""), true),
    ("X-Priority: 1 (Highest)", Some("X-Priority: 1"), true),
    ("Precedence: bulk", Some(""), true),
    ("Precedence: Kim", None, true),
    ("Auto-Submitted: no", Some(""), true),
    (
        "auto-submitted: auto-replied (Kim)",
        Some("auto-submitted: auto-replied"),
        true,
    ),
    // Inside alone.
    ("Comments: x", None, true),
    ("Keywords: x", None, true),
    ("Thread-Topic: x", None, true),
    ("Content-Description: x", None, true),
    (
        "Content-Disposition: attachment; filename=x.pdf",
        None,
        true,
    ),
    ("Content-ID: <x>", None, true),
    ("X-Mailer: x", None, true),
    ("Organization: x", None, true),
    ("Autocrypt: addr=jo@clinic.example; keydata=x", None, true),
    ("Fromm: x", None, true),
    ("Return-Receipt-To: jo@clinic.example", None, true),
    ("List-Anything: x", None, true),
    ("Received-Anything: x", None, true),
    // Not for others' eyes on the way, or with octets that servers change.
    ("To: K\u{ef}m <a@b.example>", None, true),
    ("Cc: a@b.example (\u{1})", None, true),
    // Not the first field, so not ours.
    ("Received: from x", None, true),
    // Nowhere.
    ("Bcc: x@y.example", None, false),
    ("Resent-Bcc: x@y.example", None, false),
    ("Return-Path: <x@y.example>", None, false),
    ("DKIM-Signature: v=1; bh=x", None, false),
    ("dkim-signature: v=1; bh=x", None, false),
    ("ARC-Seal: i=1", None, false),
    ("ARC-Message-Signature: i=1", None, false),
    ("ARC-Authentication-Results: i=1", None, false),
    ("Authentication-Results: x; dkim=pass", None, false),
    ("Received-SPF: pass", None, false),
    ("HP-Outer: Subject: x", None, false),
];

#[test]
fn which_field_stands_where() {
    for &(field, outside, inside) in PLACES {
        let (outer, root) = sealed(&with(&format!("{field}\r\n")));
        let outside = outside.map(|other| if other.is_empty() { field } else { other });
        let wanted = match outside {
            Some(line) => format!("{line}\r\nSubject: [...]\r\n{MIME}"),
            None => format!("Subject: [...]\r\n{MIME}"),
        };
        assert_eq!(
            outer,
            format!("From: jo@clinic.example\r\n{wanted}"),
            "{field}"
        );
        let within = if inside {
            format!("{field}\r\n")
        } else {
            String::new()
        };
        let start = format!(
            "From: jo@clinic.example\r\n{within}\
            Content-Type: text/plain; charset=\"us-ascii\"; hp=\"cipher\"\r\n\
            HP-Outer: From: jo@clinic.example\r\n"
        );
        assert!(root.starts_with(&start), "{field}: {root}");
        // What stands outside is told inside, but for the way.
        let (block, _) = split(root.as_bytes());
        let header = Header::parse(block).unwrap();
        let (told, _) = header_sets(&header);
        let count = 2 + usize::from(outside.is_some() && inside);
        assert_eq!(told.len(), count, "{field}: {told:?}");
    }
}

#[test]
fn a_line_of_hp_outer_keeps_the_limit_and_the_value() {
    for octets in [900, 983, 984, 993] {
        let to = format!("{}@b.example", "a".repeat(octets - 10));
        let (outer, root) = sealed(&with(&format!("To: {to}\r\n")));
        assert!(outer.contains(&format!("To: {to}\r\n")));
        assert!(root.split("\r\n").all(|line| line.len() <= 998), "{octets}");
        let header = Header::parse(split(root.as_bytes()).0).unwrap();
        let (told, _) = header_sets(&header);
        assert!(told.contains(&("To".to_owned(), to)), "{octets}");
    }
}

#[test]
fn the_dots_stand_for_every_subject() {
    for subject in ["Subject: x\r\n", "SUBJECT:\r\n x\r\n", "Subject:\r\n", ""] {
        let (outer, _) = sealed(&with(subject));
        assert_eq!(
            outer,
            format!("From: jo@clinic.example\r\nSubject: [...]\r\n{MIME}")
        );
    }
}

#[test]
fn a_header_further_down_is_body() {
    let content = "From: jo@clinic.example\r\n\
        Content-Type: message/rfc822\r\n\r\n\
        From: eve@evil.example\r\nTo: eve@evil.example\r\nSubject: inner\r\n\
        Content-Type: text/plain; hp=\"clear\"\r\nHP-Outer: Subject: inner\r\n\r\nx\r\n";
    let (outer, root) = sealed(content);
    assert_eq!(
        outer,
        format!("From: jo@clinic.example\r\nSubject: [...]\r\n{MIME}")
    );
    assert!(root.ends_with(content.split_once("\r\n\r\n").unwrap().1));
    assert!(root.starts_with(
        "From: jo@clinic.example\r\nContent-Type: message/rfc822; hp=\"cipher\"\r\n\
        HP-Outer: From: jo@clinic.example\r\nHP-Outer: Subject: [...]\r\n\r\nFrom: eve@"
    ));
}

#[test]
fn without_a_content_type_it_is_plain_text() {
    for (body, kind) in [
        (
            "hello\r\n",
            "text/plain; charset=\"us-ascii\"; hp=\"cipher\"",
        ),
        ("h\u{e9}llo", "text/plain; hp=\"cipher\""),
        ("", "text/plain; charset=\"us-ascii\"; hp=\"cipher\""),
    ] {
        let (_, root) = sealed(&format!("From: jo@clinic.example\r\n\r\n{body}"));
        let (header, found) = root.split_once("\r\n\r\n").unwrap();
        assert_eq!(found, body);
        assert!(
            header.contains(&format!("\r\nContent-Type: {kind}\r\n")),
            "{header}"
        );
    }
    // Not even an empty line: as if there were one.
    let (_, root) = sealed("From: jo@clinic.example\r\n");
    assert!(root.ends_with("HP-Outer: Subject: [...]\r\n\r\n"), "{root}");
}

#[test]
fn a_signature_covers_root_and_body() {
    for (signer, micalg) in WORLD
        .signers
        .iter()
        .zip(["sha-256", "sha-256", "sha-384", "sha-512"])
    {
        for body in ["", "x", "x\r\n", "x \t\r\n\r\n\r\n", "--\r\n----\r\n"] {
            let content = format!("From: Jo <jo@clinic.example>\r\nSubject: s\r\n\r\n{body}");
            let (_, opened) = sealed_by(&sealer(signer), &content);
            let signature = opened.signature.unwrap();
            let by = cms::verify_detached(&signature, &opened.root).unwrap();
            assert_eq!(by, signer.certificate, "{micalg}");
            let root = String::from_utf8(opened.root).unwrap();
            assert!(root.starts_with("From: Jo <jo@clinic.example>\r\nSubject: s\r\n"));
            assert_eq!(root.split_once("\r\n\r\n").unwrap().1, body);
            assert!(cms::verify_detached(&signature, &root.as_bytes()[1..]).is_err());
        }
        let payload = sealer(signer).payload(with("").as_bytes(), Some(&author()), NOW);
        let to = recipient(&WORLD.recipients[1], false, false);
        let sealing = payload.unwrap().seal(with("").as_bytes(), &to).unwrap();
        let head = String::from_utf8(sealing.sealed.shape.head.clone()).unwrap();
        let start = format!(
            "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
            micalg={micalg};\r\n boundary=\"=_"
        );
        assert!(head.starts_with(&start), "{head}");
        assert!(head.split("\r\n").all(|line| line.len() <= 78), "{head}");
    }
}

#[test]
fn one_payload_serves_every_recipient() {
    let content = with("Subject: x\r\n");
    let payload = sealer(&WORLD.signers[1]).payload(content.as_bytes(), Some(&author()), NOW);
    let payload = payload.unwrap();
    let mut inside = Vec::new();
    let mut keys_used = Vec::new();
    for keys in &WORLD.recipients {
        for gcm in [false, true] {
            let to = recipient(keys, gcm, true);
            let sealed = payload.seal(content.as_bytes(), &to).unwrap().sealed;
            assert_eq!(sealed.certificate, to.fingerprint);
            assert_eq!(sealed.expires, LATER);
            let wire = sent(&sealed, content.as_bytes(), &mut Rng(2));
            let name = if gcm {
                "authEnveloped-data"
            } else {
                "enveloped-data"
            };
            let header = String::from_utf8(sealed.shape.header.clone()).unwrap();
            assert!(header.contains(&format!(
                "pkcs7-mime; smime-type={name};\r\n name=\"smime.p7m\"\r\n"
            )));
            inside.push(open(&wire, &keys.certificate, &keys.pkcs8));
            keys_used.push(*sealed.key.expose());
            // Nobody else can read it.
            for other in WORLD.recipients.iter().filter(|it| it.pkcs8 != keys.pkcs8) {
                let der = der(&wire);
                assert!(cms::decrypt(&der, &other.certificate, &other.pkcs8).is_err());
                let mixed = cms::decrypt(&der, &keys.certificate, &other.pkcs8);
                assert!(mixed.is_err());
            }
        }
    }
    assert!(inside.iter().all(|it| it.root == inside[0].root));
    assert!(inside.iter().all(|it| it.signature == inside[0].signature));
    keys_used.sort_unstable();
    keys_used.dedup();
    assert_eq!(
        keys_used.len(),
        inside.len(),
        "a content key was used twice"
    );
}

#[test]
fn what_is_too_large_for_gcm_is_cbc() {
    let limit = usize::try_from(cms::MAX_GCM_OCTETS).unwrap();
    let header = "From: jo@clinic.example\r\n\r\n";
    let cipher = |octets: usize| {
        let mut content = header.as_bytes().to_vec();
        content.resize(header.len() + octets, b'x');
        let payload = Sealer::default().payload(&content, None, NOW).unwrap();
        let to = recipient(&WORLD.recipients[1], true, false);
        let sealed = payload.seal(&content, &to).unwrap().sealed;
        (sealed.cipher, sealed.shape.head.len())
    };
    let (small, head) = cipher(0);
    assert_eq!(small, ContentCipher::Aes256Gcm);
    assert_eq!(cipher(limit - head).0, ContentCipher::Aes256Gcm);
    assert_eq!(cipher(limit - head + 1).0, ContentCipher::Aes256Cbc);
}

#[test]
fn a_layer_of_protection_stays_as_it_is() {
    let body = "--b\r\nContent-Type: text/plain; hp=\"clear\"\r\n\r\nsigned text \r\n\r\n--b\r\n\
        Content-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n";
    for kind in [
        "multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256;\r\n boundary=b",
        "multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=b",
        "multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b",
        "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        "Application/X-PKCS7-MIME; smime-type=enveloped-data; hp=clear",
    ] {
        let fields = format!("Subject: canary\r\nX-Matter: canary\r\nContent-Type: {kind}\r\n");
        let content = format!("From: jo@clinic.example\r\n{fields}\r\n{body}");
        let sealer = sealer(&WORLD.signers[0]);
        let payload = sealer
            .payload(content.as_bytes(), Some(&author()), NOW)
            .unwrap();
        assert_eq!(payload.unsigned(), Some(&Unsigned::Protected));
        let (outer, opened) = sealed_by(&sealer, &content);
        assert!(!outer.contains("canary"));
        assert!(outer.contains("Subject: [...]\r\n"));
        // Octet for octet, with its header fields on the root.
        assert_eq!(String::from_utf8(opened.root).unwrap(), content);
        assert_eq!(opened.signature, None);
    }
}

#[test]
fn what_is_odd_is_not_sealed() {
    use SealError as E;
    let payload = |content: &str| {
        let sealed = Sealer::default().payload(content.as_bytes(), Some(&author()), NOW);
        sealed.map(|_| ()).unwrap_err()
    };
    for (content, error) in [
        ("", E::From),
        ("\r\nFrom: jo@clinic.example\r\n", E::From),
        ("To: kim@smime.example\r\n\r\nx", E::From),
        (
            "From: jo@clinic.example\r\nFrom: jo@clinic.example\r\n\r\nx",
            E::From,
        ),
        ("From: J\u{f6} <jo@clinic.example>\r\n\r\nx", E::From),
        ("From: jo clinic.example\r\n\r\nx", E::From),
        ("From: eve@clinic.example\r\n\r\nx", E::Author),
        (
            "From: jo@clinic.example, eve@clinic.example\r\n\r\nx",
            E::Author,
        ),
        ("From: jo@clinic.example.evil.example\r\n\r\nx", E::Author),
        (
            "From: jo@clinic.example\nTo: x\r\n\r\nx",
            E::Header(HeaderError::LineEnd { line: 1 }),
        ),
        (
            "From: jo@clinic.example\r\nhello\r\n\r\nx",
            E::Header(HeaderError::NotAField { line: 2 }),
        ),
    ] {
        assert_eq!(payload(content), error, "{content:?}");
    }
    for (fields, error) in [
        (
            "Content-Type: a/b\r\ncontent-type: a/b\r\n",
            E::Repeated("Content-Type"),
        ),
        (
            "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n",
            E::Repeated("Content-Transfer-Encoding"),
        ),
    ] {
        assert_eq!(payload(&with(fields)), error, "{fields:?}");
    }
    // What the body is cannot be told: it is sealed as it came.
    for field in [
        "Content-Type: text\r\n",
        "Content-Type:\r\n",
        "Content-Type: a/b; c=\"\r\n",
    ] {
        let content = with(field);
        let to = recipient(&WORLD.recipients[1], false, false);
        let payload = sealer(&WORLD.signers[1]);
        let payload = payload
            .payload(content.as_bytes(), Some(&author()), NOW)
            .unwrap();
        let sealed = payload.seal(content.as_bytes(), &to).unwrap().sealed;
        assert!(sealed.shape.signer.is_some());
        let head = String::from_utf8(sealed.shape.head.clone()).unwrap();
        assert!(head.contains(field) && !head.contains("HP-Outer"), "{head}");
    }
    // Nor is other content than the one that was prepared, or anything to no certificate.
    let content = with("");
    let payload = Sealer::default()
        .payload(content.as_bytes(), None, NOW)
        .unwrap();
    let to = recipient(&WORLD.recipients[1], false, false);
    let longer = format!("{content}x");
    let sealed = payload.seal(longer.as_bytes(), &to).map(|_| ());
    assert_eq!(sealed, Err(E::OtherContent));
    let broken = RecipientCertificate {
        der: Bytes::from_static(b"no certificate"),
        ..to
    };
    let sealed = payload.seal(content.as_bytes(), &broken).map(|_| ());
    assert!(matches!(sealed, Err(E::Cms(_))));
}

#[test]
fn the_identity_is_the_authors_own() {
    let own = || identity(&WORLD.signers[0], "jo@clinic.example", LATER);
    let spelt = || identity(&WORLD.signers[0], "JO@clinic.example", LATER);
    let house = || identity(&WORLD.signers[1], "clinic.example", LATER);
    let parent = || identity(&WORLD.signers[1], "example", LATER);
    let child = || identity(&WORLD.signers[1], "lab.clinic.example", LATER);
    let other = || identity(&WORLD.signers[0], "kim@clinic.example", LATER);
    let old = || identity(&WORLD.signers[0], "jo@clinic.example", NOW);
    let old_house = || identity(&WORLD.signers[0], "clinic.example", Timestamp::from_secs(0));
    let expired = |owner: &str| Err(Unsigned::Expired(owner.parse().unwrap()));
    for (identities, wanted) in [
        (vec![], Err(Unsigned::NoIdentity)),
        (vec![own()], Ok("jo@clinic.example")),
        (vec![spelt()], Ok("JO@clinic.example")),
        (vec![house()], Ok("clinic.example")),
        (vec![house(), own()], Ok("jo@clinic.example")),
        (vec![parent(), child(), other()], Err(Unsigned::NoIdentity)),
        (vec![old()], expired("jo@clinic.example")),
        (vec![old(), house()], Ok("clinic.example")),
        (vec![own(), old()], Ok("jo@clinic.example")),
        (vec![old_house()], expired("clinic.example")),
    ] {
        let sealer = Sealer::new(identities);
        let content = with("");
        let payload = sealer.payload(content.as_bytes(), Some(&author()), NOW);
        let payload = payload.unwrap();
        let to = recipient(&WORLD.recipients[1], false, false);
        let sealed = payload.seal(content.as_bytes(), &to).unwrap().sealed;
        let found = sealed.shape.signer.as_deref();
        assert_eq!(found, wanted.as_ref().ok().copied());
        assert_eq!(payload.unsigned(), wanted.as_ref().err());
    }
    // Nobody signs for an author that is not known, whatever From says.
    let payload = Sealer::new(vec![own(), house()]).payload(with("").as_bytes(), None, NOW);
    assert_eq!(payload.unwrap().unsigned(), Some(&Unsigned::NoIdentity));
    // What is unsigned is sealed all the same.
    let (outer, opened) = sealed_by(&Sealer::new(vec![old()]), &with("Subject: x\r\n"));
    assert!(outer.contains("pkcs7-mime") && opened.signature.is_none());
}

#[test]
fn owners_are_written_as_they_are_read() {
    for (text, same) in [
        ("Jo@Clinic.Example", "Jo@clinic.example"),
        ("Clinic.Example", "clinic.example"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
    ] {
        let owner: Owner = text.parse().unwrap();
        assert_eq!(owner.to_string(), same);
    }
    for text in [
        "",
        "@",
        "jo@",
        "@clinic.example",
        "*",
        "*@clinic.example ",
        "a b",
        "-",
    ] {
        assert!(text.parse::<Owner>().is_err(), "{text:?}");
    }
}
