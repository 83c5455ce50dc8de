//! Group messages of others: delivered once, acknowledged always.

use bytes::Bytes;
use chainmesh_wire::mesh::{ErrorCode, Ext, FrontMessage, Packet, PacketType};

use super::forward::Parcel;
use super::sessions::From;
use super::{Cast, Delivery, Mesh, MeshFault, Output, ReplyTo};
use crate::session::Class;
use crate::time::Instant;

impl Mesh {
    /// A packet of type 5.
    pub(super) fn unicast_came(
        &mut self,
        now: Instant,
        from: From,
        packet: Packet,
        size: usize,
    ) -> Result<(), MeshFault> {
        let code = self.take_unicast(now, from, &packet, size)?;
        self.answer(from, packet.seq, PacketType::Response, code.to_payload());
        Ok(())
    }

    fn take_unicast(
        &mut self,
        now: Instant,
        from: From,
        packet: &Packet,
        size: usize,
    ) -> Result<ErrorCode, MeshFault> {
        let mut packet = packet.clone();
        let Some(options) = packet.options.clone() else { return Ok(ErrorCode::SUCCESS) };
        let (group, module) = (Some(options.group.as_ref()), packet.module());
        if !self.inbound.admit(now, Some(&from.neighbour), group, module, size) {
            self.counters.dropped_limit += 1;
            return Ok(ErrorCode::GATEWAY_QPS_OVERFLOW);
        }
        // FISCO looks at the first destination only.
        let here = options.destinations.first() == Some(&self.own.front)
            && self.groups.contains(&options.group);
        if !here {
            self.counters.not_for_us += 1;
            return Ok(ErrorCode::NOT_FOUND_FRONT_SERVICE_DISPATCH);
        }
        packet.unpack()?;
        let module = packet.module().unwrap_or_default();
        let message = FrontMessage::decode(packet.payload)?;
        if message.ext & FrontMessage::RESPONSE != 0 {
            self.replied(&options.source, &message.uuid, message.payload);
            return Ok(ErrorCode::SUCCESS);
        }
        if self.is_repeated(&options.source, &message.uuid) {
            return Ok(ErrorCode::SUCCESS);
        }
        let reply = ReplyTo {
            gateway: from.node,
            front: Bytes::copy_from_slice(&options.source),
            group: Bytes::copy_from_slice(&options.group),
            module,
            uuid: Bytes::copy_from_slice(&message.uuid),
        };
        let cast = Cast::Unicast { reply };
        self.deliver(from, cast, options, message, module);
        Ok(ErrorCode::SUCCESS)
    }

    /// A packet of type 6.
    pub(super) fn broadcast_came(
        &mut self,
        now: Instant,
        from: From,
        mut packet: Packet,
        size: usize,
    ) -> Result<(), MeshFault> {
        let Some(options) = packet.options.clone() else { return Ok(()) };
        let (group, module) = (Some(options.group.as_ref()), packet.module());
        if !self.inbound.admit(now, Some(&from.neighbour), group, module, size) {
            self.counters.dropped_limit += 1;
            return Ok(());
        }
        let role = u16::try_from(self.config.role.0).unwrap_or(0);
        let here = self.groups.contains(&options.group)
            && packet.ext.0 & role != 0
            && options.source != self.own.front;
        packet.unpack()?;
        let module = packet.module().unwrap_or_default();
        let (seq, message) = (packet.seq, FrontMessage::decode(packet.payload)?);
        // FISCO's broadcasts have no uuid and want no confirmation; ours have and do.
        let confirm = !message.uuid.is_empty();
        if !here {
            self.counters.not_for_us += 1;
        } else if !self.is_repeated(&options.source, &message.uuid) {
            self.deliver(from, Cast::Broadcast, options, message, module);
        }
        if confirm {
            self.answer(from, seq, PacketType::Response, ErrorCode::SUCCESS.to_payload());
        }
        Ok(())
    }

    /// Whether a message was delivered before; one without an id never was.
    fn is_repeated(&mut self, source: &Bytes, uuid: &Bytes) -> bool {
        let repeated = !uuid.is_empty() && !self.recent.note(source, uuid);
        self.counters.duplicates += u64::from(repeated);
        repeated
    }

    fn deliver(
        &mut self,
        from: From,
        cast: Cast,
        options: chainmesh_wire::mesh::GroupOptions,
        message: FrontMessage,
        module: chainmesh_wire::mesh::ModuleId,
    ) {
        self.counters.delivered += 1;
        self.outputs.push_back(Output::Deliver(Delivery {
            gateway: self.router.name(&from.node),
            source: options.source,
            cast,
            group: options.group,
            module,
            uuid: message.uuid,
            payload: message.payload,
        }));
    }

    /// Answers a packet, over the session it came from, as FISCO does.
    pub(super) fn answer(&mut self, from: From, seq: u32, packet_type: PacketType, payload: Bytes) {
        self.answer_parts(from, seq, packet_type, Bytes::new(), payload);
    }

    /// The same with a payload in two parts.
    pub(super) fn answer_parts(
        &mut self,
        from: From,
        seq: u32,
        packet_type: PacketType,
        front: Bytes,
        payload: Bytes,
    ) {
        let (ext, options) = (Ext::RESPONSE, None);
        let parcel = Parcel { packet_type, seq, ext, options, front, payload };
        let session = self.sessions.get(&from.session);
        let direct = from.node == from.neighbour;
        let sent = match session.is_some_and(|it| direct || it.version.has_route()) {
            true => self.send_over(from.session, Some(from.node), &parcel, Class::Blocks, None),
            false => self.send(from.node, &parcel, Class::Blocks, None).map(|_| ()),
        };
        if sent.is_err() {
            self.counters.dropped_no_way += 1;
        }
    }

    /// Whether a packet for others is within the limits of the neighbour it came from. A unicast
    /// that is not is answered.
    pub(super) fn admits_forward(
        &mut self,
        now: Instant,
        from: &From,
        packet: &Packet,
        size: usize,
    ) -> bool {
        let module = packet.module();
        if self.inbound.admit(now, Some(&from.neighbour), None, module, size) {
            return true;
        }
        self.counters.dropped_limit += 1;
        if packet.packet_type == PacketType::PeerToPeerMessage {
            let payload = ErrorCode::GATEWAY_QPS_OVERFLOW.to_payload();
            self.answer(*from, packet.seq, PacketType::Response, payload);
        }
        false
    }
}
