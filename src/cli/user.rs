//! `sealpost user`: submission accounts.
//!
//! Passwords come from a prompt or from standard input, never from the command line, where others
//! on the host could read them.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Exit, Failure, output};
use crate::config;
use crate::directory::users::edit::{self, EditError};
use crate::directory::{Users, UsersError};
use crate::mail::{AddressPattern, SecretBytes};

/// Longest password that is read.
const MAX_PASSWORD_OCTETS: u64 = 1024;

/// Submission accounts.
#[derive(Debug, Args)]
pub struct User {
    /// The users file; otherwise the one that the configuration names
    #[arg(long, global = true, value_name = "FILE")]
    users: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an account; the password is asked for
    Add {
        /// What the client authenticates as
        name: String,
        /// An address it may send as, or `*@DOMAIN` for a whole domain; repeatable
        #[arg(long = "sender", value_name = "PATTERN", required = true, value_parser = pattern)]
        senders: Vec<AddressPattern>,
        /// Read the password from standard input instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change a password
    Passwd {
        /// The account
        name: String,
        /// Read the password from standard input instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove an account
    Remove {
        /// The account
        name: String,
    },
    /// Show the accounts and what they may send as
    List {
        /// Stable machine output
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Shown {
    name: String,
    senders: Vec<String>,
}

fn pattern(text: &str) -> Result<AddressPattern, String> {
    text.parse::<AddressPattern>()
        .map_err(|error| error.to_string())
}

impl User {
    /// Does it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let file = match self.users {
            Some(file) => file,
            None => {
                config::read(config)
                    .map_err(super::bad_configuration)?
                    .users
                    .value
            }
        };
        match self.command {
            Command::Add {
                name,
                senders,
                password_stdin,
            } => {
                let password = password(password_stdin)?;
                edit::add(&file, &name, &senders, &password).map_err(|error| explain(&error))?;
                told(&name, "added")
            }
            Command::Passwd {
                name,
                password_stdin,
            } => {
                let password = password(password_stdin)?;
                edit::passwd(&file, &name, &password).map_err(|error| explain(&error))?;
                told(&name, "changed")
            }
            Command::Remove { name } => {
                edit::remove(&file, &name).map_err(|error| explain(&error))?;
                told(&name, "removed")
            }
            Command::List { json } => list(&file, json),
        }
    }
}

fn told(name: &str, what: &str) -> Result<(), Failure> {
    output::say(&format!(
        "{name}: {what}. A running daemon takes it up at its next reload (SIGHUP)."
    ))
}

fn list(file: &Path, json: bool) -> Result<(), Failure> {
    let users = Users::load(file).map_err(|error| explain(&EditError::from(error)))?;
    let shown: Vec<Shown> = users
        .iter()
        .map(|user| Shown {
            name: user.name().to_owned(),
            senders: user.senders().iter().map(ToString::to_string).collect(),
        })
        .collect();
    if json {
        return output::json(&shown);
    }
    if shown.is_empty() {
        return output::say("no users; add one with `sealpost user add`");
    }
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|user| vec![user.name, user.senders.join(", ")])
        .collect();
    output::say(&output::table(&["NAME", "MAY SEND AS"], &rows))
}

/// Asks twice on a terminal, or reads standard input to its end.
fn password(from_stdin: bool) -> Result<SecretBytes, Failure> {
    if from_stdin {
        let mut octets = Zeroizing::new(Vec::new());
        std::io::stdin()
            .take(MAX_PASSWORD_OCTETS + 1)
            .read_to_end(&mut octets)
            .map_err(|error| Failure::from_error(Exit::Failed, &error, ""))?;
        if octets.len() as u64 > MAX_PASSWORD_OCTETS {
            let text = format!("the password is longer than {MAX_PASSWORD_OCTETS} octets");
            return Err(Failure::new(Exit::Usage, text));
        }
        let end = octets.iter().rposition(|b| !matches!(b, b'\r' | b'\n'));
        let line = &octets[..end.map_or(0, |end| end + 1)];
        return Ok(SecretBytes::new(line.to_vec()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "there is no terminal to ask for the password on; use --password-stdin",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| Failure::from_error(Exit::Failed, &error, "use --password-stdin"))
    };
    let first = ask("Password: ")?;
    let second = ask("Again: ")?;
    if *first != *second {
        return Err(Failure::new(Exit::Failed, "the two differ; try again"));
    }
    Ok(SecretBytes::new(first.as_bytes().to_vec()))
}

fn explain(error: &EditError) -> Failure {
    let (exit, mend) = match error {
        EditError::Users(UsersError::Read { .. }) => (
            Exit::Failed,
            "make it with `sealpost user add`, or name another with --users",
        ),
        EditError::Users(_) => (Exit::Usage, ""),
        EditError::Exists(_) => (Exit::Failed, ""),
        EditError::NoSuchUser(_) => (Exit::Failed, "`sealpost user list` shows them"),
        EditError::Name(_) | EditError::NoSenders => (Exit::Usage, ""),
        EditError::Password(_) => (Exit::Failed, ""),
        EditError::Write { .. } => (Exit::Failed, "check the directory and its permissions"),
    };
    Failure::from_error(exit, error, mend)
}
