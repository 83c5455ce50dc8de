//! Which block is meant, and what is in it.

use alloy_consensus::{BlockBody, Header};
use alloy_primitives::{B256, U256};
use chainmesh_chain::pool::Transaction;
use chainmesh_chain::{Chain, block};
use chainmesh_proto::eth::chain::ChainReader;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::error::{RpcResult, internal, refused};
use super::params::{Hex, HexError, quantity_u64};

/// A block by its number, or by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BlockTag {
    Number(u64),
    Earliest,
    #[default]
    Latest,
    Pending,
    Safe,
    Finalized,
}

impl core::str::FromStr for BlockTag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Ok(match text {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            "pending" => Self::Pending,
            "safe" => Self::Safe,
            "finalized" => Self::Finalized,
            number => match quantity_u64(number)? {
                number if number > i64::MAX as u64 => return Err(TagError::TooLarge),
                number => Self::Number(number),
            },
        })
    }
}

/// The text names no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TagError {
    /// go-ethereum has the same limit, and the same words.
    #[error("block number larger than int64")]
    TooLarge,
    #[error(
        "{0}: a block is a number such as \"0x1b4\", or \"earliest\", \"latest\", \"pending\", \
         \"safe\" or \"finalized\""
    )]
    Hex(#[from] HexError),
}

impl<'de> Deserialize<'de> for BlockTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.trim().parse().map_err(D::Error::custom)
    }
}

/// A block by number, name or hash (EIP-1898).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockId {
    Tag(BlockTag),
    Hash {
        hash: B256,
        canonical: bool,
    },
    /// An empty object: go-ethereum looks at it when the block is wanted.
    Neither,
}

impl Default for BlockId {
    fn default() -> Self {
        Self::Tag(BlockTag::Latest)
    }
}

/// The object of EIP-1898.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockObject {
    block_number: Option<BlockTag>,
    block_hash: Option<Hex<B256>>,
    #[serde(default)]
    require_canonical: bool,
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Object(serde_json::Map<String, serde_json::Value>),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Text(text)) if text.len() == 66 => {
                let Hex(hash) = text.parse().map_err(D::Error::custom)?;
                Ok(Self::Hash { hash, canonical: false })
            }
            Ok(Either::Text(text)) => text.parse().map(Self::Tag).map_err(D::Error::custom),
            Ok(Either::Object(object)) => {
                let object = serde_json::from_value::<BlockObject>(object.into());
                let object = object.map_err(D::Error::custom)?;
                match (object.block_number, object.block_hash) {
                    (Some(tag), None) => Ok(Self::Tag(tag)),
                    (None, Some(Hex(hash))) => {
                        Ok(Self::Hash { hash, canonical: object.require_canonical })
                    }
                    (Some(_), Some(_)) => Err(D::Error::custom(
                        "cannot specify both BlockHash and BlockNumber, choose one or the other",
                    )),
                    (None, None) => Ok(Self::Neither),
                }
            }
            Err(_) => Err(D::Error::custom(
                "a block is a string, or an object with blockHash or blockNumber",
            )),
        }
    }
}

/// The hash of the block that a tag names, or `None` when there is no such block.
///
/// `pending` is the head: what waits in the pool is no block before it is sealed. Proof of
/// authority has no finality, so there is no `safe` and no `finalized` block, and go-ethereum's
/// error says so.
pub(crate) fn by_tag(chain: &Chain, tag: BlockTag) -> RpcResult<Option<B256>> {
    match tag {
        BlockTag::Latest | BlockTag::Pending => Ok(Some(chain.head().hash)),
        BlockTag::Earliest => Ok(Some(chain.genesis_hash())),
        BlockTag::Safe => Err(refused("safe block not found")),
        BlockTag::Finalized => Err(refused("finalized block not found")),
        BlockTag::Number(number) => chain.canonical_hash(number).map_err(internal),
    }
}

/// The same where go-ethereum takes a block that nobody names for one that is not there.
pub(crate) fn by_tag_or_none(chain: &Chain, tag: BlockTag) -> RpcResult<Option<B256>> {
    match tag {
        BlockTag::Safe | BlockTag::Finalized => Ok(None),
        tag => by_tag(chain, tag),
    }
}

/// The number that a tag names; it may be above the head.
pub(crate) fn number_of(chain: &Chain, tag: BlockTag) -> RpcResult<u64> {
    match tag {
        BlockTag::Number(number) => Ok(number),
        BlockTag::Earliest => Ok(0),
        BlockTag::Latest | BlockTag::Pending => Ok(chain.head().number),
        BlockTag::Safe | BlockTag::Finalized => by_tag(chain, tag).map(|_| 0),
    }
}

/// No block is meant.
pub(crate) fn neither() -> jsonrpsee_types::ErrorObjectOwned {
    refused("invalid arguments; neither block nor hash specified")
}

/// The header of the block that is meant, with its hash.
pub(crate) fn header(chain: &Chain, id: BlockId) -> RpcResult<(B256, Header)> {
    let (hash, missing) = match id {
        BlockId::Tag(tag) => {
            let missing = "header not found";
            (by_tag(chain, tag)?.ok_or_else(|| refused(missing))?, missing)
        }
        BlockId::Hash { hash, .. } => (hash, "header for hash not found"),
        BlockId::Neither => return Err(neither()),
    };
    let header = chain.header(&hash).map_err(internal)?.ok_or_else(|| refused(missing))?;
    if let BlockId::Hash { canonical: true, .. } = id
        && chain.canonical_hash(header.number).map_err(internal)? != Some(hash)
    {
        return Err(refused("hash is not currently canonical"));
    }
    Ok((hash, header))
}

/// A block, as far as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) body: BlockBody<Transaction>,
    /// Bytes of its RLP.
    pub(crate) size: usize,
    pub(crate) total_difficulty: Option<U256>,
}

/// The block with this hash, canonical or not.
pub(crate) fn block(chain: &Chain, hash: B256) -> RpcResult<Option<Block>> {
    let Some((header_rlp, body_rlp)) = parts(chain, hash)? else { return Ok(None) };
    let header = alloy_rlp::decode_exact(&header_rlp).map_err(internal)?;
    let body = alloy_rlp::decode_exact(&body_rlp).map_err(internal)?;
    let size = block::encode(&header_rlp, &body_rlp).map_err(internal)?.len();
    let total_difficulty = chain.total_difficulty(&hash).map_err(internal)?;
    Ok(Some(Block { hash, header, body, size, total_difficulty }))
}

/// Header and body of a block as they are stored.
pub(crate) fn parts(chain: &Chain, hash: B256) -> RpcResult<Option<(bytes::Bytes, bytes::Bytes)>> {
    let Some(header) = chain.header_rlp(&hash).map_err(internal)? else { return Ok(None) };
    Ok(chain.body_rlp(&hash).map_err(internal)?.map(|body| (header, body)))
}

#[cfg(test)]
mod tests;
