//! What is made of a message by what was decided: signed, or sealed and signed.
//!
//! The content in clear is signed once, whatever the number of its renditions. What is sealed is
//! made for one recipient each: the list of those who can open an envelope tells who they are.
//! The one place where the demand of sealed mail is given (`tests/layering.rs` reads for that).

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::super::certificates::Smime;
use super::super::line::{Line, Machinery};
use super::super::plans::Decided;
use super::PrepareError;
use super::consider::Considered;
use super::notices::notices;
use crate::mail::{
    CertificateProblem, Decision, Demand, Domain, Envelope, Level, MessageClass,
    RecipientCertificate, Rendition, Shape, Terms, Timestamp,
};
use crate::policy::{MessageFacts, Wanted, wanted};
use crate::proto::cms::CmsError;
use crate::queue::Preparation;
use crate::seal::{Payload, SealError, Sealing, Unsigned, already_sealed};
use crate::sign::{SignError, Signature, Signer};

/// Octets of what a message's sealed renditions are made from, all recipients together: they stand
/// in one record of the spool, and in memory for as long as the message waits. What they share
/// counts once, and those of recipients that have ended do not count, so that hardly any message
/// comes near it.
const MAX_RECIPE_OCTETS: usize = 24 * 1024 * 1024;
/// Octets that are encrypted in one turn to seal, one recipient's at least.
const SLICE_OCTETS: usize = 32 * 1024 * 1024;
/// Recipients that are sealed to in one turn.
const SLICE_RECIPIENTS: usize = 64;

/// The accepted content, read when somebody has to see it, with the room that it was given in
/// memory.
pub(super) struct Held<'a> {
    line: &'a Line,
    envelope: &'a Envelope,
    held: Option<(Bytes, Option<OwnedSemaphorePermit>)>,
}

impl<'a> Held<'a> {
    pub(super) const fn new(line: &'a Line, envelope: &'a Envelope) -> Self {
        Self {
            line,
            envelope,
            held: None,
        }
    }

    /// The content.
    pub(super) async fn octets(&mut self) -> Result<Bytes, PrepareError> {
        if let Some((octets, _)) = &self.held {
            return Ok(octets.clone());
        }
        let room = self.line.reserve(self.envelope.size).await;
        let content = self.line.spool.content(self.envelope.id).read_all().await;
        let octets = content.map_err(PrepareError::Content)?;
        self.held = Some((octets.clone(), room));
        Ok(octets)
    }

    /// Gives the room back, before a wait that can be long.
    pub(super) fn release(&mut self) {
        self.held = None;
    }
}

/// Makes the renditions that the decisions call for. Where a message cannot be sealed to a
/// recipient after all, that recipient is decided again, by that fact.
pub(super) async fn render(
    line: &Line,
    machinery: &Arc<Machinery>,
    preparation: &Preparation,
    message: &MessageFacts,
    considered: &mut Considered,
    content: &mut Held<'_>,
    now: Timestamp,
) -> Result<Vec<Decided>, PrepareError> {
    let envelope = &preparation.envelope;
    let mut sealed = vec![None; considered.decisions.len()];
    let jobs = jobs(considered, envelope.class);
    if !jobs.is_empty() {
        let octets = content.octets().await?;
        let work = Work {
            machinery: Arc::clone(machinery),
            envelope: Arc::clone(envelope),
            signing: signing_domain(line, machinery, envelope),
            content: octets,
            now,
            room: Room::new(preparation),
            payload: None,
        };
        let mut refused = false;
        for (at, made) in seal(line, work, jobs).await? {
            match made {
                Ok(rendition) => {
                    if let Some(place) = sealed.get_mut(at) {
                        *place = Some(rendition);
                    }
                }
                Err(unsealed) => {
                    let recipient = preparation.recipients.get(at).map(|it| it.recipient);
                    tracing::error!(queue_id = %envelope.id, recipient, error = &unsealed as &dyn std::error::Error, "a message could not be sealed to a recipient, who is decided again");
                    refused = true;
                    match unsealed.problem {
                        Some(problem) => considered.refuse_certificate(at, problem),
                        None => considered.refuse_sealing(at),
                    }
                }
            }
        }
        if refused {
            considered.decide(&machinery.policy, message);
        }
    }
    let in_clear = in_clear(line, machinery, preparation, considered, content, now).await?;
    let decisions = &considered.decisions;
    let notices = notices(line, machinery, preparation, decisions, now).await?;
    let parts = preparation.recipients.iter().zip(&considered.decisions);
    let renditions = in_clear.into_iter().zip(sealed).zip(notices);
    Ok(parts
        .zip(renditions)
        .map(
            |((to_decide, decision), ((in_clear, sealed), notice))| Decided {
                recipient: to_decide.recipient,
                decision: Arc::clone(decision),
                rendition: match wanted(decision, envelope.class) {
                    Wanted::Content(_) => in_clear,
                    Wanted::Sealed => sealed,
                    Wanted::Notice(_) => notice,
                    Wanted::Nothing => None,
                },
            },
        )
        .collect())
}

