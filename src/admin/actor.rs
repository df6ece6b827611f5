//! Who orders something, and why: the account at the other end of the socket, and its reason.

use super::{Code, MAX_REASON_OCTETS, Refusal};
use crate::world::account;

/// The account's name; `unknown` where the system did not say who it is.
pub(super) async fn of(uid: Option<u32>) -> String {
    let name = tokio::task::spawn_blocking(move || uid.map(account::name));
    let name = name.await.ok().flatten();
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// A reason is a line of text, and not a long one.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    let bad = |text: &str| Err(Refusal::new(Code::BadRequest, text));
    if reason.len() > MAX_REASON_OCTETS {
        return bad("the reason is too long");
    }
    if reason.chars().any(char::is_control) {
        return bad("the reason is more than one line");
    }
    Ok(())
}
