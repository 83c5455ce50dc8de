//! Peer exchange on loopback: nodes that know one other find the rest, and liars get nowhere.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chainmesh_net::discovery::DiscoveryOptions;
use chainmesh_net::pex::{Ignored, PexReport};
use chainmesh_net::{
    Bytes, Capability, Enode, Host, Module, ModuleError, P2pConfig, P2pHandle, PeerContext,
    PeerHandler, PeerId, PeerQuery, SessionKind, TopicHandler,
};
use chainmesh_proto::peers::book::{AddressBook, AddressOrigin};
use chainmesh_wire::discv4::{Contact, Endpoint};
use chainmesh_wire::pex::{GetNodes, Message, Nodes};
use tokio::sync::mpsc;

use crate::support::{config, connected, disconnected, echo, has_peers, key, within};

/// A node that knows at most one other, by its address alone where that is possible.
fn with_pex(number: u8, session: SessionKind, known: Option<&P2pHandle>) -> P2pConfig {
    let mut config = config(number);
    config.modules.push(echo().0);
    config.session = session;
    config.pex = true;
    match session {
        SessionKind::Tls => config.addresses.extend(known.map(|node| {
            let address = node.listening().unwrap();
            (Host::Ip(address.ip()), address.port())
        })),
        _ => config.boot_nodes.extend(known.map(|node| node.enode().unwrap())),
    }
    config
}

async fn start(config: P2pConfig) -> P2pHandle {
    chainmesh_net::start(config).await.unwrap()
}

fn report(node: &P2pHandle) -> PexReport {
    node.pex_report().expect("it takes part")
}

/// Looks again and again until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// The book of a node as the next run finds it.
async fn book_of(node: &P2pHandle) -> AddressBook {
    let changes = node.take_book_changes().await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let records: Vec<Vec<u8>> =
        changes.records.into_iter().filter_map(|(_, record)| record).collect();
    let records = records.iter().map(Vec::as_slice);
    let head = changes.head.expect("the first time");
    AddressBook::load(node.local_id, [1; 32], now, &head, records).unwrap().book
}

#[tokio::test]
async fn the_third_node_finds_the_second_through_the_first_and_comes_back_without_it() {
    for session in [SessionKind::Rlpx, SessionKind::Tls] {
        let first = start(with_pex(1, session, None)).await;
        let second = start(with_pex(2, session, Some(&first))).await;
        has_peers(&first, 1).await;
        let third = start(with_pex(3, session, Some(&first))).await;
        for node in [&first, &second, &third] {
            has_peers(node, 2).await;
        }
        let told: u64 = [&first, &second].iter().map(|node| report(node).counters.told).sum();
        assert!(told > 0, "{session:?}");

        let book = book_of(&third).await;
        third.shutdown().await;
        first.shutdown().await;
        let mut again = with_pex(3, session, None);
        again.book = Some(book);
        let third = start(again).await;
        has_peers(&third, 1).await;
        has_peers(&second, 1).await;
        second.shutdown().await;
        third.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_without_the_module_is_a_peer_as_before() {
    let first = start(with_pex(1, SessionKind::Rlpx, None)).await;
    let mut plain = with_pex(2, SessionKind::Rlpx, Some(&first));
    plain.pex = false;
    let plain = start(plain).await;
    has_peers(&plain, 1).await;
    assert_eq!(plain.pex_report(), None);
    assert_eq!(report(&first).peers, 0);
    assert_eq!(report(&first).counters.asked, 0);
}

/// The module as a test wants it: hands over what it gets, and the way to answer.
struct Raw(mpsc::Sender<(PeerContext, Option<Message>)>);

struct RawPeer(PeerContext, mpsc::Sender<(PeerContext, Option<Message>)>);

impl PeerHandler for Raw {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        self.0.try_send((peer.clone(), None)).ok();
        Box::new(RawPeer(peer, self.0.clone()))
    }
}

impl TopicHandler for RawPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let message = Message::decode(code, &payload).map_err(ModuleError::breach)?;
        self.1.try_send((self.0.clone(), Some(message))).ok();
        Ok(())
    }
}

fn send(peer: &PeerContext, message: &Message) {
    peer.send(message.code(), message.encode()).unwrap();
}

