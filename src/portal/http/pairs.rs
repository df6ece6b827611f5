//! Names and values of a query or of a form (`application/x-www-form-urlencoded`, WHATWG URL §5).
//! Pure.
//!
//! Strict where the standard is lenient: octets that are no UTF-8, NUL, and too many pairs are
//! refused. A name that occurs twice has no value, so that no two readers pick different ones.
//! Values may be passwords and codes: they are wiped when they are dropped, and never shown.

use std::fmt;

use zeroize::Zeroizing;

/// Pairs in one query or form.
pub const MAX_PAIRS: usize = 64;
/// Octets of a name.
const MAX_NAME_OCTETS: usize = 64;

/// Names and values, in order.
#[derive(Clone, Default)]
pub struct Pairs(Vec<(String, Zeroizing<String>)>);

impl Pairs {
    /// Reads `a=1&b=2`; `None` if it is refused.
    pub fn parse(encoded: &[u8]) -> Option<Self> {
        let mut pairs = Self::default();
        for pair in encoded.split(|octet| *octet == b'&') {
            if pair.is_empty() {
                continue;
            }
            let mut halves = pair.splitn(2, |octet| *octet == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            pairs.push(name.as_str(), value)?;
        }
        Some(pairs)
    }

    /// Adds a pair; `None` if there are too many, or one is not sound.
    pub(super) fn push(&mut self, name: &str, value: Zeroizing<String>) -> Option<()> {
        let sound = self.0.len() < MAX_PAIRS
            && name.len() <= MAX_NAME_OCTETS
            && !name.chars().any(char::is_control)
            && !value.contains('\0');
        sound.then(|| self.0.push((name.to_owned(), value)))
    }

    /// The value of a name that occurs exactly once.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return None;
        }
        first
    }

    /// Every value of a name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How many, and nothing of what they say.
impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pairs({})", self.0.len())
    }
}

fn decode(encoded: &[u8]) -> Option<Zeroizing<String>> {
    let spaced: Zeroizing<Vec<u8>> = Zeroizing::new(
        encoded
            .iter()
            .map(|octet| if *octet == b'+' { b' ' } else { *octet })
            .collect(),
    );
    let octets: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(octets).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_read() {
        let pairs = Pairs::parse(b"code=1234+5678&note=a%26b%3d%C3%A9&&empty=&bare").unwrap();
        assert_eq!(pairs.get("code"), Some("1234 5678"));
        assert_eq!(pairs.get("note"), Some("a&b=é"));
        assert_eq!(pairs.get("empty"), Some(""));
        assert_eq!(pairs.get("bare"), Some(""));
        assert_eq!(pairs.get("missing"), None);
        assert_eq!(pairs.len(), 4);
        assert!(Pairs::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn a_name_that_occurs_twice_has_no_value() {
        let pairs = Pairs::parse(b"to=a&to=b").unwrap();
        assert_eq!(pairs.get("to"), None);
        assert_eq!(pairs.all("to").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_no_form_of_ours_sends_is_refused() {
        assert!(Pairs::parse(b"a=%ff").is_none());
        assert!(Pairs::parse(b"a=%00").is_none());
        assert!(Pairs::parse(b"%0d=1").is_none());
        assert!(Pairs::parse(&b"a=1&".repeat(MAX_PAIRS + 1)).is_none());
        assert!(Pairs::parse(&[b'n'; MAX_NAME_OCTETS + 1]).is_none());
        assert!(Pairs::parse(&b"a=1&".repeat(MAX_PAIRS)).is_some());
    }

    #[test]
    fn values_are_not_shown() {
        let pairs = Pairs::parse(b"password=correct-horse").unwrap();
        assert_eq!(format!("{pairs:?}"), "Pairs(1)");
    }

    proptest! {
        #[test]
        fn what_a_browser_writes_comes_back(
            pairs in prop::collection::btree_map("[a-z]{1,8}", "[^\0]{0,20}", 0..8)
        ) {
            let mut written = form_urlencoded::Serializer::new(String::new());
            written.extend_pairs(&pairs);
            let read = Pairs::parse(written.finish().as_bytes()).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(read.get(name), Some(value.as_str()));
            }
        }
    }
}
