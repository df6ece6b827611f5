//! Who is known here: submission accounts, what they may send as, and the check of passwords.

pub mod authenticator;
pub mod users;

pub use authenticator::{Authenticator, AuthenticatorError, Checked, NotChecked};
pub use users::{User, Users, UsersError};
