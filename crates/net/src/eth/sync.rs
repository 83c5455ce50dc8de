//! Synchronisation (not yet).
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::handler::PeerHead;
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, NewBlock};

#[derive(Debug)]
#[allow(dead_code)]
pub(crate) enum Input {
    PeerConnected { peer: PeerId, head: PeerHead },
    PeerDisconnected { peer: PeerId },
    HeadChanged { peer: PeerId, head: PeerHead },
    NewBlockHashes { peer: PeerId, blocks: Vec<BlockId> },
    NewBlock { peer: PeerId, block: Box<NewBlock> },
    Headers { peer: PeerId, token: u64, headers: Vec<BlockHeader> },
    Bodies { peer: PeerId, token: u64, bodies: Vec<BlockBody> },
}

pub(crate) struct SyncDriver;
impl SyncDriver {
    pub(crate) fn input(&self, _input: Input) {}
}
