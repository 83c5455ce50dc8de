//! What transactions do, where it differs between forks or has gone wrong in other places.

use alloy_consensus::{TxEip1559, TxLegacy, TxReceipt};
use alloy_eips::eip4844::kzg_to_versioned_hash;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7702::Authorization;
use alloy_eips::{eip2935, eip4788, eip7002};
use alloy_genesis::{CliqueConfig, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use chainmesh_chain::execute::{
    ExecutionError, RecoveredBody, SystemContract, execute_block, execute_block_with_roots,
};
use revm::database::BundleState;

use super::lab::{
    ALL_FORKS, CHAIN_ID, ETHER, Fork, GWEI, Lab, MAKER, Wallet, contract, create, deploy, dynamic,
    genesis, legacy, set_code, store,
};

const CONTRACT: Address = Address::repeat_byte(0x11);
const SOMEBODY: Address = Address::repeat_byte(0x55);
const ONE: Wallet = Wallet(1);

fn with_contract(fork: Fork, code: &[u8]) -> Lab {
    let mut genesis = genesis(fork);
    contract(&mut genesis, CONTRACT, code);
    Lab::new(genesis)
}

/// All forks whose blocks can be made here.
fn forks() -> impl Iterator<Item = Fork> {
    ALL_FORKS.into_iter().filter(|fork| *fork >= Fork::Byzantium)
}

#[test]
fn a_transfer_moves_value_and_pays_the_maker() {
    for fork in forks() {
        let mut lab = Lab::at(fork);
        let built =
            lab.grow(vec![ONE.sign(TxLegacy { value: U256::from(7), ..legacy(0, SOMEBODY) })]);
        let price = U256::from(100 * GWEI);
        let gas = U256::from(21_000);
        assert_eq!(built.header.gas_used, 21_000);
        assert_eq!(lab.balance(SOMEBODY), U256::from(7), "{fork:?}");
        let start = U256::from(1_000 * ETHER);
        assert_eq!(lab.balance(ONE.address()), start - price * gas - U256::from(7), "{fork:?}");
        assert_eq!(lab.nonce(ONE.address()), 1);
        // From London on the base fee is burnt; up to then there is a reward.
        let base_fee = U256::from(built.header.base_fee_per_gas.unwrap_or(0));
        let reward = match fork {
            Fork::Byzantium => 3 * ETHER,
            _ if fork <= Fork::London => 2 * ETHER,
            _ => 0,
        };
        assert_eq!(lab.balance(MAKER), (price - base_fee) * gas + U256::from(reward), "{fork:?}");
    }
}

#[test]
fn out_of_gas_costs_all_of_it_and_changes_nothing_else() {
    // JUMPDEST, PUSH1 1, PUSH1 0, SSTORE, PUSH1 0, JUMP: for ever.
    let code = [0x5b, 0x60, 0x01, 0x60, 0x00, 0x55, 0x60, 0x00, 0x56];
    for fork in forks() {
        let mut lab = with_contract(fork, &code);
        let built =
            lab.grow(vec![ONE.sign(TxLegacy { value: U256::from(7), ..legacy(0, CONTRACT) })]);
        let receipt = &built.executed.receipts[0];
        assert!(!receipt.status(), "{fork:?}");
        assert_eq!(built.header.gas_used, 100_000);
        assert_eq!((lab.slot(CONTRACT, 0), lab.balance(CONTRACT)), (U256::ZERO, U256::ZERO));
        assert_eq!(lab.nonce(ONE.address()), 1);
    }
}

#[test]
fn a_revert_gives_back_the_gas_that_is_left() {
    // PUSH1 1, PUSH1 0, SSTORE, PUSH1 0, PUSH1 0, LOG0.., PUSH1 0, PUSH1 0, REVERT
    let code = [0x60, 0x01, 0x60, 0x00, 0x55, 0x60, 0, 0x60, 0, 0xa0, 0x60, 0, 0x60, 0, 0xfd];
    for fork in forks() {
        let mut lab = with_contract(fork, &code);
        let built = lab.grow(vec![ONE.call(0, CONTRACT)]);
        let receipt = &built.executed.receipts[0];
        assert!(!receipt.status());
        assert!(receipt.logs().is_empty());
        assert!(built.header.logs_bloom.is_zero());
        assert!(built.header.gas_used > 41_000 && built.header.gas_used < 100_000, "{fork:?}");
        assert_eq!(lab.slot(CONTRACT, 0), U256::ZERO);
    }
}

#[test]
fn a_contract_cannot_be_made_where_one_is() {
    let address = ONE.address().create(0);
    for fork in forks() {
        let mut genesis = genesis(fork);
        contract(&mut genesis, address, &[0x00]);
        let mut lab = Lab::new(genesis);
        let built = lab.grow(vec![ONE.sign(create(0, deploy(&[0x5b])))]);
        assert!(!built.executed.receipts[0].status(), "{fork:?}");
        assert_eq!(built.header.gas_used, 10_000_000);
        assert_eq!(lab.code(address).as_ref(), [0x00]);
        assert_eq!((lab.nonce(ONE.address()), lab.nonce(address)), (1, 1));
    }
}

#[test]
fn a_new_contract_is_there_for_the_next_transaction() {
    for fork in forks() {
        let mut lab = Lab::at(fork);
        let address = ONE.address().create(0);
        // COINBASE
        let built = lab.grow(vec![ONE.sign(create(0, deploy(&store(0x41)))), ONE.call(1, address)]);
        assert!(built.executed.receipts.iter().all(TxReceipt::status));
        assert_eq!(lab.code(address).as_ref(), store(0x41));
        assert_eq!(lab.slot(address, 0), U256::from_be_slice(MAKER.as_slice()), "{fork:?}");
        let codes: Vec<B256> = built.executed.changes.contracts.keys().copied().collect();
        assert_eq!(codes, [keccak256(store(0x41))]);
    }
}

/// EIP-6780: from Cancun on a contract only goes when it is of the same transaction.
#[test]
fn selfdestruct_ends_a_contract_up_to_cancun() {
    // PUSH20 SOMEBODY, SELFDESTRUCT
    let mut code = vec![0x73];
    code.extend(SOMEBODY.as_slice());
    code.push(0xff);
    for fork in forks() {
        let mut genesis = genesis(fork);
        let account = GenesisAccount::default()
            .with_nonce(Some(1))
            .with_balance(U256::from(9))
            .with_code(Some(code.clone().into()))
            .with_storage(Some([(B256::ZERO, B256::repeat_byte(1))].into_iter().collect()));
        genesis.alloc.insert(CONTRACT, account);
        let mut lab = Lab::new(genesis);
        let made_now = ONE.address().create(1);
        // The init code itself destroys what it makes.
        lab.grow(vec![ONE.call(0, CONTRACT), ONE.sign(create(1, code.clone()))]);
        assert_eq!(lab.balance(SOMEBODY), U256::from(9), "{fork:?}");
        assert!(!lab.exists(made_now), "{fork:?}");
        if fork < Fork::Cancun {
            assert!(!lab.exists(CONTRACT), "{fork:?}");
        } else {
            assert_eq!(lab.code(CONTRACT), code, "{fork:?}");
            assert_eq!(lab.slot(CONTRACT, 0), U256::from_be_bytes([1; 32]), "{fork:?}");
        }
    }
}

/// What is destroyed and made again at the same place (CREATE2) has none of its old storage.
#[test]
fn storage_does_not_outlive_its_contract() {
    // The factory: what it is called with becomes the init code of CREATE2 with salt 0.
    // CALLDATASIZE, PUSH1 0, PUSH1 0, CALLDATACOPY, PUSH1 0, CALLDATASIZE, PUSH1 0, PUSH1 0, CREATE2
    let factory = [0x36, 0x60, 0, 0x60, 0, 0x37, 0x60, 0, 0x36, 0x60, 0, 0x60, 0, 0xf5];
    // With input it dies, without it sets slot CALLVALUE to 1:
    // CALLDATASIZE, PUSH1 10, JUMPI, PUSH1 1, CALLVALUE, SSTORE, STOP, (10) JUMPDEST, CALLER, SELFDESTRUCT
    let code = [
        0x36, 0x60, 0x08, 0x57, 0x60, 1, 0x34, 0x55, 0x5b, 0x36, 0x60, 0x0e, 0x57, 0x00, 0x5b,
        0x33, 0xff,
    ];
    let init = deploy(&code);
    let mut lab = with_contract(Fork::Shanghai, &factory);
    let child = CONTRACT.create2(B256::ZERO, keccak256(&init));
    let make = |nonce| {
        let input = init.clone().into();
        ONE.sign(TxLegacy { input, gas_limit: 1_000_000, ..legacy(nonce, CONTRACT) })
    };
    let set = |nonce, slot| ONE.sign(TxLegacy { value: U256::from(slot), ..legacy(nonce, child) });
    let kill = |nonce| ONE.sign(TxLegacy { input: vec![1].into(), ..legacy(nonce, child) });
    lab.grow(vec![make(0), set(1, 3), set(2, 4)]);
    assert_eq!((lab.slot(child, 3), lab.slot(child, 4)), (U256::ONE, U256::ONE));
    // In one block: destroyed, made again, and one of the slots set again.
    let built = lab.grow(vec![kill(3), make(4), set(5, 4)]);
    assert!(built.executed.receipts.iter().all(TxReceipt::status));
    assert_eq!((lab.slot(child, 3), lab.slot(child, 4)), (U256::ZERO, U256::ONE));
    assert!(built.executed.changes.state[&child].was_destroyed());
}

/// EIP-161: what is touched and empty goes from Spurious Dragon on, and was made before.
#[test]
fn empty_accounts_are_cleared_from_spurious_dragon_on() {
    for fork in ALL_FORKS {
        let mut lab = Lab::at(fork);
        let (mut header, body) = lab.raw(&[ONE.call(0, SOMEBODY)]);
        header.gas_used = 21_000;
        header.blob_gas_used = header.blob_gas_used.map(|_| 0);
        let body = RecoveredBody::decode(&lab.spec, 1, &body).expect("body");
        let executed = execute_block(&lab.spec, lab.consensus, &lab.state, &header, MAKER, &body);
        let executed = match executed {
            Ok(executed) => executed,
            // The receipts root of the header is zero.
            Err(ExecutionError::ReceiptsRoot { found, .. }) => {
                header.receipts_root = found;
                header.requests_hash =
                    header.requests_hash.map(|_| alloy_eips::eip7685::EMPTY_REQUESTS_HASH);
                execute_block(&lab.spec, lab.consensus, &lab.state, &header, MAKER, &body)
                    .expect("all is right now")
            }
            Err(error) => panic!("{fork:?}: {error}"),
        };
        lab.state.apply(&executed.changes);
        assert_eq!(lab.exists(SOMEBODY), fork < Fork::SpuriousDragon, "{fork:?}");
    }
}

/// EIP-7702: the account runs the code of another, in its own storage.
#[test]
fn a_delegated_account_runs_the_code_it_names() {
    let mut lab = with_contract(Fork::Prague, &store(0x33));
    let two = Wallet(2);
    let sign = |chain_id, nonce| {
        let authorization =
            Authorization { chain_id: U256::from(chain_id), address: CONTRACT, nonce };
        let signature = two.sign_hash(authorization.signature_hash());
        authorization.into_signed(signature)
    };
    // One for another chain and one with a wrong nonce: they count for nothing.
    let mut transaction = set_code(0, two.address());
    transaction.authorization_list =
        vec![sign(CHAIN_ID + 1, 0), sign(CHAIN_ID, 5), sign(CHAIN_ID, 0)];
    let built = lab.grow(vec![ONE.sign(transaction)]);
    assert!(built.executed.receipts[0].status());
    let delegation = [&[0xef, 0x01, 0x00], CONTRACT.as_slice()].concat();
    assert_eq!(lab.code(two.address()), delegation);
    assert_eq!(lab.nonce(two.address()), 1);
    let caller = U256::from_be_slice(ONE.address().as_slice());
    assert_eq!(lab.slot(two.address(), 0), caller);
    assert_eq!(lab.slot(CONTRACT, 0), U256::ZERO);
    // It still signs transactions of its own.
    let built = lab.grow(vec![two.call(1, two.address())]);
    assert!(built.executed.receipts[0].status());
    assert_eq!(lab.slot(two.address(), 0), U256::from_be_slice(two.address().as_slice()));
}

/// Opcode 0x44.
#[test]
fn opcode_44_is_the_difficulty_but_under_proof_of_stake() {
    for fork in forks() {
        let mut lab = with_contract(fork, &store(0x44));
        lab.grow(vec![ONE.call(0, CONTRACT)]);
        let expected = match fork {
            _ if fork <= Fork::London => U256::from(131_072),
            _ => U256::from_be_bytes([0x77; 32]),
        };
        assert_eq!(lab.slot(CONTRACT, 0), expected, "{fork:?}");
    }
}

/// Networks of this project alone may have clique and later forks than London: nobody is paid a
/// reward, the signer gets the tips, and the difficulty is what it was.
#[test]
fn clique_goes_on_behind_london() {
    for fork in ALL_FORKS.into_iter().filter(|fork| *fork >= Fork::Istanbul) {
        let mut genesis = genesis(fork);
        genesis.config.terminal_total_difficulty = None;
        genesis.config.clique = Some(CliqueConfig { period: Some(1), epoch: Some(100) });
        genesis.difficulty = U256::from(2);
        genesis.extra_data = [&[0; 32], Wallet(9).address().as_slice(), &[0; 65]].concat().into();
        contract(&mut genesis, CONTRACT, &store(0x44));
        for missing in
            [eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS]
        {
            genesis.alloc.remove(&missing);
        }
        let mut lab = Lab::new(genesis);
        let built = lab.grow(vec![ONE.call(0, CONTRACT)]);
        assert_eq!(lab.slot(CONTRACT, 0), U256::from(2), "{fork:?}");
        let tip = U256::from(100 * GWEI) - U256::from(built.header.base_fee_per_gas.unwrap_or(0));
        assert_eq!(lab.balance(MAKER), tip * U256::from(built.header.gas_used), "{fork:?}");
    }
}

#[test]
fn block_hashes_come_from_the_state() {
    // PUSH1 1, NUMBER, SUB, BLOCKHASH, PUSH1 0, SSTORE
    let code = [0x60, 0x01, 0x43, 0x03, 0x40, 0x60, 0x00, 0x55];
    for fork in forks() {
        let mut lab = with_contract(fork, &code);
        for nonce in 0..3 {
            let parent = lab.parent_hash;
            lab.grow(vec![ONE.call(nonce, CONTRACT)]);
            assert_eq!(B256::from(lab.slot(CONTRACT, 0)), parent, "{fork:?} {nonce}");
        }
    }
}

#[test]
fn the_protocol_writes_down_beacon_roots_and_block_hashes() {
    let mut lab = Lab::at(Fork::Prague);
    let parent = lab.parent_hash;
    let built = lab.grow(Vec::new());
    let time = built.header.timestamp;
    let root = lab.slot(eip4788::BEACON_ROOTS_ADDRESS, time % 8_191 + 8_191);
    assert_eq!(B256::from(root), B256::repeat_byte(0x88));
    assert_eq!(lab.slot(eip4788::BEACON_ROOTS_ADDRESS, time % 8_191), U256::from(time));
    assert_eq!(B256::from(lab.slot(eip2935::HISTORY_STORAGE_ADDRESS, 0)), parent);
    let mut lab = Lab::at(Fork::Cancun);
    lab.grow(Vec::new());
    assert_eq!(lab.slot(eip2935::HISTORY_STORAGE_ADDRESS, 0), U256::ZERO);
}

#[test]
fn a_withdrawal_that_is_asked_for_is_in_the_requests() {
    let mut lab = Lab::at(Fork::Prague);
    // The key of a validator (48 bytes) and how much (8 bytes); the fee at the start is 1 wei.
    let input: Bytes = [[0x33; 48].as_slice(), &[0, 0, 0, 0, 0, 0, 0, 9]].concat().into();
    let to = eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
    // The first block switches it on.
    lab.grow(Vec::new());
    let asked = TxEip1559 { input, value: U256::ONE, gas_limit: 500_000, ..dynamic(0, to) };
    let built = lab.grow(vec![ONE.sign(asked)]);
    assert!(built.executed.receipts[0].status());
    // There the number is little-endian.
    let requests: Vec<&Bytes> = built.executed.requests.iter().collect();
    let expected =
        [&[0x01], ONE.address().as_slice(), &[0x33; 48], &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(requests, [&Bytes::from(expected)]);
    let built = lab.grow(Vec::new());
    assert!(built.executed.requests.is_empty());
}

#[test]
fn proof_of_stake_needs_the_contracts_for_requests() {
    let address = eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
    let mut genesis = genesis(Fork::Prague);
    genesis.alloc.remove(&address);
    let error = Lab::new(genesis).force(&[]).expect_err("no contract");
    assert!(
        matches!(
            error,
            ExecutionError::SystemContractMissing {
                contract: SystemContract::WithdrawalRequests,
                address: at
            } if at == address
        ),
        "{error}"
    );
}

#[test]
fn a_contract_for_requests_that_fails_ends_the_block() {
    let mut genesis = genesis(Fork::Prague);
    contract(&mut genesis, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &[0xfe]);
    let error = Lab::new(genesis).force(&[]).expect_err("it fails");
    let expected = SystemContract::WithdrawalRequests;
    assert!(matches!(error, ExecutionError::SystemCall(found) if found == expected), "{error}");
    assert!(error.blames_block());
}

#[test]
fn withdrawals_are_paid_in_gwei() {
    let mut lab = Lab::at(Fork::Shanghai);
    let withdrawal = |address, amount| Withdrawal { index: 0, validator_index: 0, address, amount };
    let nobody = Address::repeat_byte(0x66);
    let mut attributes = lab.attributes();
    attributes.withdrawals =
        vec![withdrawal(SOMEBODY, 3), withdrawal(nobody, 0), withdrawal(SOMEBODY, u64::MAX)];
    let built = lab.build_with(attributes, Vec::new());
    lab.accept(&built);
    let gwei = U256::from(3) + U256::from(u64::MAX);
    assert_eq!(lab.balance(SOMEBODY), gwei * U256::from(GWEI));
    assert!(!lab.exists(nobody));
}

/// The commitments of blobs are looked at by a precompiled contract (EIP-4844): the point at
/// infinity commits to the polynomial that is 0 everywhere, and is its own proof.
#[test]
fn the_point_evaluation_contract_is_complete() {
    let infinity = {
        let mut point = [0; 48];
        point[0] = 0xc0;
        point
    };
    let hash = kzg_to_versioned_hash(&infinity);
    let z = [0; 32];
    let right: Bytes = [hash.as_slice(), &z, &[0; 32], &infinity, &infinity].concat().into();
    let mut y = [0; 32];
    y[31] = 1;
    let wrong: Bytes = [hash.as_slice(), &z, &y, &infinity, &infinity].concat().into();
    let mut lab = Lab::at(Fork::Cancun);
    let to = Address::with_last_byte(0x0a);
    let call = |nonce, input| ONE.sign(TxEip1559 { input, ..dynamic(nonce, to) });
    let built = lab.grow(vec![call(0, right), call(1, wrong)]);
    let statuses: Vec<bool> = built.executed.receipts.iter().map(TxReceipt::status).collect();
    assert_eq!(statuses, [true, false]);
}

/// Before Byzantium the receipt of a transaction says what the state root was behind it.
#[test]
fn early_receipts_hold_state_roots() {
    for fork in ALL_FORKS.into_iter().filter(|fork| *fork < Fork::Byzantium) {
        let lab = Lab::at(fork);
        let transactions = [ONE.call(0, SOMEBODY), Wallet(2).call(0, SOMEBODY), ONE.call(1, MAKER)];
        let root_after = |changes: &BundleState| {
            let mut after = lab.state.clone();
            after.apply(changes);
            Ok(after.root())
        };
        let run = |receipts_root: B256, count: usize| {
            let (mut header, body) = lab.raw(&transactions[..count]);
            header.gas_used = 21_000 * count as u64;
            header.receipts_root = receipts_root;
            let body = RecoveredBody::decode(&lab.spec, 1, &body).expect("body");
            let (spec, consensus) = (&lab.spec, lab.consensus);
            execute_block_with_roots(
                spec,
                consensus,
                &lab.state,
                &header,
                MAKER,
                &body,
                &root_after,
            )
        };
        // The reward comes behind the last transaction: the block of one transaction less has
        // the state before the last one, but for that.
        let found = |count| match run(B256::ZERO, count) {
            Err(ExecutionError::ReceiptsRoot { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        let roots: Vec<B256> = (1..=3)
            .map(|count| {
                let executed = run(found(count), count).expect("its own receipts root");
                let last = executed.receipts.last().expect("a receipt");
                let mut without_reward = lab.state.clone();
                without_reward.apply(&executed.changes);
                let paid = without_reward.accounts().find(|(address, ..)| *address == MAKER);
                let (balance, nonce) =
                    paid.map(|(_, info, _)| (info.balance, info.nonce)).expect("paid");
                let reward = U256::from(5 * ETHER);
                without_reward.insert(MAKER, nonce, balance - reward, Bytes::new());
                let root = last.status_or_post_state().as_post_state().expect("a root");
                assert_eq!(root, without_reward.root(), "{fork:?} {count}");
                root
            })
            .collect();
        let all = run(found(3), 3).expect("all of them");
        let held = all.receipts.iter().filter_map(|one| one.status_or_post_state().as_post_state());
        assert_eq!(held.collect::<Vec<_>>(), roots, "{fork:?}");
    }
}
