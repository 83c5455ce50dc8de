//! `chainmesh sub` and `chainmesh pub`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Two, port};
use crate::support::{PROGRAM, chainmesh, end, fails, succeeds, text};

/// `chainmesh sub`, whose lines are looked at as they come.
struct Sub {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Drop for Sub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sub {
    /// Started when it says that it has subscribed.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("sub")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut sub = Self { child, stdout, stderr };
        let said = sub.note();
        assert!(said.starts_with("subscribed to "), "{said}");
        sub
    }

    fn note(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn a_publisher_and_a_subscriber_at_two_nodes() {
    let two = Two::start();
    let (here, there) = (text(&two.consortium.data(0)), text(&two.consortium.data(1)));
    let publish = |more: &[&str]| succeeds(&[&["pub", "news", "--data-dir", &here], more].concat());

    let error = fails(1, &["pub", "news", "hello?", "--data-dir", &here]);
    assert!(error.contains("nobody follows the topic (3001)"), "{error}");

    let reply = ["--reply", "thank\u{7}s"];
    let mut sub = Sub::start(&[&["news", "x", "--data-dir", &*there][..], &reply].concat());
    two.followed(0, "news", 1, 0);
    assert_eq!(publish(&["it rains\u{1b}[2J"]), "thank\\u{7}s\n", "the answer, escaped");
    let line = sub.line();
    assert!(line.ends_with("  to one  [news]  it rains\\u{1b}[2J\n"), "{line}");
    assert_eq!(publish(&["--multicast", "to all"]), "");
    assert!(sub.line().ends_with("  to all  [news]  to all\n"));

    // Any bytes from a file, and JSON.
    let file = two.consortium.path("photo");
    std::fs::write(&file, [0xff, 0, 1]).unwrap();
    let answer: Value = serde_json::from_str(&publish(&["--file", &file, "--json"])).unwrap();
    assert_eq!((&answer["text"], answer["milliseconds"].is_f64()), (&"thank\u{7}s".into(), true));
    assert!(sub.line().ends_with("[news]  0xff0001\n"));

    // Lines of stdin: all are delivered, and a summary says so.
    let lines: String = (0..500).map(|number| format!("{number}\n")).collect();
    let mut command = assert_cmd::Command::new(PROGRAM);
    command.args(["pub", "news", "--data-dir", &here]).write_stdin(lines);
    let output = command.timeout(std::time::Duration::from_secs(60)).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("500 answered in ") && stderr.contains("p99"), "{stderr}");
    let numbers: Vec<u32> =
        (0..500).map(|_| sub.line().rsplit_once(' ').unwrap().1.trim().parse().unwrap()).collect();
    assert!(numbers.into_iter().eq(0..500), "in the order of the lines");

    // Ctrl-C is a way to end, and the topics are left.
    assert!(end(&mut sub.child, libc::SIGINT).success());
    let mut rest = String::new();
    sub.stdout.read_to_string(&mut rest).unwrap();
    sub.stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    two.followed(0, "news", 0, 0);
}

#[test]
fn urls_json_and_counts() {
    let two = Two::start();
    let certificates = text(&two.certificates());
    let url = |scheme: &str, node: usize, kind: &str| {
        format!("{scheme}://{}", port(&two.nodes[node], kind))
    };
    let (channel, websocket) = (url("channel", 1, "channel"), url("wss", 0, "websocket"));
    let mut sub = Sub::start(&[
        "news",
        "--node",
        &channel,
        "--cert-dir",
        &certificates,
        "--json",
        "--echo",
        "--count",
        "2",
    ]);
    two.followed(0, "news", 1, 0);
    let publish = |message: &[&str]| {
        let common = ["pub", "news", "--node", &*websocket, "--cert-dir", &*certificates];
        succeeds(&[&common[..], message].concat())
    };
    assert_eq!(publish(&["good day"]), "good day\n");
    let first: Value = serde_json::from_str(&sub.line()).unwrap();
    assert_eq!(
        (&first["text"], &first["kind"], &first["sequence"]),
        (&"good day".into(), &"unicast".into(), &1.into())
    );
    let file = two.consortium.path("bytes");
    std::fs::write(&file, [0xfe, 0xed]).unwrap();
    assert_eq!(publish(&["--file", &file]), "0xfeed\n");
    let second: Value = serde_json::from_str(&sub.line()).unwrap();
    assert_eq!((&second["hex"], &second["bytes"]), (&"0xfeed".into(), &2.into()));
    assert!(sub.child.wait().unwrap().success(), "it ends after two");
}

#[test]
fn a_stream_ends_with_a_signal_and_says_what_was_delivered() {
    let two = Two::start();
    let (here, there) = (text(&two.consortium.data(0)), text(&two.consortium.data(1)));
    let mut sub = Sub::start(&["news", "--data-dir", &there]);
    two.followed(0, "news", 1, 0);
    let mut publisher = Command::new(PROGRAM)
        .args(["pub", "news", "-", "--data-dir", &here])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = publisher.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    assert!(sub.line().ends_with("one\n"));
    assert!(sub.line().ends_with("two\n"));
    // stdin stays open.
    assert!(end(&mut publisher, libc::SIGINT).success());
    let mut said = String::new();
    publisher.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("2 answered in "), "{said}");
    drop(stdin);
}

#[test]
fn a_lost_node_is_told_on_stderr_and_found_again() {
    let mut two = Two::start();
    let there = text(&two.consortium.data(1));
    let ports = ["channel", "websocket"].map(|kind| port(&two.nodes[1], kind));
    let mut sub = Sub::start(&["news", "--data-dir", &there, "--count", "1"]);
    two.nodes[1].kill();
    let note = sub.note();
    assert!(
        note.starts_with("the connection is lost: ") && note.contains("trying again"),
        "{note}"
    );
    let flags = ["--sdk-channel", &*ports[0], "--sdk-websocket", &*ports[1]];
    two.nodes[1] = two.consortium.run_with(1, &[&two.nodes[0]], &flags);
    let found = loop {
        let note = sub.note();
        if !note.starts_with("still not connected: ") {
            break note;
        }
    };
    assert!(found.starts_with("connected to wss://"), "{found}");
    two.followed(0, "news", 1, 0);
    succeeds(&["pub", "news", "x", "--data-dir", &text(&two.consortium.data(0))]);
    assert!(sub.line().ends_with("[news]  x\n"));
    assert!(sub.child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let error = fails(1, &["pub", "news", "x"]);
    assert!(error.contains("which node? Give --data-dir"), "{error}");
    let error = fails(1, &["sub", "news", "--node", "wss://127.0.0.1:1"]);
    assert!(
        error.contains("needs a certificate") && error.contains("chainmesh ca issue"),
        "{error}"
    );
    let error = fails(1, &["sub", "news", "--node", "ws://127.0.0.1:1"]);
    assert!(error.contains("nobody listens there"), "{error}");
    for (wrong, why) in [
        (&["sub"][..], "<TOPIC>"),
        (&["sub", "x", "--node", "http://h:1"], "ws://, wss://, channel://"),
        (&["sub", "x", "--reply", "a", "--echo"], "cannot be used with"),
        (&["pub", "x", "text", "--file", "f"], "cannot be used with"),
        (&["pub", "x", "y", "--timeout", "0"], "1..=3600"),
    ] {
        let error = fails(2, wrong);
        assert!(error.contains(why), "{wrong:?}: {error}");
    }
    for help in ["sub", "pub"] {
        let output = chainmesh(&[help, "--help"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("It ends with 0") && said.contains("Examples:"), "{said}");
    }
}
