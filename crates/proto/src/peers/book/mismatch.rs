//! Nodes that turned out to be no peers of this one: of another chain, or with nothing in common.
//!
//! To find that out costs a handshake, so it is remembered: such a node is no candidate for a dial for
//! a long time, is not told to others, and makes room for newcomers. What was found out holds only as
//! long as this node stays what it was: a mark of a node with another [`Fingerprint`] says nothing.

use alloy_primitives::FixedBytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use super::buckets::Half;
use super::record::cut;
use super::{AddressBook, Bookkeeper, PeerRecord, UnixTime};
use crate::eth::handler::EthFault;
use crate::eth::status::Incompatible;
use crate::peers::PeerManager;
use crate::role::RoleFault;
use crate::session::connection::{CloseCause, ProtocolFault};

/// Wait before a node of another chain is dialled once more, seconds: a day. Chains do not change; what
/// may is the configuration of a node, and one that was set right says so itself (see
/// [`AddressBook::heard_record`]). It doubles each time.
pub const MISMATCH_WAIT: UnixTime = 24 * 60 * 60;
/// The same for a node of this chain with other forks, seconds: an hour. Either side may be upgraded.
pub const FORK_MISMATCH_WAIT: UnixTime = 60 * 60;
/// The wait doubles so often at most: 16 days, or 16 hours.
const MISMATCH_DOUBLINGS: u32 = 4;
/// A new record does not make a node a candidate again so soon after a mismatch, seconds: a record costs
/// its owner nothing, and a dial costs us one.
pub const RECORD_PATIENCE: UnixTime = 10 * 60;

/// What this node is, as far as others must fit it: a hash, made by whoever knows.
pub type Fingerprint = FixedBytes<8>;

/// What does not fit. The order is that on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MismatchKind {
    /// Another network ID.
    Network,
    /// Another genesis block.
    Genesis,
    /// The same genesis block, and other forks.
    Fork,
    /// No protocol, or no version of one that is needed, in common.
    Protocols,
    /// Neither has anything for the other: one is a light node.
    Role,
    /// The peer has found that out, and did not say what: go-ethereum ends the session as soon as it has
    /// read our Status, often before it has sent its own.
    Refused,
}

