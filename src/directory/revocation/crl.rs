//! Revocation lists (RFC 5280 §5): full ones of the certificate's own issuer.
//!
//! A list is checked once, off the runtime's threads; then its serial numbers are kept, in order,
//! so that a question costs a few comparisons however long the list was. They take less memory
//! than the list did.

use super::SKEW;
use super::asn1::{Der, Malformed, boolean, extensions, moment, tag};
use super::certificate::{Certificate, full_name, uri};
use super::signature::{SignatureError, Signed};
use crate::mail::Timestamp;
use crate::world::url::Url;

/// Largest list that is read, in octets.
pub(super) const MAX_LIST_OCTETS: usize = 16 * 1024 * 1024;

const OID_CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const OID_REASON: &[u8] = &[0x55, 0x1d, 0x15];
const OID_INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
const OID_DELTA: &[u8] = &[0x55, 0x1d, 0x1b];
const OID_ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
const OID_AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];

/// Why a list says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CrlError {
    /// Not a list.
    #[error("it is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Of another issuer, or of one that may not sign lists.
    #[error("it is not the list of the certificate's issuer")]
    Issuer,
    /// Not rightly signed.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Too old, of the future, or without an end.
    #[error("it is not valid now")]
    NotNow,
    /// Indirect, a delta, for some reasons only, or for other certificates or places.
    #[error("it is not a list of all that the issuer revoked: {0}")]
    Partial(&'static str),
    /// An extension that has to be understood.
    #[error("it has a critical extension that is unknown")]
    Critical,
}

/// For which certificates a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Users,
    Authorities,
}

/// A list taken apart.
struct Parts<'a> {
    signed: Signed<'a>,
    issuer: &'a [u8],
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    entries: Der<'a>,
    extensions: Option<Der<'a>>,
}

impl<'a> Parts<'a> {
    /// RFC 5280 §5.1.
    fn parse(octets: &'a [u8]) -> Result<Self, Malformed> {
        let signed = Signed::parse(octets)?;
        let mut fields = signed.fields()?;
        if let Some(version) = fields.optional(tag::INTEGER)?
            && version.content != [1]
        {
            return Err(Malformed("a list is of an unknown version"));
        }
        let algorithm = fields.expect(tag::SEQUENCE, "a list has no algorithm")?;
        if algorithm.content != signed.algorithm() {
            return Err(Malformed("a list has two algorithms"));
        }
        let issuer = fields.expect(tag::SEQUENCE, "a list has no issuer")?;
        let this_update = moment(&fields.any()?)?;
        let mut next_update = fields.optional(tag::UTC_TIME)?;
        if next_update.is_none() {
            next_update = fields.optional(tag::GENERALIZED_TIME)?;
        }
        let next_update = next_update.as_ref().map(moment).transpose()?;
        let entries = fields.optional(tag::SEQUENCE)?;
        let extensions = match fields.optional(tag::explicit(0))? {
            Some(all) => {
                let all = Der::new(all.content).only("more than extensions")?;
                Some(all.open(tag::SEQUENCE, "extensions are none")?)
            }
            None => None,
        };
        fields.end("a list has something more")?;
        Ok(Self {
            signed,
            issuer: issuer.whole,
            this_update,
            next_update,
            entries: Der::new(entries.map(|it| it.content).unwrap_or_default()),
            extensions,
        })
    }
}

/// A list whose signature, time and form have been checked.
#[derive(Debug, Clone)]
pub(super) struct CheckedList {
    serials: Serials,
    scope: Scope,
    /// Until when it may be believed.
    pub(super) until: Timestamp,
}

