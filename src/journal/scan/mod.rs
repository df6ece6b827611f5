//! Reading a segment's octets back after whatever may have happened to them.
//!
//! Pure: octets in, what is valid out; never panics on any octets (fuzzed as `journal_recover`).
//! Decides what a break is: a *torn tail* (the last batch, never acknowledged, did not reach the
//! disk whole) or *corruption* (something that was durable is not there any more).

use std::ops::Range;

use super::record::{ALIGN, HEADER_OCTETS, Header, Kind, MAGIC};
use super::segment::SEGMENT_HEADER_OCTETS;

/// A valid record within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its header.
    pub header: Header,
    /// The octet that it begins at.
    pub offset: u64,
}

impl Found {
    /// Where its parts lie.
    pub fn payload<'a>(&self, segment: &'a [u8]) -> &'a [u8] {
        payload(segment, self.offset, &self.header).unwrap_or_default()
    }
}

/// Octets that were durable once and are not valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Which octets of the segment.
    pub range: Range<u64>,
    /// The header that still stands there, if it is only the parts that are broken.
    pub header: Option<Header>,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a `SEAL`.
    Sealed,
    /// With zeros from this octet on: writing can go on there.
    Clean(u64),
    /// With a batch that did not reach the disk whole; its first invalid octet.
    Torn(u64),
}

/// What a segment holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// The valid records, in order.
    pub records: Vec<Found>,
    /// What is corrupt, in order.
    pub gaps: Vec<Gap>,
    /// How it ends.
    pub tail: Tail,
}

fn payload<'a>(segment: &'a [u8], offset: u64, header: &Header) -> Option<&'a [u8]> {
    let start = usize::try_from(offset).ok()?.checked_add(HEADER_OCTETS)?;
    let octets = usize::try_from(header.payload_octets()?).ok()?;
    segment.get(start..start.checked_add(octets)?)
}

/// What stands at an offset.
enum At {
    Valid(Header),
    /// A sound header over broken parts.
    Broken(Header),
    Nothing,
}

fn at(segment: &[u8], number: u64, offset: u64) -> At {
    let Some(header) = usize::try_from(offset)
        .ok()
        .and_then(|start| segment.get(start..))
        .and_then(Header::decode)
    else {
        return At::Nothing;
    };
    if header.segment != number || header.batch_start > offset {
        return At::Nothing;
    }
    match payload(segment, offset, &header) {
        Some(parts) if crc32c::crc32c(parts) == header.payload_crc => At::Valid(header),
        Some(_) => At::Broken(header),
        None => At::Nothing,
    }
}

/// The next valid record from `offset` on.
fn next_valid(segment: &[u8], number: u64, mut offset: u64) -> Option<u64> {
    loop {
        let start = usize::try_from(offset).ok()?;
        let head = segment.get(start..start.checked_add(HEADER_OCTETS)?)?;
        if head.starts_with(&MAGIC) && matches!(at(segment, number, offset), At::Valid(_)) {
            return Some(offset);
        }
        offset += ALIGN;
    }
}

/// Whether anything but zeros stands after the segment's header.
pub fn has_data(segment: &[u8]) -> bool {
    let start = usize::try_from(SEGMENT_HEADER_OCTETS).unwrap_or(usize::MAX);
    segment
        .get(start..)
        .is_some_and(|rest| rest.iter().any(|&octet| octet != 0))
}

/// Reads segment `number`. `last`: no later segment has data, so a torn tail is possible here.
pub fn scan(segment: &[u8], number: u64, last: bool) -> Scan {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    let mut offset = SEGMENT_HEADER_OCTETS;
    let mut sealed = false;
    let mut rest = None; // a broken header that nothing valid follows
    while !sealed {
        let broken = match at(segment, number, offset) {
            At::Valid(header) => {
                records.push(Found { header, offset });
                sealed = header.kind == Kind::Seal;
                offset = offset.saturating_add(header.record_octets().unwrap_or(u64::MAX));
                continue;
            }
            At::Broken(header) => Some(header),
            At::Nothing => None,
        };
        let step = broken
            .and_then(|header| header.record_octets())
            .unwrap_or(ALIGN);
        match next_valid(segment, number, offset.saturating_add(step)) {
            Some(next) => {
                gaps.push(Gap {
                    range: offset..next,
                    header: broken,
                });
                offset = next;
            }
            None => {
                rest = broken;
                break;
            }
        }
    }
    let scan = Scan {
        records,
        gaps,
        tail: Tail::Sealed,
    };
    if last {
        end_of_last(segment, scan, sealed, offset)
    } else {
        end_of_earlier(segment, scan, sealed, offset, rest)
    }
}

