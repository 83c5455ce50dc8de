//! Clients that connect and say nothing, at each step.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chainmesh_identity::tls::Versions;

use super::bystanders::Bystanders;
use super::client::{Sdk2, Sdk3};
use super::{Two, port};

/// Longer than any of the limits, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for the end of a connection.
fn end(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut nothing = [0];
    match stream.read(&mut nothing) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

/// 10 s for TLS and for the upgrade; then 60 s of silence in 2.x, and 10 s without an answer to a
/// ping in 3.x. It takes a minute, and next to nothing of the machine.
#[test]
fn silent_clients_are_closed_at_each_step() {
    let two = Two::start();
    let others = Bystanders::start(&two);
    let node = &two.nodes[0];
    let (channel, websocket) = (port(node, "channel"), port(node, "websocket"));
    let certificates = two.certificates();
    let began = Instant::now();
    let mut tcp = [&channel, &websocket].map(|address| TcpStream::connect(address).unwrap());
    let mut secured = Sdk2::connect(&channel, &certificates, Versions::Tls12);
    let mut greeted = two.sdk2(0);
    // TLS, and no request for a WebSocket.
    let mut not_upgraded = Sdk2::connect(&websocket, &certificates, Versions::Tls12);
    let not_greeted = Sdk3::upgrade(&websocket, Some(&certificates));
    let new = two.sdk3(0);

    tcp.iter_mut().for_each(end);
    not_upgraded.patience(PATIENCE);
    assert!(not_upgraded.try_receive().is_none());
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    node.says("an SDK was not let in: it has not finished its handshake in 10 s");
    // They read nothing, and so answer no ping.
    node.says("an SDK was cut off: nothing came from it for 10 s");
    drop((not_greeted, new));
    others.go_on();
    for sdk in [&mut secured, &mut greeted] {
        sdk.patience(PATIENCE);
        assert!(sdk.try_receive().is_none());
    }
    assert!(began.elapsed() >= Duration::from_secs(60), "{:?}", began.elapsed());
    node.says("an SDK was cut off: nothing came from it for 60 s");
    others.end();
}

/// A client that answers pings and says nothing else has 30 s for its first message.
#[test]
fn a_lively_client_of_3_without_a_handshake_is_closed() {
    let two = Two::start();
    let address = port(&two.nodes[0], "websocket");
    let mut sdk = Sdk3::upgrade(&address, Some(&two.certificates()));
    let began = Instant::now();
    assert_eq!(sdk.closed(), (1008, "its first message is no handshake".to_owned()));
    assert!(began.elapsed() >= Duration::from_secs(30), "{:?}", began.elapsed());
    two.nodes[0].says("an SDK was cut off: its first message is no handshake");
}

/// A message that takes longer than a client may be silent: it was once cut in the middle of it, when
/// no ping can be answered.
#[test]
fn a_slow_message_of_3_is_no_silence() {
    let two = Two::start();
    let address = port(&two.nodes[0], "websocket");
    let mut sdk = Sdk3::connect(&address, Some(&two.certificates()));
    let call = br#"{"jsonrpc":"2.0","id":7,"method":"getBlockNumber","params":["group0",""]}"#;
    // RFC 6455 section 5.2: binary, masked with zeroes; then the head of a message of AMOP, seq "x".
    let message = [&b"\0\0\x01\x02\0\0\0\x01x\0\0"[..], call].concat();
    let frame = [&[0x82, 0x80 | message.len() as u8, 0, 0, 0, 0][..], &message].concat();
    let began = Instant::now();
    for piece in frame.chunks(frame.len().div_ceil(14)) {
        sdk.send_bytes(piece);
        std::thread::sleep(Duration::from_secs(1));
    }
    let answer = sdk.receive();
    assert_eq!(answer.seq, "x");
    assert!(began.elapsed() > Duration::from_secs(11), "it was slower than a silent client may be");
}

/// More than can be greeted at once, without any certificate: the others come in all the same.
#[test]
fn a_crowd_of_silent_strangers_keeps_nobody_out() {
    let two = Two::start();
    let others = Bystanders::start(&two);
    let address = port(&two.nodes[0], "channel");
    let crowd: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(&address).unwrap()).collect();
    two.nodes[0].says("an SDK was not let in: 256 others came before it had finished");
    let mut late = two.sdk2(0);
    late.beat();
    drop(crowd);
    late.beat();
    others.end();
}
