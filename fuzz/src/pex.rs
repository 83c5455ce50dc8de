//! Peer exchange: its messages, and the machine with an address book behind it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::peers::book::{
    AddressBook, AddressOrigin, BUCKET_PLACES, NEW_BUCKETS, TRIED_BUCKETS,
};
use chainmesh_proto::pex::{Input, Output, Pex, PexConfig, SessionId};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, Endpoint};
use chainmesh_wire::pex::{GetNodes, MAX_MESSAGE, MAX_NODES, Message, Nodes};

use crate::cursor::Cursor;

/// A message of peer exchange: its code, and its payload.
pub fn pex_message(data: &[u8]) {
    let Some((code, payload)) = data.split_first() else { return };
    let Ok(message) = Message::decode(u32::from(*code), payload) else { return };
    assert_eq!(message.code(), u32::from(*code));
    if let Message::Nodes(nodes) = &message {
        assert!(nodes.nodes.len() <= MAX_NODES);
    }
    let again = message.encode();
    assert!(again.len() <= MAX_MESSAGE);
    assert_eq!(Message::decode(message.code(), &again), Ok(message));
}

const NODES: u8 = 8;
const START: u64 = 1_700_000_000;

fn id(node: u8) -> PeerId {
    PeerId::from([node + 1; 64])
}

fn contact(cursor: &mut Cursor<'_>) -> Contact {
    let ip = match cursor.below(3) {
        0 => Ipv4Addr::new(127, 0, 0, 1),
        1 => Ipv4Addr::new(20, 1, cursor.below(2), cursor.byte()),
        _ => Ipv4Addr::from_bits(u32::from(cursor.short()) << 16 | 1),
    };
    let endpoint = Endpoint::new(ip.into(), cursor.byte().into(), cursor.byte().into());
    Contact { endpoint, id: id(cursor.below(64)) }
}

/// Sessions that come and go, questions and answers, right ones and wrong ones. Node 0 is this one.
pub fn pex_ops(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let config = match cursor.flag() {
        true => PexConfig::open(id(0)),
        false => PexConfig::certified(id(0)),
    };
    let limits = config.sample_limits();
    let mut pex = Pex::new(config, [cursor.byte(); 32]);
    let mut book = AddressBook::new(id(0), [cursor.byte(); 32]);
    let mut now = Instant::ZERO;
    let mut open: BTreeMap<SessionId, (PeerId, Option<u64>)> = BTreeMap::new();
    let mut next = 0;
    while !cursor.is_empty() {
        let chosen = usize::from(cursor.below(NODES));
        let session = open.keys().nth(chosen).copied().unwrap_or(SessionId(u64::MAX));
        match cursor.below(8) {
            0 => {
                let (node, address) = (cursor.below(NODES) + 1, contact(&mut cursor).endpoint.ip);
                let (session, peer) = (SessionId(next), id(node));
                (next, _) = (next + 1, open.insert(SessionId(next), (peer, None)));
                let dialled = cursor.flag();
                pex.handle(now, Input::Opened { session, peer, address, dialled });
                book.met(&peer, SocketAddr::new(address, cursor.byte().into()), dialled);
            }
            1 => pex.handle(now, Input::Ready { peer: id(cursor.below(NODES) + 1) }),
            2 => {
                if let Some((peer, _)) = open.remove(&session) {
                    book.disconnected(START, &peer);
                }
                pex.handle(now, Input::Closed { session });
            }
            3 => {
                let (code, length) = (u32::from(cursor.below(3)), usize::from(cursor.byte()));
                let payload = Bytes::copy_from_slice(cursor.take(length));
                pex.handle(now, Input::Message { session, code, payload });
            }
            4 => {
                let (request, limit) = (cursor.byte().into(), cursor.byte().into());
                let message = Message::GetNodes(GetNodes { request, limit });
                let (code, payload) = (message.code(), message.encode());
                pex.handle(now, Input::Message { session, code, payload });
            }
            5 => {
                let asked = open.get(&session).and_then(|(_, asked)| *asked);
                let request = if cursor.flag() { asked } else { None }.unwrap_or(cursor.long());
                let count = cursor.below(33);
                let nodes = (0..count).map(|_| contact(&mut cursor)).collect();
                let message = Message::Nodes(Nodes { request, nodes });
                let (code, payload) = (message.code(), message.encode());
                pex.handle(now, Input::Message { session, code, payload });
            }
            6 => pex.handle(now, Input::Need { nodes: usize::from(cursor.below(3)) }),
            _ => {
                now = now + Duration::from_millis(u64::from(cursor.short()) * 10);
                pex.handle_timeout(now);
            }
        }
        let asked = &mut open;
        carry_out(&mut pex, &mut book, now, asked, |book, asker| {
            book.sample(START, asker, &limits)
        });
        assert!(pex.poll_timeout().is_none_or(|at| at >= now));
    }
    let places = (NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_PLACES;
    assert!(book.len() <= usize::from(places));
    assert_eq!(pex.snapshot().peers, open.len());
    for session in open.into_keys() {
        pex.handle(now, Input::Closed { session });
    }
    assert_eq!((pex.snapshot().peers, pex.poll_timeout()), (0, None));
}

fn carry_out(
    pex: &mut Pex,
    book: &mut AddressBook,
    now: Instant,
    open: &mut BTreeMap<SessionId, (PeerId, Option<u64>)>,
    sample: impl Fn(&AddressBook, IpAddr) -> Vec<Contact>,
) {
    while let Some(output) = pex.poll() {
        match output {
            Output::Send { session, code, payload } => {
                let (_, asked) = open.get_mut(&session).expect("a session that is open");
                match Message::decode(code, &payload).expect("what we say is right") {
                    Message::GetNodes(question) => *asked = Some(question.request),
                    Message::Nodes(nodes) => assert!(nodes.nodes.len() <= MAX_NODES),
                }
            }
            Output::Sample { session, asker } => {
                let nodes = sample(book, asker);
                pex.handle(now, Input::Sampled { session, nodes });
            }
            Output::Learned { teller, from, nodes } => {
                for node in nodes {
                    assert!(node.id != teller && node.id != id(0) && node.endpoint.tcp_port != 0);
                    book.add(START, &node.enode(), AddressOrigin::Exchange, Some(from));
                }
            }
            Output::Close { session, .. } => {
                assert!(open.remove(&session).is_some(), "a session ends once");
            }
        }
    }
}
