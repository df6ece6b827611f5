//! One line of the decision records: how it is written into the chain, how it is read.
//!
//! `{"sequence":…,"previous":"…",<clear>,"key":"…","sealed":"…"}`, where `<clear>` begins with
//! `"kind"` and `"time"` and is one of
//! - `begin`: `day`, the first line of every file and nowhere else;
//! - `decision`: `queue_id`, `sender`, `policy`, `decided` (recipients and the decision);
//! - `policy`: `policy` (the hash) and `source` (the JSON of the policy's source as a string);
//! - `cut`: `octets` and `sha256` of a torn end that a start cut off.
//!
//! The seal of a line that has no facts holds nothing, and still vouches for the line.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{CitedPolicy, Day, DecisionRecord, DecisionsError};
use crate::journal::Sealer;
use crate::mail::{Address, Decision, MessageId, SecretBytes, Timestamp};

/// SHA-256 of a line.
pub type Hash = [u8; 32];

/// What stands in front of the sealed facts.
const SEALED: &[u8] = b",\"sealed\":\"";
/// What stands behind them.
const END: &[u8] = b"\"}";

/// A decision and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// To whom.
    pub recipients: Vec<Address>,
    /// How, and why.
    pub decision: Arc<Decision>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Clear<'a> {
    Begin {
        time: String,
        day: String,
    },
    Decision {
        time: String,
        queue_id: String,
        sender: String,
        policy: &'a str,
        decided: &'a [Decided],
    },
    Policy {
        time: String,
        policy: &'a str,
        source: &'a str,
    },
    Cut {
        time: String,
        octets: u64,
        sha256: &'a str,
    },
}

fn inner(clear: &Clear<'_>) -> Result<Vec<u8>, DecisionsError> {
    let mut json =
        serde_json::to_vec(clear).map_err(|error| DecisionsError::Json(Arc::new(error)))?;
    // The braces go: the chain stands in front of it, the seal behind.
    json.pop();
    if !json.is_empty() {
        json.remove(0);
    }
    Ok(json)
}

/// The clear part of the first line of a day.
pub(super) fn begin(time: Timestamp, day: Day) -> Result<Vec<u8>, DecisionsError> {
    inner(&Clear::Begin {
        time: time.to_rfc3339(),
        day: day.to_string(),
    })
}

/// The clear part of a decision's line.
pub(super) fn decision(record: &DecisionRecord) -> Result<Vec<u8>, DecisionsError> {
    inner(&Clear::Decision {
        time: record.time.to_rfc3339(),
        queue_id: record.queue_id.to_string(),
        sender: record.sender.to_string(),
        policy: &record.policy.hash,
        decided: &record.decided,
    })
}

/// The clear part of a policy's line.
pub(super) fn policy(time: Timestamp, policy: &CitedPolicy) -> Result<Vec<u8>, DecisionsError> {
    inner(&Clear::Policy {
        time: time.to_rfc3339(),
        policy: &policy.hash,
        source: &policy.source,
    })
}

/// The clear part of the line that says what a start cut off.
pub(super) fn cut(time: Timestamp, octets: u64, sha256: &str) -> Result<Vec<u8>, DecisionsError> {
    inner(&Clear::Cut {
        time: time.to_rfc3339(),
        octets,
        sha256,
    })
}

/// Where the chain stands: behind its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain {
    /// The number of the last line; 0 before the first.
    pub sequence: u64,
    /// Its hash; zeros before the first.
    pub last: Hash,
}

impl Chain {
    /// Appends a line with its newline to `out`.
    pub(super) fn append(
        &mut self,
        sealer: &Sealer,
        clear: &[u8],
        facts: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecisionsError> {
        let start = out.len();
        let sequence = self.sequence.saturating_add(1);
        let head = format!(
            "{{\"sequence\":{sequence},\"previous\":\"{}\",",
            hex(&self.last)
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(clear);
        out.extend_from_slice(b",\"key\":\"");
        out.extend_from_slice(sealer.key_name().as_bytes());
        out.push(b'"');
        let mut sealed = Vec::with_capacity(facts.len() + 64);
        let aad = out.get(start..).unwrap_or_default();
        sealer.seal_into(aad, facts, &mut sealed)?;
        out.extend_from_slice(SEALED);
        let text = out.len();
        out.resize(text + sealed.len().div_ceil(3) * 4, 0);
        let room = out.get_mut(text..).unwrap_or_default();
        let written = STANDARD.encode_slice(&sealed, room);
        // The room is what base64 needs, to the octet.
        out.truncate(text + written.unwrap_or_default());
        out.extend_from_slice(END);
        *self = Self {
            sequence,
            last: hash(out.get(start..).unwrap_or_default()),
        };
        out.push(b'\n');
        Ok(())
    }
}

/// The hash that the next line names.
pub(super) fn hash(line: &[u8]) -> Hash {
    let mut out = Hash::default();
    out.copy_from_slice(digest(&SHA256, line).as_ref());
    out
}

/// Lower-case hex.
pub(super) fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let digits = octets
        .iter()
        .flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]);
    digits.map(char::from).collect()
}

