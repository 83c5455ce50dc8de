//! Calls, estimates and access lists for JSON-RPC.

use alloy_eips::eip2930::AccessListItem;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use chainmesh_chain::execute::{
    CallError, CallOutcome, CallRequest, CallResult, DEFAULT_CALL_GAS_CAP, Environment,
    EstimateError, Fees, call, call_until, create_access_list, environment, estimate_gas,
};
use revm::context_interface::result::{HaltReason, InvalidTransaction, OutOfGasError};
use revm::database::CacheDB;

use super::lab::{ETHER, Fork, GWEI, Lab, MAKER, Wallet, contract, deploy, genesis, store};

const CONTRACT: Address = Address::repeat_byte(0x11);
const OTHER: Address = Address::repeat_byte(0x12);
const SOMEBODY: Address = Address::repeat_byte(0x55);
const CAP: u64 = DEFAULT_CALL_GAS_CAP;

fn with_contract(fork: Fork, code: &[u8]) -> Lab {
    let mut genesis = genesis(fork);
    contract(&mut genesis, CONTRACT, code);
    Lab::new(genesis)
}

fn environment_of(lab: &Lab) -> Environment {
    environment(&lab.spec, lab.consensus, &lab.raw(&[]).0, MAKER).expect("environment")
}

fn to(address: Address) -> CallRequest {
    CallRequest { from: Wallet(1).address(), to: TxKind::Call(address), ..CallRequest::default() }
}

fn called(lab: &Lab, request: &CallRequest) -> Result<CallOutcome, CallError> {
    call(&environment_of(lab), &lab.state, request, CAP)
}

fn estimated(lab: &Lab, request: &CallRequest) -> Result<u64, EstimateError> {
    estimate_gas(&environment_of(lab), &lab.state, request, CAP, || false)
}

/// Returns the word that is made by this code: ..., PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN
fn returning(code: &[u8]) -> Vec<u8> {
    [code, &[0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3]].concat()
}

fn word(outcome: &CallOutcome) -> U256 {
    assert_eq!(outcome.result, CallResult::Success);
    U256::from_be_slice(&outcome.output)
}

#[test]
fn a_call_sees_its_caller_its_input_and_its_block() {
    let opcodes: [(u8, U256); 7] = [
        (0x33, U256::from_be_slice(Wallet(1).address().as_slice())), // CALLER
        (0x34, U256::from(5)),                                       // CALLVALUE
        (0x36, U256::from(3)),                                       // CALLDATASIZE
        (0x41, U256::from_be_slice(MAKER.as_slice())),               // COINBASE
        (0x43, U256::from(1)),                                       // NUMBER
        (0x45, U256::from(30_000_000)),                              // GASLIMIT
        (0x3a, U256::ZERO),                                          // GASPRICE
    ];
    for (opcode, expected) in opcodes {
        let lab = with_contract(Fork::Prague, &returning(&[opcode]));
        let request =
            CallRequest { value: U256::from(5), data: vec![1, 2, 3].into(), ..to(CONTRACT) };
        assert_eq!(word(&called(&lab, &request).expect("call")), expected, "{opcode:x}");
    }
}

/// go-ethereum shows a base fee of 0 to a call that pays nothing.
#[test]
fn the_base_fee_is_there_for_who_pays() {
    let lab = with_contract(Fork::London, &returning(&[0x48]));
    let base_fee = lab.raw(&[]).0.base_fee_per_gas.expect("London");
    let with = |fees| called(&lab, &CallRequest { fees, gas: Some(100_000), ..to(CONTRACT) });
    assert_eq!(word(&with(Fees::Free).expect("call")), U256::ZERO);
    assert_eq!(word(&with(Fees::GasPrice(0)).expect("call")), U256::ZERO);
    let pays = Fees::Dynamic { max_fee: 2 * GWEI, max_priority_fee: 0 };
    assert_eq!(word(&with(pays).expect("call")), U256::from(base_fee));
    let too_little = with(Fees::GasPrice(1)).expect_err("less than the base fee");
    assert_eq!(too_little.to_string(), "max fee per gas less than block base fee");
}

