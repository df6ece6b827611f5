//! Values of `[policy]` as people write them.

use std::net::IpAddr;

use time::{Date, Month};
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::super::super::reader::Wrong;
use super::super::super::value;
pub(super) use super::super::super::value::domain_pattern;
use crate::mail::{Address, AddressPattern, Allowance, Domain, Level, Timestamp};
use crate::policy::source::{ExceptionScope, Network};

/// Longest name of a rule or group, and longest text of a tag, in octets.
pub(super) const MAX_NAME_OCTETS: usize = 100;
/// Longest text that a client is refused with, in octets: one line of a reply (RFC 5321 §4.5.3.1.5).
const MAX_REPLY_OCTETS: usize = 200;
/// Furthest that local time is from UTC, in minutes.
const MAX_OFFSET_MINUTES: i32 = 14 * 60;
/// Longest expression that is read, in octets; how large it may become is the policy's to say.
const MAX_EXPRESSION_OCTETS: usize = 4096;
const MINUTES_PER_DAY: u16 = 24 * 60;

fn text<'v>(value: &'v DeValue<'_>, wanted: &str, example: &str) -> Result<&'v str, Wrong> {
    let wrong = || Wrong::kind(value, wanted, example);
    value.as_str().ok_or_else(wrong)
}

/// A name that decisions and logs show.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::word(value)?;
    if name.len() > MAX_NAME_OCTETS || name.trim() != name {
        return Err(Wrong::new(
            "is too long, or begins or ends with a space",
            format!("write at most {MAX_NAME_OCTETS} octets, without space around them"),
        ));
    }
    Ok(name)
}

/// A level, or `"off"`.
pub(super) fn level_or_off(value: &DeValue<'_>) -> Result<Option<Level>, Wrong> {
    const WORDS: [(&str, Option<Level>); 5] = [
        ("off", None),
        ("protected", Some(Level::Protected)),
        ("confidential", Some(Level::Confidential)),
        ("restricted", Some(Level::Restricted)),
        ("sealed", Some(Level::Sealed)),
    ];
    value::one_of(&WORDS)(value)
}

/// An address, `*@domain` or `*@*.domain`.
pub(super) fn address_pattern(value: &DeValue<'_>) -> Result<AddressPattern, Wrong> {
    const EXAMPLE: &str = "\"jo@clinic.example\", \"*@clinic.example\" or \"*@*.clinic.example\"";
    text(value, "a mail address or pattern", EXAMPLE)?
        .parse()
        .map_err(|error| Wrong::new(format!("is {error}"), format!("write it as in {EXAMPLE}")))
}

/// Whom an exception is for.
pub(super) fn scope(value: &DeValue<'_>) -> Result<ExceptionScope, Wrong> {
    const EXAMPLE: &str = "\"fax@gateway.example\", or \"gateway.example\" for all its addresses";
    let text = text(value, "a mail address or domain", EXAMPLE)?;
    let wrong = |error: &dyn std::error::Error| {
        let what = format!("is no mail address or domain: {error}");
        Wrong::new(what, format!("write it as in {EXAMPLE}"))
    };
    if text.contains('*') {
        return Err(Wrong::new(
            "has a *: an exception is for an address or a domain that is named",
            format!("write it as in {EXAMPLE}"),
        ));
    }
    if text.contains('@') {
        let address = Address::parse(text).map_err(|error| wrong(&error))?;
        Ok(ExceptionScope::Address(address))
    } else {
        let domain = Domain::from_unicode(text).map_err(|error| wrong(&error))?;
        Ok(ExceptionScope::Domain(domain))
    }
}

/// The lowest grade of an exception.
pub(super) fn allowance(value: &DeValue<'_>) -> Result<Allowance, Wrong> {
    const WORDS: [(&str, Allowance); 2] = [("any", Allowance::Any), ("none", Allowance::None)];
    value::one_of(&WORDS)(value)
}

/// A regular expression, as written.
pub(super) fn expression(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value, "a regular expression", "\"(?i)result\"")?;
    if text.is_empty() || text.len() > MAX_EXPRESSION_OCTETS {
        return Err(Wrong::new(
            format!("is empty or longer than {MAX_EXPRESSION_OCTETS} octets"),
            "write a regular expression as in \"(?i)result\"",
        ));
    }
    Ok(text.to_owned())
}

