use std::collections::BTreeMap;

use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from([number; 64])
}

#[test]
fn the_square_root_of_the_peers_gets_a_block_whole_and_each_has_the_same_chance() {
    let mut few = Few::new([7; 32]);
    for (peers, expected) in [(0, 0), (1, 1), (3, 1), (4, 2), (50, 7)] {
        assert_eq!(few.draw((0..peers).map(peer).collect()).len(), expected);
    }
    let mut drawn: BTreeMap<PeerId, u32> = BTreeMap::new();
    for _ in 0..9_000 {
        for id in few.draw((0..9).map(peer).collect()) {
            *drawn.entry(id).or_default() += 1;
        }
    }
    // 3,000 are expected for each; the deviation of a fair draw is 45.
    assert_eq!(drawn.len(), 9);
    assert!(drawn.values().all(|count| (2_700..3_300).contains(count)), "{drawn:?}");
}

#[test]
fn blocks_far_from_the_head_are_no_news() {
    assert!(is_news(93, 100) && is_news(132, 100));
    assert!(!is_news(92, 100) && !is_news(133, 100));
    assert!(is_news(u64::MAX, u64::MAX) && is_news(0, 0));
}
