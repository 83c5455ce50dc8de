//! Each round asks for another bucket.

use chainmesh_identity::NodeKey;

use super::*;

#[test]
fn round_by_round_the_first_bit_that_differs_is_the_next() {
    let targets = Targets::new([3; 32]);
    for number in 0..20 {
        let node = NodeKey::from_entropy([number + 1; 32]).peer_id();
        assert_eq!(targets.of(node, 0), node);
        for round in 1..=BITS {
            let target = targets.of(node, round).node_hash();
            let differs = target[0] ^ node.node_hash()[0];
            assert_eq!(differs.leading_zeros(), round - 1);
        }
    }
}
