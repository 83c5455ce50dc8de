//! Row 40 of the matrix of attacks: a peer tells of ten thousand nodes that are not there.

use std::collections::BTreeSet;

use chainmesh_identity::Enode;

use super::*;
use crate::peers::book::{AddressBook, AddressOrigin, UnixTime};

const START: UnixTime = 1_700_000_000;
/// The book is asked for somebody to dial so often, as the driver does.
const TICK: u64 = 5;
/// Honest nodes; each is in a /16 of its own. The node begins with the first of them.
const HONEST: u32 = 300;
const KNOWN: u32 = 40;
/// Free slots for nodes of the book.
const SLOTS: usize = 16;
const LIAR: u32 = 500_000;
const FAKES: u32 = 10_000;
const FIRST_FAKE: u32 = 600_000;

struct World {
    bed: Bed,
    book: AddressBook,
    rng: ChaCha8Rng,
    /// Connected nodes, and when each of them leaves.
    peers: BTreeMap<u32, UnixTime>,
    sessions: BTreeMap<SessionId, u32>,
    next_session: u64,
    next_fake: u32,
    offered: BTreeSet<u32>,
    honest_dials: u32,
    fake_dials: u32,
    largest: usize,
    most_fakes: usize,
    /// How many liars there are, each in a /16 of its own.
    liars: u32,
}

fn honest(number: u32) -> Enode {
    contact(number).enode()
}

fn number_of(id: &PeerId) -> u32 {
    u32::from_be_bytes(id.as_bytes()[..4].try_into().unwrap())
}

fn is_fake(id: &PeerId) -> bool {
    (FIRST_FAKE..FIRST_FAKE + FAKES).contains(&number_of(id))
}

impl World {
    fn new(seed: u8) -> Self {
        let mut bed = Bed::open();
        bed.pex = Pex::new(PexConfig::open(id(LOCAL)), [seed; 32]);
        let mut book = AddressBook::new(id(LOCAL), [seed; 32]);
        for number in 0..KNOWN {
            let enode = honest(number);
            book.add(START, &enode, AddressOrigin::Discovery, enode.host.ip());
            book.connected(START, &enode.id, true);
            book.disconnected(START, &enode.id);
        }
        Self {
            bed,
            book,
            rng: ChaCha8Rng::from_seed([seed.wrapping_add(100); 32]),
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: 0,
            next_fake: 0,
            offered: BTreeSet::new(),
            honest_dials: 0,
            fake_dials: 0,
            largest: 0,
            most_fakes: 0,
            liars: 1,
        }
    }

    fn unix(&self) -> UnixTime {
        START + self.bed.now.as_micros() / 1_000_000
    }

    fn chance(&mut self, of: u64) -> u64 {
        self.rng.next_u64() % of
    }

    fn connect(&mut self, number: u32, address: IpAddr) {
        let (session, peer) = (SessionId(self.next_session), id(number));
        self.next_session += 1;
        self.sessions.insert(session, number);
        self.bed.tell(Input::Opened { session, peer, address, dialled: true });
        self.bed.tell(Input::Ready { peer });
    }

    /// One fake after the other, in networks all over the world; after the last one from the first again.
    fn fakes(&mut self, count: u32) -> Vec<Contact> {
        let fake = |at: u32| {
            self.offered.insert(at);
            let number = FIRST_FAKE + at;
            // A /16 and a /24 for itself.
            let bits = 0x3000_0001_u32.wrapping_add(at.wrapping_mul(0x0101_0300) & 0x5fff_ff00);
            Contact { endpoint: Endpoint::new(ip(bits), 0, 30303), id: id(number) }
        };
        let first = self.next_fake;
        self.next_fake = (first + count) % FAKES;
        (first..first + count).map(|at| at % FAKES).map(fake).collect()
    }

    /// Everybody answers at once; the liar sometimes also without a question.
    fn answer(&mut self) {
        for output in self.bed.take() {
            match output {
                Output::Send { session, code, payload } => {
                    let Ok(Message::GetNodes(question)) = Message::decode(code, &payload) else {
                        panic!("only questions are sent: nobody asks")
                    };
                    let nodes = match self.sessions[&session] {
                        LIAR.. => self.fakes(32),
                        _ => {
                            let first = self.chance(HONEST.into()) as u32;
                            (first..first + 32).map(|n| contact(n % HONEST)).collect()
                        }
                    };
                    self.bed.nodes(session, question.request, nodes);
                }
                Output::Learned { from, nodes, .. } => {
                    for node in nodes {
                        let (enode, now) = (node.enode(), self.unix());
                        self.book.add(now, &enode, AddressOrigin::Exchange, Some(from));
                    }
                }
                Output::Close { session, fault } => {
                    let closed = self.sessions.remove(&session);
                    assert!(closed.is_some_and(|number| number >= LIAR), "{fault}");
                }
                Output::Sample { .. } => {}
            }
        }
    }

    fn lie(&mut self) {
        for liar in LIAR..LIAR + self.liars {
            let session = self.sessions.iter().find(|(_, number)| **number == liar);
            match session.map(|(session, _)| *session) {
                Some(session) => {
                    let nodes = self.fakes(32);
                    self.bed.nodes(session, 1, nodes);
                }
                // Cut off; it is let in again at once, the worst that could be.
                None => self.connect(liar, ip(0x5a00_0001 + ((liar - LIAR) << 16))),
            }
        }
    }

