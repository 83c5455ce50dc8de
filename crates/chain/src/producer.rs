//! [`Producer`]: the next block of a clique validator.
//!
//! What is in the block is the question of a [`PayloadBuilder`]; when it is made is the question of
//! whoever drives the producer: there are no timers here. It asks at [`Producer::ready_at`], and
//! again at each new head.

mod payload;
mod pool_blocks;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip1559::GAS_LIMIT_BOUND_DIVISOR;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, keccak256};
use chainmesh_proto::eth::chain::{ChainReader, SyncBlock};
use secp256k1::SecretKey;

use crate::clique::{self, CliqueError, Proposals, Snapshot};
use crate::store::{Damage, StoreError};
use crate::{Chain, ChainSpec, Consensus, block, rules};

pub use payload::{EmptyBlocks, NeedsExecution, Payload, PayloadBuilder, PayloadError, empty_body};
pub use pool_blocks::{DEFAULT_BUILD_TIME, PoolBlocks, UnknownParent};

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
    /// There is nothing to put into the block, and this network (period 0) makes no empty ones.
    #[error("this network makes no empty blocks, and there are no transactions")]
    NoTransactions,
    /// The block could not be filled.
    #[error("the block could not be filled: {0}")]
    Payload(#[from] PayloadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the blocks of one signer. Its key is wiped when it is dropped, and is never shown.
pub struct Producer {
    key: SecretKey,
    signer: Address,
    vanity: [u8; clique::VANITY_LENGTH],
    gas_limit: Option<u64>,
    proposals: Proposals,
}

impl core::fmt::Debug for Producer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Producer")
            .field("signer", &self.signer)
            .field("gas_limit", &self.gas_limit)
            .finish_non_exhaustive()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl Producer {
    /// A producer that seals with this key. What the signer may write into each block says
    /// `chainmesh`, the gas limit stays what it is, and it votes for nothing.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        let signer = clique::address(&key.public_key());
        let proposals = Proposals::default();
        let new = Self { signer, key, vanity: Default::default(), gas_limit: None, proposals };
        new.with_vanity(b"chainmesh")
    }

    /// What each block says in front of its extra data; what is beyond 32 bytes is cut off.
    #[must_use]
    pub fn with_vanity(mut self, text: &[u8]) -> Self {
        self.vanity = Default::default();
        for (to, from) in self.vanity.iter_mut().zip(text) {
            *to = *from;
        }
        self
    }

    /// Moves the gas limit of its blocks towards this one, by less than 1/1024 each block.
    #[must_use]
    pub fn with_gas_limit(mut self, target: Option<u64>) -> Self {
        self.gas_limit = target;
        self
    }

    /// Votes for these proposals, which may change at any time.
    #[must_use]
    pub fn with_proposals(mut self, proposals: Proposals) -> Self {
        self.proposals = proposals;
        self
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

    /// The empty child of the head of a chain; see [`Producer::build_on`].
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn next_on(&self, chain: &Chain, now: u64) -> Result<SyncBlock, ProduceError> {
        self.build_on(chain, &EmptyBlocks, now)
    }

    /// The child of the head of a chain, filled and sealed. It is not imported.
    ///
    /// The head may have moved on when it is; then it is one block of a side chain.
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn build_on(
        &self,
        chain: &Chain,
        builder: &dyn PayloadBuilder,
        now: u64,
    ) -> Result<SyncBlock, ProduceError> {
        let hash = chain.head().hash;
        let snapshot = chain.clique_snapshot(&hash)?.ok_or(ProduceError::NotClique)?;
        let damaged = StoreError::Inconsistent(Damage::Block(hash));
        let parent = chain.header(&hash)?.ok_or(damaged)?;
        self.build(chain.spec(), (&parent, hash), &snapshot, builder, now)
    }

    /// The empty child of `parent`, sealed; see [`Producer::build`].
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn next_block(
        &self,
        spec: &ChainSpec,
        parent: (&Header, B256),
        snapshot: &Snapshot,
        now: u64,
    ) -> Result<SyncBlock, ProduceError> {
        self.build(spec, parent, snapshot, &EmptyBlocks, now)
    }

    /// The child of `parent`, filled and sealed. `snapshot` is the one behind `parent`; `now` is in
    /// seconds since 1970.
    ///
    /// A block that is sealed out of turn has difficulty 1 and loses against one in turn: it is
    /// polite to wait a little before it is sent (go-ethereum waits up to half a second for each
    /// of N/2+1 signers, at random).
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn build(
        &self,
        spec: &ChainSpec,
        parent: (&Header, B256),
        snapshot: &Snapshot,
        builder: &dyn PayloadBuilder,
        now: u64,
    ) -> Result<SyncBlock, ProduceError> {
        let Consensus::Clique { period, .. } = spec.consensus() else {
            return Err(ProduceError::NotClique);
        };
        let template = self.template(spec, parent, snapshot, now)?;
        if period == 0 && !builder.has_transactions() {
            return Err(ProduceError::NoTransactions);
        }
        let payload = builder.build(spec, parent.0, template, self.signer)?;
        if period == 0 && payload.transactions == 0 {
            return Err(ProduceError::NoTransactions);
        }
        let mut header = payload.header;
        clique::seal(&mut header, &self.key)?;
        Ok(block::seal(header, payload.body_rlp))
    }

    /// The header of the next block, as far as the network prescribes it.
    fn template(
        &self,
        spec: &ChainSpec,
        (parent, parent_hash): (&Header, B256),
        snapshot: &Snapshot,
        now: u64,
    ) -> Result<Header, ProduceError> {
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
        let mut vote = None;
        if clique::is_checkpoint(number, epoch) {
            extra.extend(snapshot.signers().iter().flat_map(|signer| signer.0.0));
        } else {
            vote = self.proposals.choose(snapshot, self.chance(parent_hash));
        }
        extra.extend([0; clique::SEAL_LENGTH]);
        let (beneficiary, authorize) = vote.unwrap_or_default();
        let (shanghai, cancun) = (spec.is_shanghai(number, now), spec.is_cancun(number, now));
        let header = Header {
            parent_hash,
            beneficiary,
            state_root: parent.state_root,
            difficulty: snapshot.difficulty(number, self.signer),
            number,
            gas_limit: self.next_gas_limit(spec, parent),
            timestamp: now,
            extra_data: extra.into(),
            nonce: if authorize { clique::NONCE_ADD } else { clique::NONCE_DROP },
            base_fee_per_gas: rules::next_base_fee(spec, parent),
            // Nobody stakes anything here, so there is nothing to withdraw and no beacon chain.
            withdrawals_root: shanghai.then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: cancun.then_some(0),
            excess_blob_gas: cancun.then(|| rules::next_excess_blob_gas(spec, now, parent)),
            parent_beacon_block_root: cancun.then_some(B256::ZERO),
            requests_hash: spec.is_prague(number, now).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let header = payload::without_transactions(header);
        clique::verify_form(spec, epoch, &header)?;
        Ok(header)
    }

    /// Differs from block to block and from signer to signer.
    fn chance(&self, parent_hash: B256) -> u64 {
        let mixed = keccak256([parent_hash.as_slice(), self.signer.as_slice()].concat());
        mixed.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// As near to the target as the parent allows (go-ethereum, `CalcGasLimit`).
    fn next_gas_limit(&self, spec: &ChainSpec, parent: &Header) -> u64 {
        let from = rules::comparable_gas_limit(spec, parent);
        let step = (from / GAS_LIMIT_BOUND_DIVISOR).saturating_sub(1);
        let target = self.gas_limit.unwrap_or(from);
        let target = target.clamp(rules::MIN_GAS_LIMIT, rules::MAX_GAS_LIMIT);
        target.clamp(from.saturating_sub(step), from.saturating_add(step))
    }
}
