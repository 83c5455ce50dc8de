//! Bodies are decoded, and who signed their transactions is found out, while the blocks before
//! them are executed.

use std::sync::mpsc::sync_channel;
use std::thread;

use chainmesh_proto::eth::chain::SyncBlock;

use crate::ChainSpec;
use crate::execute::{ExecutionError, KnownSenders, RecoveredBody};

/// How many decoded bodies may wait. A body has a few MiB at most, mostly far less.
const AHEAD: usize = 8;

/// A body when it is wanted: decoded there and then, or ahead.
pub(super) type LazyBody<'a> = Box<dyn FnOnce() -> Result<RecoveredBody, ExecutionError> + 'a>;

/// Calls `take` with each block and its body, in their order, up to the first one that is
/// refused; returns that one, and why. The body of a single block is decoded when `take` asks for
/// it: there is nothing to do meanwhile, and a block with a bad header costs no signatures.
pub(super) fn decode<'b, R>(
    spec: &ChainSpec,
    blocks: &[&'b SyncBlock],
    known: Option<&dyn KnownSenders>,
    mut take: impl FnMut(&'b SyncBlock, LazyBody<'_>) -> Result<(), R>,
) -> Option<(&'b SyncBlock, R)> {
    let body = |block: &SyncBlock| {
        RecoveredBody::decode_knowing(spec, block.header.number, &block.body_rlp, known)
    };
    match *blocks {
        [] => return None,
        [block] => return take(block, Box::new(|| body(block))).err().map(|why| (block, why)),
        _ => {}
    }
    thread::scope(|scope| {
        let (into, out) = sync_channel(AHEAD);
        scope.spawn(move || {
            for block in blocks {
                // Nobody listens any more when a block was refused.
                if into.send((*block, body(block))).is_err() {
                    return;
                }
            }
        });
        out.into_iter()
            .find_map(|(block, body)| take(block, Box::new(|| body)).err().map(|why| (block, why)))
    })
}
