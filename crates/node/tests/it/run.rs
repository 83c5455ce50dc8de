//! `chainmesh run` and `chainmesh peers`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use serde_json::{Value, json};

use crate::support::{Blocks, Process, directory, fails, succeeds, text, wait_until};

#[test]
fn a_node_without_a_genesis_says_what_is_missing() {
    let dir = directory();
    let error = fails(1, &["run", "--data-dir", &text(dir.path()), "--port", "0"]);
    assert!(error.contains("--genesis FILE"), "{error}");
    let error = fails(1, &["run"]);
    assert!(error.contains("--data-dir DIR"), "{error}");
}

#[test]
fn a_second_process_is_refused_by_name() {
    let (blocks, dir) = (Blocks::make(1, 3), directory());
    let data = text(dir.path());
    let node = Process::run(dir.path(), &["--genesis", &blocks.genesis()]);
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    for arguments in [
        vec!["run", "--data-dir", &data, "--port", "0"],
        vec!["import", "--data-dir", &data, &file],
        vec!["export", "--data-dir", &data, "-"],
    ] {
        let error = fails(1, &arguments);
        assert!(error.contains(&format!("in use by process {}", node.id())), "{error}");
    }
    // The first one has not noticed.
    assert_eq!(node.head().0, 0);
}

#[test]
fn nodes_synchronise_and_show_each_other() {
    let (blocks, first_dir, second_dir) = (Blocks::make(1, 40), directory(), directory());
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let genesis = blocks.genesis();
    let first_data = text(first_dir.path());
    succeeds(&["import", "--data-dir", &first_data, "--genesis", &genesis, &file]);
    // The genesis of the store is enough.
    let first = Process::run(first_dir.path(), &[]);
    let second =
        Process::run(second_dir.path(), &["--genesis", &genesis, "--bootnode", &first.enode]);
    let head = (40, blocks.hashes[39].clone());
    wait_until("the second node has the chain", || (second.head() == head).then_some(()));

    let peers = |dir: &std::path::Path| -> Value {
        let shown = succeeds(&["peers", "--data-dir", &text(dir), "--json"]);
        serde_json::from_str(&shown).unwrap()
    };
    let (by_first, by_second) = (peers(first_dir.path()), peers(second_dir.path()));
    let (of_second, of_first) = (&by_first["connected"][0], &by_second["connected"][0]);
    assert_eq!(of_second["direction"], "inbound");
    assert_eq!(of_first["direction"], "outbound");
    assert_eq!(of_first["network"]["static"], true);
    assert!(first.enode.contains(of_first["publicKey"].as_str().unwrap()));
    assert!(second.enode.contains(of_second["publicKey"].as_str().unwrap()));
    assert!(of_first["name"].as_str().unwrap().starts_with("chainmesh/v"));
    // A clique chain is compared by total difficulty, which the Status of eth/69 does not have.
    assert_eq!(of_first["protocols"]["eth"]["version"], 68);
    assert_eq!(of_first["headNumber"], 40);
    // Hash and seal of each block cannot be compressed.
    assert!(of_first["bytesIn"].as_u64().unwrap() > 40 * (32 + 65), "{of_first}");

    let table = succeeds(&["peers", "--data-dir", &text(second_dir.path())]);
    let id = &of_first["publicKey"].as_str().unwrap()[..8];
    assert!(
        table.contains(id) && table.contains("eth/66-68") && table.contains("CLIENT"),
        "{table}"
    );
}

#[test]
fn a_wanted_peer_is_shown_with_its_error_and_the_next_try() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    // A port at which nobody listens, as its listener is closed again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let id = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";
    let absent = format!("enode://{id}@127.0.0.1:{port}");
    let _node = Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--bootnode", &absent]);
    let data = text(dir.path());
    let wanted = wait_until("the dial has failed", || {
        let shown = succeeds(&["peers", "--data-dir", &data, "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["connected"], json!([]));
        let wanted = shown["wanted"][0].clone();
        wanted["nextDialSeconds"].is_number().then_some(wanted)
    });
    assert!(wanted["lastError"].as_str().unwrap().contains("refused"), "{wanted}");
    assert_eq!(wanted["kind"], "boot");
    let table = succeeds(&["peers", "--data-dir", &data]);
    assert!(table.contains("No peer is connected."), "{table}");
    assert!(table.contains("ca634cae…") && table.contains("refused"), "{table}");
}

#[test]
fn without_a_node_peers_says_so() {
    let dir = directory();
    let error = fails(1, &["peers", "--data-dir", &text(dir.path())]);
    assert!(error.contains("no node runs on the data directory"), "{error}");
}

#[test]
fn the_socket_is_private_and_goes_with_the_node() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let socket = dir.path().join("chainmesh.ipc");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut node = Process::run(dir.path(), &["--genesis", &blocks.genesis()]);
        let metadata = fs::metadata(&socket).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(node.end(signal).success());
        assert!(!socket.exists());
    }
    // Nothing else is left: neither a lock nor the directory in which the socket was made.
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["LOCK", "chain.redb", "p2p_key", "peers.redb", "transactions.rlp"]);
}

