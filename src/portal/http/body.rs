//! The body of a request: read within bounds of time, octets and memory, or refused and thrown away.
//!
//! A refusal because of size is answered at once, while what still comes is read and dropped (up to
//! a bound): a client that is cut off while it sends never sees the answer. Each octet that is
//! kept is counted against a budget for the whole server and a share of it for the client's
//! network; forms without files have a budget of their own, so that uploads, however slow, keep
//! nobody from signing in, and are counted in small units, so that a form of one octet takes little
//! more than it needs. Where the files of a form are too many or too large, the site gets what
//! was typed before them, without any file.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Problem;
use super::head::Method;
use super::limits::Counter;
use super::multipart;
use super::multipart::{FormBounds, FormError, FormReader, MAX_FIELD_OCTETS, MAX_PART_HEAD_OCTETS};
use super::options::Limits;
use super::pairs::Pairs;
use super::request::{Body, BodyLimit, Held, Over, Upload};
use super::watch::{Busy, Watch};
use crate::mail::Timestamp;
use crate::world::clock::Clock;

/// How slow a large body may be.
pub const MIN_OCTETS_PER_SECOND: u64 = 4 * 1024;
/// Octets of a form without files, where a form with files is taken.
const MAX_PLAIN_OCTETS: usize = 256 * 1024;
/// Octets that are read to no purpose but that the answer arrives.
const MAX_DRAINED_OCTETS: u64 = 64 * 1024 * 1024;
/// One unit of the budget for forms with files.
const UPLOAD_UNIT: u64 = 16 * 1024;
/// One unit of the budget for the others: about what a request takes anyway.
const FORM_UNIT: u64 = 1024;

/// Memory for bodies.
#[derive(Debug)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    shares: Counter,
    /// Octets that are counted at a time.
    unit: u64,
}

impl Budget {
    /// For forms with files.
    pub(super) fn for_uploads(limits: &Limits) -> Self {
        let (all, share) = (limits.body_octets, limits.body_octets_per_network);
        Self::new(all, share, UPLOAD_UNIT)
    }

    /// For forms without.
    pub(super) fn for_forms(limits: &Limits) -> Self {
        let (all, share) = (limits.form_octets, limits.form_octets_per_network);
        Self::new(all, share, FORM_UNIT)
    }

    /// So many octets in all, and so many of one network.
    fn new(octets: u64, share: u64, unit: u64) -> Self {
        let units = |octets: u64| usize::try_from(octets / unit).unwrap_or(usize::MAX);
        let all = units(octets).min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            shares: Counter::new(units(share)),
            unit,
        }
    }

    fn unit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let unit = Arc::clone(&self.all).try_acquire_owned();
        unit.map_err(|_| Problem::Busy)
    }
}

/// What the reading of bodies needs to know.
pub(super) struct Reading<'a> {
    pub(super) clock: Clock,
    pub(super) limits: &'a Limits,
    /// For forms with files.
    pub(super) uploads: &'a Budget,
    /// For forms without.
    pub(super) forms: &'a Budget,
    pub(super) network: IpAddr,
    pub(super) watch: &'a Watch,
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// To be answered.
    Refused(Problem),
    /// Nobody is there to be answered.
    Gone,
}

