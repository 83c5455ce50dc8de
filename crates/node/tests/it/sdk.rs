//! SDKs of FISCO BCOS at the ports of real nodes, over TLS between the nodes.

mod bad_input;
mod bystanders;
mod client;
mod commands;
mod library;
mod limits;
mod reload;
mod silent;

use std::path::{Path, PathBuf};
use std::process::Command;

use chainmesh_identity::tls::Versions;
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode};
use chainmesh_wire::amop::ws::{WsStatus, WsType};
use serde_json::{Value, json};

use crate::mesh::{Consortium, id, member};
use crate::support::{Blocks, Process, fails, succeeds, text, wait_until};
use client::{Sdk2, Sdk3, echoed};

const PORTS: [&str; 4] = ["--sdk-channel", "127.0.0.1:0", "--sdk-websocket", "127.0.0.1:0"];

/// Two nodes with ports for SDKs, and a certificate for these.
struct Two {
    consortium: Consortium,
    nodes: [Process; 2],
}

impl Two {
    fn start() -> Self {
        let consortium = Consortium::make(2);
        consortium.issue("sdk");
        let first = consortium.run_with(0, &[], &PORTS);
        let second = consortium.run_with(1, &[&first], &PORTS);
        member(&first, &id(&second), |member| member["statusSeq"].is_number());
        Self { consortium, nodes: [first, second] }
    }

    fn certificates(&self) -> PathBuf {
        self.consortium.path("sdk").into()
    }

    fn sdk2(&self, node: usize) -> Sdk2 {
        let address = port(&self.nodes[node], "channel");
        let mut sdk = Sdk2::connect(&address, &self.certificates(), Versions::Tls12);
        sdk.hello();
        sdk
    }

    fn sdk3(&self, node: usize) -> Sdk3 {
        Sdk3::connect(&port(&self.nodes[node], "websocket"), Some(&self.certificates()))
    }

    /// Waits until a node knows so many nodes and SDKs that follow a topic.
    fn followed(&self, node: usize, topic: &str, nodes: usize, sdks: usize) {
        wait_until("the topic is followed", || {
            let topics = status(&self.nodes[node])["topics"].as_array().unwrap().clone();
            let found = topics.into_iter().find(|found| found["topic"] == topic);
            let count = |name: &str| {
                found.as_ref().map_or(0, |found| found[name].as_array().unwrap().len())
            };
            (count("nodes") == nodes && count("sdks") == sdks).then_some(())
        });
    }
}

fn status(node: &Process) -> Value {
    node.call("amop_topics", json!([]))
}

fn port(node: &Process, kind: &str) -> String {
    status(node)[kind].as_str().unwrap().to_owned()
}

#[test]
fn sdks_of_2_talk_across_nodes() {
    let two = Two::start();
    let (mut publisher, mut subscriber) = (two.sdk2(0), two.sdk2(1));

    // Nobody follows the topic anywhere.
    let seq = publisher.publish(FrameType::AmopRequest, "news", b"hello?");
    assert_eq!(publisher.answer(seq).0, ResultCode(100));

    subscriber.subscribe(&["news", "_block_notify_1"]);
    two.followed(0, "news", 1, 0);
    let seq = publisher.publish(FrameType::AmopRequest, "news", b"it rains");
    let got = subscriber.echo(FrameType::AmopRequest);
    assert_eq!(got, ("news".to_owned(), "it rains".into()));
    assert_eq!(publisher.answer(seq), (ResultCode(0), echoed("news", b"it rains")));

    // Everybody, the publisher's own session included, and it is answered at once.
    publisher.subscribe(&["news"]);
    let mut other = two.sdk2(1);
    other.subscribe(&["news"]);
    let seq = publisher.publish(FrameType::AmopMulticast, "news", b"to all");
    let frames = [publisher.receive(), publisher.receive()];
    let mut kinds = frames.map(|frame| (frame.frame_type, frame.result.0, frame.seq == seq));
    kinds.sort();
    let answer = (FrameType::AmopResponse, 0, true);
    assert_eq!(kinds[0], answer, "the answer has the seq of the publisher");
    assert_eq!(kinds[1], (FrameType::AmopMulticast, 0, false), "a fresh seq for its own message");
    for sdk in [&mut subscriber, &mut other] {
        let got = sdk.echo(FrameType::AmopMulticast);
        assert_eq!(got, ("news".to_owned(), "to all".into()));
    }

    // It leaves the topic, the others do not.
    subscriber.subscribe(&[]);
    other.subscribe(&[]);
    two.followed(0, "news", 0, 1);
    publisher.subscribe(&[]);
    let seq = publisher.publish(FrameType::AmopRequest, "news", b"hello?");
    assert_eq!(publisher.answer(seq).0, ResultCode(100));
}

