//! Reading records back from files: all of them at start, one of them later.
//!
//! Owns what is said about a start ([`Report`]) and the copies in `quarantine/`. Never changes a
//! segment but by the `SEAL` that ends one with a torn tail.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, Open};
use super::error::JournalError;
use super::record::{Frame, HEADER_OCTETS, Header, Kind, Position};
use super::scan::{self, Tail};
use super::seal::Stored;
use super::segment::{SEGMENT_HEADER_OCTETS, SegmentHeader, segment_name};

/// Most quarantined ranges that are listed and copied; the rest is counted.
pub const MAX_LISTED: usize = 1000;

/// Octets that were durable once and are not valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The segment.
    pub segment: u64,
    /// Where in it they begin.
    pub start: u64,
    /// Where the next valid record begins.
    pub end: u64,
    /// Kind and message, if the record's header still says.
    pub record: Option<(Kind, u64)>,
    /// Where they were copied to, if they could be.
    pub copy: Option<PathBuf>,
}

/// A batch that did not reach the disk whole before the process or the machine died. None of it
/// was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: u64,
    /// Where it was sealed.
    pub offset: u64,
}

/// What was found at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: u64,
    /// Valid records.
    pub records: u64,
    /// The torn tail, if there was one.
    pub torn_tail: Option<TornTail>,
    /// What is corrupt; at most `MAX_LISTED` are listed.
    pub quarantined: Vec<Quarantined>,
    /// How many corrupt ranges there are in all.
    pub quarantined_ranges: u64,
    /// Table rows that do not unseal.
    pub unreadable_rows: u64,
}

/// Where writing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoOn {
    /// In this segment, at this octet.
    At(u64, u64),
    /// In a new segment after this one.
    After(u64),
}

/// Everything that the next writer must know.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) report: Report,
    pub(super) go_on: GoOn,
    pub(super) batch: u64,
    pub(super) highest: u64,
}

/// Sees every valid record, in order.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Stored<'_>);

/// Reads all of `segments` (rising).
pub(super) fn replay(
    disk: &dyn Disk,
    directory: &Path,
    segments: &[u64],
    key_id: u32,
    visit: Visit<'_>,
) -> Result<Replay, JournalError> {
    let log = directory.join("log");
    let mut reader = Reader {
        disk,
        log: &log,
        quarantine: directory.join("quarantine"),
        key_id,
        replay: Replay {
            report: Report::default(),
            go_on: GoOn::After(0),
            batch: 0,
            highest: 0,
        },
    };
    let last = reader.last_with_data(segments)?;
    for &number in segments {
        if Some(number) <= last {
            reader.segment(number, Some(number) == last, visit)?;
        }
    }
    Ok(reader.replay)
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    log: &'a Path,
    quarantine: PathBuf,
    key_id: u32,
    replay: Replay,
}

