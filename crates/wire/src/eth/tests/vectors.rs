//! The test cases of EIP-2481 (CC0), and messages computed by hand from the specification.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH};
use alloy_eip2124::{ForkHash, ForkId};
use alloy_primitives::{B256, U256, b256, hex};
use bytes::Bytes;

use super::super::{
    BlockBody, BlockId, BlockRange, EthVersion, GetBlockHeaders, HashRequest, Message, Origin,
    Status, StatusHead, TransactionAnnouncement, TransactionAnnouncements, code,
};
use super::{empty_body, list_of, rlp};

const DEADC0DE: B256 = b256!("00000000000000000000000000000000000000000000000000000000deadc0de");
const FEEDBEEF: B256 = b256!("00000000000000000000000000000000000000000000000000000000feedbeef");
const TWO_HASHES: &str = "f847820457f842a000000000000000000000000000000000000000000000000000000000deadc0dea000000000000000000000000000000000000000000000000000000000feedbeef";
const HEADER: &str = "f901f9a00000000000000000000000000000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000000940000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000000b90100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000008208ae820d0582115c8215b3821a0a827788a00000000000000000000000000000000000000000000000000000000000000000880000000000000000";
const TRANSACTIONS: &str = "f867088504a817c8088302e2489435353535353535353535353535353535353535358202008025a064b1702d9298fee62dfeccc57d322a463ad55ca201256d01f62b45b2e1c21c12a064b1702d9298fee62dfeccc57d322a463ad55ca201256d01f62b45b2e1c21c10f867098504a817c809830334509435353535353535353535353535353535353535358202d98025a052f8f61201b2b11a78d6e866abc9c3db2ae8631fa656bfe5cb53668255367afba052f8f61201b2b11a78d6e866abc9c3db2ae8631fa656bfe5cb53668255367afb";
const RECEIPTS: &str = "f90172820457f9016cf90169f901668001b9010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000f85ff85d940000000000000000000000000000000000000011f842a0000000000000000000000000000000000000000000000000000000000000deada0000000000000000000000000000000000000000000000000000000000000beef830100ff";

/// Decodes, compares the encoding with what was decoded, and returns the message.
fn both_ways(version: EthVersion, code: u32, payload: &Bytes) -> Message {
    let message = Message::decode(version, code, payload).unwrap();
    assert_eq!(message.code(), code);
    assert_eq!(message.encode().unwrap(), payload);
    message
}

fn unhex(text: &str) -> Bytes {
    hex::decode(text).unwrap().into()
}

#[test]
fn eip2481_get_block_headers() {
    let by_hash =
        "e8820457e4a000000000000000000000000000000000000000000000000000000000deadc0de050580";
    let expected = GetBlockHeaders {
        request_id: 1111,
        origin: Origin::Hash(DEADC0DE),
        limit: 5,
        skip: 5,
        reverse: false,
    };
    let message = both_ways(EthVersion::Eth66, code::GET_BLOCK_HEADERS, &unhex(by_hash));
    assert_eq!(message, Message::GetBlockHeaders(expected));
    let message =
        both_ways(EthVersion::Eth66, code::GET_BLOCK_HEADERS, &unhex("ca820457c682270f050580"));
    let expected = GetBlockHeaders { origin: Origin::Number(9999), ..expected };
    assert_eq!(message, Message::GetBlockHeaders(expected));
}

#[test]
fn eip2481_block_headers() {
    let payload = unhex(&format!("f90202820457f901fc{HEADER}"));
    let message = both_ways(EthVersion::Eth68, code::BLOCK_HEADERS, &payload);
    let Message::BlockHeaders(answer) = message else { panic!("{message:?}") };
    assert_eq!((answer.request_id, answer.items.len()), (1111, 1));
    let block = &answer.items[0];
    assert_eq!(
        block.hash,
        b256!("8c2f2af15b7b563b6ab1e09bed0e9caade7ed730aec98b70a993597a797579a9")
    );
    assert_eq!(block.header.number, 0xd05);
    assert_eq!(block.header.difficulty, U256::from(0x8ae));
    assert_eq!(&block.header.extra_data[..], [0x77, 0x88]);
    // The raw header is a slice of the message, not a copy.
    assert!(payload.as_ptr_range().contains(&block.rlp.as_ptr()));
}

#[test]
fn eip2481_requests_by_hash() {
    let expected = HashRequest { request_id: 1111, hashes: vec![DEADC0DE, FEEDBEEF] };
    for code in [
        code::GET_BLOCK_BODIES,
        code::GET_NODE_DATA,
        code::GET_RECEIPTS,
        code::GET_POOLED_TRANSACTIONS,
    ] {
        let message = both_ways(EthVersion::Eth66, code, &unhex(TWO_HASHES));
        let (Message::GetBlockBodies(request)
        | Message::GetNodeData(request)
        | Message::GetReceipts(request)
        | Message::GetPooledTransactions(request)) = message
        else {
            panic!("{message:?}")
        };
        assert_eq!(request, expected);
    }
}

