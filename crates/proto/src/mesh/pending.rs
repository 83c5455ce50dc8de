//! Messages of ours that wait for an acknowledgement or a reply.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;

use super::config::{MAX_PENDING, MAX_PENDING_BYTES};
use super::forward::Parcel;
use super::{MessageId, SendFailure, SessionId};

/// A message of ours that has not come to its end.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: MessageId,
    pub(super) parcel: Parcel,
    /// Copies on the wire so far.
    pub(super) copies: u32,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Unicast(ToOne),
    Broadcast(ToAll),
}

/// `Acknowledgement` until the gateway's answer comes, then `Reply` if one is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    Acknowledgement,
    Reply,
}

#[derive(Debug)]
pub(super) struct ToOne {
    /// The gateway that is being tried.
    pub(super) target: ShortId,
    /// Those to be tried after it, the next one last.
    pub(super) others: Vec<ShortId>,
    /// The session over which it was sent last; `None` before that, and when that copy is lost.
    pub(super) over: Option<SessionId>,
    /// It was sent to this gateway at least once.
    pub(super) sent: bool,
    pub(super) waits: Waits,
    pub(super) reply_within: Option<Duration>,
    /// It is itself a reply: nobody waits for its end.
    pub(super) is_reply: bool,
    /// The front node it is for, raw.
    pub(super) front: Bytes,
}

#[derive(Debug)]
pub(super) struct ToAll {
    /// Members that will confirm it, and the session over which it was sent to each last; `None`
    /// when that copy is lost.
    pub(super) waiting: BTreeMap<ShortId, Option<SessionId>>,
    pub(super) members: u32,
    pub(super) confirmed: u32,
}

/// All of them, by the number of their packet.
#[derive(Debug, Default)]
pub(super) struct PendingTable {
    by_seq: BTreeMap<u32, Pending>,
    by_id: BTreeMap<MessageId, u32>,
    bytes: usize,
}

impl PendingTable {
    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Whether there is room for one more with so many bytes.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), SendFailure> {
        let full = self.by_seq.len() >= MAX_PENDING
            || (self.bytes > 0 && self.bytes.saturating_add(bytes) > MAX_PENDING_BYTES);
        if full { Err(SendFailure::Busy) } else { Ok(()) }
    }

    /// Under the number in its parcel.
    pub(super) fn insert(&mut self, pending: Pending) -> u32 {
        let seq = pending.parcel.seq;
        self.bytes += pending.parcel.payload.len();
        self.by_id.insert(pending.id, seq);
        self.by_seq.insert(seq, pending);
        seq
    }

    pub(super) fn remove(&mut self, seq: u32) -> Option<Pending> {
        let pending = self.by_seq.remove(&seq)?;
        self.bytes -= pending.parcel.payload.len();
        self.by_id.remove(&pending.id);
        Some(pending)
    }

    /// It has arrived: the payload is not needed any more.
    pub(super) fn release(&mut self, seq: u32) {
        if let Some(pending) = self.by_seq.get_mut(&seq) {
            let payload = core::mem::take(&mut pending.parcel.payload);
            self.bytes -= payload.len();
        }
    }

    pub(super) fn get(&self, seq: u32) -> Option<&Pending> {
        self.by_seq.get(&seq)
    }

    pub(super) fn get_mut(&mut self, seq: u32) -> Option<&mut Pending> {
        self.by_seq.get_mut(&seq)
    }

    pub(super) fn seq_of(&self, id: &MessageId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// A node was out of reach: what was sent to it may be lost, so any way to it is a new one.
    pub(super) fn way_lost(&mut self, node: &ShortId) {
        for pending in self.by_seq.values_mut() {
            match &mut pending.kind {
                Kind::Unicast(one) if one.target == *node => one.over = None,
                Kind::Unicast(_) => {}
                Kind::Broadcast(all) => {
                    if let Some(over) = all.waiting.get_mut(node) {
                        *over = None;
                    }
                }
            }
        }
    }

    /// The numbers of all that wait for an acknowledgement.
    pub(super) fn unacknowledged(&self) -> Vec<u32> {
        let waits = |pending: &Pending| match &pending.kind {
            Kind::Unicast(one) => one.waits == Waits::Acknowledgement,
            Kind::Broadcast(_) => true,
        };
        self.by_seq.iter().filter(|(_, it)| waits(it)).map(|(seq, _)| *seq).collect()
    }
}
