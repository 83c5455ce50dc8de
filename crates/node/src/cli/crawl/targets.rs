//! What a node is asked, so that it tells of each of its buckets.

use alloy_primitives::B256;
use chainmesh_identity::PeerId;

/// Bits of a hash that a target can be chosen by.
const BITS: u32 = 8;

/// Public keys by the first byte of their hashes. A node answers with those nearest to a key's hash, so
/// a key whose hash differs from the node's own in bit n, and in none before, asks for bucket 256 - n.
pub(super) struct Targets {
    by_first_byte: Vec<PeerId>,
}

impl Targets {
    /// Tries keys until there is one for each byte: about 1,500.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut found: Vec<Option<PeerId>> = vec![None; 256];
        let mut missing = found.len();
        let mut key = [0; 64];
        key[..32].copy_from_slice(&seed);
        for number in 0_u64.. {
            if missing == 0 {
                break;
            }
            key[56..].copy_from_slice(&number.to_be_bytes());
            let id = PeerId::from(key);
            if let Some(place) = found.get_mut(usize::from(id.node_hash()[0]))
                && place.is_none()
            {
                *place = Some(id);
                missing -= 1;
            }
        }
        Self { by_first_byte: found.into_iter().flatten().collect() }
    }

    /// What to ask a node in a round: first for those nearest to itself, then for its buckets, the
    /// one with half of all nodes first.
    pub(super) fn of(&self, node: PeerId, round: u32) -> PeerId {
        let Some(bit) = round.checked_sub(1).map(|bit| bit % BITS) else { return node };
        let hash: B256 = node.node_hash();
        let byte = hash[0] ^ (0x80 >> bit);
        self.by_first_byte.get(usize::from(byte)).copied().unwrap_or(node)
    }
}

#[cfg(test)]
mod tests;
