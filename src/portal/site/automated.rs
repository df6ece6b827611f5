//! Whether a request looks like a program's doing: link scanners, prefetch, previews.
//!
//! No defence rests on this: whoever has no factor opens nothing. It keeps the log honest, and
//! keeps what a browser fetches ahead of its owner's wish from counting as an opening.

use crate::portal::http::Head;

/// Words in `User-Agent` by which programs name themselves.
const NAMES: [&str; 22] = [
    "bot",
    "crawl",
    "spider",
    "scan",
    "preview",
    "curl/",
    "wget",
    "python",
    "java/",
    "go-http",
    "libwww",
    "okhttp",
    "axios",
    "node-fetch",
    "headless",
    "phantom",
    "facebookexternalhit",
    "whatsapp",
    "slack",
    "barracuda",
    "proofpoint",
    "mimecast",
];

/// Why what is fetched does not count as somebody's opening a page: empty where it does.
pub fn not_opened(head: &Head) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut say = |reason: &str| reasons.push(reason.to_owned());
    if head.head_only {
        say("HEAD");
    }
    if head.fetch.ahead {
        say("fetched ahead");
    }
    // A person who saves what is behind a link of ours fetches it as nothing in particular.
    let saved = |dest: &str| dest == "empty" && head.fetch.site == "same-origin";
    let dest = head.fetch.dest.as_str();
    if !(matches!(dest, "" | "document" | "iframe" | "frame") || saved(dest)) {
        say("not fetched as a page");
    }
    reasons
}

/// Why a request looks like a program's. Also by what it calls itself and leaves out: for the log.
pub fn reasons(head: &Head) -> Vec<String> {
    let mut reasons = not_opened(head);
    let agent = head.user_agent.to_ascii_lowercase();
    if agent.is_empty() {
        reasons.push("no user agent".to_owned());
    } else if let Some(name) = NAMES.iter().find(|name| agent.contains(**name)) {
        reasons.push(format!("user agent: {name}"));
    }
    // Browsers of the last years say where a request comes from; old ones name themselves otherwise.
    let modern = ["chrome/1", "firefox/1", "edg/1", "version/1"];
    if head.fetch.site.is_empty() && modern.iter().any(|name| agent.contains(name)) {
        reasons.push("no fetch metadata".to_owned());
    }
    if head.accept_language.is_empty() {
        reasons.push("no language".to_owned());
    }
    reasons
}
