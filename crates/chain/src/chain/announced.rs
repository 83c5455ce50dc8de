//! A block that a peer sends before it is executed: whether it may be passed on.

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};

use super::import::Refusal;
use super::{Chain, decode_header};
use crate::Consensus;
use crate::rules::{self, RuleError};
use crate::store::{Damage, StoreError};

impl Chain {
    /// Checks the header of a new block against its parent, seal included. `None` when the block is
    /// known already, when its parent is not, and under clique when its time has not come: such a
    /// block is held, and passed on by nobody before. Otherwise the total difficulty with it.
    pub(super) fn check_announced(
        &self,
        header: &Header,
        hash: &B256,
    ) -> Result<Option<U256>, Refusal> {
        let reader = self.store.read()?;
        if reader.index(hash)?.is_some() {
            return Ok(None);
        }
        let parent_hash = header.parent_hash;
        let Some((number, before)) = reader.index(&parent_hash)? else { return Ok(None) };
        let damaged = || StoreError::Inconsistent(Damage::Block(parent_hash));
        let parent = reader.header(number, &parent_hash)?.ok_or_else(damaged)?;
        let parent = decode_header(&parent, &parent_hash)?;
        let consensus = self.spec.consensus_after(before);
        let now = self.now();
        rules::verify(&self.spec, consensus, header, (&parent, parent_hash), now)?;
        if let Consensus::Clique { epoch, .. } = consensus {
            let snapshot = self.lock().behind(&reader, epoch, parent_hash)?;
            snapshot.apply(header, *hash).map_err(RuleError::from)?;
            if header.timestamp > now {
                return Ok(None);
            }
        }
        let total = before.checked_add(header.difficulty).ok_or(RuleError::TotalDifficulty)?;
        Ok(Some(total))
    }
}
