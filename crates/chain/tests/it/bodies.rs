//! Bodies that do not belong to their headers.

use std::fs;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use chainmesh_chain::block;
use chainmesh_chain::body::{self, BodyError, Part};
use chainmesh_chain::file::BlockReader;
use proptest::prelude::*;

use crate::common::chain_folder;

fn empty() -> Header {
    Header {
        transactions_root: EMPTY_ROOT_HASH,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        ..Header::default()
    }
}

#[test]
fn the_empty_bodies() {
    let before = empty();
    assert_eq!(body::check(&before, block::EMPTY_BODY_RLP), Ok(()));
    assert_eq!(
        body::check(&before, block::EMPTY_BODY_WITH_WITHDRAWALS_RLP),
        Err(BodyError::WithdrawalsUnexpected)
    );
    let shanghai = Header { withdrawals_root: Some(EMPTY_ROOT_HASH), ..empty() };
    assert_eq!(body::check(&shanghai, block::EMPTY_BODY_WITH_WITHDRAWALS_RLP), Ok(()));
    assert_eq!(body::check(&shanghai, block::EMPTY_BODY_RLP), Err(BodyError::WithdrawalsMissing));
    let expected = B256::repeat_byte(1);
    let other = Header { withdrawals_root: Some(expected), ..empty() };
    assert_eq!(
        body::check(&other, block::EMPTY_BODY_WITH_WITHDRAWALS_RLP),
        Err(BodyError::Root { part: Part::Withdrawals, found: EMPTY_ROOT_HASH, expected })
    );
}

#[test]
fn roots_and_forms() {
    let check = |rlp: &[u8]| body::check(&empty(), rlp);
    let expected = B256::repeat_byte(1);
    let other = Header { transactions_root: expected, ..empty() };
    assert_eq!(
        body::check(&other, block::EMPTY_BODY_RLP),
        Err(BodyError::Root { part: Part::Transactions, found: EMPTY_ROOT_HASH, expected })
    );
    let other = Header { ommers_hash: expected, ..empty() };
    assert_eq!(
        body::check(&other, block::EMPTY_BODY_RLP),
        Err(BodyError::Root { part: Part::Ommers, found: keccak256([0xc0]), expected })
    );
    // A transaction that is none: an empty list, an empty string, an unknown type.
    for transaction in [&[0xc0][..], &[0x80], &[0x82, 0x7e, 0xc0]] {
        let mut rlp = vec![0xc0 + 2 + transaction.len() as u8, 0xc0 + transaction.len() as u8];
        rlp.extend(transaction);
        rlp.push(0xc0);
        assert_eq!(check(&rlp), Err(BodyError::Transaction { index: 0 }), "{transaction:?}");
    }
    let part = |result: Result<(), BodyError>| match result {
        Err(BodyError::Rlp { part, .. }) => part,
        other => panic!("{other:?}"),
    };
    assert_eq!(part(check(&[])), Part::Body);
    assert_eq!(part(check(&[0x80])), Part::Body);
    assert_eq!(part(check(&[0xc2, 0xc0, 0xc0, 0x00])), Part::Body);
    assert_eq!(part(check(&[0xc1, 0x80])), Part::Transactions);
    assert_eq!(part(check(&[0xc1, 0xc0])), Part::Ommers);
    assert_eq!(part(check(&[0xc3, 0xc0, 0xc1, 0xc0])), Part::Ommers);
}

/// Each block of a chain with all kinds of transactions, and then each with the next one's body.
#[test]
fn the_bodies_of_prague_600() {
    let Some(folder) = chain_folder("prague-600") else { return };
    let file = fs::read(folder.join("chain.rlp")).expect("file");
    let mut reader = BlockReader::new(file.as_slice());
    let mut before: Option<Bytes> = None;
    let mut swapped = 0;
    while let Some(raw) = reader.next_block(0).expect("block") {
        let whole = block::decode(&raw.rlp).expect("block");
        assert_eq!(body::check(&whole.header, &whole.body_rlp), Ok(()), "{}", whole.header.number);
        assert_eq!(block::encode(&whole.header_rlp, &whole.body_rlp), Ok(raw.rlp));
        if let Some(other) = before.filter(|other| other[..] != whole.body_rlp[..]) {
            assert!(body::check(&whole.header, &other).is_err(), "{}", whole.header.number);
            swapped += 1;
        }
        before = Some(whole.body_rlp.clone().into());
    }
    assert!(swapped > 300, "only {swapped} bodies differ from the one before");
}

proptest! {
    #[test]
    fn random_bytes_are_refused_or_empty(rlp in proptest::collection::vec(any::<u8>(), 0..200)) {
        if body::check(&empty(), &rlp).is_ok() {
            prop_assert_eq!(rlp, block::EMPTY_BODY_RLP);
        }
    }

    #[test]
    fn random_bytes_are_no_block_or_come_back(rlp in proptest::collection::vec(any::<u8>(), 0..800)) {
        if let Ok(whole) = block::decode(&rlp) {
            prop_assert_eq!(block::encode(&whole.header_rlp, &whole.body_rlp), Ok(rlp));
        }
    }
}