    fn leave(&mut self) {
        let now = self.unix();
        let gone: Vec<u32> =
            self.peers.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number).collect();
        for number in gone {
            self.peers.remove(&number);
            self.book.disconnected(now, &id(number));
            if let Some(session) =
                self.sessions.iter().find(|(_, of)| **of == number).map(|(session, _)| *session)
            {
                self.sessions.remove(&session);
                self.bed.tell(Input::Closed { session });
            }
        }
    }

    fn dial(&mut self) {
        let (now, room) = (self.unix(), SLOTS - self.peers.len());
        let peers = &self.peers;
        let chosen = match room {
            0 => Vec::new(),
            _ => self.book.candidates(now, room, |id| !peers.contains_key(&number_of(id))),
        };
        for enode in chosen {
            self.book.dialled(now, &enode.id);
            let fake = is_fake(&enode.id);
            *(if fake { &mut self.fake_dials } else { &mut self.honest_dials }) += 1;
            // Three honest nodes of four are there, and stay for ten minutes to an hour.
            if fake || self.chance(4) == 0 {
                self.book.failed(now, &enode.id);
            } else {
                self.book.connected(now, &enode.id, true);
                let (number, stay) = (number_of(&enode.id), 600 + self.chance(3000));
                self.peers.insert(number, now + stay);
                self.connect(number, enode.host.ip().unwrap());
            }
        }
        let need = SLOTS - self.peers.len();
        self.bed.tell(Input::Need { nodes: need.max(1) });
    }

    /// Gives the share of dials of fakes.
    fn run(&mut self, hours: u64, lies: bool) -> f64 {
        if lies && self.next_session == 0 {
            self.lie();
        }
        for tick in 0..hours * 3600 / TICK {
            self.bed.pass(Duration::from_secs(TICK));
            self.answer();
            if lies && tick % 100 == 0 {
                self.lie();
                self.answer();
            }
            self.leave();
            self.dial();
            self.answer();
            if tick % 50 == 0 {
                let fakes = self.book.records().filter(|record| is_fake(&record.enode.id)).count();
                self.most_fakes = self.most_fakes.max(fakes);
                self.largest = self.largest.max(self.book.len());
            }
        }
        f64::from(self.fake_dials) / f64::from(self.fake_dials + self.honest_dials)
    }
}

#[test]
fn ten_thousand_fake_addresses_from_one_peer_get_less_than_a_fifth_of_the_dials() {
    let mut worst: f64 = 0.0;
    let (mut found_all, mut undisturbed) = (0, 0);
    for seed in 0..5 {
        let (mut world, mut without) = (World::new(seed), World::new(seed));
        let first = world.run(1, true);
        let share = world.run(6, true);
        without.run(7, false);
        let counters = world.bed.counters();
        println!(
            "seed {seed}: {} fakes told, {} of them offered; dials {} honest, {} fake ({:.1} %, {:.1} % in the first hour); book {} \
             at most, {} without the liar; fakes in it {} at most; ignored {:?}; {} breaches",
            counters.ignored.values().sum::<u64>() + counters.taken,
            world.offered.len(),
            world.honest_dials,
            world.fake_dials,
            share * 100.0,
            first * 100.0,
            world.largest,
            without.largest,
            world.most_fakes,
            counters.ignored,
            counters.breaches,
        );
        worst = worst.max(share).max(first);
        assert_eq!(world.offered.len(), FAKES as usize, "all of them were offered");
        assert!(world.fake_dials > 0, "a test in which nobody believes the liar shows nothing");
        assert!(share <= 0.2 && first <= 0.2, "seed {seed}: {share}, {first} in the first hour");
        // What it may fill are the 16 buckets of its /16.
        assert!(world.most_fakes <= 256, "{} fakes in the book", world.most_fakes);
        assert!(world.largest <= without.largest + 256);
        assert!(counters.breaches > 0 && counters.ignored[&Ignored::Quota] > 0);
        let found = |world: &World| {
            let tried = world.book.records().filter(|record| record.tried);
            let tried: Vec<PeerId> = tried.map(|record| record.enode.id).collect();
            assert!(!tried.iter().any(is_fake));
            tried.len()
        };
        (found_all, undisturbed) = (found_all + found(&world), undisturbed + found(&without));
    }
    println!("honest peers found: {found_all}, and {undisturbed} without the liar");
    // Chance makes a difference from seed to seed, the liar next to none.
    assert!(found_all * 10 > undisturbed * 9);
    println!("PEX poisoning: fake share of dials {:.1} % at worst", worst * 100.0);
}

/// Eight hosts in eight networks, all of them dialled by us, are half as many tellers as there are honest ones.
#[test]
fn eight_liars_in_eight_networks_get_less_than_a_fifth_too() {
    let mut world = World::new(1);
    world.liars = 8;
    let first = world.run(1, true);
    let share = world.run(6, true);
    println!(
        "eight liars: {} honest dials, {} fake ({:.1} %, {:.1} % in the first hour), fakes in the book {}",
        world.honest_dials,
        world.fake_dials,
        share * 100.0,
        first * 100.0,
        world.most_fakes
    );
    assert!(share <= 0.2);
    assert!(world.most_fakes <= 8 * 256);
}

/// The worst case: nothing else is known, and nothing else is said.
#[test]
fn a_node_that_knows_a_liar_alone_does_not_dial_for_it() {
    let mut world = World::new(1);
    world.book = AddressBook::new(id(LOCAL), [1; 32]);
    world.run(1, true);
    println!("a liar alone: {} dials in an hour", world.fake_dials);
    assert_eq!(world.honest_dials, 0);
    assert!((1..=10).contains(&world.fake_dials), "{} dials in an hour", world.fake_dials);
}
