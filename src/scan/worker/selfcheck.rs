//! `sealpost scan-worker --self-check`: whether a worker on this machine really cannot do what it
//! must not. Each attempt is made by a confined process of its own, which has to die of it.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use super::{COMMAND, confine};

/// Memory and processor time of a probe.
const MEMORY: u64 = 64 << 20;
const SECONDS: u64 = 2;

/// What a confined process tries, and whether it has to live.
const PROBES: [(&str, bool, &str); 9] = [
    ("compute", true, "reads, computes and writes"),
    ("open", false, "opens a file"),
    ("socket", false, "opens a socket"),
    ("exec", false, "starts a program"),
    ("thread", false, "starts a thread"),
    ("kill", false, "sends a signal"),
    ("rights", false, "changes its user"),
    ("memory", false, "takes more memory than it may"),
    ("time", false, "computes longer than it may"),
];

/// How an attempt ended.
enum Ended {
    /// As it has to; with the reason.
    Right(String),
    Wrong(String),
}

/// Makes every attempt and prints what came of it.
pub fn run() -> ExitCode {
    let mut out = std::io::stdout();
    let mut sound = true;
    for (name, lives, what) in PROBES {
        let line = match attempt(name, lives) {
            Ended::Right(how) => format!("ok      {what}: {how}\n"),
            Ended::Wrong(how) => {
                sound = false;
                format!("FAILED  {what}: {how}\n")
            }
        };
        if out.write_all(line.as_bytes()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn attempt(name: &str, lives: bool) -> Ended {
    let status = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args([COMMAND, "--probe", name])
            .env_clear()
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    });
    match status {
        Err(error) => Ended::Wrong(format!("cannot be started: {error}")),
        Ok(status) => match (status.code(), status.signal(), lives) {
            (Some(0), _, true) => Ended::Right("it may".to_owned()),
            (None, Some(signal), false) => Ended::Right(format!("ended by signal {signal}")),
            (Some(NOT_CONFINED), _, _) => {
                Ended::Wrong("this system does not let it confine itself".to_owned())
            }
            (code, signal, _) => Ended::Wrong(format!("code {code:?}, signal {signal:?}")),
        },
    }
}

/// Exit code of a probe that could not be confined.
const NOT_CONFINED: i32 = 3;

/// Confines this process and makes the attempt `name`. Whoever comes back was not stopped.
pub fn probe(name: &str) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    if confine::confine(MEMORY, SECONDS).is_err() {
        return ExitCode::from(3);
    }
    match name {
        "compute" => {
            let octets = vec![7_u8; 8 << 20];
            let sum: u64 = octets.iter().map(|octet| u64::from(*octet)).sum();
            return if std::io::stdout().write_all(&sum.to_le_bytes()).is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(4)
            };
        }
        "open" => drop(std::fs::File::open("/proc/self/status")),
        "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "exec" => drop(Command::new("/bin/true").status()),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        "kill" => {
            let own = rustix::process::getpid();
            rustix::process::test_kill_process(own).ok();
        }
        "rights" => {
            let root = rustix::process::Uid::ROOT;
            rustix::thread::set_thread_res_uid(root, root, root).ok();
        }
        "memory" => {
            let mut held = Vec::new();
            for _ in 0..1024 {
                held.push(vec![1_u8; 1 << 20]);
            }
            std::hint::black_box(&held);
        }
        "time" => {
            let mut count = 0_u64;
            while count < u64::MAX {
                count = std::hint::black_box(count + 1);
            }
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