impl CheckedList {
    /// Checks a list that was fetched from `from`, for certificates of `issuer`.
    pub(super) fn check(
        octets: &[u8],
        issuer: &Certificate<'_>,
        from: &Url,
        now: Timestamp,
    ) -> Result<Self, CrlError> {
        let parts = Parts::parse(octets)?;
        if parts.issuer != issuer.subject || !issuer.may_sign_lists() {
            return Err(CrlError::Issuer);
        }
        parts.signed.verify(issuer.key)?;
        // RFC 5280 §5.1.2.5: without an end nobody knows whether this is the newest.
        let until = parts.next_update.ok_or(CrlError::NotNow)?;
        if parts.this_update > now + SKEW || now > until + SKEW {
            return Err(CrlError::NotNow);
        }
        let mut scope = Scope::All;
        if let Some(all) = parts.extensions {
            extensions(all, |extension| match extension.oid {
                OID_ISSUING_DISTRIBUTION_POINT => {
                    scope = scope_of(extension.value, from)?;
                    Ok(())
                }
                OID_DELTA => Err(CrlError::Partial("a delta")),
                OID_CRL_NUMBER | OID_AUTHORITY_KEY => Ok(()),
                _ if extension.critical => Err(CrlError::Critical),
                _ => Ok(()),
            })?;
        }
        let serials = entries(parts.entries)?;
        Ok(Self {
            serials,
            scope,
            until,
        })
    }

    /// Octets that it takes.
    pub(super) fn len(&self) -> usize {
        self.serials.octets()
    }

    /// Whether it has `certificate`, which its issuer issued.
    pub(super) fn has(&self, certificate: &Certificate<'_>) -> Result<bool, CrlError> {
        match (self.scope, certificate.is_ca) {
            (Scope::All, _) | (Scope::Users, false) | (Scope::Authorities, true) => {}
            (Scope::Users, true) => return Err(CrlError::Partial("of users only")),
            (Scope::Authorities, false) => return Err(CrlError::Partial("of authorities only")),
        }
        Ok(self.serials.has(certificate.serial))
    }
}

/// The serial numbers of a list, in order.
#[derive(Debug, Clone, Default)]
struct Serials {
    /// Each with its length in front.
    packed: Vec<u8>,
    /// Where they begin, by their octets.
    starts: Vec<u32>,
}

impl Serials {
    fn add(&mut self, serial: &[u8]) -> Result<(), Malformed> {
        let length = u8::try_from(serial.len());
        let length = length.map_err(|_| Malformed("a serial number is too long"))?;
        let start = u32::try_from(self.packed.len());
        self.starts
            .push(start.map_err(|_| Malformed("a list is too long"))?);
        self.packed.push(length);
        self.packed.extend_from_slice(serial);
        Ok(())
    }

    fn at(packed: &[u8], start: u32) -> &[u8] {
        let rest = usize::try_from(start).ok().and_then(|it| packed.get(it..));
        let Some((length, rest)) = rest.and_then(<[u8]>::split_first) else {
            return &[];
        };
        rest.get(..usize::from(*length)).unwrap_or_default()
    }

    fn sorted(mut self) -> Self {
        let packed = &self.packed;
        self.starts
            .sort_unstable_by(|one, other| Self::at(packed, *one).cmp(Self::at(packed, *other)));
        self.packed.shrink_to_fit();
        self.starts.shrink_to_fit();
        self
    }

    fn has(&self, serial: &[u8]) -> bool {
        let found = self
            .starts
            .binary_search_by(|start| Self::at(&self.packed, *start).cmp(serial));
        found.is_ok()
    }

    fn octets(&self) -> usize {
        self.packed.len() + self.starts.len() * size_of::<u32>()
    }
}

