//! Snappy in its block format, as every message of p2p version 5 but Hello is packed.
//!
//! Two things are done beside calling the `snap` crate. A message that would not shrink is sent as
//! one literal, which the format allows: five bytes are put before it and it is not copied; on the
//! way in such a message is a slice of the frame. And nothing is allocated by a length that a peer
//! claims before it is known that the bytes which came can really unpack to so much.

use bytes::{Buf, Bytes};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// Largest unpacked message, bytes (devp2p: 16 MiB, and a frame holds no more).
pub const MAX_UNPACKED: usize = (1 << 24) - 1;

/// Messages below this size are sent as they are: what packing could save of them costs less to
/// send than to find (a keccak permutation takes 136 bytes).
const MIN_PACKED: usize = 512;
/// Size of the sample that decides whether a larger message is worth packing.
const SAMPLE: usize = 1024;

/// Memory that is kept from one packed message to the next, bytes.
const MAX_KEPT: usize = 256 * 1024;

/// The format's best ratio is a copy of 64 bytes in 3; every claim above it is a lie.
const MAX_RATIO: usize = 22;

/// Preamble (up to 5 bytes) and literal tag (up to 4).
const MAX_LITERAL_HEAD: usize = 9;

/// Why a message cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// It claims to unpack to more than is allowed.
    #[error("a message claims to unpack to {0} bytes, at most {MAX_UNPACKED} are allowed")]
    TooLarge(usize),
    /// It claims to unpack to more than the format can express in so few bytes.
    #[error("a message of {packed} bytes claims to unpack to {claimed}")]
    ImpossibleRatio {
        /// Bytes that came.
        packed: usize,
        /// What they claim to be.
        claimed: usize,
    },
    /// It is no snappy block.
    #[error("a message is not in snappy's block format")]
    Malformed,
}

/// The packer of one connection. Its tables (up to 34 KiB) exist only while it is busy.
#[derive(Default)]
pub(super) struct Packer {
    encoder: Option<Box<Encoder>>,
    packed: Vec<u8>,
}

/// A packed message in two parts.
pub(super) struct Packed<'a> {
    head: [u8; MAX_LITERAL_HEAD],
    head_length: usize,
    body: &'a [u8],
}

impl Packed<'_> {
    pub(super) fn head(&self) -> &[u8] {
        self.head.get(..self.head_length).unwrap_or_default()
    }

    pub(super) const fn body(&self) -> &[u8] {
        self.body
    }
}

impl Packer {
    /// Gives back the memory of a message that was far larger than most.
    pub(super) fn trim(&mut self) {
        if self.packed.capacity() > MAX_KEPT {
            self.packed = Vec::new();
        }
    }

    /// Packs `message`, which is at most [`MAX_UNPACKED`] long.
    pub(super) fn pack<'a>(&'a mut self, message: &'a [u8]) -> Packed<'a> {
        if message.len() >= MIN_PACKED && self.is_worth_it(message) {
            let encoder = self.encoder.get_or_insert_with(|| Box::new(Encoder::new()));
            self.packed.resize(max_compress_len(message.len()), 0);
            if let Ok(length) = encoder.compress(message, &mut self.packed)
                && length < message.len()
            {
                let body = self.packed.get(..length).unwrap_or_default();
                return Packed { head: [0; MAX_LITERAL_HEAD], head_length: 0, body };
            }
        }
        literal(message)
    }

    /// Whether a sample from the middle shrinks by a tenth or more.
    fn is_worth_it(&mut self, message: &[u8]) -> bool {
        if message.len() <= 2 * SAMPLE {
            return true;
        }
        let from = message.len() / 2;
        let Some(sample) = message.get(from..from + SAMPLE) else { return true };
        let encoder = self.encoder.get_or_insert_with(|| Box::new(Encoder::new()));
        self.packed.resize(max_compress_len(SAMPLE), 0);
        encoder.compress(sample, &mut self.packed).is_ok_and(|length| length < SAMPLE * 9 / 10)
    }

    /// Gives the memory back, until the next message needs it.
    pub(super) fn rest(&mut self) {
        self.encoder = None;
        self.packed = Vec::new();
    }

    #[cfg(test)]
    pub(super) fn is_resting(&self) -> bool {
        self.encoder.is_none() && self.packed.capacity() == 0
    }
}

/// The message as one literal.
fn literal(message: &[u8]) -> Packed<'_> {
    let mut head = [0; MAX_LITERAL_HEAD];
    let mut at = 0;
    let mut put = |byte: u8| {
        if let Some(place) = head.get_mut(at) {
            *place = byte;
            at += 1;
        }
    };
    let mut left = message.len();
    while left >= 0x80 {
        put((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    put(left as u8);
    if let Some(last) = message.len().checked_sub(1) {
        if last < 60 {
            put((last as u8) << 2);
        } else {
            let bytes = last.to_le_bytes();
            let significant = bytes.len() - bytes.iter().rev().take_while(|b| **b == 0).count();
            put((59 + significant as u8) << 2);
            bytes.iter().take(significant).for_each(|byte| put(*byte));
        }
    }
    Packed { head, head_length: at, body: message }
}

/// Unpacks a message.
pub(super) fn unpack(mut packed: Bytes) -> Result<Bytes, SnappyError> {
    let claimed = decompress_len(&packed).map_err(|error| match error {
        snap::Error::TooBig { given, .. } => {
            SnappyError::TooLarge(usize::try_from(given).unwrap_or(usize::MAX))
        }
        _ => SnappyError::Malformed,
    })?;
    if claimed > MAX_UNPACKED {
        return Err(SnappyError::TooLarge(claimed));
    }
    if let Some(head) = whole_literal(&packed, claimed) {
        packed.advance(head);
        return Ok(packed);
    }
    if claimed > packed.len().saturating_mul(MAX_RATIO) {
        return Err(SnappyError::ImpossibleRatio { packed: packed.len(), claimed });
    }
    let mut message = vec![0; claimed];
    match Decoder::new().decompress(&packed, &mut message) {
        Ok(length) if length == claimed => Ok(message.into()),
        _ => Err(SnappyError::Malformed),
    }
}

/// If the block is a single literal of `claimed` bytes: where it begins.
fn whole_literal(packed: &[u8], claimed: usize) -> Option<usize> {
    let preamble = packed.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let tag = *packed.get(preamble)?;
    if tag & 0b11 != 0 {
        return None;
    }
    let short = usize::from(tag >> 2);
    let (last, width) = if short < 60 {
        (short, 0)
    } else {
        let width = short - 59;
        let bytes = packed.get(preamble + 1..preamble + 1 + width)?;
        (bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), width)
    };
    let head = preamble + 1 + width;
    (last.checked_add(1) == Some(claimed) && packed.len() - head == claimed).then_some(head)
}

#[cfg(test)]
mod tests;
