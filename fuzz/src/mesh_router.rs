//! Four members of a mesh: sessions that come and go, packets that are lost, swapped, doubled and
//! broken, time that passes, and messages all the while.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_proto::mesh::{
    Broadcast, Cast, DEFAULT_GROUP, Delivery, Input, MAX_PENDING, MODULE_SEND, Mesh, MeshConfig,
    MessageId, Multicast, Output, SessionId, Unicast,
};
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::time::Instant;
use chainmesh_wire::mesh::NodeType;

use crate::cursor::Cursor;

const MEMBERS: u8 = 4;
/// Members at most that each may know of.
const MAX_KNOWN: usize = 8;
/// Packets at most that are on their way in one direction.
const MAX_QUEUE: usize = 512;
/// Long enough for every timer to end what is under way: acknowledgement and reply of a unicast at
/// its last gateway, and two rounds of tables.
const QUIET: Duration = Duration::from_secs(60);

/// One of the four.
struct Member {
    mesh: Mesh,
    identity: CertificateIdentity,
    /// Sources and ids of what was delivered in this life.
    delivered: BTreeSet<(Bytes, Bytes)>,
    /// Payloads of it, by how often they came.
    payloads: BTreeMap<Bytes, u32>,
    /// Messages of its own that have not come to their end.
    waiting: BTreeSet<MessageId>,
}

/// An end of a link: the member there, its name for the session, and what is on the way to it.
struct End {
    member: usize,
    session: SessionId,
    queue: VecDeque<Bytes>,
}

struct Bed {
    now: Instant,
    members: Vec<Member>,
    /// Both ends of each link. A side that has closed is gone.
    links: Vec<[Option<End>; 2]>,
    next_session: u64,
    next_message: u32,
    /// Whether something happened to packets that a session never does.
    unclean: bool,
}

/// Operations on four machines. After each of them their memory is bounded, nothing was delivered
/// twice and no message has two ends. When they are over and all is quiet, the ways are the shortest
/// that the links allow, no way leads in circles, and messages arrive.
pub fn mesh_router(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let members = (0..MEMBERS).map(|number| Member::new(number, cursor.byte())).collect();
    let now = Instant::from_micros(1);
    let mut bed =
        Bed { now, members, links: Vec::new(), next_session: 0, next_message: 0, unclean: false };
    while !cursor.is_empty() {
        bed.operate(&mut cursor);
        bed.check();
    }
    bed.end_well();
}

fn group() -> Bytes {
    Bytes::from_static(DEFAULT_GROUP.as_bytes())
}

