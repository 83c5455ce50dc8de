//! What SDKs may not do at the ports of a node, and that no other SDK notices.

use std::path::{Path, PathBuf};

use chainmesh_identity::tls::Versions;
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode};
use serde_json::json;

use super::client::Sdk2;
use super::{Two, port, status};
use crate::mesh::Consortium;
use crate::support::{Process, succeeds, text, wait_until};

#[test]
fn a_subscriber_that_does_not_read_is_cut_and_the_others_get_everything() {
    let two = Two::start();
    let (mut publisher, mut reads, mut sleeps) = (two.sdk2(0), two.sdk2(1), two.sdk2(1));
    reads.subscribe(&["large"]);
    sleeps.subscribe(&["large"]);
    two.followed(0, "large", 1, 0);
    two.followed(1, "large", 0, 2);
    let data = vec![7; 1 << 20];
    // Until its queue is full, which is more than the sockets hold; then it is cut in 10 s.
    let mut sent = 0;
    let slow = |wanted: bool| {
        let sdks = status(&two.nodes[1])["sdks"].as_array().unwrap().clone();
        sdks.len() == 1 || sdks.iter().any(|sdk| sdk["slow"] == wanted && wanted)
    };
    while !slow(true) {
        let seq = publisher.publish(FrameType::AmopMulticast, "large", &data);
        assert_eq!(publisher.answer(seq).0, ResultCode(0));
        assert_eq!(reads.echo(FrameType::AmopMulticast).1, data);
        sent += 1;
        assert!(sent < 200, "all of it found room");
    }
    // It is not asked for an answer meanwhile, and the other one has lost nothing.
    let seq = publisher.publish(FrameType::AmopRequest, "large", b"who?");
    assert_eq!(reads.echo(FrameType::AmopRequest).1, "who?");
    assert_eq!(publisher.answer(seq).0, ResultCode(0));
    two.followed(1, "large", 0, 1);
    assert_eq!(status(&two.nodes[1])["counters"]["cut"], 1);
    // What it had not read is gone with it, and the connection is closed.
    let mut got = 0;
    while sleeps.try_receive().is_some() {
        got += 1;
    }
    assert!(got < sent, "{got} of {sent}");
    reads.beat();
}

#[test]
fn who_is_not_of_the_consortium_is_not_let_in_and_nobody_notices() {
    let two = Two::start();
    let mut sdk = two.sdk2(0);
    let stranger = Consortium::make(0);
    stranger.issue("sdk");
    // They trust our CA, we do not trust theirs.
    std::fs::copy(two.consortium.path("n0/ca.crt"), stranger.path("sdk/ca.crt")).unwrap();
    let address = port(&two.nodes[0], "channel");
    let theirs: PathBuf = stranger.path("sdk").into();
    for versions in [Versions::Tls12, Versions::Tls13] {
        let refused = match Sdk2::try_connect(&address, &theirs, versions) {
            Err(_) => true,
            // In TLS 1.3 the client is done before it is judged.
            Ok(mut stranger) => stranger.try_receive().is_none(),
        };
        assert!(refused, "{versions:?}");
    }
    // What is no frame ends the connection, and no other.
    for bad in [&[0, 0, 0, 1, 0, 0x12][..], &[0xff; 64]] {
        let mut bad_sdk = two.sdk2(0);
        bad_sdk.send_bytes(bad);
        assert!(bad_sdk.try_receive().is_none());
    }
    // A message without a topic is answered, and the connection goes on.
    let seq = sdk.fresh();
    sdk.send(&Frame::new(FrameType::AmopRequest, seq, vec![9, 1].into()));
    assert_eq!(sdk.answer(seq).0, ResultCode(105));
    sdk.beat();
    let [mut node, _] = two.nodes;
    assert!(node.end(libc::SIGTERM).success());
    assert!(sdk.try_receive().is_none());
    let log = node.stderr();
    assert!(log.contains("an SDK was not let in: "), "{log}");
    assert!(log.contains("an SDK was cut off: "), "{log}");
}

#[test]
fn a_silent_client_of_3_is_pinged_and_cut_when_it_does_not_answer() {
    let two = Two::start();
    let (mut answers, silent) = (two.sdk3(0), two.sdk3(0));
    let sdks = || status(&two.nodes[0])["sdks"].as_array().unwrap().len();
    assert_eq!(sdks(), 2);
    // It answers the first ping while it waits for the second one; the other does not read.
    answers.pinged();
    answers.pinged();
    wait_until("the silent one is cut", || (sdks() == 1).then_some(()));
    assert_eq!(answers.call("getBlockNumber")["result"], 0);
    drop(silent);
}

#[test]
fn issuers_and_limits_of_the_configuration_hold() {
    let consortium = Consortium::make(1);
    let (ca, certificates) = (consortium.path("ca"), consortium.path("n0"));
    consortium.issue("sdk");
    succeeds(&["ca", "agency", "--ca", &ca, "other"]);
    let theirs = consortium.path("theirs");
    let issue = ["ca", "issue", "--ca", &ca, "--agency", "other", "--name", "x", "--out", &theirs];
    succeeds(&issue);
    let config = consortium.directory.path().join("node.toml");
    let write = |check: bool| {
        let said = format!(
            "[p2p]\nsession = \"tls\"\n[cert]\ndir = {certificates:?}\n[sdk]\n\
             channel = \"127.0.0.1:0\"\nmax-topics = 2\nmax-clients = 2\n\
             client-limit = {{ messages = 5 }}\ncheck-issuer = {check}\nchain-id = 12\n"
        );
        std::fs::write(&config, said).unwrap();
    };
    write(true);
    let start = || Process::run(&consortium.data(0), &["--config", &text(&config)]);
    let node = start();
    let theirs = Path::new(&theirs);
    let address = port(&node, "channel");
    let mut sdk = Sdk2::connect(&address, consortium.path("sdk").as_ref(), Versions::Tls12);
    sdk.hello();
    let mut other = Sdk2::connect(&address, theirs, Versions::Tls12);
    assert!(other.try_receive().is_none(), "it is of another issuer");
    drop(other);
    assert_eq!(sdk.call("getClientVersion", json!([]))["result"]["Chain Id"], "12");

    sdk.subscribe(&["a", "b"]);
    sdk.subscribe(&["a", "b", "c"]);
    let topics = status(&node)["topics"].as_array().unwrap().len();
    assert_eq!(topics, 2, "the longer list is refused whole");
    let results: Vec<i32> = (0..20)
        .map(|_| {
            let seq = sdk.publish(FrameType::AmopMulticast, "nobody", b"x");
            sdk.answer(seq).0.0
        })
        .collect();
    assert!(results.contains(&103) && results[0] == 0, "{results:?}");

    // Without the check the other one is let in; a third client is too many.
    drop((node, sdk));
    write(false);
    let node = start();
    let address = port(&node, "channel");
    let mut clients = [0, 1].map(|_| Sdk2::connect(&address, theirs, Versions::Tls12));
    clients.iter_mut().for_each(Sdk2::hello);
    assert!(Sdk2::try_connect(&address, theirs, Versions::Tls12).is_err());
    clients.iter_mut().for_each(Sdk2::beat);
}
