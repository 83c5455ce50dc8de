//! [`CliqueHandle`]: how operators see and steer the proof of authority of their node. The
//! answers are those of go-ethereum's `clique_` methods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256};
use chainmesh_proto::eth::chain::{ChainReader, StorageError};

use super::{CliqueError, DIFFICULTY_IN_TURN, Proposals, Snapshot, TooManyProposals};
use crate::{Chain, Producer, StoreError};

/// How many of the last blocks [`CliqueHandle::status`] looks at (go-ethereum, `clique_status`).
const STATUS_BLOCKS: u64 = 64;

/// What the validator of this node is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ValidatorState {
    /// This node seals no blocks.
    #[default]
    Off,
    /// All is well: it will seal the block of this number.
    Sealing {
        /// Number of the block.
        number: u64,
        /// Earliest time of the block, seconds since 1970.
        at: u64,
        /// Whether it is in turn for it.
        in_turn: bool,
    },
    /// Its key is no signer of this network now. A vote may make it one.
    NotASigner,
    /// It sealed one of the last blocks: others have to seal some first.
    SignedRecently {
        /// The first block that it may seal.
        next: u64,
    },
    /// It has just been started and fetches the blocks that it has missed.
    Synchronising,
    /// The network makes no empty blocks, and there is nothing to put into one.
    WaitingForTransactions,
    /// Our clock is behind the last block, so that there is nothing to do but wait.
    ClockBehind {
        /// When the next block may be made, seconds since 1970.
        at: u64,
        /// What our clock says, seconds since 1970.
        now: u64,
    },
    /// Blocks cannot be stored. It is tried again every few seconds.
    StoreFailed {
        /// Since when, seconds since 1970.
        since: u64,
        /// What the store says.
        error: Arc<str>,
    },
    /// The block could not be made for another reason. It is tried again.
    Failed {
        /// Since when, seconds since 1970.
        since: u64,
        /// The reason.
        error: Arc<str>,
    },
    /// The network has gone on to something else than clique.
    Ended,
}

impl core::fmt::Display for ValidatorState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Off => write!(f, "this node seals no blocks"),
            Self::Sealing { number, in_turn: true, .. } => write!(f, "sealing block {number}"),
            Self::Sealing { number, .. } => write!(f, "sealing block {number}, out of turn"),
            Self::NotASigner => write!(f, "the key of this node is no signer of this network"),
            Self::SignedRecently { next } => {
                write!(f, "others have to seal before block {next}")
            }
            Self::Synchronising => write!(f, "waiting for the blocks that it has missed"),
            Self::WaitingForTransactions => write!(f, "waiting for transactions"),
            Self::ClockBehind { at, now } => {
                let behind = at.saturating_sub(*now);
                write!(f, "the clock is behind the chain: the next block is {behind} s ahead")
            }
            Self::StoreFailed { error, .. } => write!(f, "blocks cannot be stored: {error}"),
            Self::Failed { error, .. } => write!(f, "no block can be made: {error}"),
            Self::Ended => write!(f, "the network is no clique network any more"),
        }
    }
}

/// How well the signers keep their turns.
#[derive(Debug, Clone, PartialEq)]
pub struct CliqueStatus {
    /// Of the last blocks, how many of a hundred were sealed in turn.
    pub in_turn_percent: f64,
    /// How many of the last blocks each signer sealed.
    pub sealed: BTreeMap<Address, u64>,
    /// How many blocks this is about.
    pub blocks: u64,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The chain has no such block.
    #[error("unknown block")]
    UnknownBlock,
    /// The network is no clique network.
    #[error("this network is no clique network")]
    NotClique,
    /// There are too many proposals.
    #[error(transparent)]
    Proposals(#[from] TooManyProposals),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Votes, signers and the state of the validator of one node. Copies are the same handle.
#[derive(Debug, Clone)]
pub struct CliqueHandle {
    chain: Arc<Chain>,
    proposals: Proposals,
    state: Arc<Mutex<ValidatorState>>,
}

impl CliqueHandle {
    /// The handle of a node; `None` when the network is no clique network.
    #[must_use]
    pub fn new(chain: Arc<Chain>) -> Option<Self> {
        matches!(chain.spec().consensus(), crate::Consensus::Clique { .. }).then(|| Self {
            chain,
            proposals: Proposals::default(),
            state: Arc::default(),
        })
    }

    /// What this node votes for; to be given to its [`Producer`](crate::Producer).
    #[must_use]
    pub const fn shared_proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// Votes from now on to add this address (`authorize`), or to drop it (`clique_propose`).
    ///
    /// # Errors
    /// [`HandleError::Proposals`].
    pub fn propose(&self, address: Address, authorize: bool) -> Result<(), HandleError> {
        Ok(self.proposals.propose(address, authorize)?)
    }

    /// Votes no more about this address (`clique_discard`).
    pub fn discard(&self, address: Address) {
        let _ = self.proposals.discard(address);
    }

    /// What this node votes for (`clique_proposals`).
    #[must_use]
    pub fn proposals(&self) -> BTreeMap<Address, bool> {
        self.proposals.list()
    }

    /// Votes and signers behind a canonical block; the head if `None` (`clique_getSnapshot`).
    /// Reads the disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn snapshot(&self, number: Option<u64>) -> Result<Arc<Snapshot>, HandleError> {
        let hash = match number {
            None => self.chain.head().hash,
            Some(number) => self.chain.canonical_hash(number)?.ok_or(HandleError::UnknownBlock)?,
        };
        self.snapshot_at(&hash)
    }

    /// The same for any known block (`clique_getSnapshotAtHash`). Reads the disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn snapshot_at(&self, hash: &B256) -> Result<Arc<Snapshot>, HandleError> {
        self.chain.clique_snapshot(hash)?.ok_or(HandleError::UnknownBlock)
    }