/// The accepted content with its signatures in front, for those who get that.
async fn in_clear(
    line: &Line,
    machinery: &Arc<Machinery>,
    preparation: &Preparation,
    considered: &Considered,
    content: &mut Held<'_>,
    now: Timestamp,
) -> Result<Vec<Option<Rendition>>, PrepareError> {
    let envelope = &preparation.envelope;
    let class = envelope.class;
    let demand = |decision: &Arc<Decision>| wanted(decision, class).demand();
    let demands: Vec<Option<Demand>> = considered.decisions.iter().map(demand).collect();
    let signature = match signing_domain(line, machinery, envelope) {
        Some(author) if demands.iter().any(Option::is_some) => {
            let (machinery, octets) = (Arc::clone(machinery), content.octets().await?);
            let signing =
                tokio::task::spawn_blocking(move || machinery.signer.sign(now, &author, &octets));
            let signed = signing.await.map_err(|_| PrepareError::Interrupted)?;
            signed.map_err(PrepareError::Sign)?
        }
        Some(_) | None => Signature::default(),
    };
    let rendition = |(demand, decision): (Option<Demand>, &Arc<Decision>)| {
        let (demand, terms) = (demand?, decision.terms.clone());
        let (prefix, signed_by) = (signature.prefix.clone(), signature.domains.clone());
        match class.is_submitted() {
            true => Rendition::content(demand, terms, prefix, signed_by),
            false => Rendition::ours(class, prefix, signed_by),
        }
    };
    let all = demands.into_iter().zip(&considered.decisions);
    Ok(all.map(rendition).collect())
}

/// The domain that signs, if there is a key for it.
pub(super) fn signing_domain(
    line: &Line,
    machinery: &Machinery,
    envelope: &Envelope,
) -> Option<Domain> {
    let author = match &envelope.author {
        Some(author) => author.domain(),
        None => line.postmaster.domain(),
    };
    machinery.signer.domain_for(author).map(|_| author.clone())
}

/// A rendition to be sealed.
struct Job {
    at: usize,
    level: Level,
    terms: Terms,
    certificate: RecipientCertificate,
}

/// A message could not be sealed to a recipient.
#[derive(Debug, thiserror::Error)]
#[error("it could not be sealed")]
struct Unsealed {
    /// What is wrong with the certificate, if it is the certificate.
    problem: Option<CertificateProblem>,
    source: SealError,
}

impl Unsealed {
    /// The message, or something of ours.
    const fn message(source: SealError) -> Self {
        Self {
            problem: None,
            source,
        }
    }

    /// One recipient's envelope.
    const fn envelope(source: SealError) -> Self {
        let problem = match source {
            SealError::Cms(CmsError::KeyKind | CmsError::KeyUsage) => {
                Some(CertificateProblem::KeyKind)
            }
            SealError::Cms(CmsError::WeakKey) => Some(CertificateProblem::WeakKey),
            SealError::Cms(CmsError::Malformed) => Some(CertificateProblem::Malformed),
            _ => None,
        };
        Self { problem, source }
    }
}

