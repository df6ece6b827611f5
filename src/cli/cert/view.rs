//! Certificates for people.

use std::fmt;

use crate::cli::output;
use crate::directory::certificates::{
    CertificateView, Gone, Origin, RemovedCertificate, RevocationView, State,
};
use crate::mail::{CertificateFact, Fingerprint};

/// Digits of a fingerprint in a table: enough to name a certificate by.
const SHORT_DIGITS: usize = 16;

/// The beginning of a fingerprint.
pub(super) fn short(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().chars().take(SHORT_DIGITS).collect()
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.split_once('T').map_or(time, |(day, _)| day)
}

const fn trust(fact: CertificateFact) -> &'static str {
    match fact {
        CertificateFact::None => "none",
        CertificateFact::Valid => "valid",
        CertificateFact::Directory => "directory",
        CertificateFact::Pinned => "pinned",
    }
}

/// In a word what becomes of it.
fn standing(certificate: &CertificateView) -> String {
    match (&certificate.problem, certificate.state) {
        (_, State::WaitsForApproval) => "waits for approval".to_owned(),
        (Some(problem), _) => problem.to_string(),
        (None, State::InUse) if certificate.chosen => "used".to_owned(),
        (None, State::InUse) => "good; another is used".to_owned(),
    }
}

/// One line each.
pub(super) fn table(certificates: &[CertificateView]) -> String {
    let row = |certificate: &CertificateView| {
        vec![
            certificate.address.to_string(),
            short(&certificate.fingerprint),
            trust(certificate.trust).to_owned(),
            certificate.key.clone(),
            day(&certificate.valid_until).to_owned(),
            standing(certificate),
        ]
    };
    let rows: Vec<Vec<String>> = certificates.iter().map(row).collect();
    let heads = [
        "ADDRESS",
        "FINGERPRINT",
        "TRUST",
        "KEY",
        "EXPIRES",
        "STANDING",
    ];
    output::table(&heads, &rows)
}

/// What was removed, a line each.
pub(super) fn removals(removed: &[RemovedCertificate]) -> String {
    let row = |it: &RemovedCertificate| {
        let pinned = if it.pinned { "pinned" } else { "directory" };
        let gone = match it.gone {
            Gone::Removed => "removed",
            Gone::Replaced => "replaced",
        };
        vec![
            it.address.to_string(),
            short(&it.fingerprint),
            pinned.to_owned(),
            format!("{gone} {}", change(&it.removed)),
        ]
    };
    let rows: Vec<Vec<String>> = removed.iter().map(row).collect();
    output::table(
        &["ADDRESS", "FINGERPRINT", "WAS", "WHAT BECAME OF IT"],
        &rows,
    )
}

fn change(what: &crate::directory::certificates::Change) -> String {
    let at = what.at.to_rfc3339();
    let at = at.split_once('.').map_or(at.as_str(), |(at, _)| at);
    let why = match what.by.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("{at}Z by {}{why}", what.by.actor)
}

/// Everything of one.
pub(super) fn details(certificate: &CertificateView) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("address", certificate.address.to_string()),
        ("fingerprint", certificate.fingerprint.to_string()),
        ("trust", trust(certificate.trust).to_owned()),
        ("standing", standing(certificate)),
    ];
    match &certificate.origin {
        Origin::Imported {
            source,
            imported,
            approved,
        } => {
            lines.push(("from", format!("the file {source}")));
            lines.push(("imported", change(imported)));
            lines.extend(approved.iter().map(|it| ("approved", change(it))));
        }
        Origin::Folder { file } => {
            lines.push(("from", format!("the file {file} of the folder")));
        }
        Origin::Found => lines.push(("from", "found elsewhere just now".to_owned())),
    }
    lines.push(("subject", certificate.subject.clone()));
    lines.push(("issuer", certificate.issuer.clone()));
    lines.push(("serial", certificate.serial.clone()));
    lines.push((
        "valid",
        format!("{} to {}", certificate.valid_from, certificate.valid_until),
    ));
    lines.push(("key", certificate.key.clone()));
    let names = certificate.addresses.iter().map(ToString::to_string);
    lines.push(("for", names.collect::<Vec<_>>().join(", ")));
    lines.push(("reads", reads(certificate)));
    lines.push(("chain", chain(certificate)));
    lines.push((
        "revocation",
        Revocation(&certificate.revocation).to_string(),
    ));
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<13}{value}"));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn reads(certificate: &CertificateView) -> String {
    let mut known = vec![match certificate.gcm {
        true => "AES-256-GCM",
        false => "AES-256-CBC",
    }];
    if certificate.oaep {
        known.push("RSAES-OAEP");
    }
    known.join(", ")
}

fn chain(certificate: &CertificateView) -> String {
    let demanded = match certificate.require_chain {
        true => "",
        false => " (not demanded)",
    };
    match (&certificate.chain_problem, certificate.chain.as_slice()) {
        (Some(problem), _) => format!("{problem}{demanded}"),
        (None, []) => format!("none{demanded}"),
        (None, subjects) => subjects.join(" < "),
    }
}

struct Revocation<'v>(&'v RevocationView);

impl fmt::Display for Revocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RevocationView::NotAsked => f.write_str("not asked; `sealpost cert lookup` asks"),
            RevocationView::Off => f.write_str("not asked: smime.revocation is \"off\""),
            RevocationView::NoIssuer => {
                f.write_str("not asked: the authority's certificate is not known")
            }
            RevocationView::Good => f.write_str("not revoked"),
            RevocationView::Revoked => f.write_str("revoked"),
            RevocationView::Unknown { why } => write!(f, "unknown: {why}"),
        }
    }
}
