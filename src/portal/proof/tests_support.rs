//! Tables in a folder of their own, to be opened again.

use std::sync::Arc;

use crate::journal::{Journal, MasterKey, Options, OsDisk};
use crate::mail::Timestamp;
use crate::tables::Tables;
use crate::world::clock::Clock;

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
