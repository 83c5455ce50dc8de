//! Attacks of the literature that want to be all that a node sees, as scenarios: a victim with a life
//! behind it restarts, and the attackers are there.
//!
//! The victim is a whole control plane. Honest nodes are bystanders with a real discovery machine, and a
//! free slot as rarely as measured; the attackers have a free slot always, answer discovery with
//! nothing but themselves, and dial the victim without end.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeSet;

use chainmesh_identity::{Host, PeerId};
use chainmesh_proto::peers::book::AddressOrigin;
use chainmesh_proto::peers::{PeerState, Slot};
use chainmesh_wire::discv4::Contact;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{PeersNode, PeersWorld, Stub, StubConduct, StubIndex};
use crate::discovery::Hostile;
use crate::invariants::Broken;
use crate::network::{Conditions, NodeIndex};

/// Honest nodes that take part in discovery.
pub const DISCOVERABLE: usize = 40;
/// Further honest nodes that the victim met in its life; half of them are gone when it restarts.
pub const MET: usize = 1000;
/// Honest nodes that have a free slot, of a thousand (Wang 2026: more than 80 % have none).
pub const SPARE: u16 = 200;
/// The same when an attacker takes the slots that become free: he gets 95 % of those whom he wants (Wang
/// 2026), and with a fifth free before, a twentieth is what is left.
pub const SPARE_HIJACKED: u16 = 50;
/// Peers of the victim at most.
pub const MAX_PEERS: usize = 50;
/// How long after the restart it is looked at.
pub const LOOK_AFTER: Duration = Duration::from_secs(60);

/// How long the victim has lived, with the attackers of [`Attack::Heilman`] and [`Attack::Wang`] at work.
pub const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Length of a session with an honest node, in the mean.
const HONEST_SESSION: Duration = Duration::from_secs(2 * 60 * 60);
/// How often the victim finds an honest node in its life.
const FIND_INTERVAL: Duration = Duration::from_secs(20);
/// How long the honest network has been there when the victim restarts.
const NETWORK_BEFORE: Duration = Duration::from_secs(20);
/// How often one of them does that while it has no session.
const DIAL_INTERVAL: Duration = Duration::from_secs(5);
/// Attacking identities that dial the victim.
const DIALLERS: usize = 150;

/// Who attacks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Marcus, Heilman, Goldberg 2018: two hosts of one network, with 400 identities each, are there at
    /// the moment of the restart and fill every inbound slot.
    Marcus,
    /// Henningsen et al. 2019: two hosts in distinct /24s, which answer discovery, too.
    Henningsen,
    /// Heilman et al. 2015: 32 hosts in distinct /24s (and /16s) with 32 identities each fill the book for days: they
    /// are found, take every dial, and leave after a minute, to make room for the next.
    Heilman,
    /// Wang et al. 2026: 28 hosts, whose 1,120 identities a poisoned source names again and again,
    /// while they take the slots that become free at honest nodes.
    Wang,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Marcus, Self::Henningsen, Self::Heilman, Self::Wang];

    /// The hosts.
    fn hosts(self) -> Vec<IpAddr> {
        let apart = |n: u8| IpAddr::from([130 + n, n.wrapping_mul(7), 1, 1]);
        match self {
            Self::Marcus => vec![IpAddr::from([66, 0, 0, 1]), IpAddr::from([66, 0, 0, 2])],
            Self::Henningsen => vec![IpAddr::from([66, 0, 0, 1]), IpAddr::from([77, 0, 0, 1])],
            Self::Heilman => (0..32).map(apart).collect(),
            Self::Wang => (0..28).map(apart).collect(),
        }
    }

    const fn identities(self) -> u16 {
        match self {
            Self::Marcus | Self::Henningsen => 400,
            Self::Heilman => 32,
            Self::Wang => 40,
        }
    }
}

/// What the victim has after [`LOOK_AFTER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Outbound slots that honest nodes hold.
    pub honest: usize,
    /// Outbound slots that attackers hold.
    pub hostile: usize,
    /// When two honest ones were there for the first time.
    pub two_honest: Option<Duration>,
    /// Inbound peers, all of them attackers.
    pub inbound: usize,
    /// Records of attackers in the book, and all.
    pub book: (usize, usize),
    /// The same of those that have been a peer.
    pub tried: (usize, usize),
    /// Outbound slots of attackers before the restart, and all.
    pub before: (usize, usize),
}

impl Outcome {
    /// Whether every outbound slot that is taken is an attacker's, or none is taken.
    #[must_use]
    pub const fn is_eclipsed(&self) -> bool {
        self.honest == 0
    }
}

