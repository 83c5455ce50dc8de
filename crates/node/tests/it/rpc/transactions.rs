//! Transactions on their way: sent, waiting, mined, and told about.

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction as _, TxEip1559, TxEip4844};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Signature, TxKind, U256, hex};
use chainmesh_identity::NodeKey;
use secp256k1::{Message, SecretKey};
use serde_json::{Value, json};

use super::client::Ws;
use super::{ETHER, Served, request};
use crate::support::wait_until;

const ALL: [&str; 2] = ["--http-api", "eth,net,txpool,web3"];
const GWEI: u128 = 1_000_000_000;
const RECEIVER: Address = Address::repeat_byte(0x11);

/// The signer of the test networks, who owns everything.
fn rich() -> (SecretKey, String) {
    let key = NodeKey::from_entropy([1; 32]);
    let address = chainmesh_chain::clique::address(key.public_key());
    (key.to_hex().parse().unwrap(), address.to_string().to_lowercase())
}

fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 20 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(RECEIVER),
        value: U256::from(5),
        ..TxEip1559::default()
    }
}

/// Makes a contract, and an empty log on the way: PUSH1 0 PUSH1 0 LOG0 STOP.
fn creation(nonce: u64) -> TxEip1559 {
    let input = hex!("60006000a000").into();
    TxEip1559 {
        gas_limit: 100_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input,
        ..transfer(nonce)
    }
}

/// The transaction as it is sent, and its hash.
fn signed(transaction: TxEip1559, key: &SecretKey) -> (String, String) {
    let digest = Message::from_digest(transaction.signature_hash().0);
    let signature = secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(digest, key);
    let (id, bytes) = signature.serialize_compact();
    let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..]));
    let signed = transaction.into_signed(Signature::new(r, s, id.to_u8() == 1));
    let hash = signed.hash().to_string();
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(signed);
    (format!("0x{}", hex::encode(envelope.encoded_2718())), hash)
}

#[test]
fn a_transaction_is_sent_mined_and_told_about() {
    let served = Served::sealing(&ALL);
    let of = |method: &str, params: Value| served.ask(method, params)["result"].clone();
    let (key, from) = rich();
    let [mut heads, mut pending, mut whole, mut logs] = [
        json!(["newHeads"]),
        json!(["newPendingTransactions"]),
        json!(["newPendingTransactions", true]),
        json!(["logs", {"topics": []}]),
    ]
    .map(|params| {
        let mut ws = Ws::connect(&served.address);
        assert!(ws.ask(&request("eth_subscribe", params))["result"].is_string());
        ws
    });
    let filter = of("eth_newFilter", json!([{}]));
    let waiting = of("eth_newPendingTransactionFilter", json!([]));

    let (raw, hash) = signed(creation(0), &key);
    assert_eq!(of("eth_sendRawTransaction", json!([raw])), hash);
    assert_eq!(pending.receive().unwrap()["params"]["result"], hash);
    let told = whole.receive().unwrap()["params"]["result"].clone();
    assert_eq!((&told["hash"], &told["from"]), (&json!(hash), &json!(from)));
    assert_eq!(told["blockHash"], Value::Null);
    assert_eq!(of("eth_getFilterChanges", json!([waiting])), json!([hash]));

    let receipt = wait_until("it is mined", || {
        let receipt = of("eth_getTransactionReceipt", json!([hash]));
        receipt.is_object().then_some(receipt)
    });
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x2")));
    let log = &receipt["logs"][0];
    assert_eq!(log["address"], receipt["contractAddress"]);
    assert_eq!(logs.receive().unwrap()["params"]["result"], *log);
    assert_eq!(of("eth_getFilterChanges", json!([filter])), json!([log]));
    let by_hash = json!([{"blockHash": receipt["blockHash"]}]);
    assert_eq!(of("eth_getLogs", by_hash), json!([log]));
    let mined = of("eth_getTransactionByHash", json!([hash]));
    assert_eq!(mined["blockHash"], receipt["blockHash"]);
    assert_eq!(mined["gasPrice"], receipt["effectiveGasPrice"]);
    assert_eq!(of("eth_getRawTransactionByHash", json!([hash])), raw);
    let head = loop {
        let head = heads.receive().unwrap()["params"]["result"].clone();
        if head["hash"] == receipt["blockHash"] {
            break head;
        }
    };
    assert_eq!(head["gasUsed"], receipt["gasUsed"]);
    assert_eq!(of("eth_getTransactionCount", json!([from, "latest"])), "0x1");

    // The same in one step.
    let (raw, hash) = signed(transfer(1), &key);
    let receipt = of("eth_sendRawTransactionSync", json!([raw, 20_000]));
    assert_eq!((&receipt["transactionHash"], &receipt["status"]), (&json!(hash), &json!("0x1")));
    assert_eq!(of("eth_getBalance", json!([RECEIVER, "latest"])), "0x5");
}

