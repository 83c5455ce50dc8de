//! Peers that break rules: scored, banned if nobody asked for them, and remembered.

use chainmesh_net::{
    Bytes, DisconnectReason, NodeKind, Offence, P2pHandle, PeerId, PeerQuery, PeerStory,
};
use chainmesh_proto::peers::book::AddressBook;
use chainmesh_proto::peers::{BAN_SCORE, ClosedBy, Outcome};
use tokio::sync::mpsc;

use crate::support::{Seen, disconnected, key, next_peer, node, within};

/// Breaks a rule of the echo module on its next session.
async fn breach(seen: &mut mpsc::Receiver<Seen>) {
    let peer = next_peer(seen).await;
    within("the session", peer.ready()).await.unwrap();
    peer.send(2, Bytes::new()).unwrap();
}

async fn story(node: &P2pHandle, id: PeerId) -> PeerStory {
    node.peer_stories(PeerQuery::Id(id)).await.unwrap().pop().expect("it is known")
}

/// The offences in the story of a peer.
async fn offences(node: &P2pHandle, id: PeerId) -> Vec<String> {
    let record = story(node, id).await.record.expect("a record");
    let texts = record.incidents.into_iter().map(|incident| incident.text);
    texts.filter(|text| text.contains(" points, score ")).collect()
}

/// Waits until a dial of `node` has been refused by the peer in its handshake, after so many dials.
async fn is_refused(node: &P2pHandle, after: u64) -> u64 {
    within("the refusal", async {
        loop {
            let peers = node.peers().await.unwrap();
            let info = &peers[0].info;
            let refused = |outcome: Outcome| {
                let reason = DisconnectReason::Requested;
                outcome == Outcome::Ended { reason, by: ClosedBy::Peer, lasted: None }
            };
            if info.dials > after && info.history.last().is_some_and(|last| refused(last.outcome)) {
                return info.dials;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn breaches_add_up_to_a_ban_that_outlives_the_node() {
    let (hub, _seen) = node(1, |_| {}).await;
    let mut events = hub.subscribe();
    let boot = hub.enode().unwrap();
    let port = boot.tcp_port;
    let (villain, mut seen) = node(2, |config| config.boot_nodes.push(boot)).await;
    // Two within a few seconds, three if the machine is slow.
    let mut breaches = 0;
    let ban = loop {
        breach(&mut seen).await;
        breaches += 1;
        assert_eq!(disconnected(&mut events).await, villain.local_id);
        let record = story(&hub, villain.local_id).await.record.unwrap();
        if let Some(ban) = record.ban {
            break ban;
        }
        assert!(breaches < 3, "{:?}", record.incidents);
    };
    let said = offences(&hub, villain.local_id).await;
    let expected = "breach of protocol, -50 points, score -50 (echo/1: nobody sends code 2)";
    assert_eq!((said.len(), &*said[0]), (breaches, expected));
    assert!(said[1].starts_with("breach of protocol, -50 points, score -"), "{said:?}");
    assert!(ban.reason.starts_with("for its conduct: score -1"), "{}", ban.reason);
    assert!(ban.until.is_some_and(|until| until > ban.since));
    let dials = is_refused(&villain, 0).await;

    // The same node, after a restart.
    let changes = hub.take_book_changes().await.unwrap();
    hub.shutdown().await;
    let records: Vec<Vec<u8>> = changes.records.into_iter().filter_map(|(_, one)| one).collect();
    let bytes = records.iter().map(Vec::as_slice);
    let id = key(1).peer_id();
    let head = changes.head.unwrap();
    let book = AddressBook::load(id, [1; 32], ban.since, &head, bytes).unwrap().book;
    let (again, _seen) = node(1, |config| {
        config.listen_port = port;
        config.book = Some(book);
    })
    .await;
    is_refused(&villain, dials).await;
    assert_eq!(again.peer_count(), 0);

    // Until the operator lifts it.
    assert!(again.unban_peer(villain.local_id).await.unwrap());
    next_peer(&mut seen).await;
}

#[tokio::test]
async fn who_was_asked_for_is_scored_and_may_come_back() {
    let (villain, mut seen) = node(2, |_| {}).await;
    let enode = villain.enode().unwrap();
    let (hub, _seen) =
        node(1, |config| config.configured_nodes.push((enode, NodeKind::Static))).await;
    for _ in 0..3 {
        breach(&mut seen).await;
    }
    next_peer(&mut seen).await;
    let peers = hub.peers().await.unwrap();
    assert!(peers[0].info.score <= BAN_SCORE, "{}", peers[0].info.score);
    assert_eq!(story(&hub, villain.local_id).await.record.and_then(|record| record.ban), None);
    let said = offences(&hub, villain.local_id).await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|text| text.starts_with(&Offence::Breach.to_string())));
    // What an application has to say against it counts, too.
    hub.accuse_peer(villain.local_id, Offence::UselessAnswer, "no \u{1b}[31mgreeting")
        .await
        .unwrap();
    let said = offences(&hub, villain.local_id).await.pop().unwrap();
    assert!(said.starts_with("useless answer, -10 points, score -1"), "{said}");
    assert!(said.ends_with("(no \\u{1b}[31mgreeting)"), "{said}");
}
