//! Proof of work: rewards, ommers and the DAO fork.

use alloy_consensus::Header;
use alloy_evm::eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, U256};
use chainmesh_chain::execute::{
    Ancestor, ExecutionError, OmmerError, RecoveredBody, execute_block, verify_ommers,
};
use chainmesh_chain::rules::RuleError;
use chainmesh_chain::{Consensus, difficulty};

use super::lab::{ALL_FORKS, ETHER, Fork, Lab, MAKER, TIME, genesis};

fn ommer_by(number: u64, beneficiary: Address) -> Header {
    Header { number, beneficiary, ..Header::default() }
}

/// Runs block `number` with these ommers, without transactions.
fn run_with_ommers(lab: &mut Lab, number: u64, ommers: Vec<Header>) {
    let (mut header, _) = lab.raw(&[]);
    header.number = number;
    header.receipts_root = alloy_trie::EMPTY_ROOT_HASH;
    let body = RecoveredBody { ommers, ..RecoveredBody::default() };
    let executed = execute_block(&lab.spec, lab.consensus, &lab.state, &header, MAKER, &body);
    lab.state.apply(&executed.expect("an empty block").changes);
}

#[test]
fn blocks_and_ommers_are_paid_by_fork() {
    let (first, second) = (Address::repeat_byte(0x01), Address::repeat_byte(0x02));
    for fork in ALL_FORKS {
        let reward = match fork {
            _ if fork >= Fork::Paris => 0,
            _ if fork >= Fork::Petersburg => 2 * ETHER,
            Fork::Byzantium => 3 * ETHER,
            _ => 5 * ETHER,
        };
        if reward == 0 {
            continue;
        }
        let mut lab = Lab::at(fork);
        run_with_ommers(&mut lab, 10, vec![]);
        assert_eq!(lab.balance(MAKER), U256::from(reward), "{fork:?}");
        let mut lab = Lab::at(fork);
        run_with_ommers(&mut lab, 10, vec![ommer_by(9, first), ommer_by(4, second)]);
        assert_eq!(lab.balance(MAKER), U256::from(reward + reward / 16), "{fork:?}");
        assert_eq!(lab.balance(first), U256::from(reward / 8 * 7), "{fork:?}");
        assert_eq!(lab.balance(second), U256::from(reward / 8 * 2), "{fork:?}");
        // Both of one who also made the block.
        let mut lab = Lab::at(fork);
        run_with_ommers(&mut lab, 10, vec![ommer_by(9, MAKER), ommer_by(8, MAKER)]);
        let all = reward + reward / 16 + reward / 8 * 7 + reward / 8 * 6;
        assert_eq!(lab.balance(MAKER), U256::from(all), "{fork:?}");
    }
}

#[test]
fn proof_of_stake_pays_nobody() {
    for fork in [Fork::Paris, Fork::Prague] {
        let mut lab = Lab::at(fork);
        lab.grow(Vec::new());
        assert!(!lab.exists(MAKER), "{fork:?}");
    }
}

#[test]
fn the_dao_fork_is_only_made_where_the_genesis_says_so() {
    for (block, support, moved) in [
        (Some(1), true, true),
        (Some(1), false, false),
        (None, true, false),
        (Some(2), true, false),
    ] {
        let mut genesis = genesis(Fork::Homestead);
        genesis.config.dao_fork_block = block;
        genesis.config.dao_fork_support = support;
        for account in DAO_HARDFORK_ACCOUNTS {
            let money = GenesisAccount::default().with_balance(U256::from(ETHER));
            genesis.alloc.insert(account, money);
        }
        let mut lab = Lab::new(genesis);
        run_with_ommers(&mut lab, 1, vec![]);
        let count = DAO_HARDFORK_ACCOUNTS.len() as u128;
        let expected = if moved { count * ETHER } else { 0 };
        assert_eq!(lab.balance(DAO_HARDFORK_BENEFICIARY), U256::from(expected));
        let left: U256 = DAO_HARDFORK_ACCOUNTS.iter().map(|one| lab.balance(*one)).sum();
        assert_eq!(left + U256::from(expected), U256::from(count * ETHER));
    }
}

/// Found by the blockchain tests of Ethereum: an account of the DAO that was never there exists
/// behind the fork, and so does one that owned nothing.
#[test]
fn all_accounts_of_the_dao_exist_behind_the_fork() {
    let mut genesis = genesis(Fork::Homestead);
    genesis.config.dao_fork_block = Some(1);
    genesis.config.dao_fork_support = true;
    let money = GenesisAccount::default().with_balance(U256::from(ETHER));
    genesis.alloc.insert(DAO_HARDFORK_ACCOUNTS[0], money);
    genesis.alloc.insert(DAO_HARDFORK_ACCOUNTS[1], GenesisAccount::default());
    let mut lab = Lab::new(genesis);
    run_with_ommers(&mut lab, 1, vec![]);
    assert!(DAO_HARDFORK_ACCOUNTS.iter().all(|account| lab.exists(*account)));
    assert_eq!(lab.balance(DAO_HARDFORK_BENEFICIARY), U256::from(ETHER));
}

