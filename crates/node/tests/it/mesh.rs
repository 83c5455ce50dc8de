//! A consortium of real processes: `chainmesh run --consortium`, `mesh`, `send`, `listen`, reload.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, Process, directory, end, fails, succeeds, text, wait_until};

/// A CA, and directories for its nodes.
pub(crate) struct Consortium {
    pub(crate) directory: TempDir,
}

impl Consortium {
    /// A CA that has issued certificates to so many nodes: n0, n1, ….
    pub(crate) fn make(nodes: usize) -> Self {
        let made = Self { directory: directory() };
        succeeds(&["ca", "init", "--ca", &made.path("ca")]);
        (0..nodes).for_each(|node| made.issue(&format!("n{node}")));
        made
    }

    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.directory.path().join(name))
    }

    pub(crate) fn issue(&self, name: &str) {
        let (ca, out) = (self.path("ca"), self.path(name));
        succeeds(&["ca", "issue", "--ca", &ca, "--name", name, "--out", &out]);
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("d{node}"))
    }

    /// Starts a node with links to these.
    fn run(&self, node: usize, links: &[&Process]) -> Process {
        self.run_with(node, links, &[])
    }

    /// The same, with more arguments.
    pub(crate) fn run_with(&self, node: usize, links: &[&Process], more: &[&str]) -> Process {
        self.run_linked(node, links, more, 0).0
    }

    /// A node without links, and so many lines that it prints behind its URL.
    pub(crate) fn run_and_read(
        &self,
        node: usize,
        more: &[&str],
        lines: usize,
    ) -> (Process, Vec<String>) {
        self.run_linked(node, &[], more, lines)
    }

    fn run_linked(
        &self,
        node: usize,
        links: &[&Process],
        more: &[&str],
        lines: usize,
    ) -> (Process, Vec<String>) {
        let certificates = self.path(&format!("n{node}"));
        let mut arguments = vec!["--consortium".to_owned(), "--cert-dir".into(), certificates];
        for link in links {
            arguments.extend(["--node".to_owned(), address(link)]);
        }
        let own = arguments.iter().map(String::as_str);
        let arguments: Vec<&str> = own.chain(more.iter().copied()).collect();
        Process::run_and_read(&self.data(node), &arguments, lines)
    }

    /// Three nodes in a line: 0 - 1 - 2.
    fn line(&self) -> [Process; 3] {
        let first = self.run(0, &[]);
        let middle = self.run(1, &[&first]);
        let last = self.run(2, &[&middle]);
        [first, middle, last]
    }
}

fn address(node: &Process) -> String {
    node.enode.rsplit_once('@').unwrap().1.to_owned()
}

pub(crate) fn id(node: &Process) -> String {
    node.enode.trim_start_matches("enode://").split('@').next().unwrap().to_owned()
}

fn status(node: &Process) -> Value {
    node.call("mesh_status", json!([]))
}

/// The member as `node` sees it, once it is as wanted.
pub(crate) fn member(node: &Process, other: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until("the member is seen as wanted", || {
        let status = status(node);
        let members = status["members"].as_array().unwrap().clone();
        members.into_iter().find(|member| member["id"] == other && wanted(member))
    })
}

fn can_be_written_to(member: &Value) -> bool {
    member["hops"].is_number() && member["statusSeq"].is_number()
}

/// `chainmesh listen`, whose lines are looked at as they come.
struct Listener {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listener {
    /// Started when it says that it listens.
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["listen", "--data-dir", &text(data)])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("listening to "), "{said}");
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn messages_reach_a_node_without_a_link() {
    let consortium = Consortium::make(3);
    let [first, middle, last] = consortium.line();
    let (here, there) = (text(&consortium.data(0)), consortium.data(2));
    let far = member(&first, &id(&last), can_be_written_to);
    assert_eq!(far["hops"], 2);
    assert_eq!(far["via"], id(&middle));
    assert_eq!(far["role"], "consensus");

    let mut listener =
        Listener::start(&there, &["--topic", "news", "--topic", "x", "--reply", "thank\u{7}s"]);
    let send = |more: &[&str]| succeeds(&[&["send", "--data-dir", &here], more].concat());
    let reply = send(&["--to", &id(&last), "--reply", "20", "good day"]);
    assert_eq!(reply, "thank\\u{7}s\n", "the reply, escaped");
    assert!(listener.line().ends_with("[you]  good day\n"));
    // The first digits are enough; without --reply nothing is printed but a note.
    assert_eq!(send(&["--to", &id(&last)[..12], "again"]), "");
    assert!(listener.line().ends_with("[you]  again\n"));

    member(&first, &id(&last), |member| member["topics"] == json!(["news", "x"]));
    assert_eq!(send(&["--topic", "news", "it rains"]), "sent to 1 node in 1 copy\n");
    let line = listener.line();
    assert!(line.ends_with("[news]  it rains\n") && line.contains(&id(&first)[..8]), "{line}");
    assert!(send(&["--topic", "old", "it rained"]).starts_with("sent to nobody: "));

    assert_eq!(send(&["--all", "to all"]), "sent to 2 nodes in 2 copies, confirmed by 2\n");
    assert!(listener.line().ends_with("[all]  to all\n"));

    // A topic is left when its listener ends, and what was passed on was counted.
    assert!(end(&mut listener.child, libc::SIGINT).success());
    let mut rest = String::new();
    listener.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    member(&first, &id(&last), |member| member["topics"] == json!([]));
    assert!(status(&middle)["counters"]["forwarded"].as_u64().unwrap() > 0);

    let table = succeeds(&["mesh", "--data-dir", &here]);
    assert!(table.contains("LINKED TO") && table.contains("direct"), "{table}");
    assert!(table.contains("CN=n0"), "{table}");
}

