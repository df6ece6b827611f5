//! The pages that are a form with a few fields, or only say something, put together from texts.

mod fields;
mod says;
mod steps;
mod writing;

pub use fields::{ADDRESS_MAX, CODE_MAX, PASSWORD_MAX, SECRET_MAX};
pub use says::{
    Ended, cannot, confirm, deleted, ended, error, expired, help, imprint, locked, replied,
    retracted, signed_out, stronger, unreadable, when,
};
pub use steps::{
    anew, code, delete, new_password, passkey, passkey_add, password, password_field, phone_code,
    phone_send, recovery, secret, sign_in, start, totp, totp_field, waits,
};
pub use writing::{SUBJECT_MAX, TEXT_MAX, Writing, reply, write, write_first};
