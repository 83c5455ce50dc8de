//! `eth`: each message in each version, and what a peer may send after what.

use std::collections::BTreeMap;

use alloy_eip2124::{ForkFilter, Head};
use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_proto::eth::chain::ChainReader;
use chainmesh_proto::eth::handler::{EthEvent, EthFault, EthPeer, MAX_OUTSTANDING};
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_sim::chain::MemoryChain;
use chainmesh_wire::eth::{
    EthVersion, HashRequest, MAX_ITEMS, MAX_POOLED_TRANSACTIONS, Message, Origin, code,
    encode_hash_request, encode_response,
};

use crate::cursor::Cursor;

/// Codes that are tried: all that some version has, and some that none has.
const CODES: u8 = 0x14;

fn version(cursor: &mut Cursor<'_>) -> EthVersion {
    EthVersion::ALL[usize::from(cursor.below(4))]
}

/// A version, a code and a payload: what decodes encodes to the same bytes.
pub fn eth_message(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let version = version(&mut cursor);
    let code = u32::from(cursor.below(CODES));
    let payload = Bytes::copy_from_slice(cursor.take(usize::MAX));
    let Ok(message) = Message::decode(version, code, &payload) else { return };
    assert_eq!(message.code(), code);
    let encoded = message.encode().expect("what was decoded can be encoded");
    if is_cut(&message) {
        assert!(encoded.len() <= payload.len());
    } else {
        assert_eq!(encoded, payload, "{message:?}");
    }
    assert_eq!(Message::decode(version, code, &encoded), Ok(message));
}

/// Of a long list of wanted hashes only the first are kept.
fn is_cut(message: &Message) -> bool {
    let full = |request: &HashRequest, limit| request.hashes.len() == limit;
    match message {
        Message::GetPooledTransactions(request) => full(request, MAX_POOLED_TRANSACTIONS),
        Message::GetBlockBodies(request)
        | Message::GetNodeData(request)
        | Message::GetReceipts(request) => full(request, MAX_ITEMS),
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Headers(usize),
    Bodies(usize),
}

/// What must be true of a session, beside the session itself.
struct Model {
    peer: EthPeer,
    version: EthVersion,
    open: bool,
    asked: BTreeMap<u64, Asked>,
}

/// A session with one peer: requests of ours, and messages of the peer in any order.
pub fn eth_peer(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let version = version(&mut cursor);
    let chain = MemoryChain::default();
    let genesis_hash = chain.genesis_hash();
    let forks = ForkFilter::new(Head::default(), genesis_hash, 0, []);
    let identity = ChainIdentity { network_id: 7, genesis_hash, forks, earliest: 0 };
    let peer = EthPeer::new(version, identity, chain.head());
    let mut model = Model { peer, version, open: false, asked: BTreeMap::new() };
    let header = chain.header_rlp(&genesis_hash).ok().flatten().expect("the genesis header");
    let body = chain.body_rlp(&genesis_hash).ok().flatten().expect("the genesis body");
    while !cursor.is_empty() {
        let (code, payload) = match cursor.below(8) {
            0 => {
                model.ask(&mut cursor);
                continue;
            }
            1 => {
                let request_id = u64::from(cursor.byte());
                model.peer.withdraw(request_id);
                model.asked.remove(&request_id);
                continue;
            }
            2 => model.peer.start(),
            3 => (code::BLOCK_HEADERS, answer(&mut cursor, &header)),
            4 => (code::BLOCK_BODIES, answer(&mut cursor, &body)),
            5 => {
                let code = [
                    code::GET_BLOCK_BODIES,
                    code::GET_POOLED_TRANSACTIONS,
                    code::GET_RECEIPTS,
                    code::GET_NODE_DATA,
                ][usize::from(cursor.below(4))];
                (code, encode_hash_request(cursor.long(), &[genesis_hash]))
            }
            _ => {
                let code = u32::from(cursor.below(CODES));
                let length = usize::from(cursor.byte());
                (code, Bytes::copy_from_slice(cursor.take(length)))
            }
        };
        if model.receive(code, &payload).is_err() {
            return;
        }
    }
}

/// An answer of some equal items to a request that may have been made.
fn answer(cursor: &mut Cursor<'_>, item: &Bytes) -> Bytes {
    let request_id = u64::from(cursor.byte());
    encode_response(request_id, &vec![item; usize::from(cursor.below(8))])
}

impl Model {
    fn ask(&mut self, cursor: &mut Cursor<'_>) {
        let count = usize::from(cursor.byte());
        let (asked, result) = if cursor.flag() {
            let origin = Origin::Number(cursor.long());
            let count = if cursor.flag() { u64::MAX } else { count as u64 };
            let asked = Asked::Headers(usize::try_from(count).expect("a machine of 64 bits"));
            (asked, self.peer.request_headers(origin, count))
        } else {
            (Asked::Bodies(count), self.peer.request_bodies(&vec![B256::ZERO; count]))
        };
        let full = self.asked.len() >= MAX_OUTSTANDING;
        assert_eq!(result.is_err(), full);
        let Ok(request) = result else { return };
        assert!(self.asked.insert(request.request_id, asked).is_none(), "an id is used once");
        assert!(Message::decode(self.version, request.code, &request.payload).is_ok());
        assert_eq!(self.peer.outstanding(), self.asked.len());
    }

    fn receive(&mut self, code: u32, payload: &Bytes) -> Result<(), EthFault> {
        let event = self.peer.receive(code, payload)?;
        assert_eq!(matches!(event, Some(EthEvent::Ready(_))), !self.open, "Ready once, and first");
        self.open = true;
        match event {
            Some(EthEvent::Headers { request_id, headers }) => {
                let asked = self.asked.remove(&request_id);
                assert!(matches!(asked, Some(Asked::Headers(count)) if headers.len() <= count));
            }
            Some(EthEvent::Bodies { request_id, bodies }) => {
                let asked = self.asked.remove(&request_id);
                assert!(matches!(asked, Some(Asked::Bodies(count)) if bodies.len() <= count));
            }
            Some(EthEvent::Reply { code, payload }) => {
                assert!(Message::decode(self.version, code, &payload).is_ok(), "a good answer");
            }
            _ => {}
        }
        assert_eq!(self.peer.outstanding(), self.asked.len());
        Ok(())
    }
}
