//! Sending packets of our own to where their way begins, and passing on those of others.

use bytes::{Bytes, BytesMut};
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{
    COMPRESS_ABOVE, Ext, GroupOptions, INITIAL_TTL, MAX_PACKET, Message, P2pId, Packet, PacketType,
    Route, Version, compress,
};

use super::sessions::From;
use super::{Mesh, MeshFault, MessageId, Output, SessionId};
use crate::session::Class;
use crate::time::Instant;

/// A packet of our own before it is known over which session it goes.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) packet_type: PacketType,
    pub(super) seq: u32,
    pub(super) ext: Ext,
    pub(super) options: Option<GroupOptions>,
    /// The beginning of the payload, which is the message's own.
    pub(super) front: Bytes,
    /// The rest of it, shared.
    pub(super) payload: Bytes,
}

/// Why a packet is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWay {
    /// No route, or no session on it that can carry addresses.
    NotReachable,
    /// Larger than a packet may be.
    TooLarge(usize),
    /// Group or front node ID cannot be written.
    TooLong,
}

impl Mesh {
    /// The number of our next packet: one counter for the whole node, which begins with 2
    /// (`Message.cpp`: starts at 1, counted before it is used).
    pub(super) const fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// The session on the way to a node, if it can carry a packet to it.
    pub(super) fn way(&self, to: &ShortId) -> Option<SessionId> {
        let next = self.router.next_hop(to)?;
        let id = self.by_peer.get(&next)?;
        let session = self.sessions.get(id)?;
        (session.version.has_route() || next == *to).then_some(*id)
    }

    /// Sends a message that keeps the mesh itself.
    pub(super) fn send_control(&mut self, to: ShortId, message: &Message) {
        self.send_payload(to, message.packet_type(), message.encode_payload());
    }

    /// Sends a packet that keeps the mesh itself.
    pub(super) fn send_payload(&mut self, to: ShortId, packet_type: PacketType, payload: Bytes) {
        let seq = self.next_seq();
        self.send_numbered(to, packet_type, seq, payload);
    }

    /// The same with a number that several receivers share.
    pub(super) fn send_numbered(
        &mut self,
        to: ShortId,
        packet_type: PacketType,
        seq: u32,
        payload: Bytes,
    ) {
        let (ext, options, front) = (Ext::NONE, None, Bytes::new());
        let parcel = Parcel { packet_type, seq, ext, options, front, payload };
        if self.send(to, &parcel, Class::Control, None).is_err() {
            self.counters.dropped_no_way += 1;
        }
    }

    /// Sends a packet on its way; says over which session.
    pub(super) fn send(
        &mut self,
        to: ShortId,
        parcel: &Parcel,
        class: Class,
        message: Option<MessageId>,
    ) -> Result<SessionId, NoWay> {
        let id = self.way(&to).ok_or(NoWay::NotReachable)?;
        self.send_over(id, Some(to), parcel, class, message)?;
        Ok(id)
    }

    /// Sends a packet over this session.
    pub(super) fn send_over(
        &mut self,
        id: SessionId,
        to: Option<ShortId>,
        parcel: &Parcel,
        class: Class,
        message: Option<MessageId>,
    ) -> Result<(), NoWay> {
        let version = self.sessions.get(&id).ok_or(NoWay::NotReachable)?.version;
        let mut packet = Packet::new(version, parcel.packet_type, parcel.seq, Bytes::new());
        packet.ext = parcel.ext;
        packet.options.clone_from(&parcel.options);
        if version.has_route() {
            let destination = match to {
                Some(to) => self.id_for(version, &to).ok_or(NoWay::NotReachable)?,
                None => P2pId::EMPTY,
            };
            let source = self.own.id_for(version);
            packet.route = Route { ttl: INITIAL_TTL, source, destination };
        }
        let size = parcel.front.len() + parcel.payload.len();
        let (front, payload) = match self.packed(version, class, parcel) {
            Some(packed) => {
                packet.ext = packet.ext | Ext::COMPRESS;
                (Bytes::new(), packed)
            }
            None => (parcel.front.clone(), parcel.payload.clone()),
        };
        let head = head_of(&packet, &front, payload.len()).map_err(|too_long| match too_long {
            true => NoWay::TooLong,
            false => NoWay::TooLarge(size),
        })?;
        self.push(id, class, head, payload, message);
        Ok(())
    }

    /// The payload packed, where that is wanted and helps. Control packets are packed whenever the
    /// peer can read it: tables of large meshes shrink to a fifth.
    fn packed(&mut self, version: Version, class: Class, parcel: &Parcel) -> Option<Bytes> {
        let size = parcel.front.len() + parcel.payload.len();
        let control = class == Class::Control;
        // A broadcast is never packed, in FISCO neither: its payload is shared by all receivers.
        let shared = parcel.packet_type == PacketType::BroadcastMessage;
        let wanted = control || self.config.compression;
        if !wanted || shared || !version.may_compress() || size <= COMPRESS_ABOVE {
            return None;
        }
        let packed = match (&self.packed_last, parcel.front.is_empty()) {
            (Some((payload, packed)), true) if is_same(payload, &parcel.payload) => packed.clone(),
            (_, true) => compress(&parcel.payload).ok()?,
            (_, false) => {
                let whole = [parcel.front.as_ref(), parcel.payload.as_ref()].concat();
                compress(&whole).ok()?
            }
        };
        if control && parcel.front.is_empty() {
            self.packed_last = Some((parcel.payload.clone(), packed.clone()));
        }
        Some(packed).filter(|packed| packed.len() < size)
    }

