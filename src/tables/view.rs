//! The rows in memory: what is durable, where it lies, and what is on its way.
//!
//! Owns the order by segments, so that to find the rows of one costs no more than there are, and
//! the sum of the octets that live. Never writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::journal::Pin;

/// A table and a key.
pub(super) type RowName = (Arc<str>, Arc<[u8]>);
/// A segment, and a row that lies in it.
pub(super) type Place = (u64, Arc<str>, Arc<[u8]>);

/// A row as it is durable.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) value: Bytes,
    /// Octets of its record.
    octets: u64,
    pin: Pin,
}

/// All rows of all tables.
#[derive(Default)]
pub(super) struct View {
    pub(super) tables: HashMap<Arc<str>, BTreeMap<Arc<[u8]>, Row>>,
    /// The same rows by their segments.
    places: BTreeSet<Place>,
    /// Octets of the records of all rows.
    live_octets: u64,
    /// Rows with changes under way: those must not be carried forward, or the old value would
    /// come after the new one.
    under_way: HashMap<RowName, usize>,
}

impl View {
    /// Applies what a record of so many `octets` says; `pin` keeps its segment.
    pub(super) fn apply(&mut self, name: RowName, value: Option<Bytes>, octets: u64, pin: Pin) {
        let (table, key) = name;
        let table = match self.tables.get_key_value(&table) {
            Some((known, _)) => Arc::clone(known),
            None => table,
        };
        let rows = self.tables.entry(Arc::clone(&table)).or_default();
        if let Some(before) = rows.remove(&key) {
            let place = (before.pin.segment(), Arc::clone(&table), Arc::clone(&key));
            self.places.remove(&place);
            self.live_octets = self.live_octets.saturating_sub(before.octets);
        }
        if let Some(value) = value {
            self.places.insert((pin.segment(), table, Arc::clone(&key)));
            self.live_octets = self.live_octets.saturating_add(octets);
            rows.insert(key, Row { value, octets, pin });
        }
    }

    /// Octets that the records of all rows take.
    pub(super) fn live_octets(&self) -> u64 {
        self.live_octets
    }

    /// A change of a row goes to the writer.
    pub(super) fn begins(&mut self, name: &RowName) {
        *self.under_way.entry(name.clone()).or_insert(0) += 1;
    }

    /// A change of a row is durable.
    pub(super) fn settled(&mut self, name: &RowName) {
        if let Some(count) = self.under_way.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(name);
            }
        }
    }

    /// Rows of a segment with no change under way: so many at most, and so many octets, but one at
    /// least if there is one.
    pub(super) fn rows_in(
        &self,
        segment: u64,
        most_rows: usize,
        most_octets: u64,
    ) -> Vec<(RowName, Bytes)> {
        let (mut found, mut octets) = (Vec::new(), 0);
        let first = (segment, Arc::from(""), Arc::from([]));
        for (place, table, key) in self.places.range(first..) {
            if *place != segment || found.len() >= most_rows || octets >= most_octets {
                break;
            }
            let name = (Arc::clone(table), Arc::clone(key));
            if self.under_way.contains_key(&name) {
                continue;
            }
            if let Some(row) = self.tables.get(table).and_then(|rows| rows.get(key)) {
                octets += row.octets;
                found.push((name, row.value.clone()));
            }
        }
        found
    }

    /// Whether the row still lies in that segment, and no change of it is under way.
    pub(super) fn rests_in(&self, segment: u64, name: &RowName) -> bool {
        let row = self.tables.get(&name.0).and_then(|rows| rows.get(&name.1));
        row.is_some_and(|row| row.pin.segment() == segment) && !self.under_way.contains_key(name)
    }

    /// The octets that live and the rows by segments, counted afresh.
    #[cfg(test)]
    pub(super) fn recount(&self) -> (u64, BTreeSet<Place>) {
        let rows = || {
            let tables = self.tables.iter();
            tables.flat_map(|(table, rows)| rows.iter().map(move |(key, row)| (table, key, row)))
        };
        let places = rows().map(|(table, key, row)| {
            let (table, key) = (Arc::clone(table), Arc::clone(key));
            (row.pin.segment(), table, key)
        });
        (rows().map(|(_, _, row)| row.octets).sum(), places.collect())
    }

    /// The rows by segments, as they are kept.
    #[cfg(test)]
    pub(super) fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }
}
