//! Values come out as they went in, however they were cut.

use super::{FrameError, JsonStream};

fn values(stream: &mut JsonStream) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(value) = stream.next_value().unwrap() {
        all.push(String::from_utf8(value).unwrap());
    }
    all
}

#[test]
fn values_do_not_depend_on_how_the_stream_is_cut() {
    let text = r#" {"a":"}\"]{","b":[1,{"c":"\\"}]}{"d":1}
        [1,2,[3]]  "#;
    let expected = [r#"{"a":"}\"]{","b":[1,{"c":"\\"}]}"#, r#"{"d":1}"#, "[1,2,[3]]"];
    for size in 1..=text.len() {
        let mut stream = JsonStream::new(100);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            stream.push(piece);
            found.extend(values(&mut stream));
        }
        assert_eq!(found, expected, "in pieces of {size} bytes");
    }
}

#[test]
fn anything_but_an_object_or_an_array_is_refused() {
    for text in ["1", "\"text\"", "}", "null", "{}x", "GET / HTTP/1.1"] {
        let mut stream = JsonStream::new(100);
        stream.push(text.as_bytes());
        let error = loop {
            match stream.next_value() {
                Ok(value) => assert_eq!(value.as_deref(), Some(b"{}".as_slice())),
                Err(error) => break error,
            }
        };
        assert_eq!(error, FrameError::NotAStructure, "{text}");
    }
}

#[test]
fn a_value_above_the_limit_is_refused_and_one_at_it_is_not() {
    let mut stream = JsonStream::new(10);
    stream.push(b"[12345678]");
    assert_eq!(values(&mut stream), ["[12345678]"]);
    stream.push(b"[123456789]");
    assert_eq!(stream.next_value(), Err(FrameError::TooLong { limit: 10 }));
}

#[test]
fn deep_nesting_is_only_counted() {
    let mut stream = JsonStream::new(1 << 20);
    stream.push(&[b'['; 500_000]);
    assert_eq!(stream.next_value(), Ok(None));
    stream.push(&[b']'; 500_000]);
    assert_eq!(stream.next_value().unwrap().unwrap().len(), 1_000_000);
}