struct Scene {
    world: PeersWorld,
    rng: ChaCha8Rng,
    attack: Attack,
    victim: NodeIndex,
    discoverable: Vec<StubIndex>,
    met: Vec<StubIndex>,
    band: Vec<Hostile>,
    hostile: Vec<StubIndex>,
    identities: BTreeSet<PeerId>,
}

/// Runs an attack on a victim that has lived, or (`fresh`) starts for the first time and knows one honest
/// boot node, which speaks discovery only.
///
/// # Errors
/// When a rule of the world is broken.
pub fn run(attack: Attack, fresh: bool, seed: u64) -> Result<Outcome, Broken> {
    let mut scene = Scene::new(attack, seed);
    let mut before = (0, 0);
    if !fresh {
        scene.live()?;
        before = scene.outbound();
        scene.world.stop(scene.victim);
    }
    scene.attack().map(|outcome| Outcome { before: (before.1, before.0 + before.1), ..outcome })
}

/// Two honest nodes in each /16.
fn honest_address(n: usize) -> SocketAddr {
    let net = n / 2;
    let octet = |n: usize| u8::try_from(n % 250).unwrap_or(0);
    SocketAddr::from(([11 + octet(net % 50), octet(net / 50), octet(n), 1], 30303))
}

impl Scene {
    fn new(attack: Attack, seed: u64) -> Self {
        let conditions = Conditions {
            latency: Duration::from_millis(10),
            jitter: Duration::from_millis(90),
            loss_per_mille: 20,
        };
        let mut world = PeersWorld::new(seed, conditions);
        let mut honest = StubConduct::bystander(SPARE);
        honest.lasts = Some(HONEST_SESSION);
        let boot = world.add_bystander(honest_address(0), Vec::new(), honest);
        let boot_contact = world.bystander_contact(boot);
        let known: Vec<Contact> = boot_contact.into_iter().collect();
        let mut discoverable = vec![boot];
        for n in 1..DISCOVERABLE {
            discoverable.push(world.add_bystander(honest_address(n), known.clone(), honest));
        }
        let mut met = Vec::new();
        for n in DISCOVERABLE..DISCOVERABLE + MET {
            met.push(world.add_bystander(honest_address(n), Vec::new(), honest));
        }
        let address = SocketAddr::from(([99, 1, 1, 1], 30303));
        let known = known.into_iter().map(|mut contact| {
            contact.endpoint.tcp_port = 0;
            contact
        });
        let victim = world.add_node(PeersNode::new(address, MAX_PEERS, known.collect()));
        let rng = ChaCha8Rng::seed_from_u64(seed ^ 0xec11);
        let (band, hostile, identities) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut scene =
            Self { world, rng, attack, victim, discoverable, met, band, hostile, identities };
        scene.gather(address);
        scene
    }

    /// The attackers; none of them does anything yet.
    fn gather(&mut self, victim: SocketAddr) {
        let count = self.attack.identities();
        for (ip, salt) in self.attack.hosts().into_iter().zip(1_u64..) {
            self.band.push(Hostile::new(ip, salt, count, vec![victim]));
        }
        let all: Vec<Contact> =
            self.band.iter().flat_map(|host| host.contacts().collect::<Vec<_>>()).collect();
        for host in &mut self.band {
            host.befriend(all.iter().copied());
            if self.attack.hosts().len() > 2 {
                host.pace(Duration::from_millis(500), 1);
            }
        }
        for contact in all {
            self.identities.insert(contact.id);
            let address = SocketAddr::new(contact.endpoint.ip, contact.endpoint.tcp_port);
            let mut conduct = StubConduct::greedy();
            conduct.online = false;
            let stub = Stub { id: contact.id, address, conduct, wants: None };
            self.hostile.push(self.world.add_stub(stub));
        }
    }

