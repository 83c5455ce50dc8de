//! Where one JSON value ends and the next begins, in a stream that does not say.

/// Why no further value can be found in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A request is an object or an array; something else stands there.
    #[error("a request is a JSON object or an array of them")]
    NotAStructure,
    /// A value is longer than allowed.
    #[error("the request is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// Cuts a stream of bytes into JSON objects and arrays. Only brackets and strings are looked at:
/// whether what is between them is JSON is for the parser to say.
///
/// Each byte is looked at once, however small the pieces in which it comes.
#[derive(Debug)]
pub struct JsonStream {
    buffer: Vec<u8>,
    limit: usize,
    /// Bytes of `buffer` that were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonStream {
    /// A stream of values of at most `limit` bytes each.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        let buffer = Vec::new();
        Self { buffer, limit, seen: 0, depth: 0, in_string: false, escaped: false }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole value; `None` when there is none yet.
    ///
    /// # Errors
    /// See [`FrameError`]; after one, the stream is lost.
    pub fn next_value(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if self.depth == 0 {
            let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.drain(..blank);
        }
        while let Some(byte) = self.buffer.get(self.seen).copied() {
            self.seen += 1;
            if self.seen > self.limit {
                return Err(FrameError::TooLong { limit: self.limit });
            }
            if self.look(byte)? {
                let rest = self.buffer.split_off(self.seen);
                self.seen = 0;
                return Ok(Some(core::mem::replace(&mut self.buffer, rest)));
            }
        }
        Ok(None)
    }

    /// Whether a value ends with this byte.
    fn look(&mut self, byte: u8) -> Result<bool, FrameError> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'{' | b'[' => self.depth += 1,
            _ if self.depth == 0 => return Err(FrameError::NotAStructure),
            b'"' => self.in_string = true,
            b'}' | b']' => {
                self.depth -= 1;
                return Ok(self.depth == 0);
            }
            _ => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
