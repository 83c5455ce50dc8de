//! TLS sessions: against themselves, and against plain rustls at the other end.

mod foreign;
mod handshakes;
mod packets;
mod records;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::tls::Versions;
use core::time::Duration;

use crate::module::PeerKind;
use crate::session::SessionKind;
use crate::session::connection::{ConnectionEvent, LocalNode};
use crate::session::testing::{ACCEPTOR, DIALLER, Pair, Recorder, Side, certificates, node};

fn local(number: u8, versions: Versions, recorder: &Recorder) -> LocalNode {
    let shared = node(number, SessionKind::Tls, vec![recorder.module("test", 1, 4)]);
    let mut local = LocalNode {
        key: shared.key.duplicate(),
        client_name: shared.client_name.clone(),
        listen_port: 0,
        modules: shared.modules.clone(),
        kind: SessionKind::Tls,
        tls: shared.tls.clone(),
    };
    if let Some(tls) = &mut local.tls {
        tls.versions = versions;
    }
    local
}

fn pair(versions: Versions) -> (Pair, [Recorder; 2]) {
    let recorders = [Recorder::default(), Recorder::default()];
    let [a, b] = [0, 1].map(|n| local(n, versions, &recorders[usize::from(n)]).into());
    (Pair::of([a, b]), recorders)
}

fn kinds(side: &Side) -> Vec<PeerKind> {
    let kind = |event: &ConnectionEvent| match event {
        ConnectionEvent::Authenticated { kind, certificate, .. } => {
            assert!(certificate.is_some(), "the certificate is kept, to be judged again");
            Some(*kind)
        }
        _ => None,
    };
    side.events.iter().filter_map(kind).collect()
}

#[test]
fn messages_of_every_size_arrive_whole_in_both_versions_however_the_network_cuts() {
    let sizes = [0, 1, 100, 16_369, 16_370, 16_371, 16_384, 40_000, 65_536, 300_000];
    for versions in [Versions::Tls13, Versions::Tls12] {
        for chunk in [usize::MAX, 1_000, 17] {
            let (mut pair, recorders) = pair(versions);
            pair.chunk = chunk;
            pair.run_for(Duration::from_millis(200));
            assert!(pair.both(Side::is_established), "{versions:?} in pieces of {chunk}");
            assert!(pair.both(|side| kinds(side) == [PeerKind::Own]));
            for (number, size) in sizes.into_iter().enumerate() {
                let payload = Bytes::from(vec![number as u8; size]);
                for recorder in &recorders {
                    recorder.context("test").send(number as u32 % 4, payload.clone()).unwrap();
                }
            }
            pair.run_for(Duration::from_secs(20));
            for recorder in &recorders {
                let got: Vec<_> = recorder.messages();
                assert_eq!(got.len(), sizes.len());
                for (number, (code, payload)) in got.iter().enumerate() {
                    assert_eq!(*code, number as u32 % 4);
                    assert_eq!(payload.len(), sizes[number]);
                    assert!(payload.iter().all(|byte| *byte == number as u8));
                }
            }
        }
    }
}

#[test]
fn a_head_and_a_shared_payload_arrive_as_one() {
    let (mut pair, recorders) = pair(Versions::Both);
    pair.run_for(Duration::from_millis(200));
    let large = Bytes::from(vec![5; 100_000]);
    for payload in [Bytes::from_static(b"tail"), large.clone()] {
        let peer = recorders[DIALLER].context("test");
        let head = Some(b"head".to_vec().into_boxed_slice());
        peer.send_parts(crate::session::Class::Blocks, 1, head, payload).unwrap();
    }
    pair.run_for(Duration::from_secs(1));
    let got = recorders[ACCEPTOR].messages();
    assert_eq!(got[0].1, &b"headtail"[..]);
    assert_eq!(got[1].1.len(), 4 + large.len());
    assert_eq!(got[1].1[..4], b"head"[..]);
}

#[test]
fn a_certificate_of_another_ca_is_refused_and_both_sides_say_so() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        let recorders = [Recorder::default(), Recorder::default()];
        let mut a = local(0, versions, &recorders[0]);
        let b = local(1, versions, &recorders[1]);
        // It believes the chain's CA, but was certified by another.
        let mut tls = certificates::local_of(0, &certificates::stranger(), &certificates::chain());
        tls.versions = versions;
        a.tls = Some(tls);
        let mut pair = Pair::of([a.into(), b.into()]);
        pair.run_for(Duration::from_millis(300));
        let [dialler, acceptor] = pair.sides.each_ref().map(|side| side.cause().unwrap());
        assert!(acceptor.contains("other-chain"), "{acceptor}");
        assert!(dialler.contains("refused our certificate"), "{versions:?}: {dialler}");
        assert!(pair.both(|side| !side.is_established()));
    }
}

