//! The administrative socket: what `sealpost queue` and other tools of this host ask the daemon.
//!
//! One request a line, one answer a line, JSON, over a Unix stream socket; any number of requests
//! on a connection. The socket has mode 0600: whoever may open it (the daemon's own account, and
//! root) may ask and order everything. What is ordered carries a reason, and the name of the account
//! at the other end goes on record with it. Nothing here carries content, subjects or secrets. One
//! file per resource.
//!
//! `{"request":"queue_show","queue_id":"06BMXKJ4N3Q2S"}` is answered with
//! `{"ok":{…}}` or `{"error":{"code":"not_found","text":"…"}}`.

mod actor;
pub mod cert;
pub mod client;
mod queue;
mod server;

use serde::{Deserialize, Serialize};

pub use crate::proto::link::{Answer, Code, Refusal};
pub use server::{AdminError, AdminServer, AdminSocket};

use crate::queue::{Operation, QueueFilter};
use cert::{CertFilter, CertImport, CertLookup, CertOrder};

/// Longest request line.
pub const MAX_REQUEST_OCTETS: usize = 64 * 1024;
/// Longest reason for an order.
pub const MAX_REASON_OCTETS: usize = 1000;
/// Longest answer line: a full page of long recipient lists stays far below.
pub const MAX_ANSWER_OCTETS: u64 = 256 * 1024 * 1024;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Messages that wait; answered with a [`crate::queue::QueuePage`].
    QueueList(QueueFilter),
    /// One message; answered with a [`crate::queue::QueueDetail`].
    QueueShow {
        /// Its queue id.
        queue_id: String,
    },
    /// Why each recipient of a message goes the way it goes; answered with a
    /// [`crate::queue::QueueExplanation`].
    QueueExplain {
        /// Its queue id.
        queue_id: String,
    },
    /// Changes recipients; answered with a [`crate::queue::Tally`] once that is durable. A large
    /// selection is done in slices: as long as the answer has a `next`, ask again with that as
    /// `after`.
    QueueOrder(OrderRequest),
    /// A part of a file with certificates; answered with a [`cert::Uploaded`].
    CertUpload {
        /// At most [`cert::PART_OCTETS`] octets, in base64.
        part: String,
    },
    /// Imports the file that was uploaded on this connection; answered with an
    /// [`crate::directory::certificates::ImportedItem`] for each of its certificates, once they
    /// are durable.
    CertImport(CertImport),
    /// Certificates that are known here; answered with a list of
    /// [`crate::directory::certificates::CertificateView`]. As long as it has
    /// [`crate::directory::certificates::MAX_PAGE`] of them there may be more: ask again from
    /// behind them.
    CertList(CertFilter),
    /// Certificates that were removed, the newest first; answered with a list of
    /// [`crate::directory::certificates::RemovedCertificate`].
    CertRemoved(CertFilter),
    /// All that is known of one certificate, or of those of an address; answered like
    /// [`Request::CertList`].
    CertShow {
        /// A fingerprint, the first eight digits or more of one, or an address.
        name: String,
    },
    /// Pins a certificate of the directory; answered with a [`cert::CertChanged`].
    CertApprove(CertOrder),
    /// Removes a certificate of the directory; answered with a [`cert::CertChanged`].
    CertRemove(CertOrder),
    /// What a message to an address would be sealed to now; answered with a
    /// [`cert::CertLookedUp`].
    CertLookup(CertLookup),
}

/// An order: what, for whom, why. Every part of the selection that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// What.
    pub operation: Operation,
    /// Recipients of this message.
    #[serde(default)]
    pub queue_id: Option<String>,
    /// Recipients that match this.
    #[serde(default)]
    pub filter: QueueFilter,
    /// Everyone is meant: needed where nothing else narrows it down.
    #[serde(default)]
    pub all: bool,
    /// Why, for the log.
    #[serde(default)]
    pub reason: String,
}
