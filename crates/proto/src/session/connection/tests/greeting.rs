//! Hello: what is accepted, what is refused, and which modules two nodes share.

use chainmesh_identity::PeerId;
use chainmesh_wire::DecodeError;

use super::*;
use crate::module::{Module, PeerContext};

const KIND: SessionKind = SessionKind::Rlpx;

fn raw(recorder: &Recorder) -> Raw {
    Raw::connect(KIND, vec![recorder.module("test", 1, 4)])
}

/// The cause of the end that `hello`, as the payload of the first message, comes to.
fn refused(hello: &[u8]) -> (ProtocolFault, Option<DisconnectReason>) {
    let mut raw = raw(&Recorder::default());
    raw.send(code::HELLO, hello);
    assert_eq!(raw.next().map(|message| message.code), Some(code::HELLO));
    let farewell = raw.farewell();
    match raw.side.events.pop() {
        Some(ConnectionEvent::Closed(CloseCause::Protocol(fault))) => (fault, farewell),
        other => panic!("{other:?}"),
    }
}

fn hello_with(change: impl FnOnce(&mut chainmesh_wire::devp2p::Hello)) -> Bytes {
    let raw = raw(&Recorder::default());
    let mut hello = raw.hello(5, &[("test", 1)]);
    change(&mut hello);
    hello.encode_payload()
}

#[test]
fn a_good_hello_is_accepted() {
    let recorder = Recorder::default();
    let mut raw = raw(&recorder);
    raw.greet(5, &[("test", 1)]);
    assert_eq!(raw.side.story(), "AGE");
    raw.send(0x12, b"hi");
    assert_eq!(recorder.messages(), [(2, Bytes::from_static(b"hi"))]);
}

/// Version 4 of the base protocol: the same without snappy.
#[test]
fn a_peer_of_version_4_gets_and_sends_unpacked_messages() {
    let recorder = Recorder::default();
    let mut raw = raw(&recorder);
    raw.greet(4, &[("test", 1)]);
    raw.send(0x10, &[7; 2000]);
    assert_eq!(recorder.messages(), [(0, Bytes::from(vec![7; 2000]))]);
    recorder.context("test").send(1, vec![8; 2000].into()).unwrap();
    raw.wait(Duration::ZERO);
    let message = raw.next().unwrap();
    assert_eq!((message.code, message.payload), (0x11, Bytes::from(vec![8; 2000])));
}

#[test]
fn an_older_version_is_refused() {
    let (fault, farewell) = refused(&hello_with(|hello| hello.protocol_version = 3));
    assert_eq!(fault, ProtocolFault::Version(3));
    assert_eq!(farewell, Some(DisconnectReason::IncompatibleVersion));
}

#[test]
fn a_newer_version_is_spoken_to_as_version_5() {
    let recorder = Recorder::default();
    let mut raw = raw(&recorder);
    raw.greet(u64::MAX, &[("test", 1)]);
    raw.send(0x10, &[7; 2000]);
    assert_eq!(recorder.messages().len(), 1);
}

#[test]
fn another_identity_than_the_proved_one_is_refused() {
    let (fault, farewell) = refused(&hello_with(|hello| hello.id = key(9).peer_id()));
    assert_eq!(fault, ProtocolFault::Identity);
    assert_eq!(farewell, Some(DisconnectReason::UnexpectedIdentity));
    let (fault, _) = refused(&hello_with(|hello| hello.id = PeerId::from([0; 64])));
    assert_eq!(fault, ProtocolFault::Identity);
}

#[test]
fn a_peer_with_nothing_in_common_is_useless() {
    for capabilities in [vec![], vec![("other", 1)], vec![("test", 2)]] {
        let mut raw = raw(&Recorder::default());
        raw.greet(5, &capabilities);
        assert_eq!(raw.farewell(), Some(DisconnectReason::UselessPeer));
        assert_eq!(raw.side.reason(), Some(DisconnectReason::UselessPeer));
    }
}

