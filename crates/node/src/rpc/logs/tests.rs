//! Filters as wallets write them, and what they admit.

use alloy_primitives::{Address, B256, Bloom, Log, LogData};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LogFilter, LogQuery, LogRange};
use crate::rpc::blocks::BlockTag;

fn query(json: Value) -> Result<LogQuery, String> {
    serde_json::from_value(json).map_err(|why| why.to_string())
}

fn topic(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn log(address: u8, topics: &[u8]) -> Log {
    let topics = topics.iter().map(|byte| topic(*byte)).collect();
    Log { address: Address::repeat_byte(address), data: LogData::new_unchecked(topics, [].into()) }
}

#[test]
fn filters_as_they_are_written() {
    let empty = query(json!({})).unwrap();
    assert_eq!(empty, LogQuery::default());
    let full = query(json!({
        "fromBlock": "0x1", "toBlock": "latest",
        "address": [Address::repeat_byte(1), Address::repeat_byte(2)],
        "topics": [topic(1), null, [topic(2), topic(3)], [topic(4), null]],
    }));
    let full = full.unwrap();
    assert_eq!(full.range, LogRange::Numbers(BlockTag::Number(1), BlockTag::Latest));
    assert_eq!(full.filter.addresses.len(), 2);
    let topics = vec![vec![topic(1)], vec![], vec![topic(2), topic(3)], vec![]];
    assert_eq!(full.filter.topics, topics);
    let of_block = query(json!({"blockHash": topic(9), "address": Address::ZERO})).unwrap();
    assert_eq!(of_block.range, LogRange::Block(topic(9)));
    let both = query(json!({"blockHash": topic(9), "fromBlock": "0x1"})).unwrap_err();
    assert!(both.contains("cannot specify both BlockHash and FromBlock/ToBlock"), "{both}");
    let many = query(json!({"topics": [null, null, null, null, null]})).unwrap_err();
    assert!(many.contains("exceed max topics"), "{many}");
    assert!(query(json!({"address": vec![Address::ZERO; 1001]})).is_err());
    assert!(query(json!({"address": "0x12"})).is_err());
    assert!(query(json!({"topics": ["0x12"]})).is_err());
}

#[test]
fn what_a_filter_admits() {
    let admits = |json: Value, log: &Log| query(json).unwrap().filter.admits(log);
    let two = log(1, &[1, 2]);
    assert!(admits(json!({}), &two));
    assert!(admits(json!({"topics": [topic(1)]}), &two));
    assert!(admits(json!({"topics": [null, topic(2)]}), &two));
    assert!(admits(json!({"topics": [[topic(9), topic(1)], [topic(2)]]}), &two));
    assert!(!admits(json!({"topics": [topic(2)]}), &two));
    // A place that anything fills must be filled.
    assert!(admits(json!({"topics": [null, null]}), &two));
    assert!(!admits(json!({"topics": [null, null, null]}), &two));
    assert!(!admits(json!({"address": Address::repeat_byte(2)}), &two));
    assert!(admits(json!({"address": [Address::repeat_byte(2), Address::repeat_byte(1)]}), &two));
    assert!(admits(json!({"address": []}), &two));
}

proptest! {
    /// The bloom filter never hides a log that is wanted.
    #[test]
    fn a_bloom_filter_hides_nothing(
        addresses in prop::collection::vec(0..4_u8, 0..3),
        places in prop::collection::vec(prop::collection::vec(0..4_u8, 0..3), 0..4),
        logs in prop::collection::vec((0..4_u8, prop::collection::vec(0..4_u8, 0..4)), 0..6),
    ) {
        let filter = LogFilter {
            addresses: addresses.into_iter().map(Address::repeat_byte).collect(),
            topics: places.iter().map(|place| place.iter().map(|it| topic(*it)).collect()).collect(),
        };
        let logs: Vec<Log> = logs.iter().map(|(address, topics)| log(*address, topics)).collect();
        let mut bloom = Bloom::ZERO;
        logs.iter().for_each(|log| bloom.accrue_log(log));
        if logs.iter().any(|log| filter.admits(log)) {
            prop_assert!(filter.may_match(&bloom));
        }
    }
}