#[test]
fn large_messages_and_a_burst_arrive_whole_and_one_frame_in_a_record() {
    let two = Two::start();
    let (mut publisher, mut subscriber) = (two.sdk2(0), two.sdk2(1));
    let longest = "t".repeat(254);
    subscriber.subscribe(&["large", &longest]);
    two.followed(0, "large", 1, 0);
    for size in [0, 1, 16_384, 40_000, 1_000_000] {
        let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let seq = publisher.publish(FrameType::AmopRequest, "large", &data);
        assert_eq!(subscriber.echo(FrameType::AmopRequest).1, data);
        assert_eq!(publisher.answer(seq), (ResultCode(0), echoed("large", &data)));
    }
    let seq = publisher.publish(FrameType::AmopRequest, &longest, b"x");
    assert_eq!(subscriber.echo(FrameType::AmopRequest), (longest.clone(), "x".into()));
    assert_eq!(publisher.answer(seq).0, ResultCode(0));

    // They are pushed faster than they are read, and still come by themselves.
    let before = subscriber.records;
    for number in 0..1_000_u32 {
        publisher.publish(FrameType::AmopMulticast, "large", &number.to_be_bytes());
    }
    for number in 0..1_000_u32 {
        assert_eq!(subscriber.echo(FrameType::AmopMulticast).1, number.to_be_bytes()[..]);
    }
    assert_eq!(subscriber.records - before, 1_000, "each in a record of its own");
}

#[test]
fn another_subscriber_gets_it_when_one_is_gone() {
    let two = Two::start();
    let mut publisher = two.sdk2(0);
    let (mut stays, mut goes) = (two.sdk2(1), two.sdk2(1));
    stays.subscribe(&["news"]);
    goes.subscribe(&["news"]);
    two.followed(0, "news", 1, 0);
    two.followed(1, "news", 0, 2);
    // Until one was drawn that does not answer, and goes.
    let seq = loop {
        let seq = publisher.publish(FrameType::AmopRequest, "news", b"who?");
        let drawn = wait_until("one is asked", || {
            let sdks = status(&two.nodes[1])["sdks"].as_array().unwrap().clone();
            sdks.iter().position(|sdk| sdk["unanswered"] == 1)
        });
        if drawn == 1 {
            break seq;
        }
        stays.echo(FrameType::AmopRequest);
        assert_eq!(publisher.answer(seq).0, ResultCode(0));
    };
    drop(goes);
    assert_eq!(stays.echo(FrameType::AmopRequest).1, "who?");
    assert_eq!(publisher.answer(seq), (ResultCode(0), echoed("news", b"who?")));
}