    fn any(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).unwrap_or(1);
        usize::try_from(self.rng.next_u64() % count).unwrap_or(0)
    }

    fn tell(&mut self, stub: StubIndex, origin: AddressOrigin, source: Option<IpAddr>) {
        let enode = self.world.stub(stub).enode();
        let source = source.or(match &enode.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        });
        self.world.tell(self.victim, &enode, origin, source);
    }

    fn find_honest(&mut self) {
        let at = self.any(DISCOVERABLE + MET);
        let stub = self.discoverable.iter().chain(&self.met).nth(at).copied();
        if let Some(stub) = stub {
            self.tell(stub, AddressOrigin::Discovery, None);
        }
    }

    /// The victim's life before the attack. Its discovery has nobody to talk to: what it finds is said
    /// here, at the pace at which it would be announced.
    fn live(&mut self) -> Result<(), Broken> {
        self.world.start(self.victim);
        for _ in 0..DISCOVERABLE / 2 {
            self.find_honest();
        }
        if matches!(self.attack, Attack::Heilman | Attack::Wang) {
            let mut conduct = StubConduct::greedy();
            conduct.lasts = Some(Duration::from_secs(60));
            for stub in self.hostile.clone() {
                self.world.set_stub(stub, conduct, None);
            }
        }
        let end = self.world.elapsed() + LIFE;
        while self.world.elapsed() < end {
            self.world.run_for(FIND_INTERVAL)?;
            self.find_honest();
            match self.attack {
                Attack::Marcus | Attack::Henningsen => {}
                // Ten of each /24 are announced in an hour, so 1.8 in this time.
                Attack::Heilman => {
                    for _ in 0..2 {
                        let at = self.any(self.hostile.len());
                        self.tell(self.hostile[at], AddressOrigin::Discovery, None);
                    }
                }
                // The list is read at leisure, again and again.
                Attack::Wang => {
                    for _ in 0..2 {
                        let at = self.any(self.hostile.len());
                        let source = Some(IpAddr::from([44, 1, 1, 1]));
                        self.tell(self.hostile[at], AddressOrigin::Exchange, source);
                    }
                }
            }
        }
        Ok(())
    }

    /// Outbound slots of honest nodes, and of attackers.
    fn outbound(&self) -> (usize, usize) {
        let Some(manager) = self.world.manager(self.victim) else { return (0, 0) };
        let peers = manager.snapshot().peers.into_iter();
        let held = peers
            .filter(|peer| peer.slot == Some(Slot::Outbound) && peer.state == PeerState::Connected);
        let hostile = |id: PeerId| self.identities.contains(&id);
        held.filter_map(|peer| peer.id).fold((0, 0), |(honest, bad), id| {
            if hostile(id) { (honest, bad + 1) } else { (honest + 1, bad) }
        })
    }

    /// The restart, and what has come of it.
    fn attack(mut self) -> Result<Outcome, Broken> {
        for at in 0..self.discoverable.len() {
            self.world.wake_bystander(self.discoverable[at]);
        }
        let spare = if self.attack == Attack::Wang { SPARE_HIJACKED } else { SPARE };
        let honest = StubConduct::bystander(spare);
        for stub in &self.discoverable {
            self.world.set_stub(*stub, honest, None);
        }
        for (n, stub) in self.met.iter().enumerate() {
            let online = n % 2 == 0;
            self.world.set_stub(*stub, StubConduct { online, ..honest }, None);
        }
        self.world.run_for(NETWORK_BEFORE)?;
        let address = SocketAddr::from(([99, 1, 1, 1], 30303));
        for (n, stub) in self.hostile.iter().enumerate() {
            // Those that dial are of all hosts.
            let dials = n % self.hostile.len().div_ceil(DIALLERS) == 0;
            let wants = dials.then_some(address);
            let conduct = StubConduct { dials_again: DIAL_INTERVAL, ..StubConduct::greedy() };
            self.world.set_stub(*stub, conduct, wants);
        }
        for host in core::mem::take(&mut self.band) {
            self.world.add_hostile(host);
        }
        self.world.run_for(Duration::from_secs(5))?;
        self.world.start(self.victim);
        let began = self.world.elapsed();
        let mut two_honest = None;
        while self.world.elapsed() < began + LOOK_AFTER {
            self.world.run_for(Duration::from_secs(1))?;
            if two_honest.is_none() && self.outbound().0 >= 2 {
                two_honest = Some(self.world.elapsed().saturating_sub(began));
            }
        }
        let (honest, hostile) = self.outbound();
        let slots = self.world.manager(self.victim).map(|manager| manager.snapshot().slots);
        let inbound = slots.map_or(0, |slots| slots.inbound);
        let (mut book, mut tried) = ((0, 0), (0, 0));
        for record in self.world.book(self.victim).into_iter().flat_map(|book| book.records()) {
            let bad = usize::from(self.identities.contains(&record.enode.id));
            book = (book.0 + bad, book.1 + 1);
            if record.tried {
                tried = (tried.0 + bad, tried.1 + 1);
            }
        }
        Ok(Outcome { honest, hostile, two_honest, inbound, book, tried, before: (0, 0) })
    }
}
