//! All messages of the protocol as one type.

use bytes::{Bytes, BytesMut};

use super::transaction::{
    decode_transactions, encode_network, encode_transactions, network_length,
};
use super::{
    BlockBody, BlockHeader, BlockId, BlockRange, EthDecodeError, EthVersion, GetBlockHeaders,
    HashRequest, MAX_ITEMS, MAX_MESSAGE_SIZE, MAX_POOLED_TRANSACTIONS, NewBlock, Response, Status,
    TransactionAnnouncements, code, encode_response,
};
use crate::DecodeError;

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender says about its chain.
    Status(Status),
    /// Announced blocks.
    NewBlockHashes(Vec<BlockId>),
    /// Transactions in their EIP-2718 form.
    Transactions(Vec<Bytes>),
    /// Asks for headers.
    GetBlockHeaders(GetBlockHeaders),
    /// Headers.
    BlockHeaders(Response<BlockHeader>),
    /// Asks for bodies.
    GetBlockBodies(HashRequest),
    /// Bodies.
    BlockBodies(Response<BlockBody>),
    /// A new block.
    NewBlock(Box<NewBlock>),
    /// Announced transactions.
    NewPooledTransactionHashes(TransactionAnnouncements),
    /// Asks for transactions of the pool.
    GetPooledTransactions(HashRequest),
    /// Transactions in their EIP-2718 form.
    PooledTransactions(Response<Bytes>),
    /// Asks for state entries; eth/66 only.
    GetNodeData(HashRequest),
    /// State entries; eth/66 only.
    NodeData(Response<Bytes>),
    /// Asks for receipts.
    GetReceipts(HashRequest),
    /// For each block the RLP list of its receipts, as it was received: its form depends on the
    /// version.
    Receipts(Response<Bytes>),
    /// The blocks that the sender can serve; since eth/69.
    BlockRangeUpdate(BlockRange),
}

impl Message {
    /// Reads a message of the negotiated version. `code` is relative to the offset of the
    /// capability.
    ///
    /// # Errors
    /// When the version has no such code, or the payload is no such message.
    pub fn decode(version: EthVersion, code: u32, payload: &Bytes) -> Result<Self, EthDecodeError> {
        let Some(message) = name(version, code) else {
            return Err(EthDecodeError::UnknownCode { code, version });
        };
        Self::decode_known(version, code, payload)
            .map_err(|error| EthDecodeError::Malformed { message, error })
    }

    fn decode_known(version: EthVersion, code: u32, payload: &Bytes) -> Result<Self, DecodeError> {
        if payload.len() > MAX_MESSAGE_SIZE {
            return Err(DecodeError::TooLarge {
                what: "message",
                size: payload.len(),
                limit: MAX_MESSAGE_SIZE,
            });
        }
        Ok(match code {
            code::STATUS => Self::Status(Status::decode(version, payload)?),
            code::NEW_BLOCK_HASHES => Self::NewBlockHashes(BlockId::decode_list(payload)?),
            code::TRANSACTIONS => Self::Transactions(decode_transactions(payload)?),
            code::GET_BLOCK_HEADERS => Self::GetBlockHeaders(GetBlockHeaders::decode(payload)?),
            code::BLOCK_HEADERS => Self::BlockHeaders(decode_headers(payload)?),
            code::GET_BLOCK_BODIES => {
                Self::GetBlockBodies(HashRequest::decode(payload, MAX_ITEMS)?)
            }
            code::BLOCK_BODIES => Self::BlockBodies(decode_bodies(payload)?),
            code::NEW_BLOCK => Self::NewBlock(Box::new(NewBlock::decode(payload)?)),
            code::NEW_POOLED_TRANSACTION_HASHES => Self::NewPooledTransactionHashes(
                TransactionAnnouncements::decode(version, payload)?,
            ),
            code::GET_POOLED_TRANSACTIONS => {
                Self::GetPooledTransactions(HashRequest::decode(payload, MAX_POOLED_TRANSACTIONS)?)
            }
            code::POOLED_TRANSACTIONS => Self::PooledTransactions(decode_pooled(payload)?),
            code::GET_NODE_DATA => Self::GetNodeData(HashRequest::decode(payload, MAX_ITEMS)?),
            code::NODE_DATA => Self::NodeData(decode_node_data(payload)?),
            code::GET_RECEIPTS => Self::GetReceipts(HashRequest::decode(payload, MAX_ITEMS)?),
            code::RECEIPTS => Self::Receipts(decode_receipts(payload)?),
            code::BLOCK_RANGE_UPDATE => Self::BlockRangeUpdate(BlockRange::decode(payload)?),
            // `name` knows the codes above and no other.
            _ => return Err(DecodeError::Invalid("unknown message code")),
        })
    }

