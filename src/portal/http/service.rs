//! From a request to its answer: the guards in their order, the body, the site, the log.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request as Asked, Response, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Answer, Problem};
use super::assets::Assets;
use super::body::{self, Budget, Reading, Unread};
use super::head::{Head, Method};
use super::limits::{Buckets, Counter, Slot, network};
use super::log::{AccessLog, Line};
use super::options::{Limits, Options, Origin};
use super::out::{self, OutBody, Telling};
use super::request::{Methods, Request, Route};
use super::tls::Agreed;
use super::watch::Watch;
use super::{Site, Status, guard};
use crate::mail::Timestamp;
use crate::world::clock::Clock;

/// Seconds after which one who was refused for want of room may come again.
const BUSY_SECONDS: u64 = 5;

/// What all connections share.
pub(super) struct Shared {
    pub(super) site: Arc<dyn Site>,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) log: AccessLog,
    origin: Origin,
    hsts: String,
    assets: RwLock<Arc<Assets>>,
    uploads: Budget,
    forms: Budget,
    downloads: Arc<Semaphore>,
    downloads_by_network: Counter,
    addresses: Buckets,
    networks: Buckets,
    working: Arc<Semaphore>,
    working_by_network: Counter,
}

impl Shared {
    pub(super) fn new(options: Options, site: Arc<dyn Site>, log: AccessLog, clock: Clock) -> Self {
        let limits = options.limits;
        Self {
            site,
            clock,
            log,
            origin: options.origin,
            hsts: out::hsts(options.hsts_subdomains),
            assets: RwLock::new(Arc::new(options.assets)),
            uploads: Budget::for_uploads(&limits),
            forms: Budget::for_forms(&limits),
            downloads: Arc::new(Semaphore::new(limits.downloads)),
            downloads_by_network: Counter::new(limits.downloads_per_network),
            addresses: Buckets::new(limits.address),
            networks: Buckets::new(limits.network),
            working: Arc::new(Semaphore::new(limits.requests)),
            working_by_network: Counter::new(limits.requests_per_network),
            limits,
        }
    }

    fn assets(&self) -> Arc<Assets> {
        Arc::clone(&self.assets.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has other assets from now on. What pages of before name is no longer there.
    pub(super) fn replace_assets(&self, assets: Assets) {
        *self.assets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(assets);
    }
}

/// What answers the requests of one connection.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) watch: Watch,
    pub(super) client: IpAddr,
    pub(super) agreed: Agreed,
}

/// The client left before there was an answer.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(super) struct Gone;

/// A request that came through the guards.
enum Admitted {
    /// Answered without the site.
    Here(&'static str, Answer),
    /// For the site.
    Site(Head, Route),
}

/// A request that did not.
#[derive(Debug)]
struct Refusal {
    problem: Problem,
    head: Option<Box<Head>>,
    route: Option<Route>,
    wait: Option<Duration>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            head: None,
            route: None,
            wait: None,
        }
    }
}

/// Room to work on one request, or to send one download.
#[derive(Debug)]
pub(super) struct Room {
    _one: OwnedSemaphorePermit,
    _of_network: Slot,
}

impl Room {
    fn take(all: &Arc<Semaphore>, networks: &Counter, client: IpAddr) -> Option<Self> {
        let of_network = networks.take(network(client))?;
        let one = Arc::clone(all).try_acquire_owned().ok()?;
        Some(Self {
            _one: one,
            _of_network: of_network,
        })
    }
}

