//! Blocks beside the nodes: a chain file made before a test begins, and what a dead node has stored.

use chainmesh_chain::clique::Snapshot;
use std::path::Path;

use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Consensus, Producer, block};
use chainmesh_identity::NodeKey;
use chainmesh_proto::eth::chain::ChainReader;

use crate::process::Head;

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

/// Whether a block is on the chain in the data directory of a node that does not run. Looks at a
/// copy: what the dead process has left behind is for the node itself to repair.
///
/// # Panics
/// When there is no chain in it, or none that can be opened.
#[must_use]
pub fn is_stored(data_dir: &Path, block: &Head) -> bool {
    let copy = tempfile::tempdir().expect("a directory");
    std::fs::copy(data_dir.join("chain.redb"), copy.path().join("chain.redb")).expect("a copy");
    let chain = Chain::open_existing(copy.path(), ChainOptions::default());
    let chain = chain.unwrap_or_else(|error| panic!("{}: {error}", data_dir.display()));
    let hash = chain.canonical_hash(block.number).expect("a chain that can be read");
    hash.is_some_and(|hash| hash.to_string() == block.hash)
}
