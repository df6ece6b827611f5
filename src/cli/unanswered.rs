//! What a command says when whom it asks over a socket gives no answer, and what it ends with.

use std::error::Error;

use super::{Exit, Failure};
use crate::proto::link::Code;

/// Whom a command asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Is it there?
    there: &'static str,
    /// It is of another version.
    upgraded: &'static str,
    /// It cannot now.
    later: &'static str,
}

/// The daemon, behind the administrative socket.
pub(super) const DAEMON: Asked = Asked {
    there: "is `sealpost serve` running, and does --config name its configuration?",
    upgraded: "restart the daemon after an upgrade",
    later: "try again, or see the daemon's log",
};

/// The portal, behind its own.
pub(super) const PORTAL: Asked = Asked {
    there: "is the portal running, and does --config name its configuration?",
    upgraded: "restart the portal after an upgrade",
    later: "try again, or see the portal's log",
};

/// Why there is no answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// Nobody listens.
    Nobody,
    /// We may not open the socket.
    Forbidden,
    /// It takes longer than we wait.
    Late,
    /// The conversation broke.
    Broken,
    /// The question is too long to be asked.
    Unsaid,
    /// The words are another version's.
    Unknown,
    /// They said no.
    Refused(Code),
}

impl Asked {
    /// The error, and what to do about it.
    pub(super) fn explain(self, error: &dyn Error, why: Why) -> Failure {
        let (exit, mend) = match why {
            Why::Nobody => (Exit::Failed, self.there),
            Why::Forbidden => (
                Exit::Failed,
                "run this as root or as the account of the daemon",
            ),
            Why::Late => (
                Exit::Temporary,
                "what was asked for may still be carried out: look before you ask again",
            ),
            Why::Broken => (Exit::Temporary, "try again"),
            Why::Unsaid => (Exit::Usage, "shorten it"),
            Why::Unknown => (Exit::Failed, self.upgraded),
            Why::Refused(Code::BadRequest) => (Exit::Usage, ""),
            Why::Refused(Code::NotFound | Code::Refused | Code::Retracted) => (Exit::Failed, ""),
            Why::Refused(Code::Temporary) => (Exit::Temporary, self.later),
            Why::Refused(Code::Stopping) => (Exit::Temporary, "ask again when it is up"),
        };
        Failure::from_error(exit, error, mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::link::Refusal;

    #[test]
    fn each_is_named_by_its_own_name() {
        let refusal = Refusal::new(Code::Temporary, "not now");
        for (asked, name) in [(DAEMON, "daemon"), (PORTAL, "portal")] {
            let failure = asked.explain(&refusal, Why::Refused(refusal.code));
            assert_eq!(failure.exit(), Exit::Temporary);
            assert_eq!(
                failure.text(),
                format!("not now; try again, or see the {name}'s log")
            );
        }
    }
}