#[test]
fn what_waits_is_shown() {
    // No validator: what is sent stays.
    let blocks = crate::support::Blocks::with_wei(1, 1, 1_000 * ETHER);
    let served = Served::with(blocks, &ALL);
    let of = |method: &str, params: Value| served.ask(method, params)["result"].clone();
    let (key, from) = rich();
    let send = |transaction: TxEip1559| {
        let (raw, hash) = signed(transaction, &key);
        assert_eq!(of("eth_sendRawTransaction", json!([raw])), hash);
        hash
    };
    let (first, later) = (send(transfer(0)), send(transfer(2)));
    assert_eq!(of("txpool_status", json!([])), json!({"pending": "0x1", "queued": "0x1"}));
    assert_eq!(of("eth_getTransactionCount", json!([from, "pending"])), "0x1");
    assert_eq!(of("eth_getTransactionCount", json!([from, "latest"])), "0x0");
    let content = of("txpool_content", json!([]));
    let name = content["pending"].as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(name.to_lowercase(), from);
    assert_eq!(content["pending"][&name]["0"]["hash"], first);
    assert_eq!(content["queued"][&name]["2"]["hash"], later);
    let of_account = of("txpool_contentFrom", json!([from]));
    assert_eq!(of_account["pending"]["0"], content["pending"][&name]["0"]);
    let nobody = of("txpool_contentFrom", json!([RECEIVER]));
    assert_eq!(nobody, json!({"pending": {}, "queued": {}}));
    let line = of("txpool_inspect", json!([]))["pending"][&name]["0"].clone();
    assert_eq!(line, format!("{RECEIVER}: 5 wei + 21000 gas × 20000000000 wei"));
    let pending = of("eth_pendingTransactions", json!([]));
    assert_eq!(pending, json!([content["pending"][&name]["0"]]));
    let waiting = of("eth_getTransactionByHash", json!([first]));
    assert_eq!(waiting, content["pending"][&name]["0"]);
    assert_eq!(of("eth_getTransactionReceipt", json!([first])), Value::Null);
    // Nobody mines it: the answer is its hash, in time.
    let (raw, hash) = signed(transfer(1), &key);
    let error = served.ask("eth_sendRawTransactionSync", json!([raw, 100]))["error"].clone();
    assert_eq!((&error["code"], &error["data"]), (&json!(4), &json!(hash)));
    assert_eq!(of("txpool_status", json!([])), json!({"pending": "0x3", "queued": "0x0"}));
}

#[test]
fn what_is_refused_has_the_words_that_tools_look_for() {
    let blocks = crate::support::Blocks::with_wei(1, 1, 1_000 * ETHER);
    let served = Served::with(blocks, &ALL);
    let (key, _) = rich();
    let refused = |raw: &str| {
        let error = served.ask("eth_sendRawTransaction", json!([raw]))["error"].clone();
        assert_eq!(error["code"], -32000, "{error}");
        error["message"].as_str().unwrap().to_owned()
    };
    let (raw, _) = signed(transfer(0), &key);
    assert!(served.ask("eth_sendRawTransaction", json!([raw]))["result"].is_string());
    assert_eq!(refused(&raw), "already known");
    let with = |change: fn(&mut TxEip1559)| {
        let mut transaction = transfer(0);
        change(&mut transaction);
        refused(&signed(transaction, &key).0)
    };
    let said = with(|transaction| transaction.value += U256::ONE);
    assert!(said.starts_with("replacement transaction underpriced"), "{said}");
    let said = with(|transaction| transaction.chain_id = 8);
    assert!(said.starts_with("invalid chain id for signer"), "{said}");
    let said = with(|transaction| transaction.gas_limit = 20_999);
    assert!(said.starts_with("intrinsic gas too low"), "{said}");
    let said = with(|transaction| transaction.max_fee_per_gas = ETHER);
    assert!(said.contains("exceeds the configured cap (1.00 ether)"), "{said}");
    let poor: SecretKey = NodeKey::from_entropy([9; 32]).to_hex().parse().unwrap();
    let said = refused(&signed(transfer(0), &poor).0);
    assert!(said.starts_with("insufficient funds for gas * price + value"), "{said}");
    let said = refused("0x02c0");
    assert!(said.contains("rlp"), "{said}");
    assert!(!refused("0x").is_empty());
}
