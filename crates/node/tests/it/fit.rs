//! Nodes that do not fit each other, as their operators see it.

use serde_json::{Value, json};

use crate::support::{Blocks, Process, directory, succeeds, text, wait_until};

const TERM: i32 = libc::SIGTERM;

/// What a node remembers of a peer that does not fit.
fn mismatch(node: &Process, peer: &Process) -> Value {
    wait_until("the mismatch is in the story", || {
        let story = node.call("admin_explainPeer", json!([peer.enode]));
        Some(story[0].clone()).filter(|story| !story["mismatch"].is_null())
    })
}

#[test]
fn a_peer_of_another_chain_is_told_so_over_restarts() {
    let (one, other) = (Blocks::make(1, 0), Blocks::make(2, 0));
    let (dir, other_dir) = (directory(), directory());
    let genesis = one.genesis();
    let mut node = Process::run(dir.path(), &["--genesis", &genesis]);
    let enode = node.enode.clone();
    let stranger =
        Process::run(other_dir.path(), &["--genesis", &other.genesis(), "--bootnode", &enode]);
    // It came to us: it is no target of ours, and is left alone.
    let story = mismatch(&node, &stranger);
    assert_eq!(story["state"], "misfit", "{story}");
    assert_eq!(story["mismatch"]["kind"], "genesis", "{story}");

    // Over there this node is configured: it is dialled on and on, and the log says why it is in vain.
    let story = mismatch(&stranger, &node);
    assert_eq!(story["kind"], "boot", "{story}");
    stranger.says("a node that is configured does not fit this one");
    let data = text(other_dir.path());
    let why = succeeds(&["peers", "--data-dir", &data, "--why", &enode]);
    let line = why.lines().find(|line| line.starts_with("other chain")).unwrap_or_else(|| {
        panic!("{why}");
    });
    assert!(line.contains("genesis 0x") && line.contains("(ours 0x"), "{line}");
    assert!(line.contains("dialled all the same, since it is configured"), "{line}");

    assert!(node.end(TERM).success());
    let node = Process::run(dir.path(), &["--genesis", &genesis, "--no-discovery"]);
    let story = mismatch(&node, &stranger);
    assert_eq!(story["mismatch"]["kind"], "genesis", "{story}");
    let why = succeeds(&["peers", "--data-dir", &text(dir.path()), "--why", &stranger.enode]);
    assert!(why.contains("; not dialled for another "), "{why}");
    let mark = &story["mismatch"];
    let wait = mark["notDialledBefore"].as_u64().unwrap() - mark["seen"].as_u64().unwrap();
    assert_eq!((wait, &mark["times"]), (24 * 3600, &json!(1)), "its visits do not count: {story}");
}

#[test]
fn roles_are_shown_and_service_for_light_nodes_can_be_refused() {
    let blocks = Blocks::make(1, 0);
    let (first_dir, second_dir) = (directory(), directory());
    let genesis = blocks.genesis();
    let first = Process::run(first_dir.path(), &["--genesis", &genesis, "--no-serve-light"]);
    let second =
        Process::run(second_dir.path(), &["--genesis", &genesis, "--bootnode", &first.enode]);
    let peer = |node: &Process| {
        wait_until("the peer", || {
            Some(node.call("admin_peers", json!([]))[0].clone()).filter(|peer| !peer.is_null())
        })
    };
    let (of_second, of_first) = (peer(&second), peer(&first));
    assert_eq!((&of_second["role"], &of_second["servesLight"]), (&json!("full"), &json!(false)));
    assert_eq!((&of_first["role"], &of_first["servesLight"]), (&json!("full"), &json!(true)));
    // One connection has two ends.
    let ends = |peer: &Value| {
        let network = &peer["network"];
        (network["localAddress"].clone(), network["remoteAddress"].clone())
    };
    let ((local, remote), (other_local, other_remote)) = (ends(&of_first), ends(&of_second));
    assert_eq!((local, remote), (other_remote, other_local));
    let table = succeeds(&["peers", "--data-dir", &text(first_dir.path())]);
    assert!(table.contains("ROLE") && table.contains("full, serves light"), "{table}");
    assert!(table.contains("role/1"), "{table}");
}

#[test]
fn bans_are_listed() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let node = Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--no-discovery"]);
    let data = text(dir.path());
    let bans = || succeeds(&["peers", "--data-dir", &data, "--bans"]);
    assert_eq!(bans().trim(), "Nobody is banned.");
    let ban = |who: &str, more: &[&str]| {
        succeeds(&[&["peers", "ban", "--data-dir", &data, who], more].concat());
    };
    // The generator of secp256k1: a public key.
    let id = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
              483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    let enode = format!("enode://{id}@192.0.2.7:30303");
    ban(&enode, &["--reason", "a \u{1b}[2J test"]);
    ban("192.0.2.9", &["--for", "3600"]);
    let table = bans();
    assert!(table.contains("79be667e…") && table.contains("until it is lifted"), "{table}");
    assert!(table.contains("everybody") && table.contains("192.0.2.9"), "{table}");
    assert!(!table.contains('\u{1b}'), "{table:?}");
    let bans = node.call("admin_bannedPeers", json!([]));
    assert_eq!(bans[0]["id"], json!(id), "{bans}");
    assert_eq!(bans[1]["address"], json!("192.0.2.9"), "{bans}");
    let span = bans[1]["until"].as_u64().unwrap() - bans[1]["since"].as_u64().unwrap();
    assert_eq!((span, bans.as_array().unwrap().len()), (3600, 2), "{bans}");
}
