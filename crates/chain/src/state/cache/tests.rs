//! What is used stays, what is not goes, and the bound holds.

use std::sync::Arc;

use alloy_primitives::B256;

use super::{Generations, Shared};
use crate::state::node::{Link, Place, StoredNode};

fn bytes(cache: &Generations<u32, u32>) -> usize {
    cache.young.values().chain(cache.old.values()).map(|(_, bytes)| bytes).sum()
}

#[test]
fn the_bound_holds_and_what_is_used_stays() {
    let mut cache = Generations::new(1_000);
    for n in 0..10_000 {
        cache.put(n, n, 10 + n as usize % 7);
        assert!(bytes(&cache) <= 1_000, "{} bytes after {n}", bytes(&cache));
        assert_eq!(cache.get(&n), Some(n));
        // The first one is asked for all the time.
        assert_eq!(cache.get(&0), Some(0));
    }
    assert_eq!(cache.get(&5_000), None);
    assert_eq!(cache.get(&9_990), Some(9_990));
}

#[test]
fn the_same_again_takes_no_more_room() {
    let mut cache = Generations::new(100);
    cache.put(1, 1, 40);
    for value in 0..100 {
        cache.put(2, value, 10);
    }
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), Some(99)));
    assert!(bytes(&cache) <= 100);
}

#[test]
fn what_is_larger_than_half_is_not_kept() {
    let mut cache = Generations::new(100);
    cache.put(1, 1, 51);
    assert_eq!(cache.get(&1), None);
    assert_eq!(bytes(&cache), 0);
}

/// Places are not hashed: one that is damaged may be that of a node that is cached for somebody else. It
/// was taken for the right one then.
#[test]
fn a_cached_node_is_not_taken_for_another_one_whose_place_is_damaged() {
    let shared = Shared::new(0);
    let link = |byte: u8| Link {
        rlp: alloy_trie::nodes::RlpNode::word_rlp(&B256::repeat_byte(byte)),
        place: Place::new(1, 0),
    };
    let node = StoredNode::Leaf {
        path: alloy_trie::Nibbles::default(),
        value: Box::from([1]),
        below: Place::NONE,
    };
    shared.put_node(&link(1), Arc::new(node));
    assert!(shared.node(&link(1)).is_some());
    assert!(shared.node(&link(2)).is_none());
}