#[test]
fn nothing_of_a_call_is_kept() {
    let lab = with_contract(Fork::London, &store(0x43));
    let before = lab.state.root();
    let outcome = called(&lab, &to(CONTRACT)).expect("call");
    assert_eq!(outcome.result, CallResult::Success);
    assert!(outcome.gas_used > 41_000, "{outcome:?}");
    assert_eq!(lab.state.root(), before);
}

#[test]
fn a_revert_brings_its_reason() {
    // PUSH1 42, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, REVERT
    let code = [0x60, 42, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xfd];
    let lab = with_contract(Fork::London, &code);
    let outcome = called(&lab, &to(CONTRACT)).expect("call");
    assert_eq!(outcome.result, CallResult::Reverted);
    assert_eq!(U256::from_be_slice(&outcome.output), U256::from(42));
    let error = estimated(&lab, &to(CONTRACT)).expect_err("reverts");
    assert_eq!(error.to_string(), "execution reverted");
    assert!(matches!(error, EstimateError::Reverted { output } if output == outcome.output));
}

#[test]
fn a_call_without_end_runs_out_of_gas() {
    // JUMPDEST, PUSH1 0, JUMP
    let lab = with_contract(Fork::London, &[0x5b, 0x60, 0x00, 0x56]);
    let outcome = called(&lab, &to(CONTRACT)).expect("call");
    let basic = CallResult::Halted(HaltReason::OutOfGas(OutOfGasError::Basic));
    assert_eq!((outcome.result, outcome.gas_used), (basic.clone(), CAP));
    // The request cannot lift the cap.
    let request = CallRequest { gas: Some(u64::MAX), ..to(CONTRACT) };
    let outcome = called(&lab, &request).expect("call");
    assert_eq!((outcome.result, outcome.gas_used), (basic, CAP));
    let error = estimated(&lab, &to(CONTRACT)).expect_err("no gas is enough");
    assert_eq!(error.to_string(), "gas required exceeds allowance (30000000)");
}

/// Memory costs gas, by its square: no call gets more than its gas pays for.
#[test]
fn memory_is_paid_for() {
    // PUSH1 1, PUSH5 size, MSTORE
    let code = |size: u64| {
        let [_, _, _, bytes @ ..] = size.to_be_bytes();
        [&[0x60, 0x01, 0x64], bytes.as_slice(), &[0x52]].concat()
    };
    for (size, fits) in [(4 << 20, true), (6 << 20, false), (1 << 38, false)] {
        let lab = with_contract(Fork::London, &code(size));
        let outcome = called(&lab, &to(CONTRACT)).expect("call");
        assert_eq!(outcome.result == CallResult::Success, fits, "{size}");
    }
}

#[test]
fn what_a_call_sends_must_be_there() {
    let lab = Lab::at(Fork::London);
    let request = CallRequest { from: SOMEBODY, value: U256::ONE, ..to(OTHER) };
    let error = called(&lab, &request).expect_err("nothing there");
    assert_eq!(error.to_string(), "insufficient funds for gas * price + value: have 0 want 1");
    assert!(matches!(error, CallError::Invalid(InvalidTransaction::LackOfFundForMaxFee { .. })));
}

#[test]
fn a_contract_may_be_the_caller_and_nonces_do_not_matter() {
    let mut genesis = genesis(Fork::Prague);
    contract(&mut genesis, CONTRACT, &returning(&[0x33]));
    contract(&mut genesis, OTHER, &[0x00]);
    let lab = Lab::new(genesis);
    let outcome = called(&lab, &CallRequest { from: OTHER, ..to(CONTRACT) }).expect("call");
    assert_eq!(word(&outcome), U256::from_be_slice(OTHER.as_slice()));
}

#[test]
fn a_new_contract_can_be_tried() {
    let lab = Lab::at(Fork::London);
    let data = deploy(&[0x5b, 0x00]).into();
    let request = CallRequest { to: TxKind::Create, data, ..to(CONTRACT) };
    let outcome = called(&lab, &request).expect("call");
    assert_eq!((outcome.result, outcome.output.as_ref()), (CallResult::Success, &[0x5b, 0x00][..]));
}

