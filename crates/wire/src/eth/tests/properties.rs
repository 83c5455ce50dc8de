//! Properties: what is encoded is decoded again, and nothing that a stranger sends panics.

use alloy_consensus::Header;
use alloy_eip2124::{ForkHash, ForkId};
use alloy_primitives::{Address, B64, B256, U256};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{
    BlockBody, BlockHeader, BlockId, BlockRange, EthVersion, GetBlockHeaders, HashRequest, Message,
    NewBlock, Origin, Response, Status, StatusHead, TransactionAnnouncement,
    TransactionAnnouncements,
};
use super::{list_of, rlp};

fn hash() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn version() -> impl Strategy<Value = EthVersion> {
    prop::sample::select(EthVersion::ALL.to_vec())
}

fn header() -> impl Strategy<Value = BlockHeader> {
    let fields = (hash(), any::<[u8; 20]>(), any::<u64>(), any::<u64>(), any::<u64>());
    (fields, vec(any::<u8>(), 0..130), 0u8..=5, any::<u64>()).prop_map(
        |((parent_hash, beneficiary, number, gas, time), extra, forks, word)| {
            let since = |fork: u8| forks >= fork;
            BlockHeader::from_header(Header {
                parent_hash,
                beneficiary: Address::from(beneficiary),
                difficulty: U256::from(word),
                number,
                gas_limit: gas,
                gas_used: gas / 2,
                timestamp: time,
                extra_data: extra.into(),
                nonce: B64::from(word),
                base_fee_per_gas: since(1).then_some(word),
                withdrawals_root: since(2).then_some(parent_hash),
                blob_gas_used: since(3).then_some(gas),
                excess_blob_gas: since(3).then_some(0),
                parent_beacon_block_root: since(3).then_some(parent_hash),
                requests_hash: since(4).then_some(parent_hash),
                ..Header::default()
            })
        },
    )
}

/// A transaction in EIP-2718 form that decodes.
fn transaction() -> impl Strategy<Value = Bytes> {
    use alloy_consensus::{Signed, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
    use alloy_eips::Encodable2718;
    use alloy_primitives::Signature;

    (any::<u64>(), 0..3u8, any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..80)).prop_map(
        |(nonce, kind, word, parity, input)| {
            let signature = Signature::new(U256::from(word), U256::from(nonce), parity);
            let input = input.into();
            let envelope: TxEnvelope = match kind {
                0 => Signed::new_unhashed(
                    TxLegacy { nonce, input, chain_id: Some(1515), ..TxLegacy::default() },
                    signature,
                )
                .into(),
                1 => Signed::new_unhashed(
                    TxEip2930 { nonce, input, ..TxEip2930::default() },
                    signature,
                )
                .into(),
                _ => Signed::new_unhashed(
                    TxEip7702 { nonce, input, ..TxEip7702::default() },
                    signature,
                )
                .into(),
            };
            envelope.encoded_2718().into()
        },
    )
}

fn body() -> impl Strategy<Value = BlockBody> {
    (vec(transaction(), 0..5), vec(header(), 0..=2), any::<bool>()).prop_map(
        |(transactions, ommers, withdrawals)| {
            let transactions = Message::Transactions(transactions).encode().unwrap();
            let ommers = list_of(&ommers.iter().map(|header| &header.rlp[..]).collect::<Vec<_>>());
            let withdrawal = rlp(&vec![alloy_eips::eip4895::Withdrawal::default()]);
            let mut fields = vec![&transactions[..], &ommers[..]];
            if withdrawals {
                fields.push(&withdrawal);
            }
            BlockBody::decode(list_of(&fields)).unwrap()
        },
    )
}

fn status(version: EthVersion) -> impl Strategy<Value = Message> {
    let fork = (any::<[u8; 4]>(), any::<u64>());
    (any::<u64>(), hash(), hash(), fork, any::<u64>(), any::<u64>()).prop_map(
        move |(network_id, genesis, best, (fork, next), a, b)| {
            let head = if version >= EthVersion::Eth69 {
                let (earliest, latest) = (a.min(b), a.max(b));
                StatusHead::Range(BlockRange { earliest, latest, latest_hash: best })
            } else {
                let total_difficulty = U256::from(u128::from(a) << 30);
                StatusHead::TotalDifficulty { total_difficulty, best_hash: best }
            };
            let fork_id = ForkId { hash: ForkHash(fork), next };
            Message::Status(Status {
                version: version.number(),
                network_id,
                genesis,
                fork_id,
                head,
            })
        },
    )
}

