//! What never changes while we run: style, script, pictures of ours. At an address made of the
//! content, so that browsers may keep it for good.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;

use super::answer::Answer;

/// First segment of their addresses.
pub(super) const FOLDER: &str = "static";
/// Octets of the hash in an address, before they are written in hexadecimal.
const HASH_OCTETS: usize = 10;

/// Where an asset is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    ForGood,
    ForADay,
}

/// The assets of a site.
#[derive(Debug, Default)]
pub struct Assets {
    by_path: BTreeMap<String, (&'static str, Bytes, Kept)>,
    by_name: BTreeMap<String, String>,
}

impl Assets {
    /// Adds `name` (`style.css`), to be reached at `/static/<hash>-style.css`, which is returned.
    pub fn add(&mut self, name: &str, kind: AssetKind, octets: impl Into<Bytes>) -> String {
        let octets = octets.into();
        let hash = ring::digest::digest(&ring::digest::SHA256, &octets);
        let mut written = String::new();
        for octet in hash.as_ref().iter().take(HASH_OCTETS) {
            // Writing to a String cannot fail.
            write!(written, "{octet:02x}").ok();
        }
        let path = format!("/{FOLDER}/{written}-{name}");
        let asset = (kind.media_type(), octets, Kept::ForGood);
        self.by_path.insert(path.clone(), asset);
        self.by_name.insert(name.to_owned(), path.clone());
        path
    }

    /// Adds something that is asked for at a fixed path: `/favicon.ico`, `/robots.txt`.
    pub fn add_at(&mut self, path: &str, kind: AssetKind, octets: impl Into<Bytes>) {
        let asset = (kind.media_type(), octets.into(), Kept::ForADay);
        self.by_path.insert(path.to_owned(), asset);
    }

    /// Where an asset is reached.
    pub fn path(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    /// The asset at a path.
    pub(super) fn at(&self, segments: &[String]) -> Option<Answer> {
        let path = format!("/{}", segments.join("/"));
        let (media_type, octets, kept) = self.by_path.get(&path)?;
        let for_good = *kept == Kept::ForGood;
        Some(Answer::asset(media_type, octets.clone(), for_good))
    }
}

/// What an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetKind {
    /// CSS.
    Css,
    /// JavaScript.
    Script,
    /// SVG: ours, or the operator's.
    Svg,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// Plain text.
    Text,
}

impl AssetKind {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Css => "text/css; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}