/// Several expressions as one.
pub(super) fn any_of(mut expressions: Vec<String>) -> String {
    if expressions.len() == 1 {
        return expressions.pop().unwrap_or_default();
    }
    // The line break ends a comment of `(?x)`, and is white space there.
    let groups: Vec<String> = expressions
        .iter()
        .map(|it| {
            if it.contains('#') {
                format!("(?:{it}\n)")
            } else {
                format!("(?:{it})")
            }
        })
        .collect();
    groups.join("|")
}

/// What a client is told.
pub(super) fn reply(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value, "a text", "\"Send results through the portal\"")?;
    let fits = |text: &str| {
        (1..=MAX_REPLY_OCTETS).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    if !fits(text) || text.trim() != text {
        return Err(Wrong::new(
            "is no line of printable ASCII",
            format!(
                "write one of at most {MAX_REPLY_OCTETS} characters: clients show it to people"
            ),
        ));
    }
    Ok(text.to_owned())
}

/// A type of attachment: `application/pdf`, `image/*`.
pub(super) fn media_type(value: &DeValue<'_>) -> Result<String, Wrong> {
    const EXAMPLE: &str = "\"application/pdf\" or \"image/*\"";
    let text = text(value, "a media type", EXAMPLE)?;
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match text.split_once('/') {
        Some((kind, sub)) if word(kind) && (sub == "*" || word(sub)) => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(Wrong::new(
            "is no media type",
            format!("write it as in {EXAMPLE}"),
        )),
    }
}

/// The name of a header field (RFC 5322 §2.2).
pub(super) fn field_name(name: &str) -> Result<(), Wrong> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b':';
    if name.is_empty() || name.len() > MAX_NAME_OCTETS || !name.bytes().all(printable) {
        return Err(Wrong::new(
            "is no name of a header field",
            "write it as in header = { \"X-Project\" = \"^apollo$\" }",
        ));
    }
    Ok(())
}

/// A network: an address and the length of its prefix, or one address.
pub(super) fn network(value: &DeValue<'_>) -> Result<Network, Wrong> {
    const EXAMPLE: &str = "\"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.1\"";
    let text = text(value, "a network", EXAMPLE)?;
    let wrong = || Wrong::new("is no network", format!("write it as in {EXAMPLE}"));
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|prefix| *prefix <= longest)
            .ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    let first = first_of(address, prefix);
    if first != address {
        return Err(Wrong::new(
            "has bits behind its prefix",
            format!("write {first}/{prefix}"),
        ));
    }
    Ok(Network { address, prefix })
}

/// The first address of a network.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// `18:00-06:00`, in minutes since midnight.
pub(super) fn hours(value: &DeValue<'_>) -> Result<(u16, u16), Wrong> {
    const EXAMPLE: &str = "\"18:00-06:00\"";
    let text = text(value, "hours of the day", EXAMPLE)?;
    let span = text.split_once('-').and_then(|(from, to)| {
        let from = clock(from.trim())?;
        let to = clock(to.trim())?;
        (from < MINUTES_PER_DAY).then_some((from, to))
    });
    match span {
        Some((from, to)) if from == to => Err(Wrong::new(
            "ends when it begins",
            "write two times, or leave it out for the whole day",
        )),
        Some(span) => Ok(span),
        None => Err(Wrong::new(
            "is not two times of the day",
            format!("write it as in {EXAMPLE}"),
        )),
    }
}

/// `HH:MM`, up to 24:00.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| -> Option<u16> {
        let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        two.then(|| digits.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= MINUTES_PER_DAY).then_some(at)
}

/// A day of the week; 0 is Monday.
pub(super) fn day(value: &DeValue<'_>) -> Result<u8, Wrong> {
    const DAYS: [(&str, u8); 7] = [
        ("mon", 0),
        ("tue", 1),
        ("wed", 2),
        ("thu", 3),
        ("fri", 4),
        ("sat", 5),
        ("sun", 6),
    ];
    value::one_of(&DAYS)(value)
}

/// How far local time is ahead of UTC, in minutes.
pub(super) fn utc_offset(value: &DeValue<'_>) -> Result<i32, Wrong> {
    const EXAMPLE: &str = "\"+01:00\" or \"-05:00\"";
    let text = text(value, "the distance of local time from UTC", EXAMPLE)?;
    let wrong = || {
        Wrong::new(
            "is no distance from UTC",
            format!("write it as in {EXAMPLE}, up to 14 hours"),
        )
    };
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (None, Some(rest)) => (-1, rest),
        (None, None) => return Err(wrong()),
    };
    let minutes = clock(rest).map(i32::from).ok_or_else(wrong)?;
    if minutes > MAX_OFFSET_MINUTES {
        return Err(wrong());
    }
    Ok(sign * minutes)
}

