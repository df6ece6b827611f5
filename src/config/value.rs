//! Values as people write them: durations, sizes, names, addresses, words.
//!
//! Each converter takes a TOML value and says what is wrong with it and how it is written instead.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::{Wrong, closest};
use crate::mail::{Address, Domain, DomainPattern, Level, Method};

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn text<'v>(value: &'v DeValue<'_>, wanted: &str, example: &str) -> Result<&'v str, Wrong> {
    value
        .as_str()
        .ok_or_else(|| Wrong::kind(value, wanted, example))
}

/// A domain name; U-labels are turned into A-labels.
pub fn domain(value: &DeValue<'_>) -> Result<Domain, Wrong> {
    const EXAMPLE: &str = "\"mail.clinic.example\"";
    let text = text(value, "a domain name", EXAMPLE)?;
    Domain::from_unicode(text).map_err(|error| {
        Wrong::new(
            format!("is no domain name: {error}"),
            format!("write it as in {EXAMPLE}"),
        )
    })
}

/// `domain`, or `*.domain` for what lies below it.
pub fn domain_pattern(value: &DeValue<'_>) -> Result<DomainPattern, Wrong> {
    const EXAMPLE: &str = "\"clinic.example\", or \"*.clinic.example\" for what lies below it";
    text(value, "a domain name", EXAMPLE)?
        .parse()
        .map_err(|error| {
            Wrong::new(
                format!("is no domain name: {error}"),
                format!("write it as in {EXAMPLE}"),
            )
        })
}

/// A mail address.
pub fn address(value: &DeValue<'_>) -> Result<Address, Wrong> {
    const EXAMPLE: &str = "\"postmaster@clinic.example\"";
    let text = text(value, "a mail address", EXAMPLE)?;
    Address::parse(text).map_err(|error| {
        Wrong::new(
            format!("is no mail address: {error}"),
            format!("write it as in {EXAMPLE}"),
        )
    })
}

/// Any text that is not empty and has no control characters.
pub fn word(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value, "a string", "\"text\"")?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "is empty or has control characters",
            "write a name in quotes",
        ));
    }
    Ok(text.to_owned())
}

/// A path, as written.
pub fn path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let text = text(value, "a path", "\"/etc/sealpost/file\"")?;
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::new("is no path", "write the path of a file"));
    }
    Ok(PathBuf::from(text))
}

/// `true` or `false`.
pub fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value
        .as_bool()
        .ok_or_else(|| Wrong::kind(value, "true or false", "true"))
}

/// An IP address with a port.
pub fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    const EXAMPLE: &str = "\"127.0.0.1:53\" or \"[::1]:53\"";
    let text = text(value, "an IP address and port", EXAMPLE)?;
    text.parse().map_err(|_| {
        Wrong::new(
            "is not an IP address and port",
            format!("write it as in {EXAMPLE}"),
        )
    })
}

/// An IP address.
pub fn ip_address(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    const EXAMPLE: &str = "\"192.0.2.1\" or \"2001:db8::1\"";
    let text = text(value, "an IP address", EXAMPLE)?;
    text.parse()
        .map_err(|_| Wrong::new("is not an IP address", format!("write it as in {EXAMPLE}")))
}

/// A whole number from `least` to `most`.
pub fn number(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Result<u64, Wrong> {
    move |value| {
        let wanted = || Wrong::kind(value, "a whole number", &least.max(1).to_string());
        let integer = value.as_integer().ok_or_else(wanted)?;
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                Wrong::new(
                    format!("is out of range: {}", integer.as_str()),
                    format!("write a number from {least} to {most}"),
                )
            })
    }
}

/// A TCP port.
pub fn port(value: &DeValue<'_>) -> Result<u16, Wrong> {
    let number = number(1, u64::from(u16::MAX))(value)?;
    u16::try_from(number).map_err(|_| Wrong::new("is no port", "write a number from 1 to 65535"))
}

/// A duration from `least` to `most`.
pub fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&DeValue<'_>) -> Result<Duration, Wrong> {
    move |value| {
        const EXAMPLE: &str = "\"30s\", \"5m\", \"4h\" or \"4d\"";
        let text = text(value, "a duration", EXAMPLE)?;
        let span = parse_duration(text)
            .ok_or_else(|| Wrong::new("is no duration", format!("write it as in {EXAMPLE}")))?;
        if span < least || span > most {
            return Err(Wrong::new(
                format!("is out of range: {}", show_duration(span)),
                format!(
                    "write a duration from {} to {}",
                    show_duration(least),
                    show_duration(most)
                ),
            ));
        }
        Ok(span)
    }
}

