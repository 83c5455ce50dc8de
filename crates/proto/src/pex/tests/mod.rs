//! Peer exchange: when is asked and answered, what is taken, and what ends a session.

mod asking;
mod poisoning;
mod taking;

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::{Contact, Endpoint};
use chainmesh_wire::pex::{GetNodes, Message, Nodes};

use super::*;

fn id(number: u32) -> PeerId {
    let mut bytes = [1; 64];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::from(bytes)
}

fn ip(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

/// A node in a /16 of its own: 20.0.0.1 and on.
fn contact(number: u32) -> Contact {
    let endpoint = Endpoint::new(ip(0x1400_0001 + (number << 16)), 0, 30303);
    Contact { endpoint, id: id(number) }
}

const LOCAL: u32 = 1_000_000;

/// Our node, number [`LOCAL`], with its clock and what it said.
struct Bed {
    pex: Pex,
    now: Instant,
    said: Vec<Output>,
}

impl Bed {
    fn new(config: PexConfig) -> Self {
        Self { pex: Pex::new(config, [7; 32]), now: Instant::ZERO, said: Vec::new() }
    }

    fn open() -> Self {
        Self::new(PexConfig::open(id(LOCAL)))
    }

    fn tell(&mut self, input: Input) {
        self.pex.handle(self.now, input);
        self.said.extend(core::iter::from_fn(|| self.pex.poll()));
    }

    /// The peer of this number has a session of the same number, and is ready.
    fn peer(&mut self, number: u32, dialled: bool) -> SessionId {
        let session = SessionId(number.into());
        let (peer, address) = (id(number), contact(number).endpoint.ip);
        self.tell(Input::Opened { session, peer, address, dialled });
        self.tell(Input::Ready { peer });
        session
    }

    fn message(&mut self, session: SessionId, message: &Message) {
        self.tell(Input::Message { session, code: message.code(), payload: message.encode() });
    }

    fn nodes(&mut self, session: SessionId, request: u64, nodes: Vec<Contact>) {
        self.message(session, &Message::Nodes(Nodes { request, nodes }));
    }

    fn question(&mut self, session: SessionId, request: u64) {
        self.message(session, &Message::GetNodes(GetNodes { request, limit: 32 }));
    }

    /// Lets time pass, from one deadline to the next.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.pex.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.pex.handle_timeout(self.now);
            self.said.extend(core::iter::from_fn(|| self.pex.poll()));
        }
        self.now = end;
    }

    fn take(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.said)
    }

    /// Questions that were sent since the last call.
    fn questions(&mut self) -> Vec<(SessionId, u64)> {
        let question = |output| match output {
            Output::Send { session, code, payload } => match Message::decode(code, &payload) {
                Ok(Message::GetNodes(question)) => Some((session, question.request)),
                other => panic!("{other:?} is no question"),
            },
            _ => None,
        };
        self.take().into_iter().filter_map(question).collect()
    }

    /// The one question since the last call.
    fn one_question(&mut self) -> u64 {
        let questions = self.questions();
        let [(_, request)] = questions[..] else { panic!("{questions:?} is not one question") };
        request
    }

    /// Nodes that were learnt since the last call, and the fault that ended a session.
    fn learned(&mut self) -> (Vec<Contact>, Option<PexFault>) {
        let (mut learned, mut fault) = (Vec::new(), None);
        for output in self.take() {
            match output {
                Output::Learned { nodes, .. } => learned.extend(nodes),
                Output::Close { fault: why, .. } => fault = Some(why),
                _ => {}
            }
        }
        (learned, fault)
    }

    fn counters(&self) -> PexCounters {
        self.pex.snapshot().counters
    }

    fn ignored(&self, why: Ignored) -> u64 {
        self.counters().ignored.get(&why).copied().unwrap_or(0)
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_same_seed_does_the_same() {
    let run = || {
        let mut bed = Bed::open();
        bed.tell(Input::Need { nodes: 5 });
        for number in 0..10 {
            bed.peer(number, true);
        }
        bed.pass(HOUR);
        bed.take()
    };
    assert_eq!(run(), run());
}

#[test]
fn rubbish_ends_the_session() {
    for (code, payload) in [(0, vec![]), (1, vec![0xc1, 7]), (0, vec![0; 9000]), (7, vec![0xc0])] {
        let mut bed = Bed::open();
        let session = bed.peer(1, false);
        bed.tell(Input::Message { session, code, payload: Bytes::from(payload) });
        assert!(matches!(bed.learned(), (_, Some(PexFault::Malformed(_)))));
        assert_eq!(bed.pex.snapshot().peers, 0);
        assert_eq!(bed.counters().breaches, 1);
        // What was on its way when the session ended is nothing.
        bed.question(session, 1);
        assert!(bed.take().is_empty());
    }
}
