//! What goes out behind the prefix: the accepted content as it is, or what is sealed from it.
//!
//! Sealed octets are made while they are sent, a piece at a time, and are on no disk. They are
//! the same at every attempt, and their end is given only when all of them were what the recipe
//! says; where they are not, the message is never ended, so it is never delivered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::mail::{Body, ContentCipher, Rendition, Sealed, Timestamp};
use crate::proto::cms::{CmsError, SealStream};
use crate::spool::{BodyReader, Content, SpoolError};
use crate::world::clock::Clock;

/// Up to this many octets are sealed where they are; more of them on a thread for that.
const INLINE_OCTETS: usize = 64 * 1024;
/// Octets that are given out at a time.
const PIECE_OCTETS: usize = 128 * 1024;

/// Memory for large messages that are sealed with AES-GCM, which holds them whole: in KiB, all
/// connections together.
const LARGE_BUDGET_KIB: usize = 224 * 1024;
/// The same for small ones: peers that take large ones slowly cannot keep it from them.
const SMALL_BUDGET_KIB: usize = 32 * 1024;
/// Up to this many octets sent a message is small.
const SMALL_OCTETS: u64 = 1024 * 1024;
/// How long that memory is waited for, before MAIL: it is held until the message is sent, and the
/// connection has better to do than to wait for that.
const ROOM_TIME: Duration = Duration::from_secs(10);
/// What of it a message takes, in octets for each octet sent: the content, and what is made of it.
const WHOLE_SHARE: u64 = 2;

/// The octets cannot be made to their end. The peer must get none of that end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the stored content could not be read: {0}")]
    Spool(#[from] SpoolError),
    #[error("the stored content could not be sealed: {0}")]
    Seal(#[from] CmsError),
    #[error("sealing was interrupted")]
    Interrupted,
    #[error("no memory was free for sealing in time")]
    NoRoom,
}

/// The octets behind the prefix, front to back.
pub(super) struct Outgoing {
    content: BodyReader,
    /// Out of what it is sealed; `None` for content as it is.
    seal: Option<Seal>,
    /// Sealed, and not given out yet.
    ready: Bytes,
    /// What it takes of the memory for messages held whole, to the end of its transfer.
    _room: Option<OwnedSemaphorePermit>,
}

/// What sealing shares with other connections.
pub(super) struct Sharing<'a> {
    pub(super) memory: &'a Memory,
    pub(super) clock: Clock,
    /// The end of the attempt; memory is not waited for longer.
    pub(super) limit: Timestamp,
}

/// Memory for messages that are held whole. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct Memory {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL_BUDGET_KIB)),
            large: Arc::new(Semaphore::new(LARGE_BUDGET_KIB)),
        }
    }
}

impl Sharing<'_> {
    /// Waits for the memory that sealing takes beyond a piece of the content.
    async fn room_for(&self, sealed: &Sealed) -> Result<Option<OwnedSemaphorePermit>, Unreadable> {
        if sealed.cipher == ContentCipher::Aes256Cbc {
            return Ok(None);
        }
        let kib = sealed.octets.saturating_mul(WHOLE_SHARE) / 1024 + 1;
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let (share, all) = match sealed.octets <= SMALL_OCTETS {
            true => (&self.memory.small, SMALL_BUDGET_KIB),
            false => (&self.memory.large, LARGE_BUDGET_KIB),
        };
        // One that is larger than all of it waits for all of it.
        let kib = kib.min(u32::try_from(all).unwrap_or(u32::MAX));
        let limit = self.limit.min(self.clock.now() + ROOM_TIME);
        tokio::select! {
            biased;
            room = Arc::clone(share).acquire_many_owned(kib) => Ok(room.ok()),
            () = self.clock.sleep_until(limit) => Err(Unreadable::NoRoom),
        }
    }
}

enum Seal {
    Going(Box<SealStream<Arc<Sealed>>>),
    /// Everything was made, and is what the recipe says.
    Ended,
    /// It failed, or was abandoned half-way.
    Lost,
}

