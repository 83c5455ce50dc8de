//! The JSON bodies: written as jsoncpp writes them, read strictly and within limits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::channel::{self, MAX_CHANNEL_TOPIC};
use super::super::{
    AmopError, JsonFault, MAX_NODE_TOPICS, MAX_TOPIC, MAX_TOPICS, Subscription, TopicList, ws,
};
use crate::mesh::EncodeError;

fn list(topics: &[&str], seq: u32) -> TopicList {
    TopicList { topics: topics.iter().map(ToString::to_string).collect(), seq }
}

#[test]
fn topics_are_escaped_as_jsoncpp_escapes_them() {
    let list = list(&["a/b\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}\u{80}中\u{ffff}😀"], 1);
    let json = list.to_json().expect("one topic");
    let expected = concat!(
        r#"{"topicItems":["a/b\"\\\b\f\n\r\t\u0001"#,
        "\u{7f}",
        r#"\u0080\u4e2d\uffff\ud83d\ude00"],"topicSeq":1}"#,
        "\n",
    );
    assert_eq!(core::str::from_utf8(&json), Ok(expected));
    assert_eq!(TopicList::from_json(&json), Ok(list));
}

#[test]
fn a_list_is_read_as_fisco_reads_it() {
    let read = |json: &str| TopicList::from_json(json.as_bytes());
    assert_eq!(read(r#"{"topicSeq":7}"#), Ok(list(&[], 7)));
    assert_eq!(read(r#"{"topicItems":null,"topicSeq":7}"#), Ok(list(&[], 7)));
    assert_eq!(
        read(" { \"more\" : [{}] , \"topicSeq\":7,\"topicItems\":[ \"b\",\"a\",\"b\"]}\r\n"),
        Ok(list(&["b", "a", "b"], 7))
    );
    let fault = |json: &str| match read(json) {
        Err(AmopError::Json { what: "topic list", fault, .. }) => fault,
        other => panic!("{json}: {other:?}"),
    };
    for (json, why) in [
        ("", JsonFault::End),
        (r#"{"topicSeq":7"#, JsonFault::End),
        (r#"{"topicSeq":7}x"#, JsonFault::Syntax),
        (r#"{"topicSeq":07}"#, JsonFault::Syntax),
        (r#"{"topicItems":["\ud800"],"topicSeq":7}"#, JsonFault::Syntax),
        ("{}", JsonFault::Shape),
        ("[]", JsonFault::Shape),
        (r#"{"topicSeq":-1}"#, JsonFault::Shape),
        (r#"{"topicSeq":4294967296}"#, JsonFault::Shape),
        (r#"{"topicSeq":"7"}"#, JsonFault::Shape),
        (r#"{"topicSeq":7,"topicSeq":7}"#, JsonFault::Shape),
        (r#"{"topicSeq":7,"topicItems":[1]}"#, JsonFault::Shape),
        (r#"{"topicSeq":7,"topicItems":{}}"#, JsonFault::Shape),
    ] {
        assert_eq!(fault(json), why, "{json}");
    }
    assert_eq!(
        TopicList::from_json(b"{\"topicSeq\":7,\"\xff\":0}"),
        Err(AmopError::NotText("topic list"))
    );
}

#[test]
fn lists_at_the_limits_and_one_more() {
    let many = |count| TopicList { topics: vec!["t".into(); count], seq: 1 };
    let json = many(MAX_NODE_TOPICS).to_json().expect("at the limit");
    assert_eq!(TopicList::from_json(&json), Ok(many(MAX_NODE_TOPICS)));
    let (count, limit) = (MAX_NODE_TOPICS + 1, MAX_NODE_TOPICS);
    let too_many = EncodeError::TooMany { what: "topics", count, limit };
    assert_eq!(many(count).to_json(), Err(too_many));
    let more =
        [&json[..json.len() - r#"],"topicSeq":1}+"#.len()], br#","t"],"topicSeq":1}"#].concat();
    let too_many = AmopError::TooMany { what: "topics", count, limit };
    assert_eq!(TopicList::from_json(&more), Err(too_many));

    let long = |size| TopicList { topics: vec!["a".into(), "t".repeat(size)], seq: 1 };
    let json = long(MAX_TOPIC).to_json().expect("at the limit");
    assert_eq!(TopicList::from_json(&json), Ok(long(MAX_TOPIC)));
    let (size, limit) = (MAX_TOPIC + 1, MAX_TOPIC);
    let too_large = EncodeError::TooLarge { what: "topic", size, limit };
    assert_eq!(long(size).to_json(), Err(too_large));
    let more = format!(r#"{{"topicSeq":1,"topicItems":["{}"]}}"#, "t".repeat(size));
    let too_large = AmopError::TooLarge { what: "topic", size, limit };
    assert_eq!(TopicList::from_json(more.as_bytes()), Err(too_large));
}

/// Every reader of JSON, on any bytes.
fn read_all(body: &[u8]) -> [Result<(), AmopError>; 9] {
    [
        TopicList::from_json(body).map(|_| ()),
        Subscription::from_array(body).map(|_| ()),
        Subscription::from_json(body).map(|_| ()),
        channel::Handshake::from_json(body).map(|_| ()),
        channel::HandshakeReply::from_json(body).map(|_| ()),
        channel::VerifyTopic::from_json(body).map(|_| ()),
        channel::TopicVerdict::from_json(body).map(|_| ()),
        ws::Handshake::from_json(body).map(|_| ()),
        ws::HandshakeReply::from_json(body).map(|_| ()),
    ]
}

/// A body for each reader, in the order of [`read_all`].
fn good_bodies() -> [String; 9] {
    [
        "{\"topicItems\":[\"a\",\"中\"],\"topicSeq\":3}\n",
        "[\"a\",\"中\"]",
        "{\"topics\":[\"a\",\"中\"]}\n",
        "{\"maximumSupport\":3,\"minimumSupport\":1,\"clientType\":\"java-sdk\"}",
        "{\"nodeVersion\":\"2.11.0\",\"protocol\":3}\n",
        "{\"nodeId\":\"ab\",\"topic\":\"t\",\"topicForCert\":\"c\"}\n",
        "{\"checkResult\":0,\"nodeId\":\"ab\",\"topic\":\"t\"}",
        "{\"maxVersion\":2,\"minVersion\":0,\"moduleID\":2}\n",
        "{\"groupBlockNumber\":[{\"group0\":7}],\"groupInfoList\":[],\"protocolVersion\":2}\n",
    ]
    .map(str::to_owned)
}

#[test]
fn bodies_cut_anywhere_are_refused() {
    for (reader, body) in good_bodies().iter().enumerate() {
        assert_eq!(read_all(body.as_bytes())[reader], Ok(()), "{body}");
        for end in 0..body.trim_end().len() {
            let read = read_all(&body.as_bytes()[..end])[reader];
            assert!(read.is_err(), "{body} cut at {end}");
        }
    }
}

#[test]
fn an_array_is_not_taken_for_the_fields_of_an_object() {
    let fault = |body: &[u8]| match TopicList::from_json(body) {
        Err(AmopError::Json { fault, line, column, .. }) => (fault, line, column),
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(b"[[\"a\"],3]"), (JsonFault::Shape, 1, 1));
    assert_eq!(fault(b" \n\t [[\"a\"],3]"), (JsonFault::Shape, 2, 3));
    assert!(ws::Handshake::from_json(b"[2,0,2]").is_err());
    assert!(channel::TopicVerdict::from_json(b"[0,\"ab\",\"t\"]").is_err());
}

#[test]
fn subscriptions_of_both_worlds_at_the_limits_and_one_more() {
    let of = |count, size| Subscription(vec!["t".repeat(size); count]);
    let array = |of: &Subscription| Subscription::from_array(&of.to_array()?).map_err(Failed::Read);
    let object = |of: &Subscription| Subscription::from_json(&of.to_json()?).map_err(Failed::Read);
    for good in [of(0, 0), of(MAX_TOPICS, 1), of(2, MAX_CHANNEL_TOPIC)] {
        assert_eq!(array(&good), Ok(good.clone()));
        assert_eq!(object(&good), Ok(good));
    }
    assert_eq!(object(&of(1, MAX_TOPIC)), Ok(of(1, MAX_TOPIC)));
    let long = |size, limit| EncodeError::TooLarge { what: "topic", size, limit };
    let size = MAX_CHANNEL_TOPIC + 1;
    assert_eq!(array(&of(1, size)), Err(long(size, MAX_CHANNEL_TOPIC).into()));
    assert_eq!(object(&of(1, MAX_TOPIC + 1)), Err(long(MAX_TOPIC + 1, MAX_TOPIC).into()));
    let json = serde_json::to_vec(&of(1, size).0).expect("JSON");
    let (what, limit) = ("topic", MAX_CHANNEL_TOPIC);
    assert_eq!(Subscription::from_array(&json), Err(AmopError::TooLarge { what, size, limit }));
    let (what, count, limit) = ("topics", MAX_TOPICS + 9, MAX_TOPICS);
    let json = serde_json::to_vec(&of(count, 1).0).expect("JSON");
    assert_eq!(Subscription::from_array(&json), Err(AmopError::TooMany { what, count, limit }));
    assert!(of(count, 1).to_array().is_err() && of(count, 1).to_json().is_err());
}

#[derive(Debug, PartialEq)]
enum Failed {
    Written(EncodeError),
    Read(AmopError),
}

impl From<EncodeError> for Failed {
    fn from(error: EncodeError) -> Self {
        Self::Written(error)
    }
}

proptest! {
    #[test]
    fn lists_round_trip(topics in vec(any::<String>(), 0..20), seq: u32) {
        let list = TopicList { topics, seq };
        let json = list.to_json().expect("few");
        prop_assert!(json.is_ascii() && json.last() == Some(&b'\n'), "jsoncpp ends with a newline");
        // A JSON library that knows nothing of ours reads the same.
        let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        prop_assert_eq!(&value["topicItems"], &serde_json::json!(list.topics));
        prop_assert_eq!(TopicList::from_json(&json), Ok(list));
    }

    #[test]
    fn any_bytes_are_read_without_panic(body in super::bytes(60)) {
        let _ = read_all(&body);
    }

    #[test]
    fn near_json_nothing_panics(text in r#"(\{|\[|\]|\}|"topicSeq":|"topicItems":|,|"[^"]{0,3}"|[0-9.e-]{1,4}|null){0,12}"#) {
        let _ = read_all(text.as_bytes());
        if let Ok(list) = TopicList::from_json(text.as_bytes()) {
            let json = list.to_json().expect("as few as were read");
            prop_assert_eq!(TopicList::from_json(&json), Ok(list));
        }
    }

    #[test]
    fn changed_bodies_are_read_without_panic(which in 0usize..9, at in any::<prop::sample::Index>(),
                                             byte: u8) {
        let mut body = good_bodies()[which].clone().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read_all(&body);
    }
}
