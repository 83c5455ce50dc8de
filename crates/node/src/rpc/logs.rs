//! `eth_getLogs`: which logs are wanted, and where they are.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use chainmesh_chain::Chain;
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde::Deserialize;
use serde_json::Value;

use super::RpcContext;
use super::blocks::{self, BlockTag};
use super::error::{RpcResult, internal, invalid_params, limit_exceeded, refused};
use super::params::Hex;
use super::reading::read;
use super::shapes::{self, LogPlace};

/// Blocks of one query, at most: the header of each is read. Common providers have the same.
pub const MAX_LOG_BLOCKS: u64 = 10_000;
/// Logs of one answer, at most. Common providers have the same.
pub const MAX_LOGS: usize = 10_000;
/// Topics of a log, at most (EVM, `LOG4`).
const MAX_TOPICS: usize = 4;
/// Addresses, and topics for one place, at most (go-ethereum v1.14.6 and later, `maxSubTopics`).
const MAX_ALTERNATIVES: usize = 1_000;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_getLogs", 1, |context, args| {
        let query: LogQuery = args.required()?;
        Ok(Value::Array(query.find(context.chain()?)?))
    })
}

/// One value, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> From<OneOrMore<T>> for Vec<T> {
    fn from(values: OneOrMore<T>) -> Self {
        match values {
            OneOrMore::One(value) => vec![value],
            OneOrMore::More(values) => values,
        }
    }
}

/// What a topic may be; a `null` stands for any.
type Place = OneOrMore<Option<Hex<B256>>>;

/// A filter as it stands in JSON.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Json {
    from_block: Option<BlockTag>,
    to_block: Option<BlockTag>,
    block_hash: Option<Hex<B256>>,
    address: Option<OneOrMore<Hex<Address>>>,
    topics: Option<Vec<Option<Place>>>,
}

/// Which logs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogFilter {
    /// Of these addresses; of any if there are none.
    addresses: Vec<Address>,
    /// With one of these topics in each place; any if there are none.
    topics: Vec<Vec<B256>>,
}

/// Which blocks are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogRange {
    Block(B256),
    Numbers(BlockTag, BlockTag),
}

/// Which logs of which blocks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Json")]
pub(crate) struct LogQuery {
    pub(crate) filter: LogFilter,
    pub(crate) range: LogRange,
}

impl Default for LogQuery {
    fn default() -> Self {
        let range = LogRange::Numbers(BlockTag::Latest, BlockTag::Latest);
        Self { filter: LogFilter::default(), range }
    }
}

/// Why a filter is none. The texts are go-ethereum's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")]
    HashAndRange,
    #[error("exceed max topics")]
    TooManyTopics,
    #[error("exceed max addresses or topics per search position: {MAX_ALTERNATIVES}")]
    TooManyAlternatives,
}

impl TryFrom<Json> for LogQuery {
    type Error = FilterError;

    fn try_from(json: Json) -> Result<Self, FilterError> {
        let range = match (json.block_hash, json.from_block, json.to_block) {
            (Some(Hex(hash)), None, None) => LogRange::Block(hash),
            (Some(_), ..) => return Err(FilterError::HashAndRange),
            (None, from, to) => LogRange::Numbers(from.unwrap_or_default(), to.unwrap_or_default()),
        };
        let addresses: Vec<Hex<Address>> = json.address.map(Vec::from).unwrap_or_default();
        let addresses: Vec<Address> = addresses.into_iter().map(|Hex(address)| address).collect();
        // A `null` among the topics of a place stands for any.
        let topics = json.topics.unwrap_or_default().into_iter().map(|place| {
            let place: Vec<Option<Hex<B256>>> = place.map(Vec::from).unwrap_or_default();
            let topics: Option<Vec<B256>> =
                place.into_iter().map(|topic| topic.map(|Hex(topic)| topic)).collect();
            topics.unwrap_or_default()
        });
        let topics: Vec<Vec<B256>> = topics.collect();
        if topics.len() > MAX_TOPICS {
            return Err(FilterError::TooManyTopics);
        }
        if addresses.len() > MAX_ALTERNATIVES
            || topics.iter().any(|place| place.len() > MAX_ALTERNATIVES)
        {
            return Err(FilterError::TooManyAlternatives);
        }
        Ok(Self { filter: LogFilter { addresses, topics }, range })
    }
}

