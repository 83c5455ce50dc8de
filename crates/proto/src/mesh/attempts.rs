//! Messages of ours on the wire: copies, repetitions over other ways and to other gateways,
//! acknowledgements, and how it ends.

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{ErrorCode, MAX_PACKET, Packet};

use super::config::{ACK_TIMEOUT, MAX_STATUS_BYTES, RESEND_AFTER};
use super::forward::NoWay;
use super::pending::{Kind, Waits};
use super::sessions::{From, unpack};
use super::{
    AmopEvent, Mesh, MeshFault, MessageId, Outcome, Output, SendFailure, SessionId, Settled, Timer,
    Where,
};
use crate::session::Class;
use crate::time::Instant;

impl Mesh {
    /// Sends a unicast to its present gateway for the first time.
    pub(super) fn attempt(&mut self, now: Instant, seq: u32) {
        self.timers.set(Timer::Deadline(seq), now + ACK_TIMEOUT);
        self.timers.set(Timer::Resend(seq), now + RESEND_AFTER);
        self.send_pending(seq, false);
    }

    /// Puts copies of a message on the wire: to the gateway of a unicast, and to those members of a
    /// broadcast that have not confirmed it. With `only_new_ways`, only where the way is another
    /// than that of the last copy.
    pub(super) fn send_pending(&mut self, seq: u32, only_new_ways: bool) {
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
            // FISCO's nodes deliver every copy: they get another only when the last must be lost.
            let old = over.is_some_and(|over| {
                way == Some(over)
                    || (self.sessions.contains_key(&over) && !self.is_own_kind(&target))
            });
            if way.is_none() || (only_new_ways && old) {
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
            // As above: no second copy for FISCO's nodes.
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
        unpack(&mut packet, MAX_STATUS_BYTES)?;
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
    pub(super) fn acknowledged(&mut self, now: Instant, seq: u32) {
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
    pub(super) fn end(&mut self, seq: u32, result: Result<Outcome, SendFailure>) {
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

    pub(super) fn settle(
        &mut self,
        id: MessageId,
        copies: u32,
        result: Result<Outcome, SendFailure>,
    ) {
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
