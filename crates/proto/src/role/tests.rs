//! The module on two connections in virtual time, beside another module whose handshake it goes before.

use core::time::Duration;

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::B256;
use chainmesh_wire::role::RoleMessage;

use super::*;
use crate::eth::testing::{MemoryChain, Shape, branch, genesis};
use crate::peers::book::MismatchKind;
use crate::session::SessionKind;
use crate::session::connection::{CloseCause, ConnectionEvent};
use crate::session::testing::{ACCEPTOR, DIALLER, Pair, Raw, Recorder, key};

const SERVING: NodeRole = NodeRole::Full { serves_light: true };
const SILENT: NodeRole = NodeRole::UNSAID;
const LIGHT: NodeRole = NodeRole::Light;

/// A node at block 5 of the chain of the tests, on network 1515.
struct Node {
    module: Arc<RoleModule>,
    /// A module whose codes come before those of `role`, and which speaks at once.
    other: Recorder,
}

impl Node {
    fn new(role: NodeRole, change: impl FnOnce(&mut ChainIdentity)) -> Self {
        let chain = Arc::new(MemoryChain::with(&branch(&genesis(), 5, Shape::default())));
        let mut identity = identity(genesis().hash, &[]);
        change(&mut identity);
        let module = RoleModule::new(identity, chain, role);
        let other = Recorder::default().on_peer(|peer| peer.send(0, Bytes::new()).unwrap());
        Self { module, other }
    }

    fn modules(&self) -> Vec<Module> {
        vec![self.other.module("early", 1, 3), self.module.module().unwrap()]
    }
}

fn identity(genesis_hash: B256, forks: &[u64]) -> ChainIdentity {
    let forks = forks.iter().copied().map(ForkFilterKey::Block);
    let forks = ForkFilter::new(Head::default(), genesis_hash, 0, forks);
    ChainIdentity { network_id: 1515, genesis_hash, forks, earliest: 0 }
}

fn meet(nodes: [&Node; 2]) -> Pair {
    let mut pair = Pair::new(SessionKind::Rlpx, nodes.map(Node::modules));
    pair.run_for(Duration::from_millis(500));
    pair
}

/// What each side remembers of the other.
fn mismatches(pair: &Pair) -> Vec<Option<(MismatchKind, String)>> {
    let of = |event: &ConnectionEvent| match event {
        ConnectionEvent::Closed(cause) => MismatchKind::of(cause, false),
        _ => None,
    };
    pair.sides.iter().map(|side| side.events.iter().find_map(of)).collect()
}

#[test]
fn nodes_that_fit_know_each_others_role() {
    for (one, other) in [(SERVING, SERVING), (SERVING, LIGHT), (LIGHT, SERVING), (SILENT, SERVING)]
    {
        let nodes = [Node::new(one, |_| ()), Node::new(other, |_| ())];
        let pair = meet([&nodes[0], &nodes[1]]);
        assert!(pair.both(|side| side.is_established()), "{one} and {other}");
        assert_eq!(nodes[0].module.peers(), BTreeMap::from([(key(1).peer_id(), other)]));
        assert_eq!(nodes[1].module.peers(), BTreeMap::from([(key(0).peer_id(), one)]));
        drop(pair);
        assert!(nodes.iter().all(|node| node.module.peers().is_empty()), "the sessions are over");
    }
}

#[test]
fn nodes_that_have_nothing_for_each_other_part_before_any_work() {
    for (one, other) in [(LIGHT, LIGHT), (SILENT, LIGHT), (LIGHT, SILENT)] {
        let nodes = [Node::new(one, |_| ()), Node::new(other, |_| ())];
        let pair = meet([&nodes[0], &nodes[1]]);
        let reasons = [DIALLER, ACCEPTOR].map(|side| pair.sides[side].reason());
        assert_eq!(reasons, [Some(DisconnectReason::UselessPeer); 2], "{one} and {other}");
        let seen = mismatches(&pair);
        // Both know why.
        let words =
            |ours, theirs| Some((MismatchKind::Role, format!("role: {theirs} (ours: {ours})")));
        assert_eq!(seen, [words(one, other), words(other, one)]);
        for node in &nodes {
            assert!(node.other.messages().is_empty(), "the other module has nothing to do");
            assert!(node.module.peers().is_empty());
        }
    }
}

