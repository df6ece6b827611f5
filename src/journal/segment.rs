//! Segments and the `meta` file as octets, and the names of files.
//!
//! A segment is a file of fixed size with all its blocks written beforehand, so that an append
//! changes no metadata and `fdatasync` writes data alone. Its header takes the first 4096 octets:
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 8 | magic `SPJSEGM1` |
//! | 8 | 4 | version, 4 |
//! | 12 | 4 | zero |
//! | 16 | 16 | spool uuid |
//! | 32 | 8 | segment number |
//! | 40 | 8 | created, microseconds since the Unix epoch |
//! | 48 | 16 | salt: random; kept for keys bound to a segment |
//! | 64 | 4 | CRC-32C of the 64 octets before |
//!
//! `meta`, written once:
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 8 | magic `SPJMETA1` |
//! | 8 | 4 | version, 4 |
//! | 12 | 4 | key id: names the master key in records |
//! | 16 | 16 | spool uuid |
//! | 32 | 16 | salt of the key check |
//! | 48 | 32 | key check: HKDF of the master key; tells a wrong key before anything is touched |
//! | 80 | 4 | CRC-32C of the 80 octets before |

use super::crypt::SALT_OCTETS;
use super::record::field;

/// Octets of a segment's header.
pub const SEGMENT_HEADER_OCTETS: u64 = 4096;
/// Octets of a segment, unless configured.
pub const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;
/// The smallest segment.
pub const MIN_SEGMENT_OCTETS: u64 = 64 * 1024;
/// The largest segment.
pub const MAX_SEGMENT_OCTETS: u64 = 1024 * 1024 * 1024;

const SEGMENT_MAGIC: &[u8; 8] = b"SPJSEGM1";
const META_MAGIC: &[u8; 8] = b"SPJMETA1";
const VERSION: u32 = 4;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The spool's uuid.
    pub spool: [u8; 16],
    /// The segment's number.
    pub number: u64,
    /// When it was made, microseconds since the Unix epoch.
    pub created: u64,
    /// Random.
    pub salt: [u8; SALT_OCTETS],
}

impl SegmentHeader {
    /// As stored, 4096 octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = SEGMENT_MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.spool);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(4096, 0);
        out
    }

    /// Reads a header; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        checked(bytes, SEGMENT_MAGIC, 64)?;
        Some(Self {
            spool: field(bytes, 16)?,
            number: u64::from_le_bytes(field(bytes, 32)?),
            created: u64::from_le_bytes(field(bytes, 40)?),
            salt: field(bytes, 48)?,
        })
    }
}

/// What the `meta` file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Names the master key.
    pub key_id: u32,
    /// The spool's uuid.
    pub spool: [u8; 16],
    /// Salt of the check.
    pub salt: [u8; SALT_OCTETS],
    /// Tells the right master key from others.
    pub check: [u8; 32],
}

impl Meta {
    /// Octets of the file.
    pub const OCTETS: usize = 84;

    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = META_MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.extend_from_slice(&self.spool);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.check);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads the file; `None` if it is none, broken, or of another version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        checked(bytes, META_MAGIC, 80)?;
        Some(Self {
            key_id: u32::from_le_bytes(field(bytes, 12)?),
            spool: field(bytes, 16)?,
            salt: field(bytes, 32)?,
            check: field(bytes, 48)?,
        })
    }
}

/// Checks magic, version and the CRC that stands after `covered` octets.
fn checked(bytes: &[u8], magic: &[u8; 8], covered: usize) -> Option<()> {
    let version = u32::from_le_bytes(field(bytes, 8)?);
    let crc = u32::from_le_bytes(field(bytes, covered)?);
    let right = bytes.get(..8)? == magic
        && version == VERSION
        && crc32c::crc32c(bytes.get(..covered)?) == crc;
    right.then_some(())
}

/// The name of a segment's file.
pub fn segment_name(number: u64) -> String {
    format!("seg-{number:016x}.spj")
}

/// The name of a prepared file that is no segment yet.
pub fn ready_name(number: u64) -> String {
    format!("ready-{number:016x}")
}

/// The number in a segment's name.
pub fn segment_number(name: &str) -> Option<u64> {
    hex(name.strip_prefix("seg-")?.strip_suffix(".spj")?)
}

/// The number in a prepared file's name.
pub fn ready_number(name: &str) -> Option<u64> {
    hex(name.strip_prefix("ready-")?)
}

fn hex(text: &str) -> Option<u64> {
    let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_header_is_pinned() {
        let header = SegmentHeader {
            spool: *b"0123456789abcdef",
            number: 0x0807_0605_0403_0201,
            created: 0x1817_1615_1413_1211,
            salt: *b"saltsaltsaltsalt",
        };
        let stored = header.encode();
        assert_eq!(stored.len(), 4096);
        let mut expected = b"SPJSEGM1\x04\0\0\0\0\0\0\x000123456789abcdef".to_vec();
        expected.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        expected.extend_from_slice(&[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
        expected.extend_from_slice(b"saltsaltsaltsalt");
        assert_eq!(stored[..64], expected);
        assert_eq!(stored[64..68], crc32c::crc32c(&expected).to_le_bytes());
        assert!(stored[68..].iter().all(|&byte| byte == 0));
        assert_eq!(SegmentHeader::decode(&stored), Some(header));
        for at in 0..68 {
            let mut bytes = stored.clone();
            bytes[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&bytes), None, "octet {at}");
        }
    }

    #[test]
    fn meta_is_pinned() {
        let meta = Meta {
            key_id: 0x0403_0201,
            spool: *b"0123456789abcdef",
            salt: *b"saltsaltsaltsalt",
            check: [7; 32],
        };
        let stored = meta.encode();
        assert_eq!(stored.len(), Meta::OCTETS);
        assert_eq!(
            &stored[..48],
            b"SPJMETA1\x04\0\0\0\x01\x02\x03\x040123456789abcdefsaltsaltsaltsalt"
        );
        assert_eq!(stored[48..80], [7; 32]);
        assert_eq!(Meta::decode(&stored), Some(meta));
        assert_eq!(Meta::decode(&stored[..83]), None);
    }

    #[test]
    fn names_round_trip_and_sort() {
        for number in [0, 1, 0xff, u64::MAX] {
            assert_eq!(segment_number(&segment_name(number)), Some(number));
            assert_eq!(ready_number(&ready_name(number)), Some(number));
        }
        assert!(segment_name(9) < segment_name(16));
        for name in [
            "seg-1.spj",
            "seg-000000000000000G.spj",
            "seg-+00000000000001.spj",
            "x",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
