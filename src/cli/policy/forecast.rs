//! `sealpost policy forecast`: what would go by which method to a list of domains, as they are
//! today, before a stricter level goes live.
//!
//! Asks DNS and the mail servers as a delivery would, up to the handshake, and no further. What
//! the policy says comes from the policy itself: each level is decided as the daemon would decide
//! it, and decided again where the connection falls short. Bounded in domains and in probes at
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;

use super::view::{required, way};
use super::{level, policy_of};
use crate::cli::{Exit, Failure, output, serve};
use crate::config::{Credentials, read_bounded};
use crate::mail::{
    Address, Decision, Domain, Grade, Level, MessageClass, Outcome, ReversePath, Tag, Timestamp,
    TlsStanding,
};
use crate::policy::{HeaderFacts, MessageFacts, Policy, RecipientFacts};
use crate::relay::{ProbeReport, Relay};
use crate::server::build;
use crate::world::clock::Clock;

/// Most domains of one list.
const MAX_DOMAINS: usize = 100_000;
/// Largest list in octets.
const MAX_FILE_OCTETS: u64 = 16 << 20;
/// Domains that are asked at once.
const PROBES_AT_ONCE: usize = 16;
/// Domains between two words on the progress.
const PROGRESS_EVERY: usize = 100;
/// A domain that could not be asked.
const UNKNOWN: &str = "unknown";

/// What would go by which method to a list of domains, as they are today
#[derive(Debug, Args)]
pub struct Forecast {
    /// The domains, one a line; empty lines and lines with # are skipped
    #[arg(long, value_name = "FILE")]
    domains: PathBuf,
    /// Only this level
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    policy: String,
    notes: Vec<&'static str>,
    domains: Vec<Row>,
    /// Level → way → domains.
    mix: BTreeMap<Level, BTreeMap<&'static str, usize>>,
}

#[derive(Debug, Serialize)]
struct Row {
    domain: String,
    /// The best grade that its hosts reach; absent where none could be asked.
    grade: Option<Grade>,
    by_route: bool,
    hosts: Vec<Host>,
    /// Level → way.
    ways: BTreeMap<Level, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Host {
    mx: String,
    address: Option<String>,
    grade: Grade,
    #[serde(skip_serializing_if = "Option::is_none")]
    lack: Option<String>,
}

impl Forecast {
    /// Asks and prints.
    pub fn run(self, file: &Path) -> Result<(), Failure> {
        let domains = read_list(&self.domains)?;
        let (config, policy) = policy_of(file)?;
        let levels: Vec<Level> = match self.level {
            Some(level) => vec![level],
            None => Level::ALL.to_vec(),
        };
        let runtime = serve::runtime()?;
        let rows = runtime.block_on(async {
            let clock = Clock::system();
            let relay =
                build::relay(&config, &Credentials::of_the_service(), clock).map_err(|error| {
                    Failure::from_error(Exit::Usage, &error, "`sealpost check` says more")
                })?;
            let judge = Arc::new(Judge {
                policy: policy.clone(),
                sender: config.postmaster.clone(),
                levels,
                now: clock.now(),
            });
            Ok(probe_all(&relay, &judge, domains).await)
        });
        let rows: Vec<Row> = rows?;
        let mut mix: BTreeMap<Level, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for (level, way) in rows.iter().flat_map(|row| &row.ways) {
            *mix.entry(*level).or_default().entry(way).or_default() += 1;
        }
        let report = Report {
            policy: policy.hash().to_string(),
            notes: notes(&policy),
            domains: rows,
            mix,
        };
        match self.json {
            true => output::json(&report),
            false => output::say(&told(&report)),
        }
    }
}

/// What the forecast leaves out.
fn notes(policy: &Policy) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if policy.source().smime {
        notes.push("certificates belong to addresses, and a list of domains names none: S/MIME is forecast as if nobody had one");
    }
    if policy.source().portal {
        notes.push("secrets, numbers and registrations belong to messages and addresses: the portal is forecast as if there were none, so with a code to the mailbox alone");
    }
    notes
}

fn read_list(path: &Path) -> Result<Vec<Domain>, Failure> {
    let wrong = |text: String| Failure::new(Exit::Usage, text);
    let octets = read_bounded(path, MAX_FILE_OCTETS).map_err(|error| {
        let what = format!("{} cannot be read: {error}", path.display());
        wrong(what)
    })?;
    let text = String::from_utf8(octets).map_err(|_| {
        wrong(format!(
            "{}: not text; write one domain a line",
            path.display()
        ))
    })?;
    let (mut domains, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let domain = Domain::from_unicode(line).map_err(|error| {
            let place = format!("{}:{}", path.display(), number + 1);
            wrong(format!(
                "{place}: {error}; write one domain a line, without an address"
            ))
        })?;
        if seen.insert(domain.clone()) {
            domains.push(domain);
        }
        if domains.len() > MAX_DOMAINS {
            return Err(wrong(format!(
                "{}: more than {MAX_DOMAINS} domains; split the list",
                path.display()
            )));
        }
    }
    Ok(domains)
}

