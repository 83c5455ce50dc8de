//! WebSockets: requests, subscriptions, and who may open one.

use serde_json::{Value, json};

use super::client::Ws;
use super::{Served, request};
use crate::support::{Blocks, wait_until};

#[test]
fn requests_and_batches_are_answered() {
    let served = Served::start(&[]);
    let mut ws = Ws::connect(&served.address);
    assert_eq!(ws.ask(&request("eth_chainId", json!([])))["result"], "0x7");
    let batch = json!([request("net_version", json!([])), {"jsonrpc": "2.0", "method": "x"}]);
    let answers = ws.ask(&batch);
    assert_eq!(answers.as_array().unwrap().len(), 1);
    assert_eq!(answers[0]["result"], "7");
    ws.send("{");
    assert_eq!(ws.receive().unwrap()["error"]["code"], -32700);
    // Many at once: each is answered, in whatever order.
    let many = 200;
    for id in 0..many {
        let params = json!([format!("{:#x}", id % 6), false]);
        let method = "eth_getBlockByNumber";
        ws.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
    }
    let mut seen: Vec<u64> = (0..many)
        .map(|_| {
            let answer = ws.receive().unwrap();
            let id = answer["id"].as_u64().unwrap();
            assert_eq!(answer["result"]["number"], format!("{:#x}", id % 6));
            id
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..many).collect::<Vec<_>>());
    // What is too long ends the connection, with a reason.
    let _ = ws.try_send(&" ".repeat(5 * 1024 * 1024 + 1));
    assert_eq!(ws.receive().unwrap()["error"]["code"], -32007);
    assert_eq!(ws.receive(), None);
}

#[test]
fn pages_of_other_sites_open_none() {
    let served = Served::start(&["--http-origins", "https://app.example"]);
    assert!(Ws::try_connect(&served.address, Some("https://app.example")).is_ok());
    let refused = Ws::try_connect(&served.address, Some("https://evil.example"));
    assert_eq!(refused.err(), Some(403));
    assert!(Ws::try_connect(&served.address, None).is_ok(), "programs have no origin");
    drop(served);
    let served = Served::start(&[]);
    let refused = Ws::try_connect(&served.address, Some("http://localhost"));
    assert_eq!(refused.err(), Some(403));
}

#[test]
fn new_heads_are_told_in_order_until_it_is_enough() {
    let served = Served::sealing(&[]);
    let mut ws = Ws::connect(&served.address);
    let id = ws.ask(&request("eth_subscribe", json!(["newHeads"])))["result"].clone();
    let mut last: Option<Value> = None;
    for _ in 0..2 {
        let told = ws.receive().unwrap();
        assert_eq!(
            (&told["method"], &told["params"]["subscription"]),
            (&json!("eth_subscription"), &id)
        );
        let head = told["params"]["result"].clone();
        if let Some(last) = &last {
            assert_eq!(head["parentHash"], last["hash"]);
        }
        let block =
            served.ask("eth_getBlockByHash", json!([head["hash"], false]))["result"].clone();
        for (field, value) in head.as_object().unwrap() {
            assert_eq!(&block[field], value, "{field}");
        }
        for absent in ["transactions", "uncles", "size", "totalDifficulty"] {
            assert!(head.get(absent).is_none(), "{absent}");
        }
        last = Some(head);
    }
    let ended = ws.ask(&request("eth_unsubscribe", json!([id])));
    assert_eq!(ended["result"], true, "{ended}");
    let again = ws.ask(&request("eth_unsubscribe", json!([id])));
    assert_eq!(again["error"]["message"], "subscription not found");
}

#[test]
fn what_can_be_subscribed_to() {
    let served = Served::start(&[]);
    let mut ws = Ws::connect(&served.address);
    let contract = format!("0x{}", "11".repeat(20));
    for params in [
        json!(["newHeads"]),
        json!(["newPendingTransactions"]),
        json!(["newPendingTransactions", true]),
        json!(["logs"]),
        json!(["logs", {"address": contract, "topics": [null]}]),
        json!(["syncing"]),
    ] {
        let answer = ws.ask(&request("eth_subscribe", params.clone()));
        assert!(
            answer["result"].as_str().is_some_and(|id| id.starts_with("0x")),
            "{params}: {answer}"
        );
    }
    for (params, code) in [
        (json!(["nothing"]), -32601),
        (json!([]), -32602),
        (json!(["logs", {"topics": ["0x1"]}]), -32602),
        (json!(["logs", 1]), -32602),
    ] {
        let answer = ws.ask(&request("eth_subscribe", params.clone()));
        assert_eq!(answer["error"]["code"], code, "{params}: {answer}");
    }
    // The others are there still.
    assert_eq!(ws.ask(&request("net_version", json!([])))["result"], "7");
}

#[test]
fn a_connection_has_so_many_subscriptions() {
    let served = Served::start(&[]);
    let mut ws = Ws::connect(&served.address);
    let subscribe = request("eth_subscribe", json!(["newHeads"]));
    for _ in 0..128 {
        assert!(ws.ask(&subscribe)["result"].is_string());
    }
    assert_eq!(ws.ask(&subscribe)["error"]["code"], -32005);
    assert!(Ws::connect(&served.address).ask(&subscribe)["result"].is_string());
}

#[test]
fn the_socket_of_the_data_directory_has_subscriptions_too() {
    let served = Served::sealing(&[]);
    let mut ipc = served.node.ipc();
    let id = ipc.ask(&request("eth_subscribe", json!(["newHeads"])))["result"].clone();
    let told = ipc.receive().unwrap();
    assert_eq!(told["params"]["subscription"], id);
    assert!(told["params"]["result"]["hash"].is_string(), "{told}");
}

/// It asks and asks, and never reads: it is cut, and its place is free.
#[test]
fn whoever_does_not_read_is_cut() {
    let blocks = Blocks::make(1, 5);
    let config = blocks.file("node.toml", b"[rpc]\ntimeout = 1\nmax-connections = 1\n");
    let served = Served::with(blocks, &["--config", &config]);
    let mut deaf = Ws::connect(&served.address);
    let batch = vec![request("eth_getBlockByNumber", json!(["0x1", true])); 100];
    let batch = json!(batch).to_string();
    // The socket takes some of it, and then nothing more. The last write ends with an error.
    wait_until("it is cut", || (!deaf.try_send(&batch)).then_some(()));
    let answer = wait_until("the place is free", || {
        let mut ws = Ws::try_connect(&served.address, None).ok()?;
        Some(ws.ask(&request("net_version", json!([]))))
    });
    assert_eq!(answer["result"], "7");
}
