//! `sealpost policy replay`: runs a policy over the recorded facts and says what would have moved.
//!
//! Owns what counts as a move, and when it cannot be told: where the outcome hangs on something
//! that the record does not hold, because the policy of its time did not look at it. Memory: one
//! record, and a table of moves that is bounded.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::view::way;
use super::{day, is_wrong_key, master_key, open_records, policy_of};
use crate::cli::{Exit, Failure, output};
use crate::flow::recorded::RecordedFacts;
use crate::mail::{Address, Decision, Domain, Level, SecretBytes};
use crate::policy::{Policy, PolicySource};
use crate::report::decisions::{Day, Decided, Kind};

/// Distinct moves that are told apart; what comes after them is counted together.
const MAX_MOVES: usize = 10_000;
/// Policies of one file whose detectors are remembered.
const MAX_POLICIES: usize = 1000;
/// Decisions between two words on the progress.
const PROGRESS_EVERY: u64 = 100_000;

/// What a changed policy would have decided for the recorded messages
#[derive(Debug, Args)]
pub struct Replay {
    /// A configuration file with the policy to try; without it, the configured one
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Only records from this day on (UTC)
    #[arg(long, value_name = "DATE", value_parser = day)]
    since: Option<Day>,
    /// Only records up to this day (UTC)
    #[arg(long, value_name = "DATE", value_parser = day)]
    until: Option<Day>,
    /// Rows of the table
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// How a recipient's message went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct Way {
    level: Level,
    way: &'static str,
    /// By an exception from the register.
    exception: bool,
}

impl From<&Decision> for Way {
    fn from(decision: &Decision) -> Self {
        Self {
            level: decision.level,
            way: way(&decision.course),
            exception: decision.exception.is_some(),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.level, self.way)?;
        if self.exception {
            f.write_str(" (by exception)")?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Move {
    domain: Domain,
    from: Way,
    to: Way,
    recipients: u64,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    /// The policy that was run.
    policy: String,
    records: u64,
    recipients: u64,
    same: u64,
    moved: u64,
    /// Of those moved: to a higher level.
    raised: u64,
    /// Of those moved: to a lower level.
    lowered: u64,
    /// The record does not hold what it hangs on.
    unknown: u64,
    /// The facts cannot be read by this version.
    unreadable: u64,
    /// Moves beyond those that are told apart.
    moves_not_listed: u64,
    moves: Vec<Move>,
    broken: Vec<String>,
}

impl Replay {
    /// Runs it.
    pub fn run(self, file: &Path) -> Result<(), Failure> {
        let (config, policy) = match &self.policy {
            None => policy_of(file)?,
            Some(other) => {
                let config = crate::config::read(file).map_err(crate::cli::bad_configuration)?;
                (config, policy_of(other)?.1)
            }
        };
        let reader = open_records(&config, Some(master_key(&config)?), self.since, self.until)?;
        let files = reader.files_left();
        let mut run = Run::new(policy);
        let mut reader = reader;
        while let Some(placed) = reader.next() {
            match placed {
                Ok(placed) => run.take(placed.entry.kind),
                Err(broken) if is_wrong_key(&broken) => {
                    return Err(Failure::new(Exit::Failed, broken.to_string()));
                }
                Err(broken) => {
                    output::complain(&broken.to_string());
                    if run.report.broken.len() < 100 {
                        run.report.broken.push(broken.to_string());
                    }
                }
            }
            let done = run.report.records;
            if done > 0 && done.is_multiple_of(PROGRESS_EVERY) && run.told < done {
                run.told = done;
                let left = reader.files_left();
                let at = files.saturating_sub(left) + 1;
                output::complain(&format!("{done} records, file {at} of {files}"));
            }
        }
        let report = run.finish(self.limit);
        if self.json {
            output::json(&report)?;
        } else {
            output::say(&told(&report))?;
        }
        match report.broken.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failed,
                "the records are not whole, so neither is this; `sealpost policy records verify` says more",
            )),
        }
    }
}

/// What the detectors of a recorded policy looked for.
type Looked = Arc<(BTreeMap<String, Level>, BTreeMap<String, String>)>;

struct Run {
    policy: Policy,
    report: Report,
    moves: HashMap<(Domain, Way, Way), u64>,
    /// By the hash of the policy: as the current file names it.
    looked: HashMap<Arc<str>, Option<Looked>>,
    told: u64,
}

impl Run {
    fn new(policy: Policy) -> Self {
        Self {
            report: Report {
                policy: policy.hash().to_string(),
                ..Report::default()
            },
            policy,
            moves: HashMap::new(),
            looked: HashMap::new(),
            told: 0,
        }
    }

    fn take(&mut self, kind: Kind) {
        match kind {
            // Each file names its policies anew.
            Kind::Begin { .. } => self.looked.clear(),
            Kind::Cut { .. } => {}
            Kind::Policy { policy, source } => {
                if self.looked.len() < MAX_POLICIES {
                    let source: Option<PolicySource> = serde_json::from_str(&source).ok();
                    let looked = source.map(|it| Arc::new((it.detectors, it.detector_digests)));
                    self.looked.insert(policy, looked);
                }
            }
            Kind::Decision {
                policy,
                decided,
                facts,
                ..
            } => self.decision(&policy, &decided, facts.as_ref()),
        }
    }

