//! TCP connections as the nodes feel them: a connect takes a round trip, bytes arrive in order, a
//! lost segment delays those behind it, closing and resetting travel like everything else, and a
//! host that is cut off is silent.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chainmesh_proto::peers::ConnectionId;
use chainmesh_proto::time::Instant;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// A node of the world, by its place in the order in which nodes were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

/// What a path between two nodes is like, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// Time that a segment takes at least.
    pub latency: Duration,
    /// Time that it may take beyond that, evenly distributed.
    pub jitter: Duration,
    /// How many of a thousand segments are lost, and sent again after a timeout.
    pub loss_per_mille: u16,
}

impl Default for Conditions {
    /// A good wide-area path.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            loss_per_mille: 0,
        }
    }
}

/// First retransmission of data (Linux: 200 ms at least), doubled each time.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// First retransmission of a connection request (RFC 6298), doubled each time.
const RETRANSMIT_SYN: Duration = Duration::from_secs(1);
/// Longest time between two retransmissions.
const RETRANSMIT_CAP: Duration = Duration::from_secs(60);
/// Retransmissions after which the sender's host gives up (Linux: 15).
const MAX_RETRANSMITS: u32 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamId(u64);

impl StreamId {
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// One of the two ends of a stream; side 0 connected, side 1 accepted.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) node: NodeIndex,
    /// Which life of the node this end belongs to.
    pub(crate) life: u64,
    pub(crate) conn: Option<ConnectionId>,
    /// Whether somebody holds the socket.
    pub(crate) open: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Connect,
    Accepted,
    Data(Bytes),
    /// The sender sends nothing more.
    End,
    /// There is no such connection here.
    Reset,
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(Instant, Segment)>,
    last: Instant,
    tries: u32,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) ends: [End; 2],
    lanes: [Lane; 2],
}

/// What came of looking at the head of a lane.
pub(crate) enum Arrival {
    /// Nothing: the stream is gone.
    Nothing,
    /// The path is cut, or nothing is due: look again then.
    Retry(Instant),
    /// A segment arrives at the other side.
    Here(Segment),
    /// The sender's host has given up.
    GaveUp,
}

pub(crate) struct Network {
    default: Conditions,
    special: BTreeMap<(NodeIndex, NodeIndex), Conditions>,
    blocked: BTreeSet<(NodeIndex, NodeIndex)>,
    hosts_down: BTreeSet<NodeIndex>,
    streams: BTreeMap<StreamId, Stream>,
    next_stream: u64,
    rng: ChaCha8Rng,
}

impl Network {
    pub(crate) const fn new(default: Conditions, rng: ChaCha8Rng) -> Self {
        Self {
            default,
            special: BTreeMap::new(),
            blocked: BTreeSet::new(),
            hosts_down: BTreeSet::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            rng,
        }
    }

    pub(crate) fn set_conditions(&mut self, a: NodeIndex, b: NodeIndex, conditions: Conditions) {
        self.special.insert((a.min(b), a.max(b)), conditions);
    }

