//! What is served, where, and to whom.

use serde_json::{Value, json};

use super::{Served, request};
use crate::devnet::Devnet;
use crate::support::{Blocks, Process, directory, fails, text};

#[test]
fn nothing_is_served_unless_it_is_said() {
    let blocks = Blocks::make(1, 0);
    let dir = directory();
    let mut node = Process::run(dir.path(), &["--genesis", &blocks.genesis()]);
    assert!(node.end(libc::SIGTERM).success());
    assert!(!node.stderr().contains("JSON-RPC"));
}

#[test]
fn each_transport_has_its_methods() {
    let served = Served::start(&["--http-api", "eth,txpool,clique"]);
    let modules = json!({"clique": "1.0", "eth": "1.0", "rpc": "1.0", "txpool": "1.0"});
    assert_eq!(served.ask("rpc_modules", json!([]))["result"], modules);
    assert!(served.ask("clique_getSigners", json!([]))["result"].is_array());
    for method in ["net_version", "admin_nodeInfo", "web3_clientVersion", "debug_getRawBlock"] {
        let answer = served.ask(method, json!([]));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    // Over WebSockets nothing was said.
    let mut ws = super::client::Ws::connect(&served.address);
    let modules = json!({"eth": "1.0", "net": "1.0", "rpc": "1.0", "web3": "1.0"});
    assert_eq!(ws.ask(&request("rpc_modules", json!([])))["result"], modules);
    for method in ["admin_addPeer", "txpool_content", "clique_propose", "mesh_reload"] {
        let answer = ws.ask(&request(method, json!([])));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    // The owner of the data directory has everything.
    let modules = served.node.call("rpc_modules", json!([]));
    for name in ["admin", "clique", "debug", "eth", "mesh", "net", "txpool", "web3"] {
        assert_eq!(modules[name], "1.0", "{name}");
    }
}

/// Whatever is asked: no method takes, makes, shows or uses a key.
#[test]
fn no_method_has_to_do_with_keys() {
    let served = Served::start(&[
        "--http-api",
        "admin,amop,chainmesh,clique,debug,eth,mesh,net,txpool,web3",
    ]);
    for method in [
        "eth_sign",
        "eth_signTransaction",
        "eth_sendTransaction",
        "eth_signTypedData",
        "personal_listAccounts",
        "personal_newAccount",
        "personal_unlockAccount",
        "personal_importRawKey",
        "miner_setEtherbase",
        "admin_startHTTP",
        "admin_startRPC",
        "admin_exportChain",
        "debug_setHead",
    ] {
        assert_eq!(served.ask(method, json!([]))["error"]["code"], -32601, "{method}");
    }
    assert_eq!(served.ask("eth_accounts", json!([]))["result"], json!([]));
    let info = served.ask("admin_nodeInfo", json!([])).to_string();
    let key = std::fs::read_to_string(served._directory.path().join("p2p_key")).unwrap();
    assert!(!info.contains(key.trim()));
}

#[test]
fn other_machines_are_not_served_unless_the_file_says_so() {
    let blocks = Blocks::make(1, 0);
    let (dir, genesis) = (directory(), blocks.genesis());
    let data = text(dir.path());
    let run = ["run", "--data-dir", &data, "--genesis", &genesis, "--port", "0"];
    for flag in ["--http", "--ws"] {
        let error = fails(1, &[&run[..], &[flag, "0.0.0.0:0"]].concat());
        assert!(error.contains("allow-remote = true"), "{error}");
    }
    let config = blocks.file("node.toml", b"[rpc]\nhttp = \"0.0.0.0:0\"\nallow-remote = true\n");
    let more = ["--genesis", &genesis, "--config", &config];
    let (mut node, urls) = Process::run_and_read(dir.path(), &more, 1);
    assert!(urls[0].starts_with("http://0.0.0.0:"), "{urls:?}");
    assert!(node.end(libc::SIGTERM).success());
    let log = node.stderr();
    assert!(log.contains("can be reached from other machines"), "{log}");
}

#[test]
fn what_is_wrong_is_said() {
    let blocks = Blocks::make(1, 0);
    let (dir, genesis) = (directory(), blocks.genesis());
    let data = text(dir.path());
    let run = ["run", "--data-dir", &data, "--genesis", &genesis, "--port", "0"];
    let error = fails(1, &[&run[..], &["--http-api", "eth"]].concat());
    assert!(error.contains("no port"), "{error}");
    let error = fails(2, &[&run[..], &["--http", "--http-api", "eth,personal"]].concat());
    assert!(error.contains("there is no API \"personal\"") && error.contains("txpool"), "{error}");
    let error = fails(2, &[&run[..], &["--http", "nowhere"]].concat());
    assert!(error.contains("nowhere"), "{error}");
    for (line, wanted) in [
        ("htpp = \"127.0.0.1:1\"", "did you mean `http`?"),
        ("http-api = [\"sign\"]", "there is no API"),
        ("http = \"8545\"", "IP:port"),
    ] {
        let config = blocks.file("node.toml", format!("[rpc]\n{line}\n").as_bytes());
        let error = fails(1, &[&run[..], &["--config", &config]].concat());
        assert!(error.contains(wanted), "{line}: {error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fails(1, &[&run[..], &["--http", &address]].concat());
    assert!(error.contains("cannot listen for JSON-RPC") && error.contains(&address), "{error}");
}

#[test]
fn each_node_of_a_devnet_has_an_endpoint() {
    let mut devnet = Devnet::start(&["--nodes", "2"]);
    let running = |node: &Value| node["http"].is_string();
    let (line, _) = devnet.until(|line| line["nodes"].as_array().unwrap().iter().all(running));
    for node in line["nodes"].as_array().unwrap() {
        let http = node["http"].as_str().unwrap();
        let address = http.strip_prefix("http://127.0.0.1:").expect("loopback");
        let address = format!("127.0.0.1:{address}");
        assert_eq!(node["ws"], format!("ws://{address}"));
        let http = super::client::Http { address: &address, headers: Vec::new() };
        let answer: Value = http.ask(&request("eth_chainId", json!([])));
        assert_eq!(answer["result"], "0x539");
        let mut ws = super::client::Ws::connect(&address);
        assert_eq!(ws.ask(&request("net_version", json!([])))["result"], "1337");
    }
}
