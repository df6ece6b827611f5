//! Texts, dates and sizes in the language of whoever reads.
//!
//! Which language that is: `?lang=` in the link, else that of the account, else the browser's
//! (`Accept-Language`, RFC 9110 §12.5.4), else the operator's. No cookie keeps it.

use std::fmt::Display;

use crate::locale::Texts;
use crate::mail::{Language, Timestamp};

/// Most entries of `Accept-Language` that are looked at.
pub const MAX_ACCEPTED: usize = 16;

const KILO: u64 = 1024;
const MEGA: u64 = KILO * KILO;

/// The texts in one language.
#[derive(Debug, Clone)]
pub struct Say {
    texts: Texts,
    language: Language,
}

impl Say {
    /// Speaks `language`.
    pub fn new(texts: Texts, language: Language) -> Self {
        Self { texts, language }
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// A text without values.
    pub fn t(&self, key: &str) -> String {
        self.texts.text(self.language, key).to_owned()
    }

    /// A text with a value.
    pub fn with(&self, key: &str, name: &str, value: impl Display) -> String {
        let value = value.to_string();
        self.texts.fill(self.language, key, &[(name, &value)])
    }

    /// A text with two values.
    pub fn with2(
        &self,
        key: &str,
        (one, first): (&str, &str),
        (two, second): (&str, &str),
    ) -> String {
        let values = [(one, first), (two, second)];
        self.texts.fill(self.language, key, &values)
    }

    /// The day of a moment.
    pub fn day(&self, moment: Timestamp) -> String {
        let Some(at) = civil(moment) else {
            return String::new();
        };
        let month = format!("month.{}", u8::from(at.month()));
        let values = [
            ("day", at.day().to_string()),
            ("month", self.t(&month)),
            ("year", at.year().to_string()),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, &**value));
        self.texts.fill(self.language, "date.long", &values)
    }

    /// Day and time of a moment.
    pub fn moment(&self, moment: Timestamp) -> String {
        let Some(at) = civil(moment) else {
            return String::new();
        };
        let time = format!("{:02}:{:02}", at.hour(), at.minute());
        self.with2("date.time", ("date", &self.day(moment)), ("time", &time))
    }

    /// How much: `812 bytes`, `24 KB`, `3.4 MB`. Not less than it is. In powers of 1024, as the
    /// operator sets limits.
    pub fn size(&self, octets: u64) -> String {
        match octets {
            1 => self.t("size.octet"),
            0..KILO => self.with("size.octets", "n", octets),
            KILO..MEGA => self.with("size.kilo", "n", octets.div_ceil(KILO)),
            _ => self.megas((u128::from(octets) * 10).div_ceil(MEGA.into())),
        }
    }

    /// How much there may be: not more than it is.
    pub fn limit(&self, octets: u64) -> String {
        match octets {
            0..KILO => self.size(octets),
            KILO..MEGA => self.with("size.kilo", "n", octets / KILO),
            _ => self.megas(u128::from(octets) * 10 / u128::from(MEGA)),
        }
    }

    fn megas(&self, tenths: u128) -> String {
        let point = match self.language {
            Language::De | Language::Es | Language::Fr => ',',
            Language::En | Language::Zh => '.',
        };
        let number = match (tenths / 10, tenths % 10) {
            (whole, 0) => whole.to_string(),
            (whole, tenth) => format!("{whole}{point}{tenth}"),
        };
        self.with("size.mega", "n", number)
    }
}

fn civil(moment: Timestamp) -> Option<time::OffsetDateTime> {
    let seconds = i64::try_from(moment.as_secs()).ok()?;
    time::OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// The best of a browser's languages that there are texts in.
pub fn accepted(header: &str) -> Option<Language> {
    let mut best: Option<(u32, Language)> = None;
    for entry in header.split(',').take(MAX_ACCEPTED) {
        let mut parts = entry.split(';');
        let language = parts.next().and_then(Language::of_tag);
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q="))
            .map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok())
            .filter(|weight| (0.0..=1.0).contains(weight));
        if let (Some(language), Some(weight)) = (language, weight) {
            // Thousandths; a language of weight 0 is not wanted.
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 1000"
            )]
            let weight = (weight * 1000.0) as u32;
            if weight > 0 && best.is_none_or(|(before, _)| weight > before) {
                best = Some((weight, language));
            }
        }
    }
    best.map(|(_, language)| language)
}

/// What a language calls itself.
pub const fn own_name(language: Language) -> &'static str {
    match language {
        Language::En => "English",
        Language::Es => "Español",
        Language::De => "Deutsch",
        Language::Fr => "Français",
        Language::Zh => "中文",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(language: Language) -> Say {
        Say::new(Texts::shipped(), language)
    }

    #[test]
    fn dates_and_sizes_are_those_of_the_language() {
        let moment = Timestamp::from_secs(1_793_000_000);
        let all = Language::ALL.map(|language| say(language).moment(moment));
        assert_eq!(
            all,
            [
                "26 October 2026, 07:33 UTC",
                "26 de octubre de 2026, 07:33 UTC",
                "26. Oktober 2026, 07:33 UTC",
                "26 octobre 2026, 07:33 UTC",
                "2026年10月26日 07:33 UTC",
            ]
        );
        let sizes = [0, 1, 1023, 1024, 1025, 3_600_001, 25 << 20];
        let shown = sizes.map(|octets| say(Language::De).size(octets));
        assert_eq!(
            shown,
            [
                "0 Byte",
                "1 Byte",
                "1023 Byte",
                "1 KB",
                "2 KB",
                "3,5 MB",
                "25 MB"
            ]
        );
        let limits = [1025, 3_600_001, (25 << 20) - 1].map(|most| say(Language::En).limit(most));
        assert_eq!(limits, ["1 KB", "3.4 MB", "24.9 MB"]);
        assert_eq!(say(Language::En).size(1), "1 byte");
    }

    #[test]
    fn the_browsers_order_counts_by_its_weights() {
        assert_eq!(accepted("nl, de;q=0.5, fr;q=0.9"), Some(Language::Fr));
        assert_eq!(accepted("de-AT,de;q=0.9,en;q=0.8"), Some(Language::De));
        assert_eq!(accepted("es;q=0, nl"), None);
        assert_eq!(accepted("en;q=NaN, zh;q=0.1"), Some(Language::Zh));
        assert_eq!(accepted(""), None);
        assert_eq!(accepted(&"nl,".repeat(10_000)), None);
    }
}