/// A node whose peer exchange is in the hands of the test.
async fn raw(
    number: u8,
    change: impl FnOnce(&mut P2pConfig),
) -> (P2pHandle, mpsc::Receiver<(PeerContext, Option<Message>)>) {
    let (seen, receiver) = mpsc::channel(100);
    let mut config = config(number);
    config.modules.push(Module {
        capability: Capability::new("pex", 1).unwrap(),
        message_count: 2,
        required: false,
        handler: Arc::new(Raw(seen)),
    });
    change(&mut config);
    (start(config).await, receiver)
}

async fn next_message(
    seen: &mut mpsc::Receiver<(PeerContext, Option<Message>)>,
) -> (PeerContext, Message) {
    within("a message", async {
        loop {
            if let (peer, Some(message)) = seen.recv().await.expect("the node is alive") {
                return (peer, message);
            }
        }
    })
    .await
}

async fn next_question(
    seen: &mut mpsc::Receiver<(PeerContext, Option<Message>)>,
) -> (PeerContext, GetNodes) {
    match next_message(seen).await {
        (peer, Message::GetNodes(question)) => (peer, question),
        (_, other) => panic!("{other:?} is no question"),
    }
}

fn fake(number: u8, ip: &str, tcp_port: u16) -> Contact {
    let id = PeerId::from([number; 64]);
    Contact { endpoint: Endpoint::new(ip.parse().unwrap(), 0, tcp_port), id }
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_ignored_and_then_end_the_session() {
    for session in [SessionKind::Rlpx, SessionKind::Tls] {
        let victim = start(with_pex(1, session, None)).await;
        let mut events = victim.subscribe();
        let (to, at) = (victim.enode().unwrap(), victim.listening().unwrap());
        let (liar, mut seen) = raw(2, |config| {
            config.session = session;
            match session {
                SessionKind::Tls => config.addresses.push((Host::Ip(at.ip()), at.port())),
                _ => config.boot_nodes.push(to),
            }
        })
        .await;
        let (peer, _) = within("the victim", seen.recv()).await.unwrap();
        assert_eq!(connected(&mut events).await, liar.local_id);
        for round in 0..3 {
            let nodes = (10..42).map(|number| fake(number, "127.0.0.1", 9)).collect();
            send(&peer, &Message::Nodes(Nodes { request: round, nodes }));
        }
        assert_eq!(disconnected(&mut events).await, liar.local_id);
        let counters = report(&victim).counters;
        assert_eq!(counters.ignored.get(&Ignored::Unasked), Some(&96), "{session:?}");
        assert_eq!((counters.taken, counters.breaches), (0, 1));
        let story = victim.peer_stories(PeerQuery::Id(PeerId::from([10; 64]))).await.unwrap();
        assert!(story.is_empty(), "nothing of it is in the book");
        liar.shutdown().await;
        victim.shutdown().await;
    }
}

#[tokio::test]
async fn a_poisoned_answer_is_hearsay_that_is_told_to_nobody() {
    let (liar, mut seen) = raw(2, |_| {}).await;
    let victim = start(with_pex(1, SessionKind::Rlpx, Some(&liar))).await;
    let (peer, question) = next_question(&mut seen).await;
    // A port that was free a moment ago: nobody listens there.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let fakes: Vec<Contact> = (10..30).map(|number| fake(number, "127.0.0.1", closed)).collect();
    let mut nodes = fakes.clone();
    nodes.push(Contact { id: victim.local_id, ..fakes[0] });
    nodes.push(Contact { id: liar.local_id, ..fakes[0] });
    nodes.push(fakes[0]);
    nodes.push(fake(50, "127.0.0.1", 0));
    nodes.push(fake(51, "0.0.0.0", 30303));
    nodes.push(fake(52, "224.0.0.1", 30303));
    send(&peer, &Message::Nodes(Nodes { request: question.request, nodes }));
    until("the answer is taken", || report(&victim).counters.taken == 20).await;
    let ignored = report(&victim).counters.ignored;
    let expected = [
        (Ignored::Own, 1),
        (Ignored::Teller, 1),
        (Ignored::Repeated, 1),
        (Ignored::Address, 2),
        (Ignored::NoPort, 1),
    ];
    assert_eq!(ignored.into_iter().collect::<Vec<_>>(), expected);

    // Few of them are dialled, once each, and the story says who told.
    let mut failed = 0;
    within("some dials", async {
        while failed < 4 {
            failed = 0;
            for fake in &fakes {
                let stories = victim.peer_stories(PeerQuery::Id(fake.id)).await.unwrap();
                let Some(record) = stories.into_iter().find_map(|story| story.record) else {
                    continue;
                };
                assert_eq!(record.origin, AddressOrigin::Exchange);
                assert_eq!(record.origin.name(), "pex");
                assert_eq!(record.source, Some(peer.address().ip()));
                failed += usize::from(record.failures > 0);
                assert!(record.failures <= 1, "{record:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(failed, 4, "the rest waits until the word of the teller is worth something");

    // Another one that asks is told of the liar, who is there, and of nobody else.
    let (asker, mut answers) = raw(3, |config| {
        config.boot_nodes.push(victim.enode().unwrap());
    })
    .await;
    let (peer, _) = within("the victim", answers.recv()).await.unwrap();
    has_peers(&victim, 2).await;
    send(&peer, &Message::GetNodes(GetNodes { request: 7, limit: 32 }));
    let (_, answer) = next_message(&mut answers).await;
    let at = liar.listening().unwrap();
    let endpoint = Endpoint::new(at.ip(), at.port(), at.port());
    let told = Contact { endpoint, id: liar.local_id };
    assert_eq!(answer, Message::Nodes(Nodes { request: 7, nodes: vec![told] }));
    for node in [asker, liar, victim] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn who_asks_again_and_again_is_refused_and_cut() {
    let victim = start(with_pex(1, SessionKind::Rlpx, None)).await;
    let mut events = victim.subscribe();
    let to: Enode = victim.enode().unwrap();
    let (asker, mut seen) = raw(2, |config| config.boot_nodes.push(to)).await;
    let (peer, _) = within("the victim", seen.recv()).await.unwrap();
    assert_eq!(connected(&mut events).await, asker.local_id);
    for request in 0..20 {
        send(&peer, &Message::GetNodes(GetNodes { request, limit: 32 }));
    }
    assert_eq!(disconnected(&mut events).await, asker.local_id);
    let counters = report(&victim).counters;
    assert!(counters.answers <= 2 && counters.refused == 10, "{counters:?}");
}

/// Where discovery runs, what a peer tells with a UDP port is asked over UDP first.
#[tokio::test]
async fn with_discovery_a_node_that_was_told_is_pinged_before_it_is_dialled() {
    let (liar, mut seen) = raw(2, |_| {}).await;
    let discovering = |mut config: P2pConfig| {
        config.discovery = Some(DiscoveryOptions::default());
        config
    };
    let victim = start(discovering(with_pex(1, SessionKind::Rlpx, Some(&liar)))).await;
    let there = start(discovering(with_pex(3, SessionKind::Rlpx, None))).await;
    let contact = |node: &P2pHandle, udp_port| {
        let tcp = node.listening().unwrap();
        Contact { endpoint: Endpoint::new(tcp.ip(), udp_port, tcp.port()), id: node.local_id }
    };
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let no_answer = {
        let port = silent.local_addr().unwrap().port();
        Contact { endpoint: Endpoint::new([127, 0, 0, 1].into(), port, port), id: key(9).peer_id() }
    };
    let udp = there.discovery().unwrap().listening().port();
    let (peer, GetNodes { request, .. }) = next_question(&mut seen).await;
    let nodes = vec![no_answer, contact(&there, udp)];
    send(&peer, &Message::Nodes(Nodes { request, nodes }));
    // The liar, and who was found.
    has_peers(&victim, 2).await;
    let mut ping = [0; 1500];
    within("a Ping", silent.recv_from(&mut ping)).await.unwrap();
    let story = async |id| victim.peer_stories(PeerQuery::Id(id)).await.unwrap();
    assert!(story(no_answer.id).await.is_empty(), "who does not answer is not dialled");
    let found = story(there.local_id).await.remove(0).record.unwrap();
    assert_ne!(found.origin, AddressOrigin::Exchange, "it spoke for itself");
    for node in [victim, there, liar] {
        node.shutdown().await;
    }
}
