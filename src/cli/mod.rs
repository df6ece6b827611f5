//! The command line.
//!
//! Owns the words a person types, what is printed, and the exit codes. One file per command
//! group. Human tables may change; what `--json` prints is stable. Passwords never come from argv.

mod cert;
mod check;
mod completions;
mod demo;
mod dkim;
mod failure;
mod key;
mod output;
mod panics;
mod pickup;
mod policy;
mod queue;
mod scan_worker;
mod serve;
mod unanswered;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{DEFAULT_FILE, LoadError};
pub use failure::{Exit, Failure};
pub use panics::say_only_where;

/// Secure outbound mail transfer: every recipient protected, every message durable.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or bad configuration, \
75 temporary failure (spool locked, I/O), 78 configuration or key missing at start."
)]
struct Cli {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Serve),
    /// Show what sealpost does, in a scratch directory: nothing to install, no configuration
    Demo(demo::Demo),
    /// Validate the configuration and everything it names
    Check(check::Check),
    /// The master key
    #[command(subcommand)]
    Key(key::Key),
    /// Submission accounts
    User(user::User),
    /// Signing keys and their DNS records
    #[command(subcommand)]
    Dkim(dkim::Dkim),
    /// The policy: why, whether ever, what if, what mix
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Recipients' certificates
    #[command(subcommand)]
    Cert(cert::Cert),
    /// What waits, and why
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Messages that wait in the portal: what lies there, who opened it, taking it back
    #[command(subcommand)]
    Pickup(pickup::Pickup),
    /// Print shell completions
    Completions(completions::Completions),
    /// Print the manual page, or write all manual pages into a directory
    Man(completions::Man),
}

/// A configuration that a command cannot work with.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn bad_configuration(error: LoadError) -> Failure {
    Failure::from_error(Exit::Usage, &error, "")
}

/// Runs the command that `args` names (the first is the program's name).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(code) = scan_worker::run(&args) {
        return code;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is not worth a word.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let config = cli.config.as_path();
    let done = match cli.command {
        Command::Serve(serve) => serve.run(config),
        Command::Demo(demo) => demo.run(),
        Command::Check(check) => check.run(config),
        Command::Key(key) => key.run(),
        Command::User(user) => user.run(config),
        Command::Dkim(dkim) => dkim.run(),
        Command::Policy(policy) => policy.run(config),
        Command::Cert(cert) => cert.run(config),
        Command::Queue(queue) => queue.run(config),
        Command::Pickup(pickup) => pickup.run(config),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