fn announcements(version: EthVersion) -> impl Strategy<Value = Message> {
    vec((hash(), any::<u8>(), any::<u32>()), 0..40).prop_map(move |found| {
        Message::NewPooledTransactionHashes(if version >= EthVersion::Eth68 {
            TransactionAnnouncements::Described(
                found
                    .into_iter()
                    .map(|(hash, kind, size)| TransactionAnnouncement { hash, kind, size })
                    .collect(),
            )
        } else {
            TransactionAnnouncements::Hashes(found.into_iter().map(|one| one.0).collect())
        })
    })
}

fn answers() -> impl Strategy<Value = Message> {
    let id = any::<u64>;
    prop_oneof![
        (id(), vec(header(), 0..6))
            .prop_map(|(request_id, items)| Message::BlockHeaders(Response { request_id, items })),
        (id(), vec(body(), 0..4))
            .prop_map(|(request_id, items)| Message::BlockBodies(Response { request_id, items })),
        (id(), vec(transaction(), 0..6)).prop_map(|(request_id, items)| {
            Message::PooledTransactions(Response { request_id, items })
        }),
        (id(), vec(body(), 0..4)).prop_map(|(request_id, bodies)| {
            let items = bodies.into_iter().map(|body| body.rlp).collect();
            Message::Receipts(Response { request_id, items })
        }),
    ]
}

fn requests() -> impl Strategy<Value = Message> {
    let hashes = || (any::<u64>(), vec(hash(), 0..40));
    let request = |(request_id, hashes)| HashRequest { request_id, hashes };
    let origin = prop_oneof![hash().prop_map(Origin::Hash), any::<u64>().prop_map(Origin::Number)];
    let headers = (any::<u64>(), origin, any::<u64>(), any::<u64>(), any::<bool>());
    prop_oneof![
        headers.prop_map(|(request_id, origin, limit, skip, reverse)| {
            Message::GetBlockHeaders(GetBlockHeaders { request_id, origin, limit, skip, reverse })
        }),
        hashes().prop_map(move |found| Message::GetBlockBodies(request(found))),
        hashes().prop_map(move |found| Message::GetReceipts(request(found))),
        hashes().prop_map(move |found| Message::GetPooledTransactions(request(found))),
    ]
}

fn message(version: EthVersion) -> impl Strategy<Value = Message> {
    let blocks = vec((hash(), any::<u64>()), 0..20).prop_map(|blocks| {
        Message::NewBlockHashes(
            blocks.into_iter().map(|(hash, number)| BlockId { hash, number }).collect(),
        )
    });
    let new_block = (header(), body(), any::<u64>()).prop_map(|(header, body, difficulty)| {
        let total_difficulty = U256::from(difficulty);
        Message::NewBlock(Box::new(NewBlock { header, body, total_difficulty }))
    });
    prop_oneof![
        status(version),
        announcements(version),
        blocks,
        new_block,
        vec(transaction(), 0..10).prop_map(Message::Transactions),
        answers(),
        requests(),
    ]
}

fn any_message() -> impl Strategy<Value = (EthVersion, Message)> {
    version().prop_flat_map(|version| (Just(version), message(version)))
}

proptest! {
    #[test]
    fn every_message_comes_back((version, message) in any_message()) {
        let payload = message.encode().unwrap();
        let decoded = Message::decode(version, message.code(), &payload).unwrap();
        prop_assert_eq!(decoded, message);
    }

    #[test]
    fn random_bytes_never_panic(version in version(), code in 0u32..0x14, bytes in vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(version, code, &bytes.into());
    }

    /// A message with some bytes replaced: deeper than random bytes get. What is still accepted
    /// has one encoding only.
    #[test]
    fn damaged_messages_never_panic(
        (version, message) in any_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = message.encode().unwrap().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let payload = Bytes::from(bytes);
        if let Ok(decoded) = Message::decode(version, message.code(), &payload) {
            prop_assert_eq!(decoded.encode().unwrap(), payload);
        }
    }
}
