//! `sealpost scan-worker`: what the daemon starts to read a document. In no help, manual page or
//! completion; its arguments are the daemon's.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::scan::worker;

/// Runs the worker if `args` (the first is the program's name) ask for it. Before anything else
/// is read or opened: a worker needs none of it.
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let (command, rest) = args.get(1..)?.split_first()?;
    (command == worker::COMMAND).then(|| worker::serve::run(rest))
}
