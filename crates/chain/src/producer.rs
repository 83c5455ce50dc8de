//! [`Producer`]: the next block of a clique validator. For now it is always an empty one.
//!
//! There are no timers here: whoever drives it asks at [`Producer::ready_at`], and again at each
//! new head.

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::{Address, B256};
use alloy_trie::EMPTY_ROOT_HASH;
use chainmesh_proto::eth::chain::{ChainReader, SyncBlock};
use secp256k1::SecretKey;

use crate::clique::{self, CliqueError, Snapshot};
use crate::store::{Damage, StoreError};
use crate::{Chain, ChainSpec, Consensus, block, rules};

/// Why there is no next block yet, or never will be one.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The network is no clique network.
    #[error("blocks are made here for clique networks only")]
    NotClique,
    /// The block would come before its time.
    #[error("the next block may not be made before {at} (seconds since 1970)")]
    TooEarly {
        /// When it may be made, seconds since 1970.
        at: u64,
    },
    /// The snapshot belongs to another block than the parent.
    #[error("the snapshot is of block {snapshot}, the parent is block {parent}")]
    OtherSnapshot {
        /// Block of the snapshot.
        snapshot: B256,
        /// The parent.
        parent: B256,
    },
    /// This key may not seal the next block, or not now, or clique has ended.
    #[error("this node may not seal the next block: {0}")]
    Clique(#[from] CliqueError),
    /// The numbers of blocks have come to an end.
    #[error("the parent has the last number that there is")]
    LastNumber,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the blocks of one signer. Its key is wiped when it is dropped, and is never shown.
pub struct Producer {
    key: SecretKey,
    signer: Address,
    vanity: [u8; clique::VANITY_LENGTH],
}

impl core::fmt::Debug for Producer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Producer").field("signer", &self.signer).finish_non_exhaustive()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl Producer {
    /// A producer that seals with this key. What the signer may write into each block says
    /// `chainmesh`.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        let mut vanity = [0; clique::VANITY_LENGTH];
        for (to, from) in vanity.iter_mut().zip(b"chainmesh") {
            *to = *from;
        }
        Self { signer: clique::address(&key.public_key()), key, vanity }
    }

    /// The address that it seals for.
    #[must_use]
    pub const fn signer(&self) -> Address {
        self.signer
    }

    /// The earliest time of the child of `parent`, seconds since 1970; `None` when the network is
    /// no clique network.
    #[must_use]
    pub fn ready_at(spec: &ChainSpec, parent_timestamp: u64) -> Option<u64> {
        match spec.consensus() {
            Consensus::Clique { period, .. } => Some(parent_timestamp.saturating_add(period)),
            _ => None,
        }
    }

    /// The child of the head of a chain. It is not imported.
    ///
    /// The head may have moved on when it is; then it is one block of a side chain.
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn next_on(&self, chain: &Chain, now: u64) -> Result<SyncBlock, ProduceError> {
        let hash = chain.head().hash;
        let snapshot = chain.clique_snapshot(&hash)?.ok_or(ProduceError::NotClique)?;
        let damaged = StoreError::Inconsistent(Damage::Block(hash));
        let parent = chain.header(&hash)?.ok_or(damaged)?;
        self.next_block(chain.spec(), (&parent, hash), &snapshot, now)
    }

    /// The empty child of `parent`, sealed. `snapshot` is the one behind `parent`; `now` is in
    /// seconds since 1970.
    ///
    /// A block that is sealed out of turn has difficulty 1 and loses against one in turn: it is
    /// polite to wait a little before it is sent (go-ethereum waits up to half a second for each
    /// of N/2+1 signers, at random).
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn next_block(
        &self,
        spec: &ChainSpec,
        (parent, parent_hash): (&Header, B256),
        snapshot: &Snapshot,
        now: u64,
    ) -> Result<SyncBlock, ProduceError> {
        let Consensus::Clique { epoch, .. } = spec.consensus() else {
            return Err(ProduceError::NotClique);
        };
        let number = parent.number.checked_add(1).ok_or(ProduceError::LastNumber)?;
        if snapshot.hash() != parent_hash {
            let snapshot = snapshot.hash();
            return Err(ProduceError::OtherSnapshot { snapshot, parent: parent_hash });
        }
        snapshot.authorize(self.signer)?;
        let at = Self::ready_at(spec, parent.timestamp).ok_or(ProduceError::NotClique)?;
        if now < at {
            return Err(ProduceError::TooEarly { at });
        }
        let mut extra = self.vanity.to_vec();
        if clique::is_checkpoint(number, epoch) {
            extra.extend(snapshot.signers().iter().flat_map(|signer| signer.0.0));
        }
        extra.extend([0; clique::SEAL_LENGTH]);
        let mut header = Header {
            parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            // An empty block changes nothing: clique pays no reward.
            state_root: parent.state_root,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty: snapshot.difficulty(number, self.signer),
            number,
            gas_limit: rules::comparable_gas_limit(spec, parent),
            timestamp: now,
            extra_data: extra.into(),
            nonce: clique::NONCE_DROP,
            base_fee_per_gas: rules::next_base_fee(spec, parent),
            ..Header::default()
        };
        clique::verify_form(spec, epoch, &header)?;
        clique::seal(&mut header, &self.key)?;
        Ok(block::seal(header, bytes::Bytes::from_static(block::EMPTY_BODY_RLP)))
    }
}
