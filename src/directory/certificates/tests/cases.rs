//! The rules of acceptance as a table: a certificate with one thing special about it, and what is
//! thought of it for `kim@clinic.example`.

use super::super::examine::{Vouching, examine};
use super::super::parse::{MAX_CERTIFICATE_OCTETS, Parsed};
use super::make::*;
use crate::mail::CertificateProblem::{self, *};
use crate::proto::cms::RecipientKey;
use bytes::Bytes;

const KIM: &str = "kim@clinic.example";
const OK: Option<CertificateProblem> = None;

type Case = (&'static str, Bytes, Option<CertificateProblem>);

fn make() -> Make {
    Make::new(&[KIM])
}

fn named(names: &[Vec<u8>]) -> Bytes {
    make().named(names).unsigned()
}

/// With one rfc822Name.
fn mail(text: impl AsRef<[u8]>) -> Bytes {
    named(&[rfc822(text)])
}

/// With one SmtpUTF8Mailbox.
fn utf8_mail(text: &str) -> Bytes {
    named(&[utf8(0x0c, text)])
}

fn names() -> Vec<Case> {
    let spoiled = |text: &[u8]| named(&[rfc822(KIM), rfc822(text)]);
    vec![
        ("good", mail(KIM), OK),
        ("case of the domain", mail("kim@CLINIC.Example"), OK),
        ("case of the local part", mail("KIM@clinic.example"), OK),
        (
            "one of several",
            named(&[rfc822("jo@clinic.example"), rfc822(KIM)]),
            OK,
        ),
        (
            "beside other kinds",
            named(&[tlv(0x82, b"www.example"), tlv(0x86, b"urn:x"), rfc822(KIM)]),
            OK,
        ),
        (
            "beside another otherName",
            named(&[
                other_name("1.3.6.1.4.1.311.20.2.3", &tlv(0x0c, b"kim")),
                rfc822(KIM),
            ]),
            OK,
        ),
        (
            "another local part",
            mail("kin@clinic.example"),
            Some(OtherAddress),
        ),
        (
            "a domain below",
            mail("kim@mail.clinic.example"),
            Some(OtherAddress),
        ),
        ("a domain above", mail("kim@example"), Some(OtherAddress)),
        (
            "plus addressing is another address",
            mail("kim+x@clinic.example"),
            Some(OtherAddress),
        ),
        (
            "look-alike digit",
            mail("kim@c1inic.example"),
            Some(OtherAddress),
        ),
        (
            "look-alike A-label",
            mail("kim@xn--clini-hze.example"),
            Some(OtherAddress),
        ),
        (
            "no mail name in the alternative names",
            named(&[tlv(0x82, b"clinic.example")]),
            Some(OtherAddress),
        ),
        (
            "a host of that name",
            named(&[tlv(0x82, KIM.as_bytes())]),
            Some(OtherAddress),
        ),
        (
            "white space before",
            mail(" kim@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "white space behind",
            mail("kim@clinic.example "),
            Some(HostileAddress),
        ),
        ("a tab", mail("kim\t@clinic.example"), Some(HostileAddress)),
        (
            "a line end",
            mail("kim@clinic.example\r\n"),
            Some(HostileAddress),
        ),
        (
            "NUL behind",
            mail("kim@clinic.example\0"),
            Some(HostileAddress),
        ),
        (
            "NUL and more",
            mail("kim@clinic.example\0.evil.example"),
            Some(HostileAddress),
        ),
        (
            "NUL before",
            mail("\0kim@clinic.example"),
            Some(HostileAddress),
        ),
        ("empty", mail(""), Some(HostileAddress)),
        ("no @", mail("clinic.example"), Some(HostileAddress)),
        (
            "two @",
            mail("kim@clinic.example@evil.example"),
            Some(HostileAddress),
        ),
        (
            "a trailing dot",
            mail("kim@clinic.example."),
            Some(HostileAddress),
        ),
        (
            "quotes",
            mail("\"kim\"@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "a comment",
            mail("kim(x)@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "angle brackets",
            mail("<kim@clinic.example>"),
            Some(HostileAddress),
        ),
        (
            "a list",
            mail("kim@clinic.example,eve@evil.example"),
            Some(HostileAddress),
        ),
        (
            "an address literal",
            mail("kim@[192.0.2.1]"),
            Some(HostileAddress),
        ),
        (
            "a broken A-label",
            mail("kim@xn--a.example"),
            Some(HostileAddress),
        ),
        (
            "not ASCII",
            mail("k\u{ef}m@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "Latin-1",
            mail(b"k\xefm@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "too long",
            mail(format!("{}@clinic.example", "k".repeat(65))),
            Some(HostileAddress),
        ),
        (
            "the second name is hostile",
            spoiled(b"kim@clinic.example "),
            Some(HostileAddress),
        ),
        (
            "the second name has a NUL",
            spoiled(b"a\0@evil.example"),
            Some(HostileAddress),
        ),
        (
            "the second name is no address",
            spoiled(b"kim"),
            Some(HostileAddress),
        ),
        (
            "only hostile, of another",
            mail("eve @evil.example"),
            Some(HostileAddress),
        ),
        ("no names at all", named(&[]), Some(Malformed)),
        (
            "a hundred names",
            named(&[vec![rfc822("jo@clinic.example"); 99], vec![rfc822(KIM)]].concat()),
            OK,
        ),
        (
            "more than a hundred names",
            named(&vec![rfc822(KIM); 101]),
            Some(Malformed),
        ),
        (
            "a constructed rfc822Name",
            named(&[tlv(0xa1, &tlv(0x16, KIM.as_bytes()))]),
            Some(Malformed),
        ),
        (
            "a name of no kind",
            named(&[tlv(0x16, KIM.as_bytes())]),
            Some(Malformed),
        ),
    ]
}

fn unicode_names() -> Vec<Case> {
    vec![
        ("SmtpUTF8Mailbox in ASCII", utf8_mail(KIM), OK),
        (
            "SmtpUTF8Mailbox, case of the domain",
            utf8_mail("kim@Clinic.Example"),
            OK,
        ),
        (
            "SmtpUTF8Mailbox of another",
            utf8_mail("k\u{ef}m@clinic.example"),
            Some(OtherAddress),
        ),
        (
            "SmtpUTF8Mailbox of another beside a good one",
            named(&[utf8(0x0c, "k\u{ef}m@clinic.example"), rfc822(KIM)]),
            OK,
        ),
        (
            "SmtpUTF8Mailbox with a U-label",
            utf8_mail("kim@b\u{fc}cher.example"),
            Some(OtherAddress),
        ),
        (
            "full-width letters",
            utf8_mail("kim@\u{ff43}linic.example"),
            Some(HostileAddress),
        ),
        (
            "an ideographic full stop",
            utf8_mail("kim@clinic\u{3002}example"),
            Some(HostileAddress),
        ),
        (
            "a Cyrillic letter",
            utf8_mail("kim@clini\u{441}.example"),
            Some(OtherAddress),
        ),
        (
            "a zero width space",
            utf8_mail("ki\u{200b}m@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "text turned around",
            utf8_mail("\u{202e}kim@clinic.example"),
            Some(HostileAddress),
        ),
        (
            "SmtpUTF8Mailbox with white space",
            utf8_mail("kim @clinic.example"),
            Some(HostileAddress),
        ),
        (
            "SmtpUTF8Mailbox with NUL",
            utf8_mail("kim@clinic.example\0"),
            Some(HostileAddress),
        ),
        (
            "a full-width @",
            utf8_mail("kim\u{ff20}clinic.example"),
            Some(HostileAddress),
        ),
        (
            "SmtpUTF8Mailbox not UTF-8",
            named(&[utf8(0x0c, b"k\xefm@clinic.example")]),
            Some(Malformed),
        ),
        (
            "SmtpUTF8Mailbox as IA5String",
            named(&[utf8(0x16, KIM)]),
            Some(Malformed),
        ),
        (
            "SmtpUTF8Mailbox without its tag",
            named(&[tlv(
                0xa0,
                &[oid(SMTP_UTF8), tlv(0x0c, KIM.as_bytes())].concat(),
            )]),
            Some(Malformed),
        ),
    ]
}

fn legacy_names() -> Vec<Case> {
    const EMAIL: &str = "1.2.840.113549.1.9.1";
    let legacy = |subject: Vec<u8>| {
        let mut made = Make::bare().with(|it| it.subject = subject);
        made.extensions = vec![usage(&[ENCIPHER])];
        made.unsigned()
    };
    let email = |text: &[u8]| legacy(rdns(&[("2.5.4.3", 0x0c, b"Kim"), (EMAIL, 0x16, text)]));
    vec![
        ("emailAddress in the subject", email(KIM.as_bytes()), OK),
        (
            "emailAddress as UTF8String",
            legacy(rdns(&[(EMAIL, 0x0c, KIM.as_bytes())])),
            OK,
        ),
        (
            "emailAddress of another",
            email(b"jo@clinic.example"),
            Some(OtherAddress),
        ),
        (
            "emailAddress with white space",
            email(b"kim@clinic.example "),
            Some(HostileAddress),
        ),
        (
            "emailAddress as BMPString",
            legacy(rdns(&[(EMAIL, 0x1e, b"\0k\0i\0m")])),
            Some(HostileAddress),
        ),
        (
            "no address anywhere",
            legacy(name("Kim")),
            Some(OtherAddress),
        ),
        (
            "an address as common name",
            legacy(name(KIM)),
            Some(OtherAddress),
        ),
        (
            "emailAddress beside alternative names",
            make()
                .named(&[rfc822("jo@clinic.example")])
                .with(|it| it.subject = rdns(&[(EMAIL, 0x16, KIM.as_bytes())]))
                .unsigned(),
            Some(OtherAddress),
        ),
        (
            "hostile emailAddress beside alternative names is not looked at",
            make()
                .with(|it| it.subject = rdns(&[(EMAIL, 0x16, b"x y")]))
                .unsigned(),
            OK,
        ),
    ]
}

fn usages() -> Vec<Case> {
    let with = |spki: Vec<u8>, extensions: Vec<Vec<u8>>| {
        let mut made = make().key(spki);
        made.extensions.truncate(1);
        made.extensions.extend(extensions);
        made.unsigned()
    };
    let rsa = |extensions| with(good_rsa(1), extensions);
    let p256 = |extensions| with(ec(&oid(P256), &p256_point()), extensions);
    vec![
        ("no key usage", rsa(vec![purposes(&[MAIL])]), OK),
        ("no extended key usage", rsa(vec![usage(&[ENCIPHER])]), OK),
        ("neither", rsa(vec![]), OK),
        (
            "RSA, signature only",
            rsa(vec![usage(&[SIGN])]),
            Some(KeyUsage),
        ),
        (
            "RSA, key agreement",
            rsa(vec![usage(&[AGREE])]),
            Some(KeyUsage),
        ),
        (
            "RSA, data encipherment only",
            rsa(vec![usage(&[0b0001_0000])]),
            Some(KeyUsage),
        ),
        (
            "an empty key usage",
            rsa(vec![extension("2.5.29.15", true, &[3, 1, 0])]),
            Some(KeyUsage),
        ),
        (
            "a key usage that is none",
            rsa(vec![extension("2.5.29.15", true, &[5, 0])]),
            Some(Malformed),
        ),
        ("P-256, key agreement", p256(vec![usage(&[AGREE])]), OK),
        (
            "P-256, key encipherment",
            p256(vec![usage(&[ENCIPHER])]),
            Some(KeyUsage),
        ),
        (
            "P-256, encipherOnly",
            p256(vec![usage(&[AGREE | 1])]),
            Some(KeyUsage),
        ),
        (
            "P-256, decipherOnly",
            p256(vec![usage(&[AGREE, 0x80])]),
            Some(KeyUsage),
        ),
        (
            "P-256, signature only",
            p256(vec![usage(&[SIGN])]),
            Some(KeyUsage),
        ),
        ("any purpose", rsa(vec![purposes(&[ANY])]), OK),
        (
            "mail among others",
            rsa(vec![purposes(&[SERVER, MAIL])]),
            OK,
        ),
        (
            "servers only",
            rsa(vec![purposes(&[SERVER])]),
            Some(ExtendedKeyUsage),
        ),
        (
            "time stamps only",
            rsa(vec![purposes(&["1.3.6.1.5.5.7.3.8"])]),
            Some(ExtendedKeyUsage),
        ),
        (
            "no purpose",
            rsa(vec![purposes(&[])]),
            Some(ExtendedKeyUsage),
        ),
        ("an authority", rsa(vec![authority(None)]), Some(Authority)),
        (
            "cA is FALSE",
            rsa(vec![extension("2.5.29.19", true, &[0x30, 0])]),
            OK,
        ),
        (
            "cA is written FALSE",
            rsa(vec![extension("2.5.29.19", true, &seq(&[&[1, 1, 0]]))]),
            OK,
        ),
        (
            "signs certificates",
            rsa(vec![usage(&[ENCIPHER | CERTIFY])]),
            Some(Authority),
        ),
        (
            "an unknown critical extension",
            rsa(vec![extension("1.3.6.1.4.1.32473.1", true, &[5, 0])]),
            Some(CriticalExtension),
        ),
        (
            "an unknown extension",
            rsa(vec![extension("1.3.6.1.4.1.32473.1", false, &[5, 0])]),
            OK,
        ),
        (
            "critical policies",
            rsa(vec![extension(
                "2.5.29.32",
                true,
                &seq(&[&seq(&[&oid("1.3.6.1.4.1.32473.2")])]),
            )]),
            OK,
        ),
        (
            "critical name constraints",
            rsa(vec![extension("2.5.29.30", true, &[0x30, 0])]),
            Some(CriticalExtension),
        ),
        (
            "an extension twice",
            rsa(vec![usage(&[ENCIPHER]), usage(&[ENCIPHER])]),
            Some(Malformed),
        ),
    ]
}

fn keys() -> Vec<Case> {
    let agreed = |spki: Vec<u8>| {
        let mut made = make().key(spki);
        made.extensions.truncate(1);
        made.unsigned()
    };
    let rsa_key = |spki| make().key(spki).unsigned();
    let curve = |curve: &str, point: &[u8]| agreed(ec(&oid(curve), point));
    let mut even = vec![0xb5; 256];
    even[255] = 0xb4;
    let mut off = p256_point();
    off[64] ^= 1;
    let mut compressed = p256_point();
    compressed.truncate(33);
    compressed[0] = 3;
    let mut small = vec![0; 32];
    small[0] = 1;
    let exponent = |octets: &[u8]| rsa_key(rsa(2048, octets, 1));
    vec![
        ("RSA 2048", exponent(&[1, 0, 1]), OK),
        ("RSA 4096", rsa_key(rsa(4096, &[1, 0, 1], 1)), OK),
        ("RSA 8192", rsa_key(rsa(8192, &[1, 0, 1], 1)), OK),
        ("RSA 1024", rsa_key(rsa(1024, &[1, 0, 1], 1)), Some(WeakKey)),
        ("RSA 2040", rsa_key(rsa(2040, &[1, 0, 1], 1)), Some(WeakKey)),
        ("RSA 9216", rsa_key(rsa(9216, &[1, 0, 1], 1)), Some(KeyKind)),
        ("exponent 1", exponent(&[1]), Some(WeakKey)),
        ("exponent 3", exponent(&[3]), Some(WeakKey)),
        ("an even exponent", exponent(&[1, 0, 2]), Some(WeakKey)),
        (
            "a huge exponent",
            exponent(&[1, 0, 0, 0, 0, 0, 1]),
            Some(KeyKind),
        ),
        (
            "a negative exponent",
            exponent(&[0x81, 0, 1]),
            Some(Malformed),
        ),
        (
            "an even modulus",
            rsa_key(rsa_of(&even, &[1, 0, 1])),
            Some(WeakKey),
        ),
        (
            "RSA without NULL",
            rsa_key(seq(&[
                &seq(&[&oid(RSA)]),
                &bit_string(&seq(&[&integer(&[1]), &integer(&[1])])),
            ])),
            Some(KeyKind),
        ),
        (
            "RSA for PSS only",
            rsa_key(raw_key("1.2.840.113549.1.1.10", &[0])),
            Some(KeyKind),
        ),
        (
            "an RSA key that is none",
            rsa_key(seq(&[&algorithm(RSA), &bit_string(&[1, 2, 3])])),
            Some(Malformed),
        ),
        ("P-256", curve(P256, &p256_point()), OK),
        ("P-384", curve(P384, &p384_point()), OK),
        ("P-521", curve(P521, &[4; 133]), Some(KeyKind)),
        ("secp256k1", curve("1.3.132.0.10", &[4; 65]), Some(KeyKind)),
        ("not on the curve", curve(P256, &off), Some(WeakKey)),
        (
            "a point of another length",
            curve(P256, &p384_point()),
            Some(Malformed),
        ),
        (
            "a compressed point",
            curve(P256, &compressed),
            Some(KeyKind),
        ),
        (
            "explicit parameters",
            agreed(ec(&seq(&[&integer(&[1])]), &p256_point())),
            Some(KeyKind),
        ),
        (
            "a curve that the issuer's implies",
            agreed(ec(&[5, 0], &p256_point())),
            Some(KeyKind),
        ),
        ("X25519", agreed(raw_key("1.3.101.110", &[9; 32])), OK),
        (
            "X25519 of small order",
            agreed(raw_key("1.3.101.110", &small)),
            Some(WeakKey),
        ),
        (
            "X25519 too short",
            agreed(raw_key("1.3.101.110", &[9; 31])),
            Some(Malformed),
        ),
        (
            "Ed25519",
            agreed(raw_key("1.3.101.112", &[9; 32])),
            Some(KeyKind),
        ),
        (
            "X448",
            agreed(raw_key("1.3.101.111", &[9; 56])),
            Some(KeyKind),
        ),
        (
            "DSA",
            agreed(raw_key("1.2.840.10040.4.1", &integer(&[9; 20]))),
            Some(KeyKind),
        ),
    ]
}

fn signatures() -> Vec<Case> {
    let signed = |algorithm: Vec<u8>| make().with(|it| it.algorithm = algorithm).unsigned();
    let pss = |parameters: &[u8]| seq(&[&oid("1.2.840.113549.1.1.10"), parameters]);
    let sha = |kind: &str| seq(&[&tlv(0xa0, &seq(&[&oid(kind)]))]);
    vec![
        (
            "SHA-1 with RSA",
            signed(algorithm(SHA1_RSA)),
            Some(WeakSignature),
        ),
        (
            "MD5 with RSA",
            signed(algorithm("1.2.840.113549.1.1.4")),
            Some(WeakSignature),
        ),
        (
            "SHA-1 with ECDSA",
            signed(algorithm("1.2.840.10045.4.1")),
            Some(WeakSignature),
        ),
        (
            "PSS with SHA-256",
            signed(pss(&sha("2.16.840.1.101.3.4.2.1"))),
            OK,
        ),
        (
            "PSS with SHA-1",
            signed(pss(&sha("1.3.14.3.2.26"))),
            Some(WeakSignature),
        ),
        (
            "PSS with nothing said",
            signed(pss(&[0x30, 0])),
            Some(WeakSignature),
        ),
        (
            "SHA-512 with RSA",
            signed(algorithm("1.2.840.113549.1.1.13")),
            OK,
        ),
        (
            "an algorithm of tomorrow",
            signed(algorithm("1.3.6.1.4.1.32473.9")),
            OK,
        ),
        (
            "self-signed with SHA-1",
            make()
                .with(|it| {
                    it.algorithm = algorithm(SHA1_RSA);
                    it.issuer = it.subject.clone();
                })
                .unsigned(),
            OK,
        ),
        (
            "two signature algorithms",
            make()
                .with(|it| it.outer = Some(algorithm(SHA1_RSA)))
                .unsigned(),
            Some(Malformed),
        ),
    ]
}

fn times() -> Vec<Case> {
    let valid = |from, until| make().valid(from, until).unsigned();
    vec![
        (
            "expired",
            valid("250101000000Z", "251231235959Z"),
            Some(Expired),
        ),
        (
            "expires this second",
            valid("250101000000Z", "261122000000Z"),
            OK,
        ),
        (
            "expired a second ago",
            valid("250101000000Z", "261121235959Z"),
            Some(Expired),
        ),
        (
            "begins this second",
            valid("261122000000Z", "271122000000Z"),
            OK,
        ),
        (
            "begins in a second",
            valid("261122000001Z", "271122000000Z"),
            Some(NotYetValid),
        ),
        (
            "ends before it begins",
            valid("270101000000Z", "260101000000Z"),
            Some(Malformed),
        ),
        (
            "a time that is none",
            valid("261301000000Z", "271122000000Z"),
            Some(Malformed),
        ),
        (
            "a time with an offset",
            valid("260101000000+0100", "271122000000Z"),
            Some(Malformed),
        ),
        (
            "for ever",
            make()
                .with(|it| it.until = tlv(0x18, b"99991231235959Z"))
                .unsigned(),
            OK,
        ),
    ]
}

fn encodings() -> Vec<Case> {
    let good = make().unsigned();
    let mut long_form = good.to_vec();
    // The length of the whole in one octet more than it needs.
    long_form.splice(1..2, [0x83, 0]);
    let mut indefinite = vec![0x30, 0x80];
    indefinite.extend_from_slice(&good[4..]);
    indefinite.extend([0, 0]);
    let name_of = |octets: usize| rdns(&[("2.5.4.3", 0x0c, &vec![b'k'; octets])]);
    let subject = |octets: usize| make().with(|it| it.subject = name_of(octets)).unsigned();
    let padded = |octets: usize| {
        let padding = extension("1.3.6.1.4.1.32473.1", false, &vec![5; octets]);
        make().and(padding).unsigned()
    };
    let serial = |octets: &[u8]| make().with(|it| it.serial = octets.to_vec()).unsigned();
    let many: Vec<_> = (0..40)
        .map(|_| ("2.5.4.11", 0x0c, &[b'u'; 200][..]))
        .collect();
    let written_false = seq(&[&oid("2.5.29.14"), &[1, 1, 0], &tlv(4, &tlv(4, &[1]))]);
    vec![
        ("nothing", Bytes::new(), Some(Malformed)),
        ("not DER", Bytes::from_static(b"hello"), Some(Malformed)),
        ("cut short", good.slice(..good.len() - 1), Some(Malformed)),
        (
            "an octet behind",
            [&good[..], &[0]].concat().into(),
            Some(Malformed),
        ),
        (
            "a length in more octets than it needs",
            long_form.into(),
            Some(Malformed),
        ),
        ("an indefinite length", indefinite.into(), Some(Malformed)),
        (
            "version 1",
            make()
                .with(|it| {
                    it.version = None;
                    it.extensions.clear();
                })
                .unsigned(),
            Some(Malformed),
        ),
        (
            "version 2",
            make()
                .with(|it| {
                    it.version = Some(1);
                    it.extensions.clear();
                })
                .unsigned(),
            Some(Malformed),
        ),
        (
            "version 3 without extensions",
            Make::bare().unsigned(),
            Some(OtherAddress),
        ),
        ("a name of 1000 octets", subject(1000), OK),
        ("a huge name", subject(1100), Some(Malformed)),
        (
            "a name of many parts",
            make().with(|it| it.subject = rdns(&many)).unsigned(),
            Some(Malformed),
        ),
        (
            "a huge issuer",
            make().with(|it| it.issuer = name_of(3000)).unsigned(),
            Some(Malformed),
        ),
        ("large", padded(15_000), OK),
        (
            "over the bound",
            padded(MAX_CERTIFICATE_OCTETS),
            Some(Malformed),
        ),
        ("a negative serial number", serial(&[0x80]), OK),
        ("serial number 0", serial(&[0]), OK),
        ("20 octets of serial number", serial(&[0x7f; 20]), OK),
        (
            "40 octets of serial number",
            serial(&[0x7f; 40]),
            Some(Malformed),
        ),
        (
            "a critical that is written FALSE",
            make().and(written_false).unsigned(),
            OK,
        ),
        (
            "alternative names with something behind",
            make()
                .with(|it| {
                    it.extensions[0] = extension(
                        "2.5.29.17",
                        false,
                        &[tlv(0x30, &rfc822(KIM)), vec![5, 0]].concat(),
                    );
                })
                .unsigned(),
            Some(Malformed),
        ),
    ]
}

fn all() -> Vec<Case> {
    [
        names(),
        unicode_names(),
        legacy_names(),
        usages(),
        keys(),
        signatures(),
        times(),
        encodings(),
    ]
    .concat()
}

#[test]
fn every_certificate_is_accepted_or_refused_for_its_own_reason() {
    let cases = all();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    let kim = address(KIM);
    let mut wrong = Vec::new();
    for (name, der, expected) in &cases {
        let parsed = Parsed::read(der);
        let got = parsed.and_then(|it| examine(&it, &kim, NOW, Vouching::Operator));
        if got.err() != *expected {
            wrong.push(format!("{name}: expected {expected:?}, got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "a name twice");
}

#[test]
fn every_accepted_certificate_can_be_sealed_to() {
    for (name, der, expected) in all() {
        if expected.is_none() {
            assert!(RecipientKey::of_certificate(&der).is_ok(), "{name}");
        }
    }
}

#[test]
fn a_u_label_is_its_a_label() {
    let buecher = address("kim@xn--bcher-kva.example");
    for names in [
        rfc822("kim@xn--bcher-kva.example"),
        rfc822("kim@XN--Bcher-kva.example"),
        utf8(0x0c, "kim@b\u{fc}cher.example"),
        utf8(0x0c, "kim@xn--bcher-kva.example"),
    ] {
        let parsed = Parsed::read(&named(&[names])).unwrap();
        assert_eq!(examine(&parsed, &buecher, NOW, Vouching::Operator), Ok(()));
    }
}

#[test]
fn an_address_in_the_subject_counts_only_for_the_operator() {
    let (.., der, _) = &legacy_names()[0];
    let parsed = Parsed::read(der).unwrap();
    let kim = address(KIM);
    assert_eq!(examine(&parsed, &kim, NOW, Vouching::Operator), Ok(()));
    let found = examine(&parsed, &kim, NOW, Vouching::Chain);
    assert_eq!(found, Err(OtherAddress));
}

#[test]
fn quotes_of_a_recipient_that_say_nothing_do_not_matter() {
    let parsed = Parsed::read(&mail(KIM)).unwrap();
    let quoted = address("\"Kim\"@clinic.example");
    assert_eq!(examine(&parsed, &quoted, NOW, Vouching::Operator), Ok(()));
    let other = address("\"kim \"@clinic.example");
    assert_eq!(
        examine(&parsed, &other, NOW, Vouching::Operator),
        Err(OtherAddress)
    );
}

#[test]
fn what_a_certificate_cut_short_anywhere_says_is_nothing() {
    let good = make().unsigned();
    for end in 0..good.len() {
        assert_eq!(
            Parsed::read(&good.slice(..end)).err(),
            Some(Malformed),
            "{end}"
        );
    }
}

#[test]
fn names_are_shown_on_one_line() {
    let subject = rdns(&[("2.5.4.3", 0x0c, "Kim\u{202e}\u{1b}[2J\n".as_bytes())]);
    let parsed = Parsed::read(&make().with(|it| it.subject = subject).unsigned()).unwrap();
    assert!(
        !parsed
            .subject
            .chars()
            .any(|it| it.is_control() || it == '\u{202e}')
    );
    assert!(parsed.subject.contains("Kim"), "{}", parsed.subject);
}
