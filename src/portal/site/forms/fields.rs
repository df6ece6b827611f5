//! The fields that forms have.

use crate::portal::site::pages::Field;
use crate::portal::site::say::Say;

/// Most characters of an address.
pub const ADDRESS_MAX: u32 = 254;
/// Most characters of a code, blanks included.
pub const CODE_MAX: u32 = 16;
/// Most characters of a password.
pub const PASSWORD_MAX: u32 = 256;
/// Most characters of a secret, and of a recovery code.
pub const SECRET_MAX: u32 = 200;

pub(super) fn address(say: &Say, value: String) -> Field {
    Field {
        name: "address",
        label: say.t("start.address"),
        kind: "email",
        autocomplete: "email",
        inputmode: "email",
        plain: true,
        required: true,
        max: ADDRESS_MAX,
        value,
        ..Field::default()
    }
}

/// Digits that were sent to somebody, or that an app shows.
pub(super) fn code(label: String, hint: String) -> Field {
    Field {
        name: "code",
        label,
        hint: Some(hint),
        kind: "text",
        class: "code",
        autocomplete: "one-time-code",
        inputmode: "numeric",
        plain: true,
        required: true,
        first: true,
        max: CODE_MAX,
        ..Field::default()
    }
}

pub(super) fn password(
    name: &'static str,
    label: String,
    hint: Option<String>,
    autocomplete: &'static str,
) -> Field {
    Field {
        name,
        label,
        hint,
        kind: "password",
        autocomplete,
        plain: true,
        required: true,
        max: PASSWORD_MAX,
        ..Field::default()
    }
}

/// Something that is typed as it was told. It is shown, so that it can be checked: it is good for
/// one message, or once.
pub(super) fn told(name: &'static str, label: String) -> Field {
    Field {
        name,
        label,
        kind: "text",
        autocomplete: "off",
        plain: true,
        required: true,
        first: true,
        max: SECRET_MAX,
        ..Field::default()
    }
}
