use alloy_primitives::keccak256;

use super::*;

#[test]
fn the_oldest_hash_is_forgotten_first() {
    let mut known = KnownHashes::new(3);
    let hashes: Vec<B256> = (0_u8..5).map(|n| keccak256([n])).collect();
    for hash in &hashes {
        assert!(known.insert(hash));
        assert!(!known.insert(hash), "it is known already");
    }
    assert_eq!(known.len(), 3);
    let there: Vec<bool> = hashes.iter().map(|hash| known.contains(hash)).collect();
    assert_eq!(there, [false, false, true, true, true]);
}
