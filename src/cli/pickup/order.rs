//! `sealpost pickup retract` and `extend`: what a person orders.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::super::{Exit, Failure, output};
use super::ask::ask;
use super::view;
use crate::config::value;
use crate::mail::Timestamp;
use crate::proto::link::{DepositState, Ordered, PickupOrder, ToPortal};
use crate::world::clock::Clock;

/// Which deposits, and why.
#[derive(Debug, Args)]
struct Which {
    /// Its reference, as in the link of its notice; or a queue id, for all recipients of that
    /// message
    #[arg(value_name = "REFERENCE|QUEUE ID")]
    name: String,
    /// Only this recipient's
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Why: for the record and the delivery log
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// Overwrite the key.
#[derive(Debug, Args)]
pub struct Retract {
    #[command(flatten)]
    which: Which,
}

/// Give it another expiry.
#[derive(Debug, Args)]
pub struct Extend {
    #[command(flatten)]
    which: Which,
    /// Until then: a day, as in 2027-01-31 (its end, UTC), or a moment, as in 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present = "span")]
    until: Option<Timestamp>,
    /// For so long from now, as in 30d
    #[arg(long = "for", id = "span", value_name = "DURATION", value_parser = span, conflicts_with = "until")]
    span: Option<Duration>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let whole = match text.contains('T') {
        true => text.to_owned(),
        false => format!("{text}T23:59:59Z"),
    };
    Timestamp::from_rfc3339(&whole)
        .ok_or_else(|| "write it as in 2027-01-31 or 2027-01-31T12:00:00Z".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    value::parse_duration(text)
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "write it as in 12h or 30d".to_owned())
}

impl Which {
    fn order(self, until: Option<Timestamp>) -> PickupOrder {
        PickupOrder {
            name: self.name,
            recipient: self.recipient,
            until,
            actor: String::new(),
            reason: self.reason,
        }
    }
}

impl Retract {
    pub(super) fn run(self, socket: &Path) -> Result<(), Failure> {
        let json = self.which.json;
        let order = self.which.order(None);
        let done: Vec<Ordered> = ask(socket, &ToPortal::PickupRetract(order))?;
        show(&done, json, retracted)?;
        let left = done
            .iter()
            .any(|it| matches!(it.item.state, DepositState::Waiting | DepositState::Opened));
        match left {
            true => Err(Failure::new(Exit::Failed, "not everything was retracted")),
            false => Ok(()),
        }
    }
}

impl Extend {
    pub(super) fn run(self, socket: &Path) -> Result<(), Failure> {
        let json = self.which.json;
        let until = match (self.until, self.span) {
            (Some(until), _) => until,
            (None, Some(span)) => Clock::system().now() + span,
            (None, None) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "say until when: --until or --for",
                ));
            }
        };
        let order = self.which.order(Some(until));
        let done: Vec<Ordered> = ask(socket, &ToPortal::PickupExtend(order))?;
        show(&done, json, extended)?;
        let ended = done
            .iter()
            .any(|it| !matches!(it.item.state, DepositState::Waiting | DepositState::Opened));
        match ended {
            true => Err(Failure::new(
                Exit::Failed,
                "what has ended cannot be extended: its key is gone",
            )),
            false => Ok(()),
        }
    }
}

fn show(done: &[Ordered], json: bool, line: fn(&Ordered) -> String) -> Result<(), Failure> {
    if json {
        let done: Vec<_> = done.iter().map(view::Done::new).collect();
        return output::json(&done);
    }
    let lines: Vec<String> = done.iter().map(line).collect();
    output::say(&lines.join("\n"))
}

fn retracted(done: &Ordered) -> String {
    let opened = match done.opened_before {
        true => "it had been opened before",
        false => "it was never opened",
    };
    let what = match (done.changed, done.item.state) {
        (true, _) => format!("retracted, its key is overwritten; {opened}"),
        (false, DepositState::Retracted) => format!("was retracted before; {opened}"),
        (false, state) => format!("is {}, nothing was changed; {opened}", state.as_str()),
    };
    named(done, &what)
}

fn extended(done: &Ordered) -> String {
    let until = view::seconds(done.item.expires);
    let what = match (done.changed, done.item.state) {
        (true, _) => format!("can be picked up until {until}"),
        (false, DepositState::Waiting | DepositState::Opened) => {
            format!("could be picked up until {until} before")
        }
        (false, state) => format!("is {}, nothing was changed", state.as_str()),
    };
    named(done, &what)
}

fn named(done: &Ordered, what: &str) -> String {
    format!(
        "{} for {}: {what}",
        done.item.reference, done.item.recipient
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_to_its_end() {
        let end = Timestamp::from_rfc3339("2027-01-31T23:59:59Z").unwrap();
        assert_eq!(moment("2027-01-31"), Ok(end));
        assert!(moment("2027-01-31T12:00:00+01:00").unwrap() < end);
        for text in ["", "tomorrow", "2027-13-01", "31.1.2027"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_time_at_all_is_no_span() {
        assert_eq!(span("30d"), Ok(Duration::from_secs(30 * 24 * 60 * 60)));
        assert!(span("0s").is_err() && span("x").is_err());
    }
}
