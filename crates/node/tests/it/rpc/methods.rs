//! Every method once, from outside. What they say about transactions is compared with go-ethereum,
//! field by field, in `interop/` (group `rpc`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Served, request};

const ADDRESS: &str = "0x1111111111111111111111111111111111111111";
const ALL: [&str; 4] = [
    "--http-api",
    "admin,amop,chainmesh,clique,debug,eth,mesh,net,txpool,web3",
    "--ws-api",
    "admin,amop,chainmesh,clique,debug,eth,mesh,net,txpool,web3",
];

fn unknown() -> String {
    format!("0x{}", "77".repeat(32))
}

/// The fields of a header in go-ethereum's `newHeads`, for a chain that has London and no more.
const HEADER: [&str; 17] = [
    "baseFeePerGas",
    "difficulty",
    "extraData",
    "gasLimit",
    "gasUsed",
    "hash",
    "logsBloom",
    "miner",
    "mixHash",
    "nonce",
    "number",
    "parentHash",
    "receiptsRoot",
    "sha3Uncles",
    "stateRoot",
    "timestamp",
    "transactionsRoot",
];

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

#[test]
fn blocks_have_the_fields_of_go_ethereum() {
    let served = Served::start(&ALL);
    let of = |method: &str, params: Value| served.ask(method, params)["result"].clone();
    let header: BTreeSet<&str> = HEADER.into();
    let by_number = of("eth_getBlockByNumber", json!(["0x3", true]));
    let more = ["size", "totalDifficulty", "transactions", "uncles"];
    assert_eq!(fields(&by_number), header.iter().copied().chain(more).collect());
    let hash = &served.blocks.hashes[2];
    assert_eq!(of("eth_getBlockByHash", json!([hash, true])), by_number);
    assert_eq!(by_number["totalDifficulty"], "0x7", "the genesis block has 1, the others 2");
    let alone = of("eth_getHeaderByNumber", json!(["0x3"]));
    assert_eq!(fields(&alone), header.into_iter().chain(["totalDifficulty"]).collect());
    assert_eq!(of("eth_getHeaderByHash", json!([hash])), alone);
    for (method, first) in [
        ("eth_getBlockTransactionCountByNumber", json!("0x3")),
        ("eth_getBlockTransactionCountByHash", json!(hash)),
        ("eth_getUncleCountByBlockNumber", json!("0x3")),
        ("eth_getUncleCountByBlockHash", json!(hash)),
    ] {
        assert_eq!(of(method, json!([first])), "0x0", "{method}");
    }
    for (method, first) in [
        ("eth_getUncleByBlockNumberAndIndex", json!("0x3")),
        ("eth_getUncleByBlockHashAndIndex", json!(hash)),
        ("eth_getTransactionByBlockNumberAndIndex", json!("0x3")),
        ("eth_getTransactionByBlockHashAndIndex", json!(hash)),
    ] {
        assert_eq!(of(method, json!([first, "0x0"])), Value::Null, "{method}");
    }
    assert_eq!(of("eth_getBlockReceipts", json!(["0x3"])), json!([]));
    let rlp = format!("0x{}", alloy_primitives::hex::encode(&served.blocks.rlp[2]));
    assert_eq!(of("debug_getRawBlock", json!(["0x3"])), rlp);
    let header = of("debug_getRawHeader", json!([hash]));
    assert!(rlp.contains(header.as_str().unwrap().trim_start_matches("0x")));
    assert_eq!(of("debug_getRawReceipts", json!(["0x3"])), json!([]));
}

