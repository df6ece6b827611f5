//! What was made of a message, as it stands in the spool: what sealed renditions have in common is
//! written once, and shared again when it is read back.
//!
//! Invariants: nothing is read back that could not have been made: the demand of the class `sealed`
//! only with a sealed body, no shape that is not there, and none that nobody refers to.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Body, Prepared, RecipientPlan, Rendition};
use crate::mail::sealed::Shape;
use crate::mail::{
    ContentCipher, ContentKey, Demand, Fingerprint, Notice, RenditionClass, Sealed, Terms,
    Timestamp,
};

/// [`Prepared`] in the spool.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    shapes: Vec<Arc<Shape>>,
    renditions: Vec<StoredRendition>,
    plans: Vec<RecipientPlan>,
}

#[derive(Serialize, Deserialize)]
struct StoredRendition {
    demand: Demand,
    terms: Terms,
    prefix: Vec<u8>,
    signed_by: Vec<String>,
    body: StoredBody,
}

#[derive(Serialize, Deserialize)]
enum StoredBody {
    Accepted,
    Sealed(StoredSealed),
    Untouched(Fingerprint),
    Notice(Arc<Notice>),
}

#[derive(Serialize, Deserialize)]
struct StoredSealed {
    /// Its number in [`Stored::shapes`].
    shape: u32,
    envelope: Vec<u8>,
    cipher: ContentCipher,
    key: ContentKey,
    iv: Vec<u8>,
    octets: u64,
    sha256: [u8; 32],
    certificate: Fingerprint,
    expires: Timestamp,
}

/// What was read back cannot have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Incoherent {
    #[error("a stored rendition has a demand of another class than its body")]
    Demand,
    #[error("a stored rendition names a shape that is not there")]
    NoShape,
    #[error("a stored shape belongs to no rendition")]
    Unused,
}

/// The shapes so far. Two are one where they are the same object.
#[derive(Default)]
struct Shapes {
    all: Vec<Arc<Shape>>,
    numbers: HashMap<*const Shape, u32>,
}

impl Shapes {
    fn number(&mut self, shape: Arc<Shape>) -> u32 {
        // There are no more than recipients. If there were, reading back would refuse it.
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(Arc::as_ptr(&shape)).or_insert_with(|| {
            self.all.push(shape);
            next
        })
    }
}

impl From<Prepared> for Stored {
    fn from(prepared: Prepared) -> Self {
        let mut shapes = Shapes::default();
        let renditions = prepared.renditions.into_iter();
        let renditions = renditions.map(|it| stored(it, &mut shapes)).collect();
        Self {
            shapes: shapes.all,
            renditions,
            plans: prepared.plans,
        }
    }
}

fn stored(rendition: Rendition, shapes: &mut Shapes) -> StoredRendition {
    let body = match rendition.body {
        Body::Accepted => StoredBody::Accepted,
        Body::Untouched(certificate) => StoredBody::Untouched(certificate),
        Body::Notice(notice) => StoredBody::Notice(notice),
        Body::Sealed(sealed) => {
            let sealed = Arc::unwrap_or_clone(sealed);
            StoredBody::Sealed(StoredSealed {
                shape: shapes.number(sealed.shape),
                envelope: sealed.envelope,
                cipher: sealed.cipher,
                key: sealed.key,
                iv: sealed.iv,
                octets: sealed.octets,
                sha256: sealed.sha256,
                certificate: sealed.certificate,
                expires: sealed.expires,
            })
        }
    };
    StoredRendition {
        demand: rendition.demand,
        terms: rendition.terms,
        prefix: rendition.prefix,
        signed_by: rendition.signed_by,
        body,
    }
}

impl TryFrom<Stored> for Prepared {
    type Error = Incoherent;

    fn try_from(stored: Stored) -> Result<Self, Incoherent> {
        let Stored {
            shapes,
            renditions,
            plans,
        } = stored;
        let read = |it| read_back(it, &shapes);
        let renditions = renditions.into_iter().map(read).collect::<Result<_, _>>()?;
        match shapes.iter().all(|shape| Arc::strong_count(shape) > 1) {
            true => Ok(Self { renditions, plans }),
            false => Err(Incoherent::Unused),
        }
    }
}

