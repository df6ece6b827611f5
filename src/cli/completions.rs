//! `sealpost completions` and `sealpost man`: what shells and man(1) want.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Failure, output};

/// Print shell completions.
#[derive(Debug, Args)]
pub struct Completions {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sealpost", &mut script);
        output::put(&script)
    }
}

/// Manual pages.
#[derive(Debug, Args)]
pub struct Man {
    /// Write sealpost.1 and a page per command here
    directory: Option<PathBuf>,
}

impl Man {
    /// Prints the main page, or writes all pages.
    pub fn run(self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::from_error(
                Exit::Failed,
                &error,
                "check the directory and its permissions",
            )
        };
        match self.directory {
            Some(directory) => {
                std::fs::create_dir_all(&directory).map_err(failed)?;
                clap_mangen::generate_to(Cli::command(), &directory).map_err(failed)
            }
            None => {
                let mut page = Vec::new();
                let man = clap_mangen::Man::new(Cli::command());
                man.render(&mut page).map_err(failed)?;
                output::put(&page)
            }
        }
    }
}
