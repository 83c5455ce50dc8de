//! The Status message.

use alloy_eip2124::ForkId;
use alloy_primitives::{B256, U256};
use alloy_rlp::Encodable;
use bytes::Bytes;

use super::block::BlockRange;
use super::codec::{Reader, new_list};
use super::{EthVersion, MAX_TOTAL_DIFFICULTY_BITS};
use crate::DecodeError;

/// What a node says about its chain, first of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Number of the protocol version; must be the negotiated one.
    pub version: u32,
    /// Network id; usually the chain id.
    pub network_id: u64,
    /// Hash of the genesis block.
    pub genesis: B256,
    /// The forks passed and the next one (EIP-2124).
    pub fork_id: ForkId,
    /// The head of the chain, in the form of the version.
    pub head: StatusHead,
}

/// How a Status names the head of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusHead {
    /// eth/66 to eth/68.
    TotalDifficulty {
        /// Sum of the difficulties up to the best block, at most
        /// [`MAX_TOTAL_DIFFICULTY_BITS`] bits.
        total_difficulty: U256,
        /// Hash of the best block.
        best_hash: B256,
    },
    /// eth/69.
    Range(BlockRange),
}

impl Status {
    /// Reads a Status in the form of `version`. That the version in it is the same is left to the
    /// handshake.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn decode(version: EthVersion, payload: &Bytes) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let number = list.decode::<u32>()?;
        let network_id = list.decode::<u64>()?;
        let status = if version >= EthVersion::Eth69 {
            let genesis = list.decode()?;
            let fork_id = list.decode()?;
            let head = StatusHead::Range(BlockRange::read(&mut list)?);
            Self { version: number, network_id, genesis, fork_id, head }
        } else {
            let total_difficulty = list.bounded("total difficulty", MAX_TOTAL_DIFFICULTY_BITS)?;
            let best_hash = list.decode()?;
            let genesis = list.decode()?;
            let fork_id = list.decode()?;
            let head = StatusHead::TotalDifficulty { total_difficulty, best_hash };
            Self { version: number, network_id, genesis, fork_id, head }
        };
        list.finish()?;
        Ok(status)
    }

    /// The payload, in the form that [`head`](Self::head) has.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let common = self.version.length()
            + self.network_id.length()
            + self.genesis.length()
            + self.fork_id.length();
        match &self.head {
            StatusHead::TotalDifficulty { total_difficulty, best_hash } => {
                let mut out = new_list(common + total_difficulty.length() + best_hash.length());
                self.version.encode(&mut out);
                self.network_id.encode(&mut out);
                total_difficulty.encode(&mut out);
                best_hash.encode(&mut out);
                self.genesis.encode(&mut out);
                self.fork_id.encode(&mut out);
                out.freeze()
            }
            StatusHead::Range(range) => {
                let mut out = new_list(common + range.fields_length());
                self.version.encode(&mut out);
                self.network_id.encode(&mut out);
                self.genesis.encode(&mut out);
                self.fork_id.encode(&mut out);
                range.encode_fields(&mut out);
                out.freeze()
            }
        }
    }
}