fn jobs(considered: &Considered, class: MessageClass) -> Vec<Job> {
    let all = considered.decisions.iter().enumerate();
    all.filter(|(_, decision)| wanted(decision, class) == Wanted::Sealed)
        .filter_map(|(at, decision)| {
            Some(Job {
                at,
                level: decision.level,
                terms: decision.terms.clone(),
                certificate: considered.certificate(at)?.clone(),
            })
        })
        .collect()
}

/// What sealing works on.
struct Work {
    machinery: Arc<Machinery>,
    envelope: Arc<Envelope>,
    /// The domain that signs outside, if one does.
    signing: Option<Domain>,
    content: Bytes,
    now: Timestamp,
    /// What recipes may take.
    room: Room,
    /// What is to be sealed, once there is one.
    payload: Option<Result<Payload, SealError>>,
}

/// What is left of [`MAX_RECIPE_OCTETS`], and the shapes that have been counted, by
/// where they stand.
struct Room {
    left: usize,
    shapes: HashSet<usize>,
    /// Those shapes, so that no other one comes to stand where one of them stood.
    held: Vec<Arc<Shape>>,
}

impl Room {
    /// Beside what stays: of recipients that live and are not decided now.
    fn new(preparation: &Preparation) -> Self {
        let mut room = Self {
            left: MAX_RECIPE_OCTETS,
            shapes: HashSet::new(),
            held: Vec::new(),
        };
        let Some(previous) = &preparation.previous else {
            return room;
        };
        let decided = preparation.recipients.iter().map(|it| it.recipient);
        let gone: HashSet<u32> = decided.chain(preparation.ended.iter().copied()).collect();
        let stays = previous
            .plans
            .iter()
            .filter(|plan| !gone.contains(&plan.recipient));
        for recipe in stays.filter_map(|plan| previous.rendition(plan)?.recipe()) {
            if !room.take(&recipe.shape, recipe.kept_octets()) {
                room.left = 0;
            }
        }
        room
    }

    /// Takes room for a recipe, and for its shape if that is a new one. Whether there was enough.
    fn take(&mut self, shape: &Arc<Shape>, octets: usize) -> bool {
        let is_new = !self.shapes.contains(&Arc::as_ptr(shape).addr());
        let shared = if is_new { shape.kept_octets() } else { 0 };
        let Some(left) = self.left.checked_sub(shared.saturating_add(octets)) else {
            return false;
        };
        self.left = left;
        if is_new {
            self.shapes.insert(Arc::as_ptr(shape).addr());
            self.held.push(Arc::clone(shape));
        }
        true
    }
}

type Made = Vec<(usize, Result<Rendition, Unsealed>)>;

/// Seals on a thread for that, a slice to a turn: each turn may hold another copy of a message
/// (AES-GCM), and a message with many recipients lets others come between its slices.
async fn seal(line: &Line, work: Work, jobs: Vec<Job>) -> Result<Made, PrepareError> {
    let (mut work, mut jobs) = (work, jobs.into_iter());
    let mut made = Vec::with_capacity(jobs.len());
    let recipients = slice(work.content.len());
    loop {
        let now: Vec<Job> = jobs.by_ref().take(recipients).collect();
        if now.is_empty() {
            return Ok(made);
        }
        let _turn = line.turn_to_seal().await;
        let sealing = tokio::task::spawn_blocking(move || {
            let made = work.all(now);
            (work, made)
        });
        let (returned, sealed) = sealing.await.map_err(|_| PrepareError::Interrupted)?;
        work = returned;
        made.extend(sealed.map_err(PrepareError::Sign)?);
    }
}

/// How many recipients a message of so many octets is sealed to in one turn.
fn slice(octets: usize) -> usize {
    let fit = SLICE_OCTETS.checked_div(octets);
    fit.unwrap_or(SLICE_RECIPIENTS).clamp(1, SLICE_RECIPIENTS)
}

