//! Sessions: the handshake's packets, frames, snappy, and two connections that are tampered with.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use chainmesh_identity::NodeKey;
use chainmesh_proto::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use chainmesh_proto::session::connection::{Connection, ConnectionEvent, LocalNode};
use chainmesh_proto::session::rlpx::{MAX_HANDSHAKE_PACKET, seal_any};
use chainmesh_proto::session::{
    Class, Handshake, MAX_QUEUED, MAX_UNPACKED, Progress, ReadHold, Session, SessionKind,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};

fn key(number: u8) -> NodeKey {
    NodeKey::from_entropy([number + 1; 32])
}

/// A node without modules.
fn rlpx_node(number: u8) -> LocalNode {
    LocalNode {
        key: key(number),
        client_name: "fuzz".into(),
        listen_port: 0,
        modules: Vec::new(),
        kind: SessionKind::Rlpx,
        tls: None,
    }
}

/// Handshake packets, to either side: as they are, or as the content of one that can be decrypted.
pub fn handshake(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let (ours, theirs) = (key(1), key(0));
    let mut out = BytesMut::new();
    let handshake = if mode & 1 == 0 {
        Handshake::accept(&rlpx_node(1), [2; 32], &mut out)
    } else {
        Handshake::dial(&rlpx_node(1), Some(theirs.peer_id()), [2; 32], &mut out)
    }
    .expect("a good key");
    let mut input = if mode & 2 == 0 {
        BytesMut::from(rest)
    } else {
        let Some(packet) = seal_any(&ours.peer_id(), rest) else { return };
        BytesMut::from(&packet[..])
    };
    let before = input.len();
    match handshake.advance(&ours, &mut input, &mut out) {
        Ok(Progress::Wait(_)) => assert!(before <= MAX_HANDSHAKE_PACKET + 2),
        Ok(Progress::Done(_, peer)) => assert!(peer.public_key().is_ok()),
        Err(_) => {}
    }
}

/// Two open sessions, the first of them to be read by the second.
fn sessions() -> (Session, Session) {
    let (a, b) = (key(0), key(1));
    let mut wire = BytesMut::new();
    let mut answer = BytesMut::new();
    let ours = Handshake::dial(&rlpx_node(0), Some(b.peer_id()), [1; 32], &mut wire);
    let theirs = Handshake::accept(&rlpx_node(1), [2; 32], &mut answer).expect("RLPx has it all");
    let Ok(Progress::Done(theirs, _)) = theirs.advance(&b, &mut wire, &mut answer) else {
        unreachable!("an honest auth is accepted")
    };
    let ours = ours.expect("a good key").advance(&a, &mut answer, &mut wire);
    let Ok(Progress::Done(ours, _)) = ours else { unreachable!("an honest ack is accepted") };
    (ours, theirs)
}

/// Takes bytes off the input that a fuzzer gives.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        Some(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(count.min(self.0.len()));
        self.0 = later;
        now
    }
}

