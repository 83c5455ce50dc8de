//! Which block is the head, who is told, and what survives a reorganisation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, U256};
use chainmesh_chain::rules::{self, RuleError};
use chainmesh_chain::{
    Chain, ChainError, ChainOptions, ChainSpec, Genesis, NewHead, StoreError, block,
};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, ImportError, SyncBlock};

use crate::common::{START, devnet, devnet_with, rule};

fn watch(chain: &Chain) -> (Arc<Mutex<Vec<NewHead>>>, chainmesh_chain::Subscription) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let subscription = chain.subscribe(move |new| into.lock().expect("lock").push(*new));
    (seen, subscription)
}

#[test]
fn a_new_chain_is_at_its_genesis() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let head = chain.head();
    assert_eq!((head.number, head.hash), (0, net.spec.genesis_hash()));
    assert_eq!((head.timestamp, head.total_difficulty), (START, U256::from(1)));
    assert_eq!(chain.canonical_hash(0).expect("read"), Some(head.hash));
    assert_eq!(chain.body_rlp(&head.hash).expect("read").as_deref(), Some(&[0xc2, 0xc0, 0xc0][..]));
    assert_eq!(chain.header_rlp(&B256::ZERO).expect("read"), None);
    assert_eq!(chain.canonical_hash(1).expect("read"), None);
}

