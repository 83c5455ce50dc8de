//! Each rule, with the words of its refusal and who is to blame.

use alloy_consensus::transaction::{TxEip7702, TxLegacy};
use alloy_consensus::{SignableTransaction, TypedTransaction};
use alloy_primitives::{Address, Signature, TxKind, U256, uint};
use bytes::Bytes;
use chainmesh_chain::pool::{
    AccountCode, Blame, MAX_TRANSACTION_BYTES, Malformation, MempoolConfig, PoolHead, PoolState,
    Refusal, StateUnavailable,
};

use crate::common::{
    Bench, CHAIN_ID, Fork, GAS_LIMIT, Key, NOW, dynamic, hash, head, into_bytes, legacy, set_code,
    spec, spec_with, transfer_cost, with_access_list,
};

const ALICE: Key = Key(0);
const BOB: Key = Key(1);
const RICH: u128 = 1_000_000_000_000_000;

fn bench(fork: Fork) -> Bench {
    let mut bench = Bench::new(MempoolConfig::default(), fork);
    bench.fund([0, 1], RICH);
    bench
}

/// Refused by a peer's way and by our users', and not there afterwards.
#[track_caller]
fn refused(bench: &Bench, raw: &Bytes, text: &str, blame: Blame) {
    let before = bench.pool.status();
    let refusal = bench.add(raw).expect_err("a refusal");
    assert!(refusal.to_string().starts_with(text), "{refusal}");
    assert_eq!(refusal.blame(), blame, "{refusal}");
    let local = bench.pool.add_local(raw, NOW).expect_err("a refusal");
    assert!(local.to_string().starts_with(text), "{local}");
    let after = bench.pool.status();
    assert_eq!((after.pending, after.queued), (before.pending, before.queued));
    assert_eq!(after.refused, before.refused + 2);
}

#[test]
fn what_is_valid_is_pending() {
    let bench = bench(Fork::Prague);
    let all = [
        ALICE.transfer(0, 10),
        ALICE.sign(with_access_list(1, 10).into()),
        ALICE.dynamic(2, 10, 10),
        ALICE.sign(set_code(3, &[(BOB, 0)]).into()),
    ];
    for (tx_type, raw) in [0, 1, 2, 4].into_iter().zip(&all) {
        assert_eq!(bench.add(raw), Ok(hash(raw)));
        let pooled = bench.pool.get(&hash(raw)).expect("there");
        assert_eq!(pooled.raw(), raw);
        assert_eq!(pooled.tx_type(), tx_type);
        assert_eq!(pooled.sender(), ALICE.address());
        let decoded = pooled.decode().expect("a transaction");
        assert_eq!(decoded.tx_hash(), &hash(raw));
    }
    assert_eq!(bench.nonces(ALICE), (vec![0, 1, 2, 3], vec![]));
}

#[test]
fn already_known() {
    let bench = bench(Fork::Prague);
    let raw = ALICE.transfer(0, 10);
    bench.add(&raw).expect("valid");
    refused(&bench, &raw, "already known", Blame::Nobody);
    let twice = BOB.transfer(0, 10);
    let results = bench.pool.add_remote(&[twice.clone(), twice.clone()], NOW);
    assert_eq!(results, [Ok(hash(&twice)), Err(Refusal::AlreadyKnown)]);
}

#[test]
fn bytes_that_are_no_transaction() {
    let bench = bench(Fork::Prague);
    let valid = ALICE.transfer(0, 10);
    let dynamic = ALICE.dynamic(0, 10, 10);
    let mut longer = valid.to_vec();
    longer.push(0);
    let mut long_header = vec![0xf9, 0, valid[1]];
    long_header.extend_from_slice(&valid[2..]);
    let wrong: [Vec<u8>; 8] = [
        vec![],
        vec![0],
        vec![0xc0],
        vec![0x7f, 0xc0],
        valid[..valid.len() - 1].to_vec(),
        dynamic[..dynamic.len() - 1].to_vec(),
        longer,
        long_header,
    ];
    for raw in wrong {
        refused(&bench, &raw.into(), "rlp: not a transaction: ", Blame::Peer);
    }
    let refusal = bench.add(&Bytes::from_static(&[0x05, 0xc0]));
    assert_eq!(refusal, Err(Refusal::Malformed(Malformation::UnknownType(5))));
}