/// Osaka limits transactions, not calls.
#[test]
fn a_call_may_use_more_than_a_transaction() {
    let lab = with_contract(Fork::Osaka, &returning(&[0x5a]));
    let left = word(&called(&lab, &to(CONTRACT)).expect("call"));
    assert!(left > U256::from(CAP - 30_000), "{left}");
}

/// Other code, other balances: by another state around the chain's.
#[test]
fn a_state_can_be_overridden() {
    let lab = Lab::at(Fork::London);
    let mut changed = CacheDB::new(&lab.state);
    let code = revm::bytecode::Bytecode::new_raw(returning(&[0x47]).into());
    let info = revm::state::AccountInfo {
        balance: U256::from(77),
        code_hash: code.hash_slow(),
        code: Some(code),
        ..Default::default()
    };
    changed.insert_account_info(SOMEBODY, info);
    let outcome = call(&environment_of(&lab), &changed, &to(SOMEBODY), CAP).expect("call");
    assert_eq!(word(&outcome), U256::from(77));
}

#[test]
fn a_transfer_is_estimated_exactly() {
    let lab = Lab::at(Fork::London);
    let request = CallRequest { value: U256::from(ETHER), ..to(SOMEBODY) };
    assert_eq!(estimated(&lab, &request).expect("estimate"), 21_000);
}

/// Least gas with which this succeeds.
fn least(lab: &Lab, request: &CallRequest) -> u64 {
    let (mut low, mut high) = (0, CAP);
    while low + 1 < high {
        let gas = Some((low + high) / 2);
        let outcome = called(lab, &CallRequest { gas, ..request.clone() });
        if outcome.is_ok_and(|outcome| outcome.result == CallResult::Success) {
            high = (low + high) / 2;
        } else {
            low = (low + high) / 2;
        }
    }
    high
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    // Writes a word, and clears it again, for which there is a refund at the end: more is needed
    // than is used. PUSH1 1, PUSH1 0, SSTORE, PUSH1 0, PUSH1 0, SSTORE
    let refunded = [0x60, 1, 0x60, 0, 0x55, 0x60, 0, 0x60, 0, 0x55].to_vec();
    // Calls OTHER with all the gas that it may (63/64), and fails when OTHER does:
    // PUSH1 0 x5, PUSH20 OTHER, GAS, CALL, PUSH1 .., JUMPI, INVALID, JUMPDEST
    let mut nested = vec![0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73];
    nested.extend(OTHER.as_slice());
    nested.extend([0x5a, 0xf1, 0x60, 37, 0x57, 0xfe, 0x5b, 0x00]);
    let jump = nested.len() as u8 - 2;
    nested[34] = jump;
    for code in [store(0x43).to_vec(), refunded, nested] {
        let mut genesis = genesis(Fork::London);
        contract(&mut genesis, CONTRACT, &code);
        // 10 new slots: PUSH1 1, PUSH1 n, SSTORE
        let slots: Vec<u8> = (1..=10).flat_map(|n| [0x60, 1, 0x60, n, 0x55]).collect();
        contract(&mut genesis, OTHER, &slots);
        let lab = Lab::new(genesis);
        let request = to(CONTRACT);
        let (estimate, least) =
            (estimated(&lab, &request).expect("estimate"), least(&lab, &request));
        assert!(estimate >= least, "{estimate} of {least}");
        assert!(estimate <= least + least / 50, "{estimate} of {least}");
    }
}

