//! JSON-RPC over the socket, as other programs speak it.

use serde_json::{Value, json};

use crate::support::{Blocks, Ipc, Process, directory, succeeds, text, wait_until};

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A node with a few blocks.
fn node(blocks: &Blocks) -> (tempfile::TempDir, Process) {
    let dir = directory();
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    succeeds(&["import", "--data-dir", &text(dir.path()), "--genesis", &blocks.genesis(), &file]);
    let node = Process::run(dir.path(), &[]);
    (dir, node)
}

#[test]
fn blocks_are_shown_as_go_ethereum_shows_them() {
    let blocks = Blocks::make(1, 5);
    let (_dir, node) = node(&blocks);
    assert_eq!(node.call("eth_blockNumber", json!([])), "0x5");
    assert_eq!(node.call("eth_chainId", json!([])), "0x7");
    assert_eq!(node.call("eth_syncing", json!([])), false);
    assert_eq!(node.call("net_version", json!([])), "7");
    assert_eq!(node.call("net_peerCount", json!([])), "0x0");
    assert_eq!(node.call("net_listening", json!([])), true);
    let block = node.call("eth_getBlockByNumber", json!(["0x3", false]));
    assert_eq!(block["hash"], blocks.hashes[2]);
    assert_eq!(block["parentHash"], blocks.hashes[1]);
    assert_eq!(block["number"], "0x3");
    assert_eq!(block["transactions"], json!([]));
    assert_eq!(block["uncles"], json!([]));
    assert_eq!(block["size"], format!("{:#x}", blocks.rlp[2].len()));
    assert_eq!(node.call("eth_getBlockByHash", json!([blocks.hashes[2], false])), block);
    let latest = node.call("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(latest["hash"], blocks.hashes[4]);
    let genesis = node.call("eth_getBlockByNumber", json!(["earliest", false]));
    assert_eq!(genesis["number"], "0x0");
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0x6", false])), Value::Null);
    let unknown = format!("0x{}", "12".repeat(32));
    assert_eq!(node.call("eth_getBlockByHash", json!([unknown, false])), Value::Null);
    for params in [json!(["3", false]), json!(["last", false]), json!([])] {
        let answer = node.ipc().ask(&request(1, "eth_getBlockByNumber", params.clone()));
        assert!(answer["error"]["message"].is_string(), "{params}: {answer}");
    }
}

#[test]
fn the_node_says_who_it_is() {
    let blocks = Blocks::make(1, 2);
    let (_dir, node) = node(&blocks);
    let info = node.call("admin_nodeInfo", json!([]));
    assert_eq!(info["enode"], node.enode);
    assert_eq!(info["protocols"]["eth"]["head"], blocks.hashes[1]);
    assert_eq!(info["protocols"]["eth"]["network"], 7);
    assert!(info["enr"].as_str().unwrap().starts_with("enr:-"));
    let port = info["ports"]["listener"].as_u64().unwrap();
    assert!(info["protocols"]["eth"]["difficulty"].as_u64().is_some(), "{info}");
    assert!(port > 0 && node.enode.ends_with(&format!(":{port}")));
    let modules = node.call("rpc_modules", json!([]));
    assert_eq!(modules["eth"], "1.0");
    assert_eq!(node.call("web3_clientVersion", json!([])), info["name"]);
}

/// The record of the running node, and what it says of discovery.
fn record(node: &Process) -> (chainmesh_identity::NodeRecord, Value) {
    let info = node.call("admin_nodeInfo", json!([]));
    let record = info["enr"].as_str().unwrap().parse().unwrap();
    (record, info)
}

#[test]
fn the_record_that_is_shown_is_the_one_that_others_get() {
    let blocks = Blocks::make(1, 0);
    let dir = directory();
    let node =
        Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--nat", "extip:4.3.2.1"]);
    let (first, info) = record(&node);
    assert_eq!(first.udp4().map(u64::from), info["ports"]["discovery"].as_u64());
    assert_eq!(first.tcp4().map(u64::from), info["ports"]["listener"].as_u64());
    assert_eq!(first.ip4(), Some([4, 3, 2, 1].into()));
    assert!(first.get_raw_rlp("eth").is_some(), "on which chain it is");
    let discovery = &info["discovery"];
    let at = first.udp4_socket().unwrap().to_string();
    assert_eq!((&discovery["advertised"], &discovery["observed"]), (&json!(at), &Value::Null));
    assert_eq!(
        (&discovery["discv4"]["nodes"], &discovery["discv5"]["nodes"]),
        (&json!(0), &json!(0))
    );
    drop(node);
    let (again, info) = record(&Process::run(dir.path(), &["--no-discovery-v5"]));
    assert!(again.seq() > first.seq(), "over restarts, too");
    assert_eq!(again.node_id(), first.node_id());
    assert_eq!(info["discovery"]["discv5"], Value::Null);
}

#[test]
fn requests_need_no_frames() {
    let blocks = Blocks::make(1, 2);
    let (_dir, node) = node(&blocks);
    let mut ipc = node.ipc();
    let two = format!(
        "{}{}",
        request(1, "eth_blockNumber", json!([])),
        request(2, "eth_chainId", json!([]))
    );
    let (before, after) = two.split_at(20);
    ipc.send(before.as_bytes());
    ipc.send(after.as_bytes());
    assert_eq!(ipc.receive().unwrap()["result"], "0x2");
    let second = ipc.receive().unwrap();
    assert_eq!((&second["id"], &second["result"]), (&json!(2), &json!("0x7")));
    let batch = json!([request(3, "net_version", json!([])), request(4, "no_such", json!([]))]);
    let answers = ipc.ask(&batch);
    assert_eq!(answers[0]["result"], "7");
    assert_eq!(answers[1]["error"]["code"], -32601);
}

#[test]
fn a_bad_request_is_answered_and_does_not_hurt_others() {
    let blocks = Blocks::make(1, 0);
    let (_dir, node) = node(&blocks);
    let mut ipc = node.ipc();
    ipc.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(ipc.receive().unwrap()["error"]["code"], -32700);
    assert_eq!(ipc.receive(), None, "the connection goes on, and its stream is lost");

    let mut ipc = node.ipc();
    ipc.send(b"{]");
    assert_eq!(ipc.receive().unwrap()["error"]["code"], -32700);

    // One byte more than a request may have.
    let mut ipc = node.ipc();
    let mut long = vec![b' '; (1 << 20) + 1];
    long[0] = b'[';
    ipc.send(&long);
    let answer = ipc.receive().unwrap();
    assert_eq!(answer["error"]["code"], -32007, "{answer}");
    assert_eq!(ipc.receive(), None);

    assert_eq!(node.call("eth_blockNumber", json!([])), "0x0");
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let blocks = Blocks::make(1, 0);
    let (dir, node) = node(&blocks);
    let ask = request(1, "eth_blockNumber", json!([]));
    let mut open: Vec<Ipc> =
        (0..chainmesh_node::ipc::MAX_CONNECTIONS).map(|_| node.ipc()).collect();
    for ipc in &mut open {
        assert_eq!(ipc.ask(&ask)["result"], "0x0");
    }
    assert_eq!(Ipc::connect(dir.path()).receive(), None, "one more was taken");
    open.pop();
    wait_until("the place that was given back is taken", || {
        let mut ipc = node.ipc();
        ipc.try_ask(&ask)
    });
}
