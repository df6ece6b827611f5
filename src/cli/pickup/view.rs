//! How deposits are shown: tables for people, and what `--json` prints, whose names are stable and
//! whose times are RFC 3339.

use serde::Serialize;

use super::super::output;
use crate::mail::{Factor, Reference, Timestamp};
use crate::proto::link::{Access, Lease, Ordered, PickupDetail, PickupItem};

/// A page of deposits for programs.
#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    next: Option<Reference>,
}

impl Page {
    pub(super) fn new(items: &[PickupItem], next: Option<Reference>) -> Self {
        Self {
            items: items.iter().map(Item::new).collect(),
            next,
        }
    }
}

/// A deposit for programs.
#[derive(Serialize)]
struct Item {
    reference: Reference,
    queue_id: String,
    author: String,
    recipient: String,
    level: &'static str,
    factors: &'static str,
    state: &'static str,
    deposited: String,
    opened: Option<String>,
    expires: String,
    octets: u64,
}

impl Item {
    fn new(item: &PickupItem) -> Self {
        Self {
            reference: item.reference,
            queue_id: item.queue_id.to_string(),
            author: item.author.to_string(),
            recipient: item.recipient.to_string(),
            level: item.level.as_str(),
            factors: item.factors.as_str(),
            state: item.state.as_str(),
            deposited: item.deposited.to_rfc3339(),
            opened: item.opened.map(Timestamp::to_rfc3339),
            expires: item.expires.to_rfc3339(),
            octets: item.octets,
        }
    }
}

/// All that is known of a deposit, for programs.
#[derive(Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    item: Item,
    openings: u32,
    accesses: Vec<Opening>,
    replies: u32,
    ended: Option<String>,
    opened_before_end: Option<bool>,
    order: Option<Order>,
}

#[derive(Serialize)]
struct Opening {
    time: String,
    factors: Vec<Factor>,
    client: String,
    what: String,
    automated: Vec<String>,
}

#[derive(Serialize)]
struct Order {
    time: String,
    actor: String,
    reason: String,
}

impl Detail {
    pub(super) fn new(detail: &PickupDetail) -> Self {
        let opening = |access: &Access| Opening {
            time: access.time.to_rfc3339(),
            factors: access.factors.clone(),
            client: access.client.clone(),
            what: access.what.clone(),
            automated: access.automated.clone(),
        };
        let order = |order: &Lease| Order {
            time: order.time.to_rfc3339(),
            actor: order.actor.clone(),
            reason: order.reason.clone(),
        };
        Self {
            item: Item::new(&detail.item),
            openings: detail.openings,
            accesses: detail.accesses.iter().map(opening).collect(),
            replies: detail.replies,
            ended: detail.ended.map(Timestamp::to_rfc3339),
            opened_before_end: detail.opened_before_end,
            order: detail.order.as_ref().map(order),
        }
    }
}

/// What an order came to, for programs.
#[derive(Serialize)]
pub(super) struct Done {
    #[serde(flatten)]
    item: Item,
    changed: bool,
    opened_before: bool,
}

impl Done {
    pub(super) fn new(done: &Ordered) -> Self {
        Self {
            item: Item::new(&done.item),
            changed: done.changed,
            opened_before: done.opened_before,
        }
    }
}

