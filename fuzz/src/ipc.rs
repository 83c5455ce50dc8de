//! The stream of JSON values on a node's socket.

use chainmesh_node::ipc::{FrameError, JsonStream};
use serde::de::IgnoredAny;

use crate::cursor::Cursor;

/// The values of a stream, and the error with which it ends.
fn values(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut stream = JsonStream::new(limit);
    let mut values = Vec::new();
    for piece in pieces {
        stream.push(piece);
        loop {
            match stream.next_value() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

/// A stream cut in pieces is the same as the whole, and each value that a JSON parser finds in it
/// is found.
pub fn ipc_framing(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let limit = usize::from(cursor.byte()) + 1;
    let piece = usize::from(cursor.below(32)) + 1;
    let text = cursor.take(usize::MAX);
    let (found, error) = values(&[text], limit);
    let pieces: Vec<_> = text.chunks(piece).collect();
    assert_eq!(values(&pieces, limit), (found.clone(), error), "cut or not, it is the same");
    for value in &found {
        assert!(value.len() <= limit);
        assert!(matches!(value.first(), Some(b'{' | b'[')));
        assert!(matches!(value.last(), Some(b'}' | b']')));
    }
    let mut found = found.into_iter();
    let mut parser = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    loop {
        let before = parser.byte_offset();
        let Some(Ok(_)) = parser.next() else { return };
        let value = text[before..parser.byte_offset()].trim_ascii_start();
        if !matches!(value.first(), Some(b'{' | b'[')) || value.len() > limit {
            return;
        }
        assert_eq!(found.next().as_deref(), Some(value));
    }
}