#[test]
fn a_message_that_does_not_arrive_says_why() {
    let consortium = Consortium::make(3);
    let [first, middle, mut last] = consortium.line();
    let here = text(&consortium.data(0));
    let fails = |more: &[&str]| fails(1, &[&["send", "--data-dir", &here], more].concat());
    member(&first, &id(&last), can_be_written_to);
    // Nobody listens there: the node itself acknowledges, and no application replies.
    let error = fails(&["--to", &id(&last), "--reply", "1", "good day"]);
    assert!(error.contains("did not reply in time"), "{error}");

    let stranger = id(&last).replace(|digit: char| digit.is_ascii_digit(), "e");
    let error = fails(&["--to", &stranger, "good day"]);
    assert!(error.contains("no member of the mesh has announced this node"), "{error}");
    let error = fails(&["--to", "zz", "good day"]);
    assert!(error.contains("a node is named by its ID"), "{error}");
    assert!(!error.contains("mesh_send"), "people need not know the method: {error}");

    let name = id(&last);
    last.kill();
    member(&first, &name, |member| member["hops"].is_null());
    let error = fails(&["--to", &name, "good day"]);
    assert!(error.contains("there is no way to this node now"), "{error}");
    // The others have not noticed.
    succeeds(&["send", "--data-dir", &here, "--to", &id(&middle), "good day"]);
}

#[test]
fn a_listener_ends_with_its_node() {
    let consortium = Consortium::make(1);
    let mut node = consortium.run(0, &[]);
    let mut listener = Listener::start(&consortium.data(0), &["--topic", "news"]);
    node.kill();
    let status = wait_until("the listener ends", || listener.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    listener.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "error: the node has ended\n");
}

#[test]
fn a_node_of_another_ca_is_not_let_in() {
    let (ours, theirs) = (Consortium::make(1), Consortium::make(1));
    let node = ours.run(0, &[]);
    let stranger = theirs.run(0, &[&node]);
    let wanted = wait_until("the stranger was refused", || {
        let wanted = stranger.call("chainmesh_wantedPeers", json!([]));
        let wanted = wanted[0].clone();
        (wanted["lastError"].is_string() && wanted["dials"].as_u64() >= Some(2)).then_some(wanted)
    });
    assert_eq!(wanted["address"], address(&node), "{wanted}");
    assert_eq!(status(&node)["members"], json!([]));
    assert_eq!(status(&stranger)["members"], json!([]));
}

/// Row 32 of the matrix: revoked while connected.
#[test]
fn a_revoked_node_is_cut_off_within_five_seconds_and_the_others_stay() {
    let consortium = Consortium::make(3);
    let first = consortium.run(0, &[]);
    let second = consortium.run(1, &[&first]);
    let third = consortium.run(2, &[&first]);
    for other in [&second, &third] {
        member(&first, &id(other), |member| member["hops"] == 1);
    }
    let ca = consortium.path("ca");
    succeeds(&["ca", "revoke", "n1", "--ca", &ca]);
    // What follows is seen by the files alone.
    let began = std::time::Instant::now();
    succeeds(&["ca", "export", "n0", "--ca", &ca, "--out", &consortium.path("n0")]);
    member(&first, &id(&second), |member| member["hops"].is_null());
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    let peers = first.call("admin_peers", json!([]));
    assert_eq!(peers.as_array().unwrap().len(), 1, "{peers}");
    assert!(third.enode.contains(peers[0]["publicKey"].as_str().unwrap()), "{peers}");
}

#[test]
fn lists_change_at_run_time_and_a_broken_one_changes_nothing() {
    let consortium = Consortium::make(2);
    let mut first = consortium.run(0, &[]);
    let second = consortium.run(1, &[&first]);
    member(&first, &id(&second), |member| member["hops"] == 1);
    let data = text(&consortium.data(0));
    let reload = ["mesh", "--data-dir", &data, "--reload"];
    assert_eq!(succeeds(&reload), "Nothing is different.\n");

    let deny = consortium.directory.path().join("n0/deny.list");
    std::fs::write(&deny, "not an ID\n").unwrap();
    let error = fails(1, &reload);
    assert!(error.contains("deny.list, line 1: ") && error.contains("stays as it was"), "{error}");
    member(&first, &id(&second), |member| member["hops"] == 1);

    // A list that was read on SIGHUP and is gone before the watch has seen it: the watch once
    // compared with its own last look, and the denied node stayed out for ever.
    std::fs::write(&deny, format!("{} # n1\n", id(&second))).unwrap();
    let process = i32::try_from(first.id()).unwrap();
    // SAFETY: kill takes no pointers; the process is our child, and has not been waited for.
    assert_eq!(unsafe { libc::kill(process, libc::SIGHUP) }, 0);
    member(&first, &id(&second), |member| member["hops"].is_null());
    std::fs::remove_file(&deny).unwrap();
    member(&first, &id(&second), |member| member["hops"] == 1);
    assert!(first.end(libc::SIGTERM).success());
    let log = first.stderr();
    assert!(log.contains("reloaded: denied: 1 ID, before: 0 IDs"), "{log}");
    assert!(log.contains("reloaded: denied: 0 IDs, before: 1 ID"), "{log}");
}

