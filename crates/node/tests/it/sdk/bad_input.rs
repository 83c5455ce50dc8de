//! Bad input at the ports of a node, from real sockets: each attack has its limit, its error to the
//! client and its line in the log; SDKs that behave go on meanwhile, and nothing grows.
//!
//! The table of them all is in `docs/src/amop-limits.md`.

use chainmesh_identity::tls::Versions;
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode, Seq};
use chainmesh_wire::amop::ws::{WsMessage, WsStatus, WsType};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::bystanders::Bystanders;
use super::client::{Sdk2, Sdk3};
use super::{Two, port, status};
use crate::support::{Process, wait_until};

/// Two nodes; the first one is attacked, and others exchange their messages there.
struct Attacked {
    two: Two,
    others: Bystanders,
    /// What the log had when the attack began.
    said: usize,
}

impl Attacked {
    fn start() -> Self {
        let two = Two::start();
        let others = Bystanders::start(&two);
        others.go_on();
        Self { two, others, said: 0 }
    }

    fn node(&self) -> &Process {
        &self.two.nodes[0]
    }

    fn sdk2(&mut self) -> Sdk2 {
        self.said = self.node().log().len();
        self.two.sdk2(0)
    }

    fn sdk3(&mut self) -> Sdk3 {
        self.said = self.node().log().len();
        self.two.sdk3(0)
    }

    /// Waits for a line of the log since the last client came.
    fn told(&self, what: &str) {
        wait_until(what, || self.node().log()[self.said..].contains(what).then_some(()));
    }

    /// The others have noticed nothing, and all that the attackers had is gone.
    fn end(self) -> Two {
        self.others.go_on();
        let rest = || {
            let status = status(self.node());
            let count = |name: &str| status[name].as_array().unwrap().len();
            (count("sdks"), count("topics"))
        };
        // Three of the others are here, and four topics.
        wait_until("nothing is left", || (rest() == (3, 4)).then_some(()));
        self.others.end();
        self.two
    }
}

/// Closed without a word: 2.x has none.
fn is_cut(sdk: &mut Sdk2) {
    while sdk.try_receive().is_some() {}
}

fn frame(kind: FrameType, seq: Seq, body: &[u8]) -> Frame {
    Frame::new(kind, seq, body.to_vec().into())
}

#[test]
fn lengths_that_are_wrong() {
    let mut net = Attacked::start();
    for (bytes, why) in [
        (&b"\0\0\0\0"[..], "frame length 0 is below its header of 42 bytes"),
        (b"\0\0\0\x29", "frame length 41 is below its header of 42 bytes"),
        (b"\xff\xff\xff\xff", "frame: 4294967295 bytes, at most 33554432 are allowed"),
        (b"\x02\0\0\x01", "frame: 33554433 bytes, at most 33554432 are allowed"),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            "it speaks HTTP, as SDKs of 3.x do: they need the WebSocket port",
        ),
    ] {
        let mut sdk = net.sdk2();
        sdk.send_bytes(bytes);
        is_cut(&mut sdk);
        net.told(&format!("an SDK was cut off: {why}"));
    }
    // Half of a frame, and it is gone.
    let mut sdk = net.sdk2();
    sdk.send_bytes(b"\0\0\x01\0\0\x30half");
    drop(sdk);

    let long_seq = b"\0\0\x01\x11\0\0\xff\xff";
    for (message, code, why) in [
        (&b"\0\0"[..], 1002, "it ends before its header is complete"),
        (long_seq, 1009, "seq: 65535 bytes, at most 255 are allowed"),
    ] {
        let mut sdk = net.sdk3();
        sdk.send_any(Message::binary(message));
        let (closed, reason) = sdk.closed();
        assert_eq!(closed, code, "{reason}");
        assert!(reason.contains(why), "{reason}");
        net.told(&format!("an SDK was cut off: {reason}"));
    }
    // The head of a message of a terabyte, masked: nothing more needs to come.
    let mut sdk = net.sdk3();
    sdk.send_bytes(b"\x82\xff\0\0\x01\0\0\0\0\0mask");
    let (code, reason) = sdk.closed();
    assert_eq!(code, 1009, "{reason}");
    net.told("an SDK was cut off: its WebSocket: Space limit exceeded");
    // The other port's protocol, here as there.
    let (address, own) = (port(net.node(), "websocket"), net.two.certificates());
    let mut wrong = Sdk2::connect(&address, &own, Versions::Tls12);
    let seq = wrong.fresh();
    wrong.send(&frame(FrameType::Heartbeat, seq, b"0"));
    is_cut(&mut wrong);
    net.told("an SDK was cut off: it asks for no WebSocket; SDKs of 2.x need the channel port");
    // What is no frame of a WebSocket at all.
    let mut sdk = net.sdk3();
    sdk.send_bytes(b"\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(sdk.closed().0, 1002);
    net.told("an SDK was cut off: its WebSocket: ");
    net.end();
}

