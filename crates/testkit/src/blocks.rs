//! A chain file: blocks that the first node of a fleet has sealed before the test begins.

use chainmesh_chain::clique::Snapshot;
use chainmesh_chain::{ChainSpec, Consensus, Producer, block};
use chainmesh_identity::NodeKey;

/// The blocks 1 to `count` of a clique network with one signer, as `chainmesh import` reads them.
///
/// # Panics
/// When the network is another one.
#[must_use]
pub fn chain_file(spec: &ChainSpec, signer: &NodeKey, count: u64) -> Vec<u8> {
    let Consensus::Clique { epoch, period } = spec.consensus() else { panic!("no clique network") };
    let producer = Producer::new(signer.to_hex().parse().expect("a key"));
    let (mut parent, mut hash) = (spec.genesis_header().clone(), spec.genesis_hash());
    let mut snapshot = Snapshot::from_checkpoint(&parent, hash, epoch).expect("signers");
    let mut file = Vec::new();
    for _ in 0..count {
        let at = parent.timestamp + period;
        let sealed = producer.next_block(spec, (&parent, hash), &snapshot, at).expect("a block");
        file.extend(block::encode(&sealed.header_rlp, &sealed.body_rlp).expect("RLP"));
        snapshot = snapshot.apply(&sealed.header, sealed.hash).expect("its signer may seal");
        (parent, hash) = (sealed.header, sealed.hash);
    }
    file
}
