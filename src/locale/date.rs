//! Dates as each language writes them, for people. Days are those of UTC.

use time::OffsetDateTime;

use crate::mail::{Language, Timestamp};

const ENGLISH: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SPANISH: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];
const GERMAN: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];
const FRENCH: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

/// The day of a moment, as in `24 December 2026`; nothing beyond the year 9999.
pub fn date(language: Language, moment: Timestamp) -> String {
    let Some(day) = i64::try_from(moment.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
    else {
        return String::new();
    };
    let (number, year) = (day.day(), day.year());
    let of = |names: [&'static str; 12]| {
        let place = usize::from(u8::from(day.month())).saturating_sub(1);
        names.get(place).copied().unwrap_or_default()
    };
    match language {
        Language::En => format!("{number} {} {year}", of(ENGLISH)),
        Language::Es => format!("{number} de {} de {year}", of(SPANISH)),
        Language::De => format!("{number}. {} {year}", of(GERMAN)),
        // The first of a month is an ordinal.
        Language::Fr if number == 1 => format!("1er {} {year}", of(FRENCH)),
        Language::Fr => format!("{number} {} {year}", of(FRENCH)),
        Language::Zh => format!("{year}年{}月{number}日", u8::from(day.month())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_writes_days_its_own_way() {
        let on = |text: &str| Timestamp::from_rfc3339(text).unwrap();
        let eve = on("2026-12-24T23:59:59Z");
        for (language, expected) in [
            (Language::En, "24 December 2026"),
            (Language::Es, "24 de diciembre de 2026"),
            (Language::De, "24. Dezember 2026"),
            (Language::Fr, "24 décembre 2026"),
            (Language::Zh, "2026年12月24日"),
        ] {
            assert_eq!(date(language, eve), expected);
        }
        assert_eq!(
            date(Language::Fr, on("2027-08-01T00:00:00Z")),
            "1er août 2027"
        );
        assert_eq!(
            date(Language::De, on("2028-02-29T12:00:00Z")),
            "29. Februar 2028"
        );
        assert_eq!(date(Language::En, Timestamp::from_micros(u64::MAX)), "");
    }
}