impl Member {
    fn new(number: u8, seed: u8) -> Self {
        let key = NodeKey::from_entropy([number + 1; 32]);
        let identity = CertificateIdentity::from(key.peer_id());
        let mut config = MeshConfig::new(identity.clone());
        config.max_members = MAX_KNOWN;
        Self {
            mesh: Mesh::new(config, [seed; 32]),
            identity,
            delivered: BTreeSet::new(),
            payloads: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl Bed {
    fn operate(&mut self, cursor: &mut Cursor<'_>) {
        match cursor.below(20) {
            0 | 1 => self.open(cursor.below(MEMBERS), cursor.below(MEMBERS), cursor.byte()),
            2 => self.with_link(cursor, |bed, link, _| bed.close(link)),
            // One side finds out before the other.
            3 => self.with_link(cursor, |bed, link, cursor| {
                bed.close_side(link, usize::from(cursor.flag()));
            }),
            4..=7 => self.with_link(cursor, |bed, link, cursor| {
                let (side, count) = (usize::from(cursor.flag()), cursor.below(16));
                (0..=count).for_each(|_| bed.deliver(link, side));
            }),
            8 => self.damage(cursor),
            9..=11 => self.pass(Duration::from_millis(cursor.short().into())),
            12..=15 => self.send(cursor),
            16 => self.tell_of_itself(cursor),
            17 => self.restart(cursor.below(MEMBERS), cursor.byte()),
            _ => {
                // All goes well for a moment.
                self.flow();
                self.pass(Duration::from_millis(50));
                self.flow();
            }
        }
    }

    /// Opens a session between two members; two of them may have several.
    fn open(&mut self, a: u8, b: u8, kinds: u8) {
        if a == b || self.links.len() >= 16 {
            return;
        }
        // Now and then a member takes another for a node of FISCO.
        let kind = |bits: u8| if bits == 7 { PeerKind::Fisco3 } else { PeerKind::Own };
        let ends = [(a, b, kind(kinds & 7)), (b, a, kind(kinds >> 3 & 7))];
        let ends = ends.map(|(member, peer, kind)| {
            self.next_session += 1;
            (usize::from(member), usize::from(peer), kind, SessionId(self.next_session))
        });
        self.links.push(
            ends.map(|(member, _, _, session)| {
                Some(End { member, session, queue: VecDeque::new() })
            }),
        );
        for (member, peer, kind, session) in ends {
            let peer = self.members[peer].identity.clone();
            self.handle(member, Input::Opened { session, peer, kind });
        }
    }

    fn with_link(
        &mut self,
        cursor: &mut Cursor<'_>,
        operation: impl FnOnce(&mut Self, usize, &mut Cursor<'_>),
    ) {
        if let Some(link) = usize::from(cursor.byte()).checked_rem(self.links.len()) {
            operation(self, link, cursor);
        }
    }

    fn close(&mut self, link: usize) {
        self.close_side(link, 0);
        self.close_side(link, 1);
    }

    fn close_side(&mut self, link: usize, side: usize) {
        if let Some(end) = self.links[link][side].take() {
            self.handle(end.member, Input::Closed { session: end.session });
        }
    }

    /// The first packet on its way to this side arrives.
    fn deliver(&mut self, link: usize, side: usize) {
        let Some(end) = &mut self.links[link][side] else { return };
        let Some(frame) = end.queue.pop_front() else { return };
        let (member, session) = (end.member, end.session);
        self.handle(member, Input::Frame { session, frame });
    }

    /// Something happens to packets that are on their way.
    fn damage(&mut self, cursor: &mut Cursor<'_>) {
        let Some(link) = usize::from(cursor.byte()).checked_rem(self.links.len()) else { return };
        let Some(end) = &mut self.links[link][usize::from(cursor.flag())] else { return };
        let Some(at) = usize::from(cursor.byte()).checked_rem(end.queue.len()) else { return };
        self.unclean = true;
        match cursor.below(5) {
            0 => drop(end.queue.remove(at)),
            1 => end.queue.push_back(end.queue[at].clone()),
            2 => end.queue.swap(0, at),
            3 => end.queue[at].truncate(cursor.byte().into()),
            _ => {
                let mut frame = end.queue[at].to_vec();
                let place = usize::from(cursor.short()).checked_rem(frame.len());
                if let Some(byte) = place.and_then(|place| frame.get_mut(place)) {
                    *byte ^= cursor.byte();
                }
                end.queue[at] = frame.into();
            }
        }
    }

    fn send(&mut self, cursor: &mut Cursor<'_>) {
        let from = usize::from(cursor.below(MEMBERS));
        let id = self.members[from].mesh.next_id();
        let payload = self.payload();
        let input = match cursor.below(4) {
            0 => Input::Broadcast { id, message: self.broadcast(payload) },
            1 => {
                let topic = format!("topic {}", cursor.below(3));
                Input::Multicast { id, message: Multicast { topic, payload } }
            }
            _ => {
                let to = usize::from(cursor.below(MEMBERS));
                let within = u64::from(cursor.byte());
                let reply_within = cursor.flag().then(|| Duration::from_millis(100 * within));
                Input::Unicast { id, message: self.unicast(to, payload, reply_within) }
            }
        };
        self.members[from].waiting.insert(id);
        self.handle(from, input);
    }

    /// A payload that no other message has.
    fn payload(&mut self) -> Bytes {
        self.next_message += 1;
        Bytes::from(format!("message {}", self.next_message))
    }

    fn broadcast(&self, payload: Bytes) -> Broadcast {
        Broadcast { group: group(), module: MODULE_SEND, payload }
    }

    fn unicast(&self, to: usize, payload: Bytes, reply_within: Option<Duration>) -> Unicast {
        let to = self.members[to].identity.name();
        Unicast { to, group: group(), module: MODULE_SEND, payload, reply_within }
    }

    fn tell_of_itself(&mut self, cursor: &mut Cursor<'_>) {
        let member = usize::from(cursor.below(MEMBERS));
        let topic = format!("topic {}", cursor.below(3));
        let input = match cursor.below(3) {
            0 => Input::Subscribe(topic),
            1 => Input::Unsubscribe(topic),
            _ => Input::Local { role: NodeType::OBSERVER, height: cursor.long() },
        };
        self.handle(member, input);
    }

    /// A member starts anew; the others see its sessions end.
    fn restart(&mut self, number: u8, seed: u8) {
        let member = usize::from(number);
        self.members[member] = Member::new(number, seed);
        for link in 0..self.links.len() {
            let concerned = self.links[link].iter().flatten().any(|end| end.member == member);
            if concerned {
                for side in 0..2 {
                    // Its own end is gone with it.
                    let of_it = |end: &End| end.member == member;
                    if self.links[link][side].as_ref().is_some_and(of_it) {
                        self.links[link][side] = None;
                    }
                }
                self.close(link);
            }
        }
    }

    fn handle(&mut self, member: usize, input: Input) {
        self.members[member].mesh.handle(self.now, input);
        self.drain(member);
    }

    /// Carries out what a machine wants.
    fn drain(&mut self, member: usize) {
        while let Some(output) = self.members[member].mesh.poll() {
            match output {
                Output::Transmit { session, head, payload, message, .. } => {
                    let frame = [head.as_ref(), payload.as_ref()].concat();
                    if !self.transmit(session, frame.into()) {
                        let refused = Input::Refused { session, message };
                        self.members[member].mesh.handle(self.now, refused);
                    }
                }
                Output::Close { session, .. } => {
                    let found = self
                        .links
                        .iter()
                        .position(|ends| ends.iter().flatten().any(|end| end.session == session));
                    // Both sides hear of it; the machine at once, as a driver tells it.
                    if let Some(link) = found {
                        self.close(link);
                    }
                }
                Output::Deliver(delivery) => self.delivered(member, delivery),
                Output::Settled(settled) => {
                    let waited = self.members[member].waiting.remove(&settled.id);
                    assert!(waited, "a message has one end: {settled:?}");
                }
                Output::Amop(_) | Output::Event(_) => {}
            }
        }
    }

    /// Puts a packet on its way to the other side. Says whether there was room.
    fn transmit(&mut self, session: SessionId, frame: Bytes) -> bool {
        for ends in &mut self.links {
            let side = ends.iter().flatten().any(|end| end.session == session);
            let other = ends.iter_mut().flatten().find(|end| end.session != session);
            match (side, other) {
                (true, Some(other)) if other.queue.len() >= MAX_QUEUE => return false,
                (true, Some(other)) => {
                    other.queue.push_back(frame);
                    return true;
                }
                // The other side is gone: nobody reads it.
                (true, None) => return true,
                (false, _) => {}
            }
        }
        panic!("a packet for a session that is not open");
    }

    fn delivered(&mut self, at: usize, delivery: Delivery) {
        let member = &mut self.members[at];
        if !delivery.uuid.is_empty() {
            let first = member.delivered.insert((delivery.source.clone(), delivery.uuid.clone()));
            assert!(first, "a message is delivered once: {delivery:?}");
        }
        let times = member.payloads.entry(delivery.payload.clone()).or_default();
        *times += 1;
        assert!(*times == 1 || self.unclean, "a payload is delivered once: {delivery:?}");
        if let Cast::Unicast { reply } = delivery.cast
            && delivery.payload.last().is_some_and(|last| last & 1 == 0)
        {
            let input = Input::Reply { to: reply, payload: Bytes::from_static(b"yes") };
            self.members[at].mesh.handle(self.now, input);
        }
    }

    /// Time passes; timers run when they are due, and nothing arrives.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((due, member)) = self.next_timer().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.members[member].mesh.handle_timeout(self.now);
            let next = self.members[member].mesh.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "the timers do not spin");
            self.drain(member);
        }
        self.now = end;
    }

    fn next_timer(&self) -> Option<(Instant, usize)> {
        let timers = self.members.iter().enumerate();
        timers.filter_map(|(at, member)| Some((member.mesh.poll_timeout()?, at))).min()
    }

    /// Everything that is on its way arrives, and what follows from it.
    fn flow(&mut self) {
        let on_its_way = |bed: &Self| {
            let ends = bed.links.iter().enumerate().flat_map(|(link, ends)| {
                ends.iter().enumerate().map(move |(side, end)| (link, side, end))
            });
            let mut full =
                ends.filter(|(_, _, end)| end.as_ref().is_some_and(|end| !end.queue.is_empty()));
            full.next().map(|(link, side, _)| (link, side))
        };
        let mut left = 200_000;
        while let Some((link, side)) = on_its_way(self) {
            self.deliver(link, side);
            left -= 1;
            assert!(left > 0, "packets breed packets without end");
        }
    }

    fn check(&self) {
        for member in &self.members {
            let report = member.mesh.snapshot();
            let links = self.links.iter().flatten().flatten();
            let own = links
                .filter(|end| report.sessions.iter().any(|session| session.session == end.session));
            assert_eq!(report.sessions.len(), own.count(), "sessions that are over are forgotten");
            assert!(report.members.len() <= MAX_KNOWN + report.sessions.len());
            assert!(report.pending <= MAX_PENDING);
            assert!(report.links.len() <= 2 * MAX_KNOWN * (1 + report.sessions.len()));
        }
    }

    // --- the end ---------------------------------------------------------------------------------

    /// What is half closed closes, and everything flows for a while.
    fn settle(&mut self) {
        for link in 0..self.links.len() {
            if self.links[link].iter().any(Option::is_none) {
                self.close(link);
            }
        }
        self.links.retain(|ends| ends.iter().all(Option::is_some));
        let mut left = QUIET.as_millis() / 100;
        while left > 0 {
            self.flow();
            self.pass(Duration::from_millis(100));
            left -= 1;
        }
        self.flow();
    }

    fn end_well(&mut self) {
        self.settle();
        if !self.unclean {
            self.assert_shortest_ways();
        }
        for member in &self.members {
            assert_eq!(member.waiting.len(), 0, "every message has an end");
            assert_eq!(member.mesh.snapshot().pending, member.waiting.len());
        }
        // The same links with new sessions: whatever happened before is over with the old ones.
        let pairs: BTreeSet<_> = self.pairs();
        (0..self.links.len()).for_each(|link| self.close(link));
        self.links.clear();
        for (a, b) in &pairs {
            let [a, b] = [a, b].map(|member| u8::try_from(*member).unwrap_or(0));
            self.open(a, b, 0);
        }
        self.unclean = false;
        self.settle();
        self.assert_shortest_ways();
        self.everybody_talks_to_everybody();
    }

    fn pairs(&self) -> BTreeSet<(usize, usize)> {
        let pair = |ends: &[Option<End>; 2]| {
            let [a, b] = [ends[0].as_ref()?.member, ends[1].as_ref()?.member];
            Some((a.min(b), a.max(b)))
        };
        self.links.iter().filter_map(pair).collect()
    }

    /// Links on the shortest way, from each to each that can be reached.
    fn distances(&self, from: usize) -> BTreeMap<usize, u32> {
        let (pairs, mut found) = (self.pairs(), BTreeMap::from([(from, 0)]));
        for distance in 1..u32::from(MEMBERS) {
            for (a, b) in &pairs {
                for (a, b) in [(a, b), (b, a)] {
                    if found.get(a) == Some(&(distance - 1)) {
                        found.entry(*b).or_insert(distance);
                    }
                }
            }
        }
        found.remove(&from);
        found
    }

    /// Every way is the shortest, and the next hop is one link nearer: so no way leads in circles.
    fn assert_shortest_ways(&self) {
        let names = self.members.iter().enumerate();
        let names: BTreeMap<_, _> =
            names.map(|(at, member)| (member.identity.name(), at)).collect();
        for (from, member) in self.members.iter().enumerate() {
            let routes = member.mesh.routes();
            let known = routes.iter().filter_map(|it| Some((*names.get(&it.member)?, it.distance)));
            assert_eq!(known.collect::<BTreeMap<_, _>>(), self.distances(from), "from {from}");
            for route in &routes {
                let (to, next) = (names[&route.member], names[&route.next_hop]);
                let rest = if next == to { 0 } else { self.distances(next)[&to] };
                assert_eq!(rest + 1, route.distance, "from {from} to {to} over {next}");
            }
        }
    }

    fn everybody_talks_to_everybody(&mut self) {
        for from in 0..self.members.len() {
            let there = self.distances(from);
            for to in there.keys() {
                let payload = self.payload();
                let id = self.members[from].mesh.next_id();
                self.members[from].waiting.insert(id);
                let message = self.unicast(*to, payload.clone(), None);
                self.handle(from, Input::Unicast { id, message });
                self.flow();
                assert_eq!(self.members[*to].payloads.get(&payload), Some(&1));
            }
            let payload = self.payload();
            let id = self.members[from].mesh.next_id();
            self.members[from].waiting.insert(id);
            let message = self.broadcast(payload.clone());
            self.handle(from, Input::Broadcast { id, message });
            self.flow();
            for to in 0..self.members.len() {
                let times = there.get(&to).map(|_| &1);
                assert_eq!(self.members[to].payloads.get(&payload), times);
            }
            assert_eq!(self.members[from].waiting.len(), 0);
        }
    }
}