/// A chain of headers, and what was found beside it.
struct Branches {
    lab: Lab,
    /// By number.
    chain: Vec<Ancestor>,
}

impl Branches {
    fn new(length: usize) -> Self {
        let lab = Lab::at(Fork::Byzantium);
        let header = lab.spec.genesis_header().clone();
        let mut branches = Self { lab, chain: vec![Ancestor { header, ommers: Vec::new() }] };
        for _ in 0..length {
            let header = branches.child_of(branches.chain.len() - 1, 0);
            branches.chain.push(Ancestor { header, ommers: Vec::new() });
        }
        branches
    }

    /// A child of the block with this number; different ones by `tag`.
    fn child_of(&self, number: usize, tag: u8) -> Header {
        let parent = &self.chain[number].header;
        let timestamp = parent.timestamp + 10;
        Header {
            parent_hash: parent.hash_slow(),
            number: parent.number + 1,
            timestamp,
            gas_limit: parent.gas_limit,
            difficulty: difficulty::ethash(self.lab.spec.config(), timestamp, parent),
            beneficiary: Address::repeat_byte(tag),
            ..Header::default()
        }
    }

    /// Checks the ommers of the child of the last block.
    fn verify(&self, ommers: &[Header]) -> Result<(), OmmerError> {
        let header = self.child_of(self.chain.len() - 1, 0);
        let ancestor = |hash: B256| {
            let found = self.chain.iter().find(|block| block.header.hash_slow() == hash);
            Ok::<_, core::convert::Infallible>(found.cloned())
        };
        let consensus = Consensus::UnsealedProofOfWork;
        let now = TIME + 1_000_000;
        verify_ommers(&self.lab.spec, consensus, &header, ommers, now, ancestor).expect("memory")
    }
}

#[test]
fn ommers_are_children_of_the_last_seven_ancestors_but_one() {
    let branches = Branches::new(10);
    // The block is number 11. Its 7 ancestors are 10 down to 4; 10 is its parent.
    for parent in 0..10 {
        let ommer = branches.child_of(parent, 1);
        let verdict = branches.verify(core::slice::from_ref(&ommer));
        let expected =
            if parent >= 4 { Ok(()) } else { Err(OmmerError::Dangling(ommer.hash_slow())) };
        assert_eq!(verdict, expected, "child of {parent}");
    }
    let brother = branches.child_of(10, 1);
    let expected = Err(OmmerError::Dangling(brother.hash_slow()));
    assert_eq!(branches.verify(&[brother]), expected);
}

#[test]
fn ommers_are_two_at_most_and_each_once() {
    let mut branches = Branches::new(10);
    let [one, two, three] = [1, 2, 3].map(|tag| branches.child_of(8, tag));
    assert_eq!(branches.verify(&[]), Ok(()));
    assert_eq!(branches.verify(&[one.clone(), two.clone()]), Ok(()));
    let three = [one.clone(), two.clone(), three];
    assert_eq!(branches.verify(&three), Err(OmmerError::TooMany(3)));
    let repeated = Err(OmmerError::Repeated(one.hash_slow()));
    assert_eq!(branches.verify(&[one.clone(), one.clone()]), repeated);
    // An ancestor has it.
    branches.chain[10].ommers.push(one.hash_slow());
    assert_eq!(branches.verify(&[two, one]), repeated);
}

#[test]
fn an_ancestor_is_no_ommer() {
    let branches = Branches::new(10);
    let ancestor = branches.chain[9].header.clone();
    let expected = Err(OmmerError::IsAncestor(ancestor.hash_slow()));
    assert_eq!(branches.verify(&[ancestor]), expected);
}

#[test]
fn the_header_of_an_ommer_follows_the_rules() {
    let branches = Branches::new(10);
    let mut ommer = branches.child_of(8, 1);
    ommer.gas_limit *= 2;
    let verdict = branches.verify(core::slice::from_ref(&ommer));
    let Err(OmmerError::Rule { hash, source }) = verdict else { panic!("{verdict:?}") };
    assert_eq!(hash, ommer.hash_slow());
    assert!(matches!(*source, RuleError::GasLimit { .. }), "{source}");
}

#[test]
fn other_networks_have_no_ommers() {
    let branches = Branches::new(3);
    let header = branches.child_of(3, 0);
    let ommer = [branches.child_of(1, 1)];
    for consensus in [Consensus::ProofOfStake, Consensus::Clique { period: 1, epoch: 10 }] {
        let none = |_| -> Result<Option<Ancestor>, ()> { panic!("nothing has to be looked up") };
        let verdict = verify_ommers(&branches.lab.spec, consensus, &header, &ommer, TIME, none);
        assert_eq!(verdict, Ok(Err(OmmerError::NotAllowed)));
    }
    let failed = verify_ommers(
        &branches.lab.spec,
        Consensus::UnsealedProofOfWork,
        &header,
        &ommer,
        TIME,
        |_| Err("the disk"),
    );
    assert_eq!(failed, Err("the disk"));
}

#[test]
fn an_error_of_ommers_blames_the_block() {
    assert!(ExecutionError::from(OmmerError::NotAllowed).blames_block());
}