#[test]
fn another_chain_is_seen_before_the_other_modules_speak() {
    type Change = fn(&mut ChainIdentity);
    let changes: [(Change, MismatchKind, &str); 3] = [
        (|ours| ours.network_id = 2, MismatchKind::Network, "network 2 (ours 1515)"),
        (
            |ours| *ours = identity(B256::repeat_byte(0xab), &[]),
            MismatchKind::Genesis,
            "genesis 0xabababab… (ours 0x",
        ),
        (|ours| *ours = identity(genesis().hash, &[3]), MismatchKind::Fork, "fork 0x"),
    ];
    for (change, kind, words) in changes {
        let (ours, theirs) = (Node::new(SERVING, |_| ()), Node::new(SERVING, change));
        let pair = meet([&ours, &theirs]);
        let seen = mismatches(&pair);
        let kinds: Vec<_> = seen.iter().map(|seen| seen.as_ref().map(|(kind, _)| *kind)).collect();
        assert_eq!(kinds, [Some(kind); 2]);
        let text = &seen[0].as_ref().unwrap().1;
        assert!(text.starts_with(words) && text.contains("(ours "), "{text}");
        assert!(ours.other.messages().is_empty() && theirs.other.messages().is_empty());
    }
}

#[test]
fn who_does_not_say_its_role_is_full_without_service() {
    let full = Node::new(SERVING, |_| ());
    let old = Recorder::default();
    let modules = [full.modules(), vec![old.module("early", 1, 3)]];
    let mut pair = Pair::new(SessionKind::Rlpx, modules);
    pair.run_for(Duration::from_millis(500));
    assert!(pair.both(|side| side.is_established()));
    assert!(full.module.peers().is_empty());

    let light = Node::new(LIGHT, |_| ());
    let modules = [light.modules(), vec![old.module("early", 1, 3)]];
    let mut pair = Pair::new(SessionKind::Rlpx, modules);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.sides[DIALLER].reason(), Some(DisconnectReason::UselessPeer));
    let words = pair.sides[DIALLER].cause().unwrap();
    assert!(words.contains("role/1"), "{words}");
    assert_eq!(mismatches(&pair)[DIALLER].as_ref().map(|(kind, _)| *kind), {
        Some(MismatchKind::Protocols)
    });
}

#[test]
fn rubbish_and_a_second_message_are_breaches() {
    let said = || {
        let node = Node::new(SERVING, |_| ());
        let mut raw = Raw::connect(SessionKind::Rlpx, vec![node.module.module().unwrap()]);
        raw.greet(5, &[("role", 1)]);
        let message = raw.next().expect("it speaks first");
        assert_eq!(message.code, 16);
        (node, raw, message.payload)
    };
    let (node, mut raw, payload) = said();
    assert_eq!(RoleMessage::decode(&payload).map(|said| said.role), Ok(SERVING));
    raw.send(16, &payload);
    assert!(raw.side.is_established());
    assert_eq!(node.module.peers().len(), 1);
    raw.send(16, &payload);
    assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol));
    assert!(node.module.peers().is_empty());

    let (_, mut raw, _) = said();
    raw.send(16, b"rubbish");
    assert_eq!(raw.farewell(), Some(DisconnectReason::BreachOfProtocol));
    let breach = raw.side.events.iter().find_map(|event| match event {
        ConnectionEvent::Closed(cause @ CloseCause::Module { .. }) => {
            Some(MismatchKind::of(cause, false))
        }
        _ => None,
    });
    assert_eq!(breach, Some(None), "a breach is no mismatch");
}

#[test]
fn a_digest_changes_with_network_genesis_and_forks_and_not_with_the_head() {
    let base = identity(genesis().hash, &[3, 9]);
    let mut later = base.clone();
    later.forks.set_head(Head { number: 5, ..Head::default() });
    assert_eq!(later.digest(), base.digest());
    let mut network = base.clone();
    network.network_id = 1;
    let others = [network, identity(B256::ZERO, &[3, 9]), identity(genesis().hash, &[3]), {
        identity(genesis().hash, &[3, 10])
    }];
    assert!(others.iter().all(|other| other.digest() != base.digest()));
}

#[test]
fn a_peer_that_goes_without_a_word_of_its_own_is_remembered_if_it_never_was_one() {
    let of = |reason, established| MismatchKind::of(&CloseCause::Remote(reason), established);
    for reason in [DisconnectReason::SubprotocolError, DisconnectReason::UselessPeer] {
        assert_eq!(of(reason, false).map(|(kind, _)| kind), Some(MismatchKind::Refused));
        assert_eq!(of(reason, true), None);
    }
    assert_eq!(of(DisconnectReason::TooManyPeers, false), None);
}
