//! Seals, turns and signers, and the producer that must keep to them.

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bytes, U256, address, b256};
use alloy_rlp::Encodable;
use chainmesh_chain::clique::{self, CliqueError};
use chainmesh_chain::producer::ProduceError;
use chainmesh_chain::rules::RuleError;
use chainmesh_chain::{Producer, block};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};

use crate::common::{Devnet, devnet, devnet_with, key, rule};

/// The address of a well-known key (the first account of many development tools).
#[test]
fn the_address_of_a_key() {
    let secret = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
    let key = secp256k1::SecretKey::from_secret_bytes(secret.0).expect("key");
    let expected = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    assert_eq!(clique::address(&key.public_key()), expected);
    assert_eq!(Producer::new(key).signer(), expected);
}

/// What is signed is the list of the header's fields, with the extra data cut (EIP-225).
#[test]
fn the_seal_is_over_the_header_without_it() {
    let net = devnet(1);
    let (block, _) = net.child(&net.start(), 0, 1);
    let header = &block.header;
    let mut unsealed = header.clone();
    unsealed.extra_data = header.extra_data.slice(..32);
    let mut rlp = Vec::new();
    unsealed.encode(&mut rlp);
    assert_eq!(clique::seal_hash(header), Ok(alloy_primitives::keccak256(rlp)));
    assert_eq!(clique::signer(header), Ok(net.producers[0].signer()));
    let mut other = header.clone();
    other.gas_used += 1;
    assert_ne!(clique::signer(&other), Ok(net.producers[0].signer()));
}

#[test]
fn a_producer_makes_blocks_that_its_chain_takes() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let producer = &net.producers[0];
    for number in 1..=5 {
        let at = chain.head().timestamp + 1;
        let early = producer.next_on(&chain, at - 1);
        assert!(matches!(early, Err(ProduceError::TooEarly { at: found }) if found == at));
        let block = producer.next_on(&chain, at).expect("block");
        assert_eq!(block.header.state_root, net.spec.genesis_header().state_root);
        assert_eq!(chain.import(&[block]).expect("import").number, number);
    }
    // EIP-1559: empty blocks lower the base fee by an eighth each.
    let base_fee = chain.header(&chain.head().hash).expect("read").and_then(|h| h.base_fee_per_gas);
    assert_eq!(base_fee, Some(512_908_936));
    let stranger = Producer::new(key(99)).next_on(&chain, u64::MAX);
    assert!(
        matches!(stranger, Err(ProduceError::Clique(CliqueError::Unauthorized { .. }))),
        "{stranger:?}"
    );
}

#[test]
fn the_first_london_block_doubles_the_gas_limit() {
    let net = devnet_with(1, 1, |genesis| genesis.config.london_block = Some(3));
    let dir = tempfile::tempdir().expect("directory");
    let (blocks, _) = net.grow(&net.start(), 4);
    let seen: Vec<_> = blocks
        .iter()
        .map(|block| (block.header.gas_limit, block.header.base_fee_per_gas))
        .collect();
    let expected = [
        (30_000_000, None),
        (30_000_000, None),
        (60_000_000, Some(1_000_000_000)),
        (60_000_000, Some(875_000_000)),
    ];
    assert_eq!(seen, expected);
    net.open(dir.path()).import(&blocks).expect("import");
}

#[test]
fn nobody_signs_twice_within_the_limit() {
    let net = devnet(3);
    let tip = net.start();
    assert_eq!(tip.snapshot.limit(), 2);
    let (_, tip) = net.child(&tip, 1, 1);
    let again =
        net.producers[1].next_block(&net.spec, (&tip.header, tip.hash), &tip.snapshot, u64::MAX);
    let signer = net.producers[1].signer();
    assert!(
        matches!(
            &again,
            Err(ProduceError::Clique(CliqueError::SignedRecently { signer: who, last: 1, next: 3 }))
                if *who == signer
        ),
        "{again:?}"
    );
    let (_, tip) = net.child(&tip, 0, 1);
    net.child(&tip, 1, 1);
}

