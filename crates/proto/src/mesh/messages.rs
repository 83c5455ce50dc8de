//! Messages of ours to one node, and the replies of our applications: how they begin. `attempts`
//! brings them to their end.

use bytes::{BufMut, Bytes, BytesMut};
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{Ext, FrontMessage, GroupOptions, ModuleId, PacketType};

use super::forward::Parcel;
use super::pending::{Kind, Pending, ToOne, Waits};
use super::{Cast, Delivery, Mesh, MessageId, Output, ReplyTo, SendFailure, Unicast, Where};
use crate::time::Instant;

impl Mesh {
    pub(super) fn send_unicast(&mut self, now: Instant, id: MessageId, message: Unicast) {
        self.counters.messages_sent += 1;
        if let Err(failure) = self.start_unicast(now, id, message) {
            self.settle(id, 0, Err(failure));
        }
    }

    fn start_unicast(
        &mut self,
        now: Instant,
        id: MessageId,
        message: Unicast,
    ) -> Result<(), SendFailure> {
        let Unicast { to, group, module, payload, reply_within } = message;
        let front = Bytes::copy_from_slice(to.as_bytes());
        let uuid = Bytes::from(id.to_string());
        if u16::try_from(group.len()).is_err() {
            return Err(SendFailure::TooLong);
        }
        let here = front == self.own.front && self.groups.contains(&group);
        let mut gateways = match here {
            true => vec![self.own.short],
            false => self.gateways(&group, &front, &to)?,
        };
        self.pending.check_room(payload.len())?;
        let next = gateways.first().and_then(|gateway| self.router.next_hop(gateway));
        let size = payload.len();
        if !self.outbound.admit(now, next.as_ref(), Some(&group), Some(module), size) {
            self.counters.dropped_limit += 1;
            return Err(SendFailure::OverLimit(Where::Here));
        }
        gateways.reverse();
        let target = gateways.pop().ok_or(SendFailure::UnknownNode)?;
        if here {
            self.deliver_here(&group, module, uuid.clone(), payload.clone());
        }
        let parcel = self.unicast_parcel((&group, module), &front, &uuid, 0, payload);
        let one = ToOne {
            target,
            others: gateways,
            over: None,
            sent: false,
            waits: Waits::Acknowledgement,
            reply_within,
            is_reply: false,
            front,
        };
        let pending = Pending { id, parcel, copies: 0, kind: Kind::Unicast(one) };
        let seq = self.pending.insert(pending);
        match here {
            true => self.acknowledged(now, seq),
            false => self.attempt(now, seq),
        }
        Ok(())
    }

    /// The gateways to be tried for a front node, those that can be reached.
    pub(super) fn gateways(
        &self,
        group: &Bytes,
        front: &Bytes,
        to: &PeerId,
    ) -> Result<Vec<ShortId>, SendFailure> {
        let announced = self.statuses.gateways(group, front);
        let mut ways: Vec<_> = announced.into_iter().flatten().copied().collect();
        ways.retain(|gateway| self.router.distance(gateway).is_some());
        if !ways.is_empty() {
            return Ok(ways);
        }
        // Its status may be on the way still.
        let member = ShortId::from(*to);
        let silent = self.statuses.get(&member).is_none();
        match self.router.distance(&member) {
            Some(_) if silent => Ok(vec![member]),
            Some(_) => Err(SendFailure::UnknownNode),
            None if self.router.knows(&member) => Err(SendFailure::NotReachable),
            None => Err(SendFailure::UnknownNode),
        }
    }

    fn deliver_here(&mut self, group: &Bytes, module: ModuleId, uuid: Bytes, payload: Bytes) {
        let (gateway, front) = (self.own.short, self.own.front.clone());
        let group = group.clone();
        let reply = ReplyTo {
            gateway,
            front: front.clone(),
            group: group.clone(),
            module,
            uuid: uuid.clone(),
        };
        self.counters.delivered += 1;
        let (gateway, cast) = (self.own.name, Cast::Unicast { reply });
        let delivery = Delivery { gateway, source: front, cast, group, module, uuid, payload };
        self.outputs.push_back(Output::Deliver(delivery));
    }

    fn unicast_parcel(
        &mut self,
        (group, module): (&Bytes, ModuleId),
        front: &Bytes,
        uuid: &Bytes,
        ext: u16,
        payload: Bytes,
    ) -> Parcel {
        Parcel {
            packet_type: PacketType::PeerToPeerMessage,
            seq: self.next_seq(),
            ext: Ext::NONE,
            options: Some(GroupOptions {
                group: group.clone(),
                source: self.own.front.clone(),
                destinations: vec![front.clone()],
                module,
            }),
            front: front_head(module, uuid, ext),
            payload,
        }
    }

    /// The application replies to a message that was delivered here.
    pub(super) fn reply(&mut self, now: Instant, to: ReplyTo, payload: Bytes) {
        if to.gateway == self.own.short {
            self.replied(&to.front, &to.uuid, payload);
            return;
        }
        if self.pending.check_room(payload.len()).is_err() {
            self.counters.replies_lost += 1;
            return;
        }
        let ReplyTo { gateway, front, group, module, uuid } = to;
        let ext = FrontMessage::RESPONSE;
        let parcel = self.unicast_parcel((&group, module), &front, &uuid, ext, payload);
        let one = ToOne {
            target: gateway,
            others: Vec::new(),
            over: None,
            sent: false,
            waits: Waits::Acknowledgement,
            reply_within: None,
            is_reply: true,
            front,
        };
        let id = self.next_id();
        let pending = Pending { id, parcel, copies: 0, kind: Kind::Unicast(one) };
        let seq = self.pending.insert(pending);
        self.attempt(now, seq);
    }
}

/// A FrontMessage without its payload, which stays where it is.
pub(super) fn front_head(module: ModuleId, uuid: &Bytes, ext: u16) -> Bytes {
    // The uuid came in a field of the same width, or is our own.
    let uuid = uuid.get(..255).unwrap_or(uuid);
    let mut head = BytesMut::with_capacity(5 + uuid.len());
    head.put_u16(module.0);
    head.put_u8(u8::try_from(uuid.len()).unwrap_or(u8::MAX));
    head.put_slice(uuid);
    head.put_u16(ext);
    head.freeze()
}
