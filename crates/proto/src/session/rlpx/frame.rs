//! RLPx frames: sealing and opening of messages once the keys are there.
//!
//! `header (16) ‖ header tag (16) ‖ body, padded to 16 ‖ body tag (16)`. The header holds the
//! length of the body in three bytes. Cipher and MAC run over each direction as one stream.
//! Bodies are worked on in pieces that stay in the first-level cache, and as they arrive.

use aes::Aes256Enc;
use aes::cipher::{KeyIvInit, StreamCipher};
use bytes::{Buf, Bytes, BytesMut};

use super::handshake::Secrets;
use super::mac::{FrameMac, tags_match};

/// Largest body of a frame: what fits into three bytes.
pub const MAX_FRAME: usize = (1 << 24) - 1;

/// Header and its tag.
const HEADER: usize = 32;
const TAG: usize = 16;
/// Cipher and MAC go over a body in pieces of this size, so that the second pass finds it in the
/// first-level cache (32 KiB on the machines we know).
const PIECE: usize = 8 * 1024;

/// What follows the length in a header: an empty list of two zeroes, `[capability id, context id]`,
/// both unused.
const HEADER_DATA: [u8; 3] = [0xc2, 0x80, 0x80];

/// The cipher of one direction. To begin a run of it costs as much as several blocks, so the
/// keystream of the next header, one block, is made together with that of the body before it:
/// once for a frame, not twice.
struct Cipher {
    stream: ctr::Ctr64BE<Aes256Enc>,
    header: [u8; 16],
}

impl Cipher {
    fn new(key: &[u8; 32]) -> Self {
        let mut stream = ctr::Ctr64BE::new(key.into(), (&[0; 16]).into());
        let mut header = [0; 16];
        stream.apply_keystream(&mut header);
        Self { stream, header }
    }

    fn apply_to_header(&self, header: &mut [u8; 16]) {
        for (byte, key) in header.iter_mut().zip(&self.header) {
            *byte ^= key;
        }
    }

    fn apply_to_body(&mut self, piece: &mut [u8]) {
        self.stream.apply_keystream(piece);
    }

    /// The last piece of a body, with 16 bytes of zero behind it that are scratch.
    fn apply_to_last(&mut self, piece: &mut [u8]) {
        self.stream.apply_keystream(piece);
        if let Some(keystream) = piece.last_chunk() {
            self.header = *keystream;
        }
    }
}

/// Why a frame cannot be read; the peer is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The tag of a header is wrong.
    #[error("the MAC of a frame header is wrong")]
    HeaderMac,
    /// The tag of a body is wrong.
    #[error("the MAC of a frame is wrong")]
    BodyMac,
    /// The header announces more than is allowed at this point.
    #[error("a frame of {size} bytes was announced, at most {limit} are allowed here")]
    TooLarge {
        /// Announced size of the body, bytes.
        size: usize,
        /// What is allowed, bytes.
        limit: usize,
    },
}

/// Seals what we send.
pub(super) struct FrameWriter {
    cipher: Cipher,
    mac: FrameMac,
}

/// Opens what we receive.
pub(super) struct FrameReader {
    cipher: Cipher,
    mac: FrameMac,
    /// The frame whose header was read.
    open: Option<OpenFrame>,
    /// Size of the largest frame that was ever read whole: what a peer has proved, buffers may
    /// rely on.
    proven: usize,
}

#[derive(Clone, Copy)]
struct OpenFrame {
    /// Body without padding.
    size: usize,
    /// Bytes of the padded body that went through MAC and cipher.
    done: usize,
}

impl OpenFrame {
    const fn padded(self) -> usize {
        self.size.next_multiple_of(16)
    }
}

pub(super) fn frames(secrets: &Secrets) -> (FrameWriter, FrameReader) {
    let cipher = || Cipher::new(&secrets.aes);
    let mac = |(nonce, packet): &([u8; 32], Vec<u8>)| FrameMac::new(&secrets.mac, nonce, packet);
    let writer = FrameWriter { cipher: cipher(), mac: mac(&secrets.egress) };
    let reader =
        FrameReader { cipher: cipher(), mac: mac(&secrets.ingress), open: None, proven: 0 };
    (writer, reader)
}

