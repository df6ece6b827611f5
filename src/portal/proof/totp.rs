//! Time-based codes (RFC 6238 over RFC 4226): six digits, 30 seconds, HMAC-SHA-1, which is what
//! every authenticator app speaks.
//!
//! Owns secret, code, link and picture. A code is good in its own step and one beside it, and only
//! once: the step must rise.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::ProofError;
use crate::journal::crypt::random;
use crate::mail::{Address, Timestamp};

/// Octets of a secret (RFC 4226 §4 R6 recommends 160 bits).
pub const SECRET_OCTETS: usize = 20;
/// Seconds of a step.
const STEP_SECS: u64 = 30;
/// Digits of a code.
const DIGITS: usize = 6;

/// What app and portal share. Wiped when dropped, never shown but once.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct TotpSecret([u8; SECRET_OCTETS]);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

impl TotpSecret {
    /// A random one.
    pub fn generate() -> Result<Self, ProofError> {
        let mut octets = [0; SECRET_OCTETS];
        random(&mut octets)?;
        Ok(Self(octets))
    }

    /// For typing it into an app by hand: base32 (RFC 4648 §6), 32 characters.
    pub fn to_base32(&self) -> Zeroizing<String> {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = Zeroizing::new(String::with_capacity(SECRET_OCTETS * 8 / 5));
        for group in self.0.chunks(5) {
            let bits = group
                .iter()
                .fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
            for at in (0..8).rev() {
                let [lowest, ..] = (bits >> (at * 5)).to_le_bytes();
                text.push(char::from(ALPHABET[usize::from(lowest & 31)]));
            }
        }
        text
    }

    /// The link that sets an app up.
    pub fn uri(&self, issuer: &str, address: &Address) -> Zeroizing<String> {
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (issuer, account) = (escaped(issuer), escaped(&address.to_string()));
        let secret = self.to_base32();
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period=30",
            secret.as_str()
        ))
    }

    /// The picture of that link, to be scanned; empty where it is too long for one.
    pub fn qr_svg(&self, issuer: &str, address: &Address) -> Zeroizing<String> {
        let uri = self.uri(issuer, address);
        let Ok(code) = QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::M) else {
            return Zeroizing::default();
        };
        // Dark on light in either theme, or cameras do not read it.
        let picture = code
            .render::<svg::Color<'_>>()
            .min_dimensions(200, 200)
            .dark_color(svg::Color("#000"))
            .light_color(svg::Color("#fff"))
            .build();
        // Within a page there is no XML declaration.
        let inside = picture.find("<svg").and_then(|at| picture.get(at..));
        Zeroizing::new(inside.unwrap_or(&picture).to_owned())
    }

    fn code(&self, step: u64) -> Zeroizing<String> {
        let number = hotp(&self.0, step) % 1_000_000;
        Zeroizing::new(format!("{number:06}"))
    }

    /// The step whose code was typed: this one or one beside it, and later than the last that was
    /// used. Blanks do not count.
    pub fn check(&self, typed: &str, last_used: Option<u64>, now: Timestamp) -> Option<u64> {
        let counts = typed.chars().filter(|c| !c.is_whitespace());
        let typed: Zeroizing<String> = Zeroizing::new(counts.take(DIGITS + 1).collect());
        let current = now.as_secs() / STEP_SECS;
        let mut found = None;
        for step in [current.saturating_sub(1), current, current + 1] {
            let right = same(typed.as_bytes(), self.code(step).as_bytes());
            let fresh = last_used.is_none_or(|last| step > last);
            if right && fresh && found.is_none() {
                found = Some(step);
            }
        }
        found
    }
}

/// Whether two texts are the same, in a time that depends on their lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b));
    a.len() == b.len() && difference == 0
}

/// RFC 4226 §5.3, before it is cut to digits.
fn hotp(secret: &[u8], counter: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let octets = tag.as_ref();
    let offset = octets.last().map_or(0, |last| usize::from(last & 15));
    let four = octets.get(offset..offset + 4).unwrap_or_default();
    let number = four
        .iter()
        .fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
    number & 0x7fff_ffff
}

/// The code that an app would show, for tests of whoever asks for one.
#[cfg(test)]
pub fn code_for_test(secret: &TotpSecret, now: Timestamp) -> String {
    secret.code(now.as_secs() / STEP_SECS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: TotpSecret = TotpSecret(*b"12345678901234567890");

    #[test]
    fn the_vectors_of_the_rfcs() {
        // RFC 4226, appendix D.
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in codes.iter().enumerate() {
            assert_eq!(RFC.code(u64::try_from(step).unwrap()).as_str(), *code);
        }
        // RFC 6238, appendix B: eight digits, SHA-1.
        for (secs, code) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            assert_eq!(hotp(&RFC.0, secs / 30) % 100_000_000, code, "{secs}");
        }
    }

    #[test]
    fn a_code_is_good_a_step_around_and_once() {
        let now = Timestamp::from_secs(1_111_111_111);
        let step = 1_111_111_111 / 30;
        for (at, good) in [
            (step - 2, false),
            (step - 1, true),
            (step, true),
            (step + 1, true),
            (step + 2, false),
        ] {
            let code = RFC.code(at);
            let expected = good.then_some(at);
            assert_eq!(RFC.check(&code, None, now), expected);
            assert_eq!(RFC.check(&code, Some(at - 1), now), expected);
            assert_eq!(RFC.check(&code, Some(at), now), None);
        }
        let code = RFC.code(step);
        let (head, tail) = code.split_at(3);
        assert_eq!(
            RFC.check(&format!(" {head} {tail} "), None, now),
            Some(step)
        );
        for wrong in ["", head, &format!("{}0", code.as_str()), "000000"] {
            assert_eq!(RFC.check(wrong, None, now), None);
        }
    }

    #[test]
    fn apps_can_read_link_and_picture() {
        let address = "jo+x@clinic.example".parse().unwrap();
        assert_eq!(RFC.to_base32().as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            RFC.uri("Clinic & Co", &address).as_str(),
            "otpauth://totp/Clinic%20%26%20Co:jo%2Bx%40clinic%2Eexample?\
             secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Clinic%20%26%20Co&algorithm=SHA1&\
             digits=6&period=30"
        );
        let svg = RFC.qr_svg("Clinic", &address);
        assert!(
            svg.starts_with("<svg") && svg.ends_with("</svg>"),
            "{}",
            svg.as_str()
        );
        assert!(!svg.contains("GEZDGNBV"));
        assert_eq!(format!("{RFC:?}"), "TotpSecret(..)");
    }
}
