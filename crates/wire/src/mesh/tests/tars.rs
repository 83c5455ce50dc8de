//! Tars: the bounds of each integer kind, strings, nesting, what is passed over and what is refused.

use bytes::Bytes;

use super::super::tars::{MAX_DEPTH, Reader, TarsError, Writer};
use super::super::{
    GroupNodeInfo, MeshError, NodeExtension, NodeStatus, NodeType, ProtocolInfo, RouterTable,
    RouterTableEntry,
};
use super::{hex, id};

fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

/// Reads a message and passes over everything in it.
fn skip_all(bytes: Bytes) -> Result<(), TarsError> {
    Reader::new(bytes).message(Reader::skip)
}

#[test]
fn integers_take_the_smallest_kind() {
    let cases: [(i64, &str); 11] = [
        (0, "1c"),
        (1, "1001"),
        (-1, "10ff"),
        (127, "107f"),
        (128, "110080"),
        (-128, "1080"),
        (-129, "11ff7f"),
        (32_768, "1200008000"),
        (2_147_483_647, "127fffffff"),
        (2_147_483_648, "130000000080000000"),
        (i64::MIN, "138000000000000000"),
    ];
    for (value, bytes) in cases {
        assert_eq!(const_hex::encode(written(|w| w.integer(1, value))), bytes, "{value}");
        let mut seen = None;
        Reader::new(hex(bytes))
            .message(|r, tag, kind| {
                seen = Some((tag, r.long(tag, kind)?));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, Some((1, value)));
    }
}

#[test]
fn tags_from_15_on_take_a_byte_of_their_own() {
    assert_eq!(const_hex::encode(written(|w| w.integer(14, 0))), "ec");
    assert_eq!(const_hex::encode(written(|w| w.integer(15, 0))), "fc0f");
    assert_eq!(const_hex::encode(written(|w| w.integer(255, 0))), "fcff");
    let mut tags = Vec::new();
    Reader::new(hex("ecfc0ffcff"))
        .message(|r, tag, kind| {
            tags.push(tag);
            r.skip(tag, kind)
        })
        .unwrap();
    assert_eq!(tags, [14, 15, 255]);
}

#[test]
fn strings_change_their_kind_above_255_bytes() {
    for (bytes, head) in [(0, "0600"), (255, "06ff"), (256, "0700000100")] {
        let text = vec![b'x'; bytes];
        let encoded = written(|w| w.string(0, &text));
        assert!(const_hex::encode(&encoded).starts_with(head), "{bytes}");
        let mut seen = Bytes::new();
        Reader::new(encoded)
            .message(|r, tag, kind| {
                seen = r.string(tag, kind)?;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, text);
    }
}

#[test]
fn maps_are_read_in_their_order() {
    let encoded = written(|w| {
        w.begin_map(3, 2);
        for (key, value) in [("b", 2), ("a", 300)] {
            w.string(0, key.as_bytes());
            w.integer(1, value);
        }
    });
    assert_eq!(const_hex::encode(&encoded), "380002060162100206016111012c");
    let mut seen = Vec::new();
    Reader::new(encoded)
        .message(|r, tag, kind| {
            seen = r.map((tag, kind), "test", 2, Reader::string, Reader::int)?;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(Bytes::from_static(b"b"), 2), (Bytes::from_static(b"a"), 300)]);
}

#[test]
fn unknown_fields_of_every_kind_are_passed_over() {
    // Integers, float, double, strings, the map {"a": 5}, the list [0, "b"], the struct {1: {2: 7}},
    // zero, and three bytes.
    let unknown = [
        "f06401",
        "f1650102",
        "f26601020304",
        "f3670102030405060708",
        "f4683f800000",
        "f5693ff0000000000000",
        "f66a0161",
        "f76b0000000161",
        "f86c00010601611005",
        "f96d00020c060162",
        "fa6e1a20070b0b",
        "fc6f",
        "fd7000000301ff02",
    ];
    let known = ProtocolInfo { module: 1, min_version: 0, max_version: 3 };
    let all = format!("{}{}", const_hex::encode(known.encode()), unknown.concat());
    assert_eq!(ProtocolInfo::decode(hex(&all)), Ok(known));
    for field in unknown {
        let field = hex(field);
        assert_eq!(skip_all(field.clone()), Ok(()), "{field:?}");
        for end in 1..field.len() {
            assert!(skip_all(field.slice(..end)).is_err(), "{field:?} cut at {end}");
        }
    }
}

#[test]
fn fields_of_ours_are_beyond_those_of_fisco() {
    let extension = NodeExtension { role: NodeType::OBSERVER, height: u64::MAX };
    let plain = NodeStatus { uuid: Bytes::from_static(b"u"), seq: 3, ..NodeStatus::default() };
    let ours = NodeStatus { extension: Some(extension), ..plain.clone() };
    let encoded = ours.encode();
    assert_eq!(encoded.slice(..plain.encode().len()), plain.encode());
    assert_eq!(const_hex::encode(encoded.slice(plain.encode().len()..)), "fac8100420ff0b");
    assert_eq!(NodeStatus::decode(encoded), Ok(ours));
    assert_eq!(NodeStatus::decode(plain.encode()), Ok(plain));
}

#[test]
fn fields_at_their_default_may_be_written_or_left_out() {
    let status = NodeStatus {
        uuid: Bytes::from_static(b"u"),
        groups: vec![GroupNodeInfo::default()],
        ..NodeStatus::default()
    };
    // Left out, and written in full: group "", no nodes, type 0, no versions, no types.
    assert_eq!(NodeStatus::decode(hex("1601752c3900010a0b")), Ok(status.clone()));
    assert_eq!(NodeStatus::decode(hex("1601752c3900010a1600290c3c490c590c0b")), Ok(status));
    // Tag 0 is unknown, and passed over.
    assert!(NodeStatus::decode(hex("1601752c3900010a06000b")).is_ok());
}

#[test]
fn required_fields_must_be_there() {
    let info = |text| ProtocolInfo::decode(hex(text));
    let missing =
        |message, field| MeshError::Malformed { message, error: TarsError::Missing(field) };
    assert_eq!(info("2c3c"), Err(missing("Handshake", "moduleID")));
    assert_eq!(info("1c3c"), Err(missing("Handshake", "minVersion")));
    assert_eq!(info("1c2c"), Err(missing("Handshake", "maxVersion")));
    let status = |text| NodeStatus::decode(hex(text));
    assert_eq!(status("2c"), Err(missing("ResponseNodeStatus", "uuid")));
    assert_eq!(status("1600"), Err(missing("ResponseNodeStatus", "seq")));
    assert_eq!(status("16002cfac820010b"), Err(missing("ResponseNodeStatus", "role")));
    assert_eq!(status("16002cfac810010b"), Err(missing("ResponseNodeStatus", "height")));
    let table = |text| RouterTable::decode(hex(text));
    assert_eq!(table("1900010a3c0b"), Err(missing("RouterTableResponse", "dstNode")));
    assert_eq!(table("1900010a16000b"), Err(missing("RouterTableResponse", "distance")));
    assert_eq!(table(""), Ok(RouterTable::default()));
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    let info = |text| match ProtocolInfo::decode(hex(text)) {
        Err(MeshError::Malformed { error, .. }) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(info("1e"), TarsError::UnknownKind(14));
    assert_eq!(info("2c1c3c"), TarsError::Order { tag: 1, previous: 2 });
    assert_eq!(info("1c1c2c3c"), TarsError::Order { tag: 1, previous: 1 });
    assert_eq!(info("1c2c3c0b"), TarsError::StrayEnd);
    assert_eq!(info("160131"), TarsError::WrongKind { tag: 1, expected: "integer of 32 bits" });
    assert_eq!(
        info("130000000000000001"),
        TarsError::WrongKind { tag: 1, expected: "integer of 32 bits" },
        "FISCO does not read a long into an int either"
    );
    assert_eq!(info("49001005"), TarsError::Count { count: 16, left: 1 });
    assert_eq!(info("4900ff"), TarsError::Count { count: -1, left: 0 });
    assert_eq!(info("4900011c"), TarsError::ElementTag(1));
    assert_eq!(info("4800010001"), TarsError::Truncated);
    assert_eq!(info("48000100010001"), TarsError::ElementTag(0));
    assert_eq!(info("4d0101"), TarsError::WrongKind { tag: 0, expected: "byte" });
    assert_eq!(info("4a1c"), TarsError::Truncated);
}

#[test]
fn a_count_allocates_nothing() {
    // A list that claims 2^31-1 elements of which none is there.
    let error = TarsError::Count { count: i64::from(i32::MAX), left: 0 };
    assert_eq!(skip_all(hex("49027fffffff")), Err(error));
    assert_eq!(skip_all(hex("4d00027fffffff")), Err(error));
    assert_eq!(skip_all(hex("477fffffff")), Err(TarsError::Truncated));
}

#[test]
fn nesting_at_the_limit_and_one_deeper() {
    let structs =
        |depth: usize| skip_all([[0x1a].repeat(depth), [0x0b].repeat(depth)].concat().into());
    let lists = |depth: usize| {
        let mut bytes = [0x09, 0x00, 0x01].repeat(depth);
        bytes.push(0x0c);
        skip_all(bytes.into())
    };
    let limit = usize::from(MAX_DEPTH);
    assert_eq!((structs(limit), lists(limit)), (Ok(()), Ok(())));
    assert_eq!(structs(limit + 1), Err(TarsError::Depth));
    assert_eq!(lists(limit + 1), Err(TarsError::Depth));
    assert_eq!(lists(1_000_000), Err(TarsError::Depth));
}

#[test]
fn truncation_at_every_byte_is_refused_or_reads_as_less() {
    let status = NodeStatus {
        uuid: Bytes::from_static(b"uuid"),
        seq: 300,
        groups: vec![GroupNodeInfo {
            group: Bytes::from_static(b"group0"),
            nodes: vec![vec![b'a'; 300].into()],
            protocols: vec![ProtocolInfo { module: 0, min_version: 0, max_version: 2 }],
            node_types: vec![NodeType::LIGHT],
            ..GroupNodeInfo::default()
        }],
        extension: Some(NodeExtension { role: NodeType::CONSENSUS, height: 1 << 40 }),
    };
    let whole = status.encode();
    // A message may end after any of its outermost fields; the required ones are the first two.
    let plain = NodeStatus { extension: None, ..status };
    let bare = NodeStatus { groups: vec![], ..plain.clone() };
    for end in 0..whole.len() {
        let decoded = NodeStatus::decode(whole.slice(..end));
        if end == bare.encode().len() {
            assert_eq!(decoded.as_ref(), Ok(&bare));
        } else if end == plain.encode().len() {
            assert_eq!(decoded.as_ref(), Ok(&plain));
        } else {
            assert!(decoded.is_err(), "cut at {end}: {decoded:?}");
        }
    }
    let table =
        RouterTable { entries: vec![RouterTableEntry::new(id([b'a'; 540]), id([b'b'; 540]), 2)] };
    let whole = table.encode();
    for end in 1..whole.len() {
        assert!(RouterTable::decode(whole.slice(..end)).is_err(), "cut at {end}");
    }
}
