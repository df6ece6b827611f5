//! `sealpost pickup`: what lies in the portal, and what a person orders about it. Asks the portal.
//!
//! Owns the words, tables and `--json` of the commands. What is retracted is gone when the command
//! says so: its key has been overwritten.

mod ask;
mod order;
mod view;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, output};
use crate::config;
use crate::mail::Domain;
use crate::proto::link::{DepositState, PickupDetail, PickupFilter, PickupPage, ToPortal};
use ask::ask;

/// Most deposits that are asked for at a time.
const PAGE: u32 = 200;

/// Messages in the portal.
#[derive(Debug, Subcommand)]
pub enum Pickup {
    /// What lies there, oldest first
    List(List),
    /// One message: for whom, until when, and who opened it, when and by which factors
    Show(Show),
    /// Overwrite the key, so that nobody can open it any more; says whether it was ever opened
    Retract(order::Retract),
    /// Give it another expiry
    Extend(order::Extend),
}

/// What lies there.
#[derive(Debug, Args)]
pub struct List {
    /// Only for this recipient
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only for recipients at this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Option<Domain>,
    /// Only from this author
    #[arg(long, value_name = "ADDRESS")]
    author: Option<String>,
    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

/// Where a deposit stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Waiting,
    Opened,
    Retracted,
    Expired,
    Withdrawn,
}

impl From<State> for DepositState {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Opened => Self::Opened,
            State::Retracted => Self::Retracted,
            State::Expired => Self::Expired,
            State::Withdrawn => Self::Withdrawn,
        }
    }
}

/// One message.
#[derive(Debug, Args)]
pub struct Show {
    /// Its reference, as in the link of its notice, or its queue id
    #[arg(value_name = "REFERENCE|QUEUE ID")]
    name: String,
    /// Stable machine output
    #[arg(long)]
    json: bool,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::from_unicode(text).map_err(|error| error.to_string())
}

impl Pickup {
    /// Asks and prints.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let socket: PathBuf = config::read_portal(config)
            .map_err(super::bad_configuration)?
            .portal
            .socket
            .value;
        match self {
            Self::List(list) => list.run(&socket),
            Self::Show(show) => show.run(&socket),
            Self::Retract(retract) => retract.run(&socket),
            Self::Extend(extend) => extend.run(&socket),
        }
    }
}

impl List {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let limit = self.limit.max(1);
        let mut filter = PickupFilter {
            recipient: self.recipient,
            author: self.author,
            domain: self.domain.map(|domain| domain.to_string()),
            state: self.state.map(DepositState::from),
            after: None,
            limit: 0,
        };
        let mut items = Vec::new();
        loop {
            let have = u32::try_from(items.len()).unwrap_or(u32::MAX);
            filter.limit = limit.saturating_sub(have).min(PAGE);
            let page: PickupPage = ask(socket, &ToPortal::PickupList(filter.clone()))?;
            items.extend(page.items);
            filter.after = page.next;
            let have = u32::try_from(items.len()).unwrap_or(u32::MAX);
            if filter.after.is_none() || have >= limit {
                break;
            }
        }
        let more = filter.after;
        if self.json {
            return output::json(&view::Page::new(&items, more));
        }
        if items.is_empty() {
            return output::say("nothing lies in the portal");
        }
        output::say(&view::table(&items))?;
        if more.is_some() {
            output::complain(&format!("there are more: --limit is {limit}"));
        }
        Ok(())
    }
}

impl Show {
    fn run(self, socket: &Path) -> Result<(), Failure> {
        let request = ToPortal::PickupShow { name: self.name };
        let details: Vec<PickupDetail> = ask(socket, &request)?;
        if self.json {
            let details: Vec<_> = details.iter().map(view::Detail::new).collect();
            return output::json(&details);
        }
        let texts: Vec<String> = details.iter().map(view::describe).collect();
        output::say(&texts.join("\n\n"))
    }
}