    /// The signers behind a canonical block, ascending; behind the head if `None`
    /// (`clique_getSigners`). Reads the disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn signers(&self, number: Option<u64>) -> Result<Vec<Address>, HandleError> {
        Ok(self.snapshot(number)?.signers().to_vec())
    }

    /// The same for any known block (`clique_getSignersAtHash`). Reads the disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn signers_at(&self, hash: &B256) -> Result<Vec<Address>, HandleError> {
        Ok(self.snapshot_at(hash)?.signers().to_vec())
    }

    /// Who sealed a known block (`clique_getSigner`). Reads the disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn signer_of(&self, hash: &B256) -> Result<Address, HandleError> {
        let header = self.chain.header(hash)?.ok_or(HandleError::UnknownBlock)?;
        // The genesis block has room for a seal, and none in it.
        super::signer(&header).map_err(|_| HandleError::UnknownBlock)
    }

    /// Who sealed the last 64 blocks, and how many of them in turn (`clique_status`). Reads the
    /// disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn status(&self) -> Result<CliqueStatus, HandleError> {
        let head = self.chain.head();
        let signers = self.signers_at(&head.hash)?;
        let mut sealed: BTreeMap<Address, u64> = signers.into_iter().map(|who| (who, 0)).collect();
        let (mut at, mut blocks, mut in_turn) = (head.hash, 0, 0_u64);
        while blocks < STATUS_BLOCKS {
            let header = self.chain.header(&at)?.ok_or(HandleError::UnknownBlock)?;
            if header.number == 0 {
                break;
            }
            if header.difficulty == DIFFICULTY_IN_TURN {
                in_turn += 1;
            }
            if let Ok(signer) = super::signer(&header) {
                *sealed.entry(signer).or_default() += 1;
            }
            (at, blocks) = (header.parent_hash, blocks + 1);
        }
        // An empty chain has kept all its turns.
        let in_turn_percent =
            if blocks == 0 { 100.0 } else { 100.0 * in_turn as f64 / blocks as f64 };
        Ok(CliqueStatus { in_turn_percent, sealed, blocks })
    }

    /// What a validator with this address has to do now; `now` is in seconds since 1970. Reads the
    /// disk.
    ///
    /// # Errors
    /// See [`HandleError`].
    pub fn turn(&self, signer: Address, now: u64) -> Result<ValidatorState, HandleError> {
        let head = self.chain.head();
        let Some(at) = Producer::ready_at(self.chain.spec(), head.timestamp) else {
            return Ok(ValidatorState::Ended);
        };
        let snapshot = self.snapshot_at(&head.hash)?;
        Ok(match snapshot.authorize(signer) {
            Err(CliqueError::SignedRecently { next, .. }) => {
                ValidatorState::SignedRecently { next }
            }
            Err(_) => ValidatorState::NotASigner,
            // No block of the future becomes the head: it is the clock that was set back.
            Ok(()) if head.timestamp > now => ValidatorState::ClockBehind { at, now },
            Ok(()) => {
                let number = head.number.saturating_add(1);
                ValidatorState::Sealing { number, at, in_turn: snapshot.in_turn(number, signer) }
            }
        })
    }

    /// What the validator of this node is doing.
    #[must_use]
    pub fn validator_state(&self) -> ValidatorState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the validator is doing; returns what it was doing before.
    pub fn set_validator_state(&self, state: ValidatorState) -> ValidatorState {
        core::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}
