//! Ommers (uncles): blocks of proof of work that were not taken, and are paid for nevertheless.

use std::collections::HashSet;

use alloy_consensus::Header;
use alloy_primitives::B256;

use crate::rules::{self, RuleError};
use crate::{ChainSpec, Consensus};

/// Most ommers of one block (yellow paper, 11.1).
pub const MAX_OMMERS: usize = 2;

/// Most generations between a block and its ommer (yellow paper, 11.1).
pub const MAX_OMMER_DEPTH: u64 = 6;

/// An earlier block: its header, and the hashes of the ommers that it has.
#[derive(Debug, Clone)]
pub struct Ancestor {
    /// Its header.
    pub header: Header,
    /// Hashes of its ommers.
    pub ommers: Vec<B256>,
}

/// Why the ommers of a block are not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OmmerError {
    /// More than two.
    #[error("the block has {0} ommers, at most {MAX_OMMERS} are allowed")]
    TooMany(usize),
    /// The network knows no ommers.
    #[error("blocks of this network have no ommers")]
    NotAllowed,
    /// It is in the block twice, or an ancestor has it.
    #[error("ommer {0} is included already")]
    Repeated(B256),
    /// It is a block of this very chain.
    #[error("ommer {0} is an ancestor of the block")]
    IsAncestor(B256),
    /// Its parent is not one of the last ancestors, or is the parent of the block.
    #[error("the parent of ommer {0} is none of the block's 2nd to 7th ancestors")]
    Dangling(B256),
    /// Its header breaks a rule.
    #[error("ommer {hash} is not valid: {source}")]
    Rule {
        /// The ommer.
        hash: B256,
        /// The rule.
        source: Box<RuleError>,
    },
}

/// Checks the ommers of a block of proof of work. `ancestor` gives an earlier block by its hash,
/// `None` when there is none (behind the genesis block); it is asked seven times at most, and only
/// when there are ommers. `now` is in seconds since 1970.
///
/// # Errors
/// Outside: what `ancestor` failed with. Inside: see [`OmmerError`].
pub fn verify_ommers<E>(
    spec: &ChainSpec,
    consensus: Consensus,
    header: &Header,
    ommers: &[Header],
    now: u64,
    mut ancestor: impl FnMut(B256) -> Result<Option<Ancestor>, E>,
) -> Result<Result<(), OmmerError>, E> {
    if ommers.is_empty() {
        return Ok(Ok(()));
    }
    if consensus != Consensus::UnsealedProofOfWork {
        return Ok(Err(OmmerError::NotAllowed));
    }
    if ommers.len() > MAX_OMMERS {
        return Ok(Err(OmmerError::TooMany(ommers.len())));
    }
    let mut ancestors: Vec<(B256, Header)> = Vec::new();
    let mut included: HashSet<B256> = HashSet::new();
    let mut hash = header.parent_hash;
    for _ in 0..=MAX_OMMER_DEPTH {
        let Some(found) = ancestor(hash)? else { break };
        included.extend(found.ommers);
        let parent = found.header.parent_hash;
        ancestors.push((hash, found.header));
        hash = parent;
    }
    Ok(ommers
        .iter()
        .try_for_each(|ommer| one(spec, consensus, header, ommer, now, &ancestors, &mut included)))
}

fn one(
    spec: &ChainSpec,
    consensus: Consensus,
    header: &Header,
    ommer: &Header,
    now: u64,
    ancestors: &[(B256, Header)],
    included: &mut HashSet<B256>,
) -> Result<(), OmmerError> {
    let hash = ommer.hash_slow();
    if !included.insert(hash) {
        return Err(OmmerError::Repeated(hash));
    }
    if ancestors.iter().any(|(ancestor, _)| *ancestor == hash) {
        return Err(OmmerError::IsAncestor(hash));
    }
    let parent = ancestors.iter().find(|(ancestor, _)| *ancestor == ommer.parent_hash);
    let Some((parent_hash, parent)) = parent.filter(|(hash, _)| *hash != header.parent_hash) else {
        return Err(OmmerError::Dangling(hash));
    };
    rules::verify(spec, consensus, ommer, (parent, *parent_hash), now)
        .map_err(|source| OmmerError::Rule { hash, source: Box::new(source) })
}