#[test]
fn every_method_answers_in_its_shape() {
    let served = Served::start(&ALL);
    let zero = format!("0x{}", "0".repeat(64));
    let sha3 = "0x47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad";
    for (method, params, wanted) in [
        ("eth_blockNumber", json!([]), json!("0x5")),
        ("eth_chainId", json!([]), json!("0x7")),
        ("eth_syncing", json!([]), json!(false)),
        ("eth_accounts", json!([]), json!([])),
        ("eth_mining", json!([]), json!(false)),
        ("eth_hashrate", json!([]), json!("0x0")),
        ("eth_protocolVersion", json!([]), json!("0x44")),
        ("eth_getBalance", json!([ADDRESS, "latest"]), json!("0x0")),
        ("eth_getBalance", json!([ADDRESS]), json!("0x0")),
        ("eth_getTransactionCount", json!([ADDRESS, "0x1"]), json!("0x0")),
        ("eth_getTransactionCount", json!([ADDRESS, "pending"]), json!("0x0")),
        ("eth_getCode", json!([ADDRESS, "earliest"]), json!("0x")),
        ("eth_getStorageAt", json!([ADDRESS, "0x0", "latest"]), json!(zero)),
        ("eth_getTransactionByHash", json!([unknown()]), Value::Null),
        ("eth_getTransactionReceipt", json!([unknown()]), Value::Null),
        ("eth_getRawTransactionByHash", json!([unknown()]), json!("0x")),
        ("debug_getRawTransaction", json!([unknown()]), json!("0x")),
        ("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest"}]), json!([])),
        ("eth_call", json!([{"to": ADDRESS}, "latest"]), json!("0x")),
        (
            "eth_call",
            json!([{"data": "0x602a60005260206000f3"}]),
            json!(format!("0x{}2a", "0".repeat(62))),
        ),
        ("eth_estimateGas", json!([{"to": ADDRESS}]), json!("0x5208")),
        ("eth_uninstallFilter", json!(["0x1"]), json!(false)),
        ("eth_maxPriorityFeePerGas", json!([]), json!("0x3b9aca00")),
        ("net_version", json!([]), json!("7")),
        ("net_listening", json!([]), json!(true)),
        ("net_peerCount", json!([]), json!("0x0")),
        ("web3_sha3", json!(["0x68656c6c6f20776f726c64"]), json!(sha3)),
        ("clique_proposals", json!([]), json!({})),
        ("admin_peers", json!([]), json!([])),
    ] {
        let answer = served.ask(method, params.clone());
        assert_eq!(answer["result"], wanted, "{method} {params}: {answer}");
        // The same methods are on the socket.
        assert_eq!(served.node.call(method, params), wanted, "{method}");
    }
    let of = |method: &str, params: Value| served.ask(method, params)["result"].clone();
    let proof = of("eth_getProof", json!([ADDRESS, ["0x0"], "latest"]));
    let wanted =
        ["accountProof", "address", "balance", "codeHash", "nonce", "storageHash", "storageProof"];
    assert_eq!(fields(&proof), wanted.into());
    assert_eq!(proof["storageProof"][0]["key"], "0x0");
    let list = of("eth_createAccessList", json!([{"to": ADDRESS}, "latest"]));
    assert_eq!(list["accessList"], json!([]));
    let fees = of("eth_feeHistory", json!(["0x2", "latest", [50]]));
    assert_eq!(fees["oldestBlock"], "0x4");
    assert_eq!(fees["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(fees["gasUsedRatio"], json!([0.0, 0.0]));
    assert_eq!(fees["reward"], json!([["0x0"], ["0x0"]]));
    assert!(of("eth_gasPrice", json!([])).as_str().unwrap().starts_with("0x"));
    assert!(of("web3_clientVersion", json!([])).as_str().unwrap().starts_with("chainmesh/"));
    let error = served.ask("eth_coinbase", json!([]))["error"].clone();
    assert_eq!(error["code"], -32000, "{error}");
    let snapshot = of("clique_getSnapshot", json!([]));
    let wanted = ["hash", "number", "recents", "signers", "tally", "votes"];
    assert_eq!(fields(&snapshot), wanted.into());
    let signers = of("clique_getSigners", json!(["0x1"]));
    assert_eq!(of("clique_getSigner", json!(["0x1"])), signers[0]);
    let hash = &served.blocks.hashes[0];
    assert_eq!(of("clique_getSignersAtHash", json!([hash])), signers);
    assert_eq!(of("clique_getSnapshotAtHash", json!([hash]))["number"], 1);
    assert_eq!(
        fields(&of("clique_status", json!([]))),
        ["inturnPercent", "numBlocks", "sealerActivity"].into()
    );
    assert_eq!(of("admin_datadir", json!([])), crate::support::text(served._directory.path()));
}

#[test]
fn peers_come_and_go_by_rpc() {
    let served = Served::start(&ALL);
    let other = Served::start(&[]);
    let of = |method: &str| served.ask(method, json!([other.node.enode]))["result"].clone();
    // Both ends have to know: a dial into the end of the session before would be refused.
    let have = |what: &str, wanted: &str| {
        crate::support::wait_until(what, || {
            let count = |node: &Served| node.ask("net_peerCount", json!([]))["result"].clone();
            (count(&served) == wanted && count(&other) == wanted).then_some(())
        });
    };
    // What is happening with it; who reads a boolean says so.
    let added = of("admin_addPeer");
    assert_eq!((&added["isStatic"], &added["isTrusted"]), (&json!(true), &json!(false)), "{added}");
    let boolean = served.ask("admin_addPeer", json!([other.node.enode, false]))["result"].clone();
    assert_eq!(boolean, true);
    have("they are connected", "0x1");
    assert_eq!(of("admin_removePeer"), true);
    have("it is gone", "0x0");
    assert_eq!(of("admin_addTrustedPeer")["isTrusted"], true);
    have("they are connected again", "0x1");
    assert_eq!(of("admin_removeTrustedPeer"), true);
    // As in go-ethereum, the session goes on in a slot that counts.
    let story = served.ask("admin_explainPeer", json!([other.node.enode]))["result"][0].clone();
    assert_eq!((&story["state"], &story["slot"]), (&json!("connected"), &json!("outbound")));
    assert_eq!(of("admin_removePeer"), true);
    have("it is gone again", "0x0");
    let error = served.ask("admin_addPeer", json!(["enode://12"]))["error"].clone();
    assert!(error["message"].as_str().unwrap().starts_with("invalid enode: "), "{error}");
}

#[test]
fn filters_tell_what_is_new_and_end() {
    let served = Served::sealing(&ALL);
    let of = |method: &str, params: Value| served.ask(method, params)["result"].clone();
    let blocks = of("eth_newBlockFilter", json!([]));
    let logs = of("eth_newFilter", json!([{"fromBlock": "0x0"}]));
    let pending = of("eth_newPendingTransactionFilter", json!([]));
    let mut seen: Vec<String> = Vec::new();
    crate::support::wait_until("there are two new blocks", || {
        let new = of("eth_getFilterChanges", json!([blocks]));
        seen.extend(new.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().to_owned()));
        (seen.len() >= 2).then_some(())
    });
    for pair in seen.windows(2) {
        let block = of("eth_getBlockByHash", json!([pair[1], false]));
        assert_eq!(block["parentHash"], pair[0], "one is missing, or comes twice");
    }
    assert_eq!(of("eth_getFilterChanges", json!([logs])), json!([]));
    assert_eq!(of("eth_getFilterLogs", json!([logs])), json!([]));
    assert_eq!(of("eth_getFilterChanges", json!([pending])), json!([]));
    let error = |method: &str, id: &Value| served.ask(method, json!([id]))["error"].clone();
    let not_found = json!({"code": -32000, "message": "filter not found"});
    assert_eq!(error("eth_getFilterLogs", &blocks), not_found);
    assert_eq!(of("eth_uninstallFilter", json!([blocks])), true);
    assert_eq!(of("eth_uninstallFilter", json!([blocks])), false);
    assert_eq!(error("eth_getFilterChanges", &blocks), not_found);
    let mining = of("eth_mining", json!([]));
    let signers = of("clique_getSigners", json!([]));
    assert_eq!((mining, of("eth_coinbase", json!([]))), (json!(true), signers[0].clone()));
}