#[test]
fn oversized_data() {
    let mut bench = bench(Fork::London);
    bench.fund([0], u128::MAX);
    // The length of a signature varies, so the right amount of data is looked for.
    let of_size = |size: usize| {
        let lengths = (size - 130..size - 90).flat_map(|length| [(length, 10), (length, 11)]);
        let mut all = lengths.map(|(length, price)| ALICE.with_data(0, price, length));
        all.find(|raw| raw.len() == size).expect("one of this size")
    };
    let largest = of_size(MAX_TRANSACTION_BYTES);
    let too_large = of_size(MAX_TRANSACTION_BYTES + 1);
    refused(&bench, &too_large, "oversized data", Blame::Peer);
    bench.add(&largest).expect("of the largest size");
}

#[test]
fn types_come_with_their_forks() {
    let texts = "transaction type not supported";
    let byzantium = bench(Fork::Byzantium);
    refused(&byzantium, &ALICE.sign(with_access_list(0, 10).into()), texts, Blame::Nobody);
    let berlin = bench(Fork::Berlin);
    berlin.add(&ALICE.sign(with_access_list(0, 10).into())).expect("Berlin");
    refused(&berlin, &ALICE.dynamic(1, 10, 10), texts, Blame::Nobody);
    let london = bench(Fork::London);
    london.add(&ALICE.dynamic(0, 10, 10)).expect("London");
    refused(&london, &ALICE.sign(set_code(1, &[(BOB, 0)]).into()), texts, Blame::Nobody);
    let prague = bench(Fork::Prague);
    let blob = Bytes::from_static(&[3, 0xc0]);
    refused(
        &prague,
        &blob,
        "transaction type not supported: this pool takes no blob",
        Blame::Nobody,
    );
}

#[test]
fn a_fork_counts_when_the_next_block_may_be_behind_it() {
    let at_block = |number| {
        spec_with(Fork::Byzantium, |config| {
            config.berlin_block = Some(number);
        })
    };
    let raw = ALICE.sign(with_access_list(0, 10).into());
    let mut before = Bench::with_spec(MempoolConfig::default(), at_block(3));
    before.fund([0], RICH);
    assert!(matches!(before.add(&raw), Err(Refusal::TypeNotSupported { tx_type: 1, .. })));
    let mut next = Bench::with_spec(MempoolConfig::default(), at_block(2));
    next.fund([0], RICH);
    next.add(&raw).expect("the head is 1, and the next block 2");
}

#[test]
fn invalid_sender() {
    let bench = bench(Fork::Prague);
    let transaction = TypedTransaction::from(legacy(0, 10));
    let signature = ALICE.signature(transaction.signature_hash());
    // The same signature with the high s: valid for the curve, refused by EIP-2.
    const ORDER: U256 =
        uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let high = Signature::new(signature.r(), ORDER - signature.s(), !signature.v());
    let zero = Signature::new(U256::ZERO, U256::ZERO, false);
    let no_point = Signature::new(U256::MAX, signature.s(), false);
    for wrong in [high, zero, no_point] {
        let raw = into_bytes(transaction.clone(), wrong);
        refused(&bench, &raw, "invalid sender", Blame::Peer);
        assert!(!bench.pool.wants(&hash(&raw), NOW), "and it is not asked for again");
    }
}

