//! The block that was made here last: it has been executed, and need not be executed again when
//! it is imported.

use std::sync::{Arc, PoisonError, Weak};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::SyncBlock;

use super::Chain;
use super::import::Batch;
use crate::execute::{self, Executed, KnownSenders};
use crate::{Consensus, clique};

/// A block of a clique network, and what it did.
pub(super) struct MadeBlock {
    /// Everything in the header but the seal.
    seal_hash: B256,
    /// Who is paid; the hash does not say who seals.
    signer: Address,
    body_rlp: Bytes,
    executed: Executed,
}

impl Chain {
    /// Remembers what a block did that was made here, for its import. The header has room for a
    /// seal; `signer` is who will seal it. Only the last one is remembered.
    pub(crate) fn remember_made(
        &self,
        header: &Header,
        signer: Address,
        body_rlp: Bytes,
        executed: Executed,
    ) {
        let Ok(seal_hash) = clique::seal_hash(header) else { return };
        let made = MadeBlock { seal_hash, signer, body_rlp, executed };
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
    }

    pub(super) fn take_made(&self) -> Option<MadeBlock> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks this one who signed the transactions of blocks that come, before it recovers their
    /// signatures. There is one such; a later call replaces it.
    pub(crate) fn ask_for_senders(&self, known: Weak<dyn KnownSenders>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    pub(super) fn known_senders(&self) -> Option<Arc<dyn KnownSenders>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }
}

impl Batch<'_, '_> {
    /// What a block did, if it is the one that was made here last.
    pub(super) fn made_here(
        &mut self,
        consensus: Consensus,
        block: &SyncBlock,
    ) -> Option<Executed> {
        let header = &block.header;
        let made = self.made.take_if(|made| {
            matches!(consensus, Consensus::Clique { .. })
                && clique::seal_hash(header).is_ok_and(|hash| hash == made.seal_hash)
                && execute::beneficiary_of(consensus, header).is_ok_and(|who| who == made.signer)
                && block.body_rlp == made.body_rlp
        });
        made.map(|made| made.executed)
    }
}

#[cfg(test)]
mod tests;