#[test]
fn types_that_nobody_knows_and_topics_that_are_none() {
    let mut net = Attacked::start();
    let mut old = net.sdk2();
    for number in [0x99, 0x1001, 0x37] {
        let seq = old.fresh();
        old.send(&frame(FrameType::from_number(number), seq, b"{"));
    }
    old.beat();
    net.told("a message of an SDK is of no use here");
    // Topics: none, of length 0, empty, longer than the body; all have an answer.
    for body in [&b""[..], b"\0", b"\x01data", b"\xffshort"] {
        for kind in [FrameType::AmopRequest, FrameType::AmopMulticast] {
            let seq = old.fresh();
            old.send(&frame(kind, seq, body));
            assert_eq!(old.answer(seq).0, ResultCode(105), "{body:?}");
        }
    }
    net.told("a message of an SDK cannot be read: ");
    // Bytes that are no UTF-8 are a topic that nobody follows.
    let seq = old.fresh();
    old.send(&frame(FrameType::AmopRequest, seq, b"\x03\xff\xfedata"));
    assert_eq!(old.answer(seq).0, ResultCode(100));
    net.told("the topic is not UTF-8");
    drop(old);

    let mut new = net.sdk3();
    let answer = new.ask(WsType::from_number(0x999), "{}".into());
    assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus(-1)));
    assert_eq!(answer.payload, "not served by this node");
    net.told("a message of an SDK is of no use here");
    for payload in [&b""[..], b"\0\0\0\0\0\0data", b"\0\0\0\0\xff\xffshort"] {
        let answer = new.ask(WsType::AmopRequest, payload.into());
        assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus(-4005)));
        assert!(!answer.payload.is_empty(), "it says why");
        new.send(&WsMessage::new(WsType::AmopBroadcast, "b", payload.into()));
    }
    net.told("a message of an SDK cannot be read: ");
    let answer = new.ask(WsType::AmopRequest, b"\0\0\0\0\0\x02\xff\xfedata"[..].into());
    assert_eq!(answer.status, WsStatus(3001));
    net.told("the topic is not UTF-8");
    drop(new);
    net.end();
}