#[test]
fn another_chain() {
    let bench = bench(Fork::Prague);
    let wrong = TxLegacy { chain_id: Some(CHAIN_ID + 1), ..legacy(0, 10) };
    refused(&bench, &ALICE.sign(wrong.into()), "invalid chain id for signer", Blame::Peer);
    let mut wrong = dynamic(0, 10, 10);
    wrong.chain_id = 1;
    refused(&bench, &ALICE.sign(wrong.into()), "invalid chain id for signer", Blame::Peer);
}

#[test]
fn without_a_chain_id_from_peers_only() {
    let bench = bench(Fork::Prague);
    let raw = ALICE.sign(TxLegacy { chain_id: None, ..legacy(0, 10) }.into());
    let refusal = bench.pool.add_local(&raw, NOW).expect_err("anybody could repeat it");
    assert_eq!(
        refusal.to_string(),
        "only replay-protected (EIP-155) transactions allowed over RPC"
    );
    bench.add(&raw).expect("valid all the same");

    let config = MempoolConfig { allow_unprotected: true, ..MempoolConfig::default() };
    let mut open = Bench::new(config, Fork::Prague);
    open.fund([0], RICH);
    open.pool.add_local(&raw, NOW).expect("allowed");
}

#[test]
fn nonces() {
    let mut bench = bench(Fork::Prague);
    bench.account(ALICE).nonce = 5;
    bench.refresh();
    refused(
        &bench,
        &ALICE.transfer(4, 10),
        "nonce too low: next nonce 5, tx nonce 4",
        Blame::Nobody,
    );
    bench.add(&ALICE.transfer(5, 10)).expect("the next one");
    refused(
        &bench,
        &ALICE.transfer(3, 10),
        "nonce too low: next nonce 5, tx nonce 3",
        Blame::Nobody,
    );
    refused(&bench, &ALICE.transfer(u64::MAX, 10), "nonce has max value", Blame::Peer);
}

#[test]
fn intrinsic_gas() {
    let with = |gas_limit, input: &[u8], to| {
        let input = input.to_vec().into();
        BOB.sign(TxLegacy { gas_limit, input, to, ..legacy(0, 10) }.into())
    };
    let call = TxKind::Call(Address::ZERO);
    let data: &[u8] = &[0, 0, 1];
    // (fork, data, to, least gas), by the yellow paper and the EIPs.
    let cases: [(Fork, &[u8], TxKind, u64); 9] = [
        (Fork::Byzantium, &[], call, 21_000),
        (Fork::Byzantium, data, call, 21_000 + 8 + 68),
        (Fork::Berlin, data, call, 21_000 + 8 + 16),
        (Fork::Frontier, &[], TxKind::Create, 21_000),
        (Fork::Byzantium, &[], TxKind::Create, 53_000),
        (Fork::London, data, TxKind::Create, 53_000 + 8 + 16),
        (Fork::Shanghai, data, TxKind::Create, 53_000 + 8 + 16 + 2),
        (Fork::Shanghai, &[0; 33], TxKind::Create, 53_000 + 33 * 4 + 2 * 2),
        (Fork::Prague, &[], call, 21_000),
    ];
    for (fork, input, to, least) in cases {
        let bench = bench(fork);
        let text = format!("intrinsic gas too low: gas {}, minimum needed {least}", least - 1);
        refused(&bench, &with(least - 1, input, to), &text, Blame::Doubtful);
        bench.add(&with(least, input, to)).expect("enough");
    }
    let list = alloy_eips::eip2930::AccessList(vec![alloy_eips::eip2930::AccessListItem {
        address: Address::ZERO,
        storage_keys: vec![alloy_primitives::B256::ZERO; 2],
    }]);
    let bench = bench(Fork::Berlin);
    let mut transaction = with_access_list(0, 10);
    transaction.access_list = list;
    transaction.gas_limit = 21_000 + 2_400 + 2 * 1_900 - 1;
    let text = "intrinsic gas too low: gas 27199, minimum needed 27200";
    refused(&bench, &ALICE.sign(transaction.into()), text, Blame::Doubtful);
}