impl LogFilter {
    /// Whether a log is wanted.
    pub(crate) fn admits(&self, log: &Log) -> bool {
        let topics = log.topics();
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        address
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(any, it)| any.is_empty() || any.contains(it))
    }

    /// Whether a block with this bloom filter may have such a log.
    pub(crate) fn may_match(&self, bloom: &Bloom) -> bool {
        let has = |raw: &[u8]| bloom.contains_input(BloomInput::Raw(raw));
        let any = |list: &[B256]| list.is_empty() || list.iter().any(|topic| has(topic.as_slice()));
        (self.addresses.is_empty() || self.addresses.iter().any(|it| has(it.as_slice())))
            && self.topics.iter().all(|place| any(place))
    }

    /// The wanted logs of a block, as they are shown.
    pub(crate) fn of_block(
        &self,
        chain: &Chain,
        hash: B256,
        removed: bool,
    ) -> RpcResult<Vec<Value>> {
        let Some(header) = chain.header(&hash).map_err(internal)? else { return Ok(Vec::new()) };
        if header.logs_bloom.is_zero() || !self.may_match(&header.logs_bloom) {
            return Ok(Vec::new());
        }
        let receipts = chain.receipts(&hash).map_err(internal)?.unwrap_or_default();
        let logs = receipts.iter().flat_map(|receipt| receipt.logs());
        if !logs.clone().any(|log| self.admits(log)) {
            return Ok(Vec::new());
        }
        let Some(body) = chain.body(&hash).map_err(internal)? else { return Ok(Vec::new()) };
        let (mut log_index, mut shown) = (0, Vec::new());
        for (index, (tx, receipt)) in body.transactions.iter().zip(&receipts).enumerate() {
            for log in receipt.logs() {
                if self.admits(log) {
                    let place = LogPlace {
                        block_hash: hash,
                        number: header.number,
                        transaction_hash: *tx.tx_hash(),
                        transaction_index: index as u64,
                        log_index,
                    };
                    shown.push(shapes::log(log, &place, removed));
                }
                log_index += 1;
            }
        }
        Ok(shown)
    }
}

impl LogQuery {
    /// All of them, in the order of the chain.
    pub(crate) fn find(&self, chain: &Chain) -> RpcResult<Vec<Value>> {
        let (from, to) = match self.range {
            LogRange::Block(hash) => {
                if chain.number_of(&hash).map_err(internal)?.is_none() {
                    return Err(refused("unknown block"));
                }
                return self.filter.of_block(chain, hash, false);
            }
            LogRange::Numbers(from, to) => {
                if let (BlockTag::Number(from), BlockTag::Number(to)) = (from, to)
                    && from > to
                {
                    return Err(refused("invalid block range params"));
                }
                (blocks::number_of(chain, from)?, blocks::number_of(chain, to)?)
            }
        };
        let to = to.min(chain.head().number);
        if to.saturating_sub(from) >= MAX_LOG_BLOCKS {
            return Err(limit_exceeded(format_args!(
                "the range is too large: {MAX_LOG_BLOCKS} blocks at most, use fromBlock and toBlock"
            )));
        }
        let mut logs = Vec::new();
        for number in from..=to {
            let Some(hash) = chain.canonical_hash(number).map_err(internal)? else { break };
            logs.extend(self.filter.of_block(chain, hash, false)?);
            if logs.len() > MAX_LOGS {
                return Err(limit_exceeded(format_args!(
                    "the query gives more than {MAX_LOGS} logs: use a smaller range"
                )));
            }
        }
        Ok(logs)
    }
}

/// What a subscription to logs may be given.
pub(crate) fn subscribed(query: LogQuery) -> RpcResult<LogFilter> {
    match query.range {
        LogRange::Numbers(..) => Ok(query.filter),
        LogRange::Block(_) => Err(invalid_params("invalid block range params")),
    }
}

#[cfg(test)]
mod tests;
