//! What holds for any octets as a message: they are refused, or they are sealed so that exactly
//! they come out again and nothing that is not allowed stands outside. The fuzz target and the
//! tests call this.

use std::sync::OnceLock;

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::{Outside, Sealer, SigningIdentity, already_sealed};
use crate::mail::message::{Field, Header, split};
use crate::mail::{
    Address, CertificateFact, Domain, Fingerprint, RecipientCertificate, Sealed, Timestamp,
};
use crate::proto::cms::{self, SealStream};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_900_000_000);
const AUTHOR: &str = "jo@clinic.example";
/// Never outside, whatever an allow-list says.
const INSIDE: [&str; 9] = [
    "Keywords",
    "Comments",
    "Thread-Topic",
    "Bcc",
    "Resent-Bcc",
    "Return-Path",
    "DKIM-Signature",
    "HP-Outer",
    "Content-Description",
];

/// A key for both ends, made once.
struct Keys {
    to: RecipientCertificate,
    pkcs8: Vec<u8>,
    signs: Sealer,
    author: Address,
}

fn keys() -> Result<&'static Keys, &'static str> {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["smime.example".to_owned()]).ok()?;
        let (der, pkcs8) = (made.cert.der().to_vec(), made.signing_key.serialize_der());
        let print: [u8; 32] = digest(&SHA256, &der).as_ref().try_into().ok()?;
        let author = Address::parse(AUTHOR).ok()?;
        let identity = SigningIdentity {
            owner: super::Owner::Domain(Domain::parse("clinic.example").ok()?),
            identity: cms::Identity::new(vec![der.clone()], &pkcs8).ok()?,
            expires: LATER,
        };
        Some(Keys {
            to: RecipientCertificate {
                der: Bytes::from(der),
                fingerprint: Fingerprint::new(print),
                expires: LATER,
                fact: CertificateFact::Directory,
                gcm: false,
                oaep: false,
            },
            pkcs8,
            signs: Sealer::new(vec![identity]),
            author,
        })
    });
    made.as_ref().ok_or("no key could be made")
}

/// Takes `input` as a message, as it is and with an author in front, and as something sealed
/// already; says what did not hold. A panic is caught by whoever calls.
pub fn check_fuzz_input(input: &[u8]) -> Result<(), &'static str> {
    let keys = keys()?;
    if already_sealed(input, &keys.to, Outside::AsChosen).is_some() {
        let (_, body) = split(input);
        let plain = |octet: &u8| matches!(octet, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/' | b'=' | b'\r' | b'\n');
        if !body.iter().all(plain) {
            return Err("something else stands beside what is sealed");
        }
    }
    round(keys, input, input.len().is_multiple_of(2))?;
    let authored = [b"From: jo@clinic.example\r\n", input].concat();
    round(keys, &authored, input.len().is_multiple_of(3))
}

/// Seals and opens.
fn round(keys: &Keys, content: &[u8], signed: bool) -> Result<(), &'static str> {
    let unsigning = Sealer::default();
    let sealer = if signed { &keys.signs } else { &unsigning };
    let Ok(payload) = sealer.payload(content, Some(&keys.author), NOW) else {
        return Ok(()); // refused
    };
    let to = RecipientCertificate {
        gcm: content.len().is_multiple_of(5),
        ..keys.to.clone()
    };
    let sealing = payload.seal(content, &to).map_err(|_| "not sealed")?;
    let sealed = &sealing.sealed;
    let wire = stream(sealed, content).ok_or("not made again")?;
    let (outer, body) = split(&wire);
    let der = super::already::decode(body).ok_or("not base64")?;
    let entity = cms::decrypt(&der, &to.der, &keys.pkcs8).map_err(|_| "not decrypted")?;
    let inside = entity.strip_prefix(sealed.shape.head.as_slice());
    let inside = inside.and_then(|rest| rest.strip_suffix(sealed.shape.tail.as_slice()));
    let (block, body) = split(content);
    if inside != Some(body) {
        return Err("another body");
    }
    if payload.signer().is_some() == sealed.shape.tail.is_empty() {
        return Err("signed and not signed");
    }
    // The root: behind the first empty line and the boundary where it is signed.
    let root = match payload.signer() {
        Some(_) => {
            let (_, rest) = split(&sealed.shape.head);
            let line = memchr::memchr(b'\n', rest).ok_or("no boundary")?;
            rest.get(line + 1..).unwrap_or_default()
        }
        None => sealed.shape.head.as_slice(),
    };
    headers(outer, split(root).0, block)
}