    /// The code, relative to the offset of the capability.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Status(_) => code::STATUS,
            Self::NewBlockHashes(_) => code::NEW_BLOCK_HASHES,
            Self::Transactions(_) => code::TRANSACTIONS,
            Self::GetBlockHeaders(_) => code::GET_BLOCK_HEADERS,
            Self::BlockHeaders(_) => code::BLOCK_HEADERS,
            Self::GetBlockBodies(_) => code::GET_BLOCK_BODIES,
            Self::BlockBodies(_) => code::BLOCK_BODIES,
            Self::NewBlock(_) => code::NEW_BLOCK,
            Self::NewPooledTransactionHashes(_) => code::NEW_POOLED_TRANSACTION_HASHES,
            Self::GetPooledTransactions(_) => code::GET_POOLED_TRANSACTIONS,
            Self::PooledTransactions(_) => code::POOLED_TRANSACTIONS,
            Self::GetNodeData(_) => code::GET_NODE_DATA,
            Self::NodeData(_) => code::NODE_DATA,
            Self::GetReceipts(_) => code::GET_RECEIPTS,
            Self::Receipts(_) => code::RECEIPTS,
            Self::BlockRangeUpdate(_) => code::BLOCK_RANGE_UPDATE,
        }
    }

    /// Name of the message, as the specification spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        name_of(self.code())
    }

    /// The payload, encoded once. Announcements and Status have the form of the value.
    ///
    /// # Errors
    /// When a [`NewBlock`] was built with a body that is no RLP list.
    pub fn encode(&self) -> Result<Bytes, DecodeError> {
        Ok(match self {
            Self::Status(status) => status.encode(),
            Self::NewBlockHashes(blocks) => BlockId::encode_list(blocks),
            Self::Transactions(transactions) => encode_transactions(transactions),
            Self::GetBlockHeaders(request) => request.encode(),
            Self::BlockHeaders(answer) => {
                let items = answer.items.iter().map(|header| &header.rlp).collect::<Vec<_>>();
                encode_response(answer.request_id, &items)
            }
            Self::GetBlockBodies(request)
            | Self::GetPooledTransactions(request)
            | Self::GetNodeData(request)
            | Self::GetReceipts(request) => request.encode(),
            Self::BlockBodies(answer) => {
                let items = answer.items.iter().map(|body| &body.rlp).collect::<Vec<_>>();
                encode_response(answer.request_id, &items)
            }
            Self::NewBlock(block) => {
                NewBlock::encode(&block.header.rlp, &block.body.rlp, block.total_difficulty)?
            }
            Self::NewPooledTransactionHashes(announced) => announced.encode(),
            Self::PooledTransactions(answer) | Self::NodeData(answer) => {
                let is_data = matches!(self, Self::NodeData(_));
                encode_strings(answer, is_data)
            }
            Self::Receipts(answer) => encode_response(answer.request_id, &answer.items),
            Self::BlockRangeUpdate(range) => range.encode(),
        })
    }
}

/// The name of a message, if the version has one with this code.
fn name(version: EthVersion, code: u32) -> Option<&'static str> {
    let exists = match code {
        0..=0x0a | 0x0f | 0x10 => true,
        code::GET_NODE_DATA | code::NODE_DATA => version == EthVersion::Eth66,
        code::BLOCK_RANGE_UPDATE => version >= EthVersion::Eth69,
        _ => false,
    };
    exists.then(|| name_of(code))
}

const fn name_of(code: u32) -> &'static str {
    match code {
        code::STATUS => "Status",
        code::NEW_BLOCK_HASHES => "NewBlockHashes",
        code::TRANSACTIONS => "Transactions",
        code::GET_BLOCK_HEADERS => "GetBlockHeaders",
        code::BLOCK_HEADERS => "BlockHeaders",
        code::GET_BLOCK_BODIES => "GetBlockBodies",
        code::BLOCK_BODIES => "BlockBodies",
        code::NEW_BLOCK => "NewBlock",
        code::NEW_POOLED_TRANSACTION_HASHES => "NewPooledTransactionHashes",
        code::GET_POOLED_TRANSACTIONS => "GetPooledTransactions",
        code::POOLED_TRANSACTIONS => "PooledTransactions",
        code::GET_NODE_DATA => "GetNodeData",
        code::NODE_DATA => "NodeData",
        code::GET_RECEIPTS => "GetReceipts",
        code::RECEIPTS => "Receipts",
        code::BLOCK_RANGE_UPDATE => "BlockRangeUpdate",
        _ => "unknown message",
    }
}

fn decode_headers(payload: &Bytes) -> Result<Response<BlockHeader>, DecodeError> {
    Response::decode(payload, "headers", MAX_ITEMS, |list, item| {
        BlockHeader::decode(list.share(item.encoded))
    })
}

fn decode_bodies(payload: &Bytes) -> Result<Response<BlockBody>, DecodeError> {
    Response::decode(payload, "bodies", MAX_ITEMS, |list, item| {
        BlockBody::decode(list.share(item.encoded))
    })
}

fn decode_pooled(payload: &Bytes) -> Result<Response<Bytes>, DecodeError> {
    Response::decode(payload, "transactions", MAX_POOLED_TRANSACTIONS, |list, item| {
        Ok(list.share(super::block::eip2718_form(item)?))
    })
}

fn decode_node_data(payload: &Bytes) -> Result<Response<Bytes>, DecodeError> {
    Response::decode(payload, "state entries", MAX_ITEMS, |list, item| {
        if item.is_list {
            return Err(alloy_rlp::Error::UnexpectedList.into());
        }
        Ok(list.share(item.content))
    })
}

fn decode_receipts(payload: &Bytes) -> Result<Response<Bytes>, DecodeError> {
    Response::decode(payload, "receipt lists", MAX_ITEMS, |list, item| {
        list.of_item(item)?.count_all()?;
        Ok(list.share(item.encoded))
    })
}

/// Encodes transactions (network form) or state entries (always strings).
fn encode_strings(answer: &Response<Bytes>, is_data: bool) -> Bytes {
    use alloy_rlp::Encodable;

    use super::codec::{begin_list, list_length, new_list};

    let length = |item: &Bytes| if is_data { item[..].length() } else { network_length(item) };
    let content = answer.items.iter().map(length).sum();
    let mut out: BytesMut = new_list(answer.request_id.length() + list_length(content));
    answer.request_id.encode(&mut out);
    begin_list(content, &mut out);
    for item in &answer.items {
        if is_data {
            item[..].encode(&mut out);
        } else {
            encode_network(item, &mut out);
        }
    }
    out.freeze()
}
