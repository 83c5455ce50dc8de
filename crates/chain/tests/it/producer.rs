//! What the producer puts into a block: votes, gas limits, the fields of forks; and the handle by
//! which it is steered.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, U256};
use chainmesh_chain::clique::{self, CliqueError, CliqueHandle, MAX_PROPOSALS, ValidatorState};
use chainmesh_chain::genesis::{CliqueNetwork, LastFork};
use chainmesh_chain::pool::{Mempool, MempoolConfig};
use chainmesh_chain::producer::{
    EmptyBlocks, Payload, PayloadBuilder, PayloadError, PoolBlocks, ProduceError, empty_body,
};
use chainmesh_chain::rules::RuleError;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Producer, block};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};

use crate::common::{START, devnet, devnet_with, key, rule};

/// Two signers vote a third in and out again, each by its own handle, over a checkpoint.
#[test]
fn proposals_are_voted_for_until_they_are_carried_out() {
    let net = devnet_with(2, 1, |genesis| {
        genesis.config.clique.as_mut().expect("clique").epoch = Some(4);
    });
    let dir = tempfile::tempdir().expect("directory");
    let chain = Arc::new(net.open(dir.path()));
    let handle = CliqueHandle::new(Arc::clone(&chain)).expect("clique");
    let third = Address::repeat_byte(7);
    let producers =
        [1, 2].map(|n| Producer::new(key(n)).with_proposals(handle.shared_proposals().clone()));
    let seal = || {
        let now = chain.head().timestamp + 1;
        let blocks = producers.iter().filter_map(|one| one.next_on(&chain, now).ok());
        let block = blocks.max_by_key(|block| block.header.difficulty).expect("somebody may");
        chain.import(std::slice::from_ref(&block)).expect("import");
        block.header
    };
    assert_eq!(seal().beneficiary, Address::ZERO);
    handle.propose(third, true).expect("room");
    // One that would change nothing is passed over.
    handle.propose(producers[0].signer(), true).expect("room");
    let vote = seal();
    assert_eq!((vote.beneficiary, vote.nonce), (third, clique::NONCE_ADD));
    assert_eq!(handle.snapshot(None).expect("read").vote_count(), 1);
    assert_eq!(seal().beneficiary, third);
    assert_eq!(handle.signers(None).expect("read").len(), 3);
    assert_eq!(handle.signers(Some(1)).expect("read").len(), 2);

    handle.propose(third, false).expect("room");
    // Block 4 is a checkpoint, which lists the signers and casts no vote.
    let checkpoint = seal();
    assert_eq!((checkpoint.beneficiary, checkpoint.nonce), (Address::ZERO, clique::NONCE_DROP));
    let listed = clique::signers_in_extra_data(&checkpoint.extra_data).expect("signers");
    assert_eq!(listed, handle.signers(None).expect("read"));
    let vote = seal();
    assert_eq!((vote.beneficiary, vote.nonce), (third, clique::NONCE_DROP));
    assert_eq!(seal().beneficiary, third);
    assert_eq!(handle.signers(None).expect("read").len(), 2);
    // What has been carried out is no vote any more.
    assert_eq!(seal().beneficiary, Address::ZERO);
    handle.discard(third);
    assert_eq!(handle.proposals().len(), 1);
}

#[test]
fn each_useful_proposal_has_its_chance() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let handle = CliqueHandle::new(Arc::new(net.open(dir.path()))).expect("clique");
    let snapshot = handle.snapshot(None).expect("read");
    let proposals = handle.shared_proposals();
    assert_eq!(proposals.choose(&snapshot, 5), None);
    let added: Vec<Address> = (1..=3).map(Address::repeat_byte).collect();
    for address in &added {
        proposals.propose(*address, true).expect("room");
    }
    proposals.propose(Address::repeat_byte(9), false).expect("room");
    let chosen: Vec<_> = (0..4).filter_map(|n| proposals.choose(&snapshot, n)).collect();
    let expected: Vec<_> = added.iter().chain(&added[..1]).map(|who| (*who, true)).collect();
    assert_eq!(chosen, expected);
    for n in 0..MAX_PROPOSALS as u64 - 4 {
        let address = Address::from_word(B256::left_padding_from(&(n + (1 << 32)).to_be_bytes()));
        proposals.propose(address, true).expect("room");
    }
    proposals.propose(Address::repeat_byte(0xaa), true).expect_err("full");
    proposals.propose(added[0], false).expect("another opinion about the same");
}

