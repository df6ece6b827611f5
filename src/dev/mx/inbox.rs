//! Where the small mail server puts mail: memory, or a directory per domain.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::mail::{Address, Timestamp};

/// Mails that are kept in memory.
const MAX_KEPT: usize = 100_000;

/// A mail that was taken.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The server that took it.
    pub host: String,
    /// Without angle brackets; empty for `<>`.
    pub reverse_path: String,
    /// Whom it is for.
    pub recipients: Vec<Address>,
    /// The parameters of MAIL, as sent.
    pub parameters: String,
    /// Dot-unstuffed, otherwise octet by octet as it came.
    pub content: Vec<u8>,
    /// Whether it came over TLS.
    pub tls: bool,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("host", &self.host)
            .field("recipients", &self.recipients.len())
            .field("octets", &self.content.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Arc<Mutex<Vec<Mail>>>),
    Directory { path: PathBuf, next: Arc<AtomicU64> },
    Nowhere(Arc<AtomicU64>),
}

/// Where mail goes. Cheap to clone; clones share what they hold.
#[derive(Debug, Clone)]
pub struct Inbox(Place);

impl Inbox {
    /// In memory.
    pub fn memory() -> Self {
        Self(Place::Memory(Arc::default()))
    }

    /// `PATH/<domain>/<time>-<number>.eml`, the content octet by octet. Made where missing.
    pub fn directory(path: PathBuf, started: Timestamp) -> Self {
        Self(Place::Directory {
            path,
            next: Arc::new(AtomicU64::new(started.as_micros())),
        })
    }

    /// Counted and forgotten: for measurements.
    pub fn nowhere() -> Self {
        Self(Place::Nowhere(Arc::default()))
    }

    /// The mails in memory.
    pub fn mails(&self) -> Vec<Mail> {
        match &self.0 {
            Place::Memory(mails) => mails.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Place::Directory { .. } | Place::Nowhere(_) => Vec::new(),
        }
    }

    /// How many there are in memory, or were counted.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Place::Memory(mails) => {
                mails.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
            }
            Place::Directory { .. } => 0,
            Place::Nowhere(count) => count.load(Ordering::Relaxed),
        }
    }

    /// Keeps a mail; on the disk it is there when this returns.
    pub(super) async fn keep(&self, mail: Mail) -> io::Result<()> {
        match &self.0 {
            Place::Memory(mails) => {
                let mut mails = mails.lock().unwrap_or_else(PoisonError::into_inner);
                if mails.len() >= MAX_KEPT {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                mails.push(mail);
                Ok(())
            }
            Place::Nowhere(count) => {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Place::Directory { path, next } => {
                let path = path.clone();
                let number = next.fetch_add(1, Ordering::Relaxed);
                let written = tokio::task::spawn_blocking(move || write(&path, number, &mail));
                written.await.map_err(io::Error::other)?
            }
        }
    }
}

fn write(inbox: &std::path::Path, number: u64, mail: &Mail) -> io::Result<()> {
    let mut domains: Vec<&str> = mail
        .recipients
        .iter()
        .map(|r| r.domain().as_str())
        .collect();
    domains.sort_unstable();
    domains.dedup();
    for domain in domains {
        let directory = inbox.join(domain); // a valid domain has no slash and is never `..`
        std::fs::create_dir_all(&directory)?;
        let unfinished = directory.join(format!(".{number}.tmp"));
        std::fs::File::create(&unfinished)?.write_all(&mail.content)?;
        std::fs::rename(unfinished, directory.join(format!("{number}.eml")))?;
    }
    Ok(())
}