    fn decision(&mut self, cited: &Arc<str>, decided: &[Decided], facts: Option<&SecretBytes>) {
        self.report.records += 1;
        let old: HashMap<&Address, &Arc<Decision>> = decided
            .iter()
            .flat_map(|group| group.recipients.iter().map(|to| (to, &group.decision)))
            .collect();
        self.report.recipients += old.len() as u64;
        let Some(facts) = facts.and_then(RecordedFacts::read) else {
            self.report.unreadable += old.len() as u64;
            return;
        };
        let new = self.judge(cited, &facts);
        for (recipient, new) in facts.recipients.iter().zip(new) {
            let Some(old) = old.get(&recipient.address) else {
                continue;
            };
            match new {
                None => self.report.unknown += 1,
                Some(new) => self.compare(recipient.address.domain(), old, &new),
            }
        }
    }

    /// What the policy says now, per recipient; `None` where it hangs on what was not recorded.
    fn judge(&self, cited: &Arc<str>, facts: &RecordedFacts) -> Vec<Option<Arc<Decision>>> {
        let message = &facts.message;
        let judged = self.policy.judge(message, &facts.recipients);
        let known = judged.into_iter().map(|judged| judged.certain().cloned());
        if message.findings.is_none() || self.has_looked(cited) {
            return known.collect();
        }
        // A detector that did not look then might have fired: as if nobody had looked at all.
        let mut blind = message.clone();
        blind.findings = None;
        let worst = self.policy.judge(&blind, &facts.recipients);
        known
            .zip(worst)
            .map(|(known, worst)| {
                let known = known?;
                let same = Way::from(&*known) == Way::from(&*worst.if_all_match);
                same.then_some(known)
            })
            .collect()
    }

    /// Whether every detector of the policy looked, as it is now, under the policy cited.
    fn has_looked(&self, cited: &Arc<str>) -> bool {
        let source = self.policy.source();
        let Some(Some(looked)) = self.looked.get(cited) else {
            return source.detectors.is_empty();
        };
        let (detectors, digests) = &**looked;
        source.detectors.keys().all(|name| {
            detectors.contains_key(name) && digests.get(name) == source.detector_digests.get(name)
        })
    }

    fn compare(&mut self, domain: &Domain, old: &Decision, new: &Decision) {
        let (from, to) = (Way::from(old), Way::from(new));
        if from == to {
            self.report.same += 1;
            return;
        }
        self.report.moved += 1;
        self.report.raised += u64::from(to.level > from.level);
        self.report.lowered += u64::from(to.level < from.level);
        let key = (domain.clone(), from, to);
        if self.moves.len() >= MAX_MOVES && !self.moves.contains_key(&key) {
            self.report.moves_not_listed += 1;
            return;
        }
        *self.moves.entry(key).or_default() += 1;
    }

    fn finish(mut self, limit: usize) -> Report {
        let moves = self.moves.into_iter();
        let mut moves: Vec<Move> = moves
            .map(|((domain, from, to), recipients)| Move {
                domain,
                from,
                to,
                recipients,
            })
            .collect();
        moves.sort_by(|a, b| {
            let by_count = b.recipients.cmp(&a.recipients);
            by_count.then_with(|| (&a.domain, &a.from, &a.to).cmp(&(&b.domain, &b.from, &b.to)))
        });
        let unlisted: u64 = moves.iter().skip(limit).map(|it| it.recipients).sum();
        self.report.moves_not_listed += unlisted;
        moves.truncate(limit);
        self.report.moves = moves;
        self.report
    }
}

fn told(report: &Report) -> String {
    let mut text = format!(
        "policy {}: {} recipients of {} records: {} as before, {} moved ({} to a higher level, {} to a lower one), {} cannot be told",
        report.policy,
        report.recipients,
        report.records,
        report.same,
        report.moved,
        report.raised,
        report.lowered,
        report.unknown + report.unreadable,
    );
    if report.unknown > 0 {
        text.push_str(
            "\nwhat cannot be told hangs on facts that the policy of the time did not look at",
        );
    }
    if report.unreadable > 0 {
        text.push_str("\nsome facts cannot be read by this version");
    }
    if !report.moves.is_empty() {
        let cells = |it: &Move| {
            vec![
                it.recipients.to_string(),
                it.domain.to_string(),
                it.from.to_string(),
                it.to.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = report.moves.iter().map(cells).collect();
        text.push_str("\n\n");
        text.push_str(&output::table(
            &["RECIPIENTS", "DOMAIN", "WAS", "WOULD BE"],
            &rows,
        ));
    }
    if report.moves_not_listed > 0 {
        text.push_str(&format!(
            "\nand {} more recipients",
            report.moves_not_listed
        ));
    }
    text
}