/// Both verdicts: the publisher's SDK is asked about a subscriber at another node.
#[test]
fn a_private_topic_is_for_those_whom_the_publisher_lets_in() {
    let two = Two::start();
    let (mut publisher, mut subscriber) = (two.sdk2(0), two.sdk2(1));
    let topic = "#!$TopicNeedVerify_secret";
    let ask = |publisher: &mut Sdk2, data: &[u8]| {
        let seq = publisher.publish(FrameType::AmopRequest, topic, data);
        publisher.answer(seq).0
    };
    publisher.subscribe(&[&format!("#!$PushChannel_{topic}")]);
    for (uuid, verdict) in [("0a", 1), ("0b", 0)] {
        let channel = format!("#!$VerifyChannel_{topic}_{}", uuid.repeat(16));
        subscriber.subscribe(&[topic, &channel]);
        two.followed(0, &channel, 1, 0);
        let question = publisher.receive();
        assert_eq!(question.frame_type, FrameType::VerifyTopic);
        let asked: Value = serde_json::from_slice(&question.data).unwrap();
        assert_eq!((&asked["topic"], &asked["topicForCert"]), (&json!(topic), &json!(channel)));
        assert_eq!(asked["nodeId"], id(&two.nodes[1]));
        assert_eq!(ask(&mut publisher, b"not yet"), ResultCode(100));
        let said = json!({"checkResult": verdict, "nodeId": asked["nodeId"], "topic": topic});
        let seq = publisher.fresh();
        let frame = Frame::new(FrameType::UpdateTopicStatus, seq, said.to_string().into());
        publisher.send(&frame);
        if verdict == 0 {
            let seq = publisher.publish(FrameType::AmopRequest, topic, b"a secret");
            assert_eq!(subscriber.echo(FrameType::AmopRequest).1, "a secret");
            assert_eq!(publisher.answer(seq), (ResultCode(0), echoed(topic, b"a secret")));
        } else {
            assert_eq!(ask(&mut publisher, b"never"), ResultCode(100));
            // It asks again under another name.
            subscriber.subscribe(&[]);
            two.followed(0, topic, 0, 0);
        }
    }
}

#[test]
fn sdks_of_2_and_3_talk_to_each_other() {
    let two = Two::start();
    let (mut old, mut new) = (two.sdk2(0), two.sdk3(1));
    let nobody = new.publish("old", b"hello?");
    assert_eq!((nobody.kind, nobody.status), (WsType::Untyped, WsStatus(3001)));
    old.subscribe(&["old"]);
    new.subscribe(&["new"]);
    two.followed(0, "new", 1, 0);
    two.followed(1, "old", 1, 0);

    let seq = old.publish(FrameType::AmopRequest, "new", b"from 2");
    assert_eq!(new.echo(WsType::AmopRequest).data, "from 2");
    assert_eq!(old.answer(seq), (ResultCode(0), echoed("new", b"from 2")));

    let asking = std::thread::spawn(move || {
        let answer = new.publish("old", b"from 3");
        (new, answer)
    });
    assert_eq!(old.echo(FrameType::AmopRequest), ("old".to_owned(), "from 3".into()));
    let (mut new, answer) = asking.join().unwrap();
    assert_eq!((answer.kind, answer.status), (WsType::AmopResponse, WsStatus::SUCCESS));
    assert_eq!(answer.payload, "echo:from 3");

    new.broadcast("old", b"to all");
    assert_eq!(old.echo(FrameType::AmopMulticast).1, "to all");
    let seq = old.publish(FrameType::AmopMulticast, "new", b"to all");
    assert_eq!(old.answer(seq).0, ResultCode(0));
    assert_eq!(new.echo(WsType::AmopBroadcast).data, "to all");
}

