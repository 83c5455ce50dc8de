//! Our session with plain rustls at the other end: without ALPN, as FISCO's nodes are.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chainmesh_identity::tls::rustls::ClientConnection;
use chainmesh_identity::tls::{HandshakeOptions, Versions, client_config, server_name};

use super::super::packets::RAW_PACKET;
use crate::module::PeerKind;
use crate::session::connection::Connection;
use crate::session::testing::{ALL, Recorder, Side, certificates, key, node};
use crate::session::{MESH, SessionKind};
use crate::time::Instant;

/// A FISCO BCOS 2.x node by its certificate: secp256k1, no ALPN.
struct Foreign {
    tls: ClientConnection,
    side: Side,
    now: Instant,
    mesh: Recorder,
}

impl Foreign {
    fn connect(versions: Versions) -> Self {
        let mesh = Recorder::default();
        let modules = vec![mesh.module(MESH, 1, 1), Recorder::default().module("test", 1, 4)];
        let local = node(1, SessionKind::Tls, modules);
        let now = Instant::from_micros(1_000_000);
        let address = "127.0.0.1:30300".parse().unwrap();
        let side = Side::new(Connection::accept(local, address, [2; 32], now));
        let ours = certificates::local(5);
        let options = HandshakeOptions { versions, expected: None, time: Arc::clone(&ours.time) };
        let (config, _) = client_config(&ours.material, &options).unwrap();
        let tls = ClientConnection::new(Arc::new(config), server_name()).unwrap();
        let mut foreign = Self { tls, side, now, mesh };
        foreign.run();
        foreign
    }

    /// Until neither has more to say.
    fn run(&mut self) {
        loop {
            let mut wire = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut wire).unwrap();
            }
            if !wire.is_empty() {
                self.side.arrive(self.now, &wire);
            }
            let answer = self.side.drive(self.now);
            let mut rest = &answer[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
                self.tls.process_new_packets().unwrap();
            }
            if wire.is_empty() && answer.is_empty() {
                return;
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.run();
    }

    fn heard(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.tls.reader().read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

/// `SendTopicSeq` with seq "0", from the vectors.
const TOPIC_SEQ: [u8; 17] = [0, 0, 0, 17, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, b'0'];

#[test]
fn a_node_of_fisco_gets_the_mesh_alone_and_no_hello() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let mut foreign = Foreign::connect(versions);
        assert!(foreign.side.is_established());
        let peer = foreign.mesh.context(MESH);
        assert_eq!(peer.peer_kind(), PeerKind::Fisco2);
        assert_eq!(peer.id(), key(5).peer_id());
        assert_eq!(peer.identity().peer_id(), Some(peer.id()));
        assert!(foreign.heard().is_empty(), "nothing that a node of FISCO would not say");
        peer.send(0, TOPIC_SEQ.to_vec().into()).unwrap();
        foreign.run();
        assert_eq!(foreign.heard(), TOPIC_SEQ, "a packet goes out as it is");
        foreign.say(&TOPIC_SEQ.repeat(3));
        let got = foreign.mesh.messages();
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|(code, packet)| *code == 0 && packet[..] == TOPIC_SEQ));
    }
}

#[test]
fn a_goodbye_of_tls_is_the_networks_end_and_ours_is_heard() {
    let mut foreign = Foreign::connect(Versions::Tls12);
    foreign.tls.send_close_notify();
    foreign.run();
    assert_eq!(foreign.side.cause().unwrap(), "the peer closed the connection");

    let mut foreign = Foreign::connect(Versions::Tls13);
    foreign.side.link().close(chainmesh_wire::devp2p::DisconnectReason::Requested);
    foreign.run();
    let mut bytes = Vec::new();
    assert_eq!(foreign.tls.reader().read_to_end(&mut bytes).unwrap(), 0, "a clean end");
}

#[test]
fn a_probe_of_a_node_of_fisco_is_answered_by_its_heartbeats() {
    let mut foreign = Foreign::connect(Versions::Tls12);
    foreign.side.link().probe();
    foreign.run();
    assert_eq!(foreign.side.story(), "AEL");
    // When it was silent for two heartbeats, nothing is known.
    foreign.now = foreign.now + Duration::from_secs(11);
    foreign.side.link().probe();
    foreign.run();
    assert_eq!(foreign.side.story(), "AEL");
}

#[test]
fn a_silent_node_of_fisco_is_gone_after_sixty_seconds() {
    let mut foreign = Foreign::connect(Versions::Tls12);
    for (after, cause) in [(59, None), (2, Some("nothing came from the peer for 60 s"))] {
        foreign.now = foreign.now + Duration::from_secs(after);
        let _: BytesMut = foreign.side.drive(foreign.now);
        assert_eq!(foreign.side.cause().as_deref(), cause);
    }
}

#[test]
fn new_keys_in_the_middle_of_the_stream_are_followed_and_answered() {
    let mut foreign = Foreign::connect(Versions::Tls13);
    let peer = foreign.mesh.context(MESH);
    for round in 0..5 {
        foreign.tls.refresh_traffic_keys().unwrap();
        foreign.say(&TOPIC_SEQ);
        peer.send(0, TOPIC_SEQ.to_vec().into()).unwrap();
        foreign.run();
        assert_eq!(foreign.heard(), TOPIC_SEQ, "round {round}");
        assert_eq!(foreign.mesh.messages().len(), round + 1);
    }
    assert_eq!(foreign.side.cause(), None);
}

#[test]
fn a_malformed_packet_ends_the_session_with_its_reason() {
    let mut foreign = Foreign::connect(Versions::Tls12);
    foreign.say(&[0, 0, 0, 15, 0, 0]);
    let cause = foreign.side.cause().unwrap();
    assert_eq!(cause, "malformed packet: packet length 15 is below its header of 16 bytes");
    assert_eq!(foreign.mesh.closed().len(), 1);
}

#[test]
fn the_raw_code_is_beyond_every_code_of_a_module() {
    assert!(RAW_PACKET > u64::from(u32::MAX));
    assert_eq!(ALL.len(), 3);
}

#[test]
fn records_that_a_peer_repeats_are_not_taken_twice() {
    let mut foreign = Foreign::connect(Versions::Tls13);
    foreign.tls.writer().write_all(&TOPIC_SEQ).unwrap();
    let mut wire = Vec::new();
    foreign.tls.write_tls(&mut wire).unwrap();
    foreign.side.arrive(foreign.now, &wire.repeat(2));
    let _: BytesMut = foreign.side.drive(foreign.now);
    assert_eq!(foreign.mesh.messages().len(), 1);
    assert_eq!(foreign.side.cause().unwrap(), "a TLS record is forged or damaged");
}
