//! From a file to rows: which of its certificates are taken, for whom, and as what.
//!
//! Owns the plan of an import; what is planned is written by `super::manage`. The rules of
//! acceptance apply: what they refuse is not stored. Authorities in a file are kept beside the
//! certificates that they issued, for the chain and the revocation, and are never used themselves.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chain::{Anchors, MAX_ISSUERS};
use super::examine::{Vouching, examine};
use super::formats::{self, FormatError, Item, NoCertificate};
use super::parse::Parsed;
use super::store::{By, Change, Entry, MAX_ISSUER_OCTETS, Row, State, Store, cut};
use crate::mail::{Address, CertificateProblem, Fingerprint, Timestamp};

/// How a file is imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// The certificates are pinned: a different key is not used without approval.
    pub pin: bool,
    /// Only for this address, though they name others too.
    pub address: Option<Address>,
    /// They must have a chain to a configured authority, now and at each use.
    pub require_chain: bool,
}

/// What became of one certificate of a file, for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedItem {
    /// Where in the file it stood.
    pub place: String,
    /// Its name, if it could be read as far as that.
    pub fingerprint: Option<Fingerprint>,
    /// Its subject; empty if it could not be read.
    pub subject: String,
    /// The address it was taken for.
    pub address: Option<Address>,
    /// What became of it.
    pub outcome: ImportOutcome,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ImportOutcome {
    /// It is in the directory now, and used.
    Imported,
    /// It was there already, as it would have been imported.
    Unchanged,
    /// It is in the directory, but its key would replace a pinned one.
    WaitsForApproval,
    /// It is an authority's, kept beside the certificates of the file that it issued.
    Issuer,
    /// It is no certificate for mail, and nothing was expected of it.
    PassedOver,
    /// It is not stored.
    Refused {
        /// Why.
        problem: CertificateProblem,
    },
}

/// The certificates of a file, read.
pub(super) struct FileRead {
    leaves: Vec<(Item, Parsed)>,
    authorities: Vec<(Item, Parsed)>,
    items: Vec<ImportedItem>,
}

#[cfg(test)]
impl FileRead {
    /// Whether there is a certificate in it that is not an authority's.
    pub(super) fn has_leaves(&self) -> bool {
        !self.leaves.is_empty()
    }
}

/// Reads a file; computes for as long as it is large.
pub(super) fn read(octets: &[u8]) -> Result<FileRead, FormatError> {
    let mut file = FileRead {
        leaves: Vec::new(),
        authorities: Vec::new(),
        items: Vec::new(),
    };
    for item in formats::read(octets)? {
        let parsed = match &item.der {
            Ok(der) => Parsed::read(der),
            Err(NoCertificate::Malformed) => Err(CertificateProblem::Malformed),
            Err(NoCertificate::Other) => {
                file.items
                    .push(told(item, None, None, ImportOutcome::PassedOver));
                continue;
            }
        };
        match parsed {
            Ok(parsed) if parsed.authority => file.authorities.push((item, parsed)),
            Ok(parsed) => file.leaves.push((item, parsed)),
            Err(problem) => {
                let outcome = ImportOutcome::Refused { problem };
                file.items.push(told(item, None, None, outcome));
            }
        }
    }
    Ok(file)
}

fn told(
    item: Item,
    parsed: Option<&Parsed>,
    address: Option<&Address>,
    outcome: ImportOutcome,
) -> ImportedItem {
    ImportedItem {
        place: item.place,
        fingerprint: parsed.map(|it| it.fingerprint),
        subject: parsed.map(|it| it.subject.clone()).unwrap_or_default(),
        address: address.cloned(),
        outcome,
    }
}

/// What an import is made of, besides the file.
pub(super) struct Planning<'a> {
    pub options: &'a ImportOptions,
    pub anchors: &'a Anchors,
    pub source: &'a str,
    pub by: &'a By,
    pub now: Timestamp,
}

/// What an import will write, and what is told of it.
#[derive(Default)]
pub(super) struct Plan {
    pub entries: Vec<Entry>,
    pub items: Vec<ImportedItem>,
    /// Rows that are not there yet.
    pub new: usize,
    /// Mailboxes and certificates that were planned: a file may have one twice.
    seen: HashSet<(String, Fingerprint)>,
}

