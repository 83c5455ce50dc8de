//! `chainmesh devnet`, as scripts use it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Blocks, PROGRAM, directory, end, fails, succeeds, text};

/// A run of `chainmesh devnet --json` whose lines are looked at as they come.
pub(crate) struct Devnet {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Devnet {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["devnet", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The next line; each of them is a JSON object.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut stderr = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("{line:?} is no JSON ({error}): {stderr}")
        })
    }

    /// Reads status lines until one is as wanted, and gives that one and the events so far.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> (Value, Vec<String>) {
        let mut events = Vec::new();
        // A line a second: a minute is long enough for a busy machine.
        for _ in 0..60 {
            let line = self.next();
            assert_eq!(line["type"], "status");
            let texts = line["events"].as_array().unwrap().iter();
            events.extend(texts.map(|event| event["text"].as_str().unwrap().to_owned()));
            if wanted(&line) {
                return (line, events);
            }
        }
        panic!("no line was as wanted; the events were {events:?}");
    }

    /// Ends it as Ctrl-C does, and gives the summary.
    fn end(mut self) -> Value {
        let status = end(&mut self.child, libc::SIGINT);
        assert!(status.success(), "{status}");
        let mut line = self.next();
        while line["type"] == "status" {
            line = self.next();
        }
        assert_eq!(line["type"], "summary");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "something follows the summary");
        line
    }
}

fn heads(line: &Value) -> Vec<(u64, &str)> {
    let head = |node: &'_ Value| node["head"]["number"].as_u64().unwrap();
    let nodes = line["nodes"].as_array().unwrap().iter();
    nodes.map(|node| (head(node), node["head"]["hash"].as_str().unwrap())).collect()
}

#[test]
fn payments_through_the_last_node_are_in_blocks_of_the_first() {
    let mut devnet = Devnet::start(&["--transactions", "20"]);
    let (line, events) = devnet
        .until(|line| line["payments"]["included"].as_u64() >= Some(10) && line["synced"] == true);
    assert!(line["payments"]["sent"].as_u64() >= line["payments"]["included"].as_u64());
    assert!(events.iter().any(|event| event.contains("10000 ether each")), "{events:?}");
    let summary = devnet.end();
    assert!(summary["payments"]["included"].as_u64() >= Some(10), "{summary}");
}

fn peers(line: &Value) -> Vec<u64> {
    let nodes = line["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["peers"].as_u64().unwrap()).collect()
}

#[test]
fn four_nodes_find_each_other_make_blocks_and_agree() {
    let mut devnet = Devnet::start(&[]);
    let (line, mut events) = devnet.until(|line| peers(line) == [3; 4]);
    if !(line["synced"] == true && heads(&line)[0].0 >= 2) {
        events.extend(devnet.until(|line| line["synced"] == true && heads(line)[0].0 >= 2).1);
    }
    assert_eq!(line["nodes"][0]["role"], "validator");
    assert_eq!(line["nodes"][1]["role"], "full");
    assert!(line["nodes"][1]["bytesIn"].as_u64().unwrap() > 0);
    for text in ["node 4 is connected to node 1", "node 4 is connected to node 3"] {
        assert!(events.iter().any(|event| event == text), "{events:?}");
    }
    assert!(events.iter().any(|text| text.starts_with("all nodes have block")), "{events:?}");
    let summary = devnet.end();
    assert_eq!(summary["headsAgree"], true, "{summary}");
    let heads = heads(&summary);
    assert_eq!(heads.len(), 4);
    assert!(heads[0].0 >= 2 && heads.iter().all(|head| *head == heads[0]), "{heads:?}");
}

#[test]
fn without_discovery_the_first_node_is_the_only_peer_of_each() {
    let mut devnet = Devnet::start(&["--no-discovery"]);
    let (line, _) = devnet.until(|line| line["synced"] == true && heads(line)[0].0 >= 5);
    assert_eq!(peers(&line), [3, 1, 1, 1]);
    assert_eq!(devnet.end()["headsAgree"], true);
}

#[test]
fn it_ends_by_itself_after_its_duration() {
    let began = Instant::now();
    let stdout = succeeds(&["devnet", "--json", "--nodes", "2", "--duration", "2"]);
    assert!(began.elapsed() >= Duration::from_secs(2));
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, status) = lines.split_last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert!(!status.is_empty() && status.iter().all(|line| line["type"] == "status"));
}

