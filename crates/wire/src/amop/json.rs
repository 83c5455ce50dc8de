//! The JSON of AMOP: written byte for byte as jsoncpp's `FastWriter` does, read strictly and within
//! limits.

use core::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::{AmopError, JsonFault, MAX_TOPICS};
use crate::mesh::EncodeError;

/// Writes one object or array without blanks. Object keys are the caller's business: `FastWriter`
/// writes them in ascending order.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn raw(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    pub(super) fn number(self, number: impl Into<i64>) -> Self {
        let text = number.into().to_string();
        self.raw(&text)
    }

    /// A string in quotes. `FastWriter` leaves printable ASCII (and 0x7f) as it is, the slash too;
    /// all above is `\uxxxx` in lower case, in pairs of surrogates from U+10000 on.
    pub(super) fn string(mut self, text: &str) -> Self {
        self.0.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\u{8}' => self.0.push_str("\\b"),
                '\u{c}' => self.0.push_str("\\f"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                ' '..='\u{7f}' => self.0.push(letter),
                _ => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.0.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        self.0.push('"');
        self
    }

    pub(super) fn strings<'a>(self, list: impl IntoIterator<Item = &'a String>) -> Self {
        let mut out = self.raw("[");
        for (at, text) in list.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            out = out.raw(comma).string(text);
        }
        out.raw("]")
    }

    /// What was written, as SDKs send it.
    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }

    /// What was written, with the newline that `FastWriter` ends with.
    pub(super) fn finish_line(self) -> Bytes {
        self.raw("\n").finish()
    }
}

/// Reads a body that is one object. Fields that are not known are passed over.
pub(super) fn read_object<T: DeserializeOwned>(
    what: &'static str,
    body: &[u8],
) -> Result<T, AmopError> {
    // serde would take an array for the fields in their order.
    let first = body.iter().position(|byte| !b" \t\n\r".contains(byte)).unwrap_or(0);
    if let Some((before, [b'[', ..])) = body.split_at_checked(first) {
        let newlines = before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        return Err(AmopError::Json { what, fault: JsonFault::Shape, line: newlines + 1, column });
    }
    read(what, body)
}

/// Reads a whole body.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, AmopError> {
    let text = core::str::from_utf8(body).map_err(|_| AmopError::NotText(what))?;
    serde_json::from_str(text).map_err(|error| {
        use serde_json::error::Category;
        let fault = match error.classify() {
            Category::Data => JsonFault::Shape,
            Category::Eof => JsonFault::End,
            Category::Syntax | Category::Io => JsonFault::Syntax,
        };
        AmopError::Json { what, fault, line: error.line(), column: error.column() }
    })
}

/// A list of topics as it comes: no more than `MOST` are kept, the others are counted.
#[derive(Debug, Default)]
pub(super) struct Topics<const MOST: usize = MAX_TOPICS> {
    kept: Vec<String>,
    count: usize,
}

impl<const MOST: usize> Topics<MOST> {
    /// The list, if it is within the limits; `most` bytes for each topic.
    pub(super) fn checked(self, most: usize) -> Result<Vec<String>, AmopError> {
        if self.count > MOST {
            let (count, limit) = (self.count, MOST);
            return Err(AmopError::TooMany { what: "topics", count, limit });
        }
        match self.kept.iter().map(String::len).max() {
            Some(size) if size > most => {
                Err(AmopError::TooLarge { what: "topic", size, limit: most })
            }
            _ => Ok(self.kept),
        }
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Topics<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for List<MOST> {
            type Value = Topics<MOST>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of topics")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Topics<MOST>, A::Error> {
                let mut topics = Topics::default();
                while topics.count < MOST {
                    let Some(topic) = list.next_element()? else { return Ok(topics) };
                    topics.kept.push(topic);
                    topics.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    topics.count += 1;
                }
                Ok(topics)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A list that may be sent, of at most `limit` topics of at most `most` bytes.
pub(super) fn sendable(
    topics: &[String],
    limit: usize,
    most: usize,
) -> Result<&[String], EncodeError> {
    if topics.len() > limit {
        let count = topics.len();
        return Err(EncodeError::TooMany { what: "topics", count, limit });
    }
    match topics.iter().map(String::len).max() {
        Some(size) if size > most => {
            Err(EncodeError::TooLarge { what: "topic", size, limit: most })
        }
        _ => Ok(topics),
    }
}