/// A size in octets from `least` to `most`.
pub fn size(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Result<u64, Wrong> {
    move |value| {
        const EXAMPLE: &str = "\"50 MiB\"";
        let text = text(value, "a size", EXAMPLE)?;
        let octets = parse_size(text)
            .ok_or_else(|| Wrong::new("is no size", format!("write it as in {EXAMPLE}")))?;
        if octets < least || octets > most {
            return Err(Wrong::new(
                format!("is out of range: {}", show_size(octets)),
                format!(
                    "write a size from {} to {}",
                    show_size(least),
                    show_size(most)
                ),
            ));
        }
        Ok(octets)
    }
}

/// One of a few words.
pub fn one_of<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let list = quoted.join(", ");
        let text = text(value, "a word", &list)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            let mend = match closest(text, &words) {
                Some(meant) => format!("did you mean \"{meant}\"? It is one of {list}"),
                None => format!("write one of {list}"),
            };
            Wrong::new(format!("has the unknown value \"{shown}\""), mend)
        })
    }
}

/// A level.
pub fn level(value: &DeValue<'_>) -> Result<Level, Wrong> {
    const LEVELS: [(&str, Level); 4] = [
        ("protected", Level::Protected),
        ("confidential", Level::Confidential),
        ("restricted", Level::Restricted),
        ("sealed", Level::Sealed),
    ];
    one_of(&LEVELS)(value)
}

/// A method. Whether it is configured shows when a message is decided.
pub fn method(value: &DeValue<'_>) -> Result<Method, Wrong> {
    const METHODS: [(&str, Method); 3] = [
        ("tls", Method::Tls),
        ("smime", Method::Smime),
        ("portal", Method::Portal),
    ];
    one_of(&METHODS)(value)
}

/// A duration such as `30s`, `5m`, `4h`, `4d` or `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut seconds: u64 = 0;
    let mut before = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest.get(..digits)?.parse().ok()?;
        let unit_and_more = &rest[digits..];
        let unit = match unit_and_more.bytes().next()? {
            b's' => SECOND,
            b'm' => MINUTE,
            b'h' => HOUR,
            b'd' => DAY,
            _ => return None,
        };
        // A unit twice, or out of order, is a slip of the hand.
        if unit >= before {
            return None;
        }
        before = unit;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
        rest = unit_and_more[1..].trim_start();
    }
    Some(Duration::from_secs(seconds))
}

/// A duration as it is written in the file.
pub fn show_duration(span: Duration) -> String {
    let mut seconds = span.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut shown = String::new();
    for (unit, name) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (SECOND, 's')] {
        let count = seconds / unit;
        if count > 0 {
            shown.push_str(&format!("{count}{name}"));
        }
        seconds %= unit;
    }
    shown
}

const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A size such as `50 MiB`; the unit is mandatory.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, octets) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*octets)
}

/// A size as it is written in the file.
pub fn show_size(octets: u64) -> String {
    let binary = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    for (name, unit) in binary {
        if octets >= *unit && octets.is_multiple_of(*unit) {
            return format!("{} {name}", octets / unit);
        }
    }
    format!("{octets} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, seconds) in [
            ("30s", 30),
            ("1m", 60),
            ("4h", 4 * HOUR),
            ("4d", 4 * DAY),
            ("1h30m", 90 * MINUTE),
            ("1d 12h", 36 * HOUR),
        ] {
            let span = Duration::from_secs(seconds);
            assert_eq!(parse_duration(text), Some(span), "{text}");
            assert_eq!(parse_duration(&show_duration(span)), Some(span));
        }
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "5 minutes",
            "1.5h",
            "99999999999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, octets) in [
            ("50 MiB", 50 << 20),
            ("1GiB", 1 << 30),
            ("512 B", 512),
            ("10 MB", 10_000_000),
        ] {
            assert_eq!(parse_size(text), Some(octets), "{text}");
            assert_eq!(parse_size(&show_size(octets)), Some(octets));
        }
        for text in ["", "50", "MiB", "50 mib", "-1 B", "99999999999 GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
