//! The diagnostic log on standard error. (What became of mail is in the delivery log.)

use std::io::IsTerminal;

use rustix::fs::FileType;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::LogLevel;

/// Changes the level while running.
pub struct Logging(reload::Handle<EnvFilter, Registry>);

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logging")
    }
}

impl Logging {
    /// Begins to log. Where a logger is installed already (tests), that one stays.
    pub fn start(level: LogLevel) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let format = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal());
        // The journal has its own times.
        let format = if stderr_is_the_journal() {
            format.without_time().boxed()
        } else {
            format.boxed()
        };
        let installed = tracing_subscriber::registry().with(filter).with(format);
        drop(installed.try_init());
        Self(handle)
    }

    /// Sets another level.
    pub fn set(&self, level: LogLevel) {
        // Fails only if the subscriber is gone, and then there is nobody to tell.
        drop(self.0.reload(filter(level)));
    }
}

/// Libraries speak up only when something is wrong.
fn filter(level: LogLevel) -> EnvFilter {
    let level = level.as_str();
    EnvFilter::new(format!("error,sealpost={level}"))
}

/// systemd connects standard error to its journal by a socket.
fn stderr_is_the_journal() -> bool {
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket)
}