#[test]
fn one_batch_is_one_new_head() {
    let net = devnet(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (seen, subscription) = watch(&chain);
    let before = chain.head();
    let (blocks, tip) = net.grow(&net.start(), 20);
    let head = chain.import(&blocks).expect("import");
    assert_eq!((head.number, head.hash), (20, tip.hash));
    assert_eq!(head.total_difficulty, U256::from(41));
    assert_eq!(chain.head(), head);
    assert_eq!(
        *seen.lock().expect("lock"),
        [NewHead { head, previous: before, common_ancestor: 0 }]
    );
    // Known blocks are passed over, and nobody is told.
    assert_eq!(chain.import(&blocks).expect("again"), head);
    assert_eq!(seen.lock().expect("lock").len(), 1);
    drop(subscription);
    let (more, _) = net.grow(&tip, 1);
    chain.import(&more).expect("more");
    assert_eq!(seen.lock().expect("lock").len(), 1);
    for block in &blocks {
        let number = block.header.number;
        assert_eq!(chain.canonical_hash(number).expect("read"), Some(block.hash));
        assert_eq!(chain.number_of(&block.hash).expect("read"), Some(number));
        assert_eq!(chain.header_rlp(&block.hash).expect("read").as_ref(), Some(&block.header_rlp));
        assert_eq!(chain.body_rlp(&block.hash).expect("read").as_ref(), Some(&block.body_rlp));
    }
}

/// A shorter chain of signers in turn is heavier than a longer one of signers out of turn.
#[test]
fn the_heavier_side_chain_takes_over() {
    let net = devnet(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (common, fork) = net.grow(&net.start(), 3);
    chain.import(&common).expect("common");
    // Blocks 4, 5 and 6 out of turn: block n is the turn of n % 3, each here is one too late.
    let mut light = Vec::new();
    let mut tip = fork.clone();
    for number in 4..=6 {
        let (block, next) = net.child(&tip, (number + 1) % 3, 1);
        light.push(block);
        tip = next;
    }
    let long = chain.import(&light).expect("light");
    assert_eq!((long.number, long.total_difficulty), (6, U256::from(1 + 6 + 3)));
    let (seen, _subscription) = watch(&chain);
    let (heavy, heavy_tip) = net.grow(&fork, 2);
    // One block of it is lighter, and is stored without being the head.
    assert_eq!(chain.import(&heavy[..1]).expect("lighter"), long);
    assert_eq!(chain.number_of(&heavy[0].hash).expect("read"), Some(4));
    assert_eq!(chain.canonical_hash(4).expect("read"), Some(light[0].hash));
    let head = chain.import(&heavy).expect("heavier");
    assert_eq!((head.number, head.hash), (5, heavy_tip.hash));
    let expected = NewHead { head, previous: long, common_ancestor: 3 };
    assert_eq!(*seen.lock().expect("lock"), [expected]);
    assert_eq!(expected.reorganised(), 3);
    for (number, hash) in
        [(3, Some(common[2].hash)), (4, Some(heavy[0].hash)), (5, Some(heavy[1].hash)), (6, None)]
    {
        assert_eq!(chain.canonical_hash(number).expect("read"), hash, "block {number}");
    }
    // The old branch is still known, and after a restart all is as it was.
    drop(chain);
    let chain = net.open(dir.path());
    assert_eq!(chain.head(), head);
    assert_eq!(chain.number_of(&light[2].hash).expect("read"), Some(6));
    assert_eq!(chain.header_rlp(&light[2].hash).expect("read"), Some(light[2].header_rlp.clone()));
}

#[test]
fn of_two_equal_heads_the_smaller_hash_wins() {
    let net = devnet(1);
    let (first, _) = net.child(&net.start(), 0, 1);
    let (second, _) = net.child(&net.start(), 0, 2);
    let winner = first.hash.min(second.hash);
    for order in [[&first, &second], [&second, &first]] {
        let dir = tempfile::tempdir().expect("directory");
        let chain = net.open(dir.path());
        for block in order {
            chain.import(std::slice::from_ref(block)).expect("import");
        }
        assert_eq!(chain.head().hash, winner);
    }
}

/// Of two branches of the same weight, the shorter one was sealed in turn more often.
#[test]
fn of_two_equal_branches_the_shorter_wins() {
    let net = devnet(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    // Signer 1 is in turn for block 1: 2 of difficulty. The others are not: 1 each.
    let (short, _) = net.child(&net.start(), 1, 5);
    let (one, tip) = net.child(&net.start(), 0, 1);
    let (two, _) = net.child(&tip, 1, 1);
    assert_eq!(chain.import(&[one, two]).expect("the longer").number, 2);
    let head = chain.import(std::slice::from_ref(&short)).expect("the shorter");
    assert_eq!((head.number, head.hash), (1, short.hash));
    assert_eq!(chain.canonical_hash(2).expect("read"), None);
}

#[test]
fn what_was_good_before_a_bad_block_stays() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (mut blocks, _) = net.grow(&net.start(), 5);
    blocks[3].header.gas_used = blocks[3].header.gas_limit + 1;
    let result = chain.import(&blocks);
    let hash = blocks[3].hash;
    assert!(
        matches!(&result, Err(ImportError::Invalid { number: 4, hash: found, .. }) if *found == hash)
    );
    assert!(matches!(rule(result), RuleError::GasUsed { .. }));
    assert_eq!((chain.head().number, chain.head().hash), (3, blocks[2].hash));
    assert_eq!(chain.number_of(&hash).expect("read"), None);
    let orphan = chain.import(&blocks[4..]);
    assert!(
        matches!(&orphan, Err(ImportError::UnknownParent { number: 5, parent, .. }) if *parent == hash),
        "{orphan:?}"
    );
}

/// A clock that the test sets.
fn clock(at: u64) -> (Arc<AtomicU64>, ChainOptions) {
    let now = Arc::new(AtomicU64::new(at));
    let shown = Arc::clone(&now);
    let clock = Arc::new(move || shown.load(Relaxed));
    (now, ChainOptions { clock, ..ChainOptions::default() })
}

#[test]
fn a_block_of_tomorrow_is_refused_today() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let now = START + 100;
    let chain = Chain::open_with(dir.path(), net.spec.clone(), clock(now).1).expect("open");
    let (late, _) = net.child(&net.start(), 0, 100 + rules::HELD_SECONDS + 1);
    assert_eq!(
        rule(chain.import(std::slice::from_ref(&late))),
        RuleError::Future { found: late.header.timestamp, now }
    );
    assert_eq!(chain.next_due(), None);
}

/// Blocks of a clock that is ahead of ours: they are kept, and imported when their time has come.
#[test]
fn blocks_of_the_near_future_wait_for_their_time() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let (now, options) = clock(START + 100);
    let chain = Chain::open_with(dir.path(), net.spec.clone(), options).expect("open");
    let (one, tip) = net.child(&net.start(), 0, 100);
    let (two, tip) = net.child(&tip, 0, 2);
    let (three, tip) = net.child(&tip, 0, 3);
    let batch = [one, two.clone(), three.clone()];
    let head = chain.import(&batch).expect("one of them");
    assert_eq!(head.number, 1);
    // Known to nobody before.
    assert_eq!(chain.number_of(&two.hash).expect("read"), None);
    assert_eq!(chain.next_due(), Some(START + 102));
    // Nor is it passed on before, whoever sends it.
    let passed_on = || chain.check_header(&two.header, &two.hash).expect("a good header").is_some();
    assert!(!passed_on());
    // Once is enough; and a child of what is held is held only if it is a good one.
    chain.import(&batch).expect("again");
    let (mut four, _) = net.child(&tip, 0, 1);
    four.header.gas_limit += four.header.gas_limit / 2;
    assert!(matches!(rule(chain.import(&[four])), RuleError::GasLimit { .. }));
    assert_eq!(chain.import_due().expect("nothing").number, 1);
    now.store(START + 102, Relaxed);
    assert!(passed_on());
    assert_eq!(chain.import_due().expect("the second").hash, two.hash);
    assert_eq!(chain.next_due(), Some(START + 105));
    now.store(START + 200, Relaxed);
    assert_eq!(chain.import_due().expect("the third").hash, three.hash);
    assert_eq!(chain.next_due(), None);
}

