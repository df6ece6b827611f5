//! A message's HTML in a frame of its own, with the images that stand in it.
//!
//! Invariant: room is claimed for what is made before it is made, since a small message can become
//! a large frame.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::sending::Claim;
use crate::journal::crypt::random;
use crate::portal::reading::{CleanHtml, Letter};

/// Octets of images that stand in the HTML. They are put into it, because the frame, which has an
/// origin of its own, shows no cookie with what it loads.
pub const MAX_INLINE_OCTETS: u64 = 8 * 1024 * 1024;
/// Octets of images in one frame, as they are written there.
pub const MAX_FRAME_OCTETS: usize = 16 * 1024 * 1024;
/// Octets of an image as it is written there, beside its own: `data:image/webp;base64,`.
const AROUND_IMAGE: u64 = 32;

/// What came of it.
pub(super) enum Framed {
    /// The document.
    Made(Bytes),
    /// The message has no HTML.
    NoHtml,
    /// There is no room for it now.
    NoRoom,
}

/// The document for the frame. Can take a while.
pub(super) fn document(letter: &Letter, style: &str, mut claim: Claim) -> Framed {
    let Some(marked) = Marked::of(letter) else {
        return Framed::NoHtml;
    };
    let shown = shown(letter);
    // While it is made it is there twice, and each image once beside.
    let pages = 2 * marked.clean.body().len() as u64;
    let images = shown.iter().map(|(_, octets)| octets);
    let images: u64 = images.map(|octets| written(*octets)).sum();
    if !claim.grow(pages + images) {
        return Framed::NoRoom;
    }
    let images = shown.iter().filter_map(|(index, _)| {
        let (kind, octets) = letter.inline_image(*index)?;
        let data = format!("data:{kind};base64,{}", STANDARD.encode(&octets));
        Some((*index, data))
    });
    let images: HashMap<usize, String> = images.collect();
    let document = marked.clean.document("und", letter.subject(), style);
    let pieces = with_images(&document, &marked.mark, &images);
    let beside: usize = images.values().map(String::len).sum();
    let made: usize = pieces.iter().map(|piece| piece.len()).sum();
    if !claim.grow((2 * document.len() + beside + made) as u64) {
        return Framed::NoRoom;
    }
    match claim.hold(Bytes::from(pieces.concat())) {
        Some(octets) => Framed::Made(octets),
        None => Framed::NoRoom,
    }
}

/// The images that are put in: their numbers and octets.
fn shown(letter: &Letter) -> Vec<(usize, u64)> {
    let mut room = MAX_INLINE_OCTETS;
    let mut shown = Vec::new();
    for file in letter.attachments() {
        if file.inline.is_some() && file.octets <= room {
            room -= file.octets;
            shown.push((file.index, file.octets));
        }
    }
    shown
}

/// Octets of an image as it is written.
const fn written(octets: u64) -> u64 {
    octets.div_ceil(3) * 4 + AROUND_IMAGE
}

/// Cleaned HTML with marks in the places of its images, so that an image that is named a thousand
/// times is not there a thousand times.
struct Marked {
    clean: CleanHtml,
    /// What stands there before an image's number: another one each time, which nobody who writes
    /// a message can know.
    mark: String,
}

impl Marked {
    fn of(letter: &Letter) -> Option<Self> {
        let mut drawn = [0; 16];
        random(&mut drawn).ok()?;
        let mark = format!("/inline-image-{:032x}/", u128::from_le_bytes(drawn));
        let clean = letter.html(&|index| format!("{mark}{index}"))?;
        Some(Self { clean, mark })
    }
}

/// The pieces of a document with the images in it, as long as there is room; without an address
/// otherwise.
fn with_images<'a>(
    document: &'a str,
    mark: &str,
    images: &'a HashMap<usize, String>,
) -> Vec<&'a str> {
    let mut pieces = document.split(mark);
    let mut out = vec![pieces.next().unwrap_or_default()];
    let mut room = MAX_FRAME_OCTETS;
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        let image = number
            .parse()
            .ok()
            .and_then(|number: usize| images.get(&number));
        if let Some(image) = image.filter(|image| image.len() <= room) {
            room -= image.len();
            out.push(image);
        }
        out.push(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::portal::site::sending::{SHARE_OCTETS, Sending};

    #[test]
    fn images_are_put_in_once_there_is_room() {
        let message = "Content-Type: text/html\r\n\r\n<p>/inline-image/1</p><img src=\"cid:x\">";
        let letter = Letter::read(&Bytes::from(message)).unwrap();
        let mark = Marked::of(&letter).unwrap().mark;
        let images = HashMap::from([(1, "data:one".to_owned()), (12, "x".repeat(9 << 20))]);
        let document = format!("<img src=\"{mark}1\"><img src=\"{mark}7\"> /inline-image/1");
        assert_eq!(
            with_images(&document, &mark, &images).concat(),
            "<img src=\"data:one\"><img src=\"\"> /inline-image/1"
        );
        let many = format!("<img src=\"{mark}12\">").repeat(1000);
        let octets: usize = with_images(&many, &mark, &images)
            .iter()
            .map(|it| it.len())
            .sum();
        assert!(octets <= MAX_FRAME_OCTETS + many.len());
        // The sender cannot know it.
        assert_ne!(Marked::of(&letter).unwrap().mark, mark);
    }

    /// A picture of 30 KB that is shown five hundred times.
    fn swelling() -> Letter {
        let picture = [b"\x89PNG\r\n\x1a\n".to_vec(), vec![7; 30_000]].concat();
        let message = format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=r\r\n\r\n\
             --r\r\nContent-Type: text/html\r\n\r\n{}\r\n\
             --r\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\
             Content-ID: <p@x>\r\n\r\n{}\r\n--r--\r\n",
            "<img src=\"cid:p@x\">".repeat(500),
            STANDARD.encode(picture)
        );
        Letter::read(&Bytes::from(message)).unwrap()
    }

    #[test]
    fn room_is_claimed_for_what_a_small_message_becomes() {
        let letter = swelling();
        let sending = Sending::new();
        let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let rest = sending.reserve(client, SHARE_OCTETS - (8 << 20)).unwrap();
        let made = document(&letter, "/s.css", sending.claim(client));
        assert!(matches!(made, Framed::NoRoom));
        drop(rest);
        let made = document(&letter, "/s.css", sending.claim(client));
        let Framed::Made(made) = made else {
            panic!("not made");
        };
        assert!(made.len() > 15 << 20, "{}", made.len());
        assert!(sending.reserve(client, SHARE_OCTETS).is_none());
        drop(made);
        assert!(sending.reserve(client, SHARE_OCTETS).is_some());
    }
}
