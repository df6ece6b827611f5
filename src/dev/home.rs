//! A directory with everything that a daemon needs to live in the small world: configuration,
//! certificates, keys, one account.
//!
//! The master key lies beside the data that it seals: right for a toy, wrong for anything else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::ca::CaError;
use super::mx::{Inbox, Transcript};
use super::smime;
use super::world::{SENDER_DOMAIN, World, WorldError};
use crate::directory::Users;
use crate::directory::users::edit::{self, EditError};
use crate::journal::MasterKey;
use crate::mail::{AddressPattern, SecretBytes, Timestamp};
use crate::sign::{self, Algorithm};

/// The account.
pub const USER: &str = "dev";
/// The selector of the signing key.
pub const SELECTOR: &str = "sealpost";
/// Characters of the account's password: 100 bits.
const PASSWORD_CHARS: usize = 20;

/// Where the daemon listens.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Implicit TLS; 0 lets the system choose.
    pub implicit: u16,
    /// STARTTLS; 0 lets the system choose.
    pub starttls: u16,
    /// The portal; 0 for one that is free now, since its address stands in mails.
    pub portal: u16,
}

impl Ports {
    /// What `serve --dev` uses.
    pub const FIXED: Self = Self {
        implicit: 4650,
        starttls: 5870,
        portal: 8443,
    };
    /// Whatever is free.
    pub const FREE: Self = Self {
        implicit: 0,
        starttls: 0,
        portal: 0,
    };
}

/// The directory could not be furnished.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another daemon lives there.
    #[error("another sealpost runs in {}", .0.display())]
    InUse(PathBuf),
    /// Somebody else's directory.
    #[error("{} is not empty, and not of an earlier run", .0.display())]
    NotOurs(PathBuf),
    /// A file of an earlier run.
    #[error("{} is there but cannot be used; remove the directory to begin anew", .0.display())]
    Stale(PathBuf),
    /// The world around it.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The account.
    #[error(transparent)]
    User(#[from] EditError),
    /// The signing key.
    #[error("the signing key could not be made")]
    Dkim(#[source] sign::KeyError),
    /// The key of a mail certificate.
    #[error("the key of a mail certificate could not be made")]
    Key(#[source] sign::KeyError),
    /// No random octets.
    #[error("the system gave no random octets")]
    Random,
}

/// The first line of the configuration: the mark of a directory that is ours.
const FIRST_LINE: &str =
    "# Written anew at every start of `sealpost serve --dev` or `sealpost demo`.";

/// The furnished directory and the running world around it.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    world: World,
    password: Zeroizing<String>,
    /// Locked for as long as we live here.
    _lock: File,
}

impl Home {
    /// Furnishes `directory` and starts the world. Keys, the account and the spool of an earlier
    /// run are kept; certificates are new each time.
    pub async fn furnish(
        directory: &Path,
        ports: Ports,
        now: Timestamp,
    ) -> Result<Self, HomeError> {
        if !is_ours(directory) {
            return Err(HomeError::NotOurs(directory.to_owned()));
        }
        for name in [
            "",
            "tls",
            "dkim",
            "smime",
            smime::FOLDER,
            "inbox",
            "transcripts",
        ] {
            make_directory(&directory.join(name))?;
        }
        let lock = lock(directory)?;
        let inbox = Inbox::directory(directory.join("inbox"), now);
        let transcript = Transcript::kept_in(directory.join("transcripts"));
        let world = World::start(now, inbox, transcript).await?;
        let home = Self {
            password: password(directory)?,
            directory: directory.to_owned(),
            world,
            _lock: lock,
        };
        home.certificates()?;
        smime::furnish(&home.directory, home.world.ca())?;
        home.master_key("master.key")?;
        home.master_key("portal.key")?;
        home.account()?;
        home.signing_key()?;
        home.configuration(ports)?;
        Ok(home)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.path("sealpost.toml")
    }

    /// The password of [`USER`].
    pub fn password(&self) -> &Zeroizing<String> {
        &self.password
    }

    fn certificates(&self) -> Result<(), HomeError> {
        let ca = self.world.ca();
        let names = ["mail.dev.test", "localhost", "127.0.0.1", "::1"];
        let server = ca.server(&names)?;
        write(&self.path("ca.pem"), ca.pem().as_bytes())?;
        let chain = server.certificate_pem().as_bytes();
        write(&self.path("tls/fullchain.pem"), chain)?;
        let key = Zeroizing::new(server.key_pem());
        write(&self.path("tls/privkey.pem"), key.as_bytes())
    }

    fn master_key(&self, name: &str) -> Result<(), HomeError> {
        let path = self.path(name);
        if path.exists() {
            return Ok(());
        }
        let key = Zeroizing::new(MasterKey::generate().map_err(|_| HomeError::Random)?);
        write(&path, key.as_bytes())
    }

    fn account(&self) -> Result<(), HomeError> {
        let path = self.path("users.toml");
        let known = path.exists()
            && Users::load(&path)
                .map_err(EditError::from)?
                .get(USER)
                .is_some();
        let password = SecretBytes::new(self.password.as_bytes().to_vec());
        if known {
            edit::passwd(&path, USER, &password)?;
            return Ok(());
        }
        let everyone = format!("*@{SENDER_DOMAIN}");
        let sender: AddressPattern = everyone
            .parse()
            .map_err(|_| HomeError::Stale(path.clone()))?;
        edit::add(&path, USER, &[sender], &password)?;
        Ok(())
    }

    fn signing_key(&self) -> Result<(), HomeError> {
        let path = self.path(&format!("dkim/{SENDER_DOMAIN}.pem"));
        let pem = if path.exists() {
            let pem = fs::read_to_string(&path).map_err(|_| HomeError::Stale(path.clone()))?;
            Zeroizing::new(pem)
        } else {
            let pem = sign::keygen(Algorithm::Rsa).map_err(HomeError::Dkim)?;
            write(&path, pem.as_bytes())?;
            pem
        };
        let record = sign::dns_record(&pem).map_err(HomeError::Dkim)?;
        let name = format!("{SELECTOR}._domainkey.{SENDER_DOMAIN}");
        self.world.dns().change(|zones| {
            zones.txt(&name, record.text());
        });
        Ok(())
    }

    fn configuration(&self, ports: Ports) -> Result<(), HomeError> {
        let Ports {
            implicit,
            starttls,
            portal,
        } = ports;
        let portal = free(portal)?;
        let dns = self.world.dns().address();
        let mx_port = self.world.mx_port();
        let smime = smime::section();
        let text = format!(
            r#"{FIRST_LINE}
hostname = "mail.{SENDER_DOMAIN}"
data_directory = "data"
master_key = "master.key"
postmaster = "postmaster@{SENDER_DOMAIN}"

[[listener]]
address = "127.0.0.1:{implicit}"
tls = "implicit"

[[listener]]
address = "127.0.0.1:{starttls}"
tls = "starttls"

[tls]
certificate = "tls/fullchain.pem"
private_key = "tls/privkey.pem"

[auth]
users = "users.toml"

[[dkim]]
domain = "{SENDER_DOMAIN}"
selector = "{SELECTOR}"
private_key = "dkim/{SENDER_DOMAIN}.pem"

[dns]
servers = ["{dns}"]

[relay]
port = {mx_port}
ca_file = "ca.pem"
allow_private_addresses = true

{smime}
[portal]
master_key = "portal.key"
address = "127.0.0.1:{portal}"
url = "https://127.0.0.1:{portal}"
name = "sealpost dev"
write_to = ["office@{SENDER_DOMAIN}"]

[log]
delivery = "delivery.jsonl"
level = "warn"

[admin]
socket = "admin.sock"
"#
        );
        write(&self.config_file(), text.as_bytes())
    }
}

/// The port, or one that nobody uses just now.
fn free(port: u16) -> Result<u16, HomeError> {
    if port != 0 {
        return Ok(port);
    }
    let found = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr());
    let found = found.map_err(WorldError::Socket)?;
    Ok(found.port())
}