/// A line as it was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub sequence: u64,
    /// What it names as the hash of the line before.
    pub previous: String,
    /// When it was written.
    pub time: Timestamp,
    /// What it says.
    pub kind: Kind,
    /// The name of the key that it was sealed under.
    pub key: String,
}

/// What a line says.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A file begins.
    Begin {
        /// Its day.
        day: Day,
    },
    /// Decisions.
    Decision {
        /// Of which message.
        queue_id: MessageId,
        /// Its reverse-path; empty for a bounce of ours.
        sender: String,
        /// The hash of the policy.
        policy: Arc<str>,
        /// What was decided for whom.
        decided: Vec<Decided>,
        /// What it was decided from; `None` where it was read without the key.
        facts: Option<SecretBytes>,
    },
    /// A policy that lines of this file cite.
    Policy {
        /// Its hash.
        policy: Arc<str>,
        /// The JSON of its source.
        source: String,
    },
    /// A start cut off a torn end here.
    Cut {
        /// So many octets.
        octets: u64,
        /// Their SHA-256 as hex.
        sha256: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sequence: u64,
    previous: String,
    kind: RawKind,
    time: String,
    day: Option<String>,
    queue_id: Option<String>,
    sender: Option<String>,
    policy: Option<Arc<str>>,
    decided: Option<Vec<Decided>>,
    source: Option<String>,
    octets: Option<u64>,
    sha256: Option<String>,
    key: String,
    sealed: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    Begin,
    Decision,
    Policy,
    Cut,
}

/// A line that was taken apart, its seal unopened.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) entry: Entry,
    aad: &'a [u8],
    sealed: Vec<u8>,
}

/// Takes a line without its newline apart; `None` if it is none.
pub(super) fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let raw: Raw = serde_json::from_slice(line).ok()?;
    let kind = match raw.kind {
        RawKind::Begin => Kind::Begin {
            day: Day::parse(&raw.day?)?,
        },
        RawKind::Decision => Kind::Decision {
            queue_id: raw.queue_id?.parse().ok()?,
            sender: raw.sender?,
            policy: raw.policy?,
            decided: raw.decided?,
            facts: None,
        },
        RawKind::Policy => Kind::Policy {
            policy: raw.policy?,
            source: raw.source?,
        },
        RawKind::Cut => Kind::Cut {
            octets: raw.octets?,
            sha256: raw.sha256?,
        },
    };
    let sealed = STANDARD.decode(&raw.sealed).ok()?;
    // As written to the octet: what the seal vouches for is all that stands in front of it.
    let tail = SEALED.len() + raw.sealed.len() + END.len();
    let (aad, tail) = line.split_at_checked(line.len().checked_sub(tail)?)?;
    let written = tail.strip_prefix(SEALED)?.strip_suffix(END)?;
    (written == raw.sealed.as_bytes()).then_some(Parsed {
        entry: Entry {
            sequence: raw.sequence,
            previous: raw.previous,
            time: Timestamp::from_rfc3339(&raw.time)?,
            kind,
            key: raw.key,
        },
        aad,
        sealed,
    })
}

impl Parsed<'_> {
    /// The entry with its facts; `None` if the seal does not vouch for the line.
    pub(super) fn unseal(mut self, sealer: &Sealer) -> Option<Entry> {
        let plain = sealer.open(self.aad, &self.sealed).ok()?;
        if let Kind::Decision { facts, .. } = &mut self.entry.kind {
            *facts = Some(SecretBytes::new(plain));
        }
        Some(self.entry)
    }
}
