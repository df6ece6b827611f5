//! What the operator's folder says by itself: for commands that run without the daemon, which
//! alone has the table.

use super::Settings;
use super::choice::{Candidate, more_telling, order};
use super::judge::{chosen, judge};
use super::pins::Pins;
use crate::mail::{Address, FoundCertificate, Timestamp};

/// The certificate of the folder that would be used for an address, if nothing were imported and
/// nobody asked.
pub fn known_in_folder(settings: &Settings, address: &Address, now: Timestamp) -> FoundCertificate {
    let filed = settings.folder.of(&address.mailbox_key());
    let mut candidates: Vec<Candidate> = filed.iter().map(|it| Candidate::of_filed(it)).collect();
    order(&mut candidates);
    let mut problem = None;
    for candidate in &candidates {
        match judge(settings, candidate, address, now, &Pins::default()) {
            Ok(_) => return chosen(settings, candidate, address),
            Err(broken) => problem = more_telling(problem, Some(broken)),
        }
    }
    FoundCertificate {
        certificate: None,
        problem,
    }
}
