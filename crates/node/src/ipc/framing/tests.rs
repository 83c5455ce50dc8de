//! Values come out as they went in, however they were cut.

use proptest::prelude::*;
use serde_json::{Value, json};

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

/// Any text that may stand in a string, quotes and backslashes more often than others.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just('"'), Just('\\'), Just('}'), any::<char>()], 0..8)
        .prop_map(|characters| characters.into_iter().collect())
}

fn structure() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![text().prop_map(Value::from), any::<i64>().prop_map(Value::from)];
    let inner = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (text(), inner).prop_map(|(name, value)| json!({ name: value })),
        ]
    });
    proptest::collection::vec(inner, 0..4).prop_map(Value::from)
}

proptest! {
    #[test]
    fn every_json_value_comes_out_whole(
        sent in proptest::collection::vec(structure(), 1..5),
        size in 1_usize..40,
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|value| value.to_string().into_bytes()).collect();
        let mut stream = JsonStream::new(1 << 20);
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            stream.push(piece);
            found.extend(values(&mut stream));
        }
        let found: Vec<Value> =
            found.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
        prop_assert_eq!(found, sent);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes: Vec<u8>) {
        let mut stream = JsonStream::new(64);
        stream.push(&bytes);
        let mut taken = 0;
        while let Ok(Some(value)) = stream.next_value() {
            prop_assert!(!value.is_empty());
            taken += value.len();
        }
        prop_assert!(taken <= bytes.len());
    }
}