impl Outgoing {
    /// What stands behind the prefix of `rendition`.
    pub(super) async fn open(
        rendition: &Rendition,
        content: &Content,
        sharing: Sharing<'_>,
    ) -> Result<Self, Unreadable> {
        let (seal, room) = match rendition.body() {
            Body::Accepted | Body::Untouched(_) | Body::Notice(_) => (None, None),
            Body::Sealed(recipe) => {
                let room = sharing.room_for(recipe).await?;
                let stream = SealStream::new(Arc::clone(recipe))?;
                (Some(Seal::Going(Box::new(stream))), room)
            }
        };
        let content = match rendition.deposit() {
            // The content itself is in the portal.
            Some(notice) => Content::from_bytes(notice.octets().to_vec()).open().await?,
            None => content.open().await?,
        };
        Ok(Self {
            content,
            seal,
            ready: Bytes::new(),
            _room: room,
        })
    }

    /// Octets of the accepted content.
    pub(super) fn accepted_octets(&self) -> u64 {
        self.content.len()
    }

    /// The next octets; `None` at the end, which is given once. After an error it only fails, as
    /// after a future that was dropped before it was ready.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        loop {
            if !self.ready.is_empty() {
                let piece = self.ready.len().min(PIECE_OCTETS);
                return Ok(Some(self.ready.split_to(piece)));
            }
            match self.seal.take() {
                None => {
                    return match self.content.next().await {
                        Ok(chunk) => Ok(chunk),
                        Err(error) => Err(error.into()),
                    };
                }
                Some(Seal::Ended) => {
                    self.seal = Some(Seal::Ended);
                    return Ok(None);
                }
                Some(Seal::Lost) => {
                    self.seal = Some(Seal::Lost);
                    return Err(Unreadable::Interrupted);
                }
                Some(Seal::Going(stream)) => self.seal_more(stream).await?,
            }
        }
    }

    async fn seal_more(
        &mut self,
        mut stream: Box<SealStream<Arc<Sealed>>>,
    ) -> Result<(), Unreadable> {
        // Until this is over there is no end, and nothing is content as it is.
        self.seal = Some(Seal::Lost);
        let (seal, out) = match self.content.next().await? {
            Some(chunk) => {
                let octets = chunk.len();
                working(octets, move || {
                    let mut out = Vec::new();
                    stream.push(&chunk, &mut out)?;
                    Ok((Seal::Going(stream), out))
                })
                .await?
            }
            None => {
                // AES-GCM does all of its work here.
                let octets = usize::try_from(self.content.len()).unwrap_or(usize::MAX);
                working(octets, move || {
                    let mut out = Vec::new();
                    stream.finish(&mut out)?;
                    Ok((Seal::Ended, out))
                })
                .await?
            }
        };
        self.seal = Some(seal);
        self.ready = out.into();
        Ok(())
    }
}

/// Does work on so many octets where it is, or on a thread for that.
async fn working<T: Send + 'static>(
    octets: usize,
    work: impl FnOnce() -> Result<T, CmsError> + Send + 'static,
) -> Result<T, Unreadable> {
    if octets <= INLINE_OCTETS {
        return Ok(work()?);
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Unreadable::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sealed::sample;

    #[tokio::test(start_paused = true)]
    async fn what_is_sealed_whole_waits_for_room_and_not_for_long() {
        let memory = Memory::new();
        let clock = Clock::starting_at(Timestamp::from_secs(1000));
        let sharing = Sharing {
            memory: &memory,
            clock,
            limit: clock.now() + Duration::from_secs(600),
        };
        let streamed = sample();
        assert_eq!(streamed.cipher, ContentCipher::Aes256Cbc);
        assert!(sharing.room_for(&streamed).await.unwrap().is_none());
        let of = |octets| Sealed {
            cipher: ContentCipher::Aes256Gcm,
            octets,
            ..sample()
        };
        let all = sharing.room_for(&of(u64::MAX)).await.unwrap().unwrap();
        assert_eq!(memory.large.available_permits(), 0);
        let begun = clock.now();
        let waited = sharing.room_for(&of(SMALL_OCTETS + 1)).await;
        assert!(matches!(waited, Err(Unreadable::NoRoom)), "{waited:?}");
        assert_eq!(clock.now(), begun + ROOM_TIME);
        // However many large ones are under way, small ones pass.
        let small = sharing.room_for(&of(4096)).await.unwrap().unwrap();
        assert_eq!((small.num_permits(), clock.now()), (9, begun + ROOM_TIME));
        drop(all);
        assert!(sharing.room_for(&of(SMALL_OCTETS + 1)).await.is_ok());
    }
}