#[test]
fn large_questions_are_refused_with_the_limit() {
    let blocks = crate::support::Blocks::make(1, 5);
    let config = blocks.file("node.toml", b"[rpc]\ngas-cap = 1_000_000\n");
    let served = Served::with(blocks, &[&ALL[..], &["--config", &config]].concat());
    let error = |method: &str, params: Value| served.ask(method, params)["error"].clone();
    let slots = vec!["0x0"; 1025];
    let many = error("eth_getProof", json!([ADDRESS, slots, "latest"]));
    assert_eq!(many["code"], -32005, "{many}");
    let topics = error("eth_getLogs", json!([{"topics": [vec![unknown(); 1001]]}]));
    assert_eq!(topics["code"], -32602, "{topics}");
    for _ in 0..1024 {
        assert!(served.node.call("eth_newBlockFilter", json!([])).is_string());
    }
    let filters = error("eth_newBlockFilter", json!([]));
    assert_eq!(filters["code"], -32005, "{filters}");
    // A loop without end is ended by the cap on gas, and others are answered meanwhile.
    let endless = request("eth_call", json!([{"data": "0x5b600056"}, "latest"]));
    let asked = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| served.http().ask(&endless))).collect();
        assert_eq!(served.ask("eth_blockNumber", json!([]))["result"], "0x5");
        assert_eq!(served.ask("eth_getBalance", json!([ADDRESS]))["result"], "0x0");
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    for answer in asked {
        assert_eq!(answer["error"]["message"], "out of gas", "{answer}");
    }
}
