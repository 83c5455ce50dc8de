//! Sessions with neighbours: the handshake, the version, and which part a packet is for.

use bytes::Bytes;
use chainmesh_identity::certificate::{CertificateIdentity, ShortId};
use chainmesh_wire::mesh::{
    Ext, MeshError, Message, P2pId, Packet, PacketType, ProtocolInfo, RouterTable, Version,
    decompress,
};

use super::config::{MAX_STATUS_BYTES, MAX_TABLE_BYTES, ROUTER_HOLD, ROUTER_PERIOD};
use super::rc2::Rc2Topics;
use super::router::{Changes, short_of};
use super::{Mesh, MeshEvent, MeshFault, Output, SessionId, Timer};
use crate::module::PeerKind;
use crate::session::Class;
use crate::time::Instant;

/// A session with a neighbour. It is open from the first moment: frames are sent as V0 until the
/// peer's handshake comes, and a peer that never sends one stays at V0.
#[derive(Debug)]
pub(super) struct Session {
    /// Who is at the other end.
    pub(super) peer: ShortId,
    pub(super) kind: PeerKind,
    /// What is sent to it.
    pub(super) version: Version,
    /// The peer's handshake came.
    pub(super) negotiated: bool,
    /// Number of its router table, as far as told.
    pub(super) router_seq: Option<u32>,
    /// Since when its table is asked for without an answer.
    pub(super) table_asked: Option<Instant>,
    /// What is known of the topics of a 2.x node.
    pub(super) rc2: Rc2Topics,
}

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct From {
    pub(super) session: SessionId,
    /// Who is at the other end of the session.
    pub(super) neighbour: ShortId,
    /// Who made the packet.
    pub(super) node: ShortId,
}

impl Mesh {
    pub(super) fn opened(
        &mut self,
        now: Instant,
        id: SessionId,
        peer: &CertificateIdentity,
        kind: PeerKind,
    ) {
        let short = peer.short();
        if short == self.own.short {
            self.outputs.push_back(Output::Close { session: id, fault: MeshFault::Itself });
            return;
        }
        let session = Session {
            peer: short,
            kind,
            version: Version::V0,
            negotiated: false,
            router_seq: None,
            table_asked: None,
            rc2: Rc2Topics::default(),
        };
        self.sessions.insert(id, session);
        self.arm(now);
        if kind == PeerKind::Fisco2 {
            self.rc2_opened(id, peer.name());
            return;
        }
        // It may have started anew, with smaller numbers, before anybody missed it.
        self.forget_member(&short);
        self.send_handshake(id);
        // The newest session is used: an older one with the same peer is about to close.
        self.by_peer.insert(short, id);
        let Ok(long) = P2pId::new(peer.long()) else { return };
        let changes = self.router.up(now, short, long, peer.name());
        self.routes_changed(now, changes);
        self.greet(short);
    }

    pub(super) fn closed(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.inbound.forget_peer(&session.peer);
        self.outbound.forget_peer(&session.peer);
        if session.kind == PeerKind::Fisco2 {
            return self.rc2_closed(session.peer);
        }
        if self.by_peer.get(&session.peer) != Some(&id) {
            // It was replaced; what was sent over it may be lost.
            self.resend_over_new_ways();
            return;
        }
        self.by_peer.remove(&session.peer);
        let others = self
            .sessions
            .iter()
            .filter(|(_, other)| other.peer == session.peer && other.kind != PeerKind::Fisco2);
        if let Some((other, _)) = others.max_by_key(|(id, _)| **id) {
            self.by_peer.insert(session.peer, *other);
            self.resend_over_new_ways();
            return;
        }
        let changes = self.router.down(now, &session.peer);
        self.routes_changed(now, changes);
    }

    fn send_handshake(&mut self, id: SessionId) {
        let payload = ProtocolInfo::gateway(self.config.versions).encode();
        let seq = self.next_seq();
        let packet = Packet::new(Version::V0, PacketType::Handshake, seq, payload);
        self.transmit(id, Class::Control, packet, None);
    }

