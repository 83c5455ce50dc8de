//! The address book from outside: what a restarted node remembers, and what it tells of a peer.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Blocks, Process, directory, fails, succeeds, text, wait_until};

/// The peers of a node, as `(public key, direction)`.
fn peers(node: &Process) -> Vec<(String, String)> {
    let peers = node.call("admin_peers", json!([]));
    let field = |peer: &Value, name: &str| peer[name].as_str().unwrap().to_owned();
    let peers = peers.as_array().unwrap().iter();
    peers.map(|peer| (field(peer, "publicKey"), field(peer, "direction"))).collect()
}

fn id(node: &Process) -> String {
    node.enode.strip_prefix("enode://").unwrap().split('@').next().unwrap().to_owned()
}

fn connected(what: &str, node: &Process, to: &Process) -> String {
    let wanted = id(to);
    wait_until(what, || {
        let all = peers(node);
        all.into_iter().find(|(id, _)| *id == wanted).map(|(_, direction)| direction)
    })
}

fn alone(what: &str, node: &Process) {
    wait_until(what, || peers(node).is_empty().then_some(()));
}

const TERM: i32 = libc::SIGTERM;

#[test]
fn a_restarted_node_comes_back_without_its_boot_node() {
    let (blocks, boot_dir, dir) = (Blocks::make(1, 0), directory(), directory());
    let boot = Process::run(boot_dir.path(), &["--genesis", &blocks.genesis()]);
    let genesis = blocks.genesis();
    let mut node = Process::run(dir.path(), &["--genesis", &genesis, "--bootnode", &boot.enode]);
    connected("the first time", &node, &boot);
    assert!(node.end(TERM).success());
    let mode = std::fs::metadata(dir.path().join("peers.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds a secret");
    alone("the boot node sees it go", &boot);

    let mut node = Process::run(dir.path(), &["--genesis", &genesis]);
    // Its port is another one now: nobody could have dialled it.
    assert_eq!(connected("the second time", &node, &boot), "outbound");
    assert!(node.end(TERM).success());
    alone("the boot node sees it go again", &boot);

    // Who wants to be alone is left alone.
    let node = Process::run(dir.path(), &["--genesis", &genesis, "--no-discovery"]);
    let story = &node.call("admin_explainPeer", json!([boot.enode]))[0];
    assert_eq!(story["state"], "known", "{story}");
    assert_eq!(story["origin"], "boot", "{story}");
    assert!(story["successes"].as_u64().unwrap() >= 2, "{story}");
}

#[test]
fn a_damaged_book_is_set_aside_and_the_node_runs() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    std::fs::write(dir.path().join("peers.redb"), b"this is no address book").unwrap();
    let node = Process::run(dir.path(), &["--genesis", &blocks.genesis()]);
    node.says("was set aside");
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let aside =
        names.iter().filter(|name| name.to_str().unwrap().starts_with("peers.redb.damaged-"));
    assert_eq!(aside.count(), 1, "{names:?}");
    assert_eq!(node.head().0, 0);
}

