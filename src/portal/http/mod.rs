//! HTTP: the portal's listener, requests and answers; nothing of what a page means.
//!
//! Owns the TLS listener (HTTP/1.1 and HTTP/2 by ALPN, never in clear), every bound of what a client
//! may send or hold, the guards that stand before a [`Site`] (host, method, same origin, form
//! types), the fields that every answer carries, the access log, `/livez` and `/readyz`. Never knows
//! a session, a message or a template. A request that breaks a rule is answered here and never
//! reaches the site; a site that panics answers 500 and ends nothing else.
//! RFC 9110, 9112, 9113, 6265 with its `__Host-` prefix, 6266, 7578, 9457; Fetch Metadata.

mod answer;
mod assets;
mod body;
mod connection;
mod cookie;
mod disposition;
mod guard;
mod head;
mod limits;
mod log;
mod multipart;
mod options;
mod out;
mod pairs;
mod path;
mod profile;
mod request;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

pub use answer::{Answer, OwnPath, Payload, Problem};
pub use assets::{AssetKind, Assets};
pub use cookie::Cookies;
pub use head::{Fetch, Head, Method};
pub use hyper::StatusCode as Status;
pub(in crate::portal) use limits::{Counter, Slot, network};
pub use log::{AccessLog, LogTarget};
pub use options::{Limits, Options, Origin, OriginError, Rate};
pub use pairs::Pairs;
pub use request::{Body, BodyLimit, File, Methods, Over, Request, Route, Upload};
pub use server::Server;

use crate::world::BoxFuture;

/// What answers requests. Every method may be called at any time, from many tasks.
pub trait Site: Send + Sync + 'static {
    /// Which route a request takes: asked first, before a body is read, without effect. A path that
    /// leads nowhere has a route too ([`Route::NOWHERE`]); its 404 is the site's to write.
    fn route(&self, head: &Head) -> Route;

    /// Answers. Called only with a method that the route allows, and, for POST, only from our own
    /// pages. Runs to its end even if the client goes away.
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer>;

    /// Whether `/readyz` says yes.
    fn ready(&self) -> bool;

    /// The page for a refusal that is none of the site's, in the client's language. Without one a
    /// plain page in English is sent. `head` is missing where the request could not be read.
    fn problem_page(&self, problem: Problem, head: Option<&Head>) -> Option<String> {
        let _ = (problem, head);
        None
    }
}
