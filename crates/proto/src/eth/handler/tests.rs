//! The protocol with one peer: what is a fault, and what the peer is told.

use alloy_eip2124::{ForkFilter, Head};
use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::{
    BlockBody, BlockHeader, BlockRange, EthVersion, HashRequest, Message, Origin, Response, code,
};
use proptest::prelude::*;

use super::super::chain::ChainReader;
use super::super::testing::{MemoryChain, Shape, branch, genesis};
use super::{ChainIdentity, EthEvent, EthFault, EthPeer, MAX_OUTSTANDING, PeerHead};

fn identity(network_id: u64) -> ChainIdentity {
    let genesis_hash = genesis().hash;
    let forks = ForkFilter::new(Head::default(), genesis_hash, 0, []);
    ChainIdentity { network_id, genesis_hash, forks, earliest: 0 }
}

fn peer(version: EthVersion) -> EthPeer {
    EthPeer::new(version, identity(1515), MemoryChain::new().head())
}

fn open(version: EthVersion) -> EthPeer {
    let mut peer = peer(version);
    let (code, payload) = peer.start();
    let event = peer.receive(code, &payload).unwrap().unwrap();
    assert!(matches!(event, EthEvent::Ready(_)));
    peer
}

fn send(peer: &mut EthPeer, message: &Message) -> Result<Option<EthEvent>, EthFault> {
    peer.receive(message.code(), &message.encode().unwrap())
}

fn some_headers(count: u64) -> Vec<BlockHeader> {
    branch(&genesis(), count, Shape::default())
        .into_iter()
        .map(|block| BlockHeader::from_header(block.header))
        .collect()
}

fn headers(request_id: u64, items: Vec<BlockHeader>) -> Message {
    Message::BlockHeaders(Response { request_id, items })
}

fn bodies(request_id: u64) -> Message {
    let body = BlockBody::decode(Bytes::from_static(&[0xc2, 0xc0, 0xc0])).unwrap();
    Message::BlockBodies(Response { request_id, items: vec![body] })
}

#[test]
fn status_says_where_the_head_is() {
    for version in EthVersion::ALL {
        let chain = MemoryChain::with(&branch(&genesis(), 5, Shape::default()));
        let theirs = EthPeer::new(version, identity(1515), chain.head());
        let (code, payload) = theirs.start();
        let event = peer(version).receive(code, &payload).unwrap();
        let head = chain.head();
        let expected = if version == EthVersion::Eth69 {
            PeerHead::Range(BlockRange { earliest: 0, latest: 5, latest_hash: head.hash })
        } else {
            let total_difficulty = head.total_difficulty;
            PeerHead::TotalDifficulty { hash: head.hash, total_difficulty }
        };
        assert_eq!(event, Some(EthEvent::Ready(expected)));
    }
}

#[test]
fn nothing_before_status_and_no_second_status() {
    let mut early = peer(EthVersion::Eth68);
    let fault = send(&mut early, &Message::NewBlockHashes(Vec::new())).unwrap_err();
    assert_eq!(fault, EthFault::BeforeStatus("NewBlockHashes"));
    assert_eq!(fault.reason(), DisconnectReason::BreachOfProtocol);

    let mut twice = open(EthVersion::Eth68);
    let (code, payload) = twice.start();
    assert_eq!(twice.receive(code, &payload), Err(EthFault::SecondStatus));
}

#[test]
fn another_chain_is_nobodys_fault() {
    let (code, payload) =
        EthPeer::new(EthVersion::Eth68, identity(5), MemoryChain::new().head()).start();
    let fault = peer(EthVersion::Eth68).receive(code, &payload).unwrap_err();
    assert_eq!(fault.to_string(), "the peer is on network 5, this node on 1515");
    assert_eq!(fault.reason(), DisconnectReason::SubprotocolError);
    assert!(!fault.blames_peer());
}

