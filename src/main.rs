//! argv in, exit code out.

use std::process::ExitCode;

/// Gives memory back after a burst; the system's allocator keeps what many threads once used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sealpost::cli::say_only_where();
    sealpost::cli::run(std::env::args_os())
}
