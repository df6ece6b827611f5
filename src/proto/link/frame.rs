//! Lines and the octets behind them.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line, its newline included.
pub const MAX_LINE_OCTETS: usize = 256 * 1024;

/// The octets are not what this end can read; the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over [`MAX_LINE_OCTETS`].
    #[error("the line is too long")]
    TooLong,
    /// Not JSON, or not of the expected kind.
    #[error("the line is not understood")]
    NotUnderstood,
}

/// A value as a line.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut line = serde_json::to_vec(value).map_err(|_| FrameError::NotUnderstood)?;
    line.push(b'\n');
    match line.len() <= MAX_LINE_OCTETS {
        true => Ok(line),
        false => Err(FrameError::TooLong),
    }
}

/// Takes octets as they come and gives lines out as values. Raw octets behind a line are taken
/// out by [`Decoder::raw`]; it is for the reader to know how many belong to it.
#[derive(Debug)]
pub struct Decoder<T> {
    buffer: Vec<u8>,
    /// Up to here there is no newline.
    searched: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
            value: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Takes octets in.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next line, if it is there whole.
    pub fn next_line(&mut self) -> Result<Option<T>, FrameError> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', rest) else {
            self.searched = self.buffer.len();
            return match self.buffer.len() < MAX_LINE_OCTETS {
                true => Ok(None),
                false => Err(FrameError::TooLong),
            };
        };
        let end = self.searched + found;
        if end >= MAX_LINE_OCTETS {
            return Err(FrameError::TooLong);
        }
        let line = self.buffer.get(..end).unwrap_or_default();
        let value = serde_json::from_slice(line).map_err(|_| FrameError::NotUnderstood)?;
        self.buffer.drain(..=end);
        self.searched = 0;
        Ok(Some(value))
    }

    /// Takes out up to `most` octets that were pushed and belong to no line yet.
    pub fn raw(&mut self, most: u64) -> Vec<u8> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.searched = 0;
        self.buffer.drain(..most.min(self.buffer.len())).collect()
    }

    /// Whether everything that was pushed was taken out.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, MessageId};
    use crate::proto::link::ToPortal;

    fn withdraw(number: u64) -> ToPortal {
        ToPortal::Withdraw {
            queue_id: MessageId::new(number),
            recipient: Address::parse("kim@portal.example").unwrap(),
        }
    }

    #[test]
    fn lines_and_raw_octets_come_out_as_they_went_in_however_they_are_cut() {
        let mut stream = encode(&withdraw(1)).unwrap();
        stream.extend_from_slice(b"raw\n{\n");
        stream.extend(encode(&withdraw(2)).unwrap());
        for cut in 1..stream.len() {
            let mut decoder = Decoder::<ToPortal>::default();
            let (mut lines, mut raw) = (Vec::new(), Vec::new());
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                loop {
                    if lines.len() == 1 && raw.len() < 6 {
                        let wanted = 6 - raw.len() as u64;
                        raw.extend(decoder.raw(wanted));
                        if raw.len() < 6 {
                            break;
                        }
                    }
                    match decoder.next_line().unwrap() {
                        Some(line) => lines.push(line),
                        None => break,
                    }
                }
            }
            assert_eq!(lines, [withdraw(1), withdraw(2)], "{cut}");
            assert_eq!(raw, b"raw\n{\n", "{cut}");
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn refuses_what_is_too_long_or_none() {
        let mut decoder = Decoder::<ToPortal>::default();
        decoder.push(&vec![b' '; MAX_LINE_OCTETS]);
        assert_eq!(decoder.next_line(), Err(FrameError::TooLong));
        let mut decoder = Decoder::<ToPortal>::default();
        decoder.push(b"{\"request\":\"nothing\"}\n");
        assert_eq!(decoder.next_line(), Err(FrameError::NotUnderstood));
    }
}