/// Seals a changed header as the signer in this place would.
fn resealed(
    net: &Devnet,
    block: &SyncBlock,
    signer: u8,
    change: impl Fn(&mut Header),
) -> SyncBlock {
    let mut header = block.header.clone();
    change(&mut header);
    let secret = (1..=net.producers.len() as u8)
        .map(key)
        .find(|secret| {
            clique::address(&secret.public_key()) == net.producers[signer as usize].signer()
        })
        .expect("one of them");
    clique::seal(&mut header, &secret).expect("seal");
    block::seal(header, block.body_rlp.clone())
}

fn broken(net: &Devnet, block: SyncBlock) -> CliqueError {
    let dir = tempfile::tempdir().expect("directory");
    match rule(net.open(dir.path()).import(&[block])) {
        RuleError::Clique(error) => error,
        other => panic!("another rule: {other}"),
    }
}

#[test]
fn each_rule_of_a_header_alone() {
    let net = devnet(3);
    let (good, _) = net.child(&net.start(), 1, 1);
    let change = |change: &dyn Fn(&mut Header)| broken(&net, resealed(&net, &good, 1, change));
    let extra = |length: usize| -> Bytes { vec![0; length].into() };
    assert_eq!(
        change(&|header| header.extra_data = extra(117)),
        CliqueError::SignersOutsideCheckpoint { length: 117 }
    );
    let mut short = good.header.clone();
    short.extra_data = extra(96);
    assert_eq!(
        broken(&net, block::seal(short, good.body_rlp.clone())),
        CliqueError::ExtraDataTooShort { length: 96 }
    );
    let nonce = B64::repeat_byte(1);
    assert_eq!(change(&|header| header.nonce = nonce), CliqueError::Nonce(nonce));
    assert_eq!(change(&|header| header.mix_hash = B256::repeat_byte(1)), CliqueError::MixHash);
    assert_eq!(change(&|header| header.ommers_hash = B256::ZERO), CliqueError::Ommers);
    for wrong in [0, 3] {
        let wrong = U256::from(wrong);
        assert_eq!(change(&|header| header.difficulty = wrong), CliqueError::Difficulty(wrong));
    }
    let turn = CliqueError::Turn { found: U256::from(1), expected: U256::from(2) };
    assert_eq!(change(&|header| header.difficulty = U256::from(1)), turn);
    let turn = CliqueError::Turn { found: U256::from(2), expected: U256::from(1) };
    assert_eq!(broken(&net, resealed(&net, &good, 2, |_| {})), turn);
}

/// The only signer adds another, which may seal the next block.
#[test]
fn a_vote_counts_behind_its_block() {
    let net = devnet(1);
    let (good, _) = net.child(&net.start(), 0, 1);
    let added = Producer::new(key(2)).signer();
    let vote = resealed(&net, &good, 0, |header| {
        header.beneficiary = added;
        header.nonce = clique::NONCE_ADD;
    });
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    chain.import(std::slice::from_ref(&vote)).expect("a vote");
    let snapshot = chain.clique_snapshot(&vote.hash).expect("read").expect("clique");
    assert_eq!(snapshot.signers().len(), 2);
    let next = Producer::new(key(2)).next_on(&chain, vote.header.timestamp + 1).expect("its block");
    assert_eq!(chain.import(&[next]).expect("import").number, 2);
}

#[test]
fn seals_that_are_no_signature_or_a_strangers() {
    let net = devnet(1);
    let (good, _) = net.child(&net.start(), 0, 1);
    let with_seal = |seal: &[u8]| {
        let mut header = good.header.clone();
        header.extra_data = [&header.extra_data[..32], seal].concat().into();
        broken(&net, block::seal(header, good.body_rlp.clone()))
    };
    assert_eq!(with_seal(&[0; 65]), CliqueError::Seal);
    assert_eq!(with_seal(&[0xff; 65]), CliqueError::Seal);
    let mut seal = good.header.extra_data[32..].to_vec();
    seal[64] += 27;
    assert_eq!(with_seal(&seal), CliqueError::Seal);
    let mut header = good.header.clone();
    clique::seal(&mut header, &key(42)).expect("seal");
    let signer = clique::address(&key(42).public_key());
    assert_eq!(
        broken(&net, block::seal(header, good.body_rlp.clone())),
        CliqueError::Unauthorized { signer }
    );
}