/// A date, which begins at its midnight of local time, or a moment.
pub(super) fn moment(value: &DeValue<'_>, offset_minutes: i32) -> Result<Timestamp, Wrong> {
    const EXAMPLE: &str = "2027-01-31, or 2027-01-31T18:00:00Z, without quotes";
    let written = value
        .as_datetime()
        .ok_or_else(|| Wrong::kind(value, "a date", EXAMPLE))?;
    timestamp(written, offset_minutes)
        .ok_or_else(|| Wrong::new("is no date", format!("write it as in {EXAMPLE}")))
}

fn timestamp(written: &Datetime, offset_minutes: i32) -> Option<Timestamp> {
    let date = written.date?;
    let month = Month::try_from(date.month).ok()?;
    let date = Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
    let (hour, minute, second) = match written.time {
        Some(time) => (time.hour, time.minute, time.second.unwrap_or(0)),
        None => (0, 0, 0),
    };
    // A leap second is as good as the one before.
    let local = date.with_hms(hour, minute, second.min(59)).ok()?;
    let offset = match written.offset {
        Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i32::from(minutes),
        None => offset_minutes,
    };
    let seconds = local.assume_utc().unix_timestamp() - i64::from(offset) * 60;
    u64::try_from(seconds).ok().map(Timestamp::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> DeValue<'_> {
        DeValue::String(text.into())
    }

    #[test]
    fn reads_hours_of_the_day() {
        for (text, span) in [
            ("18:00-06:00", Some((1080, 360))),
            ("00:00 - 24:00", Some((0, 1440))),
            ("08:30-08:31", Some((510, 511))),
            ("08:00-08:00", None),
            ("24:00-06:00", None),
            ("8:00-9:00", None),
            ("08:60-09:00", None),
            ("24:01-25:00", None),
            ("08:00", None),
            ("+1:00-02:00", None),
        ] {
            assert_eq!(hours(&string(text)).ok(), span, "{text}");
        }
    }

    #[test]
    fn reads_networks() {
        let shown = |text: &str| {
            let network = network(&string(text)).map_err(|wrong| wrong.mend)?;
            Ok(format!("{}/{}", network.address, network.prefix))
        };
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(shown(text), Ok(network.to_owned()));
        }
        assert_eq!(shown("10.1.2.3/8"), Err("write 10.0.0.0/8".to_owned()));
        assert_eq!(
            shown("2001:db8::1/64"),
            Err("write 2001:db8::/64".to_owned())
        );
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "::/129",
        ] {
            assert!(network(&string(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_the_distance_from_utc() {
        for (text, minutes) in [
            ("+00:00", Some(0)),
            ("+05:45", Some(345)),
            ("-14:00", Some(-840)),
            ("+14:01", None),
            ("01:00", None),
            ("+1:00", None),
        ] {
            assert_eq!(utc_offset(&string(text)).ok(), minutes, "{text}");
        }
    }

    #[test]
    fn a_date_begins_at_its_local_midnight() {
        let at = |text: &str, offset| {
            let date: Datetime = text.parse().unwrap();
            moment(&DeValue::Datetime(date), offset).map(Timestamp::as_secs)
        };
        assert_eq!(at("2027-01-31", 0), Ok(1_801_353_600));
        assert_eq!(at("2027-01-31", 60), Ok(1_801_350_000));
        assert_eq!(at("2027-01-31T00:00:00", -60), Ok(1_801_357_200));
        assert_eq!(at("2027-01-31T00:00:00Z", 60), Ok(1_801_353_600));
        assert_eq!(at("2027-01-31T01:00:00+01:00", 600), Ok(1_801_353_600));
        for nothing in ["12:00:00", "1969-12-31"] {
            assert!(at(nothing, 0).is_err(), "{nothing}");
        }
    }

    #[test]
    fn several_expressions_are_one() {
        let one = any_of(vec!["(?i)a|b".to_owned()]);
        assert_eq!(one, "(?i)a|b");
        let two = any_of(vec!["(?x) a # b".to_owned(), "c|d".to_owned()]);
        let two = regex::Regex::new(&two).unwrap();
        assert!(two.is_match("xa") && two.is_match("d"));
        assert!(!two.is_match("b"));
    }
}