#[test]
fn rlpx_and_http_at_the_door_are_no_tls() {
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x01, 0x90, 4, 1, 2, 3, 4, 5]] {
        let recorder = Recorder::default();
        let mut raw = Pair::of([
            node(0, SessionKind::Rlpx, vec![recorder.module("test", 1, 4)]),
            node(1, SessionKind::Tls, vec![recorder.module("test", 1, 4)]),
        ]);
        let now = raw.now;
        raw.sides[ACCEPTOR].arrive(now, words);
        let answer = raw.sides[ACCEPTOR].drive(now);
        assert_eq!(raw.sides[ACCEPTOR].cause().unwrap(), "this is no TLS: what came is no record");
        assert!(answer.is_empty(), "nothing is said to somebody who does not speak it");
    }
}

#[test]
fn a_handshake_that_never_ends_is_cut_by_its_size() {
    let recorder = Recorder::default();
    let mut pair = Pair::of(
        [0, 1].map(|number| node(number, SessionKind::Tls, vec![recorder.module("test", 1, 4)])),
    );
    let now = pair.now;
    // A ClientHello that says it is 16 MiB long.
    let mut record = BytesMut::from(&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..]);
    record.resize(5 + 0x4000, 0);
    for _ in 0..6 {
        pair.sides[ACCEPTOR].arrive(now, &record);
        pair.sides[ACCEPTOR].drive(now);
        record = BytesMut::from(&[22, 3, 3, 0x40, 0][..]);
        record.resize(5 + 0x4000, 0);
    }
    assert!(pair.sides[ACCEPTOR].cause().is_some(), "it waits for the rest of 16 MiB");
    assert!(pair.sides[ACCEPTOR].input.is_empty());
}

#[test]
fn heartbeats_go_both_ways_every_five_seconds_and_silence_ends_the_session() {
    let (mut pair, _) = pair(Versions::Both);
    pair.run_for(Duration::from_millis(200));
    let out = |pair: &Pair, side: usize| {
        pair.sides[side]
            .machine
            .link()
            .traffic()
            .bytes_out
            .load(core::sync::atomic::Ordering::Relaxed)
    };
    let before = [out(&pair, 0), out(&pair, 1)];
    pair.run_for(Duration::from_secs(51));
    // Ten heartbeat packets of 14 bytes in records of 22 more; pings of the dialling side come on top.
    assert_eq!(out(&pair, ACCEPTOR) - before[ACCEPTOR] - 3 * (14 + 1 + 22), 10 * (14 + 22));
    pair.cut_cable();
    // Up to five of the 45 had passed.
    pair.run_for(Duration::from_secs(39));
    assert!(pair.both(|side| side.cause().is_none()), "too early");
    pair.run_for(Duration::from_secs(7));
    for side in &pair.sides {
        assert_eq!(side.cause().unwrap(), "nothing came from the peer for 45 s");
    }
}

/// A large message leaves in pieces. A heartbeat that was due meanwhile stood in the middle of it,
/// and the stream of packets was lost.
#[test]
fn what_is_said_while_a_large_message_leaves_comes_behind_it() {
    let (mut pair, recorders) = pair(Versions::Both);
    pair.run_for(Duration::from_millis(200));
    let payload: Bytes =
        (0..1_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761) as u8).collect();
    recorders[DIALLER].context("test").send(0, payload.clone()).unwrap();
    recorders[DIALLER].context("test").send(1, Bytes::from_static(b"next")).unwrap();
    // The first piece is sealed and waits; so does all that is due: heartbeats of both kinds, and
    // the answers to the peer's.
    pair.sides[DIALLER].writable = false;
    for side in [DIALLER, ACCEPTOR] {
        pair.sides[side].link().probe();
    }
    pair.run_for(Duration::from_secs(7));
    assert!(recorders[ACCEPTOR].messages().is_empty(), "the network took it");
    pair.sides[DIALLER].writable = true;
    pair.run_for(Duration::from_secs(1));
    assert!(pair.both(|side| side.cause().is_none()), "{:?}", pair.sides[ACCEPTOR].cause());
    let got = recorders[ACCEPTOR].messages();
    assert!(got == [(0, payload), (1, Bytes::from_static(b"next"))], "{} messages", got.len());
    assert_eq!(pair.sides.each_ref().map(|side| side.story()), ["AGEL", "AGEL"]);
}