impl MismatchKind {
    pub(super) const ALL: [Self; 6] =
        [Self::Network, Self::Genesis, Self::Fork, Self::Protocols, Self::Role, Self::Refused];

    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Genesis => "genesis",
            Self::Fork => "fork",
            Self::Protocols => "protocols",
            Self::Role => "role",
            Self::Refused => "refused",
        }
    }

    /// Whether either side may be upgraded to fit, as far as is known: such a node keeps its place in the
    /// book.
    #[must_use]
    pub const fn is_soft(self) -> bool {
        matches!(self, Self::Fork | Self::Refused)
    }

    const fn wait(self) -> UnixTime {
        if self.is_soft() { FORK_MISMATCH_WAIT } else { MISMATCH_WAIT }
    }

    /// Whether the end of a connection says that the two nodes do not fit, and how: what, and its words.
    /// What a peer says at the end of a session that was established is about other things.
    #[must_use]
    pub fn of(cause: &CloseCause, established: bool) -> Option<(Self, String)> {
        match cause {
            CloseCause::Remote(
                reason @ (DisconnectReason::SubprotocolError | DisconnectReason::UselessPeer),
            ) if !established => {
                Some((Self::Refused, format!("the peer finds that we do not fit: {reason}")))
            }
            CloseCause::Protocol(
                fault @ (ProtocolFault::Useless
                | ProtocolFault::MissingModule(_)
                | ProtocolFault::Version(_)),
            ) => Some((Self::Protocols, fault.to_string())),
            CloseCause::Module { error, .. } => {
                let source = &error.source;
                if let Some(EthFault::Incompatible(why)) = source.downcast_ref() {
                    return Some(Self::of_incompatible(why));
                }
                match source.downcast_ref()? {
                    RoleFault::Incompatible(why) => Some(Self::of_incompatible(why)),
                    fault @ RoleFault::Useless { .. } => Some((Self::Role, fault.to_string())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn of_incompatible(why: &Incompatible) -> (Self, String) {
        let kind = match why {
            Incompatible::NetworkId { .. } => Self::Network,
            Incompatible::Genesis { .. } => Self::Genesis,
            Incompatible::ForkId(_) => Self::Fork,
            Incompatible::ProtocolVersion { .. } => Self::Protocols,
        };
        (kind, why.in_short())
    }
}

/// That a node does not fit this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What does not fit.
    pub kind: MismatchKind,
    /// What, for people: at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
    pub text: String,
    /// When that was seen last.
    pub at: UnixTime,
    /// How often in a row, each time after the wait was over.
    pub times: u32,
    /// Sequence number of its record (ENR) by then, as far as it is known; 0: no record is known.
    pub record: u64,
    /// What this node was by then.
    pub seen_by: Fingerprint,
    /// It has a new record that fits: one try before the time.
    pub reconsidered: bool,
}

impl Mismatch {
    /// When the node is a candidate for a dial again.
    #[must_use]
    pub fn until(&self) -> UnixTime {
        let doublings = self.times.saturating_sub(1).min(MISMATCH_DOUBLINGS);
        let wait = if self.reconsidered { RECORD_PATIENCE } else { self.kind.wait() << doublings };
        self.at.saturating_add(wait)
    }

    /// Whether the node is to be left alone. A clock that was set back makes nobody wait for ever.
    #[must_use]
    pub fn holds(&self, now: UnixTime) -> bool {
        self.at <= now && now < self.until()
    }
}

impl PeerRecord {
    /// Whether the node may be told to others, as far as its chain and role are known.
    #[must_use]
    pub const fn fits(&self) -> bool {
        self.mismatch.is_none()
    }

    /// Whether it is not to be dialled, since it did not fit.
    pub(super) fn is_misfit(&self, now: UnixTime) -> bool {
        self.mismatch.as_ref().is_some_and(|mark| mark.holds(now))
    }
}

impl AddressBook {
    /// This node is what the fingerprint says: marks that another one has left are taken away.
    pub fn set_fingerprint(&mut self, fingerprint: Fingerprint) {
        self.fingerprint = fingerprint;
        self.lift_mismatches(|mark| mark.seen_by != fingerprint);
    }

    /// The head of our chain has passed a fork: who did not fit may fit now.
    pub fn fork_passed(&mut self) {
        self.lift_mismatches(|mark| mark.kind.is_soft());
    }

    fn lift_mismatches(&mut self, lifted: impl Fn(&Mismatch) -> bool) {
        let marked = self.entries.iter().filter(|(_, entry)| {
            let mark = entry.record.mismatch.as_ref();
            mark.is_some_and(&lifted)
        });
        let marked: Vec<PeerId> = marked.map(|(id, _)| *id).collect();
        for id in marked {
            self.matched(&id);
        }
    }

    /// A node of the book proved to be none for this one. Unless that may change, it is not one any
    /// more that has been a peer, and loses its place to the next who wants it.
    pub fn mismatched(&mut self, now: UnixTime, id: &PeerId, kind: MismatchKind, text: &str) {
        let seen_by = self.fingerprint;
        let Some(entry) = self.entries.get_mut(id) else { return };
        let before = entry.record.mismatch.take();
        // As long as it is left alone, it is its own visits that are in vain, not our dials.
        let again = |mark: &Mismatch| mark.times.saturating_add(u32::from(!mark.holds(now)));
        let (times, known) = before.as_ref().map_or((1, 0), |mark| (again(mark), mark.record));
        // That it refuses us, without a word why, is no news of one of which more is known.
        let better = before.filter(|_| kind == MismatchKind::Refused);
        let (kind, text) = better.map_or_else(|| (kind, cut(text)), |mark| (mark.kind, mark.text));
        entry.record.mismatch = Some(Mismatch {
            kind,
            text,
            at: now,
            times,
            record: known.max(entry.record.record_sequence),
            seen_by,
            reconsidered: false,
        });
        let is_tried = entry.place.is_some_and(|place| place.half == Half::Tried);
        self.mark(*id);
        if kind.is_soft() {
            return;
        }
        self.anchors.retain(|anchor| anchor != id);
        self.head_changed = true;
        if is_tried && let Some(record) = self.take_out(id) {
            self.insert_new(now, record);
        }
    }

    /// A node fits after all.
    pub fn matched(&mut self, id: &PeerId) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.record.mismatch.take().is_some()
        {
            self.mark(*id);
        }
    }

    /// Discovery has the record (ENR) of a node, and it is of our network. One that is newer than what
    /// its node was marked with makes it a candidate once more, [`RECORD_PATIENCE`] after the mark.
    pub fn heard_record(&mut self, id: &PeerId, sequence: u64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let record = &mut entry.record;
        record.record_sequence = record.record_sequence.max(sequence);
        let Some(mark) = &mut record.mismatch else { return };
        // Which record it had when it was marked is not known: this one may be it.
        let first = mark.record == 0;
        if first || sequence > mark.record {
            mark.reconsidered |= !first;
            mark.record = sequence;
            self.mark(*id);
        }
    }
}

impl Bookkeeper {
    /// A connection with a peer has ended so; it had been a session if `established`. If it does not fit this node, the book remembers that, and
    /// the manager does not dial it again, unless somebody named it: says what does not fit.
    pub fn judge(
        &mut self,
        manager: &mut PeerManager,
        now: UnixTime,
        id: &PeerId,
        cause: &CloseCause,
        established: bool,
    ) -> Option<MismatchKind> {
        let (kind, text) = MismatchKind::of(cause, established)?;
        self.book.mismatched(now, id, kind, &text);
        manager.forget_dynamic(id);
        Some(kind)
    }
}
