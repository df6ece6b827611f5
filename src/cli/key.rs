//! `sealpost key`: the master key.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use zeroize::Zeroizing;

use super::{Exit, Failure, output};
use crate::journal::MasterKey;

/// The master key.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a master key: 32 random octets as base64, mode 0600
    Generate {
        /// The file to make; it must not exist
        file: PathBuf,
    },
}

impl Key {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate { file } => {
                write_secret(&file, generate()?.as_bytes())?;
                output::say(&format!(
                    "{}: made. Keep a copy apart from the data: without it nothing in the spool can be read.",
                    file.display()
                ))
            }
        }
    }
}

/// 32 random octets as one line of base64.
fn generate() -> Result<Zeroizing<String>, Failure> {
    let text = MasterKey::generate()
        .map_err(|error| Failure::from_error(Exit::Temporary, &error, "try again"))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(format!("{}\n", &*text)))
}

/// Makes a file that only we can read. Never overwrites: a lost key is lost mail.
pub fn write_secret(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} exists and is not overwritten; move it away, or choose another name",
                    path.display()
                ),
            ));
        }
        Err(error) => return Err(cannot_write(path, &error)),
    };
    let written = file.write_all(octets).and_then(|()| file.sync_all());
    written.map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!(
            "{} cannot be written: {error}; check the directory and its permissions",
            path.display()
        ),
    )
}