#[test]
fn what_sdks_ask_at_their_start_is_answered() {
    let two = Two::start();
    let mut old = two.sdk2(0);
    let mut ids = [id(&two.nodes[0]), id(&two.nodes[1])];
    assert_eq!(old.call("getGroupList", json!([]))["result"], json!(["1"]));
    assert_eq!(old.call("getBlockNumber", json!([1]))["result"], "0x0");
    assert_eq!(old.call("getClientVersion", json!([]))["result"]["Chain Id"], "1");
    assert_eq!(old.call("getGroupPeers", json!([1]))["result"], json!(ids));
    assert_eq!(old.call("getPeers", json!([1]))["result"][0]["NodeID"], ids[1]);
    assert_eq!(old.call("getNodeInfo", json!([]))["result"]["NodeID"], ids[0]);
    let error = old.call("sendRawTransaction", json!([1, "0x"]))["error"].clone();
    assert_eq!(error["code"], -32601);
    // No "params" at all, as the Go SDK writes it; and what is no call.
    let seq = old.fresh();
    for (call, wanted) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"getGroupList"}"#, "[\"1\"]"),
        (r#"{"id":1}"#, "-32600"),
        ("[", "-32700"),
    ] {
        old.send(&Frame::new(FrameType::Rpc, seq, call.into()));
        let answer = String::from_utf8(old.receive().data.to_vec()).unwrap();
        assert!(answer.contains(wanted) && answer.ends_with("}\n"), "{answer}");
    }

    let mut new = two.sdk3(0);
    assert_eq!(new.call("getGroupList")["result"]["groupList"], json!(["group0"]));
    assert_eq!(new.call("getBlockNumber")["result"], 0);
    assert_eq!(new.call("getGroupPeers")["result"], json!(ids));
    ids.sort();
    let peers = new.call("getPeers")["result"].clone();
    assert_eq!(peers["peers"][0]["groupNodeIDInfo"][0]["group"], "group0", "{peers}");
}

/// FISCO's WebSocket port has the JSON-RPC of the node; here both ports have it, if it only reads.
#[test]
fn the_nodes_own_methods_that_only_read_are_answered() {
    let blocks = Blocks::make(8, 3);
    let consortium = Consortium::make(1);
    consortium.issue("sdk");
    let genesis = blocks.genesis();
    let node = consortium.run_with(0, &[], &[&PORTS[..], &["--genesis", &genesis]].concat());
    let (_, head) = node.head();
    let certificates: PathBuf = consortium.path("sdk").into();
    let mut old = Sdk2::connect(&port(&node, "channel"), &certificates, Versions::Tls12);
    old.hello();
    let mut new = Sdk3::connect(&port(&node, "websocket"), Some(&certificates));
    let mut ask = |method: &str, params: Value| {
        let call = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
        let answer = new.ask(WsType::RpcRequest, call.to_string().into());
        assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus::SUCCESS));
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer, old.call(method, params), "both ports say the same");
        answer
    };
    assert_eq!(ask("eth_chainId", json!([]))["result"], "0x7");
    assert_eq!(ask("net_version", json!([]))["result"], "7");
    let client = ask("web3_clientVersion", json!([]))["result"].clone();
    assert!(client.as_str().unwrap().starts_with("chainmesh/"), "{client}");
    let block = ask("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["result"]["hash"], head);
    assert!(ask("eth_getBlockByNumber", json!(["soon", false]))["error"]["code"].is_number());
    for method in
        ["admin_peers", "mesh_status", "mesh_reload", "amop_topics", "eth_sendTransaction"]
    {
        assert_eq!(ask(method, json!([]))["error"]["code"], -32601, "{method}");
    }
    // A burst of calls that read the disk: an answer each.
    let seqs: Vec<_> = (0..200).map(|_| old.fresh()).collect();
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_getBlockByNumber","params":["0x0",false]}"#;
    for seq in &seqs {
        old.send(&Frame::new(FrameType::Rpc, *seq, call.into()));
    }
    let mut answered: Vec<_> = seqs.iter().map(|_| old.receive().seq).collect();
    answered.sort();
    assert_eq!(answered, seqs);
}

#[test]
fn a_burst_of_unicasts_is_answered_whole() {
    let two = Two::start();
    let (mut publisher, mut subscriber) = (two.sdk2(0), two.sdk2(1));
    subscriber.subscribe(&["news"]);
    two.followed(0, "news", 1, 0);
    let echoes = std::thread::spawn(move || {
        (0..1_000).for_each(|_| drop(subscriber.echo(FrameType::AmopRequest)));
        subscriber
    });
    let seqs: Vec<_> =
        (0..1_000).map(|_| publisher.publish(FrameType::AmopRequest, "news", b"x")).collect();
    let mut answers: Vec<_> = seqs.iter().map(|_| publisher.receive()).collect();
    echoes.join().unwrap();
    answers.sort_by_key(|answer| answer.seq);
    for (answer, seq) in answers.iter().zip(&seqs) {
        assert_eq!((answer.result, &answer.seq), (ResultCode(0), seq));
        assert_eq!(answer.data, echoed("news", b"x"));
    }
}