#[test]
fn json_that_is_none() {
    let mut net = Attacked::start();
    for hello in [&b"{"[..], b"\xff\xfe", b"[]", br#"{"minimumSupport":9,"maximumSupport":7}"#] {
        let mut sdk = net.sdk2();
        let seq = sdk.fresh();
        sdk.send(&frame(FrameType::Handshake, seq, hello));
        is_cut(&mut sdk);
        net.told("an SDK was cut off: ");
    }
    let mut sdk = net.sdk2();
    for (call, code) in [(&b"{"[..], -32700), (b"\xff\xff", -32700), (b"{\"id\":1}", -32600)] {
        let seq = sdk.fresh();
        sdk.send(&frame(FrameType::Rpc, seq, call));
        let answer: Value = serde_json::from_slice(&sdk.receive().data).unwrap();
        assert_eq!(answer["error"]["code"], code);
        net.told("a call of an SDK cannot be read: ");
    }
    let seq = sdk.fresh();
    sdk.send(&frame(FrameType::UpdateTopicStatus, seq, b"{"));
    net.told("a message of an SDK cannot be read: ");
    // A verdict on somebody about whom nobody was asked.
    let verdict = json!({"checkResult": 0, "nodeId": "00", "topic": "#!$TopicNeedVerify_x"});
    sdk.send(&frame(FrameType::UpdateTopicStatus, seq, verdict.to_string().as_bytes()));
    net.told("an SDK judged a subscriber about whom it was not asked");
    // The third list that is none is the last one.
    sdk.subscribe(&["mine"]);
    let long = format!("[\"{}\"]", "t".repeat(255));
    for list in [&b"{}"[..], b"[\"\xff\"]", long.as_bytes()] {
        assert_eq!(status(net.node())["sdks"].as_array().unwrap().len(), 4);
        let seq = sdk.fresh();
        sdk.send(&frame(FrameType::SubscribeTopics, seq, list));
        net.told("a list of topics cannot be read, the old one holds: ");
    }
    is_cut(&mut sdk);
    net.told("an SDK was cut off: its lists of topics cannot be read, the last one: topic: 255");

    let address = port(net.node(), "websocket");
    for hello in ["{", "[]", r#"{"minVersion":7,"maxVersion":9,"moduleID":2}"#] {
        let mut sdk = Sdk3::upgrade(&address, Some(&net.two.certificates()));
        sdk.send(&WsMessage::new(WsType::Handshake, "h", hello.into()));
        let (code, reason) = sdk.closed();
        assert_eq!(code, 1002, "{reason}");
        net.told(&format!("an SDK was cut off: {reason}"));
    }
    let mut sdk = Sdk3::upgrade(&address, Some(&net.two.certificates()));
    sdk.send(&WsMessage::new(WsType::RpcRequest, "r", "{}".into()));
    assert_eq!(sdk.closed(), (1008, "its first message is no handshake".to_owned()));
    let mut sdk = net.sdk3();
    let answer = sdk.ask(WsType::RpcRequest, "{".into());
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["error"]["code"], -32700);
    sdk.subscribe(&["mine"]);
    for list in ["{", "[]"] {
        let answer = sdk.ask(WsType::AmopSubTopic, list.into());
        assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus(-4005)), "{list}");
        net.told("a list of topics cannot be read, the old one holds: ");
    }
    sdk.send(&WsMessage::new(WsType::AmopSubTopic, "l", r#"{"topics":[1]}"#.into()));
    let (code, reason) = sdk.closed();
    assert_eq!(code, 1008);
    assert!(reason.starts_with("its lists of topics cannot be read, the last one: "), "{reason}");
    net.told("an SDK was cut off: its lists of topics cannot be read");
    net.end();
}

#[test]
fn answers_to_what_others_were_asked() {
    let mut net = Attacked::start();
    let (mut publisher, mut asked) = (net.two.sdk2(0), net.two.sdk2(0));
    let (mut old, mut new) = (net.sdk2(), net.sdk3());
    asked.subscribe(&["secret"]);
    // A liar of 3.x cannot say it on the same link: a new seq is made for each.
    let seq = publisher.publish(FrameType::AmopRequest, "secret", b"who are you?");
    let request = asked.receive();
    assert_eq!(request.seq, seq, "it can be guessed");
    let lie = [&b"\x07secret"[..], b"I am it"].concat();
    old.send(&frame(FrameType::AmopResponse, seq, &lie));
    old.beat();
    new.send(&WsMessage::new(WsType::AmopResponse, seq.0.to_vec(), "I am it".into()));
    new.call("getBlockNumber");
    net.told("an SDK answered what another one was asked: dropped");
    // And one that nobody was asked.
    let nobody = old.fresh();
    old.send(&frame(FrameType::AmopResponse, nobody, &lie));
    old.beat();
    asked.send(&frame(FrameType::AmopResponse, seq, b"\x07secretthe truth"));
    assert_eq!(publisher.answer(seq), (ResultCode(0), b"\x07secretthe truth"[..].into()));
    assert_eq!(status(net.node())["counters"]["unknownAnswers"], 3);
    old.beat();
    drop((publisher, asked, old, new));
    net.end();
}

#[test]
fn a_hundred_thousand_topics() {
    let mut net = Attacked::start();
    let many: Vec<String> = (0..100_000).map(|number| format!("topic {number}")).collect();
    let list = serde_json::to_vec(&many).unwrap();
    let mut old = net.sdk2();
    old.subscribe(&["mine"]);
    let seq = old.fresh();
    old.send(&frame(FrameType::SubscribeTopics, seq, &list));
    // No answer, and the old list holds.
    old.beat();
    net.told("the old one holds: topics: 100000 items, at most 1024 are allowed");
    let topics = |node: &Process| status(node)["topics"].as_array().unwrap().len();
    assert_eq!(topics(net.node()), 5);
    old.send(&frame(FrameType::SubscribeTopics, seq, &list));
    old.send(&frame(FrameType::SubscribeTopics, seq, &list));
    is_cut(&mut old);
    net.told("an SDK was cut off: its lists of topics cannot be read");

    let mut new = net.sdk3();
    let list = json!({ "topics": many }).to_string();
    let answer = new.ask(WsType::AmopSubTopic, list.into());
    assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus(-4005)));
    assert_eq!(answer.payload, "topics: 100000 items, at most 1024 are allowed");
    net.told("the old one holds: topics: 100000 items, at most 1024 are allowed");
    // As many as may be, and then the bytes of them are too many.
    let long: Vec<String> = (0..1_024).map(|number| format!("{number:0>200}")).collect();
    let list = json!({ "topics": long }).to_string();
    let answer = new.ask(WsType::AmopSubTopic, list.into());
    assert_eq!(answer.payload, "topic list: 204800 items, at most 131072 are allowed");
    net.told("a list of topics is too long, the old one holds");
    assert_eq!(topics(net.node()), 4);
    drop(new);
    net.end();
}

