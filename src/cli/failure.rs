//! How a command fails: what happened, what to do next, and the exit code.

use std::error::Error;
use std::process::ExitCode;

/// Exit codes, after sysexits(3) where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and failed.
    Failed,
    /// Usage or bad configuration.
    Usage,
    /// Try again: the spool is locked, or I/O failed (`EX_TEMPFAIL`).
    Temporary,
    /// Configuration or key missing at start (`EX_CONFIG`).
    Configuration,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Temporary => 75,
            Self::Configuration => 78,
        }
    }
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// What happened, and what to do: one or more lines without the program's name.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
        }
    }

    /// An error with all its causes, and what to do.
    pub fn from_error(exit: Exit, error: &dyn Error, mend: &str) -> Self {
        let mut text = chain(error);
        if !mend.is_empty() {
            text.push_str("; ");
            text.push_str(mend);
        }
        Self { exit, text }
    }

    /// Nothing more to say: everything has been printed.
    pub const fn silent(exit: Exit) -> Self {
        Self {
            exit,
            text: String::new(),
        }
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says it on standard error.
    pub fn tell(&self) -> ExitCode {
        if !self.text.is_empty() {
            super::output::complain(&self.text);
        }
        ExitCode::from(self.exit.code())
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