/// Before anything is changed: the files belong to whoever runs on them.
fn lock(directory: &Path) -> Result<File, HomeError> {
    let path = directory.join("lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = opened.map_err(|source| HomeError::File {
        path: path.clone(),
        source,
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(HomeError::InUse(directory.to_owned())),
        Err(error) => Err(HomeError::File {
            path,
            source: error.into(),
        }),
    }
}

/// Whether the directory is new, empty, or of an earlier run: what is in it may be written anew.
fn is_ours(directory: &Path) -> bool {
    let empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    empty
        || fs::read_to_string(directory.join("sealpost.toml"))
            .is_ok_and(|text| text.starts_with(FIRST_LINE))
}

fn make_directory(path: &Path) -> Result<(), HomeError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(|source| HomeError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only we can read.
pub(super) fn write(path: &Path, octets: &[u8]) -> Result<(), HomeError> {
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    opened
        .and_then(|mut file| file.write_all(octets))
        .map_err(|source| HomeError::File {
            path: path.to_owned(),
            source,
        })
}

/// The password of an earlier run, or a new one.
fn password(directory: &Path) -> Result<Zeroizing<String>, HomeError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let path = directory.join("password");
    if let Ok(text) = fs::read_to_string(&path) {
        let text = Zeroizing::new(text);
        return Ok(Zeroizing::new(text.trim_end().to_owned()));
    }
    let mut octets = Zeroizing::new([0u8; PASSWORD_CHARS]);
    SystemRandom::new()
        .fill(&mut *octets)
        .map_err(|_| HomeError::Random)?;
    let characters = octets.iter().map(|octet| {
        let index = usize::from(octet % 32);
        char::from(ALPHABET[index])
    });
    let password: Zeroizing<String> = Zeroizing::new(characters.collect());
    write(&path, password.as_bytes())?;
    Ok(password)
}
