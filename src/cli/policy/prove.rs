//! `sealpost policy prove`: tries every combination of facts, and says so, or shows the hole.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{policy_of, seconds};
use crate::cli::{Exit, Failure, output};
use crate::mail::{Grade, Level, RenditionClass};
use crate::policy::Policy;
use crate::policy::prove::{Proof, RegisterState, prove};
use crate::world::clock::Clock;

/// Try every combination of facts: does anything leave below its demand? Exit 1 with the facts
/// if so
#[derive(Debug, Args)]
pub struct Prove {
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    proved: bool,
    policy: &'a str,
    combinations: u64,
    demands: Vec<Demanded>,
    exceptions: Vec<Entry<'a>>,
    holes: Vec<Hole<'a>>,
}

/// A row of the table that was proved: what a class of renditions demands.
#[derive(Serialize)]
struct Demanded {
    class: &'static str,
    /// The level of content.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    /// Absent where no TLS is enough.
    least: Option<Grade>,
}

#[derive(Serialize)]
struct Entry<'a> {
    recipient: &'a str,
    allow: &'static str,
    max_level: Level,
    owner: &'a str,
    second_owner: Option<&'a str>,
    reason: &'a str,
    expires: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct Hole<'a> {
    facts: &'a str,
    decision: &'a str,
    why: &'a str,
}

impl Prove {
    /// Proves and prints.
    pub fn run(self, file: &Path) -> Result<(), Failure> {
        let (_, policy) = policy_of(file)?;
        let proof = prove(&policy, Clock::system().now());
        let report = report(&policy, &proof);
        if self.json {
            output::json(&report)?;
        } else {
            output::say(&told(&report))?;
        }
        match report.proved {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failed,
                "the policy has a hole: do not run it, and report this, it is a fault of sealpost",
            )),
        }
    }
}

fn report<'a>(policy: &'a Policy, proof: &'a Proof) -> Report<'a> {
    let content = Level::ALL.into_iter().map(|level| Demanded {
        class: RenditionClass::Content.as_str(),
        level: Some(level),
        least: level.least_grade(),
    });
    let others = [
        RenditionClass::Sealed,
        RenditionClass::Notice,
        RenditionClass::Code,
        RenditionClass::Dsn,
        RenditionClass::Report,
    ];
    let others = others.into_iter().map(|class| Demanded {
        class: class.as_str(),
        level: None,
        least: class.least_grade(Level::Protected),
    });
    let exceptions = proof.exceptions.iter().map(|it| Entry {
        recipient: &it.entry.recipient,
        allow: it.entry.allow.as_str(),
        max_level: it.entry.max_level,
        owner: &it.entry.owner,
        second_owner: it.second_owner.as_deref(),
        reason: &it.entry.reason,
        expires: it.entry.expires.to_rfc3339(),
        state: match &it.state {
            RegisterState::Active => "active",
            RegisterState::Expired => "expired",
            RegisterState::Inert(_) => "inert",
        },
        why: match &it.state {
            RegisterState::Inert(why) => Some(why),
            RegisterState::Active | RegisterState::Expired => None,
        },
    });
    let holes = proof.holes.iter().map(|hole| Hole {
        facts: &hole.facts,
        decision: &hole.decision,
        why: &hole.why,
    });
    Report {
        proved: proof.holes.is_empty(),
        policy: policy.hash(),
        combinations: proof.count,
        demands: content.chain(others).collect(),
        exceptions: exceptions.collect(),
        holes: holes.collect(),
    }
}

fn told(report: &Report<'_>) -> String {
    let mut text = String::new();
    for hole in &report.holes {
        text.push_str(&format!(
            "HOLE: {}\n  facts     {}\n  decision  {}\n",
            hole.why, hole.facts, hole.decision
        ));
    }
    let demands = report.demands.iter().map(|row| {
        vec![
            row.class.to_owned(),
            row.level
                .map_or_else(|| "-".to_owned(), |level| level.to_string()),
            row.least
                .map_or_else(|| "never by TLS".to_owned(), |grade| grade.to_string()),
        ]
    });
    let heads = ["CLASS", "LEVEL", "LEAST GRADE"];
    text.push_str(&output::table(&heads, &demands.collect::<Vec<_>>()));
    text.push_str("\n\n");
    if report.exceptions.is_empty() {
        text.push_str("no exceptions\n");
    } else {
        let rows = report.exceptions.iter().map(|entry| {
            let owners = match entry.second_owner {
                Some(second) => format!("{}, {second}", entry.owner),
                None => entry.owner.to_owned(),
            };
            let expires = crate::mail::Timestamp::from_rfc3339(&entry.expires);
            vec![
                entry.recipient.to_owned(),
                entry.allow.to_owned(),
                entry.max_level.to_string(),
                owners,
                entry.reason.to_owned(),
                expires.map(seconds).unwrap_or_default(),
                match entry.why {
                    Some(why) => format!("{}: {why}", entry.state),
                    None => entry.state.to_owned(),
                },
            ]
        });
        let heads = [
            "EXCEPTION",
            "ALLOWS",
            "UP TO",
            "OWNER",
            "REASON",
            "UNTIL",
            "STATE",
        ];
        text.push_str(&output::table(&heads, &rows.collect::<Vec<_>>()));
        text.push('\n');
    }
    let verdict = match report.proved {
        true => "nothing leaves below its demand",
        false => "NOT PROVED",
    };
    text.push_str(&format!(
        "\npolicy {}: {verdict}: {} combinations were tried",
        report.policy, report.combinations
    ));
    text
}
