//! What is said about an attempt: enhanced codes (RFC 3463) and plain words.
//!
//! The words name hosts, addresses and the peer's own texts, never anything of the message.

use std::net::SocketAddr;

use super::tls::TlsError;
use crate::mail::{Domain, EnhancedCode, Grade, Outcome, Rendition, ShortHost, Source, Status};
use crate::proto::smtp::client::reply::{Reply, Severity};
use crate::proto::smtp::client::{Cause, Failure, Lack, Phase, binds};

/// Hosts named in a status text; the rest are in the outcome.
const MAX_HOSTS_TOLD: usize = 4;

const fn code(class: u8, subject: u16, detail: u16) -> EnhancedCode {
    EnhancedCode::new(class, subject, detail)
}

/// TLS could not be verified (the code that Postfix made customary).
pub(super) const NOT_VERIFIED: EnhancedCode = code(4, 7, 5);
/// Encryption needed (RFC 7372's registry).
pub(super) const TOO_WEAK: EnhancedCode = code(4, 7, 10);
/// Security, otherwise.
pub(super) const ATTACK: EnhancedCode = code(4, 7, 0);

/// What a server replied to something that concerns the message.
pub(super) fn of_reply(reply: &Reply, host: &Domain) -> Status {
    let class = match reply.severity() {
        Severity::Completed | Severity::Intermediate => 2,
        Severity::Transient => 4,
        Severity::Permanent => 5,
    };
    let enhanced = reply.enhanced().unwrap_or(code(class, 0, 0));
    Status::remote(reply.code(), enhanced, &reply.text(), host.as_str())
}

/// A session that broke. Never permanent: another try may go better.
pub(super) fn of_failure(failure: &Failure, host: &Domain) -> Status {
    let local = |enhanced| Status::local(enhanced, format!("{host} {failure}"));
    match &failure.cause {
        Cause::Refused(reply) => {
            let nearest = match failure.phase {
                Phase::Auth => code(4, 7, 8),
                _ => code(4, 3, 2),
            };
            let enhanced = reply.enhanced().unwrap_or(nearest);
            let enhanced = EnhancedCode {
                class: 4,
                ..enhanced
            };
            Status::remote(reply.code(), enhanced, &reply.text(), host.as_str())
        }
        Cause::Closed | Cause::TimedOut => local(code(4, 4, 2)),
        Cause::Protocol(_) | Cause::Unexpected(_) | Cause::OutOfTurn => local(code(4, 5, 0)),
        Cause::Injection => local(ATTACK),
        Cause::NoMechanism => local(code(4, 7, 4)),
        Cause::Abandoned => local(code(4, 3, 0)),
    }
}

/// Nobody there.
pub(super) fn unreachable(host: &Domain, address: SocketAddr, why: &str) -> Status {
    Status::local(
        code(4, 4, 1),
        format!("{host} [{address}] could not be reached: {why}"),
    )
}

/// What a host lacked, as a phrase that goes on from its name, and the code for it.
pub(super) fn of_lack(lack: &Lack) -> (EnhancedCode, String) {
    let enhanced = match lack {
        Lack::Verification(_) | Lack::OtherReference | Lack::Expired | Lack::NotPinned => {
            NOT_VERIFIED
        }
        Lack::Tls(_)
        | Lack::Level { .. }
        | Lack::Grade(_)
        | Lack::KeyExchange(_)
        | Lack::Authentication
        | Lack::Session => TOO_WEAK,
    };
    (enhanced, lack.to_string())
}

/// A handshake that failed: the code for it, and a phrase that goes on from the host's name.
pub(super) fn of_tls(error: &TlsError) -> (EnhancedCode, String) {
    match error {
        TlsError::Handshake(_) | TlsError::Closed(_) => {
            (NOT_VERIFIED, format!("offers TLS that fails: {error}"))
        }
        TlsError::NotPostQuantum(_) => (TOO_WEAK, format!("offers too little TLS: {error}")),
        TlsError::Setup(_) | TlsError::Incomplete(_) => {
            (NOT_VERIFIED, format!("cannot be used: {error}"))
        }
    }
}