/// However many there are, so many are held.
#[test]
fn only_so_many_blocks_are_held() {
    let net = devnet_with(1, 0, |_| {});
    let dir = tempfile::tempdir().expect("directory");
    let (now, options) = clock(START + 1);
    let chain = Chain::open_with(dir.path(), net.spec.clone(), options).expect("open");
    let at = START + 20;
    let start = net.start();
    // Eighty different blocks in the place of the first.
    let blocks = (0..80).map(|less| {
        let header = alloy_consensus::Header {
            number: 1,
            parent_hash: start.hash,
            timestamp: at,
            difficulty: U256::from(2),
            gas_limit: start.header.gas_limit - less,
            base_fee_per_gas: rules::next_base_fee(&net.spec, &start.header),
            extra_data: vec![0; 97].into(),
            ..start.header.clone()
        };
        net.sealed(header, 0, block::EMPTY_BODY_RLP.into())
    });
    let blocks: Vec<SyncBlock> = blocks.collect();
    for block in &blocks {
        chain.import(std::slice::from_ref(block)).expect("kept, or forgotten");
    }
    now.store(at, Relaxed);
    assert_eq!(chain.import_due().expect("import").number, 1);
    let known = blocks.iter().filter(|block| chain.number_of(&block.hash).expect("read").is_some());
    assert_eq!(known.count(), 64);
}

#[test]
fn a_side_chain_too_far_behind_is_refused() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let options = ChainOptions { max_side_chain_depth: 3, ..ChainOptions::default() };
    let chain = Chain::open_with(dir.path(), net.spec.clone(), options).expect("open");
    let (blocks, tip) = net.grow(&net.start(), 4);
    chain.import(&blocks).expect("import");
    let (side, _) = net.child(&net.start(), 0, 7);
    chain.import(std::slice::from_ref(&side)).expect("3 blocks behind");
    let (more, _) = net.grow(&tip, 1);
    chain.import(&more).expect("import");
    let (side, _) = net.child(&net.start(), 0, 8);
    let result = chain.import(std::slice::from_ref(&side));
    assert_eq!(rule(result), RuleError::SideChainTooDeep { depth: 4 });
}

