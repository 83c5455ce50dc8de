//! Reading block by block, in bounded memory: a length that the file claims is a reason to read
//! on, never to allocate.

use std::io::{self, Read};

use super::{FileError, MAX_BLOCK_LENGTH};

/// A block of a chain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBlock {
    /// The byte of the file at which it begins.
    pub offset: u64,
    /// One RLP list.
    pub rlp: Vec<u8>,
}

/// Reads blocks from a stream.
#[derive(Debug)]
pub struct BlockReader<R> {
    input: R,
    offset: u64,
}

impl<R: Read> BlockReader<R> {
    /// Reads from `input`, which is best buffered.
    pub const fn new(input: R) -> Self {
        Self { input, offset: 0 }
    }

    /// How many bytes have been read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block; `None` at the end of the file. `block` is the number that is expected, for
    /// the error to name.
    ///
    /// # Errors
    /// [`FileError::Read`], [`FileError::Cut`], [`FileError::NotAList`] and
    /// [`FileError::TooLong`]. After an error there is nothing more to be read.
    pub fn next_block(&mut self, block: u64) -> Result<Option<RawBlock>, FileError> {
        let offset = self.offset;
        let failed = |source| FileError::Read { block, offset, source };
        let mut rlp = Vec::new();
        if self.read_more(1, &mut rlp).map_err(failed)? == 0 {
            return Ok(None);
        }
        let first = rlp.first().copied().unwrap_or_default();
        let length = match first {
            0xc0..=0xf7 => u64::from(first - 0xc0),
            0xf8..=0xff => {
                let digits = u64::from(first - 0xf7);
                if self.read_more(digits, &mut rlp).map_err(failed)? < digits {
                    return Err(FileError::Cut { block, offset });
                }
                let digits = rlp.iter().skip(1);
                digits.fold(0, |length, digit| (length << 8) | u64::from(*digit))
            }
            _ => return Err(FileError::NotAList { block, offset }),
        };
        if length > MAX_BLOCK_LENGTH as u64 {
            return Err(FileError::TooLong { block, offset, length });
        }
        if self.read_more(length, &mut rlp).map_err(failed)? < length {
            return Err(FileError::Cut { block, offset });
        }
        Ok(Some(RawBlock { offset, rlp }))
    }

    /// Reads up to `count` bytes; less at the end of the file. The buffer grows with what comes.
    fn read_more(&mut self, count: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let read = self.input.by_ref().take(count).read_to_end(into)? as u64;
        self.offset = self.offset.saturating_add(read);
        Ok(read)
    }
}