#[test]
fn floor_of_data_from_prague_on() {
    let bench = bench(Fork::Prague);
    // EIP-7623: ten gas for each token, four tokens for a byte that is not zero.
    let floor = 21_000 + 10 * (1 + 4);
    let with = |gas_limit| {
        let input = vec![0, 1].into();
        ALICE.sign(TxLegacy { gas_limit, input, ..legacy(0, 10) }.into())
    };
    let text = "insufficient gas for floor data gas cost: gas 21049, minimum needed 21050";
    refused(&bench, &with(floor - 1), text, Blame::Doubtful);
    bench.add(&with(floor)).expect("enough");
}

#[test]
fn initcode_from_shanghai_on() {
    let with = |length: usize| {
        let input = vec![0; length].into();
        let base = TxLegacy { to: TxKind::Create, gas_limit: 3_000_000, ..legacy(0, 10) };
        ALICE.sign(TxLegacy { input, ..base }.into())
    };
    bench(Fork::London).add(&with(49_153)).expect("no limit yet");
    let shanghai = bench(Fork::Shanghai);
    refused(&shanghai, &with(49_153), "max initcode size exceeded", Blame::Doubtful);
    shanghai.add(&with(49_152)).expect("the most there may be");
}

#[test]
fn more_gas_than_a_block() {
    let bench = bench(Fork::Prague);
    let with = |gas_limit| ALICE.sign(TxLegacy { gas_limit, ..legacy(0, 10) }.into());
    refused(&bench, &with(GAS_LIMIT + 1), "exceeds block gas limit", Blame::Doubtful);
    bench.add(&with(GAS_LIMIT)).expect("all of a block");
    let osaka = self::bench(Fork::Osaka);
    let text = "transaction gas limit too high (cap: 16777216, tx: 16777217)";
    refused(&osaka, &with((1 << 24) + 1), text, Blame::Doubtful);
}

#[test]
fn tip_above_the_fee_cap() {
    let bench = bench(Fork::Prague);
    let text = "max priority fee per gas higher than max fee per gas";
    refused(&bench, &ALICE.dynamic(0, 10, 11), text, Blame::Peer);
}

#[test]
fn underpriced() {
    let bench = bench(Fork::Prague);
    let free = ALICE.dynamic(0, 10, 0);
    let refusal = bench.add(&free).expect_err("less than 1 wei");
    assert_eq!(refusal.to_string(), "transaction underpriced: gas tip cap 0, minimum needed 1");
    assert_eq!(refusal.blame(), Blame::Nobody);
    assert!(!bench.pool.wants(&hash(&free), NOW + 299), "not asked for again");
    assert!(bench.pool.wants(&hash(&free), NOW + 300), "for five minutes");
    bench.pool.add_local(&free, NOW).expect("our own users set their own price");

    let config = MempoolConfig { min_tip: 0, ..MempoolConfig::default() };
    let mut open = Bench::new(config, Fork::Prague);
    open.fund([1], RICH);
    open.add(&BOB.dynamic(0, 10, 0)).expect("allowed");
}

#[test]
fn replacement_underpriced() {
    let bench = bench(Fork::Prague);
    bench.add(&ALICE.dynamic(0, 100, 50)).expect("valid");
    let text = "replacement transaction underpriced";
    for (fee_cap, tip) in [(109, 55), (110, 54), (200, 50), (100, 100)] {
        refused(&bench, &ALICE.dynamic(0, fee_cap, tip), text, Blame::Nobody);
    }
    let enough = ALICE.dynamic(0, 110, 55);
    bench.add(&enough).expect("10 % on both");
    assert_eq!(bench.nonces(ALICE), (vec![0], vec![]));
    assert!(bench.is_pending(&enough));
}

