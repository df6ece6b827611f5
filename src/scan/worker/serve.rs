//! The worker's side: confines itself, reads a document from standard input, answers on standard
//! output, and ends. It says nothing else to anyone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::driver::Piece;
use super::frame::{self, MAX_HEAD};
use super::{confine, selfcheck};
use crate::mail::finding::Unreadable;
use crate::scan::parts::{Document, Sink};
use crate::scan::read;

/// Exit code: what the parent said is not a request.
const BAD_REQUEST: u8 = 2;
/// Exit code: the process could not be confined, so nothing was read.
const NOT_CONFINED: u8 = 3;

/// Runs the worker: `args` are what stands behind the command's name.
pub fn run(args: &[OsString]) -> ExitCode {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["--self-check"] => selfcheck::run(),
        ["--probe", name] => selfcheck::probe(name),
        [memory, seconds] => match (memory.parse(), seconds.parse()) {
            (Ok(memory), Ok(seconds)) => serve(memory, seconds),
            _ => ExitCode::from(BAD_REQUEST),
        },
        _ => ExitCode::from(BAD_REQUEST),
    }
}

fn serve(memory: u64, seconds: u64) -> ExitCode {
    // Nothing of a document may reach a terminal or a log through a panic.
    std::panic::set_hook(Box::new(|_| {}));
    let (Ok(input), Ok(output)) = (
        io::stdin().as_fd().try_clone_to_owned().map(File::from),
        io::stdout().as_fd().try_clone_to_owned().map(File::from),
    ) else {
        return ExitCode::from(NOT_CONFINED);
    };
    if confine::confine(memory, seconds).is_err() {
        return ExitCode::from(NOT_CONFINED);
    }
    let mut input = input;
    let Ok((document, limits)) = frame::read_request(&mut input) else {
        return ExitCode::from(BAD_REQUEST);
    };
    let mut answer = Writer {
        output,
        broken: false,
    };
    read::read(document, &limits, &mut answer);
    if answer.broken || frame::write_end(&mut answer.output).is_err() {
        return ExitCode::from(BAD_REQUEST);
    }
    ExitCode::SUCCESS
}

/// Sends what is read to the parent as it comes.
struct Writer {
    output: File,
    /// The parent has gone.
    broken: bool,
}

impl Writer {
    fn said(&mut self, wrote: io::Result<()>) {
        self.broken |= wrote.is_err();
    }
}

impl Sink for Writer {
    fn text(&mut self, _part: u32, text: &str) {
        let wrote = frame::write_text(&mut self.output, text);
        self.said(wrote);
    }

    fn octets(&mut self, _part: u32, octets: &[u8]) {
        let head = octets.get(..MAX_HEAD).unwrap_or(octets).to_vec();
        let wrote = frame::write_piece(&mut self.output, &Piece::Octets(head));
        self.said(wrote);
    }

    fn document(&mut self, _document: Document) {
        // `read` leaves none; one that came all the same was not read.
        self.unscannable(0, Unreadable::UnknownKind);
    }

    fn unscannable(&mut self, _part: u32, why: Unreadable) {
        let wrote = frame::write_piece(&mut self.output, &Piece::Unreadable(why));
        let flushed = self.output.flush();
        self.said(wrote.and(flushed));
    }
}
