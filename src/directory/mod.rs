//! Who is known here: submission accounts, what they may send as, and the check of passwords; and
//! how others are asked for certificates and their revocation.

pub mod authenticator;
pub mod certificates;
pub mod lookup;
pub mod revocation;
pub mod users;

pub use authenticator::{Authenticator, AuthenticatorError, Checked, NotChecked};
pub use users::{User, Users, UsersError};