/// A segment that was left is sealed, always: what lacks its seal has lost its end.
fn end_of_earlier(
    segment: &[u8],
    mut scan: Scan,
    sealed: bool,
    offset: u64,
    rest: Option<Header>,
) -> Scan {
    if !sealed {
        let end = (segment.len() as u64).max(offset);
        scan.gaps.push(Gap {
            range: offset..end,
            header: rest,
        });
    }
    scan
}

/// What is invalid at or after the beginning of the last batch is that batch, torn: nothing of it
/// was acknowledged, and nothing after its first invalid octet counts.
fn end_of_last(segment: &[u8], mut scan: Scan, sealed: bool, offset: u64) -> Scan {
    let last_batch = scan
        .records
        .iter()
        .map(|found| found.header.batch_start)
        .max()
        .unwrap_or(0);
    let torn = scan
        .gaps
        .iter()
        .map(|gap| gap.range.start)
        .find(|&start| start >= last_batch);
    if let Some(torn) = torn {
        scan.records.retain(|found| found.offset < torn);
        scan.gaps.retain(|gap| gap.range.start < torn);
        scan.tail = Tail::Torn(torn);
    } else if !sealed {
        let zeros = usize::try_from(offset)
            .ok()
            .and_then(|start| segment.get(start..))
            .is_none_or(|rest| rest.iter().all(|&octet| octet == 0));
        scan.tail = if zeros {
            Tail::Clean(offset)
        } else {
            Tail::Torn(offset)
        };
    }
    scan
}

/// The entry point of the fuzz target `journal_recover`: reads `input` as what follows the header
/// of segment 1. `Err` names the rule that was broken.
pub fn check_fuzz_input(input: &[u8]) -> Result<(), &'static str> {
    let mut segment = vec![0; usize::try_from(SEGMENT_HEADER_OCTETS).unwrap_or(0)];
    segment.extend_from_slice(input);
    check_any_octets(&segment, 1)
}

/// Runs any octets as the last and as an earlier segment and checks what must hold of the answer.
/// `Err` names the rule that was broken.
pub fn check_any_octets(segment: &[u8], number: u64) -> Result<(), &'static str> {
    for last in [true, false] {
        let scan = scan(segment, number, last);
        let mut end = SEGMENT_HEADER_OCTETS;
        let mut pieces: Vec<Range<u64>> = scan.gaps.iter().map(|gap| gap.range.clone()).collect();
        for found in &scan.records {
            let octets = found
                .header
                .record_octets()
                .ok_or("a length past all numbers")?;
            if found.header.segment != number {
                return Err("a record of another segment");
            }
            let parts = found.payload(segment);
            if crc32c::crc32c(parts) != found.header.payload_crc {
                return Err("a record with a wrong checksum");
            }
            pieces.push(found.offset..found.offset.saturating_add(octets));
        }
        pieces.sort_by_key(|piece| piece.start);
        for piece in &pieces {
            if piece.start != end || piece.end < piece.start {
                return Err("records and gaps leave octets out or overlap");
            }
            end = piece.end;
        }
        match scan.tail {
            Tail::Clean(at) | Tail::Torn(at) if at != end => return Err("the tail is elsewhere"),
            Tail::Clean(_) | Tail::Torn(_) if !last => return Err("a tail in an earlier segment"),
            Tail::Clean(_) | Tail::Torn(_) | Tail::Sealed => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