/// Asks all of them, a few at a time; in the order of the list.
async fn probe_all(relay: &Relay, judge: &Arc<Judge>, domains: Vec<Domain>) -> Vec<Row> {
    let total = domains.len();
    let mut waiting = domains.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut rows = BTreeMap::new();
    loop {
        while running.len() < PROBES_AT_ONCE
            && let Some((place, domain)) = waiting.next()
        {
            let (relay, judge) = (relay.clone(), Arc::clone(judge));
            running.spawn(async move { (place, judge.row(&relay, &domain).await) });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        match done {
            Ok((place, row)) => drop(rows.insert(place, row)),
            Err(error) => output::complain(&format!("a probe ended early: {error}")),
        }
        if rows.len().is_multiple_of(PROGRESS_EVERY) {
            output::complain(&format!("{} of {total} domains", rows.len()));
        }
    }
    relay.close();
    rows.into_values().collect()
}

/// Decides as the daemon would, for a message that nothing but its level is known of.
struct Judge {
    policy: Policy,
    sender: Address,
    levels: Vec<Level>,
    now: Timestamp,
}

impl Judge {
    async fn row(&self, relay: &Relay, domain: &Domain) -> Row {
        let mut row = Row {
            domain: domain.to_string(),
            grade: None,
            by_route: false,
            hosts: Vec::new(),
            ways: BTreeMap::new(),
            trouble: None,
        };
        // What the channel must be is said of the domain, whatever the level.
        let Some(first) = self.decide(domain, Level::Protected, TlsStanding::Untried) else {
            return row;
        };
        let report = relay.probe(domain, &first.terms).await;
        row.trouble = trouble(&report);
        row.by_route = report.by_route;
        row.grade = reached(&report);
        row.ways = self
            .levels
            .iter()
            .filter_map(|&level| Some((level, self.way(domain, level, row.grade)?)))
            .collect();
        let host = |host: crate::relay::ProbedHost| Host {
            mx: host.hop.mx.to_string(),
            address: host.hop.address.map(|address| address.to_string()),
            grade: host.hop.grade,
            lack: host.lack,
        };
        row.hosts = report.hosts.into_iter().map(host).collect();
        row
    }

    /// The way that a message of `level` would take now.
    fn way(&self, domain: &Domain, level: Level, reached: Option<Grade>) -> Option<&'static str> {
        let decision = self.decide(domain, level, TlsStanding::Untried)?;
        let Some(required) = required(&decision) else {
            return Some(way(&decision.course)); // Not by mail.
        };
        let Some(reached) = reached else {
            return Some(UNKNOWN);
        };
        if reached.reaches(required) {
            return Some(way(&decision.course));
        }
        // As after an attempt that fell short.
        let short = TlsStanding::Short { reached, required };
        Some(way(&self.decide(domain, level, short)?.course))
    }

    fn decide(&self, domain: &Domain, level: Level, tls: TlsStanding) -> Option<Arc<Decision>> {
        let address = Address::parse(&format!("postmaster@{domain}")).ok()?;
        let mut recipient = RecipientFacts::new(address, self.now);
        recipient.tls = tls;
        recipient.first_contact = Some(false);
        recipient.volume = self
            .policy
            .volume_windows()
            .iter()
            .map(|window| (*window, 1))
            .collect();
        let message = MessageFacts {
            class: MessageClass::Submitted,
            sender: ReversePath::Address(self.sender.clone()),
            author: Some(self.sender.clone()),
            user: None,
            listener: None,
            client: None,
            received: self.now,
            size: 0,
            tags: vec![Tag { text: None, level }],
            header: HeaderFacts::default(),
            parts: Some(Vec::new()),
            findings: Some(crate::mail::Findings::default()),
        };
        self.policy
            .decide(&message, &[recipient])
            .into_iter()
            .next()
    }
}

/// The best grade of the hosts; of those that lack something, only if there is no better.
fn reached(report: &ProbeReport) -> Option<Grade> {
    let answered = report.hosts.iter().filter(|host| host.answered);
    let best = answered.map(|host| host.hop.grade).max();
    report.best.or(best)
}

/// Why a domain could not be asked.
fn trouble(report: &ProbeReport) -> Option<String> {
    let status = match &report.outcome {
        Some(Outcome::Deferred { status, .. } | Outcome::Bounced(status)) => status,
        Some(_) | None => {
            return report
                .cut
                .then(|| "not all hosts were asked in time".to_owned());
        }
    };
    Some(status.text.clone())
}

fn told(report: &Report) -> String {
    let levels: Vec<Level> = report.mix.keys().copied().collect();
    let mut heads = vec!["DOMAIN".to_owned(), "GRADE".to_owned()];
    heads.extend(levels.iter().map(|level| level.as_str().to_uppercase()));
    heads.push("LACKS".to_owned());
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let cells = |row: &Row| {
        let grade = row.grade.map_or("-".to_owned(), |grade| grade.to_string());
        let mut cells = vec![row.domain.clone(), grade];
        cells.extend(
            levels
                .iter()
                .map(|level| row.ways.get(level).copied().unwrap_or("-").to_owned()),
        );
        let lacks = row.hosts.iter().find_map(|host| {
            let lack = host.lack.as_deref()?;
            Some(format!("{} {lack}", host.mx))
        });
        cells.push(row.trouble.clone().or(lacks).unwrap_or_default());
        cells
    };
    let rows: Vec<Vec<String>> = report.domains.iter().map(cells).collect();
    let mut text = output::table(&heads, &rows);
    text.push_str("\n\n");
    let total = report.domains.len().max(1);
    let mut mix = Vec::new();
    for (level, ways) in &report.mix {
        for (way, count) in ways {
            let share = 100 * count / total;
            mix.push(vec![
                level.to_string(),
                (*way).to_owned(),
                count.to_string(),
                format!("{share} %"),
            ]);
        }
    }
    text.push_str(&output::table(&["LEVEL", "WAY", "DOMAINS", "SHARE"], &mix));
    for note in &report.notes {
        text.push_str(&format!("\n\nnote: {note}"));
    }
    text
}