#[test]
fn what_the_operator_wants_outlives_the_process() {
    let (blocks, other_dir, dir) = (Blocks::make(1, 0), directory(), directory());
    let genesis = blocks.genesis();
    let alone_please = ["--genesis", &genesis, "--no-discovery"];
    let other = Process::run(other_dir.path(), &alone_please);
    let data = text(dir.path());
    let of = |command: &str, peer: &str| succeeds(&["peers", command, "--data-dir", &data, peer]);
    let why = |peer: &str| succeeds(&["peers", "--data-dir", &data, "--why", peer]);

    let mut node = Process::run(dir.path(), &alone_please);
    assert!(why("127.0.0.1").contains("knows of no such peer"));
    let told = of("add", &other.enode);
    assert!(told.contains("added by the operator") && told.contains("next"), "{told}");
    connected("it was added", &node, &other);
    assert!(node.end(TERM).success());

    let mut node = Process::run(dir.path(), &alone_please);
    connected("it was added in an earlier run", &node, &other);
    let banned = succeeds(&[
        "peers",
        "ban",
        "--data-dir",
        &data,
        &id(&other),
        "--reason",
        "a \u{1b}[2J test",
    ]);
    assert_eq!(banned.trim(), "Banned.");
    alone("a ban ends the session", &node);
    let story = why(&id(&other)[..8]);
    assert!(story.contains("nothing: it is banned"), "{story}");
    assert!(story.contains("we closed: banned by the operator"), "{story}");
    assert!(!story.contains('\u{1b}'), "{story:?}");
    assert!(node.end(TERM).success());

    let node = Process::run(dir.path(), &alone_please);
    let error = fails(1, &["peers", "add", "--data-dir", &data, &other.enode]);
    assert!(error.contains("banned"), "{error}");
    // It comes by itself, and is refused as soon as it has proved who it is.
    other.call("admin_addPeer", json!([node.enode]));
    wait_until("the refusal is in the story", || {
        let story = node.call("admin_explainPeer", json!([id(&other)]));
        let incidents = story[0]["incidents"].as_array()?.clone();
        let refused = |incident: &Value| {
            incident["direction"] == "inbound" && incident["stage"] == "greeting"
        };
        incidents.iter().any(refused).then_some(())
    });
    assert!(peers(&node).is_empty());
    wait_until("the other one knows that it was refused", || {
        let story = other.call("admin_explainPeer", json!([id(&node)]));
        let error = story[0]["lastError"].as_str()?.to_owned();
        error.contains("the peer closed").then_some(())
    });
    assert_eq!(of("unban", &id(&other)).trim(), "The ban is lifted.");
    connected("it may come again", &node, &other);
    assert_eq!(of("unban", &id(&other)).trim(), "There was no such ban.");
    of("remove", &other.enode);
    let story = node.call("admin_explainPeer", json!([id(&other)]));
    assert_ne!(story[0]["isStatic"], true, "{story}");
}

#[test]
fn loopback_cannot_be_banned_by_address() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let _node = Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--no-discovery"]);
    let data = text(dir.path());
    let error = fails(1, &["peers", "ban", "--data-dir", &data, "127.0.0.1"]);
    assert!(error.contains("loopback"), "{error}");
    succeeds(&["peers", "ban", "--data-dir", &data, "198.51.100.7", "--for", "60"]);
    let lifted = succeeds(&["peers", "unban", "--data-dir", &data, "198.51.100.7"]);
    assert_eq!(lifted.trim(), "The ban is lifted.");
    let error = fails(1, &["peers", "--data-dir", &data, "--why", "a b"]);
    assert!(error.contains("name a peer by"), "{error}");
}

#[test]
fn a_peer_that_is_not_there_is_explained() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let node = Process::run(dir.path(), &["--genesis", &blocks.genesis(), "--no-discovery"]);
    let key = chainmesh_identity::NodeKey::from_entropy([77; 32]);
    // Nobody listens on port 1.
    let enode = format!("enode://{}@127.0.0.1:1", key.peer_id());
    let added = node.call("admin_addPeer", json!([enode]));
    assert_eq!(
        (&added["id"], &added["isStatic"]),
        (&json!(key.peer_id().to_string()), &json!(true))
    );
    let story = wait_until("two dials have failed", || {
        let story = node.call("admin_explainPeer", json!(["127.0.0.1:1"]))[0].clone();
        let failed = story["incidents"].as_array()?.len() >= 2 && story["nextRetry"].is_f64();
        failed.then_some(story)
    });
    assert_eq!(story["incidents"][0]["stage"], "dial");
    assert!(story["lastError"].as_str().unwrap().contains("connection refused"), "{story}");
    assert!(story["attempts"].as_u64().unwrap() >= 2, "{story}");
}