impl Work {
    fn all(&mut self, jobs: Vec<Job>) -> Result<Made, SignError> {
        let machinery = Arc::clone(&self.machinery);
        let Some(smime) = &machinery.smime else {
            return Ok(Vec::new());
        };
        let mut made = Vec::with_capacity(jobs.len());
        for job in jobs {
            made.push((job.at, self.one(smime, job)?));
        }
        Ok(made)
    }

    fn one(&mut self, smime: &Smime, job: Job) -> Result<Result<Rendition, Unsealed>, SignError> {
        let Job {
            level,
            terms,
            certificate,
            ..
        } = job;
        if let Some(attested) = already_sealed(&self.content, &certificate) {
            let sign =
                |signer: &Signer, author: &Domain| signer.sign(self.now, author, &self.content);
            let Signature { prefix, domains } = self.signature(sign)?;
            let rendition = Rendition::untouched(level, terms, attested);
            return Ok(Ok(rendition.with_signature(prefix, domains)));
        }
        let Sealing {
            sealed,
            body_sha256,
        } = match self.seal(smime, &certificate) {
            Ok(sealing) => sealing,
            Err(unsealed) => return Ok(Err(unsealed)),
        };
        let sign = |signer: &Signer, author: &Domain| {
            signer.sign_hashed(self.now, author, &sealed.shape.header, body_sha256)
        };
        let Signature { prefix, domains } = self.signature(sign)?;
        let rendition = Rendition::sealed(level, terms, Arc::new(sealed));
        Ok(Ok(rendition.with_signature(prefix, domains)))
    }

    /// Seals to one certificate; where there is no room for the recipe, nothing is encrypted.
    fn seal(
        &mut self,
        smime: &Smime,
        certificate: &RecipientCertificate,
    ) -> Result<Sealing, Unsealed> {
        if self.payload.is_none() {
            self.payload = Some(self.payload(smime));
        }
        let payload = match &self.payload {
            Some(Ok(payload)) => payload,
            Some(Err(error)) => return Err(Unsealed::message(*error)),
            None => return Err(Unsealed::message(CmsError::Library.into())),
        };
        let begun = payload.begin(certificate).map_err(Unsealed::envelope)?;
        if !self.room.take(begun.shape(), begun.kept_octets()) {
            return Err(Unsealed::message(CmsError::TooLarge.into()));
        }
        begun.finish(&self.content).map_err(Unsealed::envelope)
    }

    fn payload(&self, smime: &Smime) -> Result<Payload, SealError> {
        let author = self.envelope.author.as_ref();
        let payload = smime.sealer.payload(&self.content, author, self.now)?;
        if let Some(Unsigned::Expired(owner)) = payload.unsigned() {
            tracing::warn!(queue_id = %self.envelope.id, %owner, "a message is sealed without a signature inside: the signing identity has expired");
        }
        Ok(payload)
    }

    fn signature(
        &self,
        sign: impl FnOnce(&Signer, &Domain) -> Result<Signature, SignError>,
    ) -> Result<Signature, SignError> {
        match &self.signing {
            Some(author) => sign(&self.machinery.signer, author),
            None => Ok(Signature::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sealed::sample;

    #[test]
    fn what_is_shared_takes_room_once() {
        let mut room = Room {
            left: MAX_RECIPE_OCTETS,
            shapes: HashSet::new(),
            held: Vec::new(),
        };
        let shape = |octets| {
            let header = vec![b'h'; octets];
            Arc::new(Shape {
                header,
                head: Vec::new(),
                skip: 0,
                tail: Vec::new(),
                signer: None,
            })
        };
        let common = shape(MAX_RECIPE_OCTETS / 2);
        let own = sample().kept_octets();
        assert!((0..1000).all(|_| room.take(&common, own)));
        assert!(!room.take(&shape(MAX_RECIPE_OCTETS / 2), own));
        assert!(room.take(&common, own), "a refusal takes nothing");
    }

    #[test]
    fn a_turn_ends_after_so_much_work() {
        let sizes = [0, 1, 1024 * 1024, 20_000_000, 50_000_000];
        assert_eq!(sizes.map(slice), [64, 64, 32, 1, 1]);
    }
}