#[test]
fn another_genesis_is_refused_by_both_hashes() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    drop(net.open(dir.path()));
    let other = devnet_with(1, 1, |genesis| genesis.timestamp += 1);
    let error = Chain::open(dir.path(), other.spec.genesis().clone()).expect_err("other");
    let (stored, wanted) = (net.spec.genesis_hash(), other.spec.genesis_hash());
    assert!(
        matches!(&error, ChainError::OtherGenesis { stored: a, wanted: b, .. } if (*a, *b) == (stored, wanted)),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains(&stored.to_string()) && text.contains(&wanted.to_string()), "{text}");
    assert_eq!(net.open(dir.path()).genesis_hash(), stored);
}

/// Forks that are scheduled later change the configuration and not the genesis block.
#[test]
fn an_existing_chain_knows_its_genesis() {
    let dir = tempfile::tempdir().expect("directory");
    let missing = Chain::open_existing(dir.path(), ChainOptions::default());
    assert!(matches!(&missing, Err(ChainError::Store(StoreError::Missing { .. }))), "{missing:?}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
    let net = devnet(2);
    let (blocks, tip) = net.grow(&net.start(), 3);
    net.open(dir.path()).import(&blocks).expect("import");
    let scheduled = devnet_with(2, 1, |genesis| genesis.config.gray_glacier_block = Some(9));
    assert_eq!(scheduled.spec.genesis_hash(), net.spec.genesis_hash());
    drop(scheduled.open(dir.path()));
    let chain = Chain::open_existing(dir.path(), ChainOptions::default()).expect("open");
    assert_eq!(chain.head().hash, tip.hash);
    assert_eq!(chain.spec().genesis(), scheduled.spec.genesis());
    assert_eq!(chain.fork_filter().current().next, 9);
}

#[test]
fn a_second_opener_is_told_who_is_in_the_way() {
    let net = devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let second = Chain::open(dir.path(), net.spec.genesis().clone());
    assert!(matches!(&second, Err(ChainError::Store(StoreError::InUse { .. }))), "{second:?}");
    drop(chain);
}

/// Without difficulties, the longest chain is the head.
#[test]
fn under_proof_of_stake_the_longer_chain_wins() {
    use alloy_consensus::Header;
    use chainmesh_chain::{Consensus, block};

    let mut genesis = Genesis { gas_limit: 30_000_000, ..Genesis::default() };
    genesis.config.terminal_total_difficulty = Some(U256::ZERO);
    let spec = ChainSpec::new(genesis).expect("spec");
    assert_eq!(spec.consensus(), Consensus::ProofOfStake);
    let child = |parent: &Header, hash: B256, timestamp: u64| {
        let mut header = parent.clone();
        header.parent_hash = hash;
        header.number += 1;
        header.timestamp = timestamp;
        block::seal(header, block::EMPTY_BODY_RLP.to_vec().into())
    };
    let start = spec.genesis_header();
    let a1 = child(start, spec.genesis_hash(), 5);
    let b1 = child(start, spec.genesis_hash(), 6);
    let b2 = child(&b1.header, b1.hash, 7);
    let dir = tempfile::tempdir().expect("directory");
    let chain = Chain::open_with(dir.path(), spec, ChainOptions::default()).expect("open");
    assert_eq!(chain.import(std::slice::from_ref(&a1)).expect("a1").hash, a1.hash);
    assert_eq!(chain.import(std::slice::from_ref(&b1)).expect("b1").hash, a1.hash);
    assert_eq!(chain.import(std::slice::from_ref(&b2)).expect("b2").hash, b2.hash);
    assert_eq!(chain.canonical_hash(1).expect("read"), Some(b1.hash));
}
