//! [`ChainSpec`]: what the nodes of one network have agreed on.

use std::path::Path;

use alloy_consensus::Header;
use alloy_eips::eip7840::BlobParams;
use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::Encodable;
use bytes::Bytes;

use crate::clique;
use crate::genesis::{self, GenesisError, SpecError};

/// How the nodes of a network agree on the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consensus {
    /// Proof of authority (EIP-225): known signers take turns.
    Clique {
        /// Least number of seconds between two blocks.
        period: u64,
        /// Every so many blocks the list of signers is written down in the block.
        epoch: u64,
    },
    /// Proof of stake: difficulty 0, and somebody else (a consensus client) says which block is
    /// the head. Without one, the longest chain is.
    ProofOfStake,
    /// Headers in the shape of ethash whose **seal is not checked**: for the chains of test
    /// suites, and no protection against anybody. The difficulty of each header is checked, and
    /// so is the hash of its ommers; whether these are valid ommers is not.
    UnsealedProofOfWork,
}

/// Genesis block and rules of one network.
#[derive(Debug, Clone)]
pub struct ChainSpec {
    genesis: Genesis,
    header: Header,
    header_rlp: Bytes,
    hash: B256,
    consensus: Consensus,
}

impl ChainSpec {
    /// The network that starts with this genesis.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn new(genesis: Genesis) -> Result<Self, SpecError> {
        let header = genesis::header(&genesis)?;
        let consensus = consensus_of(&genesis);
        if matches!(consensus, Consensus::Clique { .. }) {
            let signers = clique::signers_in_extra_data(&header.extra_data)
                .ok_or(SpecError::CliqueExtraData(header.extra_data.len()))?;
            if signers.is_empty() {
                return Err(SpecError::CliqueExtraData(header.extra_data.len()));
            }
            if !signers.is_sorted_by(|a, b| a < b) {
                return Err(SpecError::CliqueSignersUnsorted);
            }
        }
        let mut rlp = Vec::with_capacity(header.length());
        header.encode(&mut rlp);
        let hash = keccak256(&rlp);
        Ok(Self { genesis, header, header_rlp: rlp.into(), hash, consensus })
    }

    /// Reads a genesis file.
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn read(path: &Path) -> Result<Self, GenesisError> {
        let genesis = genesis::read(path)?;
        Self::new(genesis).map_err(|source| GenesisError::Spec { path: path.into(), source })
    }

    /// The genesis as it was read.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Chain id and forks.
    #[must_use]
    pub const fn config(&self) -> &ChainConfig {
        &self.genesis.config
    }

    /// Header of the genesis block.
    #[must_use]
    pub const fn genesis_header(&self) -> &Header {
        &self.header
    }

    /// RLP of the header of the genesis block.
    #[must_use]
    pub const fn genesis_header_rlp(&self) -> &Bytes {
        &self.header_rlp
    }

    /// Hash of the genesis block.
    #[must_use]
    pub const fn genesis_hash(&self) -> B256 {
        self.hash
    }

    /// How blocks are agreed upon, at the start of the chain.
    #[must_use]
    pub const fn consensus(&self) -> Consensus {
        self.consensus
    }

    /// How the child of a block is agreed upon, given the total difficulty up to that block: a
    /// chain passes to proof of stake behind the first block that reaches the terminal total
    /// difficulty (EIP-3675).
    #[must_use]
    pub fn consensus_after(&self, total_difficulty: U256) -> Consensus {
        match self.config().terminal_total_difficulty {
            Some(terminal) if total_difficulty >= terminal => Consensus::ProofOfStake,
            _ => self.consensus,
        }
    }

    /// Whether the London fork (EIP-1559) is active in the block with this number.
    #[must_use]
    pub fn is_london(&self, number: u64) -> bool {
        self.config().is_london_active_at_block(number)
    }

    /// Whether the Shanghai fork (withdrawals) is active in a block.
    #[must_use]
    pub fn is_shanghai(&self, number: u64, timestamp: u64) -> bool {
        self.is_time_fork(self.config().shanghai_time, number, timestamp)
    }

    /// Whether the Cancun fork (blobs, beacon root) is active in a block.
    #[must_use]
    pub fn is_cancun(&self, number: u64, timestamp: u64) -> bool {
        self.is_time_fork(self.config().cancun_time, number, timestamp)
    }

    /// Whether the Prague fork (requests) is active in a block.
    #[must_use]
    pub fn is_prague(&self, number: u64, timestamp: u64) -> bool {
        self.is_time_fork(self.config().prague_time, number, timestamp)
    }

    /// Whether the Osaka fork is active in a block.
    #[must_use]
    pub fn is_osaka(&self, number: u64, timestamp: u64) -> bool {
        self.is_time_fork(self.config().osaka_time, number, timestamp)
    }

    /// Whether the Amsterdam fork (block access lists) is active in a block.
    #[must_use]
    pub fn is_amsterdam(&self, number: u64, timestamp: u64) -> bool {
        self.is_time_fork(self.config().amsterdam_time, number, timestamp)
    }

    fn is_time_fork(&self, time: Option<u64>, number: u64, timestamp: u64) -> bool {
        self.is_london(number) && time.is_some_and(|time| time <= timestamp)
    }

    /// How many blobs a block of this time may have, and what they cost.
    #[must_use]
    pub fn blob_params(&self, number: u64, timestamp: u64) -> BlobParams {
        let schedule = self.config().blob_schedule_blob_params();
        let scheduled = schedule.scheduled.iter().rev().find(|(time, _)| *time <= timestamp);
        match scheduled {
            Some((_, params)) => *params,
            None if self.is_osaka(number, timestamp) => schedule.osaka,
            None if self.is_prague(number, timestamp) => schedule.prague,
            None => schedule.cancun,
        }
    }
}

fn consensus_of(genesis: &Genesis) -> Consensus {
    let config = &genesis.config;
    if config.terminal_total_difficulty.is_some_and(|terminal| terminal <= genesis.difficulty) {
        return Consensus::ProofOfStake;
    }
    config.clique.map_or(Consensus::UnsealedProofOfWork, |clique| Consensus::Clique {
        period: clique.period.unwrap_or(0),
        epoch: match clique.epoch {
            None | Some(0) => clique::DEFAULT_EPOCH,
            Some(epoch) => epoch,
        },
    })
}
