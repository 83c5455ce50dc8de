//! Messages of ours: to one node with its acknowledgement and reply, to all of a group, to all who
//! follow a topic; what is sent again, and when that ends.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::{AmopKind, AmopRequest};
use chainmesh_wire::mesh::{
    ErrorCode, Ext, FrontMessage, GroupOptions, MAX_PACKET, ModuleId, Packet, PacketType,
};

use super::config::{ACK_TIMEOUT, RESEND_AFTER};
use super::forward::{NoWay, Parcel};
use super::pending::{Kind, Pending, ToAll, ToOne, Waits};
use super::sessions::From;
use super::{
    AmopEvent, AmopWords, Broadcast, Cast, Delivery, Mesh, MeshFault, MessageId, Multicast,
    Outcome, Output, ReplyTo, SendFailure, SessionId, Settled, Timer, Unicast, Where,
};
use crate::session::Class;
use crate::time::Instant;

/// A broadcast of ours is for nodes of every kind.
const EVERY_KIND: u16 =
    Ext::CONSENSUS_NODE.0 | Ext::OBSERVER_NODE.0 | Ext::FREE_NODE.0 | Ext::LIGHT_NODE.0;

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

    /// Sends a unicast to its present gateway for the first time.
    fn attempt(&mut self, now: Instant, seq: u32) {
        self.timers.set(Timer::Deadline(seq), now + ACK_TIMEOUT);
        self.timers.set(Timer::Resend(seq), now + RESEND_AFTER);
        self.send_pending(seq, false);
    }

    /// Puts copies of a message on the wire: to the gateway of a unicast, and to those members of a
    /// broadcast that have not confirmed it. With `only_new_ways`, only where the way is another
    /// than that of the last copy.
    fn send_pending(&mut self, seq: u32, only_new_ways: bool) {
        let Some(pending) = self.pending.get(seq) else { return };
        let targets: Vec<(ShortId, Option<SessionId>)> = match &pending.kind {
            Kind::Unicast(one) if one.waits == Waits::Acknowledgement => {
                vec![(one.target, one.over)]
            }
            Kind::Unicast(_) => Vec::new(),
            Kind::Broadcast(all) => all.waiting.iter().map(|(to, over)| (*to, *over)).collect(),
        };
        let (parcel, id) = (pending.parcel.clone(), pending.id);
        for (target, over) in targets {
            let way = self.way(&target);
            if way.is_none() || (only_new_ways && way == over) {
                continue;
            }
            match self.send(target, &parcel, Class::Blocks, Some(id)) {
                Ok(session) => self.sent(seq, target, session),
                Err(NoWay::NotReachable) => self.counters.dropped_no_way += 1,
                Err(NoWay::TooLong) => return self.fail(seq, SendFailure::TooLong),
                Err(NoWay::TooLarge(size)) => {
                    let failure = SendFailure::TooLarge { size, limit: MAX_PACKET };
                    return self.fail(seq, failure);
                }
            }
        }
    }

    /// Notes a copy on the wire.
    fn sent(&mut self, seq: u32, target: ShortId, session: SessionId) {
        let Some(pending) = self.pending.get_mut(seq) else { return };
        pending.copies = pending.copies.saturating_add(1);
        self.counters.copies_sent += 1;
        match &mut pending.kind {
            Kind::Unicast(one) => {
                self.counters.resent += u64::from(one.sent);
                (one.over, one.sent) = (Some(session), true);
            }
            Kind::Broadcast(all) => {
                self.counters.resent += u64::from(pending.copies > all.members);
                if let Some(over) = all.waiting.get_mut(&target) {
                    *over = Some(session);
                }
            }
        }
    }

    /// Some way is another now: what was sent over the old one and is not acknowledged is sent over
    /// the new one.
    pub(super) fn resend_over_new_ways(&mut self) {
        for seq in self.pending.unacknowledged() {
            self.send_pending(seq, true);
        }
    }

    /// [`RESEND_AFTER`] is over without an acknowledgement.
    pub(super) fn resend_due(&mut self, now: Instant, seq: u32) {
        let Some(pending) = self.pending.get(seq) else { return };
        let again = match &pending.kind {
            // FISCO's nodes deliver every copy: they get another only over another way.
            Kind::Unicast(one) => {
                one.waits == Waits::Acknowledgement && self.is_own_kind(&one.target)
            }
            Kind::Broadcast(_) => true,
        };
        if again {
            self.send_pending(seq, false);
            self.timers.set(Timer::Resend(seq), now + RESEND_AFTER);
        }
    }

    /// A packet found no room in the queue of a session.
    pub(super) fn refused(&mut self, session: SessionId, message: Option<MessageId>) {
        self.counters.dropped_full += 1;
        if let Some(number) = message.and_then(super::amop::number_of) {
            self.amop(AmopEvent::Failed { number });
            return;
        }
        let Some(seq) = message.and_then(|id| self.pending.seq_of(&id)) else { return };
        let Some(pending) = self.pending.get_mut(seq) else { return };
        match &mut pending.kind {
            Kind::Unicast(one) if one.waits == Waits::Acknowledgement => {
                self.fail(seq, SendFailure::QueueFull);
            }
            Kind::Unicast(_) => {}
            // They get it when it is sent again.
            Kind::Broadcast(all) => {
                let over = all.waiting.values_mut().filter(|over| **over == Some(session));
                over.for_each(|over| *over = None);
            }
        }
    }

    /// An answer: to a unicast, or a member's confirmation of a broadcast.
    pub(super) fn response(
        &mut self,
        now: Instant,
        from: From,
        mut packet: Packet,
    ) -> Result<(), MeshFault> {
        super::sessions::unpack(&mut packet, super::config::MAX_STATUS_BYTES)?;
        let Some(pending) = self.pending.get_mut(packet.seq) else {
            self.counters.unknown_answer += 1;
            return Ok(());
        };
        match &mut pending.kind {
            Kind::Broadcast(all) => {
                if all.waiting.remove(&from.node).is_none() {
                    self.counters.unknown_answer += 1;
                    return Ok(());
                }
                all.confirmed += 1;
                if all.waiting.is_empty() {
                    self.finish_broadcast(packet.seq);
                }
            }
            Kind::Unicast(one) => {
                let code = ErrorCode::from_payload(&packet.payload)?;
                // A relay may only say that its limit is reached.
                let theirs = one.target == from.node || code == ErrorCode::GATEWAY_QPS_OVERFLOW;
                if !theirs || one.waits != Waits::Acknowledgement {
                    self.counters.unknown_answer += 1;
                    return Ok(());
                }
                match code {
                    ErrorCode::SUCCESS => self.acknowledged(now, packet.seq),
                    code => self.try_next(now, packet.seq, failure_of(code)),
                }
            }
        }
        Ok(())
    }

    /// The gateway has taken a unicast.
    fn acknowledged(&mut self, now: Instant, seq: u32) {
        self.timers.cancel(&Timer::Resend(seq));
        self.pending.release(seq);
        let Some(pending) = self.pending.get_mut(seq) else { return };
        let Kind::Unicast(one) = &mut pending.kind else { return };
        match one.reply_within {
            Some(within) => {
                one.waits = Waits::Reply;
                self.timers.set(Timer::Deadline(seq), now + within);
            }
            None => {
                let gateway = self.router.name(&one.target);
                let gateway = if one.target == self.own.short { self.own.name } else { gateway };
                self.end(seq, Ok(Outcome::Delivered { gateway }));
            }
        }
    }

    /// The present gateway will not do: the next one gets a packet with a number of its own.
    fn try_next(&mut self, now: Instant, seq: u32, failure: SendFailure) {
        let Some(mut pending) = self.pending.remove(seq) else { return };
        self.timers.cancel(&Timer::Deadline(seq));
        self.timers.cancel(&Timer::Resend(seq));
        let next = match &mut pending.kind {
            Kind::Unicast(one) => loop {
                match one.others.pop() {
                    Some(next) if self.way(&next).is_none() => {}
                    next => break next,
                }
            },
            Kind::Broadcast(_) => None,
        };
        pending.parcel.seq = self.next_seq();
        if let (Some(next), Kind::Unicast(one)) = (next, &mut pending.kind) {
            (one.target, one.over, one.sent) = (next, None, false);
            let seq = self.pending.insert(pending);
            self.attempt(now, seq);
        } else {
            let seq = self.pending.insert(pending);
            self.end(seq, Err(failure));
        }
    }

    /// The time for an acknowledgement, a reply or confirmations is over.
    pub(super) fn deadline(&mut self, now: Instant, seq: u32) {
        let Some(pending) = self.pending.get(seq) else { return };
        match &pending.kind {
            Kind::Broadcast(_) => self.finish_broadcast(seq),
            Kind::Unicast(one) if one.waits == Waits::Reply => {
                self.end(seq, Err(SendFailure::NoReply));
            }
            Kind::Unicast(one) => {
                let failure = match one.sent {
                    true => SendFailure::TimedOut,
                    false => SendFailure::NotReachable,
                };
                self.try_next(now, seq, failure);
            }
        }
    }

    fn fail(&mut self, seq: u32, failure: SendFailure) {
        self.end(seq, Err(failure));
    }

    /// The last of a message.
    fn end(&mut self, seq: u32, result: Result<Outcome, SendFailure>) {
        self.timers.cancel(&Timer::Deadline(seq));
        self.timers.cancel(&Timer::Resend(seq));
        let Some(pending) = self.pending.remove(seq) else { return };
        match pending.kind {
            Kind::Unicast(one) if one.is_reply => {
                self.counters.replies_lost += u64::from(result.is_err());
            }
            _ => self.settle(pending.id, pending.copies, result),
        }
    }

    fn settle(&mut self, id: MessageId, copies: u32, result: Result<Outcome, SendFailure>) {
        self.outputs.push_back(Output::Settled(Settled { id, copies, result }));
    }

    /// A reply came: it ends the message with this uuid, if that was for the node it came from.
    pub(super) fn replied(&mut self, source: &Bytes, uuid: &Bytes, payload: Bytes) {
        let seq = MessageId::parse(uuid).and_then(|id| self.pending.seq_of(&id));
        let one = seq.and_then(|seq| match &self.pending.get(seq)?.kind {
            Kind::Unicast(one) if one.front == *source && one.reply_within.is_some() => {
                Some((seq, one.target))
            }
            _ => None,
        });
        let Some((seq, target)) = one else {
            self.counters.unknown_answer += 1;
            return;
        };
        let gateway = match target == self.own.short {
            true => self.own.name,
            false => self.router.name(&target),
        };
        self.end(seq, Ok(Outcome::Replied { gateway, payload }));
    }

    pub(super) fn send_broadcast(&mut self, now: Instant, id: MessageId, message: Broadcast) {
        self.counters.messages_sent += 1;
        if let Err(failure) = self.start_broadcast(now, id, message) {
            self.settle(id, 0, Err(failure));
        }
    }

    fn start_broadcast(
        &mut self,
        now: Instant,
        id: MessageId,
        message: Broadcast,
    ) -> Result<(), SendFailure> {
        let Broadcast { group, module, payload } = message;
        if u16::try_from(group.len()).is_err() {
            return Err(SendFailure::TooLong);
        }
        self.pending.check_room(payload.len())?;
        // A member whose status has not come yet may be in the group.
        let members: Vec<_> = self.router.reachable().collect();
        let members = members
            .into_iter()
            .filter(|member| self.statuses.is_in(member, &group) != Some(false))
            .collect::<Vec<_>>();
        let size = payload.len().saturating_mul(members.len());
        if !self.outbound.admit(now, None, Some(&group), Some(module), size) {
            self.counters.dropped_limit += 1;
            return Err(SendFailure::OverLimit(Where::Here));
        }
        let uuid = Bytes::from(id.to_string());
        let parcel = Parcel {
            packet_type: PacketType::BroadcastMessage,
            seq: self.next_seq(),
            ext: Ext(EVERY_KIND),
            options: Some(GroupOptions {
                group,
                source: self.own.front.clone(),
                destinations: Vec::new(),
                module,
            }),
            front: front_head(module, &uuid, 0),
            payload,
        };
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        // Everybody is on the list for the first copy; who will not confirm is taken off it then.
        let waiting: BTreeMap<_, _> = members.iter().map(|member| (*member, None)).collect();
        let all = ToAll { waiting, members: count, confirmed: 0 };
        let pending = Pending { id, parcel, copies: 0, kind: Kind::Broadcast(all) };
        let seq = self.pending.insert(pending);
        self.send_pending(seq, false);
        let silent = members
            .into_iter()
            .filter(|member| self.statuses.get(member).is_some() && !self.is_own_kind(member));
        let silent: Vec<_> = silent.collect();
        let Some(pending) = self.pending.get_mut(seq) else { return Ok(()) };
        let Kind::Broadcast(all) = &mut pending.kind else { return Ok(()) };
        for member in silent {
            all.waiting.remove(&member);
        }
        if all.waiting.is_empty() {
            self.finish_broadcast(seq);
        } else {
            self.timers.set(Timer::Deadline(seq), now + ACK_TIMEOUT);
            self.timers.set(Timer::Resend(seq), now + RESEND_AFTER);
        }
        Ok(())
    }

    fn finish_broadcast(&mut self, seq: u32) {
        let Some(pending) = self.pending.get(seq) else { return };
        let Kind::Broadcast(all) = &pending.kind else { return };
        let (members, confirmed) = (all.members, all.confirmed);
        self.end(seq, Ok(Outcome::Sent { members, confirmed }));
    }

    pub(super) fn send_multicast(&mut self, now: Instant, id: MessageId, message: Multicast) {
        self.counters.messages_sent += 1;
        let (copies, result) = self.start_multicast(now, message);
        self.settle(id, copies, result);
    }

    fn start_multicast(
        &mut self,
        now: Instant,
        message: Multicast,
    ) -> (u32, Result<Outcome, SendFailure>) {
        let Multicast { topic, payload } = message;
        let request = AmopRequest::new(topic.clone().into_bytes(), payload);
        let Ok([front, payload]) = request.to_message_parts(AmopKind::ResponseOrBroadcast) else {
            return (0, Err(SendFailure::TooLong));
        };
        let members: Vec<_> = self.topics.followers(topic.as_bytes()).collect();
        let size = payload.len().saturating_mul(members.len());
        if !self.outbound.admit(now, None, None, Some(ModuleId::AMOP), size) {
            self.counters.dropped_limit += 1;
            return (0, Err(SendFailure::OverLimit(Where::Here)));
        }
        if self.topics.broker.contains(&topic) {
            let request = AmopRequest::new(topic.clone().into_bytes(), payload.clone());
            self.amop(AmopEvent::Multicast { words: AmopWords::Gateway(request) });
        }
        if self.topics.own.contains(&topic) {
            self.deliver_multicast(self.own.name, topic.into_bytes().into(), payload.clone());
        }
        let (packet_type, seq, ext) = (PacketType::AmopMessage, self.next_seq(), Ext::NONE);
        let parcel = Parcel { packet_type, seq, ext, options: None, front, payload };
        let mut copies = 0;
        for member in &members {
            match self.send(*member, &parcel, Class::Blocks, None) {
                Ok(_) => copies += 1,
                Err(NoWay::TooLarge(size)) => {
                    return (copies, Err(SendFailure::TooLarge { size, limit: MAX_PACKET }));
                }
                Err(_) => self.counters.dropped_no_way += 1,
            }
        }
        self.counters.copies_sent += u64::from(copies);
        let members = u32::try_from(members.len()).unwrap_or(u32::MAX);
        (copies, Ok(Outcome::Sent { members, confirmed: 0 }))
    }
}

/// How a FISCO code reads to the sender.
const fn failure_of(code: ErrorCode) -> SendFailure {
    match code {
        ErrorCode::NOT_FOUND_FRONT_SERVICE_DISPATCH => SendFailure::NoSuchFrontNode,
        ErrorCode::GATEWAY_QPS_OVERFLOW | ErrorCode::GATEWAY_BANDWIDTH_OVERFLOW => {
            SendFailure::OverLimit(Where::There)
        }
        code => SendFailure::Refused(code),
    }
}

/// A FrontMessage without its payload, which stays where it is.
fn front_head(module: ModuleId, uuid: &Bytes, ext: u16) -> Bytes {
    // The uuid came in a field of the same width, or is our own.
    let uuid = uuid.get(..255).unwrap_or(uuid);
    let mut head = BytesMut::with_capacity(5 + uuid.len());
    head.put_u16(module.0);
    head.put_u8(u8::try_from(uuid.len()).unwrap_or(u8::MAX));
    head.put_slice(uuid);
    head.put_u16(ext);
    head.freeze()
}