#[test]
fn the_handle_knows_blocks_and_signers() {
    let net = devnet(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = Arc::new(net.open(dir.path()));
    let handle = CliqueHandle::new(Arc::clone(&chain)).expect("clique");
    assert_eq!(handle.status().expect("status").blocks, 0);
    let (blocks, tip) = net.grow(&net.start(), 69);
    // The last one out of turn.
    let (last, _) = net.child(&tip, 2, 1);
    chain.import(&blocks).expect("import");
    chain.import(std::slice::from_ref(&last)).expect("import");
    let status = handle.status().expect("status");
    assert_eq!(status.blocks, 64);
    assert_eq!(status.in_turn_percent, 100.0 * 63.0 / 64.0);
    assert_eq!(status.sealed.values().sum::<u64>(), 64);
    assert_eq!(handle.signer_of(&last.hash).expect("sealed"), net.producers[2].signer());
    assert_eq!(handle.signers_at(&blocks[3].hash).expect("read").len(), 3);
    handle.signer_of(&net.spec.genesis_hash()).expect_err("nobody sealed block 0");
    handle.snapshot(Some(1_000)).expect_err("no such block");
    handle.snapshot_at(&B256::ZERO).expect_err("no such block");
    assert_eq!(handle.validator_state(), ValidatorState::Off);
    handle.set_validator_state(ValidatorState::NotASigner);
    assert_eq!(handle.validator_state(), ValidatorState::NotASigner);
}

/// What a validator is doing follows from the head, the clock and its key.
#[test]
fn whose_turn_it_is() {
    let net = devnet(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = Arc::new(net.open(dir.path()));
    let handle = CliqueHandle::new(Arc::clone(&chain)).expect("clique");
    let turn =
        |place: usize, now: u64| handle.turn(net.producers[place].signer(), now).expect("read");
    let (one, _) = net.child(&net.start(), 1, 1);
    chain.import(std::slice::from_ref(&one)).expect("import");
    let (now, at) = (one.header.timestamp, one.header.timestamp + 1);
    assert_eq!(turn(2, now), ValidatorState::Sealing { number: 2, at, in_turn: true });
    assert_eq!(turn(0, now), ValidatorState::Sealing { number: 2, at, in_turn: false });
    assert_eq!(turn(1, now), ValidatorState::SignedRecently { next: 3 });
    let stranger = handle.turn(Address::repeat_byte(7), now).expect("read");
    assert_eq!(stranger, ValidatorState::NotASigner);
    // Somebody set the clock back by an hour.
    let back = now - 3_600;
    assert_eq!(turn(2, back), ValidatorState::ClockBehind { at, now: back });
}

#[test]
fn gas_limits_move_towards_their_target() {
    let net = devnet(1);
    let start = net.start();
    let limit = |target| {
        let producer = Producer::new(key(1)).with_gas_limit(target);
        let now = start.header.timestamp + 1;
        let parent = (&start.header, start.hash);
        let block = producer.next_block(&net.spec, parent, &start.snapshot, now).expect("block");
        let dir = tempfile::tempdir().expect("directory");
        net.open(dir.path()).import(std::slice::from_ref(&block)).expect("import");
        block.header.gas_limit
    };
    // 30,000,000 / 1024 = 29,296.
    assert_eq!(limit(None), 30_000_000);
    assert_eq!(limit(Some(60_000_000)), 30_029_295);
    assert_eq!(limit(Some(u64::MAX)), 30_029_295);
    assert_eq!(limit(Some(30_000_100)), 30_000_100);
    assert_eq!(limit(Some(0)), 29_970_705);
}

#[test]
fn the_vanity_is_the_signers_own() {
    let net = devnet(1);
    let start = net.start();
    for (text, expected) in [(&b"node 7"[..], *b"node 7\0\0"), (&[b'x'; 40], *b"xxxxxxxx")] {
        let producer = Producer::new(key(1)).with_vanity(text);
        let now = start.header.timestamp + 1;
        let parent = (&start.header, start.hash);
        let block = producer.next_block(&net.spec, parent, &start.snapshot, now).expect("block");
        assert_eq!(block.header.extra_data[..8], expected);
        assert_eq!(block.header.extra_data.len(), 97);
    }
}

/// A builder of empty blocks that says it had so many transactions.
struct Pretended(usize);

impl PayloadBuilder for Pretended {
    fn build(
        &self,
        _: &ChainSpec,
        _: &Header,
        header: Header,
        _: Address,
    ) -> Result<Payload, PayloadError> {
        let body_rlp = empty_body(&header).into();
        Ok(Payload { header, body_rlp, transactions: self.0 })
    }

    fn has_transactions(&self) -> bool {
        true
    }
}

#[test]
fn with_period_0_only_transactions_make_a_block() {
    let net = devnet_with(1, 0, |_| {});
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (producer, now) = (&net.producers[0], chain.head().timestamp);
    for builder in [&EmptyBlocks as &dyn PayloadBuilder, &Pretended(0)] {
        let refused = producer.build_on(&chain, builder, now);
        assert!(matches!(refused, Err(ProduceError::NoTransactions)), "{refused:?}");
    }
    let block = producer.build_on(&chain, &Pretended(1), now).expect("block");
    assert_eq!(block.header.timestamp, now);
}

/// Networks of our own may go on behind London.
#[test]
fn clique_goes_on_to_prague() {
    let net = devnet_with(1, 1, |genesis| {
        genesis.config.shanghai_time = Some(genesis.timestamp + 2);
        genesis.config.cancun_time = Some(genesis.timestamp + 3);
        genesis.config.prague_time = Some(genesis.timestamp + 4);
    });
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let producer = &net.producers[0];
    let mut headers = Vec::new();
    for _ in 0..5 {
        let now = chain.head().timestamp + 1;
        let block = producer.build_on(&chain, &Pretended(0), now).expect("block");
        block::decode(&block::encode(&block.header_rlp, &block.body_rlp).expect("list"))
            .expect("whole");
        chainmesh_chain::body::check(&block.header, &block.body_rlp).expect("body");
        chain.import(std::slice::from_ref(&block)).expect("import");
        headers.push(block.header);
    }
    let seen: Vec<_> = headers
        .iter()
        .map(|header| {
            let blobs = header.blob_gas_used.zip(header.excess_blob_gas);
            let beacon = header.parent_beacon_block_root;
            (header.withdrawals_root, blobs, beacon, header.requests_hash)
        })
        .collect();
    let (none, root, requests) = (Some((0, 0)), Some(EMPTY_WITHDRAWALS), EMPTY_REQUESTS_HASH);
    let prague = (root, none, Some(B256::ZERO), Some(requests));
    let expected = [
        (None, None, None, None),
        (root, None, None, None),
        (root, none, Some(B256::ZERO), None),
        prague,
        prague,
    ];
    assert_eq!(seen, expected);
    // Such blocks call system contracts, so that they are not made without being executed.
    let refused = producer.next_on(&chain, chain.head().timestamp + 1);
    assert!(matches!(refused, Err(ProduceError::Payload(_))), "{refused:?}");
}

/// Networks as `chainmesh init` makes them: their blocks are executed with everything that their
/// forks ask for.
#[test]
fn new_networks_of_each_fork_make_blocks() {
    for last_fork in [LastFork::London, LastFork::Shanghai, LastFork::Cancun, LastFork::Prague] {
        let network = CliqueNetwork {
            chain_id: 7,
            period: 1,
            epoch: 3,
            gas_limit: 8_000_000,
            timestamp: START,
            last_fork,
            signers: vec![Producer::new(key(1)).signer()],
            balances: vec![(Address::repeat_byte(1), U256::from(5))],
        };
        let spec = ChainSpec::new(network.genesis()).expect("spec");
        let dir = tempfile::tempdir().expect("directory");
        let chain = Chain::open_with(dir.path(), spec, ChainOptions::default()).expect("open");
        let chain = Arc::new(chain);
        let pool = Mempool::behind(&chain, MempoolConfig::default()).expect("pool");
        let builder = PoolBlocks::new(Arc::clone(&chain), Arc::new(pool));
        for number in 1..=4 {
            let now = chain.head().timestamp + 1;
            let block = Producer::new(key(1)).build_on(&chain, &builder, now).expect("block");
            assert_eq!(block.header.requests_hash.is_some(), last_fork == LastFork::Prague);
            assert_eq!(chain.import(&[block]).expect("import").number, number);
        }
    }
}

#[test]
fn clique_has_no_beacon_chain() {
    let net = devnet_with(1, 1, |genesis| {
        genesis.config.shanghai_time = Some(genesis.timestamp);
        genesis.config.cancun_time = Some(genesis.timestamp);
    });
    let start = net.start();
    let refused = |change: &dyn Fn(&mut Header)| {
        let parent = (&start.header, start.hash);
        let now = start.header.timestamp + 1;
        let block = net.producers[0]
            .build(&net.spec, parent, &start.snapshot, &Pretended(0), now)
            .expect("block");
        let mut header = block.header;
        change(&mut header);
        clique::seal(&mut header, &key(1)).expect("seal");
        let dir = tempfile::tempdir().expect("directory");
        rule(net.open(dir.path()).import(&[block::seal(header, block.body_rlp)]))
    };
    let other = Some(B256::repeat_byte(1));
    assert_eq!(
        refused(&|header| header.withdrawals_root = other),
        RuleError::Clique(CliqueError::Withdrawals)
    );
    assert_eq!(
        refused(&|header| header.parent_beacon_block_root = other),
        RuleError::Clique(CliqueError::BeaconRoot)
    );
}