    /// Sends a packet that is complete.
    pub(super) fn transmit(
        &mut self,
        id: SessionId,
        class: Class,
        packet: Packet,
        message: Option<MessageId>,
    ) {
        match head_of(&packet, &[], packet.payload.len()) {
            Ok(head) => self.push(id, class, head, packet.payload, message),
            // Only what grew while it was passed on: IDs are longer in V1 and V2.
            Err(_) => self.counters.dropped_no_way += 1,
        }
    }

    pub(super) fn push(
        &mut self,
        session: SessionId,
        class: Class,
        head: Box<[u8]>,
        payload: Bytes,
        message: Option<MessageId>,
    ) {
        self.counters.packets_out += 1;
        self.outputs.push_back(Output::Transmit { session, class, head, payload, message });
    }

    /// The form of a node's ID that packets of this version hold.
    fn id_for(&self, version: Version, node: &ShortId) -> Option<P2pId> {
        if *node == self.own.short {
            return Some(self.own.id_for(version));
        }
        match version {
            Version::V3 => P2pId::new(Bytes::copy_from_slice(node.as_bytes())).ok(),
            _ => self.router.long(node).cloned(),
        }
    }

    /// Passes on a packet that is for somebody else. The payload stays where it is.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        from: From,
        to: ShortId,
        mut packet: Packet,
        size: usize,
    ) -> Result<(), MeshFault> {
        if packet.route.ttl <= 0 {
            self.counters.dropped_ttl += 1;
            return Ok(());
        }
        packet.route.ttl -= 1;
        let message = is_application(&packet);
        if message && !self.admits_forward(now, &from, &packet, size) {
            return Ok(());
        }
        let Some(id) = self.way(&to) else {
            self.counters.dropped_no_way += 1;
            return Ok(());
        };
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        packet.version = session.version;
        if packet.version.has_route() {
            let source = self.id_for(packet.version, &from.node);
            let destination = self.id_for(packet.version, &to);
            let (Some(source), Some(destination)) = (source, destination) else {
                self.counters.dropped_no_way += 1;
                return Ok(());
            };
            packet.route.source = source;
            packet.route.destination = destination;
        }
        if !packet.version.may_compress() {
            packet.unpack()?;
        }
        self.counters.forwarded += 1;
        self.counters.forwarded_messages += u64::from(message);
        let class = match message || packet.is_response() {
            true => Class::Blocks,
            false => Class::Gossip,
        };
        self.transmit(id, class, packet, None);
        Ok(())
    }
}

/// Whether both are the same piece of memory: what they say need not be compared.
fn is_same(a: &Bytes, b: &Bytes) -> bool {
    a.as_ptr() == b.as_ptr() && a.len() == b.len()
}

/// Whether a packet carries a message of applications.
fn is_application(packet: &Packet) -> bool {
    // In AMOP the kind is the second field: 4 and 5 are messages, the others keep the topic lists.
    // Those that are packed are lists: messages pass unpacked or count at their receiver.
    let amop = || matches!(packet.payload.get(2..4), Some([0, 4 | 5]));
    !packet.is_response()
        && match packet.packet_type {
            PacketType::PeerToPeerMessage | PacketType::BroadcastMessage => true,
            PacketType::AmopMessage => !packet.ext.contains(Ext::COMPRESS) && amop(),
            _ => false,
        }
}

impl super::Own {
    /// The form of our own ID that packets of this version hold.
    fn id_for(&self, version: Version) -> P2pId {
        match version {
            Version::V3 => self.short_wire.clone(),
            _ => self.long.clone(),
        }
    }
}

/// All before the payload, in one piece; `Err(true)` when options cannot be written, `Err(false)`
/// when the whole is too large.
fn head_of(packet: &Packet, front: &[u8], payload: usize) -> Result<Box<[u8]>, bool> {
    let mut head = BytesMut::new();
    // The packet's own payload is counted by the encoder; ours is counted below.
    let bare = Packet { payload: Bytes::new(), ..packet.clone() };
    bare.encode_head(&mut head).map_err(|_| true)?;
    head.extend_from_slice(front);
    let size = head.len() + payload;
    let length = u32::try_from(size).ok().filter(|_| size <= MAX_PACKET).ok_or(false)?;
    for (to, byte) in head.iter_mut().zip(length.to_be_bytes()) {
        *to = byte;
    }
    Ok(head.as_ref().into())
}