#[test]
fn a_client_that_comes_back_has_its_topics_before_it_says_so() {
    let two = Two::start();
    let (mut publisher, mut subscriber) = (two.sdk2(0), two.sdk2(1));
    subscriber.subscribe(&["news"]);
    two.followed(0, "news", 1, 0);
    drop(subscriber);
    two.followed(0, "news", 0, 0);
    let mut again = two.sdk2(1);
    two.followed(0, "news", 1, 0);
    let seq = publisher.publish(FrameType::AmopRequest, "news", b"again");
    assert_eq!(again.echo(FrameType::AmopRequest).1, "again");
    assert_eq!(publisher.answer(seq).0, ResultCode(0));
}

#[test]
fn topics_are_shown_escaped() {
    let two = Two::start();
    let mut sdk = two.sdk2(0);
    sdk.subscribe(&["plain", "\u{1b}[31mred\n"]);
    two.followed(1, "plain", 1, 0);
    for (node, here) in [(0, "1"), (1, "0")] {
        let data = text(&two.consortium.data(node));
        let shown = succeeds(&["topics", "--data-dir", &data]);
        assert!(shown.contains("TOPIC") && shown.contains("SDKs of 2.x  127.0.0.1:"), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.contains("\\x1b[31mred\\n"), "{shown}");
        let line = shown.lines().find(|line| line.trim_start().starts_with("plain")).unwrap();
        assert!(line.contains(here), "{line}");
        let json = succeeds(&["topics", "--data-dir", &data, "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["topics"].as_array().unwrap().len(), 2, "{json}");
    }
}

/// Runs openssl, which must be content.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A CA, and a certificate for the ports and for the SDKs alike, all with keys of one kind.
fn certificates_of(directory: &Path, key: &str) {
    openssl(directory, &format!("{key} -out ca.key"));
    openssl(directory, "req -x509 -new -key ca.key -subj /CN=chain -days 30 -out ca.crt");
    openssl(directory, &format!("{key} -out node.key"));
    openssl(directory, "req -new -key node.key -subj /CN=sdk -out node.csr");
    std::fs::write(directory.join("ext"), "basicConstraints = CA:FALSE\n").unwrap();
    let sign =
        "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext";
    openssl(directory, &format!("{sign} -out node.crt"));
}

#[test]
fn clients_with_every_kind_of_certificate_are_served() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var("CI").is_err(), "there is no openssl");
        eprintln!("SKIP: certificates of other kinds are made by openssl, which is not here");
        return;
    }
    let consortium = Consortium::make(1);
    for (name, key, tls13) in [
        ("secp256k1", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", true),
        ("p256", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", true),
        ("rsa", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", true),
    ] {
        let directory: PathBuf = consortium.path(name).into();
        std::fs::create_dir(&directory).unwrap();
        certificates_of(&directory, key);
        let own = text(&directory);
        let more = [&PORTS[..], &["--sdk-cert-dir", &own]].concat();
        let node = consortium.run_with(0, &[], &more);
        let address = port(&node, "channel");
        for versions in [Versions::Tls12, Versions::Both] {
            let mut sdk = Sdk2::connect(&address, &directory, versions);
            let wanted = if versions == Versions::Both && tls13 { "TLSv1_3" } else { "TLSv1_2" };
            assert_eq!(sdk.version(), wanted, "{name}");
            sdk.hello();
        }
        // Another TLS than ours; secp256k1 as the Python SDK of 2.x offers it, and nothing else.
        let groups = if name == "secp256k1" { "-tls1_2 -groups secp256k1" } else { "-tls1_2" };
        let client = format!(
            "s_client -connect {address} -CAfile ca.crt -verify_return_error -cert node.crt -key \
             node.key {groups}"
        );
        openssl(&directory, &client);
    }
}

/// With `chainmesh ca` alone, and openssl as a judge where it is there.
#[test]
fn our_ca_issues_certificates_of_every_kind_for_the_ports_and_for_sdks() {
    let consortium = Consortium::make(1);
    for (kind, shown) in [("secp256k1", "256"), ("p256", "256"), ("rsa", "2048")] {
        let path = |name: &str| consortium.path(&format!("{kind}-{name}"));
        let ca = path("ca");
        succeeds(&["ca", "init", "--ca", &ca, "--key-type", kind]);
        let issue = ["ca", "issue", "--ca", &ca, "--name"];
        succeeds(&[&issue[..], &["ports", "--out", &path("ports")]].concat());
        succeeds(&[&issue[..], &["app", "--out", &path("app")]].concat());
        let sdk = path("sdk");
        let said = succeeds(&[&issue[..], &["shop", "--out", &sdk, "--sdk"]].concat());
        assert!(said.starts_with("sdk        shop\nid         "), "{said}");
        let own = path("ports");
        let node = consortium.run_with(0, &[], &[&PORTS[..], &["--sdk-cert-dir", &own]].concat());
        let (old, new) = (port(&node, "channel"), port(&node, "websocket"));
        let certificates: PathBuf = path("app").into();
        Sdk2::connect(&old, &certificates, Versions::Tls12).hello();
        drop(Sdk3::connect(&new, Some(&certificates)));
        if Command::new("openssl").arg("version").output().is_ok() {
            let sdk = Path::new(&sdk);
            openssl(sdk, "verify -x509_strict -CAfile ca.crt sdk.crt");
            openssl(sdk, "pkey -in sdk.key -check -noout");
            let client = format!(
                "s_client -connect {new} -CAfile ca.crt -verify_return_error -cert sdk.crt -key \
                 sdk.key -tls1_2{}",
                if kind == "secp256k1" { " -groups secp256k1" } else { "" }
            );
            openssl(sdk, &client);
            let text = Command::new("openssl")
                .args(["x509", "-in", "sdk.crt", "-noout", "-text"])
                .current_dir(sdk)
                .output()
                .unwrap();
            let text = String::from_utf8(text.stdout).unwrap();
            assert!(text.contains(&format!("({shown} bit)")), "{text}");
        }
    }
    let error = fails(2, &["ca", "init", "--ca", &consortium.path("x"), "--key-type", "sm2"]);
    assert!(error.contains("a kind of key is secp256k1, p256 or rsa"), "{error}");
}

#[test]
fn ports_without_tls_and_what_contradicts_itself() {
    let consortium = Consortium::make(1);
    let node = consortium.run_with(0, &[], &[&PORTS[..], &["--sdk-plain"]].concat());
    let mut sdk = Sdk3::connect(&port(&node, "websocket"), None);
    assert_eq!(sdk.call("getGroupList")["result"]["code"], 0);
    drop(node);

    let (data, certificates) = (text(&consortium.data(0)), consortium.path("n0"));
    let run = |more: &[&str]| fails(1, &[&["run", "--data-dir", &data], more].concat());
    let member = ["--consortium", "--cert-dir", &certificates];
    let error = run(&[&member[..], &["--sdk-plain"]].concat());
    assert!(error.contains("no port"), "{error}");
    let error = run(&[&member[..], &PORTS[..], &["--sdk-cert-dir", "/nowhere"]].concat());
    assert!(error.contains("/nowhere/node.crt"), "{error}");
    let config = consortium.directory.path().join("node.toml");
    std::fs::write(&config, "[sdk]\nchanel = \"127.0.0.1:0\"\n").unwrap();
    let error = run(&["--config", &text(&config)]);
    assert!(error.contains("did you mean `channel`?"), "{error}");
}