impl Planning<'_> {
    /// Plans against the rows as they are. Certificates that are pinned by one import do not have
    /// to wait for one another.
    pub(super) fn plan(&self, file: FileRead, store: &Store) -> Plan {
        let mut plan = Plan {
            items: file.items,
            ..Plan::default()
        };
        let authorities = Authorities::new(file.authorities.iter().map(|it| &it.1));
        // The first that an authority of this name issued, and whether it issued others.
        let mut issued: HashMap<&[u8], (Fingerprint, bool)> = HashMap::new();
        for (_, it) in file.leaves.iter().chain(&file.authorities) {
            let (first, others) = issued
                .entry(&it.issuer_der)
                .or_insert((it.fingerprint, false));
            *others |= *first != it.fingerprint;
        }
        let issued = |authority: &Parsed| match issued.get(&authority.subject_der[..]) {
            Some((first, others)) => *others || *first != authority.fingerprint,
            None => false,
        };
        for (item, authority) in &file.authorities {
            let outcome = match issued(authority) {
                true => ImportOutcome::Issuer,
                false => ImportOutcome::Refused {
                    problem: CertificateProblem::Authority,
                },
            };
            let item = told(item.clone(), Some(authority), None, outcome);
            plan.items.push(item);
        }
        for (item, leaf) in &file.leaves {
            let issuers = authorities.of(leaf);
            self.leaf(&mut plan, store, item, leaf, &issuers);
        }
        plan
    }

    /// Plans a certificate for each of its addresses that are wanted.
    fn leaf(&self, plan: &mut Plan, store: &Store, item: &Item, leaf: &Parsed, issuers: &[Bytes]) {
        let same = |one: &Address, other: &Address| one.mailbox_key() == other.mailbox_key();
        let wanted: Vec<&Address> = leaf
            .names
            .addresses
            .iter()
            .filter(|it| {
                self.options
                    .address
                    .as_ref()
                    .is_none_or(|only| same(only, it))
            })
            .filter(|it| {
                item.said_for.is_empty() || item.said_for.iter().any(|for_| same(for_, it))
            })
            .collect();
        let Some(first) = wanted.first() else {
            let problem = match leaf.names.hostile {
                true => CertificateProblem::HostileAddress,
                false => CertificateProblem::OtherAddress,
            };
            let address = self.options.address.as_ref();
            let outcome = ImportOutcome::Refused { problem };
            plan.items
                .push(told(item.clone(), Some(leaf), address, outcome));
            return;
        };
        let mut accepted = vec![(first.domain(), self.accept(leaf, first, issuers))];
        for address in wanted {
            let known = accepted
                .iter()
                .find(|(domain, _)| *domain == address.domain());
            let accepted = match known {
                Some((_, accepted)) => *accepted,
                None => {
                    // An authority may vouch for one domain and not for another.
                    let new = self.accept(leaf, address, issuers);
                    accepted.push((address.domain(), new));
                    new
                }
            };
            let outcome = match accepted {
                Ok(()) => self.row(plan, store, leaf, address, issuers),
                Err(problem) => ImportOutcome::Refused { problem },
            };
            plan.items
                .push(told(item.clone(), Some(leaf), Some(address), outcome));
        }
    }

    fn accept(
        &self,
        leaf: &Parsed,
        address: &Address,
        issuers: &[Bytes],
    ) -> Result<(), CertificateProblem> {
        if !self.options.require_chain {
            return examine(leaf, address, self.now, Vouching::Operator);
        }
        examine(leaf, address, self.now, Vouching::Chain)?;
        self.anchors
            .chain(leaf, issuers, address.domain(), self.now)
            .map(drop)
    }

    fn row(
        &self,
        plan: &mut Plan,
        store: &Store,
        leaf: &Parsed,
        address: &Address,
        issuers: &[Bytes],
    ) -> ImportOutcome {
        let mailbox = address.mailbox_key();
        let rows = store.of(&mailbox);
        if !plan.seen.insert((mailbox, leaf.fingerprint)) {
            return ImportOutcome::Unchanged;
        }
        let known = rows.iter().find(|it| it.fingerprint == leaf.fingerprint);
        let mut pinned = rows.iter().filter(|it| is_pinned(it)).peekable();
        let any_pinned = pinned.peek().is_some();
        // A pin is of the key: what has the same one goes on being pinned.
        let same_key = pinned.any(|it| {
            it.parsed
                .as_ref()
                .is_some_and(|it| it.key_id == leaf.key_id)
        });
        let state = match any_pinned && !same_key {
            true => State::WaitsForApproval,
            false => State::InUse,
        };
        let row = Row {
            address: address.clone(),
            der: leaf.der.clone(),
            issuers: match (issuers, known) {
                ([], Some(known)) => known.row.issuers.clone(),
                _ => issuers.to_vec(),
            },
            pinned: state == State::InUse
                && (self.options.pin || same_key || known.is_some_and(|it| it.row.pinned)),
            state,
            require_chain: self.options.require_chain,
            source: cut(self.source),
            imported: Change::new(self.by, self.now),
            approved: known.and_then(|it| it.row.approved.clone()),
        };
        if known.is_some_and(|it| is_same(&it.row, &row)) {
            return match state {
                State::InUse => ImportOutcome::Unchanged,
                State::WaitsForApproval => ImportOutcome::WaitsForApproval,
            };
        }
        plan.new += usize::from(known.is_none());
        plan.entries.push(Entry::new(row));
        match state {
            State::InUse => ImportOutcome::Imported,
            State::WaitsForApproval => ImportOutcome::WaitsForApproval,
        }
    }
}