impl FrameWriter {
    /// Appends one frame to `out`; its body is `head ‖ body`, together at most [`MAX_FRAME`].
    pub(super) fn write(&mut self, head: &[u8], body: &[u8], out: &mut BytesMut) {
        let size = head.len() + body.len();
        debug_assert!(size <= MAX_FRAME, "the session cuts messages off at a smaller size");
        let padding = size.next_multiple_of(16) - size;
        out.reserve(HEADER + size + padding + TAG);

        let mut header = [0; 16];
        let [_, length @ ..] = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
        for (to, from) in header.iter_mut().zip(length.iter().chain(&HEADER_DATA)) {
            *to = *from;
        }
        self.cipher.apply_to_header(&mut header);
        out.extend_from_slice(&header);
        out.extend_from_slice(&self.mac.header_tag(&header));

        // The head goes with the first piece, the padding with the last.
        let first = body.len().min(PIECE);
        let (first, mut rest) = body.split_at(first);
        let mut from = out.len();
        out.extend_from_slice(head);
        out.extend_from_slice(first);
        while !rest.is_empty() {
            self.seal(out, from);
            from = out.len();
            let (piece, later) = rest.split_at(rest.len().min(PIECE));
            out.extend_from_slice(piece);
            rest = later;
        }
        // Where the tag will be there is room for the next header's keystream.
        out.resize(out.len() + padding + TAG, 0);
        let Some(last) = out.get_mut(from..) else { return };
        self.cipher.apply_to_last(last);
        let Some((last, tag)) = last.split_last_chunk_mut::<TAG>() else { return };
        self.mac.update(last);
        *tag = self.mac.body_tag();
    }

    fn seal(&mut self, out: &mut BytesMut, from: usize) {
        if let Some(piece) = out.get_mut(from..) {
            self.cipher.apply_to_body(piece);
            self.mac.update(piece);
        }
    }
}

impl FrameReader {
    /// Reads the next frame from `input`, if it is there whole; its bytes are decrypted where they
    /// are and taken off without a copy. `limit` is the largest body that is allowed now.
    pub(super) fn read(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        if !self.begin(input, limit)? {
            return Ok(None);
        }
        let Some(mut frame) = self.open else { return Ok(None) };
        let padded = frame.padded();
        if input.len() < padded + TAG {
            self.work(&mut frame, input);
            self.open = Some(frame);
            return Ok(None);
        }
        self.open = None;
        self.finish(frame, input)?;
        let mut body = input.split_to(padded + TAG);
        body.truncate(frame.size);
        self.proven = self.proven.max(frame.size);
        Ok(Some(body.freeze()))
    }

    /// Reads the header of the next frame, if it is there: its tag is the first thing that only
    /// the holder of the session's keys can make. Returns whether a frame is open.
    pub(super) fn begin(&mut self, input: &mut BytesMut, limit: usize) -> Result<bool, FrameError> {
        if self.open.is_none() {
            self.open = self.read_header(input, limit)?;
        }
        Ok(self.open.is_some())
    }

    fn read_header(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<OpenFrame>, FrameError> {
        let Some((header, rest)) = input.split_first_chunk_mut::<16>() else { return Ok(None) };
        let Some(theirs) = rest.first_chunk::<TAG>() else { return Ok(None) };
        if !tags_match(&self.mac.header_tag(header), theirs) {
            return Err(FrameError::HeaderMac);
        }
        self.cipher.apply_to_header(header);
        let [a, b, c, ..] = *header;
        let size = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        input.advance(HEADER);
        if size > limit {
            return Err(FrameError::TooLarge { size, limit });
        }
        Ok(Some(OpenFrame { size, done: 0 }))
    }

    /// Takes what is there of a body that has not come whole through MAC and cipher.
    fn work(&mut self, frame: &mut OpenFrame, input: &mut BytesMut) {
        let there = input.len().min(frame.padded());
        let Some(fresh) = input.get_mut(frame.done..there) else { return };
        for piece in fresh.chunks_mut(PIECE) {
            self.mac.update(piece);
            self.cipher.apply_to_body(piece);
        }
        frame.done = there;
    }

    /// The rest of a body that is there whole, and its tag.
    fn finish(&mut self, frame: OpenFrame, input: &mut BytesMut) -> Result<(), FrameError> {
        let (mut done, padded) = (frame.done, frame.padded());
        while padded - done > PIECE
            && let Some(piece) = input.get_mut(done..done + PIECE)
        {
            self.mac.update(piece);
            self.cipher.apply_to_body(piece);
            done += PIECE;
        }
        let Some(rest) = input.get_mut(done..padded + TAG) else { return Err(FrameError::BodyMac) };
        let Some((last, tag)) = rest.split_last_chunk_mut::<TAG>() else {
            return Err(FrameError::BodyMac);
        };
        self.mac.update(last);
        if !tags_match(&self.mac.body_tag(), tag) {
            return Err(FrameError::BodyMac);
        }
        // The tag has been read: its place takes the next header's keystream.
        *tag = [0; TAG];
        self.cipher.apply_to_last(rest);
        Ok(())
    }

    /// How many bytes a reader should have room for, given what is in its buffer: the rest of the
    /// open frame, but never more than twice what has really come, or than frames that this peer
    /// has sent before. A length that a peer claims is not believed.
    pub(super) fn wanted(&self, buffered: usize, step: usize) -> usize {
        let Some(frame) = self.open else { return step };
        let missing = (frame.padded() + TAG).saturating_sub(buffered);
        missing.clamp(1, step.max(buffered).max(self.proven + HEADER + TAG))
    }
}