impl Service {
    /// Answers a request.
    pub(super) async fn serve(&self, asked: Asked<Incoming>) -> Result<Response<OutBody>, Gone> {
        let busy = self.watch.busy();
        let began = self.shared.clock.now();
        let (parts, incoming) = asked.into_parts();
        let mut telling = self.telling(&parts, began);
        let json = guard::wants_json(&parts.headers);
        let mut sending = None;
        let answered = match self.admit(&parts, began) {
            Err(refusal) => {
                body::refuse(&self.reading(), &parts.headers, incoming);
                Err(refusal)
            }
            Ok(Admitted::Here(route, answer)) => {
                telling.line.route = route;
                body::refuse(&self.reading(), &parts.headers, incoming);
                Ok(answer)
            }
            Ok(Admitted::Site(head, route)) => {
                telling.line.route = route.pattern;
                let shared = &*self.shared;
                let of_network = &shared.downloads_by_network;
                if route.download {
                    sending = Room::take(&shared.downloads, of_network, self.client);
                }
                if route.download && sending.is_none() {
                    body::refuse(&self.reading(), &parts.headers, incoming);
                    Err(refusal(Problem::Busy, head, Some(route)))
                } else {
                    self.ask(head, route, &parts, incoming).await?
                }
            }
        };
        let answer = answered.unwrap_or_else(|refusal| {
            if let Some(route) = refusal.route {
                telling.line.route = route.pattern;
            }
            self.refused(&refusal, json)
        });
        let answering = self.watch.answering();
        drop(busy);
        let head_only = parts.method == hyper::Method::HEAD;
        let hsts = &self.shared.hsts;
        let to = out::To {
            answering,
            telling,
            sending,
        };
        Ok(out::response(answer, head_only, hsts, to))
    }

    /// The guards. What costs least is looked at first.
    fn admit(&self, parts: &Parts, now: Timestamp) -> Result<Admitted, Refusal> {
        let shared = &*self.shared;
        guard::shape(parts)?;
        self.rate(now)?;
        let method = guard::method(&parts.method);
        // Whoever watches us may ask by address.
        if let (Ok((Method::Get, _)), path) = (&method, parts.uri.path())
            && let Some((route, answer)) = self.health(path)
        {
            return Ok(Admitted::Here(route, answer));
        }
        guard::host(parts, &shared.origin)?;
        let kind = *method.as_ref().unwrap_or(&(Method::Get, false));
        let head = guard::head(parts, kind, self.client, now)?;
        if let Some(answer) = shared.assets().at(&head.path) {
            let route = Route::page("/static/{asset}");
            return match method {
                Ok((Method::Get, _)) => Ok(Admitted::Here(route.pattern, answer)),
                _ => Err(refusal(Problem::Method, head, Some(route))),
            };
        }
        let routed = catch_unwind(AssertUnwindSafe(|| shared.site.route(&head)));
        let Ok(route) = routed else {
            return Err(refusal(Problem::Broken, head, None));
        };
        if method.is_err() || !route.methods.allow(head.method) {
            return Err(refusal(Problem::Method, head, Some(route)));
        }
        if head.method == Method::Post
            && let Err(problem) = guard::same_origin(&parts.headers, &shared.origin)
        {
            return Err(refusal(problem, head, Some(route)));
        }
        Ok(Admitted::Site(head, route))
    }

    fn rate(&self, now: Timestamp) -> Result<(), Refusal> {
        let shared = &*self.shared;
        let address = self.client.to_canonical();
        let taken = shared
            .addresses
            .take(address, now)
            .and_then(|()| shared.networks.take(network(address), now));
        taken.map_err(|wait| Refusal {
            wait: Some(wait),
            ..Problem::TooMany.into()
        })
    }

    fn health(&self, path: &str) -> Option<(&'static str, Answer)> {
        match path {
            "/livez" => Some(("/livez", Answer::text(Status::OK, "ok\n"))),
            "/readyz" => {
                let site = &self.shared.site;
                let ready = catch_unwind(AssertUnwindSafe(|| site.ready())).unwrap_or(false);
                let answer = if ready {
                    Answer::text(Status::OK, "ready\n")
                } else {
                    Answer::text(Status::SERVICE_UNAVAILABLE, "not ready\n")
                        .retry_after(BUSY_SECONDS)
                };
                Some(("/readyz", answer))
            }
            _ => None,
        }
    }