#[test]
fn checkpoints_list_the_signers() {
    let net = devnet_with(2, 1, |genesis| {
        genesis.config.clique.as_mut().expect("clique").epoch = Some(3);
    });
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (blocks, tip) = net.grow(&net.start(), 3);
    let listed = clique::signers_in_extra_data(&blocks[2].header.extra_data).expect("list");
    assert_eq!(listed, tip.snapshot.signers());
    chain.import(&blocks[..2]).expect("import");
    let refused =
        |change: &dyn Fn(&mut Header)| rule(chain.import(&[resealed(&net, &blocks[2], 1, change)]));
    let list = RuleError::Clique(CliqueError::CheckpointSigners);
    assert_eq!(refused(&|header| header.extra_data = vec![0; 97].into()), list);
    assert_eq!(refused(&|header| header.extra_data = vec![0; 98].into()), list);
    assert_eq!(refused(&|header| header.extra_data = vec![0; 137].into()), list);
    let vote = RuleError::Clique(CliqueError::VoteInCheckpoint);
    assert_eq!(refused(&|header| header.nonce = clique::NONCE_ADD), vote);
    assert_eq!(refused(&|header| header.beneficiary = Address::repeat_byte(1)), vote);
    chain.import(&blocks[2..]).expect("the right one");
    let (more, _) = net.grow(&tip, 7);
    assert_eq!(chain.import(&more).expect("more").number, 10);
}

/// The snapshot that goes to disk every 1024 blocks, and the one worked out from it.
#[test]
fn a_reopened_chain_knows_who_signed_recently() {
    let mut net = devnet(5);
    let dir = tempfile::tempdir().expect("directory");
    let proposals = clique::Proposals::default();
    proposals.propose(Address::repeat_byte(7), true).expect("room");
    // A vote of one of five that is not decided.
    let first = std::mem::replace(&mut net.producers[0], Producer::new(key(1)));
    net.producers[0] = first.with_proposals(proposals);
    let (blocks, tip) = net.grow(&net.start(), 1_030);
    net.open(dir.path()).import(&blocks).expect("import");
    let chain = net.open(dir.path());
    let snapshot = chain.clique_snapshot(&tip.hash).expect("read").expect("clique");
    assert_eq!(*snapshot, tip.snapshot);
    let votes: Vec<u64> = snapshot.votes().iter().map(|vote| vote.block).collect();
    assert_eq!(votes, [1_030]);
    // Behind the stored one, at it, and before it.
    for number in [1_024_usize, 1_023, 1] {
        let hash = blocks[number - 1].hash;
        let snapshot = chain.clique_snapshot(&hash).expect("read").expect("clique");
        assert_eq!((snapshot.number(), snapshot.hash()), (number as u64, hash));
        let next = &blocks[number];
        let after = snapshot.apply(&next.header, next.hash).expect("the block that came");
        assert_eq!(after.number(), number as u64 + 1);
    }
    let (more, _) = net.grow(&tip, 3);
    chain.import(&more).expect("more");
    assert_eq!(chain.clique_snapshot(&B256::ZERO).expect("read"), None);
}

/// A block may be passed on when its header and seal are right, before anybody executes it.
#[test]
fn the_header_of_a_new_block_is_checked_with_its_seal() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let good = net.producers[0].next_on(&chain, chain.head().timestamp + 1).expect("block");
    let total = chain.head().total_difficulty + good.header.difficulty;
    assert_eq!(chain.check_header(&good.header, &good.hash).expect("valid"), Some(total));
    // Sealed by somebody else, or changed since.
    let mut changed = good.header.clone();
    changed.gas_used = 1;
    let hash = changed.hash_slow();
    assert!(chain.check_header(&changed, &hash).is_err());
    let mut orphan = good.header.clone();
    orphan.parent_hash = B256::repeat_byte(9);
    assert_eq!(chain.check_header(&orphan, &orphan.hash_slow()).expect("unknown parent"), None);
    chain.import(std::slice::from_ref(&good)).expect("import");
    assert_eq!(chain.check_header(&good.header, &good.hash).expect("known"), None);
}