/// Whether a row holds a pin that counts.
pub(super) fn is_pinned(entry: &Entry) -> bool {
    entry.row.pinned && entry.row.state == State::InUse
}

/// Whether two rows say the same, whoever wrote them and when.
fn is_same(one: &Row, other: &Row) -> bool {
    let written = |row: &Row| Row {
        address: one.address.clone(),
        source: String::new(),
        imported: one.imported.clone(),
        approved: None,
        ..row.clone()
    };
    written(one) == written(other)
}

/// Of the authorities that stand beside a certificate, those that its chain may need.
pub(super) fn issuers_for(leaf: &Parsed, authorities: &[Parsed]) -> Vec<Bytes> {
    Authorities::new(authorities).of(leaf)
}

/// The authorities that stand beside certificates, by name. Self-issued ones never help: an anchor
/// is configured.
pub(super) struct Authorities<'a>(HashMap<&'a [u8], Vec<&'a Parsed>>);

impl<'a> Authorities<'a> {
    pub(super) fn new(authorities: impl IntoIterator<Item = &'a Parsed>) -> Self {
        let mut seen = HashSet::new();
        let mut by_name: HashMap<&[u8], Vec<&Parsed>> = HashMap::new();
        for authority in authorities {
            if !authority.is_self_issued() && seen.insert(authority.fingerprint) {
                let named = by_name.entry(&authority.subject_der).or_default();
                named.push(authority);
            }
        }
        Self(by_name)
    }

    /// Those that the chain of a certificate may need: upwards by name, within bounds.
    pub(super) fn of(&self, leaf: &Parsed) -> Vec<Bytes> {
        let mut wanted = vec![leaf.issuer_der.as_slice()];
        let (mut chosen, mut octets): (Vec<&Parsed>, usize) = (Vec::new(), 0);
        while let Some(name) = wanted.pop() {
            for authority in self.0.get(name).into_iter().flatten() {
                let known = chosen
                    .iter()
                    .any(|it| it.fingerprint == authority.fingerprint);
                if known {
                    continue;
                }
                octets += authority.der.len();
                if chosen.len() >= MAX_ISSUERS || octets > MAX_ISSUER_OCTETS {
                    return chosen.iter().map(|it| it.der.clone()).collect();
                }
                chosen.push(authority);
                wanted.push(&authority.issuer_der);
            }
        }
        chosen.iter().map(|it| it.der.clone()).collect()
    }
}
