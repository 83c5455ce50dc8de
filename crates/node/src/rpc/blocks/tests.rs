//! How a block is named.

use alloy_primitives::B256;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BlockId, BlockTag};

fn id(json: Value) -> Result<BlockId, String> {
    serde_json::from_value(json).map_err(|why| why.to_string())
}

#[test]
fn names_and_numbers() {
    for (text, tag) in [
        ("latest", BlockTag::Latest),
        ("earliest", BlockTag::Earliest),
        ("pending", BlockTag::Pending),
        ("safe", BlockTag::Safe),
        ("finalized", BlockTag::Finalized),
        ("0x0", BlockTag::Number(0)),
        ("0x7fffffffffffffff", BlockTag::Number(i64::MAX as u64)),
    ] {
        assert_eq!(id(json!(text)), Ok(BlockId::Tag(tag)));
        assert_eq!(id(json!({"blockNumber": text})), Ok(BlockId::Tag(tag)), "{text}");
    }
    let large = id(json!("0x8000000000000000")).unwrap_err();
    assert!(large.contains("block number larger than int64"), "{large}");
    for wrong in [
        json!("newest"),
        json!(""),
        json!("1"),
        json!("0x"),
        json!("0x01"),
        json!(1),
        json!([]),
        json!(true),
    ] {
        assert!(id(wrong.clone()).is_err(), "{wrong}");
    }
}

/// The examples of EIP-1898.
#[test]
fn objects_with_a_hash() {
    let hash = B256::repeat_byte(0xd4);
    let named = |canonical| Ok(BlockId::Hash { hash, canonical });
    assert_eq!(id(json!(hash)), named(false));
    assert_eq!(id(json!({"blockHash": hash})), named(false));
    assert_eq!(id(json!({"blockHash": hash, "requireCanonical": true})), named(true));
    assert_eq!(id(json!({"blockHash": hash, "requireCanonical": false})), named(false));
    let both = id(json!({"blockHash": hash, "blockNumber": "0x1"})).unwrap_err();
    assert!(both.contains("cannot specify both BlockHash and BlockNumber"), "{both}");
    assert_eq!(id(json!({})), Ok(BlockId::Neither));
    assert!(id(json!({"blockHash": "0x12"})).is_err());
}

proptest! {
    #[test]
    fn no_text_is_a_surprise(text in ".{0,80}") {
        let _ = id(json!(text));
        let _ = id(json!({"blockNumber": text, "blockHash": text}));
    }
}