#[test]
fn eip2481_block_bodies() {
    let body = format!("f902d3f8d2{TRANSACTIONS}f901fc{HEADER}");
    let payload = unhex(&format!("f902dc820457f902d6{body}"));
    let message = both_ways(EthVersion::Eth66, code::BLOCK_BODIES, &payload);
    let Message::BlockBodies(answer) = message else { panic!("{message:?}") };
    let [body] = &answer.items[..] else { panic!("one body") };
    assert_eq!((body.transaction_count, body.withdrawals_root), (2, None));
    let ommers = unhex(&format!("f901fc{HEADER}"));
    assert_eq!(body.ommers_hash, alloy_primitives::keccak256(&ommers));
    assert!(payload.as_ptr_range().contains(&body.rlp.as_ptr()));
}

#[test]
fn eip2481_answers_that_stay_raw() {
    let payload = unhex("ce820457ca84deadc0de84feedbeef");
    let message = both_ways(EthVersion::Eth66, code::NODE_DATA, &payload);
    let Message::NodeData(answer) = message else { panic!("{message:?}") };
    assert_eq!(answer.items, [unhex("deadc0de"), unhex("feedbeef")]);

    let message = both_ways(EthVersion::Eth66, code::RECEIPTS, &unhex(RECEIPTS));
    let Message::Receipts(answer) = message else { panic!("{message:?}") };
    assert_eq!((answer.request_id, answer.items.len()), (1111, 1));

    let payload = unhex(&format!("f8d7820457f8d2{TRANSACTIONS}"));
    let message = both_ways(EthVersion::Eth66, code::POOLED_TRANSACTIONS, &payload);
    let Message::PooledTransactions(answer) = message else { panic!("{message:?}") };
    let hashes = answer.items.iter().map(alloy_primitives::keccak256).collect::<Vec<_>>();
    assert_eq!(
        hashes,
        [
            b256!("588df025c4c2d757d3e314bd3dfbfe352687324e6b8557ad1731585e96928aed"),
            b256!("f39c7dac06a9f3abf09faf5e30439a349d3717611b3ed337cd52b0d192bc72da"),
        ]
    );
}

/// Answers to nothing: `[1111, []]`, as in geth's TestEmptyMessages.
#[test]
fn empty_answers_and_requests() {
    let payload = unhex("c4820457c0");
    for code in [
        code::BLOCK_HEADERS,
        code::GET_BLOCK_BODIES,
        code::BLOCK_BODIES,
        code::GET_POOLED_TRANSACTIONS,
        code::POOLED_TRANSACTIONS,
        code::GET_NODE_DATA,
        code::NODE_DATA,
        code::GET_RECEIPTS,
        code::RECEIPTS,
    ] {
        both_ways(EthVersion::Eth66, code, &payload);
    }
}

#[test]
fn status_fields_in_the_order_of_each_version() {
    let fork_id = ForkId { hash: ForkHash(hex!("fc64ec04")), next: 1_150_000 };
    let fork = unhex("c984fc64ec0483118c30");
    let head =
        StatusHead::TotalDifficulty { total_difficulty: U256::from(131_072), best_hash: FEEDBEEF };
    let status = Status { version: 68, network_id: 1515, genesis: DEADC0DE, fork_id, head };
    let expected = list_of(&[
        &rlp(&68u8),
        &rlp(&1515u16),
        &rlp(&131_072u32),
        &rlp(&FEEDBEEF),
        &rlp(&DEADC0DE),
        &fork,
    ]);
    assert_eq!(status.encode(), expected);
    assert_eq!(both_ways(EthVersion::Eth68, code::STATUS, &expected), Message::Status(status));

    let range = BlockRange { earliest: 0, latest: 600, latest_hash: FEEDBEEF };
    let status = Status { version: 69, head: StatusHead::Range(range), ..status };
    let expected = list_of(&[
        &rlp(&69u8),
        &rlp(&1515u16),
        &rlp(&DEADC0DE),
        &fork,
        &[0x80],
        &rlp(&600u16),
        &rlp(&FEEDBEEF),
    ]);
    assert_eq!(both_ways(EthVersion::Eth69, code::STATUS, &expected), Message::Status(status));
    // Trap 6: neither form is the other's.
    assert!(Message::decode(EthVersion::Eth68, code::STATUS, &expected).is_err());
}

