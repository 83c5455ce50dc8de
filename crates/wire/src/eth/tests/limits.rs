//! What is refused, and with which words.

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use super::super::{
    BlockBody, BlockHeader, EthDecodeError, EthVersion, MAX_ANNOUNCED_BLOCKS,
    MAX_ANNOUNCED_TRANSACTIONS, MAX_ITEMS, MAX_MESSAGE_SIZE, MAX_POOLED_TRANSACTIONS,
    MAX_TRANSACTIONS, Message, NewBlock, code,
};
use super::{empty_body, header, list_of, rlp};
use crate::DecodeError;

fn refused(version: EthVersion, code: u32, payload: &Bytes) -> DecodeError {
    match Message::decode(version, code, payload) {
        Err(EthDecodeError::Malformed { error, .. }) => error,
        other => panic!("not refused as malformed: {other:?}"),
    }
}

/// A list of `count` times the same item.
fn repeated(item: &[u8], count: usize) -> Bytes {
    list_of(&[&item.repeat(count)])
}

#[test]
fn counts_are_bounded_in_every_list() {
    let hash = rlp(&B256::ZERO);
    let block = list_of(&[&hash, &[0x01]]);
    let answer = |item: &[u8], count| list_of(&[&[0x01], &repeated(item, count)]);
    let header_rlp = header(1).rlp;
    let described = |count| {
        list_of(&[&rlp(&vec![2u8; count][..]), &repeated(&[0x01], count), &repeated(&hash, count)])
    };
    type Case<'a> = (EthVersion, u32, usize, &'a dyn Fn(usize) -> Bytes);
    let cases: &[Case<'_>] = &[
        (EthVersion::Eth68, code::NEW_BLOCK_HASHES, MAX_ANNOUNCED_BLOCKS, &|n| repeated(&block, n)),
        (EthVersion::Eth68, code::TRANSACTIONS, MAX_TRANSACTIONS, &|n| repeated(&[0xc0], n)),
        (EthVersion::Eth68, code::BLOCK_HEADERS, MAX_ITEMS, &|n| answer(&header_rlp, n)),
        (EthVersion::Eth68, code::BLOCK_BODIES, MAX_ITEMS, &|n| answer(&[0xc2, 0xc0, 0xc0], n)),
        (EthVersion::Eth68, code::RECEIPTS, MAX_ITEMS, &|n| answer(&[0xc0], n)),
        (EthVersion::Eth66, code::NODE_DATA, MAX_ITEMS, &|n| answer(&[0x80], n)),
        (EthVersion::Eth68, code::POOLED_TRANSACTIONS, MAX_POOLED_TRANSACTIONS, &|n| {
            answer(&[0xc0], n)
        }),
        (
            EthVersion::Eth67,
            code::NEW_POOLED_TRANSACTION_HASHES,
            MAX_ANNOUNCED_TRANSACTIONS,
            &|n| repeated(&hash, n),
        ),
        (
            EthVersion::Eth68,
            code::NEW_POOLED_TRANSACTION_HASHES,
            MAX_ANNOUNCED_TRANSACTIONS,
            &described,
        ),
    ];
    for (version, code, limit, build) in cases {
        let message = Message::decode(*version, *code, &build(*limit));
        assert!(message.is_ok(), "{version} 0x{code:02x}: {message:?}");
        let error = refused(*version, *code, &build(limit + 1));
        assert!(
            matches!(error, DecodeError::TooMany { count, .. } if count == limit + 1),
            "{version} 0x{code:02x}: {error}"
        );
    }
}