impl Reader<'_> {
    fn load(&self, number: u64, how: Open) -> Result<Loaded, JournalError> {
        let path = self.log.join(segment_name(number));
        let file = self
            .disk
            .open(&path, how)
            .map_err(JournalError::io("open", &path))?;
        let octets = file.octets().map_err(JournalError::io("read", &path))?;
        let mut bytes = vec![0; usize::try_from(octets).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0)
            .map_err(JournalError::io("read", &path))?;
        Ok(Loaded { path, file, bytes })
    }

    /// Segments are named ahead of need: the last ones may hold nothing yet.
    fn last_with_data(&self, segments: &[u64]) -> Result<Option<u64>, JournalError> {
        for &number in segments.iter().rev() {
            if scan::has_data(&self.load(number, Open::Read)?.bytes) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn segment(&mut self, number: u64, last: bool, visit: Visit<'_>) -> Result<(), JournalError> {
        let loaded = self.load(number, if last { Open::Write } else { Open::Read })?;
        let scan = scan::scan(&loaded.bytes, number, last);
        self.replay.report.segments += 1;
        if SegmentHeader::decode(&loaded.bytes).is_none_or(|header| header.number != number) {
            // Its records say themselves where they belong, so they still count.
            self.quarantine(number, 0, SEGMENT_HEADER_OCTETS, None, &loaded.bytes);
        }
        for gap in &scan.gaps {
            self.quarantine(
                number,
                gap.range.start,
                gap.range.end,
                gap.header,
                &loaded.bytes,
            );
        }
        for found in &scan.records {
            self.replay.report.records += 1;
            self.replay.batch = self.replay.batch.max(found.header.batch);
            self.replay.highest = self.replay.highest.max(found.header.message);
            visit(Stored {
                header: &found.header,
                position: Position {
                    segment: number,
                    offset: found.offset,
                    octets: found.header.record_octets().unwrap_or(0),
                },
                payload: found.payload(&loaded.bytes),
            });
        }
        if last {
            self.finish(number, &loaded, scan.tail)?;
        }
        Ok(())
    }

    /// Makes durable what was read from the last segment, and ends it if its tail is torn.
    fn finish(&mut self, number: u64, loaded: &Loaded, tail: Tail) -> Result<(), JournalError> {
        self.replay.go_on = match tail {
            Tail::Clean(offset) => GoOn::At(number, offset),
            Tail::Sealed => GoOn::After(number),
            Tail::Torn(offset) => {
                self.replay.batch += 1;
                let mut seal = Frame::bare(Kind::Seal, self.replay.highest, self.key_id);
                seal.place(number, self.replay.batch, offset);
                loaded
                    .file
                    .write_at(&mut [IoSlice::new(seal.as_bytes())], offset)
                    .map_err(JournalError::io("seal", &loaded.path))?;
                self.replay.report.torn_tail = Some(TornTail {
                    segment: number,
                    offset,
                });
                GoOn::After(number)
            }
        };
        // A process that was killed left its last writes in the page cache: they were read just
        // now and will be acted upon, so they must not vanish with the next power cut.
        loaded
            .file
            .sync_data()
            .map_err(JournalError::io("sync", &loaded.path))
    }

    fn quarantine(
        &mut self,
        segment: u64,
        start: u64,
        end: u64,
        header: Option<Header>,
        bytes: &[u8],
    ) {
        self.replay.report.quarantined_ranges += 1;
        if let Some(header) = header {
            // Ids keep rising even past a record that cannot be read.
            self.replay.highest = self.replay.highest.max(header.message);
        }
        if self.replay.report.quarantined.len() < MAX_LISTED {
            let copy = self.copy_range(segment, start, end, bytes);
            self.replay.report.quarantined.push(Quarantined {
                segment,
                start,
                end,
                record: header.map(|header| (header.kind, header.message)),
                copy,
            });
        }
    }

    /// Keeps what a person may want to look at when the segment is gone. Best effort: a full
    /// volume must not keep the mail from flowing.
    fn copy_range(&self, segment: u64, start: u64, end: u64, bytes: &[u8]) -> Option<PathBuf> {
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?.min(bytes.len());
        let octets = bytes.get(range)?;
        let name = format!("{segment:016x}-{start:016x}-{end:016x}");
        let path = self.quarantine.join(name);
        let written = self.disk.open(&path, Open::Create).and_then(|file| {
            file.write_at(&mut [IoSlice::new(octets)], 0)?;
            file.sync_data()
        });
        written.is_ok().then_some(path)
    }
}

struct Loaded {
    path: PathBuf,
    file: std::sync::Arc<dyn DiskFile>,
    bytes: Vec<u8>,
}

/// Reads the record at `position` and checks everything about it that needs no key.
pub(super) fn read<T>(
    disk: &dyn Disk,
    log: &Path,
    position: Position,
    see: impl FnOnce(Stored<'_>) -> T,
) -> Result<T, JournalError> {
    let path = log.join(segment_name(position.segment));
    let damaged = || JournalError::Damaged {
        segment: position.segment,
        offset: position.offset,
    };
    let mut bytes = vec![0; usize::try_from(position.octets).map_err(|_| damaged())?];
    disk.open(&path, Open::Read)
        .and_then(|file| file.read_at(&mut bytes, position.offset))
        .map_err(JournalError::io("read", &path))?;
    let header = Header::decode(&bytes).ok_or_else(damaged)?;
    let payload = header
        .payload_octets()
        .and_then(|octets| usize::try_from(octets).ok())
        .and_then(|octets| bytes.get(HEADER_OCTETS..)?.get(..octets))
        .ok_or_else(damaged)?;
    if header.segment != position.segment || crc32c::crc32c(payload) != header.payload_crc {
        return Err(damaged());
    }
    Ok(see(Stored {
        header: &header,
        position,
        payload,
    }))
}