    fn handshake(&mut self, id: SessionId, info: &ProtocolInfo) -> Result<(), MeshFault> {
        let agreed = self.config.versions.negotiate(info)?;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        if session.negotiated {
            self.counters.renegotiated += 1;
            session.version = session.version.min(agreed);
        } else {
            session.version = agreed;
        }
        session.negotiated = true;
        let (neighbour, version) = (session.peer, session.version);
        let neighbour = self.router.name(&neighbour);
        let version = version.number();
        self.outputs.push_back(Output::Event(MeshEvent::Negotiated { neighbour, version }));
        // What had to wait for a version that has addresses can go now.
        self.resend_over_new_ways();
        Ok(())
    }

    /// A whole packet from a session.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        id: SessionId,
        frame: Bytes,
    ) -> Result<(), MeshFault> {
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        self.counters.packets_in += 1;
        if session.kind == PeerKind::Fisco2 {
            return self.rc2_frame(now, id, frame);
        }
        let neighbour = session.peer;
        let size = frame.len();
        let packet = Packet::decode(frame)?;
        let node = self.node_in_header(&packet.route.source)?.unwrap_or(neighbour);
        let destination = self.node_in_header(&packet.route.destination)?;
        let from = From { session: id, neighbour, node };
        if node == self.own.short {
            self.counters.looped += 1;
            return Ok(());
        }
        let done = match destination.filter(|destination| *destination != self.own.short) {
            Some(destination) => self.forward(now, from, destination, packet, size),
            None => self.packet(now, from, packet, size),
        };
        // Who passes on a bad payload is not to blame: else one bad member could part others.
        done.or_else(|fault| match node == neighbour {
            true => Err(fault),
            false => {
                self.counters.bad_routed += 1;
                Ok(())
            }
        })
    }

    /// Who is meant by an ID in a header; nobody in particular if it is empty.
    fn node_in_header(&self, id: &P2pId) -> Result<Option<ShortId>, MeshFault> {
        let bytes = id.as_bytes();
        match bytes.len() {
            0 => Ok(None),
            32 => {
                let short: Result<[u8; 32], _> = bytes.as_ref().try_into();
                short.map(|short| Some(short.into())).map_err(|_| MeshFault::NodeId(32))
            }
            length if id.is_short() => Err(MeshFault::NodeId(length)),
            length => short_of(id).map(Some).ok_or(MeshFault::NodeId(length)),
        }
    }

    /// A packet for this node.
    fn packet(
        &mut self,
        now: Instant,
        from: From,
        mut packet: Packet,
        size: usize,
    ) -> Result<(), MeshFault> {
        if packet.is_response() {
            if matches!(packet.packet_type, PacketType::AmopMessage | PacketType::WsMessage) {
                return self.amop_answered(from, packet);
            }
            return self.response(now, from, packet);
        }
        match packet.packet_type {
            PacketType::PeerToPeerMessage => return self.unicast_came(now, from, packet, size),
            PacketType::BroadcastMessage => return self.broadcast_came(now, from, packet, size),
            PacketType::AmopMessage => return self.amop_came(now, from, packet, size),
            PacketType::RouterTableResponse => unpack(&mut packet, MAX_TABLE_BYTES)?,
            _ => unpack(&mut packet, MAX_STATUS_BYTES)?,
        }
        let Some(message) = Message::decode(&packet)? else {
            self.counters.unknown_type += 1;
            return Ok(());
        };
        match message {
            Message::Heartbeat => {}
            Message::Handshake(info) => self.handshake(from.session, &info)?,
            Message::SyncNodeSeq(seq) => self.status_seq_came(from.node, seq),
            Message::RequestNodeStatus => self.status_asked(from.node),
            Message::ResponseNodeStatus(status) => self.status_came(from.node, &status)?,
            Message::RouterTableSyncSeq(seq) => self.table_seq_came(now, from, seq),
            Message::RouterTableRequest => self.table_asked(from.neighbour),
            Message::RouterTableResponse(table) => self.table_came(now, from, &table),
        }
        Ok(())
    }

    fn table_seq_came(&mut self, now: Instant, from: From, seq: u32) {
        let Some(session) = self.sessions.get_mut(&from.session) else { return };
        let newer = session.router_seq.is_none_or(|known| seq > known);
        // FISCO asks once; we ask again when the answer stays away.
        let again =
            session.table_asked.is_some_and(|asked| now.saturating_since(asked) >= ROUTER_PERIOD);
        if newer {
            session.router_seq = Some(seq);
        }
        if again || (newer && session.table_asked.is_none()) {
            session.table_asked = Some(now);
            self.send_control(from.neighbour, &Message::RouterTableRequest);
        }
    }

    fn table_asked(&mut self, neighbour: ShortId) {
        let table = self.router.table();
        self.send_payload(neighbour, PacketType::RouterTableResponse, table);
    }

    fn table_came(&mut self, now: Instant, from: From, table: &RouterTable) {
        let Some(session) = self.sessions.get_mut(&from.session) else { return };
        session.table_asked = None;
        let changes = self.router.merge(now, &from.neighbour, table);
        self.routes_changed(now, changes);
    }

    /// Asks again for tables that did not come.
    pub(super) fn ask_for_tables_again(&mut self, now: Instant) {
        let overdue = ROUTER_PERIOD.saturating_mul(2);
        let mut ask = Vec::new();
        for session in self.sessions.values_mut() {
            if session.table_asked.is_some_and(|at| now.saturating_since(at) >= overdue) {
                session.table_asked = Some(now);
                ask.push(session.peer);
            }
        }
        for neighbour in ask {
            self.send_control(neighbour, &Message::RouterTableRequest);
        }
    }

    /// Tells everybody concerned that ways have changed.
    pub(super) fn routes_changed(&mut self, now: Instant, changes: Changes) {
        self.counters.bad_routes += changes.bad;
        if changes.held && self.timers.deadline(&Timer::RouterHold).is_none() {
            self.timers.set(Timer::RouterHold, now + ROUTER_HOLD);
        }
        for node in &changes.lost {
            self.forget_member(node);
            self.pending.way_lost(node);
            let member = self.router.name(node);
            self.outputs.push_back(Output::Event(MeshEvent::Lost { member }));
        }
        for node in changes.reached {
            let Some(distance) = self.router.distance(&node) else { continue };
            let (member, distance) = (self.router.name(&node), distance.into());
            self.outputs.push_back(Output::Event(MeshEvent::Reached { member, distance }));
            if distance > 1 {
                self.greet(node);
            }
        }
        for node in changes.rerouted {
            let Some(distance) = self.router.distance(&node) else { continue };
            let Some(next_hop) = self.router.next_hop(&node) else { continue };
            let (member, next_hop) = (self.router.name(&node), self.router.name(&next_hop));
            let distance = distance.into();
            let event = MeshEvent::Rerouted { member, next_hop, distance };
            self.outputs.push_back(Output::Event(event));
        }
        if changes.table {
            self.announce_table_soon(now);
            self.resend_over_new_ways();
        }
    }
}

/// Unpacks the payload of a message that keeps the mesh itself.
pub(super) fn unpack(packet: &mut Packet, limit: usize) -> Result<(), MeshFault> {
    let what = packet.packet_type.name();
    let size = packet.payload.len();
    if size > limit {
        return Err(MeshFault::TooLarge { what, size, limit });
    }
    if packet.ext.contains(Ext::COMPRESS) {
        packet.payload = decompress(&packet.payload, limit).map_err(MeshError::from)?;
        packet.ext = packet.ext.without(Ext::COMPRESS);
    }
    Ok(())
}
