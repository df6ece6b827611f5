//! Tables in a folder of their own, to be opened again; a hook for text messages that fails.

use std::sync::Arc;

use crate::journal::{Journal, MasterKey, Options, OsDisk};
use crate::mail::Timestamp;
use crate::portal::proof::phone::Phones;
use crate::tables::Tables;
use crate::world::clock::Clock;
use crate::world::dial::Dialer;
use crate::world::dns_hickory::HickoryDns;
use crate::world::fetch::Fetcher;
use crate::world::net::TcpNetwork;
use crate::world::url::Url;

/// When the tests begin.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Tables.
pub struct Home {
    pub tables: Tables,
    journal: Option<Journal>,
    folder: tempfile::TempDir,
}

fn open(folder: &tempfile::TempDir) -> (Journal, Tables) {
    let options = Options {
        directory: folder.path().join("journal"),
        master_key: MasterKey::from_base64("AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg=").unwrap(),
        segment_octets: 1 << 20,
        disk: Arc::new(OsDisk),
        clock: Clock::starting_at(NOW),
        on_failure: Arc::new(|error| panic!("{error}")),
    };
    let opened = Journal::open(options, &mut |_, _| {}).unwrap();
    let tables = Tables::open(&opened.journal).unwrap();
    opened.journal.all_pinned();
    (opened.journal, tables)
}

/// New ones.
pub fn home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let (journal, tables) = open(&folder);
    Home {
        tables,
        journal: Some(journal),
        folder,
    }
}

impl Home {
    /// Opens them again, with what is durable.
    pub fn restart(&mut self) {
        drop(self.journal.take());
        let (journal, tables) = open(&self.folder);
        self.journal = Some(journal);
        self.tables = tables;
    }
}

/// A hook that is configured in clear, so that it is never called: every text fails.
pub fn failing_hook() -> Phones {
    let dns = HickoryDns::new(&["127.0.0.1:53".parse().unwrap()]).unwrap();
    let clock = Clock::starting_at(NOW);
    let dialer = Dialer::new(Arc::new(dns), Arc::new(TcpNetwork), clock, true);
    let fetcher = Fetcher::new(dialer, Arc::new(rustls::RootCertStore::empty()));
    Phones::new(fetcher, Url::parse("http://sms.example/").unwrap(), None)
}
