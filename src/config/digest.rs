//! What the detectors' settings come to, as digests: so the policy's hash covers them, and a
//! changed word list is another policy.

use ring::digest::{Context, SHA256};

use super::sections::Config;

/// Octets of a digest that are kept.
const OCTETS: usize = 16;

/// Writes the digests of dictionaries, patterns and code lists into the policy.
pub(super) fn of_detectors(config: &mut Config) {
    let mut digests = std::collections::BTreeMap::new();
    for dictionary in &config.detectors.dictionaries {
        let mut words: Vec<&str> = dictionary.words.iter().map(String::as_str).collect();
        words.sort_unstable();
        words.dedup();
        let how = format!(
            "dictionary {} {}",
            dictionary.case_sensitive, dictionary.at_least
        );
        let digest = of(std::iter::once(how.as_str()).chain(words));
        digests.insert(dictionary.name.clone(), digest);
    }
    for pattern in &config.detectors.patterns {
        let digest = of(["pattern", &pattern.regex].into_iter());
        digests.insert(pattern.name.clone(), digest);
    }
    if let Some(codes) = &config.detectors.icd10_codes {
        let mut codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        codes.sort_unstable();
        codes.dedup();
        let digest = of(std::iter::once("codes").chain(codes));
        digests.insert("icd10".to_owned(), digest);
    }
    config.policy.detector_digests = digests;
}

/// A digest of texts that no other texts have: each with its length before it.
fn of<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(text.as_bytes());
    }
    let digest = context.finish();
    let octets = digest.as_ref().iter().take(OCTETS);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn texts_do_not_run_together() {
        assert_ne!(of(["ab", "c"].into_iter()), of(["a", "bc"].into_iter()));
        assert_eq!(of(["a"].into_iter()).len(), 32);
    }
}
