//! Points in time, as records and logs hold them.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;

/// RFC 3339, UTC, microseconds: the delivery log's `time`.
const RFC3339_MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
/// RFC 5322 §3.3 date-time, always UTC.
const RFC5322: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day padding:none] [month repr:short] [year] [hour]:[minute]:[second] +0000"
);
/// The last microsecond of the year 9999, past which the text formats end.
const LAST_MICROS: u64 = 253_402_300_799_999_999;

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339, with any offset; `None` if it is none, or lies before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        Self::since_1970(OffsetDateTime::parse(text, &Rfc3339).ok()?)
    }

    /// Reads the date-time of a `Date` field (RFC 5322 §3.3, §4.3); `None` if it is none, or lies
    /// before 1970.
    pub fn from_rfc5322(text: &str) -> Option<Self> {
        Self::since_1970(OffsetDateTime::parse(text, &Rfc2822).ok()?)
    }

    fn since_1970(moment: OffsetDateTime) -> Option<Self> {
        let micros = moment.unix_timestamp_nanos() / 1000;
        u64::try_from(micros).ok().map(Self)
    }

    /// The date-time of a `Date` or `Received` field (RFC 5322 §3.3).
    pub fn to_rfc5322(self) -> String {
        self.formatted(RFC5322)
    }

    /// RFC 3339 with microseconds, UTC.
    pub fn to_rfc3339(self) -> String {
        self.formatted(RFC3339_MICROS)
    }

    fn formatted(self, format: &[BorrowedFormatItem<'_>]) -> String {
        let micros = self.0.min(LAST_MICROS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
            .ok()
            .and_then(|moment| moment.format(format).ok())
            .unwrap_or_default()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Duration) -> Timestamp {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Duration) -> Timestamp {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_sub(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_both_formats() {
        let moment = Timestamp::from_micros(1_795_307_407_000_042);
        assert_eq!(moment.to_rfc3339(), "2026-11-22T00:30:07.000042Z");
        assert_eq!(moment.to_rfc5322(), "Sun, 22 Nov 2026 00:30:07 +0000");
        assert_eq!(
            Timestamp::from_micros(u64::MAX).to_rfc3339(),
            "9999-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn reads_what_it_writes_and_other_offsets() {
        let moment = Timestamp::from_micros(1_795_307_407_000_042);
        assert_eq!(Timestamp::from_rfc3339(&moment.to_rfc3339()), Some(moment));
        let there = Timestamp::from_rfc3339("2026-11-22T01:30:07+01:00");
        assert_eq!(there, Some(Timestamp::from_secs(1_795_307_407)));
        for text in ["", "2026-11-22", "1969-12-31T23:59:59Z", "yesterday"] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn counts_without_wrapping() {
        let epoch = Timestamp::default();
        assert_eq!(epoch - Duration::from_secs(1), epoch);
        assert_eq!(
            (epoch + Duration::from_secs(60)).since(epoch),
            Duration::from_secs(60)
        );
        assert_eq!(epoch.since(epoch + Duration::from_secs(1)), Duration::ZERO);
    }
}