/// Bytes of memory that a process has.
fn memory(node: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// What a test of floods may leave in memory. What waits for a client that does not read is at most
/// 4 MiB of messages, 4 MiB of answers and what the sockets hold; the rest is the allocator's.
const FLOOD: usize = 32 << 20;

#[test]
fn floods_and_clients_that_do_not_read() {
    let mut net = Attacked::start();
    let before = memory(net.node());
    // Each call has an answer, which is not read: the node reads no more then.
    let call = json!({"jsonrpc": "2.0", "method": "getPeers", "params": [1], "id": 7}).to_string();
    let mut deaf: Vec<Sdk2> = (0..4).map(|_| net.sdk2()).collect();
    for sdk in &mut deaf {
        let call = frame(FrameType::Rpc, Seq::ZERO, call.as_bytes());
        let taken = sdk.flood(&call, 1 << 30);
        assert!(taken < 64 << 20, "{taken} bytes of calls were taken");
    }
    net.others.go_on();
    let grown = memory(net.node()).saturating_sub(before);
    eprintln!("{} KiB more with {} clients that do not read", grown >> 10, deaf.len());
    assert!(grown < FLOOD, "{grown} bytes for {} clients that do not read", deaf.len());
    drop(deaf);

    // Messages to itself, until the node takes no more: neither they nor their answers are read.
    let mut echo = net.sdk2();
    echo.subscribe(&["flood"]);
    let body = [&b"\x06flood"[..], &[7; 1024]].concat();
    let message = frame(FrameType::AmopMulticast, Seq::ZERO, &body);
    let taken = echo.flood(&message, 100 << 20);
    net.others.go_on();
    let grown = memory(net.node()).saturating_sub(before);
    eprintln!("{} KiB more after {} MiB of messages", grown >> 10, taken >> 20);
    assert!(grown < FLOOD, "{grown} bytes after {taken} bytes of messages");
    drop(echo);

    // Requests that nobody answers: 2,048 wait, the others are refused at once.
    let (mut silent, mut publisher) = (net.two.sdk2(0), net.sdk2());
    silent.subscribe(&["flood"]);
    let mut refused = 0;
    for _ in 0..2_100 {
        publisher.publish(FrameType::AmopRequest, "flood", b"x");
    }
    while refused < 2_100 - 2_048 {
        let answer = publisher.receive();
        assert_eq!(answer.result, ResultCode(103), "the first of them wait for 5 s");
        refused += 1;
    }
    net.told("a message of an SDK is above a limit, and was refused");
    assert!(status(net.node())["waiting"].as_u64().unwrap() <= 2_100);
    drop((silent, publisher));

    // What cannot be read, a hundred thousand times: an answer each, and few lines.
    let mut sdk = net.sdk2();
    let lines = net.node().log().lines().count();
    for _ in 0..100 {
        for _ in 0..1_000 {
            let seq = sdk.fresh();
            sdk.send(&frame(FrameType::AmopRequest, seq, b""));
        }
        for _ in 0..1_000 {
            assert_eq!(sdk.receive().result, ResultCode(105));
        }
    }
    drop(sdk);
    net.told("an SDK causes too many lines here: some were left out");
    let lines = net.node().log().lines().count() - lines;
    assert!(lines < 200, "{lines} lines");
    let grown = memory(net.node()).saturating_sub(before);
    eprintln!("{} KiB more after all of it", grown >> 10);
    assert!(grown < FLOOD, "{grown} bytes after all of it");
    let two = net.end();
    assert_eq!(status(&two.nodes[0])["waiting"], 0);
}

/// Clients come and go without an end, some of them strangers.
#[test]
fn many_connections_one_after_another() {
    let net = Attacked::start();
    let address = port(net.node(), "channel");
    let certificates = net.two.certificates();
    let before = memory(net.node());
    for number in 0..600 {
        match number % 3 {
            0 => drop(std::net::TcpStream::connect(&address).unwrap()),
            1 => drop(Sdk2::connect(&address, &certificates, Versions::Tls12)),
            _ => {
                use std::io::Write as _;
                let mut stream = std::net::TcpStream::connect(&address).unwrap();
                let _ = stream.write_all(b"\0\0\0\x2a\0\x13no TLS at all");
            }
        }
    }
    net.told("an SDK was not let in: ");
    net.others.go_on();
    let grown = memory(net.node()).saturating_sub(before);
    assert!(grown < FLOOD, "{grown} bytes");
    net.end();
}