#[test]
fn insufficient_funds() {
    let mut bench = bench(Fork::Prague);
    bench.account(ALICE).balance = transfer_cost(10) + transfer_cost(20);
    bench.refresh();
    let text = "insufficient funds for gas * price + value: balance 630002, queued cost 0, tx cost";
    refused(&bench, &ALICE.transfer(0, 31), text, Blame::Doubtful);
    bench.add(&ALICE.transfer(0, 10)).expect("covered");
    let text = "insufficient funds for gas * price + value: balance 630002, queued cost 210001";
    refused(&bench, &ALICE.transfer(1, 21), text, Blame::Doubtful);
    bench.add(&ALICE.transfer(1, 20)).expect("covered, to the last wei");
    refused(&bench, &ALICE.transfer(2, 1), "insufficient funds", Blame::Doubtful);
    // The sum of what an account has here counts when a price is raised, too.
    refused(&bench, &ALICE.transfer(0, 12), "insufficient funds", Blame::Doubtful);
    let overflow = TxLegacy { value: U256::MAX, ..legacy(0, u128::MAX) };
    refused(&bench, &BOB.sign(overflow.into()), "insufficient funds", Blame::Doubtful);
}

#[test]
fn contracts_send_nothing() {
    let mut bench = bench(Fork::Prague);
    bench.account(ALICE).code = AccountCode::Contract;
    bench.refresh();
    refused(&bench, &ALICE.transfer(0, 10), "sender not an eoa", Blame::Doubtful);
}

#[test]
fn delegated_accounts_have_one_in_flight() {
    let mut bench = bench(Fork::Prague);
    bench.account(ALICE).code = AccountCode::Delegation;
    bench.refresh();
    refused(&bench, &ALICE.transfer(1, 10), "gapped-nonce tx from delegated", Blame::Nobody);
    bench.add(&ALICE.transfer(0, 10)).expect("one");
    refused(&bench, &ALICE.transfer(1, 10), "in-flight transaction limit reached", Blame::Nobody);
    bench.add(&ALICE.transfer(0, 20)).expect("it may be replaced");
}

#[test]
fn authorities_have_one_in_flight_from_the_pool_on() {
    let mut bench = bench(Fork::Prague);
    bench.fund([2], RICH);
    bench.add(&ALICE.sign(set_code(0, &[(BOB, 0)]).into())).expect("Bob is to be delegated");
    bench.add(&BOB.transfer(0, 10)).expect("one");
    refused(&bench, &BOB.transfer(1, 10), "in-flight transaction limit reached", Blame::Nobody);

    let carol = Key(2);
    bench.add(&carol.transfer(0, 10)).expect("valid");
    bench.add(&carol.transfer(1, 10)).expect("valid");
    let raw = ALICE.sign(set_code(1, &[(carol, 0)]).into());
    refused(&bench, &raw, "authority already reserved", Blame::Nobody);
    let none: TxEip7702 = set_code(1, &[]);
    refused(
        &bench,
        &ALICE.sign(none.into()),
        "EIP-7702 transaction with empty auth list",
        Blame::Peer,
    );
}

#[test]
fn a_state_that_cannot_be_read_is_nobodys_fault() {
    struct Broken;
    impl PoolState for Broken {
        fn account(
            &self,
            _: &Address,
        ) -> Result<chainmesh_chain::pool::AccountState, StateUnavailable> {
            Err(StateUnavailable { reason: "the disk is gone".into() })
        }
    }
    let head: PoolHead = head(1);
    let pool = chainmesh_chain::Mempool::new(
        spec(Fork::Prague),
        MempoolConfig::default(),
        head,
        std::sync::Arc::new(Broken),
    );
    let refusal = pool.add_local(&ALICE.transfer(0, 10), NOW).expect_err("nothing is known");
    assert_eq!(refusal.blame(), Blame::Nobody);
    assert!(refusal.to_string().contains("the disk is gone"), "{refusal}");
    assert!(pool.pending_nonce(&ALICE.address()).is_err());
}
