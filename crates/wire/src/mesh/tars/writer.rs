//! Writes Tars fields.

use bytes::{BufMut, Bytes, BytesMut};

/// Writes fields behind each other. The caller keeps the tags of a struct in ascending order and
/// ends what it begins.
#[derive(Debug, Default)]
pub struct Writer {
    out: BytesMut,
}

impl Writer {
    /// A writer without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn head(&mut self, tag: u8, kind: u8) -> &mut BytesMut {
        if tag < 15 {
            self.out.put_u8(tag << 4 | kind);
        } else {
            self.out.put_u8(0xf0 | kind);
            self.out.put_u8(tag);
        }
        &mut self.out
    }

    /// An integer, in the smallest kind that holds it.
    pub fn integer(&mut self, tag: u8, value: i64) {
        if value == 0 {
            self.head(tag, 12);
        } else if let Ok(value) = i8::try_from(value) {
            self.head(tag, 0).put_i8(value);
        } else if let Ok(value) = i16::try_from(value) {
            self.head(tag, 1).put_i16(value);
        } else if let Ok(value) = i32::try_from(value) {
            self.head(tag, 2).put_i32(value);
        } else {
            self.head(tag, 3).put_i64(value);
        }
    }

    /// A string. Above 4 GiB, where the format ends and no packet reaches, it is cut.
    pub fn string(&mut self, tag: u8, value: &[u8]) {
        if let Ok(length) = u8::try_from(value.len()) {
            self.head(tag, 6).put_u8(length);
            self.out.put_slice(value);
        } else {
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            self.head(tag, 7).put_u32(length);
            self.out.put_slice(value.get(..length as usize).unwrap_or(value));
        }
    }

    /// The head of a list; its elements follow, each with tag 0.
    pub fn begin_list(&mut self, tag: u8, count: usize) {
        self.head(tag, 9);
        self.count(count);
    }

    /// The head of a map; keys with tag 0 and values with tag 1 follow in turn.
    pub fn begin_map(&mut self, tag: u8, count: usize) {
        self.head(tag, 8);
        self.count(count);
    }

    /// Begins a struct.
    pub fn begin_struct(&mut self, tag: u8) {
        self.head(tag, 10);
    }

    /// Ends a struct.
    pub fn end_struct(&mut self) {
        self.head(0, 11);
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    fn count(&mut self, count: usize) {
        self.integer(0, i64::try_from(count).unwrap_or(i64::MAX));
    }
}
