//! Messages of ours to all of a group, and to all who follow a topic.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_wire::amop::{AmopKind, AmopRequest};
use chainmesh_wire::mesh::{Ext, GroupOptions, MAX_PACKET, ModuleId, PacketType};

use super::config::{ACK_TIMEOUT, RESEND_AFTER};
use super::forward::{NoWay, Parcel};
use super::messages::front_head;
use super::pending::{Kind, Pending, ToAll};
use super::{
    AmopEvent, AmopWords, Broadcast, Mesh, MessageId, Multicast, Outcome, SendFailure, Timer, Where,
};
use crate::session::Class;
use crate::time::Instant;

/// A broadcast of ours is for nodes of every kind.
const EVERY_KIND: u16 =
    Ext::CONSENSUS_NODE.0 | Ext::OBSERVER_NODE.0 | Ext::FREE_NODE.0 | Ext::LIGHT_NODE.0;

impl Mesh {
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

    pub(super) fn finish_broadcast(&mut self, seq: u32) {
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
