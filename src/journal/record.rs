//! A record as octets: header, envelope part, body part, padding.
//!
//! Owns the header's field table, which `tests::stored_octets_are_pinned` holds fast. Knows no
//! file and no key. All numbers little endian; a record begins at a multiple of 8.
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 4 | magic `SPRc` |
//! | 4 | 1 | header version, 1 |
//! | 5 | 1 | kind |
//! | 6 | 2 | flags |
//! | 8 | 8 | segment number: makes stale octets of another segment invalid |
//! | 16 | 8 | message id |
//! | 24 | 4 | envelope part, octets |
//! | 28 | 4 | key id: which master key |
//! | 32 | 8 | body part, octets |
//! | 40 | 8 | batch sequence |
//! | 48 | 8 | where in this segment the batch began |
//! | 56 | 4 | CRC-32C of envelope and body part, as stored (sealed) |
//! | 60 | 4 | CRC-32C of the 60 octets before |
//!
//! Then the envelope part, the body part, and zeros to the next multiple of 8.
//!
//! The batch's beginning tells a torn tail from corruption: a batch is written only after the one
//! before is durable, so whatever is invalid before the beginning of a later batch *was* durable.

/// Octets of a record's header.
pub const HEADER_OCTETS: usize = 64;
/// What a record begins with.
pub const MAGIC: [u8; 4] = *b"SPRc";
/// The header's version.
pub const VERSION: u8 = 1;
/// Records begin at multiples of this.
pub const ALIGN: u64 = 8;

/// Flag of an `ACCEPT`: the body is in a file of its own.
pub const FLAG_BODY_FILE: u16 = 1;

/// What a record says. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A message was accepted: wrapped key, envelope with all recipients, body.
    Accept = 1,
    /// What was prepared for it.
    Rendition = 2,
    /// Reserved: a new wrap of a message's key.
    Key = 3,
    /// Where recipients stand: absolute values.
    State = 4,
    /// Nothing more will happen to the message.
    Done = 5,
    /// A row of a table was put or deleted.
    Table = 6,
    /// Reserved: what an operator did.
    Admin = 7,
    /// Reserved: a record that was copied by compaction.
    Moved = 8,
    /// The segment ends here; whatever follows is not to be looked at.
    Seal = 9,
    /// Says nothing; its message id is the highest in use when it was written. Begins every
    /// segment (so that ids keep rising when older segments are gone) and ends a clean stop.
    Pad = 10,
}

impl Kind {
    /// From its number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Accept,
            2 => Self::Rendition,
            3 => Self::Key,
            4 => Self::State,
            5 => Self::Done,
            6 => Self::Table,
            7 => Self::Admin,
            8 => Self::Moved,
            9 => Self::Seal,
            10 => Self::Pad,
            _ => return None,
        })
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it says.
    pub kind: Kind,
    /// `FLAG_…`.
    pub flags: u16,
    /// The segment that it lies in.
    pub segment: u64,
    /// The message; 0 where it is about none.
    pub message: u64,
    /// Octets of the envelope part.
    pub envelope_octets: u32,
    /// The master key that it needs.
    pub key_id: u32,
    /// Octets of the body part.
    pub body_octets: u64,
    /// Sequence of its batch.
    pub batch: u64,
    /// Where in the segment its batch began.
    pub batch_start: u64,
    /// CRC-32C of both parts.
    pub payload_crc: u32,
}

impl Header {
    /// As stored, with its own CRC.
    pub fn encode(&self) -> [u8; HEADER_OCTETS] {
        let mut out = [0; HEADER_OCTETS];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(slot) = out.get_mut(at..at + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&MAGIC);
        put(&[VERSION, self.kind as u8]);
        put(&self.flags.to_le_bytes());
        put(&self.segment.to_le_bytes());
        put(&self.message.to_le_bytes());
        put(&self.envelope_octets.to_le_bytes());
        put(&self.key_id.to_le_bytes());
        put(&self.body_octets.to_le_bytes());
        put(&self.batch.to_le_bytes());
        put(&self.batch_start.to_le_bytes());
        put(&self.payload_crc.to_le_bytes());
        let (covered, crc) = out.split_at_mut(HEADER_OCTETS - 4);
        crc.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
        out
    }

    /// Reads a header; `None` if it is none, or one of a version or kind that we do not know.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_OCTETS] = bytes.get(..HEADER_OCTETS)?.try_into().ok()?;
        if bytes[..4] != MAGIC || bytes[4] != VERSION {
            return None;
        }
        let (covered, crc) = bytes.split_at(HEADER_OCTETS - 4);
        if crc32c::crc32c(covered).to_le_bytes() != crc {
            return None;
        }
        Some(Self {
            kind: Kind::from_number(bytes[5])?,
            flags: u16::from_le_bytes(field(bytes, 6)?),
            segment: u64::from_le_bytes(field(bytes, 8)?),
            message: u64::from_le_bytes(field(bytes, 16)?),
            envelope_octets: u32::from_le_bytes(field(bytes, 24)?),
            key_id: u32::from_le_bytes(field(bytes, 28)?),
            body_octets: u64::from_le_bytes(field(bytes, 32)?),
            batch: u64::from_le_bytes(field(bytes, 40)?),
            batch_start: u64::from_le_bytes(field(bytes, 48)?),
            payload_crc: u32::from_le_bytes(field(bytes, 56)?),
        })
    }

    /// Octets of both parts; `None` if that is past all numbers.
    pub fn payload_octets(&self) -> Option<u64> {
        self.body_octets
            .checked_add(u64::from(self.envelope_octets))
    }

    /// Octets of the whole record with its padding; `None` if that is past all numbers.
    pub fn record_octets(&self) -> Option<u64> {
        self.payload_octets()?
            .checked_add(HEADER_OCTETS as u64)?
            .checked_next_multiple_of(ALIGN)
    }
}