    fn reading(&self) -> Reading<'_> {
        Reading {
            clock: self.shared.clock,
            limits: &self.shared.limits,
            uploads: &self.shared.uploads,
            forms: &self.shared.forms,
            network: network(self.client),
            watch: &self.watch,
        }
    }

    /// Reads the body and asks the site.
    async fn ask(
        &self,
        head: Head,
        route: Route,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Result<Answer, Refusal>, Gone> {
        let reading = self.reading();
        let read = body::read(&reading, head.method, route.body, &parts.headers, incoming);
        let body = match read.await {
            Ok(body) => body,
            Err(Unread::Gone) => return Err(Gone),
            Err(Unread::Refused(problem)) => return Ok(Err(refusal(problem, head, Some(route)))),
        };
        let Some(room) = self.room() else {
            return Ok(Err(refusal(Problem::Busy, head, Some(route))));
        };
        let asked = Request {
            head: head.clone(),
            body,
        };
        // A task of its own: what a site has begun it ends, even if the client goes away, and a
        // panic is its own.
        let site = Arc::clone(&self.shared.site);
        let answering = tokio::spawn(async move {
            let answer = site.answer(asked).await;
            drop(room);
            answer
        });
        let late = self.shared.clock.now() + self.shared.limits.answer;
        let answered = tokio::select! {
            answered = answering => answered.map_err(|_| Problem::Broken),
            () = self.shared.clock.sleep_until(late) => Err(Problem::Busy),
        };
        if matches!(answered, Err(Problem::Broken)) {
            tracing::error!(route = route.pattern, "a page ended by a panic");
        }
        Ok(answered.map_err(|problem| refusal(problem, head, Some(route))))
    }

    fn room(&self) -> Option<Room> {
        let shared = &*self.shared;
        Room::take(&shared.working, &shared.working_by_network, self.client)
    }

    /// The answer to a request that was refused.
    fn refused(&self, refusal: &Refusal, json: bool) -> Answer {
        let Refusal {
            problem,
            head,
            route,
            wait,
        } = refusal;
        let page = || {
            let site = &self.shared.site;
            let page = AssertUnwindSafe(|| site.problem_page(*problem, head.as_deref()));
            catch_unwind(page).ok().flatten()
        };
        let answer = if json {
            Answer::problem_json(*problem)
        } else {
            Answer::html(
                problem.status(),
                page().unwrap_or_else(|| plain_page(*problem)),
            )
        };
        match problem {
            Problem::Method => {
                let methods = route.map_or(Methods::Get, |route| route.methods);
                answer.field("allow", methods.field())
            }
            Problem::TooMany => {
                let wait = wait.unwrap_or_default();
                answer.retry_after(wait.as_secs().saturating_add(1))
            }
            Problem::Busy => answer.retry_after(BUSY_SECONDS),
            // The client is still sending, or was too slow: nothing more is expected of it.
            Problem::TooSlow => answer.close(),
            _ => answer,
        }
    }

    fn telling(&self, parts: &Parts, began: Timestamp) -> Telling {
        let method = match parts.method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            _ => "other",
        };
        let line = Line {
            time: began.to_rfc3339(),
            client: self.client.to_canonical().to_string(),
            method,
            route: "-",
            status: 0,
            octets: 0,
            ms: 0,
            protocol: match parts.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            tls: self.agreed.version,
            agent: guard::user_agent(&parts.headers),
            reference: None,
            cut: false,
        };
        Telling {
            log: self.shared.log.clone(),
            clock: self.shared.clock,
            began,
            line,
        }
    }
}

fn refusal(problem: Problem, head: Head, route: Option<Route>) -> Refusal {
    Refusal {
        problem,
        head: Some(Box::new(head)),
        route,
        wait: None,
    }
}

/// A page without style, for a site that has none of its own.
fn plain_page(problem: Problem) -> String {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\n\
         <body><main><h1>{title}</h1><p>{}</p></main></body></html>\n",
        problem.text()
    )
}
