//! Packed payloads: zstd in 3.x packets, raw snappy blocks in 2.x ones.

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::packet::MAX_PACKET;
use super::{EncodeError, Ext, MeshError, PackedError, Packet};

/// Payloads above this many bytes are worth packing (`c_compressThreshold` in FISCO, both worlds).
pub const COMPRESS_ABOVE: usize = 1024;
/// Largest payload after unpacking, bytes; as large as a packet may be.
pub const MAX_UNPACKED: usize = MAX_PACKET;
/// FISCO's compression level.
const LEVEL: i32 = 1;
/// A zstd block has at least four bytes that matter and unpacks to at most 128 KiB (RFC 8878).
const ZSTD_BLOCK: (u64, u64) = (4, 128 * 1024);
/// A snappy copy takes at least three bytes for at most 64; the shortest stream for a content.
const SNAPPY_RATIO: u64 = 22;

/// Packs bytes into one zstd frame that says its content size and has no checksum, as FISCO's does.
///
/// # Errors
/// When memory runs out.
pub fn compress(payload: &[u8]) -> Result<Bytes, EncodeError> {
    let packed = Compressor::new(LEVEL).and_then(|mut zstd| zstd.compress(payload));
    packed.map(Bytes::from).map_err(|_| EncodeError::Compressor)
}

/// Unpacks one zstd frame of at most `limit` bytes of content (itself at most [`MAX_UNPACKED`]).
///
/// # Errors
/// When the payload is not exactly one frame, does not give its content size, gives one that is 0,
/// above the limit or impossible for its length (all seen before memory is taken), or is corrupt.
pub fn decompress(payload: &[u8], limit: usize) -> Result<Bytes, PackedError> {
    let size = zstd_safe::get_frame_content_size(payload)
        .map_err(|_| PackedError::Corrupt)?
        .filter(|size| *size != 0)
        .ok_or(PackedError::NoContentSize)?;
    let blocks = payload.len() as u64 / ZSTD_BLOCK.0;
    let size = checked_size(payload.len(), size, limit, blocks * ZSTD_BLOCK.1)?;
    let one_frame = zstd_safe::find_frame_compressed_size(payload);
    if one_frame.map_err(|_| PackedError::Corrupt)? != payload.len() {
        return Err(PackedError::NotOneFrame);
    }
    let content = Decompressor::new().and_then(|mut zstd| zstd.decompress(payload, size));
    match content {
        Ok(content) if content.len() == size => Ok(content.into()),
        _ => Err(PackedError::Corrupt),
    }
}

/// Packs bytes into a raw snappy block, for 2.x packets.
///
/// # Errors
/// When the payload is above 4 GiB.
pub fn compress_snappy(payload: &[u8]) -> Result<Bytes, EncodeError> {
    let packed = snap::raw::Encoder::new().compress_vec(payload);
    packed.map(Bytes::from).map_err(|_| EncodeError::Compressor)
}

/// Unpacks a raw snappy block of at most `limit` bytes of content (itself at most
/// [`MAX_UNPACKED`]).
///
/// # Errors
/// When the content is above the limit or impossible for the length of the block (both seen before
/// memory is taken), or the block is corrupt.
pub fn decompress_snappy(payload: &[u8], limit: usize) -> Result<Bytes, PackedError> {
    let size = snap::raw::decompress_len(payload).map_err(|_| PackedError::Corrupt)?;
    checked_size(payload.len(), size as u64, limit, payload.len() as u64 * SNAPPY_RATIO)?;
    let content = snap::raw::Decoder::new().decompress_vec(payload);
    content.map(Bytes::from).map_err(|_| PackedError::Corrupt)
}

fn checked_size(
    packed: usize,
    size: u64,
    limit: usize,
    possible: u64,
) -> Result<usize, PackedError> {
    let limit = limit.min(MAX_UNPACKED);
    let fits = usize::try_from(size).ok().filter(|size| *size <= limit);
    let fits = fits.ok_or(PackedError::TooLarge { size, limit })?;
    if size > possible {
        return Err(PackedError::Impossible { packed, size });
    }
    Ok(fits)
}

impl Packet {
    /// Packs the payload if it is above [`COMPRESS_ABOVE`] bytes, the version allows it, it is not
    /// packed yet and becomes smaller; sets [`Ext::COMPRESS`].
    ///
    /// # Errors
    /// As [`compress`].
    pub fn pack(&mut self) -> Result<(), EncodeError> {
        let packed = self.ext.contains(Ext::COMPRESS);
        if packed || !self.version.may_compress() || self.payload.len() <= COMPRESS_ABOVE {
            return Ok(());
        }
        let smaller = compress(&self.payload)?;
        if smaller.len() < self.payload.len() {
            self.payload = smaller;
            self.ext = self.ext | Ext::COMPRESS;
        }
        Ok(())
    }

    /// Unpacks the payload if [`Ext::COMPRESS`] is set, in any version, and clears the bit.
    ///
    /// # Errors
    /// As [`decompress`]; the packet is then as it was.
    pub fn unpack(&mut self) -> Result<(), MeshError> {
        if self.ext.contains(Ext::COMPRESS) {
            self.payload = decompress(&self.payload, MAX_UNPACKED)?;
            self.ext = self.ext.without(Ext::COMPRESS);
        }
        Ok(())
    }
}
