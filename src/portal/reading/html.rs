//! The HTML of a message, fit for a frame that runs nothing and loads nothing.
//!
//! Two fences stand behind this one: the frame is sandboxed, and its policy allows images of the
//! portal and nothing else. Never: anything remote; anything that is not on the list of
//! [`super::clean`]; more than bounded octets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::budget::affordable;
use super::clean::{Tally, scrub};
use super::text::Text;

/// Most octets of HTML that come out.
const MAX_CLEAN_OCTETS: usize = 8 * 1024 * 1024;

/// A piece of a body.
pub(super) enum Piece {
    /// Plain text that stands between HTML.
    Plain(Text),
    /// HTML as it came.
    Html(Text),
}

/// Clean HTML.
#[derive(Clone, PartialEq, Eq)]
pub struct CleanHtml {
    body: String,
    blocked: usize,
    cut: bool,
}

impl fmt::Debug for CleanHtml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanHtml")
            .field("octets", &self.body.len())
            .field("blocked", &self.blocked)
            .field("cut", &self.cut)
            .finish()
    }
}

impl CleanHtml {
    /// What goes into a `body`.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Images elsewhere that are not shown.
    pub fn blocked(&self) -> usize {
        self.blocked
    }

    /// There is more than is shown.
    pub fn cut(&self) -> bool {
        self.cut
    }

    /// A whole page for the frame: `stylesheet` is a path on the portal, `title` names the page.
    pub fn document(&self, language: &str, title: &str, stylesheet: &str) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"referrer\" content=\"no-referrer\"><title>{}</title>\
             <link rel=\"stylesheet\" href=\"{}\"></head><body><div dir=\"auto\">{}</div></body></html>\n",
            escape(language),
            escape(title),
            escape(stylesheet),
            self.body
        )
    }
}

/// Cleans the pieces of a body. `images` are paths by Content-ID.
pub(super) fn clean(pieces: &[Piece], images: HashMap<String, String>) -> CleanHtml {
    let images = Arc::new(images);
    let tally = Arc::new(Tally::default());
    let mut made = CleanHtml {
        body: String::new(),
        blocked: 0,
        cut: false,
    };
    for piece in pieces {
        let (html, cut) = match piece {
            Piece::Plain(text) => (plain(&text.text), text.cut),
            Piece::Html(text) => {
                let kept = affordable(&text.text);
                let cut = text.cut || kept.len() < text.text.len();
                (scrub(kept, &images, &tally), cut)
            }
        };
        made.cut |= cut;
        if made.body.len() + html.len() > MAX_CLEAN_OCTETS {
            made.cut = true;
            break;
        }
        made.body.push_str(&html);
    }
    made.blocked = tally.remote.load(Ordering::Relaxed);
    made
}

/// Plain text as HTML.
fn plain(text: &str) -> String {
    format!("<div>{}</div>", escape(text).replace('\n', "<br>"))
}

/// Text for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