#[test]
fn a_second_run_goes_on_with_the_chain() {
    let dir = directory();
    let data = text(&dir.path().join("net"));
    let mut first = Devnet::start(&["--nodes", "2", "--data-dir", &data]);
    first.until(|line| heads(line)[1].0 >= 2);
    let first = first.end();
    // One node more than before has everything to catch up.
    let mut second = Devnet::start(&["--nodes", "3", "--data-dir", &data]);
    let (line, _) = second.until(|_| true);
    let before = heads(&first)[0];
    assert!(heads(&line)[0].0 >= before.0, "{line}");
    second.until(|line| heads(line)[2].0 > before.0);
    let second = second.end();
    assert_eq!(second["headsAgree"], true, "{second}");
    assert!(dir.path().join("net/devnet.log").metadata().unwrap().len() > 0);
    let genesis = std::fs::read_to_string(dir.path().join("net/genesis.json")).unwrap();
    assert!(genesis.contains("clique"), "others can join with it: {genesis}");

    let error = fails(1, &["devnet", "--data-dir", &data, "--period", "7", "--duration", "1"]);
    assert!(error.contains("which cannot be changed"), "{error}");
}

#[test]
fn a_chain_file_is_imported_and_synchronised() {
    let blocks = Blocks::make(1, 700);
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let genesis = blocks.genesis();
    let mut devnet = Devnet::start(&["--genesis", &genesis, "--chain", &file]);
    let (line, events) = devnet.until(|line| line["synced"] == true);
    assert_eq!(line["nodes"][0]["role"], "source");
    let hash = &blocks.hashes[699];
    let all = format!("all nodes have block 700 ({}…{})", &hash[2..6], &hash[62..]);
    assert!(events.contains(&all), "{events:?}");
    let summary = devnet.end();
    assert_eq!(summary["headsAgree"], true, "{summary}");
    assert_eq!(heads(&summary), vec![(700, hash.as_str()); 4]);
}

#[test]
fn a_bad_chain_file_is_named() {
    let blocks = Blocks::make(1, 10);
    let whole = blocks.rlp.concat();
    let file = blocks.file("cut.rlp", &whole[..whole.len() - 5]);
    let error = fails(1, &["devnet", "--json", "--genesis", &blocks.genesis(), "--chain", &file]);
    assert!(error.contains("cut.rlp") && error.contains("block 10"), "{error}");
}

#[test]
fn signals_end_it_with_a_summary() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut child = Command::new(PROGRAM)
            .args(["devnet", "--nodes", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        let status = end(&mut child, signal);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(status.success(), "{status}");
        assert!(rest.contains("The devnet ran for") && rest.contains("validator"), "{rest}");
    }
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let mut child = Command::new(PROGRAM)
        .args(["devnet", "--json", "--nodes", "2"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn a_consortium_talks_without_a_link_and_has_one_chain() {
    let dir = directory();
    let data = text(&dir.path().join("net"));
    let mut devnet = Devnet::start(&["--consortium", "--data-dir", &data]);
    let (line, events) = devnet
        .until(|line| line["synced"] == true && line["pings"]["answered"].as_u64().unwrap() >= 2);
    let of = |name: &str| -> Vec<u64> {
        (0..4).map(|at| line["nodes"][at]["mesh"][name].as_u64().unwrap()).collect()
    };
    assert_eq!(of("links"), [2, 3, 3, 2]);
    assert_eq!(of("members"), [3, 3, 3, 3]);
    let route = &line["nodes"][0]["mesh"]["routes"];
    assert_eq!(route[0]["to"], 4, "{route}");
    assert_eq!(route[0]["hops"], 2, "{route}");
    assert!(events.iter().any(|text| text == "node 4 answers node 1"), "{events:?}");
    assert!(events.iter().any(|text| text.starts_with("to see it from inside: ")), "{events:?}");

    // The commands work on its nodes.
    let last = line["nodes"][3]["enode"].as_str().unwrap();
    let last = &last["enode://".len()..][..128];
    let reply = succeeds(&[
        "send",
        "--data-dir",
        &format!("{data}/node1"),
        "--to",
        last,
        "--reply",
        "20",
        "hi",
    ]);
    assert_eq!(reply, "node 4 has got: hi\n");
    let summary = devnet.end();
    assert_eq!(summary["headsAgree"], true, "{summary}");
    assert_eq!(summary["pings"]["lost"], 0, "{summary}");

    // It goes on with the same certificates.
    let list = succeeds(&["ca", "list", "--ca", &format!("{data}/ca"), "--json"]);
    let mut again = Devnet::start(&["--consortium", "--data-dir", &data]);
    again.until(|line| line["pings"]["answered"].as_u64().unwrap() >= 1);
    again.end();
    assert_eq!(succeeds(&["ca", "list", "--ca", &format!("{data}/ca"), "--json"]), list);
}
