//! Who signed the transactions of a body, when somebody knows some of them already.

use alloy_consensus::TxLegacy;
use alloy_primitives::Address;
use chainmesh_chain::execute::{
    ExecutionError, KnownSenders, RecoveredBody, Transaction, TransactionError,
};

use super::lab::{CHAIN_ID, Fork, Lab, Wallet, legacy};

/// Says this, whatever it is asked.
struct Says(Vec<Option<Address>>);

impl KnownSenders for Says {
    fn senders_of(&self, _: &[Transaction]) -> Vec<Option<Address>> {
        self.0.clone()
    }
}

const TOLD: Address = Address::repeat_byte(0x99);
const WHO: Wallet = Wallet(1);

/// The senders of a body with these transactions.
fn senders(
    fork: Fork,
    transactions: &[Transaction],
    told: Vec<Option<Address>>,
) -> Result<Vec<Address>, ExecutionError> {
    let lab = Lab::at(fork);
    let (header, body) = lab.raw(transactions);
    let said = Says(told);
    let body = RecoveredBody::decode_knowing(&lab.spec, header.number, &body, Some(&said))?;
    Ok(body.transactions.iter().map(|one| one.signer()).collect())
}

fn calls(count: u64) -> Vec<Transaction> {
    (0..count).map(|nonce| WHO.call(nonce, TOLD)).collect()
}

#[test]
fn what_is_known_is_not_recovered_and_the_rest_is() {
    // With 100 there is more than one thread at work, where there is more than one core.
    for count in [1, 3, 100] {
        let told: Vec<_> = (0..count).map(|place| (place % 3 == 0).then_some(TOLD)).collect();
        let expected: Vec<_> = told.iter().map(|told| told.unwrap_or(WHO.address())).collect();
        assert_eq!(senders(Fork::London, &calls(count), told).expect("signed"), expected);
    }
}

#[test]
fn an_answer_of_another_length_is_taken_as_far_as_it_goes() {
    let (one, who) = (Some(TOLD), WHO.address());
    let said = |count, told| senders(Fork::London, &calls(count), told).expect("signed");
    assert_eq!(said(3, vec![]), [who; 3]);
    assert_eq!(said(2, vec![one]), [TOLD, who]);
    assert_eq!(said(1, vec![one; 5]), [TOLD]);
}

#[test]
fn a_known_sender_does_not_let_a_transaction_in_that_comes_too_early() {
    let early = WHO.sign(TxLegacy { chain_id: Some(CHAIN_ID), ..legacy(0, TOLD) });
    let error = senders(Fork::Homestead, &[early], vec![Some(TOLD)]).expect_err("before EIP-155");
    let ExecutionError::Transaction { index: 0, source } = error else { panic!("{error}") };
    assert_eq!(source, TransactionError::ProtectedTooEarly { chain_id: CHAIN_ID });
}