fn stream(sealed: &Sealed, content: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut stream = SealStream::new(sealed).ok()?;
    for piece in content.chunks(7) {
        stream.push(piece, &mut out).ok()?;
    }
    stream.finish(&mut out).ok()?;
    Some(out)
}

/// What holds of the three headers: outside, inside, and as it was.
fn headers(outer: &[u8], inner: &[u8], before: &[u8]) -> Result<(), &'static str> {
    let unreadable = "a header that cannot be read";
    let outer = Header::parse_stored(outer).map_err(|_| unreadable)?;
    // HP-Outer makes the inner one longer than what comes in may be.
    let (told, kept): (Vec<Field<'_>>, Vec<Field<'_>>) = match Header::parse_stored(inner) {
        Ok(inner) => inner.fields().partition(|field| field.is("HP-Outer")),
        Err(_) if inner.len() > before.len() => return Ok(()),
        Err(_) => return Err(unreadable),
    };
    let before = Header::parse_stored(before).map_err(|_| unreadable)?;
    if outer
        .fields()
        .any(|it| INSIDE.iter().any(|name| it.is(name)))
    {
        return Err("something stands outside that must not");
    }
    let subjects: Vec<String> = outer.all("Subject").map(|it| it.value()).collect();
    if subjects.is_empty() || subjects.iter().any(|subject| subject != "[...]") {
        return Err("a Subject stands outside");
    }
    let shown = outer.fields().filter(|it| {
        !it.is("Received") && !it.is("MIME-Version") && !it.name().starts_with("Content-")
    });
    let shown: Vec<String> = shown
        .map(|it| format!("{}: {}", it.name(), it.value()))
        .collect();
    let told: Vec<String> = told.iter().map(|it| spaced(&it.value())).collect();
    if !told.is_empty() && told != shown.iter().map(|it| spaced(it)).collect::<Vec<_>>() {
        return Err("HP-Outer tells something else than what stands outside");
    }
    let mut kept = kept.iter();
    for field in before.fields().filter(|it| !it.is("Content-Type")) {
        let gone = super::fields::is_gone(field);
        if !gone && !kept.any(|it| it.raw() == field.raw()) {
            return Err("a field is not inside, or not in its place");
        }
    }
    Ok(())
}

/// `name: value` with the white space behind the colon as one space.
fn spaced(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{name}: {}", value.trim_matches([' ', '\t'])),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzz target begins with, replayed whole and cut short.
    #[test]
    fn corpus_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/seal");
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            for end in (0..octets.len()).rev().step_by(17).chain([octets.len()]) {
                let cut = octets.get(..end).unwrap();
                assert_eq!(check_fuzz_input(cut), Ok(()), "{} {end}", path.display());
            }
            replayed += 1;
        }
        assert!(replayed >= 8);
    }

    /// Sound inputs with a few octets changed.
    #[test]
    fn damage_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/seal");
        let mut state = 0x9E37_79B9_u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(state >> 8).unwrap() % below
        };
        let odd = b"\r\n:;=\"(\\ \t<>-\x80\0Hh";
        for entry in std::fs::read_dir(corpus).unwrap() {
            let octets = std::fs::read(entry.unwrap().path()).unwrap();
            for _ in 0..50 {
                let mut damaged = octets.clone();
                for _ in 0..=next(4) {
                    let at = next(damaged.len());
                    if let Some(octet) = damaged.get_mut(at) {
                        *octet = odd[next(odd.len())];
                    }
                }
                assert_eq!(check_fuzz_input(&damaged), Ok(()));
            }
        }
    }
}