/// A time without its microseconds.
pub(super) fn seconds(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Deposits for people.
pub(super) fn table(items: &[PickupItem]) -> String {
    let row = |item: &PickupItem| {
        vec![
            item.reference.to_string(),
            item.queue_id.to_string(),
            item.author.to_string(),
            item.recipient.to_string(),
            item.state.as_str().to_owned(),
            seconds(item.deposited),
            seconds(item.expires),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let heads = [
        "REFERENCE",
        "QUEUE ID",
        "AUTHOR",
        "RECIPIENT",
        "STATE",
        "DEPOSITED",
        "EXPIRES",
    ];
    output::table(&heads, &rows)
}

/// One deposit for people.
pub(super) fn describe(detail: &PickupDetail) -> String {
    let item = &detail.item;
    let mut lines = vec![
        ("reference", item.reference.to_string()),
        ("queue id", item.queue_id.to_string()),
        ("author", item.author.to_string()),
        ("recipient", item.recipient.to_string()),
        ("level", item.level.to_string()),
    ];
    if item.factors != item.level {
        let factors = format!("those of {}", item.factors);
        lines.push(("factors", factors));
    }
    lines.push(("size", format!("{} octets", item.octets)));
    lines.push(("state", item.state.as_str().to_owned()));
    lines.push(("deposited", seconds(item.deposited)));
    let ended = detail.ended.is_some();
    lines.push((
        if ended { "would expire" } else { "expires" },
        seconds(item.expires),
    ));
    if let Some(time) = detail.ended {
        lines.push((
            "ended",
            format!("{}, its key was overwritten", seconds(time)),
        ));
    }
    if let Some(opened) = detail.opened_before_end {
        let text = match opened {
            true => "yes",
            false => "no: nobody ever opened it",
        };
        lines.push(("opened before", text.to_owned()));
    }
    if let Some(order) = &detail.order {
        let reason = match order.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let text = format!("{} by {}{reason}", seconds(order.time), order.actor);
        lines.push(("ordered", text));
    }
    lines.push(("openings", detail.openings.to_string()));
    lines.extend(detail.accesses.iter().map(|access| ("", opening(access))));
    let hidden = usize::try_from(detail.openings).unwrap_or(usize::MAX);
    if let Some(hidden) = hidden.checked_sub(detail.accesses.len())
        && hidden > 0
    {
        lines.push(("", format!("{hidden} of them are not listed")));
    }
    lines.push(("replies", detail.replies.to_string()));
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<15}{value}"));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn opening(access: &Access) -> String {
    let factors: Vec<&str> = access.factors.iter().map(|it| it.as_str()).collect();
    let who = match access.automated.as_slice() {
        [] => String::new(),
        reasons => format!("; looks like a program: {}", reasons.join(", ")),
    };
    format!(
        "{} {} from {} by {}{who}",
        seconds(access.time),
        access.what,
        access.client,
        factors.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Level, MessageId};
    use crate::proto::link::DepositState;

    fn item(state: DepositState) -> PickupItem {
        PickupItem {
            reference: Reference::new(*b"0123456789"),
            queue_id: MessageId::new(7),
            author: Address::parse("jo@clinic.example").unwrap(),
            recipient: Address::parse("kim@home.example").unwrap(),
            level: Level::Protected,
            factors: Level::Restricted,
            state,
            deposited: Timestamp::from_secs(1_800_000_000),
            opened: None,
            expires: Timestamp::from_secs(1_802_592_000),
            octets: 1234,
        }
    }

    #[test]
    fn a_retraction_shows_its_proof() {
        let detail = PickupDetail {
            item: item(DepositState::Retracted),
            accesses: Vec::new(),
            openings: 0,
            replies: 0,
            ended: Some(Timestamp::from_secs(1_800_000_060)),
            order: Some(Lease {
                time: Timestamp::from_secs(1_800_000_060),
                actor: "root".to_owned(),
                reason: "sent to the wrong Kim".to_owned(),
            }),
            opened_before_end: Some(false),
        };
        let text = describe(&detail);
        for line in [
            "state          retracted",
            "factors        those of restricted",
            "ended          2027-01-15T08:01:00Z, its key was overwritten",
            "opened before  no: nobody ever opened it",
            "ordered        2027-01-15T08:01:00Z by root: sent to the wrong Kim",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let json = serde_json::to_value(Detail::new(&detail)).unwrap();
        assert_eq!(json["ended"], "2027-01-15T08:01:00.000000Z");
        assert_eq!(json["opened_before_end"], false);
        assert_eq!(json["state"], "retracted");
    }

    #[test]
    fn an_opening_tells_by_what_and_by_whom() {
        let mut access = Access {
            time: Timestamp::from_secs(1_800_000_000),
            factors: vec![Factor::Mailbox, Factor::Password],
            client: "192.0.2.1".to_owned(),
            automated: Vec::new(),
            what: "read".to_owned(),
        };
        let text = "2027-01-15T08:00:00Z read from 192.0.2.1 by mailbox and password";
        assert_eq!(opening(&access), text);
        access.automated.push("no session before".to_owned());
        assert!(opening(&access).ends_with("; looks like a program: no session before"));
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let items = [item(DepositState::Waiting), item(DepositState::Opened)];
        let table = table(&items);
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("kim@home.example  waiting"), "{table}");
    }
}