#[test]
fn answers_must_fit_their_requests() {
    let mut peer = open(EthVersion::Eth68);
    let unknown = send(&mut peer, &headers(7, Vec::new())).unwrap_err();
    assert_eq!(unknown, EthFault::UnknownRequest { message: "BlockHeaders", request_id: 7 });

    let request = peer.request_headers(Origin::Number(1), 2).unwrap();
    let request_id = request.request_id;
    let answer = headers(request_id, some_headers(2));
    let event = send(&mut peer, &answer).unwrap();
    assert_eq!(event, Some(EthEvent::Headers { request_id, headers: some_headers(2) }));
    let again = send(&mut peer, &answer).unwrap_err();
    assert_eq!(again, EthFault::UnknownRequest { message: "BlockHeaders", request_id });

    let request_id = peer.request_headers(Origin::Number(1), 2).unwrap().request_id;
    let fault = send(&mut peer, &headers(request_id, some_headers(3))).unwrap_err();
    let (got, asked) = (3, 2);
    assert_eq!(fault, EthFault::TooManyItems { message: "BlockHeaders", request_id, got, asked });

    let request_id = peer.request_headers(Origin::Number(1), 2).unwrap().request_id;
    let fault = send(&mut peer, &bodies(request_id)).unwrap_err();
    assert_eq!(fault, EthFault::WrongKind { message: "BlockBodies", request_id });

    let request_id = peer.request_bodies(&[B256::ZERO]).unwrap().request_id;
    assert!(matches!(send(&mut peer, &bodies(request_id)), Ok(Some(EthEvent::Bodies { .. }))));

    let receipts = Message::Receipts(Response { request_id: 1, items: Vec::new() });
    assert!(matches!(send(&mut peer, &receipts), Err(EthFault::UnknownRequest { .. })));
}

#[test]
fn outstanding_requests_are_bounded() {
    let mut peer = open(EthVersion::Eth68);
    let mut ids = Vec::new();
    for _ in 0..MAX_OUTSTANDING {
        ids.push(peer.request_bodies(&[B256::ZERO]).unwrap().request_id);
    }
    assert!(peer.request_headers(Origin::Number(1), 1).is_err());
    peer.withdraw(ids[0]);
    assert!(peer.request_headers(Origin::Number(1), 1).is_ok());
    assert_eq!(peer.outstanding(), MAX_OUTSTANDING);
}

#[test]
fn requests_are_handed_on_and_state_entries_are_answered_empty() {
    let mut peer = open(EthVersion::Eth66);
    let request = HashRequest { request_id: 1111, hashes: vec![B256::ZERO] };
    for (question, expected) in [
        (
            Message::GetPooledTransactions(request.clone()),
            EthEvent::GetPooledTransactions(request.clone()),
        ),
        (Message::GetReceipts(request.clone()), EthEvent::GetReceipts(request.clone())),
        (
            Message::GetNodeData(request),
            EthEvent::Reply {
                code: code::NODE_DATA,
                payload: Bytes::from_static(&[0xc4, 0x82, 0x04, 0x57, 0xc0]),
            },
        ),
    ] {
        assert_eq!(send(&mut peer, &question), Ok(Some(expected)));
    }
}

#[test]
fn pooled_transactions_are_taken_when_they_were_asked_for() {
    let mut peer = open(EthVersion::Eth68);
    let request_id = peer.request_transactions(&[B256::ZERO, B256::ZERO]).unwrap().request_id;
    let transactions = vec![Bytes::from_static(&[2, 0xc0])];
    let answer = Response { request_id, items: transactions.clone() };
    let message = Message::PooledTransactions(answer);
    let event = send(&mut peer, &message).unwrap();
    assert_eq!(event, Some(EthEvent::PooledTransactions { request_id, transactions }));
    let again = send(&mut peer, &message).unwrap_err();
    assert_eq!(again, EthFault::UnknownRequest { message: "PooledTransactions", request_id });
}

/// eth-test's BlockRangeUpdateInvalid (v1.16): the next message must be a Disconnect.
#[test]
fn block_range_update_invalid() {
    let mut peer = open(EthVersion::Eth69);
    let range = BlockRange { earliest: 4, latest: 8, latest_hash: B256::ZERO };
    let event = send(&mut peer, &Message::BlockRangeUpdate(range)).unwrap();
    assert_eq!(event, Some(EthEvent::BlockRangeUpdate(range)));
    let upside_down = BlockRange { earliest: 9, ..range };
    let fault = send(&mut peer, &Message::BlockRangeUpdate(upside_down)).unwrap_err();
    assert_eq!(fault.reason(), DisconnectReason::BreachOfProtocol);
}

proptest! {
    #[test]
    fn any_messages_in_any_order_never_panic(
        version in prop::sample::select(EthVersion::ALL.to_vec()),
        messages in proptest::collection::vec(
            (0u32..0x13, proptest::collection::vec(any::<u8>(), 0..60), any::<bool>()),
            0..30,
        ),
    ) {
        let mut peer = peer(version);
        for (code, payload, ask) in messages {
            if ask {
                let _ = peer.request_headers(Origin::Number(1), 3);
            }
            let _ = peer.receive(code, &payload.into());
            prop_assert!(peer.outstanding() <= MAX_OUTSTANDING);
        }
    }
}