fn read_back(stored: StoredRendition, shapes: &[Arc<Shape>]) -> Result<Rendition, Incoherent> {
    let body = match stored.body {
        StoredBody::Accepted => Body::Accepted,
        StoredBody::Untouched(certificate) => Body::Untouched(certificate),
        StoredBody::Notice(notice) => Body::Notice(notice),
        StoredBody::Sealed(sealed) => {
            let shape = usize::try_from(sealed.shape).ok();
            let shape = shape.and_then(|number| shapes.get(number));
            Body::Sealed(Arc::new(Sealed {
                shape: Arc::clone(shape.ok_or(Incoherent::NoShape)?),
                envelope: sealed.envelope,
                cipher: sealed.cipher,
                key: sealed.key,
                iv: sealed.iv,
                octets: sealed.octets,
                sha256: sealed.sha256,
                certificate: sealed.certificate,
                expires: sealed.expires,
            }))
        }
    };
    let class = stored.demand.class();
    let coherent = match &body {
        Body::Accepted => class != RenditionClass::Sealed,
        Body::Sealed(_) | Body::Untouched(_) => class == RenditionClass::Sealed,
        Body::Notice(_) => class == RenditionClass::Notice,
    };
    if !coherent {
        return Err(Incoherent::Demand);
    }
    Ok(Rendition {
        demand: stored.demand,
        terms: stored.terms,
        prefix: stored.prefix,
        signed_by: stored.signed_by,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sealed::sample;
    use crate::mail::{AlreadySealed, Language, Level, PickupBy, Reference, Timestamp as Time};

    fn sealed(recipe: Sealed) -> Rendition {
        Rendition::sealed(Level::Restricted, Terms::default(), Arc::new(recipe))
    }

    fn prepared(renditions: Vec<Rendition>) -> Prepared {
        Prepared {
            renditions,
            plans: Vec::new(),
        }
    }

    fn notice() -> Rendition {
        let reference = Reference::new([7; 10]);
        let expires = Time::from_secs(1000);
        let octets = b"Subject: a message waits\r\n\r\n".to_vec();
        let notice = Notice::composed(octets, reference, Language::De, expires);
        Rendition::notice(Level::Restricted, PickupBy::Apart, Arc::new(notice))
    }

    fn read(stored: &Stored) -> Result<Prepared, postcard::Error> {
        postcard::from_bytes(&postcard::to_allocvec(stored).unwrap())
    }

    #[test]
    fn what_is_common_is_written_once_and_shared_again() {
        let mut recipe = sample();
        Arc::make_mut(&mut recipe.shape).header = vec![b'h'; 50_000];
        let many = prepared(vec![sealed(recipe); 100]);
        let octets = postcard::to_allocvec(&many).unwrap();
        assert!(octets.len() < 50_000 + 100 * 256, "{}", octets.len());
        let back: Prepared = postcard::from_bytes(&octets).unwrap();
        assert_eq!(back, many);
        let shape = |at: usize| Arc::as_ptr(&back.renditions[at].recipe().unwrap().shape);
        assert!((1..100).all(|at| shape(at) == shape(0)));
    }

    #[test]
    fn reads_back_what_holds_together_and_nothing_else() {
        let demand = Demand::content(Level::Protected).unwrap();
        let terms = Terms::default();
        let plain = Rendition::content(demand, terms.clone(), b"A: b\r\n".to_vec(), Vec::new());
        let attested = AlreadySealed::attested(sample().certificate);
        let untouched = Rendition::untouched(Level::Sealed, terms, attested);
        let whole = prepared(vec![plain.unwrap(), sealed(sample()), untouched, notice()]);
        let octets = postcard::to_allocvec(&whole).unwrap();
        assert_eq!(postcard::from_bytes::<Prepared>(&octets), Ok(whole));

        let one = || Stored::from(prepared(vec![sealed(sample())]));
        assert!(read(&one()).is_ok());
        let spoil: [fn(&mut Stored); 5] = [
            |stored| stored.renditions[0].demand = Demand::content(Level::Protected).unwrap(),
            |stored| stored.renditions[0].body = StoredBody::Accepted,
            |stored| stored.shapes.clear(),
            |stored| stored.shapes.push(Arc::clone(&sample().shape)),
            |stored| match &mut stored.renditions[0].body {
                StoredBody::Sealed(sealed) => sealed.shape = 1,
                _ => unreachable!(),
            },
        ];
        for (at, spoil) in spoil.iter().enumerate() {
            let mut stored = one();
            spoil(&mut stored);
            assert!(read(&stored).is_err(), "{at}");
        }
    }
}