/// A stream of frames in pieces of any size, with bytes changed, inserted and lost on the way. What
/// is read before the first damage is what was written; after it nothing is read.
pub fn frames(data: &[u8]) {
    let mut choices = Choices(data);
    let (mut writer, mut reader) = sessions();
    let (mut wire, mut input) = (BytesMut::new(), BytesMut::new());
    let (mut written, mut read) = (Vec::new(), 0);
    // Whole messages that had arrived undamaged when the damage was done.
    let mut damaged = false;
    while let Some(choice) = choices.byte() {
        match choice % 6 {
            0 | 1 if written.len() < 200 => {
                let (code, size) = (u64::from(choice), choices.number().unwrap_or(0));
                let mut payload = choices.bytes(size % 300).to_vec();
                payload.resize(size, choice);
                writer.write(code, &payload, &mut wire);
                written.push((code, payload));
            }
            2 if !wire.is_empty() => {
                let at = choices.number().unwrap_or(0) % wire.len();
                wire[at] ^= choices.byte().unwrap_or(0) | 1;
                damaged = true;
            }
            3 if !wire.is_empty() => {
                let lost = choices.number().unwrap_or(0) % wire.len() + 1;
                let _ = wire.split_to(lost);
                damaged = true;
            }
            4 => {
                let junk = usize::from(choices.byte().unwrap_or(0));
                let junk = choices.bytes(junk);
                damaged |= !junk.is_empty();
                wire.extend_from_slice(junk);
            }
            _ => {
                let arrived = choices.number().unwrap_or(0).min(wire.len());
                input.unsplit(wire.split_to(arrived));
                loop {
                    assert!((1..=MAX_UNPACKED + 64).contains(&reader.wanted(input.len(), 4096)));
                    match reader.read(&mut input, MAX_UNPACKED) {
                        Ok(Some(message)) => {
                            let (code, payload) = &written[read];
                            assert_eq!((message.code, &message.payload[..]), (*code, &payload[..]));
                            read += 1;
                        }
                        Ok(None) => break,
                        Err(_) => {
                            assert!(damaged, "an undamaged stream was refused");
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// A message that is said to be packed.
pub fn snappy(data: &[u8]) {
    let (mut writer, mut reader) = sessions();
    reader.enable_packing();
    let mut wire = BytesMut::new();
    writer.write(0x10, data, &mut wire);
    let ours = reader.read(&mut wire, MAX_UNPACKED);
    // The `snap` crate takes any claim at its word: it is only asked when the claim is small.
    if snap::raw::decompress_len(data).is_ok_and(|claimed| claimed <= 1 << 20) {
        let theirs = snap::raw::Decoder::new().decompress_vec(data);
        assert_eq!(
            ours.ok().flatten().map(|message| message.payload.to_vec()),
            theirs.ok(),
            "the same as an independent reading"
        );
    } else if let Ok(Some(message)) = ours {
        assert!(message.payload.len() <= MAX_UNPACKED.min(data.len() * 22));
    }
}

/// Does as its messages say, and keeps what it was given.
struct Tool {
    peers: Mutex<Vec<PeerContext>>,
    holds: Arc<Mutex<Vec<ReadHold>>>,
}

struct ToolOfPeer(PeerContext, Arc<Mutex<Vec<ReadHold>>>);

impl PeerHandler for Tool {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        peer.begin_handshake();
        self.peers.lock().expect("nobody panics").push(peer.clone());
        Box::new(ToolOfPeer(peer, Arc::clone(&self.holds)))
    }
}

impl TopicHandler for ToolOfPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        match code {
            0 => self.0.handshake_done(),
            1 => drop(self.0.send(2, payload)),
            2 => self.1.lock().expect("nobody panics").push(self.0.hold_reading()),
            3 => self.0.disconnect(DisconnectReason::Requested),
            4 => return Err(ModuleError::breach("code 4")),
            _ => {}
        }
        Ok(())
    }
}

struct Side {
    machine: Connection,
    tool: Arc<Tool>,
    input: BytesMut,
    output: BytesMut,
    wire: BytesMut,
    writable: bool,
    closed: bool,
}

impl Side {
    fn drive(&mut self, now: Instant, admit: bool) {
        for round in 0.. {
            assert!(round < 2000, "the connection never lets its driver sleep");
            self.machine.attend(now);
            if !self.input.is_empty() && !self.machine.is_reading_paused() {
                self.machine.receive(now, &mut self.input);
            }
            loop {
                let more = self.machine.transmit(&mut self.output);
                if !self.writable {
                    break;
                }
                self.machine.transmitted(self.output.len());
                self.wire.unsplit(self.output.split());
                if !more {
                    break;
                }
            }
            if self.machine.poll_timeout().is_some_and(|due| due <= now) {
                self.machine.handle_timeout(now);
                assert!(self.machine.poll_timeout().is_none_or(|due| due > now));
            }
            let mut quiet = true;
            while let Some(event) = self.machine.poll() {
                quiet = false;
                assert!(!self.closed, "{event:?} after Closed");
                match event {
                    ConnectionEvent::Authenticated { .. } if admit => self.machine.link().admit(),
                    ConnectionEvent::Closed(_) => self.closed = true,
                    _ => {}
                }
            }
            assert_eq!(self.machine.is_closing(), self.closed);
            if quiet && self.machine.sleep(Waker::noop()) {
                break;
            }
        }
        assert!(self.machine.link().queued() <= MAX_QUEUED);
        assert!(self.output.len() < 256 * 1024, "{} bytes sealed ahead", self.output.len());
    }
}

/// Two connections, and anything that can happen to them in any order.
pub fn session_pair(data: &[u8]) {
    let mut choices = Choices(data);
    let Some(first) = choices.byte() else { return };
    let kind = if first & 1 == 0 { SessionKind::Rlpx } else { SessionKind::Clear };
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    let mut now = Instant::from_micros(1_000_000);
    let tools = [0, 1].map(|_| Arc::new(Tool { peers: Mutex::default(), holds: Arc::default() }));
    let local = |number: usize| {
        let Ok(capability) = Capability::new("tool", 1) else { unreachable!("a good name") };
        Arc::new(LocalNode {
            key: key(number as u8),
            client_name: "fuzz".into(),
            listen_port: 0,
            modules: vec![Module {
                capability,
                message_count: 6,
                required: true,
                handler: Arc::clone(&tools[number]) as Arc<dyn PeerHandler>,
            }],
            kind,
            tls: None,
        })
    };
    let to = Some(key(1).peer_id());
    let machines = [
        Connection::dial(local(0), address, to, [1; 32], now),
        Connection::accept(local(1), address, [2; 32], now),
    ];
    let mut number = 0;
    let mut sides = machines.map(|machine| {
        number += 1;
        Side {
            machine,
            tool: Arc::clone(&tools[number - 1]),
            input: BytesMut::new(),
            output: BytesMut::new(),
            wire: BytesMut::new(),
            writable: true,
            closed: false,
        }
    });
    let admit = first & 2 == 0;
    let mut left = 400;
    while let Some(choice) = choices.byte()
        && left > 0
    {
        left -= 1;
        let from = usize::from(choice & 1);
        let Some(argument) = choices.byte() else { break };
        let amount = usize::from(argument);
        let side = &mut sides[from];
        match choice >> 1 & 0xf {
            // The usual: bytes go over, all or some of them.
            0..=5 => {
                let count =
                    if argument < 128 { side.wire.len() } else { amount.min(side.wire.len()) };
                let bytes = side.wire.split_to(count);
                let other = &mut sides[1 - from];
                if !bytes.is_empty() && !other.machine.is_reading_paused() {
                    other.machine.received(now, bytes.len());
                    other.input.unsplit(bytes);
                    other.machine.receive(now, &mut other.input);
                } else if !other.closed {
                    let later = sides[from].wire.split();
                    sides[from].wire.unsplit(bytes);
                    sides[from].wire.unsplit(later);
                }
            }
            6 => {
                if let Some(byte) = side.wire.get_mut(amount) {
                    *byte ^= choices.byte().unwrap_or(1);
                }
            }
            7 => side.wire.extend_from_slice(choices.bytes(amount)),
            8 => now = now + Duration::from_millis(u64::from(argument) * 100),
            9 => now = now + Duration::from_secs(u64::from(argument)),
            10 | 11 => {
                let code = u32::from(choices.byte().unwrap_or(0)) % 6;
                let class = [Class::Control, Class::Blocks, Class::Gossip][amount % 3];
                let payload = Bytes::from(vec![argument; amount * amount]);
                let peers = side.tool.peers.lock().expect("nobody panics");
                if let Some(peer) = peers.last() {
                    let _ = peer.send_as(class, code, payload);
                }
            }
            12 => side.writable = argument & 1 == 0,
            13 => side.tool.holds.lock().expect("nobody panics").truncate(amount % 5),
            14 => match argument % 8 {
                0 => side.machine.link().admit(),
                1 => side.machine.link().probe(),
                2 => side.machine.link().close(DisconnectReason::from_code(argument)),
                3 => side.machine.network_closed(None),
                _ => {}
            },
            _ => {
                let peers = side.tool.peers.lock().expect("nobody panics");
                peers.last().inspect(|peer| peer.handshake_done());
            }
        }
        for side in &mut sides {
            side.drive(now, admit);
        }
    }
    // Left alone, every connection comes to its end.
    for _ in 0..3 {
        now = now + Duration::from_secs(60);
        for (side, tool) in sides.iter_mut().zip(&tools) {
            tool.holds.lock().expect("nobody panics").clear();
            side.drive(now, false);
        }
    }
    assert!(sides.iter().all(|side| side.closed && side.machine.is_finished()));
}