impl From<Problem> for Unread {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<FormError> for Unread {
    fn from(error: FormError) -> Self {
        Self::Refused(match error {
            FormError::Malformed => Problem::BadRequest,
            FormError::TooLarge | FormError::TooLargeFiles | FormError::TooManyFiles => {
                Problem::TooLarge
            }
        })
    }
}

/// The body of a request as its route takes it. Whatever is refused is thrown away meanwhile.
pub(super) async fn read(
    reading: &Reading<'_>,
    method: Method,
    limit: BodyLimit,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Body, Unread> {
    let mut source = Source::new(reading, incoming);
    let mut read = match method {
        Method::Get if source.is_over() => Ok(Body::None),
        Method::Get => Err(Unread::Refused(Problem::BadRequest)),
        Method::Post => posted(&mut source, reading, limit, headers).await,
    };
    match &mut read {
        // There is an answer already, and the client still sends.
        Ok(Body::Upload(upload)) if upload.over.is_some() => source.throw_away(headers),
        Ok(_) | Err(Unread::Gone | Unread::Refused(Problem::TooSlow)) => {}
        Err(Unread::Refused(_)) => source.throw_away(headers),
    }
    read
}

/// Throws away the body of a request that is refused for another reason.
pub(super) fn refuse(reading: &Reading<'_>, headers: &HeaderMap, incoming: Incoming) {
    Source::new(reading, incoming).throw_away(headers);
}

async fn posted(
    source: &mut Source,
    reading: &Reading<'_>,
    limit: BodyLimit,
    headers: &HeaderMap,
) -> Result<Body, Unread> {
    let content_type = match headers.get(CONTENT_TYPE) {
        Some(value) => value.to_str().map_err(|_| Problem::BadRequest)?,
        None => "",
    };
    match limit {
        BodyLimit::None if source.is_over() => Ok(Body::None),
        BodyLimit::None => Err(Problem::TooLarge.into()),
        BodyLimit::Form(octets) if is_plain_form(content_type) => {
            Ok(Body::Form(form(source, reading, octets).await?))
        }
        BodyLimit::Form(_) => Err(Problem::NotAForm.into()),
        BodyLimit::Upload { .. } if is_plain_form(content_type) => {
            Ok(Body::Form(form(source, reading, MAX_PLAIN_OCTETS).await?))
        }
        BodyLimit::Upload {
            octets,
            files,
            fields,
        } => {
            let boundary = multipart::boundary(content_type).ok_or(Problem::NotAForm)?;
            let bounds = FormBounds {
                octets,
                files,
                fields,
            };
            Ok(Body::Upload(
                upload(source, reading, &boundary, bounds).await?,
            ))
        }
    }
}

fn is_plain_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn form(source: &mut Source, reading: &Reading<'_>, octets: usize) -> Result<Pairs, Unread> {
    source.may_have(octets as u64)?;
    let mut held = Holding::new(reading.forms, reading.network);
    let mut body = BytesMut::new();
    while let Some(chunk) = source.next().await? {
        held.take(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let pairs = Pairs::parse(&body).ok_or(Unread::Refused(Problem::BadRequest));
    // Passwords were in it.
    body.fill(0);
    pairs
}

async fn upload(
    source: &mut Source,
    reading: &Reading<'_>,
    boundary: &str,
    bounds: FormBounds,
) -> Result<Upload, Unread> {
    let heads = (bounds.files + bounds.fields + 1) * MAX_PART_HEAD_OCTETS;
    let most = (bounds.octets + MAX_FIELD_OCTETS + heads) as u64;
    // What is announced as too large is read up to its first file: for what was typed.
    let announced = source.may_have(most).is_err();
    let bounds = match announced {
        true => FormBounds {
            octets: 0,
            ..bounds
        },
        false => bounds,
    };
    let mut held = Holding::new(reading.uploads, reading.network);
    let mut form = FormReader::new(boundary, bounds);
    let read = loop {
        let Some(chunk) = source.next().await? else {
            break Ok(());
        };
        held.take(chunk.len())?;
        if let Err(error) = form.push(&chunk) {
            break Err(error);
        }
    };
    let mut upload = match read {
        Ok(()) => form.finish()?,
        Err(FormError::TooManyFiles) => form.without_files(Over::Files),
        Err(FormError::TooLargeFiles) => form.without_files(Over::Octets),
        Err(FormError::Malformed) if announced => return Err(FormError::TooLarge.into()),
        Err(error) => return Err(error.into()),
    };
    upload.held = Some(held.held);
    Ok(upload)
}

/// What a body takes of a budget.
struct Holding<'a> {
    budget: &'a Budget,
    network: IpAddr,
    held: Held,
    octets: u64,
    covered: u64,
}

impl<'a> Holding<'a> {
    fn new(budget: &'a Budget, network: IpAddr) -> Self {
        Self {
            budget,
            network,
            held: Held::default(),
            octets: 0,
            covered: 0,
        }
    }

    fn take(&mut self, octets: usize) -> Result<(), Problem> {
        self.octets += octets as u64;
        while self.covered < self.octets {
            let share = match &mut self.held.share {
                Some(share) => share.grow(),
                None => {
                    self.held.share = self.budget.shares.take(self.network);
                    self.held.share.is_some()
                }
            };
            if !share {
                return Err(Problem::Busy);
            }
            let unit = self.budget.unit()?;
            self.covered += self.budget.unit;
            match &mut self.held.units {
                Some(units) => units.merge(unit),
                None => self.held.units = Some(unit),
            }
        }
        Ok(())
    }
}

/// A body as it comes.
struct Source {
    incoming: Incoming,
    clock: Clock,
    began: Timestamp,
    time: Duration,
    longest: Duration,
    received: u64,
    most: u64,
    watch: Watch,
    busy: Busy,
}

impl Source {
    fn new(reading: &Reading<'_>, incoming: Incoming) -> Self {
        Self {
            incoming,
            clock: reading.clock,
            began: reading.clock.now(),
            time: reading.limits.body,
            longest: reading.limits.body_most,
            received: 0,
            most: 0,
            watch: reading.watch.clone(),
            busy: reading.watch.busy(),
        }
    }

    /// Whether there is none, or no more.
    fn is_over(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Sets how many octets may come; refuses at once if more are announced.
    fn may_have(&mut self, octets: u64) -> Result<(), Problem> {
        self.most = octets;
        if self.incoming.size_hint().lower() > octets {
            return Err(Problem::TooLarge);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        let earned = Duration::from_secs(self.received / MIN_OCTETS_PER_SECOND);
        let until = self.began + (self.time + earned).min(self.longest);
        let frame = tokio::select! {
            frame = self.incoming.frame() => frame,
            () = self.clock.sleep_until(until) => return Err(Problem::TooSlow.into()),
        };
        let Some(frame) = frame else {
            return Ok(None);
        };
        let frame = frame.map_err(|_| Unread::Gone)?;
        self.watch.progress();
        // Trailers mean nothing here.
        let data = frame.into_data().unwrap_or_default();
        self.received += data.len() as u64;
        if self.received > self.most {
            return Err(Problem::TooLarge.into());
        }
        Ok(Some(data))
    }

    /// Reads what still comes, for a while, in a task of its own. A client that waits for `100
    /// (Continue)` is not told to go on: it has the answer instead.
    fn throw_away(mut self, headers: &HeaderMap) {
        if self.is_over() || (self.received == 0 && headers.contains_key(EXPECT)) {
            return;
        }
        self.most = self.received.saturating_add(MAX_DRAINED_OCTETS);
        self.began = self.clock.now();
        tokio::spawn(async move {
            while let Ok(Some(_)) = self.next().await {}
            drop(self.busy);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::network;
    use super::*;

    /// Forms of one octet from an address, as many as are taken.
    fn held(forms: &Budget, address: &str) -> Vec<Held> {
        let network = network(address.parse().unwrap());
        let one = || {
            let mut form = Holding::new(forms, network);
            form.take(1).ok().map(|()| form.held)
        };
        std::iter::from_fn(one).collect()
    }

    #[test]
    fn forms_of_one_octet_from_some_networks_keep_nobody_else_from_a_form() {
        let limits = Limits::default();
        let forms = Budget::for_forms(&limits);
        let share = usize::try_from(limits.form_octets_per_network / FORM_UNIT).unwrap();
        let mut all = Vec::new();
        // A /48 has no more for all its networks.
        for n in 0..100 {
            all.extend(held(&forms, &format!("2001:db8:1:{n:x}::1")));
        }
        assert_eq!(all.len(), 4 * share);
        for n in 2..7 {
            let of_network = held(&forms, &format!("2001:db8:{n}::1"));
            assert_eq!(of_network.len(), share);
            all.extend(of_network);
        }
        for address in ["2001:db8:7::1", "192.0.2.1"] {
            let mut form = Holding::new(&forms, network(address.parse().unwrap()));
            assert_eq!(form.take(MAX_PLAIN_OCTETS), Ok(()), "{address}");
        }
    }
}