#[test]
fn announcements_and_ranges() {
    let payload = list_of(&[&list_of(&[&rlp(&DEADC0DE), &rlp(&1000u16)])]);
    let message = both_ways(EthVersion::Eth67, code::NEW_BLOCK_HASHES, &payload);
    assert_eq!(message, Message::NewBlockHashes(vec![BlockId { hash: DEADC0DE, number: 1000 }]));

    let payload = list_of(&[&rlp(&0u8), &rlp(&7u8), &rlp(&DEADC0DE)]);
    let message = both_ways(EthVersion::Eth69, code::BLOCK_RANGE_UPDATE, &payload);
    let range = BlockRange { earliest: 0, latest: 7, latest_hash: DEADC0DE };
    assert_eq!(message, Message::BlockRangeUpdate(range));

    let payload = list_of(&[&rlp(&DEADC0DE), &rlp(&FEEDBEEF)]);
    let message = both_ways(EthVersion::Eth67, code::NEW_POOLED_TRANSACTION_HASHES, &payload);
    let hashes = TransactionAnnouncements::Hashes(vec![DEADC0DE, FEEDBEEF]);
    assert_eq!(message, Message::NewPooledTransactionHashes(hashes));

    let payload = list_of(&[
        &unhex("820002"),
        &list_of(&[&rlp(&110u8), &rlp(&300u16)]),
        &list_of(&[&rlp(&DEADC0DE), &rlp(&FEEDBEEF)]),
    ]);
    let message = both_ways(EthVersion::Eth68, code::NEW_POOLED_TRANSACTION_HASHES, &payload);
    let described = TransactionAnnouncements::Described(vec![
        TransactionAnnouncement { hash: DEADC0DE, kind: 0, size: 110 },
        TransactionAnnouncement { hash: FEEDBEEF, kind: 2, size: 300 },
    ]);
    assert_eq!(message, Message::NewPooledTransactionHashes(described));
}

#[test]
fn codes_by_version() {
    let has = |version, code| {
        let error = Message::decode(version, code, &Bytes::new()).unwrap_err();
        !matches!(error, super::super::EthDecodeError::UnknownCode { .. })
    };
    for version in EthVersion::ALL {
        let count = (0..64).filter(|code| has(version, *code)).max().unwrap() + 1;
        assert_eq!(count, version.message_count(), "{version}");
    }
    assert!(has(EthVersion::Eth66, code::GET_NODE_DATA));
    assert!(!has(EthVersion::Eth67, code::GET_NODE_DATA));
    assert!(!has(EthVersion::Eth68, code::BLOCK_RANGE_UPDATE));
    assert!(!has(EthVersion::Eth66, 0x0b));
}

#[test]
fn empty_body_has_the_empty_roots() {
    let body = empty_body();
    assert_eq!(body.transactions_root, EMPTY_ROOT_HASH);
    assert_eq!(body.ommers_hash, EMPTY_OMMER_ROOT_HASH);
    assert_eq!(body.withdrawals_root, None);
    let shanghai = BlockBody::decode(unhex("c3c0c0c0")).unwrap();
    assert_eq!(shanghai.withdrawals_root, Some(EMPTY_ROOT_HASH));
}

/// The roots of a body are those that alloy computes from the decoded values.
#[test]
fn body_roots_are_alloys() {
    use alloy_consensus::{Signed, TxEip1559, TxEnvelope, TxLegacy, proofs};
    use alloy_eips::eip4895::Withdrawal;
    use alloy_primitives::Signature;

    let signature = Signature::new(U256::from(7), U256::from(9), true);
    let transactions = (0..200u64)
        .map(|nonce| {
            if nonce % 2 == 0 {
                Signed::new_unhashed(TxLegacy { nonce, ..TxLegacy::default() }, signature).into()
            } else {
                let transaction = TxEip1559 { nonce, chain_id: 1515, ..TxEip1559::default() };
                Signed::new_unhashed(transaction, signature).into()
            }
        })
        .collect::<Vec<TxEnvelope>>();
    let withdrawals =
        (0..3).map(|index| Withdrawal { index, ..Withdrawal::default() }).collect::<Vec<_>>();
    let ommers = vec![super::header(5).header];
    let body_rlp = list_of(&[&rlp(&transactions), &rlp(&ommers), &rlp(&withdrawals)]);
    let body = BlockBody::decode(body_rlp).unwrap();
    assert_eq!(body.transaction_count, 200);
    assert_eq!(body.transactions_root, proofs::calculate_transaction_root(&transactions));
    assert_eq!(body.ommers_hash, proofs::calculate_ommers_root(&ommers));
    let withdrawals_root = proofs::calculate_withdrawals_root(&withdrawals);
    assert_eq!(body.withdrawals_root, Some(withdrawals_root));
    let mut header = alloy_consensus::Header {
        transactions_root: body.transactions_root,
        ommers_hash: body.ommers_hash,
        withdrawals_root: Some(withdrawals_root),
        ..alloy_consensus::Header::default()
    };
    assert!(body.belongs_to(&header));
    header.withdrawals_root = None;
    assert!(!body.belongs_to(&header));
}