#[test]
fn an_estimate_keeps_to_what_can_be_paid() {
    let lab = with_contract(Fork::London, &store(0x43));
    // 1,000 ether at 0.02 ether for a unit of gas: 50,000 of it.
    let fees = Fees::GasPrice(ETHER / 50);
    let estimate = estimated(&lab, &CallRequest { fees, ..to(CONTRACT) }).expect("estimate");
    assert!(estimate <= 50_000);
    let fees = Fees::GasPrice(ETHER / 25);
    let error = estimated(&lab, &CallRequest { fees, ..to(CONTRACT) }).expect_err("25,000");
    assert_eq!(error.to_string(), "gas required exceeds allowance (25000)");
    let value = U256::from(1_000 * ETHER);
    let error = estimated(&lab, &CallRequest { fees, value, ..to(CONTRACT) }).expect_err("all");
    assert_eq!(error.to_string(), "insufficient funds for transfer");
}

#[test]
fn an_estimate_can_be_stopped() {
    let lab = with_contract(Fork::London, &store(0x43));
    let mut runs = 0;
    let stop = || {
        runs += 1;
        runs > 2
    };
    let error = estimate_gas(&environment_of(&lab), &lab.state, &to(CONTRACT), CAP, stop);
    assert!(matches!(error, Err(EstimateError::Stopped)), "{error:?}");
}

/// Each question is answered soon: at once in the outermost frame, and in those around it.
#[test]
fn a_call_can_be_broken_off_in_any_depth() {
    // JUMPDEST, PUSH1 0, JUMP
    let endless = [0x5b, 0x60, 0x00, 0x56];
    // Calls itself with all the gas that there is: PUSH1 0 x5, ADDRESS, GAS, CALL, then endless.
    let mut nested = vec![0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x30, 0x5a, 0xf1];
    nested.extend([0x5b, 0x60, 13, 0x56]);
    for code in [endless.to_vec(), nested] {
        let lab = with_contract(Fork::Prague, &code);
        for after in [0, 1, 50] {
            let mut asked = 0;
            let stop = || {
                asked += 1;
                asked > after
            };
            let outcome = call_until(&environment_of(&lab), &lab.state, &to(CONTRACT), CAP, stop);
            assert!(matches!(outcome, Err(CallError::Stopped)), "{outcome:?}");
            // Nobody is asked twice.
            assert_eq!(asked, after + 1);
        }
    }
}

#[test]
fn an_access_list_names_what_is_touched() {
    // SLOAD 5 here; BALANCE of SOMEBODY; a call to OTHER, which reads its slot 7; a precompile.
    // PUSH1 5, SLOAD, POP, PUSH20 SOMEBODY, BALANCE, POP, PUSH1 0 x5, PUSH20 OTHER, GAS, CALL, POP
    let mut code = vec![0x60, 5, 0x54, 0x50, 0x73];
    code.extend(SOMEBODY.as_slice());
    code.extend([0x31, 0x50]);
    for address in [OTHER, Address::with_last_byte(4)] {
        code.extend([0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73]);
        code.extend(address.as_slice());
        code.extend([0x5a, 0xf1, 0x50]);
    }
    let mut genesis = genesis(Fork::London);
    contract(&mut genesis, CONTRACT, &code);
    contract(&mut genesis, OTHER, &[0x60, 7, 0x54, 0x50]);
    let lab = Lab::new(genesis);
    let (list, outcome) =
        create_access_list(&environment_of(&lab), &lab.state, &to(CONTRACT), CAP).expect("list");
    let item = |address, slots: &[u64]| AccessListItem {
        address,
        storage_keys: slots.iter().map(|slot| B256::from(U256::from(*slot))).collect(),
    };
    assert_eq!(list.0, [item(CONTRACT, &[5]), item(OTHER, &[7]), item(SOMEBODY, &[])]);
    assert_eq!(outcome.result, CallResult::Success);
    let with_list = CallRequest { access_list: list, ..to(CONTRACT) };
    assert_eq!(called(&lab, &with_list).expect("call").gas_used, outcome.gas_used);
}

#[test]
fn a_call_to_nobody_returns_nothing() {
    let outcome = called(&Lab::at(Fork::London), &to(SOMEBODY)).expect("call");
    assert_eq!((outcome.result, outcome.output), (CallResult::Success, Bytes::new()));
    assert_eq!((outcome.gas_used, outcome.gas_spent), (21_000, 21_000));
}