#[test]
fn after_a_crash_the_socket_is_made_anew() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let mut node = Process::run(dir.path(), &["--genesis", &blocks.genesis()]);
    node.kill();
    assert!(dir.path().join("chainmesh.ipc").exists());
    let error = fails(1, &["peers", "--data-dir", &text(dir.path())]);
    assert!(error.contains("no node runs"), "{error}");
    let node = Process::run(dir.path(), &[]);
    assert_eq!(node.head().0, 0);
}

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (data, genesis) = (text(dir.path()), blocks.genesis());
    let arguments = ["run", "--data-dir", &data, "--genesis", &genesis, "--listen", "127.0.0.1"];
    let error = fails(1, &[arguments.as_slice(), &["--port", &port]].concat());
    assert!(error.contains("cannot listen") && error.contains("--port"), "{error}");
}

#[test]
fn a_path_too_long_for_a_socket_is_told() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let deep = dir.path().join("d".repeat(100));
    let (data, genesis) = (text(&deep), blocks.genesis());
    let error = fails(1, &["run", "--data-dir", &data, "--genesis", &genesis, "--port", "0"]);
    assert!(error.contains("too long for a Unix socket"), "{error}");
}

#[test]
fn a_validator_seals_and_others_follow() {
    let (blocks, first_dir, second_dir) = (Blocks::make(9, 0), directory(), directory());
    let key = blocks.file("signer.key", "09".repeat(32).as_bytes());
    let genesis = blocks.genesis();
    let first = Process::run(first_dir.path(), &["--genesis", &genesis, "--validator-key", &key]);
    let second =
        Process::run(second_dir.path(), &["--genesis", &genesis, "--bootnode", &first.enode]);
    wait_until("three blocks are sealed and have come over", || {
        (second.head().0 >= 3).then_some(())
    });
}

#[test]
fn a_key_that_is_no_signer_makes_no_block_and_a_chain_without_signers_takes_no_key() {
    let (blocks, dir) = (Blocks::make(9, 0), directory());
    let key = blocks.file("other.key", "08".repeat(32).as_bytes());
    let mut node =
        Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--validator-key", &key]);
    assert!(node.end(libc::SIGINT).success());
    let log = node.stderr();
    assert!(log.contains("no signer of this network"), "{log}");

    let genesis = fs::read_to_string(blocks.genesis()).unwrap();
    let mut genesis: Value = serde_json::from_str(&genesis).unwrap();
    genesis["config"].as_object_mut().unwrap().remove("clique");
    let genesis = blocks.file("other.json", genesis.to_string().as_bytes());
    let (other, arguments) = (directory(), ["run", "--port", "0", "--validator-key", &key]);
    let data = text(other.path());
    let more = ["--data-dir", data.as_str(), "--genesis", &genesis];
    let error = fails(1, &[arguments.as_slice(), &more].concat());
    assert!(error.contains("no clique signers"), "{error}");
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let config = format!(
        "genesis = {:?}\nnetwork-id = 99\nlisten = \"127.0.0.2\"\nlog = \"debug\"\n",
        blocks.genesis()
    );
    let config = blocks.file("node.toml", config.as_bytes());
    // Process::run gives --listen 127.0.0.1.
    let node = Process::run(dir.path(), &["--config", &config]);
    assert_eq!(node.call("net_version", json!([])), "99");
    assert!(node.enode.contains("@127.0.0.1:"), "{}", node.enode);

    for (text_of_file, said) in [
        ("data-dirr = \"x\"", "data-dirr"),
        ("port = 70000", "port"),
        ("bootnode = [\"enode://12@x\"]", "bootnode"),
        ("= 1", "line 1"),
    ] {
        let config = blocks.file("bad.toml", text_of_file.as_bytes());
        let error = fails(1, &["run", "--config", &config]);
        assert!(error.contains("bad.toml") && error.contains(said), "{text_of_file}: {error}");
    }
}