/// geth's tester asks for 2000 pooled transactions at once (TestLargeTxRequest): no reason to
/// close the session, but no reason to remember all of them either.
#[test]
fn long_requests_are_cut() {
    let hashes = repeated(&rlp(&B256::ZERO), 2000);
    let payload = list_of(&[&[0x01], &hashes]);
    let length = |code| match Message::decode(EthVersion::Eth68, code, &payload).unwrap() {
        Message::GetPooledTransactions(request)
        | Message::GetBlockBodies(request)
        | Message::GetReceipts(request) => request.hashes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(length(code::GET_POOLED_TRANSACTIONS), MAX_POOLED_TRANSACTIONS);
    assert_eq!(length(code::GET_BLOCK_BODIES), MAX_ITEMS);
    assert_eq!(length(code::GET_RECEIPTS), MAX_ITEMS);
}

#[test]
fn messages_above_ten_mebibytes_are_refused_unread() {
    let payload = Bytes::from(vec![0u8; MAX_MESSAGE_SIZE + 1]);
    for code in [code::STATUS, code::TRANSACTIONS, code::BLOCK_BODIES] {
        let error = refused(EthVersion::Eth68, code, &payload);
        assert!(matches!(error, DecodeError::TooLarge { what: "message", .. }), "{error}");
    }
}

/// A length that is claimed and not there.
#[test]
fn claimed_lengths_allocate_nothing() {
    for payload in [&[0xff; 9][..], &[0xfb, 0x7f, 0xff, 0xff, 0xff], &[0xf9, 0xff, 0xff, 0x01]] {
        for code in 0..0x12 {
            assert!(
                Message::decode(EthVersion::Eth69, code, &Bytes::copy_from_slice(payload)).is_err()
            );
        }
    }
}

#[test]
fn trailing_bytes_are_refused_at_every_level() {
    let get = list_of(&[&[0x01], &list_of(&[&[0x01], &[0x01], &[0x80], &[0x80]])]);
    Message::decode(EthVersion::Eth68, code::GET_BLOCK_HEADERS, &get).unwrap();
    let bad: [Bytes; 3] = [
        [&get[..], &[0x00]].concat().into(),
        list_of(&[&[0x01], &list_of(&[&[0x01], &[0x01], &[0x80], &[0x80]]), &[0x80]]),
        list_of(&[&[0x01], &list_of(&[&[0x01], &[0x01], &[0x80], &[0x80], &[0x80]])]),
    ];
    for payload in bad {
        let error = refused(EthVersion::Eth68, code::GET_BLOCK_HEADERS, &payload);
        assert_eq!(error, DecodeError::TrailingBytes(1));
    }
    let body = list_of(&[&[0xc0], &[0xc0], &[0xc0], &[0xc0]]);
    assert_eq!(BlockBody::decode(body), Err(DecodeError::TrailingBytes(1)));
}

#[test]
fn numbers_are_canonical() {
    // Number 0 as a byte, a leading zero, a bool of 2, a hash of 33 bytes.
    for query in [
        list_of(&[&[0x00], &[0x01], &[0x80], &[0x80]]),
        list_of(&[&[0x82, 0x00, 0x01], &[0x01], &[0x80], &[0x80]]),
        list_of(&[&[0x01], &[0x01], &[0x80], &[0x02]]),
        list_of(&[&rlp(&vec![1u8; 33][..]), &[0x01], &[0x80], &[0x80]]),
    ] {
        let payload = list_of(&[&[0x01], &query]);
        refused(EthVersion::Eth68, code::GET_BLOCK_HEADERS, &payload);
    }
}

fn new_block(header: &BlockHeader, total_difficulty: &[u8]) -> Bytes {
    list_of(&[&list_of(&[&header.rlp, &[0xc0], &[0xc0]]), total_difficulty])
}

/// TestLargeAnnounce of go-ethereum's eth-test (v1.13.7): numbers of two megabytes.
#[test]
fn large_announce_is_refused() {
    let decode = |payload: &Bytes| Message::decode(EthVersion::Eth68, code::NEW_BLOCK, payload);
    let huge = rlp(&vec![0xff_u8; 2 * 1024 * 1024][..]);
    let good = header(1000);
    assert!(decode(&new_block(&good, &rlp(&131_072u32))).is_ok());
    refused(EthVersion::Eth68, code::NEW_BLOCK, &new_block(&good, &huge));

    let fields = |difficulty: &[u8], number: &[u8]| {
        let mut whole = Bytes::copy_from_slice(&good.rlp);
        // After the list prefix (3 bytes): five hashes, an address and the bloom.
        let before = whole.split_to(3 + 5 * 33 + 21 + 259).split_off(3);
        // The difficulty is 0 and the number 1000: one byte and three.
        let after = whole.split_off(4);
        BlockHeader { rlp: list_of(&[&before, difficulty, number, &after]), ..good.clone() }
    };
    let same = fields(&[0x80], &rlp(&1000u16));
    assert_eq!(same.rlp, good.rlp);
    for bad in [fields(&huge, &[0x01]), fields(&[0x80], &huge), fields(&huge, &huge)] {
        let error = refused(EthVersion::Eth68, code::NEW_BLOCK, &new_block(&bad, &[0x01]));
        assert!(matches!(error, DecodeError::TooLarge { what: "header", .. }), "{error}");
    }
    let bits = |bits: usize| rlp(&((U256::from(1) << bits) - U256::from(1)));
    assert!(decode(&new_block(&fields(&bits(80), &[0x01]), &bits(100))).is_ok());
    refused(EthVersion::Eth68, code::NEW_BLOCK, &new_block(&fields(&bits(81), &[0x01]), &[0x01]));
    refused(EthVersion::Eth68, code::NEW_BLOCK, &new_block(&good, &bits(101)));
    refused(EthVersion::Eth68, code::NEW_BLOCK, &new_block(&fields(&[1], &bits(65)), &[0x01]));
}

/// TestMaliciousStatus of go-ethereum's eth-test: a total difficulty of two megabytes.
#[test]
fn malicious_status_is_refused() {
    let hash = rlp(&B256::ZERO);
    let fork = list_of(&[&[0x84, 1, 2, 3, 4], &[0x80]]);
    let status = |difficulty: &[u8]| list_of(&[&[68], &[0x01], difficulty, &hash, &hash, &fork]);
    let bits = |bits: usize| rlp(&((U256::from(1) << bits) - U256::from(1)));
    assert!(Message::decode(EthVersion::Eth68, code::STATUS, &status(&bits(100))).is_ok());
    let huge = rlp(&vec![0xff_u8; 2 * 1024 * 1024][..]);
    refused(EthVersion::Eth68, code::STATUS, &status(&huge));
    let error = refused(EthVersion::Eth68, code::STATUS, &status(&bits(101)));
    assert_eq!(error.to_string(), "total difficulty: 13 bytes, at most 13 are allowed");
}

#[test]
fn block_range_update_invalid() {
    let payload = list_of(&[&[0x05], &[0x04], &rlp(&B256::ZERO)]);
    let error = Message::decode(EthVersion::Eth69, code::BLOCK_RANGE_UPDATE, &payload);
    assert_eq!(
        error.unwrap_err().to_string(),
        "malformed BlockRangeUpdate: the earliest block is above the latest"
    );
}

#[test]
fn bad_transactions_are_refused_in_bodies() {
    let body = |transaction: &[u8]| {
        BlockBody::decode(list_of(&[&list_of(&[transaction]), &[0xc0]])).unwrap_err()
    };
    assert_eq!(body(&[0x80]), DecodeError::Invalid("empty transaction"));
    let type_byte = DecodeError::Invalid("a transaction type must be below 0x80");
    assert_eq!(body(&[0x82, 0xc1, 0x80]), type_byte);
    assert_eq!(body(&[0xc0]), DecodeError::Invalid("malformed legacy transaction"));
    assert!(body(&[0x82, 0x7f, 0xc0]).to_string().contains("unexpected tx type"));
    // A typed transaction that is not wrapped in a string: the list would be a second item.
    assert!(matches!(body(&[0x02, 0xc0]), DecodeError::Rlp(_)));
    let ommer = header(1).rlp;
    let ommers = list_of(&[&ommer, &ommer, &ommer]);
    let error = BlockBody::decode(list_of(&[&[0xc0], &ommers])).unwrap_err();
    assert!(matches!(error, DecodeError::TooMany { what: "ommers", count: 3, limit: 2 }));
}

#[test]
fn oversized_extra_data_is_refused() {
    let with = |length: usize| {
        let mut header = header(1).header;
        header.extra_data = vec![1; length].into();
        BlockHeader::decode(BlockHeader::from_header(header).rlp)
    };
    assert!(with(100 * 1024).is_ok());
    assert!(matches!(with(100 * 1024 + 1), Err(DecodeError::TooLarge { what: "extra data", .. })));
    assert!(matches!(with(2 * 1024 * 1024), Err(DecodeError::TooLarge { what: "header", .. })));
}

#[test]
fn announcement_lists_must_be_equally_long() {
    let hash = rlp(&B256::ZERO);
    for payload in [
        list_of(&[&[0x02], &[0xc0], &list_of(&[&hash])]),
        list_of(&[&[0x80], &list_of(&[&[0x01]]), &list_of(&[&hash])]),
        list_of(&[&[0x82, 1, 2], &list_of(&[&[0x01], &[0x01]]), &list_of(&[&hash])]),
    ] {
        let error = refused(EthVersion::Eth68, code::NEW_POOLED_TRANSACTION_HASHES, &payload);
        assert!(matches!(error, DecodeError::Invalid(_)), "{error}");
    }
}

#[test]
fn new_block_keeps_the_body_in_the_form_of_an_answer() {
    let (header, body) = (header(3), empty_body());
    let payload = NewBlock::encode(&header.rlp, &body.rlp, U256::from(4)).unwrap();
    let block = NewBlock::decode(&payload).unwrap();
    assert_eq!((block.header, block.body), (header, body));
}
