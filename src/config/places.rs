//! Where the parts of the policy stand: what it says of itself when it is compiled, and what
//! belongs to it in other files, is told with these places.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::problem::{At, Spot};

/// The places of a policy's tables and keys, and the files that belong to it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// By the tables' names, in their order; `[policy]` itself is the only one under ``.
    tables: BTreeMap<&'static str, Vec<Place>>,
    /// Files and patterns of files that are included.
    pub(super) includes: Vec<At<PathBuf>>,
    /// Dictionaries whose words lie in a file, by their number.
    pub(super) word_files: Vec<(usize, At<PathBuf>)>,
    /// The list of diagnosis codes.
    pub(super) code_file: Option<At<PathBuf>>,
    /// Shipped detectors that are switched off.
    pub(super) switched_off: Vec<At<&'static str>>,
    /// Whether the shipped tags stand where the operator names none.
    pub(super) default_tags: bool,
    /// Whether they do stand.
    pub(super) has_default_tags: bool,
    /// Whether all of it could be read.
    pub(super) sound: bool,
}

/// The place of a table.
#[derive(Debug, Clone)]
struct Place {
    at: Spot,
    keys: Vec<(&'static str, Spot)>,
}

impl Places {
    /// Notes where the next table of this kind stands.
    pub(super) fn add(&mut self, table: &'static str, at: Spot, keys: Vec<(&'static str, Spot)>) {
        self.tables
            .entry(table)
            .or_default()
            .push(Place { at, keys });
    }

    /// Notes where `[policy]` stands.
    pub(super) fn top(&mut self, at: Spot, keys: Vec<(&'static str, Spot)>) {
        self.tables.insert("", vec![Place { at, keys }]);
    }

    /// Where the value of a key stands, or else its table, or else `[policy]`.
    pub fn find(&self, table: &str, index: usize, key: &str) -> Spot {
        let place = |table: &str, index| self.tables.get(table)?.get(index);
        // A condition may be called by its path below the rule.
        let key = key.rsplit('.').next().unwrap_or(key);
        let Some(place) = place(table, index).or_else(|| place("", 0)) else {
            return Spot::default();
        };
        let found = place.keys.iter().find(|(name, _)| *name == key);
        found.map_or(place.at, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_key_or_what_is_around_it() {
        let mut places = Places::default();
        let spot = |at: usize| Spot::new(0, at..at);
        assert_eq!(places.find("", 0, "base"), Spot::default());
        places.top(spot(1), vec![("base", spot(2))]);
        places.add(
            "rule",
            spot(3),
            vec![("when", spot(4)), ("subject", spot(5))],
        );
        for (table, index, key, at) in [
            ("", 0, "base", 2),
            ("", 0, "methods", 1),
            ("rule", 0, "when.subject", 5),
            ("rule", 0, "subject", 5),
            ("rule", 0, "", 3),
            ("rule", 1, "when", 1),
            ("domain", 0, "base", 2),
        ] {
            assert_eq!(places.find(table, index, key), spot(at), "{table} {key}");
        }
    }
}