#[test]
fn a_required_module_must_be_there_in_some_version() {
    let recorder = Recorder::default();
    let required = |version| Module { required: true, ..recorder.module("main", version, 2) };
    let modules = || vec![required(1), required(2), recorder.module("extra", 1, 2)];
    let mut without = Raw::connect(KIND, modules());
    without.greet(5, &[("extra", 1)]);
    assert_eq!(without.farewell(), Some(DisconnectReason::UselessPeer));
    let Some(ConnectionEvent::Closed(CloseCause::Protocol(fault))) = without.side.events.pop()
    else {
        panic!("not closed");
    };
    assert!(
        matches!(fault, ProtocolFault::MissingModule(module) if module.name.as_str() == "main")
    );
    let mut with_one = Raw::connect(KIND, modules());
    with_one.greet(5, &[("main", 1)]);
    assert!(with_one.side.is_established());
}

#[test]
fn the_highest_version_that_both_have_is_used() {
    let versions = [66, 67, 68, 69].map(|version| (version, Recorder::default()));
    let modules =
        versions.iter().map(|(version, recorder)| recorder.module("eth", *version, 17)).collect();
    let mut raw = Raw::connect(KIND, modules);
    raw.greet(5, &[("eth", 65), ("eth", 68), ("eth", 67), ("eth", 70)]);
    raw.send(0x10, b"status");
    for (version, recorder) in &versions {
        assert_eq!(recorder.messages().len(), usize::from(*version == 68), "eth/{version}");
    }
}

/// Codes follow each other in the alphabetical order of the names, whatever the order in Hello.
#[test]
fn codes_are_numbered_in_the_alphabetical_order_of_the_names() {
    let recorders = ["snap", "bzz", "les", "eth"].map(|name| (name, Recorder::default()));
    let counts = [8, 3, 5, 17];
    let modules = recorders
        .iter()
        .zip(counts)
        .map(|((name, recorder), count)| recorder.module(name, 1, count))
        .collect();
    let mut raw = Raw::connect(KIND, modules);
    // No les: its codes take no room.
    raw.greet(5, &[("snap", 1), ("eth", 1), ("unknown", 1), ("bzz", 1)]);
    let first = [("bzz", 0x10), ("eth", 0x13), ("snap", 0x24)];
    for (name, offset) in first {
        raw.send(offset, name.as_bytes());
    }
    for (name, recorder) in &recorders {
        let want: Vec<_> =
            first.iter().filter(|(of, _)| of == name).map(|_| (0, Bytes::from(*name))).collect();
        assert_eq!(recorder.messages(), want, "{name}");
    }
    // Outgoing codes are moved alike.
    recorders[0].1.context("snap").send(7, Bytes::new()).unwrap();
    raw.wait(Duration::ZERO);
    assert_eq!(raw.next().map(|message| message.code), Some(0x2b));
    raw.send(0x2b, b"last");
    assert_eq!(recorders[0].1.messages().last().map(|(code, _)| *code), Some(7));
    // And there they end.
    raw.send(0x2c, b"");
    assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol));
}

#[test]
fn the_first_message_must_be_hello() {
    for wrong in [code::PING, code::PONG, 0x04, 0x10, u64::MAX] {
        let mut raw = raw(&Recorder::default());
        raw.send(wrong, EMPTY_LIST);
        assert_eq!(raw.next().map(|message| message.code), Some(code::HELLO));
        assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol), "0x{wrong:x}");
    }
}

/// A capability name of two megabytes (it would be kept for each peer, and logged).
#[test]
fn a_hello_with_a_capability_name_of_two_megabytes_is_refused_by_its_header() {
    let mut raw = raw(&Recorder::default());
    let mut wire = BytesMut::new();
    raw.session.write(code::HELLO, &vec![b'a'; 2 << 20], &mut wire);
    raw.send_bytes(&wire[..32]);
    assert!(raw.side.cause().unwrap().contains("at most"), "{:?}", raw.side.cause());
    // Nothing that follows is kept.
    raw.send_bytes(&wire[32..]);
    assert!(raw.side.input.is_empty());
}