#[test]
fn a_certificate_is_renewed_without_losing_sessions() {
    let consortium = Consortium::make(2);
    let first = consortium.run(0, &[]);
    let second = consortium.run(1, &[&first]);
    member(&first, &id(&second), |member| member["hops"] == 1);
    let before = status(&first)["certificate"]["serial"].clone();
    let (ca, out) = (consortium.path("ca"), consortium.path("n0"));
    let key = format!("{out}/node.key");
    succeeds(&["ca", "issue", "--ca", &ca, "--name", "n0", "--out", &out, "--key", &key]);
    wait_until("the new certificate is there", || {
        (status(&first)["certificate"]["serial"] != before).then_some(())
    });
    let peer = &first.call("admin_peers", json!([]))[0];
    assert!(peer["connectedSeconds"].as_f64().unwrap() > 0.5, "the old session goes on: {peer}");

    // Another key would be another node.
    let other = Consortium::make(0);
    other.issue("n0");
    std::fs::copy(other.path("n0/node.key"), &key).unwrap();
    std::fs::copy(other.path("n0/node.crt"), format!("{out}/node.crt")).unwrap();
    let error = fails(1, &["mesh", "--data-dir", &text(&consortium.data(0)), "--reload"]);
    assert!(error.contains("is for another key"), "{error}");
}

#[test]
fn nodes_of_the_configuration_change_at_run_time() {
    let consortium = Consortium::make(2);
    let first = consortium.run(0, &[]);
    let config = consortium.directory.path().join("node.toml");
    let write = |nodes: &str, groups: &str| {
        let certificates = consortium.path("n1");
        let text = format!(
            "[p2p]\nlisten = \"127.0.0.1:0\"\nsession = \"tls\"\nnodes = [{nodes}]\n\
             [cert]\ndir = {certificates:?}\n[mesh]\ngroups = [{groups}]\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write("", "\"group0\"");
    let second = Process::run(&consortium.data(1), &["--config", &text(&config)]);
    let node = format!("\"{}\"", address(&first));
    write(&node, "\"group0\", \"group1\"");
    let data = text(&consortium.data(1));
    // The watch may have been faster.
    succeeds(&["mesh", "--data-dir", &data, "--reload"]);
    member(&second, &id(&first), |member| member["hops"] == 1);
    write(&node, "\"group0\"");
    let said = wait_until("the difference is told", || {
        let said = succeeds(&["mesh", "--data-dir", &data, "--reload"]);
        write("", "\"group0\"");
        (!said.starts_with("Nothing")).then_some(said)
    });
    assert!(said.contains("other parts of the configuration changed") || said.contains("need not"));
}

#[test]
fn what_contradicts_itself_is_said_before_the_node_starts() {
    let consortium = Consortium::make(1);
    let (data, certificates) = (text(&consortium.data(0)), consortium.path("n0"));
    let run = |more: &[&str]| fails(1, &[&["run", "--data-dir", &data], more].concat());
    let error = run(&["--consortium"]);
    assert!(error.contains("no CA is named") || error.contains("node.crt"), "{error}");
    let error = run(&["--consortium", "--cert-dir", "/nowhere"]);
    assert!(error.contains("/nowhere/node.crt"), "{error}");
    let error = run(&["--node", "127.0.0.1:1"]);
    assert!(error.contains("must be an enode URL"), "{error}");
    let config = consortium.directory.path().join("bad.toml");
    for (content, said) in [
        ("[cert]\nca = [\"x\"]", "[p2p] session = \"tls\""),
        ("port = 1\n[p2p]\nlisten = \"0.0.0.0:1\"", "where to listen twice"),
        ("[p2p]\nsession = \"rlpx\"", "--consortium needs TLS"),
        ("[p2p]\nnode = []", "did you mean `nodes`?"),
    ] {
        std::fs::write(&config, content).unwrap();
        let consortium: &[&str] = if content.contains("rlpx") {
            &["--consortium", "--cert-dir", &certificates]
        } else {
            &[]
        };
        let error = run(&[&["--config", &text(&config)], consortium].concat());
        assert!(error.contains(said) && error.contains("bad.toml"), "{content}: {error}");
    }
    let error = fails(2, &["send", "--data-dir", &data, "--to", "x", "--all", "text"]);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = fails(1, &["mesh", "--data-dir", &data]);
    assert!(error.contains("no node runs on"), "{error}");
}