    pub(crate) fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
    }

    pub(crate) fn set_host(&mut self, node: NodeIndex, up: bool) {
        if up {
            self.hosts_down.remove(&node);
        } else {
            self.hosts_down.insert(node);
        }
    }

    /// The node's host is gone: what it would have sent again is never sent.
    pub(crate) fn silence(&mut self, now: Instant, node: NodeIndex) {
        for stream in self.streams.values_mut() {
            let [a, b] = [stream.ends[0].node, stream.ends[1].node];
            let path = *self.special.get(&(a.min(b), a.max(b))).unwrap_or(&self.default);
            for (end, lane) in stream.ends.iter().zip(&mut stream.lanes) {
                if end.node != node {
                    continue;
                }
                let again = lane.tries > 0;
                lane.queue.retain(|(at, _)| !again && *at <= now + path.latency + path.jitter);
            }
        }
    }

    pub(crate) fn open(&mut self, ends: [End; 2]) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.streams.insert(id, Stream { ends, lanes: [Lane::default(), Lane::default()] });
        id
    }

    pub(crate) fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    pub(crate) fn end_mut(&mut self, id: StreamId, side: usize) -> Option<&mut End> {
        self.streams.get_mut(&id)?.ends.get_mut(side)
    }

    /// The open ends that a node holds, in a fixed order.
    pub(crate) fn open_ends(&self, node: NodeIndex) -> Vec<(StreamId, usize)> {
        let ends = self.streams.iter().flat_map(|(id, stream)| {
            stream.ends.iter().enumerate().map(move |(side, end)| (*id, side, end))
        });
        ends.filter(|(_, _, end)| end.open && end.node == node)
            .map(|(id, side, _)| (id, side))
            .collect()
    }

    /// Sends a segment from `side`. Returns when to look at the lane, if nobody does yet.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        id: StreamId,
        side: usize,
        segment: Segment,
    ) -> Option<Instant> {
        let (a, b) = {
            let ends = &self.streams.get(&id)?.ends;
            (ends[0].node, ends[1].node)
        };
        let conditions = *self.special.get(&(a.min(b), a.max(b))).unwrap_or(&self.default);
        let takes = self.travel_time(conditions, matches!(segment, Segment::Connect));
        let lane = self.streams.get_mut(&id)?.lanes.get_mut(side)?;
        let at = (now + takes).max(lane.last);
        lane.last = at;
        lane.queue.push_back((at, segment));
        (lane.queue.len() == 1).then_some(at)
    }

    /// Latency, jitter, and one timeout for each time that the segment is lost.
    fn travel_time(&mut self, conditions: Conditions, connect: bool) -> Duration {
        let jitter = u64::try_from(conditions.jitter.as_micros()).unwrap_or(0);
        let extra = if jitter == 0 { 0 } else { self.rng.next_u64() % (jitter + 1) };
        let mut time = conditions.latency + Duration::from_micros(extra);
        let mut tries = 0;
        while conditions.loss_per_mille > 0
            && self.rng.next_u64() % 1000 < u64::from(conditions.loss_per_mille)
            && tries < MAX_RETRANSMITS
        {
            time += retransmit(connect, tries);
            tries += 1;
        }
        time
    }

    /// The head of the lane that `side` sends on is due.
    pub(crate) fn arrive(&mut self, now: Instant, id: StreamId, side: usize) -> Arrival {
        let Some(stream) = self.streams.get_mut(&id) else { return Arrival::Nothing };
        let (from, to) = (stream.ends[side].node, stream.ends[1 - side].node);
        let cut = self.blocked.contains(&(from, to)) || self.hosts_down.contains(&to);
        let lane = &mut stream.lanes[side];
        let Some((at, segment)) = lane.queue.front() else { return Arrival::Nothing };
        if *at > now {
            return Arrival::Retry(*at);
        }
        if cut {
            // A reset is sent once, and a host that is down sends nothing again.
            let once = matches!(segment, Segment::Reset) || self.hosts_down.contains(&from);
            if once || lane.tries >= MAX_RETRANSMITS {
                lane.queue.clear();
                return Arrival::GaveUp;
            }
            let again = now + retransmit(matches!(segment, Segment::Connect), lane.tries);
            lane.tries += 1;
            return Arrival::Retry(again);
        }
        lane.tries = 0;
        match lane.queue.pop_front() {
            Some((_, segment)) => Arrival::Here(segment),
            None => Arrival::Nothing,
        }
    }

    /// When to look at the lane again.
    pub(crate) fn next_on_lane(&self, now: Instant, id: StreamId, side: usize) -> Option<Instant> {
        let lane = self.streams.get(&id)?.lanes.get(side)?;
        lane.queue.front().map(|(at, _)| (*at).max(now))
    }

    /// Forgets a stream that nobody holds and on which nothing travels.
    pub(crate) fn tidy(&mut self, id: StreamId) {
        let done = self.streams.get(&id).is_some_and(|stream| {
            stream.ends.iter().all(|end| !end.open)
                && stream.lanes.iter().all(|lane| lane.queue.is_empty())
        });
        if done {
            self.streams.remove(&id);
        }
    }
}

fn retransmit(connect: bool, tries: u32) -> Duration {
    let first = if connect { RETRANSMIT_SYN } else { RETRANSMIT };
    first.saturating_mul(1 << tries.min(16)).min(RETRANSMIT_CAP)
}
