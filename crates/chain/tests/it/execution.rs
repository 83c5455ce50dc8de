//! Blocks that are executed: the two chains of go-ethereum's test suite, on a state in memory,
//! each root of each block.

mod building;
mod calls;
mod effects;
mod headers;
mod lab;
mod real_chains;
mod rewards;
mod senders;
mod transactions;

use chainmesh_chain::execute::{
    Executed, ExecutionError, MemoryState, RecoveredBody, beneficiary_of, execute_block,
};
use chainmesh_chain::{ChainSpec, Consensus};
use chainmesh_proto::eth::chain::SyncBlock;

/// Runs a block on a state, which stays as it is.
pub(crate) fn run(
    spec: &ChainSpec,
    consensus: Consensus,
    state: &MemoryState,
    block: &SyncBlock,
) -> Result<Executed, ExecutionError> {
    let body = RecoveredBody::decode(spec, block.header.number, &block.body_rlp)?;
    let beneficiary = beneficiary_of(consensus, &block.header).expect("a seal");
    execute_block(spec, consensus, state, &block.header, beneficiary, &body)
}
