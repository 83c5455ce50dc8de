//! A block that a peer sends before it is executed: whether it may be passed on.

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use chainmesh_proto::eth::chain::ImportError;

use super::{Chain, decode_header};
use crate::Consensus;
use crate::rules::{self, RuleError};
use crate::store::{Damage, StoreError};

impl Chain {
    /// Checks the header of a new block against its parent, seal included. `None` when the block is
    /// known already, or its parent is not; otherwise the total difficulty with it.
    pub(super) fn check_announced(
        &self,
        header: &Header,
        hash: &B256,
    ) -> Result<Option<U256>, ImportError> {
        let failed = |error: StoreError| ImportError::Storage(error.into());
        let invalid = |rule: RuleError| ImportError::Invalid {
            number: header.number,
            hash: *hash,
            reason: Box::new(rule),
        };
        let reader = self.store.read().map_err(failed)?;
        if reader.index(hash).map_err(failed)?.is_some() {
            return Ok(None);
        }
        let parent_hash = header.parent_hash;
        let Some((number, before)) = reader.index(&parent_hash).map_err(failed)? else {
            return Ok(None);
        };
        let damaged = || failed(StoreError::Inconsistent(Damage::Block(parent_hash)));
        let parent = reader.header(number, &parent_hash).map_err(failed)?.ok_or_else(damaged)?;
        let parent = decode_header(&parent, &parent_hash).map_err(failed)?;
        let consensus = self.spec.consensus_after(before);
        let now = (self.options.clock)();
        rules::verify(&self.spec, consensus, header, (&parent, parent_hash), now)
            .map_err(invalid)?;
        if let Consensus::Clique { epoch, .. } = consensus {
            let snapshot = self.lock().behind(&reader, epoch, parent_hash).map_err(failed)?;
            snapshot.apply(header, *hash).map_err(RuleError::from).map_err(invalid)?;
        }
        let total = before.checked_add(header.difficulty);
        total.ok_or(RuleError::TotalDifficulty).map_err(invalid).map(Some)
    }
}