/// What a rendition demands, as a sentence.
fn wanted(rendition: &Rendition) -> String {
    let mut text = match rendition.demand().least() {
        Grade::None => "a working connection".to_owned(),
        Grade::Any => "TLS".to_owned(),
        Grade::Pkix => "verified TLS (pkix)".to_owned(),
        grade @ (Grade::Pinned | Grade::MtaSts | Grade::Dane) => format!("TLS of grade {grade}"),
    };
    if binds(rendition.demand().class()) {
        if rendition.terms.require_pq {
            text.push_str(" with a post-quantum key exchange");
        }
        if !rendition.terms.pin_mx.is_empty() {
            text.push_str(" to a pinned host");
        }
    }
    text.push_str(" is required");
    text
}

/// Hosts that fell short, and of what: phrases with `; ` between them. Best first; in the order
/// tried where equal.
pub(super) fn told(hosts: &[(ShortHost, EnhancedCode)]) -> String {
    let mut hosts: Vec<&ShortHost> = hosts.iter().map(|(host, _)| host).collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host.hop.grade));
    let phrase = |host: &&ShortHost| format!("{} {}", host.hop.mx, host.why);
    let mut phrases: Vec<String> = hosts.iter().take(MAX_HOSTS_TOLD).map(phrase).collect();
    if let Some(more) = hosts.len().checked_sub(MAX_HOSTS_TOLD).filter(|&n| n > 0) {
        phrases.push(format!("{more} more fall short too"));
    }
    phrases.join("; ")
}

/// A failure with the hosts that fell short beside it. The words are ours then, whoever's the
/// failure's were.
pub(super) fn beside(failure: Status, told: &str) -> Status {
    if told.is_empty() {
        return failure;
    }
    let text = match &failure.source {
        Source::Local => failure.text,
        Source::Remote(host) => format!("{host} said: {}", failure.text),
    };
    Status::local(failure.enhanced, format!("{text}; {told}"))
}

/// No host was good enough for what `rendition` demands. `hosts` is in the order in which they
/// were tried, with the codes.
pub(super) fn shortfall(
    rendition: &Rendition,
    mut hosts: Vec<(ShortHost, EnhancedCode)>,
) -> Outcome {
    let required = rendition.demand().least();
    hosts.sort_by_key(|(host, _)| std::cmp::Reverse(host.hop.grade));
    let enhanced = hosts.first().map_or(TOO_WEAK, |(_, enhanced)| *enhanced);
    let text = format!("{}; {}", told(&hosts), wanted(rendition));
    Outcome::Shortfall {
        required,
        // What a domain is known to offer comes with the memory of it.
        expected: None,
        hosts: hosts.into_iter().map(|(host, _)| host).collect(),
        status: Status::local(enhanced, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Demand, Hop, Level, Terms};

    fn host() -> Domain {
        Domain::parse("mx.example").unwrap()
    }

    #[test]
    fn a_refused_session_is_never_permanent() {
        let failure = Failure {
            phase: Phase::Greeting,
            cause: Cause::Refused(Reply::new(554, "5.7.1 go away")),
        };
        let status = of_failure(&failure, &host());
        assert_eq!(status.enhanced, code(4, 7, 1));
        assert_eq!(status.code, Some(554));
        let failure = Failure {
            phase: Phase::EndOfData,
            cause: Cause::Closed,
        };
        let status = of_failure(&failure, &host());
        assert_eq!(status.enhanced, code(4, 4, 2));
        assert_eq!(
            status.text,
            "mx.example closed the connection while we were waiting for the reply to the end of data"
        );
    }

    #[test]
    fn a_shortfall_names_the_best_host_first() {
        let short = |name: &str, grade, why: &str| ShortHost {
            hop: Hop {
                next_hop: host(),
                mx: Domain::parse(name).unwrap(),
                address: None,
                grade,
                tls: None,
            },
            why: why.to_owned(),
        };
        let demand = Demand::content(Level::Protected).unwrap();
        let rendition = Rendition::content(demand, Terms::default(), vec![], vec![]).unwrap();
        let outcome = shortfall(
            &rendition,
            vec![
                (
                    short("a.example", Grade::None, "offers no STARTTLS"),
                    TOO_WEAK,
                ),
                (
                    short("b.example", Grade::Any, "cannot be verified: x"),
                    NOT_VERIFIED,
                ),
            ],
        );
        let Outcome::Shortfall { hosts, status, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(hosts[0].hop.mx.as_str(), "b.example");
        assert_eq!(status.enhanced, NOT_VERIFIED);
        assert_eq!(
            status.text,
            "b.example cannot be verified: x; a.example offers no STARTTLS; verified TLS (pkix) is required"
        );
    }
}
