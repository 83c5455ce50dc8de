//! `chainmesh ping` and `chainmesh crawl` from outside.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use chainmesh_identity::{Enode, NodeKey};
use chainmesh_net::discovery::{self, DiscoveryHandle, DiscoveryOptions};
use serde_json::Value;

use crate::support::{Blocks, Process, chainmesh, directory, fails, succeeds, text, wait_until};

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(arguments)).unwrap()
}

/// The labels of what is wrong, over UDP and over TCP.
fn wrong(arguments: &[&str]) -> (Value, Value) {
    let output = chainmesh(&[&["ping", "--json", "-c", "1"], arguments].concat());
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["answered"], false);
    let label = |part: &str| said[part]["finding"]["label"].clone();
    (label("udp"), label("rlpx"))
}

/// The URL of another key at the same place.
fn with_other_key(enode: &str) -> String {
    let mut other: Enode = enode.parse().unwrap();
    other.id = NodeKey::from_entropy([9; 32]).peer_id();
    other.to_string()
}

#[test]
fn ping_tells_what_a_node_says_of_itself() {
    let (blocks, dir) = (Blocks::make(1, 3), directory());
    let chain = blocks.file("chain.rlp", &blocks.rlp.concat());
    let data = text(dir.path());
    succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &chain]);
    let node = Process::run(dir.path(), &[]);
    let genesis = blocks.genesis();
    let said = json(&["ping", &node.enode, "--json", "-c", "2", "--genesis", &genesis]);
    assert_eq!(said["answered"], true, "{said}");
    let enode: Enode = node.enode.parse().unwrap();
    assert_eq!(said["udp"]["record"]["tcp"], enode.tcp_port, "{said}");
    assert_eq!(said["udp"]["roundTripsMillis"].as_array().unwrap().len(), 2);
    let rlpx = &said["rlpx"];
    assert_eq!(rlpx["id"], enode.id.to_string());
    assert!(rlpx["client"].as_str().unwrap().starts_with("chainmesh/v"), "{said}");
    let status = &rlpx["status"];
    assert_eq!((&status["networkId"], &status["headNumber"]), (&7.into(), &3.into()), "{said}");
    assert_eq!(status["headHash"], blocks.hashes[2], "{said}");
    assert_eq!(status["forkId"], said["udp"]["record"]["forkId"], "{said}");
    let trips = rlpx["roundTripsMillis"].as_array().unwrap();
    assert!(trips.len() == 2 && trips.iter().all(|rtt| rtt.as_f64().unwrap() > 0.0), "{said}");
    // The record that it gave names it as well as its URL.
    let record = said["udp"]["record"]["text"].as_str().unwrap();
    let people = succeeds(&["ping", record, "-c", "1"]);
    for line in ["UDP (discv4)", "TCP (RLPx)", "handshake", "network 7", "block 3"] {
        assert!(people.contains(line), "{line}: {people}");
    }
    // The node is free again: nobody stays.
    wait_until("the node is alone", || {
        let peers = node.call("admin_peers", serde_json::json!([]));
        peers.as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn ping_says_who_is_to_blame() {
    let (blocks, other, dir) = (Blocks::make(1, 0), Blocks::make(2, 0), directory());
    let genesis = blocks.genesis();
    let node = Process::run(dir.path(), &["--genesis", &genesis]);
    assert_eq!(wrong(&[&with_other_key(&node.enode)]), ("wrong-key".into(), "wrong-key".into()));
    let of_others = other.genesis();
    let chains = wrong(&[&node.enode, "--genesis", &of_others]);
    assert_eq!(chains, ("other-chain".into(), "other-chain".into()));
    let network = wrong(&[&node.enode, "--rlpx", "--network-id", "8"]);
    assert_eq!(network, (Value::Null, "other-chain".into()));
    drop(node);
    // Nobody is there: a port that was just given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody: Enode =
        Enode::new(NodeKey::from_entropy([9; 32]).peer_id(), gone.ip(), gone.port());
    let findings = wrong(&[&nobody.to_string(), "--timeout", "2"]);
    assert_eq!(findings, ("udp-silent".into(), "tcp-refused".into()));
    let stderr = fails(1, &["ping", &nobody.to_string(), "--rlpx"]);
    assert!(stderr.contains("tcp-refused"), "{stderr}");
    let stderr = fails(1, &["ping", "127.0.0.1:1"]);
    assert!(stderr.contains("HOST:PORT names no node"), "{stderr}");
}

#[test]
fn ping_says_that_a_full_node_is_there() {
    let (blocks, dir, others) = (Blocks::make(1, 0), directory(), directory());
    let genesis = blocks.genesis();
    let node = Process::run(dir.path(), &["--genesis", &genesis, "--max-peers", "1"]);
    let _peer = Process::run(others.path(), &["--genesis", &genesis, "--bootnode", &node.enode]);
    wait_until("the node is full", || {
        let output = chainmesh(&["ping", &node.enode, "--rlpx", "-c", "1", "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (said["rlpx"]["finding"]["label"] == "full").then_some(())
    });
}

/// Nodes that speak discovery and nothing else, in this process.
async fn network(count: usize) -> Vec<DiscoveryHandle> {
    let mut nodes: Vec<DiscoveryHandle> = Vec::new();
    for number in 0..count {
        let key = NodeKey::from_entropy([u8::try_from(number + 1).unwrap(); 32]);
        let boot = nodes.first().map(enode);
        let options =
            DiscoveryOptions { boot_nodes: boot.into_iter().collect(), ..Default::default() };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        nodes.push(discovery::start(key, address, 0, options, |_| {}).await.unwrap());
    }
    nodes
}

fn enode(handle: &DiscoveryHandle) -> Enode {
    let listening = handle.listening();
    Enode { udp_port: listening.port(), ..Enode::new(handle.local_id(), listening.ip(), 0) }
}

#[test]
fn crawl_finds_everybody_and_says_who_told_of_whom() {
    const NODES: usize = 24;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let nodes = runtime.block_on(network(NODES));
    wait_until("all are in somebody's table but their own", || {
        let tables = runtime.block_on(async {
            let mut known = BTreeSet::new();
            for node in &nodes[1..] {
                let table = node.snapshot().await.unwrap().table;
                known.extend(table.into_iter().map(|entry| entry.contact.id));
            }
            known
        });
        (tables.len() == NODES).then_some(())
    });
    let dir = directory();
    let (file, dot) = (text(&dir.path().join("n.json")), text(&dir.path().join("n.dot")));
    let boot = enode(&nodes[0]).to_string();
    let summary = succeeds(&["crawl", "--bootnode", &boot, "--json", &file, "--dot", &dot]);
    assert!(summary.contains("24 found, 24 answered, 0 silent"), "{summary}");
    let found: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(found["complete"], true, "{summary}");
    let ids: BTreeSet<_> =
        found["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    let expected: Vec<String> = nodes.iter().map(|node| node.local_id().to_string()).collect();
    assert_eq!(ids, expected.iter().map(String::as_str).collect());
    let edges = found["edges"].as_array().unwrap();
    let dot = std::fs::read_to_string(&dot).unwrap();
    assert!(dot.starts_with("digraph network {"), "{dot}");
    assert_eq!(dot.lines().filter(|line| line.contains(" -> ")).count(), edges.len());
    for (at, node) in found["nodes"].as_array().unwrap().iter().enumerate().skip(1) {
        assert!(edges.iter().any(|edge| edge[1] == at), "nobody told of {node}");
    }
    // With little room it says that it did not see all.
    let little = json(&["crawl", "--bootnode", &boot, "--max-nodes", "5", "--json", "-"]);
    assert_eq!((&little["summary"]["found"], &little["complete"]), (&5.into(), &false.into()));
}

#[test]
fn crawl_without_an_answer_fails_and_saves_what_it_saw() {
    let dir = directory();
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    let id = NodeKey::from_entropy([9; 32]).peer_id();
    let boot = Enode::new(id, address.ip(), address.port()).to_string();
    let file = text(&dir.path().join("n.json"));
    let stderr = fails(1, &["crawl", "--bootnode", &boot, "--json", &file]);
    assert!(stderr.contains("no node answered"), "{stderr}");
    let found: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(found["summary"]["silent"], 1, "{found}");
}

#[test]
fn peers_dial_back_and_the_node_says_what_they_met_with() {
    let (blocks, first_dir, second_dir) = (Blocks::make(1, 0), directory(), directory());
    let genesis = blocks.genesis();
    let first = Process::run(first_dir.path(), &["--genesis", &genesis]);
    let more = ["--genesis", &genesis, "--bootnode", &first.enode, "--external-ip", "203.0.113.7"];
    let second = Process::run(second_dir.path(), &more);
    let reach =
        |node: &Process| node.call("admin_nodeInfo", serde_json::json!([]))["reach"].clone();
    assert_eq!(reach(&first)["reachable"], Value::Null);
    let said = wait_until("the other node has dialled", || {
        let said = reach(&first);
        (!said["reachable"].is_null()).then_some(said)
    });
    assert_eq!(said["text"], "yes (1 of 1 peers)", "{said}");
    assert_eq!(
        (&said["answers"][0]["outcome"], &said["mismatch"]),
        (&"reached".into(), &false.into())
    );
    first.says("reachable from outside: yes (1 of 1 peers)");
    let shown = succeeds(&["peers", "--data-dir", &text(first_dir.path())]);
    assert!(shown.starts_with("Reachable from outside: yes (1 of 1 peers)"), "{shown}");
    let all = json(&["peers", "--data-dir", &text(first_dir.path()), "--json"]);
    assert_eq!(all["reach"]["reachable"], true, "{all}");
    assert_eq!(all["connected"].as_array().unwrap().len(), 1, "nobody else came to stay: {all}");
    // The other one tells everybody of an address that is not its own.
    wait_until("the wrong address is noticed", || {
        (reach(&second)["mismatch"] == true).then_some(())
    });
    second.says("this node tells others that it is at 203.0.113.7, and they see it at 127.0.0.1");
    let shown = succeeds(&["peers", "--data-dir", &text(second_dir.path())]);
    assert!(shown.contains("correct --external-ip"), "{shown}");
}