/// The serial numbers, where every entry can be understood: a list with one that cannot says nothing of any
/// certificate (RFC 5280 §5.3).
fn entries(mut entries: Der<'_>) -> Result<Serials, CrlError> {
    let mut serials = Serials::default();
    while !entries.is_empty() {
        let mut entry = entries.enter(tag::SEQUENCE, "an entry is none")?;
        let serial = entry.expect(tag::INTEGER, "an entry has no serial number")?;
        serials.add(serial.content)?;
        // The time of the revocation is not used, so its value does not matter.
        let when = entry.any()?;
        if !matches!(when.tag, tag::UTC_TIME | tag::GENERALIZED_TIME) {
            return Err(Malformed("an entry has no time").into());
        }
        if let Some(all) = entry.optional(tag::SEQUENCE)? {
            extensions(Der::new(all.content), |extension| match extension.oid {
                OID_REASON | OID_INVALIDITY_DATE => Ok(()),
                _ if extension.critical => Err(CrlError::Critical),
                _ => Ok(()),
            })?;
        }
        entry.end("an entry has something more")?;
    }
    Ok(serials.sorted())
}

/// The scope that an issuing distribution point leaves (RFC 5280 §5.2.5).
fn scope_of(value: &[u8], from: &Url) -> Result<Scope, CrlError> {
    let value = Der::new(value).only("more than a distribution point")?;
    let mut fields = value.open(tag::SEQUENCE, "a distribution point is none")?;
    if let Some(name) = fields.optional(tag::explicit(0))? {
        let here = full_name(name)?
            .iter()
            .filter_map(uri)
            .any(|text| Url::parse(text).as_ref() == Ok(from));
        if !here {
            return Err(CrlError::Partial("of another place"));
        }
    }
    let mut some_reasons = false;
    let mut flags = [false; 6];
    for (number, flag) in (1..).zip(flags.iter_mut().skip(1)) {
        match fields.optional(tag::implicit(number))? {
            // A set of reasons, whichever.
            Some(_) if number == 3 => some_reasons = true,
            Some(set) => *flag = boolean(set.content)?,
            None => {}
        }
    }
    let [_, users, authorities, _, indirect, attributes] = flags;
    fields.end("a distribution point has something more")?;
    match (users, authorities) {
        _ if some_reasons => Err(CrlError::Partial("for some reasons only")),
        _ if indirect => Err(CrlError::Partial("indirect")),
        _ if attributes => Err(CrlError::Partial("of attribute certificates")),
        (true, true) => Err(CrlError::Partial("of nobody")),
        (true, false) => Ok(Scope::Users),
        (false, true) => Ok(Scope::Authorities),
        (false, false) => Ok(Scope::All),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry: a serial number and a day.
    fn entry(serial: &[u8]) -> Vec<u8> {
        let mut inner = vec![0x02, u8::try_from(serial.len()).unwrap()];
        inner.extend_from_slice(serial);
        inner.extend_from_slice(b"\x17\x0d261122000000Z");
        let mut entry = vec![0x30, u8::try_from(inner.len()).unwrap()];
        entry.append(&mut inner);
        entry
    }

    #[test]
    fn a_long_list_is_searched_and_not_walked_and_takes_no_more_than_it_did() {
        let of = |number: u32| number.wrapping_mul(0x9e37_79b1).to_be_bytes();
        let mut list: Vec<u8> = (0..200_000).flat_map(|it| entry(&of(it))).collect();
        list.extend(entry(&[1; 20]));
        let serials = entries(Der::new(&list)).unwrap();
        assert!(serials.octets() < list.len() / 2, "{}", serials.octets());
        for number in [0, 1, 77_777, 199_999] {
            assert!(serials.has(&of(number)), "{number}");
        }
        assert!(serials.has(&[1; 20]));
        for other in [&of(200_000)[..], &[1; 19], &[], &[0], &of(5)[..3]] {
            assert!(!serials.has(other), "{other:?}");
        }
        // Walked, these questions would look at twenty thousand million entries.
        let hits = (0..100_000).filter(|it| serials.has(&of(it * 4))).count();
        assert_eq!(hits, 50_000);
    }

    #[test]
    fn a_serial_number_without_end_spoils_the_list() {
        assert!(Serials::default().add(&[1; 255]).is_ok());
        assert!(Serials::default().add(&[1; 256]).is_err());
        assert!(!Serials::default().has(&[]));
    }
}