/// The `N` octets at `at`.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// The octet that it begins at.
    pub offset: u64,
    /// Its octets, padding included.
    pub octets: u64,
}

/// A record that a producer has made: complete but for what only the writer knows (segment, batch).
#[derive(Debug)]
pub struct Frame {
    header: Header,
    /// Room for the header, then the parts, then the padding.
    bytes: Vec<u8>,
}

impl Frame {
    /// From the parts as they will be stored. `parts` begins with the envelope part.
    pub(super) fn new(mut header: Header, parts: Vec<u8>) -> Self {
        header.payload_crc = crc32c::crc32c(parts.get(HEADER_OCTETS..).unwrap_or_default());
        let mut bytes = parts;
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        Self { header, bytes }
    }

    /// A record without parts.
    pub(super) fn bare(kind: Kind, message: u64, key_id: u32) -> Self {
        let header = Header {
            kind,
            flags: 0,
            segment: 0,
            message,
            envelope_octets: 0,
            key_id,
            body_octets: 0,
            batch: 0,
            batch_start: 0,
            payload_crc: 0,
        };
        Self::new(header, vec![0; HEADER_OCTETS])
    }

    /// The message that it is about.
    pub fn message(&self) -> u64 {
        self.header.message
    }

    /// Octets on the disk.
    pub fn octets(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Gives it its place.
    pub(super) fn place(&mut self, segment: u64, batch: u64, batch_start: u64) {
        self.header.segment = segment;
        self.header.batch = batch;
        self.header.batch_start = batch_start;
        let header = self.header.encode();
        if let Some(slot) = self.bytes.get_mut(..HEADER_OCTETS) {
            slot.copy_from_slice(&header);
        }
    }

    /// As stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_octets_are_pinned() {
        let header = Header {
            kind: Kind::State,
            flags: 0x0201,
            segment: 0x0807_0605_0403_0201,
            message: 0x1817_1615_1413_1211,
            envelope_octets: 5,
            key_id: 0x3433_3231,
            body_octets: 0,
            batch: 0x5857_5655_5453_5251,
            batch_start: 0x6867_6665_6463_6261,
            payload_crc: 0,
        };
        let mut parts = vec![0; HEADER_OCTETS];
        parts.extend_from_slice(b"hello");
        let mut frame = Frame::new(header, parts);
        frame.place(header.segment, header.batch, header.batch_start);
        let stored = frame.as_bytes();
        let expected: [u8; 56] = [
            b'S', b'P', b'R', b'c', 1, 4, 0x01, 0x02, // magic, version, kind, flags
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // segment
            0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, // message
            5, 0, 0, 0, 0x31, 0x32, 0x33, 0x34, // envelope, key id
            0, 0, 0, 0, 0, 0, 0, 0, // body
            0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, // batch
            0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, // its beginning
        ];
        assert_eq!(stored[..56], expected);
        // CRC-32C("hello") and that of the header.
        assert_eq!(stored[56..60], 0x9a71_bb4c_u32.to_le_bytes());
        assert_eq!(stored[60..64], crc32c::crc32c(&stored[..60]).to_le_bytes());
        assert_eq!(&stored[64..], b"hello\0\0\0");
        let read = Header::decode(stored).unwrap();
        assert_eq!(read.record_octets(), Some(72));
        assert_eq!(
            Header {
                payload_crc: 0,
                ..read
            },
            header
        );
    }

    #[test]
    fn kinds_keep_their_numbers() {
        let numbers: Vec<u8> = (0..=255)
            .filter(|&number| Kind::from_number(number).is_some())
            .collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<u8>>());
        for number in numbers {
            assert_eq!(
                Kind::from_number(number).map(|kind| kind as u8),
                Some(number)
            );
        }
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_noticed() {
        let mut frame = Frame::bare(Kind::Done, 77, 1);
        frame.place(3, 4, 4096);
        for bit in 0..HEADER_OCTETS * 8 {
            let mut bytes = frame.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&frame.as_bytes()[..63]), None);
    }

    #[test]
    fn lengths_past_all_numbers_are_none() {
        let mut header = Frame::bare(Kind::Accept, 1, 1).header;
        header.body_octets = u64::MAX - 10;
        header.envelope_octets = 100;
        assert_eq!(header.payload_octets(), None);
        header.envelope_octets = 1;
        assert_eq!(header.record_octets(), None);
    }
}
