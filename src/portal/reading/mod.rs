//! Reading a message that was left in the portal: what of it is shown, and how.
//!
//! Owns: the people, date and subject of a message as they may be shown; its text; its HTML,
//! cleaned; its attachments with names and kinds that we decide; the conversation it belongs to.
//! Pure: octets in, values out. Every octet is hostile: nothing panics, everything is bounded, and
//! nothing remote is ever loaded. Never: changes the message; runs or opens what is in it; looks
//! into messages, TNEF, S/MIME or PGP parts, which stay attachments.
//! RFC 5322, RFC 2045–2047, RFC 2183, RFC 2387, RFC 2392, RFC 3676.

mod arrange;
mod budget;
mod clean;
mod conversation;
mod entity;
mod from_html;
mod html;
pub(in crate::portal) mod kind;
mod letter;
mod name;
mod pack;
mod people;
mod text;
mod transfer;

pub use conversation::{Identifiers, conversations, id as message_id};
pub use html::CleanHtml;
pub use kind::{Danger, Look, Raster, Sort, look};
pub use letter::{Attachment, Letter, Note, ReadError};
pub(in crate::portal) use name::extension;
pub use name::{MAX_NAME_CHARS, file_name, line};
pub use pack::PackError;
pub use people::Person;
pub use text::Text;

/// Most octets of a message that is read; a longer one can only be downloaded.
pub const MAX_LETTER_OCTETS: usize = 256 * 1024 * 1024;
/// Most octets of the text that is shown.
pub const MAX_TEXT_OCTETS: usize = 512 * 1024;
/// Most octets of HTML that are read.
pub const MAX_HTML_OCTETS: usize = 2 * 1024 * 1024;
/// Most people of one field that are shown.
pub const MAX_PEOPLE: usize = 200;
/// Most characters of a subject that are shown.
pub const MAX_SUBJECT_CHARS: usize = 300;