/// Within the limit of a base message, a name that nobody can have is passed over.
#[test]
fn a_capability_with_a_name_that_is_too_long_is_passed_over() {
    // `test` is the first of its kind in the payload: a name of nine bytes is put before it.
    let good = hello_with(|_| ());
    let entry = [&[0xc6, 0x84][..], b"test", &[1]].concat();
    let at = good.windows(entry.len()).position(|part| part == entry).unwrap();
    let long = [&[0xcb, 0x89][..], b"ninechars", &[1]].concat();
    let mut payload = good[..at].to_vec();
    payload.extend_from_slice(&long);
    payload.extend_from_slice(&good[at..]);
    payload[at - 1] += long.len() as u8;
    assert_eq!(payload[0], 0xf8);
    payload[1] += long.len() as u8;
    let mut raw = raw(&Recorder::default());
    raw.send(code::HELLO, &payload);
    assert!(raw.side.is_established());
}

/// What the peer calls itself is kept as it is, but cut: whoever shows it must escape it
/// (`chainmesh_net::text`).
#[test]
fn a_client_name_with_control_characters_stays_raw_and_is_cut() {
    let name = format!("evil\u{1b}[2J\n\u{202e}{}", "n".repeat(1000));
    let payload = hello_with(|hello| hello.client_name = name.clone());
    let mut raw = raw(&Recorder::default());
    raw.send(code::HELLO, &payload);
    let greeted = raw.side.events.iter().find_map(|event| match event {
        ConnectionEvent::Greeted { hello, .. } => Some(hello.client_name.clone()),
        _ => None,
    });
    let kept = greeted.unwrap();
    assert!(name.starts_with(&kept) && kept.len() <= 256, "{}", kept.len());
}

#[test]
fn a_malformed_hello_is_refused() {
    let good = hello_with(|_| ());
    for length in 0..good.len() {
        let (fault, farewell) = refused(&good[..length]);
        assert!(
            matches!(fault, ProtocolFault::Hello(DecodeError::Rlp(_) | DecodeError::Invalid(_))),
            "{length}: {fault:?}"
        );
        assert_eq!(farewell, Some(DisconnectReason::BreachOfProtocol));
    }
}

#[test]
fn a_second_hello_is_a_breach() {
    let mut raw = raw(&Recorder::default());
    raw.greet(5, &[("test", 1)]);
    let again = raw.hello(5, &[("test", 1)]).encode_payload();
    raw.send(code::HELLO, &again);
    assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol));
    assert_eq!(raw.side.story(), "AGEC");
}

#[test]
fn codes_that_belong_to_nobody_are_a_breach() {
    for unknown in [0x04, 0x0f, 0x14, 0x1000, u64::MAX] {
        let recorder = Recorder::default();
        let mut raw = raw(&recorder);
        raw.greet(5, &[("test", 1)]);
        raw.send(unknown, b"");
        assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol));
        assert_eq!(recorder.closed(), [DisconnectReason::BreachOfProtocol]);
        assert!(recorder.messages().is_empty());
    }
}

/// `eth` has a handshake of its own: the peer counts after it.
#[test]
fn the_handshake_of_a_module_defers_established() {
    let slow =
        Recorder::default().on_peer(PeerContext::begin_handshake).on_message(|peer, code, _| {
            if code == 0 {
                peer.handshake_done();
            }
            Ok(())
        });
    let modules = vec![slow.module("a", 1, 2), slow.module("b", 1, 2), slow.module("c", 1, 2)];
    let mut raw = Raw::connect(KIND, modules);
    raw.greet(5, &[("a", 1), ("b", 1), ("c", 1)]);
    for code in [0x11, 0x10, 0x12] {
        raw.send(code, b"");
        assert_eq!(raw.side.story(), "AG", "0x{code:x}");
    }
    raw.send(0x14, b"");
    assert_eq!(raw.side.story(), "AGE");
}

/// From another thread, while the connection's task sleeps.
#[test]
fn the_end_of_a_modules_handshake_wakes_the_connection() {
    let slow = Recorder::default().on_peer(PeerContext::begin_handshake);
    let mut raw = Raw::connect(KIND, vec![slow.module("test", 1, 2)]);
    raw.greet(5, &[("test", 1)]);
    assert_eq!(raw.side.story(), "AG");
    let rings = raw.side.bell.rings();
    slow.context("test").handshake_done();
    assert_eq!(raw.side.bell.rings(), rings + 1);
    raw.wait(Duration::ZERO);
    assert_eq!(raw.side.story(), "AGE");
}
